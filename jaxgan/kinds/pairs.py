"""Pairs of images: a generator is given `input` and answers with an image, whose truth is known."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from PIL import Image

from jaxgan import plots
from jaxgan.config import InputError
from jaxgan.data import Dataset, shapes
from jaxgan.data import pairs as read
from jaxgan.kinds.kind import Judge, Kind, Made, NoOptions, Panel, taken
from jaxgan.metrics import judge as judges
from jaxgan.metrics import scores, segmentation, upscaling
from jaxgan.metrics.full_reference import detail_ratio, l1, psnr, ssim
from jaxgan.metrics.reference import measure, reference
from jaxgan.metrics.score import Sampling, Score, intervals, protocol

ASKED = 64  # held-out pairs that a run is shown by
AGAIN = 100  # inputs that are answered twice for a score, at most
STYLES = 8  # on a way from one to another
UNIFORM = 8  # answers to a map of each label alone
GROUPS = 10  # of pairs, left out in turn for the intervals
CLOSE = {
    "l1": ("lower", (0, 1)),
    "psnr": ("higher", (0, None)),
    "ssim": ("higher", (0, 1)),
    "psnr_hole": ("higher", (0, None)),
}
OF_PAIR = {"l1": l1, "psnr": psnr, "ssim": ssim}


def load(cfg, data_dir: str | None) -> Dataset:
    """The pairs that a config names by `data`, `task`, `image_size`, `channels`, `backwards`, `arrays`,
    `held_out` and `split`, and of a method that takes label maps `labels` and `boundaries`."""
    data = read.load(
        cfg.data,
        task=cfg.task,
        image_size=cfg.image_size,
        channels=cfg.channels,
        backwards=getattr(cfg, "backwards", False),
        arrays=cfg.arrays,
        held_out=cfg.held_out,
        split=cfg.split,
        data_dir=data_dir,
        labels=getattr(cfg, "labels", None),
        instances=getattr(cfg, "boundaries", None),
    )
    check(data)
    return data


def check(data: Dataset) -> None:
    """Raises InputError unless there are `input` and `image` uint8[N, H, W, C], some of them held out."""
    for name, channels in (("input", (1, 2, 3, 4)), ("image", (1, 3))):
        x = data.get(name)
        if x is None:
            raise InputError(f"{data.name} has no array {name!r}, but {', '.join(data.arrays)}")
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in channels:
            known = " or ".join(map(str, channels))
            raise InputError(
                f"{data.name}: {name!r} is {x.dtype}{list(x.shape)}; not uint8[N, H, W, {known}]"
            )
    if data.held_out is None:
        raise InputError(f"{data.name}: no pairs are held out, by which a generator could be scored")


def ask(data: Dataset) -> dict[str, np.ndarray]:
    """Held-out inputs, and their truths."""
    of = data if data.held_out is None else data.held_out
    return {name: of[name][:ASKED] for name in ("input", "image")} | (
        {"label": of["label"][:ASKED]} if "label" in of.arrays else {}
    )


def _seen_twice(data: Dataset) -> tuple[int, int]:
    """(held-out inputs, those of them that are answered twice for a score)."""
    n = len(data.held_out["image"])
    return n, min(AGAIN, n)


def by_rule(data: Dataset) -> bool:
    """Whether what an image shows of its label map is read from it by an exact rule."""
    return data.facts.get("images") == "shapes" and "labels" in data.facts


def exam(data: Dataset, n: int) -> dict[str, np.ndarray]:
    """What n answers are asked for: the held-out inputs in turn, and where they are label maps that can be
    read back, after those that are answered twice maps of one label alone, whose `image` means nothing."""
    of = data if data.held_out is None else data.held_out
    held = {name: of[name] for name in ask(data)}
    size = len(of["image"])
    rows = np.arange(n) % size
    asked = {name: x[rows] for name, x in held.items()}
    if by_rule(data) and data.held_out is not None and (more := n - sum(_seen_twice(data))) > 0:
        number = np.arange(more) % data.facts["labels"]
        uniform = np.zeros_like(asked["input"][-more:])
        uniform[..., 0] = number[:, None, None]
        asked["input"][-more:] = uniform
    return asked


def hole(given: np.ndarray, images: np.ndarray) -> np.ndarray | None:
    """Where images uint8[N, H, W, C] are to be filled in, bool[N, H, W, 1]: the channel that what is given
    has more than they, if it has, as of the task `hole`."""
    if given.shape != (*images.shape[:3], images.shape[3] + 1):
        return None
    return given[..., -1:] > 127


def mean_image(images: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The mean of images uint8[N, H, W, C], as an answer to each of others."""
    return np.broadcast_to(images.mean(0).round().astype(np.uint8), like.shape)


