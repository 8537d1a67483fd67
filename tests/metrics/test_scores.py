import dataclasses
import re
import warnings

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import load
from jaxgan.data.sources import image_set
from jaxgan.metrics import features, judge, scores
from jaxgan.metrics.reference import measure, reference
from jaxgan.metrics.score import Sampling, difference, table
from jaxgan.metrics.scores import METRICS


@pytest.fixture(scope="module")
def ref():
    return reference(load("digits", image_size=8), pairs=400)


def _values(ref, images, metrics, label=None, **options):
    found, missed = scores.evaluate(
        ref, measure(ref, images, label), metrics, Sampling("images"), **{"groups": 0, **options}
    )
    assert missed == []
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
        warnings.filterwarnings("ignore", ".* samples (of 128|than) features")  # of a class
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
    "sharpness": ((0.95, 1.05), (1.5, 10)),
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
    monkeypatch.setattr(judge, "MOST", 200)
    real, label = ref.data["image"], ref.data["label"]
    good = _values(ref, real[::2], ["cas"], label[::2])["cas"]
    shuffled = np.random.default_rng(0).permutation(label[::2])
    bad = _values(ref, real[::2], ["cas"], shuffled)["cas"]
    assert good > 0.9 > 0.3 > bad


def test_a_metric_of_pairs_looks_at_so_many(ref):
    images = np.concatenate([ref.data["image"], ref.data["image"]])
    found, _ = scores.evaluate(ref, measure(ref, images), ["fd", "kd", "two_sample"], Sampling("x"), groups=0)
    counts = {s.name: (s.protocol.n_fake, s.protocol.n_reference) for s in found}
    assert counts == {
        "fcd_digits": (3594, 1797),
        "kd_classifier": (400, 400),
        "two_sample_classifier": (400, 400),
    }


def test_a_score_has_its_protocol_and_an_interval(ref):
    fake = measure(ref, ref.data["image"][::2])
    (fcd, diversity), _ = scores.evaluate(ref, fake, ["fd", "diversity"], Sampling("EMA", 3, 0.7))
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
    ((score,), _) = scores.evaluate(by_class, fake, ["two_sample"], Sampling("x"))
    assert score.value < 0.52  # 0.64 with the first 400 of the classes
    assert score.interval[1] - score.interval[0] < 0.15
    assert (score.protocol.n_fake, score.protocol.n_reference) == (400, 400)


def test_as_many_fakes_as_there_are_real(ref):
    few = reference(image_set("few", ref.data["image"][:300]))
    found, _ = scores.evaluate(
        few, measure(few, ref.data["image"][300:1300]), ["two_sample"], Sampling("x"), groups=0
    )
    assert (found[0].protocol.n_fake, found[0].protocol.n_reference) == (300, 300)


