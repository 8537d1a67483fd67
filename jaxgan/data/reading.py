"""Many images read at a time, by processes, into one array; what cannot be read is counted and named.

The processes import nothing of the program that started them, which a script without `if __name__ ==
"__main__"` would otherwise pay for, and end with it, however it ends.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxgan.config import InputError
from jaxgan.data import store
from jaxgan.signals import Refused

BLOCK = 64  # images that a process reads at a time
MANY = 4000  # images for which processes are started: their start takes a second or two
MOST = 16  # processes
WRITTEN = 4096  # images after which those of a file are written
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

    image: np.ndarray | None  # uint8[S, S, 1 or 3]; None: it is where its set is
    size: tuple[int, int]  # the width and height that it had
    seen: tuple[str, ...] = ()  # what was done to it
    label: int | None = None


class Gathered(NamedTuple):
    """Images of one size."""

    images: np.ndarray  # uint8[N, S, S, 1 or 3]
    size: tuple[int, int]  # width and height that they had
    kept: np.ndarray  # which of those that were asked for they are, i64[N]
    seen: Counter  # of how many what was done to them
    told: list[str]  # a line on what was left out
    label: np.ndarray  # i64[N], if they have labels


def each(rows: range, one: Callable[[int], Example]) -> list:
    """What `one` makes of each, or the exception that it raised where an image cannot be read."""
    found = []
    for i in rows:
        try:
            found.append(one(i))
        except InputError:
            raise
        except UNREADABLE as e:
            found.append(e)
    return found


class Place(NamedTuple):
    """Where the images of a set go, for other processes to write there: sent, each would be copied thrice."""

    path: str
    shape: tuple[int, ...]  # of an image

    def write(self, file: int, i: int, found) -> Any:
        """Puts an example's image there, if it is one like the others, and gives the rest of it."""
        if not isinstance(found, Example) or found.image.shape[:-1] != self.shape[:-1]:
            return found
        if found.image.shape[-1] > self.shape[-1]:
            return found
        image = np.ascontiguousarray(np.broadcast_to(found.image, self.shape))
        os.pwrite(file, image, i * image.nbytes)
        return found._replace(image=None)


_read: Callable | None = None  # of a process that reads


def _writing(read: Callable, place: Place) -> Callable:
    """`read`, but images go to their place; as it is if that cannot be opened."""
    try:
        file = os.open(place.path, os.O_WRONLY)
    except OSError:
        return read
    return lambda rows: [place.write(file, i, one) for i, one in zip(rows, read(rows), strict=True)]


def _begin(read: Callable, place: Place | None) -> None:
    """A process that reads: Ctrl-C is answered by the one that started it, with which it ends."""
    global _read
    _read = read if place is None else _writing(read, place)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _block(rows: range) -> list:
    return _read(rows)


@contextmanager
def _pool(read: Callable, place: Place | None, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that do not run the program's main module again."""
    own = sys.modules["__main__"]
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, _begin, (read, place))
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        for _ in range(workers):
            pool.submit(os.getpid)
    finally:
        sys.modules["__main__"] = own
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _blocks(n: int, read: Callable[[range], list], workers: int, place: Callable) -> Iterator[list]:
    """What `read` makes of 0, 1, ... n - 1, in their order, in blocks, of which the first is read here; by
    several workers in processes that write to what is the `place` by then."""
    first, *blocks = (range(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK))
    yield read(first)
    if workers == 1:
        yield from map(read, blocks)
        return
    with _pool(read, place(), workers) as pool:
        pending = deque()
        try:
            for rows in blocks:
                pending.append(pool.submit(_block, rows))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise Refused(
                "a process that read images has ended by itself: it was killed, or had too little memory"
            ) from None


def gathered(
    n: int,
    read: Callable[[range], list],
    *,
    where: str,
    what: Callable[[np.ndarray], str],
    name: Callable,
    apart: bool = True,
) -> Gathered:
    """Reads images.

    Args:
      read: rows -> [Example], or in the place of one that cannot be read the exception; to be pickled.
      where: the set's place, as messages have it.
      what: the first image -> the examples, as a message on their room has them.
      name: i -> the name of an image.
      apart: whether many are read by other processes, to which `read` is sent.

    Raises:
      InputError: if images cannot be read (and are not to be skipped), sizes differ, or there is no room.
      Refused: if one of those processes is killed.
    """
    out, kept, label, bad, sizes, seen = None, [], [], [], {}, Counter()
    workers = min(MOST, os.cpu_count() or 1) if apart and n >= MANY else 1
    written, place, stack = None, None, ExitStack()  # where processes write
    with stack, tqdm(total=n, desc="reading", unit="image", leave=False, delay=1, disable=None) as bar:
        examples = (found for block in _blocks(n, read, workers, lambda: place) for found in block)
        for i, found in enumerate(examples):
            bar.update()
            if isinstance(found, Exception):
                bad.append((i, str(found).partition("\n")[0]))
                continue
            sizes.setdefault(found.size, []).append(i)
            if len(sizes) > 1:
                continue
            seen.update(found.seen)
            image = written[i] if found.image is None else found.image
            if out is None and workers > 1:
                out, file = store.shared((n, *image.shape), np.uint8, what(image))
                if file is not None:
                    stack.enter_context(file)
                    written, place = out, Place(f"/proc/{os.getpid()}/fd/{file.fileno()}", image.shape)
            elif out is None:
                out = store.empty((n, *image.shape), np.uint8, what(image))
            elif image.shape[-1] > out.shape[-1]:  # grey ones before it are repeated
                out = _coloured(out, len(kept), what(image))
            if out is not written or found.image is not None or i != len(kept):
                out[len(kept)] = image
            kept.append(i)
            if len(kept) % WRITTEN == 0:
                store.written(out)
            label += [] if found.label is None else [found.label]
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
    return Gathered(out[: len(kept)], next(iter(sizes)), np.array(kept), seen, told, np.array(label))


def _coloured(grey: np.ndarray, n: int, what: str) -> np.ndarray:
    """The array with three channels, of which the first n images are filled."""
    made = store.empty((*grey.shape[:-1], 3), np.uint8, what)
    store.put(made[:n], grey[:n])
    return made
