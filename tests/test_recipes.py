"""What the size of a data set decides, and that nothing else does."""

import importlib
import inspect
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_experiments import NAMES

from experiments import cgan, dcgan, gan, lsgan, r3gan, sngan, wgan_gp
from jaxgan import methods, recipes, train
from jaxgan.config import Count, InputError, Rate, Seed, check
from jaxgan.data import Dataset, load
from jaxgan.recipes import SMALL, by_size, choices, filled, told

MODULES = [importlib.import_module(f"experiments.{name}") for name in NAMES]
CLASSES = {module.__name__.rpartition(".")[2]: module.Config for module in MODULES}


@dataclass(frozen=True)
class Two:
    recipe: Literal["small", "paper"] | None = None
    rate: Rate | None = by_size(small=2e-3, paper=2e-4)
    numbers: Count | None = by_size(small=16, paper=100)
    seed: Seed = 0


@given(
    size=st.integers(1, 10**9) | st.just(float("inf")) | st.integers(SMALL - 1, SMALL + 1),
    recipe=st.none() | st.sampled_from(["small", "paper"]),
    rate=st.none() | st.floats(0, 1),
    numbers=st.none() | st.integers(1, 1000),
)
def test_what_is_given_stays_and_the_rest_is_as_the_recipe_has_it(size, recipe, rate, numbers):
    cfg = Two(recipe, rate, numbers)
    name = recipe or ("small" if size < SMALL else "paper")
    wanted = {"small": (2e-3, 16), "paper": (2e-4, 100)}[name]
    full = filled(cfg, size)
    assert full == check(full)
    assert full.recipe == name
    assert full.rate == (wanted[0] if rate is None else rate)  # also where it is 0
    assert full.numbers == (wanted[1] if numbers is None else numbers)
    assert filled(full, 1) == filled(full, 10**9) == full  # what is recorded is as it was, for any data
    line = " ".join(told(cfg, size))
    mine, _, others = line.partition(";")
    for field, value, values in (
        ("--rate", rate, ("0.002", "0.0002")),
        ("--numbers", numbers, ("16", "100")),
    ):
        if value is None:
            a, b = values if name == "small" else values[::-1]
            assert f"{field} {a}" in mine
            assert f"{field} {b}" in others
    if full == cfg:
        assert line == f"recipe {name} (as given) sets nothing: --rate, --numbers are given as well"
    elif rate is not None and numbers is not None:
        assert line == ""
    else:
        assert line.startswith(f"recipe {name} (")
        assert line.count("--rate") == 2 * (rate is None)
        assert line.count("--numbers") == 2 * (numbers is None)
        assert ("as given" in line) == (recipe is not None)
        assert recipe or ("has no end" if size == float("inf") else f"holds {size:,} numbers") in line


def test_a_config_without_such_fields_is_as_it_is():
    assert filled(gan.Config(), 5) == gan.Config()
    assert told(gan.Config(), 5) == []

    @dataclass(frozen=True)
    class One(Two):
        rate: Rate = 1e-3
        numbers: Count = 8

    assert filled(One(), 5) == One()
    with pytest.raises(InputError, match="--recipe small: .* the same for every set"):
        filled(One(recipe="small"), 5)


def test_a_class_below_may_give_one_value_and_a_config_may_lack_the_flag():
    @dataclass(frozen=True)
    class Fixed(Two):
        rate: Rate = 1e-3

    assert set(choices(Fixed)) == {"numbers"}
    assert filled(Fixed(), 5) == Fixed("small", 1e-3, 16)

    @dataclass(frozen=True)
    class Bare:
        rate: Rate | None = by_size(small=1.0, paper=0.5)

    assert filled(Bare(), 5) == Bare(1.0)
    assert filled(Bare(), SMALL) == Bare(0.5)


