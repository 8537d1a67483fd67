"""The Inception network of 2015 whose features the Frechet inception distance is defined on.

It is the network of Szegedy et al. 2015 (arXiv:1512.00567) as TensorFlow published it, in the port to
PyTorch by pytorch-fid, whose file of weights is read here. Where it is not torchvision's network:

- it tells 1008 classes;
- its average pools leave the padding out of the count;
- its last block has a max pool in the place of the average pool.

Batch norm, of epsilon 0.001 as in torchvision, is folded into the convolutions.

The distance itself is `frechet_distance` of the `moments` of two such sets of features:

    weights = inception.load()
    real, fake = (moments(inception.features(images, weights)) for images in (data.image, samples))
    fid = frechet_distance(real, fake)
"""

import hashlib
import http.client
import os
import urllib.request
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from tqdm import tqdm

from jaxgan import cache, torch_weights
from jaxgan.config import InputError, one_of
from jaxgan.metrics.resize import RESIZES, resized, scaled
from jaxgan.nn.conv import Conv

URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
# The file's name has the first eight digits; all of them stand in several projects' published records.
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

LEVELS = ("64", "192", "768", "2048", "logits", "logits_unbiased")


def _conv(x, name, width, kernel=(1, 1), stride=1, padding="SAME"):
    return nn.relu(Conv(width, kernel, stride, padding, name=name)(x))


def _tower(x, name, *layers):
    """Convolutions `name`_1, _2, ... one after another."""
    for i, layer in enumerate(layers, 1):
        x = _conv(x, f"{name}_{i}", *layer)
    return x


def _down(width):
    return width, (3, 3), 2, "VALID"


def _max_pool(x, stride=2, padding="VALID"):
    return nn.max_pool(x, (3, 3), (stride, stride), padding)


def _avg_pool(x):
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def _join(*parts):
    return jnp.concatenate(parts, -1)


class _A(nn.Module):
    pooled: int

    @nn.compact
    def __call__(self, x):
        return _join(
            _conv(x, "branch1x1", 64),
            _tower(x, "branch5x5", (48,), (64, (5, 5))),
            _tower(x, "branch3x3dbl", (64,), (96, (3, 3)), (96, (3, 3))),
            _conv(_avg_pool(x), "branch_pool", self.pooled),
        )


class _B(nn.Module):
    @nn.compact
    def __call__(self, x):
        return _join(
            _conv(x, "branch3x3", *_down(384)),
            _tower(x, "branch3x3dbl", (64,), (96, (3, 3)), _down(96)),
            _max_pool(x),
        )


