"""BLEU (Papineni et al. 2002), of which self-BLEU (Zhu et al. 2018) tells how alike samples are, by sacrebleu
(Post 2018)."""

import numpy as np

from jaxgan.config import InputError


def _sacrebleu(order: int):
    """The library's score of n-grams up to an order, of a whole set: counts are summed, then divided."""
    try:
        from sacrebleu.metrics import BLEU  # an extra, and only for this
    except ImportError:
        raise InputError("BLEU needs sacrebleu: pip install 'jaxgan[text]'") from None
    return BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)


def _share(found) -> float:
    """Of percent, which sums of logarithms can leave 1 + 1e-15 of."""
    return min(1.0, found.score / 100)


def _lines(tokens, padded: bool) -> list[str]:
    """Each row as numbers, without the padding at its end."""
    rows = np.asarray(tokens).tolist()
    if padded:
        rows = [row[: max((i + 1 for i, token in enumerate(row) if token), default=0)] for row in rows]
    return [" ".join(map(str, row)) for row in rows]


def bleu(samples, lines, *, padded: bool = False) -> float:
    """How many of the samples' n-grams, of 1 to 4 tokens, are in one line or another: 0 to 1.

    Every line is a reference of every sample. More lines make it higher.

    Args:
      samples, lines: i32[N, L] and i32[M, L].
      padded: whether 0 at the end of a row is nothing.

    Raises:
      InputError: if sacrebleu is not installed.
    """
    score = _sacrebleu(min(4, np.shape(samples)[1]))
    made, known = _lines(samples, padded), _lines(lines, padded)
    return _share(score.corpus_score(made, [[line] * len(made) for line in known]))


def self_bleu(samples, *, padded: bool = False) -> float:
    """BLEU of each sample with all others as its references: 0 to 1, and 1 where each is there twice.

    Raises:
      InputError: if sacrebleu is not installed.
    """
    score = _sacrebleu(min(4, np.shape(samples)[1]))
    made = _lines(samples, padded)
    others = [made[i:] + made[:i] for i in range(1, len(made))]
    return _share(score.corpus_score(made, others))
