"""Whole runs: through the command line where that matters, in a process of their own where that does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

import jaxgan
from experiments import cgan, gan, infogan, minibatch, pacgan
from jaxgan import cli, lanes, records, report, run, sampling, train
from jaxgan.config import InputError, from_dict
from jaxgan.data import load
from jaxgan.kinds.images import images
from jaxgan.train import Loop

pytestmark = pytest.mark.usefixtures("without_curves")

TINY = {"image_size": 8, "g_hidden": (16,), "d_hidden": (16,), "latent": 4, "batch_size": 16}
EVERY = {"chunk": 5, "sample_every": 10, "evaluate_every": 10, "checkpoint_every": 10}
FLAGS = [
    *("--image-size 8 --g-hidden 16 --d-hidden 16 --latent 4 --batch-size 16 --steps 40").split(),
    *("--chunk 5 --sample-every 10 --evaluate-every 10 --checkpoint-every 10 --log-every 1").split(),
]

FEW = pytest.mark.filterwarnings("ignore:.*biased upwards")  # forty images have no regular covariance


def _start(tmp_path, name="a", loop=None, **config):
    cfg = gan.Config(**{**TINY, "steps": 20, **config})
    return train.start(
        cfg, Loop(**{"name": name, "out": str(tmp_path), "devices": 1, **EVERY, **(loop or {})})
    )


def _python(*args, **options):
    return subprocess.Popen(
        [sys.executable, *(() if args[0] == "-u" else ("-m",)), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def _state(path, step):
    """A checkpoint's raw arrays."""
    folder = (path / "checkpoints" / str(step) / "state").absolute()
    with ocp.PyTreeCheckpointer() as reader:
        restore = jax.tree.map(
            lambda _: ocp.RestoreArgs(np.ndarray), reader.metadata(folder).item_metadata.tree
        )
        return reader.restore(folder, args=ocp.args.PyTreeRestore(restore_args=restore))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of 40 steps, in a process of its own."""
    root = tmp_path_factory.mktemp("whole")
    done = _python("experiments.gan", *FLAGS, "--out", str(root), "--name", "a")
    text, _ = done.communicate(timeout=300)
    assert done.returncode == 0, text
    return root / "gan" / "a", text


def test_a_run_leaves_what_it_promises(whole):
    path, text = whole
    for name in ("samples.png", "neighbours.png", "curves.png", "scores.json", "config.json"):
        assert (path / name).is_file()
        assert name in text or name == "config.json"
    assert sorted(p.name for p in (path / "samples").iterdir()) == [
        "0000010.png", "0000020.png", "0000030.png", "0000040.png", "animation.gif"]  # fmt: skip
    assert sorted(int(p.name) for p in (path / "checkpoints").iterdir()) == [20, 30, 40]
    assert any(p.name.startswith("events.out.tfevents") for p in (path / "events").iterdir())
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if "d/loss" in r] == list(range(1, 41))
    assert [r["step"] for r in rows if "score/fcd_digits" in r] == [10, 20, 30, 40]
    scores = json.loads((path / "scores.json").read_text())
    fcd, *others = scores["scores"]
    assert (fcd["name"], fcd["value"], fcd["step"]) == ("fcd_digits", rows[-1]["score/fcd_digits"], 40)
    assert fcd["interval"][0] < fcd["value"] < fcd["interval"][1]
    assert [score["name"] for score in others] == ["memorisation", "diversity"]
    assert sum(scores["class_shares"].values()) == pytest.approx(1, abs=1e-3)
    assert fcd["protocol"]["n_fake"] == 5000
    best = min((r for r in rows if "score/fcd_digits" in r), key=lambda r: r["score/fcd_digits"])
    watched = {"name": "fcd_digits", "value": best["score/fcd_digits"], "protocol": fcd["protocol"]}
    assert scores["best"] == {"step": best["step"]} | watched
    assert [p.name for p in (path / "best").iterdir()] == [str(best["step"])]
    record = json.loads((path / "config.json").read_text())
    assert record["config"]["g_hidden"] == [16]
    assert record["versions"]["jax"] == jax.__version__
    with Image.open(path / "samples" / "animation.gif") as gif:
        assert gif.n_frames > 1


def _under_way(root):
    """A run of 4000 steps that has made its first checkpoint: its folder and its process."""
    path = root / "gan" / "a"
    process = _python("experiments.gan", *FLAGS, "--out", str(root), "--name", "a", "--steps", "4000")
    deadline = time.monotonic() + 120
    while not (path / "checkpoints" / "10").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return path, process


def _interrupt(root, signum):
    """The folder of a run that a signal has stopped."""
    path, process = _under_way(root)
    process.send_signal(signum)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signum, text
    assert f"jaxgan resume {path}" in text
    return path


def _latest(path):
    return records.checkpoints(path)[-1]


def test_ctrl_c_saves_the_run(tmp_path):
    path = _interrupt(tmp_path, signal.SIGINT)
    assert 10 <= _latest(path) < 4000
    assert jaxgan.load(path).step == _latest(path)


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path):
    """In a fresh process, against a run of the same length that nothing interrupted."""
    path = _interrupt(tmp_path, signal.SIGTERM)
    at = _latest(path)
    total = at + 25
    done = _python("jaxgan.cli", "resume", str(path), "--steps", str(total))
    text, _ = done.communicate(timeout=300)
    assert done.returncode == 0, text
    assert f"going on from the checkpoint of step {at}" in text
    name = ["--out", str(tmp_path), "--name", "b", "--steps", str(total)]
    straight = _python("experiments.gan", *FLAGS, *name)
    text, _ = straight.communicate(timeout=300)
    assert straight.returncode == 0, text
    other = tmp_path / "gan" / "b"
    jax.tree.map(np.testing.assert_array_equal, _state(path, total), _state(other, total))
    assert (path / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    assert (path / "samples.png").read_bytes() == (other / "samples.png").read_bytes()
    scores = [json.loads((p / "scores.json").read_text()) for p in (path, other)]
    assert scores[0] | {"seconds": 0, "checksum": 0} == scores[1] | {"seconds": 0, "checksum": 0}


def test_another_seed_is_another_run(whole, tmp_path):
    """The negative control of the comparison above, and of the seed."""
    _start(tmp_path, steps=40, seed=1, loop={"sample_every": 0, "evaluate_every": 0, "checkpoint_every": 0})
    with pytest.raises(AssertionError):
        jax.tree.map(np.testing.assert_array_equal,
                     _state(whole[0], 40), _state(tmp_path / "gan" / "a", 40))  # fmt: skip


@pytest.mark.long
def test_a_killed_run_goes_on_from_its_last_checkpoint(whole, tmp_path):
    """kill -9: no goodbye; what was logged after the checkpoint is cut off and made again."""
    path, process = _under_way(tmp_path)
    process.kill()
    process.wait()
    process.stdout.close()
    with (path / "metrics.jsonl").open("a") as f:
        f.write('{"step": 100000, "d/lo')  # a line that was cut off
    total = _latest(path) + 10
    cli.main(["resume", str(path), "--steps", str(total)])
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if "d/loss" in r] == list(range(1, total + 1))


def _stderr_of_a_resume(path):
    done = subprocess.run(
        [sys.executable, "-m", "jaxgan.cli", "resume", str(path)], capture_output=True, text=True
    )
    return done, [line for line in done.stderr.splitlines() if "step/s" not in line and line.strip()]


def test_a_damaged_checkpoint_is_told_in_one_line(whole, tmp_path):
    path = tmp_path / "a"
    shutil.copytree(whole[0], path)
    for file in (path / "checkpoints" / "40" / "state").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:50])
    done, lines = _stderr_of_a_resume(path)
    assert done.returncode == 0
    assert len(lines) == 1
    assert lines[0].startswith("checkpoint 40 is damaged and was moved to")
    assert "going on from the checkpoint of step 30" in done.stdout
    jax.tree.map(np.testing.assert_array_equal, _state(path, 40), _state(whole[0], 40))


@pytest.mark.long
def test_a_signal_before_the_first_step_is_no_traceback(tmp_path):
    """While the judge is trained."""
    env = os.environ | {"JAXGAN_CACHE": str(tmp_path / "cache")}
    process = _python("-u", "-m", "experiments.gan", *FLAGS, "--out", str(tmp_path), "--name", "a", env=env)
    for line in process.stdout:
        if "training a judge" in line:
            process.send_signal(signal.SIGTERM)
            break
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in rest
    assert "stopped at step 0; go on by `jaxgan resume" in rest
    train.resume(tmp_path / "gan" / "a", devices=1)
    assert _latest(tmp_path / "gan" / "a") == 40


def test_many_devices_make_the_run_of_one(tmp_path, capsys):
    ends = {}
    for n in (1, 8):
        train.start(gan.Config(**TINY, steps=20), Loop(name=str(n), out=str(tmp_path), devices=n, **EVERY))
        assert f"{n} x cpu" in capsys.readouterr().out
        state = _state(tmp_path / "gan" / str(n), 20)
        flat = [x.ravel() for x in jax.tree.leaves((state["g"]["params"], state["d"]["params"]))]
        ends[n] = np.concatenate(flat)
    assert np.linalg.norm(ends[8] - ends[1]) / np.linalg.norm(ends[1]) < 1e-4


SCRIPT = """
from dataclasses import dataclass
from experiments import gan
from jaxgan import train
from jaxgan.kinds.images import images

