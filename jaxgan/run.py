"""A run's folder.

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
import io
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NotRequired

import jax
import numpy as np
from pydantic import AfterValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from jaxgan import cache, kinds, methods
from jaxgan.config import InputError, first_difference, from_dict, nearest
from jaxgan.data import Dataset
from jaxgan.kinds import Kind


def _dtype(name: str) -> str:
    with contextlib.suppress(TypeError):
        return np.dtype(name).name
    raise ValueError(f"{name!r} is no type of numbers")


Array = tuple[list[int], Annotated[str, AfterValidator(_dtype)]]


class Trained(TypedDict):
    """The data of a run."""

    name: str
    digest: str
    shapes: dict[str, str]
    facts: dict[str, Any]
    example: NotRequired[dict[str, Array | dict[str, Array]]]  # of a batch; earlier versions have none


class Experiment(TypedDict):
    """Where a run's method is found again."""

    module: str | None
    file: str | None
    kind: NotRequired[str | None]


class Record(TypedDict):
    """A run's config.json."""

    experiment: Experiment
    config: dict[str, Any]
    loop: dict[str, Any]
    data: Trained
    versions: dict[str, str]
    devices: list[str]


_RECORD = TypeAdapter(Record)


def goes_on_by(root: Path, experiment: dict[str, str | None]) -> str:
    """What to do to go on with a run."""
    return "calling jaxgan.fit again" if experiment["module"] is None else f"`jaxgan resume {root}`"


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
            difference = (
                f"experiment: {methods.name_of(experiment)}, not {methods.name_of(old['experiment'])}"
            )
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
        text = file.read_text()
        _RECORD.validate_json(text, strict=True)
        return json.loads(text)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise InputError(f"{file} is damaged or not of a run ({where}: {first['msg']})") from None
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


def method(record: dict) -> tuple[methods.Method, Any]:
    """The run's method and its config.

    Raises:
      InputError: if its experiment cannot be found, or it is of an earlier version.
    """
    if "example" not in record["data"]:
        raise InputError("the run was made by an earlier version, whose numbers were others; train it anew")
    module = methods.imported(record["experiment"])
    name = record["experiment"].get("kind")
    kind = kinds.default if name is None else getattr(module, name, None)
    if not isinstance(kind, Kind):
        raise InputError(f"{record['experiment']['file']} no longer has the kind of data {name!r} of the run")
    return methods.method_of(module, kind), from_dict(module.Config, record["config"])


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


def checkpoints(path: Path, folder: str = "checkpoints") -> list[int]:
    """The steps that a run has checkpoints of, ascending."""
    return sorted(int(p.name) for p in (path / folder).glob("*") if p.name.isdigit())
