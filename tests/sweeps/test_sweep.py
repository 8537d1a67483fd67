"""Sweeps that train: a tiny game on a ring, through all that a user would do."""

import json
import re
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import mixtures
from jaxgan import cli, lanes, records, sampling, sweeps, train
from jaxgan.config import InputError
from jaxgan.signals import Stopped

SMALL = {"protocol": "metz", "steps": 20}

pytestmark = [
    pytest.mark.filterwarnings("ignore:reverse_kl is left out"),  # nothing is learnt in 20 steps
]
GRID = {"gp_weight": [1.0, 2.0]}


@pytest.fixture(autouse=True)
def _tables_alone(request, monkeypatch, without_curves):
    """Pictures take seconds: they are drawn for `plain`, and where a test asks for one."""
    if "cmaes" not in request.node.name:
        monkeypatch.setattr(
            sweeps.page, "write", lambda found, root: [str(file) for file in found.write(root)]
        )


def _leaves(path, step=20):
    generator = sampling.load(path, step, critic=True)
    return [np.asarray(x) for x in jax.tree.leaves((generator.variables, generator.d_variables))]


def _same(a, b, step=20):
    jax.tree.map(np.testing.assert_array_equal, _leaves(a, step), _leaves(b, step))


def _texts(root):
    return {name: (root / name).read_bytes() for name in ("table.md", "table.csv", "table.tex", "runs.jsonl")}


@pytest.fixture(scope="module")
def plain(swept, tmp_path_factory):
    """Two values of a number, two seeds: the results and the folder."""
    out = tmp_path_factory.mktemp("sweep")
    return swept(out, GRID), out / "own" / "a"


def test_a_lane_is_the_run_of_its_configuration(plain, swept, own, tmp_path):
    """Bit for bit, in what was logged, learnt and scored."""
    _, root = plain
    cfg = own.Config(
        **{"protocol": "metz", "samples": 100, "batch_size": 16, "steps": 20}, gp_weight=2.0, seed=1
    )
    often = {"chunk": 5, "log_every": 1, "sample_every": 0, "evaluate_every": 5, "checkpoint_every": 10}
    loop = train.Loop(name="x", out=str(tmp_path), devices=1, **often)
    train.start(cfg, loop, own.points)
    alone, lane = tmp_path / "own" / "x", root / "gp_weight=2" / "seed-1"
    assert (alone / "metrics.jsonl").read_bytes() == (lane / "metrics.jsonl").read_bytes()
    assert (alone / "samples.png").read_bytes() == (lane / "samples.png").read_bytes()
    _same(alone, lane)
    scores = [json.loads((path / "scores.json").read_text())["scores"] for path in (alone, lane)]
    assert scores[0] == scores[1]
    with pytest.raises(AssertionError):
        _same(alone, root / "gp_weight=1" / "seed-0")


def test_the_table_holds_what_the_runs_scored(plain):
    found, root = plain
    assert [row.config for row in found.rows] == [{"gp_weight": 1.0}, {"gp_weight": 2.0}]
    for row in found.rows:
        assert [own.seed for own in row.outcomes] == [0, 1]
        for own in row.outcomes:
            scores = json.loads((root / own.folder / "scores.json").read_text())["scores"]
            assert own.figures == {s["name"]: s["value"] for s in scores}
    values = list(found.rows[0].values("swd").values())
    assert found.compared[0].summary.mean == pytest.approx(np.sqrt(values[0] * values[1]))
    assert f"{found.compared[0].summary.mean:.4g}" in (root / "table.md").read_text()


def test_it_leaves_tables_pictures_a_page_and_hparams(plain):
    _, root = plain
    for name in ("scores.png", "seconds.png", "seeds.png", "samples.png", "sweep.html", *_texts(root)):
        assert (root / name).stat().st_size > 100, name
    page = (root / "sweep.html").read_text()
    assert page.count("data:image/png;base64,") >= 4
    assert "http" not in re.sub(r"http-equiv", "", page)
    events = [p for p in (root / "events").rglob("events.out.*") if "gp_weight=2" in str(p)]
    assert events
    assert b"hparams" in events[0].read_bytes()
    assert not (root / "heat_map.png").exists()


