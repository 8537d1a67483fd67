"""Which images are trained on where some classes are normal, and which are held out."""

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.data.one_class import split

NAMES = "a", "b+c", "d"
LABEL = np.repeat(np.arange(3, dtype=np.int32), [40, 20, 9])
IMAGES = np.arange(69, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
DATA = Dataset("set", {"image": IMAGES, "label": LABEL}, {"classes": NAMES, "channels": 1})


def _ids(images):
    return images[:, 0, 0, 0].tolist()


def test_normal_images_alone_are_trained_on_and_the_halves_are_disjoint():
    found = split(DATA, "a", 12)
    held = found.held_out
    train, apart = _ids(found["image"]), _ids(held["image"])
    assert len(train) == 28
    assert set(train) | set(apart) >= set(range(40))
    assert len(set(train + apart)) == len(train + apart) == 28 + 24
    assert (LABEL[train] == 0).all()
    np.testing.assert_array_equal(held["anomalous"], LABEL[apart] != 0)
    np.testing.assert_array_equal(held["label"], LABEL[apart])
    for odd in (0, 1):
        assert held["test"][held["anomalous"] == odd].sum() == 6
    assert found.facts == {"channels": 1, "normal": "a"}
    assert "label" not in found.arrays
    again = split(DATA, "a", 12)
    assert again.digest == found.digest
    assert split(DATA, "a", 13).digest != found.digest


def test_several_classes_and_names_with_a_plus():
    found = split(DATA, "a+d")
    assert set(LABEL[_ids(found["image"])]) == {0, 2}
    held = found.held_out
    assert set(LABEL[_ids(held["image"][held["anomalous"] == 1])]) == {1}
    assert (held["anomalous"] == 0).sum() == 49 // 3
    assert set(LABEL[_ids(split(DATA, "b+c")["image"])]) == {1}


def test_fewer_anomalous_images_than_normal_ones_are_all_taken():
    of = Dataset("set", {"image": IMAGES[:50], "label": np.repeat([0, 1], [40, 10])}, {"classes": ("a", "b")})
    held = split(of, "a", 20).held_out
    assert [(held["anomalous"] == odd).sum() for odd in (0, 1)] == [20, 10]
    assert held["test"].sum() == 10 + 5


@pytest.mark.parametrize(
    ("normal", "held_out", "told"),
    [
        ("e", None, r"--normal e: set has no class 'e', but a, b\+c, d"),
        ("a+e", None, r"--normal a\+e: set has no class 'e'"),
        ("a", 3, "of 40 normal and 29 anomalous images 3 of each are to be held out"),
        ("a", 38, "4 normal ones are trained on"),
        ("d", None, "of 9 normal"),
    ],
)
def test_what_cannot_be_split_is_told(normal, held_out, told):
    with pytest.raises(InputError, match=told):
        split(DATA, normal, held_out)


def test_a_set_without_labels_is_refused():
    with pytest.raises(InputError, match="set has no labels"):
        split(Dataset("set", {"image": IMAGES}), "a")
