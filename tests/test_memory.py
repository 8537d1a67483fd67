"""What would not fit is refused before it is made, in a second and by a line."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgan
from experiments import gan, gaussian, minibatch, mixtures, toolbox, unrolled
from jaxgan import data, memory, random, sampling, train
from jaxgan.config import InputError
from jaxgan.game import Optimizers
from jaxgan.kinds.images import images
from jaxgan.kinds.points import points
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import mlp
from jaxgan.two_player import two_player


def test_sizes():
    tree = {"a": np.zeros((3, 4), np.float32), "b": [jax.ShapeDtypeStruct((5,), np.uint8), jax.random.key(0)]}
    assert memory.size(tree) == 3 * 4 * 4 + 5 + 8
    assert memory.size(()) == 0


def test_the_largest_operation():
    """A scan that stacks ten rows of seven floats makes 280 bytes at once, and 4 beside."""

    def f(x):
        return jax.lax.scan(lambda c, _: (c + 1, jnp.zeros(7)), x, None, length=10)

    assert memory.largest(jax.make_jaxpr(f)(1.0).jaxpr) == 284
    assert (
        memory.largest(jax.make_jaxpr(jax.jit(lambda x: x[:, None] * x[None]))(jnp.zeros(100)).jaxpr)
        == 40_000
    )
    inner = jax.make_jaxpr(lambda x: jax.lax.cond(True, lambda x: (x[:, None] * x[None]).sum(), jnp.sum, x))
    assert memory.largest(inner(jnp.zeros(100)).jaxpr) == 40_000
    assert memory.largest(jax.make_jaxpr(lambda x: x)(1.0).jaxpr) == 0


@pytest.mark.parametrize(
    ("n", "told"),
    [(0, "0 bytes"), (999, "999 bytes"), (2048, "2 KiB"), (3 << 30, "3 GiB"), (7 << 40, "7 TiB")],
)
def test_told(n, told):
    assert memory.told(n) == told


def test_require(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device=None: 100)
    memory.require(100, "this")
    with pytest.raises(
        InputError, match="this would take 101 bytes of memory, and 100 bytes are free: ask for less"
    ):
        memory.require(101, "this")


HUGE = [
    (gan, images, {"latent": 10**9}),
    (gan, images, {"g_hidden": (10**6, 10**6)}),
    (minibatch, images, {"kernels": 10**8}),
    (toolbox, images, {"width": 10**7}),
    (unrolled, images, {"unroll": 10**6}),
    (gaussian, gaussian.line, {"batch_size": 10**9}),
    (mixtures, points, {"samples": 2 * 10**9}),
    (gan, images, {"n_critic": 10**8}),
]


@pytest.mark.parametrize(
    ("module", "kind", "change"), HUGE, ids=lambda x: x.__name__ if hasattr(x, "__name__") else None
)
def test_a_run_too_large_is_refused(module, kind, change, tmp_path):
    with pytest.raises(InputError, match=r"would take .* of memory, and .* are free: ask for less"):
        train.start(module.Config(**change), train.Loop(out=str(tmp_path), devices=1), kind)


def test_lanes_count(monkeypatch, tmp_path):
    """What one run has room for, a thousand may not have."""
    monkeypatch.setattr(memory, "free", lambda device=None: 64 << 20)
    monkeypatch.setattr(train, "_fit", lambda *args: "fitted")
    cfg = gan.Config(g_hidden=(64,), d_hidden=(64,), image_size=8)
    assert train.start(cfg, train.Loop(out=str(tmp_path), devices=1)) == "fitted"
    with pytest.raises(InputError, match="states .* would take"):
        train.start(cfg, train.Loop(out=str(tmp_path), devices=1, seeds=1000))


@pytest.fixture(scope="module")
def game():
    networks = mlp.Generator((8, 8, 1), (8,)), mlp.Discriminator((8,))
    made = two_player(*networks, loss=non_saturating, latent=partial(random.uniform, shape=(4,)))
    return made, Optimizers(optax.adam(1e-3), optax.adam(1e-3))


def test_samples_too_many_are_refused(game, monkeypatch):
    state = sampling.initial_state(
        lambda cfg: game,
        gan.Config(),
        {"image": np.zeros((8, 8, 8, 1), np.float32), "slot": np.arange(8, dtype=np.int32)},
    )
    made = sampling.Generator(game[0], state.g.variables, None, images, {}, None, 0, False)
    key = jax.random.key(0)
    for ask in (
        lambda n: made.sample(key, n),
        lambda n: made.interpolate(key, 2, n),
        lambda n: made.drawn(None, n),
        lambda n: made.save("x.png", key, n),
        lambda n: made.save("x.png", key, 2, columns=n),
        lambda n: made.made(key, n, None),
    ):
        with pytest.raises(InputError, match="samples would take .* of memory"):
            ask(10**10)
    # 8x8 floats three times and a latent of 4: 784 bytes each.
    monkeypatch.setattr(memory, "free", lambda device=None: 784 * 20)
    assert made.sample(key, 20).shape == (20, 8, 8, 1)
    with pytest.raises(InputError, match="21 samples would take"):
        made.sample(key, 21)
    # Decoded a batch at a time, bytes three times: 208 bytes each.
    monkeypatch.setattr(memory, "free", lambda device=None: 208 * 70)
    decoded = made.made(key, 70, None).samples
    assert decoded.dtype == np.uint8
    with pytest.raises(InputError, match="71 samples would take"):
        made.made(key, 71, None)
    monkeypatch.undo()
    np.testing.assert_array_equal(decoded, made.decoded(made.sample(key, 70)))


def test_fit_too_large_is_refused(game):
    with pytest.raises(InputError, match="would take .* of memory"):
        jaxgan.fit(
            *game, {"image": np.zeros((8, 8, 8, 1), np.uint8)}, steps=1, n_critic=2**31 - 1, batch_size=8
        )


def test_examples_of_an_endless_set(monkeypatch):
    line = gaussian.load(gaussian.Config(), None)
    with pytest.raises(InputError, match=r"10000000000 examples of normal\(3, 0.5\) would take"):
        line.examples(10**10)
    assert len(line.examples(3)["x"]) == 3
    assert isinstance(line, data.Dataset)
