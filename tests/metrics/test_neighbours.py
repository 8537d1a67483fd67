import jax
import numpy as np
import pytest

from jaxgan.metrics.neighbours import memorisation, nearest, yardstick


def _memorisation(fake, measured):
    others, apart = measured
    return memorisation(nearest(fake, others)[1], apart)


def test_nearest_is_the_nearest():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (2500, 4, 4, 3), np.uint8)
    query = rng.integers(0, 256, (20, 4, 4, 3), np.uint8)
    index, distance = nearest(query, real)
    gaps = np.sqrt(((query[:, None] / 255 - real[None] / 255.0) ** 2).sum((2, 3, 4)))
    np.testing.assert_array_equal(index, gaps.argmin(1))
    np.testing.assert_allclose(distance, gaps.min(1), rtol=1e-5)


def test_also_where_numbers_are_wide():
    rng = np.random.default_rng(0)
    reference, images = (rng.integers(0, 256, (n, 4, 4, 1), np.uint8) for n in (300, 70))
    with jax.enable_x64(True):
        wide = nearest(images, reference)
    np.testing.assert_array_equal(wide[0], nearest(images, reference)[0])


def test_a_copy_is_at_distance_zero():
    real = np.random.default_rng(0).integers(0, 256, (1500, 8, 8, 1), np.uint8)
    index, distance = nearest(real[[3, 1400]], real)
    assert index.tolist() == [3, 1400]
    assert distance.tolist() == [0, 0]


def test_memorisation_tells_a_copy_from_a_fresh_sample():
    rng = np.random.default_rng(0)
    draw = lambda n: rng.normal(128, 30, (n, 4, 4, 1)).clip(0, 255).astype(np.uint8)  # noqa: E731
    real = draw(3000)
    measured = yardstick(real)
    assert _memorisation(draw(500), measured) == pytest.approx(1, abs=0.1)
    assert _memorisation(real[:400], measured) < 0.2  # five sixths of them stand in the reference


@pytest.mark.parametrize("n", [30, 200, 1000])
def test_copies_of_a_small_set_are_told(n):
    """Most of them are of images that were not held out, whatever the draw."""
    real = np.random.default_rng(n).integers(0, 256, (n, 4, 4, 1), np.uint8)
    for seed in range(5):
        copies = real[np.random.default_rng(seed).integers(n, size=1000)]
        assert _memorisation(copies, yardstick(real)) == 0


def test_duplicates_leave_no_yardstick():
    real = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 1), np.uint8)
    assert yardstick(np.repeat(real, 8, 0)) is None
