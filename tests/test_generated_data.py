import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import cgan
from experiments.ablations import generated_data
from experiments.ablations.generated_data import ALONE, Config, parted, shifted
from jaxgan import fitting
from jaxgan.config import InputError
from jaxgan.data.sources import image_set
from jaxgan.game import GAN, Optimizers

RNG = np.random.default_rng(0)
LABEL = np.arange(60) % 3
SET = image_set("three", RNG.integers(0, 256, (60, 8, 8, 1), np.uint8), LABEL, ("a", "b", "c"))


def _rows(data):
    """Which of SET's images these are."""
    return [int(np.flatnonzero((SET["image"] == x).all((1, 2, 3)))[0]) for x in data["image"]]


def test_the_few_and_the_others_share_no_image():
    few, others = parted(SET, 4, 0, 1000)
    assert np.bincount(few["label"]).tolist() == [4, 4, 4]
    assert sorted(_rows(few) + _rows(others)) == list(range(60))
    for part in (few, others):
        assert (part["label"] == LABEL[_rows(part)]).all()
    assert len(parted(SET, 4, 0, 10)[1]["label"]) == 10
    assert _rows(parted(SET, 4, 1, 1000)[0]) != _rows(few)
    assert _rows(parted(SET, 4, 0, 1000)[0]) == _rows(few)
    with pytest.raises(InputError, match="three has 20 images of a: --real-per-class is below"):
        parted(SET, 20, 0, 1000)
    with pytest.raises(InputError, match="has no labels"):
        parted(image_set("bare", SET["image"]), 4, 0, 1000)


def test_a_classifier_learns_what_it_is_told():
    """Dark and bright images; with the labels exchanged it is wrong on all."""
    label = np.arange(40, dtype=np.int32) % 2
    image = (100 * label[:, None, None, None] + RNG.integers(0, 100, (40, 8, 8, 1))).astype(np.uint8)
    for told, right in ((label, 1.0), (1 - label, 0.0)):
        variables = generated_data.learned(jax.random.key(0), image[:20], told[:20], n_classes=2, steps=60)
        assert generated_data.accuracy(variables, image[20:], label[20:], 2) == right


def test_shifted_images_are_moved_and_nothing_else():
    moved = shifted(SET["image"][:5], 200, 1, 0)
    seen = set()
    for i, x in enumerate(moved):
        edged = np.pad(SET["image"][i % 5], ((1, 1), (1, 1), (0, 0)), "edge")
        found = [(a, b) for a in range(3) for b in range(3) if (edged[a : a + 8, b : b + 8] == x).all()]
        assert len(found) == 1
        seen |= set(found)
    assert len(seen) == 9


def test_the_gan_sees_the_few_alone(monkeypatch):
    """And its averaged generator makes each class in turn."""
    few, _ = parted(SET, 4, 0, 1000)
    given = {}

    def sample(variables, z, label):
        return jnp.broadcast_to((variables["params"] + label)[:, None, None, None], (len(label), 8, 8, 1))

    gan = GAN(None, None, None, lambda key, slot: slot, sample, condition="label")
    state = SimpleNamespace(step=7, key=jax.random.key(0), g=SimpleNamespace(averaged={"params": -1.0}))

    def fit(gan, opts, arrays, **options):
        given.update(options, arrays=arrays)
        return SimpleNamespace(state=state)

    monkeypatch.setattr(cgan, "make", lambda cfg: (gan, Optimizers(optax.sgd(0.1), optax.sgd(0.1))))
    monkeypatch.setattr(fitting, "fit", fit)
    cfg = Config(method="cgan", gan_steps=7, image_size=8)
    image, label = generated_data.generated(cfg, few, 5, 70)
    assert given["arrays"] is few
    assert (given["seed"], given["steps"], given["batch_size"]) == (5, 7, 12)
    assert label.tolist() == [i % 3 for i in range(70)]
    np.testing.assert_array_equal(image[:, 0, 0, 0], np.array([0, 128, 255])[label])
    state.step = 6
    with pytest.raises(BaseException, match="stopped while a GAN was learning"):
        generated_data.generated(cfg, few, 5, 70)


