import numpy as np
import pytest

from jaxgan.metrics.ms_ssim import class_ms_ssim, ms_ssim, n_scales


def pair(side=192):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (2, side // 8, side // 8, 3)).repeat(8, 1).repeat(8, 2)
    b = np.clip(a + rng.normal(0, 40, a.shape), 0, 255)
    return a.astype(np.uint8), b.astype(np.uint8)


def test_equals_a_published_program():
    """pytorch-msssim 1.0.0 in float64, on five scales and on one."""
    a, b = pair()
    np.testing.assert_allclose(ms_ssim(a, b), [0.9496898190562044, 0.9532954013504993], rtol=2e-5)
    np.testing.assert_allclose(ms_ssim(a, b, scales=1), [0.5867249906257468, 0.5998982998991251], rtol=2e-5)


def test_alike_and_unlike():
    a, _ = pair(32)
    np.testing.assert_allclose(ms_ssim(a, a), 1, rtol=1e-6)
    assert (ms_ssim(a, 255 - a) == 0).all()  # a negative covariance, of no real root


def test_flat_images_by_hand():
    """Only luminance at the last of two scales is left: (2 x y + c) / (x^2 + y^2 + c), to its power."""
    x, y = (np.full((1, 24, 24, 1), v, np.uint8) for v in (51, 204))
    luminance = (2 * 0.2 * 0.8 + 1e-4) / (0.2**2 + 0.8**2 + 1e-4)
    assert ms_ssim(x, y)[0] == pytest.approx(luminance ** (0.2856 / (0.0448 + 0.2856)), rel=1e-5)
    assert ms_ssim(x[:, :8, :8], y[:, :8, :8])[0] == pytest.approx(luminance, rel=1e-5)


def test_scales_by_size():
    assert [n_scales(s, s + 1) for s in (8, 11, 21, 22, 28, 32, 64, 128, 175, 176, 1024)] == [
        *[1, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5]
    ]


def test_a_collapsed_class_is_seen():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 12, 12, 1), np.uint8)
    label = np.arange(40) % 2
    images[label == 1] = images[1]
    found = class_ms_ssim(images, label, pairs=20)
    assert found[0] < 0.2
    assert found[1] == pytest.approx(1)
    assert class_ms_ssim(images, label, pairs=20) == found
    assert class_ms_ssim(images, label, pairs=20, seed=1)[0] != found[0]
    # The other class's images move nothing, and of two images both make every pair.
    assert class_ms_ssim(images[label == 0], label[label == 0], pairs=20)[0] == found[0]
    two = class_ms_ssim(images[:3:2], [7, 7], pairs=20)
    assert two[7] == pytest.approx(float(ms_ssim(images[:1], images[2:3])[0]), rel=1e-5)


def test_bad_input():
    a, b = pair(16)
    with pytest.raises(ValueError, match="must be uint8"):
        ms_ssim(a / 255, b)
    with pytest.raises(ValueError, match="must be pairs"):
        ms_ssim(a, b[:1])
    with pytest.raises(ValueError, match="no 6 scales of images of 16x16"):
        ms_ssim(a, b, scales=6)
    with pytest.raises(ValueError, match="class 1 has one image"):
        class_ms_ssim(np.concatenate([a, b[:1]]), [0, 1, 0])
