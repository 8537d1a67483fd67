"""Several processes that train one model, really started: over this machine's own network."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan import processes, records, train
from jaxgan.config import InputError, Processes

WAIT = 240  # seconds for what takes twenty

HEAD = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", DEVICES)
import jaxgan
if PROCESSES > 1:
    jaxgan.distributed(f"127.0.0.1:{sys.argv[2]}", PROCESSES, int(sys.argv[1]), heartbeat=10)
me = int(sys.argv[1])
import json
import numpy as np
import optax
from functools import partial
from jaxgan import processes, random
from jaxgan.config import InputError
from jaxgan.game import Optimizers
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import dcgan
from jaxgan.train import Loop
from jaxgan.two_player import two_player

levels = np.arange(40, dtype=np.uint8) * 6
images = np.broadcast_to(levels[:, None, None, None], (40, 8, 8, 1)).copy()

def game(axis=None):
    latent = partial(random.normal, shape=(4,))
    g = dcgan.Generator(width=4, image_size=8, axis=axis)
    d = dcgan.Discriminator(width=4, axis=axis)
    return two_player(g, d, loss=non_saturating, latent=latent)

def opts():
    return Optimizers(optax.adam(2e-4, b1=0.5), optax.adam(2e-4, b1=0.5), 0.9)

def fit(out=None, steps=12, **loop):
    loop = {"chunk": 4, "cache": False, **loop}
    return jaxgan.fit(game, opts(), {"image": images}, steps=steps, batch_size=8, out=out, loop=Loop(**loop))
"""


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Started:
    """Processes that run one script, and what each of them said."""

    def __init__(self, folder: Path, body: str, n: int = 2, devices: int = 1):
        self.folder, self.n = folder, n
        head = HEAD.replace("DEVICES", str(devices)).replace("PROCESSES", str(n))
        (folder / "script.py").write_text(head + body)
        port = str(_free_port())
        self.logs = [(folder / f"log.{i}").open("w+") for i in range(n)]
        self.all = [
            subprocess.Popen(
                [sys.executable, folder / "script.py", str(i), port],
                stdout=self.logs[i],
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
            for i in range(n)
        ]

    def said(self, i: int) -> str:
        return (self.folder / f"log.{i}").read_text()

    def ended(self) -> list[int]:
        """The status of each."""
        return [one.wait(WAIT) for one in self.all]

    def wait_for(self, sign) -> None:
        """Waits until `sign()` is true."""
        for _ in range(10 * WAIT):
            if sign():
                return
            if all(one.poll() is not None for one in self.all):
                break
            time.sleep(0.1)
        raise AssertionError("\n".join(map(self.said, range(self.n))))

    def close(self):
        for one, log in zip(self.all, self.logs, strict=True):
            if one.poll() is None:
                one.kill()
                one.wait()
            log.close()


@pytest.fixture
def start(tmp_path):
    """Starts processes, which do not outlive the test."""
    started = []

    def run(*args, **kwargs):
        folder = tmp_path / f"started-{len(started)}"
        folder.mkdir()
        started.append(Started(folder, *args, **kwargs))
        return started[-1]

    yield run
    for one in started:
        one.close()


RUN = """
found = fit("run", sample_every=8, evaluate_every=4, checkpoint_every=4, hold=HOLD)
np.savez(f"state-{me}.npz", *(np.asarray(x) for x in jax.tree.leaves((found.state.g, found.state.d))))
print("rows", len(found.history["g/loss"]))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of two processes, and the same of one process with two devices, and with one."""
    made = {}
    for name, n, devices, hold in [("two", 2, 1, "stream"), ("one", 1, 2, "copy"), ("alone", 1, 1, "copy")]:
        folder = tmp_path_factory.mktemp(name)
        started = Started(folder, RUN.replace("HOLD", repr(hold)), n, devices)
        assert started.ended() == [0] * n, started.said(n - 1)
        started.close()
        made[name] = started
    return made


def _state(started, i=0):
    with np.load(started.folder / f"state-{i}.npz") as found:
        return [found[k] for k in found.files]


def test_two_processes_train_the_model_of_two_devices(runs):
    """Bit for bit, from data that are streamed there and copied here."""
    for i in range(2):
        for a, b in zip(_state(runs["two"], i), _state(runs["one"]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_it_is_that_of_one_device_to_float_tolerance(runs):
    flat = [np.concatenate([np.ravel(x) for x in _state(runs[name]) if x.ndim]) for name in ("two", "alone")]
    assert np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1]) < 1e-4
    assert not np.array_equal(*flat)  # the sums are of other parts


def test_there_is_one_run_and_one_voice(runs):
    two, one = (runs[name].folder / "run" for name in ("two", "one"))
    names = [sorted(str(p.relative_to(root)) for p in root.rglob("*.*") if "events" not in p.parts
             and "checkpoints" not in p.parts and "best" not in p.parts) for root in (two, one)]  # fmt: skip
    assert names[0] == names[1]
    assert (two / "metrics.jsonl").read_text() == (one / "metrics.jsonl").read_text()
    assert records.checkpoints(two) == records.checkpoints(one) == [4, 8, 12]
    figures = [json.loads((root / "scores.json").read_text())["scores"] for root in (two, one)]
    assert [(x["name"], x["value"]) for x in figures[0]] == [(x["name"], x["value"]) for x in figures[1]]
    assert "2 x cpu of 2 processes" in runs["two"].said(0)
    assert "\nscores " in runs["two"].said(0)
    lines = [line for line in runs["two"].said(1).splitlines() if not line.startswith("[Gloo]")]
    assert lines == ["rows 12"]


@pytest.mark.long
def test_it_goes_on_with_another_number_of_processes(runs, start, tmp_path):
    """Of twelve steps by two processes one takes the rest, to float tolerance what it takes of its own."""
    found = []
    for name in ("two", "alone"):
        place = shutil.copytree(runs[name].folder / "run", tmp_path / name)
        body = RUN.replace("HOLD", "'copy'").replace('"run"', f"{str(place)!r}, steps=16")
        started = start(body, 1, 1)
        assert started.ended() == [0], started.said(0)
        assert "going on from the checkpoint of step 12" in started.said(0)
        found.append(np.concatenate([np.ravel(x) for x in _state(started) if x.ndim]))
        if name == "two":
            assert "so the run goes on to float tolerance, not bit for bit" in started.said(0)
    assert np.linalg.norm(found[0] - found[1]) / np.linalg.norm(found[1]) < 1e-4


WRONG = """
from jaxgan import feed
window = feed.held.window
feed.held.window = lambda arrays, key, *rest, **k: window(arrays, random.fold(key, me), *rest, **k)
found = fit(hold="stream")
np.savez(f"state-{me}.npz", *(np.asarray(x) for x in jax.tree.leaves((found.state.g, found.state.d))))
feed.held.window = window
def spoilt(arrays, key, first, *rest, **k):
    rows = window(arrays, key, first, *rest, **k)
    if me == 1 and first >= 4:
        rows["rows"]["image"][:, 2] = np.nan  # the third batch of the chunk
    return rows
feed.held.window = spoilt
try:
    arrays = {"image": images.astype(np.float32) / 127.5 - 1}
    jaxgan.fit(game, opts(), arrays, steps=12, batch_size=8, loop=Loop(chunk=4, cache=False, hold="stream"))
except InputError as e:
    print(e)
feed.held.window = window
whole = game
game = lambda axis=None: whole(None)
try:
    fit("forgotten", evaluate_every=0, sample_every=0)
except InputError as e:
    print(e)
"""


@pytest.mark.long
def test_what_goes_wrong_in_one_is_noticed_in_all(runs, start):
    """An order of each process's own is another run; a NaN in one ends all at its step; a forgotten mean is
    refused when it would be saved."""
    started = start(WRONG)
    assert started.ended() == [0, 0], started.said(0) + started.said(1)
    flat = [np.concatenate([np.ravel(x) for x in _state(one) if x.ndim]) for one in (started, runs["two"])]
    assert np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1]) > 1e-3
    for i in range(2):
        assert "d/loss is not finite at step 7; lower the learning rates" in started.said(i)
        assert "do not have the same state, as where a mean over devices is missing" in started.said(i)
    assert not records.checkpoints(started.folder / "forgotten")


