"""The judge: a small convolutional classifier of a data set's own labels.

It tells which class a generated image shows, and its last hidden layer is the feature space of the
Frechet classifier distance, `fcd`. That is no FID: the features are this network's, not Inception's.
It is trained once for a data set and kept under the hash of the data's contents.

Everybody who trains it on the same data has the same weights, to the last bit, whatever the number of cores
or the kind of processor. Floating-point sums depend on their order, and so on both; sums of whole numbers do
not. So what is multiplied in training is rounded to multiples of a power of two first (`ACTIVATION`,
`WEIGHT`, `GRADIENT`), of so few bits that every product and sum is exact in float64. What remains are single
operations, which IEEE 754 defines, and `exp`, whose last digits the rounding takes away.
"""

import contextlib
import hashlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization
from jax import lax
from tqdm import tqdm

from jaxgan import cache
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.data.resident import rows

VERSION = 3  # of this file's network and training; part of the cached file's name
BATCH = 128
HELD_OUT = 6  # one example in so many is kept from training
EPOCHS = 30
FEWEST, MOST = 200, 800  # steps: as long as a set needs, whatever its size
RATE = 2.0**-8
LAYERS = ("conv0", "conv1", "hidden", "out")
WIDTHS = (32, 64)
HIDDEN = 128
# Bits behind the point, and the greatest absolute value: the sums over a batch of images of up to 256 pixels
# a side need 53 bits at most.
ACTIVATION, WEIGHT, GRADIENT = (10, 16.0), (16, 4.0), (18, 4.0)


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


def _rounded(x, grid):
    bits, most = grid
    return jnp.clip(jnp.round(x * 2**bits) / 2**bits, -most, most)


@jax.custom_vjp
def _activation(x):
    """x on the grid of activations, and its gradient on that of gradients."""
    return _rounded(x, ACTIVATION)


_activation.defvjp(
    lambda x: (_rounded(x, ACTIVATION), jnp.abs(x) < ACTIVATION[1]),
    lambda inside, g: (_rounded(g, GRADIENT) * inside,),
)


@jax.custom_vjp
def _weight(w):
    return _rounded(w, WEIGHT)


_weight.defvjp(lambda w: (_rounded(w, WEIGHT), None), lambda _, g: (g,))


