import dataclasses
import warnings

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import load
from jaxgan.data.sources import image_set
from jaxgan.metrics import features, judge, scores
from jaxgan.metrics.reference import measure, reference
from jaxgan.metrics.score import Sampling, table
from jaxgan.metrics.scores import METRICS


@pytest.fixture(scope="module")
def ref():
    return reference(load("digits", image_size=8), pairs=400)


def _values(ref, images, metrics, label=None, **options):
    found = scores.evaluate(
        ref, measure(ref, images, label), metrics, Sampling("images"), **{"groups": 0, **options}
    )
    return {score.name: score.value for score in found}


@pytest.fixture(scope="module")
def four(ref):
    """Every metric of half of the digits, of noise, of one digit a class again and again, and of the wrong
    labels."""
    real, label = ref.data["image"], ref.data["label"]
    noise = np.random.default_rng(0).integers(0, 256, (400, 8, 8, 1), np.uint8)
    half = np.random.default_rng(1).permutation(len(real))[::2]
    one = np.array([np.flatnonzero(label == c)[0] for c in range(10)] * 40)
    sets = {
        "real": (real[half], label[half]),
        "noise": (noise, label[:400]),
        "one": (real[one], label[one]),
        "wrong": (real[half], (label[half] + 1) % 10),
    }
    quick = [name for name in METRICS if name not in ("cas", "swd")]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* samples of 128 features")  # of a class
        found = {name: _values(ref, x, quick, y) for name, (x, y) in sets.items()}
    for name in ("real", "noise"):
        found[name] |= _values(ref, sets[name][0], ["swd"])
    return found


