import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import integrate, stats

from jaxgan.losses.variational import divergence, gaussian

MEAN = jnp.array([[0.3, -1.2], [0.0, 0.0], [2.0, 0.1]])
LOG_VARIANCE = jnp.array([[-1.0, 0.4], [0.0, 0.0], [0.0, -3.0]])


def _by_quadrature(mean, deviation):
    q = stats.norm(mean, deviation)
    f = lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z))  # noqa: E731
    return integrate.quad(f, mean - 12 * deviation, mean + 12 * deviation)[0]


def test_the_divergence_is_the_integral():
    found = jax.jit(divergence)(MEAN, LOG_VARIANCE)
    parts = [
        [_by_quadrature(float(m), float(np.exp(v / 2))) for m, v in zip(*row, strict=True)]
        for row in zip(MEAN, LOG_VARIANCE, strict=True)
    ]
    np.testing.assert_allclose(found, np.sum(parts, 1), rtol=1e-5, atol=1e-7)
    assert found[1] == 0
    # By hand: a mean off by 2 costs 2 nats.
    assert float(divergence(jnp.array([[2.0]]), jnp.zeros((1, 1)))[0]) == 2


def test_the_likelihood_is_the_densitys():
    x, mean = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 2)).astype(np.float32)
    density = stats.norm(mean, np.sqrt(0.3)).logpdf(x).sum((1, 2, 3))
    np.testing.assert_allclose(jax.jit(gaussian)(x, mean, 0.3), -density, rtol=1e-5)
    each = np.random.default_rng(1).uniform(0.1, 2, x.shape).astype(np.float32)
    density = stats.norm(mean, np.sqrt(each)).logpdf(x).sum((1, 2, 3))
    np.testing.assert_allclose(gaussian(x, mean, each), -density, rtol=1e-5)


def test_gradients():
    check_grads(divergence, (MEAN, LOG_VARIANCE), order=2, eps=1e-2, rtol=0.02, atol=0.02)
    slope = jax.grad(lambda m, v: divergence(m, v).sum(), (0, 1))(MEAN, LOG_VARIANCE)
    np.testing.assert_allclose(slope[0], MEAN)
    np.testing.assert_allclose(slope[1], (np.exp(LOG_VARIANCE) - 1) / 2, atol=1e-6)
    # The best variance is the mean square: there its slope is 0.
    x = jnp.array([[1.0, -3.0, 2.0]])
    slope = jax.grad(lambda v: gaussian(x, jnp.zeros((1, 3)), v)[0])
    assert float(slope(14 / 3)) == pytest.approx(0, abs=1e-6)
    assert float(slope(4.0)) < -1e-3


def test_shapes_that_do_not_belong_together_are_named():
    with pytest.raises(ValueError, match="differ in shape"):
        gaussian(jnp.zeros((4, 1)), jnp.zeros((4, 2)), 1.0)
    with pytest.raises(ValueError, match="the variance is one number"):
        gaussian(jnp.zeros((4, 2)), jnp.zeros((4, 2)), jnp.ones((2,)))
    with pytest.raises(ValueError, match=r"\[B, n\]"):
        divergence(jnp.zeros((4, 2)), jnp.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"\[B, n\]"):
        divergence(jnp.zeros(4), jnp.zeros(4))
