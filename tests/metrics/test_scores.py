import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import mixtures
from jaxgan import cache
from jaxgan.data import Dataset, load
from jaxgan.metrics import judge, scores
from jaxgan.metrics.judge import Judge


@pytest.fixture(scope="module")
def ref():
    return scores.reference(load("digits", image_size=8))


def test_the_judge_is_right_on_digits_that_it_never_saw(ref):
    assert ref.judge.accuracy > 0.97


def test_the_judge_is_trained_once(ref, monkeypatch):
    monkeypatch.setattr(judge, "train", lambda data: pytest.fail("trained again"))
    again = scores.reference(ref.data)
    assert again.judge.accuracy == ref.judge.accuracy
    np.testing.assert_array_equal(again.moments[1], ref.moments[1])


def test_a_damaged_cache_is_made_anew(ref, monkeypatch):
    path = next((cache.folder() / "judges").glob(f"{ref.data.digest}*"))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    called = []
    monkeypatch.setattr(judge, "train", lambda data: called.append(data) or ref.judge)
    assert judge.cached(ref.data).accuracy == ref.judge.accuracy
    assert len(called) == 1
    assert path.read_bytes() == whole


def test_real_images_score_well_and_noise_does_not(ref):
    half = scores.evaluate(ref, ref.data.image[::2], ref.data.label[::2])
    noise = np.random.default_rng(0).integers(0, 256, (900, 8, 8, 1), np.uint8)
    bad = scores.evaluate(ref, noise, ref.data.label[:900])
    assert half["fcd"] < 0.05 * bad["fcd"]
    assert half["agreement"] > 0.97
    assert bad["agreement"] < 0.3
    assert 0 < ref.floor < 0.05 * bad["fcd"]
    assert all(0.07 < share < 0.13 for share in half["class_shares"].values())
    assert half["diversity"] == pytest.approx(1, abs=0.02)
    copies = ref.data.image[[np.flatnonzero(ref.data.label == c)[0] for c in range(10)] * 14]
    assert scores.evaluate(ref, copies)["diversity"] == pytest.approx(0, abs=1e-9)
    same = scores._std(ref.data.image[:1].repeat(8, 0), np.zeros(8))
    assert scores.evaluate(ref._replace(std=same), copies)["diversity"] is None  # nothing to compare with
    one = scores.evaluate(ref, ref.data.image[ref.data.label == 3])
    assert one["class_shares"]["3"] > 0.97
    assert "agreement" not in one


def test_scores_do_not_depend_on_the_batch_size(ref):
    images = ref.data.image[:70]
    a, b = (judge.judge(ref.judge, images, batch_size=n) for n in (32, 70))
    np.testing.assert_allclose(a[1], b[1], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="uint8"):
        judge.judge(ref.judge, images / 255)


@pytest.mark.filterwarnings("ignore:150 samples of 192 features")
def test_data_without_labels_is_compared_by_its_pixels():
    image = np.random.default_rng(0).integers(0, 256, (300, 12, 12, 3), np.uint8)
    plain = scores.reference(Dataset("noise", image, None, ()))
    assert plain.judge is None
    same = scores.evaluate(plain, image)
    assert set(same) == {"fd_pixels", "diversity"}
    assert same["fd_pixels"] == pytest.approx(0, abs=1e-9)
    assert scores.evaluate(plain, image // 2)["fd_pixels"] > 1
    with pytest.raises(ValueError, match="no labels"):
        judge.train(plain.data)


def test_pixels_are_cell_means():
    image = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 2), np.uint8)
    means = image.reshape(3, 8, 2, 8, 2, 2).mean((2, 4)) / 255
    np.testing.assert_allclose(scores._pixels(image), means.reshape(3, -1))


def test_the_protocol_says_what_was_compared(ref):
    found = scores.protocol(ref, step=7, n_fake=10, ema=True, seed=3)
    assert found["reference_digest"] == ref.data.digest
    assert ref.data.digest in found["features"]
    assert found["generator"] == "EMA"
    assert isinstance(ref.judge, Judge)


def test_real_stacked_digits_have_all_modes_and_one_digits_have_one(ref):
    """26,000 real ones, counted as the experiment does; (K - 1) / (2 N) is a perfect sampler's divergence."""
    target = mixtures.target(mixtures.Config(data="stacked", protocol="stacked"))
    real = np.asarray(target.draw(jax.random.key(0), jnp.arange(26_000)))
    figures = target.figures(real[None])
    assert figures["captured"][0] >= 998
    assert 0.8 * 999 / 52_000 < figures["reverse_kl"][0] < 2 * 999 / 52_000
    one = target.figures(np.repeat(real[None, :1], 100, 1))
    assert one["captured"][0] == 1
    assert one["reverse_kl"][0] == pytest.approx(np.log(1000), rel=1e-5)
