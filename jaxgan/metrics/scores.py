"""Every metric as a score of generated images, with its interval and its protocol."""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from jaxgan.config import InputError, one_of
from jaxgan.data import Dataset
from jaxgan.data.sources import image_set
from jaxgan.metrics import classification_accuracy, judge, kid, manifold, ms_ssim, patch_swd, two_sample
from jaxgan.metrics.frechet import fid_infinity, frechet_distance, intra_class_distances, moments
from jaxgan.metrics.inception_score import inception_score
from jaxgan.metrics.neighbours import memorisation, nearest
from jaxgan.metrics.reference import Reference, Sample, measure, short_name, spread
from jaxgan.metrics.score import Protocol, Sampling, Score, intervals, protocol
from jaxgan.metrics.sharpness import laplacian_variance

PAIRS = -1
SPLITS = 10  # of the inception score
DRAWN = 1000  # real images behind a figure of their diversity, at most


class Metric(NamedTuple):
    """How a set of images is scored."""

    of: Callable  # (Reference, Sample) -> {name: figure}, or where `rows` does it, rows -> that
    about: str
    better: str  # which figures are
    needs: str = "features"  # or a classifier's logits, the asked label, classes if there are any, pixels
    real: str = "rows"  # which real images it is compared with: all, rows, as many, train, none
    most: int | None = None  # fakes that are looked at; PAIRS: as many as the reference's `pairs`
    cheap: bool = True  # enough for an interval
    named: bool = True  # after the features
    sees: bool = True  # whether it looks at the features, and is not of pixels or of a network of its own
    fewest: int | Callable = 1  # fakes that it takes, or (Reference, Sample) -> these
    fewest_real: int = 1  # rows of the reference, likewise
    by_rows: bool = False  # whether `of` makes a function of rows, for what is measured once for each fake
    version: int = 1  # of the definition here


def _fd(ref, fake):
    return {"fd": frechet_distance(moments(fake.features), ref.moments)}


