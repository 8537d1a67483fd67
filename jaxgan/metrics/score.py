"""A number with what it takes to compare it: an interval, and the protocol that it was measured by."""

import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from typing import NamedTuple

import numpy as np

from jaxgan.config import first_difference

RUNNING = "running statistics"  # of batch normalisation, as training kept them
EXTREME = 5  # samples: a share so near to 0 or 1 may have the same value in every group


@dataclass(frozen=True)
class Protocol:
    """What has to be the same for two scores to be compared, and nothing that need not be."""

    metric: str  # the score's name
    better: str  # lower, higher, or nearer to NUMBER
    within: tuple[float | None, float | None]  # the least and greatest that it can be; None: there is none
    version: int  # of the metric's definition here
    features: str  # what they are, with the hash of what they were made from and how images are resized
    reference: str  # the real data's set and split
    reference_digest: str  # of their contents
    examples: str  # what both are, such as 16x16x1, and how the real ones were made so: cropped, resized
    n_reference: int
    n_fake: int
    generator: str  # EMA, live, or where else the samples are from
    batch_norm: str  # which statistics the generator's has
    quantised: str
    truncation: float | None  # |z| below this; None is all of them
    seed: int  # of the latents
    code: str  # jaxgan's version

    def __post_init__(self):
        if not re.fullmatch(r"lower|higher|nearer to [\d.e+-]+", self.better):
            raise ValueError(f"better is lower, higher or nearer to NUMBER, not {self.better!r}")

    def __str__(self) -> str:
        """In short, for a line under the number."""
        cut = "" if self.truncation is None else f", truncated at {self.truncation:g}"
        cut += "" if self.batch_norm in ("none", RUNNING) else f", {self.batch_norm}"
        real = f" and {self.n_reference} of {self.reference}" if self.n_reference else ""
        return f"{self.n_fake} samples ({self.generator}, seed {self.seed}{cut}){real}; {self.features}"


class Score(NamedTuple):
    """A score."""

    value: float
    interval: tuple[float, float] | None  # of 95 %, over the generated samples; None if it was not taken
    protocol: Protocol

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.protocol.metric


class Sampling(NamedTuple):
    """How samples came about."""

    generator: str  # EMA or live, or where else they are from
    seed: int = 0  # of the latents
    truncation: float | None = None
    batch_norm: str = RUNNING


def protocol(
    sampling: Sampling,
    *,
    reference=None,
    n_reference: int = 0,
    version: int = 1,
    quantised: str = "no",
    examples: str = "",
    within: tuple[float | None, float | None] = (None, None),
    **rest,
) -> Protocol:
    """The protocol of a score of samples.

    Args:
      reference: the data set that they are compared with; None: with none.
      examples: what the samples are, where there is no reference to say it.
      rest: the other fields of `Protocol`: metric, better, features, n_fake.
    """
    return Protocol(
        version=version,
        within=within,
        reference="none" if reference is None else reference.name,
        reference_digest="none" if reference is None else reference.digest,
        examples=examples or ("" if reference is None else reference.resized),
        n_reference=n_reference,
        generator=sampling.generator,
        batch_norm=sampling.batch_norm,
        quantised=quantised,
        truncation=sampling.truncation,
        seed=sampling.seed,
        code=metadata.version("jaxgan"),
        **rest,
    )


def difference(a: Score, b: Score) -> str | None:
    """The first way in which the protocols differ, as `field: x, not y`; None if they are the same.

    A reference of the same contents is the same, whatever it is called and wherever it lies.
    """
    one, other = asdict(a.protocol), asdict(b.protocol)
    if one["reference_digest"] == other["reference_digest"]:
        other["reference"] = one["reference"]
    return first_difference(one, other)


def table(found: list[Score]) -> str:
    """The scores as lines: each with its interval and, below, its protocol where that changes."""
    lines, before = [], None
    for score in found:
        around = "" if score.interval is None else "  {:.4g} to {:.4g}".format(*score.interval)
        lines.append(f"{score.name:22} {score.value:<9.4g}{around}  ({score.protocol.better} is better)")
        if (short := str(score.protocol)) != before:
            lines.append(f"    {short}")
            before = short
    return "\n".join(lines)


def to_record(score: Score, step: int | None) -> dict:
    """The score as JSON has it; `step` is the generator's."""
    interval = None if score.interval is None else list(score.interval)
    return {
        "name": score.name,
        "value": score.value,
        "interval": interval,
        "step": step,
        "protocol": asdict(score.protocol),
    }