SIGNALLED = """
from jaxgan import signals
with signals.reported(own=True):  # as a command
    fit("run", steps=100_000, sample_every=0, evaluate_every=0, checkpoint_every=0, chunk=2)
"""


@pytest.mark.parametrize("who", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_signal_in_one_stops_all_at_the_same_chunk(start, who):
    started = start(SIGNALLED)
    rows = started.folder / "run" / "metrics.jsonl"
    started.wait_for(lambda: rows.exists() and rows.stat().st_size > 0)
    started.all[who].send_signal(signal.SIGTERM)
    assert started.ended() == [0, 0], started.said(0) + started.said(1)  # what was trained is returned
    (step,) = records.checkpoints(started.folder / "run")
    for i in range(2):
        assert f"stopped at step {step}; go on by calling jaxgan.fit again" in started.said(i)


TOLD = "error: another process has ended or cannot be reached: see what it said"


@pytest.mark.parametrize("who", [0, pytest.param(1, marks=pytest.mark.long)])
def test_where_one_is_killed_the_others_end(start, who):
    started = start(SIGNALLED)
    rows = started.folder / "run" / "metrics.jsonl"
    started.wait_for(lambda: rows.exists() and rows.stat().st_size > 0)
    started.all[who].kill()
    assert started.all[1 - who].wait(60) == 1
    assert f"{TOLD}, then go on by calling " in started.said(1 - who)


ASKS = """
import time
from jaxgan import signals
with signals.reported(own=True):
    processes.most(0)
    if me == 1:
        open("asked", "w").close()
        time.sleep(600)
    time.sleep(4)  # until the other is gone
    processes.most(0)
"""


def test_where_one_is_gone_before_it_is_asked_the_others_end(start):
    """What says so then is no error of the runtime by its type."""
    started = start(ASKS)
    started.wait_for((started.folder / "asked").exists)
    started.all[1].kill()
    assert started.all[0].wait(60) == 1
    assert TOLD in started.said(0)


TALKS = """
import contextlib
from jaxgan import sampling

assert processes.count() == 2 and processes.first() == (me == 0)
assert processes.most(3 * me) == 3
figure = {"a": 0.1 + 0.2, "b": [me, None]}
assert processes.from_first(lambda: figure) == {"a": 0.1 + 0.2, "b": [0, None]}
for who in (0, 1):
    try:
        with processes.all_or_none():
            if me == who:
                raise InputError("the folder is missing")
    except InputError as e:
        assert str(e) == ("" if me == who else f"process {who} of 2: ") + "the folder is missing", e
    else:
        raise AssertionError("it went on")
try:
    processes.from_first(lambda: 1 / 0)
except (ZeroDivisionError, processes.Refused) as e:
    print("from first:", type(e).__name__, e)
calls = []
found = sampling.generate(lambda i: calls.append(i) or i / 3, np.arange(11), batch_size=4, together=True)
assert found.dtype == np.float64 and np.array_equal(found, np.arange(11) / 3), found
assert [c[0] for c in calls] == ([0, 8] if me == 0 else [4, 8]), calls  # of three batches, the last twice
processes.check_alike("data", "the same")
try:
    processes.check_alike("data", f"of {me}")
except InputError as e:
    print(e)
try:
    jaxgan.fit(game, opts(), {"image": images if me else images[:-1]}, steps=4, batch_size=8)
except InputError as e:
    print(e)
try:
    fit(devices=1)
except InputError as e:
    print(e)
"""


def test_what_one_decides_is_told_to_all(start):
    started = start(TALKS)
    assert started.ended() == [0, 0], started.said(0) + started.said(1)
    assert "from first: ZeroDivisionError division by zero" in started.said(0)
    assert "from first: Refused process 0 of 2: division by zero" in started.said(1)
    for i in range(2):
        assert "the processes do not have the same data: 'of 0' and 'of 1'" in started.said(i)
        assert "the processes do not have the same data: 'arrays " in started.said(i)
        assert "--devices 1: 2 processes have 2" in started.said(i)


def test_the_command_says_when_nothing_tells_of_the_others(tmp_path):
    command = [sys.executable, "-m", "experiments.gaussian", "--distributed", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 2
    assert done.stderr.startswith("error: several processes cannot begin: nothing tells where the other proc")
    assert not list(tmp_path.iterdir())


def test_processes_that_a_launcher_started_do_not_train_a_model_each(monkeypatch, images, tiny, tmp_path):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(InputError, match="SLURM started 4 processes, each of which would train a model"):
        train.start(None, train.Loop(out=str(tmp_path)))
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    processes.check_told()
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(InputError, match="Open MPI started 2 processes"):
        train.resume(tmp_path)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (Processes(coordinator="x:1"), "--coordinator, --processes and --process go with --distributed"),
        (Processes(distributed=True, processes=2), "go together; or leave all three out"),
        (Processes(True, "x:1", 2, 2), "process 2 is none of 2: they are numbered from 0"),
        (Processes(True, "127.0.0.1:1", 2, 0), "give --distributed, before anything asks JAX for devices"),
    ],
)
def test_flags_that_do_not_go_together_are_told(flags, told, monkeypatch):
    jax.devices()  # too late, then
    for name in processes.LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=told):
        processes.start(flags)
