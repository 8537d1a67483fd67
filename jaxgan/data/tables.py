"""Tables of mixed columns: read, their columns' kinds inferred, and rows as the numbers that a network makes.

A table is f64[N, C]: a number, or of a column of categories a category's place among them. Its record,
f32[N, E], has for each column in turn, by its encoding,

    number    one number, as it is
    one_hot   a category's one-hot code
    modes     (x - mean) / (4 deviation) in one mode of the column's mixture, and that mode's one-hot code
              (Xu et al. 2019, section 4.2)
"""

import csv
import io
import json
import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan import memory
from jaxgan.config import InputError, nearest

KINDS = ("continuous", "discrete", "binary", "count")
MISSING = {"", "?", "na", "n/a", "nan", "null", "none"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
FEW = 10  # whole numbers: of so many or fewer a column is one of categories
MOST = 100  # texts, above which a column names rows and is left out
FITTED = 10_000  # rows that a mixture is fitted to, at most
CELLS = 20  # times a file's size, that its cells take
KEPT = 0.005  # the weight of a mode that is kept, as in the authors' code


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: str  # one of `KINDS`
    encoding: str = "number"  # or one_hot, modes
    values: tuple[str, ...] = ()  # the categories of a discrete or binary column
    counts: tuple[int, ...] = ()  # the rows trained on that have each
    digits: int | None = 0  # after the point; None: as many as a number has
    modes: tuple[tuple[float, float, float], ...] = ()  # weight, mean and deviation of each

    @property
    def width(self) -> int:
        """How many numbers of a record are the column's."""
        return {"number": 1, "one_hot": len(self.values), "modes": 1 + len(self.modes)}[self.encoding]

    @property
    def has_categories(self) -> bool:
        """Whether its numbers are places of categories."""
        return self.kind in ("discrete", "binary")


def to_text(column: Column) -> str:
    """As a config and a run's files hold it: JSON."""
    return json.dumps(column._asdict(), ensure_ascii=False)


def of_text(text: str) -> Column:
    """The column of a `to_text`.

    Raises:
      InputError: if it is none.
    """
    try:
        found = Column(**json.loads(text))
        column = found._replace(
            values=tuple(found.values), counts=tuple(found.counts), modes=tuple(map(tuple, found.modes))
        )
        if column.kind not in KINDS or column.width < 1:
            raise ValueError("its kind is none")
    except (ValueError, TypeError, KeyError) as e:
        raise InputError(f"schema: {text[:60]!r} describes no column ({str(e)[:60]})") from None
    return column


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows, of a file of comma-separated values with a header.

    Raises:
      InputError: if it is no such file.
    """
    if not path.is_file():
        raise InputError(f"--data csv:{path} is not a file")
    memory.require(CELLS * path.stat().st_size, f"the cells of {path}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8 (its byte {e.start}): save it as that") from None
    except OSError as e:
        raise InputError(f"{path} cannot be read ({e.strerror})") from None
    lines = csv.reader(io.StringIO(text, newline=""))
    names, rows = [], []
    try:
        for cells in lines:
            cells = [cell.strip() for cell in cells]
            if not names:
                names = cells
                continue
            if cells and len(cells) != len(names):
                raise InputError(
                    f"{path}, line {lines.line_num}: {len(cells)} cells, and the header names {len(names)}"
                )
            rows += [cells] if cells else []
    except csv.Error as e:
        raise InputError(f"{path}, line {lines.line_num}: {e}") from None
    _check_header(path, names)
    if not rows:
        raise InputError(f"{path} has a header and no rows")
    return names, rows


def _check_header(path: Path, names: list[str]) -> None:
    if not any(names):
        raise InputError(f"{path} is empty")
    if len(names) == 1:
        other = next((f"; are {mark!r} its separators?" for mark in (";", "\t", "|") if mark in names[0]), "")
        raise InputError(f"{path} has one column: a table has 2 or more, with commas between them{other}")
    if all(NUMBER.fullmatch(name) for name in names):
        raise InputError(f"{path} begins with numbers: its first line has to name the columns")
    if "" in names or len(set(names)) < len(names):
        twice = next((repr(name) for name in names if names.count(name) > 1), "''")
        raise InputError(f"{path}: each column needs a name of its own, and the header has {twice}")


def types_of(text: str, names: Sequence[str]) -> dict[str, str]:
    """The kinds that `NAME=KIND,...` gives to columns.

    Raises:
      InputError: if there is no such column or kind.
    """
    found = {}
    for part in filter(None, text.split(",")):
        name, _, kind = part.rpartition("=")
        if name not in names:
            raise InputError(f"--types {part}: there is no column {name!r}{nearest(name, names)}")
        if kind not in KINDS:
            raise InputError(
                f"--types {part}: {kind!r} is not one of {', '.join(KINDS)}{nearest(kind, KINDS)}"
            )
        found[name] = kind
    return found


def _missing(cells: Sequence[str]) -> np.ndarray:
    return np.array([cell.lower() in MISSING for cell in cells])


def _numbers(cells: Sequence[str]) -> np.ndarray | None:
    """The cells as numbers, or None if one is none."""
    if not all(NUMBER.fullmatch(cell) for cell in cells):
        return None
    x = np.array([float(cell) for cell in cells])
    return x if np.isfinite(x).all() else None


def _digits(cells: Sequence[str]) -> int | None:
    if any("e" in cell.lower() for cell in cells):
        return None
    return max(len(cell.partition(".")[2]) for cell in cells)


def _categories(cells: Sequence[str]) -> tuple[str, ...]:
    """The texts, by size if they are numbers."""
    texts = sorted(set(cells))
    x = _numbers(texts)
    return tuple(texts if x is None else (texts[i] for i in np.argsort(x, kind="stable")))


def _inferred(name: str, cells: list[str], kind: str | None) -> Column | None:
    """A column by its cells and, if it is given, its kind; None of names of rows.

    Raises:
      InputError: if the cells are not of that kind.
    """
    x, texts = _numbers(cells), _categories(cells)
    whole = x is not None and (x == np.round(x)).all()
    if kind is None:
        if len(texts) == 2:
            kind = "binary"
        elif x is None:
            if len(texts) > min(MOST, len(cells) / 2):
                return None
            kind = "discrete"
        elif whole and len(texts) <= FEW:
            kind = "discrete"
        else:
            kind = "count" if whole and x.min() >= 0 else "continuous"
    fits = {
        "continuous": x is not None,
        "count": whole and x is not None and x.min() >= 0,
        "binary": len(texts) == 2,
        "discrete": True,
    }
    if not fits[kind]:
        raise InputError(f"--types {name}={kind}: such as {texts[0]!r} and {texts[-1]!r} are not {kind}")
    if kind in ("discrete", "binary"):
        return Column(name, kind, values=texts)
    return Column(name, kind, digits=0 if kind == "count" else _digits(cells))


def _named(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def infer(
    source: str, names: list[str], rows: list[list[str]], types: str = ""
) -> tuple[list[Column], list[str]]:
    """The columns of a table of texts, not yet encoded, and what there is to say of them.

    Left out are columns that lack most of their values, that never vary, or that are texts of which hardly
    any comes twice. Two values are binary, other texts and at most `FEW` whole numbers discrete, other whole
    numbers from 0 up counts, and all else continuous.

    Raises:
      InputError: if fewer than two columns are left, or one is not of the kind that it is given.
    """
    given = types_of(types, names)
    cells = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    lacks = {name: _missing(own) for name, own in cells.items()}
    empty = [name for name in names if lacks[name].mean() > 0.5]
    kept = [name for name in names if name not in empty]
    if not kept:
        raise InputError(f"{source}: all columns lack most of their values")
    whole = ~np.any([lacks[name] for name in kept], axis=0)
    if not whole.any():
        raise InputError(f"{source}: each row lacks a value")
    cells = {name: [x for x, there in zip(cells[name], whole, strict=True) if there] for name in kept}
    constant = [name for name in kept if len(set(cells[name])) == 1]
    found = {
        name: _inferred(name, own, given.get(name)) for name, own in cells.items() if name not in constant
    }
    columns = [column for column in found.values() if column is not None]
    unique = [name for name, column in found.items() if column is None]
    told = [
        f"left out: {_named(those)} ({why})"
        for those, why in (
            (empty, "most values are missing"),
            (constant, "it never varies"),
            (unique, "texts of which hardly any comes twice"),
        )
        if those
    ]
    if len(columns) < 2:
        raise InputError(f"{source}: a table has 2 columns or more; " + "; ".join(told))
    guessed = [column for column in columns if column.name not in given]
    if guessed:
        kinds = {kind: [c.name for c in guessed if c.kind == kind] for kind in KINDS}
        each = "; ".join(f"{len(own)} {kind} ({_named(own)})" for kind, own in kinds.items() if own)
        told.append(f"columns as guessed: {each}; --types NAME=KIND,... says otherwise")
    return columns, told


def table(
    source: str, names: list[str], rows: list[list[str]], columns: Sequence[Column]
) -> tuple[np.ndarray, list[str]]:
    """The columns' numbers f64[N, C] of the rows that lack none, and what there is to say of the others.

    Raises:
      InputError: if a column is not there, or a value is none of its own.
    """
    if absent := [c.name for c in columns if c.name not in names]:
        raise InputError(f"{source} has no column {absent[0]!r}{nearest(absent[0], names)}")
    at = [names.index(c.name) for c in columns]
    cells = [[row[i] for row in rows] for i in at]
    whole = ~np.any([_missing(own) for own in cells], axis=0)
    if not whole.any():
        raise InputError(f"{source}: each row lacks a value")
    x = np.stack(
        [_as_numbers(source, c, np.array(own)[whole]) for c, own in zip(columns, cells, strict=True)], 1
    )
    lost = int((~whole).sum())
    return x, [f"{lost} of {len(rows)} rows lack a value and are left out"] if lost else []


def _as_numbers(source: str, column: Column, cells: np.ndarray) -> np.ndarray:
    if not column.has_categories:
        x = _numbers(cells.tolist())
        if x is None:
            bad = next(cell for cell in cells.tolist() if _numbers([cell]) is None)
            raise InputError(f"{source}: {bad!r} in column {column.name!r} is no finite number")
        return x
    place = {text: i for i, text in enumerate(column.values)}
    if unknown := set(cells.tolist()) - set(place):
        raise InputError(f"{source}: {min(unknown)!r} is none of the categories of column {column.name!r}")
    return np.array([place[cell] for cell in cells.tolist()], float)


def mixture(x: np.ndarray, most: int) -> tuple[tuple[float, float, float], ...]:
    """A Gaussian mixture of numbers [N]: the weight, mean and deviation of each mode.

    The variational one that the authors use, with a Dirichlet process for a prior and at most `most` modes,
    of which those of a weight above `KEPT` are kept. It is fitted to the standardised numbers: its floor
    under variances is in their unit. The same for the same numbers.
    """
    # A second, which an import of this file need not wait for.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    centre, scale = x.mean(), x.std() or 1.0
    z = (x - centre) / scale
    if len(z) > FITTED:
        z = np.random.default_rng(0).choice(z, FITTED, replace=False)
    fit = BayesianGaussianMixture(
        n_components=min(most, len(np.unique(z))),
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.001,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(z[:, None])
    deviations = np.sqrt(fit.covariances_[:, 0, 0])
    each = zip(fit.weights_, fit.means_[:, 0] * scale + centre, deviations * scale, strict=True)
    return tuple((float(w), float(m), float(s)) for w, m, s in each if w > KEPT)


def fitted(columns: Sequence[Column], x: np.ndarray, modes: int) -> list[Column]:
    """The columns with their encodings, by the rows f64[N, C] that are trained on.

    Args:
      modes: of a number's mixture, at most; 0: binary columns and counts are one number each.

    Raises:
      InputError: with no modes, if a column is of another kind.
    """
    found = []
    for column, own in zip(columns, x.T, strict=True):
        if column.has_categories:
            counts = np.bincount(own.astype(int), minlength=len(column.values))
            column = column._replace(counts=tuple(counts.tolist()))
        if modes == 0 and column.kind not in ("binary", "count"):
            raise InputError(
                f"column {column.name!r} is {column.kind}, and this method makes binary columns and counts "
                "alone: ctgan makes any"
            )
        if modes and column.has_categories:
            column = column._replace(encoding="one_hot")
        elif modes:
            column = column._replace(encoding="modes", modes=mixture(own, modes))
        found.append(column)
    return found


def _of_modes(column: Column, x: np.ndarray, rng) -> np.ndarray:
    """Numbers [N] in modes drawn by how likely each is to have made them, among those within whose four
    deviations they are if there is one."""
    weight, mean, deviation = np.array(column.modes).T
    z = (x[:, None] - mean) / deviation
    log_p = np.log(weight) - np.log(deviation) - z**2 / 2
    near = np.abs(z) <= 4
    log_p = np.where(near | ~near.any(1, keepdims=True), log_p, -np.inf)
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    below = np.cumsum(p, 1)
    mode = (rng.random(len(x))[:, None] * below[:, -1:] >= below[:, :-1]).sum(1)
    return np.concatenate([z[np.arange(len(x)), mode, None] / 4, np.eye(len(mean))[mode]], 1)


def encode(columns: Sequence[Column], x: np.ndarray) -> np.ndarray:
    """The records f32[N, E] of a table f64[N, C]; the same at each call."""
    parts, rng = [], np.random.default_rng(0)
    for column, own in zip(columns, x.T, strict=True):
        if column.encoding == "number":
            parts.append(own[:, None])
        elif column.encoding == "one_hot":
            parts.append(np.eye(len(column.values))[own.astype(int)])
        else:
            parts.append(_of_modes(column, own, rng))
    return np.concatenate(parts, 1).astype(np.float32)


def decode(columns: Sequence[Column], record) -> np.ndarray:
    """The table f64[n, C] of records [n, E or more], as a network makes them: the likeliest category or mode,
    the nearest whole number of a count."""
    record, parts, start = np.asarray(record, np.float64), [], 0
    for column in columns:
        own = record[:, start : start + column.width]
        start += column.width
        if column.encoding == "number" and column.kind == "binary":
            x = (own[:, 0] > 0.5).astype(float)
        elif column.encoding == "number":
            x = own[:, 0]
        elif column.encoding == "one_hot":
            x = own.argmax(1).astype(float)
        else:
            _, mean, deviation = np.array(column.modes).T
            mode = own[:, 1:].argmax(1)
            x = mean[mode] + 4 * deviation[mode] * own[:, 0]
        if not column.has_categories and column.digits is not None:
            x = np.round(x, column.digits)
        parts.append(np.maximum(x, 0) if column.kind == "count" else x)
    return np.stack(parts, 1)


def texts(columns: Sequence[Column], x: np.ndarray) -> list[list[str]]:
    """The rows of a table f64[N, C] as a file has them."""

    def told(column: Column, value: float) -> str:
        if column.has_categories:
            return column.values[int(value)]
        if not math.isfinite(value) or column.digits is None:
            return f"{value:.9g}"
        return f"{value:.{column.digits}f}"

    return [[told(column, value) for column, value in zip(columns, row, strict=True)] for row in x.tolist()]
