"""Augmentations of what D sees, real and generated alike, that G's gradient goes through.

Where data are few, D learns them by heart. Where all that it sees is augmented, in both steps and in its
penalties, it does not; and G makes images as they are, if their distribution can be told from augmented
ones' (Zhao et al. 2020; Karras et al. 2020). Each function is one of a key, of images
float[B, H, W, C] in [-1, 1] and of their slots: an example's draws are its slot's, on any number of devices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax, vmap

from jaxgan import random
from jaxgan.config import InputError
from jaxgan.random import fold, kind_of

SHIFT = 1 / 8  # of the side: how far an image is moved at most
CUT = 1 / 2  # of the side: the square that is cut out


def _images(x):
    if getattr(x, "ndim", 0) != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"images to augment are floats [B, H, W, C], not {kind_of(x)}")
    return x


def _some(key, slot, p):
    """Which examples are augmented, bool[B, 1, 1, 1]: each with the probability p."""
    return random.uniform(fold(key, "whether"), slot, (1, 1, 1)) < p


def colour(key, images, slot, p=1.0):
    """Brightness moved by U(-0.5, 0.5), saturation times U(0, 2), contrast times U(0.5, 1.5).

    Saturation is about each pixel's mean of channels, contrast about the image's mean. Grey images have no
    saturation. Levels may leave [-1, 1].
    """
    x = _images(images)
    drawn = random.uniform(fold(key, "colour"), slot, (3, 1, 1, 1))
    light, saturation, contrast = (drawn[:, i].astype(x.dtype) for i in range(3))
    made = x + light - 0.5
    grey = made.mean(3, keepdims=True)
    made = grey + 2 * saturation * (made - grey)
    mean = made.mean((1, 2, 3), keepdims=True)
    made = mean + (0.5 + contrast) * (made - mean)
    return jnp.where(_some(key, slot, p), made, x)


def _moved(x, shift):
    """An image [H, W, C] moved down and right by whole pixels, with zeros where it was not."""
    h, w, _ = x.shape
    padded = jnp.pad(x, ((h, h), (w, w), (0, 0)))
    return lax.dynamic_slice(padded, (h - shift[0], w - shift[1], 0), x.shape)


def translation(key, images, slot, p=1.0):
    """Moved by whole pixels, up to an eighth of the side each way; zeros come in."""
    x = _images(images)
    most = [int(side * SHIFT + 0.5) for side in x.shape[1:3]]
    key = fold(key, "translation")
    shift = jnp.stack([random.integers(fold(key, i), slot, 2 * n + 1) - n for i, n in enumerate(most)], 1)
    return jnp.where(_some(key, slot, p), vmap(_moved)(x, shift), x)


def cutout(key, images, slot, p=1.0):
    """A square of half the side set to 0; its centre is anywhere, so that it may hang over the edge."""
    x = _images(images)
    key, inside = fold(key, "cutout"), True
    for axis, side in enumerate(x.shape[1:3]):
        size = int(side * CUT + 0.5)
        centre = random.integers(fold(key, axis), slot, side + 1 - size % 2)
        place = jnp.arange(side)[None] - (centre - size // 2)[:, None]  # [B, side]
        shape = (len(x), side, 1, 1) if axis == 0 else (len(x), 1, side, 1)
        inside = inside & ((place >= 0) & (place < size)).reshape(shape)
    return jnp.where(_some(key, slot, p) & inside, jnp.zeros((), x.dtype), x)


def diff_augment(key, images, slot, p=1.0):
    """`colour`, `translation` and `cutout`, each with the probability p: DiffAugment (Zhao et al. 2020, where
    p is 1).

    Args:
      key: one key.
      images: float[B, H, W, C].
      slot: i32[B].
      p: in [0, 1]; at 0 images are as they are.

    Returns:
      float[B, H, W, C], which has a derivative in the images.

    Raises:
      InputError: if they are no images.
    """
    for one in (colour, translation, cutout):
        images = one(key, images, slot, p)
    return images


def _turn(turns) -> jnp.ndarray:
    """Rotations by so many quarter turns, exact, f32[B, 3, 3]."""
    cosine, sine = (jnp.array(x, jnp.float32)[turns] for x in ((1, 0, -1, 0), (0, 1, 0, -1)))
    return _matrix(cosine, -sine, sine, cosine)


def _matrix(a, b, c, d, x=0.0, y=0.0):
    """[[a, b, x], [c, d, y], [0, 0, 1]] of numbers [B]."""
    entries = jnp.broadcast_arrays(*(jnp.asarray(v, jnp.float32) for v in (a, b, x, c, d, y, 0, 0, 1)))
    return jnp.stack(entries, -1).reshape(-1, 3, 3)


def _product(a, b):
    return jnp.einsum("bij,bjk->bik", a, b, precision=lax.Precision.HIGHEST)


def _chosen(key, slot, p, value, neutral):
    """The values [B, ...] of a share p of the examples, and what changes nothing for the others."""
    some = random.uniform(fold(key, "whether"), slot) < p
    return jnp.where(some.reshape(-1, *(1,) * (value.ndim - 1)), value, neutral)


def _backwards(key, slot, p, sides) -> jnp.ndarray:
    """From a pixel's place about the centre to where its level comes from, f32[B, 3, 3]: what undoes a flip,
    quarter turns, whole shifts, scaling, turns before and after stretching, and a shift."""
    draw = lambda name: fold(key, "geometry", name)  # noqa: E731
    normal = lambda name, std, shape=(): std * random.normal(draw(name), slot, shape)  # noqa: E731
    angle = lambda name: random.uniform(draw(name), slot, minval=-np.pi, maxval=np.pi)  # noqa: E731
    among = lambda name, share, value, neutral: _chosen(draw(name), slot, share, value, neutral)  # noqa: E731
    sides = jnp.array(sides[::-1], jnp.float32)[None]  # x, y

    flip = among("flip", p, 1.0 - 2 * random.integers(draw("flip"), slot, 2), 1.0)
    turns = among("turns", p, random.integers(draw("turns"), slot, 4), 0)
    whole = random.uniform(draw("whole"), slot, (2,), minval=-SHIFT, maxval=SHIFT)
    whole = among("whole", p, jnp.round(whole * sides), 0.0)
    scale = among("scale", p, jnp.exp2(normal("scale", 0.2)), 1.0)
    either = 1 - jnp.sqrt(jnp.clip(1 - p, 0, 1))  # a turn before or after the stretch: together p
    before = among("before", either, angle("before"), 0.0)
    stretch = among("stretch", p, jnp.exp2(normal("stretch", 0.2)), 1.0)
    after = among("after", either, angle("after"), 0.0)
    shift = among("shift", p, normal("shift", SHIFT, (2,)) * sides, 0.0)

    undone = _matrix(flip, 0, 0, 1)
    for step in (
        _turn(-turns % 4),
        _matrix(1, 0, 0, 1, -whole[:, 0], -whole[:, 1]),
        _matrix(1 / scale, 0, 0, 1 / scale),
        _matrix(jnp.cos(before), jnp.sin(before), -jnp.sin(before), jnp.cos(before)),
        _matrix(1 / stretch, 0, 0, stretch),
        _matrix(jnp.cos(after), jnp.sin(after), -jnp.sin(after), jnp.cos(after)),
        _matrix(1, 0, 0, 1, -shift[:, 0], -shift[:, 1]),
    ):
        undone = _product(undone, step)
    return undone


def _mirrored(place, n: int):
    """A place on an image that is mirrored at its edges again and again, i32."""
    period = max(2 * (n - 1), 1)
    place = jnp.abs(place) % period
    return jnp.minimum(place, period - place)


def _resampled(x, undone):
    """An image [H, W, C] whose pixel at a place has the level that is bilinear at the place it comes from."""
    h, w, _ = x.shape
    centre = (w - 1) / 2, (h - 1) / 2
    column, row = jnp.meshgrid(jnp.arange(w) - centre[0], jnp.arange(h) - centre[1])
    to = jnp.stack([column, row, jnp.ones_like(row)])
    found = jnp.einsum("ij,jhw->ihw", undone, to, precision=lax.Precision.HIGHEST)
    made = 0
    (left, right), (up, down) = (_neighbours(found[i] + centre[i], (w, h)[i]) for i in range(2))
    for rows, tall in (up, down):
        for columns, wide in (left, right):
            made = made + (tall * wide).astype(x.dtype)[..., None] * x[rows, columns]
    return made


def _neighbours(place, n: int):
    """The two pixels beside a place along one axis, each with its weight."""
    first = jnp.floor(place)
    share, first = place - first, first.astype(jnp.int32)
    return (_mirrored(first, n), 1 - share), (_mirrored(first + 1, n), share)


def geometry(key, images, slot, p=1.0):
    """Flipped, turned by quarters, moved by whole pixels, scaled, turned, stretched and moved, each with the
    probability p (Karras et al. 2020b, appendix B, `blit` and `geom`, with their ranges).

    All of it is one bilinear resampling of an image that is mirrored beyond its edges; the authors' wavelet
    filter is left out, so that what is made smaller may alias. At p = 0 images are as they are.
    """
    x = _images(images)
    return vmap(_resampled)(x, _backwards(key, slot, p, x.shape[1:3]))


def colour_matrix(key, images, slot, p=1.0):
    """Brightness + N(0, 0.2^2), contrast times 2^N(0, 0.5^2), luma flipped, and of colours hue turned and
    saturation times 2^N(0, 1), each with the probability p (Karras et al. 2020b, appendix B, `color`)."""
    x = _images(images)
    draw = lambda name: fold(key, "colours", name)  # noqa: E731
    normal = lambda name, std: std * random.normal(draw(name), slot, (1, 1))  # noqa: E731
    among = lambda name, value, neutral: _chosen(draw(name), slot, p, value, neutral)  # noqa: E731
    light = among("brightness", normal("brightness", 0.2), 0.0)
    contrast = among("contrast", jnp.exp2(normal("contrast", 0.5)), 1.0)
    flip = among("flip", random.integers(draw("flip"), slot, 2, (1, 1)), 0)
    if x.shape[3] == 1:  # a grey image is its own luma
        factor = (contrast * (1 - 2 * flip))[..., None]
        return x * factor.astype(x.dtype) + (factor * light[..., None]).astype(x.dtype)
    eye, luma = jnp.eye(3)[None], jnp.full((1, 3, 3), 1 / 3)  # the second projects on the grey axis
    angle = random.uniform(draw("hue"), slot, (1, 1), minval=-np.pi, maxval=np.pi)
    angle = among("hue", angle, 0.0)
    saturation = among("saturation", jnp.exp2(normal("saturation", 1.0)), 1.0)
    cross = jnp.array([[[0, -1, 1], [1, 0, -1], [-1, 1, 0]]]) / jnp.sqrt(3.0)
    turned = luma + (eye - luma) * jnp.cos(angle) + cross * jnp.sin(angle)
    matrix = _product(luma + (eye - luma) * saturation, _product(turned, contrast * (eye - 2 * flip * luma)))
    moved = jnp.einsum("bij,bhwj->bhwi", matrix.astype(x.dtype), x, precision=lax.Precision.HIGHEST)
    return moved + (matrix.sum(2) * light[:, 0])[:, None, None].astype(x.dtype)


def bgc(key, images, slot, p=1.0):
    """`geometry` and `colour_matrix`: what most runs of the ADA paper augment by (Karras et al. 2020b)."""
    return colour_matrix(key, geometry(key, images, slot, p), slot, p)


def exchange(key, real, fake, slot, p):
    """Real data [B, ...], each exchanged with the probability p for the fake ones of its place: D is deceived
    where it knows the real data too well (APA; Jiang et al. 2021, https://arxiv.org/abs/2111.06849)."""
    some = random.uniform(fold(key, "exchange"), slot, (1,) * (real.ndim - 1)) < p
    return jnp.where(some, fake, real)


EVERY = 4  # updates of D between two changes of an adaptive probability


class Adaptive(NamedTuple):
    """An augmentation whose probability follows how well D knows the real data (ADA; Karras et al. 2020b).

    While the mean of sign(D(x)) over the real images of four updates of D is above the target the
    probability rises, and falls while it is below; it is kept in `state.extra["augment"]`.

    With no `of` nothing is changed, but real data are exchanged for generated ones of other latents (APA).
    """

    of: Callable | None  # (key, data, slot, p) -> data
    batch_size: int  # real examples in an update of D, on all devices and in all microbatches
    target: Any = 0.6
    images: Any = 500_000.0  # within which the probability goes from 0 to 1
    axis: str | None = None  # the name of the device axis, if there is one
    p: Any = 0.0  # before the first step; with infinitely many images, always

    def start(self) -> dict:
        """What it carries before the first step."""
        return {
            "p": jnp.asarray(self.p, jnp.float32),
            "signs": jnp.zeros(()),
            "updates": jnp.zeros((), jnp.int32),
        }

    def carry(self, carried: dict, real_logits) -> dict:
        """What it carries after an update of D, whose logits of real data it has."""
        sign = jnp.sign(real_logits).mean()
        sign = sign if self.axis is None else lax.pmean(sign, self.axis)
        signs, updates = carried["signs"] + sign / EVERY, carried["updates"] + 1
        due = updates % EVERY == 0
        move = jnp.sign(signs - self.target) * EVERY * self.batch_size / self.images
        p = jnp.where(due, jnp.clip(carried["p"] + move, 0, 1), carried["p"])
        return {"p": p, "signs": jnp.where(due, 0.0, signs), "updates": updates}
