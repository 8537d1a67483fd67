"""Configs: frozen dataclasses of numbers, strings and tuples whose annotations say what they may hold."""

import dataclasses
import difflib
import json
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Optional, get_type_hints

from annotated_types import Ge, Le, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError


class InputError(ValueError):
    """Bad input. Its message is one line that says what to do; a command exits with status 2."""


_MOST = Le(2**31 - 1)  # of what a device counts
Count = Annotated[int, Ge(1), _MOST]
Natural = Annotated[int, Ge(0), _MOST]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
Rate = Annotated[float, Ge(0)]  # a learning rate or a weight
Chance = Annotated[float, Ge(0), Le(1)]  # a probability
Decay = Annotated[float, Ge(0), Lt(1)]  # an Adam beta or an average's decay


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of the names, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_of(field: str, name: str, names: Iterable[str]) -> None:
    """Raises InputError unless `name` is one of the names."""
    names = list(names)
    if name not in names:
        raise InputError(f"{field} {name!r} is not one of {', '.join(names)}{nearest(name, names)}")


def is_name(text) -> bool:
    """Whether it is the name of one folder: no path, and neither `..` nor what no system takes."""
    return isinstance(text, str) and text not in ("", "..") and "\0" not in text and Path(text).name == text


def flag(name: str) -> str:
    """A field as the command line spells it."""
    return "--" + name.replace("_", "-")


_PLAINLY = {
    "Input should be": "it must be",
    "a valid integer": "an integer",
    "a valid ": "a ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "less than": "below",
}


def _said(error: ValidationError) -> str:
    """What is wrong with a value, and what it must be."""
    # Of a union's complaints, the one about its None tells nothing.
    found = next((e for e in error.errors() if e["type"] != "none_required"), error.errors()[0])
    wanted, value = found["msg"], found["input"]
    for long, short in _PLAINLY.items():
        wanted = wanted.replace(long, short)
    choices = found["ctx"]["expected"].replace(" or ", ", ") if found["type"] == "literal_error" else ""
    hint = nearest(value, [name.strip("'") for name in choices.split(", ")]) if isinstance(value, str) else ""
    text = repr(value)
    return f"{text if len(text) < 60 else text[:56] + ' ...'}: {wanted}{hint}"


@cache
def _adapter(hint) -> TypeAdapter:
    return TypeAdapter(
        hint, config=ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    )


@cache
def _adapters(cls: type) -> dict[str, TypeAdapter]:
    """What each field of a config class may hold, but for those that are configs themselves.

    Raises:
      InputError: if the class is no frozen dataclass, or has a field in name only.
    """
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:
        raise InputError(f"{cls.__name__} is no frozen dataclass: put @dataclass(frozen=True) above it")
    hints = get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    for own in cls.__mro__[:-1]:
        annotated = own.__dict__.get("__annotations__", {})
        if plain := [name for name in names if name in vars(own) and name not in annotated]:
            raise InputError(
                f"{own.__name__}.{plain[0]} has no annotation, and so changes no field: "
                f"write {plain[0]}: TYPE = {vars(own)[plain[0]]!r}"
            )
        if missing := [name for name in annotated if name not in names and name in vars(own)]:
            raise InputError(
                f"{own.__name__}.{missing[0]} is no field: put @dataclass(frozen=True) above {own.__name__}"
            )
    own = [name for name in names if not dataclasses.is_dataclass(get_type_hints(cls)[name])]
    return {name: _adapter(hints[name]) for name in own}


def _plain(value):
    """A number of numpy's or JAX's as Python's, and a list as a tuple."""
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return tuple(_plain(item) for item in value)
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def check(cfg):
    """The config, its numbers and tuples in Python's own types. This is done where a run starts: later, a
    field may hold what JAX traces.

    Raises:
      InputError: for the first field, named by its flag, that is not of its type, its choices or its bounds.
    """
    each = {field.name: getattr(cfg, field.name) for field in dataclasses.fields(cfg)}
    values = {name: check(value) for name, value in each.items() if dataclasses.is_dataclass(value)}
    for name, adapter in _adapters(type(cfg)).items():
        value = _plain(getattr(cfg, name))
        try:
            values[name] = adapter.validate_python(value)
            hash(values[name])
        except ValidationError as e:
            raise InputError(f"{flag(name)} {_said(e)}") from None
        except TypeError:
            raise InputError(f"{flag(name)}: a {type(value).__name__} cannot be part of a config") from None
    return dataclasses.replace(cfg, **values)


