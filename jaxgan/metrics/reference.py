"""Real data, ready to be compared with, and generated images beside them."""

import hashlib
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import NamedTuple

import numpy as np

from jaxgan import cache
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.metrics.features import Features, usual
from jaxgan.metrics.frechet import Moments, frechet_distance, moments
from jaxgan.metrics.neighbours import yardstick

VERSION = 2  # of what is kept of a reference; part of the cached file's name


class Sample(NamedTuple):
    """Images with what is known of them."""

    image: np.ndarray  # uint8[N, S, S, C]
    label: np.ndarray | None  # i32[N]: of real images their own, of generated ones what was asked for
    features: np.ndarray  # [N, D]
    logits: np.ndarray | None  # f32[N, K], where the features are a classifier's

    def take(self, rows) -> "Sample":
        """The rows of an index or a slice."""
        return Sample(*(None if x is None else x[rows] for x in self))


@dataclass(frozen=True)
class Reference:
    """Real data, ready to be compared with."""

    data: Dataset
    train: Dataset  # what the generator has seen; another split, maybe
    features: Features
    moments: Moments
    floor: float  # the Frechet distance between two random halves of the data: what sampling alone costs
    std: float  # `spread` of the data: within the classes where the features tell these
    rows: Sample  # at most `pairs`, in a random order
    pairs: int  # real ones, and fakes, at most, where each is compared with each

    @cached_property
    def yardstick(self) -> tuple[np.ndarray, float] | None:
        """As `neighbours.yardstick`, of the training images."""
        return yardstick(self.train["image"])

    @property
    def tells_classes(self) -> bool:
        """Whether the features are of a classifier of the data's own classes."""
        return self.features.kind == "classifier"

    def seen(self, sample: Sample) -> np.ndarray:
        """The class that the classifier sees in each image, i64[N]; 0 where it tells none."""
        return sample.logits.argmax(1) if self.tells_classes else np.zeros(len(sample.image), int)


def spread(images, label) -> float:
    """The root mean square deviation of a pixel from its mean over the images of a class, in [0, 1]."""
    x = images.reshape(len(images), -1)
    squares = 0.0
    for c in np.unique(label):
        own = np.flatnonzero(label == c)
        parts = np.array_split(own, -(-len(own) // 1024))
        mean = sum(x[rows].sum(0, dtype=np.float64) for rows in parts) / len(own)
        squares += sum(np.square(x[rows] - mean).sum() for rows in parts)
    return float(np.sqrt(squares / x.size)) / 255


def _measure(features: Features, images, label) -> Sample:
    if images.dtype != np.uint8:
        raise InputError(f"images are uint8 in 0 to 255, not {images.dtype}: scale and round them first")
    rows, logits = features.of(images)
    if not np.isfinite(rows).all():
        bad = (~np.isfinite(rows)).any(1).sum()
        raise InputError(f"features of {bad} of {len(rows)} images are not finite ({features.name})")
    return Sample(images, label, rows, logits)


def _statistics(data: Dataset, features: Features, pairs: int) -> dict[str, np.ndarray]:
    """What a reference is made of, from the cache or put there."""
    key = hashlib.sha256(features.name.encode()).hexdigest()[:16]
    path = cache.folder() / "references" / f"{data.digest}-{key}-{pairs}-v{VERSION}.npz"
    if path.is_file():
        try:
            with np.load(BytesIO(path.read_bytes())) as kept:
                return dict(kept)
        except (ValueError, EOFError, zipfile.BadZipFile):
            path.unlink()  # cut short: make it anew
    real = _measure(features, data["image"], data.get("label"))
    order = np.random.default_rng(0).permutation(len(real.image))
    classes = data["label"] if features.kind == "classifier" and data.classes else np.zeros(len(order))
    mean, covariance = moments(real.features)
    index = order[:pairs]  # in an order that means nothing: a part of it is a sample too
    found = {
        "mean": mean,
        "covariance": covariance,
        "floor": frechet_distance(*(moments(real.features[half]) for half in np.array_split(order, 2))),
        "std": spread(data["image"], classes),
        "index": index,
        "features": real.features[index],
    }
    if real.logits is not None:
        found["logits"] = real.logits[index]
    content = BytesIO()
    np.savez(content, **found)
    cache.keep(path, content.getvalue())
    return found


def reference(
    data: Dataset, features: Features | None = None, *, train: Dataset | None = None, pairs: int = 5000
) -> Reference:
    """All of a data set as the reference; its statistics are made once and kept in the cache.

    Args:
      features: where it is compared; `features.usual` if not given.
      train: what the generator has seen, if that is not `data`.
      pairs: real ones, and fakes, at most, where each is compared with each.
    """
    train = data if train is None else train
    features = usual(train) if features is None else features
    kept = _statistics(data, features, pairs)
    index = kept["index"]
    label = None if data.get("label") is None else data["label"][index]
    return Reference(
        data=data,
        train=train,
        features=features,
        moments=Moments(kept["mean"], kept["covariance"]),
        floor=float(kept["floor"]),
        std=float(kept["std"]),
        rows=Sample(data["image"][index], label, kept["features"], kept.get("logits")),
        pairs=pairs,
    )


def measure(ref: Reference, images, label=None) -> Sample:
    """Images uint8[N, S, S, C] with the features that the reference is compared by.

    Raises:
      InputError: if the images are of another size or type than the reference's, or a feature is not finite.
    """
    size, expected = list(images.shape[1:]), list(ref.data["image"].shape[1:])
    if size != expected:
        raise InputError(f"the images are {size}, those of {ref.data.name} {expected}")
    return _measure(ref.features, images, label)


def short_name(data: Dataset) -> str:
    """A data set's name as part of a score's: `digits`, `fashion_mnist`, a folder's or a file's own."""
    kind, _, where = data.name.partition(":")
    name = where.partition("/")[0] if kind == "tfds" else where.rpartition("/")[2].partition(".")[0]
    return re.sub(r"\W+", "_", name or kind)
