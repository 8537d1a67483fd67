"""Tables as a kind of data: what is loaded, scored, shown and written."""

import csv
from dataclasses import dataclass

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import patients, tables
from jaxgan.kinds import Made
from jaxgan.kinds.records import Options, check, columns_of, of_real, panels, records
from jaxgan.metrics.score import Sampling


@dataclass(frozen=True)
class Config:
    data: str = "patients:rows=1000,codes=12,groups=3"
    types: str = ""
    target: str | None = None
    held_out: int | None = None
    schema: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Modes(Config):
    modes: int = 3
    by_category: bool = True


DATA = records.load(Config(), None)
MODEL = patients.made_up(12, 3)


def _made(samples):
    return Made(np.asarray(samples, np.float32), None, None, 7)


def _scores(data, samples, groups=0):
    judge = records.judge(data, options=Options(groups), n=len(samples))
    return {score.name: score for score in judge.scores(_made(samples), Sampling("live"))}


def _values(data, samples):
    return {name: score.value for name, score in _scores(data, samples).items()}


def test_other_patients_score_as_the_data_and_independent_codes_lose_what_pairs_tell():
    """The made-up law again; and codes of the very same means that nothing binds."""
    again = patients.draw(MODEL, 4000)[0][3000:]
    means = DATA["record"].mean(0)
    alone = np.random.default_rng(0).random((1000, 12)) < means
    with pytest.warns(UserWarning, match="closeness is left out"):
        real, own, control = of_real(DATA), _values(DATA, again), _values(DATA, alone)
    assert real["f1"] > 0.4
    for found in (own, control):  # means alone tell none of the two
        assert found["probability"] > 0.97
        assert found["max_error"] < 0.06
    assert own["f1"] > 0.85 * real["f1"]
    assert own["prediction"] > 0.85 * real["prediction"]
    assert own["pair_error"] < 0.05
    assert control["pair_error"] > 3 * own["pair_error"]
    assert control["f1"] < 0.2 * real["f1"]
    assert control["prediction"] < 0.4 * real["prediction"]  # a code of half of the patients is guessed
    assert own["attack"] == pytest.approx(0.5, abs=0.05)


def test_copies_are_told():
    """Of numbers, where hardly a row is there twice."""
    data = records.load(Config("visits:rows=200,codes=12,groups=3", held_out=100), None)
    copies, others = _values(data, data["record"]), _values(data, patients_of_others())
    assert copies["attack"] > 0.98
    assert copies["closeness"] == 0
    assert others["attack"] == pytest.approx(0.5, abs=0.1)
    assert others["closeness"] == pytest.approx(1, abs=0.15)
    judge = records.judge(data, n=200)
    names = lambda x: [t.name for t in judge.troubles(_made(x), [], list(_scores(data, x).values()))]  # noqa: E731
    assert names(data["record"]) == ["copies"]
    assert names(patients_of_others()) == []


def patients_of_others():
    """Of the same law as `visits`, neither trained on nor held out."""
    return patients.draw(patients.made_up(12, 3, counts=True), 600)[0][400:]


def test_what_is_watched_and_told_beside_it():
    judge = records.judge(DATA)
    figures = judge.watch(_made(DATA["record"]))
    assert list(figures) == ["pair_error", "max_error", "probability"]
    assert (figures["pair_error"], figures["max_error"]) == (0, 0)
    facts, (line,) = judge.remarks(_made(DATA["record"]), [])
    real = of_real(DATA)
    assert np.isnan(real.pop("closeness"))  # of so few codes most patients are there twice
    assert facts == {f"{name}_of_real": value for name, value in real.items()}
    assert "f1 0." in line
    with pytest.warns(UserWarning, match="closeness is left out"):
        found = _scores(DATA, DATA["record"][::-1], groups=4)
    low, high = found["pair_error"].interval
    assert 0 <= low < 1e-12
    assert 0 < high < 0.1
    assert "closeness" not in found
    assert found["attack"].protocol.better == "nearer to 0.5"
    bad = DATA["record"].copy()
    bad[3, 2] = np.nan
    assert judge.watch(_made(bad)) == {}
    with pytest.raises(InputError, match="1 of 1000 samples are not finite"):
        _scores(DATA, bad)
    with pytest.raises(InputError, match="--groups 1"):
        records.judge(DATA, options=Options(1))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A file of all four kinds of columns."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    ill = rng.integers(2, size=150)
    rows = [
        [f"{rng.normal(3 * i):.2f}", rng.choice(["a, b", "c", "d"]), rng.poisson(30), ["no", "yes"][i]]
        for i in ill
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["x", "ward", "visits", "ill"], *rows])
    return path


