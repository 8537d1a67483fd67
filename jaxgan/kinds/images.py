"""Images uint8[N, H, W, C], with labels where the set has them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxgan import plots, troubles
from jaxgan.config import Count, InputError, Natural, one_of
from jaxgan.data import Dataset, store
from jaxgan.data import load as read
from jaxgan.data.sources import KINDS
from jaxgan.kinds.kind import Judge, Kind, Made, Panel, Shares, taken
from jaxgan.metrics import features, scores
from jaxgan.metrics import judge as judges
from jaxgan.metrics.neighbours import nearest
from jaxgan.metrics.reference import Reference, measure, reference
from jaxgan.metrics.score import Sampling, Score
from jaxgan.troubles import Trouble

SCORED = 5000  # samples behind a score while training
MOST = 16  # classes in a grid
FEWEST = 4  # images that a score takes
JUDGED_BY = 50_000  # real images that scores compare with, of a set that is kept in a file
JUDGED = 2000  # samples behind the shares of classes in a report
SHOWN = 100  # samples in a report at most
PAIRS = 50  # samples beside their nearest training images there
PATHS, POINTS = 10, 8  # interpolations there, and the samples on each
CLASSES, EACH = 20, 10  # classes there at most, and samples of each


def load(cfg, data_dir: str | None) -> Dataset:
    """The set that a config names by `data`, `split`, `image_size` and `channels`."""
    data = read(
        cfg.data,
        image_size=cfg.image_size,
        channels=cfg.channels,
        split=cfg.split,
        data_dir=data_dir,
    )
    _check_images(data)
    found = {"channels": data["image"].shape[-1]}
    if getattr(cfg, "n_classes", 0) != 0 and getattr(cfg, "conditional", True):
        if not data.classes:
            raise InputError(f"{data.name} has no labels, and a conditional generator needs them")
        found["n_classes"] = len(data.classes)
    remarks = *data.remarks, *_counted(data)
    return dataclasses.replace(data, facts={**data.facts, **found}, remarks=remarks)


def _counted(data: Dataset) -> list[str]:
    """A line on how many images each class has."""
    if not data.classes:
        return []
    counts = np.bincount(data["label"], minlength=len(data.classes))
    each = [f"{name} {n}" for name, n in zip(data.classes, counts, strict=True)]
    more = f", ... {each[-1]}" if len(each) > MOST else ""
    return [f"{len(each)} classes: {', '.join(each[:MOST])}{more}"]


def named(
    spec: str, options, split: str | None, data_dir: str | None, like: Dataset | None = None
) -> Dataset:
    """A set that is scored without a run: its images in their own size, or in that of the set `like`.

    Raises:
      InputError: if it cannot be read.
    """
    tfds = spec.startswith("tfds:")
    split = split or ("train" if like is None or not tfds else "test")
    channels = None if like is None else like["image"].shape[-1]
    side = options.image_size if like is None else like["image"].shape[1]
    data = read(spec, image_size=side, channels=channels, split=split, data_dir=data_dir)
    _check_images(data)
    return dataclasses.replace(data, facts={**data.facts, "channels": data["image"].shape[-1]})


def ask(data: Dataset) -> dict[str, np.ndarray]:
    """A label of each class."""
    if "label" not in data.arrays:
        return {}
    n = len(data.classes) or int(data["label"].max()) + 1
    return {"label": np.arange(n, dtype=np.int32)}


def condition(facts, asked, value, n: int) -> np.ndarray:
    """Labels i32[n] of a class, or of n of them: text is a class's name, an integer its number.

    Raises:
      InputError: if one is none of the classes, or there are neither one nor n.
    """
    classes = tuple(facts.get("classes") or map(str, range(len(asked))))
    known = ", ".join(f"{i} {name!r}" for i, name in enumerate(classes[:MOST]))
    known += f", ... {len(classes) - 1} {classes[-1]!r}" if len(classes) > MOST else ""
    each = [value] if np.ndim(value) == 0 else list(value)
    if len(each) not in (1, n):
        raise InputError(f"there are {len(each)} labels for {n} samples; give one, or one each")
    label = []
    for one in each:
        number = one
        if isinstance(one, str):
            number = classes.index(one) if one in classes else None
        elif isinstance(one, bool | np.bool_) or not isinstance(one, int | np.integer):
            if not (hasattr(one, "dtype") and one.ndim == 0 and np.issubdtype(one.dtype, np.integer)):
                raise InputError(f"label {one!r} is neither a class's number nor its name: {known}")
        if number is None or not 0 <= int(number) < len(asked):
            raise InputError(f"label {one!r} is not one of the classes: {known}")
        label.append(int(number))
    return np.broadcast_to(np.array(label, np.int32), (n,))


def check(data: Dataset) -> None:
    """Raises InputError unless there is `image` uint8[N, H, W, C], and of each class one."""
    _check_images(data)
    if data.classes:
        counts = np.bincount(data["label"], minlength=len(data.classes))
        if empty := [name for name, n in zip(data.classes, counts, strict=True) if not n]:
            raise InputError(
                f"{data.name}: of {len(empty)} of {len(counts)} classes there is no image ({empty[0]})"
            )


def _check_images(data: Dataset) -> None:
    image = data.get("image")
    if image is None:
        raise InputError(f"{data.name} has no array 'image', but {', '.join(data.arrays)}")
    if image.dtype != np.uint8 or image.ndim != 4 or image.shape[3] not in (1, 3):
        what = f"{image.dtype}{list(image.shape)}"
        raise InputError(f"{data.name}: 'image' is {what}; pictures and scores take uint8[N, H, W, 1 or 3]")
    if len(image) < FEWEST:
        raise InputError(f"{data.name} has {len(image)} images; a score needs {FEWEST} or more")


def _samples(data: Dataset, made: Made) -> np.ndarray:
    """A grid, with a column a class where it was asked for classes."""
    return plots.grid(made.samples, min(len(ask(data)["label"]), MOST) if made.asked else 8)


def _neighbours(data: Dataset, made: Made, rows) -> np.ndarray:
    """Samples, each beside its nearest training image."""
    images = made.samples[:32]
    index, _ = nearest(images, data["image"])
    return plots.neighbours(images, data["image"][index])


def _write_png(path, made: Made, facts, columns) -> None:
    plots.picture(plots.grid(made.samples, columns)).save(path)


def _write_npz(path, made: Made, facts, columns) -> None:
    classes = {"classes": np.array(facts["classes"])} if made.asked and "classes" in facts else {}
    np.savez_compressed(path, image=made.samples, **(made.asked or {}), **classes)


@dataclass(frozen=True)
class Options:
    """Score a run's checkpoints, or other images beside the run's data. The metrics are"""

    metrics: tuple[str, ...] = ()  # of those above; the usual ones if not given
    features: tuple[str, ...] = ()
    """classifier (of the data's own labels), inception (its weights are downloaded once, or the file that
    $JAXGAN_INCEPTION names), raw, cells (8x8 mean pixels), projection, or a MODULE:FUNCTION of your own;
    classifier or, without labels, cells if not given"""
    features_file: Path | None = None
    """the classifier that all who compare share: read, or trained and written there if there is none"""
    image_size: Count | None = None
    """of two sets without a run: the side that both are resized to; the real images' own if not given"""
    pairs: Count = 5000  # real ones and samples, at most, where each is compared with each
    resize: Literal["legacy", "tensorflow", "clean"] = "legacy"
    """to Inception's size, as pytorch-fid, the original or clean-fid does"""
    groups: Natural = 10  # of samples, left out in turn for the intervals; 0: none


