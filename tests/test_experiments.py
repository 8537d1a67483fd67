"""Each experiment: two steps on two devices, from its own config, scaled down."""

import importlib
import inspect
import re
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
from jaxgan import parallel, run, steps, train
from jaxgan.data import load

FILES = sorted(p for p in Path(experiments.__file__).parent.glob("*.py") if not p.stem.startswith("_"))
NAMES = [p.stem for p in FILES if "train.main(Config, make)" in p.read_text()]
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
    """Numeric fields are lanes: `make` is called with traced values, and two lanes differ."""
    module = importlib.import_module(f"experiments.{name}")
    cfg = _small(module)
    batch = {"image": jnp.zeros((8, 8, 8, 1)), "label": jnp.zeros(8, jnp.int32), "slot": jnp.arange(8)}

    def first_update(numbers):
        lane = replace(cfg, **numbers)
        gan, opts = module.make(lane)
        state = run.initial_state(module.make, lane, (1, 8, 8, 1))
        state, _ = steps.g_step(gan, opts, state.replace(step=jnp.int32(100)), batch)
        return state.g.params, state.g.ema

    lanes = {"g_lr": jnp.array([1e-3, 1e-3, 2e-3]), "ema_decay": jnp.array([0.5, 0.9, 0.9])}
    params, ema = jax.jit(jax.vmap(first_update))(lanes)
    differ = lambda tree, i, j: any(not np.array_equal(x[i], x[j]) for x in jax.tree.leaves(tree))  # noqa: E731
    assert not differ(params, 0, 1)
    assert differ(params, 1, 2)
    assert differ(ema, 0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_every_flag(name):
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    for cls in (importlib.import_module(f"experiments.{name}").Config, train.Loop):
        for field in fields(cls):
            assert "--" + field.name.replace("_", "-") in done.stdout
        comments = dict(re.findall(r"^    (\w+): [^#\n]*#(.*)", inspect.getsource(cls), re.M))
        assert set(comments) == {f.name for f in fields(cls)}  # tyro takes a flag's help from there


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_holds_command_numbers_and_paper(name):
    text = importlib.import_module(f"experiments.{name}").__doc__
    for what in (f"python -m experiments.{name}", "arxiv.org", "Measured", "seeds", "minutes", "Published"):
        assert what in text, what


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
