import os
import signal
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageFile

from jaxgan import memory
from jaxgan.config import InputError
from jaxgan.data import bad_examples, domains, load, pairs, reading, store
from jaxgan.data.reading import Example, each, gathered
from jaxgan.signals import Refused

N = 3 * reading.BLOCK + 7
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), np.uint8)


def _gathered(one, n=N):
    read = partial(each, one=one)
    return gathered(n, read, where="there", what=lambda x: "images", name=lambda i: f"image {i}")


def test_they_come_in_their_order():
    found = _gathered(lambda i: Example(IMAGES[i], (8, 8), ("are odd",) if i % 2 else ()))
    np.testing.assert_array_equal(found.images, IMAGES)
    np.testing.assert_array_equal(found.kept, np.arange(N))
    assert (found.size, found.seen["are odd"], found.told) == ((8, 8), N // 2, [])


def test_grey_ones_before_one_in_colour_are_repeated():
    colour = 2 * reading.BLOCK + 1
    one = lambda i: Example(IMAGES[i] if i == colour else IMAGES[i, :, :, :1], (8, 8))  # noqa: E731
    found = _gathered(one).images
    expected = np.repeat(IMAGES[..., :1], 3, -1)
    expected[colour] = IMAGES[colour]
    np.testing.assert_array_equal(found, expected)


def _damaged(i):
    if i in (5, 100):
        raise OSError("cut short")
    return Example(IMAGES[i], (8, 8))


def test_what_cannot_be_read_refuses_the_set():
    with pytest.raises(
        InputError, match=rf"2 of {N} images in there cannot be read \(image 5: cut short\); repair"
    ):
        _gathered(_damaged)


def test_or_is_left_out_counted_and_named():
    with bad_examples("skip"):
        found = _gathered(_damaged)
    left = [i for i in range(N) if i not in (5, 100)]
    np.testing.assert_array_equal(found.kept, left)
    np.testing.assert_array_equal(found.images, IMAGES[left])
    told = f"2 of {N} images cannot be read, and are left out (image 5: cut short, image 100: cut short)"
    assert found.told == [told]
    with pytest.raises(InputError, match="cannot be read"):  # as before
        _gathered(_damaged)


def test_a_set_of_which_nothing_can_be_read_is_refused_all_the_same():
    def one(i):
        raise OSError("cut short")

    with bad_examples("skip"), pytest.raises(InputError, match=f"{N} of {N} images"):
        _gathered(one)


@pytest.mark.parametrize("error", [InputError("it is too large"), RuntimeError("a fault of ours")])
def test_what_is_no_damage_is_raised_as_it_is(error):
    def one(i):
        raise error

    with bad_examples("skip"), pytest.raises(type(error), match=str(error)):
        _gathered(one)


@pytest.fixture
def folder(tmp_path):
    """Two folders of twenty images of equal names, of which one in each is damaged."""
    for side, damaged in (("A", 3), ("B", 7)):
        (tmp_path / side).mkdir()
        for i in range(20):
            Image.fromarray(IMAGES[i]).save(tmp_path / side / f"{i}.png")
        file = tmp_path / side / f"{damaged}.png"
        file.write_bytes(file.read_bytes()[:70])
    return tmp_path


def test_of_pairs_both_images_are_left_out(folder):
    with pytest.raises(InputError, match=r"1 of 20 images in folder:.* cannot be read \(3.png: .*\); repair"):
        pairs.load(f"folder:{folder}", held_out=4)
    with bad_examples("skip"):
        data = pairs.load(f"folder:{folder}", held_out=4)
    assert len(data["image"]) + len(data.held_out["image"]) == 18
    np.testing.assert_array_equal(data["image"], data["input"])  # they are the same images here
    assert "18 pairs are left, of which both images can be read" in data.remarks
    assert any(
        line.startswith("A: 1 of 20 images cannot be read, and are left out (3.png") for line in data.remarks
    )


def test_of_two_domains_each_for_itself(folder):
    with bad_examples("skip"):
        data = domains.load(f"folder:{folder}", held_out=4)
    assert [len(data[side]["image"]) for side in "ab"] == [15, 15]


def test_the_labels_are_those_of_the_images_that_are_left(tmp_path):
    for name, level in (("cat", 10), ("dog", 200)):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.fromarray(np.full((8, 8), level, np.uint8)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "2.png").write_bytes(b"no image")
    with bad_examples("skip"):
        data = load(f"folder:{tmp_path}", image_size=8)
    np.testing.assert_array_equal(data["label"], [0] * 4 + [1] * 5)
    np.testing.assert_array_equal(data["image"][:, 0, 0, 0] > 100, data["label"])
    for i in range(5):
        (tmp_path / "cat" / f"{i}.png").write_bytes(b"no image")
    with bad_examples("skip"), pytest.raises(InputError, match="of the class cat no image can be read"):
        load(f"folder:{tmp_path}", image_size=8)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_bomb_is_refused_by_its_header(tmp_path, monkeypatch):
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((20_000, 20), np.uint8)).save(tmp_path / "b.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300_000)
    decoded = []
    whole = ImageFile.ImageFile.load
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: decoded.append(self.size) or whole(self))
    with pytest.raises(InputError, match=r"b.png: its header says 20x20000, which is no image to train on"):
        load(f"folder:{tmp_path}", image_size=8)
    assert (20, 20_000) not in decoded


