"""Points of a known distribution: what is drawn, counted, shown and written."""

import warnings
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import synthetic
from jaxgan.kinds import Made
from jaxgan.kinds.points import Options, points, reference, shares_of, slope
from jaxgan.metrics.score import Sampling


@dataclass(frozen=True)
class Config:
    data: str
    samples: int | None = None


def _made(samples, critic=None):
    return Made(np.asarray(samples, np.float32), None, critic, 7)


def _scores(data, samples, **options):
    judge = points.judge(data, conditional=False, options=Options(**{"groups": 0, **options}), n=len(samples))
    return {score.name: score for score in judge.scores(_made(samples), Sampling("live"))}


@pytest.mark.parametrize(
    ("spec", "width"), [("ring", 2), ("grid", 2), ("embedded", 1200), ("swiss_roll", 2), ("stacked", 192)]
)
def test_a_set_is_at_no_distance_of_itself(spec, width):
    """And noise of the same size is."""
    data = points.load(Config(spec, 300), None)
    own = reference(data, 300)
    assert own.shape == (300, width)
    again = np.asarray(
        data.batch(
            jax.tree.map(jnp.asarray, dict(data.arrays)),
            jax.random.key(5),
            2,
            jnp.arange(300),
            batch_size=300,
        )["point"]
    )
    assert not np.allclose(own, again)
    noise = np.random.default_rng(0).normal(own.mean(), own.std(), own.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "reverse_kl is left out")  # of noise, and in 1200 dimensions
        near, far, none = (_scores(data, x)["swd"].value for x in (again, noise, own))
    assert 0 == none < near < far


def test_options_of_a_set_are_its_functions_own():
    data = points.load(Config("ring:n_modes=5,radius=3,std=0.5"), None)
    np.testing.assert_allclose(data["centres"], synthetic.ring(5, 3.0, 0.5).centres)
    np.testing.assert_allclose(data["std"], [0.5, 0.5])
    assert data.facts["samples"] == 2500


def test_modes_are_counted():
    """All eight by draws of the ring; one by a sampler that has collapsed; none beyond them."""
    data = points.load(Config("ring"), None)
    whole, one = (_scores(data, x) for x in (reference(data, 2000), np.tile(data["centres"][3], (50, 1))))
    with pytest.warns(UserWarning, match="reverse_kl is left out: no sample is within 3 standard deviations"):
        none = _scores(data, np.full((50, 2), 9.0))
    assert whole["captured"].value == 8
    assert whole["high_quality"].value == pytest.approx(0.989, abs=0.01)
    assert (one["captured"].value, one["reverse_kl"].value) == (1, pytest.approx(np.log(8)))
    assert none["captured"].value == 0
    assert "reverse_kl" not in none  # of no mode it is no number
    assert whole["captured"].protocol.better == "higher"


def test_samples_beside_the_modes_say_nothing_of_which_are_missing():
    """Around the ring, or at one mode of it: only the second misses the others."""
    data = points.load(Config("ring"), None)
    judge = points.judge(data, conditional=False, n=2500)
    names = lambda x: [trouble.name for trouble in judge.troubles(_made(x), [], [])]  # noqa: E731
    angle = np.linspace(0, 2 * np.pi, 2500, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle)], 1)
    assert names(around) == names(1.1 * around) == ["samples beside the modes"]
    assert names(data["centres"][0] + 0.01 * np.random.default_rng(0).normal(size=(2500, 2))) == [
        "7 of 8 modes missing"
    ]
    assert names(data.examples(2500)["point"]) == []


def test_real_stacked_digits_have_all_modes_and_one_digits_have_one():
    """26,000 real ones; (K - 1) / (2 N) is a perfect sampler's divergence."""
    data = points.load(Config("stacked"), None)
    judge = points.judge(data, conditional=False)
    assert judge.n == 26_000
    real = reference(data, 26_000)
    figures = judge.watch(_made(real))
    assert figures["captured"] >= 998
    assert 0.8 * 999 / 52_000 < figures["reverse_kl"] < 2 * 999 / 52_000
    assert not any(name.startswith("share/") for name in figures)  # of a thousand
    assert judge.watch(_made(np.repeat(real[:1], 100, 0)))["captured"] == 1


