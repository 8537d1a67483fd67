"""Pairs of images: what is held out, asked, scored, shown and written, and a run of pix2pix."""

import contextlib
import io
import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan
from experiments import pix2pix
from jaxgan import cli, records, sampling, train, translate
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.kinds import Made
from jaxgan.kinds.pairs import figures, pairs, seen
from jaxgan.metrics.full_reference import l1
from jaxgan.metrics.score import Sampling
from jaxgan.train import Loop

SMALL = {"data": "digits", "image_size": 16, "channels": 1, "held_out": 150, "batch_size": 8, "steps": 12}
TINY = {**SMALL, "g_width": 4, "d_width": 4, "layers": 1}
OFTEN = {"chunk": 3, "log_every": 1, "sample_every": 6, "evaluate_every": 6, "checkpoint_every": 6}


def _start(out, name="a", devices=1, **config):
    cfg = pix2pix.Config(**{**TINY, **config})
    return train.start(cfg, Loop(name=name, out=str(out), devices=devices, **OFTEN), pairs)


@pytest.fixture(scope="module")
def data():
    return pairs.load(pix2pix.Config(**SMALL), None)


@pytest.fixture(scope="module")
def told():
    """What a run prints."""
    return io.StringIO()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, told):
    """A run of twelve steps: its folder and what was scored."""
    out = tmp_path_factory.mktemp("pairs")
    with contextlib.redirect_stdout(told):
        return out / "pix2pix" / "a", _start(out)


def _leaves(path, step=12):
    generator = sampling.load(path, step, critic=True)
    return jax.tree.leaves((generator.variables, generator.d_variables))


def test_what_is_asked_was_held_out(data):
    asked = pairs.ask(data)
    np.testing.assert_array_equal(asked["input"], data.held_out["input"][:64])
    drawn = sampling.drawn(data, pairs, 190)
    np.testing.assert_array_equal(drawn["image"][:150], data.held_out["image"])
    np.testing.assert_array_equal(drawn["image"][150:], data.held_out["image"][:40])
    trained = {x.tobytes() for x in data["image"]}
    fresh = [x.tobytes() not in trained for x in data.held_out["image"]]
    assert np.mean(fresh) > 0.9  # some digits are there twice


def test_the_truth_itself_scores_best(data):
    judge, asked = pairs.judge(data, conditional=True), sampling.drawn(data, pairs, 250)
    assert judge.n == 250
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, asked["image"].shape, np.uint8)
    mean = np.broadcast_to(data["image"].mean(0).astype(np.uint8), asked["image"].shape)
    of = {}
    for name, samples in {"truth": asked["image"], "noise": noise, "mean": mean}.items():
        found = judge.scores(Made(samples, asked, None, 1), Sampling("live"))
        of[name] = {score.protocol.metric: score for score in found}
    value = lambda name, metric: of[name][metric].value  # noqa: E731
    assert (value("truth", "l1"), value("truth", "psnr"), value("truth", "detail")) == (0, 100, 1)
    assert value("truth", "ssim") == pytest.approx(1, abs=1e-5)
    assert value("truth", "variety") == 0
    assert value("noise", "variety") > 0.3
    assert value("truth", "l1") < value("mean", "l1") < value("noise", "l1")
    assert value("truth", "agreement") > 0.9 > 0.5 > value("mean", "agreement")
    assert value("mean", "detail") < 0.3 < 1 < value("noise", "detail")
    protocol = of["mean"]["l1"].protocol
    assert (protocol.reference, protocol.n_reference) == ("digits, edges, held out", 150)
    low, high = of["mean"]["l1"].interval
    assert low < value("mean", "l1") < high
    facts, lines = judge.remarks(Made(mean, asked, None, 1), [])
    assert facts["l1_of_the_mean_image"] == pytest.approx(value("mean", "l1"), abs=0.003)
    assert len(lines) == 2


def test_a_mean_has_no_interval_of_a_share(data):
    """Of an l1 near 0, counted as 150 answers of which one is wrong, it would be many times as wide."""
    asked, rng = sampling.drawn(data, pairs, 150), np.random.default_rng(0)
    made = np.clip(asked["image"].astype(int) + rng.integers(-2, 3, asked["image"].shape), 0, 255).astype(
        np.uint8
    )
    found = pairs.judge(data).scores(Made(made, asked, None, 1), Sampling("live"))
    score = next(x for x in found if x.protocol.metric == "l1")
    each = l1(made, asked["image"])
    reach = 1.96 * each.std(ddof=1) / len(each) ** 0.5
    low, high = score.interval
    assert low < score.value < high
    assert 0.4 * reach < (high - low) / 2 < 2.5 * reach


