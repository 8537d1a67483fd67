"""Spectral normalisation (Miyato, Kataoka, Koyama and Yoshida 2018).

A kernel, as the matrix [inputs, O], is divided by its largest singular value, estimated by power
iteration from a vector that is kept in the collection "spectral". The vector moves on wherever that
collection is mutable, which is where the network is trained, and rests where it is not.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgan.nn.conv import Conv


def _unit(x, otherwise):
    """x over its norm; where that is too small for float32's squares or not finite, what is given instead."""
    norm = jnp.linalg.norm(x)
    usable = (norm > 1e-15) & (norm < jnp.inf)
    return jnp.where(usable, x / jnp.where(usable, norm, 1.0), otherwise)


def spectral_norm(kernel, u, steps: int = 1):
    """The kernel [..., O] over its largest singular value, and the left vector u [O] moved on.

    The vectors are constants to differentiation, the singular value is not (their equation 11). With
    no steps, the value is the one that u gives. A kernel of zeros is given back as it is, and so is one whose
    singular value is outside (1e-15, 1e15), the square of which float32 would lose.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    fixed = lax.stop_gradient(matrix)
    # Where it is not moved on, u may be an average's: the mean of unit vectors is shorter than 1.
    given, u = u, u if steps else _unit(u, u)
    # Where u is lost on the kernel, power iteration begins anew from its row with the largest number.
    row = jnp.zeros(len(fixed), fixed.dtype).at[jnp.abs(fixed).max(1).argmax()].set(1)
    v = _unit(fixed @ u, row)
    for step in range(steps):
        v = _unit(fixed @ u, row) if step else v
        u = _unit(v @ fixed, u)
    value = v @ matrix @ u
    return kernel / jnp.where((value > 1e-15) & (value < 1e15), value, 1.0), u if steps else given


class _Spectral:
    """Has a layer take its kernel or embedding normalised."""

    def param(self, name, *args, **kwargs):
        value = super().param(name, *args, **kwargs)
        if name not in ("kernel", "embedding"):
            return value
        start = lambda: _unit(nn.initializers.normal()(self.make_rng("params"), value.shape[-1:]), 0.0)  # noqa: E731
        u = self.variable("spectral", "u", start)
        moves = self.is_mutable_collection("spectral") and not self.is_initializing()
        value, moved = spectral_norm(value, u.value, self.iterations if moves else 0)
        if moves:
            u.value = moved
        return value


class SpectralConv(_Spectral, Conv):
    """`Conv` with a kernel of spectral norm 1."""

    iterations: int = 1  # of the power iteration, at each step of training


class SpectralDense(_Spectral, nn.Dense):
    """`flax.linen.Dense` with a kernel of spectral norm 1."""

    iterations: int = 1


class SpectralEmbed(_Spectral, nn.Embed):
    """`flax.linen.Embed` with an embedding of spectral norm 1, as a matrix [num_embeddings, features]."""

    iterations: int = 1