@dataclass(frozen=True)
class Config(gan.Config):
    latent: int = 4  # numbers in z

def make(cfg, axis=None):
    return gan.make(cfg, axis)

if __name__ == "__main__":
    train.main(Config, make, images)
"""


def test_a_method_in_a_file_of_ones_own(tmp_path, key):
    """Run as a script, then loaded from elsewhere."""
    (tmp_path / "mine.py").write_text(SCRIPT)
    flags = [f for f in FLAGS if f not in ("--latent", "4")]
    done = subprocess.run(
        [sys.executable, "mine.py", *flags, "--steps", "5", "--name", "a"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    generator = jaxgan.load(tmp_path / "runs" / "mine" / "a")
    assert generator.config.latent == 4
    assert generator.sample(key, 2).shape == (2, 8, 8, 1)
    with pytest.raises(TypeError, match="Config and make must be of one module"):
        train.main(gan.Config, cgan.make, argv=[])


@pytest.mark.long
def test_a_signal_in_the_closing_scores_ends_them(tmp_path):
    """In one line, by the signal's own status; its scores are made when it is resumed."""
    one = _python("-u", "-c", CLOSING, "--out", str(tmp_path), "--name", "a", *FLAGS)
    text, _ = one.communicate(timeout=120)
    assert one.returncode == 128 + signal.SIGTERM, text
    path = tmp_path / "gan" / "a"
    assert f"stopped at step 40, in the closing scores; go on by `jaxgan resume {path}`" in text
    assert "Traceback" not in text
    assert not (path / "scores.json").exists()
    train.resume(path, devices=1)
    assert (path / "scores.json").is_file()


