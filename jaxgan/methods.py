"""What an experiment's module has, and where it is found again."""

import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from jaxgan import kinds, origin, steps
from jaxgan.config import Count, InputError, Seed
from jaxgan.data import resident
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds import Kind


def _usual_step(cfg) -> Callable:
    return steps.train_step


def _usual_batches(cfg, draw) -> Callable:
    return partial(resident.batches, draw, n_critic=cfg.n_critic)


class Method(NamedTuple):
    """What an experiment's module has under these names; all but `make` may be left out."""

    make: Callable  # (cfg, axis=None) -> (GAN, Optimizers)
    kind: Kind = kinds.default  # of data
    train_step: Callable = _usual_step  # cfg -> the order of a step's updates
    batches: Callable = _usual_batches  # (cfg, draw) -> (state -> the real batches of its step)
    complete: Callable = lambda cfg: cfg  # cfg -> cfg with what follows from its other fields
    # (cfg, Dataset) -> `state.frozen`: what a game knows and neither trains nor saves
    frozen: Callable = lambda cfg, data: ()


@dataclasses.dataclass(frozen=True)
class Fit:
    """The config of a run that `jaxgan.fit` made."""

    batch_size: Count = 64
    steps: Count = 1000
    n_critic: Count = 1
    seed: Seed = 0
    averaged: bool = False  # whether an average of G is kept


def fitted(gan, opts: Optimizers | None, kind: Kind) -> Method:
    """The method of a game at hand, or of a function from the device axis to one."""
    return Method(lambda cfg, axis=None: (gan if isinstance(gan, GAN) else gan(axis), opts), kind)


def experiment_of(config_class: type, kind: Kind) -> dict[str, str | None]:
    """Where an experiment can be found again, as `origin.of`, and the name of its kind there.

    Raises:
      TypeError: if the module does not hold the kind.
    """
    module = sys.modules[config_class.__module__]
    known = [k for k, value in vars(module).items() if isinstance(value, Kind) and value is kind]
    if not known and kind is not kinds.default:
        raise TypeError(f"{module.__name__}: the kind of data must be one of the module's names")
    return origin.of(module) | {"kind": known[0] if known else None}


def name_of(experiment: dict[str, str | None]) -> str:
    """A method's own name: its module's or its file's."""
    module, file = experiment["module"], experiment["file"]
    name = (module or "fit").rpartition(".")[2]
    return Path(file).stem if name.startswith("_") and file else name.strip("_")


def method_of(module: ModuleType, kind: Kind) -> Method:
    """The method of an experiment's module."""
    known = ("train_step", "batches", "complete", "frozen")
    own = {k: getattr(module, k) for k in known if hasattr(module, k)}
    return Method(module.make, kind, **own)


def kind_of(module: ModuleType) -> Kind:
    """The one kind of data that a module names; images if it names none.

    Raises:
      InputError: if it names several.
    """
    found = {id(value): name for name, value in vars(module).items() if isinstance(value, Kind)}
    if len(found) > 1:
        raise InputError(
            f"{module.__name__} has the kinds {', '.join(sorted(found.values()))}: give the one, kind=..."
        )
    return getattr(module, next(iter(found.values()))) if found else kinds.default


def loop_of(module: ModuleType, usual):
    """How the host runs a module's method: its `loop`, or what is usual."""
    return getattr(module, "loop", usual)
