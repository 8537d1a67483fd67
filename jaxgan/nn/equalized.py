"""The equalized learning rate (ProGAN; Karras et al. 2018, section 4.1).

Weights are kept at unit scale and multiplied by He's constant, gain / sqrt(fan_in), each time that
they are used. An optimiser such as Adam, whose step does not depend on the gradient's scale, then
changes every layer at the same speed relative to its weights.

`lr_multiplier` makes a layer learn that many times as fast (StyleGAN; Karras et al. 2019, 0.01 for the
mapping network): its weights and bias are kept 1 / lr_multiplier times as large and multiplied back in
use, so what the layer computes at first does not depend on it.
"""

import math
from collections.abc import Callable

from flax import linen as nn

from jaxgan.nn.conv import Conv


class _Equalized:
    """Has a layer scale its parameters where it takes them."""

    def param(self, name, init, *args, **kwargs):
        value = super().param(name, lambda *a: init(*a) / self.lr_multiplier, *args, **kwargs)
        scale = self.lr_multiplier
        if name == "kernel":
            scale *= self.gain / math.sqrt(math.prod(value.shape[:-1]))
        return scale * value


class EqualizedConv(_Equalized, Conv):
    """`Conv` with an equalized learning rate; `gain` is He's sqrt(2), or 1 where no ReLU went before."""

    kernel_init: Callable = nn.initializers.normal(1.0)
    gain: float = math.sqrt(2)
    lr_multiplier: float = 1.0


class EqualizedDense(_Equalized, nn.Dense):
    """`flax.linen.Dense`, likewise."""

    kernel_init: Callable = nn.initializers.normal(1.0)
    gain: float = math.sqrt(2)
    lr_multiplier: float = 1.0
