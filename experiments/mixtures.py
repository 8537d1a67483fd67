"""Mode collapse counted: any method on a mixture whose modes are known, under a published protocol.

    python -m experiments.mixtures --method r3gan

Measured so far, `--steps 10000` of the unrolled protocol's 25,000, seeds 0 to 4, 2 to 3 minutes on two
CPU cores, modes captured of 8 (mean and 95 % interval): gan 6.2 +- 1.0, pacgan 6.4 +- 1.4, r3gan
7.2 +- 1.0, with 2.0 to 3.5 % of the samples within 3 standard deviations; none has settled by then.

Several seeds run as lanes of one program. The folder OUT/DATA-PROTOCOL-METHOD holds `results.json`,
samples over the true modes (`densities.png`, and as a film `densities.gif`) and the modes' shares over
the steps (`shares.png`), all three of the first seed.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import linen as nn
from scipy import stats
from tqdm import tqdm

from jaxgan import config, dynamics, parallel, plots, random, steps
from jaxgan.config import Count, InputError, Natural, Rate, Seed
from jaxgan.data import synthetic
from jaxgan.game import GAN, Optimizers
from jaxgan.losses import adversarial, penalties
from jaxgan.metrics.modes import drift, modes
from jaxgan.nets.points import Discriminator, Generator
from jaxgan.nn.minibatch import Packed
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
    # Lin et al. 2018, section 4.1, and their code.
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
    # Gulrajani et al. 2017, figure 2, and their code; the data have unit variance.
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
}


class Method(NamedTuple):
    """What sets a method apart."""

    loss: str | None = None  # the protocol's if None
    penalties: dict[str, Callable] = {}
    n_critic: int = 1
    pack: int = 1
    d: dict[str, Any] = {}  # of the discriminator
    change: Callable = lambda gan, opts: gan
    d_clip: float | None = None
    d_rate: float = 1.0  # times the protocol's
    betas: tuple[float, float] | None = None


def _methods(cfg) -> dict[str, Method]:
    gp = {"gp": partial(penalties.gradient_penalty, weight=cfg.gp_weight)}
    zero = {"r1": partial(penalties.r1, gamma=cfg.gamma), "r2": partial(penalties.r2, gamma=cfg.gamma)}
    ahead = partial(dynamics.unrolled, steps=cfg.unroll)
    return {
        "gan": Method(),
        "lsgan": Method("least_squares"),
        "wgan": Method("wasserstein", n_critic=5, d_clip=0.1),
        "wgan_gp": Method("wasserstein", gp, n_critic=5, betas=(0.5, 0.9)),
        "dragan": Method(penalties={"dragan": penalties.dragan}),
        "sngan": Method("hinge", d={"spectral": True}),
        "r1": Method("non_saturating", {"r1": zero["r1"]}, betas=(0.0, 0.99)),
        "gan_r1_r2": Method("non_saturating", zero, betas=(0.0, 0.99)),
        "rpgan": Method("relativistic", betas=(0.0, 0.99)),
        "r3gan": Method("relativistic", zero, betas=(0.0, 0.99)),
        "unrolled": Method(change=ahead),
        "look_ahead": Method(change=partial(ahead, stop_gradient=True)),
        "minibatch": Method(d={"minibatch": 20}),
        "pacgan": Method(pack=cfg.pack),
        "ttur": Method(d_rate=4.0),
    }


Name = Literal[
    "gan", "lsgan", "wgan", "wgan_gp", "dragan", "sngan", "r1", "gan_r1_r2", "rpgan", "r3gan", "unrolled",
    "look_ahead", "minibatch", "pacgan", "ttur"
]  # fmt: skip


@dataclass(frozen=True)
class Config:
    """A method on a mixture, over several seeds."""

    method: Name = "gan"  # what is changed against the protocol
    protocol: Literal["pacgan", "unrolled", "veegan", "wgan_gp"] = "unrolled"  # networks, rates, batch, steps
    data: Literal["ring", "grid"] = "ring"  # 8 modes on a circle, or 25 on a square lattice
    steps: Natural = 0  # generator updates; 0: as many as the protocol has
    seeds: Count = 5  # runs, each a lane of one program
    seed: Seed = 0  # of the first
    unroll: Natural = 5  # K, updates of D that the unrolled game looks ahead
    pack: Count = 2  # examples that D judges together in pacgan
    gamma: Rate = 1.0  # of R1 and R2
    gp_weight: Rate = 0.1  # of the gradient penalty; its toy's, 10 for images
    samples: Count = 2500  # behind each figure
    moments: Count = 50  # at which the modes are counted, evenly over the run
    out: Path = Path("runs/mixtures")  # the folder of all results


def mixture(cfg: Config) -> synthetic.Mixture:
    """The data, in the protocol's units."""
    if cfg.protocol == "wgan_gp":
        ring = partial(synthetic.ring, radius=2 / 1.414, std=0.02 / 1.414)
        grid = partial(synthetic.grid, spacing=2 / 2.828, std=0.05 / 2.828)
        return (ring if cfg.data == "ring" else grid)()
    return getattr(synthetic, cfg.data)()


