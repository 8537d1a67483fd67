"""What is done to images before D sees them: what each does, to whom, and that G's gradient goes on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy import ndimage

from jaxgan import augment, random, steps
from jaxgan.config import InputError
from jaxgan.game import Optimizers
from jaxgan.losses.adversarial import non_saturating
from jaxgan.two_player import two_player

N, S = 4000, 8
SLOT = jnp.arange(N)
ONE = [augment.colour, augment.translation, augment.cutout]
RESAMPLED = [augment.geometry, augment.bgc]
OPERATIONS = [*ONE, augment.diff_augment, augment.geometry, augment.colour_matrix, augment.bgc]


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(7), (N, S, S, 3), minval=-1)


@pytest.mark.parametrize("of", OPERATIONS)
def test_they_are_the_slots_own_and_leave_a_share(of, images, key):
    some = images[:200]
    moved = jax.jit(of)
    done = moved(key, some, SLOT[:200], 1.0)
    assert (done.shape, done.dtype) == (some.shape, some.dtype)
    places = 2e-5 if of in RESAMPLED else 1e-6  # whose places are rounded as well as their levels
    np.testing.assert_allclose(moved(key, some[150:], SLOT[150:200], 1.0), done[150:], atol=places)
    np.testing.assert_array_equal(of(key, some, SLOT[:200], 0.0), some)
    if of in ONE:
        half, whole = of(key, images, SLOT, 0.5), of(key, images, SLOT)
        alike = np.asarray((half == images).all((1, 2, 3)))
        never = np.asarray((whole == images).all((1, 2, 3))).mean()  # moved by nothing
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


def test_an_image_is_resampled_as_scipy_has_it(images):
    rng = np.random.default_rng(0)
    for x in np.asarray(images[:5, :, :6]):  # not square
        matrix = np.eye(3)
        matrix[:2] = rng.normal(size=(2, 3)) * [1, 1, 4]
        done = augment._resampled(jnp.array(x), jnp.array(matrix, jnp.float32))
        swap = np.eye(3)[[1, 0, 2]]  # rows before columns
        of, centre = swap @ matrix @ swap, (np.array(x.shape[:2]) - 1) / 2
        offset = of[:2, 2] + centre - of[:2, :2] @ centre
        for c in range(3):
            wanted = ndimage.affine_transform(x[..., c], of[:2, :2], offset, order=1, mode="mirror")
            np.testing.assert_allclose(done[..., c], wanted, atol=2e-5)


def test_geometry_has_the_ranges_of_the_paper(key):
    undone = np.asarray(augment._backwards(key, SLOT, 1.0, (8, 8)))
    determinant = np.linalg.det(undone)
    assert (determinant < 0).mean() == pytest.approx(0.5, abs=0.03)  # flips
    scale = -np.log2(np.abs(determinant)) / 2
    assert (scale.mean(), scale.std()) == (pytest.approx(0, abs=0.015), pytest.approx(0.2, rel=0.05))
    values = np.linalg.svd(undone[:, :2, :2], compute_uv=False)
    stretch = np.log2(values[:, 0] / values[:, 1]) / 2
    assert np.sqrt((stretch**2).mean()) == pytest.approx(0.2, rel=0.05)
    forwards = np.linalg.inv(undone)
    for i in range(2):  # whole shifts by U(-1, 1), rounded, and others by N(0, 1), in all directions
        assert forwards[:, i, 2].mean() == pytest.approx(0, abs=0.08)
    assert forwards[:, :2, 2].var() == pytest.approx(1 + 0.5, rel=0.1)
    axis = np.arctan2(*forwards[:, :2, 0].T) % np.pi  # turned by any angle
    assert np.histogram(axis, 6, (0, np.pi))[0].min() > 0.85 * N / 6
    some = np.asarray(augment._backwards(key, SLOT, 0.3, (8, 8)))
    turned = np.abs(some[:, 0, 1] * some[:, 0, 0]) > 1e-6
    assert turned.mean() == pytest.approx(0.3, abs=0.03)  # before or after the stretch, together
    square = np.asarray(augment._turn(jnp.arange(4)))[:, :2, :2] @ [1, 0]
    np.testing.assert_array_equal(square, [[1, 0], [0, 1], [-1, 0], [0, -1]])


def test_colours_are_turned_about_grey(images, key):
    x, done = np.asarray(images), np.asarray(augment.colour_matrix(key, images, SLOT))
    about = lambda x: x - x.mean(1, keepdims=True)  # noqa: E731
    grey, made = x.mean(3).reshape(N, -1), done.mean(3).reshape(N, -1)
    factor = (about(made) * about(grey)).sum(1) / (about(grey) ** 2).sum(1)
    np.testing.assert_allclose(about(made), factor[:, None] * about(grey), atol=1e-4)
    assert (factor < 0).mean() == pytest.approx(0.5, abs=0.03)  # of luma
    assert np.log2(np.abs(factor)).std() == pytest.approx(0.5, rel=0.05)
    light = made.mean(1) / factor - grey.mean(1)
    assert (light.mean(), light.std()) == (pytest.approx(0, abs=0.015), pytest.approx(0.2, rel=0.05))
    chroma = lambda x: x - x.mean(3, keepdims=True)  # noqa: E731
    size = np.linalg.norm(chroma(done), axis=3) / np.linalg.norm(chroma(x), axis=3)
    saturation = np.log2(size.reshape(N, -1) / np.abs(factor)[:, None])
    assert np.ptp(saturation, 1).max() < 0.02
    assert saturation.mean(1).std() == pytest.approx(1, rel=0.05)
    before, after = chroma(x)[:, 0, 0], chroma(done)[:, 0, 0]
    cosine = (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    turn = np.histogram(np.arccos(np.clip(cosine, -1, 1)), 4, (0, np.pi))[0]
    assert turn.min() > 0.9 * N / 4  # hue: by any angle
    alone = np.asarray(augment.colour_matrix(key, images[..., :1], SLOT))[..., 0]
    wanted = factor[:, None, None] * (x[..., 0] + light[:, None, None])
    np.testing.assert_allclose(alone, wanted, atol=2e-3)


def test_real_data_are_exchanged_in_a_share_of_the_slots(key):
    real, fake = jnp.zeros((N, 2, 3)), jnp.ones((N, 2, 3))
    found = np.asarray(augment.exchange(key, real, fake, SLOT, 0.3))
    assert (found == found[:, :1, :1]).all()
    assert found.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / N))
    np.testing.assert_array_equal(augment.exchange(key, real[:7], fake[:7], SLOT[5:12], 0.3), found[5:12])
    np.testing.assert_array_equal(augment.exchange(key, real, fake, SLOT, 0.0), real)


class Flat(nn.Module):
    """G makes images of one level, z's first number; D's logit is the mean level."""

    makes: bool = False

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones, ())
        level = jnp.broadcast_to(x[:, :1, None, None], (len(x), 4, 4, 1)) if self.makes else x.mean((1, 2, 3))
        return scale * level


# D is sure of all that is real, and so half of it is exchanged after four updates of 64 images; then of half.
@pytest.mark.parametrize(("p", "after"), [(0.0, [0, 0]), (1.0, [1, 1]), (None, [0.5, 0])])
def test_d_is_deceived_by_other_fakes(p, after, key):
    """In D's loss and its terms and in G's; by others than those that it is to tell from real ones."""
    kept = {"images": np.inf, "p": p}
    adaptive = augment.Adaptive(None, 64, **({"images": 512.0} if p is None else kept))
    real = lambda seen: seen.real.mean((1, 2, 3))  # noqa: E731
    same = lambda seen: (seen.real == seen.fake).mean((1, 2, 3))  # noqa: E731
    gan = two_player(
        Flat(makes=True),
        Flat(),
        loss=non_saturating,
        latent=partial(random.normal, shape=(2,)),
        d_terms={"real": real, "same": same},
        g_terms={"real": real},
        augment=adaptive,
    )
    batch = {"image": jnp.full((64, 4, 4, 1), 100.0), "slot": jnp.arange(64)}
    state = steps.create_state(gan, Optimizers(optax.sgd(0.1), optax.sgd(0.1)), key, batch)
    _, (_, of_d) = gan.d_loss(state.d.params, state, batch, key)
    _, (_, of_g) = gan.g_loss(state.g.params, state, batch, key)
    for found in (of_d["real"], of_g["real"]):
        assert found == 100 if not p else abs(found) < 1
    assert of_d["same"] == 0
    found = []
    for _ in range(8):
        _, (state, _) = gan.d_loss(state.d.params, state, batch, key)
        found.append(float(state.extra["augment"]["p"]))
    assert found[3::4] == after


def test_the_probability_follows_the_signs():
    adaptive = augment.Adaptive(augment.bgc, 10, target=0.6, images=400.0)
    carried, seen = adaptive.start(), []
    sure, unsure = jnp.ones(8), jnp.array([1.0, -1.0])
    for logits in [sure] * 8 + [unsure] * 2 + [sure] * 6 + [unsure] * 16:
        carried = adaptive.carry(carried, logits)
        seen.append(float(carried["p"]))
    # of 40 images each: up, up, down (a mean of 0.5), up, and down as far as 0
    wanted = [0, 0, 0, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.2]
    np.testing.assert_allclose(seen[:16], wanted, atol=1e-6)
    np.testing.assert_allclose(seen[19::4], [0.1, 0, 0, 0], atol=1e-6)
    assert carried["updates"] == 32
