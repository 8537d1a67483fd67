"""Latents are found again, and directions where they are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import latents
from jaxgan.config import InputError

LAYERS, D, SIDE = 3, 4, 16


@pytest.fixture(scope="module")
def generate():
    """Each layer's style times a picture of its own, and noise where there is some."""
    pictures = jax.random.normal(jax.random.key(1), (LAYERS, D, SIDE, SIDE, 1)) / 4

    def of(w, noise):
        w = jnp.broadcast_to(w, (len(w), LAYERS, D))
        return jnp.einsum("bld,ldhwc->bhwc", w, pictures) + sum(0.5 * x[..., None] for x in noise.values())

    return of


def test_styles_are_found_in_w_plus_and_in_w(generate, key):
    w = jax.random.normal(jax.random.key(2), (2, LAYERS, D))
    options = dict(std=2.0, key=key, steps=150)
    found = latents.project(generate, generate(w, {}), jnp.zeros((LAYERS, D)), **options)
    np.testing.assert_allclose(found.latent, w, atol=0.02)
    assert found.distance.shape == (150, 2)
    assert (found.distance[-1] < 1e-4 * found.distance[0]).all()
    # One style for all layers is nearest where least squares has it, and cannot make images of several.
    one = latents.project(generate, generate(w, {}), jnp.zeros((1, D)), **options)
    assert one.latent.shape == (2, 1, D)
    assert (one.distance[-1] > 0.05 * one.distance[0]).all()
    same = jnp.broadcast_to(w[:, :1], w.shape)
    one = latents.project(generate, generate(same, {}), jnp.zeros((1, D)), **options)
    np.testing.assert_allclose(one.latent, w[:, :1], atol=0.02)


def test_noise_is_found_beside_and_stays_white(generate, key):
    maps = {"a": jax.random.normal(jax.random.key(3), (SIDE, SIDE))}
    w = jax.random.normal(jax.random.key(2), (1, LAYERS, D))
    other = {"a": jax.random.normal(jax.random.key(4), (1, SIDE, SIDE))}
    target = generate(w, other)
    options = dict(std=2.0, key=key, steps=150)
    found = latents.project(generate, target, jnp.zeros((LAYERS, D)), noise=maps, smooth=1.0, **options)
    alone = latents.project(
        lambda w, _: generate(w, other | {"a": maps["a"][None]}), target, jnp.zeros((LAYERS, D)), **options
    )
    assert found.distance[-1, 0] < 0.1 * alone.distance[-1, 0]
    made = np.asarray(found.noise["a"][0])
    assert (abs(made.mean()), made.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-4))


def test_the_search_has_moves_that_end(generate, key):
    """Another key's search goes other ways and ends at one place."""
    w = jax.random.normal(jax.random.key(2), (1, LAYERS, D))
    args = generate, generate(w, {}), jnp.zeros((LAYERS, D)), 2.0
    a, b = (latents.project(*args, k, steps=150, wander=0.5) for k in (key, jax.random.key(9)))
    assert not np.allclose(a.distance[1:50], b.distance[1:50], rtol=1e-3)
    np.testing.assert_allclose(a.latent, b.latent, atol=0.02)


def test_roughness_is_of_neighbours_at_each_scale():
    white = jax.random.normal(jax.random.key(0), (64, 64))
    assert float(latents.roughness(white)) < 0.1
    striped = jnp.broadcast_to(jnp.array([1.0, -1.0] * 32), (64, 64))
    assert float(latents.roughness(striped)) == pytest.approx(2)  # of half its size it is 0
    blocks = jnp.repeat(jnp.repeat(jax.random.normal(jax.random.key(1), (32, 32)), 2, 0), 2, 1)
    assert float(latents.roughness(blocks)) > 0.4  # halves that are alike
    large = jnp.repeat(jnp.repeat(blocks[::2, ::2], 4, 0), 4, 1)  # and quarters
    assert float(latents.roughness(large)) > 4 * 2 * 0.4


