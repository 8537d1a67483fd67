"""What a sweep varies: lists of values, and ranges that a sampler draws from."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution

from jaxgan import config
from jaxgan.config import InputError, check, flag, nearest

# Of each field its values, or what they are drawn from; FIELD,FIELD of fields that have the same value.
Space = dict[str, "tuple | BaseDistribution"]
MOST = 100_000  # configurations in a grid


def log_uniform(low: float, high: float) -> FloatDistribution:
    """A number of four digits between two positive ones, uniform in its logarithm."""
    return _draw(low, high, True, f"log_uniform({low}, {high})")


def uniform(low: float, high: float) -> FloatDistribution:
    """A number of four digits between two."""
    return _draw(low, high, False, f"uniform({low}, {high})")


def _draw(low, high, log: bool, what: str) -> FloatDistribution:
    if not (math.isfinite(low) and math.isfinite(high) and low < high and (low > 0 or not log)):
        raise InputError(
            f"{what}: the ends of a range are finite and ascending, and of a logarithmic one above 0"
        )
    return FloatDistribution(float(low), float(high), log=log)


def _ends(text: str, what: str) -> tuple[float, float, float | None]:
    """The ends and the step of LOW..HIGH or LOW..HIGH:STEP."""
    ends, _, step = text.partition(":")
    low, _, high = ends.partition("..")
    try:
        return float(low), float(high), float(step) if step else None
    except ValueError:
        raise InputError(f"{what}: a range is LOW..HIGH, or LOW..HIGH:STEP") from None


def _stepped(text: str, what: str) -> list[str]:
    """The values of LOW..HIGH:STEP, both ends among them; the step of whole numbers may be left out."""
    low, high, step = _ends(text, what)
    if step is None and low.is_integer() and high.is_integer():
        step = 1.0
    if step is None or step <= 0 or low > high:
        raise InputError(
            f"{what}: a range of numbers is LOW..HIGH:STEP with a step above 0; a draw, log:LOW..HIGH"
        )
    n = math.floor((high - low) / step + 1e-9) + 1
    if n > MOST:
        raise InputError(f"{what}: these are {n:,} values, more than {MOST:,}")
    values = [low + i * step for i in range(n)]
    return [str(int(x)) if x.is_integer() else f"{x:.12g}" for x in values]


def _parts(text: str) -> list[str]:
    """A list at its commas, but for those in brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def fields(space: Space) -> list[str]:
    """The fields that a space varies."""
    return [field for name in space for field in name.split(",")]


def assigned(name: str, value) -> dict[str, Any]:
    """A value of a field, or of several that have the same."""
    return dict.fromkeys(name.split(","), value)


def _named(cls: type, name: str, what: str) -> str:
    """A field's name, or several, if they can be varied."""
    if "," in name:
        return ",".join(_named(cls, own.strip(), what) for own in name.split(","))
    known = {field.name for field in dataclasses.fields(cls)}
    name = name.lstrip("-").replace("-", "_")
    if name not in known:
        raise InputError(f"{what}: there is no field {name!r}{nearest(name, known)}")
    if name == "seed":
        raise InputError(f"{what}: every configuration is given the same seeds; say how many by --seeds")
    if name == "steps":
        raise InputError(f"{what}: runs of several lengths are one run's checkpoints; see --evaluate-every")
    return name