def test_what_is_done_is_not_done_again(plain, swept, tmp_path, monkeypatch):
    root = shutil.copytree(plain[1], tmp_path / "own" / "a")
    before = _texts(root)
    monkeypatch.setattr(train, "fit_lanes", lambda *a, **k: pytest.fail("it trains"))
    found = swept(tmp_path, GRID)
    assert _texts(root) == before
    assert found.rows == plain[0].rows
    cli.main(["resume", str(root)])
    assert _texts(root) == before


@pytest.mark.long
def test_more_seeds_and_values_extend_it(plain, swept, tmp_path):
    root = shutil.copytree(plain[1], tmp_path / "own" / "a")
    stamps = {p: p.stat().st_mtime_ns for p in root.glob("gp_weight=*/seed-*/scores.json")}
    found = swept(tmp_path, {"gp_weight": [3.0]}, seeds=3)
    assert [row.config["gp_weight"] for row in found.rows] == [1.0, 2.0, 3.0]
    assert [len(row.outcomes) for row in found.rows] == [3, 3, 3]
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert [row.outcomes[:2] for row in found.rows[:2]] == [row.outcomes for row in plain[0].rows]
    whole = swept(tmp_path, {"gp_weight": [1.0, 2.0, 3.0]}, "whole", seeds=3)
    assert [[o.figures for o in row.outcomes] for row in whole.rows] == [
        [o.figures for o in row.outcomes] for row in found.rows
    ]


def test_another_sweep_in_its_folder_is_refused(plain, swept, own, tmp_path):
    root = shutil.copytree(plain[1], tmp_path / "own" / "a")
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    for changes, told in [
        ({"config": {"gamma": 3.0}}, "holds another sweep (gamma: 3.0, not 1.0)"),
        ({"config": {"steps": 25}}, "holds another sweep (steps: 25, not 20)"),
        ({"loop": {"patience": 2}}, "holds another sweep (patience: 2, not 0)"),
        ({"sampler": "random", "trials": 3}, "holds another sweep (sampler: random, not grid)"),
        ({"grid": {"gamma": [1.0]}}, "holds another sweep (varied: ['gamma'], not ['gp_weight'])"),
    ]:
        changes = {"grid": GRID, **changes}
        with pytest.raises(InputError, match=re.escape(told)):
            swept(tmp_path, changes.pop("grid"), **changes)
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_other_code_is_refused(plain, swept, own, tmp_path, monkeypatch):
    shutil.copytree(plain[1], tmp_path / "own" / "a")
    monkeypatch.setattr(sweeps.driver.methods.origin, "digest", lambda text: "another")
    with pytest.raises(InputError, match="holds another sweep \\(code: another, not"):
        swept(tmp_path, GRID)


def test_an_edit_of_what_a_method_calls_is_refused(plain, swept, tmp_path, monkeypatch):
    """Also where no run is there of the configuration: the file of the method is as it was."""
    shutil.copytree(plain[1], tmp_path / "own" / "a")
    usual = mixtures.make

    def edited(cfg, axis=None):
        gan, opts = usual(cfg, axis)

        def twice(*args):
            loss, aux = gan.d_loss(*args)
            return 2 * loss, aux

        return gan._replace(d_loss=twice), opts

    monkeypatch.setattr(mixtures, "make", edited)
    with pytest.raises(InputError, match="holds another sweep \\(a step computes something else"):
        swept(tmp_path, {"gp_weight": [4.0]})


