"""Each experiment, scaled down: built, traced and explained; those with parts of their own take two steps."""

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
from jaxgan import methods, parallel, recipes, sampling, steps, train
from jaxgan.config import InputError
from jaxgan.data import load
from jaxgan.kinds.images import images
from jaxgan.program import Program, arguments, traceable

FILES = sorted(p for p in Path(experiments.__file__).parent.glob("*.py") if not p.stem.startswith("_"))
ALL = [p.stem for p in FILES if "train.main(Config, make" in p.read_text()]
NAMES = [p.stem for p in FILES if "train.main(Config, make, images)" in p.read_text()]
SMALL = {
    "image_size": 8,
    "channels": 1,
    "n_classes": 10,
    "width": 4,
    "latent": 4,
    "batch_size": 8,
    "g_hidden": (8,),
    "d_hidden": (8,),
    "stable": 8,
    "fade": 16,
}


def _small(module, **changes):
    known = {f.name for f in fields(module.Config)}
    cfg = replace(module.Config(), **{k: v for k, v in SMALL.items() if k in known}, **changes)
    return recipes.filled(cfg, 1797 * 64)


def _method(module):
    return methods.method_of(module, images)


def _state(module, cfg):
    """Before the first step, for grey images of 8x8 with labels."""
    return sampling.initial_state(module.make, cfg, load("digits", image_size=8).example(8))


def _steps(module, cfg, data, devices, length):
    """The state before, that after so many steps, and their figures."""
    program = Program(_method(module), cfg, tuple(arguments(cfg)), data, tuple(devices))
    start = _state(module, cfg)
    arrays = {k: jnp.asarray(v) for k, v in data.arrays.items()}
    state, arrays = parallel.replicate((_state(module, cfg), arrays), devices)
    given = program.numbers(cfg), arrays
    return start, *program.chunk(state, given, jnp.arange(cfg.batch_size), length)


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_built_for_two_devices(name):
    module = importlib.import_module(f"experiments.{name}")
    cfg = _small(module)
    names = traceable(_method(module), cfg, load("digits", image_size=8), tuple(jax.devices()[:2])).names
    assert set(names) == set(arguments(cfg))


# With labels and batch norm, several updates of D, and a layer across the batch; `-m slow` has them all.
OWN = ["cgan", "wgan_gp", "minibatch"]


@pytest.mark.parametrize("name", OWN)
def test_two_steps_on_two_devices(name):
    module = importlib.import_module(f"experiments.{name}")
    cfg = _small(module)
    devices = jax.devices()[:2]
    data = load("digits", image_size=8)
    start, state, metrics = _steps(module, cfg, data, devices, 2)
    before = jax.tree.map(np.asarray, (start.g.params, start.d.params))
    parallel.assert_replicated(state)
    assert all(np.isfinite(v).all() for v in metrics.values())
    after = (state.g.params, state.d.params)
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after)
    still = [jax.tree_util.keystr(p) for p, each in jax.tree_util.tree_leaves_with_path(moved) if not each]
    level_is_free = name == "wgan_gp"  # a difference of logits has no bias
    assert [x.replace("Spectral", "") for x in still] == (["[1]['Dense_0']['bias']"] if level_is_free else [])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_devices_make_the_run_of_one(name):
    """Three steps, to 2 % of how far they went: Adam's first steps take little but a gradient's sign."""
    module = importlib.import_module(f"experiments.{name}")
    cfg = _small(module)
    data = load("digits", image_size=8)
    players = []
    for n in (1, 2):
        start, state, _ = _steps(module, cfg, data, jax.devices()[:n], 3)
        flat = [
            np.concatenate([np.ravel(x) for x in jax.tree.leaves((s.g.params, s.d.params))])
            for s in (start, state)
        ]
        players.append(flat[1] - flat[0])
    one, two = players
    assert np.linalg.norm(one) > 0
    assert np.linalg.norm(two - one) < 0.02 * np.linalg.norm(one)


