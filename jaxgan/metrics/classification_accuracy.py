"""The classification accuracy score: do generated images teach what the real ones would?"""

from collections.abc import Callable

import numpy as np


def classification_accuracy_score(fit: Callable, fake, fake_label, real, real_label) -> float:
    """The accuracy on real images of a classifier that has learned from generated ones, in [0, 1].

    Ravuri and Vinyals 2019, section 3. To be read beside that of the same `fit` on real training images
    in place of the fakes.

    Args:
      fit: (images [M, ...], labels [M]) -> predict, where predict: images [N, ...] -> labels [N].
      fake, fake_label: generated images, and the labels that were asked for.
      real, real_label: real images that the generator has not seen, and their labels.

    Raises:
      ValueError: if images and labels differ in number, there are no real ones, or the predictions are not
        one label an image.
    """
    for kind, images, label in (("fake", fake, fake_label), ("real", real, real_label)):
        if np.shape(label) != (len(images),) or len(images) == 0:
            raise ValueError(f"{len(images)} {kind} images with labels {list(np.shape(label))}")
    predicted = np.asarray(fit(fake, fake_label)(real))
    if predicted.shape != np.shape(real_label):
        raise ValueError(f"predictions must be labels [{len(real)}], not {list(predicted.shape)}")
    return float((predicted == np.asarray(real_label)).mean())
