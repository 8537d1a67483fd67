import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data.sources import load
from jaxgan.data.synthetic import Mixture, embedded, grid, ring, sample, stacked_digits
from jaxgan.metrics.modes import assign, captured, drift, modes, reverse_kl, stacked_modes
from jaxgan.random import fold

N = 2500
draw = jax.jit(sample)
score = jax.jit(modes)
WITHIN_3 = 1 - np.exp(-4.5)  # of a 2-D normal: its squared radius is exponential with mean 2


def test_quality_ends_at_three_standard_deviations():
    mixture = ring(std=0.1)
    offsets = jnp.array([[0.0, 0.0], [0.29, 0.0], [0.31, 0.0], [-0.2, 0.2], [-0.22, 0.22]])
    samples = mixture.centres[3][None] + offsets
    mode, good = assign(samples, mixture)
    assert mode.tolist() == [3] * 5
    assert good.tolist() == [True, True, False, True, False]
    assert assign(samples, mixture, n_std=2.85)[1].tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_is_never_of_high_quality(bad):
    samples = jnp.array([[bad, 0.0], [1.0, bad], [bad, bad], [1.0, 0.0]])
    assert assign(samples, ring())[1].tolist() == [False, False, False, True]
    figures = score(samples, ring())
    assert float(figures["high_quality"]) == 0.25
    assert int(figures["captured"]) == 1
    none = score(samples[:3], ring())
    assert int(none["captured"]) == 0
    assert np.isnan(none["reverse_kl"])  # and not 0, the best of all


@pytest.mark.parametrize("mixture", [ring(), grid(), ring(radius=2 / 1.414, std=0.02 / 1.414)])
def test_a_perfect_sampler_is_not_quite_perfect(mixture, key):
    n = 20_000
    figures = score(draw(mixture, key, jnp.arange(n)), mixture)
    assert float(figures["high_quality"]) == pytest.approx(
        WITHIN_3, abs=4 * np.sqrt(WITHIN_3 * (1 - WITHIN_3) / n)
    )
    k = len(mixture.centres)
    assert int(figures["captured"]) == k
    np.testing.assert_allclose(figures["shares"], WITHIN_3 / k, atol=4 / np.sqrt(n * k))
    assert float(figures["shares"].sum()) == pytest.approx(float(figures["high_quality"]), abs=1e-5)


def test_the_reverse_kl_of_a_perfect_sampler(key):
    """2 n KL is chi-square with K - 1 degrees: mean K - 1, variance 2 (K - 1); n are of high quality."""
    mixture, repetitions = ring(), 200

    def once(i):
        return modes(sample(mixture, fold(key, i), jnp.arange(N)), mixture)["reverse_kl"]

    values = jax.lax.map(once, jnp.arange(repetitions))
    n = WITHIN_3 * N
    assert float(values.mean()) == pytest.approx(7 / (2 * n), abs=4 * np.sqrt(2 * 7 / repetitions) / (2 * n))
    assert float(values.min()) >= -1e-6


def test_reverse_kl_by_hand():
    assert float(reverse_kl(jnp.array([5, 5, 5, 5]))) == pytest.approx(0, abs=1e-6)
    assert float(reverse_kl(jnp.array([9, 0, 0, 0]))) == pytest.approx(np.log(4))
    assert float(reverse_kl(jnp.array([3, 3, 0, 0]))) == pytest.approx(np.log(2))
    assert float(reverse_kl(jnp.array([3, 1]))) == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert int(captured(jnp.array([3, 0, 1, 0]))) == 2


def test_a_collapsed_sampler(key):
    mixture = ring()
    one = Mixture(mixture.centres[5:6], mixture.std)
    figures = score(draw(one, key, jnp.arange(N)), mixture)
    assert int(figures["captured"]) == 1
    assert float(figures["reverse_kl"]) == pytest.approx(np.log(8))
    assert float(figures["high_quality"]) == pytest.approx(WITHIN_3, abs=0.009)  # and yet as good as any


def test_a_ring_with_both_ends_has_seven_modes(key):
    angle = jnp.linspace(0, 2 * jnp.pi, 8)
    closed = Mixture(jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1), jnp.float32(0.01))
    n = 20_000
    samples = draw(closed, key, jnp.arange(n))
    figures = score(samples, Mixture(closed.centres.at[7].set(closed.centres[0]), closed.std))
    assert int(figures["captured"]) == 7
    # Of shares 1/4 and six of 1/8, against 1/8: log(2) / 4.
    assert float(figures["reverse_kl"]) == pytest.approx(np.log(2) / 4, abs=0.01)
    true = score(samples, ring())  # only angle 0 is a mode of both
    assert int(true["captured"]) == 1
    assert float(true["high_quality"]) == pytest.approx(WITHIN_3 / 4, abs=4 * np.sqrt(3 / 16 / n))


