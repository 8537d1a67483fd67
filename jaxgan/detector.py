"""Images of the user's own, scored by how far the nearest is that a generator makes."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import anomaly, plots
from jaxgan.config import InputError
from jaxgan.sampling import Generator
from jaxgan.translate import Source


def examiner(generator: Generator, label: str | None = None, steps: int | None = None) -> Callable:
    """What examines images, as `anomaly.examined` takes it: a method's own way, or AnoGAN's search.

    Args:
      generator: with D's variables.
      label: the class that is normal, of a generator that is given labels.
      steps: of the search; `anomaly.STEPS` if not given.

    Raises:
      InputError: if the run has no D, G is given something else than labels, or a label or steps are given or
        missing where they are not to be.
    """
    gan = generator.gan
    if gan.condition not in (None, "label"):
        raise InputError(f"this generator is given {gan.condition!r}: of others alone anomalies are told")
    if (gan.condition is None) != (label is None):
        told = "takes no label" if gan.condition is None else "is given labels: name the normal class"
        raise InputError(f"--label: this generator {told}")
    if generator.examine is not None:
        if steps is not None:
            raise InputError(
                f"--steps {steps}: this run has its own way to examine images, and its own steps"
            )
        return generator.examine
    if generator.d_variables is None:
        raise InputError("this run has no discriminator, by whose features images could be compared")
    asks = generator.given(label, None, anomaly.BATCH)
    asks = () if asks is None else (jnp.asarray(asks),)
    own = partial(anomaly.search, gan, steps=steps or anomaly.STEPS)
    found = jax.jit(lambda g, d, x, key, slot: own(g, d, x, key, slot, *asks))
    return partial(found, generator.variables, generator.d_variables)


def _files(source: Source) -> list[tuple[str, Path]]:
    """A name for each image, and the picture of its heat map below the folder."""
    if source.form == "npz":
        digits = len(str(len(source.images) - 1))
        return [
            (f"{source.names[0].name}[{i}]", Path(f"{i:0{digits}}.png")) for i in range(len(source.images))
        ]
    return [(str(name), name.with_suffix(".png")) for name in source.names]


def write(out: Path, source: Source, images: np.ndarray, found: anomaly.Examined) -> None:
    """scores.csv, and of each image a picture: it, what was found for it, and where the two differ.

    Args:
      images: uint8[N, H, W, C], those of the source as they were examined.

    Raises:
      InputError: if the folder cannot be written.
    """
    files = _files(source)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(["file", "score", "residual", "features"])
            for (name, _), *figures in zip(files, found.score, found.residual, found.features, strict=True):
                lines.writerow([name, *(f"{figure:.6g}" for figure in figures)])
        for (_, picture), tiles in zip(files, plots.heat_maps(images, found.reconstruction), strict=True):
            (out / picture).parent.mkdir(parents=True, exist_ok=True)
            plots.picture(plots.grid(tiles, 3)).save(out / picture)
    except OSError as e:
        raise InputError(f"--out {out} cannot be written ({e.strerror})") from None
