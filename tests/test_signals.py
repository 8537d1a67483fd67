"""How a program ends: each way is one line and its status, within seconds, whatever the main thread does."""

import errno
import signal
import subprocess
import sys
import time
import warnings

import pytest

from jaxgan import signals
from jaxgan.config import InputError

STUCK = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 200_000_000)"  # looks at no signal meanwhile
BUSY = "while True: pass"


def _program(text):
    """A process that has reached its last lines; what nohup had it ignore, it does not."""
    heard = f"import signal\nfor s in {[int(s) for s in signals.SIGNALS]}: signal.signal(s, signal.SIG_DFL)\n"
    heard += "signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import sys\n{heard}\nfrom jaxgan import signals\nsignals.GRACE = 0.5\n{text}"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    return process


def _ends(process, signum):
    """Its status and what it said, after a signal."""
    process.send_signal(signum)
    began = time.monotonic()
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()  # what did not end is not left behind
    assert time.monotonic() - began < 20
    return process.returncode, err.strip()


def _inside(context, what):
    return f"with signals.reported(), {context} as caught:\n    print('ready')\n    {what}"


@pytest.mark.parametrize("signum", signals.SIGNALS)
@pytest.mark.parametrize("what", [BUSY, STUCK], ids=["busy", "stuck"])
def test_where_nothing_is_lost_it_ends_at_once(what, signum):
    process = _program(_inside("signals.at_once('over')", what))
    assert _ends(process, signum) == (128 + signum, "over")


def test_without_the_watch_a_compilation_does_not_end():
    """The negative control: a handler alone is not called while the main thread is stuck."""
    process = _program(f"import signal\nsignal.signal(15, lambda *_: sys.exit(9))\nprint('ready')\n{STUCK}")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    process.kill()
    process.communicate()


def test_what_is_to_be_saved_is_saved_first():
    body = (
        "import time\n    while not caught: pass\n    time.sleep(1); raise signals.Stopped(caught[0], 'over')"
    )
    process = _program(_inside("signals.caught_signals('lost')", body))
    status, said = _ends(process, signal.SIGTERM)
    assert status == 143
    assert said == "stopping as soon as the run is saved; once more to stop at once\nover"


@pytest.mark.parametrize("what", [BUSY, STUCK], ids=["busy", "stuck"])
def test_a_second_signal_ends_it(what):
    process = _program(_inside("signals.caught_signals('lost')", what))
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n"
    assert "once more to stop at once" in process.stderr.readline()
    assert _ends(process, signal.SIGINT) == (130, "lost")


def test_while_it_is_imported():
    process = _program(f"signals.early()\nprint('ready')\n{BUSY}")
    assert _ends(process, signal.SIGINT) == (130, "stopped before it began")


def test_when_all_is_done_signals_are_of_no_account():
    process = _program("import time\nsignals.done()\nprint('ready')\ntime.sleep(1)")
    assert _ends(process, signal.SIGTERM) == (0, "")


def test_what_threads_do_meanwhile_is_left_to_them():
    """Python's own end would wait for this thread, or crash with one that compiles."""
    body = f"import threading\n    threading.Thread(target=lambda: exec({STUCK!r})).start()\n    {BUSY}"
    body = body.replace("import threading", "import threading; print('ready')")
    process = _program(f"with signals.reported(own=True), signals.at_once('over'):\n    {body}")
    assert _ends(process, signal.SIGTERM) == (143, "over")


def test_handlers_are_put_back():
    before = [signal.getsignal(s) for s in signals.SIGNALS]
    with pytest.raises(signals.Stopped) as e, signals.at_once("outer"), signals.at_once(lambda: "inner"):
        signal.raise_signal(signal.SIGTERM)
    assert (e.value.line, e.value.signum) == ("inner", signal.SIGTERM)
    assert [signal.getsignal(s) for s in signals.SIGNALS] == before


def _raised(e):
    with pytest.raises(SystemExit) as found, signals.reported():
        raise e
    return found.value.code


def _while(e, cause):
    try:
        try:
            raise cause
        except type(cause):
            raise e  # noqa: B904
    except type(e) as found:
        return found


@pytest.mark.parametrize(
    ("e", "status", "line"),
    [
        (InputError("it is bad"), 2, "error: it is bad"),
        (OSError(errno.ENOSPC, "No space left on device", "a"), 1, "error: a: No space left on device; make"),
        (
            ValueError("RESOURCE_EXHAUSTED: Error writing x\nmore"),
            1,
            "error: No space left on device; make room",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "b"),
            1,
            "error: b: Permission denied; get the right",
        ),
        (
            _while(RuntimeError("x"), OSError(errno.EROFS, "x", "c")),
            1,
            "error: c: Read-only file system; get",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "d"), 1, "error: d: Is a directory"),
        (ValueError("UNKNOWN: Gloo AllGather failed: x"), 1, f"error: {signals.LOST}"),
        (signals.Refused("told already"), 1, "error: told already"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_went_wrong_is_a_line(e, status, line, capsys):
    assert _raised(e) == status
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


@pytest.mark.parametrize("e", [ZeroDivisionError("x"), ValueError("no heartbeat: Gloo"), ValueError("A: b")])
def test_a_fault_of_the_program_itself_is_a_traceback(e):
    with pytest.raises(type(e)), signals.reported():
        raise e


def test_a_warning_is_a_line():
    usual = warnings.formatwarning
    with signals.reported():
        assert warnings.formatwarning(UserWarning("look"), UserWarning, "file", 1) == "warning: look\n"
    assert warnings.formatwarning is usual


def test_a_reader_that_has_had_enough():
    text = "with signals.reported(own=True):\n    print('ready')\n    while True: print('x' * 1000)"
    process = _program(text)
    process.stdout.close()
    with process.stderr as err:
        assert err.read() == ""
    assert process.wait(timeout=30) == 141


def _watched(seconds, body):
    code = f"import time\nfrom jaxgan import signals\nwith signals.watched({seconds}) as alive:\n    {body}\n"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_a_process_that_is_stuck_ends_with_its_stack():
    done = _watched(1, "time.sleep(30)")
    assert done.returncode == 1
    assert "Timeout (0:00:01)!" in done.stderr
    assert 'File "<string>", line 4 in <module>' in done.stderr


@pytest.mark.parametrize(
    ("seconds", "body"),
    [(1, "[(time.sleep(0.5), alive()) for _ in range(4)]"), (1, "alive(False); time.sleep(2)")]
    + [(0, "time.sleep(2)")],
)
def test_one_that_comes_on_or_is_not_watched_does_not(seconds, body):
    done = _watched(seconds, body)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_end_of_a_terminal_that_nohup_ignores_is_left_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signals._answered() == [signal.SIGINT, signal.SIGTERM]
        with signals.at_once("stopped"):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.SIGHUP in signals._answered()
