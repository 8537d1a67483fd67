import dataclasses
import json

import numpy as np
import pytest

from jaxgan.metrics.frechet import frechet_distance, moments
from jaxgan.metrics.manifold import density_coverage
from jaxgan.metrics.score import Protocol, Score, difference, from_record, intervals, to_record
from jaxgan.metrics.two_sample import nearest_neighbour_accuracy

PROTOCOL = Protocol(
    metric="fcd_digits",
    better="lower",
    within=(0, None),
    version=1,
    features="classifier v2 of 0123",
    reference="digits",
    reference_digest="0123",
    examples="16x16x1, resized (bicubic) from 8x8",
    n_reference=1797,
    n_fake=5000,
    generator="EMA",
    batch_norm="running statistics",
    quantised="uint8",
    truncation=None,
    seed=0,
    code="0.1.0",
)
SCORE = Score(7.2, (6.9, 7.5), PROTOCOL)


@pytest.mark.parametrize("score", [SCORE, SCORE._replace(interval=None)])
def test_a_score_survives_json(score):
    record = json.loads(json.dumps(to_record(score, 500)))
    assert from_record(record) == score
    assert (record["name"], record["step"]) == ("fcd_digits", 500)


def test_what_is_better_is_known_where_a_score_is_made():
    """Where runs are compared it would be too late: they have been trained."""
    for better in ("nearer to 0.25", "nearer to 1", "higher"):
        assert dataclasses.replace(PROTOCOL, better=better).better == better
    for better in ("nearer to that of new lines", "nearer to ", "0.5", "best"):
        with pytest.raises(ValueError, match="lower, higher or nearer to NUMBER"):
            dataclasses.replace(PROTOCOL, better=better)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Protocol)])
def test_every_field_of_a_protocol_counts(field):
    value = "higher" if field == "better" else "else"
    other = SCORE._replace(protocol=dataclasses.replace(PROTOCOL, **{field: value}))
    told = f"{field}: {value}, not {getattr(PROTOCOL, field)}"
    # The same data may have another name, as where they lie elsewhere; the digest tells others.
    assert difference(other, SCORE) == (None if field == "reference" else told)
    assert difference(SCORE, SCORE._replace(value=1.0)) is None


def test_a_protocol_in_short():
    assert str(PROTOCOL) == "5000 samples (EMA, seed 0) and 1797 of digits; classifier v2 of 0123"
    cut = dataclasses.replace(PROTOCOL, truncation=0.7)
    assert "seed 0, truncated at 0.7)" in str(cut)
    batch = dataclasses.replace(PROTOCOL, batch_norm="statistics of each 64")
    assert "(EMA, seed 0, statistics of each 64)" in str(batch)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r.pop("value"), "no record of a score"),
        (lambda r: r["protocol"].pop("seed"), "has not the field 'seed'"),
        (lambda r: r["protocol"].update(more=1), "has not the field 'more'"),
        (lambda r: r.update(protocol=None), "no record of a score"),
    ],
)
def test_what_is_no_record_is_told(change, told):
    record = to_record(SCORE, 1)
    record["protocol"] = dict(record["protocol"])
    change(record)
    with pytest.raises(ValueError, match=told):
        from_record(record)


def _covered(figure, n, trials, interval):
    """How often the interval of n samples holds the figure's mean over many samples of n, and how wide it is
    beside 2 * 1.96 of its true deviations."""
    whole = [figure(_normal(i, n)) for i in range(1000, 1000 + 4 * trials)]
    truth, held, widths = np.mean(whole), 0, []
    for i in range(trials):
        low, high = interval(figure, _normal(i, n))
        held += low <= truth <= high
        widths.append(high - low)
    return held / trials, np.median(widths) / (2 * 1.96 * np.std(whole))


def _normal(i, n):
    return np.random.default_rng(i).standard_normal((n, 3)) * [1, 2, 3] + 0.5


REAL = np.random.default_rng(99).standard_normal((200, 3))
FIGURES = {
    "mean": lambda x: float(x.mean()),
    "frechet": lambda x: frechet_distance(moments(x), moments(REAL)),
    "density": lambda x: density_coverage(REAL, x)[0],
    "coverage": lambda x: density_coverage(REAL, x)[1],
    "two_sample": lambda x: nearest_neighbour_accuracy(REAL, x).overall,
}


def _ours(figure, x):
    return intervals(lambda rows: {"a": figure(x[rows])}, {"a": figure(x)}, len(x))["a"]


def _bootstrap(figure, x):
    """The textbook's: rows with replacement, and the percentiles of what they say."""
    rng = np.random.default_rng(0)
    values = [figure(x[rng.integers(len(x), size=len(x))]) for _ in range(40)]
    return np.quantile(values, [0.025, 0.975])


@pytest.mark.parametrize("name", FIGURES)
def test_intervals_hold_the_expected_figure_as_often_as_they_say(name):
    held, width = _covered(FIGURES[name], 200, 100, _ours)
    assert held >= 0.87  # 0.95 less four deviations of a hundred trials
    assert 0.8 < width < 1.6


@pytest.mark.parametrize("name", ["coverage", "two_sample"])
def test_a_bootstrap_would_not(name):
    """Duplicates cover less, and are each other's nearest neighbours."""
    held, _ = _covered(FIGURES[name], 200, 40, _bootstrap)
    assert held < 0.5


def test_groups_may_be_of_unequal_size_and_cover_all_rows():
    seen = []
    intervals(lambda rows: seen.append(rows) or {"a": float(rows.sum())}, {"a": 0.0}, 23, groups=5)
    assert [len(rows) for rows in seen] == [18, 18, 18, 19, 19]
    np.testing.assert_array_equal(np.bincount(np.concatenate(seen)), np.full(23, 4))