class _C(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        w, row, column = self.width, (1, 7), (7, 1)
        return _join(
            _conv(x, "branch1x1", 192),
            _tower(x, "branch7x7", (w,), (w, row), (192, column)),
            _tower(x, "branch7x7dbl", (w,), (w, column), (w, row), (w, column), (192, row)),
            _conv(_avg_pool(x), "branch_pool", 192),
        )


class _D(nn.Module):
    @nn.compact
    def __call__(self, x):
        return _join(
            _tower(x, "branch3x3", (192,), _down(320)),
            _tower(x, "branch7x7x3", (192,), (192, (1, 7)), (192, (7, 1)), _down(192)),
            _max_pool(x),
        )


class _E(nn.Module):
    last: bool

    @nn.compact
    def __call__(self, x):
        def fork(x, name):
            return _join(_conv(x, name + "a", 384, (1, 3)), _conv(x, name + "b", 384, (3, 1)))

        pool = _max_pool(x, 1, "SAME") if self.last else _avg_pool(x)
        return _join(
            _conv(x, "branch1x1", 320),
            fork(_conv(x, "branch3x3_1", 384), "branch3x3_2"),
            fork(_tower(x, "branch3x3dbl", (448,), (384, (3, 3))), "branch3x3dbl_3"),
            _conv(pool, "branch_pool", 192),
        )


class Inception(nn.Module):
    """Images f32[B, H, W, 3] in [-1, 1], H and W at least 75 -> a dictionary of `LEVELS`.

    `64`, `192`, `768` and `2048` are the averages over all pixels after the first and the second max pool,
    before the auxiliary classifier, and at the end, f32[B, level]; `logits` f32[B, 1008] and
    `logits_unbiased`, without the last layer's bias, as the published Inception score is computed.
    """

    @nn.compact
    def __call__(self, x):
        found = {}

        def level(x):
            found[str(x.shape[-1])] = x.mean((1, 2))

        x = _conv(x, "Conv2d_1a_3x3", *_down(32))
        x = _conv(x, "Conv2d_2a_3x3", 32, (3, 3), padding="VALID")
        x = _max_pool(_conv(x, "Conv2d_2b_3x3", 64, (3, 3)))
        level(x)
        x = _conv(x, "Conv2d_3b_1x1", 80)
        x = _max_pool(_conv(x, "Conv2d_4a_3x3", 192, (3, 3), padding="VALID"))
        level(x)
        for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
            x = _A(pooled, name=f"Mixed_{name}")(x)
        x = _B(name="Mixed_6a")(x)
        for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            x = _C(width, name=f"Mixed_{name}")(x)
        level(x)
        x = _D(name="Mixed_7a")(x)
        for name, last in (("7b", False), ("7c", True)):
            x = _E(last, name=f"Mixed_{name}")(x)
        level(x)
        fc = nn.Dense(1008, name="fc")
        logits = fc(found["2048"])
        unbiased = logits - fc.variables["params"]["bias"][None]
        return {**found, "logits": logits, "logits_unbiased": unbiased}


class Weights(NamedTuple):
    """The network's weights."""

    params: dict
    sha256: str  # of the file

    @property
    def name(self) -> str:
        """For a protocol: what features these are."""
        return f"{'inception-2015-12-05' if self.sha256 == SHA256 else 'inception'} {self.sha256[:16]}"


_NORM = ("weight", "bias", "running_mean", "running_var")


def fold(state: dict[str, np.ndarray], name: str | Path = "weights") -> dict:
    """The parameters of `Inception` from pytorch-fid's state dict, batch norm within the convolutions.

    Raises:
      InputError: if an array is missing, unknown, of another shape or not finite; it names the file.
    """
    image = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    shapes = jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]
    kernels = {
        ".".join(path[:-1]): x.shape for path, x in flatten_dict(shapes).items() if path[-1] == "kernel"
    }
    n_in, n_classes = kernels.pop("fc")
    expected = {"fc.weight": (n_classes, n_in), "fc.bias": (n_classes,)}
    for layer, (*size, n_in, n_out) in kernels.items():
        expected[f"{layer}.conv.weight"] = (n_out, n_in, *size)
        expected |= {f"{layer}.bn.{part}": (n_out,) for part in _NORM}
    advice = "give pytorch-fid's Inception, " + URL.rpartition("/")[2]
    for key, shape in expected.items():
        if key not in state:
            raise InputError(f"{name} has no {key}: {advice}")
        if state[key].shape != shape:
            raise InputError(f"{name}: {key} is {state[key].shape}, not {shape}: {advice}")
    unknown = [key for key in state if key not in expected and not key.endswith(".num_batches_tracked")]
    if unknown:
        raise InputError(f"{name} has {unknown[0]} as well: {advice}")

    params = {"fc.kernel": state["fc.weight"].T, "fc.bias": state["fc.bias"]}
    for layer in kernels:
        kernel = state[f"{layer}.conv.weight"].transpose(2, 3, 1, 0)
        scale, shift, mean, variance = (np.float64(state[f"{layer}.bn.{part}"]) for part in _NORM)
        if (variance < 0).any():
            raise InputError(f"{name}: {layer}.bn.running_var is below 0")
        scale = scale / np.sqrt(variance + 0.001)
        params |= {f"{layer}.kernel": kernel * scale, f"{layer}.bias": shift - mean * scale}
    for key, x in params.items():
        if not np.isfinite(x).all():
            raise InputError(f"{name}: {key} is not finite")
    return unflatten_dict({key: np.asarray(x, np.float32) for key, x in params.items()}, sep=".")


