"""A generator's latent space as pictures and figures: walks, truncation, styles mixed, directions."""

import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from jaxgan import latents, plots
from jaxgan.config import InputError
from jaxgan.metrics.path_length import lerp, perceptual_path_length
from jaxgan.metrics.style_swap import COARSE, style_swap
from jaxgan.projector import shape_of
from jaxgan.random import fold
from jaxgan.sampling import BATCH, Generator, generate

FRAMES = 60  # of a walk
PSI = -1.0, -0.5, 0.0, 0.25, 0.5, 0.7, 1.0, 1.5  # of a style's distance from the mean
BOUND = 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0  # of |z|, where there are no styles
REACH = tuple(range(-3, 4))  # standard deviations along a direction
DIRECTIONS = 5
MEASURED = 2048  # latents behind W's mean, its directions and each figure


class Explored(NamedTuple):
    """What there is to look at, and its measures."""

    walk: np.ndarray  # uint8[frames, N, H, W, C]: N walks, each between two latents
    tables: dict[str, np.ndarray]  # {name: uint8[rows, columns, H, W, C]}
    figures: dict[str, float]


def explore(generator: Generator, key, n: int = 8, condition=None, measured: int = MEASURED) -> Explored:
    """Looks at n latents, and at as many others.

    The tables: `truncation`, of styles drawn to their mean by each of `PSI`, or of latents within each of
    `BOUND` where there are no styles. Of styles also `mixing_coarse`, in which each row's first layers take
    the styles of the column, and `mixing_fine`, in which the others do, both beside what was mixed;
    `principal`, `DIRECTIONS` in which W spreads most, and `closed_form`, those that the layers take up most,
    each from the mean by `REACH`.

    The figures, of styles alone: the mean path lengths in Z and W, by pixels at several sizes; of drawings
    of shapes also what a swap of coarse or of fine styles changes.

    Args:
      key: a typed JAX key.
      condition: as of `Generator.sample`.
      measured: latents behind W's mean, directions, and figures.

    Raises:
      InputError: if it makes no images, or is asked for none.
    """
    if n < 1:
        raise InputError(f"n is {n}: ask for 1 or more")
    given = generator.given(condition, None, n)
    if len(shape := shape_of(generator)) != 3:
        raise InputError(f"this generator makes no images, but {list(shape)}")
    if generator.gan.styles is not None:
        return _of_styles(generator, key, n, given, measured)
    walk = generator.decoded(generator.interpolate(key, n, FRAMES, condition))
    furthest = float(jnp.abs(generator.gan.latent(key, jnp.arange(MEASURED))).max())
    bounds = BOUND[: 1 + sum(bound < furthest for bound in BOUND)]  # a further one would cut nothing
    within = [generator.decoded(generator.sample(key, n, condition, psi)) for psi in bounds]
    walk = walk.reshape(n, FRAMES, *walk.shape[1:]).swapaxes(0, 1)
    return Explored(walk, {"truncation": np.stack(within, 1)}, {})


def style_kernels(variables) -> list:
    """The kernels [styles, features] of StyleGAN2's layers that read a style."""
    flat = flatten_dict(variables["params"])
    return [flat[name] for name in sorted(flat) if name[-2:] == ("style", "kernel")]


