"""What the experiments' docstrings claim, each beside a negative control: `pytest -m slow`."""

import importlib

import pytest

from jaxgan import train
from jaxgan.train import Loop

pytestmark = pytest.mark.slow

# The Frechet distance that each experiment's defaults stay below; without learning it is above 100.
BOUNDS = {
    "gan": 90,
    "dcgan": 10,
    "cgan": 6,
    "lsgan": 20,
    "wgan": 30,
    "wgan_gp": 8,
    "dragan": 15,
    "sngan": 20,
    "r3gan": 8,
    "ttur": 8,
    "unrolled": 30,
    "minibatch": 8,
    "pacgan": 20,
    "mode_seeking": 8,
    "acgan": 15,
    "projection": 8,
    "infogan": 15,
    "toolbox": 25,
}


def _scores(name, tmp_path, **config):
    """The scores by name, and the classes' shares."""
    module = importlib.import_module(f"experiments.{name}")
    loop = Loop(name="a", out=str(tmp_path), devices=1, sample_every=0, evaluate_every=0)
    found = train.start(module.Config(**config), loop)
    return {s["name"]: s["value"] for s in found["scores"]} | {"shares": found["class_shares"].values()}


def _learned(scores, fcd):
    return min(scores["shares"]) > 0.02 and max(scores["shares"]) < 0.25 and scores["fcd_digits"] < fcd


@pytest.mark.parametrize(("name", "fcd"), BOUNDS.items())
def test_the_defaults_learn_the_digits(name, fcd, tmp_path):
    scores = _scores(name, tmp_path)
    assert _learned(scores, fcd), scores
    assert 0.7 < scores["memorisation"] < 2
    assert 0.8 < scores["diversity"] < 1.2
    assert scores.get("agreement", 1) > 0.95


@pytest.mark.parametrize("name", BOUNDS)
def test_a_generator_that_does_not_learn_fails(name, tmp_path):
    scores = _scores(name, tmp_path, g_lr=0.0, steps=200)
    assert not _learned(scores, 100.0), scores
    assert scores["fcd_digits"] > 100
    assert scores.get("agreement", 0) < 0.3
