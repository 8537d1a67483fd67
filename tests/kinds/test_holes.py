"""Holes in images, and a run of the context encoder that fills them."""

import dataclasses
import re

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan
from experiments import context_encoder
from jaxgan import cli, sampling, train
from jaxgan.config import InputError
from jaxgan.data import tasks
from jaxgan.kinds import Made
from jaxgan.kinds.pairs import hole, pairs
from jaxgan.metrics.full_reference import psnr
from jaxgan.metrics.score import Sampling
from jaxgan.train import Loop

TINY = {"data": "digits", "image_size": 16, "channels": 1, "held_out": 150, "batch_size": 8, "steps": 8}
TINY |= {"task": "hole:6,anywhere", "g_width": 4, "d_width": 4, "layers": 1}
OFTEN = {"chunk": 4, "log_every": 4, "sample_every": 4, "evaluate_every": 4, "checkpoint_every": 4}


def _start(out, name="a", devices=1, **config):
    cfg = context_encoder.Config(**{**TINY, **config})
    return train.start(cfg, Loop(name=name, out=str(out), devices=devices, **OFTEN), pairs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of eight steps: its folder and what was scored."""
    out = tmp_path_factory.mktemp("holes")
    return out / "context_encoder" / "a", _start(out)


@pytest.fixture(scope="module")
def given():
    """Held-out inputs and their truths."""
    data = pairs.load(context_encoder.Config(**TINY), None)
    return data.held_out["input"], data.held_out["image"]


def test_only_the_hole_is_replaced(trained, given):
    images, truth = given
    made = jaxgan.load(trained[0]).translate(images)
    inside = np.broadcast_to(hole(images, truth), truth.shape)
    assert inside.sum() == 36 * len(truth)
    np.testing.assert_array_equal(made[~inside], truth[~inside])
    assert (made[inside] != truth[inside]).mean() > 0.5
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)  # and every level there is
    every = np.concatenate([levels, np.zeros_like(levels)], -1)
    np.testing.assert_array_equal(jaxgan.load(trained[0]).translate(every), levels)


def test_it_is_scored_within_the_hole(trained, given):
    path, result = trained
    found = {score["name"]: score["value"] for score in result["scores"]}
    made = sampling.load(path, 8).translate(
        given[0]
    )  # of other noise, which a generator without dropout ignores
    inside = hole(*given)
    square = np.square((made / 255 - given[1] / 255) * inside).sum((1, 2, 3)) / 36
    assert found["psnr_hole"] == pytest.approx((-10 * np.log10(square)).mean(), rel=1e-5)
    assert found["psnr"] > found["psnr_hole"] + 5
    assert hole(given[1], given[1]) is None


def test_an_image_without_a_hole_is_left_out_of_its_score(given):
    data = pairs.load(context_encoder.Config(**TINY), None)
    judge, rng = pairs.judge(data), np.random.default_rng(0)
    truth = given[1]
    made = np.clip(truth.astype(int) + rng.integers(-20, 20, truth.shape), 0, 255).astype(np.uint8)
    for without in (50, 150):
        some = given[0].copy()
        some[:without, ..., 1] = 0
        scores = judge.scores(Made(made, {"input": some, "image": truth}, None, 1), Sampling("live"))
        found = [x for x in scores if x.protocol.metric == "psnr_hole"]
        if without == 150:
            assert not found
        else:
            assert found[0].value == pytest.approx(psnr(made[50:], truth[50:], hole(some, truth)[50:]).mean())
            assert found[0].protocol.n_fake == 100


@pytest.mark.long
def test_it_goes_on_bit_for_bit_and_on_two_devices(trained, tmp_path):
    path, _ = trained
    _start(tmp_path, steps=4)
    train.resume(tmp_path / "context_encoder" / "a", steps=8)
    both = [sampling.load(p, 8, critic=True) for p in (path, tmp_path / "context_encoder" / "a")]
    jax.tree.map(np.testing.assert_array_equal, *((g.variables, g.d_variables) for g in both))
    _start(tmp_path, "two", devices=2)
    one, two = (
        jaxgan.load(p).sample(jax.random.key(0), 8) for p in (path, tmp_path / "context_encoder" / "two")
    )
    np.testing.assert_allclose(two, one, atol=1e-3)


def test_what_is_transparent_in_a_picture_is_filled(trained, given, tmp_path):
    path, _ = trained
    images, truth = given
    alpha = 255 - images[0, ..., 1]
    grey = truth[0, ..., 0]
    Image.fromarray(np.stack([grey, grey, grey, alpha], -1)).save(tmp_path / "in.png")
    cli.main(["translate", str(path), str(tmp_path / "in.png"), "--out", str(tmp_path / "out.png")])
    made = np.asarray(Image.open(tmp_path / "out.png"))
    np.testing.assert_array_equal(made, jaxgan.load(path).translate(images[:1])[0, ..., 0])
    np.testing.assert_array_equal(made[alpha > 0], grey[alpha > 0])
    Image.fromarray(grey).save(tmp_path / "whole.png")
    with pytest.raises(SystemExit) as e:
        cli.main(["translate", str(path), str(tmp_path / "whole.png"), "--out", str(tmp_path / "x.png")])
    assert e.value.code == 2
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            {"task": "edges"},
            "--task edges: a context encoder fills hole:SIDE, hole:SIDE,anywhere or background",
        ),
        ({"task": "hole:17"}, "--task hole:17: the hole lies outside images of 16x16"),
    ],
)
def test_bad_input_is_told(config, told, tmp_path):
    with pytest.raises(InputError, match=re.escape(told)):
        _start(tmp_path, **config)
    assert not any(tmp_path.iterdir())


def test_a_cut_out_keeps_its_pixels_and_nothing_of_what_is_behind():
    cfg = context_encoder.Config(data="shapes:60", task="background", held_out=8)
    data = pairs.load(cfg, None)
    given, truth = data["input"], data["image"]
    inside = hole(given, truth)
    share = inside.mean((1, 2, 3))
    assert 0.3 < share.min() < share.max() < 0.95
    kept = np.broadcast_to(~inside, truth.shape)
    np.testing.assert_array_equal(given[..., :3][kept], truth[kept])
    assert np.unique(given[..., :3][~kept]).tolist() == [128]
    assert np.std(truth[~kept]) > 40
    # Where a subject covers a pixel in part, its truth is the mean of both by how much.
    subject, behind = np.full((1, 1, 2, 3), 1.0), np.zeros((1, 1, 2, 3))
    shown, whole = tasks.background(subject[0], np.array([[[0.75], [0.25]]]), behind[0])
    np.testing.assert_allclose(whole[0, :, 0], [0.75, 0.25])
    np.testing.assert_allclose(shown[0], [[0.75] * 3 + [0], [0.5] * 3 + [1]])
    for options, told in (
        ({"data": "digits"}, "cut-outs are those of --data shapes"),
        ({"data": "shapes:60", "task": "background:4"}, "--task 'background:4' is not one of"),
    ):
        with pytest.raises(InputError, match=re.escape(told)):
            pairs.load(dataclasses.replace(cfg, **options), None)
