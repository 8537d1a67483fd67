"""Label maps: which of so many things each pixel is of, and beside it which one of these."""

import jax
import jax.numpy as jnp

INSTANCES = 256  # as many as a byte tells apart


def numbers(image):
    """What a label map says, i32[B, H, W, 1 or 2]: each pixel's label and, if there is a second channel, its
    instance. It is given as a batch has uint8 levels, f32 in [-1, 1].

    Raises:
      ValueError: if it has other channels.
    """
    if image.shape[-1] not in (1, 2):
        raise ValueError(
            f"a label map has one number a pixel, maybe the instance beside; not {image.shape[-1]} channels"
        )
    return jnp.round((image + 1) * 127.5).astype(jnp.int32)


def boundaries(number):
    """Where a pixel's number is another than that of one beside it, f32[..., H, W] of 0 and 1, of integers
    [..., H, W] (Wang et al. 2018, section 3.3)."""
    sides = [(0, 0)] * (number.ndim - 2)
    down, right = number[..., 1:, :] != number[..., :-1, :], number[..., 1:] != number[..., :-1]
    edges = [jnp.pad(down, [*sides, pad, (0, 0)]) for pad in ((1, 0), (0, 1))]
    edges += [jnp.pad(right, [*sides, (0, 0), pad]) for pad in ((1, 0), (0, 1))]
    return jnp.stack(edges).any(0).astype(jnp.float32)


def codes(image, labels: int):
    """A label map as one-hot codes, f32[B, H, W, labels], or with instances labels + 1: the last one is 1
    where two of them meet.

    Args:
      image: as of `numbers`.
    """
    number = numbers(image)
    of = jax.nn.one_hot(number[..., 0], labels)
    if image.shape[-1] == 1:
        return of
    return jnp.concatenate([of, boundaries(number[..., 1])[..., None]], -1)


def instance_means(x, instance):
    """The mean of x f32[B, H, W, C] over each instance of i32[B, H, W] below INSTANCES, f32[B, INSTANCES, C];
    0 of those that are not there."""

    def of(x, instance):
        both = jnp.concatenate([x, jnp.ones_like(x[..., :1])], -1).reshape(-1, x.shape[-1] + 1)
        total = jax.ops.segment_sum(both, instance.reshape(-1), INSTANCES)
        return total[:, :-1] / jnp.maximum(total[:, -1:], 1)

    return jax.vmap(of)(x, instance)


def resized(codes, side: tuple[int, int]):
    """Codes [B, H, W, C] at a size of which H and W are multiples: the first of each square, as
    PyTorch's nearest neighbour has it."""
    (h, w), (rows, columns) = codes.shape[1:3], side
    if h % rows or w % columns:
        raise ValueError(f"a label map of {w}x{h} is no multiple of {columns}x{rows}")
    return codes[:, :: h // rows, :: w // columns]
