"""Arrays of examples that may be larger than the memory: in it where there is room, else in a file.

The file is one of the cache folder without a name: it takes its room on the disk while the process lives, and
none after it, however that ends.
"""

import math
import os
import shutil
import tempfile

import numpy as np

from jaxgan import cache, memory
from jaxgan.config import InputError

BLOCK = 64 * 2**20  # bytes that are copied at a time


def in_file(x: np.ndarray) -> bool:
    """Whether an array's memory is a file's."""
    while isinstance(x, np.ndarray):
        if isinstance(x, np.memmap):
            return True
        x = x.base
    return False


def empty(shape: tuple[int, ...], dtype, what: str) -> np.ndarray:
    """An array to be filled, in memory, or in a file if it would take more than half of what is free.

    Args:
      what: the examples, for what is said.

    Raises:
      InputError: if there is no room for it in either.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if 2 * size <= (free := memory.free()):
        return np.empty(shape, dtype)
    folder, told = cache.folder(), f"{what} would take {memory.told(size)}: {memory.told(free)} of memory"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(folder).free
        if size > room:
            raise InputError(
                f"{told} and {memory.told(room)} of {folder} are free; make room there, set JAXGAN_CACHE to "
                "another folder, or ask for less"
            )
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as e:
        raise InputError(f"{told} are free, and a file in {folder} cannot be made ({e.strerror})") from None


def take(x: np.ndarray, rows, what: str) -> np.ndarray:
    """The rows of an array, as `empty` has them: x[rows]."""
    rows = np.arange(len(x))[rows]
    made = empty((len(rows), *x.shape[1:]), x.dtype, what)
    each = max(1, BLOCK // max(1, x[:1].nbytes))
    for first in range(0, len(rows), each):
        made[first : first + each] = x[rows[first : first + each]]
    return made
