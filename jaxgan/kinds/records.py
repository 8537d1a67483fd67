"""Records: rows of a table of mixed columns, numbers and categories."""

import csv
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan import plots, troubles
from jaxgan.config import InputError, Natural, nearest
from jaxgan.data import Dataset, by_category, patients, tables
from jaxgan.data.tables import Column
from jaxgan.kinds.kind import Judge, Kind, Made, Panel, groups_of, taken
from jaxgan.metrics import tabular
from jaxgan.metrics.score import Sampling, Score, intervals, protocol
from jaxgan.troubles import Trouble

MADE_UP = {"patients": False, "visits": True}  # whether codes are counted
BUNDLED = {"breast_cancer": "breast_cancer.csv", "wine": "wine_data.csv"}  # with scikit-learn
SETS = (*MADE_UP, *BUNDLED, "csv:PATH")
FEWEST = 20  # rows that are trained on, and half as many that are held out
SCORED = 5000  # samples behind a score, at most
GIVEN_AWAY = 0.75  # of the attack, from which on samples are close to copies


class Read(NamedTuple):
    """A table as it was read."""

    columns: list[Column]
    table: np.ndarray  # f64[N, C]
    told: list[str]


def _made_up(spec: str, held_out: int | None) -> tuple[Read, int]:
    """Patients, and how many of them are held out."""
    name, _, text = spec.partition(":")
    size = {"rows": 5000, "codes": 50, "groups": 5, "seed": 0}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        if key not in size:
            raise InputError(f"--data {spec}: {key!r} is not one of {', '.join(size)}{nearest(key, size)}")
        if not value.isdecimal() or not int(value) and key != "seed" or len(value) > 9:
            raise InputError(f"--data {spec}: {key} is a whole number of 1 or more, not {value!r}")
        size[key] = int(value)
    if size["codes"] < 2:
        raise InputError(f"--data {spec}: a table has 2 columns or more")
    held = size["rows"] // 4 if held_out is None else held_out
    model = patients.made_up(size["codes"], size["groups"], counts=MADE_UP[name], seed=size["seed"])
    table, _ = patients.draw(model, size["rows"] + held, seed=size["seed"])
    kind = {"kind": "count"} if MADE_UP[name] else {"kind": "binary", "values": ("0", "1")}
    columns = [Column(f"code_{j:02}", **kind) for j in range(size["codes"])]
    return Read(columns, table, []), held


def _bundled(name: str) -> tuple[list[str], list[list[str]]]:
    from sklearn import datasets  # a second, which other sets need not wait for

    known = {"breast_cancer": datasets.load_breast_cancer, "wine": datasets.load_wine}[name]()
    package = Path(importlib.util.find_spec("sklearn").origin).parent
    with (package / "datasets" / "data" / BUNDLED[name]).open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    classes = [str(x) for x in known.target_names]
    names = [str(x).replace(" ", "_") for x in known.feature_names]
    return [*names, "class"], [[*row[:-1], classes[int(row[-1])]] for row in rows]


def _read(cfg) -> tuple[Read, int]:
    """The table that a config names, and how many of its rows are held out."""
    spec = cfg.data
    name, _, text = spec.partition(":")
    known = None if cfg.schema is None else [tables.of_text(x) for x in cfg.schema]
    if name in MADE_UP:
        if cfg.types:
            raise InputError(f"--types {cfg.types}: the columns of {name} are of one kind")
        found, held = _made_up(spec, cfg.held_out)
        return (found if known is None else _checked(found, known, spec)), held
    if name == "csv" and text:
        names, rows = tables.read_csv(Path(text).expanduser())
    elif spec in BUNDLED:
        names, rows = _bundled(spec)
    else:
        raise InputError(f"--data {spec!r} is not one of {', '.join(SETS)}{nearest(name, SETS)}")
    columns, told = (known, []) if known else tables.infer(text or spec, names, rows, cfg.types)
    table, more = tables.table(text or spec, names, rows, columns)
    return Read(columns, table, [*told, *more]), len(table) // 5 if cfg.held_out is None else cfg.held_out


def _checked(found: Read, known: list[Column], spec: str) -> Read:
    """The table, with columns that are known."""
    if [(c.name, c.kind) for c in known] != [(c.name, c.kind) for c in found.columns]:
        raise InputError(f"--data {spec} has other columns than those of --schema")
    return found._replace(columns=known)


