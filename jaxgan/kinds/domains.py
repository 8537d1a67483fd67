"""Two domains of images that nothing pairs: a generator is given an image of `a` and answers with one of `b`,
and with what another generator makes of that, of `a` again. Its samples are both, [n, 2, H, W, C].
"""

from dataclasses import dataclass

import numpy as np

from jaxgan import plots
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.data import domains as read
from jaxgan.kinds.kind import Judge, Kind, Made, NoOptions, Panel, taken
from jaxgan.kinds.pairs import mean_image, of_each, seen
from jaxgan.metrics import scores
from jaxgan.metrics.full_reference import l1
from jaxgan.metrics.reference import measure, reference
from jaxgan.metrics.score import Sampling, Score

ASKED = 64  # held-out images that a run is shown by


def load(cfg, data_dir: str | None) -> Dataset:
    """The domains that a config names by `data`, `image_size`, `channels`, `backwards`, `arrays` and
    `held_out`."""
    data = read.load(
        cfg.data,
        image_size=cfg.image_size,
        channels=cfg.channels,
        backwards=cfg.backwards,
        arrays=cfg.arrays,
        held_out=cfg.held_out,
        data_dir=data_dir,
    )
    check(data)
    return data


def check(data: Dataset) -> None:
    """Raises InputError unless there are groups `a` and `b` with `image` uint8[N, H, W, C], some held out."""
    for side in "ab":
        group = data.get(side)
        if not isinstance(group, dict) or "image" not in group:
            raise InputError(f"{data.name} has no group {side!r} with 'image', but {', '.join(data.arrays)}")
        x = group["image"]
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in (1, 3):
            raise InputError(
                f"{data.name}: {side}/image is {x.dtype}{list(x.shape)}; not uint8[N, H, W, 1 or 3]"
            )
    if data.held_out is None:
        raise InputError(f"{data.name}: no images are held out, by which a generator could be scored")


def ask(data: Dataset) -> dict[str, np.ndarray]:
    """Held-out images of both domains; where they are partners, b is the truth."""
    of = data.held_out
    return {name: x[:ASKED] for name, x in of.arrays.items()}


def judge(
    data: Dataset,
    *,
    conditional: bool = True,
    options=None,
    real: Dataset | None = None,
    n: int | None = None,
) -> Judge:
    """Scores of answers to held-out images of a: as a set beside b, beside their partners where these are
    known, by what comes back, and of labelled images by whether the classes are kept.

    Args:
      real: other held-out images.
      n: answers, at most; one to each held-out image if not given.
    """
    check(data)
    held = data.held_out if real is None else real
    size = len(held["a"])
    n = size if n is None else min(n, size)  # an answer is a function of the image
    b = Dataset(f"{data.name}, b", data["b"], data.facts)
    ref = reference(b)
    fd, partners = scores.name("fd", ref), data.facts.get("partners", False)

    def each(made: Made) -> dict[str, np.ndarray]:
        """[m] each, of the first answer to each image."""
        m = min(len(made.samples), size)
        answer, back = made.samples[:m, 0], made.samples[:m, 1]
        found = {"l1": l1(answer, made.asked["b"][:m])} if partners else {}
        return found | {"cycle_l1": l1(back, made.asked["a"][:m])}

    def watch(made: Made) -> dict[str, float]:
        found = {name: float(x.mean()) for name, x in each(made).items()}
        return {fd: scores.distance(ref, made.samples[:, 0])} | found

    def all_scores(made: Made, sampling: Sampling) -> list[Score]:
        own = each(made)
        m = len(own["cycle_l1"])
        label = made.asked.get("label")
        wanted = ["fd", *(["agreement"] if label is not None and data.classes else [])]
        fake = measure(ref, made.samples[:m, 0], None if label is None else label[:m])
        found, missed = scores.evaluate(ref, fake, wanted, sampling)
        found += of_each(own, dict.fromkeys(own, ("lower", (0, 1))), sampling, held)
        return taken(found, missed)

    def remarks(made: Made, rows):
        if not partners:
            return {}, []
        facts = {
            "l1_of_the_input": float(l1(held["a"], held["b"]).mean()),
            "l1_of_the_mean_image": float(l1(mean_image(data["b"]["image"], held["b"]), held["b"]).mean()),
        }
        given, mean = facts.values()
        return facts, [
            f"to its partner the input itself has l1 {given:.4f}, and the mean image of b {mean:.4f}"
        ]

    return Judge(n, watch, all_scores, remarks)


def _rows(made: Made, columns: int) -> np.ndarray:
    side = made.samples.shape[2:4]
    rows = [made.asked["a"][:columns], made.samples[:columns, 0], made.samples[:columns, 1]]
    if "b" in made.asked:
        rows.append(made.asked["b"][:columns])
    return np.concatenate([seen(x, side) for x in rows])


def _shown(data: Dataset, made: Made) -> np.ndarray:
    """A column an image: it, its answer, what came back, and the partner where it is known."""
    if not data.facts.get("partners"):
        made = made._replace(asked={"a": made.asked["a"]})
    columns = min(16, len(made.samples))
    return plots.grid(_rows(made, columns), columns)


def _panels(data: Dataset, generator, key, rows) -> list[Panel]:
    asked = ask(data)
    n = min(12, len(asked["a"]))
    made = generator.made(key, n, {name: x[:n] for name, x in asked.items()})
    text = "An image of a, the answer in b, and what is made of that in a again"
    if data.facts.get("partners"):
        text += ", and the image's true partner"
    else:
        made = made._replace(asked={"a": made.asked["a"]})
    return [
        Panel(
            "Translations",
            plots.Tiles(_rows(made, n), n, title="Translations"),
            f"{text}; held out.",
            half=False,
        )
    ]


def _write_png(path, made: Made, facts, columns) -> None:
    columns = min(16, len(made.samples))
    plots.picture(plots.grid(_rows(made._replace(asked={"a": made.asked["a"]}), columns), columns)).save(path)


def _write_npz(path, made: Made, facts, columns) -> None:
    np.savez_compressed(path, a=made.asked["a"], b=made.samples[:, 0], back=made.samples[:, 1])


@dataclass(frozen=True)
class Options(NoOptions):
    """Score a run's checkpoints by held-out images: the features' Frechet distance of answers to the other
    domain, l1 to the true partners where they are known, and cycle_l1, of what comes back."""


domains = Kind(
    load=load,
    judge=judge,
    show=_shown,
    write={".png": _write_png, ".npz": _write_npz},
    panels=_panels,
    decode=plots.to_uint8,
    answer=lambda samples: samples[:, 0],
    ask=ask,
    check=check,
    of="a",
    shown=8,
    options=Options,
    unit="images",
)
