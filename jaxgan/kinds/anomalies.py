"""Images of normal classes, of which a generator learns, and others beside, which it is to tell from them."""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import anomaly, plots
from jaxgan.config import InputError
from jaxgan.data import Dataset, one_class
from jaxgan.kinds import images as of_images
from jaxgan.kinds.kind import Judge, Kind, Made, Panel
from jaxgan.metrics import detection, scores
from jaxgan.metrics.score import Sampling, Score, protocol

SAMPLES = 64  # a score takes none of them, but for what is shown
SHOWN = 8  # heat maps of either sort
WATCHED = "misordered_validation"  # what is to fall: the share of pairs that are in the wrong order


def load(cfg, data_dir: str | None) -> Dataset:
    """The set that a config names by `data`, `split`, `image_size` and `channels`, of which the classes
    `normal` are trained on, but for `held_out`."""
    return one_class.split(of_images.load(cfg, data_dir), cfg.normal, cfg.held_out)


def check(data: Dataset) -> None:
    """Raises InputError unless there is `image` uint8[N, H, W, C], and both sorts are held out."""
    of_images.check(data)
    if data.held_out is None or not {"image", "anomalous", "test"} <= data.held_out.arrays.keys():
        raise InputError(f"{data.name}: no normal and anomalous images are held out to be told apart")


class Half(NamedTuple):
    """Held-out images: those for choosing by, or those of the test."""

    image: np.ndarray  # uint8[N, H, W, C]
    anomalous: np.ndarray  # bool[N]

    def sides(self, score) -> tuple[np.ndarray, np.ndarray]:
        """The scores [N] of the normal and of the anomalous."""
        return score[~self.anomalous], score[self.anomalous]

    def auc(self, score) -> float:
        """By scores [N]."""
        return detection.auc(*self.sides(score))


def halves(data: Dataset) -> tuple[Half, Half]:
    """What choices are made by, and what is scored by once they are."""
    held, test = data.held_out, data.held_out["test"] > 0
    return tuple(Half(held["image"][rows], held["anomalous"][rows] > 0) for rows in (~test, test))


class Baselines(NamedTuple):
    """Scores of the test's images, f64[N], by what takes no generator."""

    class_mean: np.ndarray
    pca: np.ndarray
    components: int  # of PCA, as many as were best on the images for choosing by


@cache
def baselines(data: Dataset) -> Baselines:
    """Those of a set."""
    train = detection.flat(data["image"])
    validation, test = halves(data)
    by_k = detection.from_components(train, detection.flat(validation.image))
    k = max(by_k, key=lambda k: validation.auc(by_k[k]))
    seen = detection.flat(test.image)
    return Baselines(detection.from_mean(train, seen), detection.from_components(train, seen, [k])[k], k)


def _examined(made: Made, images, seed: int = 0, *more) -> anomaly.Examined:
    if made.examine is None:
        raise InputError("anomalies are told by a run's own generator: images alone have no score")
    return anomaly.examined(made.examine, images, jax.random.key(seed), *more)


def judge(
    data: Dataset,
    *,
    conditional: bool = False,
    options=None,
    real: Dataset | None = None,
    n: int | None = None,
) -> Judge:
    """AUCs of held-out images: those for choosing by are watched, those of the test are scored at the end."""
    check(data)
    validation, test = halves(data)

    def watch(made: Made) -> dict[str, float]:
        return {WATCHED: 1 - validation.auc(_examined(made, validation.image).score)}

    def all_scores(made: Made, sampling: Sampling) -> list[Score]:
        chosen = validation.auc(_examined(made, validation.image, sampling.seed).score)
        own = _examined(made, test.image, sampling.seed).score
        control = _examined(made, test.image, sampling.seed, jnp.bool_(True)).score
        plain = baselines(data)
        by = {
            "auc": (own, "of the run"),
            "auc_class_mean": (plain.class_mean, "the distance from the mean of the images trained on"),
            "auc_pca": (plain.pca, f"what {plain.components} principal components of these leave"),
            "auc_untrained": (control, "as the run's, but G is as before its first step"),
        }
        of = "as the run examines images"
        found = [
            _score(sampling, data, validation, WATCHED, 1 - chosen, "lower", of),
            _score(sampling, data, validation, "auc_validation", chosen, "higher", of),
        ]
        for name, (score, told) in by.items():
            around = detection.auc_interval(*test.sides(score))
            told = of if name == "auc" else told
            found.append(_score(sampling, data, test, name, test.auc(score), "higher", told, around))
        return found

    def remarks(made: Made, rows):
        k = baselines(data).components
        return {"components_of_pca": k}, [f"auc_pca is of {k} components, the best on the validation images"]

    return Judge(n or SAMPLES, watch, all_scores, remarks)


