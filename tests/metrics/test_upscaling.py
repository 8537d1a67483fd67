import numpy as np
import pytest
from PIL import Image

from jaxgan.metrics import upscaling


def test_the_linear_fit_finds_a_linear_world():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (500, 3, 3, 1), np.uint8)
    weights = rng.uniform(0, 0.2, (9, 36))
    large = np.rint(small.reshape(500, 9) @ weights * 0.5 + 20).clip(0, 255).astype(np.uint8)
    large = large.reshape(500, 6, 6, 1)
    made = upscaling.linear(small[:400], large[:400], small[400:])
    assert np.abs(made.astype(int) - large[400:]).max() <= 1
    # Of a world that is none it is the best, and better than the mean.
    square = (small.astype(int) ** 2 // 255).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    wrong = lambda made: np.square(made.astype(float) - square[400:]).mean()  # noqa: E731
    fitted = wrong(upscaling.linear(small[:400], square[:400], small[400:]))
    assert 100 < fitted < 0.2 * wrong(square[:400].mean(0))


def test_bicubic_is_pillows():
    x = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), np.uint8)
    made = upscaling.bicubic(x, (20, 24))
    assert made.shape == (2, 20, 24, 3)
    whole = np.asarray(Image.fromarray(x[1]).resize((24, 20), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(made[1], whole)


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [((7, 7, 1), (28, 28, 1), 4), ((7, 7, 1), (28, 28, 3), None), ((7, 7, 1), (7, 7, 1), None),
     ((7, 14, 1), (28, 28, 1), None), ((8, 8, 3), (16, 16, 3), 2), ((9, 9, 1), (20, 20, 1), None)],
)  # fmt: skip
def test_the_factor(small, large, expected):
    assert upscaling.factor(np.zeros((1, *small)), np.zeros((1, *large))) == expected


@pytest.mark.parametrize(("small", "large"), [((90, 90, 1), (90, 90, 1)), ((25, 25, 3), (200, 200, 3))])
def test_large_images_have_no_linear_fit(small, large):
    x = np.zeros((3, *small), np.uint8)
    assert upscaling.linear(x, np.zeros((3, *large), np.uint8), x) is None
