import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan.config import InputError
from jaxgan.data import load as load_images
from jaxgan.data import pairs, shapes, tasks


def _rows(data):
    """All pairs, those that are held out last, by what is given."""
    both = [np.concatenate([data[k], data.held_out[k]]) for k in ("input", "image")]
    return sorted(zip(*(x.reshape(len(x), -1).tolist() for x in both), strict=True))


@pytest.fixture
def colours():
    """Ten pairs of images of one colour each: A uint8[10, 8, 8, 3], B its negative."""
    a = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.array([10, 5, 1], np.uint8)
    a = np.broadcast_to(a, (10, 8, 8, 3)).copy()
    return a, 255 - a


def _side_by_side(folder, colours):
    folder.mkdir(parents=True)
    for i, (a, b) in enumerate(zip(*colours, strict=True)):
        Image.fromarray(np.concatenate([a, b], 1)).save(folder / f"{i}.png")


def _two_folders(root, colours):
    for side, images in zip("AB", colours, strict=True):
        (root / side).mkdir(parents=True)
        for i, x in enumerate(images):
            Image.fromarray(x).save(root / side / f"{i}.{'png' if side == 'A' else 'bmp'}")


def _npz(root, colours):
    root.mkdir()
    np.savez(root / "x.npz", input=colours[0], image=colours[1])


@pytest.mark.parametrize(
    ("made", "spec"), [(_side_by_side, "folder:{}"), (_two_folders, "folder:{}"), (_npz, "npz:{}/x.npz")]
)
def test_pairs_of_files(tmp_path, colours, made, spec):
    made(tmp_path / "p", colours)
    spec = spec.format(tmp_path / "p")
    data = pairs.load(spec, held_out=4)
    assert (len(data["image"]), len(data.held_out["image"])) == (6, 4)
    a, b = (x.reshape(10, -1).tolist() for x in colours)
    assert _rows(data) == sorted(zip(a, b, strict=True))
    back = pairs.load(spec, held_out=4, backwards=True)
    assert _rows(back) == sorted(zip(b, a, strict=True))
    np.testing.assert_array_equal(back["input"], data["image"])
    assert back.digest != data.digest
    assert data.facts == {"images": spec, "channels": 3, "input_channels": 3}
    assert data.remarks[-1] == "4 of 10 pairs are held out: scores are of these"
    small = pairs.load(spec, held_out=4, image_size=4, channels=1)
    assert small["input"].shape == (6, 4, 4, 1)
    assert any("resized to 4x4" in line for line in small.remarks)


def test_a_split_of_a_folder_of_pairs(tmp_path, colours):
    _side_by_side(tmp_path / "p" / "train", colours)
    _side_by_side(tmp_path / "p" / "val", [x[:5] for x in colours])
    assert len(_rows(pairs.load(f"folder:{tmp_path / 'p'}", held_out=4))) == 10
    with pytest.raises(InputError, match="of 5 pairs at least 4 are held out"):
        pairs.load(f"folder:{tmp_path / 'p'}", held_out=4, split="val")


def test_tasks_make_pairs_of_any_set():
    digits = load_images("digits", image_size=16)
    data = pairs.load("digits", task="edges", image_size=16, held_out=100)
    assert data["input"].shape == data["image"].shape == (1697, 16, 16, 1)
    rows = np.random.default_rng(0).permutation(1797)
    np.testing.assert_array_equal(data.held_out["image"], digits["image"][rows[:100]])
    np.testing.assert_array_equal(data["label"], digits["label"][rows[100:]])
    expected = tasks.given(tasks.edges, digits["image"][rows[:100]])
    np.testing.assert_array_equal(data.held_out["input"], expected)
    assert data.classes == digits.classes
    assert data.name == "digits, edges"
    low = pairs.load("digits", task="low:4", image_size=16, held_out=100)
    assert low["input"].shape == (1697, 4, 4, 1)
    assert low.facts["input_channels"] == 1
    assert pairs.load("digits", task="hole:6", image_size=16, held_out=9).facts["input_channels"] == 2