def test_the_order_of_samples_changes_nothing(key):
    samples = draw(ring(std=0.3), key, jnp.arange(N))
    shuffled = jax.random.permutation(key, samples)
    a, b = (jax.tree.map(np.asarray, score(x, ring(std=0.3))) for x in (samples, shuffled))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert (np.asarray(assign(samples, ring())[0]) != np.asarray(assign(shuffled, ring())[0])).any()


def test_embedded_modes_need_their_own_threshold(key):
    """A perfect sample's distance is chi with 700 degrees: never within 10, 99.98 % within 29."""
    mixture = embedded()
    samples = draw(mixture, key, jnp.arange(300))
    assert float(score(samples, mixture, n_std=10.0)["high_quality"]) == 0
    figures = score(samples, mixture, n_std=29.0)
    assert float(figures["high_quality"]) > 0.995
    assert int(figures["captured"]) == 10
    mean = np.asarray(samples)[:, -1:]
    np.testing.assert_array_equal(np.asarray(mixture.centres)[assign(samples, mixture)[0], :1], mean)


def test_drift_tells_an_oscillating_sampler_from_a_collapsed_one(key):
    mixture = ring()

    def shares(visits):
        def moment(t, mode):
            at = Mixture(mixture.centres[mode][None], mixture.std)
            return modes(sample(at, fold(key, t), jnp.arange(N)), mixture)

        return jax.jit(jax.vmap(moment))(jnp.arange(len(visits)), jnp.array(visits))

    static, rotating = shares([2] * 6), shares([0, 3, 1, 5, 2, 7])
    for figures in (static, rotating):  # at each moment they are alike
        assert figures["captured"].tolist() == [1] * 6
        np.testing.assert_allclose(figures["reverse_kl"], np.log(8), rtol=1e-5)
    noise = 4 * np.sqrt(WITHIN_3 * (1 - WITHIN_3) / N)
    assert float(drift(static["shares"])) < noise
    assert float(drift(rotating["shares"])) == pytest.approx(WITHIN_3, abs=noise)


def test_drift_by_hand():
    assert float(drift(jnp.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]))) == 0
    assert float(drift(jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))) == 1
    assert float(drift(jnp.array([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75]]))) == 0.375
    assert float(drift(jnp.array([[0.0, 0.0], [0.6, 0.4]]))) == 1  # out of no mode into two
    with pytest.raises(ValueError, match="at least 2 moments, not 1"):
        drift(jnp.ones((1, 4)))


def test_the_floor_of_drift():
    """One sample moves a total variation by at most 1 / N, so its variance is at most 1 / N (Efron-Stein)
    and that of the mean of T, each tied to its two neighbours, at most 3 / (T N)."""
    moments = 1000
    counts = np.random.default_rng(0).multinomial(N, [1 / 8] * 8, moments + 1)
    floor = np.sqrt(7 / (np.pi * N))
    assert floor == pytest.approx(0.030, abs=1e-3)
    assert float(drift(counts / N)) == pytest.approx(floor, abs=4 * np.sqrt(3 / (moments * N)))


def test_stacked_modes_of_the_real_digits(key):
    """Of N samples of K equal modes K (1 - (1 - 1/K)^N) are seen; the KL's mean is (K - 1) / (2 N)."""
    digits = load("digits", image_size=8)
    n = 10_000
    _, mode = jax.jit(stacked_digits)(key, jnp.arange(n), digits["image"], digits["label"])
    seen = jnp.stack([mode // 100, mode // 10 % 10, mode % 10], 1)
    score = jax.jit(stacked_modes)
    figures = score(seen)
    assert int(figures["captured"]) >= 990  # 999.95 expected
    assert float(figures["reverse_kl"]) == pytest.approx(999 / (2 * n), abs=4 * np.sqrt(2 * 999) / (2 * n))
    assert float(figures["shares"][314]) == float((mode == 314).mean())
    collapsed = score(seen.at[:, 0].set(7))  # one channel that ignores its latent
    assert int(collapsed["captured"]) == 100
    assert float(collapsed["reverse_kl"]) == pytest.approx(np.log(10), rel=0.01)
