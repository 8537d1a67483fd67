"""Mode collapse counted: any method on a mixture whose modes are known, under a published protocol.

    python -m experiments.mixtures --method r3gan

The numbers are in experiments/README.md. Several seeds run as lanes of one program. The folder
OUT/DATA-PROTOCOL-METHOD holds `results.json`, every seed's figures over the steps (`curves.png`) and, of
the first seed, the modes' shares over the steps (`shares.png`) and samples: over the true modes of a
mixture (`densities.png`, and as a film `densities.gif`), or of the stacked digits (`samples.png`).

    captured       modes with a sample within 3 standard deviations
    captured_late  its median over the last fifth of the moments, since a mode at the edge comes and goes
    high_quality   the share of such samples; 98.9 % of the data
    reverse_kl     from the modes' shares to equal ones, in nats
    slope          of D, in the mean, between real and generated samples
    drift          how far the shares move from moment to moment, in the second half
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
from jaxgan.config import Count, Decay, InputError, Natural, Rate, Seed
from jaxgan.data import load, synthetic
from jaxgan.game import GAN, Optimizers
from jaxgan.losses import adversarial, penalties
from jaxgan.metrics import judge as judges
from jaxgan.metrics.modes import drift, modes, stacked_modes
from jaxgan.nets.points import Discriminator, Generator
from jaxgan.nn import minibatch
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
        # Clipped at 0.01, the paper's for images, D is too flat for points.
        "wgan": Method("wasserstein", n_critic=5, d_clip=0.1, betas=(0.0, 0.99)),
        "wgan_gp": Method("wasserstein", gp, n_critic=5, betas=(0.5, 0.9)),
        "dragan": Method(penalties={"dragan": penalties.dragan}),
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
    """A method on a mixture, over several seeds."""

    method: Name = "gan"  # what is changed against the protocol
    protocol: ProtocolName = "unrolled"  # networks, rates, batch size, steps
    data: Literal["ring", "grid", "stacked"] = "ring"  # modes: 8 on a circle, 25 on a lattice, 1000 of digits
    steps: Natural = 0  # generator updates; 0: as many as the protocol has
    seeds: Count = 5  # runs, each a lane of one program
    seed: Seed = 0  # of the first
    n_critic: Natural = 0  # updates of D for one of G; 0: as many as the method has
    unroll: Natural = 5  # K, updates of D that the unrolled game looks ahead
    pack: Count = 2  # examples that D judges together in pacgan
    gamma: Rate = 1.0  # of R1 and R2
    gp_weight: Rate = 0.1  # of the gradient penalty; its toy's, 10 for images
    anneal: bool = False  # both learning rates fall to 0 along half a cosine; in no published protocol
    ema_decay: Decay | None = None  # of the generator that is counted; none in the protocols
    samples: Natural = 0  # behind each figure; 0: 2500, and 26,000 of stacked digits, as published
    moments: Count = 50  # at which the modes are counted, evenly over the run
    out: Path = Path("runs/mixtures")  # the folder of all results


class Target(NamedTuple):
    """What is to be learnt."""

    draw: Callable  # (key, slot) -> f32[B, d]
    figures: Callable  # samples f32[seeds, N, d] -> captured, high_quality, reverse_kl, shares, by seed
    n_samples: int
    mixture: synthetic.Mixture | None


def target(cfg: Config) -> Target:
    """The distribution of a config and how it is counted."""
    if cfg.data != "stacked":
        data = mixture(cfg)
        return Target(
            partial(synthetic.sample, data), jax.jit(jax.vmap(partial(modes, mixture=data))), 2500, data
        )
    digits = load("digits", image_size=8)
    judge = judges.cached(digits)

    def draw(key, slot):
        return synthetic.stacked_digits(key, slot, digits.image, digits.label)[0].reshape(len(slot), -1)

    def figures(samples):
        seeds, n, _ = samples.shape
        channels = np.moveaxis(plots.to_uint8(samples).reshape(-1, 8, 8, 3), -1, 1).reshape(-1, 8, 8, 1)
        logits, _ = judges.judge(judge, channels, batch_size=4096)
        return jax.vmap(stacked_modes)(logits.argmax(1).reshape(seeds, n, 3))

    return Target(draw, figures, 26_000, None)


def mixture(cfg: Config) -> synthetic.Mixture:
    """The mixture, in the protocol's units."""
    if cfg.protocol == "wgan_gp":
        ring = partial(synthetic.ring, radius=2 / 1.414, std=0.02 / 1.414)
        grid = partial(synthetic.grid, spacing=2 / 2.828, std=0.05 / 2.828)
        return (ring if cfg.data == "ring" else grid)()
    if cfg.protocol == "metz" and cfg.data == "ring":
        return synthetic.ring(radius=2, std=0.02)
    return getattr(synthetic, cfg.data)()