Options.__doc__ += "".join(
    f"\n\n{name}: {metric.about} ({metric.better} is better)" for name, metric in scores.METRICS.items()
)


class Part(NamedTuple):
    """The metrics that are taken on some features."""

    ref: Reference
    metrics: list[str]


def plan(
    train: Dataset, real: Dataset, options: Options, *, conditional: bool
) -> tuple[list[Part], list[str]]:
    """References and metrics that go together; what is not named after features is on the first alone.

    A classifier is trained only where a metric looks at it.

    Args:
      train: what the generator has seen.
      real: the reference's images.
      conditional: whether the samples will have labels.

    Returns:
      These, and why what is left out cannot be had.

    Raises:
      InputError: if a metric or a feature is unknown.
    """
    if options.groups == 1:
        raise InputError("--groups 1: an interval takes 2 or more groups; 0 takes none")
    for metric in options.metrics:
        one_of("--metrics", metric, scores.METRICS)
    for spec in options.features:
        if ":" not in spec:
            one_of("--features", spec, features.KINDS)
    wanted = options.metrics or scores.USUAL
    # The features of the first that can be had are what the rest, of pixels and labels, is seen by.
    specs = list(options.features or (["classifier"] if train.classes else ["cells"]))
    if not any(scores.METRICS[metric].sees for metric in wanted):
        specs = ["cells"]
    if options.features_file is not None and "classifier" not in specs:
        raise InputError(
            f"--features-file {options.features_file}: no metric looks at a classifier's features"
        )
    parts, missed = [], []
    for spec in specs:
        try:
            space = features.named(spec, train, options.resize, options.features_file)
            ref = reference(real, space, train=train, pairs=options.pairs)
        except InputError as e:
            if ":" in spec or spec == "classifier" and options.features_file is not None:
                raise
            missed.append(f"{spec} features are left out: {e}")
            continue
        own = [m for m in wanted if not parts or scores.METRICS[m].named]
        if not options.metrics:
            own = [m for m in own if m in scores.possible(ref, conditional=conditional)]
        if own:
            parts.append(Part(ref, own))
    return parts, missed


