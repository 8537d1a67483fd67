import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter

from jaxgan.metrics.sharpness import laplacian_variance

FILTER = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
IMAGES = np.random.default_rng(0).integers(0, 256, (1030, 6, 7, 3), np.uint8)


def test_it_is_the_variance_of_the_filtered_grey_image():
    found = laplacian_variance(IMAGES)
    assert found.shape == (1030,)
    for i in (0, 1029):  # the first, and one of a later block
        grey = IMAGES[i] / 255 @ [0.299, 0.587, 0.114]
        assert found[i] == pytest.approx(convolve(grey, FILTER)[1:-1, 1:-1].var())
    grey = IMAGES[:2, ..., :1]
    expected = [convolve(x[..., 0] / 255, FILTER)[1:-1, 1:-1].var() for x in grey]
    np.testing.assert_allclose(laplacian_variance(grey), expected)


def test_by_hand():
    """Of one white pixel inside: -4 there, 1 at the four beside it, 0 at the other twenty."""
    one = np.zeros((1, 7, 7, 1), np.uint8)
    one[0, 3, 3] = 255
    assert laplacian_variance(one)[0] == pytest.approx(20 / 25)
    slope = np.arange(0, 70, 10, dtype=np.uint8)[None, :, None, None] * np.ones((1, 1, 7, 1), np.uint8)
    np.testing.assert_allclose(laplacian_variance(slope), 0, atol=1e-20)  # no edge


def test_a_blur_is_seen():
    blurred = gaussian_filter(IMAGES[:50], (0, 0.6, 0.6, 0))
    assert (laplacian_variance(blurred) < laplacian_variance(IMAGES[:50])).all()


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="images are uint8"):
        laplacian_variance(IMAGES / 255)
    with pytest.raises(ValueError, match="images are uint8"):
        laplacian_variance(IMAGES[0])
    with pytest.raises(ValueError, match="2x7 have no inner pixels"):
        laplacian_variance(IMAGES[:, :2])
