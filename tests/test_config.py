import importlib
import json
import math
import types
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import jax.numpy as jnp
import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import experiments
from experiments import toolbox
from jaxgan import fitting, train
from jaxgan.config import (
    Count,
    Decay,
    InputError,
    Natural,
    Rate,
    check,
    first_difference,
    flag,
    from_dict,
    one_of,
)
from jaxgan.recipes import by_size


@dataclass(frozen=True)
class Config:
    batch_size: Count = 4
    every: Natural = 0
    g_lr: Rate = 1e-3
    beta1: Decay = 0.5
    ema_decay: Decay | None = None
    hidden: tuple[Count, ...] = (3, 4)
    name: str = "x"
    norm: Literal["batch", "spectral"] = "batch"
    fast: bool = False


@dataclass(frozen=True)
class Decided:
    must: Count
    size: Count | None = by_size(small=1, paper=2)
    other: Count = 3


def test_good_values_pass():
    assert check(Config()) == Config()
    changed = Config(ema_decay=0.9, hidden=(), g_lr=0.0, batch_size=2**31 - 1)
    assert check(changed) == changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "--batch-size 0: it must be at least 1"),
        ({"batch_size": 10.5}, "--batch-size 10.5: it must be an integer"),
        ({"batch_size": True}, "--batch-size True: it must be an integer"),
        ({"batch_size": None}, "--batch-size None: it must be an integer"),
        ({"batch_size": 10**12}, "--batch-size 1000000000000: it must be at most 2147483647"),
        ({"every": -1}, "--every -1: it must be at least 0"),
        ({"g_lr": -0.1}, "--g-lr -0.1: it must be at least 0"),
        ({"g_lr": float("nan")}, "--g-lr nan: it must be a finite number"),
        ({"g_lr": float("inf")}, "--g-lr inf: it must be a finite number"),
        ({"g_lr": "1e-3"}, "--g-lr '1e-3': it must be a number"),
        ({"beta1": 1.0}, "--beta1 1.0: it must be below 1"),
        ({"ema_decay": 1.5}, "--ema-decay 1.5: it must be below 1"),
        ({"ema_decay": "none"}, "--ema-decay 'none': it must be a number"),
        ({"hidden": (3, 0)}, "--hidden 0: it must be at least 1"),
        ({"hidden": 3}, "--hidden 3: it must be a tuple"),
        ({"name": 3}, "--name 3: it must be a string"),
        ({"norm": "spektral"}, "--norm 'spektral': it must be 'batch' or 'spectral'; did you mean 'spectr"),
        ({"fast": 1}, "--fast 1: it must be a boolean"),
        ({"name": "x" * 10**6}, None),
    ],
)  # fmt: skip
def test_bad_values_are_named_by_their_flag(change, message):
    if message is None:
        assert check(Config(**change)).name == change["name"]
        return
    with pytest.raises(InputError) as e:
        check(Config(**change))
    assert str(e.value).startswith(message)
    assert "\n" not in str(e.value)


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(InputError) as e:
        check(Config(norm="x" * 10**6))
    assert len(str(e.value)) < 200


def test_numbers_of_numpy_and_jax_become_pythons():
    cfg = check(Config(batch_size=np.int64(8), g_lr=jnp.float32(0.5), beta1=0, hidden=[np.int32(2)]))
    assert cfg == Config(batch_size=8, g_lr=0.5, beta1=0.0, hidden=(2,))
    assert [type(x) for x in (cfg.batch_size, cfg.g_lr, cfg.beta1)] == [int, float, float]
    assert json.dumps(asdict(cfg))
    with pytest.raises(InputError, match="--batch-size 2.5"):
        check(Config(batch_size=np.float32(2.5)))
    with pytest.raises(InputError, match="--g-lr array"):
        check(Config(g_lr=np.ones(2)))


@dataclass(frozen=True)
class Bare(Config):
    every = 3


class Undecorated(Config):
    every: Natural = 3
    more: Natural = 3


@dataclass
class Mutable:
    every: Natural = 3


@dataclass(frozen=True)
class Unhashable:
    every: dict = None


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (Bare(), "Bare.every has no annotation, and so changes no field: write every: TYPE = 3"),
        (Undecorated(), r"Undecorated.more is no field: put @dataclass\(frozen=True\) above Undecorated"),
        (Mutable(), r"Mutable is no frozen dataclass: put @dataclass\(frozen=True\) above it"),
        (Unhashable({}), "--every: a dict cannot be part of a config"),
    ],
)
def test_a_field_in_name_only(cfg, message):
    with pytest.raises(InputError, match=message):
        check(cfg)


