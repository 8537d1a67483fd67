import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data.synthetic import (
    Mixture,
    embedded,
    grid,
    mode_number,
    ring,
    sample,
    stacked_digits,
    swiss_roll,
)

SLOT = jnp.arange(8000)


def _gap(centres):
    """The least distance between two centres."""
    centres = np.asarray(centres)
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    return gaps[~np.eye(len(centres), dtype=bool)].min()


def test_a_ring_of_eight_has_eight_modes():
    assert _gap(ring().centres) == pytest.approx(2 * np.sin(np.pi / 8), rel=1e-5)
    np.testing.assert_allclose(ring(4, 2.0).centres, [[2, 0], [0, 2], [-2, 0], [0, -2]], atol=1e-6)
    closed = np.linspace(0, 2 * np.pi, 8)  # the negative control
    assert _gap(np.stack([np.cos(closed), np.sin(closed)], 1)) < 1e-6


def test_a_grid_is_a_lattice_about_the_origin():
    line = np.array([-4, -2, 0, 2, 4])
    x, y = np.repeat(line, 5), np.tile(line, 5)
    np.testing.assert_array_equal(grid().centres, np.stack([x, y], 1))
    assert _gap(grid(4, 0.5).centres) == 0.5


@pytest.mark.parametrize(
    ("mixture", "variance"),
    [
        (ring(radius=2 / 1.414, std=0.02 / 1.414), 1.0004 + 0.0002),  # (2 / 1.414)^2 / 2, and the noise
        (grid(spacing=2 / 2.828, std=0.05 / 2.828), 1.0003 + 0.0003),  # 8 / 2.828^2
        (grid(), 8.0025),
    ],
)
def test_the_variance_of_the_published_toys(mixture, variance):
    centres = np.asarray(mixture.centres, np.float64)
    np.testing.assert_allclose(centres.var(0) + float(mixture.std) ** 2, variance, rtol=1e-4)


@pytest.mark.parametrize("mixture", [ring(), grid()])
def test_modes_are_equally_likely_and_normal(mixture, key):
    x = np.asarray(jax.jit(sample)(mixture, key, SLOT))
    centres = np.asarray(mixture.centres)
    mode = np.linalg.norm(x[:, None] - centres[None], axis=2).argmin(1)
    expected = len(x) / len(centres)
    chi_square = ((np.bincount(mode, minlength=len(centres)) - expected) ** 2 / expected).sum()
    assert chi_square < {8: 24.3, 25: 51.2}[len(centres)]  # its 99.9 % quantile
    noise = (x - centres[mode]) / float(mixture.std)
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 4 / np.sqrt(len(noise))
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / noise.size)  # as a normal's, not a uniform's 1.8


def test_a_sample_belongs_to_its_slot_alone(key, images):
    label = np.arange(40) % 10
    draws = [
        lambda slot: sample(ring(), key, slot),
        lambda slot: swiss_roll(key, slot),
        lambda slot: stacked_digits(key, slot, images, label)[0],
    ]
    for draw in map(jax.jit, draws):
        first, second, mixed = (np.asarray(draw(jnp.array(slot))) for slot in ([0, 1], [2, 3], [3, 0]))
        np.testing.assert_array_equal(mixed, np.stack([second[1], first[0]]))
        assert (first != second).any()


def test_the_roll_is_a_spiral(key):
    roll = jax.jit(swiss_roll)
    clean = 7.5 * np.asarray(roll(key, SLOT, 0.0))
    t = np.linalg.norm(clean, axis=1)
    np.testing.assert_allclose(clean, np.stack([t * np.cos(t), t * np.sin(t)], 1), atol=1e-4)
    assert t.min() >= 1.5 * np.pi - 1e-5
    assert t.max() < 4.5 * np.pi + 1e-5
    width = 3 * np.pi
    assert abs(t.mean() - width) < 4 * width / np.sqrt(12 * len(t))  # the middle of the range is 3 pi as well
    assert t.std() == pytest.approx(width / np.sqrt(12), rel=0.03)
    noise = 7.5 * np.asarray(roll(key, SLOT, 0.25)) - clean
    assert noise.std() == pytest.approx(0.25, rel=0.03)


def test_embedded_modes_vary_in_700_of_1200_dimensions(key):
    mixture = embedded()
    assert mixture.centres.shape == (10, 1200)
    x = np.asarray(jax.jit(sample)(mixture, key, jnp.arange(300)))
    mean = x[:, -1]
    np.testing.assert_array_equal(np.unique(mean), np.unique(mixture.centres))
    np.testing.assert_array_equal(x[:, 700:], np.broadcast_to(mean[:, None], (300, 500)))
    noise = x[:, :700] - mean[:, None]
    assert noise.std() == pytest.approx(1, abs=0.01)
    distance = np.linalg.norm(noise, axis=1)
    assert distance.mean() == pytest.approx(26.448, abs=4 * 0.707 / np.sqrt(300))  # of a chi with 700 degrees
    assert distance.min() > 10  # the paper's threshold
    assert _gap(mixture.centres) == pytest.approx(0.25 * np.sqrt(1200), rel=1e-5)


def test_a_one_dimensional_mixture_needs_no_special_case(key):
    x = jax.jit(sample)(Mixture(jnp.array([[-5.0], [5.0]]), jnp.float32(0.1)), key, jnp.arange(100))
    assert x.shape == (100, 1)
    np.testing.assert_allclose(jnp.abs(x), 5, atol=0.5)


def test_hundreds_come_first():
    assert mode_number([[3, 1, 4], [0, 0, 0], [9, 9, 9], [0, 2, 0]]).tolist() == [314, 0, 999, 20]


def test_stacked_digits_show_their_mode(key, images):
    """Each of the forty images is of one brightness, which tells its digit."""
    label = np.arange(40) // 4
    x, mode = jax.jit(stacked_digits)(key, SLOT, images, label)
    assert x.shape == (8000, 8, 8, 3)
    assert x.dtype == jnp.float32
    assert float(x.min()) == -1
    brightness = np.rint((np.asarray(x) + 1) * 127.5).astype(int)
    assert (brightness == brightness[:, :1, :1]).all()
    index = brightness[:, 0, 0] // 6
    np.testing.assert_array_equal(label[index] @ [100, 10, 1], mode)
    assert abs(np.corrcoef(index.T)[np.triu_indices(3, 1)]).max() < 4 / np.sqrt(8000)  # independent channels
    chi_square = sum(((np.bincount(i, minlength=40) - 200) ** 2 / 200).sum() for i in index.T)
    assert chi_square < 168.3  # the 99.9 % quantile with 3 x 39 degrees