def test_a_file_of_all_kinds_is_loaded_split_and_written_again(mixed, tmp_path):
    data = records.load(Modes(f"csv:{mixed}"), None)
    check(data)
    columns = columns_of(data.facts)
    assert [c.kind for c in columns] == ["continuous", "discrete", "count", "binary"]
    assert (len(data["record"]), len(data.held_out["record"]), data.facts["target"]) == (120, 30, "ill")
    assert "1 count (visits)" in data.remarks[0]
    made = _made(np.concatenate([data["record"], data.held_out["record"]]))
    records.write[".csv"](tmp_path / "y.csv", made, {"schema": list(data.facts["schema"])}, None)
    lines = [sorted(path.read_text().splitlines()) for path in (mixed, tmp_path / "y.csv")]
    assert lines[0] == lines[1]  # each cell, in another order of rows
    records.write[".npz"](tmp_path / "y.npz", made, data.facts, None)
    found = np.load(tmp_path / "y.npz")
    np.testing.assert_array_equal(found["table"], tables.decode(columns, made.samples))
    assert found["schema"].tolist() == list(data.facts["schema"])


def test_a_run_that_has_begun_knows_its_columns(mixed, tmp_path):
    """So no mixture is fitted again, and another file is encoded as the first was."""
    first = records.load(Modes(f"csv:{mixed}"), None)
    cfg = Modes(f"csv:{mixed}", schema=first.facts["schema"], target="ill")
    again = records.load(cfg, None)
    assert again.digest == first.digest
    assert again.facts == first.facts
    lines = mixed.read_text().splitlines()
    (tmp_path / "less.csv").write_text("\n".join([lines[0], *[x for x in lines[1:] if ",c," not in x]]))
    less = records.load(Modes(f"csv:{tmp_path / 'less.csv'}", schema=cfg.schema), None)
    assert less.facts["schema"] == first.facts["schema"]
    assert less["record"].shape[1] == first["record"].shape[1]
    own = records.load(Modes(f"csv:{tmp_path / 'less.csv'}"), None)
    assert own["record"].shape[1] != first["record"].shape[1]  # the control
    (tmp_path / "more.csv").write_text(mixed.read_text().replace(",c,", ",e,"))
    with pytest.raises(InputError, match="'e' is none of the categories of column 'ward'"):
        records.load(Modes(f"csv:{tmp_path / 'more.csv'}", schema=cfg.schema), None)


def test_what_a_method_of_codes_cannot_make_is_told(mixed):
    with pytest.raises(InputError, match="column 'x' is continuous, and this method makes binary columns"):
        records.load(Config(f"csv:{mixed}"), None)


WRONG = {
    "patient": (Config("patient"), "'patient' is not one of patients, visits,.*; did you mean 'patients'"),
    "rows": (Config("patients:row=5"), "'row' is not one of rows.*; did you mean 'rows'"),
    "number": (Config("patients:rows=many"), "rows is a whole number of 1 or more, not 'many'"),
    "zero": (Config("patients:rows=0"), "rows is a whole number of 1 or more, not '0'"),
    "codes": (Config("patients:codes=1"), "a table has 2 columns or more"),
    "types": (Config("patients", types="code_00=count"), "the columns of patients are of one kind"),
    "few": (Config("patients:rows=5"), "at least 20 are trained on, and 10 held out"),
    "none held out": (Config("patients:rows=50", held_out=3), "of 53 rows 3 are held out"),
    "file": (Config("csv:no.csv"), "csv:no.csv is not a file"),
    "target": (
        Config("patients:rows=50,codes=5", target="code01"),
        "code01: it is no column.*; did you mean 'code_01'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_set_that_is_not_there_is_one_clear_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg, match = WRONG[name]
    with pytest.raises(InputError, match=match) as found:
        records.load(cfg, None)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("breast_cancer", (569, 31), ("benign", "malignant")), ("wine", (178, 14), None)],
)
def test_scikit_learns_tables(name, shape, classes, monkeypatch):
    """Their numbers, and a classifier tells the classes."""
    from sklearn import datasets

    monkeypatch.setattr(tables, "mixture", lambda x, most: ((1.0, float(x.mean()), float(x.std())),))
    data = records.load(Modes(name), None)
    columns = columns_of(data.facts)
    assert (len(data["record"]) + len(data.held_out["record"]), len(columns)) == shape
    assert columns[-1].values == (classes or ("class_0", "class_1", "class_2"))
    known = getattr(datasets, f"load_{name}")()
    both = [tables.decode(columns, x["record"]) for x in (data, data.held_out)]
    for column, x, y in zip(columns, np.concatenate(both).T, known.data.T, strict=False):
        np.testing.assert_allclose(np.sort(x), np.sort(y), rtol=1e-6, err_msg=column.name)
    assert of_real(data)["f1"] > 0.9


def test_pictures():
    picture = records.show(DATA, _made(DATA["record"]))
    assert picture.dtype == np.uint8
    assert picture.std() > 10
    none = records.show(DATA, _made(np.ones_like(DATA["record"])))
    assert not np.array_equal(picture, none)
    pairs = records.finals["correlations"](DATA, _made(DATA["record"]), [])
    assert pairs.std() > 10

    class Same:
        def made(self, key, n, asked):
            return _made(DATA["record"])

    assert [panel.heading for panel in panels(DATA, Same(), None, [])] == [
        "Means of columns",
        "Correlations",
    ]