def make(cfg: Config) -> tuple[GAN, Optimizers, Method]:
    """The game of a method under a protocol."""
    protocol, method = PROTOCOLS[cfg.protocol], _methods(cfg)[cfg.method]
    d = protocol.discriminator.clone(**method.d)
    loss = getattr(adversarial, method.loss or protocol.loss)
    gan = two_player(
        protocol.generator,
        Packed(d, method.pack) if method.pack > 1 else d,
        loss=loss,
        latent=partial(random.normal, shape=(protocol.latent,)),
        penalties=method.penalties,
    )
    b1, b2 = method.betas or protocol.betas
    # Without eps_root a unit that is dead has no derivative of its update, which unrolling needs.
    adam = partial(optax.adam, b1=b1, b2=b2, eps_root=1e-16)
    d_opt = adam(protocol.d_lr * method.d_rate)
    if method.d_clip is not None:
        d_opt = optax.chain(d_opt, dynamics.clip_weights(method.d_clip))
    opts = Optimizers(adam(protocol.g_lr), d_opt)
    return method.change(gan, opts), opts, method


def _lanes(cfg: Config):
    """(the initial states, length -> (states) -> states, (states) -> samples f32[seeds, N, 2])."""
    gan, opts, method = make(cfg)
    protocol, data = PROTOCOLS[cfg.protocol], mixture(cfg)
    slot = jnp.arange(protocol.batch_size * method.pack)

    def batches(state):
        draw = lambda turn: synthetic.sample(data, random.fold(state.key, state.step, "data", turn), slot)  # noqa: E731
        image = jax.vmap(draw)(jnp.arange(method.n_critic))
        return {"image": image, "slot": jnp.broadcast_to(slot, image.shape[:2])}

    def run(length):
        def chunk(state, _):
            return steps.train_chunk(partial(steps.train_step, gan, opts), batches, state, length)

        lanes = parallel.over_lanes(chunk)
        options = parallel.compiler_options(jax.devices()[0])
        return jax.jit(lambda s: lanes(s, jnp.zeros(cfg.seeds)), donate_argnums=0, compiler_options=options)

    @jax.jit
    def sample(states):
        def one(g, key, step):
            z = gan.latent(random.fold(key, step, "sample"), jnp.arange(cfg.samples))
            return gan.sample(g.variables, z)

        return jax.vmap(one, (0, 0, None))(states.g, states.key, states.step)

    example = {"image": jnp.zeros((len(slot), data.centres.shape[1])), "slot": slot}
    keys = jax.vmap(jax.random.key)(cfg.seed + jnp.arange(cfg.seeds))
    states = jax.vmap(lambda key: steps.create_state(gan, opts, key, example))(keys)
    return states.replace(step=states.step[0]), run, sample


def interval(values) -> tuple[float, float]:
    """The mean, and half its 95 % interval by Student's t; NaN for a single value."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def train(cfg: Config) -> dict:
    """Trains all seeds, and writes and returns the results."""
    data, total = mixture(cfg), cfg.steps or PROTOCOLS[cfg.protocol].steps
    moments = min(cfg.moments, total)
    at = np.unique(np.linspace(0, total, moments + 1).round().astype(int))
    states, run, sample = _lanes(cfg)
    runs = {}
    points, start = [np.asarray(sample(states))], time.perf_counter()
    with tqdm(total=total, unit="step") as bar:
        for length in np.diff(at).tolist():
            runs.setdefault(length, run(length))
            states, metrics = runs[length](states)
            points.append(np.asarray(sample(states)))
            bar.update(length)
            bar.set_postfix(D=f"{metrics['d/loss'].mean():.2f}", G=f"{metrics['g/loss'].mean():.2f}")
    points = np.stack(points, 1)  # [seeds, moments + 1, N, 2]
    figures = jax.jit(jax.vmap(jax.vmap(partial(modes, mixture=data))))(points)
    last = {name: np.asarray(figures[name])[:, -1] for name in ("captured", "high_quality", "reverse_kl")}
    half = len(at) // 2
    last["drift"] = np.stack([drift(s[half:]) for s in figures["shares"]])
    results = {
        "config": asdict(cfg) | {"out": str(cfg.out)},
        "steps": total,
        "minutes": (time.perf_counter() - start) / 60,
        "moments": at.tolist(),
        "captured": np.asarray(figures["captured"]).tolist(),
        **{
            f"{name}_at_the_end": [None if np.isnan(x) else x for x in v.tolist()] for name, v in last.items()
        },
    }
    folder = cfg.out / f"{cfg.data}-{cfg.protocol}-{cfg.method}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    title = f"{cfg.method} on the {cfg.data}, {cfg.protocol} protocol, seed {cfg.seed}"
    plots.densities(folder / "densities.png", points[0], at, data, title)
    plots.animation(folder / "densities.gif", plots.density_frames(points[0], at, data))
    plots.mode_shares(folder / "shares.png", figures["shares"][0], at, title)
    print(f"{title.rpartition(',')[0]}: {total:,} steps, {cfg.seeds} seeds, {results['minutes']:.1f} minutes")
    for name, values in last.items():
        mean, half_width = interval(values)
        each = ", ".join(f"{v:.3g}" for v in values)
        print(f"  {name:13} {mean:.3f} +- {half_width:.3f}   ({each})")
    print(f"written to {folder}")
    return results


def main(cfg: Config):
    """Checks the config and trains."""
    config.check(cfg)
    train(cfg)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
