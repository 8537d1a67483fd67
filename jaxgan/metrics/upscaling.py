"""What a super-resolution has to beat: larger images without any learning, or by the best linear map."""

import numpy as np
from PIL import Image

MOST = 2**25  # weights of a linear map, beyond which none is fitted: 256 MB of them, as of their sums


def factor(small: np.ndarray, large: np.ndarray) -> int | None:
    """How many times as large images [N, H, W, C] are as others [N, h, w, C]; None if by no whole number of 2
    or more, alike in both directions."""
    (h, w, c), (height, width, channels) = small.shape[1:], large.shape[1:]
    found = height // h
    return found if found > 1 and (height, width, channels) == (found * h, found * w, c) else None


def bicubic(small: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    """Images uint8[N, h, w, C] at a size of (H, W), as Pillow has it."""
    large = lambda x: np.asarray(Image.fromarray(x).resize(side[::-1], Image.Resampling.BICUBIC))  # noqa: E731
    return np.stack([np.stack([large(x[..., i]) for i in range(x.shape[-1])], -1) for x in small])


def linear(small: np.ndarray, large: np.ndarray, given: np.ndarray) -> np.ndarray | None:
    """What the affine map from small to large images uint8[N, ...] of least squares makes of others, uint8;
    None if it had more than MOST weights."""
    if small[0].size * large[0].size > MOST:
        return None

    def rows(x):
        flat = x.reshape(len(x), -1).astype(np.float64) / 255 - 0.5
        return np.concatenate([flat, np.ones((len(x), 1))], 1)

    n = small[0].size + 1
    gram, right = np.zeros((n, n)), np.zeros((n, large[0].size))
    for i in range(0, len(small), 4096):
        x = rows(small[i : i + 4096])
        gram += x.T @ x
        right += x.T @ (large[i : i + 4096].reshape(len(x), -1) / 255)
    weights = np.linalg.solve(gram + 1e-6 * len(small) * np.eye(n), right)
    made = np.clip(np.rint(255 * (rows(given) @ weights)), 0, 255)
    return made.astype(np.uint8).reshape(len(given), *large.shape[1:])
