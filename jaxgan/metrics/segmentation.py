"""How well images show the label maps that they were made from, by a segmentation of the images."""

import numpy as np


def confusion(found, wanted, labels: int) -> np.ndarray:
    """How often each label was wanted (rows) and found (columns), i64[n, labels, labels + 1] of integers
    [n, H, W]; a found label beyond the last is of the last column."""
    n = len(found)
    pairs = wanted.astype(np.int64) * (labels + 1) + np.minimum(found, labels)
    pairs += (np.arange(n) * labels * (labels + 1)).reshape(-1, 1, 1)
    return np.bincount(pairs.ravel(), minlength=n * labels * (labels + 1)).reshape(n, labels, labels + 1)


def mean_iou(counts: np.ndarray) -> float:
    """The mean over labels of intersection over union, of counts as `confusion` has them, summed over images;
    labels that are neither wanted nor found are left out. In [0, 1]."""
    total = counts.sum(0)
    both = total.diagonal()
    either = total.sum(1) + total[:, :-1].sum(0) - both
    return float((both[either > 0] / either[either > 0]).mean())


def accuracy(counts: np.ndarray) -> float:
    """The share of pixels whose label is found, in [0, 1]."""
    return float(counts.sum(0).diagonal().sum() / counts.sum())
