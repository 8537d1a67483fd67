"""A run's folder, and a generator to sample from.

RUN/config.json      experiment, config, loop, data, versions, git commit, devices
    asked.npz        what the generator is asked for when it is shown, if it takes a condition
    metrics.jsonl    one line a logged step, the same bytes however often the run was resumed
    events/          TensorBoard
    samples/         the same latents at each stage; animation.gif
    samples.png  curves.png  scores.json    and what else the kind of data has to show
    report.png  report.html    once `jaxgan report` was asked for them
    checkpoints/     the newest; best/ the one with the best watched score
"""

import contextlib
import dataclasses
import fcntl
import importlib
import importlib.util
import io
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import cache, checkpoint, kinds, random, steps
from jaxgan.config import Count, InputError, Seed, first_difference, from_dict, nearest
from jaxgan.data import Dataset, resident
from jaxgan.game import GAN, GANState, Optimizers
from jaxgan.kinds import Kind, Made

MOST = 16  # of what is asked for in turn, in one picture


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


def goes_on_by(root: Path, experiment: dict[str, str | None]) -> str:
    """What to do to go on with a run."""
    return "calling jaxgan.fit again" if experiment["module"] is None else f"`jaxgan resume {root}`"


def sample_file(kind: Kind) -> str:
    """A file that samples of the kind may be written to."""
    return "grid.png" if ".png" in kind.write else f"samples{next(iter(kind.write))}"


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


def _import(experiment: dict[str, str | None]) -> ModuleType:
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