def figures(fake: np.ndarray, real: np.ndarray, again: np.ndarray | None = None) -> dict[str, float]:
    """How much detail images uint8[N, H, W, C] have beside their truths, and how far apart two answers to one
    input are (`variety`).

    Args:
      again: other answers to the first inputs.
    """
    found = {"detail": detail_ratio(fake, real)}
    if again is not None:
        found["variety"] = float(l1(again, fake[: len(again)]).mean())
    return found


def of_each(each: dict[str, np.ndarray], close: dict, sampling: Sampling, held: Dataset) -> list[Score]:
    """The means of figures that each answer has, with their intervals.

    Args:
      each: [n] by name.
      close: (better, within) by name.
      held: what they are beside.
    """
    mean = lambda rows: {name: float(x[rows].mean()) for name, x in each.items()}  # noqa: E731
    value, n = mean(slice(None)), len(next(iter(each.values())))
    bounds = {name: within for name, (_, within) in close.items()}
    around = intervals(mean, value, n, groups=GROUPS, bounds=bounds) if n >= 4 * GROUPS else {}
    found = []
    for name in each:
        better, within = close[name]
        to = _by(sampling, held, n)(metric=name, better=better, within=within, features="levels in [0, 1]")
        found.append(Score(value[name], around.get(name), to))
    return found


def _by(sampling: Sampling, held: Dataset, n: int):
    rest = {"quantised": "uint8", "examples": scores.described(held) if "image" in held.arrays else ""}
    return partial(protocol, sampling, reference=held, n_reference=n, n_fake=n, **rest)


