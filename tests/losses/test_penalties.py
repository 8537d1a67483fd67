from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.losses import penalties

SLOT = jnp.arange(6)


def _data(key):
    return jax.random.normal(key, (6, 4, 3)), jax.random.normal(jax.random.key(9), (6, 4, 3))


def _linear(w):
    return lambda x: (x * w).sum((1, 2)) + 1


def test_of_a_linear_critic(key):
    """Its gradient is its weight, everywhere."""
    real, fake = _data(key)
    w = jnp.full((1, 4, 3), 0.5)  # of norm sqrt(3)
    gp = penalties.gradient_penalty(_linear(w), real, fake, key, SLOT, weight=10.0)
    np.testing.assert_allclose(gp, np.full(6, 10 * (np.sqrt(3) - 1) ** 2), rtol=1e-5)
    for penalty in (penalties.r1, penalties.r2):
        np.testing.assert_allclose(
            penalty(_linear(w), real, fake, key, SLOT, gamma=4.0), np.full(6, 6.0), rtol=1e-5
        )


def test_where_each_looks(key):
    """With D(x) = |x|^2 / 2 the gradient is x itself."""
    real, fake = _data(key)
    critic = lambda x: jnp.square(x).sum((1, 2)) / 2  # noqa: E731
    norms = [np.square(x).sum((1, 2)) for x in (real, fake)]
    np.testing.assert_allclose(penalties.r1(critic, real, fake, key, SLOT, gamma=2.0), norms[0], rtol=1e-5)
    np.testing.assert_allclose(penalties.r2(critic, real, fake, key, SLOT, gamma=2.0), norms[1], rtol=1e-5)
    between = penalties.interpolate(real, fake, key, SLOT)
    expected = 10 * (np.sqrt(np.square(between).sum((1, 2))) - 1) ** 2
    np.testing.assert_allclose(penalties.gradient_penalty(critic, real, fake, key, SLOT), expected, rtol=1e-4)


def test_the_interpolation_has_one_uniform_weight_an_example(key):
    slot = jnp.arange(2000)
    weight = penalties.interpolate(jnp.zeros((2000, 2, 2)), jnp.ones((2000, 2, 2)), key, slot)
    np.testing.assert_array_equal(weight, np.broadcast_to(weight[:, :1, :1], weight.shape))
    quantiles = np.quantile(weight[:, 0, 0], [0.1, 0.5, 0.9])
    np.testing.assert_allclose(quantiles, [0.1, 0.5, 0.9], atol=0.04)
    halves = [
        penalties.interpolate(jnp.zeros((3, 1)), jnp.ones((3, 1)), key, s) for s in (slot[:3], slot[3:6])
    ]
    np.testing.assert_array_equal(np.concatenate(halves)[:, 0], weight[:6, 0, 0])


def test_a_patch_critic_is_averaged(key):
    real, fake = _data(key)
    one = _linear(jnp.full((1, 4, 3), 0.3))
    patches = lambda x: jnp.broadcast_to(one(x)[:, None, None], (6, 5, 5))  # noqa: E731
    for penalty in (penalties.gradient_penalty, penalties.r1, penalties.r2):
        np.testing.assert_allclose(
            penalty(patches, real, fake, key, SLOT), penalty(one, real, fake, key, SLOT), rtol=1e-5
        )


@pytest.mark.parametrize("penalty", [penalties.gradient_penalty, penalties.r1, penalties.r2])
def test_a_critic_without_slope_has_a_finite_gradient(penalty, key):
    real, fake = _data(key)
    total = lambda w: penalty(_linear(w), real, fake, key, SLOT).sum()  # noqa: E731
    gradient = jax.grad(total)(jnp.zeros((1, 4, 3)))
    assert np.isfinite(gradient).all()
    assert np.isnan(jax.grad(lambda w: jnp.sqrt((w**2).sum()))(jnp.zeros(3))).all()  # the control


def test_the_penalty_pulls_a_critic_to_the_published_slope():
    """Two points a distance d apart: the optimal slope of a linear critic is 1 + d / (2 weight)."""
    distance, weight = 1.0, 0.1
    real, fake = jnp.zeros((6, 1)), jnp.full((6, 1), distance)
    gp = partial(penalties.gradient_penalty, weight=weight)

    def loss(w):
        critic = lambda x: (x * w).sum(1)  # noqa: E731
        return (critic(fake) - critic(real) + gp(critic, real, fake, jax.random.key(0), SLOT)).mean()

    w = jnp.asarray(-0.5)
    for _ in range(200):
        w -= 0.5 / (2 * weight) * jax.grad(loss)(w)
    np.testing.assert_allclose(-w, 1 + distance / (2 * weight), rtol=1e-4)


def test_shapes_that_differ_are_named(key):
    with pytest.raises(ValueError, match=r"real \(6, 4, 3\) and fake \(6, 4, 2\)"):
        penalties.interpolate(jnp.zeros((6, 4, 3)), jnp.zeros((6, 4, 2)), key, SLOT)
