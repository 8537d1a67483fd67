"""Weights that PyTorch has saved, read without PyTorch and without running anything of the file's.

A `.pth` file is pickles and raw arrays, and a pickle may call what it likes. Here it may make dictionaries
and tensors, and whatever else it names is an error.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan.config import InputError

# PyTorch before 1.6 began its files with this pickled number; since then they are zips.
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_ZIP = b"PK\x03\x04"

_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Storage(NamedTuple):
    """A flat array, whose contents may come later in the file."""

    key: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, flat: np.ndarray) -> np.ndarray:
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        counts = (self.offset, *self.shape, *self.strides)
        if min(counts) < 0 or last >= max(flat.size, 1) or math.prod(self.shape) > flat.size:
            raise ValueError("a tensor is larger than its storage")
        strides = [s * flat.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides).copy()


def _tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    **{("torch", name): np.dtype(dtype) for name, dtype in _DTYPES.items()},
}


class _Refused(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid):
        kind, dtype, key, _, size, *view = pid
        if kind != "storage" or any(v is not None for v in view):
            raise ValueError("not a storage")
        return _Storage(key, dtype, size)


def _load(file) -> dict[str, _Tensor]:
    found = _Unpickler(file).load()
    if not isinstance(found, dict) or not all(isinstance(t, _Tensor) for t in found.values()):
        raise _Refused("something that is no tensor")
    return found


def _legacy(content: bytes):
    """The tensors, and each storage's flat array: pickles, then (size int64, raw array) by storage."""
    file = io.BytesIO(content)
    _, _, system = (_Unpickler(file).load() for _ in range(3))
    if not system["little_endian"]:
        raise _Refused("big-endian numbers")
    found, keys = _load(file), _Unpickler(file).load()
    storages = {tensor.storage.key: tensor.storage for tensor in found.values()}
    flat, at = {}, file.tell()
    for key in keys:
        _, dtype, size = storages[key]
        if int.from_bytes(content[at : at + 8], "little") != size:
            raise ValueError("a storage's size is not its own")
        flat[key] = np.frombuffer(content, dtype, size, at + 8)
        at += 8 + flat[key].nbytes
    return found, flat


def _zipped(content: bytes):
    """The same of a zip of `data.pkl` and a file for each storage, in a folder of any name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise _Refused("compressed arrays")
        index = next((name for name in names if name.endswith("/data.pkl")), None)
        if index is None:
            raise _Refused("no data.pkl")
        root = index.removesuffix("data.pkl")
        if root + "byteorder" in names and archive.read(root + "byteorder") != b"little":
            raise _Refused("big-endian numbers")
        found = _load(io.BytesIO(archive.read(index)))
        storages = {tensor.storage for tensor in found.values()}
        flat = {s.key: np.frombuffer(archive.read(f"{root}data/{s.key}"), s.dtype, s.size) for s in storages}
    return found, flat


def read(content: bytes, name: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict that `torch.save` wrote, in either of its two formats.

    Nothing that the file asks to be called is called.

    Args:
      content: the file's bytes.
      name: of the file, for error messages.

    Raises:
      InputError: if that is no PyTorch file, a damaged one, or anything but a dictionary of tensors.
    """
    formats = {_LEGACY: _legacy, _ZIP: _zipped}
    reader = next((f for head, f in formats.items() if content.startswith(head)), None)
    if reader is None:
        raise InputError(f"{name} is not a file of PyTorch's: give the .pth of a state dict")
    try:
        found, flat = reader(content)
        return {str(key): tensor.array(flat[tensor.storage.key]) for key, tensor in found.items()}
    except _Refused as e:
        raise InputError(f"{name} holds {e}: give the .pth of a state dict, of nothing but tensors") from None
    except Exception as e:  # a damaged pickle can raise almost any
        raise InputError(f"{name} is damaged ({type(e).__name__}): fetch it again") from None
