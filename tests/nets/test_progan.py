from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import progan

SIZE = {"image_size": 16, "width": 2, "dtype": "float64"}  # levels 0, 1, 2 of 8, 4 and 2 channels


def _quarters(step):
    return step.astype(jnp.float32) / 4


INPUTS = {progan.Generator: (4, 3), progan.Discriminator: (4, 16, 16, 1)}


class Grown:
    """A network whose level is a quarter of the step, its variables, and an input."""

    def __init__(self, kind):
        self.net, self.x = kind(level=_quarters, **SIZE), jnp.asarray(_normal(INPUTS[kind]))
        init = jax.jit(partial(self.net.init, step=jnp.int32(0)))
        self.variables = init(jax.random.key(1), self.x)
        self._call = jax.jit(lambda v, step: self.net.apply(v, self.x, step=step, mutable=["growth"]))

    def at(self, step):
        """What it makes when it is told the step, and its variables then."""
        y, kept = self._call(self.variables, jnp.int32(step))
        return y, {"params": self.variables["params"], **kept}

    def fixed(self, k, alpha, x=None, variables=None):
        """What it makes with level k mixed by alpha into the one below."""

        class Fixed(type(self.net)):
            def at_level(self, layers, x, step):
                return layers(self, x, k, alpha)

        return jax.jit(Fixed(**SIZE).apply)(variables or self.variables, self.x if x is None else x)

    def plain(self, k):
        """What a network of level k's size makes with the same weights, at full size."""
        own = type(self.net)(image_size=4 << k, width=2 << (2 - k), dtype="float64")
        if isinstance(self.net, progan.Discriminator):
            return jax.jit(own.apply)(self.variables, _means(self.x, 4 >> k))
        return jax.jit(own.apply)(self.variables, self.x).repeat(4 >> k, 1).repeat(4 >> k, 2)


@pytest.fixture(scope="module", params=INPUTS, ids=lambda kind: kind.__name__)
def made(request):
    with jax.enable_x64(True):
        return Grown(request.param)


@pytest.fixture
def grown(made):
    """In float64 within: a pixel of two channels near 0 has its rounding enlarged by their norm."""
    with jax.enable_x64(True):
        yield made


