import mmap
import os

import numpy as np
import pytest

from jaxgan import memory
from jaxgan.config import InputError
from jaxgan.data import Dataset, store


@pytest.fixture
def little(monkeypatch):
    """A machine with 1000 bytes of memory left."""
    monkeypatch.setattr(memory, "free", lambda device=None: 1000)


def test_what_fits_is_in_memory():
    x = store.empty((10, 3), np.uint8, "examples")
    assert not store.in_file(x)
    assert (x.shape, x.dtype) == ((10, 3), np.uint8)


def test_what_does_not_fit_is_in_a_file_without_a_name(little, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    x = store.empty((100, 30), np.uint8, "examples")
    assert all(map(store.in_file, (x, x[5:7], np.asarray(x))))
    x[:] = np.arange(3000).reshape(100, 30) % 251
    assert os.listdir(tmp_path) == []
    np.testing.assert_array_equal(x[[99, 3]], (np.arange(3000).reshape(100, 30) % 251)[[99, 3]])


def test_half_of_what_is_free_is_the_bound(little):
    assert not store.in_file(store.empty((500,), np.uint8, "examples"))
    assert store.in_file(store.empty((501,), np.uint8, "examples"))


def test_rows_are_taken_block_by_block(little, monkeypatch):
    monkeypatch.setattr(store, "BLOCK", 64)
    x = np.arange(4000, dtype=np.uint16).reshape(400, 10)
    rows = np.random.default_rng(0).permutation(400)[:333]
    found = store.take(x, rows, "examples")
    assert store.in_file(found)
    np.testing.assert_array_equal(found, x[rows])
    np.testing.assert_array_equal(store.take(x, slice(3, 9), "examples"), x[3:9])


def test_a_disk_that_is_too_small_is_told_with_both_rooms(little, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match=r"7 images would take .* TiB: 1e\+03 bytes of memory and .* of .* are free"
    ):
        store.empty((10**15,), np.uint8, "7 images")


def test_a_folder_that_cannot_be_written_is_told(little, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be made"):
        store.empty((5000,), np.uint8, "7 images")


def test_a_set_in_a_file_is_the_set_in_memory(little):
    x = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)
    one, other = Dataset("x", {"image": x}), Dataset("x", {"image": store.take(x, np.arange(50), "x")})
    assert store.in_file(other["image"])
    assert one.digest == other.digest
    np.testing.assert_array_equal(one.examples(9)["image"], other.examples(9)["image"])


def test_rows_are_asked_for_before_they_are_taken(monkeypatch):
    """Those of a part of the file, each from the beginning of its page."""
    asked = []

    class Spied(mmap.mmap):
        def madvise(self, *args):
            asked.append(args)

    memory = Spied(-1, 300 * 5000)
    part = np.ndarray((200, 5000), np.uint8, memory, 100 * 5000).view(np.memmap)
    part._mmap = memory
    store.ahead(part, np.array([[7, 3]]))
    for (option, start, length), row in zip(asked, (103, 107), strict=True):
        assert option == mmap.MADV_WILLNEED
        assert start % mmap.PAGESIZE == 0
        assert start <= row * 5000 < start + mmap.PAGESIZE
        assert start + length == (row + 1) * 5000
    store.ahead(np.zeros((3, 2)), np.array([1]))  # of an array in memory there is nothing to ask for


def test_rows_of_a_real_file_may_be_asked_for(little):
    x = store.empty((300, 5000), np.uint8, "examples")
    x[:] = 3
    store.ahead(x[100:], np.array([0, 199, 5]))
    assert (x == 3).all()
