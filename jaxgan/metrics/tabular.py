"""Does each column of generated records have the mean that it has in the real ones?"""

from typing import NamedTuple

import numpy as np

from jaxgan.metrics.samples import checked_pair


class DimensionWise(NamedTuple):
    """Column by column; `plots` of one over the other are the figure of the paper."""

    real: np.ndarray  # f64[D], the share of ones of each column
    fake: np.ndarray  # f64[D]
    correlation: float  # Pearson's, over the columns; NaN if a side has all its columns alike
    max_error: float  # the greatest |real - fake|


def dimension_wise_probability(real, fake) -> DimensionWise:
    """The mean of each column of real [N, D] and fake [M, D], and how well they agree.

    Choi et al. 2017 (medGAN), section 4.2, for binary columns; of others it compares the means. A high
    correlation alone does not tell a sampler that is off by a constant or a factor.

    Raises:
      ValueError: if an entry is not finite or the widths differ.
    """
    real, fake = (x.mean(0, dtype=np.float64) for x in checked_pair(real, fake))
    varied = np.ptp(real) > 0 and np.ptp(fake) > 0
    correlation = float(np.corrcoef(real, fake)[0, 1]) if varied else float("nan")
    return DimensionWise(real, fake, correlation, float(np.abs(real - fake).max()))
