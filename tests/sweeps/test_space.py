import re
from dataclasses import dataclass
from typing import Literal

import pytest
from optuna.distributions import FloatDistribution

from jaxgan.config import Count, InputError, Rate
from jaxgan.sweeps import log_uniform, space, uniform


@dataclass(frozen=True)
class Config:
    rate: Rate = 1e-3
    weight: float | None = None
    width: Count = 8
    loss: Literal["hinge", "wasserstein"] = "hinge"
    norm: bool = True
    hidden: tuple[Count, ...] = (8, 8)
    name: str | None = None
    steps: Count = 10
    seed: int = 0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("rate=1,1e-4", (1.0, 1e-4)),
        ("--rate=0, 1", (0.0, 1.0)),
        ("rate=0..1:0.25", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("weight=none,3", (None, 3.0)),
        ("width=1..4", (1, 2, 3, 4)),
        ("width=2,16..32:8", (2, 16, 24, 32)),
        ("loss=wasserstein", ("wasserstein",)),
        ("norm=true,false", (True, False)),
        ("norm=True", (True,)),
        ("hidden=[8,8],[16]", ((8, 8), (16,))),
        ("name=10,a", ("10", "a")),
    ],
)
def test_values_of_every_type(text, values):
    (found,) = space.checked(Config(), space.from_text(Config, (text,))).values()
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rate=log:1e-4..1e-2", log_uniform(1e-4, 1e-2)),
        ("weight=uniform:-1..1", uniform(-1, 1)),
    ],
)
def test_draws(text, found):
    assert space.from_text(Config, (text,)) == {text.partition("=")[0]: found}
    assert isinstance(found, FloatDistribution)


BAD = [
    ("rte=1", "--set rte=1: there is no field 'rte'; did you mean 'rate'?"),
    ("rate", "--set rate names no value: give rate=VALUE,VALUE,..."),
    ("rate=", "--set rate= names no value: give rate=VALUE,VALUE,..."),
    ("rate=-1", "--set rate=-1: --rate -1: it must be at least 0"),
    ("rate=1,", "--set rate=1,: --rate '': it must be a number"),
    ("rate=fast", "--rate 'fast': it must be a number"),
    ("rate=1,1.0", "--set rate: 1.0 is there twice"),
    ("width=2.5", "--width 2.5: it must be an integer"),
    ("width=0..3", "--width 0: it must be at least 1"),
    (
        "width=log:1..8",
        "--set width: --width is static, each value is a program of its own, so that nothing is drawn",
    ),
    ("loss=hing", "--loss 'hing': it must be 'hinge' or 'wasserstein'; did you mean 'hinge'?"),
    (
        "rate=log:0..1",
        "--set rate=log:0..1: the ends of a range are finite and ascending, and of a logarithmic",
    ),
    ("rate=uniform:2..1", "the ends of a range are finite and ascending"),
    ("rate=log:1", "a range is LOW..HIGH, or LOW..HIGH:STEP"),
    ("rate=log:1..2:1", "a draw has no step"),
    ("rate=uniform:-1..1", "--rate -1.0: it must be at least 0"),
    ("rate=0..1", "these"),
    ("rate=0..1:-1", "a range of numbers is LOW..HIGH:STEP with a step above 0"),
    ("rate=0.5..1", "a range of numbers is LOW..HIGH:STEP with a step above 0"),
    ("width=1..999999999", "these are 999,999,999 values, more than 100,000"),
    ("seed=1,2", "every configuration is given the same seeds; say how many by --seeds"),
    ("steps=1,2", "runs of several lengths are one run's checkpoints"),
]


@pytest.mark.parametrize(("text", "told"), [row for row in BAD if row[1] != "these"])
def test_bad_input_is_a_line(text, told):
    with pytest.raises(InputError, match=re.escape(told)) as e:
        space.checked(Config(), space.from_text(Config, (text,)))
    assert "\n" not in str(e.value)


def test_an_empty_space_and_a_field_set_twice():
    with pytest.raises(InputError, match="a sweep varies a field: --set FIELD=VALUE"):
        space.checked(Config(), {})
    with pytest.raises(InputError, match="rate is set twice"):
        space.from_text(Config, ("rate=1", "rate=2"))
    with pytest.raises(InputError, match="--set rate: a list of values, not 3"):
        space.checked(Config(), {"rate": 3})
    with pytest.raises(InputError, match="--set rate names no value"):
        space.checked(Config(), {"rate": []})


def test_a_grid_is_every_combination():
    found = space.grid({"rate": (1.0, 2.0), "loss": ("hinge", "wasserstein")})
    assert found == [
        {"rate": 1.0, "loss": "hinge"},
        {"rate": 1.0, "loss": "wasserstein"},
        {"rate": 2.0, "loss": "hinge"},
        {"rate": 2.0, "loss": "wasserstein"},
    ]
    with pytest.raises(
        InputError, match="--set rate: a grid has no draws; .*--sampler random and --trials N"
    ):
        space.grid({"rate": uniform(0, 1)})
    with pytest.raises(InputError, match="these are 1,000,000 configurations, more than 100,000"):
        space.grid({"rate": tuple(map(float, range(1000))), "width": tuple(range(1, 1001))})


def test_fields_that_have_the_same_value():
    varied = space.checked(Config(), space.from_text(Config, ("rate,weight=1,10", "loss=hinge")))
    assert space.fields(varied) == ["rate", "weight", "loss"]
    assert space.grid(varied) == [
        {"rate": 1.0, "weight": 1.0, "loss": "hinge"},
        {"rate": 10.0, "weight": 10.0, "loss": "hinge"},
    ]
    for text, told in [
        ("rate,wight=1", "no field 'wight'; did you mean 'weight'"),
        ("rate,width=1.5", "--width 1.5"),
    ]:
        with pytest.raises(InputError, match=told):
            space.checked(Config(), space.from_text(Config, (text,)))
    with pytest.raises(InputError, match="rate is set twice"):
        space.from_text(Config, ("rate,weight=1", "rate=2"))


def test_a_baseline():
    assert space.of_text(Config, "rate=1,loss=hinge") == {"rate": 1.0, "loss": "hinge"}
    for text, told in [("rate", "FIELD=VALUE"), ("rte=1", "did you mean 'rate'"), ("loss=x", "--loss 'x'")]:
        with pytest.raises(InputError, match=told):
            space.of_text(Config, text)
