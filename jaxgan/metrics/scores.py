"""The scores of a set of generated images, each with its protocol."""

from typing import NamedTuple

import numpy as np

from jaxgan.data.sources import Dataset
from jaxgan.metrics import judge as judges
from jaxgan.metrics.frechet import frechet_distance, moments


class Reference(NamedTuple):
    """Real data, ready to be compared with."""

    data: Dataset
    judge: judges.Judge | None  # None where the data has no labels
    moments: tuple[np.ndarray, np.ndarray]
    floor: float  # the distance between two random halves of the data: what sampling alone costs
    std: float  # of a pixel among the images of a class, in [0, 1]

    @property
    def metric(self) -> str:
        """The name of the Frechet distance on this reference's features."""
        return "fd_pixels" if self.judge is None else "fcd"


def _pixels(images) -> np.ndarray:
    """Images uint8[N, S, S, C] averaged over at most 8x8 cells, f64[N, cells * C] in [0, 1]."""
    n, size, _, c = images.shape
    edges = np.linspace(0, size, min(size, 8) + 1).astype(int)
    x = np.add.reduceat(np.add.reduceat(images / 255.0, edges[:-1], 1), edges[:-1], 2)
    return (x / np.outer(np.diff(edges), np.diff(edges))[:, :, None]).reshape(n, -1)


def _std(images, label) -> float:
    """The root mean square deviation of a pixel from its mean over the images of a class, in [0, 1]."""
    x = images.reshape(len(images), -1)
    squares = 0.0
    for c in np.unique(label):
        own = x[label == c]
        mean = own.mean(0)
        squares += sum(np.square(part - mean).sum() for part in np.array_split(own, -(-len(own) // 1024)))
    return float(np.sqrt(squares / x.size)) / 255


def _diversity(ref: Reference, images, label) -> float | None:
    return _std(images, label) / ref.std if ref.std > 1e-6 else None


def reference(data: Dataset) -> Reference:
    """All of a data set as the reference; its judge is trained if it is not in the cache."""
    judge = None if data.label is None else judges.cached(data)
    features = _pixels(data.image) if judge is None else judges.judge(judge, data.image)[1]
    halves = np.array_split(np.random.default_rng(0).permutation(len(features)), 2)
    floor = frechet_distance(*(moments(features[half]) for half in halves))
    label = np.zeros(len(features)) if judge is None else data.label
    return Reference(data, judge, moments(features), floor, _std(data.image, label))


def evaluate(ref: Reference, images, label=None) -> dict:
    """Scores of images uint8[N, H, W, C], asked for with label i32[N] if the generator takes one.

    Returns:
      The Frechet distance under `ref.metric`; `diversity`, the standard deviation of a pixel among the
      images of a class (as judged; without a judge, of all), over that of the data: 0 if a class is one
      image, 1 if they differ as the data do, or are noisy, None if the data do not. With a judge also
      `class_shares` (of each class among the images) and `agreement` (how often it sees the label that
      was asked for).
    """
    if ref.judge is None:
        distance = frechet_distance(moments(_pixels(images)), ref.moments)
        return {ref.metric: distance, "diversity": _diversity(ref, images, np.zeros(len(images)))}
    logits, features = judges.judge(ref.judge, images)
    seen = logits.argmax(1)
    shares = np.bincount(seen, minlength=ref.judge.n_classes) / len(seen)
    scores = {
        ref.metric: frechet_distance(moments(features), ref.moments),
        "diversity": _diversity(ref, images, seen),
        "class_shares": dict(zip(ref.data.classes, shares.round(4).tolist(), strict=True)),
    }
    if label is not None:
        scores["agreement"] = float((seen == label).mean())
    return scores


def protocol(ref: Reference, *, step: int, n_fake: int, ema: bool, seed: int) -> dict:
    """What has to be the same for two scores to be compared."""
    features = "mean pixels of 8x8 cells" if ref.judge is None else ref.judge.name
    held_out = {} if ref.judge is None else {"judge_accuracy": round(ref.judge.accuracy, 4)}
    return {
        "features": features,
        **held_out,
        "reference": ref.data.name,
        "reference_digest": ref.data.digest,
        "n_reference": len(ref.data.image),
        "two_halves_of_reference": ref.floor,
        "n_fake": n_fake,
        "step": step,
        "generator": "EMA" if ema else "live",
        "batch_norm": "running statistics",
        "quantised": "uint8",
        "seed": seed,
    }
