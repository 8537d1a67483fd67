"""The inception score: are images each of a class, and together of all?"""

import numpy as np

from jaxgan.metrics.samples import checked


def _probabilities(logits) -> np.ndarray:
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def _log(p) -> np.ndarray:
    return np.log(np.where(p > 0, p, 1))  # 0 log 0 is 0


def inception_score(predictions, *, logits: bool = False, splits: int = 10) -> tuple[float, float]:
    """exp of the mean KL(p(class | image) || p(class)), from 1 to K: its mean and deviation over splits.

    Salimans et al. 2016, section 4. Splits are of successive rows, of sizes that differ by one at most,
    each with a p(class) of its own. The score grows with the rows in a split, so ten splits of 50,000
    are the protocol; only with one split is it independent of the order.

    Args:
      predictions: [N, K] class probabilities, or unnormalised log probabilities if `logits`.

    Returns:
      The mean over splits, and the standard deviation over splits (not of the mean).

    Raises:
      ValueError: if a prediction is not finite, there are fewer rows than splits, or probabilities are
        negative or of a sum other than 1 (by more than 1e-3).
    """
    p = checked(predictions, name="predictions", at_least=splits).astype(np.float64)
    if logits:
        p = _probabilities(p)
    elif (p < 0).any() or (np.abs(p.sum(1) - 1) > 1e-3).any():
        raise ValueError("predictions are no probabilities; are they logits?")
    scores = []
    for part in np.array_split(p, splits):
        kl = (part * (_log(part) - _log(part.mean(0)))).sum(1)
        scores.append(np.exp(kl.mean()))
    return float(np.mean(scores)), float(np.std(scores))
