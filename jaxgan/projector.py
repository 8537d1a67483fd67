"""Images of the user's own, sought among what a generator makes."""

from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import latents, plots
from jaxgan.config import InputError
from jaxgan.data import resident
from jaxgan.random import fold
from jaxgan.sampling import Generator
from jaxgan.translate import Source, fitting

Space = Literal["z", "w", "w+"]
MEASURED = 10_000  # latents behind the mean and the spread of W


class Projected(NamedTuple):
    """Images, and what a generator has nearest to them."""

    images: np.ndarray  # uint8[N, H, W, C], those that were sought
    found: np.ndarray  # uint8[N, H, W, C]
    latent: np.ndarray  # f32[N, d] of z, [N, 1, d] of w, [N, layers, d] of w+
    distance: np.ndarray  # f32[N], of `latents.scales`


def spaces(generator: Generator) -> tuple[str, ...]:
    """The latent spaces of a generator, that of its styles first where it has these."""
    return ("z",) if generator.gan.styles is None else ("w+", "w", "z")


def shape_of(generator: Generator) -> tuple[int, ...]:
    """Of one of its images, [H, W, C]."""
    asks = generator.given(None, None, 1)
    z = jax.eval_shape(generator.gan.latent, jax.random.key(0), jnp.arange(1))
    asks = () if asks is None else (asks,)
    return jax.eval_shape(generator.gan.sample, generator.variables, z, *asks).shape[1:]


def project(
    generator: Generator,
    images,
    *,
    space: str | None = None,
    steps: int = 1000,
    key=None,
    condition=None,
) -> Projected:
    """Searches the latents whose samples are nearest to images, as `latents.project`.

    Args:
      images: uint8[N, H, W, C], of the size of what is generated.
      space: z; of a generator with styles w, one style for all layers, or w+, one for each, which is the
        default there.
      condition: as of `Generator.sample`.

    Raises:
      InputError: if the generator has no such space, or makes no such images.
    """
    gan, variables, n = generator.gan, generator.variables, len(images)
    space = spaces(generator)[0] if space is None else space
    if space not in spaces(generator):
        raise InputError(f"--space {space}: this generator has {', '.join(spaces(generator))}")
    given = generator.given(condition, None, n)
    key = jax.random.key(0) if key is None else key
    images = np.asarray(images)
    shape = (n, *shape_of(generator))
    if images.dtype != np.uint8 or images.shape != shape:
        what = f"{images.dtype}{list(images.shape)}"
        raise InputError(f"images to find are uint8{list(shape)} for this generator, not {what}")
    asks = () if given is None else (jnp.asarray(given),)
    target, noise = jnp.asarray(resident.scaled(images)), {}
    drawn = gan.latent(fold(key, "spread"), jnp.arange(MEASURED))
    if space == "z":
        mean, std = latents.spread(drawn)
        start = jnp.zeros_like(mean)
        generate = lambda z, noise: gan.sample(variables, z, *asks)  # noqa: E731
    else:
        measured = [x[np.arange(MEASURED) % n] for x in asks]
        mean, std = latents.spread(jax.jit(gan.styles)(variables, drawn, *measured)[:, 0])
        layers = jax.eval_shape(gan.styles, variables, drawn, *measured).shape[1]
        start = jnp.broadcast_to(mean[None], (1 if space == "w" else layers, *mean.shape))
        noise = variables.get("noise", {})

        def one(w, noise):
            w = jnp.broadcast_to(w, (layers, *mean.shape))
            return gan.synthesise(variables | ({"noise": noise} if noise else {}), w[None])[0]

        generate = jax.vmap(one)
    found = latents.project(generate, target, start, std, key, noise=noise, steps=steps)
    made = jax.jit(generate)(found.latent, found.noise)
    apart = np.asarray(latents.scales(made, target))
    return Projected(images, generator.decoded(made), np.asarray(found.latent), apart)


def fitted(generator: Generator, source: Source) -> np.ndarray:
    """The images of a source as this generator makes them, uint8[N, H, W, C].

    Raises:
      InputError: if one is of another size.
    """
    shape = shape_of(generator)
    if len(shape) != 3:
        raise InputError(f"this generator makes no images, but {list(shape)}")
    h, w, channels = shape
    names = source.names * (len(source.images) if source.form == "npz" else 1)
    images = [fitting(x, None, channels, name) for x, name in zip(source.images, names, strict=True)]
    for image, name in zip(images, names, strict=True):
        if image.shape[:2] != (h, w):
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise InputError(f"{name} is {size}, and this generator makes {w}x{h}: crop and resize it")
    return np.stack(images)


def _picture(path: Path, of: Projected) -> None:
    pairs = np.stack([of.images, of.found], 1).reshape(-1, *of.images.shape[1:])
    plots.picture(plots.grid(pairs, 2 * min(4, len(of.images)))).save(path)


def _arrays(path: Path, of: Projected) -> None:
    np.savez_compressed(path, image=of.found, latent=of.latent, distance=of.distance)


WRITE = {".png": _picture, ".npz": _arrays}  # images, each beside what was found; or with their latents