CLOSING = """
import os, signal, sys
from experiments import gan
from jaxgan import plots, train
from jaxgan.kinds.images import images

plots.curves = lambda *args: os.kill(os.getpid(), signal.SIGTERM)
train.main(gan.Config, gan.make, argv=sys.argv[1:])
"""


@FEW
def test_a_run_without_labels_or_scores_in_between(tmp_path, images, capsys):
    np.savez(tmp_path / "plain.npz", image=images)
    scores = train.start(
        gan.Config(data=f"npz:{tmp_path / 'plain.npz'}", **TINY, steps=7),
        Loop(
            name="a",
            out=str(tmp_path),
            devices=1,
            sample_every=0,
            evaluate_every=0,
            checkpoint_every=0,
        ),
    )
    assert scores["scores"][0]["name"] == "fd_cells"
    assert scores["class_shares"] is None
    assert _latest(tmp_path / "gan" / "a") == 7
    given = ["--images", f"npz:{tmp_path / 'plain.npz'}", "--groups", "0"]
    cli.main(["evaluate", str(tmp_path / "gan" / "a"), *given])
    assert "40 samples (images as given, seed 0)" in capsys.readouterr().out


def test_patience_stops_a_run_and_the_best_is_kept(tmp_path, capsys):
    """With learning rates of 0 no score is better than the first."""
    still = {"g_lr": 0.0, "d_lr": 0.0, "ema_decay": None, "norm_momentum": None}
    _start(tmp_path, steps=500, **still, loop={"patience": 3, "sample_every": 0})
    assert "no better score in 3: stopped at step 40" in capsys.readouterr().out
    path = tmp_path / "gan" / "a"
    assert _latest(path) == 40
    assert [p.name for p in (path / "best").iterdir()] == ["10"]
    assert jaxgan.load(path, "best").step == 10
    assert (path / "scores.json").is_file()
    train.resume(path)  # its patience is spent: no step more
    assert _latest(path) == 40
    train.resume(path, steps=600)  # asked for more, it is patient anew
    assert _latest(path) == 70


def test_what_a_resumed_run_is_given_is_remembered(tmp_path, capsys):
    _start(tmp_path, steps=5)
    path = tmp_path / "gan" / "a"
    train.resume(path, steps=10)
    assert json.loads((path / "config.json").read_text())["config"]["steps"] == 10
    with pytest.raises(InputError, match="is at step 10 already; give no fewer --steps"):
        train.resume(path, steps=7)
    train.resume(path)
    assert _latest(path) == 10


