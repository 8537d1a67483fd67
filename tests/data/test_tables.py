"""Tables: what is read of a file, what its columns are taken for, and rows as records and back."""

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import tables
from jaxgan.data.tables import Column

TEXT = """age,smoker,ward,visits,score,id,site
41,yes,a,0,1.50,p1,x
38,no,b,12,-2.25,p2,x
52,no,c,3,0.10,p3,x
NA,yes,a,4,0.00,p4,x
47,yes,a,15,3.00,p5,x
45,no,b,7,-0.75,p6,x
60,no,c,30,9.25,p7,x
"""


def _read(tmp_path, text, **options):
    (tmp_path / "x.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    names, rows = tables.read_csv(tmp_path / "x.csv")
    columns, told = tables.infer("x.csv", names, rows, **options)
    return columns, tables.table("x.csv", names, rows, columns), told


def test_kinds_are_inferred_and_what_is_left_out_is_said(tmp_path):
    columns, (x, lost), told = _read(tmp_path, TEXT)
    assert [(c.name, c.kind, c.values, c.digits) for c in columns] == [
        ("age", "discrete", ("38", "41", "45", "47", "52", "60"), 0),
        ("smoker", "binary", ("no", "yes"), 0),
        ("ward", "discrete", ("a", "b", "c"), 0),
        ("visits", "discrete", ("0", "3", "7", "12", "15", "30"), 0),  # by size, and not as texts
        ("score", "continuous", (), 2),
    ]
    assert x[0].tolist() == [1, 1, 0, 0, 1.5]
    assert x.shape == (6, 5)
    assert lost == ["1 of 7 rows lack a value and are left out"]
    assert told == [
        "left out: site (it never varies)",
        "left out: id (texts of which hardly any comes twice)",
        (
            "columns as guessed: 1 continuous (score); 3 discrete (age, ward, visits); 1 binary (smoker); "
            "--types NAME=KIND,... says otherwise"
        ),
    ]


def test_kinds_that_are_given(tmp_path):
    columns, (x, _), told = _read(tmp_path, TEXT, types="age=continuous,visits=count,id=discrete")
    kinds = {c.name: c.kind for c in columns}
    assert (kinds["age"], kinds["visits"], kinds["id"]) == ("continuous", "count", "discrete")
    assert x[:, 0].tolist() == [41, 38, 52, 47, 45, 60]
    assert "age" not in told[-1]
    for types, match in {
        "agee=count": "no column 'agee'; did you mean 'age'",
        "age=cont": "'cont' is not one of continuous, discrete, binary, count; did you mean 'count'",
        "ward=count": "ward=count: such as 'a' and 'c' are not count",
        "score=count": "score=count",
        "ward=binary": "ward=binary",
    }.items():
        with pytest.raises(InputError, match=match):
            _read(tmp_path, TEXT, types=types)


def test_a_column_that_lacks_most_of_its_values_costs_no_rows(tmp_path):
    columns, (x, lost), told = _read(tmp_path, "a,note,b\n1.5,,x\n2.5,NA,y\n3.5,good,x\n")
    assert [c.name for c in columns] == ["a", "b"]
    assert (len(x), lost, told[0]) == (3, [], "left out: note (most values are missing)")


def test_many_whole_numbers_are_counts_and_others_continuous(tmp_path):
    rows = [f"{i},{i - 20},{i}.5,{1 + i % 2}" for i in range(40)]
    columns, (x, _), _ = _read(tmp_path, "\n".join(["a,b,c,d", *rows]))
    assert [c.kind for c in columns] == ["count", "continuous", "continuous", "binary"]
    assert [c.digits for c in columns] == [0, 0, 1, 0]
    assert x[:, 3].tolist() == [0, 1] * 20


BAD = {
    "empty": (b"", "is empty"),
    "blank": (b"\n\n", "is empty"),
    "no rows": (b"a,b\n", "has a header and no rows"),
    "ragged": (b"a,b\n1,2\n\n3\n", "line 4: 1 cells, and the header names 2"),
    "one column": (b"a\n1\n2\n", "has one column: a table has 2 or more"),
    "other separators": (b"a;b\n1;2\n", "one column.*are ';' its separators"),
    "no header": (b"1,2\n3,4\n", "begins with numbers: its first line has to name the columns"),
    "twice": (b"a,a\n1,2\n", "needs a name of its own, and the header has 'a'"),
    "no name": (b"a,\n1,2\n", "needs a name of its own, and the header has ''"),
    "all missing": (b"a,b\n,NA\n?,nan\n", "all columns lack most of their values"),
    "each row lacks": (b"a,b,c\n,1,2\n2,,4\n3,5,\n", "each row lacks a value"),
    "constant": (b"a,b\n1,2\n1,3\n1,4\n", r"a table has 2 columns or more; left out: a \(it never varies\)"),
    "not UTF-8": ("a,b\né,1\n".encode("latin-1"), r"is not UTF-8 \(its byte 4\): save it as that"),
    "a zero byte": (b"a,b\n\x00,1\n\x00,2\n", "."),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_clear_line(tmp_path, name):
    content, match = BAD[name]
    with pytest.raises(InputError, match=match) as found:
        _read(tmp_path, content)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 250 + len(str(tmp_path))


def test_a_missing_file_and_values_that_a_schema_does_not_know(tmp_path):
    with pytest.raises(InputError, match=r"--data csv:.*no\.csv is not a file"):
        tables.read_csv(tmp_path / "no.csv")
    known = [Column("a", "binary", values=("x", "y")), Column("b", "continuous", digits=1)]
    table = lambda *rows: tables.table("t", ["a", "b"], [list(r) for r in rows], known)  # noqa: E731
    assert table(("y", "2.5"))[0].tolist() == [[1, 2.5]]
    for row, match in {
        ("z", "1"): "'z' is none of the categories of column 'a'",
        ("x", "one"): "'one' in column 'b' is no finite number",
        ("x", "1e999"): "'1e999' in column 'b'",
    }.items():
        with pytest.raises(InputError, match=match):
            table(row)
    with pytest.raises(InputError, match="t has no column 'a'"):
        tables.table("t", ["c", "b"], [["x", "1"]], known)


def _mixed(n=600):
    rng = np.random.default_rng(0)
    mode = rng.integers(2, size=n)
    x = np.where(mode, rng.normal(100, 2, n), rng.normal(-50, 5, n)).round(2)
    return np.stack([x, rng.integers(3, size=n), rng.integers(2, size=n), rng.poisson(40, n)], 1)


COLUMNS = [
    Column("x", "continuous", digits=2),
    Column("c", "discrete", values=("u", "v", "w")),
    Column("b", "binary", values=("no", "yes")),
    Column("n", "count"),
]


@pytest.fixture(scope="module")
def mixed():
    table = _mixed()
    return table, tables.fitted(COLUMNS, table, 10)


def test_a_record_is_its_row_again(mixed):
    """Exactly: numbers by their digits; before these to float32."""
    table, columns = mixed
    record = tables.encode(columns, table)
    assert record.dtype == np.float32
    assert record.shape[1] == sum(c.width for c in columns)
    np.testing.assert_array_equal(tables.decode(columns, record), table)
    raw = tables.decode([columns[0]._replace(digits=None)], record)
    assert 0 < np.abs(raw - table[:, :1]).max() < 1e-4
    assert np.abs(record[:, 0]).max() <= 1  # within reach of G's tanh
    np.testing.assert_array_equal(tables.encode(columns, table), record)
    # The control: a record's modes exchanged.
    record[:, 1 : columns[0].width] = record[:, columns[0].width - 1 : 0 : -1]
    assert not np.allclose(tables.decode(columns, record)[:, 0], table[:, 0])


def test_a_mixture_finds_the_modes(mixed):
    table, columns = mixed
    modes = np.array(columns[0].modes)
    assert modes[:, 0].sum() == pytest.approx(1, abs=0.02)
    near = np.abs(modes[:, 1:2] - [100, -50]).min(0)
    assert (near < 1.5).all()
    assert modes == pytest.approx(np.array(tables.fitted(COLUMNS, table, 10)[0].modes), rel=0, abs=0)
    # Of both clusters, each row is in a mode of its own.
    record = tables.encode(columns, table)
    middle = modes[record[:, 1 : columns[0].width].argmax(1), 1]
    assert (np.sign(middle - 25) == np.sign(table[:, 0] - 25)).all()
    assert columns[1].counts == tuple(np.bincount(table[:, 1].astype(int)))


def test_modes_are_drawn_by_how_likely_they_are():
    """Of two alike but for their weights, 1/4 and 3/4; one that is out of reach never."""
    column = Column("x", "continuous", "modes", digits=None, modes=((0.1, 0, 1), (0.3, 0, 1), (0.6, 9, 1)))
    record = tables.encode([column], np.zeros((4000, 1)))
    assert record[:, 1:].mean(0) == pytest.approx([0.25, 0.75, 0], abs=0.03)
    # Within four deviations of the second alone, which is a thousandth as likely and less.
    wide = column._replace(modes=((1.0, 0, 1), (1e-9, 0, 100)))
    np.testing.assert_allclose(tables.encode([wide], np.array([[4.5]])), [[4.5 / 400, 0, 1]], rtol=1e-6)
    # Out of reach of both: the likelier, and a row again.
    far = tables.encode([wide], np.array([[900.0]]))
    assert tables.decode([wide], far) == pytest.approx(900, rel=1e-6)


def test_plain_numbers_are_rounded_to_codes():
    columns = [Column("b", "binary", values=("0", "1")), Column("n", "count")]
    found = tables.decode(columns, [[0.51, 2.6], [0.49, -3.0]])
    assert found.tolist() == [[1, 3], [0, 0]]
    table = np.array([[1.0, 3.0], [0.0, 7.0]])
    np.testing.assert_array_equal(tables.encode(tables.fitted(columns, table, 0), table), table)
    with pytest.raises(InputError, match="column 'x' is continuous, and this method makes binary columns"):
        tables.fitted(COLUMNS, _mixed(), 0)


def test_texts_are_as_the_file_has_them():
    columns = [
        Column("x", "continuous", digits=2),
        Column("y", "continuous", digits=None),
        Column("c", "binary", values=("no", "yes")),
        Column("n", "count"),
    ]
    rows = tables.texts(columns, np.array([[1.5, 1e-12, 1, 3]]))
    assert rows == [["1.50", "1e-12", "yes", "3"]]


def test_a_column_is_a_text_and_back(mixed):
    for column in mixed[1]:
        assert tables.of_text(tables.to_text(column)) == column
    for text in ("", "{}", '{"name": "x", "kind": "odd"}', "[1]"):
        with pytest.raises(InputError, match="describes no column"):
            tables.of_text(text)