def _of_styles(generator: Generator, key, n: int, given, measured: int) -> Explored:
    gan, variables = generator.gan, generator.variables
    styles = jax.jit(partial(gan.styles, variables))
    synthesise = jax.jit(partial(gan.synthesise, variables))

    def of(name: str, count: int):
        """Styles f32[count, layers, d] of latents of their own."""
        asked = () if given is None else (jnp.asarray(np.resize(given, (count, *given.shape[1:]))),)
        return styles(gan.latent(fold(key, name), jnp.arange(count)), *asked)

    def made(w):
        """Images of styles [..., layers, d]."""
        flat = np.asarray(w).reshape(-1, *w.shape[-2:])
        found = generate(synthesise, flat, then=generator.kind.decode)
        return found.reshape(*w.shape[:-2], *found.shape[1:])

    ends, drawn = of("ends", 2 * n), of("spread", measured)
    a, b, mean = ends[:n], ends[n:], drawn[:, 0].mean(0)
    share = jnp.linspace(0, 1, FRAMES)[:, None, None, None]
    first, centre = slice(0, COARSE), jnp.broadcast_to(mean, a.shape[1:])

    def beside_sources(table):
        """With a at its left and b above, and at their corner the mean."""
        above = jnp.concatenate([centre[None], b])
        return jnp.concatenate([above[None], jnp.concatenate([a[:, None], table], 1)])

    tables = {
        "truncation": jnp.stack([latents.truncated(a, mean, psi) for psi in PSI], 1),
        "mixing_coarse": beside_sources(latents.mixed(a, b, first)),
        "mixing_fine": beside_sources(latents.mixed(b, a, first).swapaxes(0, 1)),
    }
    most = min(DIRECTIONS, drawn.shape[2])
    directions = {"principal": latents.principal(drawn[:, 0], most)}
    if kernels := style_kernels(variables):
        directions["closed_form"] = latents.closed_form(kernels, most)
    for name, found in directions.items():
        steps = np.std(np.asarray(drawn[:, 0]) @ found.of.T, axis=0)[:, None] * REACH
        tables[name] = jnp.stack([latents.along(centre, *x) for x in zip(found.of, steps, strict=True)])
    walk = made((1 - share) * a[None] + share * b[None])
    figures = _lengths(generator, key, given, measured)
    if getattr(generator.config, "data", "").partition(":")[0] == "shapes":
        figures |= _swaps(synthesise, drawn, of("others", measured))
    return Explored(walk, {name: made(w) for name, w in tables.items()}, figures)


def _lengths(generator: Generator, key, given, n: int) -> dict[str, float]:
    gan, variables = generator.gan, generator.variables
    asked = () if given is None else (jnp.asarray(np.resize(given, (BATCH, *given.shape[1:]))),)
    layers = jax.eval_shape(gan.styles, variables, gan.latent(key, jnp.arange(BATCH)), *asked).shape[1]
    in_z = jax.jit(lambda z: gan.sample(variables, z, *asked))
    in_w = jax.jit(lambda w: gan.synthesise(variables, jnp.repeat(w[:, None], layers, 1)))
    w = jax.jit(lambda key, slot: gan.styles(variables, gan.latent(key, slot), *asked)[:, 0])
    options = dict(distance=jax.jit(latents.scales), key=fold(key, "lengths"), n=n, epsilon=1e-3)
    return {
        "path_length_z": perceptual_path_length(in_z, latent=gan.latent, **options),
        "path_length_w": perceptual_path_length(in_w, latent=w, path=lerp, **options),
    }


def _swaps(synthesise, w, other) -> dict[str, float]:
    """What swapped styles change of drawings, in the mean."""
    swap, starts = jax.jit(partial(style_swap, synthesise)), range(0, len(w), BATCH)
    parts = [swap(w[i : i + BATCH], other[i : i + BATCH]) for i in starts]
    return {
        f"{layers}_{name}": float(np.mean([getattr(part[layers], name) for part in parts]))
        for layers in ("coarse", "fine", "all")
        for name in parts[0][layers]._fields
    }


def write(out: Path, found: Explored) -> list[str]:
    """Writes walk.gif, a picture of each table and figures.json to a folder; their names."""
    out.mkdir(parents=True, exist_ok=True)
    frames = [plots.picture(plots.grid(frame)) for frame in found.walk]
    plots.animation(out / "walk.gif", frames)
    for name, table in found.tables.items():
        canvas = plots.grid(table.reshape(-1, *table.shape[2:]), table.shape[1])
        plots.picture(canvas).save(out / f"{name}.png")
    names = ["walk.gif", *(f"{name}.png" for name in found.tables)]
    if found.figures:
        (out / "figures.json").write_text(json.dumps(found.figures, indent=1) + "\n")
        names.append("figures.json")
    return names
