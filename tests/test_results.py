import csv
import io
import json

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.metrics.score import Sampling, protocol
from jaxgan.results import Outcome, Results, Row, chosen, told


def _protocol(name, better="lower", within=(0, None)):
    return protocol(Sampling("live"), metric=name, better=better, within=within, features="f", n_fake=100)


PROTOCOLS = {"fd": _protocol("fd"), "captured": _protocol("captured", "higher", (0, 8))}


def _row(rate, loss, values, failed=()):
    outcomes = [Outcome(i, {"fd": v, "captured": 8.0 - i}, folder=f"r{i}") for i, v in enumerate(values)]
    outcomes += [Outcome(len(values) + i, {}, why) for i, why in enumerate(failed)]
    return Row({"rate": rate, "loss": loss}, tuple(outcomes))


@pytest.fixture
def found():
    rows = (
        _row(1e-4, "hinge", [2.0, 4.0, 8.0, 3.0, 5.0, 6.0]),
        _row(1e-3, "hinge", [1.0, 2.0, 4.0, 1.5, 2.5, 3.0]),
        _row(1e-2, "a_b|c", [9.0, 10.0], ["d/loss is not finite at step 3"] * 4),
        _row(1e-1, "hinge", [], ["d/loss is not finite at step 1"] * 6),
    )
    return Results("m/a", "fd", PROTOCOLS, rows, rows[0].config, 6)


def test_values_in_short_and_without_loss():
    assert [told(x) for x in (1e-4, 0.1 + 0.2, 3.0, True, "a", (128, 64))] == [
        "0.0001", "0.30000000000000004", "3", "True", "a", "128-64"
    ]  # fmt: skip


def test_a_failed_lane_is_named_and_in_no_mean(found):
    assert found.compared[2].summary.mean == pytest.approx(90**0.5)
    assert found.compared[3].summary is None
    notes = "\n".join(found.notes())
    assert "failed, and in no mean: rate=0.01, loss=a_b|c, seed 2: d/loss is not finite at step 3" in notes
    assert notes.count("failed, and in no mean") == 10
    cells = found.cells()
    assert cells[2][2] == "2 of 6"
    assert cells[3][2] == "0 of 6"
    assert [line[found.columns().index("failed")] for line in cells] == ["", "", "4", "6"]


def test_a_difference_is_that_of_the_same_seeds(found):
    against = found.compared[1].versus
    assert (against.pairs, against.difference) == (6, pytest.approx(0.5))
    assert found.compared[1].p == against.p == pytest.approx(1 / 32)  # one row has a p, so Holm leaves it
    assert found.compared[2].versus.pairs == 2
    assert "2 pairs cannot reach p = 0.05 (the least is 0.5): 6 can" in found.notes()
    assert found.compared[0].versus is None


def test_the_best_is_marked(found):
    assert found.best is found.rows[1]
    line = found.markdown().split("\n")[5]
    assert line.startswith("| 0.001 | hinge | 6 | **2.117**")


def test_markdown_keeps_its_columns(found):
    lines = [line for line in found.markdown().split("\n") if line.startswith("| ")][:6]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "## Other scores" in found.markdown()
    assert "5.5 (3.54 to 7.46)" in found.markdown()


def test_csv_holds_the_numbers(found):
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert len(rows) == 4
    assert float(rows[1]["mean"]) == found.compared[1].summary.mean
    assert float(rows[1]["low"]) == found.compared[1].summary.interval[0]
    assert float(rows[1]["p_holm"]) == pytest.approx(1 / 32)
    assert (rows[2]["n"], rows[2]["planned"], rows[2]["failed"]) == ("2", "6", "4")
    assert rows[3]["mean"] == ""
    assert None not in rows[3]


def test_jsonl_has_a_line_a_run(found):
    lines = [json.loads(line) for line in found.jsonl().splitlines()]
    assert len(lines) == 24
    assert lines[1]["figures"] == {"fd": 4.0, "captured": 7.0}
    assert lines[-1]["failed"] == "d/loss is not finite at step 1"
    assert "pace" not in lines[0]  # it is another one each time


def test_latex_is_escaped(found):
    text = found.latex()
    assert r"a\_b\textbar{}c" in text
    assert r"95 \%" in text
    body = [line for line in text.split("\n") if line.endswith(r"\\")]
    assert len({line.count("&") for line in body}) == 1
    assert all(line.startswith("%") for line in text.split("\n")[: text.split("\n").index(body[0]) - 2])


def test_what_is_best_near_a_value_is_compared_by_its_distance():
    protocols = {"detail": _protocol("detail", "nearer to 1")}
    each = [[0.1, 0.2, 0.15], [0.7, 0.9, 1.1]]
    rows = tuple(
        Row({"w": float(i)}, tuple(Outcome(s, {"detail": x}) for s, x in enumerate(values)))
        for i, values in enumerate(each)
    )
    found = Results("m/a", "detail", protocols, rows, rows[0].config, 3)
    cell = found.cells()[1][found.columns().index("against the baseline")]
    assert cell == f"{np.mean([0.3 - 0.9, 0.1 - 0.8, 0.1 - 0.85]):+.3g}"
    assert any("the paired difference of the distances to what is best" in line for line in found.notes())


def test_troubles_of_one_kind_are_one():
    names = ["3 of 8 modes missing", "D wins", "8 of 8 modes missing", "3 of 8 modes missing"]
    outcomes = tuple(Outcome(i, {"fd": 1.0}, troubles=(name,)) for i, name in enumerate(names))
    found = Results("m/a", "fd", PROTOCOLS, (Row({"rate": 1.0}, outcomes),), None, 4)
    told = next(line for line in found.notes() if line.startswith("warning"))
    assert told == "warning: rate=1: 3 to 8 of 8 modes missing (3 of 4 seeds), D wins (1 of 4 seeds)"


def test_without_any_score_yet():
    rows = (Row({"rate": 1.0}, ()),)
    empty = Results("m/a", "score", {}, rows, None, 3)
    assert "no run has the score score yet" in empty.markdown()
    assert empty.best is None
    assert empty.cells() == [["1", "0 of 3", "", "", "", ""]]


def test_the_metric():
    assert chosen(None, ["fd", "kd"]) == "fd"
    assert chosen("kd", ["fd", "kd"]) == "kd"
    with pytest.raises(InputError, match="--metric fid: the runs have fd, kd; did you mean 'fd'?"):
        chosen("fid", ["fd", "kd"])
