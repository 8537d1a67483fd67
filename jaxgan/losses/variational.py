"""The two parts of the variational bound (Kingma and Welling 2014, equation 10): [B], lower is better."""

import jax.numpy as jnp
import numpy as np


def gaussian(x, mean, variance):
    """-log N(x; mean, variance), x and mean [B, ...], variance one for all of x or of its shape: nats an
    example, the constant included."""
    if x.shape != mean.shape:
        raise ValueError(f"the data {x.shape} and their mean {mean.shape} differ in shape")
    if jnp.ndim(variance) and jnp.shape(variance) != x.shape:
        raise ValueError(f"the variance is one number or one each {x.shape}, not {jnp.shape(variance)}")
    each = jnp.square(x - mean) / variance + jnp.log(variance) + np.log(2 * np.pi).astype(np.float32)
    return each.reshape(len(x), -1).sum(1) / 2


def divergence(mean, log_variance):
    """KL(N(mean, exp(log_variance)) || N(0, 1)), arrays [B, n], summed over the n: nats an example
    (appendix B)."""
    if mean.shape != log_variance.shape or mean.ndim != 2:
        raise ValueError(f"means and log variances are [B, n], not {mean.shape} and {log_variance.shape}")
    return (jnp.square(mean) + jnp.expm1(log_variance) - log_variance).sum(1) / 2
