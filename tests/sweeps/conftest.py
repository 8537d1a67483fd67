import importlib.util
import sys

import pytest

from jaxgan import sweeps
from jaxgan.train import Loop

OWN = '''
"""A method of one's own: where gp_weight is above 5, a figure is not finite at step 14."""
import jax.numpy as jnp
from experiments import mixtures
from experiments.mixtures import Config as _Config
from experiments.mixtures import complete as _complete
from jaxgan.kinds.points import points


class Config(_Config):
    pass


complete = _complete


def make(cfg, axis=None):
    gan, opts = mixtures.make(cfg, axis)

    def g_loss(params, state, batch, key):
        loss, aux = gan.g_loss(params, state, batch, key)
        return jnp.where((state.step == 13) & (cfg.gp_weight > 5), jnp.inf, loss), aux

    return gan._replace(g_loss=g_loss), opts
'''
SMALL = {"protocol": "metz", "samples": 100, "batch_size": 16, "steps": 20}
OFTEN = {"chunk": 5, "log_every": 1, "sample_every": 0, "evaluate_every": 5, "checkpoint_every": 10}


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """The module of a method in a file."""
    file = tmp_path_factory.mktemp("own") / "own.py"
    file.write_text(OWN)
    spec = importlib.util.spec_from_file_location("own", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["own"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["own"]


@pytest.fixture(scope="session")
def swept(own):
    """Sweeps the method into a folder: (out, grid, name="a", seeds=2, config={}, loop={}, **options)."""

    def run(out, grid, name="a", seeds=2, config=None, loop=None, **options):
        cfg = own.Config(**{**SMALL, **(config or {})})
        how = Loop(**{"name": name, "out": str(out), "devices": 1, **OFTEN, **(loop or {})})
        return sweeps.sweep(own, cfg, grid, seeds=seeds, loop=how, **options)

    return run
