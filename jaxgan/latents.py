"""Looking into a latent space: which latent makes an image, and along which directions images change.

Pure functions of a generator as a function, and of latents [B, ...]: z [B, d], or the styles of
`jaxgan.nets.stylegan2`, w [B, layers, d], one to a layer.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from tqdm import tqdm

from jaxgan import random
from jaxgan.config import InputError
from jaxgan.random import fold

CHUNK = 50  # steps of a search in one call, between two of which a signal is looked at


class Found(NamedTuple):
    """The latents of images."""

    latent: jax.Array  # [B, ...]
    noise: dict  # of the generator's noise inputs, one for each image: leaves [B, ...]
    distance: np.ndarray  # f32[steps, B], while it was searched


def scales(made, target):
    """The mean square difference of pixels, in the mean over the images, their halves, quarters, ... down to
    4 pixels a side, [B] of images [B, H, W, C]: small ones tell where to go when details are still off."""
    if made.shape != target.shape:
        raise InputError(f"images {list(made.shape)} are compared with images {list(target.shape)}")
    apart, each = made - target, []
    while True:
        each.append(jnp.square(apart).mean((1, 2, 3)))
        b, h, w, c = apart.shape
        if min(h, w) < 8 or h % 2 or w % 2:
            return jnp.stack(each).mean(0)
        apart = apart.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def roughness(noise):
    """How far a noise map f32[H, W] is from white: its squared correlations with itself moved by a pixel, at
    its size, half of it, ... down to 8 pixels (Karras et al. 2020a, appendix D). It is about 2 / pixels a
    scale of white noise."""
    total = 0.0
    while True:
        total += sum(jnp.square((noise * jnp.roll(noise, 1, axis)).mean()) for axis in (0, 1))
        h, w = noise.shape
        if min(h, w) <= 8 or h % 2 or w % 2:
            return total
        noise = noise.reshape(h // 2, 2, w // 2, 2).mean((1, 3)) * 2  # of unit variance again


def _rate(step, steps: int):
    """The share of the learning rate at a step: up along a twentieth of them, and down along a cosine in the
    last quarter."""
    t = step / steps
    down = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(1.0, (1 - t) / 0.25))
    return down * jnp.minimum(1.0, t / 0.05)


def project(
    generate: Callable,
    target,
    mean,
    std,
    key,
    *,
    noise=None,
    steps: int = 1000,
    rate: float = 0.1,
    wander: float = 0.05,
    smooth: float = 1e5,
    distance: Callable = scales,
) -> Found:
    """Searches the latents whose samples are nearest to images, by Adam (Karras et al. 2020a, appendix D).

    In the first three quarters of the steps the latent is moved at random, less and less, so that the search
    leaves what is near only by chance.

    Args:
      generate: (latent [B, ...], noise) -> images [B, H, W, C]; it broadcasts over an axis of the latent
        that is 1: of styles, mean [1, d] is a search in W and mean [layers, d] one in W+.
      target: the images, in the range of what is generated.
      mean: where the search of each begins, [...].
      std: how far latents are from it, f32[], as the root mean square distance.
      noise: the generator's noise maps, a tree of [H, W]: they are searched too, one set for each image, and
        kept white; None or {}: it has none, or they stay as they are.
      rate: Adam's learning rate at its highest.
      wander: the standard deviation at the first step of the random moves, in `std`.
      smooth: the weight of the noise maps' `roughness`.
      distance: (images, images) -> [B], with a derivative.

    Raises:
      InputError: if there are no images, or steps.
    """
    if getattr(target, "ndim", 0) != 4 or not len(target) or steps < 1:
        what = f"{list(np.shape(target))}"
        raise InputError(f"a search takes images [N, H, W, C], 1 or more, and 1 step or more; not {what}")
    n = len(target)
    slot = jnp.arange(n)
    mean = jnp.asarray(mean)
    free = {
        "latent": jnp.broadcast_to(mean, (n, *mean.shape)),
        "noise": jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), noise or {}),
    }
    adam = optax.scale_by_adam(b1=0.9, b2=0.999)

    def loss(free, moved):
        found = distance(generate(free["latent"] + moved, free["noise"]), target)
        rough = [jax.vmap(roughness)(x) for x in jax.tree.leaves(free["noise"])]
        return found.sum() + smooth * sum(x.sum() for x in rough), found

    def whitened(x):
        x = x - x.mean((1, 2), keepdims=True)
        return x * lax.rsqrt(jnp.square(x).mean((1, 2), keepdims=True))

    def step(carry, i):
        free, state = carry
        far = wander * std * jnp.square(jnp.maximum(0.0, 1 - i / steps / 0.75))
        moved = far * random.normal(fold(key, "wander", i), slot, mean.shape)
        grads, found = jax.grad(loss, has_aux=True)(free, moved)
        updates, state = adam.update(grads, state)
        free = jax.tree.map(lambda x, u: x - rate * u, free, updates)
        return (free | {"noise": jax.tree.map(whitened, free["noise"])}, state), found

    chunk = jax.jit(lambda carry, at: lax.scan(step, carry, at))
    carry, found = (free, adam.init(free)), []
    with tqdm(total=steps, desc="search", unit="step", leave=False, delay=1, disable=None) as bar:
        for first in range(0, steps, CHUNK):
            carry, some = chunk(carry, jnp.arange(first, min(first + CHUNK, steps)))
            found.append(np.asarray(some))
            bar.update(len(found[-1]))
    free, _ = carry
    return Found(free["latent"], free["noise"], np.concatenate(found))


def spread(latents):
    """(mean [...], root mean square distance from it f32[]) of latents [N, ...]."""
    mean = latents.mean(0)
    apart = jnp.square(latents - mean[None])
    return mean, jnp.sqrt(apart.reshape(len(latents), -1).sum(1).mean())


class Directions(NamedTuple):
    """Directions of a latent space, the strongest first."""

    of: np.ndarray  # f64[K, d], of unit length, at right angles to each other
    size: np.ndarray  # f64[K]: how far latents spread along each, or how strongly layers take it up


def _signed(vectors: np.ndarray) -> np.ndarray:
    """Each with its largest entry above 0: a direction and its opposite are one."""
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(1)[:, None], 1)
    return vectors * np.sign(largest)


def principal(latents, n: int) -> Directions:
    """The n directions in which latents [N, d] spread most, and their standard deviations there (GANSpace;
    Harkonen et al. 2020, of W).

    Raises:
      InputError: if there are not so many.
    """
    x = np.asarray(latents, np.float64)
    if x.ndim != 2 or not 1 <= n <= min(len(x) - 1, x.shape[1]):
        raise InputError(f"{n} directions of latents {list(x.shape)}: ask for fewer, of latents [N, d]")
    _, sizes, vectors = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return Directions(_signed(vectors[:n]), sizes[:n] / math.sqrt(len(x) - 1))


def closed_form(kernels, n: int) -> Directions:
    """The n directions n that layers take up most, of largest sum of ||W' n||^2 (SeFa; Shen and Zhou 2021).

    Args:
      kernels: of the layers that read the latent, each [d, features].

    Raises:
      InputError: if there are not so many, or kernels are of several latents.
    """
    kernels = [np.asarray(w, np.float64) for w in kernels]
    if len({w.shape[0] for w in kernels}) != 1 or any(w.ndim != 2 for w in kernels):
        raise InputError("kernels are [d, features] each, of one latent")
    if not 1 <= n <= len(kernels[0]):
        raise InputError(f"{n} directions of {len(kernels[0])}: ask for fewer")
    squares, vectors = np.linalg.eigh(sum(w @ w.T for w in kernels))
    order = np.argsort(squares)[::-1][:n]
    return Directions(_signed(vectors[:, order].T), np.sqrt(np.maximum(squares[order], 0)))


def along(latent, direction, steps, layers=slice(None)):
    """A latent [d] or [layers, d] moved by each of so many steps [K] along a direction [d], in some layers:
    [K, ...]."""
    latent = jnp.asarray(latent)
    moves = jnp.asarray(steps, latent.dtype)[:, None] * jnp.asarray(direction, latent.dtype)[None]
    if latent.ndim == 1:
        return latent[None] + moves
    here = jnp.zeros(latent.shape[:1], latent.dtype).at[layers].set(1)
    return latent[None] + here[None, :, None] * moves[:, None]


def mixed(a, b, layers):
    """Styles a [N, layers, d] with those of b [M, layers, d] in some layers: each pair, [N, M, layers, d]."""
    here = jnp.zeros(a.shape[1], bool).at[layers].set(True)[None, None, :, None]
    return jnp.where(here, b[None], a[:, None])


def truncated(w, mean, psi):
    """Styles w [B, layers, d] drawn towards their mean [d]: by psi, of all layers or each, [layers]."""
    psi = jnp.broadcast_to(jnp.asarray(psi, w.dtype), w.shape[1:2])[None, :, None]
    return mean[None, None] + psi * (w - mean[None, None])