def test_what_has_no_reference_or_features_says_so(ref):
    images, label = ref.data["image"], ref.data["label"]
    fake = measure(ref, images, label)
    found = {
        s.name: s.protocol
        for s in scores.evaluate(ref, fake, ["agreement", "memorisation"], Sampling("x"), groups=0)[0]
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
    found, missed = scores.evaluate(
        flat, measure(flat, image), ["diversity", "fd", "memorisation"], Sampling("x"), groups=0
    )
    assert [score.name for score in found] == ["fd_cells"]
    assert missed == [
        "diversity is left out: the real images do not differ",
        "memorisation is left out: most training images have a duplicate, so there is no yardstick",
    ]


@pytest.mark.parametrize(
    ("metric", "change", "told"),
    [
        ("agreement", {"label": None}, "agreement is left out: needs images asked for by label"),
        ("is", {"kind": "cells"}, "is is left out: needs a classifier's logits: take --features classifier"),
        ("agreement", {"kind": "cells"}, "agreement is left out: is with the classifier of the data"),
        ("intra_fd", {"one": True}, "intra_fd is left out: class 0 has 0 fake samples; a distance needs 2"),
    ],
)
def test_what_cannot_be_scored_is_told_in_a_line(ref, metric, change, told):
    rows = np.flatnonzero(ref.data["label"] == 3) if change.get("one") else np.arange(100)
    images, label = ref.data["image"][rows], None if "label" in change else ref.data["label"][rows]
    if "kind" in change:
        ref = reference(ref.data, features.CELLS)
    found, missed = scores.evaluate(
        ref, measure(ref, images, label), [metric, "swd"], Sampling("x"), groups=0
    )
    assert [score.name for score in found] == ["swd"]
    assert len(missed) == 1
    assert missed[0].startswith(told)
    assert "\n" not in missed[0]


def test_what_cannot_be_scored_at_all_is_refused(ref):
    with pytest.raises(InputError, match="--metrics 'fid' is not one of fd, .*did you mean 'fd'"):
        _values(ref, ref.data["image"][:50], ["fid"])
    with pytest.raises(InputError, match=r"the images are \[9, 9, 1\], those of digits \[8, 8, 1\]"):
        measure(ref, np.zeros((9, 9, 9, 1), np.uint8))


@pytest.mark.filterwarnings("ignore:.* samples (of 128|than) features")
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "cas"])
def test_each_metric_of_few_samples_is_taken_or_says_how_many_would_do(ref, metric, labelled):
    """From one sample on: what cannot be taken names a number, and of so many it is taken."""
    images = np.concatenate([ref.data["image"]] * 2)
    label = np.concatenate([ref.data["label"]] * 2) if labelled else None

    def at(n):
        fake = measure(ref, images[:n], None if label is None else label[:n])
        other = "diversity" if metric == "memorisation" else "memorisation"
        found, missed = scores.evaluate(ref, fake, [metric, other], Sampling("x"))
        assert [s for s in found if s.name == other]  # whatever else is not taken
        for score in found:
            low, high = score.protocol.within
            for x in (score.value, *(score.interval or ())):
                assert (low is None or low <= x) and (high is None or x <= high)  # noqa: PT018
        return missed

    if METRICS[metric].needs == "label" and not labelled:
        assert "needs images asked for by label" in at(5)[0]
        return
    named = set()
    for n in (1, 2, 3, 5, 9, 40):
        if missed := at(n):
            named.add(int(re.search(r"; --n (\d+) would do", missed[0])[1]))
            assert n < min(named)
    assert all(wanted <= 200 and at(wanted) == [] for wanted in named)


@pytest.mark.parametrize(("metric", "fewest"), [("kd", 2), ("precision_recall", 4), ("density_coverage", 6)])
def test_a_reference_of_few_images_is_told(ref, metric, fewest):
    images = ref.data["image"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* samples (of .*|than) features")
        few = reference(image_set("few", images[: fewest - 1]), features.CELLS) if fewest > 4 else None
    few = few or dataclasses.replace(ref, rows=ref.rows.take(slice(fewest - 1)))
    _, missed = scores.evaluate(few, measure(few, images[:50]), [metric], Sampling("x"), groups=0)
    assert missed[0].endswith(f"; it takes {fewest} real images")


def test_the_image_size_and_how_it_was_made_are_in_the_protocol(ref):
    fake = measure(ref, ref.data["image"][:60])
    ((score,), _) = scores.evaluate(ref, fake, ["swd"], Sampling("x"), groups=0)
    assert score.protocol.examples == "8x8x1"
    other = dataclasses.replace(
        ref, data=dataclasses.replace(ref.data, resized="resized (bicubic) from 16x16")
    )
    ((read,), _) = scores.evaluate(other, fake, ["swd"], Sampling("x"), groups=0)
    assert difference(read, score) == "examples: 8x8x1, resized (bicubic) from 16x16, not 8x8x1"


def test_likeness_is_a_mean_and_no_share_of_counts(ref):
    """Where all pairs are alike nothing is left open, as it is of a share that was never seen to fail."""
    real, label = ref.data["image"], ref.data["label"]
    one = np.array([np.flatnonzero(label == c)[0] for c in range(10)] * 20)
    fake = measure(ref, real[one], label[one])
    found, _ = scores.evaluate(ref, fake, ["ms_ssim", "agreement"], Sampling("x"))
    width = {score.protocol.metric: np.ptp(score.interval) for score in found}
    assert width["ms_ssim"] < 1e-3 < 0.01 < width["agreement"]