def from_text(cls: type, texts: tuple[str, ...]) -> Space:
    """The space of FIELD=VALUE,VALUE,... or =LOW..HIGH:STEP or =log:LOW..HIGH or =uniform:LOW..HIGH.

    Raises:
      InputError: for the first that is none of these, or no value of its field.
    """
    space = {}
    for text in texts:
        what = f"--set {text}"
        name, equals, values = (part.strip() for part in text.partition("="))
        name = _named(cls, name, what)
        if not equals or not values:
            raise InputError(f"{what} names no value: give {name}=VALUE,VALUE,...")
        if twice := [own for own in name.split(",") if own in fields(space)]:
            raise InputError(f"{what}: {twice[0]} is set twice; list its values in one --set")
        kind, colon, ends = values.partition(":")
        if colon and kind in ("log", "uniform"):
            low, high, step = _ends(ends, what)
            if step is not None:
                raise InputError(f"{what}: a draw has no step; values at steps are LOW..HIGH:STEP")
            space[name] = _draw(low, high, kind == "log", what)
            continue
        parts = [
            own for part in _parts(values) for own in (_stepped(part, what) if _is_range(part) else [part])
        ]
        try:
            first = name.partition(",")[0]
            space[name] = tuple(config.from_text(cls, first, part) for part in parts)
        except InputError as e:
            raise InputError(f"{what}: {e}") from None
    return space


def _is_range(text: str) -> bool:
    return ".." in text and text[:1] in "+-.0123456789"


def checked(cfg, space: Mapping) -> Space:
    """A space for a config, its values in Python's own types.

    Raises:
      InputError: if it is empty, has a field that cannot be varied, or a value that is out of bounds or there
        twice.
    """
    if not space:
        raise InputError(
            "a sweep varies a field: --set FIELD=VALUE,VALUE,...; seeds alone are a training's --seeds"
        )
    numbers, found = config.number_fields(type(cfg)), {}
    for name, values in space.items():
        _named(type(cfg), name, f"--set {name}")
        if isinstance(values, BaseDistribution):
            if static := [own for own in name.split(",") if own not in numbers]:
                raise InputError(
                    f"--set {name}: {flag(static[0])} is static, each value is a program of its own, so that "
                    f"nothing is drawn: list its values, {name}=VALUE,VALUE,..."
                )
            for end in (values.low, values.high):
                check(dataclasses.replace(cfg, **assigned(name, end)))
            found[name] = values
            continue
        if isinstance(values, str) or not hasattr(values, "__iter__"):
            raise InputError(f"--set {name}: a list of values, not {values!r}")
        first = name.partition(",")[0]
        whole = [check(dataclasses.replace(cfg, **assigned(name, value))) for value in values]
        own = tuple(getattr(cfg, first) for cfg in whole)
        if not own:
            raise InputError(f"--set {name} names no value: give {name}=VALUE,VALUE,...")
        if twice := next((x for i, x in enumerate(own) if x in own[:i]), None):
            raise InputError(f"--set {name}: {twice} is there twice")
        found[name] = own
    return found


def drawn(space: Space) -> list[str]:
    """The fields whose values are drawn."""
    return [name for name, values in space.items() if isinstance(values, BaseDistribution)]


def grid(space: Space) -> list[dict[str, Any]]:
    """Every combination of a space's values, the last field's changing fastest.

    Raises:
      InputError: if a field's values are drawn, or there are too many.
    """
    if names := drawn(space):
        raise InputError(
            f"--set {names[0]}: a grid has no draws; list the values, or give --sampler random and --trials N"
        )
    if (n := math.prod(map(len, space.values()))) > MOST:
        raise InputError(f"these are {n:,} configurations, more than {MOST:,}: list fewer values")
    every = itertools.product(*space.values())
    return [whole(dict(zip(space, each, strict=True))) for each in every]


def whole(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a space's entries, by their fields."""
    return {field: value for name, own in values.items() for field, value in assigned(name, own).items()}


def of_text(cls: type, text: str) -> dict[str, Any]:
    """The values of a baseline, FIELD=VALUE,FIELD=VALUE,... with one value each."""
    found = {}
    for part in _parts(text):
        name, equals, value = (x.strip() for x in part.partition("="))
        if not equals:
            raise InputError(f"--baseline {text}: FIELD=VALUE, and a comma between fields")
        name = _named(cls, name, f"--baseline {text}")
        found[name] = config.from_text(cls, name, value)
    return found