def _conv(x, w):
    """x [B, H, W, C] by w [16 C, O], 4x4 of stride 2: a product of patches."""
    sides = [-(-side // 2) for side in x.shape[1:3]]  # of the output
    edges = [(1, 2 * out + 1 - side) for out, side in zip(sides, x.shape[1:3], strict=True)]
    x = jnp.pad(x, [(0, 0), *edges, (0, 0)])
    m, n = (2 * out for out in sides)
    taps = [x[:, i : i + m : 2, j : j + n : 2] for i in range(4) for j in range(4)]
    # The barrier has the patches written once, where fusion would gather them anew for each product.
    return lax.optimization_barrier(jnp.concatenate(taps, -1)) @ w


def _network(params, image, exact=lambda x: x, weight=lambda w: w):
    """(logits [B, n_classes], features [B, 128]) of images uint8[B, H, W, C]."""

    def layer(x, p, product=jnp.matmul):
        y = product(x, p["w"])
        return y + jnp.broadcast_to(p["b"], y.shape)

    conv0, conv1, hidden, out = (jax.tree.map(weight, params[name]) for name in LAYERS)
    x = (2 * image.astype(out["w"].dtype) - 255) / 256
    for p in (conv0, conv1):
        x = exact(jax.nn.relu(layer(x, p, _conv)))
    x = exact(jax.nn.relu(layer(x.reshape(x.shape[0], -1), hidden)))
    return exact(layer(x, out)), x


def maps(params, x):
    """The maps of the second convolution, f32[B, H / 4, W / 4, 64], of images f32[B, H, W, C] in [-1, 1]."""
    x = x * (255 / 256)
    for name in LAYERS[:2]:
        y = _conv(x, params[name]["w"])
        x = jax.nn.relu(y + jnp.broadcast_to(params[name]["b"], y.shape))
    return x


def _initial(shape: tuple[int, ...], n_classes: int, seed: int = 0) -> dict:
    """The weights before the first step, f64, of images [H, W, C]."""
    rng = np.random.default_rng(seed)
    h, w, c = shape

    def layer(shape):
        reach = np.sqrt(6 / np.prod(shape[:-1]))  # He et al. 2015
        return {"w": rng.uniform(-reach, reach, shape), "b": np.zeros(shape[-1])}

    pixels = -(-h // 4) * -(-w // 4)
    shapes = (
        (16 * c, WIDTHS[0]),
        (16 * WIDTHS[0], WIDTHS[1]),
        (pixels * WIDTHS[1], HIDDEN),
        (HIDDEN, n_classes),
    )
    return {name: layer(shape) for name, shape in zip(LAYERS, shapes, strict=True)}


def _gradient(params, image, label):
    """Of the sum of the cross entropies; exact, whatever the order of its sums."""

    def loss(params):
        logits, _ = _network(params, image, _activation, _weight)
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).sum()

    return jax.grad(loss)(params)


@partial(jax.jit, donate_argnums=(0, 1, 2))
def _step(params, m, v, image, label, rate):
    """One update by Adam, of betas 7/8 and 127/128; its products are exact as well, so that it is the same
    where a processor fuses them with a sum and where it does not."""
    short = lambda x: x.astype(jnp.float32).astype(jnp.float64)  # noqa: E731
    g = jax.tree.map(short, _gradient(params, image, label))
    m = jax.tree.map(lambda m, g: m - m / 8 + g / 8, m, g)
    v = jax.tree.map(lambda v, g: v - v / 128 + g * g / 128, v, g)
    towards = jax.tree.map(lambda m, v: short(m / (jnp.sqrt(v) + 1e-6)), m, v)
    return jax.tree.map(lambda w, x: w - rate * x, params, towards), m, v


def _rates(steps: int) -> np.ndarray:
    """The rate at each step, f64 to the precision of f32: it falls to 0 along half a cosine; Adam's
    correction of both means is in it."""
    t = np.arange(steps)
    rate = RATE * (1 + np.cos(np.pi * t / steps)) / 2
    rate *= np.sqrt(1 - (127 / 128) ** (t + 1)) / (1 - (7 / 8) ** (t + 1))
    return rate.astype(np.float32).astype(np.float64)


@partial(jax.jit, static_argnums=3)
def _rows(key, step, slot, n):
    return rows(key, step, slot, n=n, batch_size=len(slot))


def _host():
    """The processor, where JAX was not told to leave it out: float64 is exact there."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def train(data: Dataset, seed: int = 0) -> Judge:
    """Trains a judge on five sixths of a labelled set; the rest gives its accuracy.

    A call takes one batch, so that a signal is looked at between two.

    Raises:
      InputError: if the set has no labels, or too few images.
    """
    if data.get("label") is None:
        raise InputError(f"{data.name} has no labels to train a judge on")
    if len(data["label"]) < 2:
        raise InputError(f"{data.name} has one image, and a judge learns from two or more")
    order = np.random.default_rng(0).permutation(len(data["label"]))
    held, kept = order[::HELD_OUT], np.delete(order, np.s_[::HELD_OUT])
    image, label, n_classes = data["image"], data["label"], len(data.classes)
    params = _initial(image.shape[1:], n_classes, seed)
    m = v = jax.tree.map(np.zeros_like, params)
    most = max(16, min(BATCH, BATCH * 64**2 // image[0, ..., 0].size))  # large images in smaller batches
    key, slot = jax.random.key(seed), np.arange(min(most, len(kept)), dtype=np.int32)
    rates = _rates(int(np.clip(EPOCHS * len(kept) / len(slot), FEWEST, MOST)))
    with jax.default_device(_host()):
        for step, rate in enumerate(
            tqdm(rates, desc="judge", unit="step", leave=False, delay=1, disable=None)
        ):
            index = kept[np.asarray(_rows(key, step, slot, len(kept)))]
            with jax.enable_x64(True):
                params, m, v = _step(params, m, v, image[index], label[index], rate)
    params = jax.tree.map(lambda w: np.asarray(_rounded(w, WEIGHT), np.float32), jax.device_get(params))
    logits, _ = judge(Judge(params, n_classes, 0.0, ""), image[held])
    accuracy = float((logits.argmax(1) == label[held]).mean())
    return Judge(params, n_classes, accuracy, data.digest)


@jax.jit
def _forward(params, image):
    return _network(params, image)


def judge(of: Judge, images, *, batch_size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Logits f32[N, n_classes] and features f32[N, 128] of images uint8[N, H, W, C].

    Raises:
      ValueError: if the images are not uint8.
    """
    if images.dtype != np.uint8:
        raise ValueError(f"the judge sees images of uint8, not {images.dtype}")
    n = len(images)
    images = np.concatenate([images, np.zeros((-n % batch_size, *images.shape[1:]), np.uint8)])
    with jax.default_matmul_precision("float32"):  # not what a GPU or TPU takes by default
        parts = [_forward(of.params, images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
    logits, features = (np.concatenate(part)[:n] for part in zip(*jax.device_get(parts), strict=True))
    return logits, features


def _read(content: bytes) -> Judge:
    """The judge of a file.

    Raises:
      ValueError: if it is damaged or of another kind.
    """
    try:
        found = Judge(**serialization.msgpack_restore(content))
        jax.tree.map(lambda x, y: x.shape, found.params, {k: {"w": 0, "b": 0} for k in LAYERS})
    except Exception as e:  # msgpack's own, or whatever a tree of something else raises
        raise ValueError(f"it holds no classifier of version {VERSION}") from e
    return found


SHIPPED = Path(__file__).with_name("judges")  # the default data's, so that nobody waits for it


def cached(data: Dataset, seed: int = 0) -> Judge:
    """The judge of a labelled set: it came with jaxgan, or is in the cache, or is trained and put there.

    Args:
      seed: another one is another classifier of the same data: what learns from that one's features is scored
        by features that it has not seen.
    """
    name = f"{data.digest}-v{VERSION}{f'-{seed}' if seed else ''}.msgpack"
    kept = cache.folder() / "judges" / name
    for path in (SHIPPED / name, kept):
        if path.is_file():
            with contextlib.suppress(ValueError):  # cut short or of another kind: it is trained anew
                return _read(path.read_bytes())
    what = "another classifier" if seed else "a judge"
    print(f"training {what} of {data.name}, once for these data", flush=True)
    trained = train(data, seed)
    cache.keep(kept, _written(trained))
    return trained


def _written(of: Judge) -> bytes:
    return serialization.msgpack_serialize(of._asdict())


def shared(data: Dataset, path: Path) -> Judge:
    """The judge of a file that people share, for images as the data's; trained on the data and written there
    if there is no such file.

    Raises:
      InputError: if it is damaged, or is of other classes or images; or cannot be read or written.
    """
    try:
        if not path.exists():
            found = cached(data)
            cache.write(path, _written(found))
            print(
                f"classifier of {data.name} written to {path}: who scores by this file has the same features"
            )
            return found
        found = _read(path.read_bytes())
    except (OSError, ValueError) as e:
        raise InputError(f"--features-file {path}: {getattr(e, 'strerror', None) or e}") from None
    wanted = jax.tree.map(np.shape, _initial(data["image"].shape[1:], len(data.classes)))
    if jax.tree.map(np.shape, found.params) != wanted:
        size = "x".join(map(str, data["image"].shape[1:]))
        raise InputError(
            f"--features-file {path}: its classifier is not of {len(data.classes)} classes of {size} images, "
            f"as {data.name} has; give another file"
        )
    if found.digest != data.digest:
        print(
            f"the classifier of {path} learned other data than {data.name}: {found.digest}, not {data.digest}"
        )
    return found
