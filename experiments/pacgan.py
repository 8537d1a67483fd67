"""PacGAN: D judges several examples at once (Lin et al. 2018, https://arxiv.org/abs/1712.04086).

    python -m experiments.pacgan

DCGAN's game, but D is shown packs of images, joined as channels: all real or all generated. A pack
of a G that has collapsed lacks variety, and is told by it.

Measured by this command with seeds 0, 1 and 2, in about a minute each on one CPU core: fcd 13.7, 17.0
and 15.1 (two random halves of the real digits are 6.8 apart). By a judge that is right on 99.0 % of
held-out real digits each class has 7.1 to 14.3 % of the samples; diversity 1.09 to 1.10, memorisation
1.46 to 1.49.

Published: 1000 of the 1000 modes of stacked MNIST with packs of 2, against 78.9 +- 6.5 of DCGAN alone
(table 2).
"""

from dataclasses import dataclass

from experiments import dcgan
from jaxgan import train
from jaxgan.config import Count
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses.adversarial import non_saturating
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(dcgan.Config):
    """PacGAN."""

    width: Count = 32  # channels next to the image, doubled at each level inward
    steps: Count = 4000  # generator updates
    batch_size: Count = 128  # images, of which D sees batch_size / pack packs
    pack: Count = 2  # images that D judges together; a divisor of the batch


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    gan = two_player(
        dcgan.generator(cfg, axis),
        dcgan.discriminator(cfg, axis),
        loss=non_saturating,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
        pack=cfg.pack,
    )
    return gan, dcgan.optimizers(cfg)


if __name__ == "__main__":
    train.main(Config, make, images)
