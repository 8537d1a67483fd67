"""Configs: frozen dataclasses of numbers, strings and tuples whose annotations carry their bounds."""

import dataclasses
import difflib
import math
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple, Optional, get_args, get_origin, get_type_hints


class InputError(ValueError):
    """Bad input. Its message is one line that says what to do; a command exits with status 2."""


class Bound(NamedTuple):
    """The closed interval that a number must lie in, `high` itself excluded if `open` is set."""

    low: float
    high: float = math.inf
    open: bool = False

    def __contains__(self, x) -> bool:
        return self.low <= x and (x < self.high if self.open else x <= self.high) and math.isfinite(x)

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{self.low} or more"
        return f"at least {self.low} and {'below' if self.open else 'at most'} {self.high}"


Count = Annotated[int, Bound(1)]
Natural = Annotated[int, Bound(0)]
Seed = Annotated[int, Bound(0, 2**32 - 1)]
Rate = Annotated[float, Bound(0)]  # a learning rate or a weight
Decay = Annotated[float, Bound(0, 1, open=True)]  # an Adam beta or an average's decay


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of the names, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_of(field: str, name: str, names: Iterable[str]) -> None:
    """Raises InputError unless `name` is one of the names."""
    names = list(names)
    if name not in names:
        raise InputError(f"{field} {name!r} is not one of {', '.join(names)}{nearest(name, names)}")


def _check_value(flag: str, value, hint) -> None:
    if get_origin(hint) is Annotated:
        for bound in hint.__metadata__:
            if isinstance(bound, Bound) and value not in bound:
                raise InputError(f"{flag} {value}: it must be {bound}")
    elif value is not None and get_args(hint):
        parts = get_args(hint)
        if get_origin(hint) is tuple:
            if len(parts) == 2 and parts[1] is Ellipsis:
                parts = parts[:1] * len(value)
            for item, part in zip(value, parts, strict=True):
                _check_value(flag, item, part)
        else:  # X | None
            for part in parts:
                if part is not type(None):
                    _check_value(flag, value, part)


def check(cfg) -> None:
    """Raises InputError, naming the flag, for the first field outside its bounds."""
    hints = get_type_hints(type(cfg), include_extras=True)
    for field in dataclasses.fields(cfg):
        flag = "--" + field.name.replace("_", "-")
        _check_value(flag, getattr(cfg, field.name), hints[field.name])


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
    """The dataclass that `dataclasses.asdict` and JSON made `values` of (JSON has no tuples)."""
    known = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"{cls.__name__} has no field {unknown[0]!r}{nearest(unknown[0], known)}")
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return cls(**tuples)


def first_difference(a: dict, b: dict) -> str | None:
    """The first key, in b's order, whose values differ, as `key: x, not y`; None if none does."""
    for key in [*b, *(k for k in a if k not in b)]:
        x, y = a.get(key), b.get(key)
        if x != y:
            return f"{key}: {x}, not {y}"
    return None
