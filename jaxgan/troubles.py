"""What goes wrong in a game without a sound: each trouble has a short name, and a line with what to try."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

LATE = 0.25  # of the logged steps: for so long a trouble must have lasted
FEWEST_ROWS, FEWEST_STEPS = 10, 100  # of that stretch, or nothing is said
RIGHT = 0.99  # of D's judgements, from which on it is called perfect
# D's loss where it tells nothing apart: the logistic one, and that of relativistic pairs.
CHANCE = {"2 log 2": 2 * math.log(2), "log 2": math.log(2)}
NEAR = 0.02  # of that
RARE = 0.1  # of its share in the data: a class with less is missing
EXPECTED = 20  # samples that a class must be due, for its absence to mean anything: 2 or fewer are then 5e-7
ALIKE = 0.25  # of 1, by which diversity may be off before it is a trouble
COPIES = 0.5  # memorisation below it


class Trouble(NamedTuple):
    """What is wrong."""

    name: str  # for a column
    told: str  # what it means and what to try


def late(rows: Sequence[Mapping]) -> list[Mapping]:
    """The last quarter of the rows of metrics.jsonl that hold D's figures; [] if these are too few."""
    with_figures = [row for row in rows if "d/loss" in row]
    found = with_figures[len(with_figures) - int(LATE * len(with_figures)) :]
    enough = len(found) >= FEWEST_ROWS and found[-1]["step"] - found[0]["step"] >= FEWEST_STEPS
    return found if enough else []


def of_steps(rows: Sequence[Mapping], *, settled: bool | None = None) -> list[Trouble]:
    """What D's figures show.

    Args:
      rows: of metrics.jsonl, ascending.
      settled: whether the samples are known to be as the data, where D has to be at chance; if it is not
        known, they are held to be so where the watched score has fallen to a twentieth of its first value.
    """
    stretch = late(rows)
    if not stretch or not all("d/accuracy_real" in row and "d/accuracy_fake" in row for row in stretch):
        return []
    loss, real, fake = (
        np.array([row[name] for row in stretch], float)
        for name in ("d/loss", "d/accuracy_real", "d/accuracy_fake")
    )
    span = f"the last {stretch[-1]['step'] - stretch[0]['step']:,} steps"
    # A critic whose loss falls below 0 measures a distance: it has to tell the two apart.
    if min(real.mean(), fake.mean()) >= RIGHT and np.median(loss) >= 0:
        return [
            Trouble(
                "D perfect",
                f"over {span} D was right on {real.mean():.1%} of the real and {fake.mean():.1%} of the "
                "generated examples, so that G learns little from it: try a lower learning rate or a penalty "
                "(R1) for D, or a higher rate for G",
            )
        ]
    if settled is None:
        settled = _fallen(rows)
    undecided = abs((real.mean() + fake.mean()) / 2 - 0.5) < 0.05
    for name, chance in CHANCE.items():
        off = np.median(loss) - chance if undecided else np.median(np.abs(loss - chance))
        if abs(off) >= NEAR or settled:
            continue
        return [
            Trouble(
                "D at chance",
                f"over {span} D's loss stood at {name}, by which it tells nothing apart and G gets no "
                "direction: try a lower learning rate for G, or a higher one or a larger network for D",
            )
        ]
    return []


def _fallen(rows: Sequence[Mapping]) -> bool:
    """Whether the watched score, the first of a row, has come down to a twentieth."""
    watched = [next((v for k, v in row.items() if k.startswith("score/")), None) for row in rows]
    watched = [value for value in watched if value is not None]
    return len(watched) > 1 and 0 <= watched[-1] <= 0.05 * watched[0]


def of_diversity(value: float, real: Sequence[float]) -> list[Trouble]:
    """Samples that differ much less, or more, than the data.

    Args:
      value: the score, 1 for the data.
      real: the same of real images drawn at random, some times.
    """
    middle, deviation = float(np.mean(real)), float(np.std(real))
    reach = max(ALIKE, 5 * deviation)
    beside = (
        f"diversity is {value:.2f}, and {middle:.2f} +- {2 * deviation:.2f} of real images drawn at random"
    )
    if value < middle - reach:
        return [
            Trouble(
                "too alike",
                f"{beside}: the samples are too alike, as where G collapses: try a lower learning rate for "
                "G, or a remedy (minibatch features, packing, mode seeking)",
            )
        ]
    if value > middle + reach:
        return [
            Trouble(
                "too varied",
                f"{beside}: the samples differ more than the data, as noise does: train for longer, or try a "
                "lower learning rate",
            )
        ]
    return []


def of_shares(names: Sequence[str], fake, real, n: int, what: str = "class") -> list[Trouble]:
    """Classes or modes with hardly a sample.

    Args:
      fake, real: the shares of each among n samples and among the data, [K] in [0, 1].
    """
    fake, real = np.asarray(fake, float), np.asarray(real, float)
    missing = np.flatnonzero((real * n >= EXPECTED) & (fake < RARE * real))
    if not len(missing):
        return []
    each = [f"{names[i]} ({fake[i]:.1%} of the samples, {real[i]:.1%} of the data)" for i in missing[:3]]
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    many = {"class": "classes"}.get(what, f"{what}s")
    return [
        Trouble(
            f"{len(missing)} of {len(names)} {many} missing",
            f"G hardly makes {', '.join(each)}{more}: try a lower learning rate for G, or a remedy (packing, "
            "mode seeking, labels)",
        )
    ]


def of_quality(share: float) -> list[Trouble]:
    """Hardly a sample that lies within a mode.

    Args:
      share: of the samples, in [0, 1].
    """
    if share >= RARE:
        return []
    return [
        Trouble(
            "samples beside the modes",
            f"{share:.1%} of the samples lie within 3 standard deviations of a mode: train for longer, or "
            "let the learning rates fall",
        )
    ]


def of_memorisation(value: float) -> list[Trouble]:
    """Samples that lie much nearer to training images than unseen real ones do."""
    if not value < COPIES:
        return []
    return [
        Trouble(
            "copies",
            f"memorisation is {value:.2f}, where unseen real images have 1: the samples are close to copies "
            "of training images: train on more images, for fewer steps, or with augmentation",
        )
    ]


def to_records(found: Sequence[Trouble]) -> list[dict[str, str]]:
    """As JSON has them."""
    return [trouble._asdict() for trouble in found]


def from_records(records) -> list[Trouble]:
    """Of `to_records`; what is none is left out."""
    found = []
    for record in records if isinstance(records, list) else []:
        if isinstance(record, dict) and {"name", "told"} <= set(record):
            found.append(Trouble(str(record["name"]), str(record["told"])))
    return found


def lines(found: Sequence[Trouble]) -> list[str]:
    """A warning each."""
    return [f"warning   {trouble.name}: {trouble.told}" for trouble in found]