def _at_most(data: Dataset) -> Dataset:
    """The set itself, or of one that is kept in a file `JUDGED_BY` images at random: scores are of these."""
    if len(data["image"]) <= JUDGED_BY or not store.in_file(data["image"]):
        return data
    rows = np.sort(np.random.default_rng(0).permutation(len(data["image"]))[:JUDGED_BY])
    some = {
        name: store.take(x, rows, f"{JUDGED_BY} images of {data.name}") for name, x in data.arrays.items()
    }
    return dataclasses.replace(data, arrays=some)


def judge(
    data: Dataset,
    *,
    conditional: bool,
    options: Options | None = None,
    real: Dataset | None = None,
    n: int = SCORED,
) -> Judge:
    """Scores on a classifier's features, or cells where there are no labels; the usual ones while training.

    Args:
      conditional: whether samples are asked for by label.
      options: what to score instead.
      real: what to compare with, if not what was trained on.
      n: samples behind a score.
    """
    _check_images(data)
    data, real = _at_most(data), None if real is None else _at_most(real)
    if options is not None:
        side = data["image"].shape[1]
        if options.image_size not in (None, side):
            raise InputError(f"--image-size {options.image_size}: the run's images are of {side}")
        return _asked_for(data, options, data if real is None else real, n, conditional)
    if data.classes:
        right = judges.cached(data).accuracy
        print(f"judge of the classes: {right:.1%} right on held-out real images")
    ref = reference(data)
    watched = scores.name("fd", ref)

    known = []  # the samples that were measured last, and how

    def fake(made: Made):
        if not known or known[0] is not made:
            known[:] = made, measure(ref, made.samples, made.asked["label"] if conditional else None)
        return known[1]

    def watch(made: Made) -> dict[str, float]:
        return {watched: scores.distance(ref, made.samples)}

    def all_scores(made: Made, sampling: Sampling) -> list[Score]:
        found, missed = scores.evaluate(ref, fake(made), scores.usual(ref, conditional=conditional), sampling)
        return taken(found, missed)

    def remarks(made: Made, rows):
        shares = scores.class_shares(ref, fake(made))
        lines = [f"two halves of the data are {ref.floor:.2f} apart"]
        if shares:
            lines.append("classes " + "  ".join(f"{name} {share:.1%}" for name, share in shares.items()))
        return {"two_halves_of_the_data": ref.floor, "class_shares": shares}, lines

    def all_troubles(made: Made, rows, found: list[Score]) -> list[Trouble]:
        return wrong(ref, fake(made), rows, {score.name: score.value for score in found})

    return Judge(n, watch, all_scores, remarks, all_troubles)


def wrong(ref: Reference, fake, rows, values: dict[str, float]) -> list[Trouble]:
    """What D's figures, the scores and the classes of samples show."""
    # Twice what two halves of the data are apart is as near as any sampler comes.
    near = values.get(scores.name("fd", ref), np.inf) <= 2 * ref.floor
    found = troubles.of_steps(rows, settled=True if near else None)
    if "diversity" in values:
        found += troubles.of_diversity(values["diversity"], scores.diversity_of_real(ref, len(fake.image)))
    if ref.tells_classes:
        k = len(ref.train.classes)
        made, real = (np.bincount(ref.seen(x), minlength=k) / len(x.image) for x in (fake, ref.rows))
        found += troubles.of_shares(ref.train.classes, made, real, len(fake.image))
    if "memorisation" in values:
        found += troubles.of_memorisation(values["memorisation"])
    return found