def test_extending_a_run_makes_the_run_of_that_length(tmp_path, whole):
    """Also where it had ended between two stops."""
    _start(tmp_path, steps=17, loop={"log_every": 1})
    path = tmp_path / "gan" / "a"
    before = json.loads((path / "scores.json").read_text())["scores"]
    after = train.resume(path, steps=40)
    assert after["step"] == 40
    assert after["scores"][: len(before)] == before  # other steps' scores stay
    assert after["scores"][len(before) :] == json.loads((whole[0] / "scores.json").read_text())["scores"]
    jax.tree.map(np.testing.assert_array_equal, _state(path, 40), _state(whole[0], 40))
    assert (path / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()


def test_few_lengths_are_compiled():
    """For any step of a run whose chunk fits none of its periods."""
    loop = Loop(chunk=64, sample_every=250, evaluate_every=333, checkpoint_every=500)
    step, lengths = 0, []
    while step < 6001:
        lengths.append(train.length_of(step, 6001, loop))
        step += lengths[-1]
        ends = range(step - lengths[-1] + 1, step)
        assert not any(s % p == 0 for s in ends for p in (250, 333, 500))
    assert step == 6001
    assert set(lengths) <= {1, 2, 4, 8, 16, 32, 64}


def test_bfloat16_and_the_average_run_through(tmp_path):
    scores = _start(tmp_path, dtype="bfloat16", ema_decay=0.9)
    assert scores["scores"][0]["protocol"]["generator"] == "EMA"


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A conditional run of 10 steps."""
    root = tmp_path_factory.mktemp("cgan")
    cfg = cgan.Config(image_size=8, width=4, latent=4, batch_size=16, steps=10)
    scores = train.start(cfg, Loop(name="a", out=str(root), devices=1, **EVERY))
    assert {s["name"]: s["value"] for s in scores["scores"]}["agreement"] == pytest.approx(0.5, abs=0.5)
    return root / "cgan" / "a"


class TestConditional:
    def test_the_grid_has_a_column_a_class(self, conditional):
        with Image.open(conditional / "samples.png") as image:
            assert image.width / image.height == pytest.approx(91 / 73, rel=0.01)  # 10 x 8

    def test_samples_by_label(self, conditional):
        g = jaxgan.load(conditional)
        key = jax.random.key(0)
        threes = g.sample(key, 5, label=3)
        assert threes.shape == (5, 8, 8, 1)
        np.testing.assert_array_equal(threes, g.sample(key, 5, label=[3] * 5))
        assert not np.allclose(threes, g.sample(key, 5, label=4))
        np.testing.assert_array_equal(g.sample(key, 11), g.sample(key, 11, label=np.arange(11) % 10))
        np.testing.assert_array_equal(threes, g.sample(key, 5, "3"))
        np.testing.assert_array_equal(threes, g.sample(key, 5, np.int64(3)))
        np.testing.assert_array_equal(g.interpolate(key, 2, 3, [4, 5]), g.interpolate(key, 2, 3, ["4", "5"]))
        for label, told in [
            (10, "label 10 is not one of the classes: 0 '0', 1 '1'"),
            ([3, -1], "label -1 is not one of the classes"),
            (2**40, "label 1099511627776 is not one"),
            ("x", "label 'x' is not one of the classes"),
            (1.7, "label 1.7 is neither a class's number nor its name"),
            (True, "label True is neither"),
            ([0, 1, 2], "there are 3 labels for 2 samples; give one, or one each"),
            ([], "there are 0 labels for 2 samples"),
            ([[0, 1], [2, 3]], "is neither"),
        ]:
            with pytest.raises(InputError, match=told) as e:
                g.sample(key, 2, label=label)
            assert "\n" not in str(e.value)
        with pytest.raises(InputError, match="label or condition, not both"):
            g.sample(key, 2, 3, label=3)

    def test_it_is_scored_by_the_labels_that_were_asked_for(self, conditional, tmp_path):
        path = shutil.copytree(conditional, tmp_path / "a")
        metrics = ["--metrics", "fd", "intra_fd", "agreement"]
        cli.main(["evaluate", str(path), "--n", "4000", "--groups", "0", *metrics])
        scores = json.loads((path / "scores.json").read_text())["scores"]
        found = {r["name"]: r["value"] for r in scores if r["protocol"]["n_fake"] == 4000}
        assert found["intra_fd_classifier"] > found["fcd_digits"] > 10
        assert 0 <= found["agreement"] < 0.5
        data = run.dataset(records.read(path))
        shares = np.bincount(sampling.drawn(data, images, 4000)["label"], minlength=10) / 4000
        np.testing.assert_allclose(shares, np.bincount(data["label"]) / len(data["label"]), atol=0.03)

    def test_a_file_of_samples_has_the_labels_that_were_asked_for(self, conditional, tmp_path):
        file = tmp_path / "x.npz"
        cli.main(["sample", str(conditional), "--n", "23", "--out", str(file)])
        with np.load(file) as found:
            np.testing.assert_array_equal(found["label"], np.arange(23) % 10)
            assert found["classes"].tolist() == [str(i) for i in range(10)]
            images = found["image"]
        cli.main(["sample", str(conditional), "--n", "5", "--label", "3", "--out", str(file)])
        with np.load(file) as found:
            assert found["label"].tolist() == [3] * 5
        cli.main(["sample", str(conditional), "--n", "2", "--interpolate", "4", "--out", str(file)])
        with np.load(file) as found:
            assert found["label"].tolist() == [0] * 4 + [1] * 4
            paths = found["image"]
        g, key, of_python = sampling.load(conditional), jax.random.key(0), tmp_path / "z.npz"
        for asked, labels, same in [
            (dict(n=23), np.arange(23) % 10, images),
            (dict(n=3, label=[3, 1, 4]), [3, 1, 4], None),
            (dict(n=2, columns=4), [0] * 4 + [1] * 4, paths),
        ]:
            g.save(of_python, key, **asked)
            with np.load(of_python) as found:
                np.testing.assert_array_equal(found["label"], labels)
                assert same is None or np.array_equal(found["image"], same)
        with pytest.raises(InputError, match="leave psi or columns out"):
            g.save(of_python, key, 2, psi=0.5, columns=3)
        again = tmp_path / "y.npz"
        np.savez(again, image=images, label=np.arange(23) % 10, classes=[str(i) for i in range(10)])
        given, trained = load(f"npz:{again}", image_size=8), run.dataset(records.read(conditional))
        assert given.classes == trained.classes

    def test_its_report_has_a_column_a_label(self, conditional, tmp_path):
        seen = report.gather(conditional)
        assert seen.panels[3].what.title == "Classes, as asked for"
        assert len(seen.panels[3].what.images) == 10 * 10
        assert "one class a path" in report.page(seen)

    def test_unlabelled_data_are_refused(self, tmp_path, images):
        np.savez(tmp_path / "plain.npz", image=images)
        cfg = cgan.Config(data=f"npz:{tmp_path / 'plain.npz'}", image_size=8, batch_size=8)
        with pytest.raises(InputError, match="has no labels, and a conditional generator needs"):
            train.start(cfg, Loop(out=str(tmp_path), devices=1))


class TestSampling:
    def test_the_generator_is_the_runs(self, whole):
        """The samples of the last checkpoint are those of samples.png."""
        path, _ = whole
        g = jaxgan.load(path)
        assert g.step == 40
        from jaxgan import plots
        from jaxgan.random import fold

        images = g.sample(fold(jax.random.key(0), "samples"), 64)
        drawn = np.asarray(plots.picture(plots.grid(plots.to_uint8(images))))
        with Image.open(path / "samples.png") as image:
            np.testing.assert_array_equal(drawn, np.asarray(image))

    def test_a_sample_does_not_depend_on_how_many(self, whole, key):
        g = jaxgan.load(whole[0])
        np.testing.assert_allclose(g.sample(key, 300)[:3], g.sample(key, 3), atol=1e-6)
        assert not np.allclose(g.sample(key, 3), g.sample(jax.random.key(0), 3))

    def test_a_checkpoint_by_its_step(self, whole, key):
        steps = [jaxgan.load(whole[0], s).sample(key, 2) for s in (20, 30)]
        assert not np.allclose(*steps)
        with pytest.raises(InputError, match=r"no checkpoint of step 5, but of \[20, 30, 40\]"):
            jaxgan.load(whole[0], 5)

    def test_interpolation_starts_and_ends_at_samples(self, whole, key):
        g = jaxgan.load(whole[0])
        path = g.interpolate(key, 2, 5)
        assert path.shape == (10, 8, 8, 1)
        ends = g.sample(key, 4)
        np.testing.assert_allclose(path[[0, 5, 4, 9]], ends, atol=1e-5)

    def test_truncation(self, whole, key):
        g = jaxgan.load(whole[0])
        spread = [float(g.sample(key, 200, psi=psi).std(0).mean()) for psi in (None, 1.0, 0.2)]
        assert spread[0] > spread[1] > spread[2]

    def test_what_cannot_be_sampled(self, whole, key):
        g = jaxgan.load(whole[0])
        for call, message in [
            (lambda: g.sample(key, 0), "n is 0"),
            (lambda: g.sample(key, 2, psi=0.0), "psi is 0.0"),
            (lambda: g.sample(key, 2, label=1), "takes no label"),
            (lambda: g.interpolate(key, 2, 1), "2 columns or more"),
        ]:
            with pytest.raises(InputError, match=message):
                call()


class TestBadInput:
    """One line that says what to do, before anything is written."""

    @pytest.mark.parametrize(
        ("config", "loop", "message"),
        [
            ({"batch_size": 0}, {}, "--batch-size 0: it must be at least 1"),
            ({"batch_size": 2000}, {}, "larger than the data set: digits has 1797"),
            ({"batch_size": 9}, {"devices": 2}, "cannot be divided by 2 devices"),
            ({"batch_size": 9}, {"accumulate": 2}, "times 2 microbatches"),
            ({}, {"devices": 99}, "--devices 99: this machine has 8"),
            ({"g_lr": -1.0}, {}, "--g-lr -1.0: it must be at least 0"),
            ({"steps": 0}, {}, "--steps 0"),
            ({"seed": 10**20}, {}, "--seed 1"),
            ({"image_size": 0}, {}, "--image-size 0"),
            ({}, {"patience": 2, "evaluate_every": 0}, "--patience 2 watches"),
            ({}, {"name": "../x"}, "must be the name of one folder"),
            ({}, {"out": "/dev/null/runs"}, "cannot be made"),
            ({}, {"chunk": 0}, "--chunk 0"),
            ({"data": "digit"}, {}, "did you mean 'digits'"),
        ],
    )
    def test_values(self, tmp_path, config, loop, message):
        with pytest.raises(InputError, match=message):
            train.start(
                gan.Config(**{**TINY, **config}),
                Loop(**{"out": str(tmp_path / "r"), "devices": 1, **loop}),
            )
        assert not (tmp_path / "r").exists()

    def test_a_size_that_the_network_cannot_make(self, tmp_path):
        with pytest.raises(InputError, match=r"\(8, 16, 32, 64, 128\) pixels, not 20") as e:
            train.start(cgan.Config(image_size=20, batch_size=8), Loop(out=str(tmp_path / "r"), devices=1))
        assert "\n" not in str(e.value)
        assert not (tmp_path / "r").exists()

    @pytest.mark.parametrize(
        ("module", "config", "devices", "message"),
        [
            (infogan, {"latent": 2}, 1, "--latent 2: it holds 2 codes"),
            (pacgan, {"pack": 8}, 2, "a batch of 4 is not made of packs of 8"),
            (minibatch, {"features": "std", "group": 8}, 1, "a batch of 12 is not made of groups of 8"),
        ],
    )
    def test_a_loss_or_layer_that_a_devices_share_does_not_fit(
        self, module, config, devices, message, tmp_path
    ):
        small = {"width": 4, "image_size": 8, "batch_size": 12 if "group" in config else 8}
        cfg, loop = module.Config(**{**small, **config}), Loop(out=str(tmp_path / "r"), devices=devices)
        with pytest.raises(InputError, match=message):
            train.start(cfg, loop)
        assert not (tmp_path / "r").exists()

    def test_the_exit_status_is_two_and_the_message_one_line(self, tmp_path, capsys):
        with pytest.raises(SystemExit) as e:
            train.main(gan.Config, gan.make, argv=["--batch-size", "0", "--out", str(tmp_path)])
        assert e.value.code == 2
        assert capsys.readouterr().err == "error: --batch-size 0: it must be at least 1\n"

    def test_an_unknown_flag_gets_the_nearest_name(self, capsys):
        with pytest.raises(SystemExit) as e:
            train.main(gan.Config, gan.make, argv=["--batchsize", "3"])
        assert e.value.code == 2
        assert "--batch-size" in capsys.readouterr().err

    def test_a_folder_in_use_is_left_alone(self, whole, tmp_path):
        path, _ = whole
        before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
        loop = Loop(name="a", out=str(path.parents[1]), devices=1)
        same = json.loads((path / "config.json").read_text())["config"]
        same = gan.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in same.items()})
        with pytest.raises(InputError, match=rf"of this very configuration; .*jaxgan resume {path}"):
            train.start(same, loop)
        with pytest.raises(InputError, match=r"of another one \(latent: 5, not 4\)"):
            train.start(gan.Config(**{**TINY, "steps": 40, "latent": 5}), loop)
        (tmp_path / "gan" / "a").mkdir(parents=True)
        (tmp_path / "gan" / "a" / "thesis.tex").write_text("!")
        with pytest.raises(InputError, match="exists and is no run's folder"):
            _start(tmp_path)
        assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before

    def test_a_loss_that_is_not_finite(self, tmp_path):
        """A learning rate of 1e30 overflows within a few steps."""
        with pytest.raises(InputError, match=r"is not finite at step \d+ .* the state of step \d+ is kept"):
            _start(tmp_path, g_lr=1e30, d_lr=1e30, ema_decay=None)

    def test_the_last_finite_checkpoint_is_kept(self, tmp_path, monkeypatch):
        """A loss that turns infinite at step 27 stops the run there; the state of step 26 is kept."""
        import jax.numpy as jnp

        def make(cfg, axis=None, _make=gan.make):
            method, opts = _make(cfg, axis)

            def g_loss(params, state, batch, key):
                loss, aux = method.g_loss(params, state, batch, key)
                return jnp.where(state.step == 26, jnp.inf, loss), aux

            return method._replace(g_loss=g_loss), opts

        monkeypatch.setattr(gan, "make", make)
        with pytest.raises(InputError, match="g/loss is not finite at step 27 .* step 26 is kept"):
            _start(tmp_path, steps=40)
        path = tmp_path / "gan" / "a"
        assert _latest(path) == 26
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(_state(path, 26)))

    def test_a_nan_is_the_losss(self):
        """Where the logits are NaN all figures are; the loss is the one to name."""
        metrics = {"d/accuracy_fake": np.array([1.0, np.nan]), "d/loss": np.array([1.0, np.nan])}
        assert lanes.first_bad(11, metrics) == ("d/loss", 12)
        assert lanes.first_bad(11, {"d/loss": np.zeros(2)}) is None

    def test_a_run_that_is_in_use(self, whole):
        with run.locked(whole[0]), pytest.raises(InputError, match="in use by another process"):
            train.resume(whole[0])

    def test_three_images_are_too_few(self, tmp_path, images):
        np.savez(tmp_path / "d.npz", image=images[:3])
        with pytest.raises(InputError, match="has 3 images; a score needs 4 or more"):
            _start(tmp_path, data=f"npz:{tmp_path / 'd.npz'}", batch_size=2)

    def test_classes_that_are_not_the_datas(self, tmp_path):
        with pytest.raises(InputError, match="--n-classes 5: digits has 10"):
            train.start(cgan.Config(n_classes=5), Loop(out=str(tmp_path), devices=1))

    @FEW
    def test_data_that_changed_since(self, whole, tmp_path, images):
        np.savez(tmp_path / "d.npz", image=images)
        data = f"npz:{tmp_path / 'd.npz'}"
        _start(tmp_path, data=data, steps=5)
        np.savez(tmp_path / "d.npz", image=images[::-1])
        with pytest.raises(InputError, match="no longer what .* was trained on"):
            train.resume(tmp_path / "gan" / "a", steps=10)

    def test_a_run_of_an_earlier_version(self, tmp_path, whole):
        path = shutil.copytree(whole[0], tmp_path / "a")
        file = path / "config.json"
        record = json.loads(file.read_text())
        del record["checksum"]
        file.write_text(json.dumps(record))
        for call in (jaxgan.load, train.resume, report.make):
            with pytest.raises(InputError, match="was made by an earlier version, .* train it anew"):
                call(path)

    def test_a_record_of_other_types_is_a_line(self, tmp_path, whole):
        """Each entry of config.json in turn, by values that it may not have."""
        record, refused = records.read(whole[0]), 0
        entries = [(k, None) for k in record]
        entries += [(k, j) for k, part in record.items() if isinstance(part, dict) for j in part]
        for key, entry in entries:
            for value in (None, 3, "x", [], {}, -1.5, ["x"]):
                changed = record | {key: value if entry is None else record[key] | {entry: value}}
                run.write(tmp_path, changed)
                try:
                    found = records.read(tmp_path)
                    run.method(found)
                    from_dict(Loop, found["loop"])
                    run.example_of(found)
                except InputError as e:
                    refused += "\n" not in str(e)
        assert refused > 300

    def test_a_run_that_is_none(self, tmp_path, whole):
        with pytest.raises(InputError, match="is no run's folder"):
            jaxgan.load(tmp_path)
        with pytest.raises(InputError, match="did you mean 'a'"):
            jaxgan.load(whole[0].parent / "aa")
        for content, message in [("{", "is damaged"), ("[]", "is damaged"), ("", "is damaged")]:
            (tmp_path / "config.json").write_text(content)
            with pytest.raises(InputError, match=rf"config.json .*{message}"):
                jaxgan.load(tmp_path)


def test_the_compilation_cache_has_a_switch(tmp_path, monkeypatch):
    """A run turns it on or not; what that does is seen in a process of its own, the setting being JAX's."""

    def turned_on():
        raise InputError("turned on")

    def locked(path):
        raise InputError("left alone")

    monkeypatch.setattr(train.cache, "keep_compilations", turned_on)
    monkeypatch.setattr(train.run, "locked", locked)
    for switch, told in ((True, "turned on"), (False, "left alone")):
        with pytest.raises(InputError, match=told):
            _start(tmp_path, name=told, loop={"cache": switch})
    code = "import jax; from jaxgan import cache; cache.keep_compilations(); jax.jit(lambda x: x + 1)(1.0)"
    env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    env |= {"JAXGAN_CACHE": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert any((tmp_path / "xla").glob("*"))


class TestCommand:
    def test_sample_writes_a_grid_or_arrays(self, whole, tmp_path, capsys):
        run = str(whole[0])
        cli.main(["sample", run, "--n", "10", "--out", str(tmp_path / "g.png")])
        assert "10 samples of step 40" in capsys.readouterr().out
        with Image.open(tmp_path / "g.png") as image:
            assert image.width >= 640
        cli.main(["sample", run, "--n", "3", "--out", str(tmp_path / "g.npz"), "--checkpoint", "20"])
        assert np.load(tmp_path / "g.npz")["image"].shape == (3, 8, 8, 1)
        cli.main(["sample", run, "--n", "2", "--interpolate", "4", "--out", str(tmp_path / "i.npz")])
        assert np.load(tmp_path / "i.npz")["image"].shape == (8, 8, 8, 1)

    def test_list(self, whole, capsys, tmp_path):
        bad = tmp_path / "gan" / "bad"
        bad.mkdir(parents=True)
        (bad / "config.json").write_bytes((whole[0] / "config.json").read_bytes())
        (bad / "scores.json").write_text("{}")
        cli.main(["list", str(tmp_path)])
        assert "damaged" in capsys.readouterr().out
        (bad / "config.json").write_text("{")
        cli.main(["list", str(tmp_path)])
        told = capsys.readouterr()
        assert "damaged" in told.out
        assert told.err.startswith(f"{bad / 'config.json'} is damaged (")
        cli.main(["list", str(whole[0].parents[1])])
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["run", "data", "steps", "score", "minutes", "trouble"]
        assert str(whole[0]) in lines[1]
        assert "40/40" in lines[1]

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["sample", "RUN", "--out", "x.jpg"], "a name ending in .png or .npz"),
            (["sample", "RUN", "--n", "0"], "--n 0"),
            (["sample", "RUN", "--label", "3"], "takes no label"),
            (["sample", "RUN", "--checkpoint", "first"], "last, best, or a step"),
            (["sample", "RUN", "--psi", "1", "--interpolate", "3"], "do not go together"),
            (["sample", "RUN", "--psi", "-1"], "psi is -1.0"),
            (["sample", "RUN", "--out", "/dev/null/x.png"], "cannot be written"),
            (["sample", "RUN", "--seed", str(10**20)], "--seed 1"),
            (["sample", "/nowhere"], "is no run's folder"),
            (["resume", "/nowhere"], "is no run's folder"),
            (["list", "/nowhere"], "is not a folder"),
        ],
    )
    def test_bad_input(self, whole, tmp_path, monkeypatch, capsys, args, message):
        monkeypatch.chdir(tmp_path)
        args = [str(whole[0]) if a == "RUN" else a for a in args]
        with pytest.raises(SystemExit) as e:
            cli.main(args)
        assert e.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    def test_a_run_that_is_finished_is_not_trained_again(self, whole, capsys):
        before = (Path(whole[0]) / "metrics.jsonl").read_bytes()
        cli.main(["resume", str(whole[0])])
        assert "going on from the checkpoint of step 40" in capsys.readouterr().out
        assert (Path(whole[0]) / "metrics.jsonl").read_bytes() == before