def test_other_answers_are_compared_with_the_first():
    real = np.zeros((4, 16, 16, 1), np.uint8)
    found = figures(real, real, real[:2] + 51)
    assert found["variety"] == pytest.approx(0.2)
    assert "variety" not in figures(real, real)


def test_sizes_and_masks_are_made_alike():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 4), np.uint8)
    assert seen(image, (8, 8)).shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(seen(image, (4, 4)), image[..., :3])
    np.testing.assert_array_equal(seen(image[..., :2], (4, 4)), np.repeat(image[..., :1], 3, 3))


def test_a_run_leaves_what_it_promises(trained, told):
    path, result = trained
    assert f"more      jaxgan translate {path} INPUT --out OUTPUT" in told.getvalue()
    names = {score["name"] for score in result["scores"]}
    assert {"l1", "psnr", "ssim", "detail", "variety", "agreement", "fcd_digits"} <= names
    with Image.open(path / "samples.png") as picture:
        width, height = picture.size
    assert width > 4 * height  # sixteen columns of an input, an answer and the truth
    row = [row for row in records.rows(path) if "score/l1" in row][-1]
    assert row["score/l1"] == pytest.approx(next(s["value"] for s in result["scores"] if s["name"] == "l1"))
    assert json.loads((path / "config.json").read_text())["data"]["facts"]["input_channels"] == 1


def test_it_goes_on_bit_for_bit_and_on_two_devices(trained, tmp_path):
    path, _ = trained
    _start(tmp_path, steps=6)
    train.resume(tmp_path / "pix2pix" / "a", steps=12)
    jax.tree.map(np.testing.assert_array_equal, _leaves(path), _leaves(tmp_path / "pix2pix" / "a"))
    _start(tmp_path, "two", devices=2)
    # A bias before a normalisation is moved by rounding alone: what is made is compared.
    one, two = (jaxgan.load(p).sample(jax.random.key(0), 8) for p in (path, tmp_path / "pix2pix" / "two"))
    np.testing.assert_allclose(two, one, atol=1e-3)
    assert np.abs(one - jaxgan.load(path, 6).sample(jax.random.key(0), 8)).max() > 0.02


def test_the_commands(trained, tmp_path, capsys):
    path, _ = trained
    cli.main(["sample", str(path), "--n", "5", "--out", str(tmp_path / "x.png")])
    cli.main(["sample", str(path), "--n", "5", "--out", str(tmp_path / "x.npz")])
    with np.load(tmp_path / "x.npz") as found:
        assert found["image"].shape == found["input"].shape == (5, 16, 16, 1)
    cli.main(["evaluate", str(path), "--n", "200"])
    assert "psnr" in capsys.readouterr().out
    cli.main(["report", str(path)])
    page = (path / "report.html").read_text()
    assert "Answers" in page
    assert "Variants" in page
    cli.main(["compare", str(path), str(path), "--metric", "l1"])
    assert "l1, lower is better" in capsys.readouterr().out


def test_a_users_own_input_is_answered(trained, data):
    generator = jaxgan.load(trained[0])
    given = data.held_out["input"][:3]
    whole = generator.sample(jax.random.key(0), 3, given)
    beside_another = generator.sample(jax.random.key(0), 3, given[[0, 1, 0]])
    np.testing.assert_array_equal(whole[:2], beside_another[:2])
    assert np.abs(whole[2] - beside_another[2]).max() > 1e-4
    # A processor may add up another order of terms where a batch has another size.
    np.testing.assert_allclose(whole[:2], generator.sample(jax.random.key(0), 2, given[:2]), atol=1e-6)
    variants = generator.sample(jax.random.key(0), 4, given[0])
    assert np.abs(variants[0] - variants[1]).max() > 1e-4
    with pytest.raises(InputError, match=r"the condition is uint8\[3, 8, 8, 1\]"):
        generator.sample(jax.random.key(0), 3, given[:, ::2, ::2])


