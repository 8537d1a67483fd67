"""Pairs of images: a generator is given `input` and answers with an image, whose truth is known."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from jaxgan import plots
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.data import pairs as read
from jaxgan.kinds.kind import Judge, Kind, Made, NoOptions, Panel, taken
from jaxgan.metrics import judge as judges
from jaxgan.metrics import scores
from jaxgan.metrics.full_reference import detail_ratio, l1, psnr, ssim
from jaxgan.metrics.reference import measure, reference
from jaxgan.metrics.score import Sampling, Score, cut, intervals, protocol

ASKED = 64  # held-out pairs that a run is shown by
AGAIN = 100  # inputs that are answered twice for a score, at most
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
    `held_out` and `split`."""
    data = read.load(
        cfg.data,
        task=cfg.task,
        image_size=cfg.image_size,
        channels=cfg.channels,
        backwards=cfg.backwards,
        arrays=cfg.arrays,
        held_out=cfg.held_out,
        split=cfg.split,
        data_dir=data_dir,
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
    # Without bounds: what lies in [0, 1] there is a share of counts, and these are means.
    around = intervals(mean, value, n, groups=GROUPS) if n >= 4 * GROUPS else {}
    around = {name: cut(ends, close[name][1]) for name, ends in around.items()}
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
    most = len(held["image"]) + min(AGAIN, len(held["image"]))
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
    first = min(n, len(held["image"]))

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
        inside = hole(made.asked["input"][:first], truth)
        if inside is not None and (rows := inside.any((1, 2, 3))).any():
            each = {"psnr_hole": psnr(images[rows], truth[rows], inside[rows])}
            found += of_each(each, CLOSE, sampling, held)
        again = made.samples[first:][:AGAIN] if len(made.samples) > first else None
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
        inside = hole(held["input"], held["image"])
        if inside is not None and inside.any():
            facts["psnr_hole_of_the_mean_image"] = float(np.nanmean(psnr(mean, held["image"], inside)))
            lines.append(f"filled by the mean image, psnr_hole {facts['psnr_hole_of_the_mean_image']:.2f} dB")
        if held["input"].shape == held["image"].shape:
            facts["l1_of_the_input"] = float(l1(held["input"], held["image"]).mean())
            lines.append(f"the input itself has l1 {facts['l1_of_the_input']:.4f}")
        return facts, lines

    return Judge(n, watch, all_scores, remarks)


def seen(images: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    """Images uint8[N, h, w, c] as colours of another size, uint8[N, H, W, 3]: a mask, their 2nd or 4th
    channel, is left out."""
    images = images[..., : {2: 1, 4: 3}.get(images.shape[3], images.shape[3])]
    images = np.repeat(images, 3 // images.shape[3], 3)
    if images.shape[1:3] == side:
        return images
    return np.stack([np.asarray(Image.fromarray(x).resize(side[::-1], Image.NEAREST)) for x in images])


def _shown(data: Dataset, made: Made) -> np.ndarray:
    """A column an input: the input, one answer or more, the truth."""
    side = made.samples.shape[1:3]
    given = made.asked["input"]
    columns = len(np.unique(given.reshape(len(given), -1), axis=0)) if len(given) > 1 else 1
    columns = columns if len(given) % columns == 0 else len(given)
    rows = [seen(given[:columns], side), seen(made.samples, side)]
    if "image" in made.asked:
        rows.append(seen(made.asked["image"][:columns], side))
    return plots.grid(np.concatenate(rows), columns)


def _panels(data: Dataset, generator, key, rows) -> list[Panel]:
    asked = ask(data)
    n = min(12, len(asked["input"]))
    several = {name: np.tile(x[:n], (4, *(1,) * (x.ndim - 1))) for name, x in asked.items()}
    made = generator.made(key, 4 * n, several)
    side = made.samples.shape[1:3]
    tiles = np.concatenate(
        [seen(x, side) for x in (asked["input"][:n], made.samples[:n], asked["image"][:n])]
    )
    variants = np.concatenate([seen(asked["input"][:n], side), seen(made.samples, side)])
    return [
        Panel("Answers", plots.Tiles(tiles, n, title="Answers"),
              "The input, the generator's answer to it, and the truth; of held-out pairs.", half=False),
        Panel("Variants", plots.Tiles(variants, n, title="Variants"),
              "The input, and four answers to it by other noise.", half=False),
    ]  # fmt: skip


def _write_png(path, made: Made, facts, columns) -> None:
    side = made.samples.shape[1:3]
    both = np.stack([seen(made.asked["input"], side), seen(made.samples, side)], 1)
    plots.picture(plots.grid(both.reshape(-1, *both.shape[2:]), 8)).save(path)


def _write_npz(path, made: Made, facts, columns) -> None:
    np.savez_compressed(path, image=made.samples, **{k: x for k, x in made.asked.items() if k != "image"})


@dataclass(frozen=True)
class Options(NoOptions):
    """Score a run's checkpoints by its held-out pairs: l1, psnr and ssim to the truth, psnr_hole where a hole
    is filled, detail, variety, and the features' Frechet distance."""


pairs = Kind(
    load=load,
    judge=judge,
    show=_shown,
    write={".png": _write_png, ".npz": _write_npz},
    panels=_panels,
    decode=plots.to_uint8,
    ask=ask,
    check=check,
    shown=8,
    options=Options,
    unit="pairs",
)