def _target(columns: list[Column], wanted: str | None) -> str | None:
    """The column whose categories a classifier is to tell: the last one of categories if none is wanted."""
    names = [column.name for column in columns if column.has_categories]
    if wanted is not None and wanted not in names:
        raise InputError(f"--target {wanted}: it is no column of categories{nearest(wanted, names)}")
    return wanted or (names[-1] if names else None)


def load(cfg, data_dir: str | None) -> Dataset:
    """The table that a config names by `data`, some of its rows held out.

    `patients` (5000 rows of 50 binary codes) or `visits` (as many counts), made up, with numbers such as
    `patients:rows=1000,codes=20,groups=3,seed=1`; `breast_cancer` or `wine`, scikit-learn's; `csv:PATH` of
    a file with a header. Of the config, `types` says kinds of columns, `target` is what a classifier is to
    tell, `held_out` the number of rows that are not trained on, and `schema` the columns of a run that has
    begun. Numbers are encoded by at most `modes` modes where it has such a field; where `by_category` is set,
    rows are drawn by categories.

    Raises:
      InputError: if there is no such set, or it cannot be read.
    """
    (columns, table, told), held = _read(cfg)
    n = len(table)
    if n - held < FEWEST or held < FEWEST // 2:
        raise InputError(
            f"{cfg.data}: of {n} rows {held} are held out; at least {FEWEST} are trained on, and "
            f"{FEWEST // 2} held out (--held-out)"
        )
    rows = np.random.default_rng(0).permutation(n)
    table, other = table[rows[held:]], table[rows[:held]]
    if cfg.schema is None:
        columns = tables.fitted(columns, table, getattr(cfg, "modes", 0))
    target = _target(columns, cfg.target)
    told = [*told, f"{held} of {n} rows are held out: scores are beside these"]
    if target is not None:
        told.append(f"a classifier is to tell {target!r}; --target NAME says another")
    facts = {"schema": tuple(map(tables.to_text, columns)), "target": target}
    record = tables.encode(columns, table)
    apart = Dataset(f"{cfg.data}, held out", {"record": tables.encode(columns, other)}, facts)
    known = {"facts": facts, "remarks": tuple(told), "held_out": apart}
    plain = Dataset(cfg.data, {"record": record}, **known)
    if not getattr(cfg, "by_category", False) or target is None:
        return plain
    arrays = by_category.arrays_of(columns, table, record)
    return Dataset(cfg.data, arrays, **known, sampler=by_category.draw, evenly=plain)


def columns_of(facts) -> list[Column]:
    """The columns that a set's facts describe."""
    return [tables.of_text(text) for text in facts["schema"]]


def check(data: Dataset) -> None:
    """Raises InputError unless there are `record` [N, E], their columns, and some that are held out."""
    if "record" not in data.arrays or "schema" not in data.facts or data.held_out is None:
        raise InputError(f"{data.name} has no records with a schema, some of them held out")
    width = sum(column.width for column in columns_of(data.facts))
    if data["record"].ndim != 2 or data["record"].shape[1] != width:
        raise InputError(
            f"{data.name}: 'record' is {list(data['record'].shape)}, and its columns {width} wide"
        )


class Sight(NamedTuple):
    """How tables [n, C] are seen by scores: by the rows trained on."""

    columns: list[Column]
    low: np.ndarray  # f64[C]; of numbers alone, as the others
    reach: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def numbers(self, table) -> tuple[np.ndarray, np.ndarray]:
        """Numbers f64[n, D] of a deviation of 1, and of categories indicators (one of two); i[D], of which
        column each is."""
        parts, of = [], []
        for j, (column, x) in enumerate(zip(self.columns, table.T, strict=True)):
            k = len(column.values)
            if k > 2:
                parts.append(np.eye(k)[x.astype(int)])
            else:
                parts.append(x[:, None] if k else ((x - self.mean[j]) / self.deviation[j])[:, None])
            of += [j] * parts[-1].shape[1]
        return np.concatenate(parts, 1), np.array(of)

    def shares(self, table) -> np.ndarray:
        """f64[n, D] whose means are shares of categories, and of a number its mean's place in the range."""
        x, of = self.numbers(table)
        for j, column in enumerate(self.columns):
            if not column.has_categories:
                x[:, of == j] = ((table[:, j] - self.low[j]) / self.reach[j])[:, None]
        return x

    def places(self, table) -> np.ndarray:
        """f64[n, D] for distances: another category is as far as one deviation of a number."""
        x, of = self.numbers(table)
        return x * np.where(np.bincount(of)[of] > 1, np.sqrt(0.5), 1.0)