class TestResumeAuto:
    """`--resume auto` starts a run, or goes on with it: a loop around one command is enough."""

    ARGS = ("--width", "4", "--image-size", "8", "--latent", "4", "--batch-size", "8", "--chunk", "5")
    ARGS += ("--sample-every", "0", "--evaluate-every", "0", "--checkpoint-every", "5")

    def _run(self, out, *more):
        from experiments import dcgan

        argv = [*self.ARGS, "--out", str(out), "--name", "a", "--resume", "auto", *more]
        train.main(dcgan.Config, dcgan.make, argv=argv)

    def test_it_starts_and_goes_on(self, tmp_path, capsys, without_curves):
        self._run(tmp_path, "--steps", "5")
        assert "going on" not in capsys.readouterr().out
        self._run(tmp_path, "--steps", "10")
        assert "going on from the checkpoint of step 5" in capsys.readouterr().out
        assert records.checkpoints(tmp_path / "dcgan" / "a") == [5, 10]
        with pytest.raises(SystemExit) as status:
            self._run(tmp_path, "--steps", "10", "--g-lr", "0.5")
        assert status.value.code == 2
        told = capsys.readouterr().err
        assert "--resume auto: " in told
        assert "holds another run (g_lr: 0.5, not 0.002); choose another --name" in told

    def test_a_folder_that_was_left_half_made_is_made_anew(self, tmp_path, capsys, without_curves):
        root = tmp_path / "dcgan" / "a"
        root.mkdir(parents=True)
        for name in ("asked.npz", "method.py", "config.json.123"):
            (root / name).write_bytes(b"cut sh")
        self._run(tmp_path, "--steps", "5")
        assert records.checkpoints(root) == [5]
        (root / "config.json").unlink()
        (root / "notes.txt").write_text("mine")
        with pytest.raises(SystemExit):
            self._run(tmp_path, "--steps", "5")
        assert "exists and is no run's folder" in capsys.readouterr().err

    @pytest.mark.long
    def test_lanes_of_which_some_were_made_are_completed(self, tmp_path, capsys, without_curves):
        self._run(tmp_path, "--steps", "5", "--seeds", "2")
        root = tmp_path / "dcgan" / "a"
        (root / "lanes.json").unlink()
        shutil.rmtree(root / "seed-1")
        self._run(tmp_path, "--steps", "5", "--seeds", "2")
        assert "seed-0: going on from the checkpoint of step 5" in capsys.readouterr().out
        assert records.checkpoints(root / "seed-1") == [5]
        assert records.lane_names(root) == ["seed-0", "seed-1"]

    @pytest.mark.parametrize("seeds", ["1", pytest.param("2", marks=pytest.mark.long)])
    def test_another_machine_goes_on_from_where_the_checkpoints_are(
        self, tmp_path, capsys, without_curves, seeds
    ):
        """The first machine's disk is lost; the run is that of one machine all the same."""
        away, flags = tmp_path / "bucket", ["--seeds", seeds, "--checkpoints", str(tmp_path / "bucket")]
        self._run(tmp_path / "one", "--steps", "10", *flags)
        self._run(tmp_path / "alone", "--steps", "15", "--seeds", seeds)
        names = ["seed-0", "seed-1"] if seeds == "2" else [""]
        for name in names:
            root = tmp_path / "one" / "dcgan" / "a" / name
            assert not (root / "checkpoints").exists()
            assert records.checkpoints(root) == [5, 10]
            assert sampling.load(root).step == 10
            assert (away / "dcgan" / "a" / name / "samples.png").exists()
        shutil.rmtree(tmp_path / "one")
        self._run(tmp_path / "two", "--steps", "15", *flags)
        said = capsys.readouterr().out
        assert f"is taken from {away}" in said
        assert "damaged" not in said
        assert "going on from the checkpoint of step 10" in said
        for name in names:
            two, alone = (tmp_path / which / "dcgan" / "a" / name for which in ("two", "alone"))
            assert (two / "metrics.jsonl").read_bytes() == (alone / "metrics.jsonl").read_bytes()

    def test_a_place_that_cannot_be_reached_is_told(self, tmp_path, capsys):
        (tmp_path / "file").write_text("")
        for place in (str(tmp_path / "file"), "gs://no-such-bucket"):
            with pytest.raises(SystemExit) as status:
                self._run(tmp_path / "runs", "--steps", "5", "--checkpoints", place)
            assert status.value.code == 1
            assert f"{place}/dcgan/a cannot be reached (" in capsys.readouterr().err
        with pytest.raises(SystemExit) as status:
            self._run("gs://no-such-bucket", "--steps", "5")
        assert status.value.code == 2
        assert "--out gs://no-such-bucket is no folder of this machine" in capsys.readouterr().err
        with pytest.raises(SystemExit) as status:
            self._run(tmp_path, "--steps", "5", "--checkpoints", "s3://bucket/runs")
        assert status.value.code == 2
        assert "--checkpoints s3://bucket/runs: orbax writes to folders and gs://" in capsys.readouterr().err
        assert not (tmp_path / "dcgan").exists()

    def test_some_checkpoints_are_kept_for_good(self, tmp_path, without_curves):
        self._run(tmp_path, "--steps", "40", "--keep", "2", "--keep-every", "15")
        assert records.checkpoints(tmp_path / "dcgan" / "a") == [15, 30, 35, 40]

    def test_it_needs_a_name(self, tmp_path, capsys):
        from experiments import dcgan

        with pytest.raises(SystemExit) as status:
            train.main(dcgan.Config, dcgan.make, argv=["--resume", "auto", "--out", str(tmp_path)])
        assert status.value.code == 2
        assert "--resume auto goes on with the run of a name: give --name NAME" in capsys.readouterr().err


def test_a_run_that_is_older_than_a_flag_goes_on(tmp_path, without_curves):
    TestResumeAuto()._run(tmp_path, "--steps", "5")
    root = tmp_path / "dcgan" / "a"
    record = records.read(root)
    for name in ("hold", "watchdog", "resume", "on_bad_example"):
        del record["loop"][name]
    records.write(root / "config.json", record)
    train.resume(root, steps=10)
    assert records.checkpoints(root)[-1] == 10
