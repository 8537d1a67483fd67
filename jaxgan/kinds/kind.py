"""What the loop and the commands must know of a kind of data: a few pure functions."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jaxgan import troubles
from jaxgan.config import InputError, nearest


class Made(NamedTuple):
    """Samples of a generator, and what there is to show and judge them by."""

    samples: Any  # [n, ...], as the data set holds its examples (`Kind.decode`)
    asked: dict | None  # what they were asked for: arrays [n, ...] by their names in the data; None: nothing
    critic: Callable | None  # data [n, ...] -> D's logits at that step, in inference mode; None: not at hand
    step: int
    examine: Callable | None = None  # (data, key, slot, ...) -> `GAN.examine` at that step; None: not at hand


class Judge(NamedTuple):
    """How samples are scored beside a data set."""

    n: int  # samples behind a score
    watch: Callable  # Made -> {name: figure}; by the first a run is watched: lower is better
    scores: Callable  # (Made, Sampling) -> [Score]; the first is the watched
    # (Made, rows of metrics.jsonl) -> what else is known, as JSON, and the lines that tell it
    remarks: Callable = lambda made, rows: ({}, [])
    # (Made, rows of metrics.jsonl, [Score]) -> [Trouble]: what has gone wrong
    troubles: Callable = lambda made, rows, found: troubles.of_steps(rows)


def taken(found: list[Any], missed: list[str]) -> list[Any]:
    """The scores, with a warning for each metric that could not be taken.

    Raises:
      InputError: if none could.
    """
    if not found:
        raise InputError("; ".join(missed) or "there is nothing to score")
    for told in missed:
        warnings.warn(told, stacklevel=2)
    return found


class Shares(NamedTuple):
    """How often each class is among samples and among the data, [K] each, in [0, 1]."""

    names: tuple[str, ...]
    fake: np.ndarray
    real: np.ndarray


class Played(NamedTuple):
    """Pictures that each have a sound."""

    images: tuple[np.ndarray, ...]  # uint8[H, W, C] each
    sounds: tuple[bytes, ...]  # of each a WAV file


class Panel(NamedTuple):
    """A part of a report."""

    heading: str
    what: Any  # plots.Tiles, Played, Shares, or a chart: draw(axis)
    text: str = ""
    half: bool = True  # as wide as half the page


def groups_of(options, usual: int = 10) -> int:
    """How many groups of samples are left out in turn for the intervals; 0: none are taken.

    Raises:
      InputError: if it is one.
    """
    groups = usual if options is None else options.groups
    if groups == 1:
        raise InputError("--groups 1: an interval takes 2 or more groups; 0 takes none")
    return groups


def numbers_of(spec: str, text: str, of: Callable) -> dict[str, float]:
    """The numbers in a set's name, `ring:radius=2,std=0.02`, as arguments of the function that makes it.

    Raises:
      InputError: if one is no argument of it that has a number by default, or no number.
    """
    known = {
        k: p.default
        for k, p in inspect.signature(of).parameters.items()
        if isinstance(p.default, int | float)
    }
    found = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise InputError(
                f"--data {spec}: {name!r} is not one of {', '.join(known)}{nearest(name, known)}"
            )
        try:
            found[name] = type(known[name])(value)
        except ValueError:
            raise InputError(f"--data {spec}: {name} is a number, not {value!r}") from None
    return found


@dataclass(frozen=True)
class NoOptions:
    """Score a run's checkpoints."""


def _as_given(facts, asked, value, n: int) -> np.ndarray:
    """Numbers as conditions [n, ...]; a single one is asked for n times."""
    try:
        value = np.asarray(value, asked.dtype)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"the condition {value!r} is no {asked.dtype}{list(asked.shape[1:])}") from None
    value = value[None] if value.shape == asked.shape[1:] else value
    if value.shape[1:] != asked.shape[1:] or len(value) not in (1, n):
        what = f"{value.dtype}{list(value.shape)}"
        raise InputError(f"the condition is {what}; {n} samples take {list(asked.shape[1:])}, or one each")
    return np.broadcast_to(value, (n, *asked.shape[1:]))


class Kind(NamedTuple):
    """A kind of data: images, points, pairs, ... The first four are needed, the others have a
    plain default.

    Samples are [n, ...], and an example that is asked for is a dict of arrays [n, ...], as a batch is.
    """

    load: Callable  # (cfg, data_dir) -> Dataset; InputError if it cannot be read
    # (Dataset, *, conditional, options=None, real=None, n=...) -> Judge of n samples; `options` are those
    # below, `real` is another set to compare with
    judge: Callable
    show: Callable  # (Dataset, Made) -> a picture of samples, uint8[H, W, C]; its moments make an animation
    # Files by their suffix: (path, Made, facts, columns) writes samples, and what they were asked for.
    write: Mapping[str, Callable]
    # Other pictures of the last moment by name: (Dataset, Made, rows of metrics.jsonl) -> uint8[H, W, C]
    # or None, where there is nothing to show
    finals: Mapping[str, Callable] = MappingProxyType({})
    panels: Callable = lambda data, generator, key, rows: []  # -> what a report shows: [Panel]
    decode: Callable = np.asarray  # what G makes, [n, ...] -> as the data set holds it
    answer: Callable = lambda samples: samples  # decoded samples -> what a user's own input is answered by
    # Dataset -> what a generator that takes a condition is asked for, each in turn: {name: [M, ...]}
    ask: Callable = lambda data: {}
    # (Dataset, n) -> what n samples are asked for to be scored, {name: [n, ...]}; None: as `sampling.drawn`
    exam: Callable | None = None
    # (facts, what `ask` has of it [M, ...], what a user asks for, n) -> [n, ...]; InputError if it is none
    condition: Callable = _as_given
    check: Callable = lambda data: None  # raises InputError if a Dataset is not of this kind
    of: str = "image"  # the array of the data set that G makes more of
    shown: int = 64  # samples in a picture
    options: type = NoOptions  # a dataclass of `judge`'s; its fields are flags of `jaxgan evaluate`
    # (spec, options, split, data_dir, like) -> a Dataset that is scored without a run, its examples like
    # those of the set `like` where that is given; None: there is none
    read: Callable | None = None
    specs: tuple[str, ...] = ()  # how the name of such a set begins, up to its colon
    unit: str = "examples"