def make(cfg: Config) -> tuple[GAN, Optimizers, Method]:
    """The game of a method under a protocol."""
    protocol, method = PROTOCOLS[cfg.protocol], _methods(cfg)[cfg.method]
    method = method._replace(n_critic=cfg.n_critic or method.n_critic)
    loss = getattr(adversarial, method.loss or protocol.loss)
    gan = two_player(
        protocol.generator,
        protocol.discriminator.clone(**method.d),
        loss=loss,
        latent=partial(random.normal, shape=(protocol.latent,)),
        penalties=method.penalties,
        pack=method.pack,
    )
    b1, b2 = method.betas or protocol.betas
    # Without eps_root a unit that is dead has no derivative of its update, which unrolling needs.
    adam = partial(optax.adam, b1=b1, b2=b2, eps_root=1e-16)
    total = cfg.steps or protocol.steps

    def rate(lr, updates=1):
        return optax.cosine_decay_schedule(lr, total * updates) if cfg.anneal else lr

    d_opt = adam(rate(protocol.d_lr * method.d_rate, method.n_critic))
    if method.d_clip is not None:
        d_opt = optax.chain(d_opt, dynamics.clip_weights(method.d_clip))
    opts = Optimizers(adam(rate(protocol.g_lr)), d_opt, cfg.ema_decay)
    return method.change(gan, opts), opts, method


