import numpy as np
import pytest
from PIL import Image

from jaxgan.metrics.resize import RESIZES, SIZE, resized, scaled

SIZES = [(1, 3), (2, 2), (32, 32), (45, 70), (299, 299), (310, 620)]


def _images(size, n=2):
    return np.random.default_rng(0).integers(0, 256, (n, *size, 3), np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_clean_is_pillows_bicubic_on_floats(size):
    images = _images(size)

    def pillow(channel):
        image = Image.fromarray(channel.astype(np.float32))
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))

    expected = [[pillow(image[:, :, c]) for c in range(3)] for image in images]
    found = np.asarray(resized(images, "clean"))
    np.testing.assert_allclose(found, np.moveaxis(expected, 1, -1), atol=255 * 3e-6)
    if size == (32, 32):
        assert found.max() > 255  # it overshoots, and is not clipped


@pytest.mark.parametrize("size", SIZES)
def test_legacy_is_pytorchs_bilinear(size):
    torch = pytest.importorskip("torch")
    images = _images(size)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False)
    found = np.asarray(resized(images, "legacy"))
    rounding = 3e-6 + 1e-7 * max(size)  # PyTorch's coordinates are float32
    np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1), atol=255 * rounding)


@pytest.mark.parametrize(("how", "half"), [("legacy", 0.5), ("tensorflow", 0)])
@pytest.mark.parametrize("size", SIZES)
def test_bilinear_resizings_interpolate_at_their_own_coordinates(size, how, half):
    image = _images(size, 1)
    expected = image[0].astype(float)
    for axis, n in enumerate(size):
        at = (np.arange(SIZE) + half) * n / SIZE - half
        expected = np.apply_along_axis(lambda x, at=at: np.interp(at, np.arange(len(x)), x), axis, expected)
    np.testing.assert_allclose(resized(image, how)[0], expected, atol=255 * 3e-6)


def test_only_clean_sees_every_pixel_when_it_shrinks():
    """A checkerboard of 1x1 cells is grey."""
    board = (np.indices((598, 598)).sum(0) % 2 * 255).astype(np.uint8)[None, :, :, None]
    deviation = {how: float(np.asarray(resized(board, how)).std()) for how in RESIZES}
    assert deviation["clean"] < 1
    assert deviation["tensorflow"] == 0  # and all black or all white
    assert float(resized(board, "tensorflow").mean()) in (0, 255)


def test_the_same_size_changes_nothing():
    images = _images((SIZE, SIZE), 1)
    for how in RESIZES:
        np.testing.assert_array_equal(resized(images, how), images.astype(np.float32))


def test_scales_by_hand():
    x = np.float32([0, 128, 255])
    np.testing.assert_allclose(scaled(x, "legacy"), [-1, 0.5 / 127.5, 1], atol=1e-7)
    for how in ("tensorflow", "clean"):
        np.testing.assert_allclose(scaled(x, how), [-1, 0, 127 / 128])