def judge(
    data: Dataset,
    *,
    conditional: bool = True,
    options=None,
    real: Dataset | None = None,
    n: int | None = None,
) -> Judge:
    """Scores of answers to held-out inputs: beside their truths, and as a set beside the images trained on.

    Args:
      real: other pairs to compare with.
      n: answers, at most; to all held-out inputs, and to some of them twice, if not given.
    """
    check(data)
    held = data.held_out if real is None else real
    size, twice = _seen_twice(data)
    labels = data.facts.get("labels")
    most = size + twice + (UNIFORM * labels if by_rule(data) else 0)
    n = most if n is None else min(n, most)
    own = {name: data[name] for name in ("image", "label") if name in data.arrays}
    answers = Dataset(data.facts.get("images", data.name), own, data.facts, resized=data.resized)
    right = None
    if data.classes:
        right = judges.cached(answers)
        seen = judges.judge(right, held["image"])[0].argmax(1)
        kept = float((seen == held["label"]).mean())
        print(f"judge of the classes: right on {kept:.1%} of the held-out images")
    ref = reference(answers)
    fd = scores.name("fd", ref)
    first = min(n, size)

    def holes(given, images):
        return None if labels else hole(given, images)

    def shown(made: Made, sampling: Sampling) -> list[Score]:
        """What of label maps is seen in the answers to them."""
        same = _by(sampling, held, first)
        of = "the drawings' colours, pixel by pixel"
        counts = segmentation.confusion(
            np.asarray(shapes.segmented(made.samples[:first] / np.float32(255))),
            made.asked["input"][:first, ..., 0],
            labels,
        )
        of_rows = lambda rows: {  # noqa: E731
            "miou": segmentation.mean_iou(counts[rows]),
            "pixels": segmentation.accuracy(counts[rows]),
        }
        value = of_rows(slice(None))
        bounds = dict.fromkeys(value, (0, 1))
        around = intervals(of_rows, value, first, groups=GROUPS, bounds=bounds) if first >= 4 * GROUPS else {}
        found = [
            Score(x, around.get(name), same(metric=name, better="higher", within=(0, 1), features=of))
            for name, x in value.items()
        ]
        if len(uniform := made.samples[size + twice :]):
            wanted = made.asked["input"][size + twice :, ..., 0]
            seen = np.asarray(shapes.segmented(uniform / np.float32(255)))
            to = protocol(
                sampling, metric="uniform", better="higher", within=(0, 1), features=of, n_fake=len(uniform),
                quantised="uint8", examples="maps of one label alone",
            )  # fmt: skip
            found.append(Score(float((seen == wanted).mean()), None, to))
        return found

    def watch(made: Made) -> dict[str, float]:
        fake, truth = made.samples[:first], made.asked["image"][:first]
        return {fd: scores.distance(ref, fake), "l1": float(l1(fake, truth).mean())}

    def all_scores(made: Made, sampling: Sampling) -> list[Score]:
        images, truth = made.samples[:first], made.asked["image"][:first]
        label = made.asked.get("label")
        fake = measure(ref, images, None if label is None else label[:first])
        wanted = ["fd", *(["agreement"] if right is not None and label is not None else [])]
        found, missed = scores.evaluate(ref, fake, wanted, sampling)
        each = {name: of(images, truth) for name, of in OF_PAIR.items()}
        found += of_each(each, CLOSE, sampling, held)
        if by_rule(data):
            found += shown(made, sampling)
        inside = holes(made.asked["input"][:first], truth)
        if inside is not None and (rows := inside.any((1, 2, 3))).any():
            each = {"psnr_hole": psnr(images[rows], truth[rows], inside[rows])}
            found += of_each(each, CLOSE, sampling, held)
        again = made.samples[first : size + twice] if len(made.samples) > first else None
        of = {"detail": "what a Gaussian of 1 pixel takes away, its energy over the truths'",
              "variety": "l1 between two answers to one input"}  # fmt: skip
        better = {"detail": "nearer to 1", "variety": "higher"}
        for name, x in figures(images, truth, again).items():
            to = _by(sampling, held, first)(
                metric=name, better=better[name], within=(0, None), features=of[name]
            )
            found.append(Score(x, None, to))
        return taken(found, missed)

    def remarks(made: Made, rows):
        mean = mean_image(data["image"], held["image"])
        facts = {"l1_of_the_mean_image": float(l1(mean, held["image"]).mean())}
        lines = [f"the mean image has l1 {facts['l1_of_the_mean_image']:.4f}"]
        inside = holes(held["input"], held["image"])
        if inside is not None and inside.any():
            facts["psnr_hole_of_the_mean_image"] = float(np.nanmean(psnr(mean, held["image"], inside)))
            lines.append(f"filled by the mean image, psnr_hole {facts['psnr_hole_of_the_mean_image']:.2f} dB")
        if upscaling.factor(held["input"], held["image"]) and not labels:
            side = held["image"].shape[1:3]
            fitted = upscaling.linear(data["input"], data["image"], held["input"])
            found = {"bicubic": upscaling.bicubic(held["input"], side), "the best linear map": fitted}
            for name, made in found.items():
                if made is None:
                    lines.append(
                        f"{name} is left out: of images so large it has over {upscaling.MOST} weights"
                    )
                    continue
                of = {"psnr": float(psnr(made, held["image"]).mean()), fd: scores.distance(ref, made)}
                facts |= {f"{k}_of_{name.replace(' ', '_')}": x for k, x in of.items()}
                lines.append(f"{name} has psnr {of['psnr']:.2f} dB, {fd} {of[fd]:.4g}")
        if held["input"].shape == held["image"].shape and not labels:
            facts["l1_of_the_input"] = float(l1(held["input"], held["image"]).mean())
            lines.append(f"the input itself has l1 {facts['l1_of_the_input']:.4f}")
        return facts, lines

    return Judge(n, watch, all_scores, remarks)


