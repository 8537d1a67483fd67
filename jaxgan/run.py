"""A run's folder, and a generator to sample from.

RUN/config.json      experiment, config, loop, data, versions, git commit, devices
    metrics.jsonl    one line a logged step, the same bytes however often the run was resumed
    events/          TensorBoard
    samples/         the same latents at each stage; animation.gif
    samples.png  neighbours.png  curves.png  scores.json
    report.png  report.html    once `jaxgan report` was asked for them
    checkpoints/     the newest; best/ the one with the best watched score
"""

import contextlib
import dataclasses
import fcntl
import importlib
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import cache, checkpoint, random
from jaxgan.config import InputError, first_difference, from_dict, nearest
from jaxgan.data import Dataset
from jaxgan.data import load as load_data
from jaxgan.game import GAN, GANState
from jaxgan.steps import create_state


def experiment_of(config_class: type) -> dict[str, str]:
    """Where an experiment's module can be found again: its name and its file."""
    module = sys.modules[config_class.__module__]
    spec = getattr(module, "__spec__", None)
    name = spec.name if spec is not None else module.__name__
    return {"module": name, "file": str(Path(module.__file__).absolute())}


def _import(experiment: dict[str, str]) -> ModuleType:
    name, file = experiment["module"], experiment["file"]
    try:
        if name != "__main__":
            return importlib.import_module(name)
    except ModuleNotFoundError:
        pass
    if not Path(file).is_file():
        raise InputError(f"the run's experiment {name} is neither installed nor at {file}")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _commit(file: str) -> str | None:
    """The git commit that the experiment's file is at, with a + if its tree has changes."""

    def git(*args):
        done = subprocess.run(["git", "-C", str(Path(file).parent), *args], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        head = git("rev-parse", "HEAD")
        return head and head + ("+" if git("status", "--porcelain", "-uno") else "")
    except FileNotFoundError:
        return None


def create(path: Path, experiment: dict, cfg, loop, data, devices: list) -> None:
    """Makes a run's folder.

    Raises:
      InputError: if there is a run in it already, of this configuration or of another.
    """
    record = {
        "experiment": experiment,
        "config": dataclasses.asdict(cfg),
        "loop": dataclasses.asdict(loop),
        "data": {
            "name": data.name,
            "digest": data.digest,
            "shape": list(data.image.shape),
            "classes": list(data.classes),
        },
        "versions": versions(),
        "commit": _commit(experiment["file"]),
        "devices": kinds(devices),
    }
    record = json.loads(json.dumps(record))
    if (path / "config.json").exists():
        old = read(path)
        difference = first_difference(record["config"], old["config"])
        if old["experiment"]["module"] != experiment["module"]:
            difference = f"experiment: {experiment['module']}, not {old['experiment']['module']}"
        what = "this very configuration" if difference is None else f"another one ({difference})"
        raise InputError(
            f"{path} already holds a run, of {what}; go on with it by `jaxgan resume {path}`, "
            "or choose another --name"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists and is no run's folder; choose another --name")
    try:
        write(path, record)
    except OSError as e:
        raise InputError(f"{path} cannot be made ({e.strerror}); choose another --out") from None


def write(path: Path, record: dict) -> None:
    """Writes a run's config.json."""
    cache.write(path / "config.json", (json.dumps(record, indent=2) + "\n").encode())


def versions() -> dict[str, str]:
    """Of what a run's numbers depend on."""
    packages = ("jaxgan", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {p: metadata.version(p) for p in packages} | {"python": sys.version.partition(" ")[0]}


def kinds(devices: list) -> list[str]:
    """What devices a run is on."""
    return [f"{d.platform} {d.device_kind}" for d in devices]


def read(path: Path) -> dict[str, Any]:
    """A run's config.json.

    Raises:
      InputError: if the folder is missing or is no run's.
    """
    file = Path(path) / "config.json"
    try:
        record = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        siblings = Path(path).parent
        names = [p.name for p in siblings.iterdir()] if siblings.is_dir() else []
        hint = nearest(Path(path).name, names)
        raise InputError(
            f"{path} is no run's folder (it has no config.json){hint}; `jaxgan list` shows all runs"
        ) from None
    except (OSError, ValueError) as e:
        raise InputError(f"{file} is damaged ({e})") from None
    parts = {"experiment", "config", "loop", "data", "versions", "devices"}
    if not isinstance(record, dict) or (missing := parts - set(record)):
        what = "it is no record" if not isinstance(record, dict) else f"it has no {min(missing)!r}"
        raise InputError(f"{file} is not of a run ({what})")
    return record


@contextlib.contextmanager
def locked(path: Path):
    """Keeps a run's folder for this process alone.

    Raises:
      InputError: if another process has it.
    """
    with (path / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{path} is in use by another process; stop that one first") from None
        yield


def method(record: dict) -> tuple[ModuleType, Any]:
    """The experiment's module and its config."""
    module = _import(record["experiment"])
    return module, from_dict(module.Config, record["config"])


def load_named(cfg, data_dir: str | None, split: str | None = None) -> Dataset:
    """The data set that a config names, or another split of it."""
    return load_data(
        cfg.data,
        image_size=cfg.image_size,
        channels=cfg.channels,
        split=split or cfg.split,
        data_dir=data_dir,
    )


def dataset(record: dict, data_dir: str | None = None) -> Dataset:
    """The data set that a run was trained on.

    Args:
      data_dir: where TFDS sets lie now, if it is elsewhere than the run's own.

    Raises:
      InputError: if it cannot be read, or its contents are no longer those.
    """
    _, cfg = method(record)
    data = load_named(cfg, data_dir or record["loop"]["data_dir"])
    if data.digest != record["data"]["digest"]:
        raise InputError(f"{data.name} is no longer what the run was trained on: its contents differ")
    return data


def rows(path: Path) -> list[dict]:
    """The rows of a run's metrics.jsonl, [] if it has none yet."""
    try:
        lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]  # a last line may be cut off


def find(root: Path) -> list[Path]:
    """The runs below a folder, oldest first."""
    found = [p.parent for p in Path(root).glob("**/config.json")]
    return sorted(found, key=lambda p: (p / "config.json").stat().st_mtime)


def labels(classes: int, n: int) -> np.ndarray:
    """0, 1, ..., classes - 1, 0, 1, ...: a grid of them has one column a class. i32[n]."""
    return (np.arange(n) % classes).astype(np.int32)


def drawn_labels(data: Dataset, n: int) -> np.ndarray:
    """Labels as frequent as in the data, i32[n], the same at each call."""
    return data.label[np.random.default_rng(0).integers(len(data.label), size=n)]


def initial_state(make: Callable, cfg, data_shape) -> GANState:
    """The state before the first step, for images of uint8[N, H, W, C]; a function of cfg alone."""
    gan, opts = make(cfg)
    n = cfg.batch_size
    batch = {
        "image": jnp.zeros((n, *data_shape[1:])),
        "label": jnp.zeros(n, jnp.int32),
        "slot": jnp.arange(n),
    }
    return create_state(gan, opts, jax.random.key(cfg.seed), batch)


@partial(jax.jit, static_argnums=0)
def _sample(sample: Callable, variables, *inputs):
    return sample(variables, *inputs)


def generate(gan: GAN, variables, z, label=None, *, batch_size: int = 256) -> np.ndarray:
    """The samples of latents z [N, ...] and labels i32[N], a batch at a time, on the host."""
    inputs = (z,) if label is None else (z, jnp.asarray(label))
    n = jax.tree.leaves(z)[0].shape[0]
    batch_size = min(batch_size, n)
    whole = -(-n // batch_size) * batch_size  # the last batch is filled up: one shape, one compile
    parts = []
    for index in np.minimum(np.arange(whole), n - 1).reshape(-1, batch_size):
        batch = jax.tree.map(lambda x, index=index: x[index], inputs)
        parts.append(_sample(gan.sample, variables, *batch))
    return np.concatenate(jax.device_get(parts))[:n]


@dataclasses.dataclass(frozen=True)
class Generator:
    """A trained generator."""

    gan: GAN
    variables: dict
    config: Any
    classes: tuple[str, ...]  # of the labels that `sample` takes; empty if it takes none
    step: int
    averaged: bool  # its weights are the average that was kept

    def sample(self, key, n: int, label=None, psi: float | None = None) -> np.ndarray:
        """n samples, f32[n, H, W, C] in [-1, 1] for images. Sample i does not depend on n.

        Args:
          key: a typed JAX key, `jax.random.key(0)`.
          label: for a conditional generator, an integer or i32[n]; None takes each class in turn.
          psi: truncates the latent to |z| < psi: less variety, more typical samples.

        Raises:
          InputError: if n is below 1, psi is below 0.01, or a label is not one of the classes'.
        """
        if n < 1:
            raise InputError(f"n is {n}: ask for 1 or more samples")
        if psi is not None and not 0.01 <= psi < math.inf:
            raise InputError(f"psi is {psi}: it must be 0.01 or more, and finite")
        slot = jnp.arange(n)
        if psi is None:
            z = self.gan.latent(key, slot)
        else:
            z = random.truncated(self.gan.latent, key, slot, psi)
        return self.of(z, label)

    def interpolate(self, key, rows: int, columns: int, label=None) -> np.ndarray:
        """`rows` paths of `columns` samples between pairs of latents, f32[rows * columns, ...].

        Each path starts and ends at a sample and stays where latents lie: straight if they are
        bounded (uniform); else, for normal ones, rescaled so that each point is normal again.
        """
        if columns < 2:
            raise InputError(f"an interpolation has 2 columns or more, not {columns}")
        ends = self.gan.latent(key, jnp.arange(2 * rows))
        a, b = ends[:rows, None], ends[rows:, None]
        t = jnp.linspace(0, 1, columns).reshape(1, -1, *(1,) * (a.ndim - 2))
        path = (1 - t) * a + t * b
        if float(jnp.abs(self.gan.latent(key, jnp.arange(1000))).max()) > 1:
            path = path / jnp.sqrt((1 - t) ** 2 + t**2)
        return self.of(path.reshape(-1, *ends.shape[1:]), label)

    def of(self, z, label=None) -> np.ndarray:
        """The samples of latents z [N, ...]."""
        n = jax.tree.leaves(z)[0].shape[0]
        if not self.classes:
            if label is not None:
                raise InputError("this generator takes no label")
            return generate(self.gan, self.variables, z)
        label = labels(len(self.classes), n) if label is None else np.asarray(label, np.int32)
        if label.min() < 0 or label.max() >= len(self.classes):
            named = ", ".join(f"{i} {name}" for i, name in enumerate(self.classes))
            raise InputError(f"label {label.max()} is not one of the classes: {named}")
        return generate(self.gan, self.variables, z, np.broadcast_to(label, (n,)))


def checkpoints(path: Path, folder: str = "checkpoints") -> list[int]:
    """The steps that a run has checkpoints of, ascending."""
    return sorted(int(p.name) for p in (path / folder).glob("*") if p.name.isdigit())


def load(path: str | Path, which: str | int = "last") -> Generator:
    """The generator of a run, its average where one was kept.

    Args:
      path: the run's folder.
      which: "last" (if that one is damaged, the one before), "best" (of the watched score), or a
        step that has a checkpoint; 0 is the generator before the first step.

    Raises:
      InputError: if there is no such run or checkpoint.
    """
    path = Path(path)
    record = read(path)
    module, cfg = method(record)
    gan, _ = module.make(cfg)
    conditional = getattr(cfg, "n_classes", None) is not None
    classes = tuple(record["data"]["classes"]) if conditional else ()
    initial = partial(initial_state, module.make, cfg, record["data"]["shape"])
    abstract = jax.eval_shape(initial)
    averaged = abstract.g.ema is not None
    if which == 0:
        return Generator(gan, initial().g.averaged, cfg, classes, 0, averaged)
    folder = path / ("best" if which == "best" else "checkpoints")
    steps = checkpoints(path, folder.name)
    if not steps:
        raise InputError(f"{path} has no checkpoint in {folder.name}/ yet")
    if which == "last":
        wanted = steps
    else:
        wanted = [steps[-1] if which == "best" else int(which)]
    if wanted[-1] not in steps:
        raise InputError(f"{path} has no checkpoint of step {which}, but of {steps}")
    variables, step = checkpoint.restore_generator(folder, wanted, abstract)
    return Generator(gan, variables, cfg, classes, step, averaged)
