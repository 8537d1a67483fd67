import numpy as np
import pytest

from jaxgan.metrics.patch_swd import _doubled, laplacian_pyramid, patch_sliced_wasserstein


def textures(n=40, side=32, chequered=False):
    """Blocks of 8x8 pixels under fine noise: white, or a chequerboard of the same deviation."""
    rng = np.random.default_rng(0)
    block = min(8, side)
    coarse = rng.integers(60, 196, (n, side // block, side // block, 3)).repeat(block, 1).repeat(block, 2)
    if chequered:
        sign = np.where(np.indices((side, side)).sum(0) % 2, 1, -1)[None, :, :, None]
        fine = sign * rng.integers(-50, 51, (n, 1, 1, 3))
    else:
        fine = rng.integers(-50, 51, (n, side, side, 3))
    return (coarse + fine).astype(np.uint8)


def test_the_pyramid_adds_up_to_the_image():
    images = textures(2, 64)
    levels = laplacian_pyramid(images)
    assert [x.shape[1] for x in levels] == [64, 32, 16]
    whole = levels[-1]
    for level in levels[-2::-1]:
        whole = level + _doubled(whole)
    np.testing.assert_allclose(whole, images, atol=1e-3)
    flat = laplacian_pyramid(np.full((1, 32, 32, 1), 77, np.uint8))
    assert np.abs(flat[0][:, 1:-1, 1:-1]).max() < 1e-4
    np.testing.assert_allclose(flat[1], 77, rtol=1e-6)
    assert [x.shape[1:3] for x in laplacian_pyramid(np.zeros((1, 28, 40, 1)))] == [(28, 40)]


def test_another_texture_is_seen_at_its_scale_alone(key):
    images, chequered = textures(), textures(chequered=True)
    assert images.std() == pytest.approx(chequered.std(), rel=0.05)
    options = dict(per_image=32, projections=32)
    same = patch_sliced_wasserstein(key, images[:20], images[20:], **options)
    other = patch_sliced_wasserstein(key, images[:20], chequered[20:], **options)
    assert list(same) == [32, 16]
    assert other[32] > 3 * same[32]
    assert other[16] < 2 * same[16]
    assert patch_sliced_wasserstein(key, images[:20], chequered[20:], **options) == other


def test_contrast_and_tint_are_not_seen(key):
    images = textures(20)
    tinted = (images.astype(float) * [0.5, 1, 1] + [40, 0, 20]).round().astype(np.uint8)
    options = dict(per_image=16, projections=32)
    same, other = (patch_sliced_wasserstein(key, images, x, **options) for x in (images, tinted))
    for side in same:
        assert other[side] == pytest.approx(same[side], abs=0.01)
    assert same[32] > 0  # the patches of the two sets are at other places


def test_bad_input(key):
    with pytest.raises(ValueError, match="no patches of 7x7"):
        patch_sliced_wasserstein(key, textures(2, 4), textures(2, 4))
    with pytest.raises(ValueError, match="no patches of 7x7"):
        patch_sliced_wasserstein(key, textures(2, 16), textures(2, 32))
