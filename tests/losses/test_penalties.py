from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import random
from jaxgan.losses import penalties
from jaxgan.testing import check_penalty

SLOT = jnp.arange(6)


def _shift(key, x, slot):
    return x + random.normal(key, slot, x.shape[1:])


EVERY = {
    "gradient_penalty": penalties.gradient_penalty,
    "one_sided": partial(penalties.gradient_penalty, one_sided=True),
    "dragan": penalties.dragan,
    "r1": penalties.r1,
    "r2": penalties.r2,
    # D's rounding is divided by the reach: at 0.01 a compiled one is another in the fourth digit.
    "approximate_r1": partial(penalties.approximate_r1, epsilon=0.1),
    "approximate_r2": partial(penalties.approximate_r2, epsilon=0.1),
    "zero_centred": penalties.zero_centred,
    "drift": penalties.drift,
    "consistency": partial(penalties.consistency, augment=_shift),
    "balanced_consistency": partial(penalties.consistency, augment=_shift, weight_fake=5.0),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_penalty_holds_the_contract(name):
    check_penalty(EVERY[name])


def _data(key):
    return jax.random.normal(key, (6, 4, 3)), jax.random.normal(jax.random.key(9), (6, 4, 3))


def _linear(w):
    return lambda x: (x * w).sum((1, 2)) + 1


def _on(penalty, critic, key, **options):
    return penalty(critic, *_data(key), key, SLOT, **options)


def test_of_a_linear_critic(key):
    """Its gradient is its weight, everywhere: of norm sqrt(3) or sqrt(3) / 4 here."""
    steep, flat = (_linear(jnp.full((1, 4, 3), w)) for w in (0.5, 0.125))
    for penalty in (penalties.gradient_penalty, penalties.dragan):
        np.testing.assert_allclose(
            _on(penalty, steep, key), np.full(6, 10 * (np.sqrt(3) - 1) ** 2), rtol=1e-5
        )
    two, one = (partial(penalties.gradient_penalty, weight=2.0, one_sided=o) for o in (False, True))
    np.testing.assert_allclose(_on(two, flat, key), np.full(6, 2 * (np.sqrt(3) / 4 - 1) ** 2), rtol=1e-5)
    np.testing.assert_array_equal(_on(one, flat, key), np.zeros(6))
    np.testing.assert_allclose(_on(one, steep, key), _on(two, steep, key))
    for penalty in (penalties.r1, penalties.r2):
        np.testing.assert_allclose(_on(penalty, steep, key, gamma=4.0), np.full(6, 6.0), rtol=1e-5)
    np.testing.assert_allclose(
        _on(penalties.zero_centred, steep, key, weight=2.0), np.full(6, 6.0), rtol=1e-5
    )


def test_where_each_looks(key):
    """With D(x) = |x|^2 / 2 the gradient is x itself."""
    real, fake = _data(key)
    critic = lambda x: jnp.square(x).sum((1, 2)) / 2  # noqa: E731
    norms = [np.square(x).sum((1, 2)) for x in (real, fake)]
    np.testing.assert_allclose(_on(penalties.r1, critic, key, gamma=2.0), norms[0], rtol=1e-5)
    np.testing.assert_allclose(_on(penalties.r2, critic, key, gamma=2.0), norms[1], rtol=1e-5)
    between = np.square(penalties.interpolate(real, fake, key, SLOT)).sum((1, 2))
    np.testing.assert_allclose(
        _on(penalties.gradient_penalty, critic, key), 10 * (np.sqrt(between) - 1) ** 2, rtol=1e-4
    )
    np.testing.assert_allclose(_on(penalties.zero_centred, critic, key, weight=1.0), between, rtol=1e-4)
    np.testing.assert_allclose(_on(penalties.drift, critic, key, weight=4.0), norms[0] ** 2, rtol=1e-5)


def test_dragan_stays_near_the_real_data(key):
    """Its points lie within scale times the batch's standard deviation above real ones."""
    points = []
    critic = lambda x: points.append(x) or x.sum((1, 2))  # noqa: E731
    with jax.disable_jit():
        penalties.dragan(critic, *_data(key), key, SLOT, scale=0.5)
    real, _ = _data(key)
    away = np.asarray(
        jax.lax.stop_gradient(points[0].primal if hasattr(points[0], "primal") else points[0]) - real
    )
    assert away.min() >= -1e-6
    assert 0.1 < away.max() < 0.5 * np.std(real)


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
    one = _linear(jnp.full((1, 4, 3), 0.3))
    patches = lambda x: jnp.broadcast_to(one(x)[:, None, None], (6, 5, 5))  # noqa: E731
    for penalty in EVERY.values():
        np.testing.assert_allclose(_on(penalty, patches, key), _on(penalty, one, key), rtol=1e-5)


def test_the_penalty_pulls_a_critic_to_the_published_slope():
    """Two points a distance d apart: the optimal slope of a linear critic is 1 + d / (2 weight)."""
    distance, weight = 1.0, 0.1
    real, fake = jnp.zeros((6, 1)), jnp.full((6, 1), distance)
    gp = partial(penalties.gradient_penalty, weight=weight)

    def loss(w):
        critic = lambda x: (x * w).sum(1)  # noqa: E731
        return (critic(fake) - critic(real) + gp(critic, real, fake, jax.random.key(0), SLOT)).mean()

    step = jax.jit(lambda w: w - 0.5 / (2 * weight) * jax.grad(loss)(w))
    w = jnp.asarray(-0.5)
    for _ in range(200):
        w = step(w)
    np.testing.assert_allclose(-w, 1 + distance / (2 * weight), rtol=1e-4)


def test_consistency_by_hand(key):
    """With D the sum and T adding 1 to each of 12 numbers, D moves by 12."""
    add = lambda key, x, slot: x + 1  # noqa: E731
    critic = lambda x: x.sum((1, 2))  # noqa: E731
    one = _on(penalties.consistency, critic, key, augment=add, weight=2.0)
    both = _on(penalties.consistency, critic, key, augment=add, weight=2.0, weight_fake=1.0)
    np.testing.assert_allclose(one, np.full(6, 2 * 144.0), rtol=1e-5)
    np.testing.assert_allclose(both, np.full(6, 3 * 144.0), rtol=1e-5)


def test_lecam_by_hand():
    """Real logits above the fake anchor and fake ones below the real anchor are drawn back."""
    real, fake = jnp.array([1.0, -1.0]), jnp.array([0.25, 2.0])
    np.testing.assert_allclose(penalties.lecam(real, fake, 0.5, -0.5), [1.5**2 + 0.25**2, 0.0])
    np.testing.assert_allclose(penalties.lecam(real, fake, 0.5, 0.5), [0.5**2 + 0.25**2, 0.0])
    with pytest.raises(ValueError, match="differ in shape"):
        penalties.lecam(real, fake[:, None], 0.0, 0.0)


def test_orthogonal_by_hand():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))
    params = {"kernel": jnp.asarray(2 * q, jnp.float32), "bias": jnp.ones(3)}
    assert float(penalties.orthogonal(params, weight=1.0)) < 1e-9
    assert float(penalties.orthogonal(params, weight=1.0, diagonal=True)) == pytest.approx(3 * 9.0, rel=1e-5)
    skew = {"kernel": jnp.array([[[1.0, 1.0]]])}  # both columns the same: two entries of 1 off the diagonal
    assert float(penalties.orthogonal(skew, weight=0.5)) == 1.0