def sight(columns: list[Column], table: np.ndarray) -> Sight:
    """The sight of rows that are trained on."""
    reach, deviation = np.ptp(table, axis=0), table.std(0)
    one = lambda x: np.where(x > 0, x, 1.0)  # noqa: E731
    return Sight(columns, table.min(0), one(reach), table.mean(0), one(deviation))


def predictions(seen: Sight, train, test) -> np.ndarray:
    """How well each column is told from the others, by a model that learnt it of `train` and is asked of
    `test`: the F1 of categories, the share of a number's variance; [C]."""
    (x, of), (y, _) = seen.numbers(train), seen.numbers(test)
    found = []
    for j, column in enumerate(seen.columns):
        tell = tabular.f1 if column.has_categories else tabular.r2
        found.append(tell(x[:, of != j], train[:, j], y[:, of != j], test[:, j]))
    return np.array(found)


def quick(seen: Sight, real, fake) -> dict[str, float]:
    """What takes moments."""
    (x, of), (y, _) = seen.numbers(real), seen.numbers(fake)
    by_column = tabular.dimension_wise_probability(seen.shares(real), seen.shares(fake))
    return {
        "pair_error": tabular.pair_error(x, y, of),
        "max_error": by_column.max_error,
        "probability": by_column.correlation,
    }


def learnt(seen: Sight, train, test, target: str | None) -> dict[str, float]:
    """How well columns are told by what was learnt of `train`: the mean of all, and the target's."""
    each = predictions(seen, train, test)
    names = [column.name for column in seen.columns]
    found = {"prediction": float(each.mean())}
    return found if target is None else {**found, "f1": float(each[names.index(target)])}


def private(seen: Sight, train, held, fake) -> dict[str, float]:
    """What a table gives away of the rows trained on."""
    members, others, near = map(seen.places, (train, held, fake))
    return {
        "closeness": tabular.closeness(members, others, near),
        "attack": tabular.membership(members, others, near),
    }


ABOUT = {
    "pair_error": ("lower", (0, 2), "the correlations of pairs of columns"),
    "max_error": ("lower", (0, None), "shares of categories, means of numbers over their range"),
    "probability": ("higher", (-1, 1), "shares of categories, means of numbers over their range"),
    "prediction": ("higher", (0, 1), "each column told from the others, learnt of samples, of held-out rows"),
    "f1": ("higher", (0, 1), "the target told from the others, learnt of samples, of held-out rows"),
    "closeness": ("nearer to 1", (0, None), "the nearest row trained on, over that of held-out rows"),
    "attack": ("nearer to 0.5", (0, 1), "the AUC of telling rows trained on from held-out ones"),
}


@cache
def _tables(data: Dataset) -> tuple[Sight, np.ndarray, np.ndarray]:
    """How a set is seen, and its rows: those trained on, and those held out."""
    columns = columns_of(data.facts)
    train, held = (tables.decode(columns, x["record"]) for x in (data, data.held_out))
    return sight(columns, train), train, held


@cache
def of_real(data: Dataset) -> dict[str, float]:
    """The figures of real rows: those held out in the place of samples, where samples are compared with these
    half of them beside the others; and what is learnt of the rows trained on."""
    seen, train, held = _tables(data)
    given_away = private(seen, train, held[1::2], held[::2])
    return quick(seen, train, held) | learnt(seen, train, held, data.facts["target"]) | given_away


@dataclass(frozen=True)
class Options:
    """Score a run's checkpoints, or other rows beside the run's data: pair_error, max_error, probability,
    prediction, f1, closeness and attack."""

    groups: Natural = 10  # of samples, left out in turn for the intervals; 0: none


