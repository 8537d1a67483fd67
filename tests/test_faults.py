"""Runs that are really killed, stopped, and starved of room: what was saved is whole, and they go on."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxgan import records

FLAGS = "--width 4 --image-size 8 --latent 4 --batch-size 8 --steps 400 --chunk 5 --sample-every 100"
FLAGS += " --evaluate-every 100 --checkpoint-every 10"


def _command(out: Path, *more: str, name: str = "a") -> list[str]:
    flags = [*FLAGS.split(), "--out", str(out), "--name", name, "--resume", "auto", *more]
    return [sys.executable, "-m", "experiments.dcgan", *flags]


def _start(out: Path, *more: str, log: Path | None = None, **options) -> subprocess.Popen:
    with (log or out.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(_command(out, *more), stdout=log, stderr=subprocess.STDOUT, **options)


def _finish(out: Path, *more: str, **options) -> None:
    done = subprocess.run(_command(out, *more), capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stderr[-2000:]


def _end(root: Path) -> tuple:
    """All that a run's end depends on: its figures, and the checksum of each array of its state."""
    leaves = records.meta(root / "checkpoints" / "400")["leaves"]
    best = records.checkpoints(root, "best")
    scores = json.loads((root / "scores.json").read_text())["scores"]
    return (root / "metrics.jsonl").read_bytes(), leaves, best, scores


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the run that nothing disturbs ends with, and how long it takes, in seconds."""
    out = tmp_path_factory.mktemp("whole") / "runs"
    _finish(out)
    shutil.rmtree(out)
    began = time.monotonic()
    _finish(out)
    return _end(out / "dcgan" / "a"), time.monotonic() - began


@pytest.mark.slow
def test_fifty_runs_that_are_killed_end_as_the_undisturbed(whole, tmp_path):
    """At random moments, two or three times each: in the start, in steps, in the writing of checkpoints (one
    each ten steps), in the restoring."""
    end, seconds = whole
    rng, at = random.Random(0), []
    for i in range(50):
        out = tmp_path / f"{i}"
        for _ in range(rng.choice((1, 2))):
            one = _start(out)
            time.sleep(rng.uniform(0.5, 0.8 * seconds))
            one.kill()
            one.wait()
            at.append(max(records.checkpoints(out / "dcgan" / "a"), default=0))
        _finish(out)
        assert _end(out / "dcgan" / "a") == end, i
        shutil.rmtree(out)
    print(f"killed at {at}")
    assert sum(0 < step < 400 for step in at) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_ten_runs_that_are_stopped_say_so_and_go_on(whole, tmp_path, signum):
    end, seconds = whole
    rng, statuses = random.Random(int(signum)), []
    for i in range(10):
        out = tmp_path / f"{i}"
        one = _start(out)
        time.sleep(rng.uniform(0.2, 0.8 * seconds))
        began = time.monotonic()
        one.send_signal(signum)
        statuses.append(one.wait(60))
        assert statuses[-1] in (128 + signum, 0), (out.parent / f"{i}.log").read_text()[-2000:]
        assert time.monotonic() - began < 15
        last = (out.parent / f"{i}.log").read_text().strip().splitlines()[-1]
        assert statuses[-1] == 0 or re.search("stopped (at step|before)", last), last
        _finish(out)
        assert _end(out / "dcgan" / "a") == end, i
        shutil.rmtree(out)
    assert statuses.count(128 + signum) >= 5, statuses  # the others had come to their end


@pytest.fixture
def small_disk(tmp_path):
    """A disk of three megabytes, of which a run takes more."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place]).returncode:
        pytest.skip("only root makes a small disk")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.slow
def test_a_full_disk_is_told_and_what_was_saved_stays(whole, tmp_path, small_disk):
    """Five times, filled at other moments; it goes on once there is room."""
    for i in range(5):
        out, fill = small_disk / f"{i}", small_disk / "fill"
        said = tmp_path / f"{i}.log"
        one = _start(out, log=said)
        root = out / "dcgan" / "a"
        while len(records.checkpoints(root)) < 1 + i % 3 and one.poll() is None:
            time.sleep(0.05)
        subprocess.run(["dd", "if=/dev/zero", f"of={fill}", "bs=4k"], capture_output=True, check=False)
        assert one.wait(120) == 1
        last = said.read_text().strip().splitlines()[-1]
        assert "No space left on device; make room, then go on by `jaxgan resume" in last, said.read_text()
        assert "Traceback" not in said.read_text()
        saved = records.checkpoints(root)
        fill.unlink()
        assert saved
        _finish(out)
        assert _end(root) == whole[0], i
        shutil.rmtree(out)


@pytest.fixture
def bound():
    """What starts a command to which the rights of files matter, also where root starts it."""
    if os.geteuid():
        return []
    rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*rights, "true"]).returncode:
        pytest.skip("root may write all here")
    return rights


@pytest.mark.slow
def test_a_folder_that_becomes_read_only_is_told(whole, tmp_path, bound):
    for i in range(5):
        out, log = tmp_path / f"{i}", tmp_path / f"{i}.log"
        with log.open("w") as file:
            one = subprocess.Popen([*bound, *_command(out)], stdout=file, stderr=subprocess.STDOUT)
        root = out / "dcgan" / "a"
        while len(records.checkpoints(root)) < 1 + i % 3 and one.poll() is None:
            time.sleep(0.05)
        folders = [out, *(p for p in out.rglob("*") if p.is_dir())]
        for folder in folders:
            if folder.exists():  # a checkpoint may be under way
                folder.chmod(0o555)
        assert one.wait(120) == 1
        told = log.read_text()
        last = told.strip().splitlines()[-1]
        assert (
            "ermission denied; get the right to write there, or choose another folder, then go on by" in last
        ), told
        assert "Traceback" not in told
        assert records.checkpoints(root)
        for folder in folders:
            if folder.exists():
                folder.chmod(0o755)
        _finish(out)
        assert _end(root) == whole[0], i


