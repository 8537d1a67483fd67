"""Projection discriminator (Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637).

    python -m experiments.projection

D's logit is psi(h) + <embed(y), h> of its features h and the label y, and G takes the label by
conditional batch normalisation. The rest is SNGAN: every kernel of D, and the embedding, is spectrally
normalised, and the losses are the hinge's.

Measured by this command with seeds 0, 1 and 2, in about a minute each on one CPU core: fcd 4.3, 4.9 and
4.5 (two random halves of the real digits are 6.8 apart). By a judge that is right on 99.0 % of held-out
real digits each class has 8.5 to 11.0 % of the samples; diversity 0.94 to 0.95, memorisation 1.11 to
1.13. It sees the label that was asked for in 99.5, 99.5 and 99.4 % of 5000 samples.

With `--seeds 3` and the classifier's version 3, once with G's label by batch normalisation and once, by
`--no-conditional-norm`, beside z: of 10000 samples 99.4, 99.5 and 99.4 % show the label, against 99.2, 99.1
and 99.2 %; the mean Frechet distance within a class is 11.6, 12.0 and 12.4, against 11.1, 10.0 and 10.3. So
the first obeys more, and is no nearer to each class.

Published: an Inception score of 29.7 on ImageNet at 128 pixels.
"""

from dataclasses import dataclass

from experiments import cgan, dcgan
from jaxgan import train
from jaxgan.config import Count, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses.adversarial import hinge
from jaxgan.nn.conditional import Projection
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(cgan.Config):
    """Projection discriminator."""

    width: Count = 32  # channels next to the image, doubled at each level inward
    conditional_norm: bool = True  # G takes the label by batch normalisation; else it is appended to z
    steps: Count = 4000  # generator updates
    g_lr: Rate = 1e-3  # the generator's learning rate; 2e-4 in the paper
    d_lr: Rate = 1e-3  # the discriminator's learning rate; 2e-4 in the paper


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    head = Projection(cfg.n_classes, spectral=True, dtype=cfg.dtype)
    gan = two_player(
        dcgan.generator(cfg, axis, n_classes=cfg.n_classes, conditional_norm=cfg.conditional_norm),
        dcgan.discriminator(cfg, axis, norm="spectral", head=head),
        loss=hinge,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
        condition="label",
    )
    return gan, dcgan.optimizers(cfg)


if __name__ == "__main__":
    train.main(Config, make, images)
