"""Losses of what a discriminator says beside its logit: classes and codes. All are [B], lower is better.

Scores of K classes have shape [B, K], labels i32[B].
"""

import jax
import jax.numpy as jnp


def _labelled(scores, label):
    if label.shape != scores.shape[:1]:
        raise ValueError(f"labels {label.shape} do not belong to scores {scores.shape}")
    if scores.ndim != 2 or not jnp.issubdtype(label.dtype, jnp.integer):
        raise ValueError(f"scores are [B, K] and labels integers [B], not {scores.shape} and {label.dtype}")
    return jnp.take_along_axis(scores, label[:, None], 1)[:, 0]


def cross_entropy(scores, label):
    """-log P(label), with P the softmax of the scores. AC-GAN's D lowers it on real and on fake images,
    its G on fake ones (Odena, Olah and Shlens 2017, equations 2 and 3)."""
    return -_labelled(jax.nn.log_softmax(scores), label)


def multi_hinge(scores, label):
    """max(0, 1 - s_label + max over the other s), Crammer and Singer's hinge (Kavalerov, Czaja and
    Chellappa 2021).

    Scores [B, K + 1], the last of which stands for "fake": D lowers it on real images with their labels
    and on fake ones with K, G on fake ones with the labels that they were made from.
    """
    own = _labelled(scores, label)
    others = jnp.where(jnp.arange(scores.shape[1])[None] == label[:, None], -jnp.inf, scores)
    return jax.nn.relu(1 - own + others.max(1))


def gaussian_code(mean, code):
    """(code - mean)^2 / 2 summed over the code's numbers, arrays [B, n]: -log Q(code) with unit variance,
    without its constant (Chen et al. 2016, section 6; the paper learns the variance). With `cross_entropy`
    for a categorical code, D and G lower -log Q to raise the mutual information's bound (equation 5)."""
    if mean.shape != code.shape:
        raise ValueError(f"the code {code.shape} and its predicted mean {mean.shape} differ in shape")
    return jnp.square(code - mean).sum(1) / 2
