"""The networks of StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958, configuration F), and what
StyleGAN (Karras et al. 2019, https://arxiv.org/abs/1812.04948) has in place of demodulation.

G: z -> w by a mapping network; a learned constant of 4x4, and at each size two convolutions (at 4x4 one)
that a w modulates, each with noise; the image is the sum of what each size adds. D: residual blocks that
halve the size by a filter, then the batch's standard deviation and two dense layers. Gains and layers are
those of the authors' code for https://arxiv.org/abs/2006.06676, which also has the labels.
"""

import math
from functools import partial
from itertools import accumulate
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgan import latents, random
from jaxgan.nn.equalized import EqualizedConv, EqualizedDense
from jaxgan.nn.minibatch import MinibatchStd
from jaxgan.nn.modulated import Form, modulated_conv
from jaxgan.nn.norm import instance_norm, pixel_norm
from jaxgan.nn.precision import wide
from jaxgan.nn.resample import double, fir, halve


def _leaky(x):
    """Leaky ReLU by 0.2, of unit variance where x is normal, about."""
    return math.sqrt(2) * nn.leaky_relu(x, 0.2)


def _clamped(x, most: float | None):
    """x in [-most, most]; None leaves it as it is."""
    return x if most is None else jnp.clip(x, -most, most)


def _sizes(image_size: int) -> list[int]:
    """4, 8, ... to the image's.

    Raises:
      ValueError: if it is no power of two, 8 or more.
    """
    if image_size < 8 or image_size & (image_size - 1):
        raise ValueError(f"StyleGAN2 makes and judges images of 8, 16, 32, ... pixels, not {image_size}")
    return [2**i for i in range(2, image_size.bit_length())]


def _features(width: int, most: int, image_size: int, size: int) -> int:
    """The channels at a size, `width` at the image's and doubled at each level inward."""
    return min(width * image_size // size, most)


def layers(image_size: int) -> int:
    """How many w a generator takes: one for each convolution, and one more for the last colours."""
    return 2 * len(_sizes(image_size))


class Mapping(nn.Module):
    """z [B, latent] or None, label i32[B] in [0, n_classes) or None -> w f32[B, features].

    z is divided by the root of its mean square, and so is the label's embedding, which is joined to it. With
    0 layers that z is w: the control without a mapping network. A label beyond the last class gives NaN.

    Raises:
      ValueError: with 0 layers, for labels, or where z has not as many numbers as w; or if there are labels
        and no classes, or the reverse.
    """

    features: int
    layers: int = 8
    n_classes: int | None = None
    lr_multiplier: float = 0.01

    @nn.compact
    def __call__(self, z, label=None):
        if (label is None) != (self.n_classes is None):
            raise ValueError(f"a mapping of {self.n_classes} classes: label is {random.kind_of(label)}")
        if self.layers == 0 and (label is not None or z.shape[-1] != self.features):
            raise ValueError(
                f"a mapping of 0 layers is the identity: it takes no labels, and z [B, {self.features}], as w"
            )
        parts = [] if z is None else [pixel_norm(wide(z))]
        if label is not None:
            codes = jax.nn.one_hot(label, self.n_classes)
            y = pixel_norm(EqualizedDense(self.features, gain=1.0, name="embed")(codes))
            parts.append(jnp.where((label < self.n_classes)[:, None], y, jnp.nan))
        x = jnp.concatenate(parts, -1)
        for i in range(self.layers):
            dense = EqualizedDense(
                self.features, gain=1.0, lr_multiplier=self.lr_multiplier, name=f"dense{i}"
            )
            x = _leaky(dense(x))
        return x


def _style(features: int, start: float, name: str, dtype):
    """The layer from w to a style."""
    bias = nn.initializers.constant(start)
    return EqualizedDense(features, gain=1.0, bias_init=bias, name=name, dtype=dtype)


class StyledConv(nn.Module):
    """x [B, H, W, C], w [B, styles] -> [B, H, W, features], or twice the size: a convolution modulated by w,
    noise, a bias and leaky ReLU.

    With the norm "adain" the convolution is a plain one, equalised, and after leaky ReLU each channel of each
    example is normalised and given a scale and a bias of w (Huang and Belongie 2017).

    The noise [B or 1, H, W, 1], one value a pixel for all channels, begins with a strength of 0.
    """

    features: int
    double: bool = False
    norm: Literal["demodulation", "adain"] = "demodulation"
    form: Form = "scaled"
    clamp: float | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, w, noise=None):
        channels = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.normal(1.0), (3, 3, channels, self.features))
        kernel, w = kernel.astype(self.dtype), w.astype(self.dtype)
        if self.norm == "demodulation":
            style = _style(channels, 1.0, "style", self.dtype)(w)
            y = modulated_conv(x, kernel, style, double=self.double, form=self.form)
        else:
            gain = 1 / math.sqrt(9 * channels)
            one = jnp.ones((len(x), channels), self.dtype)
            y = modulated_conv(x, gain * kernel, one, demodulate=False, double=self.double)
        if noise is not None:
            y = y + (self.param("strength", nn.initializers.zeros, ()) * noise).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        y = _clamped(_leaky(y + bias[None, None, None]), self.clamp)
        if self.norm == "adain":
            scale, shift = jnp.split(_style(2 * self.features, 0.0, "style", self.dtype)(w), 2, -1)
            y = instance_norm(y) * (1 + scale)[:, None, None] + shift[:, None, None]
        return y


