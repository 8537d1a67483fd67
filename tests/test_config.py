import json
from dataclasses import asdict, dataclass

import pytest

from jaxgan.config import (
    Count,
    Decay,
    InputError,
    Natural,
    Rate,
    check,
    first_difference,
    from_dict,
    one_of,
)


@dataclass(frozen=True)
class Config:
    batch_size: Count = 4
    every: Natural = 0
    g_lr: Rate = 1e-3
    beta1: Decay = 0.5
    ema_decay: Decay | None = None
    hidden: tuple[Count, ...] = (3, 4)
    name: str = "x"


def test_good_values_pass():
    check(Config())
    check(Config(ema_decay=0.9, hidden=(), g_lr=0.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "--batch-size 0: it must be 1 or more"),
        ({"every": -1}, "--every -1: it must be 0 or more"),
        ({"g_lr": -0.1}, "--g-lr -0.1: it must be 0 or more"),
        ({"g_lr": float("nan")}, "--g-lr nan"),
        ({"g_lr": float("inf")}, "--g-lr inf"),
        ({"beta1": 1.0}, "--beta1 1.0: it must be at least 0 and below 1"),
        ({"ema_decay": 1.5}, "--ema-decay 1.5"),
        ({"hidden": (3, 0)}, "--hidden 0: it must be 1 or more"),
    ],
)
def test_bad_values_are_named_by_their_flag(change, message):
    with pytest.raises(InputError, match=message):
        check(Config(**change))


def test_json_and_back():
    cfg = Config(hidden=(1, 2, 3), ema_decay=0.5)
    assert from_dict(Config, json.loads(json.dumps(asdict(cfg)))) == cfg
    with pytest.raises(InputError, match="no field 'batchsize'; did you mean 'batch_size'"):
        from_dict(Config, {"batchsize": 3})


def test_the_first_difference_is_named():
    assert first_difference({"a": 1, "b": 2}, {"a": 1, "b": 2}) is None
    assert first_difference({"a": 1, "b": 2}, {"a": 1, "b": 3}) == "b: 2, not 3"
    assert first_difference({"a": 1, "c": 1}, {"a": 1}) == "c: 1, not None"


def test_one_of():
    one_of("--x", "a", ["a", "b"])
    with pytest.raises(InputError, match="--x 'alphb' is not one of alpha, beta; did you mean"):
        one_of("--x", "alphb", ["alpha", "beta"])