def test_a_number_that_is_no_argument_has_programs_of_its_own(tmp_path, own):
    """Such as a 0 that leaves something out: another digest of another value is no edit."""
    study = sweeps.book.opened(f"sqlite:///{tmp_path / 'x.db'}", "x", {})
    plan = SimpleNamespace(root=tmp_path)

    def check(digest, names, **values):
        one = SimpleNamespace(cfg=own.Config(**SMALL, **values), names=names, digest=digest)
        sweeps.work.check_program(plan, study, one)

    check("a", ("gamma",), gp_weight=0.0)
    check("b", ("gamma", "gp_weight"), gp_weight=1.0)
    check("b", ("gamma", "gp_weight"), gp_weight=2.0, gamma=3.0)
    check("a", ("gamma",), gp_weight=0.0, gamma=3.0)
    for names, value in ((("gamma",), 0.0), (("gamma", "gp_weight"), 5.0)):
        with pytest.raises(InputError, match="a step computes something else"):
            check("c", names, gp_weight=value)


def test_a_lane_that_diverges_is_named_and_no_part_of_a_mean(plain, swept, tmp_path, capsys):
    found = swept(tmp_path, {"gp_weight": [1.0, 6.0, 2.0]})
    root = tmp_path / "own" / "a"
    assert [(row.config["gp_weight"], own.seed) for row, own in found.failed] == [(6.0, 0), (6.0, 1)]
    assert found.failed[0][1].failed == "g/loss is not finite at step 14"
    table = (root / "table.md").read_text()
    assert "failed, and in no mean: gp_weight=6, seed 0: g/loss is not finite at step 14" in table
    assert "| 6 | 0 of 2 |" in table
    assert records.checkpoints(root / "gp_weight=6" / "seed-0")[-1] == 13
    for value in (1, 2):
        for seed in (0, 1):
            _same(
                root / f"gp_weight={value}" / f"seed-{seed}", plain[1] / f"gp_weight={value}" / f"seed-{seed}"
            )
    assert records.lane_names(root / "gp_weight=6", "failed") == ["seed-0", "seed-1"]
    cli.main(["compare", str(root)])
    assert "gp_weight=6: frozen and left out: seed-0, seed-1" in capsys.readouterr().out
    with pytest.raises(SystemExit) as e:
        cli.main(["resume", str(root)])
    assert e.value.code == 1
    assert "2 of 6 lanes failed, are named above, and are in no mean" in capsys.readouterr().err


def test_fail_fast_stops_the_others_where_they_are(swept, tmp_path):
    found = swept(tmp_path, {"gp_weight": [6.0, 1.0]}, seeds=1, fail_fast=True)
    root = tmp_path / "own" / "a"
    assert [len(row.outcomes) for row in found.rows] == [1, 0]
    assert 0 < records.checkpoints(root / "gp_weight=1" / "seed-0")[-1] < 20
    after = swept(tmp_path, {"gp_weight": [6.0, 1.0]}, seeds=1)
    assert [len(row.outcomes) for row in after.rows] == [1, 1]


@pytest.fixture(scope="module")
def wide(swept, tmp_path_factory):
    out = tmp_path_factory.mktemp("wide")
    return swept(out, GRID, loop={"together": True}), out / "own" / "a"


class TestSideBySide:
    @pytest.mark.long
    def test_lanes_are_single_runs_to_float_tolerance(self, wide, plain):
        for lane in ("gp_weight=1/seed-1", "gp_weight=2/seed-0"):
            for a, b in zip(_leaves(wide[1] / lane), _leaves(plain[1] / lane), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)

    @pytest.mark.long
    def test_a_lane_that_diverges_leaves_the_others_bit_identical(self, wide, swept, tmp_path):
        """Also where fewer are left than the width of a call, which stays as it was."""
        swept(tmp_path, {"gp_weight": [1.0, 6.0]}, loop={"together": True})
        _same(tmp_path / "own" / "a" / "gp_weight=1" / "seed-1", wide[1] / "gp_weight=1" / "seed-1")

    @pytest.mark.long
    def test_what_was_decided_stays(self, wide, swept, tmp_path):
        shutil.copytree(wide[1], tmp_path / "own" / "a")
        with pytest.raises(InputError, match="runs its lanes 16 side by side: leave out --together"):
            swept(tmp_path, GRID, loop={"together": False})