def test_the_slope_is_that_of_a_linear_critic():
    """|w|, and of packs of two the norm of both parts."""
    w = jnp.array([3.0, 4.0])
    real, fake = np.ones((16, 2), np.float32), np.zeros((16, 2), np.float32)
    assert slope(_made(fake, lambda x: x @ w), real) == pytest.approx(5)
    for m in (2, 3, 7):

        def packed(x, m=m):
            if len(x) % m:
                raise ValueError("no whole packs")
            return (x @ w).reshape(-1, m).sum(1)

        assert slope(_made(fake, packed), real) == pytest.approx(5 * np.sqrt(m))
    assert np.isnan(slope(_made(fake[:3], packed), real))


def test_what_is_watched_is_the_distance_and_shares_are_kept():
    data = points.load(Config("ring", 400), None)
    judge = points.judge(data, conditional=False)
    figures = judge.watch(_made(reference(data, 400)))
    assert next(iter(figures)) == "swd"
    assert sum(v for k, v in figures.items() if k.startswith("share/")) == pytest.approx(
        figures["high_quality"]
    )
    rows = [{"step": s, **{f"share/{i:02}": x for i, x in enumerate(shares)}, "score/captured": c}
            for s, shares, c in ((1, (1.0, 0.0), 1), (2, (0.0, 1.0), 2), (3, (1.0, 0.0), 2))]  # fmt: skip
    steps, shares = shares_of([{"step": 0, "d/loss": 1.0}, *rows])
    assert steps == [1, 2, 3]
    assert shares.shape == (3, 2)
    facts, lines = judge.remarks(None, rows)
    assert facts == {"captured_late": 2, "drift": 1}
    assert len(lines) == 2
    assert judge.remarks(None, []) == ({}, [])


def test_samples_that_are_not_finite_are_told():
    data = points.load(Config("ring", 100), None)
    bad = np.zeros((100, 2))
    bad[3] = np.nan
    assert points.judge(data, conditional=False).watch(_made(bad)) == {}
    with pytest.raises(InputError, match="1 of 100 samples are not finite"):
        _scores(data, bad)


@pytest.mark.parametrize(
    "spec", ["ring", "swiss_roll", "stacked", pytest.param("embedded", marks=pytest.mark.long)]
)
def test_a_picture_of_any_set(spec):
    data = points.load(Config(spec, 100), None)
    picture = points.show(data, _made(reference(data, 2500)))
    assert picture.dtype == np.uint8
    assert picture.std() > 10
    none = points.show(data, _made(np.full_like(reference(data, 100), 50.0)))
    assert not np.array_equal(picture, none)


def test_points_of_a_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 3))
    np.savez(tmp_path / "x.npz", point=x)
    data = points.load(Config(f"npz:{tmp_path / 'x.npz'}"), None)
    np.testing.assert_allclose(data["point"], x, rtol=1e-6)
    assert set(_scores(data, x)) == {"swd"}
    np.savez(tmp_path / "y.npz", image=x)
    with pytest.raises(InputError, match=r"has no array 'point' \[N, d\], but image"):
        points.load(Config(f"npz:{tmp_path / 'y.npz'}"), None)


def test_files_hold_the_samples(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    made = Made(x, None, None, 0)
    points.write[".npz"](tmp_path / "x.npz", made, {}, None)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["point"], x)
    points.write[".csv"](tmp_path / "x.csv", made, {}, None)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "x.csv", delimiter=",", dtype=np.float32), x)
    with pytest.raises(InputError, match="points of 3 numbers have no picture"):
        points.write[".png"](tmp_path / "x.png", made, {}, None)
