import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.losses.auxiliary import cross_entropy, gaussian_code, multi_hinge

# TF-GAN's losses_impl_test.py, class AC-GAN.
FAKE = jnp.array(
    [[10.0, 4.4, -5.5, 3.6], [-4.0, 4.4, 5.2, 4.6], [1.1, 2.4, -3.5, 5.6], [1.1, 2.4, -3.5, 5.6]]
)
REAL = jnp.array(
    [[-2.0, 0.4, 12.5, 2.7], [-1.2, 1.9, 12.3, 2.6], [-2.4, -1.7, 2.5, 2.7], [1.1, 2.4, -3.5, 5.6]]
)
LABEL = jnp.array([1, 2, 0, 0])


def test_ac_gans_golden_values():
    g, real = cross_entropy(FAKE, LABEL), cross_entropy(REAL, LABEL)
    assert g.shape == (4,)
    assert float(g.mean()) == pytest.approx(3.84974, abs=1e-5)
    assert float((g + real).mean()) == pytest.approx(9.43950, abs=1e-5)


def test_multi_hinge_by_hand():
    scores = jnp.array([[3.0, 1.0, 0.0], [0.5, 0.0, 2.0]])
    np.testing.assert_allclose(multi_hinge(scores, jnp.array([0, 0])), [0.0, 2.5])
    np.testing.assert_allclose(multi_hinge(scores, jnp.array([2, 2])), [4.0, 0.0])
    # Of two classes, "real" and "fake", it is the hinge of their difference.
    s = jnp.linspace(-3, 3, 7)
    both = jnp.stack([s / 2, -s / 2], 1)
    np.testing.assert_allclose(multi_hinge(both, jnp.zeros(7, jnp.int32)), jax.nn.relu(1 - s), atol=1e-6)


def test_a_gaussian_code_by_hand():
    mean, code = jnp.array([[0.0, 1.0], [2.0, -1.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(gaussian_code(mean, code), [0.5, 2.5])
    # Up to its constant, the negative log density of scipy's normal.
    density = jax.scipy.stats.norm.logpdf(code, mean).sum(1)
    np.testing.assert_allclose(gaussian_code(mean, code), -density - np.log(2 * np.pi), rtol=1e-5)


def test_gradients():
    check_grads(lambda s: cross_entropy(s, LABEL), (REAL / 10,), order=2, eps=1e-2, rtol=0.02, atol=0.02)
    far = jnp.array([[1e4, -1e4, 0.0]])
    for loss in (cross_entropy, multi_hinge):
        assert np.isfinite(jax.grad(lambda s, f=loss: f(s, jnp.array([1])).sum())(far)).all()
    # It reaches the prediction: a public library's is cut off from the graph.
    assert jax.grad(lambda m: gaussian_code(m, jnp.ones((1, 2))).sum())(jnp.zeros((1, 2))).tolist() == [
        [-1, -1]
    ]


def test_shapes_that_do_not_belong_together_are_named():
    with pytest.raises(ValueError, match=r"labels \(4, 1\) do not belong to scores \(4, 4\)"):
        cross_entropy(REAL, LABEL[:, None])
    with pytest.raises(ValueError, match="differ in shape"):
        gaussian_code(jnp.zeros((4, 1)), jnp.zeros((4, 2)))
