"""What the experiments' docstrings claim, each beside a negative control: `pytest -m slow`."""

import pytest

from experiments import cgan, dcgan, gan
from jaxgan import train
from jaxgan.train import Loop

pytestmark = pytest.mark.slow


def _scores(module, tmp_path, **config):
    loop = Loop(name="a", out=str(tmp_path), devices=1, sample_every=0, evaluate_every=0)
    return train.start(module.Config(**config), loop)


def _learned(scores, fcd):
    shares = scores["class_shares"].values()
    return min(shares) > 0.02 and max(shares) < 0.25 and scores["fcd"] < fcd


@pytest.mark.parametrize(("module", "fcd"), [(gan, 90.0), (dcgan, 10.0), (cgan, 6.0)])
def test_the_defaults_learn_the_digits(module, fcd, tmp_path):
    scores = _scores(module, tmp_path)
    assert _learned(scores, fcd), scores
    assert 0.7 < scores["memorisation"] < 2
    if module is cgan:
        assert scores["agreement"] > 0.95


@pytest.mark.parametrize("module", [gan, dcgan, cgan])
def test_a_generator_that_does_not_learn_fails(module, tmp_path):
    scores = _scores(module, tmp_path, g_lr=0.0, steps=200)
    assert not _learned(scores, 100.0), scores
    assert scores["fcd"] > 100
    assert scores.get("agreement", 0) < 0.3