class Colours(nn.Module):
    """x [B, H, W, C], w [B, styles] -> f32[B, H, W, channels]: a 1x1 convolution, modulated alone."""

    channels: int
    clamp: float | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, w):
        features = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.normal(1.0), (1, 1, features, self.channels))
        style = _style(features, 1.0, "style", self.dtype)(w.astype(self.dtype)) / math.sqrt(features)
        y = modulated_conv(x, kernel.astype(self.dtype), style, demodulate=False)
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        return _clamped(wide(y) + bias[None, None, None], self.clamp)


def _of_layers(sizes: list[int]) -> list[int]:
    """The size of each convolution's image."""
    return [size for size in sizes for _ in range(1 + (size > 4))]


def _split(noise, sizes: list[int]) -> list:
    """Each layer's [B, size, size] of numbers [B, N]."""
    parts = jnp.split(noise, list(accumulate(size**2 for size in sizes))[:-1], 1)
    return [x.reshape(-1, size, size) for x, size in zip(parts, sizes, strict=True)]


class Synthesis(nn.Module):
    """w [B, layers, styles] -> images f32[B, S, S, channels], which nothing keeps in [-1, 1].

    `drawing` is a key and slots i32[B], by which each example has noise of its own; None: all have the noise
    that is kept in the collection "noise".
    """

    image_size: int
    channels: int
    width: int
    most: int
    noise: bool = True
    norm: Literal["demodulation", "adain"] = "demodulation"
    form: Form = "scaled"
    clamp: float | None = None
    dtype: jnp.dtype = jnp.float32

    def _noise(self, sizes: list[int], drawing) -> list:
        """Each layer's; in one draw, since a draw takes a compiler a second."""
        shape = (sum(size**2 for size in sizes),)

        def first():
            drawn = jax.random.normal(self.make_rng("params"), (1, *shape))
            return {f"layer{i}": x[0] for i, x in enumerate(_split(drawn, sizes))}

        kept = self.variable("noise", "kept", first)
        if drawing is None:
            return [kept.value[f"layer{i}"][None, :, :, None] for i in range(len(sizes))]
        key, slot = drawing
        drawn = random.normal(random.fold(key, "noise"), slot, shape)
        return [x[..., None] for x in _split(drawn, sizes)]

    @nn.compact
    def __call__(self, w, drawing=None):
        sizes, n = _sizes(self.image_size), layers(self.image_size)
        if w.ndim != 3 or w.shape[1] != n:
            raise ValueError(f"synthesis at {self.image_size} pixels takes w [B, {n}, styles], not {w.shape}")
        features = partial(_features, self.width, self.most, self.image_size)
        constant = self.param("constant", nn.initializers.normal(1.0), (4, 4, features(4)))
        x = jnp.broadcast_to(constant.astype(self.dtype), (len(w), *constant.shape))
        own = dict(clamp=self.clamp, dtype=self.dtype)
        conv = partial(StyledConv, norm=self.norm, form=self.form, **own)
        noise = self._noise(_of_layers(sizes), drawing) if self.noise else [None] * (n - 1)
        image, layer = None, 0
        for size in sizes:
            for doubles in (False,) if size == 4 else (True, False):
                of = conv(features(size), doubles, name=f"conv{size}_{'up' if doubles else 'same'}")
                x = of(x, w[:, layer], noise[layer])
                layer += 1
            # Colours share the w of the layer after: the last are the only ones with one of their own.
            added = Colours(self.channels, **own, name=f"colours{size}")(x, w[:, layer])
            image = added if image is None else double(image) + added
        return image


