import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jaxgan.metrics.full_reference import detail, detail_ratio, l1, psnr, ssim
from jaxgan.metrics.ms_ssim import ms_ssim

RNG = np.random.default_rng(0)
REAL = RNG.integers(0, 256, (6, 16, 16, 3), np.uint8)
NEAR = np.clip(REAL + RNG.normal(0, 10, REAL.shape), 0, 255).astype(np.uint8)


def test_l1_and_psnr_by_hand():
    x = REAL[:2] / 255 - NEAR[:2] / 255
    np.testing.assert_allclose(l1(REAL[:2], NEAR[:2]), abs(x).mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(psnr(REAL[:2], NEAR[:2]), -10 * np.log10((x**2).mean((1, 2, 3))), rtol=1e-5)
    one = REAL.copy()
    one[0, 0, 0, 0] ^= 128
    np.testing.assert_allclose(l1(REAL, one), [128 / 255 / 768, 0, 0, 0, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(psnr(REAL, one)[0], 10 * np.log10(768 * 255**2 / 128**2), rtol=1e-5)
    assert psnr(REAL, REAL)[1] == 100


def test_ssim_is_the_first_scale():
    np.testing.assert_array_equal(ssim(REAL, NEAR), ms_ssim(REAL, NEAR, scales=1))
    np.testing.assert_allclose(ssim(REAL, REAL), 1, atol=1e-6)
    assert (ssim(REAL, NEAR) > ssim(REAL, REAL[::-1]) + 0.3).all()


def test_detail_is_what_a_gaussian_takes_away():
    x = REAL / 255
    expected = (x - gaussian_filter(x, (0, 1, 1, 0))) ** 2
    np.testing.assert_allclose(detail(REAL), expected.mean((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(detail(np.full((1, 8, 8, 1), 77, np.uint8)), 0, atol=1e-9)
    assert detail_ratio(REAL, REAL) == pytest.approx(1)
    blurred = gaussian_filter(REAL, (0, 1, 1, 0))
    assert detail_ratio(blurred, REAL) < 0.2
    assert detail_ratio(REAL // 2, REAL) == pytest.approx(0.25, abs=0.01)


def test_bad_input_is_told():
    for a, b in ((REAL, REAL[:5]), (REAL / 255, REAL), (REAL[0], REAL[0])):
        with pytest.raises(ValueError, match="images must be pairs"):
            l1(a, b)


def test_psnr_of_a_part_is_that_of_the_part_alone():
    within = np.zeros((6, 16, 16, 1), bool)
    within[:, 3:9, 2:7] = True
    found = psnr(REAL, NEAR, within)
    np.testing.assert_allclose(found, psnr(REAL[:, 3:9, 2:7], NEAR[:, 3:9, 2:7]), rtol=1e-5)
    assert (abs(found - psnr(REAL, NEAR)) > 1e-3).all()
    within[0] = False
    assert np.isnan(psnr(REAL, NEAR, within)[0])
