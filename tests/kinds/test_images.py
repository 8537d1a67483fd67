"""What is asked for, and how a set's classes are told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.data.sources import image_set
from jaxgan.kinds import images

MONTHS = {"classes": [str(i) for i in range(1, 13)]}
ASKED = np.arange(12, dtype=np.int32)


def _set(label, classes) -> Dataset:
    return image_set("it", np.zeros((len(label), 4, 4, 1), np.uint8), label, classes)


@given(st.integers(0, 11))
def test_text_is_a_name_and_an_integer_a_number(i):
    """Of classes called 1 to 12, "2" is the second and 2 the third."""
    assert images.condition(MONTHS, ASKED, str(i + 1), 1).tolist() == [i]
    for number in (i, np.int32(i), np.array(i)):
        assert images.condition(MONTHS, ASKED, number, 3).tolist() == [i] * 3
    assert images.condition(MONTHS, ASKED, [i, str(i + 1)], 2).tolist() == [i, i]


@pytest.mark.parametrize(
    "value", ["0", "13", " 2", "2.0", "", 12, -1, 2.0, 2.7, True, None, b"2", [[2]], {2: 1}]
)
def test_anything_else_is_refused(value):
    with pytest.raises(InputError, match="class") as e:
        images.condition(MONTHS, ASKED, [value], 1)
    assert "\n" not in str(e.value)


def test_many_classes_are_told_in_short():
    facts = {"classes": [f"c{i}" for i in range(1000)]}
    with pytest.raises(InputError, match=r"0 'c0', 1 'c1', .*, \.\.\. 999 'c999'$") as e:
        images.condition(facts, np.arange(1000), "c1000", 1)
    assert len(str(e.value)) < 400


def test_a_class_without_an_image_cannot_be_trained_on():
    whole = _set([0, 1, 2, 0], ("a", "b", "c"))
    images.check(whole)
    with pytest.raises(InputError, match=r"it: of 1 of 3 classes there is no image \(b\)"):
        images.check(_set([0, 2, 2, 0], ("a", "b", "c")))