@pytest.mark.parametrize("form", ["image", "folder", "npz"])
def test_images_of_ones_own_are_translated(trained, data, tmp_path, form, capsys):
    path, _ = trained
    given = data.held_out["input"][:3]
    expected = jaxgan.load(path).translate(given, jax.random.key(5))
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for i, name in enumerate(("0.png", "1.png", "deep/2.png")):
        Image.fromarray(given[i, ..., 0]).save(tmp_path / "in" / name)
    np.savez(tmp_path / "in.npz", input=given)
    source, out = {
        "image": ("in/0.png", "out.png"), "folder": ("in", "out"), "npz": ("in.npz", "out.npz")
    }[form]  # fmt: skip
    cli.main(["translate", str(path), str(tmp_path / source), "--out", str(tmp_path / out), "--seed", "5"])
    n = 1 if form == "image" else 3
    assert f"{n} answers of step 12 in {tmp_path / out}" in capsys.readouterr().out
    if form == "npz":
        with np.load(tmp_path / out) as made:
            np.testing.assert_array_equal(made["image"], expected)
    else:
        names = ["out.png"] if form == "image" else ["out/0.png", "out/1.png", "out/deep/2.png"]
        made = np.stack([np.asarray(Image.open(tmp_path / name)) for name in names])
        np.testing.assert_array_equal(made[..., None], expected[:n])


def test_variants_and_another_size_are_translated(trained, data, tmp_path):
    path, _ = trained
    generator, given = jaxgan.load(path), data.held_out["input"][:2]
    several = generator.translate(given, variants=3)
    assert several.shape == (6, 16, 16, 1)
    np.testing.assert_array_equal(several[0], generator.translate(given[:1])[0])
    assert (several[0] != several[1]).any()
    wide = np.tile(given, (1, 1, 2, 1))
    assert generator.translate(wide).shape == (2, 16, 32, 1)
    Image.fromarray(wide[0, ..., 0]).save(tmp_path / "x.png")
    cli.main(
        ["translate", str(path), str(tmp_path / "x.png"), "--out", str(tmp_path / "y.png"), "--variants", "2"]
    )
    with Image.open(tmp_path / "y.png") as grid:
        assert grid.size[0] > 64


def test_what_cannot_be_translated_is_a_line(trained, data, tmp_path):
    path, _ = trained
    colour = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for name, x in {"odd": colour[:10, :, 0], "colour": colour}.items():
        Image.fromarray(x).save(tmp_path / f"{name}.png")
    (tmp_path / "text.png").write_text("no image")
    for folder in ("in", "there"):
        (tmp_path / folder).mkdir()
    Image.fromarray(colour).save(tmp_path / "in" / "x.png")
    (tmp_path / "there" / "x").touch()
    np.savez(tmp_path / "other.npz", other=colour)
    for source, out, told in [
        (
            "odd.png",
            "y.png",
            "odd.png of 16x10: a U-Net of depth 2 takes sides that are multiples of 4, not 10x16",
        ),
        ("colour.png", "y.png", "colour.png has 3 channels, and the generator is given 1"),
        ("text.png", "y.png", "cannot be read as an image"),
        ("none.png", "y.png", "there is no such file"),
        ("odd.png", "y.txt", "a name that ends as an image's does"),
        ("other.npz", "y.npz", "has no array 'input' or 'image', but other"),
        ("other.npz", "y.png", "has no array"),
        ("in", "there", "is there already; name a new folder"),
    ]:
        with pytest.raises(InputError, match=re.escape(told)):
            _translate(path, tmp_path / source, tmp_path / out)
    for name in ("x.png", "x.bmp"):
        (tmp_path / "twice").mkdir(exist_ok=True)
        Image.fromarray(colour).save(tmp_path / "twice" / name)
    with pytest.raises(InputError, match="two images of one folder have one name"):
        _translate(path, tmp_path / "twice", tmp_path / "new")
    before = (tmp_path / "odd.png").read_bytes()
    with pytest.raises(SystemExit) as e:
        cli.main(["translate", str(path), str(tmp_path / "odd.png"), "--out", str(tmp_path / "odd.png")])
    assert e.value.code == 2
    assert (tmp_path / "odd.png").read_bytes() == before
    with pytest.raises(InputError, match="variants is 0"):
        jaxgan.load(path).translate(data.held_out["input"][:1], variants=0)


def _translate(path, source, out):
    read = translate.read(source, path)
    translate.check_out(read, out)
    translate.write(jaxgan.load(path), read, out, jax.random.key(0))


def test_data_that_are_no_pairs_are_refused(data):
    with pytest.raises(InputError, match="has no array 'input'"):
        pairs.check(Dataset("x", {"image": data["image"]}))
    with pytest.raises(InputError, match="no pairs are held out"):
        pairs.check(Dataset("x", dict(data.arrays)))
    with pytest.raises(InputError, match=r"'image' is float32\[1647, 16, 16, 1\]"):
        pairs.check(Dataset("x", {"input": data["input"], "image": data["image"] / 255}))
