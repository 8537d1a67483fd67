import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import cache
from jaxgan.config import InputError
from jaxgan.data import load
from jaxgan.data.sources import image_set
from jaxgan.metrics import features, judge, reference
from jaxgan.metrics.frechet import frechet_distance, merge, moments, statistics


@pytest.fixture(scope="module")
def digits():
    return load("digits", image_size=8)


@pytest.fixture(scope="module")
def ref(digits):
    return reference.reference(digits)


def test_the_classifier_is_right_on_digits_that_it_never_saw(digits, ref):
    assert judge.cached(digits).accuracy > 0.97
    assert ref.tells_classes
    assert (ref.seen(ref.rows) == ref.rows.label).mean() > 0.97


def test_the_statistics_are_those_of_all_images_and_are_made_once(ref, digits, monkeypatch):
    expected = moments(features.classifier(digits).of(digits["image"])[0])
    for ours, theirs in zip(ref.moments, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    monkeypatch.setattr(judge, "train", lambda data, seed: pytest.fail("trained again"))
    monkeypatch.setattr(reference, "_measure", lambda *args: pytest.fail("measured again"))
    again = reference.reference(digits)
    np.testing.assert_array_equal(again.moments[1], ref.moments[1])
    assert (again.floor, again.std) == (ref.floor, ref.std)


def test_a_damaged_cache_is_made_anew(ref, digits):
    path = next((cache.folder() / "references").glob(f"{digits.digest}-*-5000-*"))
    path.write_bytes(path.read_bytes()[:1000])
    assert reference.reference(digits).floor == ref.floor
    assert len(path.read_bytes()) > 1000


def test_a_damaged_judge_is_trained_anew(digits, monkeypatch):
    path = next((cache.folder() / "judges").glob(f"{digits.digest}*"))
    whole, known = path.read_bytes(), judge.cached(digits)
    path.write_bytes(whole[:100])
    called = []
    monkeypatch.setattr(judge, "train", lambda data, seed: called.append(data) or known)
    assert judge.cached(digits).accuracy == known.accuracy
    assert len(called) == 1
    assert path.read_bytes() == whole


def test_fewer_pairs_are_other_rows_and_another_cache(ref, digits):
    few = reference.reference(digits, pairs=100)
    assert len(few.rows.image) == 100
    assert len(ref.rows.image) == len(digits["image"])
    np.testing.assert_array_equal(few.moments[0], ref.moments[0])


@pytest.mark.parametrize("spec", ["classifier", "raw", "cells", "projection"])
def test_every_feature_space_has_a_row_an_image_whatever_the_batch(spec, digits):
    space = features.named(spec, digits)
    together = space.of(digits["image"][:70])[0]
    apart = np.concatenate([space.of(digits["image"][i : i + 7])[0] for i in range(0, 70, 7)])
    assert together.shape[0] == 70
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-5)


def test_cells_are_means_and_raw_are_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 2), np.uint8)
    means = image.reshape(3, 8, 2, 8, 2, 2).mean((2, 4)) / 255
    np.testing.assert_allclose(features.CELLS.of(image)[0], means.reshape(3, -1))
    np.testing.assert_allclose(features.RAW.of(image)[0], image.reshape(3, -1) / 255, rtol=1e-6)
    with pytest.raises(InputError, match="too large for raw features; choose projection"):
        features.RAW.of(np.zeros((2, 64, 64, 3), np.uint8))


def test_a_projection_keeps_distances_and_is_a_function_of_its_seed():
    image = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), np.uint8)
    raw = features.RAW.of(image)[0]
    small = features.projection().of(image)[0]
    assert small.shape == (40, 256)

    def apart(x):
        return np.square(x[:20] - x[20:]).sum(1)

    ratio = apart(small) / apart(raw)
    assert np.abs(ratio - 1).max() < 4 * np.sqrt(2 / 256)
    np.testing.assert_array_equal(small, features.projection().of(image)[0])
    assert np.abs(small - features.projection(seed=1).of(image)[0]).max() > 0.1