def _download() -> bytes:
    try:
        with urllib.request.urlopen(URL, timeout=60) as response:
            total = int(response.headers.get("Content-Length") or 0) or None
            with tqdm(desc="inception", total=total, unit="B", unit_scale=True, leave=False) as bar:
                parts = []
                while part := response.read(1 << 20):
                    parts.append(part)
                    bar.update(len(part))
    except (OSError, http.client.HTTPException) as e:
        raise InputError(
            f"the Inception weights cannot be had ({e}): fetch {URL} "
            "elsewhere and name the file in $JAXGAN_INCEPTION"
        ) from None
    return b"".join(parts)


def _published() -> tuple[Path, bytes]:
    path = cache.folder() / "inception" / URL.rpartition("/")[2]
    if path.is_file() and hashlib.sha256(content := path.read_bytes()).hexdigest() == SHA256:
        return path, content
    content = _download()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise InputError(f"{URL} is not the published file: its SHA-256 is {found}, not {SHA256}")
    cache.keep(path, content)
    return path, content


def load(path: str | Path | None = None) -> Weights:
    """The weights in a `.pth` file of pytorch-fid's names and shapes.

    Args:
      path: of the file; None is $JAXGAN_INCEPTION, or, where that is not set, the published file, which
        is downloaded once (96 MB) and must have `SHA256`. A file that is named may have another hash:
        it stands in `Weights.name`.

    Raises:
      InputError: if the file cannot be read or downloaded, or is not one of these weights.
    """
    path = path or os.environ.get("JAXGAN_INCEPTION")
    if not path:
        path, content = _published()
    else:
        try:
            content = Path(path).expanduser().read_bytes()
        except OSError as e:
            raise InputError(f"{path} cannot be read ({e.strerror})") from None
    state = torch_weights.read(content, path)
    return Weights(fold(state, path), hashlib.sha256(content).hexdigest())


@partial(jax.jit, static_argnames=("wanted", "resize"))
def _forward(params, images, wanted, resize):
    x = scaled(resized(images, resize), resize)
    found = Inception().apply({"params": params}, x)
    return [found[level] for level in wanted]


def features(images, weights: Weights, *, level: int | str = 2048, **options) -> np.ndarray:
    """One of the `levels`, f32[N, D]: D itself (2048 for the FID), or, with D = 1008, `logits` or
    `logits_unbiased` (for the Inception score)."""
    return levels(images, weights, (str(level),), **options)[0]


def levels(
    images, weights: Weights, wanted: tuple[str, ...], *, resize: str = "legacy", batch_size: int = 32
) -> list[np.ndarray]:
    """Features f32[N, D] of images uint8[N, H, W, C], of one grey channel or three (RGB), in one pass.

    Args:
      wanted: of `LEVELS`; the result has one array for each.
      resize: `legacy`, `tensorflow` or `clean`, as `resize.resized` tells.
      batch_size: how many images are in memory at 299x299; the features do not depend on it.

    Raises:
      InputError: if the images are of another type or shape or there is none, or a name is unknown.
    """
    for level in wanted:
        one_of("level", level, LEVELS)
    one_of("resize", resize, RESIZES)
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size}: it must be 1 or more")
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise InputError(f"images are uint8 in 0 to 255, not {images.dtype}: scale and round them first")
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise InputError(f"images are [N, H, W, C] with 1 or 3 channels, not {list(images.shape)}")
    batch_size = min(batch_size, len(images))
    params, parts = jax.device_put(weights.params), []
    # A GPU would round products to 10 bits.
    with (
        jax.default_matmul_precision("float32"),
        tqdm(desc="inception", total=len(images), unit="image", leave=False, delay=1, disable=None) as bar,
    ):
        for i in range(0, len(images), batch_size):
            batch = images[i : i + batch_size].repeat(3 // images.shape[3], 3)  # grey as three equal channels
            n = len(batch)
            batch = np.concatenate([batch, np.zeros((batch_size - n, *batch.shape[1:]), np.uint8)])
            parts.append([np.asarray(x)[:n] for x in _forward(params, batch, wanted, resize)])
            bar.update(n)
    return [np.concatenate(part) for part in zip(*parts, strict=True)]
