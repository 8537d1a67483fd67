"""Many images read at a time, by threads, into one array; what cannot be read is counted and named.

Pillow lets other threads run while it decodes, so that they need not be processes, which would take seconds
to start, would run a script of the user's again, and could die by themselves: 8000 JPEGs of 128x128 were read
in 1.4 s by two threads, and in 10 s by two processes, of which 8 were their start (2 cores).
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxgan.config import InputError
from jaxgan.data import store

BLOCK = 64  # images that a thread reads at a time
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError)

_skip: ContextVar[bool] = ContextVar("skip", default=False)


@contextmanager
def bad_examples(how: Literal["raise", "skip"]) -> Iterator[None]:
    """What becomes of images that cannot be read: the set is refused, or is read without them."""
    token = _skip.set(how == "skip")
    try:
        yield
    finally:
        _skip.reset(token)


class Example(NamedTuple):
    """An image as it is kept."""

    image: np.ndarray  # uint8[S, S, 1 or 3]
    size: tuple[int, int]  # the width and height that it had
    seen: tuple[str, ...] = ()  # what was done to it


class Gathered(NamedTuple):
    """Images of one size."""

    images: np.ndarray  # uint8[N, S, S, 1 or 3]
    size: tuple[int, int]  # width and height that they had
    kept: np.ndarray  # which of those that were asked for they are, i64[N]
    seen: Counter  # of how many what was done to them
    told: list[str]  # a line on what was left out


def _blocks(n: int, one: Callable[[int], Example]) -> Iterator[list]:
    """What `one` makes of 0, 1, ... n - 1, or the exception that it raised, in their order, in blocks."""

    def block(first: int) -> list:
        found = []
        for i in range(first, min(first + BLOCK, n)):
            try:
                found.append(one(i))
            except InputError:
                raise
            except UNREADABLE as e:
                found.append(e)
        return found

    if n <= BLOCK:
        yield block(0)
        return
    import grain  # nearly a second

    threads = min(16, os.cpu_count() or 1)
    starts = grain.MapDataset.source(range(0, n, BLOCK)).map(block)
    ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    yield from starts.to_iter_dataset(ahead)


def gathered(
    n: int, one: Callable[[int], Example], *, where: str, what: Callable[[np.ndarray], str], name: Callable
) -> Gathered:
    """Reads images.

    Args:
      one: i -> Example; one of `UNREADABLE` if it cannot be read.
      where: the set's place, as messages have it.
      what: the first image -> the examples, as a message on their room has them.
      name: i -> the name of an image.

    Raises:
      InputError: if images cannot be read (and are not to be skipped), sizes differ, or there is no room.
    """
    out, kept, bad, sizes, seen = None, [], [], {}, Counter()
    with tqdm(total=n, desc="reading", unit="image", leave=False, delay=1, disable=None) as bar:
        examples = (found for block in _blocks(n, one) for found in block)
        for i, found in enumerate(examples):
            bar.update()
            if isinstance(found, Exception):
                bad.append((i, str(found).partition("\n")[0]))
                continue
            sizes.setdefault(found.size, []).append(i)
            if len(sizes) > 1:
                continue
            seen.update(found.seen)
            if out is None:
                out = store.empty((n, *found.image.shape), np.uint8, what(found.image))
            elif found.image.shape[-1] > out.shape[-1]:  # grey ones before it are repeated
                out = _coloured(out, len(kept), what(found.image))
            out[len(kept)] = found.image
            kept.append(i)
    if bad and (not _skip.get() or out is None):
        i, reason = bad[0]
        raise InputError(
            f"{len(bad)} of {n} images in {where} cannot be read ({name(i)}: {reason}); repair or remove"
        )
    if len(sizes) > 1:
        a, b = sorted(sizes.items(), key=lambda item: -len(item[1]))[:2]
        sized = [f"{len(own)} images are {w}x{h} ({name(own[0])})" for (w, h), own in (a, b)]
        raise InputError(f"{where}: {' and '.join(sized)}; make all images one size first")
    told = []
    if bad:
        each = ", ".join(f"{name(i)}: {reason}" for i, reason in bad[:3]) + (", ..." if bad[3:] else "")
        told = [f"{len(bad)} of {n} images cannot be read, and are left out ({each})"]
    return Gathered(out[: len(kept)], next(iter(sizes)), np.array(kept), seen, told)


def _coloured(grey: np.ndarray, n: int, what: str) -> np.ndarray:
    """The array with three channels, of which the first n images are filled."""
    made = store.empty((*grey.shape[:-1], 3), np.uint8, what)
    for first in range(0, n, BLOCK):
        rows = slice(first, min(first + BLOCK, n))
        made[rows] = grey[rows]
    return made
