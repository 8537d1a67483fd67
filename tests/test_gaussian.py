"""The one-dimensional example, and its kind of data."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments import gaussian
from jaxgan import cli, methods, records, run, train
from jaxgan.kinds import Made
from jaxgan.train import Loop

CFG = gaussian.Config(mu=1.0, sigma=1.0)
DATA = gaussian.load(CFG, None)


def _made(samples, critic=lambda x: jnp.zeros(len(x))):
    return Made(np.asarray(samples, np.float32)[:, None], None, critic, 0)


def _normal(mean, n=20_000):
    return np.random.default_rng(0).normal(mean, 1, n)


def test_the_distance_of_shifted_normals_is_the_shift():
    for shift in (0, 0.5, 3):
        assert gaussian.wasserstein(DATA, _made(_normal(1 + shift))) == pytest.approx(shift, abs=0.03)


def test_the_density_is_that_of_the_samples():
    x = np.linspace(-2, 4, 50)
    np.testing.assert_allclose(gaussian.density(_normal(1)[:, None], x), stats.norm.pdf(x, 1), atol=0.02)


def test_the_best_d_has_no_error_and_a_flat_one_has_the_gap():
    """D* = sigmoid(log p_data / p_g): for normals of means 1 and 3 a line of slope -2 through 2."""
    best = lambda x: (4 - 2 * x)[:, 0]  # noqa: E731
    assert gaussian.d_error(DATA, _made(_normal(3), best)) < 0.01
    gap = np.abs(stats.logistic.cdf(4 - 2 * _normal(1)) - 0.5).mean()
    assert gaussian.d_error(DATA, _made(_normal(3))) == pytest.approx(gap, abs=0.01)
    assert gaussian.d_error(DATA, _made(_normal(1))) < 0.02  # where both are one, D* is 1/2


def test_a_run_is_one_as_any_other(tmp_path):
    cfg = gaussian.Config(steps=20, batch_size=32, hidden=(4,))
    loop = Loop(name="a", out=str(tmp_path), devices=1, chunk=10, sample_every=10, evaluate_every=10)
    found = train.start(cfg, loop, gaussian.line)
    path = tmp_path / "gaussian" / "a"
    assert [s["name"] for s in found["scores"]] == ["wasserstein", "d_error"]
    assert sorted(p.name for p in (path / "samples").iterdir()) == [
        "0000010.png",
        "0000020.png",
        "animation.gif",
    ]
    cli.main(["sample", str(path), "--n", "7", "--out", str(tmp_path / "x.csv")])
    assert np.loadtxt(tmp_path / "x.csv").shape == (7,)
    cli.main(["evaluate", str(path), "--n", "1000"])
    cli.main(["report", str(path)])
    assert "gaussian on normal(3, 0.5)" in (path / "report.html").read_text()
    assert run.method(records.read(path))[0].kind is gaussian.line


def test_its_kind_is_short():
    """At most a hundred lines of the file, as the README says."""
    text = Path(gaussian.__file__).read_text()
    kind = text[text.index("def draw(") : text.index("@dataclass")]
    assert len(kind.splitlines()) <= 100


@pytest.mark.slow
def test_d_comes_to_the_best_d(tmp_path):
    """Three seeds; the controls: against a G that stands still as well, but not a D that cannot learn."""

    def error(**options):
        cfg = gaussian.Config(**options)
        loop = Loop(name=str(len(list(tmp_path.rglob("config.json")))), out=str(tmp_path), seeds=3, devices=1)
        found = train.start(cfg, loop, gaussian.line)
        return [[s["value"] for s in lane["scores"] if s["name"] == "d_error"][-1] for lane in found.values()]

    assert max(error()) < 0.05
    assert max(error(g_lr=0.0, mu=1.0, sigma=1.0)) < 0.05
    assert min(error(g_lr=0.0, d_lr=0.0, mu=1.0, sigma=1.0)) > 0.1


def test_a_watched_score_that_is_not_finite_is_no_best(tmp_path):
    """And no other figure takes its place: here the distance is NaN until step 20."""

    def judge(data, **options):
        usual = gaussian.judge(data, **options)

        def watch(made):
            return usual.watch(made) | {
                "wasserstein": float("nan") if made.step < 20 else 9.0,
                "d_error": 0.1,
            }

        return usual._replace(watch=watch)

    experiment = {"module": None, "file": None, "kind": None}
    method = methods.Method(gaussian.make, gaussian.line._replace(judge=judge))
    cfg = gaussian.Config(steps=30, batch_size=32, hidden=(4,))
    loop = Loop(devices=1, chunk=10, sample_every=0, evaluate_every=10)
    train.begin(method, experiment, cfg, loop, gaussian.load(cfg, None), tmp_path / "a")
    assert records.checkpoints(tmp_path / "a", "best") == [20]
    rows = [row for row in records.rows(tmp_path / "a") if "score/d_error" in row]
    assert ["score/wasserstein" in row for row in rows] == [False, True, True]