def _first_update(module, cfg, numbers):
    """G's parameters and average after its first update, with some of the config's numbers replaced."""
    batch = {"image": jnp.zeros((8, 8, 8, 1)), "label": jnp.zeros(8, jnp.int32), "slot": jnp.arange(8)}
    lane = replace(cfg, **numbers)
    gan, opts = module.make(lane)
    state = _state(module, lane)
    state, _ = steps.g_step(gan, opts, state.replace(step=jnp.int32(100)), batch)
    return state.g.params, state.g.ema


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_config_may_be_traced(name):
    """So that a sweep over it is one compiled program."""
    module = importlib.import_module(f"experiments.{name}")
    cfg = _small(module)
    numbers = {f.name: getattr(cfg, f.name) for f in fields(cfg) if isinstance(getattr(cfg, f.name), float)}
    average = "ema_images" if name == "stylegan2" else "ema_decay"
    assert {"g_lr", "d_lr", average} <= set(numbers)
    lanes = jax.tree.map(lambda x: jnp.full(3, x), numbers)
    params, ema = jax.eval_shape(jax.vmap(partial(_first_update, module, cfg)), lanes)
    assert all(x.shape[0] == 3 for x in jax.tree.leaves((params, ema)))


def test_lanes_that_differ_in_a_number_differ():
    module = importlib.import_module("experiments.gan")
    lanes = {"g_lr": jnp.array([1e-3, 1e-3, 2e-3]), "ema_decay": jnp.array([0.5, 0.9, 0.9])}
    params, ema = jax.jit(jax.vmap(partial(_first_update, module, _small(module))))(lanes)
    differ = lambda tree, i, j: any(not np.array_equal(x[i], x[j]) for x in jax.tree.leaves(tree))  # noqa: E731
    assert not differ(params, 0, 1)
    assert differ(params, 1, 2)
    assert differ(ema, 0, 1)