LIMITS = {  # a sampler that is the data's; one that makes noise
    "fcd_digits": ((0, 3), (100, 1e4)),
    "fd_infinity_classifier": ((-3, 2), (100, 1e4)),
    "kd_classifier": ((-5, 1), (100, 1e4)),
    "is_classifier": ((8.5, 10), (1, 6)),
    "precision_classifier": ((0.85, 1), (0, 0.5)),
    "recall_classifier": ((0.85, 1), (0, 0.5)),
    "density_classifier": ((0.8, 1.6), (0, 0.3)),
    "coverage_classifier": ((0.9, 1), (0, 0.2)),
    "two_sample_classifier": ((0, 0.55), (0.95, 1)),
    "intra_fd_classifier": ((0, 12), (100, 1e5)),
    "agreement": ((0.97, 1), (0, 0.3)),
    "memorisation": ((0, 0.5), (2, 10)),
    "diversity": ((0.95, 1.05), (1.2, 3)),
    "ms_ssim": ((0.2, 0.9), (0, 0.2)),
    "swd": ((0, 0.05), (0.2, 10)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_real_images_score_well_and_noise_does_not(four, name):
    (low, high), (bad_low, bad_high) = LIMITS[name]
    assert low <= four["real"][name] <= high
    assert bad_low <= four["noise"][name] <= bad_high


def test_every_metric_is_looked_at(four):
    assert set(four["real"]) == set(LIMITS)


def test_a_sampler_of_one_image_a_class_is_told(four):
    one = four["one"]
    assert one["diversity"] == pytest.approx(0, abs=1e-9)
    assert one["ms_ssim"] == pytest.approx(1, abs=1e-3)
    assert one["recall_classifier"] < 0.1
    assert one["agreement"] > 0.9
    assert one["fcd_digits"] > 5 * four["real"]["fcd_digits"]


def test_labels_that_are_ignored_are_told(four):
    real, wrong = four["real"], four["wrong"]
    assert wrong["agreement"] < 0.02
    assert wrong["intra_fd_classifier"] > 10 * real["intra_fd_classifier"]
    assert wrong["fcd_digits"] == real["fcd_digits"]


def test_samples_that_teach_the_classes_score_higher(ref, monkeypatch):
    monkeypatch.setattr(judge, "STEPS", 200)
    judge._train.clear_cache()
    real, label = ref.data["image"], ref.data["label"]
    good = _values(ref, real[::2], ["cas"], label[::2])["cas"]
    shuffled = np.random.default_rng(0).permutation(label[::2])
    bad = _values(ref, real[::2], ["cas"], shuffled)["cas"]
    judge._train.clear_cache()
    assert good > 0.9 > 0.3 > bad


def test_a_metric_of_pairs_looks_at_so_many(ref):
    images = np.concatenate([ref.data["image"], ref.data["image"]])
    found = scores.evaluate(ref, measure(ref, images), ["fd", "kd", "two_sample"], Sampling("x"), groups=0)
    counts = {s.name: (s.protocol.n_fake, s.protocol.n_reference) for s in found}
    assert counts == {
        "fcd_digits": (3594, 1797),
        "kd_classifier": (400, 400),
        "two_sample_classifier": (400, 400),
    }


def test_a_score_has_its_protocol_and_an_interval(ref):
    fake = measure(ref, ref.data["image"][::2])
    fcd, diversity = scores.evaluate(ref, fake, ["fd", "diversity"], Sampling("EMA", 3, 0.7))
    assert fcd.interval[0] < fcd.value < fcd.interval[1]
    p = fcd.protocol
    assert (p.metric, p.better, p.n_fake, p.n_reference) == ("fcd_digits", "lower", 899, 1797)
    assert (p.generator, p.seed, p.truncation, p.quantised) == ("EMA", 3, 0.7, "uint8")
    assert ref.data.digest in p.features
    assert p.reference_digest == ref.data.digest
    text = table([fcd, diversity])
    assert text.count("899 samples (EMA, seed 3, truncated at 0.7) and 1797 of digits") == 1
    assert "(nearer to 1 is better)" in text


def test_a_part_of_the_reference_is_a_sample_of_it(ref):
    """Also where the data lie sorted by class, as a folder's do."""
    order = np.argsort(ref.data["label"], kind="stable")
    data = image_set("sorted", ref.data["image"][order], ref.data["label"][order], ref.data.classes)
    by_class = reference(data, features.CELLS, pairs=1000)
    pick = np.random.default_rng(0).permutation(len(order))[:400]
    fake = measure(by_class, data["image"][pick])
    (score,) = scores.evaluate(by_class, fake, ["two_sample"], Sampling("x"))
    assert score.value < 0.52  # 0.64 with the first 400 of the classes
    assert score.interval[1] - score.interval[0] < 0.15
    assert (score.protocol.n_fake, score.protocol.n_reference) == (400, 400)


def test_as_many_fakes_as_there_are_real(ref):
    few = reference(image_set("few", ref.data["image"][:300]))
    found = scores.evaluate(
        few, measure(few, ref.data["image"][300:1300]), ["two_sample"], Sampling("x"), groups=0
    )
    assert (found[0].protocol.n_fake, found[0].protocol.n_reference) == (300, 300)


def test_what_has_no_reference_or_features_says_so(ref):
    images, label = ref.data["image"], ref.data["label"]
    fake = measure(ref, images, label)
    found = {
        s.name: s.protocol
        for s in scores.evaluate(ref, fake, ["agreement", "memorisation"], Sampling("x"), groups=0)
    }
    assert (found["agreement"].reference, found["agreement"].n_reference) == ("none", 0)
    assert (found["memorisation"].features, found["memorisation"].n_reference) == ("pixels", 1297)


def test_order_does_not_matter(ref):
    images = ref.data["image"][:400]
    names = ["fd", "kd", "precision_recall", "density_coverage", "diversity", "memorisation"]
    one, other = (_values(ref, x, names) for x in (images, images[::-1]))
    assert one == pytest.approx(other, rel=1e-6)


def test_published_names_are_of_inception_alone(ref):
    names = ("fd", "kd", "is", "fd_infinity", "precision")
    assert [scores.name(m, ref) for m in names[:2]] == ["fcd_digits", "kd_classifier"]
    space = features.Features("inception", "of a test", None)
    other = dataclasses.replace(ref, features=space)
    assert [scores.name(m, other) for m in names] == [
        "fid",
        "kid",
        "is",
        "fid_infinity",
        "precision_inception",
    ]


@pytest.mark.filterwarnings("ignore:150 samples of 192 features")
def test_data_without_labels_is_compared_by_its_cells():
    image = np.random.default_rng(0).integers(0, 256, (300, 12, 12, 3), np.uint8)
    plain = reference(image_set("noise", image))
    assert not plain.tells_classes
    same = _values(plain, image, scores.usual(plain, conditional=False))
    assert set(same) == {"fd_cells", "diversity", "memorisation"}
    assert same["fd_cells"] == pytest.approx(0, abs=1e-9)
    assert scores.distance(plain, image // 2) > 1
    assert scores.class_shares(plain, measure(plain, image)) is None
    flat = reference(image_set("flat", np.zeros_like(image)))
    assert scores.usual(flat, conditional=False) == ["fd"]
    for metric, told in (
        ("diversity", "diversity: the real images do not differ"),
        ("memorisation", "memorisation: most .* no yardstick"),
    ):
        with pytest.raises(InputError, match=told):
            _values(flat, image, [metric])


@pytest.mark.parametrize(
    ("metric", "change", "told"),
    [
        ("fid", {}, "--metrics 'fid' is not one of fd, .*did you mean 'fd'"),
        ("agreement", {"label": None}, "agreement needs images asked for by label"),
        ("is", {"kind": "cells"}, "is needs a classifier's logits: take --features classifier or inception"),
        ("agreement", {"kind": "cells"}, "agreement is with the classifier of the data"),
        ("intra_fd", {"one": True}, "intra_fd: class 0 has 0 fake samples; a distance needs 2"),
        ("fd", {"size": 9}, r"the images are \[9, 9, 1\], those of digits \[8, 8, 1\]"),
        ("ms_ssim", {"n": 1}, "ms_ssim: no class has two images"),
        ("fd", {"n": 1}, "fd: a covariance needs at least 2 samples, not 1"),
        ("precision_recall", {"n": 3}, "precision_recall: fake features must have at least 4 rows, not 3"),
    ],
)
def test_what_cannot_be_scored_is_told_in_a_line(ref, metric, change, told):
    rows = np.flatnonzero(ref.data["label"] == 3) if change.get("one") else np.arange(100)
    rows = rows[: change.get("n", 100)]
    images, label = ref.data["image"][rows], ref.data["label"][rows]
    if "kind" in change:
        ref = reference(ref.data, features.CELLS)
    if "size" in change:
        images = np.zeros((9, 9, 9, 1), np.uint8)
        label = label[:9]
    with pytest.raises(InputError, match=told) as e:
        _values(ref, images, [metric], None if "label" in change else label)
    assert "\n" not in str(e.value)
