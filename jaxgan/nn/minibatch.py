"""By these a discriminator compares the examples of a batch, so that it sees modes collapse.

Real and generated examples belong in batches of their own: each is compared with its own kind. Given
`axis`, the name of the device axis, the batch is the global one, not the device's shard. Where a batch
is cut into microbatches, the examples compared are one microbatch's, as in batch normalisation;
`pack` alone joins the same examples however the batch is cut. The gradient of the logits' sum in an
example, which penalties are made of, has its effect on all other logits in it, on other devices too.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgan.nn.precision import wide


def _gather(x, axis: str | None):
    """The global batch of which x [B, ...] is the device's shard, and the shard's first row in it."""
    if axis is None:
        return x, 0
    return lax.all_gather(x, axis, tiled=True), lax.axis_index(axis) * x.shape[0]


class MinibatchDiscrimination(nn.Module):
    """Features [B, F] -> [B, F + kernels], the input and how alike each example is to the others.

    With M_i = T f_i, a matrix [kernels, dims], the new features are o_b = sum over j != i of
    exp(-||M_ib - M_jb||_1) (Salimans et al. 2016, section 3.2). T starts with columns of unit norm,
    about, as in the authors' code; its data-dependent rescaling, which the paper does not have, is
    left out. Costs B^2 kernels dims operations.

    Raises:
      ValueError: if the features are not [B, F].
    """

    kernels: int = 100
    dims: int = 5
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, x):
        if x.ndim != 2:
            raise ValueError(f"MinibatchDiscrimination takes features [B, F], not {x.shape}")
        x = x.astype(self.dtype)
        m = nn.Dense(self.kernels * self.dims, use_bias=False, dtype=self.dtype)(x)
        m = wide(m).reshape(-1, self.kernels, self.dims)
        others, first = _gather(m, None if self.is_initializing() else self.axis)
        distance = jnp.abs(m[:, None] - others[None]).sum(-1)
        # By index, not by distance: a copy of an example counts in full.
        itself = first + jnp.arange(m.shape[0])[:, None] == jnp.arange(others.shape[0])[None]
        alike = jnp.where(itself[:, :, None], 0, jnp.exp(-distance)).sum(1)
        return jnp.concatenate([x, alike.astype(x.dtype)], -1)


def minibatch_std(x, group: int = 4, *, axis: str | None = None):
    """x [B, ..., C] -> [B, ..., C + 1]: the last channel tells how much a group's examples differ.

    It is the standard deviation over the group of each feature at each pixel, averaged over both
    (Karras et al. 2018, section 3): one number for each of the B / group groups of the examples
    i, i + B / group, i + 2 B / group, ... A batch smaller than `group` is one group. With variance v
    it is v / (sqrt(v + 1e-8) + 1e-4), the authors' sqrt(v + 1e-8) less its value where v is 0: so
    equal examples give 0, and the derivatives there are finite, to any order.

    Args:
      axis: the device axis's name, where one is bound; in a network, use `MinibatchStd`.

    Raises:
      ValueError: if the global batch is not a multiple of `group`. A shard may be of any size.
    """
    whole, first = _gather(wide(x), axis)
    batch = whole.shape[0]
    group = min(group, batch)
    if batch % group:
        raise ValueError(f"minibatch_std: a batch of {batch} is not made of groups of {group}")
    variance = whole.reshape(group, batch // group, -1).var(0)
    std = (variance / (jnp.sqrt(variance + 1e-8) + 1e-4)).mean(-1)
    std = lax.dynamic_slice_in_dim(jnp.tile(std, group), first, x.shape[0])
    std = std.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.concatenate([x, jnp.broadcast_to(std, (*x.shape[:-1], 1))], -1)


class MinibatchStd(nn.Module):
    """`minibatch_std` as a layer, which can be initialised where no device axis is bound."""

    group: int = 4
    axis: str | None = None

    def __call__(self, x):
        return minibatch_std(x, self.group, axis=None if self.is_initializing() else self.axis)


def minibatch_mean(x, *, axis: str | None = None):
    """x [B, D] -> [B, 2 D]: each example and, beside it, the mean of the batch (minibatch averaging; Choi et
    al. 2017, section 3.3).

    Args:
      axis: the device axis's name, where one is bound; in a network, use `MinibatchMean`.

    Raises:
      ValueError: if x is not [B, D].
    """
    if x.ndim != 2:
        raise ValueError(f"minibatch_mean takes [B, D], not {x.shape}")
    mean = wide(x).mean(0)
    mean = (mean if axis is None else lax.pmean(mean, axis)).astype(x.dtype)
    return jnp.concatenate([x, jnp.broadcast_to(mean[None], x.shape)], 1)


class MinibatchMean(nn.Module):
    """`minibatch_mean` as a layer, which can be initialised where no device axis is bound."""

    axis: str | None = None

    def __call__(self, x):
        return minibatch_mean(x, axis=None if self.is_initializing() else self.axis)


def pack(x, m: int):
    """x [B, ..., C] -> [B / m, ..., m C]: m neighbours' channels joined, for a discriminator that judges
    m examples by one logit (PacGAN; Lin, Khetan, Fanti and Oh 2018).

    Neighbours stay together on every number of devices and microbatches, so it needs no device axis:
    each shard packs its own. The logits are [B / m], and a mean of losses is one over packs.

    Raises:
      ValueError: if B (on devices, the shard's) is not a multiple of m, or x has no channels, as labels
        [B]: these are packed as one-hot codes, since the examples of a pack differ in label.
    """
    if x.ndim < 2:
        raise ValueError(f"pack joins channels, and x {x.shape} has none; labels go as one-hot codes")
    if x.shape[0] % m:
        raise ValueError(f"pack: a batch of {x.shape[0]} is not made of packs of {m}")
    x = jnp.moveaxis(x.reshape(-1, m, *x.shape[1:]), 1, -2)
    return x.reshape(*x.shape[:-2], -1)