def one_row(images):
    """No row of each image."""
    return images.mean((0, 1))


def words(images):
    """No numbers."""
    return np.full((len(images), 2), "a")


WEIGHTS = {"scale": 1.0}


def weighted(images):
    """What depends on more than its own source."""
    return images.mean((1, 2)) * WEIGHTS["scale"]


def test_a_function_with_other_weights_has_another_name(digits, monkeypatch):
    one, same = (features.custom(f"{__name__}:weighted", digits) for _ in range(2))
    monkeypatch.setitem(WEIGHTS, "scale", 1.1)
    assert one.name == same.name != features.custom(f"{__name__}:weighted", digits).name


def test_a_classifier_with_other_weights_has_another_name(digits):
    known = judge.cached(digits)
    changed = known._replace(params=jax.tree.map(lambda x: x * 1.05, known.params))
    assert known.name != changed.name
    assert known.name == judge.cached(digits).name


def mean_colour(images):
    """A feature space of this test's own."""
    return images.mean((1, 2))


def test_a_function_of_the_users_has_its_source_in_its_name(digits):
    space = features.named(f"{__name__}:mean_colour", digits)
    assert space.kind.endswith("test_reference_mean_colour")
    assert space.name.endswith(f" on {digits.digest}")
    np.testing.assert_array_equal(space.of(digits["image"][:5])[0], digits["image"][:5].mean((1, 2)))
    found = reference.reference(digits, space)
    assert frechet_distance(moments(mean_colour(digits["image"])), found.moments) == pytest.approx(
        0, abs=1e-9
    )


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("clasifier", "--features 'clasifier' is not one of classifier, .*did you mean 'classifier'"),
        ("nowhere:f", "--features nowhere:f: No module named 'nowhere'"),
        ("math:f", "--features math:f: module 'math' has no attribute 'f'"),
        (f"{__name__}:digits_of_pi", "no attribute 'digits_of_pi'"),
        (":f", "--features :f: Empty module name"),
        (f"{__name__}:one_row", r"one_row made float64\[8, 1\] of 64 images, not a row of numbers of each"),
        (f"{__name__}:words", "words made <U1.* not a row of numbers of each"),
    ],
)
def test_features_that_cannot_be_had_are_told(spec, told, digits):
    with pytest.raises(InputError, match=told):
        features.named(spec, digits)


def test_images_that_cannot_be_measured_are_told(ref, digits):
    ref_of = lambda space: dataclasses.replace(ref, features=space)  # noqa: E731
    space = features.named("cells", digits)
    with pytest.raises(InputError, match="images are uint8 in 0 to 255, not float32: scale and round them"):
        reference.measure(ref_of(space), np.zeros((3, 8, 8, 1), np.float32))
    broken = features.Features("broken", "of this test", lambda x: (np.array([[1.0], [np.nan]]), None))
    with pytest.raises(InputError, match="features of 1 of 2 images are not finite \\(of this test\\)"):
        reference.measure(ref_of(broken), digits["image"][:2])
    with pytest.raises(InputError, match="has no labels to train a classifier on"):
        features.named("classifier", image_set("plain", digits["image"]))


def test_devices_and_batches_make_the_same_statistics(ref):
    """Eight devices' shares of the features, each reduced where it is, against all of them at once."""
    rows = ref.rows.features[:1600]
    shares = [
        jax.device_put(jnp.asarray(part), device)
        for part, device in zip(np.split(rows, 8), jax.devices()[:8], strict=True)
    ]
    merged = merge(*(statistics(share) for share in shares)).moments
    for ours, theirs in zip(merged, moments(rows[::-1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("digits", "digits"),
        ("tfds:fashion_mnist/train", "fashion_mnist"),
        ("folder:/data/my faces", "my_faces"),
        ("npz:sets/cats.npz", "cats"),
    ],
)
def test_a_data_set_has_a_short_name(name, short):
    assert reference.short_name(image_set(name, np.zeros((1, 1, 1, 1), np.uint8))) == short
