"""Averages of the generator's weights of any width, made after training (Karras et al. 2024, sections 3.1 and
3.2, https://arxiv.org/abs/2312.02696).

While a run trains it keeps averages of a few relative widths, `Optimizers(..., powers=(0.05, 0.1))`, which
its checkpoints hold. An average by t^g up to a step weighs the weights of each step by a profile. That of
another width, and the end of any step, is nearly a sum of those that were kept; by the same coefficients the
averages add up to that width's.

averages.of_run("runs/r3gan/NAME", 0.12).sample(key, 64)
"""

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxgan import checkpoint, records, sampling
from jaxgan.config import InputError
from jaxgan.game import GAN
from jaxgan.kinds import Kind
from jaxgan.steps import exponent


def _products(steps_a, g_a, steps_b, g_b):
    """The integrals of the profiles' products: (g + 1) t^g / s^(g + 1) for 0 <= t <= s, and likewise of b."""
    upper, lower = np.maximum(steps_a, steps_b), np.minimum(steps_a, steps_b)
    of_upper = np.where(steps_a > steps_b, g_a, g_b)
    return (g_a + 1) * (g_b + 1) / (g_a + g_b + 1) * (lower / upper) ** of_upper / upper


def coefficients(steps: Sequence[int], stds: Sequence[float], std: float, step: int) -> np.ndarray:
    """How much of each kept average is in that of another width, f64[N], which add up to 1: by least squares
    of the profiles (Karras et al. 2024, appendix C, algorithm 3).

    Args:
      steps: at which the averages were kept, of 1 or more.
      stds: their relative widths, as many.
      std: the width that is asked for.
      step: at which its profile ends: one of the steps, or near one. A profile breaks off at its end, which
        those that were kept at other steps do not.

    Raises:
      InputError: if there is none, a step is below 1, or a width is not as `steps.exponent` takes it.
    """
    at, g = np.float64(steps), np.array([exponent(s) for s in stds])
    if at.shape != g.shape or not at.size or min(*at, step) < 1:
        raise InputError("averages are of steps of 1 or more, and there is at least one")
    among = _products(at[:, None], g[:, None], at[None], g[None])
    found = np.linalg.lstsq(among, _products(at, g, np.float64(step), exponent(std)), rcond=None)[0]
    return found / found.sum()


def combined(shares: Sequence[float], trees: Iterable):
    """The sum of the trees by their shares, made in float64, in their own types; what is no float is the last
    one's."""
    total = None
    for share, tree in zip(shares, trees, strict=True):
        tree = jax.tree.map(np.asarray, tree)
        wide = jax.tree.map(lambda x: share * x.astype(np.float64) if _is_float(x) else x, tree)  # noqa: B023
        total = (
            wide if total is None else jax.tree.map(lambda a, b: a + b if _is_float(b) else b, total, wide)
        )
    return jax.tree.map(lambda x, own: x.astype(own.dtype), total, tree)


def _is_float(x) -> bool:
    return jax.numpy.issubdtype(x.dtype, jax.numpy.inexact)


def of_run(
    path: str | Path,
    std: float,
    step: int | None = None,
    *,
    gan: GAN | None = None,
    kind: Kind | None = None,
    trust: bool = False,
) -> sampling.Generator:
    """The generator of a run with an average of another relative width, of all checkpoints that are left: of
    the newest `--keep`, and of those of `--keep-every`.

    Args:
      path: the run's folder.
      std: the relative width, such as 0.1.
      step: of a checkpoint, at which the average ends; the last one's if not given.
      gan, kind, trust: as of `jaxgan.load`.

    Raises:
      InputError: as `jaxgan.load`; also if the run kept no averages by power functions, or has no
        checkpoint of the step.
    """
    exponent(std)
    last = sampling.load(path, gan=gan, kind=kind, trust=trust)
    step = last.step if step is None else step
    folder = records.home(Path(path)) / "checkpoints"
    found = [at for at in records.checkpoints(Path(path), folder.name) if at > 0]
    if step not in found:
        raise InputError(f"{path} has checkpoints of steps {', '.join(map(str, found))}, not of {step}")
    shapes = jax.eval_shape(lambda: last.variables)
    kept = {}
    for at in found:
        try:
            own = checkpoint.restore_powers(folder, at, shapes)
        except (InputError, MemoryError):
            raise
        except Exception as e:  # what a damaged file raises is the storage library's own affair
            print(
                f"checkpoint {at} is damaged ({str(e).partition(chr(10))[0][:200]}) and is left out",
                file=sys.stderr,
            )
            continue
        kept |= {(at, float(name)): jax.device_get(tree) for name, tree in own.items()}
    shares = coefficients(*zip(*kept, strict=True), std, step)
    return dataclasses.replace(last, variables=combined(shares, kept.values()), step=step, averaged=True)
