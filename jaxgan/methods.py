"""What an experiment's module has, and where it is found again."""

import contextlib
import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from jaxgan import kinds, steps
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
    """Where an experiment can be found again: its module's name and file, and the name of its kind there.

    The file is None where the module has none, as in a notebook.

    Raises:
      TypeError: if the module does not hold the kind.
    """
    module = sys.modules[config_class.__module__]
    spec = getattr(module, "__spec__", None)
    name = spec.name if spec is not None else module.__name__
    known = [k for k, value in vars(module).items() if isinstance(value, Kind) and value is kind]
    if not known and kind is not kinds.default:
        raise TypeError(f"{module.__name__}: the kind of data must be one of the module's names")
    file = getattr(module, "__file__", None)
    return {
        "module": name,
        "file": None if file is None or not Path(file).is_file() else str(Path(file).absolute()),
        "kind": known[0] if known else None,
    }


def name_of(experiment: dict[str, str | None]) -> str:
    """A method's own name: its module's or its file's."""
    module, file = experiment["module"], experiment["file"]
    name = (module or "fit").rpartition(".")[2]
    return Path(file).stem if name == "__main__" and file else name.strip("_")


def method_of(module: ModuleType, kind: Kind) -> Method:
    """The method of an experiment's module."""
    own = {k: getattr(module, k) for k in ("train_step", "batches", "complete") if hasattr(module, k)}
    return Method(module.make, kind, **own)


_importing: list[str] = []  # files of runs that are being imported


def check_wanted() -> None:
    """Raises InputError where a training is started by the import of a run's own file."""
    if _importing:
        raise InputError(
            f"{_importing[-1]} trains when it is imported: put what starts it under "
            "`if __name__ == '__main__':`"
        )


def imported(experiment: dict[str, str | None]) -> ModuleType:
    """An experiment's module.

    Raises:
      InputError: if it is neither installed nor at its file, or was made by `jaxgan.fit`.
    """
    name, file = experiment["module"], experiment["file"]
    if name is None:
        raise InputError("this run was made by jaxgan.fit: give its game, jaxgan.load(path, gan=gan)")
    if name == "__main__":
        here = sys.modules["__main__"]
        same = file is None or Path(getattr(here, "__file__", None) or "").absolute() == Path(file)
        if same and hasattr(here, "Config") and hasattr(here, "make"):
            return here
        if file is None:
            raise InputError(
                "the run's method was typed into a session and is known there alone; save it to a file"
            )
    else:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    if not Path(file).is_file():
        raise InputError(f"the run's experiment {name} is neither installed nor at {file}")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    _importing.append(file)
    try:
        spec.loader.exec_module(module)
    finally:
        _importing.pop()
    return module
