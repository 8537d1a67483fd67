"""What PyTorch has saved, read without PyTorch and without running anything of the file's.

A `.pth` file is pickles and raw arrays, and a pickle may call what it likes. Here it may make dictionaries,
numbers, text and tensors, and whatever else it names is an error. The networks that NVIDIA publishes are
pickles of objects with their source code beside them: here each is a class's name and what it holds, and the
code is text that nothing looks at.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgan.config import InputError

# PyTorch before 1.6 began its files with this pickled number; since then they are zips.
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"

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

    key: str | int
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    flats: dict  # of the file: each storage's flat array, by its key

    def check(self) -> None:
        """Raises ValueError if it is larger than its storage."""
        flat = self.flats[self.storage.key]
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        counts = (self.offset, *self.shape, *self.strides)
        if min(counts) < 0 or last >= max(flat.size, 1) or math.prod(self.shape) > flat.size:
            raise ValueError("a tensor is larger than its storage")

    def array(self) -> np.ndarray:
        """Its numbers."""
        flat = self.flats[self.storage.key]
        strides = [s * flat.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides).copy()


class Object(NamedTuple):
    """An object that was saved with its source code, by `torch_utils.persistence` of NVIDIA's."""

    class_name: str
    state: dict  # its attributes; of a network with `_parameters`, `_buffers` and `_modules`


class _Call(NamedTuple):
    """What a pickle may call. Nothing can be set in a tuple, so that no file changes how the next is read."""

    of: Callable

    def __call__(self, *args):
        return self.of(*args)


class _Number(NamedTuple):
    """A type of numpy's, whose pickles tell the order of its bytes afterwards."""

    kind: str

    def __setstate__(self, state):
        if state[1] not in "<|":
            raise ValueError("big-endian numbers")


def _number(kind: str, *_) -> _Number:
    if kind not in ("f8", "f4", "i8", "i4", "b1"):
        raise ValueError("not a number")
    return _Number(kind)


def _object(meta: dict) -> Object:
    if not isinstance(meta["class_name"], str) or not isinstance(meta["state"], dict):
        raise ValueError("not an object")
    return Object(meta["class_name"], meta["state"])


_scalar = _Call(lambda of, content: np.frombuffer(content, of.kind, 1)[0].item())

_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("dnnlib.util", "EasyDict"): dict,  # a dictionary whose items are its attributes
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("torch._utils", "_rebuild_parameter"): _Call(lambda tensor, *_: tensor),
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Call(_object),
    ("numpy", "dtype"): _Call(_number),
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    **{("torch", name): name for name in _DTYPES},
}


class _Refused(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    """Of a pickle that `torch.save` wrote, whose arrays follow it."""

    def __init__(self, file):
        super().__init__(file)
        self.storages, self.flats, self.tensors = {}, {}, []
        self.allowed = _ALLOWED | {("torch._utils", "_rebuild_tensor_v2"): _Call(self._tensor)}

    def find_class(self, module, name):
        if (module, name) not in self.allowed:
            raise _Refused(f"{module}.{name}")
        return self.allowed[module, name]

    def persistent_load(self, pid):
        kind, dtype, key, _, size, *view = pid
        if kind != "storage" or any(v is not None for v in view):
            raise ValueError("not a storage")
        self.storages[key] = _Storage(key, np.dtype(_DTYPES[dtype]), size)
        return self.storages[key]

    def _tensor(self, storage, offset, shape, strides, *_):
        if not isinstance(storage, _Storage):
            raise ValueError("not a storage")
        self.tensors.append(Tensor(storage, offset, tuple(shape), tuple(strides), self.flats))
        return self.tensors[-1]


class _Embedding(_Unpickler):
    """Of a pickle that `pickle.dump` wrote: each storage is a file of the older format within it."""

    def __init__(self, file):
        super().__init__(file)
        self.allowed |= {("torch.storage", "_load_from_bytes"): _Call(self._embedded)}

    def persistent_load(self, pid):
        raise ValueError("not of a plain pickle")

    def _embedded(self, content: bytes) -> _Storage:
        found, of = _legacy(content)
        storage = found._replace(key=len(self.flats))
        self.flats[storage.key] = of.flats[found.key]
        return storage


def _legacy(content: bytes) -> tuple[Any, _Unpickler]:
    """What was saved, and its unpickler: pickles, then (size int64, raw array) by storage."""
    file = io.BytesIO(content)
    _, _, system = (_Unpickler(file).load() for _ in range(3))
    if not system["little_endian"]:
        raise _Refused("big-endian numbers")
    of = _Unpickler(file)
    found, keys, at = of.load(), _Unpickler(file).load(), file.tell()
    for key in keys:
        if key not in of.storages:
            break  # no tensor's; one whose storage comes later is found to have none
        _, dtype, size = of.storages[key]
        if int.from_bytes(content[at : at + 8], "little") != size:
            raise ValueError("a storage's size is not its own")
        of.flats[key] = np.frombuffer(content, dtype, size, at + 8)
        at += 8 + of.flats[key].nbytes
    return found, of


def _zipped(content: bytes) -> tuple[Any, _Unpickler]:
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
        of = _Unpickler(io.BytesIO(archive.read(index)))
        found = of.load()
        for key, dtype, size in of.storages.values():
            of.flats[key] = np.frombuffer(archive.read(f"{root}data/{key}"), dtype, size)
    return found, of


def _plain(content: bytes) -> tuple[Any, _Unpickler]:
    """The same of a plain pickle."""
    of = _Embedding(io.BytesIO(content))
    return of.load(), of


_FORMATS = {_LEGACY: _legacy, _ZIP: _zipped}


def _opened(content: bytes, name: str | Path, formats: dict, advice: Callable[[str], str]):
    """What a file holds; `advice` is what to do about one that holds something else."""
    reader = next((f for head, f in formats.items() if content.startswith(head)), None)
    if reader is None:
        raise InputError(f"{name} is not a file of PyTorch's: {advice('')}")
    try:
        found, of = reader(content)
        for tensor in of.tensors:
            tensor.check()
    except _Refused as e:
        raise InputError(f"{name} holds {e}: {advice(str(e))}") from None
    except Exception as e:  # a damaged pickle can raise almost any
        raise InputError(f"{name} is damaged ({type(e).__name__}): fetch it again") from None
    return found


def load(content: bytes, name: str | Path, advice: Callable[[str], str]) -> Any:
    """What `torch.save` or `pickle.dump` wrote, of dictionaries, tuples, lists, sets, numbers, text, `Tensor`
    and `Object`.

    Nothing that the file asks to be called is called. A value that is in several places is one object, and
    may be in itself: who walks through it sets a limit.

    Args:
      content: the file's bytes.
      name: of the file, for error messages.
      advice: what else it was found to hold, or "" -> what to do about it, for error messages.

    Raises:
      InputError: if that is no such file, a damaged one, or one that names anything else.
    """
    return _opened(content, name, _FORMATS | {_PICKLE: _plain}, advice)


def read(content: bytes, name: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict that `torch.save` wrote, in either of its two formats.

    Nothing that the file asks to be called is called.

    Args:
      content: the file's bytes.
      name: of the file, for error messages.

    Raises:
      InputError: if that is no PyTorch file, a damaged one, or anything but a dictionary of tensors.
    """
    found = _opened(
        content,
        name,
        _FORMATS,
        lambda what: "give the .pth of a state dict" + (", of nothing but tensors" if what else ""),
    )
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise InputError(
            f"{name} holds something that is no tensor: give the .pth of a state dict, of nothing but tensors"
        )
    return {str(key): tensor.array() for key, tensor in found.items()}
