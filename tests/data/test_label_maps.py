"""Pairs of label maps and images: of shapes, of folders, of npz files, and what is refused."""

import re

import numpy as np
import pytest
from PIL import Image

from jaxgan.config import InputError
from jaxgan.data import pairs, shapes
from jaxgan.nn.label_map import boundaries


@pytest.fixture(scope="module")
def drawn():
    return pairs.load("shapes:200", task="labels", image_size=32, held_out=20, instances=True)


def test_the_maps_of_shapes_are_what_the_drawings_show(drawn):
    assert drawn.facts["labels"] == 5
    assert drawn["input"].shape == (180, 32, 32, 2)
    seen = np.asarray(shapes.segmented(drawn["image"] / np.float32(255)))
    label = drawn["input"][..., 0]
    assert (seen == label).mean() > 0.97  # pixels that an edge crosses may be either
    share = np.bincount(label.ravel(), minlength=5) / label.size
    assert 0.05 < share.min() < share.max() < 0.55
    # A drawing has one texture: all its shapes are plain, or none.
    light = drawn["image"].min(-1)
    inside = np.asarray(shapes.covered(drawn["image"] / np.float32(255))) > 0.98
    plain = [
        {
            bool(light[i][own].std() < 3)
            for k in range(1, 5)
            if (own := inside[i] & (label[i] == k)).sum() > 40
        }
        for i in range(len(label))
    ]
    assert [kinds for kinds in plain if len(kinds) > 1] == []
    assert {True} in plain
    assert {False} in plain
    instance = drawn["input"][..., 1]
    assert set(np.unique(instance)) == {0, 1, 2, 3}
    of_instances, of_labels = (np.asarray(boundaries(x)) for x in (instance, label))
    assert (of_instances >= of_labels).all()
    assert (of_instances > of_labels).any()  # two shapes of one kind meet


@pytest.fixture
def folder(tmp_path):
    """Ten label maps of 40x40, some with a palette, and their images."""
    rng = np.random.default_rng(0)
    number = rng.integers(0, 3, (10, 40, 40)).astype(np.uint8)
    for side in "AB":
        (tmp_path / side).mkdir()
    for i, x in enumerate(number):
        image = Image.fromarray(x)
        if i % 2:
            image = Image.fromarray(x).convert("P")
            image.putpalette([c for k in range(256) for c in (255 - k, k, 7 * k % 256)])
            image.putdata(x.ravel().tolist())
        image.save(tmp_path / "A" / f"{i}.png")
        Image.fromarray(np.stack([80 * x] * 3, -1)).save(tmp_path / "B" / f"{i}.png")
    return tmp_path, number


def test_maps_of_a_folder_are_numbers_whatever_their_colours(folder):
    root, number = folder
    data = pairs.load(f"folder:{root}", image_size=20, labels=3, instances=False, held_out=4)
    assert data["input"].shape == (6, 20, 20, 1)
    whole = np.concatenate([data["input"], data.held_out["input"]])
    order = np.random.default_rng(0).permutation(10)
    at = number[:, 1::2, 1::2][np.concatenate([order[4:], order[:4]])]
    np.testing.assert_array_equal(whole[..., 0], at)  # the nearest pixel; nothing between two labels
    both = pairs.load(f"folder:{root}", image_size=20, labels=3, instances=True, held_out=4)
    assert "boundaries lie where two labels meet: the maps know no instances" in both.remarks
    np.testing.assert_array_equal(both["input"][..., 1], data["input"][..., 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_maps_of_an_npz_file(folder, tmp_path, dtype):
    _, number = folder
    image = np.stack([80 * number] * 3, -1)
    np.savez(tmp_path / "x.npz", input=number.astype(dtype), image=image)
    data = pairs.load(f"npz:{tmp_path / 'x.npz'}", labels=3, instances=False, held_out=4)
    np.testing.assert_array_equal(80 * data["input"], data["image"][..., :1])
    assert data["input"].dtype == np.uint8


def test_what_is_no_label_map_is_a_line(folder, tmp_path):
    root, number = folder
    load = lambda spec, **options: pairs.load(  # noqa: E731
        spec, **{"labels": 3, "instances": False, "held_out": 4, **options}
    )
    two = number.max((1, 2)) > 1
    for options, told in [
        ({"labels": 2}, f"{two.sum()} label maps have labels up to 2; --labels 2 has 0 to 1"),
        ({"labels": 1}, "--labels 1: a label map has 2 to 256"),
        ({"labels": 300}, "--labels 300: a label map has 2 to 256"),
        ({"task": "edges"}, "--task edges: label maps are those of --data shapes, or pairs"),
        ({"task": "labels", "labels": None}, "label maps are those of --data shapes, or pairs"),
        ({"instances": None}, "the method takes images, and no label maps"),
    ]:
        with pytest.raises(InputError, match=re.escape(told)):
            load(f"folder:{root}", **options)
    with pytest.raises(InputError, match="the method takes images, and no label maps"):
        pairs.load("shapes:20", task="labels", held_out=4)
    for x, told in [
        (number - 1.0, r"'input' is float64\[10, 40, 40\]; label maps are integers"),
        (number.astype(int) - 1, "label maps are integers"),
        (number[..., None].repeat(3, -1), "label maps are integers"),
    ]:
        np.savez(tmp_path / "bad.npz", input=x, image=number)
        with pytest.raises(InputError, match=told):
            load(f"npz:{tmp_path / 'bad.npz'}")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(root / "A" / "3.png")
    with pytest.raises(InputError, match=r"3.png: its mode is RGB; a label map has one number a pixel"):
        load(f"folder:{root}")
    (tmp_path / "joined").mkdir()
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(tmp_path / "joined" / "x.png")
    with pytest.raises(InputError, match="label maps are in a folder A, their images in a folder B"):
        load(f"folder:{tmp_path / 'joined'}")
