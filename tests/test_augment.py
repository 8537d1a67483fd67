"""What is done to images before D sees them: what each does, to whom, and that G's gradient goes on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import augment
from jaxgan.config import InputError

N, S = 4000, 8
SLOT = jnp.arange(N)
OPERATIONS = [augment.colour, augment.translation, augment.cutout, augment.diff_augment]


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(7), (N, S, S, 3), minval=-1)


@pytest.mark.parametrize("of", OPERATIONS)
def test_they_are_the_slots_own_and_leave_a_share(of, images, key):
    some = images[:200]
    done = jax.jit(of)(key, some, SLOT[:200], 1.0)
    assert (done.shape, done.dtype) == (some.shape, some.dtype)
    np.testing.assert_allclose(of(key, some[150:], SLOT[150:200]), done[150:], atol=1e-6)
    np.testing.assert_array_equal(of(key, some, SLOT[:200], 0.0), some)
    half = of(key, images, SLOT, 0.5)
    alike = np.asarray((half == images).all((1, 2, 3)))
    whole = of(key, images, SLOT)
    never = np.asarray((whole == images).all((1, 2, 3))).mean()  # moved by nothing
    if of is not augment.diff_augment:
        assert alike.mean() == pytest.approx(0.5 + never / 2, abs=0.04)
        np.testing.assert_array_equal(half[~alike], whole[~alike])
    assert not np.array_equal(of(jax.random.key(1), some, SLOT[:200]), done)


def test_colour_is_moved_about_the_means(images, key):
    done = np.asarray(augment.colour(key, images, SLOT))
    mean = np.asarray(images.mean((1, 2, 3)))
    light = done.mean((1, 2, 3)) - mean
    assert np.ptp(light) == pytest.approx(1, abs=0.02)
    assert light.mean() == pytest.approx(0, abs=0.02)
    grey = lambda x: x.mean(3) - x.mean((1, 2, 3))[:, None, None]  # noqa: E731
    contrast = (grey(done) / grey(np.asarray(images))).reshape(N, -1)
    np.testing.assert_allclose(np.median(contrast, 1), contrast.mean(1), rtol=0.05, atol=0.02)
    factor = np.median(contrast, 1)
    assert (factor.min(), factor.max()) == (pytest.approx(0.5, abs=0.01), pytest.approx(1.5, abs=0.01))
    chroma = lambda x: np.sqrt(((x - x.mean(3, keepdims=True)) ** 2).sum((1, 2, 3)))  # noqa: E731
    factor = chroma(done) / chroma(np.asarray(images)) / factor
    assert (factor.min(), factor.max()) == (pytest.approx(0, abs=0.01), pytest.approx(2, abs=0.02))
    assert factor.mean() == pytest.approx(1, abs=0.04)


def test_of_grey_images_saturation_changes_nothing(images, key):
    done = np.asarray(augment.colour(key, images[..., :1], SLOT))
    assert done.shape == (N, S, S, 1)
    spread = done.std((1, 2, 3)) / np.asarray(images[..., :1]).std((1, 2, 3))
    assert (spread.min(), spread.max()) == (pytest.approx(0.5, abs=0.01), pytest.approx(1.5, abs=0.01))


def test_translation_moves_whole_pixels_each_as_often(key):
    x = jnp.zeros((N, 16, 24, 1)).at[:, 7, 11].set(1)
    done = np.asarray(augment.translation(key, x, SLOT))
    assert (done.sum((1, 2, 3)) == 1).all()
    _, row, column, _ = np.nonzero(done)
    for places, centre, most in ((row, 7, 2), (column, 11, 3)):
        share = np.bincount(places, minlength=30)[centre - most : centre + most + 1] / N
        assert share.sum() == 1
        np.testing.assert_allclose(share, 1 / (2 * most + 1), atol=0.03)
    assert abs(np.corrcoef(row, column)[0, 1]) < 0.06
    corner = np.asarray(augment.translation(key, jnp.ones((N, 8, 8, 1)), SLOT))
    assert set(np.unique(corner)) == {0, 1}  # zeros come in


def test_cutout_is_a_square_of_half_the_side_over_the_edge(key):
    done = np.asarray(augment.cutout(key, jnp.ones((N, S, S, 2)), SLOT))[..., 0] == 0
    rows, columns = done.any(2).sum(1), done.any(1).sum(1)
    np.testing.assert_array_equal(done.sum((1, 2)), rows * columns)  # a rectangle
    assert (rows.max(), columns.max()) == (4, 4)
    assert (rows.min(), columns.min()) == (2, 2)  # its centre is in the image
    # Of the 9 centres on an axis those at 0, 1, 7 and 8 have 2, 3, 3 and 2 pixels of it within.
    assert rows.mean() == pytest.approx((2 + 3 + 4 * 5 + 3 + 2) / 9, abs=0.05)


@pytest.mark.parametrize("of", OPERATIONS)
def test_the_gradient_goes_through(of, images, key):
    """That of a sum of squares by finite differences, in the direction of a random image."""
    x, slot = images[:4], SLOT[:4]
    with jax.enable_x64(True):
        x = jnp.asarray(x, jnp.float64)
        loss = lambda x: (of(key, x, slot) ** 2).sum()  # noqa: E731
        v = jax.random.normal(key, x.shape, jnp.float64)
        slope = float((jax.grad(loss)(x) * v).sum())
        apart = float((loss(x + 1e-6 * v) - loss(x - 1e-6 * v)) / 2e-6)
    assert slope == pytest.approx(apart, rel=1e-6)
    assert abs(slope) > 1e-3


@pytest.mark.parametrize("bad", [jnp.zeros((2, 4, 4)), jnp.zeros((2, 4, 4, 1), jnp.uint8), [1.0]])
def test_what_is_no_image_is_refused(bad, key):
    for of in OPERATIONS:
        with pytest.raises(InputError, match=r"images to augment are floats \[B, H, W, C\]"):
            partial(of, key, bad, jnp.arange(2))()
