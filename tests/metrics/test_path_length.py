from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import random
from jaxgan.metrics.path_length import lerp, perceptual_path_length, slerp, trimmed_mean

D = 8
latent = partial(random.normal, shape=(D,))


@jax.jit
def squared(a, b):
    return ((a - b) ** 2).sum(1)


def unit(key, slot):
    z = latent(key, slot)
    return z / jnp.linalg.norm(z, axis=1, keepdims=True)


def pairs(key, n, draw=latent):
    return (np.asarray(draw(random.fold(key, end), jnp.arange(n)), np.float64) for end in ("start", "end"))


@pytest.mark.parametrize("at", ["full", "end"])
def test_the_identity_in_closed_form(key, at):
    """A straight path moves by |b - a|, and an arc on the unit sphere by its angle."""
    length = partial(perceptual_path_length, lambda z: z, squared, n=300, batch_size=128, at=at)
    a, b = pairs(key, 300)
    expected = trimmed_mean(((a - b) ** 2).sum(1))
    assert length(latent, key, path=lerp) == pytest.approx(expected, rel=2e-3)
    assert length(latent, key, path=lerp) != pytest.approx(((a - b) ** 2).sum(1).mean(), rel=2e-3)
    a, b = pairs(key, 300, unit)
    expected = trimmed_mean(np.arccos((a * b).sum(1)) ** 2)
    assert length(unit, key) == pytest.approx(expected, rel=2e-3)
    if at == "full":  # the straight path's length is the chord, shorter
        assert length(unit, key, path=lerp) < 0.9 * expected


def test_epsilon_and_batches_change_rounding_alone(key):
    length = partial(perceptual_path_length, jnp.tanh, squared, latent, key, n=128)
    found = length()
    assert length(batch_size=48) == pytest.approx(found, rel=2e-3)
    assert length(epsilon=3e-4) == pytest.approx(found, rel=5e-3)
    assert perceptual_path_length(jnp.tanh, squared, latent, jax.random.key(8), n=128) != found
    root = lambda a, b: jnp.sqrt(squared(a, b))  # noqa: E731
    short, long = (
        perceptual_path_length(jnp.tanh, root, latent, key, n=128, epsilon=e) for e in (1e-4, 3e-4)
    )
    assert long < 0.5 * short  # a length, and no square


def test_paths_meet_their_ends():
    a, b = np.random.default_rng(0).normal(size=(2, 5, D)).astype(np.float32)
    for path in (lerp, slerp):
        np.testing.assert_allclose(path(a, b, jnp.zeros(5)), a, atol=1e-5)
        np.testing.assert_allclose(path(a, b, jnp.ones(5)), b, atol=1e-5)
    np.testing.assert_allclose(slerp(a, 2 * a, jnp.full(5, 0.5)), 1.5 * a, rtol=1e-3)
    x, y = np.eye(D, dtype=np.float32)[None, 0], np.eye(D, dtype=np.float32)[None, 1]
    np.testing.assert_allclose(slerp(x, y, jnp.full(1, 0.5)), (x + y) / np.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(lerp(x, y, jnp.full(1, 0.5)), (x + y) / 2, atol=1e-6)


def test_the_trim():
    """Of 0, ..., 999 nine fall away on each side; of a hundred none would tell an outlier."""
    x = np.random.default_rng(0).permutation(1000).astype(float)
    assert trimmed_mean(x) == 499.5
    assert trimmed_mean(np.where(x == 999, 1e9, x)) == 499.5
    skewed = trimmed_mean(x**2)
    assert skewed == pytest.approx((np.arange(9, 991) ** 2.0).mean())


def test_bad_input(key):
    with pytest.raises(ValueError, match='"full" or "end"'):
        perceptual_path_length(jnp.tanh, squared, latent, key, n=10, at="middle")
    with pytest.raises(ValueError, match="10 of 10 distances are not finite"):
        perceptual_path_length(lambda z: z * jnp.nan, squared, latent, key, n=10)
    with pytest.raises(ValueError, match=r"must be \[64\], not \[64, 8\]"):
        perceptual_path_length(jnp.tanh, lambda a, b: a - b, latent, key, n=10)