def _fd_infinity(ref, fake):
    smallest = min(5000, len(fake.image) // 2)
    return {"fd_infinity": fid_infinity(fake.features, ref.moments, smallest=smallest)}


def _kd(ref, fake):
    return {"kd": kid.mmd2(ref.rows.features, fake.features)}


def _is(ref, fake):
    return {"is": inception_score(fake.logits, logits=True, splits=SPLITS)[0]}


def _precision_recall(ref, fake):
    both = manifold.precision_recall(ref.rows.features, fake.features)
    return dict(zip(("precision", "recall"), both, strict=True))


def _density_coverage(ref, fake):
    both = manifold.density_coverage(ref.rows.features, fake.features)
    return dict(zip(("density", "coverage"), both, strict=True))


def _two_sample(ref, fake):
    real = ref.rows.features[: len(fake.features)]
    return {"two_sample": two_sample.nearest_neighbour_accuracy(real, fake.features).overall}


def _intra_fd(ref, fake):
    apart = intra_class_distances(ref.rows.features, ref.rows.label, fake.features, fake.label)
    return {"intra_fd": float(np.mean(list(apart.values())))}


def _agreement(ref, fake):
    return {"agreement": float((ref.seen(fake) == fake.label).mean())}


def _cas(ref, fake):
    def fit(images, label):
        learned = judge.train(image_set("samples", images, label, ref.train.classes))
        return lambda real: judge.judge(learned, real)[0].argmax(1)

    score = classification_accuracy.classification_accuracy_score
    return {"cas": score(fit, fake.image, fake.label, ref.rows.image, ref.rows.label)}


def _memorisation(ref, fake):
    if ref.yardstick is None:
        raise InputError("most training images have a duplicate, so there is no yardstick")
    others, apart = ref.yardstick
    distances = nearest(fake.image, others)[1]
    return lambda rows: {"memorisation": memorisation(distances[rows], apart)}


def _diversity(ref, fake):
    if not ref.std > 1e-6:
        raise InputError("the real images do not differ")
    return {"diversity": spread(fake.image, ref.seen(fake)) / ref.std}


def _ms_ssim(ref, fake):
    seen = ref.seen(fake)
    several = np.bincount(seen)[seen] > 1  # one image of a class is no pair
    if not several.any():
        raise ValueError("no class has two images")
    alike = ms_ssim.class_ms_ssim(fake.image[several], seen[several])
    return {"ms_ssim": float(np.mean(list(alike.values())))}


def _swd(ref, fake):
    real = ref.rows.image[: len(fake.image)]
    scales = patch_swd.patch_sliced_wasserstein(jax.random.key(0), real, fake.image)
    return {"swd": float(np.mean(list(scales.values())))}


def _sharpness(ref, fake):
    real = laplacian_variance(ref.rows.image).mean()
    if not real > 0:
        raise InputError("the real images are flat")
    each = laplacian_variance(fake.image) / real
    return lambda rows: {"sharpness": float(each[rows].mean())}


def _each_class_twice(ref, fake) -> int:
    """So many labels as are asked for have each class twice."""
    share = np.bincount(ref.rows.label).astype(float) / len(ref.rows.label)
    share = share[share > 0]
    # Each class is below two in less than 1e-3 / K of all draws: by Poisson, exp(-m) (1 + m) of a mean m.
    mean = next(m for m in itertools.count(2) if math.exp(-m) * (1 + m) < 1e-3 / len(share))
    return math.ceil(mean / share.min())


def _one_class_twice(ref, fake) -> int:
    return (len(ref.train.classes) if ref.tells_classes else 1) + 1


METRICS = {
    "fd": Metric(_fd, "Frechet distance of the features", "lower", real="all", fewest=2, fewest_real=2),
    "fd_infinity": Metric(
        _fd_infinity,
        "the same, extrapolated to endless samples",
        "lower",
        real="all",
        cheap=False,
        fewest=4,
        fewest_real=2,
    ),
    "kd": Metric(
        _kd,
        "squared kernel distance of the features, without bias",
        "lower",
        most=PAIRS,
        fewest=2,
        fewest_real=2,
    ),
    "is": Metric(
        _is, "inception score of the classifier's logits", "higher", "logits", "none", fewest=SPLITS
    ),
    "precision_recall": Metric(
        _precision_recall,
        "fakes among the real, and real ones among the fakes",
        "higher",
        most=PAIRS,
        fewest=4,
        fewest_real=4,
    ),
    "density_coverage": Metric(
        _density_coverage,
        "how close to the real, and how many of these are near a fake",
        "higher",
        most=PAIRS,
        fewest_real=6,
    ),
    "two_sample": Metric(
        _two_sample,
        "a nearest neighbour tells real from fake",
        "nearer to 0.5",
        real="as many",
        most=PAIRS,
        fewest=2,
        fewest_real=2,
    ),
    "intra_fd": Metric(
        _intra_fd, "mean Frechet distance within a class", "lower", "label", fewest=_each_class_twice
    ),
    "agreement": Metric(
        _agreement, "the classifier sees the label asked for", "higher", "label", "none", named=False
    ),
    "cas": Metric(
        _cas,
        "a classifier of samples is right on the real",
        "higher",
        "label",
        cheap=False,
        named=False,
        sees=False,
        fewest=2,
    ),
    "memorisation": Metric(
        _memorisation,
        "nearest training image, over held-out ones' own; 0: copies",
        "nearer to 1",
        "pixels",
        "train",
        most=1000,
        named=False,
        sees=False,
        by_rows=True,
    ),
    "diversity": Metric(
        _diversity, "spread within a class, over the data's", "nearer to 1", "classes", "all", named=False
    ),
    "ms_ssim": Metric(
        _ms_ssim,
        "likeness of pairs within a class",
        "lower",
        "classes",
        "none",
        named=False,
        fewest=_one_class_twice,
    ),
    "swd": Metric(
        _swd,
        "sliced Wasserstein distance of patches",
        "lower",
        "pixels",
        "as many",
        most=PAIRS,
        cheap=False,
        named=False,
        sees=False,
    ),
    "sharpness": Metric(
        _sharpness,
        "variance of the Laplacian, over the real images' own; below 1: blurred",
        "nearer to 1",
        "pixels",
        named=False,
        sees=False,
        by_rows=True,
    ),
}
SHARES = "precision", "recall", "coverage", "two_sample", "agreement", "cas"
WITHIN = {
    **dict.fromkeys((*SHARES, "ms_ssim"), (0, 1)),
    **dict.fromkeys(
        ("fd", "density", "intra_fd", "memorisation", "diversity", "swd", "sharpness"), (0, None)
    ),
}  # `kd` and `fd_infinity` may be below 0


def within(base: str, fake: Sample) -> tuple[float | None, float | None]:
    """The least and the greatest that a figure can be; None: there is none."""
    return (1, fake.logits.shape[1]) if base == "is" else WITHIN.get(base, (None, None))


# On Inception's features alone.
PUBLISHED = {"fd": "fid", "fd_infinity": "fid_infinity", "kd": "kid", "is": "is"}


def name(metric: str, ref: Reference) -> str:
    """What a figure is called on a reference's features.

    A published name such as `fid` is of Inception's features alone; the Frechet distance on the classifier's
    is `fcd_` and the data set's name.
    """
    kind = ref.features.kind
    if kind == "inception" and metric in PUBLISHED:
        return PUBLISHED[metric]
    if kind == "classifier" and metric == "fd":
        return f"fcd_{short_name(ref.train)}"
    return f"{metric}_{kind}"


def distance(ref: Reference, images) -> float:
    """The Frechet distance of images uint8[N, S, S, C] to the reference: what a run is watched by."""
    return frechet_distance(moments(measure(ref, images).features), ref.moments)


def class_shares(ref: Reference, fake: Sample) -> dict[str, float] | None:
    """How often the classifier sees each class among the images; None without one of these classes."""
    if not ref.tells_classes:
        return None
    shares = np.bincount(ref.seen(fake), minlength=len(ref.train.classes)) / len(fake.image)
    return dict(zip(ref.train.classes, shares.round(4).tolist(), strict=True))


def diversity_of_real(ref: Reference, n: int, *, times: int = 10) -> list[float]:
    """The diversity of n real images drawn at random, each time anew: what it is for the data themselves."""
    rng, rows = np.random.default_rng(0), ref.rows
    drawn = [rows.take(rng.integers(len(rows.image), size=min(n, DRAWN))) for _ in range(times)]
    return [spread(x.image, ref.seen(x)) / ref.std for x in drawn]


USUAL = ("fd", "kd", "precision_recall", "density_coverage", "memorisation", "diversity", "agreement")


def possible(ref: Reference, *, conditional: bool) -> list[str]:
    """Those of `USUAL` that the data and the generator can have."""
    cannot = {
        "memorisation": ref.yardstick is None,
        "diversity": not ref.std > 1e-6,
        "agreement": not (conditional and ref.tells_classes),
    }
    return [metric for metric in USUAL if not cannot.get(metric)]


def usual(ref: Reference, *, conditional: bool) -> list[str]:
    """The metrics that every run ends with, of those that its data and generator can have."""
    pairs = ("kd", "precision_recall", "density_coverage")
    return [metric for metric in possible(ref, conditional=conditional) if metric not in pairs]


def check(metrics: Iterable[str], kind: str, data: Dataset, *, conditional: bool) -> None:
    """Raises InputError for the first metric that is unknown, or that there cannot be.

    Args:
      kind: of the features.
      data: the real images.
      conditional: whether the generated ones were asked for by label.
    """
    for wanted in metrics:
        one_of("--metrics", wanted, METRICS)
        needs = METRICS[wanted].needs
        if needs == "logits" and kind not in ("classifier", "inception"):
            raise InputError(f"{wanted} needs a classifier's logits: take --features classifier or inception")
        if needs == "label" and not conditional:
            raise InputError(f"{wanted} needs images asked for by label, of a conditional generator")
        if needs == "label" and data.get("label") is None:
            raise InputError(f"{wanted} needs a labelled reference; {data.name} has no labels")
        if wanted == "agreement" and kind != "classifier":
            raise InputError("agreement is with the classifier of the data: take --features classifier")


def evaluate(
    ref: Reference, fake: Sample, metrics: Iterable[str], sampling: Sampling, *, groups: int = 10
) -> tuple[list[Score], list[str]]:
    """Scores of generated images by some of `METRICS`.

    Args:
      fake: as `reference.measure` makes it.
      groups: of samples, left out in turn for the intervals (`score.intervals`); 0 takes none.

    Returns:
      The scores that can be taken; and for each metric that cannot, why, and how many samples would do.

    Raises:
      InputError: if a metric is unknown.
    """
    found, missed = [], []
    for wanted in tqdm(list(metrics), desc="scores", unit="metric", leave=False, delay=1, disable=None):
        one_of("--metrics", wanted, METRICS)
        try:
            check([wanted], ref.features.kind, ref.data, conditional=fake.label is not None)
            found += _taken(wanted, ref, fake, sampling, groups)
        except ValueError as e:
            missed.append(
                f"{wanted} is left out: {str(e).removeprefix(f'{wanted} ')}{_would_do(wanted, ref, fake)}"
            )
    return found, missed


def _would_do(wanted: str, ref: Reference, fake: Sample) -> str:
    """With how many samples a metric could be taken, if that is what is lacking."""
    metric = METRICS[wanted]
    if metric.fewest_real > len(ref.rows.image):
        return f"; it takes {metric.fewest_real} real images"
    if (
        metric.needs in ("label", "logits")
        and (fake.label if metric.needs == "label" else fake.logits) is None
    ):
        return ""
    fewest = metric.fewest(ref, fake) if callable(metric.fewest) else metric.fewest
    return f"; --n {fewest} would do" if len(fake.image) < fewest else ""


def _taken(wanted: str, ref: Reference, fake: Sample, sampling: Sampling, groups: int) -> list[Score]:
    """The scores of a metric."""
    metric = METRICS[wanted]
    most = ref.pairs if metric.most == PAIRS else metric.most
    if metric.real == "as many":
        most = min(most, len(ref.rows.image))
    part = fake.take(slice(most))
    n = len(part.image)
    of = metric.of(ref, part) if metric.by_rows else lambda rows: metric.of(ref, part.take(rows))
    figures = of(slice(None))
    if not np.isfinite(list(figures.values())).all():
        raise InputError(f"it is not finite for {n} samples")
    around = {}
    if metric.cheap and groups > 1 and n >= 4 * groups:
        bounds = {base: within(base, fake) for base in figures}
        with contextlib.suppress(ValueError):  # a group may lack what all of them have
            around = intervals(of, figures, n, groups=groups, bounds=bounds, shares=SHARES)
    around = {name: ends for name, ends in around.items() if np.isfinite(ends).all()}
    return [
        Score(value, around.get(base), _protocol(base, metric, ref, part, sampling))
        for base, value in figures.items()
    ]


def _protocol(base: str, metric: Metric, ref: Reference, fake: Sample, sampling: Sampling) -> Protocol:
    n = len(fake.image)
    features = ref.features.name
    if base == "cas":
        features = f"classifier v{judge.VERSION}, of five sixths of the samples"
    elif not metric.sees or (metric.needs == "classes" and not ref.tells_classes):
        features = "pixels"
    compared = {"train": ref.train, "none": None}.get(metric.real, ref.data)
    real = {
        "all": len(ref.data["image"]),
        "rows": len(ref.rows.image),
        "as many": min(n, len(ref.rows.image)),
        "train": len(ref.yardstick[0]) if metric.real == "train" else 0,
        "none": 0,
    }
    return protocol(
        sampling,
        metric=name(base, ref) if metric.named else base,
        better=metric.better,
        within=within(base, fake),
        version=metric.version,
        features=features,
        reference=compared,
        n_reference=real[metric.real],
        n_fake=n,
        quantised="uint8",
        examples=described(ref.data),
    )


def described(data: Dataset) -> str:
    """The images' size, and how they were made so."""
    size = "x".join(map(str, data["image"].shape[1:]))
    return ", ".join(filter(None, [size, data.resized]))