def _score(sampling, data, half: Half, name, value, better, told, around=None) -> Score:
    to = protocol(
        sampling,
        metric=name,
        better=better,
        within=(0, 1),
        features=told,
        reference=data.held_out,
        n_reference=len(half.image),
        n_fake=len(half.image),  # one is found for each
        quantised="uint8",
        examples=scores.described(data.held_out),
    )
    return Score(value, around, to)


def _sorts(half: Half, most: int) -> list[np.ndarray]:
    """The first rows of the normal and of the anomalous images."""
    return [np.flatnonzero(of)[:most] for of in (~half.anomalous, half.anomalous)]


def _heat_maps(data: Dataset, made: Made, rows) -> np.ndarray | None:
    """Images, normal ones and then anomalous, each above what was found for it and their difference."""
    if made.examine is None:
        return None
    validation, _ = halves(data)
    index = np.concatenate(_sorts(validation, SHOWN))
    image = validation.image[index]
    tiles = plots.heat_maps(image, _examined(made, image).reconstruction).swapaxes(0, 1)
    return plots.grid(tiles.reshape(-1, *tiles.shape[2:]), len(index))


def _roc(half: Half, by: dict[str, np.ndarray], axis) -> None:
    """The share of anomalous images found over that of normal ones taken for them, by several scores."""
    for name, score in by.items():
        normal, anomalous = half.sides(score)
        at = np.concatenate([[np.inf], np.unique(score)[::-1]])
        x, y = ([float((side >= t).mean()) for t in at] for side in (normal, anomalous))
        axis.plot(x, y, label=f"{name} {half.auc(score):.3f}")
    axis.plot([0, 1], [0, 1], "0.7", linewidth=1)
    axis.set(xlabel="normal images taken for anomalous", ylabel="anomalous images found")
    axis.legend(loc="lower right", fontsize=8)


def _histogram(half: Half, score: np.ndarray, axis) -> None:
    bins = np.linspace(score.min(), np.percentile(score, 99), 31)
    for name, side in zip(("normal", "anomalous"), half.sides(score), strict=True):
        axis.hist(np.minimum(side, bins[-1]), bins, alpha=0.6, label=name)
    axis.set(xlabel="score; the largest in the last bar", ylabel="images")
    axis.legend(fontsize=8)


def panels(data: Dataset, generator, key, rows) -> list[Panel]:
    """Samples, heat maps of both sorts, and how the test's images are told apart."""
    made = generator.made(key, SAMPLES, None)
    _, test = halves(data)
    found, plain = _examined(made, test.image), baselines(data)
    shown = [Panel("Samples", plots.Tiles(made.samples, title="Samples"), "As they were drawn.")]
    for name, rows_of in zip(("Normal", "Anomalous"), _sorts(test, SHOWN), strict=True):
        tiles = plots.heat_maps(test.image[rows_of], found.reconstruction[rows_of])
        tiles = tiles.reshape(-1, *tiles.shape[2:])
        title = f"{name} images"
        text = f"{name} images of the test, each with what was found for it and where the two differ."
        shown.append(Panel(title, plots.Tiles(tiles, close=3, title=title), text))
    by = {"the run": found.score, "class mean": plain.class_mean, f"PCA {plain.components}": plain.pca}
    text = "Of the test's images; beside a name its AUC."
    shown += [
        Panel("Receiver operating characteristic", partial(_roc, test, by), text),
        Panel("Scores", partial(_histogram, test, found.score), "Of the test's images."),
    ]
    return shown


anomalies = Kind(
    load=load,
    judge=judge,
    show=lambda data, made: plots.grid(made.samples, 8),
    write=of_images.images.write,
    finals={"heat_maps": _heat_maps},
    panels=panels,
    decode=plots.to_uint8,
    check=check,
    unit="images",
)