class Generator(nn.Module):
    """z [B, latent], label i32[B] where there are classes -> images f32[B, S, S, channels] about [-1, 1].

    In training, where it is given `drawing`, a key and the examples' slots i32[B], noise is drawn anew, and
    of `mixing` of the examples the layers from a random one on have the w of another z, standard normal as
    the first should be. In sampling the noise is what is kept in the collection "noise", and w is drawn
    towards the running average of w, in the collection "average", by psi: 1 leaves it, 0 makes the mean
    image of every z (truncation; Karras et al. 2019, appendix B).

    Attributes:
      image_size: S, a power of two, 8 or more.
      channels: of the image.
      width: channels next to the image, doubled at each level inward up to `most`.
      styles: numbers in w.
      mapping: the mapping network's layers; 0: w is the normalised z.
      mixing: the probability of a second z in training; None: there is none.
      psi: of truncation; or one number for each layer.
      average_decay: of the running average of w.
      clamp: cuts what each layer gives to [-clamp, clamp], as the authors' code does for float16; None: not.
    """

    image_size: int
    channels: int = 3
    width: int = 32
    most: int = 512
    styles: int = 512
    mapping: int = 8
    n_classes: int | None = None
    noise: bool = True
    mixing: float | None = 0.9
    psi: float | tuple[float, ...] = 1.0
    average_decay: float = 0.998
    norm: Literal["demodulation", "adain"] = "demodulation"
    form: Form = "scaled"
    clamp: float | None = None
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    def setup(self):
        self.mapped = Mapping(self.styles, self.mapping, self.n_classes)
        self.synthesis = Synthesis(
            self.image_size,
            self.channels,
            self.width,
            self.most,
            self.noise,
            self.norm,
            self.form,
            self.clamp,
            self.dtype,
        )
        self.average = self.variable("average", "w", jnp.zeros, (self.styles,))

    @property
    def layers(self) -> int:
        """How many w an image is made from."""
        return layers(self.image_size)

    def map(self, z, label=None):
        """w f32[B, styles] of z, as it is before truncation."""
        return self.mapped(z, label)

    def synthesise(self, w, drawing=None):
        """Images of w [B, layers, styles]."""
        return self.synthesis(w, drawing)

    def _move(self, w):
        """The average after a batch."""
        if self.is_initializing() or not self.is_mutable_collection("average"):
            return
        mean = lax.stop_gradient(w).mean(0)
        mean = mean if self.axis is None else lax.pmean(mean, self.axis)
        self.average.value = self.average.value + (1 - self.average_decay) * (mean - self.average.value)

    def _mixed(self, w, z, label, drawing):
        """w [B, layers, styles], those of another z from a layer on."""
        key, slot = drawing
        other = self.mapped(random.normal(random.fold(key, "other"), slot, z.shape[1:]), label)
        place, chance = random.uniform(random.fold(key, "mixing"), slot, (2,)).T
        cut = 1 + jnp.floor(place * (self.layers - 1)).astype(jnp.int32)
        first = jnp.arange(self.layers)[None] < jnp.where(chance < self.mixing, cut, self.layers)[:, None]
        return jnp.where(first[:, :, None], w, other[:, None])

    def _truncated(self, w):
        """w [B, layers, styles] towards the average."""
        psi = jnp.asarray(self.psi)
        if psi.shape not in ((), (self.layers,)):
            raise ValueError(f"psi is a number, or {self.layers} of them, not {len(psi)}")
        return latents.truncated(w, self.average.value, psi)

    def __call__(self, z, label=None, *, train: bool, drawing=None, shift=None):
        w = self.mapped(z, label)
        if train:
            self._move(w)
        w = jnp.broadcast_to(w[:, None], (len(w), self.layers, w.shape[-1]))
        if drawing is not None and self.mixing is not None:
            w = self._mixed(w, z, label, drawing)
        if not train:
            w = self._truncated(w)
        return self.synthesis(w if shift is None else w + shift, drawing)


class Halving(nn.Module):
    """x [B, H, W, C] -> [B, H / 2, W / 2, features]: two 3x3 convolutions, the second at a stride of 2 after
    the filter, and a 1x1 one beside them, over sqrt(2)."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        conv = partial(EqualizedConv, gain=1.0, dtype=self.dtype)
        beside = conv(self.features, (1, 1), use_bias=False, name="beside")(halve(x))
        y = _leaky(conv(x.shape[-1], (3, 3), name="first")(x))
        second = conv(self.features, (3, 3), strides=(2, 2), padding="VALID", name="second")
        y = _leaky(second(fir(y, (2, 2))))
        return (y + beside) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Images [B, S, S, C], label i32[B] where there are classes -> logits f32[B].

    With classes the logit is <map(label), features> / sqrt(features), by a mapping network of its own.

    Attributes:
      width: channels next to the image, doubled at each level inward up to `most`.
      mapping: the layers of the label's.
      group: of the batch's standard deviation.
    """

    width: int = 32
    most: int = 512
    n_classes: int | None = None
    mapping: int = 8
    group: int = 4
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, x, label=None, *, train: bool):
        side = x.shape[1]
        features = partial(_features, self.width, self.most, side)
        conv = partial(EqualizedConv, gain=1.0, dtype=self.dtype)
        dense = partial(EqualizedDense, gain=1.0, dtype=self.dtype)
        x = _leaky(conv(features(side), (1, 1), name="colours")(x.astype(self.dtype)))
        for size in _sizes(side)[:0:-1]:
            x = Halving(features(size // 2), self.dtype, name=f"block{size}")(x)
        x = MinibatchStd(self.group, self.axis)(x)
        x = _leaky(conv(features(4), (3, 3), name="last")(x))
        x = _leaky(dense(features(4), name="dense")(x.reshape(len(x), -1)))
        if self.n_classes is None:
            return wide(dense(1, name="logit")(x)[:, 0])
        x = wide(dense(features(4), name="logit")(x))
        w = Mapping(features(4), self.mapping, self.n_classes, name="mapped")(None, label)
        return (x * w).sum(-1) / math.sqrt(features(4))
