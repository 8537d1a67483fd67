"""Mode collapse counted: any method on a mixture whose modes are known, under a published protocol.

    python -m experiments.mixtures --method r3gan --seeds 5

The numbers are in experiments/README.md. Several seeds are lanes of one loop. The scores are

    swd            sliced Wasserstein distance to the data; the run is watched by it
    captured       modes with a sample within 3 standard deviations
    captured_late  its median over the last fifth of the moments, since a mode at the edge comes and goes
    high_quality   the share of such samples; 98.9 % of the data
    reverse_kl     from the modes' shares to equal ones, in nats
    slope          of D, in the mean, between real and generated samples
    drift          how far the shares move from moment to moment, in the second half

Measured by `python -m experiments.mixtures --method pacgan --protocol pacgan --steps 5000 --seeds 5`, in 5
minutes on two CPU cores, seeds 0 to 4: 8 of 8 modes in each. Published: 7.9 +- 0.1 (table 1 of
https://arxiv.org/abs/1712.04086).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import optax
from annotated_types import Ge
from flax import linen as nn

from jaxgan import dynamics, random, train
from jaxgan.config import Count, Decay, InputError, Natural, Rate, Seed
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.points import points
from jaxgan.losses import adversarial, penalties
from jaxgan.nets.points import Discriminator, Generator
from jaxgan.terms import Term, approximate, penalty
from jaxgan.train import Loop
from jaxgan.two_player import two_player


class Protocol(NamedTuple):
    """What the compared methods have in common."""

    generator: nn.Module
    discriminator: nn.Module
    latent: int
    batch_size: int
    g_lr: float
    d_lr: float
    betas: tuple[float, float]
    steps: int
    loss: str = "non_saturating"


_small = dict(activation="tanh", kernel_init=nn.initializers.orthogonal(1.4))
PROTOCOLS = {
    # Lin et al. 2018, table 1, and their code.
    "pacgan": Protocol(
        Generator((400,) * 4, norm=True, kernel_init=nn.initializers.normal(0.02)),
        Discriminator((200,) * 3, pieces=5, kernel_init=nn.initializers.normal(0.02)),
        latent=2,
        batch_size=100,
        g_lr=1e-4,
        d_lr=1e-4,
        betas=(0.8, 0.999),
        steps=400_000,
    ),
    # The notebook of Metz et al. 2017; its loss is the saddle's.
    "unrolled": Protocol(
        Generator((128, 128), **_small),
        Discriminator((128, 128), **_small),
        latent=256,
        batch_size=512,
        g_lr=1e-3,
        d_lr=1e-4,
        betas=(0.5, 0.999),
        steps=25_000,
        loss="minimax",
    ),
    # Metz et al. 2017, appendix A, where the ring's radius is 2; the batch is the notebook's.
    "metz": Protocol(
        Generator((128, 128), kernel_init=nn.initializers.orthogonal(0.8)),
        Discriminator((128,), scale=0.25, kernel_init=nn.initializers.orthogonal(0.8)),
        latent=256,
        batch_size=512,
        g_lr=1e-4,
        d_lr=1e-4,
        betas=(0.5, 0.999),
        steps=25_000,
    ),
    # Our own for fast runs; with --anneal and --ema-decay, for samples that lie well within the modes.
    "own": Protocol(
        Generator((256,) * 3, activation="leaky_relu"),
        Discriminator((256,) * 3, activation="leaky_relu"),
        latent=2,
        batch_size=256,
        g_lr=1e-3,
        d_lr=1e-3,
        betas=(0.5, 0.99),
        steps=10_000,
    ),
    # Srivastava et al. 2017, and their code, where the loss is the usual one; its length is not given.
    "veegan": Protocol(
        Generator((128, 128)),
        Discriminator((128, 128)),
        latent=254,
        batch_size=500,
        g_lr=1e-3,
        d_lr=1e-3,
        betas=(0.5, 0.999),
        steps=25_000,
    ),
    # Gulrajani et al. 2017, figure 1, and their code; the data have unit variance.
    "wgan_gp": Protocol(
        Generator((512,) * 3),
        Discriminator((512,) * 3),
        latent=2,
        batch_size=256,
        g_lr=1e-4,
        d_lr=1e-4,
        betas=(0.5, 0.9),
        steps=100_000,
    ),
    # Our own, for the stacked digits as vectors of 192 numbers. D is the weaker player, as in the published
    # protocols of stacked MNIST, by its size (Metz et al.) or the number of its updates (Lin et al.).
    "stacked": Protocol(
        Generator((256, 256), features=192, bounded=True),
        Discriminator((64, 64), activation="leaky_relu"),
        latent=64,
        batch_size=128,
        g_lr=5e-4,
        d_lr=2e-4,
        betas=(0.5, 0.999),
        steps=10_000,
    ),
}


class Method(NamedTuple):
    """What sets a method apart."""

    loss: str | None = None  # the protocol's if None
    d_terms: dict[str, Term] = {}
    n_critic: int = 1
    pack: int = 1
    d: dict[str, Any] = {}  # of the discriminator
    change: Callable = lambda gan, opts: gan
    d_clip: float | None = None
    d_rate: float = 1.0  # times the protocol's
    betas: tuple[float, float] | None = None


def slopes(cfg, r1, r2, *, every: int = 1) -> dict[str, Term]:
    """R1 and R2 of these gammas, by derivatives or without them."""
    if cfg.derivative == "exact":
        exact = partial(penalty, every=every)
        return {"r1": exact(penalties.r1, gamma=r1), "r2": exact(penalties.r2, gamma=r2)}
    finite = partial(approximate, every=every, epsilon=cfg.epsilon)
    return {
        "r1": finite(penalties.approximate_r1, gamma=r1),
        "r2": finite(penalties.approximate_r2, gamma=r2),
    }


def _methods(cfg, axis: str | None = None) -> dict[str, Method]:
    gp = {"gp": penalty(penalties.gradient_penalty, weight=cfg.gp_weight)}
    zero = slopes(cfg, cfg.gamma, cfg.gamma)
    ahead = partial(dynamics.unrolled, steps=cfg.unroll, axis=axis)
    return {
        "gan": Method(),
        "lsgan": Method("least_squares"),
        # Clipped at 0.01, the paper's for images, D is too flat for points.
        "wgan": Method("wasserstein", n_critic=5, d_clip=0.1, betas=(0.0, 0.99)),
        "wgan_gp": Method("wasserstein", gp, n_critic=5, betas=(0.5, 0.9)),
        "dragan": Method(d_terms={"dragan": penalty(penalties.dragan, axis=axis)}),
        "sngan": Method("hinge", d={"spectral": True}),
        "gan_r1": Method("non_saturating", {"r1": zero["r1"]}, betas=(0.0, 0.99)),
        "gan_r1_r2": Method("non_saturating", zero, betas=(0.0, 0.99)),
        "rpgan": Method("relativistic", betas=(0.0, 0.99)),
        "rpgan_r1": Method("relativistic", {"r1": zero["r1"]}, betas=(0.0, 0.99)),
        "r3gan": Method("relativistic", zero, betas=(0.0, 0.99)),
        "unrolled": Method(change=ahead),
        "look_ahead": Method(change=partial(ahead, stop_gradient=True)),
        "minibatch": Method(d={"minibatch": 20}),
        "pacgan": Method(pack=cfg.pack),
        "ttur": Method(d_rate=4.0),
    }


Name = Literal[
    "gan", "lsgan", "wgan", "wgan_gp", "dragan", "sngan", "gan_r1", "gan_r1_r2", "rpgan", "rpgan_r1", "r3gan",
    "unrolled", "look_ahead", "minibatch", "pacgan", "ttur"
]  # fmt: skip
ProtocolName = Literal["pacgan", "unrolled", "metz", "veegan", "wgan_gp", "own", "stacked"]


@dataclass(frozen=True)
class Config:
    """A method on a mixture."""

    method: Name = "gan"  # what is changed against the protocol
    protocol: ProtocolName = "unrolled"  # networks, rates, batch size, steps
    data: str = "ring"  # ring (8 modes), grid (25), embedded (10), swiss_roll, stacked (1000) or npz:PATH
    steps: Natural = 0  # generator updates; 0: as many as the protocol has
    batch_size: Natural = 0  # points, of which D sees packs; 0: as many (packs) as the protocol has
    seed: Seed = 0  # of the run's key
    g_lr: Rate | None = None  # the generator's learning rate; as the protocol has it if not given
    d_lr: Rate | None = None  # the discriminator's learning rate; the protocol's, which ttur multiplies
    n_critic: Natural = 0  # updates of D for one of G; 0: as many as the method has
    unroll: Natural = 5  # K, updates of D that the unrolled game looks ahead
    pack: Count = 2  # examples that D judges together in pacgan
    gamma: Rate = 1.0  # of R1 and R2
    derivative: Literal["exact", "finite"] = "exact"  # R1 and R2 by derivatives, or by finite differences
    epsilon: Annotated[float, Ge(1e-6)] = 0.01  # how far these reach
    gp_weight: Rate = 0.1  # of the gradient penalty; its toy's, 10 for images
    anneal: bool = False  # both learning rates fall to 0 along half a cosine; in no published protocol
    ema_decay: Decay | None = None  # of the generator that is counted; none in the protocols
    samples: Count | None = None  # behind each figure; 2500, and 26,000 of stacked digits, as published


# The protocols' own units of the data.
UNITS = {
    ("wgan_gp", "ring"): f"ring:radius={2 / 1.414},std={0.02 / 1.414}",
    ("wgan_gp", "grid"): f"grid:spacing={2 / 2.828},std={0.05 / 2.828}",
    ("metz", "ring"): "ring:radius=2,std=0.02",
}
FEATURES = {"embedded": 1200, "stacked": 192}  # numbers in a point; 2 of the others


def complete(cfg: Config) -> Config:
    """The config with what its protocol and its method decide.

    Raises:
      InputError: if the data do not go with the protocol.
    """
    if (cfg.data == "stacked") != (cfg.protocol == "stacked"):
        raise InputError(
            f"--data {cfg.data} with --protocol {cfg.protocol}: stacked digits go with stacked alone"
        )
    protocol, method = PROTOCOLS[cfg.protocol], _methods(cfg)[cfg.method]
    return replace(
        cfg,
        data=UNITS.get((cfg.protocol, cfg.data), cfg.data),
        steps=cfg.steps or protocol.steps,
        batch_size=cfg.batch_size or protocol.batch_size * method.pack,
        n_critic=cfg.n_critic or method.n_critic,
        g_lr=protocol.g_lr if cfg.g_lr is None else cfg.g_lr,
        d_lr=protocol.d_lr * method.d_rate if cfg.d_lr is None else cfg.d_lr,
    )


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The game of a method under a protocol, for batches sharded over the device axis if there is one."""
    protocol, method = PROTOCOLS[cfg.protocol], _methods(cfg, axis)[cfg.method]
    features = FEATURES.get(cfg.data.partition(":")[0], 2)
    loss = getattr(adversarial, method.loss or protocol.loss)
    gan = two_player(
        protocol.generator.clone(features=features, axis=axis),
        protocol.discriminator.clone(**method.d, axis=axis),
        loss=loss,
        latent=partial(random.normal, shape=(protocol.latent,)),
        of="point",
        d_terms=method.d_terms,
        pack=method.pack,
    )
    b1, b2 = method.betas or protocol.betas
    # Without eps_root a unit that is dead has no derivative of its update, which unrolling needs.
    adam = partial(optax.adam, b1=b1, b2=b2, eps_root=1e-16)

    def rate(lr, updates=1):
        return optax.cosine_decay_schedule(lr, cfg.steps * updates) if cfg.anneal else lr

    d_opt = adam(rate(cfg.d_lr, cfg.n_critic))
    if method.d_clip is not None:
        d_opt = optax.chain(d_opt, dynamics.clip_weights(method.d_clip))
    opts = Optimizers(adam(rate(cfg.g_lr)), d_opt, cfg.ema_decay)
    return method.change(gan, opts), opts


loop = Loop(chunk=100, log_every=100, sample_every=500, evaluate_every=200, checkpoint_every=1000)

if __name__ == "__main__":
    train.main(Config, make, points, loop)
