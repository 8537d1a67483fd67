"""A number with what it takes to compare it: an interval, and the protocol that it was measured by."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from jaxgan.config import first_difference


@dataclass(frozen=True)
class Protocol:
    """What has to be the same for two scores to be compared, and nothing that need not be."""

    metric: str  # the score's name
    better: str  # lower, higher, or nearer to what
    version: int  # of the metric's definition here
    features: str  # what they are, with the hash of what they were made from and how images are resized
    reference: str  # the real data's set and split
    reference_digest: str  # of their contents
    n_reference: int
    n_fake: int
    generator: str  # EMA, live, or where else the samples are from
    batch_norm: str
    quantised: str
    truncation: float | None  # |z| below this; None is all of them
    seed: int  # of the latents
    code: str  # jaxgan's version

    def __str__(self) -> str:
        """In short, for a line under the number."""
        cut = "" if self.truncation is None else f", truncated at {self.truncation:g}"
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
    batch_norm: str = "running statistics"


def protocol(
    sampling: Sampling,
    *,
    reference=None,
    n_reference: int = 0,
    version: int = 1,
    quantised: str = "no",
    **rest,
) -> Protocol:
    """The protocol of a score of samples.

    Args:
      reference: the data set that they are compared with; None: with none.
      rest: the other fields of `Protocol`: metric, better, features, n_fake.
    """
    return Protocol(
        version=version,
        reference="none" if reference is None else reference.name,
        reference_digest="none" if reference is None else reference.digest,
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
    """The first way in which the protocols differ, as `field: x, not y`; None if they are the same."""
    return first_difference(asdict(a.protocol), asdict(b.protocol))


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
        return Score(value, None if interval is None else tuple(interval), Protocol(**protocol))
    except (KeyError, TypeError) as e:
        raise ValueError(f"no record of a score ({e})") from None


def intervals(of: Callable, value: dict, n: int, *, groups: int = 10) -> dict:
    """Intervals of 95 % for what `of` says of n samples: a jackknife that leaves out one group in turn.

    The variance is (groups - 1) / groups times the sum of squares of the figures' deviations from their mean
    (Kunsch 1989 and Shao and Wu 1989 have its theory), the interval Student's t on each side of the value. A
    bootstrap would put duplicates into the sample: these are each other's nearest neighbours, leave fewer
    places to cover, and add to a Frechet distance the bias of a smaller sample. So its intervals miss.

    Args:
      of: rows i32[m], ascending -> {name: figure}.
      value: what `of` says of all rows.
      n: how many rows there are, in an order that means nothing; group g is every row g, g + groups, ...
      groups: 2 or more.
    """
    rows = np.arange(n)
    without = [of(rows[rows % groups != g]) for g in range(groups)]
    t, scale = stdtrit(groups - 1, 0.975), (groups - 1) / np.sqrt(groups)
    around = {name: t * scale * np.std([part[name] for part in without], ddof=1) for name in value}
    return {name: (float(x - around[name]), float(x + around[name])) for name, x in value.items()}
