"""Normal and anomalous images as a kind of data: what is scored by which half, and what is shown."""

from dataclasses import dataclass
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import anomaly, plots
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.kinds import Made
from jaxgan.kinds.anomalies import _roc, anomalies, baselines, halves
from jaxgan.metrics.score import Sampling


@dataclass(frozen=True)
class Config:
    data: str = "digits"
    split: str = "train"
    image_size: int = 8
    channels: int | None = None
    normal: str = "0"
    held_out: int | None = 40


DATA = anomalies.load(Config(), None)


def _brightness(x, key, slot, untrained=False):
    """A stand-in for a run's: the score is the mean level, or, untrained, the same number for all."""
    score = jnp.where(untrained, 0.5, x.mean((1, 2, 3)))
    return anomaly.Examined(jnp.zeros_like(x), score, score, score)


def _made(examine=_brightness):
    return Made(np.zeros((64, 8, 8, 1), np.uint8), None, None, 7, examine)


@pytest.fixture(scope="module")
def scores():
    with np.errstate(all="raise"):
        return {score.name: score for score in anomalies.judge(DATA).scores(_made(), Sampling("live"))}


def test_each_half_has_its_own_auc(scores):
    """By hand, of what the stand-in says; the first is what a run is watched by, less being better."""
    found = {}
    for half, name in zip(halves(DATA), ("auc_validation", "auc"), strict=True):
        level = half.image.mean((1, 2, 3))
        normal, anomalous = level[~half.anomalous], level[half.anomalous]
        assert len(normal) == len(anomalous) == 20
        right = (anomalous[:, None] > normal[None]) + 0.5 * (anomalous[:, None] == normal[None])
        found[name] = right.mean()
        assert scores[name].value == pytest.approx(found[name], abs=1e-6)
    assert found["auc"] != found["auc_validation"]
    assert next(iter(scores)) == "misordered_validation"
    watched = anomalies.judge(DATA).watch(_made())
    assert watched == {"misordered_validation": pytest.approx(1 - found["auc_validation"], abs=1e-6)}
    assert scores["misordered_validation"].protocol.better == "lower"
    assert scores["auc"].interval[0] < found["auc"] < scores["auc"].interval[1]
    assert scores["auc_untrained"].value == 0.5
    assert scores["auc"].protocol.n_reference == 40


def test_what_is_watched_never_sees_the_test():
    """Nor does the choice of PCA's components: other images there change neither."""
    held = DATA.held_out
    other = {name: x.copy() for name, x in held.arrays.items()}
    other["image"][held["test"] > 0] = 255 - other["image"][held["test"] > 0]
    changed = Dataset("x", dict(DATA.arrays), DATA.facts, held_out=Dataset("y", other))
    assert anomalies.judge(changed).watch(_made()) == anomalies.judge(DATA).watch(_made())
    assert baselines(changed).components == baselines(DATA).components
    assert anomalies.judge(changed).scores(_made(), Sampling("live"))[2].value != pytest.approx(
        anomalies.judge(DATA).scores(_made(), Sampling("live"))[2].value
    )


def test_plain_scores_tell_a_digit_from_others(scores):
    """A zero from other digits, by far better than brightness; and PCA's number is told."""
    assert scores["auc_pca"].value > 0.95
    assert scores["auc_class_mean"].value > 0.9
    assert scores["auc"].value < 0.8
    k = baselines(DATA).components
    facts, (line,) = anomalies.judge(DATA).remarks(_made(), [])
    assert facts == {"components_of_pca": k}
    assert f"of {k} components" in line
    assert scores["auc_pca"].protocol.features == f"what {k} principal components of these leave"


def test_a_run_without_a_way_to_examine_is_told():
    with pytest.raises(InputError, match="told by a run's own generator"):
        anomalies.judge(DATA).watch(_made(None))
    with pytest.raises(InputError, match="no normal and anomalous images are held out"):
        anomalies.check(Dataset("x", dict(DATA.arrays)))
    assert anomalies.finals["heat_maps"](DATA, _made(None), []) is None


def test_heat_maps_are_of_the_validation_images_in_columns():
    """Eight normal and eight anomalous, each over the grey that the stand-in finds, and their difference."""
    canvas = anomalies.finals["heat_maps"](DATA, _made(), [])
    assert canvas.shape == (3 * 9 + 1, 16 * 9 + 1, 3)
    validation, _ = halves(DATA)
    first, odd = validation.image[0], validation.image[validation.anomalous][0]
    np.testing.assert_array_equal(canvas[1:9, 1:9, 0], first[..., 0])
    np.testing.assert_array_equal(canvas[1:9, 73:81, 0], odd[..., 0])
    assert (canvas[10:18, 1:9] == 128).all()


def test_a_heat_map_is_dark_where_nothing_differs():
    image = np.zeros((1, 1, 3, 1), np.uint8)
    image[0, 0, 1:, 0] = 128, 255
    tiles = plots.heat_maps(image, np.full((1, 1, 3, 1), -1.0))
    assert tiles.shape == (1, 3, 1, 3, 3)
    same, half, all_of = tiles[0, 2, 0].astype(int)
    assert same.sum() < 20
    assert same.sum() < half.sum() < all_of.sum()
    assert all_of.sum() > 550


def test_the_curve_is_the_auc():
    """The area under what is drawn, by trapezoids."""
    drawn = {}
    axis = SimpleNamespace(
        plot=lambda x, y, *rest, label="", **more: drawn.setdefault(label, (x, y)),
        set=lambda **more: None, legend=lambda **more: None,
    )  # fmt: skip
    _, test = halves(DATA)
    score = test.image.mean((1, 2, 3)).round(-1)  # with ties
    _roc(test, {"run": score}, axis)
    (label,) = [name for name in drawn if name]
    assert label == f"run {test.auc(score):.3f}"
    assert np.trapezoid(drawn[label][1], drawn[label][0]) == pytest.approx(test.auc(score))


def test_panels_show_both_sorts():
    generator = SimpleNamespace(made=lambda key, n, asked: _made())
    found = anomalies.panels(DATA, generator, None, [])
    assert [panel.heading for panel in found] == [
        "Samples", "Normal images", "Anomalous images", "Receiver operating characteristic", "Scores",
    ]  # fmt: skip
    tiles = found[2].what.images
    _, test = halves(DATA)
    np.testing.assert_array_equal(tiles[0][..., 0], test.image[test.anomalous][0][..., 0])
    assert len(tiles) == 24
    for panel in found[3:]:
        assert plots.chart(panel.what, (300, 200), title="").shape[2] in (3, 4)
