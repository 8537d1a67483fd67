"""Images a second that data alone deliver, beside PyTorch's DataLoader with the same decoding and workers.

    python -m experiments.benchmarks.loading
    python -m experiments.benchmarks.loading --data tfds:fashion_mnist --data-dir DIR

A set is decoded once, by processes, and then drawn from memory, or from a file where it is larger; a
DataLoader decodes each image in each epoch. So the first epoch, with the decoding, and those after it are
told apart. Both make batches of uint8, of which ours are rows of a chunk of steps, ready for a device. A
folder of made-up JPEGs is written where none is named.
"""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from annotated_types import Ge
from PIL import Image
from tqdm import tqdm

from experiments.benchmarks.startup import cpu
from jaxgan.config import Count, InputError, check
from jaxgan.data import files, held, load, reading
from jaxgan.signals import reported


@dataclass(frozen=True)
class Config:
    """Times the loading of images."""

    data: str | None = None  # folder:PATH or tfds:NAME; made-up JPEGs if not given
    data_dir: str | None = None  # where TFDS sets lie
    images: Count = 20_000  # made-up ones
    side: Count = 128  # their pixels
    batch_size: Count = 64
    workers: Count = 2  # processes of both
    epochs: Annotated[int, Ge(2)] = 5  # of each
    chunk: Count = 50  # steps whose rows are read together
    out: Path | None = None  # a file that keeps what was measured, as JSON


def write_jpegs(folder: Path, n: int, side: int) -> None:
    """Smooth colours under a little noise, of the quality 90."""
    rng = np.random.default_rng(0)
    for i in tqdm(range(n), "writing", unit="image", leave=False, delay=1, disable=None):
        smooth = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((side, side))
        noisy = np.asarray(smooth, np.int16) + rng.integers(-12, 13, (side, side, 3), np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i:06}.jpg", quality=90)


def ours(cfg: Config, spec: str) -> list[float]:
    """Images a second of each epoch: the first decodes."""
    reading.MOST, found, began = cfg.workers, [], time.perf_counter()
    data = load(spec, image_size=None, data_dir=cfg.data_dir)
    n, key = int(data.size), jax.random.key(0)
    slot, steps = np.arange(cfg.batch_size, dtype=np.int32)[None], n // cfg.batch_size
    for epoch in range(cfg.epochs):
        made, first = 0, epoch * steps
        while made < steps:
            count = min(cfg.chunk, steps - made)
            rows = held.window(data.arrays, key, first + made, cfg.chunk, slot, batch_size=cfg.batch_size)
            assert rows["rows"]["image"].shape[2] == cfg.batch_size
            made += count
        found.append(steps * cfg.batch_size / (time.perf_counter() - began))
        began = time.perf_counter()
    return found


def theirs(cfg: Config, spec: str) -> list[float]:
    """The same of a DataLoader.

    Raises:
      InputError: without PyTorch.
    """
    try:
        import torch
    except ImportError as e:
        raise InputError("PyTorch is not installed, with which this compares: pip install torch") from e
    kind, _, where = spec.partition(":")
    if kind == "tfds":
        source = _Source(where, cfg.data_dir)
    else:
        source = _Folder(files.found(Path(where))[0])
    loader = torch.utils.data.DataLoader(
        source,
        cfg.batch_size,
        shuffle=True,
        num_workers=cfg.workers,
        drop_last=True,
        persistent_workers=True,
    )
    found, began = [], time.perf_counter()
    for _ in range(cfg.epochs):
        n = sum(len(batch) for batch in loader)
        found.append(n / (time.perf_counter() - began))
        began = time.perf_counter()
    return found


class _Folder:
    """A data set as PyTorch has it: the images of files."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i: int):
        with Image.open(self.paths[i]) as image:
            return np.asarray(image.convert("RGB")).copy()


class _Source:
    """The same of a TFDS set."""

    def __init__(self, name: str, data_dir: str | None):
        import tensorflow_datasets as tfds

        self.source = tfds.builder(name, data_dir=data_dir).as_data_source(split="train")

    def __len__(self):
        return len(self.source)

    def __getitem__(self, i: int):
        return self.source[i]["image"].copy()


def measured(cfg: Config, spec: str) -> dict:
    """What `report` tells."""
    both = {"jaxgan": ours(cfg, spec), "DataLoader": theirs(cfg, spec)}
    later = {name: statistics.median(rates[1:]) for name, rates in both.items()}
    whole = {name: len(rates) / sum(1 / rate for rate in rates) for name, rates in both.items()}
    return {
        "data": spec,
        "cpu": cpu(),
        "images_per_second": both,
        "ratio_first": both["jaxgan"][0] / both["DataLoader"][0],
        "ratio_later": later["jaxgan"] / later["DataLoader"],
        "ratio_all": whole["jaxgan"] / whole["DataLoader"],
    }


def report(found: dict) -> str:
    """A table for people."""
    lines = [f"{found['data']} on {found['cpu']}: images a second, in each epoch"]
    for name, rates in found["images_per_second"].items():
        lines.append(f"  {name:12}" + "".join(f"{rate:12,.0f}" for rate in rates))
    a, b, c = (found[f"ratio_{which}"] for which in ("first", "later", "all"))
    n = len(next(iter(found["images_per_second"].values())))
    return "\n".join([*lines, f"  {a:.2f} times in the first epoch, {b:.1f} after it, {c:.1f} over all {n}"])


def run(cfg: Config) -> dict:
    """Measures, on images that are made up if none are named."""
    with tempfile.TemporaryDirectory() as made:
        if cfg.data is None:
            write_jpegs(Path(made), cfg.images, cfg.side)
        found = measured(cfg, cfg.data or f"folder:{made}")
    print(report(found))
    if cfg.out is not None:
        cfg.out.write_text(json.dumps(found, indent=2) + "\n")
    return found


if __name__ == "__main__":
    with reported():
        run(check(tyro.cli(Config, description=__doc__)))