def test_shapes_and_their_outlines():
    data = pairs.load("shapes:300", task="edges", held_out=50)
    assert data["input"].shape == (250, 32, 32, 1)
    assert data["image"].shape == (250, 32, 32, 3)
    read = jax.jit(shapes.read)(jnp.asarray(data.held_out["image"] / 255))
    np.testing.assert_array_equal(read.kind[:, 0], data.held_out["label"])
    np.testing.assert_array_equal(read.colour, read.kind)
    assert set(np.unique(read.texture)) == {1, 2}
    assert set(np.unique(read.background)) == {1}
    # A texture is in none of the outlines: what lies inside by half a pixel is half of a line at most.
    inside = np.asarray(shapes.covered(data["image"] / 255)) > 0.99
    assert (data["input"][..., 0] * inside).max() <= 0.51 * 255 + 1
    grey = pairs.load("shapes:300", task="grey", held_out=50)
    np.testing.assert_array_equal(grey["input"], tasks.given(tasks.grey, data["image"]))


@pytest.mark.parametrize(
    ("spec", "options", "told"),
    [
        ("digits", {}, "--data digits: pairs are in folder:PATH or npz:PATH; or give --task, of edges"),
        ("digits", {"task": "edge"}, "--task 'edge' is not one of edges"),
        (
            "digits",
            {"task": "edges", "held_out": 1797},
            "--held-out 1797: of 1797 pairs at least 4 are held out",
        ),
        ("digits", {"task": "edges", "held_out": 0}, "--held-out 0: of 1797 pairs"),
        ("digits", {"task": "hole:20"}, "--task hole:20: the hole lies outside images of 8x8"),
        ("folder:nowhere", {}, "--data folder:nowhere is not a folder"),
        ("npz:nowhere.npz", {}, "--data npz:nowhere.npz is not a file"),
        ("shapes:no", {"task": "edges"}, "--data shapes:no: shapes, or shapes:N of them, 1 or more"),
    ],
)
def test_bad_input_is_a_line(spec, options, told):
    with pytest.raises(InputError, match=re.escape(told)):
        pairs.load(spec, **options)


def test_files_that_are_no_pairs_are_named(tmp_path, colours):
    a, b = colours
    _two_folders(tmp_path / "p", (a, b[:9]))
    with pytest.raises(InputError, match=r"1 images of A have none of their name in B \(9\)"):
        pairs.load(f"folder:{tmp_path / 'p'}", held_out=4)
    Image.fromarray(b[9]).save(tmp_path / "p" / "B" / "x.bmp")
    (tmp_path / "p" / "A" / "9.png").unlink()
    with pytest.raises(InputError, match=r"1 images of B have none of their name in A \(x\)"):
        pairs.load(f"folder:{tmp_path / 'p'}", held_out=4)
    _two_folders(tmp_path / "twice", (a, b))
    Image.fromarray(a[3]).save(tmp_path / "twice" / "A" / "3.bmp")
    with pytest.raises(InputError, match="A has several images called 3"):
        pairs.load(f"folder:{tmp_path / 'twice'}", held_out=4)
    _side_by_side(tmp_path / "q", (a, b[:, :, :-1]))
    with pytest.raises(InputError, match="images of 15x8 are not two of one width, A|B"):
        pairs.load(f"folder:{tmp_path / 'q'}", held_out=4)
    np.savez(tmp_path / "x.npz", one=a, two=b[:9])
    with pytest.raises(InputError, match="has no array 'input', but one, two; see --arrays A,B"):
        pairs.load(f"npz:{tmp_path / 'x.npz'}")
    with pytest.raises(InputError, match="there are 10 of 'one' and 9 of 'two'"):
        pairs.load(f"npz:{tmp_path / 'x.npz'}", arrays="one,two")
    with pytest.raises(InputError, match="--arrays one: two names, as A,B"):
        pairs.load(f"npz:{tmp_path / 'x.npz'}", arrays="one")