def test_json_and_back():
    cfg = Config(hidden=(1, 2, 3), ema_decay=0.5)
    record = json.loads(json.dumps(asdict(cfg)))
    assert from_dict(Config, record) == cfg
    with pytest.raises(InputError, match="no field 'batchsize'; did you mean 'batch_size'"):
        from_dict(Config, record | {"batchsize": 3})
    with pytest.warns(
        UserWarning, match="recorded before Config had these, so by default: every 0, fast False"
    ):
        assert from_dict(Config, {k: v for k, v in record.items() if k not in ("every", "fast")}) == cfg
    with pytest.raises(InputError, match="Config has a field '.*', of which nothing was recorded"):
        from_dict(Config, {})
    for lost in ("must", "size"):
        found = {k: v for k, v in {"must": 1, "size": 2, "other": 3}.items() if k != lost}
        with pytest.raises(InputError, match=f"Decided has a field '{lost}', of which nothing was recorded"):
            from_dict(Decided, found)
    for name, value in {"batch_size": "4", "g_lr": [], "hidden": [0], "norm": "none", "fast": None}.items():
        with pytest.raises(InputError, match=f"Config.{name} "):
            from_dict(Config, record | {name: value})


def test_the_first_difference_is_named():
    assert first_difference({"a": 1, "b": 2}, {"a": 1, "b": 2}) is None
    assert first_difference({"a": 1, "b": 2}, {"a": 1, "b": 3}) == "b: 2, not 3"
    assert first_difference({"a": 1, "c": 1}, {"a": 1}) == "c: 1, not None"


def test_one_of():
    one_of("--x", "a", ["a", "b"])
    with pytest.raises(InputError, match="--x 'alphb' is not one of alpha, beta; did you mean"):
        one_of("--x", "alphb", ["alpha", "beta"])


# Every field of every experiment, of the loop and of `fit`, under values of any type.

FILES = sorted(p.stem for p in Path(experiments.__file__).parent.glob("*.py") if not p.stem.startswith("_"))
MODULES = [importlib.import_module(f"experiments.{name}") for name in FILES]
CLASSES = [module.Config for module in MODULES] + [train.Loop, fitting.methods.Fit]
HINTS = {
    (cls.__module__, cls.__name__, name): (cls, hint)
    for cls in CLASSES
    for name, hint in get_type_hints(cls, include_extras=True).items()
}
UNLIKE = {hint: (cls, name) for (_, _, name), (cls, hint) in HINTS.items()}  # one field of each type
SPECIAL = [None, True, "", "1", "none", 0, 1, -1, 2**31, 2**40, 1.0, 0.5, -0.5, math.nan, math.inf]
LEAVES = st.sampled_from(SPECIAL) | st.integers() | st.floats() | st.text(max_size=5)
VALUES = LEAVES | st.tuples(LEAVES) | st.tuples(LEAVES, LEAVES)


def fits(value, hint) -> bool:
    """What a hint allows, by hand."""
    parts = get_args(hint)
    if get_origin(hint) is Annotated:
        bounds = {Ge: lambda x, b: x >= b.ge, Le: lambda x, b: x <= b.le, Lt: lambda x, b: x < b.lt}
        bounds[Gt] = lambda x, b: x > b.gt
        known = [(bounds[type(b)], b) for b in parts[1:] if type(b) in bounds]
        return fits(value, parts[0]) and all(holds(value, b) for holds, b in known)
    if get_origin(hint) in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if get_origin(hint) is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(fits(item, parts[0]) for item in value)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is (type(None) if hint is None else hint)


def _taken(cls, name, value) -> bool:
    try:
        check(replace(cls(), **{name: value}))
    except InputError as e:
        told = str(e)
    else:
        return True
    assert told.startswith(flag(name))
    assert "\n" not in told
    return False


@pytest.mark.parametrize("hint", UNLIKE, ids=str)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=VALUES)
def test_any_value_of_a_field_is_taken_if_it_fits(hint, value):
    cls, name = UNLIKE[hint]
    assert _taken(cls, name, value) == fits(value, hint)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__module__)
def test_every_field_has_a_type_that_refuses_something(cls):
    """Also each field's default passes: what is refused is refused for its value."""
    check(cls())
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        for value in SPECIAL:
            assert _taken(cls, field.name, value) == fits(value, hints[field.name]), (field.name, value)
        assert not all(fits(value, hints[field.name]) for value in SPECIAL), field.name


def test_a_run_is_not_started_with_such_a_config(tmp_path):
    """A misspelled choice trained to its end without any normalisation."""
    loop = train.Loop(out=str(tmp_path))
    for change in ({"norm": "spektral", "r1": 1.0}, {"steps": 10.5}, {"r1": "1"}):
        with pytest.raises(InputError, match=flag(next(iter(change)))):
            train.start(toolbox.Config(**change), loop)
    with pytest.raises(InputError, match="--chunk 0.5"):
        train.start(toolbox.Config(), replace(loop, chunk=0.5))
    assert not list(tmp_path.iterdir())


@dataclass(frozen=True)
class Seedless:
    batch_size: Count = 4
    steps: Count = 4


def test_what_every_run_needs_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="Seedless has no field 'seed', which every run needs"):
        train.start(Seedless(), train.Loop(out=str(tmp_path)))
