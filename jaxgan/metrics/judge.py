"""The judge: a small convolutional classifier of a data set's own labels.

It tells which class a generated image shows, and its last hidden layer is the feature space of the
Frechet classifier distance, `fcd`. That is no FID: the features are this network's, not Inception's.
It is trained once for a data set and kept under the hash of the data's contents.
"""

import hashlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import serialization
from jax import lax

from jaxgan import cache
from jaxgan.data import Dataset
from jaxgan.data.resident import rows
from jaxgan.nn.conv import Conv

VERSION = 2  # of this file's network and training; part of the cached file's name
STEPS = 1500
BATCH = 128
HELD_OUT = 6  # one example in so many is kept from training


class Network(nn.Module):
    """Images f32[B, H, W, C] in [-1, 1] -> (logits [B, n_classes], features [B, 128])."""

    n_classes: int

    @nn.compact
    def __call__(self, x):
        for width in (32, 64):
            x = nn.relu(Conv(width, (4, 4), 2)(x))
        x = nn.relu(nn.Dense(128)(x.reshape(x.shape[0], -1)))
        return nn.Dense(self.n_classes)(x), x


class Judge(NamedTuple):
    """A trained judge."""

    params: dict
    n_classes: int
    accuracy: float  # on the examples held out from its training
    digest: str  # of the data that it was trained on

    @property
    def name(self) -> str:
        """For a protocol: what features these are, by a hash of the weights and the data they learned."""
        h = hashlib.sha256()
        for leaf in jax.tree.leaves(self.params):
            h.update(np.ascontiguousarray(leaf))
        return f"classifier v{VERSION} {h.hexdigest()[:12]} of {self.digest}"


@partial(jax.jit, static_argnums=0)
def _forward(n_classes, params, x):
    return Network(n_classes).apply({"params": params}, x.astype(jnp.float32) / 127.5 - 1)


def judge(of: Judge, images, *, batch_size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Logits f32[N, n_classes] and features f32[N, 128] of images uint8[N, H, W, C].

    Raises:
      ValueError: if the images are not uint8.
    """
    if images.dtype != np.uint8:
        raise ValueError(f"the judge sees images of uint8, not {images.dtype}")
    n = len(images)
    images = np.concatenate([images, np.zeros((-n % batch_size, *images.shape[1:]), np.uint8)])
    parts = [
        _forward(of.n_classes, of.params, images[i : i + batch_size])
        for i in range(0, len(images), batch_size)
    ]
    logits, features = (np.concatenate(part)[:n] for part in zip(*jax.device_get(parts), strict=True))
    return logits, features


@partial(jax.jit, static_argnums=2)
def _train(data, key, n_classes):
    net, tx = Network(n_classes), optax.adam(optax.cosine_decay_schedule(1e-3, STEPS))
    n = data["label"].shape[0]
    params = net.init(key, data["image"][:1].astype(jnp.float32))["params"]

    def loss_fn(params, image, label):
        logits, _ = net.apply({"params": params}, image.astype(jnp.float32) / 127.5 - 1)
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()

    def step(carry, i):
        params, opt = carry
        index = rows(key, i, jnp.arange(BATCH), n=n, batch_size=BATCH)
        grads = jax.grad(loss_fn)(params, data["image"][index], data["label"][index])
        updates, opt = tx.update(grads, opt, params)
        return (optax.apply_updates(params, updates), opt), None

    return lax.scan(step, (params, tx.init(params)), jnp.arange(STEPS))[0][0]


def train(data: Dataset) -> Judge:
    """Trains a judge on five sixths of a labelled set; the rest gives its accuracy.

    Raises:
      ValueError: if the set has no labels.
    """
    if data.get("label") is None:
        raise ValueError(f"{data.name} has no labels to train a judge on")
    order = np.random.default_rng(0).permutation(len(data["label"]))
    held, kept = order[::HELD_OUT], np.delete(order, np.s_[::HELD_OUT])
    n_classes = len(data.classes)
    arrays = {"image": jnp.asarray(data["image"][kept]), "label": jnp.asarray(data["label"][kept])}
    params = jax.device_get(_train(arrays, jax.random.key(0), n_classes))
    logits, _ = judge(Judge(params, n_classes, 0.0, ""), data["image"][held])
    accuracy = float((logits.argmax(1) == data["label"][held]).mean())
    return Judge(params, n_classes, accuracy, data.digest)


def cached(data: Dataset) -> Judge:
    """The judge of a labelled set, from the cache or trained and put there."""
    path: Path = cache.folder() / "judges" / f"{data.digest}-v{VERSION}.msgpack"
    if path.is_file():
        try:
            return Judge(**serialization.msgpack_restore(path.read_bytes()))
        except (ValueError, TypeError):
            path.unlink()  # cut short or of another kind: train it anew
    print(f"training a judge of {data.name}, once for these data", flush=True)
    trained = train(data)
    cache.keep(path, serialization.msgpack_serialize(trained._asdict()))
    return trained