def test_gradient_normalisation_bounds_the_slope(key):
    """Of D = w x + 1 it is (w x + 1) / (|w| + |w x + 1|), and where D = 0 its slope is 1."""
    x = jnp.array([[-0.2], [0.3], [4.0]])
    critic = lambda x: 5.0 * x[:, 0] + 1  # noqa: E731
    value = penalties.normalise_gradient(critic)(x)
    np.testing.assert_allclose(value, [0.0, 2.5 / 7.5, 21 / 26], atol=1e-6)
    slopes = np.sqrt(penalties.squared_gradient(penalties.normalise_gradient(critic), x))
    np.testing.assert_allclose(slopes, [1.0, 25 / 7.5**2, 25 / 26**2], rtol=1e-4)
    assert np.sqrt(penalties.squared_gradient(critic, x)).min() > 4.9  # the control
    with pytest.raises(ValueError, match="one logit an example"):
        penalties.normalise_gradient(lambda x: x)(x)


def test_path_lengths_of_a_linear_generator(key):
    """Their squares' mean is ||J||_F^2 / pixels; here J = diag(1, 2, 3, 4) on 2x2x1 images."""
    generate = lambda z: (z * jnp.arange(1.0, 5.0)[None]).reshape(-1, 2, 2, 1)  # noqa: E731
    n = 20_000
    lengths = penalties.path_lengths(generate, jnp.zeros((n, 4)), key, jnp.arange(n))
    # Its variance is 2 sum(s^4) / 16^2 for singular values s.
    error = np.sqrt(2 * (1 + 16 + 81 + 256) / 16 / n)
    assert float(jnp.square(lengths).mean()) == pytest.approx(30 / 4, abs=4 * error)
    z = jnp.zeros((6, 4))
    around = penalties.path_length(generate, z, None, key, SLOT, mean=1.5, weight=2.0)
    np.testing.assert_allclose(around, 2 * (lengths[:6] - 1.5) ** 2, rtol=1e-5)
    still = jax.grad(lambda s: penalties.path_lengths(lambda z: s * generate(z), z, key, SLOT).sum())(0.0)
    assert np.isfinite(still)


