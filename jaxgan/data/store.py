"""Arrays of examples that may be larger than the memory: in it where there is room, else in a file.

The file is one of the cache folder without a name: it takes its room on the disk while the process lives, and
none after it, however that ends.
"""

import contextlib
import math
import mmap
import os
import shutil
import tempfile
from typing import IO

import numpy as np

from jaxgan import cache, memory
from jaxgan.config import InputError

BLOCK = 64 * 2**20  # bytes that are copied at a time


def _file(x) -> np.memmap | None:
    """The mapped file that an array is a view of, if its memory is one's."""
    while isinstance(x, np.ndarray):
        if isinstance(x, np.memmap):
            return x
        x = x.base
    return None


def in_file(x: np.ndarray) -> bool:
    """Whether an array's memory is a file's."""
    return _file(x) is not None


def fits(size: int, what: str) -> bool:
    """Whether so many bytes go into memory, and not into a file: they take no more than half of what is free.

    Args:
      what: the examples, for what is said.

    Raises:
      InputError: if there is no room for them in either.
    """
    if 2 * size <= (free := memory.free()):
        return True
    folder = cache.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(folder).free
    except OSError as e:
        raise InputError(
            f"{what} would take {memory.told(size)}: {memory.told(free)} of memory are free, and a file in "
            f"{folder} cannot be made ({e.strerror})"
        ) from None
    if size > room:
        raise InputError(
            f"{what} would take {memory.told(size)}: {memory.told(free)} of memory and {memory.told(room)} "
            f"of {folder} are free; make room there, set JAXGAN_CACHE to another folder, or ask for less"
        )
    return False


def empty(shape: tuple[int, ...], dtype, what: str) -> np.ndarray:
    """An array to be filled, in memory, or in a file where `fits` has it there; it raises as that does."""
    if fits(_size(shape, dtype), what):
        return np.empty(shape, dtype)
    array, file = _in_file(shape, dtype, what)
    file.close()
    return array


def shared(shape: tuple[int, ...], dtype, what: str) -> tuple[np.ndarray, IO | None]:
    """The same, and the open file of its bytes, into which other processes write; None where memory has
    none."""
    if not fits(size := _size(shape, dtype), what):
        return _in_file(shape, dtype, what)
    try:
        with contextlib.ExitStack() as stack:  # the file is closed if it is not returned
            file = stack.enter_context(os.fdopen(os.memfd_create("examples"), "r+b"))
            file.truncate(size)
            array = np.frombuffer(mmap.mmap(file.fileno(), size), dtype).reshape(shape)
            stack.pop_all()
        return array, file
    except (AttributeError, OSError):  # another system, or one that bounds the size of files
        return np.empty(shape, dtype), None


def _size(shape: tuple[int, ...], dtype) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _in_file(shape: tuple[int, ...], dtype, what: str) -> tuple[np.ndarray, IO]:
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile(dir=cache.folder()))
            os.posix_fallocate(file.fileno(), 0, _size(shape, dtype))
            array = np.memmap(file, dtype, "r+", shape=shape)
            stack.pop_all()
        return array, file
    except OSError as e:
        raise InputError(f"{what}: a file in {cache.folder()} cannot be made ({e.strerror})") from None


def written(x: np.ndarray) -> None:
    """Has what was put into an array's file go to the disk: until then it is in memory all the same."""
    if isinstance(x, np.memmap):
        x.flush()


def put(made: np.ndarray, x: np.ndarray, rows: np.ndarray | None = None) -> None:
    """Copies an array, or its rows, into another one, a block at a time."""
    each = max(1, BLOCK // max(1, x[:1].nbytes))
    for first in range(0, len(made), each):
        part = slice(first, min(first + each, len(made)))
        made[part] = x[part] if rows is None else x[rows[part]]
        written(made)


def take(x: np.ndarray, rows, what: str) -> np.ndarray:
    """The rows of an array, as `empty` has them: x[rows]."""
    rows = np.arange(len(x))[rows]
    made = empty((len(rows), *x.shape[1:]), x.dtype, what)
    put(made, x, rows)
    return made


def joined(parts: list[np.ndarray], what: str) -> np.ndarray:
    """Arrays one after another, as `empty` has them."""
    made, first = empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype, what), 0
    for part in parts:
        put(made[first : first + len(part)], part)
        first += len(part)
    return made


def ahead(x: np.ndarray, rows: np.ndarray) -> None:
    """Has the rows of an array in a file read, all at a time, before they are taken one after another."""
    base = _file(x)
    if base is None or not x.flags.c_contiguous or not hasattr(mmap, "MADV_WILLNEED"):
        return
    whole = np.frombuffer(base._mmap, np.uint8)
    first, size = x.ctypes.data - whole.ctypes.data, x[:1].nbytes
    for row in np.sort(rows, axis=None).tolist():
        start = first + row * size
        page = start - start % mmap.PAGESIZE
        base._mmap.madvise(mmap.MADV_WILLNEED, page, start + size - page)