def seen(images: np.ndarray, side: tuple[int, int], labels: int | None = None) -> np.ndarray:
    """Images uint8[N, h, w, c] as colours of another size, uint8[N, H, W, 3]: a mask, their 2nd or 4th
    channel, is left out. Of label maps each label has its colour, and instances are left out."""
    images = images if labels is None else plots.label_colours(labels)[images[..., 0]]
    images = images[..., : {2: 1, 4: 3}.get(images.shape[3], images.shape[3])]
    images = np.repeat(images, 3 // images.shape[3], 3)
    if images.shape[1:3] == side:
        return images
    return np.stack([np.asarray(Image.fromarray(x).resize(side[::-1], Image.NEAREST)) for x in images])


def _shown(data: Dataset, made: Made) -> np.ndarray:
    """A column an input: the input, one answer or more, the truth."""
    side, labels = made.samples.shape[1:3], data.facts.get("labels")
    given = made.asked["input"]
    columns = len(np.unique(given.reshape(len(given), -1), axis=0)) if len(given) > 1 else 1
    columns = columns if len(given) % columns == 0 else len(given)
    rows = [seen(given[:columns], side, labels), seen(made.samples, side)]
    if "image" in made.asked:
        rows.append(seen(made.asked["image"][:columns], side))
    return plots.grid(np.concatenate(rows), columns)


def _panels(data: Dataset, generator, key, rows) -> list[Panel]:
    asked = ask(data)
    n = min(12, len(asked["input"]))
    several = {name: np.tile(x[:n], (4, *(1,) * (x.ndim - 1))) for name, x in asked.items()}
    made = generator.made(key, 4 * n, several)
    side = made.samples.shape[1:3]
    given = seen(asked["input"][:n], side, data.facts.get("labels"))
    tiles = np.concatenate([given, *(seen(x, side) for x in (made.samples[:n], asked["image"][:n]))])
    variants = np.concatenate([given, seen(made.samples, side)])
    return [
        Panel("Answers", plots.Tiles(tiles, n, title="Answers"),
              "The input, the generator's answer to it, and the truth; of held-out pairs.", half=False),
        Panel("Variants", plots.Tiles(variants, n, title="Variants"),
              "The input, and four answers to it by other noise.", half=False),
        *_styles(generator, key, asked["input"][:4], given),
    ]  # fmt: skip


def _styles(generator, key, asked: np.ndarray, given: np.ndarray) -> list[Panel]:
    """Answers on ways between two latents, where these are numbers that can be walked between."""
    z = jax.eval_shape(generator.gan.latent, key, jax.ShapeDtypeStruct((1,), np.int32))
    if getattr(z, "ndim", 0) != 2 or z.dtype != np.float32 or z.shape[1] == 0:
        return []
    walk = generator.decoded(generator.interpolate(key, len(asked), STYLES, asked))
    walk = seen(walk, walk.shape[1:3]).reshape(len(asked), STYLES, *walk.shape[1:3], 3)
    rows = np.concatenate([given[: len(asked), None], walk], 1)
    tiles = plots.Tiles(rows.reshape(-1, *rows.shape[2:]), STYLES + 1, title="Styles")
    return [
        Panel(
            "Styles", tiles, "The input, and answers on a straight way from one style to another.", half=False
        )
    ]


def _write_png(path, made: Made, facts, columns) -> None:
    side = made.samples.shape[1:3]
    both = np.stack([seen(made.asked["input"], side, facts.get("labels")), seen(made.samples, side)], 1)
    plots.picture(plots.grid(both.reshape(-1, *both.shape[2:]), 8)).save(path)


def _write_npz(path, made: Made, facts, columns) -> None:
    np.savez_compressed(path, image=made.samples, **{k: x for k, x in made.asked.items() if k != "image"})


@dataclass(frozen=True)
class Options(NoOptions):
    """Score a run's checkpoints by its held-out pairs: l1, psnr and ssim to the truth, psnr_hole where a hole
    is filled, detail, variety, and the features' Frechet distance; of label maps of shapes miou, pixels and
    uniform, by what the colours say."""


pairs = Kind(
    load=load,
    judge=judge,
    show=_shown,
    write={".png": _write_png, ".npz": _write_npz},
    panels=_panels,
    decode=plots.to_uint8,
    ask=ask,
    exam=exam,
    check=check,
    shown=8,
    options=Options,
    unit="pairs",
)
