import numpy as np
import pytest

from jaxgan.metrics import segmentation


def _by_hand(found, wanted, labels):
    each = []
    for k in range(labels):
        a, b = found == k, wanted == k
        if (a | b).any():
            each.append((a & b).sum() / (a | b).sum())
    return np.mean(each)


def test_the_mean_iou_is_that_of_sets_of_pixels():
    rng = np.random.default_rng(0)
    wanted, found = rng.integers(0, 4, (6, 9, 9)), rng.integers(0, 6, (6, 9, 9))
    found[rng.random(found.shape) < 0.5] = wanted[0, 0, 0]
    counts = segmentation.confusion(found, wanted, 5)
    assert counts.sum() == wanted.size
    assert segmentation.mean_iou(counts) == pytest.approx(_by_hand(found, wanted, 5))
    assert segmentation.accuracy(counts) == pytest.approx((found == wanted).mean())
    rows = [0, 3]
    assert segmentation.mean_iou(counts[rows]) == pytest.approx(_by_hand(found[rows], wanted[rows], 5))


def test_what_is_right_is_1_and_what_is_nothing_is_0():
    wanted = np.random.default_rng(0).integers(0, 3, (2, 8, 8))
    assert segmentation.mean_iou(segmentation.confusion(wanted, wanted, 3)) == 1
    wrong = segmentation.confusion(np.full_like(wanted, 9), wanted, 3)  # a colour of no label
    assert segmentation.mean_iou(wrong) == segmentation.accuracy(wrong) == 0