def from_text(cls: type, name: str, text: str):
    """A field's value as text has it: 3, 1e-4, hinge, true, none, [128, 128].

    Raises:
      InputError: if there is no such field, or the text is no value of it.
    """
    adapters = _adapters(cls)
    if name not in adapters:
        raise InputError(f"{cls.__name__} has no field {name!r}{nearest(name, adapters)}")
    plain = {"True": "true", "False": "false", "None": "null", "none": "null"}.get(text, text)
    for read, given in ((adapters[name].validate_python, text), (adapters[name].validate_json, plain)):
        try:
            return read(given)
        except ValidationError as e:
            error = e
    if error.errors()[0]["type"] == "json_invalid":  # what the text itself is not, then
        try:
            adapters[name].validate_python(text)
        except ValidationError as e:
            error = e
    raise InputError(f"{flag(name)} {_said(error)}") from None


def number_fields(cls: type) -> list[str]:
    """The fields of a config class that are of float, or of float or None."""
    hints = get_type_hints(cls)
    number = (float, float | None, Optional[float])  # noqa: UP045
    return [f.name for f in dataclasses.fields(cls) if hints[f.name] in number]


def numbers(cfg) -> dict[str, float]:
    """The numbers of a config that a compiled program takes as arguments: its fields of float, but for a 0 or
    a None, by which a method may leave something out."""
    values = {name: getattr(cfg, name) for name in number_fields(type(cfg))}
    return {name: float(value) for name, value in values.items() if value}


def from_dict(cls: type, values: dict[str, Any]):
    """The dataclass that `dataclasses.asdict` and JSON made `values` of (JSON has no tuples).

    Raises:
      InputError: if it is empty, has another field, lacks one that has no default or that a recipe decided,
        or has a value that is not of its type or bounds.

    Warns:
      UserWarning: if it lacks fields that have come since: these take their defaults.
    """
    adapters = _adapters(cls)
    if unknown := sorted(set(values) - set(adapters)):
        raise InputError(f"{cls.__name__} has no field {unknown[0]!r}{nearest(unknown[0], adapters)}")
    missing = [f for f in dataclasses.fields(cls) if f.name not in values]
    for f in missing:
        # the data's size decided a recipe's; and where there is nothing at all, it is damaged rather than old
        if f.default is dataclasses.MISSING or "recipes" in f.metadata or not values:
            raise InputError(f"{cls.__name__} has a field {f.name!r}, of which nothing was recorded")
    if missing:
        taken = ", ".join(f"{f.name} {f.default!r}" for f in missing)
        warnings.warn(f"recorded before {cls.__name__} had these, so by default: {taken}", stacklevel=2)
    found = {}
    for name, value in values.items():
        try:
            found[name] = adapters[name].validate_json(json.dumps(value))
        except ValidationError as e:
            raise InputError(f"{cls.__name__}.{name} {_said(e)}") from None
    return cls(**found)


def first_difference(a: dict, b: dict) -> str | None:
    """The first key, in b's order, whose values differ, as `key: x, not y`; None if none does."""
    for key in [*b, *(k for k in a if k not in b)]:
        x, y = a.get(key), b.get(key)
        if x != y:
            return f"{key}: {x}, not {y}"
    return None


@dataclasses.dataclass(frozen=True)
class Processes:
    """How this process finds the others that train the same model."""

    distributed: bool = False
    """train one model in all processes that this command is started in; they find each other by what a TPU
    VM, SLURM, Open MPI or Kubernetes provides, or by the three flags that follow"""
    coordinator: str | None = None  # HOST:PORT of process 0, the same for all
    processes: Count | None = None  # how many there are
    process: Natural | None = None  # which of them this one is, from 0
    heartbeat: Annotated[int, Ge(1)] = 30  # seconds without a sign after which a process is held to be dead