def test_scales_weigh_what_is_seen_from_afar():
    x = jnp.zeros((2, 16, 16, 1))
    fine = jnp.broadcast_to(jnp.array([0.5, -0.5] * 8)[:, None], (16, 16, 1))
    found = latents.scales(jnp.stack([fine, jnp.full((16, 16, 1), 0.5)]), x)
    np.testing.assert_allclose(found, [0.25 / 3, 0.25], rtol=1e-6)  # of 16, 8 and 4 pixels
    with pytest.raises(InputError, match="are compared with images"):
        latents.scales(x, x[:, :8])


def test_the_rate_rises_and_falls():
    rates = np.asarray(latents._rate(jnp.arange(0, 1001), 1000))
    assert (rates[0], rates[50], rates[700]) == (0, pytest.approx(1), 1)
    assert rates[25] == pytest.approx(0.5)
    assert rates[875] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0, abs=1e-6)


def test_principal_directions_are_those_of_the_spread():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0]
    x = rng.normal(size=(20_000, D)) * [3.0, 2.0, 1.0, 0.1] @ turn + 5
    found = latents.principal(x, 3)
    np.testing.assert_allclose(np.abs((found.of * turn[:3]).sum(1)), 1, atol=1e-3)
    np.testing.assert_allclose(found.size, [3, 2, 1], rtol=0.02)
    np.testing.assert_allclose(found.of @ found.of.T, np.eye(3), atol=1e-12)
    with pytest.raises(InputError, match="5 directions of latents"):
        latents.principal(x, 5)


def test_the_closed_form_has_what_layers_take_up_most():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(D, 7)), rng.normal(size=(D, 3))]
    found = latents.closed_form(kernels, D)
    assert (np.diff(found.size) < 0).all()
    taken = lambda n: np.sqrt(sum(np.square(n @ w).sum() for w in kernels))  # noqa: E731
    np.testing.assert_allclose([taken(n) for n in found.of], found.size, rtol=1e-9)
    others = rng.normal(size=(1000, D))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert max(map(taken, others)) <= found.size[0]
    assert (found.of[np.arange(D), np.abs(found.of).argmax(1)] > 0).all()
    with pytest.raises(InputError, match="of one latent"):
        latents.closed_form([*kernels, np.ones((3, 2))], 1)


def test_a_latent_is_moved_mixed_and_drawn_in():
    w = jax.random.normal(jax.random.key(0), (2, LAYERS, D))
    moved = latents.along(w[0], np.eye(D)[1], [-1.0, 0.0, 2.0], slice(1, None))
    assert moved.shape == (3, LAYERS, D)
    np.testing.assert_array_equal(moved[1], w[0])
    np.testing.assert_array_equal(moved[:, 0], jnp.broadcast_to(w[0, 0], (3, D)))
    np.testing.assert_allclose(moved[2] - w[0], [[0] * 4, [0, 2, 0, 0], [0, 2, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(
        latents.along(w[0, 0], np.eye(D)[1], [1.0])[0] - w[0, 0], [0, 1, 0, 0], atol=1e-6
    )
    a, b = w[:1], jax.random.normal(jax.random.key(1), (3, LAYERS, D))
    table = latents.mixed(a, b, slice(0, 2))
    assert table.shape == (1, 3, LAYERS, D)
    np.testing.assert_array_equal(table[0, :, :2], b[:, :2])
    np.testing.assert_array_equal(table[0, :, 2], jnp.broadcast_to(a[0, 2], (3, D)))
    mean = jnp.ones(D)
    np.testing.assert_allclose(latents.truncated(w, mean, 0.0), jnp.ones_like(w))
    by_layer = latents.truncated(w, mean, [1.0, 0.5, 0.0])
    np.testing.assert_allclose(by_layer[:, 0], w[:, 0], atol=1e-6)
    np.testing.assert_allclose(by_layer[:, 1], (w[:, 1] + 1) / 2, atol=1e-6)
    flat = np.array(w).reshape(-1, D)
    mean, std = latents.spread(jnp.array(flat))
    np.testing.assert_allclose(mean, flat.mean(0), atol=1e-6)
    assert float(std) == pytest.approx(np.sqrt(flat.var(0).sum()), rel=1e-5)
