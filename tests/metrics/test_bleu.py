"""BLEU of token sequences, beside its definition by counts of one's own."""

import sys
from collections import Counter

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.metrics.bleu import bleu, self_bleu


def _grams(row, n: int) -> Counter:
    return Counter(tuple(row[i : i + n]) for i in range(len(row) - n + 1))


def _by_definition(samples, references) -> float:
    """Geometric mean of the clipped shares of n-grams, with the penalty for brevity; references: for each
    sample its own."""
    logs = []
    for n in range(1, 5):
        hits = total = 0
        for x, of in zip(samples, references, strict=True):
            most = Counter()
            for line in of:
                most |= _grams(line, n)
            hits += (_grams(x, n) & most).total()
            total += _grams(x, n).total()
        logs.append(np.log(hits / total))
    closest = sum(
        min((abs(len(line) - len(x)), len(line)) for line in of)[1]
        for x, of in zip(samples, references, strict=True)
    )
    length = sum(map(len, samples))
    return float(np.exp(np.mean(logs) + min(0, 1 - closest / length)))


@pytest.fixture(scope="module")
def tokens():
    drawn = np.random.default_rng(0).integers(1, 4, (60, 9)).astype(np.int32)
    ends = np.random.default_rng(1).integers(5, 10, 60)
    return np.where(np.arange(9) < ends[:, None], drawn, 0).astype(np.int32)


def _rows(tokens):
    return [[int(token) for token in row if token] for row in tokens]


def test_it_is_its_definition(tokens):
    samples, lines = tokens[:20], tokens[20:]
    expected = _by_definition(_rows(samples), [_rows(lines)] * 20)
    assert 0.3 < expected < 0.99
    assert bleu(samples, lines, padded=True) == pytest.approx(expected, abs=1e-12)
    assert abs(bleu(samples, lines) - expected) > 1e-3  # padding as a token is something else
    others = [_rows(np.delete(samples, i, 0)) for i in range(20)]
    expected = _by_definition(_rows(samples), others)
    assert self_bleu(samples, padded=True) == pytest.approx(expected, abs=1e-12)


def test_copies_have_one_and_others_less(tokens):
    assert bleu(tokens[:5], tokens, padded=True) == 1
    assert self_bleu(np.concatenate([tokens, tokens]), padded=True) == 1
    assert self_bleu(tokens, padded=True) < 0.99
    assert bleu(tokens + 9 * (tokens > 0), tokens, padded=True) == 0


def test_of_shorter_lines_than_four_tokens():
    lines = np.array([[1, 2], [2, 3], [3, 1]], np.int32)
    assert bleu(lines, lines) == 1
    assert self_bleu(lines) == 0  # no two have a pair of tokens in common


def test_without_the_library_it_is_said(tokens, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(InputError, match=r"BLEU needs sacrebleu: pip install 'jaxgan\[text\]'"):
        bleu(tokens, tokens)