def _lanes(cfg: Config, data: Target):
    """(the initial states, length -> (states) -> states, (states) -> samples f32[seeds, N, d] and the mean
    slope of D between them and the data f32[seeds])."""
    gan, opts, method = make(cfg)
    protocol = PROTOCOLS[cfg.protocol]
    discriminator, n = protocol.discriminator.clone(**method.d), cfg.samples or data.n_samples
    slot = jnp.arange(protocol.batch_size * method.pack)

    def batches(state):
        draw = lambda turn: data.draw(random.fold(state.key, state.step, "data", turn), slot)  # noqa: E731
        image = jax.vmap(draw)(jnp.arange(method.n_critic))
        return {"image": image, "slot": jnp.broadcast_to(slot, image.shape[:2])}

    def run(length):
        def chunk(state, _):
            return steps.train_chunk(partial(steps.train_step, gan, opts), batches, state, length)

        lanes = parallel.over_lanes(chunk)
        options = parallel.compiler_options(jax.devices()[0])
        return jax.jit(lambda s: lanes(s, jnp.zeros(cfg.seeds)), donate_argnums=0, compiler_options=options)

    @jax.jit
    def look(states):
        def one(g, d, key, step):
            key = random.fold(key, step, "sample")
            points = gan.sample(g.averaged, gan.latent(key, jnp.arange(n)))
            few = jnp.arange(min(n // method.pack, 500) * method.pack)
            real, fake = (minibatch.pack(x, method.pack) for x in (data.draw(key, few), points[few]))
            x = penalties.interpolate(real, fake, key, few[:: method.pack])
            critic = partial(discriminator.apply, d.variables, train=False)
            return points, penalties.safe_norm(penalties.squared_gradient(critic, x)).mean()

        return jax.vmap(one, (0, 0, 0, None))(states.g, states.d, states.key, states.step)

    example = {"image": data.draw(jax.random.key(0), slot), "slot": slot}
    keys = jax.vmap(jax.random.key)(cfg.seed + jnp.arange(cfg.seeds))
    states = jax.vmap(lambda key: steps.create_state(gan, opts, key, example))(keys)
    return states.replace(step=states.step[0]), run, look


def interval(values) -> tuple[float, float]:
    """The mean, and half its 95 % interval by Student's t; NaN for a single value."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def train(cfg: Config) -> dict:
    """Trains all seeds, and writes and returns the results."""
    data, total = target(cfg), cfg.steps or PROTOCOLS[cfg.protocol].steps
    folder = cfg.out / f"{cfg.data}-{cfg.protocol}-{cfg.method}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InputError(f"--out {cfg.out} cannot be made ({e.strerror}); choose another") from None
    at = np.unique(np.linspace(0, total, min(cfg.moments, total) + 1).round().astype(int))
    states, run, look = _lanes(cfg, data)
    start, runs, found, first = time.perf_counter(), {}, [], []

    def count():
        samples, slope = jax.device_get(look(states))
        found.append(jax.device_get(data.figures(samples)) | {"slope": slope})
        first.append(samples[0, :2500])

    count()
    with tqdm(total=total, unit="step") as bar:
        for length in np.diff(at).tolist():
            if length not in runs:
                runs[length] = run(length)
            states, metrics = runs[length](states)
            count()
            bar.update(length)
            bar.set_postfix(
                D=f"{metrics['d/loss'].mean():.2f}",
                G=f"{metrics['g/loss'].mean():.2f}",
                captured=f"{found[-1]['captured'].mean():.1f}",
            )
    figures = {name: np.stack([moment[name] for moment in found], 1) for name in found[0]}  # [seeds, T, ...]
    shares = figures.pop("shares")
    last = {name: values[:, -1] for name, values in figures.items()}
    last["captured_late"] = np.median(figures["captured"][:, -max(1, len(at) // 5) :], 1)
    last["drift"] = np.stack([drift(s[min(len(at) // 2, len(at) - 2) :]) for s in shares])
    results = {
        "config": asdict(cfg) | {"out": str(cfg.out)},
        "steps": total,
        "minutes": (time.perf_counter() - start) / 60,
        "moments": at.tolist(),
        **{name: _finite(values) for name, values in figures.items()},
        "at_the_end": {name: _finite(values) for name, values in last.items()},
    }
    (folder / "results.json").write_text(json.dumps(results) + "\n")
    title = f"{cfg.method} on the {cfg.data}, {cfg.protocol} protocol"
    plots.seeds(folder / "curves.png", figures, at, title)
    plots.mode_shares(folder / "shares.png", shares[0], at, f"{title}, seed {cfg.seed}")
    if data.mixture is None:
        images = plots.to_uint8(first[-1][:64].reshape(-1, 8, 8, 3))
        plots.picture(plots.grid(images)).save(folder / "samples.png")
    else:
        plots.densities(folder / "densities.png", first, at, data.mixture, f"{title}, seed {cfg.seed}")
        plots.animation(folder / "densities.gif", plots.density_frames(first, at, data.mixture))
    print(f"{title}: {total:,} steps, {cfg.seeds} seeds, {results['minutes']:.1f} minutes")
    for name, values in last.items():
        mean, half_width = interval(values)
        each = ", ".join(f"{v:.3g}" for v in values)
        print(f"  {name:14} {mean:.3f} +- {half_width:.3f}   ({each})")
    print(f"written to {folder}")
    return results


def _finite(values) -> list:
    """The array as nested lists for JSON, None for what is not finite."""
    values = np.asarray(values, float)
    return np.where(np.isfinite(values), values, None).tolist()


def main(cfg: Config):
    """Checks the config and trains."""
    config.check(cfg)
    if (cfg.data == "stacked") != (cfg.protocol == "stacked"):
        raise InputError(
            f"--data {cfg.data} with --protocol {cfg.protocol}: stacked digits go with stacked alone"
        )
    train(cfg)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