def test_lanes_are_spread_over_devices(plain, swept, tmp_path, capsys):
    """Three lanes on two devices, so that one call is filled up: the runs of one device, bit for bit."""
    found = swept(tmp_path, {"gp_weight": [1.0, 2.0, 3.0]}, seeds=1, loop={"devices": 2})
    assert "one on each of 2 devices" in capsys.readouterr().out
    for value in (1, 2):
        lane = f"gp_weight={value}/seed-0"
        _same(tmp_path / "own" / "a" / lane, plain[1] / lane)
    assert found.rows[1].outcomes[0].figures == plain[0].rows[1].outcomes[0].figures
    record = records.read(tmp_path / "own" / "a" / "gp_weight=3" / "seed-0")
    assert record["loop"]["devices"] == 1


def test_fields_of_one_value_are_swept_together(swept, tmp_path):
    found = swept(tmp_path, {"gp_weight,gamma": [1.0, 2.0]}, seeds=1, baseline={"gamma": 2.0})
    assert [row.config for row in found.rows] == [{"gp_weight": x, "gamma": x} for x in (1.0, 2.0)]
    assert found.baseline == found.rows[1].config
    assert len(sweeps.resume(tmp_path / "own" / "a").rows) == 2
    for command in (["resume", "--steps", "9"], ["compare", str(tmp_path / "own" / "a"), "--metric", "swd"]):
        with pytest.raises(SystemExit) as e:
            cli.main([*command, str(tmp_path / "own" / "a")])
        assert e.value.code == 2


@pytest.mark.parametrize("moment", [0, pytest.param(3, marks=pytest.mark.long)])
def test_stopped_and_gone_on_with_it_has_the_same_table(plain, swept, tmp_path, monkeypatch, moment):
    """Stopped in the closing scores of a lane: the trial goes back into the queue, and its runs go on."""
    usual, calls = lanes.finish, []

    def finish(lane):
        calls.append(lane)
        if len(calls) == moment + 1:
            raise Stopped(15, "stopped")
        return usual(lane)

    monkeypatch.setattr(lanes, "finish", finish)
    with pytest.raises(Stopped):
        swept(tmp_path, GRID, at_once=2)
    monkeypatch.setattr(lanes, "finish", usual)
    swept(tmp_path, GRID, at_once=2)
    assert _texts(tmp_path / "own" / "a") == _texts(plain[1])


def test_a_folder_that_another_process_has_is_left_to_it(swept, tmp_path, monkeypatch, capsys):
    """As where one was taken for gone that is not: its trial waits until its folder is free."""
    from jaxgan import run
    from jaxgan.sweeps import book

    usual, refused = run.locked, []

    def locked(path):
        if path.parent.name == "gp_weight=2" and not refused:
            refused.append(path)
            raise run.InUse(f"{path} is in use by another process; stop that one first")
        return usual(path)

    monkeypatch.setattr(run, "locked", locked)
    monkeypatch.setattr(book, "BEAT", 0.1)
    found = swept(tmp_path, GRID, seeds=1, at_once=1)
    assert [len(row.values("swd")) for row in found.rows] == [1, 1]
    assert "it is left to that one" in capsys.readouterr().err


@pytest.fixture(scope="module")
def halved(swept, tmp_path_factory):
    """Eight rates, of which successive halving stops some at steps 5 and 15."""

    def run(out):
        rates = [1e-2, 3e-2, 1e-3, 2e-2, 1e-4, 3e-3, 5e-5, 2e-3]
        return swept(out, {"g_lr": rates}, seeds=1, at_once=4, pruner="halving", loop={"checkpoint_every": 5})

    return run, run(out := tmp_path_factory.mktemp("halved")), out / "own" / "a"


def test_what_is_worse_is_stopped_in_favour_of_others(halved):
    """It is saved where it stopped, named, and not scored."""
    _, found, root = halved
    dropped = {row.config["g_lr"]: own.dropped for row in found.rows for own in row.outcomes if own.dropped}
    assert 3 <= len(dropped) < 8
    notes = "\n".join(found.notes())
    for rate, step in dropped.items():
        assert f"stopped in favour of others: g_lr={rate:g}, at step {step}" in notes
        assert records.checkpoints(root / f"g_lr={rate:g}" / "seed-0")[-1] == step
    assert all(own.figures for row in found.rows for own in row.outcomes if own.dropped is None)


