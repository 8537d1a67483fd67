"""Each experiment: two steps on two devices, from its own config, scaled down."""

import importlib
import subprocess
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments
from jaxgan import parallel, run, train
from jaxgan.data import load

NAMES = sorted(p.stem for p in Path(experiments.__file__).parent.glob("*.py") if not p.stem.startswith("_"))
SMALL = {
    "image_size": 8,
    "channels": 1,
    "n_classes": 10,
    "width": 4,
    "latent": 4,
    "batch_size": 8,
    "g_hidden": (8,),
    "d_hidden": (8,),
}


def _small(module, **changes):
    known = {f.name for f in fields(module.Config)}
    return replace(module.Config(), **{k: v for k, v in SMALL.items() if k in known}, **changes)


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_on_two_devices(name):
    module = importlib.import_module(f"experiments.{name}")
    cfg = _small(module)
    devices = jax.devices()[:2]
    data = load("digits", image_size=8)
    chunk = train._chunk(module, cfg, train.Loop(), len(devices))
    state = run.initial_state(module.make, cfg, data.image.shape)
    before = jax.tree.map(np.asarray, (state.g.params, state.d.params))
    arrays = {k: jnp.asarray(v) for k, v in data.arrays.items()}
    state, metrics = parallel.over_devices(chunk, devices)(
        *parallel.replicate((state, arrays), devices), jnp.arange(cfg.batch_size), 2
    )
    parallel.assert_replicated(state)
    assert all(np.isfinite(v).all() for v in metrics.values())
    after = (state.g.params, state.d.params)
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after)
    for path, each in jax.tree_util.tree_leaves_with_path(moved):
        assert each, f"{path} has not moved"


@pytest.mark.parametrize("name", NAMES)
def test_make_is_pure_and_may_be_traced(name):
    """Numeric fields are lanes: `make` is called with traced values."""
    module = importlib.import_module(f"experiments.{name}")
    cfg = _small(module)

    def first_update(lr):
        gan, opts = module.make(replace(cfg, g_lr=lr))
        state = run.initial_state(module.make, cfg, (1, 8, 8, 1))
        grads = jax.tree.map(jnp.ones_like, state.g.params)
        return jax.tree.leaves(opts.g.update(grads, state.g.opt, state.g.params)[0])[0].max()

    steps = jax.jit(jax.vmap(first_update))(jnp.array([1e-3, 2e-3]))
    np.testing.assert_allclose(steps, [-1e-3, -2e-3], rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_every_flag(name):
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    module = importlib.import_module(f"experiments.{name}")
    for cls in (module.Config, train.Loop):
        for field in fields(cls):
            assert "--" + field.name.replace("_", "-") in done.stdout


def test_the_docstrings_hold_command_and_numbers():
    for name in NAMES:
        text = importlib.import_module(f"experiments.{name}").__doc__
        assert f"python -m experiments.{name}" in text
        assert "arxiv.org" in text
        assert "Measured" in text


@pytest.mark.parametrize(("field", "values"), [("loss", 2), ("noise", 2)])
def test_gan_choices_make_different_games(field, values, key):
    from typing import get_args, get_type_hints

    from experiments import gan

    options = get_args(get_type_hints(gan.Config)[field])
    assert len(options) == values
    outcomes = []
    for option in options:
        cfg = _small(gan, **{field: option})
        method, _ = gan.make(cfg)
        state = run.initial_state(gan.make, cfg, (1, 8, 8, 1))
        batch = {"image": jnp.zeros((8, 8, 8, 1)), "slot": jnp.arange(8)}
        grad = jax.grad(partial(method.g_loss), has_aux=True)(state.g.params, state, batch, key)[0]
        outcomes.append(np.asarray(jax.tree.leaves(grad)[0]))
    assert not np.allclose(*outcomes)
