import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.torch_weights import load, read

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
FLOATS = np.arange(6, dtype=np.float32)


def _storage(size, key="7", kind="FloatStorage"):
    """Opcodes that push a storage, as `torch.save` has them."""
    return f"((Vstorage\nctorch\n{kind}\nV{key}\nVcpu\nI{size}\ntQ".encode()


def _tensor(storage, offset, shape, strides):
    """Opcodes that push a view of it."""
    whole = lambda numbers: b"(" + b"".join(b"I%d\n" % n for n in numbers) + b"t"  # noqa: E731
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + b"I%d\n" % offset
    return rebuild + whole(shape) + whole(strides) + b"I00\nccollections\nOrderedDict\n(tRtR"


def _dictionary(**items):
    """A pickle of a dictionary, of opcodes that push its values."""
    return b"(d" + b"".join(f"V{key}\n".encode() + value + b"s" for key, value in items.items()) + b"."


def _legacy(pickled, arrays=(("7", FLOATS),)):
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
    parts = [MAGIC, pickle.dumps(1001, 2), system, pickled, pickle.dumps([key for key, _ in arrays], 2)]
    return b"".join(parts) + b"".join(x.size.to_bytes(8, "little") + x.tobytes() for _, x in arrays)


def _zipped(pickled, arrays=(("7", FLOATS),), compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/byteorder", "little")
        for key, x in arrays:
            archive.writestr(f"a/data/{key}", x.tobytes())
    return file.getvalue()


FORMATS = pytest.mark.parametrize("write", [_legacy, _zipped])
GOOD = _dictionary(
    x=_tensor(_storage(6), 0, (2, 3), (3, 1)),
    transposed=_tensor(_storage(6), 0, (3, 2), (1, 3)),
    part=_tensor(_storage(6), 4, (2,), (1,)),
    scalar=_tensor(_storage(6), 5, (), ()),
)


@FORMATS
def test_views_of_a_storage(write):
    found = read(write(GOOD), "x.pth")
    expected = {
        "x": FLOATS.reshape(2, 3),
        "transposed": FLOATS.reshape(2, 3).T,
        "part": FLOATS[4:],
        "scalar": FLOATS[5],
    }
    assert list(found) == list(expected)
    for key, x in expected.items():
        np.testing.assert_array_equal(found[key], x)
        assert found[key].dtype == np.float32


class _Mischief:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@FORMATS
def test_nothing_of_the_file_is_run(write, tmp_path):
    path = str(tmp_path / "made")
    pickled = pickle.dumps({"x": _Mischief(path)}, 2)
    with pytest.raises(InputError, match=r"^bad.pth holds \w+.mkdir: give .* of nothing but tensors$"):
        read(write(pickled), "bad.pth")
    assert not os.path.exists(path)
    pickle.loads(pickled)  # which a reader that trusts it would have done
    assert os.path.exists(path)
    dotted = b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93."
    with pytest.raises(InputError, match="holds collections.OrderedDict.fromkeys"):
        read(write(dotted), "bad.pth")


@FORMATS
@pytest.mark.parametrize("pickled", [b"I1\n.", b"(l.", _dictionary(x=b"I1\n"), _dictionary(x=b"(d")])
def test_anything_but_a_dictionary_of_tensors(write, pickled):
    with pytest.raises(InputError, match="holds something that is no tensor"):
        read(write(pickled), "bad.pth")


@FORMATS
@pytest.mark.parametrize(
    "view",
    [(0, (7,), (1,)), (5, (2,), (1,)), (-1, (2,), (1,)), (5, (2,), (-1,)), (0, (10**9,), (0,)), (7, (), ())],
)
def test_a_view_beyond_its_storage(write, view):
    with pytest.raises(InputError, match="damaged"):
        read(write(_dictionary(x=_tensor(_storage(6), *view))), "bad.pth")


@FORMATS
def test_a_storage_of_another_size_than_the_file_says(write):
    for size in (5, 7, 10**12):
        pickled = _dictionary(x=_tensor(_storage(size), 0, (size,), (1,)))
        if write is _zipped and size == 5:
            continue  # a shorter view of the same array
        with pytest.raises(InputError, match="damaged"):
            read(write(pickled), "bad.pth")


@FORMATS
def test_a_file_cut_short_anywhere(write):
    whole = write(_dictionary(x=_tensor(_storage(6), 0, (6,), (1,))))
    for end in range(len(whole)):
        with pytest.raises(InputError, match=r"^bad.pth is (damaged|not a file of PyTorch's)") as e:
            read(whole[:end], "bad.pth")
        assert "\n" not in str(e.value)


def test_other_files():
    for content in (b"", b"<html>not found</html>", b"\x89HDF", pickle.dumps({})):
        with pytest.raises(InputError, match="not a file of PyTorch's"):
            read(content, "bad.pth")
    npz = io.BytesIO()
    np.savez(npz, x=FLOATS)
    with pytest.raises(InputError, match="bad.pth holds no data.pkl: give"):
        read(npz.getvalue(), "bad.pth")
    with pytest.raises(InputError, match="compressed"):
        read(_zipped(GOOD, compression=zipfile.ZIP_DEFLATED), "bad.pth")
    big = _legacy(GOOD).replace(pickle.dumps(True, 2)[2:-1], pickle.dumps(False, 2)[2:-1])
    with pytest.raises(InputError, match="big-endian"):
        read(big, "bad.pth")


@pytest.mark.parametrize("as_zip", [False, True])
def test_what_pytorch_saves(as_zip):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    shared = torch.arange(12.0).reshape(3, 4)
    kinds = ("float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    state = {
        **layer.state_dict(),
        **dict(layer.named_parameters(prefix="own")),
        **{kind: torch.tensor([[0, 1, 2]], dtype=getattr(torch, kind)) for kind in kinds},
        "shared": shared,
        "column": shared[:, 1],
        "empty": torch.zeros(0, 3),
    }
    for saved in (state, layer.state_dict()):
        file = io.BytesIO()
        torch.save(saved, file, _use_new_zipfile_serialization=as_zip)
        found = read(file.getvalue(), "x.pth")
        assert list(found) == list(saved)
        for key, x in saved.items():
            np.testing.assert_array_equal(found[key], x.detach().numpy(), strict=True)
    file = io.BytesIO()
    torch.save(layer, file, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(InputError, match="holds torch.nn"):
        read(file.getvalue(), "x.pth")


def test_what_pickle_saves():
    """Storages are files of the older format within the pickle."""
    torch = pytest.importorskip("torch")
    x = torch.arange(12.0).reshape(3, 4)
    saved = {"of": [x, x.T, torch.nn.Parameter(x[1:])], "n": (1, 2.5, None, "a"), "scalar": np.float64(0.1)}
    for protocol in (3, 4, 5):
        content = pickle.dumps(saved, protocol)
        found = load(content, "x.pkl", lambda what: "leave it")
        assert (found["n"], found["scalar"]) == (saved["n"], 0.1)
        for tensor, expected in zip(found["of"], saved["of"], strict=True):
            np.testing.assert_array_equal(tensor.array(), expected.detach().numpy(), strict=True)
        with pytest.raises(InputError, match="not a file of PyTorch's"):
            read(content, "x.pkl")