@pytest.mark.parametrize(
    "moment",
    [
        "before it is told",
        pytest.param("a checkpoint after the score", marks=pytest.mark.long),
        pytest.param("the second group", marks=pytest.mark.long),
    ],
)
def test_what_is_interrupted_stops_the_same(halved, tmp_path, monkeypatch, moment):
    run, _, root = halved
    where, name, at = {
        "before it is told": (sweeps.work.book, "tell", lambda n, args: n == 2),
        "a checkpoint after the score": (lanes, "save", lambda n, args: n == 3),
        "the second group": (
            lanes,
            "watch",
            lambda n, args: n > 4 and "0.0001" in args[0].name and args[0].step == 10,
        ),
    }[moment]
    usual, calls = getattr(where, name), []

    def stopped(*args):
        calls.append(args)
        if at(len(calls), args):
            raise Stopped(15, "stopped")
        return usual(*args)

    monkeypatch.setattr(where, name, stopped)
    with pytest.raises(Stopped):
        run(tmp_path)
    monkeypatch.setattr(where, name, usual)
    run(tmp_path)
    assert _texts(tmp_path / "own" / "a") == _texts(root)


@pytest.mark.parametrize(
    "sampler", ["random", "tpe", *(pytest.param(x, marks=pytest.mark.long) for x in ("qmc", "cmaes"))]
)
def test_samplers_draw_as_many_as_they_are_asked_for(swept, tmp_path, sampler):
    draws = {"g_lr": sweeps.log_uniform(1e-5, 1e-2), "d_lr": sweeps.log_uniform(1e-5, 1e-2)}
    brief = {"seeds": 1, "sampler": sampler, "config": {"steps": 5}, "loop": {"evaluate_every": 0}}
    found = swept(tmp_path, draws, trials=2, **brief)
    assert len(found.rows) == 2
    assert len({row.config["g_lr"] for row in found.rows}) == 2
    assert (tmp_path / "own" / "a" / "parallel.png").is_file() == (sampler == "cmaes")
    more = swept(tmp_path, draws, trials=3, **brief)
    assert more.rows[:2] == found.rows
    assert len(more.rows) == 3


def test_its_runs_are_runs_as_any_other(plain, tmp_path, capsys):
    _, root = plain
    lane = root / "gp_weight=1" / "seed-0"
    cli.main(["sample", str(lane), "--n", "5", "--out", str(tmp_path / "x.csv")])
    assert np.loadtxt(tmp_path / "x.csv", delimiter=",").shape == (5, 2)
    cli.main(["compare", str(root / "gp_weight=1"), str(root / "gp_weight=2")])
    assert "2 seeds" in capsys.readouterr().out
    cli.main(["list", str(root)])
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_compare_gives_the_same_table(plain, tmp_path, capsys):
    found, root = plain
    folders = [str(root / f"gp_weight={value}") for value in (2, 1)]
    out = tmp_path / "t.jsonl"
    cli.main(["compare", *folders, "--baseline", folders[1], "--out", str(out)])
    assert "gp_weight=1: the paired ratio" in capsys.readouterr().out
    own = {(r["config"]["gp_weight"], r["seed"]): r["figures"]["swd"] for r in map(json.loads, out.open())}
    assert own == {(r.config["gp_weight"], o.seed): o.figures["swd"] for r in found.rows for o in r.outcomes}
    cli.main(["compare", str(root), "--out", str(tmp_path / "t.md")])
    table = (tmp_path / "t.md").read_text()
    for c in found.compared:
        assert f"{c.summary.mean:.4g}" in table
    with pytest.raises(SystemExit):
        cli.main(["compare", *folders, "--baseline", str(tmp_path)])
    assert "is none of the runs that are compared" in capsys.readouterr().err