@pytest.mark.slow
def test_a_moved_folder_is_told(whole, tmp_path):
    for i in range(5):
        out, moved = tmp_path / f"{i}", tmp_path / f"moved-{i}"
        one = _start(out)
        root = out / "dcgan" / "a"
        while len(records.checkpoints(root)) < 1 + i % 3 and one.poll() is None:
            time.sleep(0.05)
        out.rename(moved)
        status = one.wait(120)
        log = (tmp_path / f"{i}.log").read_text()
        assert status == 1, log[-2000:]
        assert "Traceback" not in log, log[-3000:]
        shutil.rmtree(out, ignore_errors=True)
        moved.rename(out)
        _finish(out)
        assert _end(root) == whole[0], i
        shutil.rmtree(out)


@pytest.mark.slow
def test_each_file_of_a_checkpoint_that_is_damaged_is_noticed(whole, tmp_path):
    """Cut short, with one bit turned, deleted: the one before is used and named, or it held nothing."""
    out = tmp_path / "runs"
    root = out / "dcgan" / "a"
    _finish(out, "--steps", "40", "--keep", "3")
    kept = tmp_path / "kept"
    shutil.copytree(out, kept)
    newest = root / "checkpoints" / "40"
    files = sorted(p.relative_to(newest) for p in newest.rglob("*") if p.is_file() and p.stat().st_size)
    assert len(files) >= 5
    unnoticed = []
    for file in files:
        for how in ("cut", "turned", "deleted"):
            shutil.rmtree(out)
            shutil.copytree(kept, out)
            victim = newest / file
            content = victim.read_bytes()
            if how == "cut":
                victim.write_bytes(content[: len(content) // 2])
            elif how == "turned":
                middle = len(content) // 2
                victim.write_bytes(content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :])
            else:
                victim.unlink()
            done = subprocess.run(
                _command(out, "--steps", "45", "--keep", "3"), capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, (file, how, done.stderr[-2000:])
            if "going on from the checkpoint of step 30" in done.stdout:
                assert "checkpoint 40 is damaged and was moved to" in done.stderr, (file, how)
            else:
                unnoticed.append((str(file), how))
            if not unnoticed or unnoticed[-1] != (str(file), how):
                continue
            # What is not noticed holds nothing of the state.
            state = records.meta(root / "checkpoints" / "45")["leaves"]
            shutil.rmtree(out)
            shutil.copytree(kept, out)
            _finish(out, "--steps", "45", "--keep", "3")
            assert records.meta(root / "checkpoints" / "45")["leaves"] == state, (file, how)
    print("of no account:", unnoticed)  # records of the writing, and its parts before they were joined
    held = [
        str(file) for file in files if str(file).startswith(("state/d/", "state/manifest", "meta/metadata"))
    ]
    assert len(held) >= 3
    assert not [found for found in unnoticed if found[0] in held]


def _together(out: Path, n: int, port: int) -> list[subprocess.Popen]:
    """Processes that train one run."""
    flags = [
        "--image-size",
        "8",
        "--steps",
        "4000",
        "--chunk",
        "10",
        "--batch-size",
        "16",
        "--sample-every",
        "0",
    ]
    flags += ["--evaluate-every", "0", "--checkpoint-every", "20", "--out", str(out), "--name", "a"]
    flags += ["--resume", "auto", "--distributed", "--coordinator", f"127.0.0.1:{port}", "--heartbeat", "10"]
    started = []
    for i in range(n):
        with (out.parent / f"{out.name}-{i}.log").open("ab") as log:
            command = [sys.executable, "-m", "experiments.gan", *flags]
            command += ["--processes", str(n), "--process", str(i)]
            started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
    return started


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_where_one_of_several_is_gone_the_others_end(tmp_path, n, signum):
    """Five times; then one process goes on with the run."""
    rng, waited = random.Random(n), []
    for i in range(5):
        out = tmp_path / f"{i}"
        started = _together(out, n, rng.randint(20_000, 60_000))
        root = out / "gan" / "a"
        try:
            while not records.checkpoints(root) and all(one.poll() is None for one in started):
                time.sleep(0.05)
            who = rng.randrange(n)
            began = time.monotonic()
            started[who].send_signal(signum)
            for k, one in enumerate(started):
                if k != who:
                    assert one.wait(60) not in (0, None)
                    log = (tmp_path / f"{i}-{k}.log").read_text()
                    assert (
                        "another process has ended or cannot be reached" in log or "another task died" in log
                    )
            waited.append(round(time.monotonic() - began))
            assert waited[-1] <= 60
        finally:
            for one in started:
                one.kill()
                one.wait()
        steps = records.checkpoints(root)[-1] + 20
        flags = ["--image-size", "8", "--steps", str(steps), "--batch-size", "16", "--out", str(out)]
        flags += ["--evaluate-every", "0", "--name", "a", "--resume", "auto"]
        command = [sys.executable, "-m", "experiments.gan", *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "going on from the checkpoint of step" in done.stdout
        shutil.rmtree(out)
    print(f"{n} processes, {signum.name}: the others ended within {waited} s")
