"""What a run's folder says of the run, each file under a checksum; read without what trained it."""

import contextlib
import json
import sys
import zlib
from pathlib import Path
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import AfterValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from jaxgan import cache
from jaxgan.config import InputError, is_name, nearest


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
    example: dict[str, Array | dict[str, Array]]  # of a batch


class Experiment(TypedDict):
    """Where a run's method is found again, and what it was."""

    module: str | None
    file: str | None
    kind: NotRequired[str | None]
    digest: NotRequired[str | None]  # of its file


class Record(TypedDict):
    """A run's config.json."""

    experiment: Experiment
    program: str  # a digest of what a step computes
    config: dict[str, Any]
    loop: dict[str, Any]
    data: Trained
    folder: str  # from which relative paths were meant
    asked: int | None  # the checksum of asked.npz
    versions: dict[str, str]
    devices: list[str]


_RECORD = TypeAdapter(Record)
_AS_IT_WAS = "put back the file as it was, or train anew under another --name"


def checksum(record: dict) -> int:
    """Of a dict that is written as JSON, but for its own entry `checksum`."""
    rest = {k: v for k, v in record.items() if k != "checksum"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def sealed(record: dict) -> dict:
    """The record with its checksum."""
    return record | {"checksum": checksum(record)}


def write(file: Path, record: dict) -> None:
    """Writes a record as JSON, with its checksum."""
    cache.write(file, (json.dumps(sealed(plain(record)), indent=2) + "\n").encode())


def plain(record: dict) -> dict:
    """The record as it is read again: lists for tuples."""
    return json.loads(json.dumps(record))


def parsed(text: str | bytes) -> dict:
    """The record of a text.

    Raises:
      ValueError: if it is no JSON, or its checksum is off.
      KeyError: if it has none.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is no record")
    if found.pop("checksum") != checksum(found):
        raise ValueError("its checksum is off")
    return found


def read(path: Path) -> dict[str, Any]:
    """A run's config.json.

    Raises:
      InputError: if the folder is missing or is no run's, or the file is damaged.
    """
    file = Path(path) / "config.json"
    try:
        record = parsed(file.read_bytes())
        _RECORD.validate_json(json.dumps(record), strict=True)
        return record
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
    except OSError as e:
        raise InputError(f"{file} cannot be read ({e.strerror})") from None
    except KeyError:
        raise InputError(
            f"{file} has no checksum: it is damaged, or was made by an earlier version, whose numbers were "
            "others; train it anew"
        ) from None
    except (ValueError, RecursionError) as e:
        raise InputError(f"{file} is damaged ({e}): {_AS_IT_WAS}") from None


def scores(file: Path) -> dict[str, Any]:
    """A file of scores, or the beginning of one: its `scores`, each a record with the `step` of its generator
    (None without a run), and facts of the run.

    Raises:
      InputError: if it is damaged or cannot be read.
    """
    try:
        known = parsed(file.read_bytes())
        if not all(record["step"] is None or isinstance(record["step"], int) for record in known["scores"]):
            raise ValueError("a step is no number")
    except FileNotFoundError:
        return {"scores": []}
    except OSError as e:
        raise InputError(f"{file} cannot be read ({e.strerror}); move it away and evaluate again") from None
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(
            f"{file} is damaged or of another version ({e}); move it away and evaluate again"
        ) from None
    return known


def lane_names(root: Path, which: str = "lanes") -> list[str]:
    """The names of the lanes below a folder, or of those that `failed`; [] if it is no folder of lanes."""
    file = root / "lanes.json"
    try:
        known = parsed(file.read_bytes())
        if stray := [name for name in known["lanes"] if not is_name(name)]:
            raise ValueError(f"{stray[0]!r} is no folder in it")
        return [name for name in known["lanes"] if which == "lanes" or name in known.get(which, ())]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (ValueError, KeyError, TypeError, OSError) as e:
        raise InputError(f"{file} is damaged ({e}); go on with each folder below it on its own") from None


def find(root: Path) -> list[Path]:
    """The runs below a folder, oldest first."""
    found = [p.parent for p in Path(root).glob("**/config.json")]
    return sorted(found, key=lambda p: (p / "config.json").stat().st_mtime)


ELSEWHERE = "checkpoints.url"  # the file of a run whose checkpoints are elsewhere, which says where


def home(path: Path):
    """Where a run's checkpoints are: its folder, or the one of another disk or bucket that it names."""
    file = Path(path) / ELSEWHERE
    if not file.is_file():
        return Path(path)
    from etils import epath  # reads buckets as folders

    return epath.Path(file.read_text().strip())


def check_home(path: Path) -> None:
    """Raises InputError if a run's checkpoints are said to be where this very run is not: there they would be
    deleted, and files be written over."""
    place = home(path)
    if place == Path(path):
        return
    mine, other = read(path), {}
    with contextlib.suppress(OSError, ValueError, KeyError):
        other = parsed((place / "config.json").read_bytes())
    if any(mine[name] != other.get(name) for name in ("experiment", "data", "folder", "asked", "versions")):
        raise InputError(
            f"{Path(path) / ELSEWHERE} names {place}, which does not hold this run: remove that file, "
            "or if the place is yours correct it"
        )


def checkpoints(path: Path, folder: str = "checkpoints") -> list[int]:
    """The steps that a run has checkpoints of, ascending."""
    place = home(path) / folder
    return sorted(int(p.name) for p in place.glob("*") if p.name.isdigit()) if place.exists() else []


def copy(names: list[str], source, target) -> None:
    """Copies those of some files that are there from one folder, or bucket, to another."""
    for name in names:
        if (source / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            content = (source / name).read_bytes()
            if isinstance(target, Path):
                cache.write(target / name, content)
            else:
                (target / name).write_bytes(content)


def meta(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds beside its arrays: their `leaves`, by path (shape, type, checksum), and the
    host's `progress`.

    Raises:
      OSError, ValueError: if it is missing or damaged.
    """
    found = parsed((checkpoint / "meta" / "metadata").read_bytes())
    if not {"leaves", "progress"} <= found.keys():
        raise ValueError("it is of an earlier version")
    return found


def progress(path: Path) -> dict[str, Any] | None:
    """The host's progress at a run's newest checkpoint of which it can be read; None if there is none."""
    for step in reversed(checkpoints(path)):
        with contextlib.suppress(OSError, ValueError, KeyError):
            return meta(home(path) / "checkpoints" / str(step))["progress"]
    return None


def _row(line: bytes) -> dict | None:
    with contextlib.suppress(ValueError):
        row = json.loads(line)
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            return row
    return None


def rows(path: Path, known: dict | None = None) -> list[dict]:
    """The rows of a run's metrics.jsonl that can be read, [] if it has none yet; a line on stderr says if any
    are lost.

    Args:
      known: the progress that the first of them were saved with; the newest if not given.
    """
    file = path / "metrics.jsonl"
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as e:
        raise InputError(f"{file} cannot be read ({e.strerror}): move it away, and go on without") from None
    known = progress(path) if known is None else known
    size, expected, count = (known or {}).get("rows", (0, 0, 0))
    lines = content.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n") and len(content) > size:
        lines.pop()  # it was being written when the run was killed
    found = [_row(line) for line in lines]
    whole = [row for row in found if row is not None]
    if zlib.crc32(content[:size]) != expected or len(content) < size:
        what = f"of {count} rows {len(whole)} can be read" if len(whole) < count else "a figure has changed"
        _say(f"{file} is damaged: {what}; the curves show what is left, and the run itself is not concerned")
    elif len(whole) < len(found):
        _say(f"{file} is damaged: {len(found) - len(whole)} rows of {len(found)} are lost")
    return whole


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def rows_sum(content: bytes, before: tuple[int, int, int] = (0, 0, 0)) -> tuple[int, int, int]:
    """(size, checksum, number) of the rows of metrics.jsonl, with those that come after `before`."""
    size, crc, count = before
    return size + len(content), zlib.crc32(content, crc), count + content.count(b"\n")