def _asked_for(data: Dataset, options: Options, real: Dataset, n: int, conditional: bool) -> Judge:
    parts, left_out = plan(data, real, options, conditional=conditional)

    def all_scores(made: Made, sampling: Sampling) -> list[Score]:
        found, missed = [], list(left_out)
        for ref, metrics in parts:
            try:
                fake = measure(ref, made.samples, made.asked["label"] if conditional else None)
            except InputError as e:
                missed.append(f"{', '.join(metrics)} on {ref.features.kind} cannot be taken: {e}")
                continue
            these, lacking = scores.evaluate(ref, fake, metrics, sampling, groups=options.groups)
            found, missed = found + these, missed + lacking
        return taken(found, missed)

    return Judge(n, lambda made: {}, all_scores)


def panels(data: Dataset, generator, key, rows) -> list[Panel]:
    """Samples, their nearest training images, interpolations, and what a judge sees of the classes."""
    labelled, asked = bool(data.classes), generator.asked is not None
    n = JUDGED if labelled else SHOWN
    images = generator.made(key, n, generator.drawn(data, n)).samples
    near = data["image"][nearest(images[:PAIRS], data["image"])[0]]
    pairs = np.stack([images[: len(near)], near], 1).reshape(-1, *near.shape[1:])
    paths = generator.decoded(generator.interpolate(key, PATHS, POINTS))
    title = "Samples, each with its nearest training image"
    found = [
        Panel("Samples", plots.Tiles(images[:SHOWN], title="Samples"), "As they were drawn, none left out."),
        Panel(
            "Nearest training images",
            plots.Tiles(pairs, close=2, title=title),
            "At the right of each sample the training image nearest to it, by Euclidean distance of pixels.",
        ),
        Panel(
            "Interpolations",
            plots.Tiles(paths, POINTS, close=POINTS, title="Interpolations"),
            f"Each row is a path between two latents{', one class a path' if asked else ''}.",
        ),
    ]
    return found + (_classes(data, generator, images, key) if labelled else [])


def _classes(data: Dataset, generator, images, key) -> list[Panel]:
    names, asked = tuple(generator.facts["classes"]), generator.asked is not None
    of = judges.cached(_at_most(data))
    seen = judges.judge(of, images)[0].argmax(1)
    shown = min(CLASSES, len(names))
    if asked:
        label = np.arange(EACH * shown, dtype=np.int32) % shown
        grid = list(generator.made(key, len(label), {"label": label}).samples)
        title = "Classes, as asked for"
        text = "Each column has the samples of a label that the generator was asked for."
    else:
        each = [images[seen == c] for c in range(shown)]
        empty = plots.empty(images.shape[1:])
        grid = [each[c][r] if r < len(each[c]) else empty for r in range(EACH) for c in range(shown)]
        title = "Classes, as a judge sees them"
        text = (
            "The generator takes no label: a column has the samples that a judge, a classifier of the "
            "data's labels, sees as the class. Where it found fewer, cells stay empty."
        )
    if shown < len(names):
        text += f" The first {shown} of {len(names)} classes."
    fake, real = (np.bincount(x, minlength=len(names)) / len(x) for x in (seen, data["label"]))
    right = f"Of {JUDGED:,} samples, by a judge that is right on {of.accuracy:.1%} of held-out real images."
    tiles = plots.Tiles(grid, shown, EACH, names=names[:shown], title=title)
    return [
        Panel("Classes", tiles, text, half=False),
        Panel("Shares of classes", Shares(names, fake, real), right, half=False),
    ]


images = Kind(
    load=load,
    judge=judge,
    show=_samples,
    write={".png": _write_png, ".npz": _write_npz},
    finals={"neighbours": _neighbours},
    panels=panels,
    decode=plots.to_uint8,
    ask=ask,
    condition=condition,
    check=check,
    options=Options,
    unit="images",
    read=named,
    specs=tuple(spec.partition(":")[0] for spec in KINDS),
)