# The numbers by which the digits' scores in the docstrings were measured: (latent, g_lr, d_lr).
DIGITS = {
    "dcgan": (16, 2e-3, 2e-4),
    "cgan": (100, 2e-3, 2e-4),
    "lsgan": (16, 2e-3, 2e-4),
    "wgan": (16, 2e-4, 2e-4),
    "wgan_gp": (16, 5e-4, 5e-4),
    "dragan": (16, 1e-3, 1e-3),
    "sngan": (16, 1e-3, 1e-3),
    "r3gan": (16, 1e-3, 1e-3),
    "ttur": (16, 5e-4, 1.5e-3),
    "progan": (16, 1e-3, 1e-3),
    "unrolled": (16, 1e-3, 2e-4),
    "minibatch": (16, 1e-3, 1e-3),
    "pacgan": (16, 2e-3, 2e-4),
    "mode_seeking": (100, 2e-3, 2e-4),
    "acgan": (100, 2e-3, 2e-4),
    "projection": (100, 1e-3, 1e-3),
    "infogan": (19, 1e-3, 1e-3),
    "toolbox": (16, 2e-3, 2e-4),
    "gan": (100, 1e-3, 2e-4),
    "biggan": (60, 1e-3, 1e-3),
    "stylegan2": (64, 2.5e-3, 2.5e-3),
    "vae": (16, 1e-3, 1e-3),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_digits_have_the_numbers_that_they_were_measured_with(name):
    cfg = filled(CLASSES[name](), load("digits", image_size=32).numbers)  # as they are read, of 8x8
    assert (cfg.latent, cfg.g_lr, cfg.d_lr) == DIGITS[name]


@pytest.mark.parametrize("name", NAMES)
def test_both_recipes_fit_and_the_flags_help_has_their_values(name):
    cls = CLASSES[name]
    lines = {}
    for own in reversed(cls.__mro__[:-1]):
        lines |= dict(re.findall(r"^    (\w+): [^#\n]*#(.*)", inspect.getsource(own), re.M))
    for size in (1, SMALL):
        full = check(filled(cls(), size))
        assert not [f for f in choices(cls) if getattr(full, f) is None]
    for field, each in choices(cls).items():
        assert set(each) == {"small", "paper"}
        assert each["small"] != each["paper"], f"{field} has one value: give it as any other"
        for recipe, value in each.items():
            shown = re.search(rf"{recipe}: ([\d.e-]+)", lines[field])
            assert shown, field
            assert float(shown[1]) == value


@pytest.mark.parametrize("module", [dcgan, cgan, lsgan, wgan_gp, sngan, r3gan])
def test_a_game_built_by_hand_asks_for_what_is_not_filled(module):
    facts = {"channels": 1} | ({"n_classes": 10} if hasattr(module.Config, "n_classes") else {})
    with pytest.raises(InputError, match=r"depends on the size of the data.*jaxgan\.recipes\.filled"):
        module.make(replace(module.Config(), **facts))
    module.make(filled(replace(module.Config(), **facts), 5))


TINY = dict(image_size=8, width=4, batch_size=8, steps=2)


@pytest.fixture
def set_of(tmp_path):
    """Makes the --data of images that hold so many numbers, 10 each."""

    def made(n: int) -> str:
        np.savez(tmp_path / f"{n}.npz", image=np.resize(np.arange(251, dtype=np.uint8), (n // 10, 2, 5)))
        return f"npz:{tmp_path / f'{n}.npz'}"

    return made


def _begun(cfg, out, monkeypatch, **loop):
    """The configs that a run would be made with, as config.json has them; nothing is trained."""
    monkeypatch.setattr(train, "_fit", lambda *args: {})
    train.start(cfg, train.Loop(out=str(out), name="a", devices=1, **loop))
    return {p.parent.name: json.loads(p.read_text())["config"] for p in sorted(out.glob("**/config.json"))}


@pytest.mark.parametrize(
    ("size", "flags", "recorded", "line"),
    [
        (SMALL - 10, {}, ("small", 2e-3, 16), "recipe small (the set holds 199,990 numbers, below 200"),
        (SMALL, {}, ("paper", 2e-4, 100), "recipe paper (the set holds 200,000 numbers, not below"),
        (SMALL, {"g_lr": 1e-3}, ("paper", 1e-3, 100), "--latent 100; --recipe small has --latent 16\n"),
        (SMALL, {"g_lr": 0.0}, ("paper", 0.0, 100), "--latent 100; --recipe small has --latent 16\n"),
        (990, {"recipe": "paper", "latent": 3}, ("paper", 2e-4, 3),
         "recipe paper (as given): --g-lr 0.0002; --recipe small has --g-lr 0.002\n"),
    ],
    ids=["small", "not small", "a flag", "a flag of 0", "by name"],
)  # fmt: skip
def test_a_run_says_and_records_what_the_size_decided(
    size, flags, recorded, line, set_of, tmp_path, monkeypatch, capsys
):
    cfg = dcgan.Config(data=set_of(size), **TINY, **flags)
    found = _begun(cfg, tmp_path / "runs", monkeypatch)["a"]
    assert (found["recipe"], found["g_lr"], found["latent"]) == recorded
    assert line in capsys.readouterr().out


def test_configs_that_differ_in_such_a_field_differ_in_it_alone(set_of):
    cfg = dcgan.Config(data=set_of(990), **TINY)
    method = methods.method_of(dcgan, dcgan.images)
    configs = {str(rate): replace(cfg, g_lr=rate) for rate in (1e-3, 2e-4)}
    found = train.ready(method, configs, method.kind.load(cfg, None))
    assert [(c.g_lr, c.latent, c.recipe) for c in found.values()] == [
        (1e-3, 16, "small"),
        (2e-4, 16, "small"),
    ]


def test_a_run_goes_on_with_what_was_decided(set_of, tmp_path, monkeypatch, capsys):
    """Also where its set would be of the other size now: the line between them is no part of a run."""
    cfg = dcgan.Config(data=set_of(990), **TINY)
    before = _begun(cfg, tmp_path, monkeypatch)["a"]
    capsys.readouterr()
    monkeypatch.setattr(recipes, "SMALL", 1)
    configs = []
    monkeypatch.setattr(train, "_fit", lambda *args: configs.append(args[2][""]))
    train.resume(tmp_path / "dcgan/a", steps=3)
    assert asdict(configs[0]) == {**before, "steps": 3}
    assert (configs[0].recipe, configs[0].g_lr, configs[0].latent) == ("small", 2e-3, 16)
    assert "recipe" not in capsys.readouterr().out


def test_a_sets_size_is_that_of_what_was_read(tmp_path):
    """However large its images are made, and where colours are needed or dropped, in those that are seen."""
    images = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)
    np.savez(tmp_path / "x.npz", image=images)
    for size in (2, 16):
        assert load(f"npz:{tmp_path / 'x.npz'}", image_size=size).numbers == 180
    assert load(f"npz:{tmp_path / 'x.npz'}", image_size=2, channels=1).numbers == 60
    assert load("digits", image_size=16).numbers == 1797 * 8 * 8 == 115008
    assert Dataset("own", {"x": np.zeros((7, 3)), "y": np.zeros(7)}).numbers == 28
    assert Dataset("two", {"a": {"x": np.zeros((7, 3))}, "b": {"x": np.zeros((5, 2))}}).numbers == 31
    drawn = Dataset("drawn", {"x": np.zeros(2)}, sampler=lambda arrays, key, draw, slot: {"x": slot})
    assert drawn.numbers == float("inf")