def judge(
    data: Dataset,
    *,
    conditional: bool = False,
    options: Options | None = None,
    real: Dataset | None = None,
    n: int | None = None,
) -> Judge:
    """Scores of rows beside those trained on and those held out; by the difference of correlations a run is
    watched."""
    groups = groups_of(options)
    seen, train, held = _tables(data)
    n = n or min(len(train), SCORED)

    def told(made: Made) -> np.ndarray:
        return tables.decode(seen.columns, made.samples)

    def watch(made: Made) -> dict[str, float]:
        return quick(seen, train, told(made)) if np.isfinite(made.samples).all() else {}

    def all_scores(made: Made, sampling: Sampling) -> list[Score]:
        if not np.isfinite(made.samples).all():
            bad = int((~np.isfinite(made.samples)).any(1).sum())
            raise InputError(f"{bad} of {len(made.samples)} samples are not finite")
        fake = told(made)
        values = quick(seen, train, fake) | learnt(seen, fake, held, data.facts["target"])
        values |= private(seen, train, held, fake)
        around = {}
        if groups and len(fake) >= 4 * groups:
            some = {name: values[name] for name in ("pair_error", "max_error", "probability")}
            bounds = {name: ABOUT[name][1] for name in some}
            around = intervals(
                lambda rows: quick(seen, train, fake[rows]), some, len(fake), groups=groups, bounds=bounds
            )
        by = partial(protocol, sampling, reference=data, n_reference=len(train), n_fake=len(fake))
        found, missed = [], []
        for name, value in values.items():
            better, within, of = ABOUT[name]
            if not np.isfinite(value):
                missed.append(f"{name} is left out: it cannot be told of these rows")
                continue
            ends = around.get(name)
            ends = ends if ends is not None and np.isfinite(ends).all() else None
            found.append(Score(value, ends, by(metric=name, better=better, within=within, features=of)))
        return taken(found, missed)

    def remarks(made: Made, rows):
        real = {name: value for name, value in of_real(data).items() if np.isfinite(value)}
        line = "  ".join(f"{name} {value:.3f}" for name, value in real.items())
        return {f"{name}_of_real": value for name, value in real.items()}, [
            f"real rows in the place of samples: {line}"
        ]

    def wrong(made: Made, rows: list[dict], found: list[Score]) -> list[Trouble]:
        attack = next((score.value for score in found if score.name == "attack"), 0.5)
        copies = []
        if attack >= GIVEN_AWAY:
            copies = [
                Trouble(
                    "copies",
                    f"an attack tells rows trained on from held-out ones with an AUC of {attack:.2f}, where "
                    "0.5 gives none away: the samples are close to copies: try more rows or fewer steps",
                )
            ]
        return troubles.of_steps(rows) + copies

    return Judge(n, watch, all_scores, remarks, wrong)


def _means(data: Dataset, samples) -> Callable:
    """What draws each column's mean of samples over that of the rows trained on."""
    seen, train, _ = _tables(data)
    real, fake = (seen.shares(x).mean(0) for x in (train, tables.decode(seen.columns, samples)))

    def draw(axis):
        ends = [min(0.0, real.min(), fake.min()) - 0.02, max(1.0, real.max(), fake.max()) + 0.02]
        axis.plot(ends, ends, "0.7", linewidth=1)
        axis.plot(real, fake, "o", markersize=4)
        axis.set(xlim=ends, ylim=ends, xlabel="data", ylabel="samples")

    return draw


def _correlations(data: Dataset, samples) -> Callable:
    """What draws correlations: above the diagonal the data's, below it the samples'."""
    seen, train, _ = _tables(data)
    real, fake = (
        tabular.correlations(seen.numbers(x)[0]) for x in (train, tables.decode(seen.columns, samples))
    )

    def draw(axis):
        axis.imshow(np.triu(real, 1) + np.tril(fake, -1), cmap="RdBu", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[], xlabel="below: samples", ylabel="above: data")

    return draw


def _show(data: Dataset, made: Made) -> np.ndarray:
    """Each column's mean beside the data's."""
    return plots.canvas(_means(data, made.samples), title=f"step {made.step:,}: means of columns")


def _shown_pairs(data: Dataset, made: Made, rows) -> np.ndarray:
    return plots.canvas(_correlations(data, made.samples), title="correlations")


def panels(data: Dataset, generator, key, rows) -> list[Panel]:
    """The means of columns, and their correlations."""
    samples = generator.made(key, 2000, None).samples
    return [
        Panel("Means of columns", _means(data, samples), "A point is a category's share or a number's mean."),
        Panel("Correlations", _correlations(data, samples), "The data's above, 2000 samples' below."),
    ]


def _write_csv(path, made: Made, facts, columns) -> None:
    of = columns_of(facts)
    with open(path, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow([column.name for column in of])
        lines.writerows(tables.texts(of, tables.decode(of, made.samples)))


def _write_npz(path, made: Made, facts, columns) -> None:
    """`table` f64[n, C], of categories their places, and the columns as `schema`."""
    of = columns_of(facts)
    np.savez_compressed(path, table=tables.decode(of, made.samples), schema=np.array(facts["schema"]))


records = Kind(
    load=load,
    judge=judge,
    show=_show,
    write={".csv": _write_csv, ".npz": _write_npz},
    finals={"correlations": _shown_pairs},
    panels=panels,
    of="record",
    shown=1000,
    check=check,
    options=Options,
    unit="rows",
)
