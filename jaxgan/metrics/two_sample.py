"""Can a classifier tell the two samples apart?"""

from typing import NamedTuple

import numpy as np

from jaxgan.metrics.distances import nearest_squares
from jaxgan.metrics.samples import checked_pair


class Accuracy(NamedTuple):
    """Of a two-sample classifier."""

    overall: float
    real: float  # of real samples: low with `fake` high where fakes gather in few places among the real
    fake: float  # of fake ones: low, and `real` too, where fakes are copies of real samples


def nearest_neighbour_accuracy(real, fake, *, block: int = 512) -> Accuracy:
    """The leave-one-out accuracy of the 1-nearest-neighbour classifier of real against fake.

    Lopez-Paz and Oquab 2017, section 3; by class, Xu et al. 2018, section 2. With as many real as fake
    0.5 is the best: 1 is a sampler told from the data always, and 0 one that copies them. Of N each from
    one distribution the deviation is about 0.4 / sqrt(N). A sample whose nearest of both kinds are equally
    near counts 1/2.

    Args:
      real, fake: features [N, D] and [M, D], N and M at least 2; take N = M.

    Raises:
      ValueError: if a feature is not finite, the widths differ, or a set has fewer than two rows.
    """
    real, fake = checked_pair(real, fake, at_least=2)

    def right(one, other):
        own = nearest_squares(one, block=block)[:, 0]
        foreign = nearest_squares(one, other, block=block)[:, 0]
        return (own < foreign) + 0.5 * (own == foreign)

    by_real, by_fake = right(real, fake), right(fake, real)
    overall = np.concatenate([by_real, by_fake]).mean()
    return Accuracy(float(overall), float(by_real.mean()), float(by_fake.mean()))
