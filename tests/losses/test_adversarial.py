import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.losses.adversarial import accuracy, hinge, minimax, non_saturating, wasserstein

LOG2 = float(np.log(2))
REAL, FAKE = jnp.array([2.0, -1.0, 0.5]), jnp.array([-3.0, 0.0, 1.0])
# -log sigmoid(r) - log(1 - sigmoid(f)); log(1 - sigmoid(f)); -log sigmoid(f)
EXPECTED_D = [0.17551536, 2.00640887, 1.78733867]
TABLE = [
    (minimax, EXPECTED_D, [-0.04858735, -0.69314718, -1.31326169]),
    (non_saturating, EXPECTED_D, [3.04858735, 0.69314718, 0.31326169]),
]


@pytest.mark.parametrize(("loss", "d", "g"), TABLE)
def test_values(loss, d, g):
    np.testing.assert_allclose(jax.jit(loss.d)(REAL, FAKE), d, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(loss.g)(FAKE), g, rtol=1e-6)


@pytest.mark.parametrize("loss", [minimax, non_saturating])
class TestEveryLoss:
    def test_d_wants_real_up_and_fake_down_and_g_fake_up(self, loss):
        real, fake = jax.grad(lambda r, f: loss.d(r, f).sum(), (0, 1))(REAL, FAKE)
        assert (real < 0).all()
        assert (fake > 0).all()
        assert (jax.grad(lambda f: loss.g(f).sum())(FAKE) < 0).all()

    def test_finite_far_out(self, loss):
        far = jnp.array([-1e4, 1e4])
        for f in (loss.g, lambda x: loss.d(x, x)):
            assert jnp.isfinite(f(far)).all()
            assert jnp.isfinite(jax.grad(lambda x, f=f: f(x).sum())(far)).all()

    def test_a_patch_of_equal_logits_is_one_logit(self, loss):
        patch = lambda x: jnp.broadcast_to(x[:, None, None], (3, 4, 5))  # noqa: E731
        np.testing.assert_allclose(loss.d(patch(REAL), patch(FAKE)), loss.d(REAL, FAKE), rtol=1e-6)
        np.testing.assert_allclose(loss.g(patch(FAKE)), loss.g(FAKE), rtol=1e-6)

    def test_shapes_that_differ_raise(self, loss):
        with pytest.raises(ValueError, match=r"real \(3, 1\) and fake \(3,\) differ"):
            loss.d(REAL[:, None], FAKE)

    def test_d_is_two_log_two_where_it_cannot_tell(self, loss):
        np.testing.assert_allclose(loss.d(jnp.zeros(2), jnp.zeros(2)), 2 * LOG2, rtol=1e-6)


@pytest.mark.parametrize(("loss", "slope"), [(minimax, -0.0066928509), (non_saturating, -0.9933071491)])
def test_gradients_at_minus_five(loss, slope):
    """-sigmoid(s) and -(1 - sigmoid(s)): minimax has no gradient where D is sure."""
    np.testing.assert_allclose(jax.grad(lambda s: loss.g(s)[0])(jnp.array([-5.0])), slope, rtol=1e-5)


def _least_d_loss(d_loss):
    """D's loss after 300 steps on one logit a side, free to go as far as it likes."""
    step = jax.jit(lambda s: s - jax.grad(lambda s: d_loss(s[:1], s[1:]).sum())(s))
    s = jnp.zeros(2)
    for _ in range(300):
        s = step(s)
    return float(d_loss(s[:1], s[1:])[0])


def test_d_falls_below_one_on_separable_data():
    """A network that ends in a sigmoid, taken for logits, cannot: its floor is 1.0064."""
    assert _least_d_loss(non_saturating.d) < 0.02
    twice = lambda r, f: non_saturating.d(jax.nn.sigmoid(r), jax.nn.sigmoid(f))  # noqa: E731
    assert _least_d_loss(twice) > 1.0064


def test_the_optimal_d_of_two_equal_distributions_cannot_tell(key):
    """D(x) = sigmoid(a x + b), trained on two samples of N(0, 1), ends at 2 log 2."""
    real, fake = jax.random.normal(key, (2, 20_000))
    loss = lambda p: non_saturating.d(p[0] * real + p[1], p[0] * fake + p[1]).mean()  # noqa: E731
    step = jax.jit(lambda p: p - 0.5 * jax.grad(loss)(p))
    p = jnp.array([2.0, -1.0])
    assert loss(p) > 1.5
    for _ in range(200):
        p = step(p)
    assert float(loss(p)) == pytest.approx(2 * LOG2, abs=2e-4)


def test_accuracy_counts_the_right_side():
    np.testing.assert_array_equal(accuracy(REAL, real=True), [1, 0, 1])
    np.testing.assert_array_equal(accuracy(FAKE, real=False), [1, 0.5, 0])
    assert accuracy(jnp.ones((2, 3, 3)), real=False).tolist() == [0, 0]


def test_hinge_and_wasserstein_by_hand():
    real, fake = jnp.array([0.5, 2.0, -1.0]), jnp.array([-0.25, -3.0, 1.0])
    np.testing.assert_allclose(hinge.d(real, fake), [0.5 + 0.75, 0.0, 2.0 + 2.0])
    np.testing.assert_allclose(wasserstein.d(real, fake), [-0.75, -5.0, 2.0])
    for loss in (hinge, wasserstein):
        np.testing.assert_allclose(loss.g(fake), -fake)
        with pytest.raises(ValueError, match="differ in shape"):
            loss.d(real, fake[:, None])


def test_hinge_rests_where_both_sides_are_told_apart_by_the_margin():
    """Its gradient is nothing beyond the margin; the Wasserstein critic's never is."""
    logits = jnp.array([3.0])
    assert jax.grad(lambda s: hinge.d(s, -s).sum())(logits) == 0
    assert jax.grad(lambda s: wasserstein.d(s, -s).sum())(logits) == -2
