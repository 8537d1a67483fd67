"""How the n-grams of token sequences are spread, and which sequences are copies."""

import numpy as np


def _divergence(p, q) -> float:
    """The Jensen-Shannon divergence of two distributions [K], in bits."""
    middle = (p + q) / 2

    def to_middle(x):
        some = x > 0
        return float((x[some] * np.log2(x[some] / middle[some])).sum())

    return max(0.0, (to_middle(p) + to_middle(q)) / 2)


def divergences(samples, lines, most: int = 4) -> list[float]:
    """The Jensen-Shannon divergence between the shares of n-grams of two sets, for n = 1 to `most` or the
    length, in bits: 0 of equal ones, 1 where no n-gram is of both (Gulrajani et al. 2017; their code).
    Padding counts as a token. Of fewer sequences it is higher.

    Args:
      samples, lines: i32[N, L] and i32[M, L].
    """
    tokens = np.concatenate([samples, lines]).astype(np.int64)
    base = int(tokens.max()) + 1
    found, grams = [], np.zeros((len(tokens), tokens.shape[1] + 1), np.int64)
    for n in range(1, min(most, tokens.shape[1]) + 1):
        # An n-gram is an (n-1)-gram, by its number among those there are, and a token.
        grams = grams[:, :-1] * base + tokens[:, n - 1 :]
        names, grams = np.unique(grams, return_inverse=True)
        grams = grams.reshape(len(tokens), -1)
        parts = grams[: len(samples)], grams[len(samples) :]
        p, q = (np.bincount(part.ravel(), minlength=len(names)) / part.size for part in parts)
        found.append(_divergence(p, q))
    return found


def copied(samples, lines) -> float:
    """The share of samples that are, whole, among the lines."""
    known = {row.tobytes() for row in np.ascontiguousarray(lines, np.int32)}
    return float(np.mean([row.tobytes() in known for row in np.ascontiguousarray(samples, np.int32)]))


def repeated(lines) -> float:
    """The share of lines that are there more than once: as many of new lines like them would be copies."""
    _, counts = np.unique(np.ascontiguousarray(lines, np.int32), axis=0, return_counts=True)
    return float(counts[counts > 1].sum() / len(lines))


def nearest(samples, lines) -> np.ndarray:
    """The row i64[N] of the line that differs from each sample in the fewest places; the first of several."""
    return np.array([(lines != sample).sum(1).argmin() for sample in samples])


def of_shares(lines, n: int, seed: int = 0) -> np.ndarray:
    """n sequences i32[n, L] whose tokens are as frequent as in the lines, each drawn by itself: the unigram
    model's."""
    names, counts = np.unique(lines, return_counts=True)
    drawn = np.random.default_rng(seed).choice(names, (n, lines.shape[1]), p=counts / counts.sum())
    return drawn.astype(np.int32)