@pytest.mark.long
def test_sweeps_on_several_data_sets_have_a_profile(plain, swept, tmp_path, capsys):
    swept(tmp_path, GRID, seeds=1, config={"data": "grid"})
    cli.main(["compare", str(plain[1]), str(tmp_path / "own" / "a"), "--out", str(tmp_path / "p.png")])
    assert (tmp_path / "p.png").stat().st_size > 1000
    with pytest.raises(SystemExit):
        cli.main(["compare", str(plain[1]), str(plain[1])])
    assert "as another sweep is" in capsys.readouterr().err


def test_a_moved_sweep_goes_on(plain, tmp_path):
    root = shutil.copytree(plain[1], tmp_path / "elsewhere" / "b")
    before = _texts(root)
    found = sweeps.resume(root)
    assert found.rows == plain[0].rows
    assert {k: v for k, v in _texts(root).items() if k != "table.md"} == {
        k: v for k, v in before.items() if k != "table.md"
    }


def test_it_is_watched(plain, capsys):
    cli.main(["sweep", str(plain[1]), "--watch"])
    out = capsys.readouterr().out
    assert out.count("done") == 2
    with pytest.raises(SystemExit) as e:
        cli.main(["sweep", str(plain[1].parent), "--watch"])
    assert e.value.code == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metric": "fid"}, "--metric fid: the runs have swd, captured"),
        (
            {"baseline": {"gp_weight": 7.0}},
            "--baseline {'gp_weight': 7.0}: gp_weight=7 is not in the sweep, which has 1, 2",
        ),
        ({"baseline": {"gamma": 7.0}}, "gamma is not varied"),
        ({"sampler": "random"}, "--sampler random draws --trials N configurations: say how many"),
        ({"trials": 3}, "--trials 3: a grid has every combination"),
        ({"sampler": "tpee", "trials": 2}, "--sampler 'tpee'"),
        (
            {"pruner": "halving", "loop": {"evaluate_every": 0}},
            "--pruner halving looks at the scores of --evaluate-every",
        ),
        ({"at_once": 10**9}, "--at-once 1000000000: there is room for"),
        ({"storage": "study.db"}, "--storage study.db: a database's address"),
        (
            {"storage": "postgresql://x:secret@127.0.0.1:9/none"},
            "--storage postgresql://x:***@127.0.0.1:9/none does not answer",
        ),
        ({"storage": "nosuch://127.0.0.1/x"}, "--storage nosuch://127.0.0.1/x does not answer"),
        (
            {"storage": "oracle://127.0.0.1/x"},
            "--storage oracle://127.0.0.1/x takes a driver that is not inst",
        ),
        ({"loop": {"name": "a/b"}}, "--name 'a/b' must be the name of one folder"),
        ({"speed": 1}, "sweep has no option 'speed'"),
        ({"seeds": 0}, "--seeds 0: it must be at least 1"),
    ],
)
def test_bad_input_is_a_line_and_writes_nothing(swept, tmp_path, options, told):
    with pytest.raises(InputError, match=re.escape(told)) as e:
        swept(tmp_path / "r", GRID, **options)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "r").exists()


def test_a_number_that_decides_the_data_is_refused(tmp_path):
    from experiments import gaussian

    loop = train.Loop(out=str(tmp_path / "r"), devices=1)
    with pytest.raises(InputError, match="--set mu: mu decides the data"):
        sweeps.sweep(gaussian, gaussian.Config(steps=5), {"mu": [1.0, 5.0]}, loop=loop)
    assert not (tmp_path / "r").exists()


def test_a_configuration_that_cannot_be_built_fails_alone(swept, tmp_path, capsys):
    found = swept(tmp_path, {"method": ["gan", "pacgan"]}, seeds=1, config={"batch_size": 9})
    assert [len(row.failed) for row in found.rows] == [0, 1]
    assert "a batch of 9 is not made of packs of 2" in found.rows[1].failed[0].failed
    assert "failed: method=pacgan" in capsys.readouterr().err
