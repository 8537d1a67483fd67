import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from experiments import mixtures
from experiments.mixtures import PROTOCOLS, Config, complete, make
from jaxgan import cli, records, run, sampling, steps, train
from jaxgan.config import InputError
from jaxgan.kinds.points import points
from jaxgan.train import Loop

pytestmark = pytest.mark.usefixtures("without_curves")

EVERY = [(name, "unrolled") for name in get_args(mixtures.Name)] + [("gan", name) for name in PROTOCOLS]
SMALL = {"samples": 100, "batch_size": 64, "steps": 20}
OFTEN = {"chunk": 5, "log_every": 1, "sample_every": 10, "evaluate_every": 5, "checkpoint_every": 10}


def _config(**options):
    data = "stacked" if options.get("protocol") == "stacked" else "ring"
    return complete(Config(**{"data": data, **options}))


def _batch(cfg, n):
    return points.load(cfg, None).example(n)


@pytest.mark.parametrize(("name", "protocol"), EVERY)
def test_every_method_makes_a_step(name, protocol):
    """Traced; which penalties and how many batches it has is in the metrics and shapes."""
    assert set(mixtures._methods(Config())) == set(get_args(mixtures.Name))
    cfg = _config(method=name, protocol=protocol)
    gan, opts = make(cfg)
    method = mixtures._methods(cfg)[name]
    assert cfg.batch_size == PROTOCOLS[protocol].batch_size * method.pack
    state = jax.eval_shape(partial(sampling.initial_state, make, cfg, _batch(cfg, 4 * method.pack)))
    batch = jax.tree.map(lambda x: jnp.zeros((cfg.n_critic, *x.shape), x.dtype), _batch(cfg, 4 * method.pack))
    after, metrics = jax.eval_shape(partial(steps.train_step, gan, opts), state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert {f"d/{name}" for name in method.d_terms} < set(metrics)


def test_no_two_methods_have_the_same_program():
    """So each differs from the plain game; the controls, a number that a method does not use."""

    def program(**options):
        cfg = _config(protocol="unrolled", **options)
        gan, opts = make(cfg)
        example = _batch(cfg, 2 * mixtures._methods(cfg)[cfg.method].pack)
        state = jax.eval_shape(partial(sampling.initial_state, make, cfg, example))
        batches = jax.tree.map(lambda x: jnp.zeros((cfg.n_critic, *x.shape), x.dtype), example)
        traced = jax.make_jaxpr(partial(steps.train_step, gan, opts))(state, batches)
        return re.sub(r"0x[0-9a-f]+", "", str(traced))

    programs = [program(method=name, unroll=1) for name in get_args(mixtures.Name)]
    assert len(set(programs)) == len(programs)
    assert program(method="gan", unroll=1, gamma=5.0) == programs[0]
    assert program(method="gan", unroll=1, n_critic=2) != programs[0]


def test_unrolling_changes_the_generators_update():
    """One update from the same weights: of the game itself, unrolled, and looking ahead."""

    def updated(**options):
        cfg = _config(protocol="unrolled", **options)
        gan, opts = make(cfg)
        batch = {"point": jax.random.normal(jax.random.key(1), (8, 2)), "slot": jnp.arange(8)}
        state = steps.create_state(gan, opts, jax.random.key(0), batch)
        state, _ = jax.jit(partial(steps.g_step, gan, opts))(state, batch)
        return np.concatenate([x.ravel() for x in jax.tree.leaves(state.g.params)])

    plain, unrolled, ahead = (updated(method=m, unroll=2) for m in ("gan", "unrolled", "look_ahead"))
    assert not np.allclose(plain, unrolled, atol=1e-5)
    assert not np.allclose(unrolled, ahead, atol=1e-5)


def test_what_a_protocol_decides_is_in_the_config():
    cfg = complete(Config(protocol="metz", method="pacgan"))
    assert (cfg.data, cfg.steps, cfg.batch_size, cfg.n_critic) == ("ring:radius=2,std=0.02", 25_000, 1024, 1)
    assert complete(cfg) == cfg
    assert complete(Config(protocol="metz", steps=7, n_critic=3)).steps == 7


def _start(out, name="a", cfg=None, **loop):
    cfg = Config(**SMALL) if cfg is None else cfg
    found = train.start(cfg, Loop(name=name, out=str(out), devices=1, **{**OFTEN, **loop}), points)
    return out / "mixtures" / name, found


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three seeds as lanes: the folder, and their scores."""
    return _start(tmp_path_factory.mktemp("lanes"), seeds=3)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two seeds as lanes: the folder, their scores, and what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        root, found = _start(tmp_path_factory.mktemp("lanes"), seeds=2)
    return root, found, printed.getvalue()


def _leaves(path, step=20):
    """What a checkpoint holds of both players."""
    generator = sampling.load(path, step, critic=True)
    return [np.asarray(x) for x in jax.tree.leaves((generator.variables, generator.d_variables))]


@pytest.mark.filterwarnings("ignore:reverse_kl is left out")  # nothing is learnt in 20 steps
class TestLanes:
    def test_a_lane_is_the_run_of_its_seed(self, three, tmp_path):
        """Bit for bit, in what was logged and what was learnt; another seed is another run."""
        root, found = three
        assert list(found) == ["seed-0", "seed-1", "seed-2"]
        alone, scores = _start(tmp_path, cfg=Config(**SMALL, seed=1))
        lane = root / "seed-1"
        assert (alone / "metrics.jsonl").read_bytes() == (lane / "metrics.jsonl").read_bytes()
        assert (alone / "samples.png").read_bytes() == (lane / "samples.png").read_bytes()
        jax.tree.map(np.testing.assert_array_equal, _leaves(alone), _leaves(lane))
        assert found["seed-1"]["scores"] == scores["scores"]
        with pytest.raises(AssertionError):
            jax.tree.map(np.testing.assert_array_equal, _leaves(alone), _leaves(root / "seed-0"))

    @pytest.mark.long
    def test_lanes_side_by_side_are_these_to_float_tolerance(self, three, tmp_path):
        root, _ = three
        other, _ = _start(tmp_path, seeds=3, together=True)
        for name in ("seed-0", "seed-2"):
            for a, b in zip(_leaves(root / name), _leaves(other / name), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)

    @pytest.mark.long
    def test_each_is_an_ordinary_run(self, three, tmp_path, capsys):
        root, found = three
        lane = root / "seed-2"
        for name in (
            "config.json",
            "metrics.jsonl",
            "scores.json",
            "samples.png",
            "curves.png",
            "shares.png",
        ):
            assert (lane / name).is_file()
        assert json.loads((lane / "config.json").read_text())["config"]["seed"] == 2
        cli.main(["sample", str(lane), "--n", "5", "--out", str(tmp_path / "x.csv")])
        assert np.loadtxt(tmp_path / "x.csv", delimiter=",").shape == (5, 2)
        cli.main(["sample", str(lane), "--n", "50", "--out", str(tmp_path / "x.png")])
        cli.main(["evaluate", str(lane), "--n", "200", "--groups", "4"])
        assert "sliced" not in capsys.readouterr().err
        cli.main(["compare", str(lane), str(root / "seed-0")])
        assert "swd, lower is better" in capsys.readouterr().out
        cli.main(["report", str(lane), "--out", str(tmp_path / "r")])
        page = (tmp_path / "r" / "report.html").read_text()
        for part in ("Shares of modes", "Shares over training", "mixtures on ring", "swd"):
            assert part in page
        cli.main(["resume", str(lane), "--steps", "25"])
        assert records.checkpoints(lane)[-1] == 25

    def test_the_table_has_every_score(self, two):
        root, found, text = two
        values = [next(s["value"] for s in lane["scores"] if s["name"] == "swd") for lane in found.values()]
        half = 12.7062 * abs(values[0] - values[1]) / 2  # Student's t with one degree of freedom
        line = next(line for line in text.splitlines() if line.strip().startswith("swd"))
        mean, told = (float(x) for x in re.search(r"swd +(\S+) \+- (\S+) ", line).groups())
        assert mean == pytest.approx(np.mean(values), rel=1e-3)
        assert told == pytest.approx(half, rel=0.06)
        assert "captured_late" in text
        assert (root / "curves.png").is_file()

    @pytest.mark.long
    def test_fewer_steps_are_refused_and_change_nothing(self, two, tmp_path):
        root = shutil.copytree(two[0], tmp_path / "mixtures" / "a")
        train.resume(root / "seed-1", steps=30)
        before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
        with pytest.raises(InputError, match="seed-1 is at step 30 already; give no fewer --steps"):
            train.resume(root, steps=25)
        assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
        train.resume(root, steps=35)
        assert [records.checkpoints(root / f"seed-{i}")[-1] for i in (0, 1)] == [35, 35]
        jax.tree.map(
            np.testing.assert_array_equal,
            *(
                _leaves(p, 35)
                for p in (root / "seed-1", _start(tmp_path, "b", Config(**{**SMALL, "steps": 35}, seed=1))[0])
            ),
        )

    @pytest.mark.long
    def test_lanes_of_several_lengths_end_at_their_own(self, two, tmp_path):
        root = shutil.copytree(two[0], tmp_path / "mixtures" / "a")
        for lane, total in (("seed-0", 33), ("seed-1", 27)):
            record = records.read(root / lane)
            record["config"]["steps"] = total
            run.write(root / lane, record)
        found = train.resume(root)
        assert [found[lane]["step"] for lane in ("seed-0", "seed-1")] == [33, 27]
        assert [records.checkpoints(root / lane)[-1] for lane in found] == [33, 27]

    def test_a_folder_of_lanes_is_no_run(self, three):
        root, _ = three
        with pytest.raises(InputError, match="holds several lanes, each a run's folder of its own; name one"):
            jaxgan.load(root)

    def test_samples_of_an_endless_set_are_scored(self, three, capsys):
        cli.main(["evaluate", str(three[0] / "seed-0"), "--samples", "ring", "--n", "500", "--groups", "0"])
        lines = capsys.readouterr().out.splitlines()
        assert any(line.startswith("captured") and line.split()[1] == "8" for line in lines)
        assert "500 samples (points as given, seed 0)" in "\n".join(lines)

    def test_packs_of_three_are_scored(self, tmp_path):
        cfg = Config(method="pacgan", pack=3, batch_size=96, steps=10, samples=100)
        _, found = _start(tmp_path, cfg=cfg)
        assert "slope" in {s["name"] for s in found["scores"]}

    @pytest.mark.parametrize(
        ("loop", "told"),
        [
            ({"seeds": 0}, "--seeds 0"),
        ],
    )
    def test_bad_lanes_are_a_line(self, tmp_path, loop, told):
        with pytest.raises(InputError, match=re.escape(told)) as e:
            _start(tmp_path / "r", **loop)
        assert "\n" not in str(e.value)
        assert not (tmp_path / "r").exists()

    def test_a_folder_in_use_is_left_alone(self, three):
        root, _ = three
        with pytest.raises(InputError, match="already holds lanes; go on with them by `jaxgan resume"):
            _start(root.parents[1], seeds=2)


def _process(*args):
    return subprocess.Popen(
        [sys.executable, "-m", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.long
def test_lanes_that_a_signal_stopped_go_on_bit_for_bit(tmp_path):
    """Against lanes of the same length that nothing interrupted."""
    flags = ["--batch-size", "64", "--samples", "100", "--chunk", "5", "--checkpoint-every", "50",
             "--seeds", "2", "--evaluate-every", "50", "--sample-every", "50", "--devices", "1"]  # fmt: skip
    one = _process("experiments.mixtures", *flags, "--steps", "100000", "--out", str(tmp_path), "--name", "a")
    root = tmp_path / "mixtures" / "a"
    deadline = time.monotonic() + 120
    while not (root / "seed-1" / "checkpoints" / "50").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    one.send_signal(signal.SIGTERM)
    text, _ = one.communicate(timeout=120)
    assert one.returncode == 128 + signal.SIGTERM, text
    assert f"go on by `jaxgan resume {root}`" in text
    at = records.checkpoints(root / "seed-0")[-1]
    total = str(at + 13)
    for command in (
        ["jaxgan.cli", "resume", str(root), "--steps", total],
        ["experiments.mixtures", *flags, "--steps", total, "--out", str(tmp_path), "--name", "b"],
    ):
        other = _process(*command)
        text, _ = other.communicate(timeout=240)
        assert other.returncode == 0, text
    for name in ("seed-0", "seed-1"):
        a, b = root / name, root.parent / "b" / name
        jax.tree.map(np.testing.assert_array_equal, _leaves(a, int(total)), _leaves(b, int(total)))
        assert (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "stacked"])
@pytest.mark.parametrize("seeds", [1, 2, 16, 64])
def test_lanes_start_and_do_not_hang(protocol, seeds, tmp_path):
    """In a fresh process: initialisers that were batched over 16 keys stood still on jax 0.10.2."""
    command = [sys.executable, "-m", "experiments.mixtures", "--protocol", protocol, "--seeds", str(seeds),
               "--steps", "1", "--samples", "100", "--out", str(tmp_path), "--name", "a"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stderr


def test_bad_input_names_the_flag(tmp_path):
    for cfg, told in [
        (Config(data="stacked"), "--data stacked with --protocol unrolled"),
        (Config(data="rink"), "--data 'rink' is not one of ring, grid, .*did you mean 'ring'"),
        (Config(data="ring:radus=2"), "'radus' is not one of n_modes, radius, std; did you mean 'radius'"),
        (Config(data="ring:radius=x"), "radius is a number, not 'x'"),
        (Config(data="npz:none.npz"), "none.npz is not a file"),
    ]:
        with pytest.raises(InputError, match=told):
            _start(tmp_path / "out", cfg=cfg)
    assert not (tmp_path / "out").exists()