def from_record(record: dict) -> Score:
    """The score of a `to_record`.

    Raises:
      ValueError: if the record is not of a score, or of another version's.
    """
    try:
        protocol, interval = record["protocol"], record["interval"]
        known = {field.name for field in fields(Protocol)}
        if set(protocol) != known:
            raise ValueError(f"its protocol has not the field {min(set(protocol) ^ known)!r}")
        value = float(record["value"])
        protocol = {k: tuple(v) if isinstance(v, list) else v for k, v in protocol.items()}
        return Score(value, None if interval is None else tuple(interval), Protocol(**protocol))
    except (KeyError, TypeError) as e:
        raise ValueError(f"no record of a score ({e})") from None


def _student(degrees: int) -> float:
    """The end of the 95 % of Student's t."""
    from scipy.special import stdtrit  # a sixth of a second, which a list of runs need not wait for

    return stdtrit(degrees, 0.975)


def intervals(
    of: Callable,
    value: dict,
    n: int,
    *,
    groups: int = 10,
    bounds: dict | None = None,
    shares: Collection[str] = (),
) -> dict:
    """Intervals of 95 % for what `of` says of n samples: a jackknife that leaves out one group in turn.

    The variance is (groups - 1) / groups times the sum of squares of the figures' deviations from their mean
    (Kunsch 1989 and Shao and Wu 1989 have its theory), the interval Student's t on each side of the value. A
    bootstrap would put duplicates into the sample: these are each other's nearest neighbours, leave fewer
    places to cover, and add to a Frechet distance the bias of a smaller sample. So its intervals miss.

    None leaves a figure's bounds. A share of counts has Wilson's interval, of as many independent samples as
    would have that deviation: so 200 of 200 are no certainty, which the jackknife, where no group differs,
    takes them for. Any other is cut at its bounds, which costs no coverage: the truth lies within.

    Args:
      of: rows i32[m], ascending -> {name: figure}.
      value: what `of` says of all rows.
      n: how many rows there are, in an order that means nothing; group g is every row g, g + groups, ...
      groups: 2 or more.
      bounds: a protocol's `within` of each figure, by name.
      shares: which figures are shares of counts; a mean of what lies in [0, 1] is none.
    """
    rows = np.arange(n)
    without = [of(rows[rows % groups != g]) for g in range(groups)]
    t, scale = _student(groups - 1), (groups - 1) / np.sqrt(groups)
    found = {}
    for name, x in value.items():
        deviation = scale * np.std([part[name] for part in without], ddof=1)
        if name in shares:
            ends = _of_share(x, deviation, n, t)
        else:
            ends = cut((x - t * deviation, x + t * deviation), (bounds or {}).get(name, (None, None)))
        found[name] = float(min(ends[0], x)), float(max(ends[1], x))
    return found


def cut(ends: tuple[float, float], within: tuple[float | None, float | None]) -> tuple[float, float]:
    """What of an interval lies within bounds, of which None is none."""
    low, high = (-np.inf if within[0] is None else within[0], np.inf if within[1] is None else within[1])
    return float(np.clip(ends[0], low, high)), float(np.clip(ends[1], low, high))


def mean_interval(values) -> tuple[float, float]:
    """The mean, and half its 95 % interval by Student's t; NaN for a single value.

    A percentile bootstrap would hold the truth in 85 % of all cases at five values, and this in 95 %.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(_student(len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def _of_share(x: float, deviation: float, n: int, t: float) -> tuple[float, float]:
    """Wilson's interval (1927) for as many independent samples as have this deviation."""
    extreme = min(x, 1 - x) * n < EXTREME
    p = (n * x + 0.5) / (n + 1)  # a share of all or of none has a variance too
    if deviation == 0 or extreme:
        deviation = max(deviation, np.sqrt(p * (1 - p) / n))
    p = np.clip(p, min(deviation, 0.5), max(1 - deviation, 0.5))
    many = max(1.0, p * (1 - p) / deviation**2)
    variance, many = x * (1 - x), min(many, n) if extreme else many
    middle, reach = x + t**2 / (2 * many), t * np.sqrt(variance / many + t**2 / (4 * many**2))
    return (middle - reach) / (1 + t**2 / many), (middle + reach) / (1 + t**2 / many)