@pytest.fixture(params=["to its place", "sent", "to a file"])
def apart(request, monkeypatch, tmp_path):
    """Processes read what is more than a hundred images: they write them to where they go, or send them."""
    monkeypatch.setattr(reading, "MANY", 100)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    if request.param == "sent":
        monkeypatch.delattr(os, "memfd_create")
    if request.param == "to a file":
        monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(memory, "free", lambda device=None: 1000)
        monkeypatch.setattr(memory, "require", lambda size, what: None)
    return request.param


@pytest.fixture
def images(tmp_path):
    """199 files, the first 150 of them grey, of which three cannot be read."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(N):
        Image.fromarray(IMAGES[i, :, :, 0] if i < 150 else IMAGES[i]).save(folder / f"{i}.png")
    for i in (0, 70, 180):
        (folder / f"{i}.png").write_bytes((folder / f"{i}.png").read_bytes()[:70])
    return folder


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_processes_read_what_one_does(apart, images, channels, monkeypatch):
    ids, pool = [], reading._pool
    monkeypatch.setattr(
        reading, "_pool", lambda read, place, workers: ids.append(place) or pool(read, place, workers)
    )
    with bad_examples("skip"):
        found = load(f"folder:{images}", image_size=None, channels=channels)
        assert (ids[0] is None) == (apart == "sent")
        assert store.in_file(found["image"]) == (apart == "to a file")
        monkeypatch.setattr(reading, "MANY", 10_000)
        monkeypatch.setattr(memory, "free", lambda device=None: 10**9)
        expected = load(f"folder:{images}", image_size=None, channels=channels)
    assert len(ids) == 1
    np.testing.assert_array_equal(found["image"], expected["image"])
    assert found["image"].shape == (N - 3, 8, 8, channels or 3)
    assert (
        found.remarks[:-1] == expected.remarks if apart == "to a file" else found.remarks == expected.remarks
    )


def test_a_size_of_its_own_is_noticed_by_them(images, monkeypatch):
    monkeypatch.setattr(reading, "MANY", 100)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(images / "160.png")
    with (
        bad_examples("skip"),
        pytest.raises(InputError, match=r"images are 8x8 .* 1 images are 9x9 \(160.png\)"),
    ):
        load(f"folder:{images}", image_size=None)


def test_a_process_that_is_killed_is_told(images, monkeypatch):
    monkeypatch.setattr(reading, "MANY", 100)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    pool = reading._pool

    @contextmanager
    def killed(*args):
        with pool(*args) as made:
            os.kill(next(iter(made._processes)), signal.SIGKILL)
            yield made

    monkeypatch.setattr(reading, "_pool", killed)
    with pytest.raises(Refused, match="a process that read images has ended by itself"):
        load(f"folder:{images}", image_size=None)
