"""One program for every value of a config's numbers, and what stands in the way of it."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import gan, sngan
from jaxgan import config, methods, parallel, recipes, sampling, steps
from jaxgan.config import InputError, Rate
from jaxgan.data import load, resident
from jaxgan.program import Program, arguments, traceable

CFG = gan.Config(image_size=8, channels=1, g_hidden=(8,), d_hidden=(8,), latent=4, batch_size=8)


@dataclass(frozen=True)
class Looks(gan.Config):
    weight: Rate = 1.0


def _looking(cfg, axis=None):
    """A method that looks at one of its numbers."""
    method, opts = gan.make(cfg, axis)
    if cfg.weight > 0.5:
        return method, opts
    return method._replace(g_loss=lambda *args: method.g_loss(*args)), opts


def test_the_numbers_are_the_fields_of_float():
    assert set(arguments(CFG)) == {"norm_momentum", "g_lr", "d_lr", "beta1", "beta2", "ema_decay", "seed"}
    less = replace(
        CFG, g_lr=0.0, ema_decay=None, d_lr=1
    )  # what may be left out is no argument; 1 is a number
    assert set(arguments(less)) == {"norm_momentum", "d_lr", "beta1", "beta2", "seed"}
    assert config.numbers(less)["d_lr"] == 1.0


def test_what_is_no_number_is_none():
    @dataclass(frozen=True)
    class Config:
        a: float = 1.0
        b: float | None = None
        c: tuple[float, float] = (0.5, 0.9)
        d: float | str = "e"
        e: int = 3
        f: Rate | None = 0.5

    assert config.number_fields(Config) == ["a", "b", "f"]
    assert config.numbers(Config()) == {"a": 1.0, "f": 0.5}


def test_a_number_that_make_looks_at_stays_static(capsys):
    method = methods.Method(_looking)
    cfg = Looks(**{**vars(CFG)})
    data = load("digits", image_size=8)
    devices = tuple(jax.devices()[:1])
    names = traceable(method, cfg, data, devices).names
    assert set(arguments(cfg)) - set(names) == {"weight"}
    assert (
        capsys.readouterr().out
        == "the method looks at the value of weight: each value is a program of its own\n"
    )
    assert set(traceable(methods.Method(gan.make), CFG, data, devices).names) == set(arguments(CFG))
    assert capsys.readouterr().out == ""


def test_one_compiled_program_serves_every_number():
    """The very program, by its number of compilations; and the numbers count."""
    data = load("digits", image_size=8)
    program = Program(methods.Method(gan.make), CFG, tuple(arguments(CFG)), data, tuple(jax.devices()[:1]))
    arrays = jax.tree.map(jnp.asarray, dict(data.arrays))
    ends = []
    for own in (CFG, replace(CFG, g_lr=2e-3), replace(CFG, g_lr=2e-3, ema_decay=0.05)):
        numbers = program.numbers(own)
        state = program.initial(jax.random.key(0), numbers)
        state, _ = program.chunk(state, (numbers, arrays), jnp.arange(8), 2)
        ends.append(state.g)
    assert program.chunk._cache_size() == 1
    leaf = lambda tree: np.asarray(jax.tree.leaves(tree)[0])  # noqa: E731
    assert not np.array_equal(leaf(ends[0].params), leaf(ends[1].params))
    np.testing.assert_array_equal(leaf(ends[1].params), leaf(ends[2].params))
    assert not np.array_equal(leaf(ends[1].ema["params"]), leaf(ends[2].ema["params"]))


def test_a_first_state_is_compiled_in_short_and_by_hand_the_same(monkeypatch):
    """Spectral norm's first vectors differ in their last bits by how they are compiled."""
    device = jax.devices()[0]
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    assert parallel.brief_options(device) == {}
    monkeypatch.delenv("XLA_FLAGS")
    assert parallel.brief_options(device) == {"xla_backend_optimization_level": 1}
    data, cfg = load("digits", image_size=8), sngan.Config(image_size=8, channels=1, width=4, batch_size=8)
    cfg = recipes.filled(cfg, data.numbers)
    program = Program(methods.Method(sngan.make), cfg, tuple(arguments(cfg)), data, (device,))
    one = program.initial(jax.random.key(0), program.numbers(cfg))
    by_hand = partial(sampling.initial_state, sngan.make, cfg, data.example(8))
    other = jax.jit(by_hand, compiler_options=parallel.brief_options(device))()
    for a, b in zip(jax.tree.leaves((one.g, one.d)), jax.tree.leaves((other.g, other.d)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_cannot_be_built_is_a_line():
    def broken(cfg, axis=None):
        raise ValueError("no such network\nsecond line")

    with pytest.raises(InputError, match="^no such network$"):
        traceable(methods.Method(broken), CFG, load("digits", image_size=8), tuple(jax.devices()[:1]))


@pytest.mark.parametrize("where", ["make", "train_step", "batches"])
def test_wherever_a_method_looks(where, capsys):
    """By a comparison, as text, as a key, or as a seed of NumPy's."""

    def look(cfg):
        assert cfg.weight > 0.5
        assert {cfg.g_lr: f"{cfg.d_lr:g}"}
        np.random.default_rng(cfg.seed)

    def make(cfg, axis=None):
        if where == "make":
            look(cfg)
        return gan.make(cfg, axis)

    def train_step(cfg):
        if where == "train_step":
            look(cfg)
        return steps.train_step

    def batches(cfg, draw):
        if where == "batches":
            look(cfg)
        return partial(resident.batches, draw, n_critic=cfg.n_critic)

    cfg, data = Looks(**{**vars(CFG)}), load("digits", image_size=8)
    method = methods.Method(make, train_step=train_step, batches=batches)
    names = traceable(method, cfg, data, tuple(jax.devices()[:2])).names
    assert set(arguments(cfg)) - set(names) == {"weight", "g_lr", "d_lr", "seed"}
    assert "looks at the value of d_lr, g_lr, seed, weight" in capsys.readouterr().out


def test_what_a_batch_has_not_is_told():
    def make(cfg, axis=None):
        method, opts = gan.make(cfg, axis)
        return method._replace(init=lambda key, batch: batch["picture"]), opts

    with pytest.raises(InputError, match="the game asked for 'picture', .* a batch has image, label, slot"):
        traceable(methods.Method(make), CFG, load("digits", image_size=8), tuple(jax.devices()[:1]))


def test_a_step_is_traced_once_for_all_that_is_made_of_it():
    """The control: another program of the same config traces anew."""
    traced = []

    def make(cfg, axis=None):
        traced.append(cfg)
        return gan.make(cfg, axis)

    data = load("digits", image_size=8)

    def program():
        return Program(methods.Method(make), CFG, (), data, tuple(jax.devices()[:1]))

    one = program()
    numbers, slot = one.numbers(CFG), jnp.arange(CFG.batch_size, dtype=jnp.int32)
    arrays = parallel.replicate(jax.tree.map(jnp.asarray, dict(data.arrays)), one.devices)
    state = parallel.replicate(one.initial(jax.random.key(0), numbers), one.devices)
    assert one.digest
    before = len(traced)
    for length in (1, 2):
        state, _ = one.chunk(state, (numbers, arrays), slot, length)
    assert len(traced) == before
    assert program().digest == one.digest
    assert len(traced) > before


def test_what_is_frozen_is_made_once_and_counts_in_every_lane():
    """Here by how heavy G's loss is: with none of it G stays where it began."""
    made = []

    def make(cfg, axis=None):
        method, opts = gan.make(cfg, axis)

        def g_loss(params, state, *args):
            loss, rest = method.g_loss(params, state, *args)
            return state.frozen["weight"] * loss, rest

        return method._replace(g_loss=g_loss), opts._replace(g=optax.sgd(1e-2))

    def program(weight):
        frozen = lambda cfg, data: made.append(cfg) or {"weight": jnp.float32(weight)}  # noqa: E731
        method = methods.Method(make, frozen=frozen)
        return Program(method, CFG, (), load("digits", image_size=8), tuple(jax.devices()[:1]))

    one, none = program(2.0), program(0.0)
    arrays, slot = jax.tree.map(jnp.asarray, dict(one.data.arrays)), jnp.arange(8, dtype=jnp.int32)
    begin = lambda of, i: of.initial(jax.random.key(i), {})  # noqa: E731
    together, _ = one.lanes([begin(one, 0), begin(one, 1)], ([{}, {}], arrays), slot, 2)
    for i, lane in enumerate(together):
        alone, _ = one.chunk(begin(one, i), ({}, arrays), slot, 2)
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), lane.g.params, alone.g.params)
        assert float(lane.frozen["weight"]) == 2
    still, _ = none.chunk(begin(none, 0), ({}, arrays), slot, 2)
    jax.tree.map(np.testing.assert_array_equal, still.g.params, begin(none, 0).g.params)
    moved = jax.tree.map(lambda a, b: (a != b).any(), together[0].g.params, still.g.params)
    assert all(jax.tree.leaves(moved))
    assert one.digest != none.digest
    assert len(made) == 2
