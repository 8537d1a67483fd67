from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.losses import adversarial
from jaxgan.losses.adversarial import (
    DIVERGENCES,
    AdversarialLoss,
    accuracy,
    f_gan,
    flip,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    relativistic,
    relativistic_average,
    top_k,
    wasserstein,
)
from jaxgan.testing import check_loss

LOG2 = float(np.log(2))
REAL, FAKE = jnp.array([2.0, -1.0, 0.5]), jnp.array([-3.0, 0.0, 1.0])


def _with(loss, **options):
    return AdversarialLoss(partial(loss.d, **options), partial(loss.g, **options))


EVERY = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "smoothed": AdversarialLoss(partial(non_saturating.d, smooth=0.125), non_saturating.g),
    "least_squares": least_squares,
    "least_squares_101": AdversarialLoss(
        partial(least_squares.d, a=-1.0, b=1.0), partial(least_squares.g, c=0.5)
    ),
    "hinge": hinge,
    "wasserstein": wasserstein,
    "relativistic": relativistic,
    "relativistic_average": relativistic_average,
    **{name: _with(f_gan, divergence=name) for name in DIVERGENCES},
}
EXPONENTIAL = {"kl", "reverse_kl", "squared_hellinger"}


@pytest.mark.parametrize("name", EVERY)
def test_every_loss_holds_the_contract(name):
    check_loss(EVERY[name], far=50 if name in EXPONENTIAL else 1e4)


def test_every_loss_is_in_the_table():
    public = {n for n, x in vars(adversarial).items() if isinstance(x, AdversarialLoss)}
    assert public - {"f_gan"} == set(EVERY) - set(DIVERGENCES) - {"smoothed", "least_squares_101"}


# TF-GAN's losses_impl_test.py: the means of these logits' losses, to five decimals. Its label smoothing
# of 0.25 leaves a target of 0.875, and its minimax G also counts a real logit of 1.
GOLDEN = jnp.array([-5.0, 1.4, 12.5, 2.7]), jnp.array([10.0, 4.4, -5.5, 3.6])


@pytest.mark.parametrize(
    ("loss", "d", "g"),
    [
        (least_squares, 41.73375, 17.69625),
        (EVERY["smoothed"], 6.19637, 1.38582),
        (minimax, 5.83387, -4.82408 + np.log1p(np.exp(-1))),
        (wasserstein, 0.225, -3.125),
        (hinge, 6.75, -3.125),
    ],
)
def test_golden_values(loss, d, g):
    assert float(loss.d(*GOLDEN).mean()) == pytest.approx(d, abs=2e-5)
    assert float(loss.g(*GOLDEN).mean()) == pytest.approx(g, abs=2e-5)


def test_values_by_hand():
    """-log sigmoid(r) - log(1 - sigmoid(f)); log(1 - sigmoid(f)); -log sigmoid(f)."""
    np.testing.assert_allclose(minimax.d(REAL, FAKE), [0.17551536, 2.00640887, 1.78733867], rtol=1e-6)
    np.testing.assert_allclose(minimax.g(REAL, FAKE), [-0.04858735, -0.69314718, -1.31326169], rtol=1e-6)
    np.testing.assert_allclose(non_saturating.g(REAL, FAKE), [3.04858735, 0.69314718, 0.31326169], rtol=1e-6)


def test_relativistic_by_hand():
    """log(1 + exp(f - r)), each fake against its own real; for G the other way round."""
    np.testing.assert_allclose(relativistic.d(REAL, FAKE), np.log1p(np.exp([-5.0, 1.0, 0.5])), rtol=1e-6)
    np.testing.assert_allclose(relativistic.g(REAL, FAKE), np.log1p(np.exp([5.0, -1.0, -0.5])), rtol=1e-6)
    # Of the average, with means 0.5 and -2/3.
    expected = np.log1p(np.exp(-2 / 3 - np.asarray(REAL))) + np.log1p(np.exp(np.asarray(FAKE) - 0.5))
    np.testing.assert_allclose(relativistic_average.d(REAL, FAKE), expected, rtol=1e-6)
    # A pair does not see the others, an average does.
    moved = FAKE.at[0].add(5.0)
    for loss, same in ((relativistic, True), (relativistic_average, False)):
        assert np.array_equal(loss.g(REAL, moved)[1:], loss.g(REAL, FAKE)[1:]) == same


def test_the_average_spans_the_devices():
    whole = relativistic_average.d(REAL[:2], FAKE[:2])
    one = jax.vmap(partial(relativistic_average.d, axis="i"), axis_name="i")
    np.testing.assert_allclose(one(REAL[:2, None], FAKE[:2, None])[:, 0], whole, rtol=1e-6)


@pytest.mark.parametrize(("loss", "slope"), [(minimax, -0.0066928509), (non_saturating, -0.9933071491)])
def test_gradients_at_minus_five(loss, slope):
    """-sigmoid(s) and -(1 - sigmoid(s)): minimax has no gradient where D is sure."""
    s = jnp.array([-5.0])
    np.testing.assert_allclose(jax.grad(lambda f: loss.g(s, f)[0])(s), slope, rtol=1e-5)


def test_smoothing_is_the_expectation_over_labels():
    plain, wrong = non_saturating.d(REAL, FAKE), non_saturating.d(-REAL, FAKE)
    np.testing.assert_allclose(non_saturating.d(REAL, FAKE, smooth=0.1), 0.9 * plain + 0.1 * wrong, rtol=1e-6)
    # D is no longer drawn to infinity: at log 9 the real part has no slope.
    slope = jax.grad(lambda r: non_saturating.d(r, FAKE[:1], smooth=0.1).sum())
    np.testing.assert_allclose(slope(jnp.array([np.log(9.0)])), 0, atol=1e-6)


