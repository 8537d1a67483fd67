"""A run's folder.

RUN/config.json      experiment, config, loop, data, versions, git commit, devices
    method.py        the source of a method that is not installed
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
import os
import subprocess
import sys
import zlib
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgan import cache, kinds, methods, origin, records
from jaxgan.config import InputError, first_difference, from_dict
from jaxgan.data import Dataset, bad_examples
from jaxgan.kinds import Kind


def goes_on_by(root: Path, experiment: dict[str, str | None]) -> str:
    """What to do to go on with a run."""
    if experiment["module"] is None:
        return "calling jaxgan.fit again"
    if experiment["file"] is None:
        return f"jaxgan.train.resume({str(root)!r}), where its Config and make are defined"
    return f"`jaxgan resume {root}`"


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


def create(
    path: Path,
    experiment: dict,
    cfg,
    loop,
    data: Dataset,
    devices: list,
    asked: dict | None,
    *,
    program: str,
    text: bytes | None = None,
    elsewhere: str | None = None,
) -> None:
    """Makes a run's folder.

    Args:
      asked: as of `Generator`.
      program: a digest of what a step computes.
      text: the method's source, of one that is not installed.
      elsewhere: where its checkpoints go, if not there.

    Raises:
      InputError: if there is a run in it already, of this configuration or of another.
    """
    content = io.BytesIO()
    if asked is not None:
        np.savez_compressed(content, **asked)
    record = {
        "experiment": experiment,
        "program": program,
        "config": dataclasses.asdict(cfg),
        "loop": dataclasses.asdict(loop),
        "data": {
            "name": data.name,
            "digest": data.digest,
            "shapes": data.shapes,
            "facts": dict(data.facts),
            "example": _to_json(data.example(cfg.batch_size)),
        },
        "folder": os.getcwd(),
        "asked": None if asked is None else zlib.crc32(content.getvalue()),
        "versions": versions(),
        "commit": _commit(experiment["file"]),
        "devices": device_kinds(devices),
    }
    record = json.loads(json.dumps(record))
    if (path / "config.json").exists():
        old = records.read(path)
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
    if path.exists() and not (path.is_dir() and all(map(_unfinished, path.iterdir()))):
        raise InputError(f"{path} exists and is no run's folder; choose another --name")
    try:
        if asked is not None:
            cache.write(path / "asked.npz", content.getvalue())
        if text is not None:
            cache.write(path / origin.KEPT, text)
        if elsewhere is not None:
            cache.write(path / records.ELSEWHERE, f"{elsewhere}\n".encode())
        write(path, record)
    except OSError as e:
        raise InputError(f"{path} cannot be made ({e.strerror}); choose another --out") from None


def _unfinished(file: Path) -> bool:
    """Whether it is what `create` leaves where it was killed: config.json comes last."""
    return file.name.startswith(("asked.npz", origin.KEPT, records.ELSEWHERE, "config.json."))


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
    records.write(path / "config.json", record)


def remember(path: Path, cfg, loop, program: str) -> None:
    """Puts what a resumed run was given anew into its config.json."""
    anew = {"config": dataclasses.asdict(cfg), "loop": dataclasses.asdict(loop), "program": program}
    write(path, records.read(path) | anew)


def versions() -> dict[str, str]:
    """Of what a run's numbers depend on."""
    packages = ("jaxgan", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {p: metadata.version(p) for p in packages} | {"python": sys.version.partition(" ")[0]}


def device_kinds(devices: list) -> list[str]:
    """What devices a run is on."""
    return [f"{d.platform} {d.device_kind}" for d in devices]


class InUse(InputError):
    """Another process has a run's folder."""


@contextlib.contextmanager
def locked(path: Path):
    """Keeps a run's folder for this process alone.

    Raises:
      InUse: if another process has it.
    """
    with (path / "lock").open("a") as file:  # which empties nothing, if it is a link
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUse(f"{path} is in use by another process; stop that one first") from None
        yield


def kind_of(module, experiment: dict) -> Kind:
    """The kind of data of a record's experiment, by its name in the module.

    Raises:
      InputError: if the module has none of that name.
    """
    name = experiment.get("kind")
    kind = kinds.default if name is None else getattr(module, name, None)
    if not isinstance(kind, Kind):
        raise InputError(f"{experiment['file']} no longer has the kind of data {name!r} of the run")
    return kind


def method(record: dict, path: Path | None = None) -> tuple[methods.Method, Any]:
    """The run's method and its config.

    Args:
      path: the run's folder, in which the method's source may be kept.

    Raises:
      InputError: if its experiment cannot be found, or is not to be run without the user's word.
    """
    module = origin.module(record["experiment"], path)
    kind = kind_of(module, record["experiment"])
    if not (dataclasses.is_dataclass(getattr(module, "Config", None)) and hasattr(module, "make")):
        raise InputError(f"{record['experiment']['file']} no longer has the run's Config and make")
    return methods.method_of(module, kind), from_dict(module.Config, record["config"])


def dataset(
    record: dict, data_dir: str | None = None, data: str | None = None, path: Path | None = None
) -> Dataset:
    """The data set that a run was trained on.

    Args:
      data_dir: where TFDS sets lie now, if it is elsewhere than the run's own.
      data: what its `--data` is called now, if it was moved.
      path: as for `method`.

    Raises:
      InputError: if it cannot be read, or its contents are no longer those.
    """
    of, cfg = method(record, path)
    with bad_examples(record["loop"].get("on_bad_example", "raise")):
        found = of.kind.load(at(record, cfg, data), data_dir or record["loop"]["data_dir"])
    return checked(record, found)


def at(record: dict, cfg, data: str | None = None):
    """A run's config with its data where they are now: a relative path was meant from the folder in which the
    run was started.

    Args:
      data: what `--data` is called now.

    Raises:
      InputError: if the config has no `data`.
    """
    own = getattr(cfg, "data", None)
    if data is not None:
        if own is None:
            raise InputError(f"--data {data}: {record['data']['name']} is not named by --data")
        return dataclasses.replace(cfg, data=data)
    kind, colon, where = own.partition(":") if isinstance(own, str) else ("", "", "")
    there = Path(record["folder"], where)
    if colon and kind != "tfds" and not Path(where).expanduser().exists() and there.exists():
        print(f"{own} is taken from {record['folder']}", file=sys.stderr)
        return dataclasses.replace(cfg, data=f"{kind}:{there}")
    return cfg


def checked(record: dict, data: Dataset) -> Dataset:
    """The data, by the name that the run has for them, if they are what it was trained on.

    Raises:
      InputError: if they are not.
    """
    if data.digest != record["data"]["digest"]:
        raise InputError(f"{data.name} is no longer what the run was trained on: its contents differ")
    return dataclasses.replace(data, name=record["data"]["name"])
