"""Mode-seeking regularisation of a conditional GAN (Mao et al. 2019, https://arxiv.org/abs/1903.05628).

    python -m experiments.mode_seeking

G also minimises ms_weight / (|G(z, y) - G(z', y)| / |z - z'| + 1e-5) for a second latent z' and the same
label y: two latents shall make two images.

Measured by this command with seeds 0, 1 and 2, in about a minute each on one CPU core: fcd 4.1, 3.4 and
4.0 (two random halves of the real digits are 6.8 apart). By a judge that is right on 99.0 % of held-out
real digits each class has 8.6 to 10.9 % of the samples; diversity 0.98 to 0.99, memorisation 1.19 to
1.23. It sees the label that was asked for in 98.1, 98.4 and 98.4 % of 5000 samples. With seed 0 and
--ms-weight 0 fcd is 4.8 and diversity 0.94.

Published: an FID of 28.7 on CIFAR-10, of a conditional DCGAN with it (table 1).
"""

from dataclasses import dataclass

from experiments import cgan, dcgan
from jaxgan import train
from jaxgan.config import Count, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses import penalties
from jaxgan.losses.adversarial import non_saturating
from jaxgan.terms import g_penalty
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(cgan.Config):
    """Mode-seeking conditional GAN."""

    width: Count = 32  # channels next to the image, doubled at each level inward
    steps: Count = 4000  # generator updates
    ms_weight: Rate = 1.0  # of the mode-seeking term


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    latent = dcgan.latent(cfg)
    gan = two_player(
        dcgan.generator(cfg, axis, n_classes=cfg.n_classes),
        dcgan.discriminator(cfg, axis, n_classes=cfg.n_classes),
        loss=non_saturating,
        latent=latent,
        augment=dcgan.augmentation(cfg, axis),
        condition="label",
        g_terms={"mode_seeking": g_penalty(penalties.mode_seeking, latent=latent, weight=cfg.ms_weight)},
    )
    return gan, dcgan.optimizers(cfg)


if __name__ == "__main__":
    train.main(Config, make, images)