def test_flipped_examples_change_sides():
    real, fake = flip(REAL, FAKE, jnp.array([True, False, True]))
    np.testing.assert_array_equal(real, [-3.0, -1.0, 1.0])
    np.testing.assert_array_equal(fake, [2.0, 0.0, 0.5])
    patches = jnp.ones((3, 2, 2))
    np.testing.assert_array_equal(
        flip(patches, -patches, jnp.array([True, False, False]))[0].mean((1, 2)), [-1, 1, 1]
    )


def test_top_k_is_the_mean_of_the_best():
    losses = non_saturating.g(REAL, FAKE)
    best = top_k(losses, FAKE, 2 / 3)
    np.testing.assert_allclose(best.mean(), losses[1:].mean(), rtol=1e-6)
    assert best[0] == 0  # the lowest logit is left out, and gets no gradient
    np.testing.assert_allclose(jax.jit(top_k)(losses, FAKE, jnp.float32(0.4)), best)
    np.testing.assert_allclose(top_k(losses, FAKE, 1), losses)


# Two distributions on three points, and each divergence of the first from the second by its formula.
P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
M = (P + Q) / 2
TRUE = {
    "kl": (P * np.log(P / Q)).sum(),
    "reverse_kl": (Q * np.log(Q / P)).sum(),
    "pearson": ((P - Q) ** 2 / Q).sum(),
    "squared_hellinger": ((np.sqrt(P) - np.sqrt(Q)) ** 2).sum(),
    "jensen_shannon": (P * np.log(P / M)).sum() + (Q * np.log(Q / M)).sum(),
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_best_d_of_an_f_gan_measures_its_divergence(name):
    """By Newton's method on one logit a point: the bound's maximum, and no other logits reach it."""

    def bound(s):
        each = [f_gan.d(s, s.at[i].get() * jnp.ones(3), divergence=name) for i in range(3)]  # [fake][real]
        return -sum(P[r] * Q[f] * each[f][r] for r in range(3) for f in range(3))

    with jax.enable_x64(True):
        s = jnp.zeros(3, jnp.float64) + 0.1
        newton = jax.jit(lambda s: s - 0.7 * jnp.linalg.solve(jax.hessian(bound)(s), jax.grad(bound)(s)))
        for _ in range(60):
            s = newton(s)
        assert float(bound(s)) == pytest.approx(TRUE[name], rel=1e-6)
        assert float(bound(s + 0.1)) < TRUE[name] - 1e-4


def test_an_unknown_divergence_is_named():
    with pytest.raises(ValueError, match="no divergence 'js'; there are kl, "):
        f_gan.d(REAL, FAKE, divergence="js")


def test_jensen_shannon_is_the_gan():
    """Nowozin et al.: up to log 4 the same game."""
    js = _with(f_gan, divergence="jensen_shannon")
    np.testing.assert_allclose(js.d(REAL, FAKE), non_saturating.d(REAL, FAKE) - 2 * LOG2, rtol=1e-5)


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


def test_the_optimal_d_measures_the_jensen_shannon_divergence():
    """N(0, 1) against N(1, 1): V = -log 4 + 2 JSD by quadrature, and D is x's log density ratio."""
    x = np.linspace(-10, 11, 20_001)
    p, q = (np.exp(-((x - m) ** 2) / 2) / np.sqrt(2 * np.pi) for m in (0, 1))
    dx, m = x[1] - x[0], (p + q) / 2
    jsd = ((p * np.log(p / m) + q * np.log(q / m)) / 2).sum() * dx

    def value(a, b):
        s = jnp.asarray(a * x + b)
        return -float(
            ((p + 0.0) * non_saturating.d(s, 0 * s - 1e4) + q * non_saturating.d(0 * s + 1e4, s)).sum() * dx
        )

    optimum = value(-1.0, 0.5)
    assert optimum == pytest.approx(-2 * LOG2 + 2 * jsd, rel=1e-4)
    assert max(value(-0.8, 0.5), value(-1.2, 0.5), value(-1.0, 0.3)) < optimum - 1e-4


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


def test_hinge_rests_where_both_sides_are_told_apart_by_the_margin():
    """Its gradient is nothing beyond the margin; the Wasserstein critic's never is."""
    logits = jnp.array([3.0])
    assert jax.grad(lambda s: hinge.d(s, -s).sum())(logits) == 0
    assert jax.grad(lambda s: wasserstein.d(s, -s).sum())(logits) == -2


def test_top_k_is_of_the_global_batch_and_breaks_ties():
    """Two shards, of which one has all the best; in equal logits the first are kept."""
    losses = jnp.arange(8.0)
    logits = jnp.array([5.0, 6, 7, 8, 1, 2, 3, 4])
    whole = top_k(losses, logits, 0.5)
    np.testing.assert_array_equal(whole, [0, 2, 4, 6, 0, 0, 0, 0])
    shards = jax.vmap(partial(top_k, share=0.5, axis="d"), axis_name="d")
    np.testing.assert_array_equal(shards(losses.reshape(2, 4), logits.reshape(2, 4)).ravel(), whole)
    np.testing.assert_array_equal(top_k(losses, jnp.zeros(8), 0.25), [0, 4, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(top_k(losses, logits, 0.01), [0, 0, 0, 24, 0, 0, 0, 0])  # at least one