def _normal(shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def _means(x, n):
    *lead, size, _, c = x.shape
    return np.asarray(x).reshape(*lead, size // n, n, size // n, n, c).mean((-4, -2))


@pytest.mark.parametrize(
    ("images", "level", "phase"),
    [(0, 0, 0), (99, 0, 0), (100, 0, 0), (101, 0.005, 1), (200, 0.5, 1), (299, 0.995, 1), (300, 1, 2),
     (400, 1, 2), (402, 1.01, 3), (450, 1.25, 3), (600, 2, 4), (10_000, 2, 4)],
)  # fmt: skip
def test_growth_holds_a_level_and_then_fades_the_next_in(images, level, phase):
    found = progan.growth(jnp.int32(images), 100, 200, 3)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, level, rtol=1e-5)
    assert progan.phase(found) == phase


def test_growth_without_a_fade_jumps():
    levels = progan.growth(jnp.array([0, 99, 100, 199, 200, 500]), 100, 0, 3)
    np.testing.assert_array_equal(levels, [0, 0, 1, 1, 2, 2])


def test_real_images_are_shown_at_the_level():
    x = jnp.asarray(_normal((2, 3, 16, 16, 1)))
    whole = lambda n: _means(x, n).repeat(n, 2).repeat(n, 3)  # noqa: E731
    for level, expected in {
        0: whole(4),
        1: whole(2),
        2: x,
        0.25: 0.75 * whole(4) + 0.25 * whole(2),
        1.5: (whole(2) + x) / 2,
    }.items():
        np.testing.assert_allclose(progan.shown(x, jnp.float32(level)), expected, atol=1e-6)


def test_a_level_not_yet_faded_in_is_the_one_below(grown):
    below, above = (grown.at(step)[0] for step in (4, 8))
    np.testing.assert_allclose(grown.fixed(2, 0.0), below, rtol=1e-6, atol=1e-6)
    assert np.abs(above - below).max() > 0.01  # the control


@pytest.mark.parametrize("k", [1, 2])
def test_a_level_all_faded_in_is_the_plain_network_of_its_size(grown, k):
    np.testing.assert_allclose(grown.at(4 * k)[0], grown.plain(k), rtol=1e-6, atol=1e-6)


def test_between_two_levels_both_are_mixed(grown):
    y = grown.at(7)[0]
    np.testing.assert_allclose(y, grown.fixed(2, 0.75), rtol=1e-6, atol=1e-6)
    if isinstance(grown.net, progan.Generator):
        below, above = grown.at(4)[0], grown.at(8)[0]
        np.testing.assert_allclose(y, below / 4 + 3 * above / 4, rtol=1e-6, atol=1e-6)


def test_the_last_step_told_is_kept(grown):
    """As a count, which the average takes as it is."""
    recall = jax.jit(grown.net.apply)
    for step in (0, 3, 8):
        y, after = grown.at(step)
        np.testing.assert_array_equal(after["growth"]["step"], np.int32(step))
        np.testing.assert_allclose(recall(after, grown.x), y, rtol=1e-6, atol=1e-6)


def test_layers_of_other_levels_have_no_gradient(grown):
    start, block, image = ("conv", "dense"), "up", "to_image"
    if isinstance(grown.net, progan.Discriminator):
        start, block, image = (*start, "logit"), "down", "from_image"

    @jax.jit
    @jax.grad
    def gradient(params, step):
        y = grown.net.apply({**grown.variables, "params": params}, grown.x, step=step)
        return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum()

    for step, used in {
        0: {*start, f"{image}_0"},
        2: {*start, f"{block}_0", f"{image}_0", f"{image}_1"},
        4: {*start, f"{block}_0", f"{image}_1"},
        8: {*start, f"{block}_0", f"{block}_1", f"{image}_2"},
    }.items():
        grads = gradient(grown.variables["params"], jnp.int32(step))
        assert len(grads) == len(start) + 5
        assert {k for k, each in grads.items() if any(np.any(g != 0) for g in jax.tree.leaves(each))} == used


def test_a_step_computes_the_levels_that_it_has(grown):
    """But not in lanes, which compute all."""
    call = lambda step: grown.net.apply(grown.variables, grown.x, step=step)  # noqa: E731
    alone, lanes = (
        jax.jit(f).lower(jax.ShapeDtypeStruct(shape, jnp.int32)).compile().as_text()
        for f, shape in ((call, ()), (jax.vmap(call), (2,)))
    )
    assert "conditional(" in alone
    assert "conditional(" not in lanes


def test_weights_are_of_unit_scale_and_the_latents_length_has_no_part(grown):
    params = grown.variables["params"]
    kernels = [x for path, x in jax.tree_util.tree_leaves_with_path(params) if path[-1].key == "kernel"]
    np.testing.assert_allclose(np.concatenate([x.ravel() for x in kernels]).std(), 1, rtol=0.05)
    if isinstance(grown.net, progan.Generator):
        dense = params["dense"] | {"bias": params["dense"]["bias"] + 1}  # else the norms behind it suffice
        biased = {"params": params | {"dense": dense}}
        once, twice, other = (grown.fixed(0, 1.0, x, biased) for x in (grown.x, 2 * grown.x, grown.x[::-1]))
        np.testing.assert_allclose(twice, once, rtol=1e-6, atol=1e-6)
        assert np.abs(other - once).max() > 0.1  # the control


def test_d_compares_the_examples_of_a_group(grown):
    if isinstance(grown.net, progan.Discriminator):
        assert grown.variables["params"]["conv"]["kernel"].shape == (3, 3, 8 + 1, 8)
        alone = grown.fixed(0, 1.0, jnp.repeat(grown.x[:1], 4, 0))
        assert np.abs(alone[0] - grown.fixed(0, 1.0)[0]) > 1e-3


def test_the_papers_size(key):
    """At 1024 pixels, of table 2: 23.1 million parameters each."""
    size = {"image_size": 1024, "width": 16}
    for net, x in (
        (progan.Generator(channels=3, **size), jnp.zeros((4, 512))),
        (progan.Discriminator(**size), jnp.zeros((4, 1024, 1024, 3))),
    ):
        shapes = jax.eval_shape(net.init, key, x)["params"]
        assert sum(p.size for p in jax.tree.leaves(shapes)) == pytest.approx(23.1e6, abs=5e4)


def test_sizes_are_powers_of_two_from_8():
    assert [progan.levels(n) for n in (8, 16, 32, 1024)] == [2, 3, 4, 9]
    for size in (4, 12, 28):
        with pytest.raises(ValueError, match=f"8, 16, 32, ... pixels, not {size}"):
            progan.levels(size)
