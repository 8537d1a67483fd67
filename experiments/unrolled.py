"""Unrolled GAN: G foresees D's next updates (Metz et al. 2017, https://arxiv.org/abs/1611.02163).

    python -m experiments.unrolled

G minimises its loss against the D that `unroll` more updates would make of D, and its gradient goes
through these updates, Adam's moments included. D itself is updated once, as ever.

Measured by this command with seeds 0, 1 and 2, in about a minute each on one CPU core: fcd 15.8, 22.9
and 18.3 (two random halves of the real digits are 2.9 apart). By a judge that is right on 98.3 % of
held-out real digits each class has 3.1 to 15.6 % of the samples; diversity 1.08 to 1.10, memorisation
1.52 to 1.56. With seed 0 and --unroll 0 fcd is 12.0 and diversity 1.04.

Published: of the 1000 modes of stacked MNIST 30.6, 65.4, 236.4 and 327.2 with 0, 1, 5 and 10 steps where
D is a quarter of G's size.
"""

from dataclasses import dataclass
from functools import partial

import optax

from experiments import dcgan
from jaxgan import dynamics, train
from jaxgan.config import Count, Natural, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses.adversarial import non_saturating
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(dcgan.Config):
    """Unrolled GAN."""

    image_size: Count = 8  # 8, 16, 32, 64 or 128 pixels
    width: Count = 32  # channels next to the image, doubled at each level inward
    steps: Count = 4000  # generator updates
    g_lr: Rate = 1e-3  # the generator's learning rate; 1e-4 in the paper
    unroll: Natural = 5  # updates of D that G foresees; 0: the plain game
    stop_gradient: bool = False  # foresee, but leave out how the updates depend on G


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    gan = two_player(
        dcgan.generator(cfg, axis),
        dcgan.discriminator(cfg, axis),
        loss=non_saturating,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
    )
    # Adam's root has no gradient where a parameter's gradients were all 0, hence eps_root.
    adam = partial(optax.adam, b1=cfg.beta1, b2=cfg.beta2, eps_root=1e-16)
    opts = Optimizers(adam(cfg.g_lr), adam(cfg.d_lr), cfg.ema_decay, cfg.shared_draws)
    ahead = dynamics.unrolled(gan, opts, cfg.unroll, stop_gradient=cfg.stop_gradient, axis=axis)
    return ahead, opts


if __name__ == "__main__":
    train.main(Config, make, images)