def test_mode_seeking_by_hand(key):
    """G multiplies by 3, so the ratio is 3; a collapsed G pays 1 / 1e-5."""
    latent = lambda key, slot: random.normal(key, slot, (4,))  # noqa: E731
    z = latent(key, SLOT)
    for scale, expected in ((3.0, 1 / (3 + 1e-5)), (0.0, 1e5)):
        generate = lambda z, s=scale: s * z  # noqa: E731
        value = penalties.mode_seeking(generate, z, generate(z), key, SLOT, latent=latent)
        np.testing.assert_allclose(value, np.full(6, expected), rtol=1e-4)


def test_latent_consistency_by_hand(key):
    z = random.normal(key, SLOT, (5,))
    d, g = penalties.latent_consistency(lambda x: x.sum(1), lambda z: 2 * z, z, 2 * z, key, SLOT, std=0.1)
    noise = 0.1 * random.normal(random.fold(key, "latent consistency"), SLOT, (5,))
    np.testing.assert_allclose(d, (2 * noise.sum(1)) ** 2, rtol=1e-4)
    np.testing.assert_allclose(g, (4 * noise**2).mean(1), rtol=1e-4)


def test_shapes_that_differ_are_named(key):
    with pytest.raises(ValueError, match=r"real \(6, 4, 3\) and fake \(6, 4, 2\)"):
        penalties.interpolate(jnp.zeros((6, 4, 3)), jnp.zeros((6, 4, 2)), key, SLOT)


MANY = jnp.arange(40_000)


@pytest.mark.parametrize("epsilon", [1e-2, 0.1, 1.0])
def test_finite_differences_of_a_linear_critic_are_its_slope(key, epsilon):
    """In the mean over the noise ||w||^2 whatever the reach, with a deviation of sqrt(2) of it in one."""
    w, x = jnp.array([0.3, -0.4, 1.2]), jnp.zeros((len(MANY), 3))
    critic = lambda x: x @ w + 5  # noqa: E731
    for penalty in (penalties.approximate_r1, penalties.approximate_r2):
        found = penalty(critic, x, x, key, MANY, gamma=2.0, epsilon=epsilon)
        assert float(found.mean()) == pytest.approx(1.69, rel=4 * np.sqrt(2 / len(MANY)))
        assert float(found.std()) == pytest.approx(np.sqrt(2) * 1.69, rel=0.05)


def test_the_error_of_finite_differences_is_of_second_order(key):
    """Of D(x) = x^2 at 1 it is known: E ((2 x e n + e^2 n^2) / e)^2 = 4 + 3 e^2."""
    x = jnp.ones((len(MANY), 1))
    squared = partial(penalties.approximate_r1, lambda x: (x**2)[:, 0], x, x, key, MANY, gamma=2.0)
    means = {e: float(squared(epsilon=e).mean()) for e in (1.0, 0.5, 0.01)}
    for e, mean in means.items():
        assert mean == pytest.approx(4 + 3 * e**2, rel=0.06)
    assert means[1.0] - means[0.01] == pytest.approx(3, rel=0.15)
    assert means[0.5] - means[0.01] == pytest.approx(0.75, rel=0.3)


def test_finite_differences_are_taken_where_they_say(key):
    real, fake = _data(key)
    critic = lambda x: (x**2).sum((1, 2))  # noqa: E731
    r1, r2 = penalties.approximate_r1, penalties.approximate_r2
    np.testing.assert_array_equal(r1(critic, real, fake, key, SLOT), r1(critic, real, real, key, SLOT))
    np.testing.assert_array_equal(r2(critic, real, fake, key, SLOT), r2(critic, fake, fake, key, SLOT))
    assert not np.allclose(r1(critic, real, fake, key, SLOT), r1(critic, fake, fake, key, SLOT))
    known = r1(critic, real, fake, key, SLOT, logits=critic(real))
    np.testing.assert_array_equal(known, r1(critic, real, fake, key, SLOT))
    assert not np.allclose(known, r1(critic, real, fake, key, SLOT, logits=critic(fake)))