def test_the_controls_are_of_the_same_number(monkeypatch):
    made = RNG.integers(0, 256, (30, 8, 8, 1), np.uint8), np.arange(1, 31) % 3
    asked = []
    monkeypatch.setattr(generated_data, "generated", lambda cfg, real, seed, n: asked.append(n) or made)
    found = generated_data.added(Config(generated=(12, 30)), SET, 0)
    assert asked == [30]
    assert [len(image) for image, _ in found.values()] == [12] * 3 + [30] * 3
    right, wrong = found["30 generated"], found["30 generated, labels permuted"]
    np.testing.assert_array_equal(right[0], wrong[0])
    assert np.bincount(wrong[1]).tolist() == [10, 10, 10]
    assert 3 < (right[1] == wrong[1]).sum() < 20
    copies, label = found["30 shifted"]
    np.testing.assert_array_equal(label, LABEL[:30])
    assert abs(copies[:, 2:-2, 2:-2].mean() - SET["image"].mean()) < 10


def test_the_table_pairs_the_seeds():
    found = {ALONE: [0.8, 0.9, 0.7], "10 generated": [0.84, 0.92, 0.76], "10 shifted": [0.8, 0.9, 0.7]}
    lines = generated_data.table(found).splitlines()
    # Differences 4, 2 and 6: a mean of 4, and 4.303 times 2 / sqrt(3) on each side.
    assert lines[2] == "| real alone | 80.0 | 55.2 to 100.0 |  |  |  |"
    assert lines[3] == "| ... and 10 generated | 84.0 | 64.1 to 100.0 | +4.0 | -1.0 to 9.0 |  |"
    assert lines[4].endswith("| +0.0 | 0.0 to 0.0 |  |")
    one = generated_data.table({name: values[:1] for name, values in found.items()}).splitlines()
    assert one[3] == "| ... and 10 generated | 84.0 |  | +4.0 |  |  |"


def test_another_call_goes_on_from_the_seeds_that_are_there(tmp_path, monkeypatch, capsys):
    asked = []

    def measured(cfg, data, seed):
        asked.append(seed)
        return {ALONE: 0.5 + seed / 10, "5 generated": 0.6 + seed / 20}

    monkeypatch.setattr(generated_data, "measured", measured)
    monkeypatch.setattr(generated_data.cache, "keep_compilations", lambda: None)
    cfg = Config(image_size=8, seeds=2, out=tmp_path / "a")
    generated_data.main(cfg)
    text = generated_data.main(Config(image_size=8, seeds=3, out=tmp_path / "a"))
    assert asked == [0, 1, 2]
    assert "| real alone | 60.0 |" in text
    assert (tmp_path / "a" / "table.md").read_text() == text + "\n"
    assert (tmp_path / "a" / "accuracy.png").stat().st_size > 3000
    record = json.loads((tmp_path / "a" / "results.json").read_text())
    assert record["seeds"]["2"] == {ALONE: 0.7, "5 generated": 0.7}
    assert "seed 2: real alone 70.0%, 5 generated 70.0%" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"another comparison \(gan_steps: 10, not 2000\)"):
        generated_data.main(Config(image_size=8, gan_steps=10, out=tmp_path / "a"))
    with pytest.raises(InputError, match="--generated: give one"):
        generated_data.main(Config(generated=(), out=tmp_path / "b"))


def test_a_seed_has_every_row(tmp_path, monkeypatch):
    """Each with the few real images, and tested on the others."""
    made = RNG.integers(0, 256, (9, 8, 8, 1), np.uint8), np.arange(9) % 3
    monkeypatch.setattr(generated_data, "generated", lambda cfg, real, seed, n: made)
    seen = []

    def learned(key, image, label, *, n_classes, steps):
        seen.append((image, label))
        return len(seen)

    def accuracy(variables, image, label, n_classes):
        return variables, len(image)

    monkeypatch.setattr(generated_data, "learned", learned)
    monkeypatch.setattr(generated_data, "accuracy", accuracy)
    cfg = Config(real_per_class=4, generated=(9,), out=tmp_path)
    found = generated_data.measured(cfg, SET, 0)
    names = [ALONE, "9 generated", "9 generated, labels permuted", "9 shifted"]
    assert found == {name: (i + 1, 48) for i, name in enumerate(names)}
    few, _ = parted(SET, 4, 0, 1000)
    for image, label in seen:
        np.testing.assert_array_equal(image[:12], few["image"])
        np.testing.assert_array_equal(label[:12], few["label"])
    assert [len(image) for image, _ in seen] == [12, 21, 21, 21]
    np.testing.assert_array_equal(seen[1][0][12:], made[0])
    assert (tmp_path / "samples.png").is_file()
