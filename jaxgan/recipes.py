"""What suits a small data set and what a paper has: fields of a config that the data's size decides.

The size is how many numbers the examples hold as they were read. Their count alone does not tell: 2000 images
of 28x28 want the papers' rates already, and the 1797 digits of 8x8 do not.
"""

import dataclasses
from typing import Literal

from jaxgan.config import InputError, flag

Recipe = Literal["small", "paper"]
SMALL = 200_000  # numbers, below which a set is small: the digits hold 115,008


def by_size(*, small, paper):
    """A field of a config, None until the data are known: then, unless a user gave it, as its recipe has it.

    Args:
      small: its value for data of fewer than `SMALL` numbers.
      paper: its value for any others, as the method's paper has it.
    """
    return dataclasses.field(default=None, metadata={"recipes": {"small": small, "paper": paper}})


def choices(cls: type) -> dict[str, dict]:
    """The fields of a config class that a recipe decides: {name: {recipe: value}}."""
    return {f.name: f.metadata["recipes"] for f in dataclasses.fields(cls) if "recipes" in f.metadata}


def _open(cfg) -> dict[str, dict]:
    """Those of them that nobody has given a value yet."""
    return {name: each for name, each in choices(type(cfg)).items() if getattr(cfg, name) is None}


def _chosen(cfg, size: float) -> str:
    return getattr(cfg, "recipe", None) or ("small" if size < SMALL else "paper")


def filled(cfg, size: float):
    """The config with what was left to its recipe, and the recipe's name where it has a field for it.

    Args:
      size: how many numbers the data hold (`Dataset.numbers`).

    Raises:
      InputError: if a recipe is named, and none decides anything.
    """
    if not choices(type(cfg)):
        if getattr(cfg, "recipe", None) is not None:
            raise InputError(f"--recipe {cfg.recipe}: this method's values are the same for every set")
        return cfg
    name = _chosen(cfg, size)
    named = {"recipe": name} if hasattr(cfg, "recipe") else {}
    return dataclasses.replace(cfg, **named, **{field: each[name] for field, each in _open(cfg).items()})


def told(cfg, size: float) -> list[str]:
    """The line that says what `filled` will do to a config and why; [] if that is nothing."""
    name, still = _chosen(cfg, size), _open(cfg)
    named = getattr(cfg, "recipe", None) is not None
    if not still:
        has = ", ".join(map(flag, choices(type(cfg))))
        return [f"recipe {name} (as given) sets nothing: {has} are given as well"] if named else []
    held = "has no end" if size == float("inf") else f"holds {size:,} numbers"
    why = "as given" if named else f"the set {held}, {'below' if size < SMALL else 'not below'} {SMALL:,}"
    other = "paper" if name == "small" else "small"
    values, others = (", ".join(f"{flag(f)} {each[k]:g}" for f, each in still.items()) for k in (name, other))
    return [f"recipe {name} ({why}): {values}; --recipe {other} has {others}"]


def check_filled(cfg) -> None:
    """Raises InputError if a field is still left to a recipe, as where a game is built by hand."""
    if still := _open(cfg):
        raise InputError(
            f"{next(iter(still))} depends on the size of the data: give it, or fill the config by "
            "jaxgan.recipes.filled(cfg, data.numbers)"
        )