@pytest.mark.parametrize("name", ALL)
def test_help_explains_every_flag(name, capsys):
    module = importlib.import_module(f"experiments.{name}")
    with pytest.raises(SystemExit) as left:
        train.main(module.Config, module.make, argv=["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for cls in (module.Config, train.Loop):
        for field in fields(cls):
            assert "--" + field.name.replace("_", "-") in shown
        lines = "".join(inspect.getsource(c) for c in cls.__mro__[:-1])
        comments = dict(re.findall(r"^    (\w+): [^#\n]*#(.*)", lines, re.M))
        assert set(comments) == {f.name for f in fields(cls)}  # tyro takes a flag's help from there


def test_an_experiment_is_a_command():
    command = [sys.executable, "-m", "experiments.wgan_gp", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--gp-weight" in done.stdout


@pytest.mark.parametrize("name", ALL)
def test_the_docstring_holds_command_numbers_and_paper(name):
    text = importlib.import_module(f"experiments.{name}").__doc__
    for what in (f"python -m experiments.{name}", "seed", "minute", "Published"):
        assert what in text, what
    assert re.search(r"https://(arxiv\.org/abs|doi\.org)/", text)
    assert re.search(r"Measured|[Mm]edians? and ranges?|seed 0[^.]* minutes?", text)


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
        state = _state(gan, cfg)
        batch = {"image": jnp.zeros((8, 8, 8, 1)), "slot": jnp.arange(8)}
        grad = jax.jit(jax.grad(method.g_loss, has_aux=True))(state.g.params, state, batch, key)[0]
        outcomes.append(np.asarray(jax.tree.leaves(grad)[0]))
    assert not np.allclose(*outcomes)


@pytest.mark.parametrize(
    "flags",
    [
        {"loss": "pearson", "norm": "none", "gp": 1.0, "r1": 1.0, "lazy": 2, "clip": 0.1, "update": "gated"},
        {"loss": "relativistic_average", "norm": "none", "dragan": 1.0, "r2": 1.0, "unroll": 1, "pack": 2},
        {"smooth": 0.1, "flip": 0.2, "lecam": 0.3, "top_k": 0.5, "top_k_from": 0, "consensus": 0.1,
         "update": "simultaneous"},
        {"norm": "spectral", "loss": "hinge", "drift": 1e-3, "cr": 1.0, "cr_fake": 1.0, "zero_centred": 1.0,
         "historical": 0.1, "minibatch": 2, "minibatch_std": True, "mode_seeking": 1.0,
         "update": "extragradient", "n_critic": 2},
    ],
    ids=lambda flags: "-".join(flags),
)  # fmt: skip
def test_flags_of_the_toolbox_go_together(flags):
    """Traced for two devices: each term is there, and the state keeps its form."""
    from experiments import toolbox

    cfg = _small(toolbox, **flags)
    gan, opts = toolbox.make(cfg, "devices")
    state = _state(toolbox, cfg)
    batch = {"image": jnp.zeros((2, cfg.n_critic, 4, 8, 8, 1)), "slot": jnp.zeros((2, cfg.n_critic, 4), int)}
    step = partial(toolbox.train_step(cfg), gan, opts, state, axis="devices")
    after, metrics = jax.eval_shape(jax.vmap(step, axis_name="devices"), batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    terms = set(flags) & {"gp", "dragan", "zero_centred", "r1", "r2", "drift", "cr", "lecam", "consensus"}
    assert {f"d/{name}" for name in terms} <= set(metrics)
    assert ("g/mode_seeking" in metrics) == ("mode_seeking" in flags)
    assert ("d/updated" in metrics) == (cfg.update == "gated")


def test_without_flags_the_toolbox_is_dcgan(key):
    from experiments import dcgan, toolbox

    batch = {"image": jax.random.uniform(key, (8, 8, 8, 1)), "slot": jnp.arange(8)}
    losses = []
    for module in (dcgan, toolbox):
        cfg = _small(module)
        gan, _ = module.make(cfg)
        state = _state(module, cfg)
        losses.append(
            [f(p.params, state, batch, key)[0] for f, p in ((gan.d_loss, state.d), (gan.g_loss, state.g))]
        )
    np.testing.assert_array_equal(*losses)
    for match, flags in {
        "simultaneous .* --n-critic 2": {"update": "simultaneous", "n_critic": 2},
        "extragradient .* --n-critic 3": {"update": "extragradient", "n_critic": 3},
        "--smooth is of .* not of hinge": {"smooth": 0.1, "loss": "hinge"},
        "--cr-fake adds to --cr": {"cr_fake": 1.0},
    }.items():
        with pytest.raises(ValueError, match=match):
            toolbox.make(_small(toolbox, **flags))


def test_infogans_categories_are_named_by_the_best_matching():
    from experiments import infogan

    seen = np.random.default_rng(0).integers(10, size=3000)
    names = np.random.default_rng(1).permutation(10)
    assert infogan.matched(names[seen], seen, 10, 10) == 1
    half = np.where(np.arange(3000) % 2, names[seen], names[(seen + 1) % 10])
    assert infogan.matched(half, seen, 10, 10) == pytest.approx(0.5, abs=0.03)
    assert infogan.matched(np.random.default_rng(2).integers(10, size=3000), seen, 10, 10) < 0.16
    assert infogan.matched(np.zeros(3000, int), seen, 10, 10) < 0.13


def test_infogans_codes_are_read_off_the_latent_and_reach_both_players(key):
    from experiments import infogan

    z = jnp.stack([jnp.full(5, x) for x in (-1.0, -0.41, 0.0, 0.59, 0.999)])
    category, continuous = infogan.codes(z, 5, 2)
    assert category.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(continuous, z[:, 2:4])
    cfg = replace(_small(infogan), latent=5, category_weight=1.0)
    gan, _ = infogan.make(cfg)
    state = _state(infogan, cfg)
    batch = {"image": jnp.zeros((8, 8, 8, 1)), "slot": jnp.arange(8)}
    off, _ = infogan.make(replace(cfg, category_weight=0.0, continuous_weight=0.0))
    for who, loss, plain in (("d", gan.d_loss, off.d_loss), ("g", gan.g_loss, off.g_loss)):
        params = getattr(state, who).params
        grads, bare = (jax.jit(jax.grad(f, has_aux=True))(params, state, batch, key) for f in (loss, plain))
        assert float(grads[1][1]["category"]) == pytest.approx(np.log(10), rel=0.2)  # before any step
        differ = jax.tree.map(lambda a, b: not np.allclose(a, b), grads[0], bare[0])
        assert any(jax.tree.leaves(differ)), who


REFUSES = {"pacgan": "pack: ", "vae": "--augment: "}


@pytest.mark.parametrize("by", ["ada", "apa"])
def test_augmentation_is_heeded_or_refused(by):
    """A flag that is taken and does nothing would be silent."""
    example = steps.with_slots(load("digits", image_size=8).example(8))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example)
    seen = 0
    for name in NAMES:
        module = importlib.import_module(f"experiments.{name}")
        if not any(f.name == "augment" for f in fields(module.Config)):
            continue
        cfg, seen = _small(module, augment=by), seen + 1
        if name in REFUSES:
            with pytest.raises(InputError, match=REFUSES[name]):
                module.make(cfg)
            continue
        gan, _ = module.make(cfg)
        extra = jax.eval_shape(lambda gan=gan: gan.init(jax.random.key(0), zeros)[2])
        assert "augment" in extra, name
    assert seen > 15
