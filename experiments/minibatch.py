"""Minibatch features: D compares the examples of a batch (Salimans et al. 2016, https://arxiv.org/abs/1606.03498).

    python -m experiments.minibatch

DCGAN's game, with more features before D's last layer that tell how alike an example is to the rest of
its batch; the generated batch of a G that has collapsed gives itself away by them. `std` is ProGAN's
simpler one, the mean standard deviation over the batch (Karras et al. 2018, section 3).

Measured by this command with seeds 0, 1 and 2, in about a minute each on one CPU core: fcd 2.0, 2.5 and
2.0 (two random halves of the real digits are 6.8 apart). By a judge that is right on 99.0 % of held-out
real digits each class has 9.0 to 11.1 % of the samples; diversity 1.01, memorisation 1.18 to 1.20. With
seed 0 and --r1 0 fcd is 24.3.

Published: an Inception score of 8.09 +- 0.07 on CIFAR-10 with labels (table 3).
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from experiments import dcgan
from jaxgan import train
from jaxgan.config import Count, Decay, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses.adversarial import non_saturating
from jaxgan.losses.penalties import r1
from jaxgan.nn.minibatch import MinibatchDiscrimination, MinibatchStd
from jaxgan.terms import penalty
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(dcgan.Config):
    """Minibatch features."""

    width: Count = 32  # channels next to the image, doubled at each level inward
    steps: Count = 2000  # generator updates
    g_lr: Rate = 1e-3  # the generator's learning rate
    d_lr: Rate = 1e-3  # the discriminator's learning rate
    beta1: Decay = 0.0  # of Adam
    beta2: Decay = 0.99  # of Adam
    r1: Rate = 1.0  # gamma of the penalty of D's slope at real images; none in the paper
    features: Literal["discrimination", "std"] = "discrimination"  # what tells how alike a batch is
    kernels: Count = 50  # of minibatch discrimination, one feature each; 100 in the paper
    dims: Count = 5  # of each such kernel
    group: Count = 64  # examples that `std` compares; a divisor of the batch


class Head(nn.Module):
    """Features [B, F] -> logits f32[B], from them and from what the layer adds."""

    layer: nn.Module
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, label=None):
        return nn.Dense(1, dtype=self.dtype)(self.layer(x))[:, 0].astype(jnp.float32)


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    if cfg.features == "std":
        layer = MinibatchStd(cfg.group, axis)
    else:
        layer = MinibatchDiscrimination(cfg.kernels, cfg.dims, cfg.dtype, axis)
    gan = two_player(
        dcgan.generator(cfg, axis),
        dcgan.discriminator(cfg, axis, norm="none", head=Head(layer, cfg.dtype)),
        loss=non_saturating,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
        d_terms={"r1": penalty(r1, gamma=cfg.r1)},
    )
    return gan, dcgan.optimizers(cfg)


if __name__ == "__main__":
    train.main(Config, make, images)
