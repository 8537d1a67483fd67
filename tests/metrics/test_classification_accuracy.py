import numpy as np
import pytest

from jaxgan.metrics.classification_accuracy import classification_accuracy_score


def nearest_mean(images, labels):
    labels = np.asarray(labels)
    means = np.stack([images[labels == c].mean(0) for c in range(3)])
    return lambda x: ((x[:, None] - means[None]) ** 2).sum(2).argmin(1)


def test_what_the_fakes_teach():
    rng = np.random.default_rng(0)
    label = np.arange(300) % 3
    real, fake = (rng.normal(size=(300, 2)) + 10 * np.eye(3)[label][:, :2] for _ in range(2))
    assert classification_accuracy_score(nearest_mean, fake, label, real, label) == 1
    # Learned from fakes with the labels turned by one, every real image is taken for another class; learned
    # and tested the other way round, on the fakes themselves, they would all be right.
    turned = (label + 1) % 3
    assert classification_accuracy_score(nearest_mean, fake, turned, real, label) == 0
    assert classification_accuracy_score(nearest_mean, fake, turned, fake, turned) == 1
    collapsed = np.where(label[:, None] == 2, 1000.0, fake)  # class 2 is lost, a third of the real images
    assert classification_accuracy_score(nearest_mean, collapsed, label, real, label) == pytest.approx(2 / 3)


def test_bad_input():
    x, label = np.zeros((6, 2)), np.arange(6) % 3
    with pytest.raises(ValueError, match=r"6 fake images with labels \[5\]"):
        classification_accuracy_score(nearest_mean, x, label[:5], x, label)
    with pytest.raises(ValueError, match=r"predictions must be labels \[6\], not \[6, 3\]"):
        classification_accuracy_score(lambda *_: lambda x: np.zeros((6, 3)), x, label, x, label)