def _commit(file: str | None) -> str | None:
    """The git commit that the experiment's file is at, with a + if its tree has changes."""
    if file is None:
        return None

    def git(*args):
        done = subprocess.run(["git", "-C", str(Path(file).parent), *args], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        head = git("rev-parse", "HEAD")
        return head and head + ("+" if git("status", "--porcelain", "-uno") else "")
    except FileNotFoundError:
        return None


def create(path: Path, experiment: dict, cfg, loop, data: Dataset, devices: list, asked: dict | None) -> None:
    """Makes a run's folder.

    Args:
      asked: as of `Generator`.

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
            "shapes": data.shapes,
            "facts": dict(data.facts),
            "example": _to_json(data.example(cfg.batch_size)),
        },
        "versions": versions(),
        "commit": _commit(experiment["file"]),
        "devices": device_kinds(devices),
    }
    record = json.loads(json.dumps(record))
    if (path / "config.json").exists():
        old = read(path)
        difference = first_difference(record["config"], old["config"])
        if old["experiment"]["module"] != experiment["module"]:
            difference = f"experiment: {name_of(experiment)}, not {name_of(old['experiment'])}"
        what = "this very configuration" if difference is None else f"another one ({difference})"
        raise InputError(
            f"{path} already holds a run, of {what}; go on with it by `jaxgan resume {path}`, "
            "or choose another --name"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists and is no run's folder; choose another --name")
    try:
        if asked is not None:
            content = io.BytesIO()
            np.savez_compressed(content, **asked)
            cache.write(path / "asked.npz", content.getvalue())
        write(path, record)
    except OSError as e:
        raise InputError(f"{path} cannot be made ({e.strerror}); choose another --out") from None


def _to_json(example: dict) -> dict:
    """The shapes and types of a batch, as JSON has them."""
    return {
        name: _to_json(x) if isinstance(x, dict) else [list(x.shape), str(x.dtype)]
        for name, x in example.items()
    }


def _from_json(example: dict) -> dict:
    return {
        name: _from_json(x) if isinstance(x, dict) else jax.ShapeDtypeStruct(*x)
        for name, x in example.items()
    }


def example_of(record: dict) -> dict:
    """The shapes and types of a run's batch."""
    return _from_json(record["data"]["example"])


def _asked(path: Path) -> dict | None:
    """What a run's generator is asked for in turn, None if it takes no condition."""
    try:
        with np.load(path / "asked.npz", allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as e:
        raise InputError(f"{path / 'asked.npz'} is damaged ({e})") from None


def write(path: Path, record: dict) -> None:
    """Writes a run's config.json."""
    cache.write(path / "config.json", (json.dumps(record, indent=2) + "\n").encode())


def remember(path: Path, cfg, loop) -> None:
    """Puts what a resumed run was given anew into its config.json."""
    anew = {"config": dataclasses.asdict(cfg), "loop": dataclasses.asdict(loop)}
    write(path, read(path) | anew)


def versions() -> dict[str, str]:
    """Of what a run's numbers depend on."""
    packages = ("jaxgan", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {p: metadata.version(p) for p in packages} | {"python": sys.version.partition(" ")[0]}


def device_kinds(devices: list) -> list[str]:
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
        if (Path(path) / "lanes.json").is_file():
            raise InputError(
                f"{path} holds several lanes, each a run's folder of its own; name one"
            ) from None
        siblings, name = Path(path).absolute().parent, Path(path).absolute().name
        names = [p.name for p in siblings.iterdir() if p.name != name] if siblings.is_dir() else []
        hint = nearest(name, names)
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


def method(record: dict) -> tuple[Method, Any]:
    """The run's method and its config."""
    module = _import(record["experiment"])
    name = record["experiment"].get("kind")
    kind = kinds.default if name is None else getattr(module, name, None)
    if not isinstance(kind, Kind):
        raise InputError(f"{record['experiment']['file']} no longer has the kind of data {name!r} of the run")
    return method_of(module, kind), from_dict(module.Config, record["config"])


def dataset(record: dict, data_dir: str | None = None) -> Dataset:
    """The data set that a run was trained on.

    Args:
      data_dir: where TFDS sets lie now, if it is elsewhere than the run's own.

    Raises:
      InputError: if it cannot be read, or its contents are no longer those.
    """
    of, cfg = method(record)
    data = of.kind.load(cfg, data_dir or record["loop"]["data_dir"])
    return checked(record, data)


def checked(record: dict, data: Dataset) -> Dataset:
    """The data, if they are what the run was trained on.

    Raises:
      InputError: if they are not.
    """
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


def asked_of(gan: GAN, kind: Kind, data: Dataset) -> dict | None:
    """What a game's generator is asked for in turn; None if it takes no condition.

    Raises:
      InputError: if it takes one that the kind of data does not ask for.
    """
    if gan.condition is None:
        return None
    asked = kind.ask(data)
    if gan.condition not in asked:
        known = ", ".join(asked) or "nothing"
        raise InputError(
            f"the game is given {gan.condition!r}, and samples of {data.name} are asked for {known}"
        )
    return asked


def drawn(data: Dataset, kind: Kind, n: int) -> dict[str, np.ndarray]:
    """n examples to ask a generator for, as frequent as in the data and the same at each call."""
    asked = {name: data[name] for name in kind.ask(data)}
    rows = np.random.default_rng(0).integers(len(next(iter(asked.values()))), size=n)
    return {name: x[rows] for name, x in asked.items()}


def in_turn(asked: dict, n: int, most: int | None = None) -> dict:
    """The first n of what is asked for, each of the first `most` in turn: 0, 1, ..., 0, 1, ..."""
    return {name: x[np.arange(n) % len(x[:most])] for name, x in asked.items()}


def conditions(gan: GAN, asked: dict | None):
    """What the generator is given for what it is asked for, as its batches have it; None if it is nothing."""
    return None if asked is None else resident.scaled(np.asarray(asked[gan.condition]))


def initial_state(make: Callable, cfg, example: dict) -> GANState:
    """The state before the first step; a function of cfg alone. Only the example's shapes matter."""
    gan, opts = make(cfg)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example)
    return steps.create_state(gan, opts, jax.random.key(cfg.seed), zeros)


def generate(sample: Callable, variables, z, condition=None, *, batch_size: int = 256) -> np.ndarray:
    """The samples of latents z [N, ...] and conditions [N, ...], a batch at a time, on the host.

    Args:
      sample: a GAN's, compiled.
    """
    inputs = (z,) if condition is None else (z, condition)
    n = jax.tree.leaves(z)[0].shape[0]
    batch_size = min(batch_size, n)
    whole = -(-n // batch_size) * batch_size  # the last batch is filled up: one shape, one compile
    parts = []
    for index in np.minimum(np.arange(whole), n - 1).reshape(-1, batch_size):
        batch = jax.tree.map(lambda x, index=index: jnp.asarray(x[index]), inputs)
        parts.append(sample(variables, *batch))
    return jax.tree.map(lambda *x: np.concatenate(x)[:n], *jax.device_get(parts))


@dataclasses.dataclass(frozen=True)
class Generator:
    """A trained generator."""

    gan: GAN
    variables: dict
    config: Any
    kind: Kind
    facts: dict  # of the data, as `Dataset.facts`
    asked: dict | None  # what it is asked for, each in turn: {name: [M, ...]}; None if it takes no condition
    step: int
    averaged: bool  # its weights are the average that was kept
    d_variables: dict | None = None  # D's, if they were asked for

    def sample(self, key, n: int, condition=None, psi: float | None = None, *, label=None) -> np.ndarray:
        """n samples as the method's network makes them: images f32[n, H, W, C] in [-1, 1]. Sample i does not
        depend on n.

        Args:
          key: a typed JAX key, `jax.random.key(0)`.
          condition: of a generator that takes one, as its kind of data has it, for one or for n samples; None
            takes each of the run's own in turn.
          psi: truncates the latent to |z| < psi: less variety, more typical samples.
          label: the condition of a generator that is given labels: an integer, i32[n], or a class's name.

        Raises:
          InputError: if n is below 1, psi is below 0.01, or the generator has no such condition.
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
        return self.of(z, condition, label=label)

    def interpolate(self, key, rows: int, columns: int, condition=None, *, label=None) -> np.ndarray:
        """`rows` paths of `columns` samples between pairs of latents, [rows * columns, ...].

        Each path starts and ends at a sample and stays where latents lie: straight if they are
        bounded (uniform); else, for normal ones, rescaled so that each point is normal again. A condition is
        one for all paths or one each; without one each path has the next of the run's own.
        """
        if columns < 2 or rows < 1:
            raise InputError(
                f"an interpolation has 1 row or more of 2 columns or more, not {rows} of {columns}"
            )
        ends = self.gan.latent(key, jnp.arange(2 * rows))
        a, b = ends[:rows, None], ends[rows:, None]
        t = jnp.linspace(0, 1, columns).reshape(1, -1, *(1,) * (a.ndim - 2))
        path = (1 - t) * a + t * b
        if float(jnp.abs(self.gan.latent(key, jnp.arange(1000))).max()) > 1:
            path = path / jnp.sqrt((1 - t) ** 2 + t**2)
        condition = self._condition(condition, label, rows)
        condition = None if condition is None else np.repeat(condition, columns, 0)
        return self.of(path.reshape(-1, *ends.shape[1:]), condition)

    def of(self, z, condition=None, *, label=None) -> np.ndarray:
        """The samples of latents z [N, ...]."""
        condition = self._condition(condition, label, jax.tree.leaves(z)[0].shape[0])
        condition = None if condition is None else resident.scaled(condition)
        return generate(self._compiled, self.variables, z, condition)

    def _condition(self, condition, label, n: int):
        """What n samples are asked for, [n, ...]; None if the generator takes no condition."""
        own = self.gan.condition
        if label is not None:
            if own != "label" or condition is not None:
                told = "label or condition, not both" if own == "label" else "this generator takes no label"
                raise InputError(told)
            condition = label
        if own is None:
            if condition is not None:
                raise InputError("this generator takes no condition")
            return None
        if condition is None:
            return in_turn(self.asked, n)[own]
        return self.kind.condition(self.facts, self.asked[own], condition, n)

    @cached_property
    def _compiled(self) -> Callable:
        return jax.jit(self.gan.sample)

    def decoded(self, samples):
        """What `sample` made, as the data set holds it."""
        return self.kind.decode(samples)

    def drawn(self, data: Dataset, n: int) -> dict | None:
        """n examples of the data to ask for, None if the generator takes no condition."""
        return None if self.gan.condition is None else drawn(data, self.kind, n)

    def made(self, key, n: int, asked: dict | None, psi: float | None = None) -> Made:
        """n samples, ready to be shown and judged.

        Args:
          asked: as `drawn`.
        """
        condition = asked[self.gan.condition] if asked else None
        samples = self.decoded(self.sample(key, n, condition, psi))
        critic = None
        if self.d_variables is not None:
            critic = partial(jax.jit(self.gan.critic), self.d_variables)
        return Made(samples, asked, critic, self.step)


def checkpoints(path: Path, folder: str = "checkpoints") -> list[int]:
    """The steps that a run has checkpoints of, ascending."""
    return sorted(int(p.name) for p in (path / folder).glob("*") if p.name.isdigit())


def load(
    path: str | Path,
    which: str | int = "last",
    *,
    gan: GAN | None = None,
    kind: Kind | None = None,
    critic: bool = False,
) -> Generator:
    """The generator of a run, its average where one was kept.

    Args:
      path: the run's folder.
      which: "last" (if that one is damaged, the one before), "best" (of the watched score), or a
        step that has a checkpoint; 0 is the generator before the first step.
      gan: the game of a run that `jaxgan.fit` made; that of any other is found.
      kind: of its data; the default if not given.
      critic: whether D is wanted as well.

    Raises:
      InputError: if there is no such run or checkpoint.
    """
    path = Path(path)
    record = read(path)
    if gan is None:
        of, cfg = method(record)
    else:
        cfg = from_dict(Fit, record["config"])
        opts = Optimizers(optax.identity(), optax.identity(), 0.5 if cfg.averaged else None)
        of = fitted(gan, opts, kind or kinds.default)
    gan = of.make(cfg)[0]
    initial = partial(initial_state, of.make, cfg, example_of(record))
    abstract = jax.eval_shape(initial)
    averaged = abstract.g.ema is not None
    known = {"config": cfg, "kind": of.kind, "facts": record["data"]["facts"], "asked": _asked(path)}
    if which == 0:
        state = initial()
        d = state.d.variables if critic and gan.critic else None
        return Generator(gan, state.g.averaged, **known, step=0, averaged=averaged, d_variables=d)
    folder = path / ("best" if which == "best" else "checkpoints")
    found = checkpoints(path, folder.name)
    if not found:
        raise InputError(f"{path} has no checkpoint in {folder.name}/ yet")
    if which == "last":
        wanted = found
    else:
        wanted = [found[-1] if which == "best" else int(which)]
    if wanted[-1] not in found:
        raise InputError(f"{path} has no checkpoint of step {which}, but of {found}")
    wants = critic and gan.critic is not None
    g, d, step = checkpoint.restore_players(folder, wanted, abstract, critic=wants)
    return Generator(gan, g, **known, step=step, averaged=averaged, d_variables=d)
