"""How a command ends: by a signal, by bad input, by a machine that fails, or with a warning; each a line."""

import contextlib
import errno
import faulthandler
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 2.0  # seconds in which the main thread may leave by itself: a compilation does not


class Stopped(BaseException):
    """Ctrl-C or SIGTERM ended it early, and what was to be saved is saved."""

    def __init__(self, signum: int, line: str = ""):
        super().__init__(line)
        self.signum, self.line = signum, line


@dataclass
class _Phase:
    """What a signal does now."""

    line: Callable[[], str]  # what is said when it ends the program
    caught: list[int] | None = None  # the first is put there, and ends nothing; None: it ends it
    seen: int = 0  # signals, by the watching thread
    left: threading.Event = field(default_factory=threading.Event)


_phases: list[_Phase] = []
_raised: list[Stopped] = []  # by the main thread, which is on its way out


def _answered() -> list[int]:
    """The signals, but for the end of a terminal where nohup has this process ignore it."""
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signum for signum in SIGNALS if not (nohup and signum == signal.SIGHUP)]


def early() -> None:
    """From now on a signal ends the program by a line, also while it is being imported."""

    def stop(signum, frame):
        os.write(2, b"stopped before it began\n")
        os._exit(128 + signum)

    for signum in _answered():
        signal.signal(signum, stop)


def done() -> None:
    """From now on signals are ignored: all is said and done, and the process is about to end."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def _handle(signum, frame) -> None:
    phase = _phases[-1]
    if phase.caught == []:
        phase.caught.append(signum)
    else:
        _raised.append(Stopped(signum, phase.line()))
        raise _raised[-1]


def _watch(fd: int) -> None:
    """Answers signals that the main thread cannot look at, because it compiles or computes."""
    while (signum := os.read(fd, 1)[0]) in SIGNALS:
        phase = _phases[-1]
        phase.seen += 1
        if phase.caught is not None and phase.seen == 1:
            os.write(2, b"\nstopping as soon as the run is saved; once more to stop at once\n")
        elif not phase.left.wait(GRACE) and not (_raised and phase.left.wait(4 * GRACE)):
            line = _raised[0].line if _raised else phase.line()
            os.write(2, f"\n{line}\n".encode())
            os._exit(128 + signum)


@contextlib.contextmanager
def _entered(phase: _Phase) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not this thread's
        return
    with contextlib.ExitStack() as stack:
        _phases.append(phase)
        stack.callback(_phases.pop)
        stack.callback(phase.left.set)
        if len(_phases) == 1:
            stack.enter_context(_watched())
        yield


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """With a thread that sees each signal as it comes."""
    _raised.clear()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    thread = threading.Thread(target=_watch, args=(reading,), daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    handlers = {s: signal.signal(s, _handle) for s in _answered()}
    try:
        yield
    finally:
        for signum, usual in handlers.items():
            signal.signal(signum, usual)
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        os.write(writing, b"\0")
        thread.join(GRACE)
        if not thread.is_alive():
            os.close(reading)
        os.close(writing)


def at_once(line: str | Callable[[], str]) -> contextlib.AbstractContextManager[None]:
    """Ctrl-C or SIGTERM ends what is inside, where nothing is lost by it: `Stopped`, with the line; or after
    a grace of two seconds the process, if it does not come to that."""
    return _entered(_Phase(line if callable(line) else lambda: line))


@contextlib.contextmanager
def caught_signals(line: str | Callable[[], str]) -> Iterator[list[int]]:
    """Yields a list that the first Ctrl-C or SIGTERM is put into; a second one is as in `at_once`."""
    phase = _Phase(line if callable(line) else lambda: line, [])
    with _entered(phase):
        yield phase.caught


@contextlib.contextmanager
def watched(seconds: int) -> Iterator[Callable[[bool], None]]:
    """Ends a process that is stuck, with the stack of every thread and status 1: nobody else notices one that
    is alive and does not come on.

    Yields:
      What is to be called within each so many seconds (0: it need not be), or with False, until it is called
      again.
    """

    def alive(counted: bool = True) -> None:
        faulthandler.cancel_dump_traceback_later()
        if seconds and counted:
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)

    alive()
    try:
        yield alive
    finally:
        faulthandler.cancel_dump_traceback_later()


class Refused(Exception):
    """The machine refused something; the message is a line that says what to do."""


_CODES = {  # as storage libraries spell what the system says by a number
    errno.ENOSPC: ("No space left on device", "RESOURCE_EXHAUSTED"),
    errno.EACCES: ("Permission denied", "PERMISSION_DENIED"),
    errno.EROFS: ("Read-only file system",),
    errno.EFBIG: ("File too large",),
}


LOST = "another process has ended or cannot be reached: see what it said"

# Of what collectives say when one of several processes does not answer.
# A program under way says it in a JaxRuntimeError, one that is being started in a ValueError.
_RUNTIME = re.compile("[A-Z_]+: ")
_LOST = ("Gloo", "NCCL", "oordination service", "heartbeat", "preempted")


def trouble(e: BaseException | None) -> str | None:
    """A line on what the machine refused, and what to do; None if an exception is of another kind."""
    while e is not None:
        text = str(e)
        if _RUNTIME.match(text) and type(e).__name__ in ("JaxRuntimeError", "ValueError"):
            if any(word in text for word in _LOST):
                return LOST
        spelled = [code for code, words in _CODES.items() if any(word in text for word in words)]
        if isinstance(e, OSError) or spelled:
            code = e.errno if isinstance(e, OSError) and e.errno else (spelled or [None])[0]
            place = f"{e.filename}: " if isinstance(e, OSError) and e.filename else ""
            what = place + (os.strerror(code) if code else text.partition("\n")[0])
            if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                return f"{what}; make room"
            if code in (errno.EACCES, errno.EPERM, errno.EROFS):
                return f"{what}; get the right to write there, or choose another folder"
            return what
        e = e.__cause__ or e.__context__
    return None


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """What threads in the background cannot write is told by the main one alone, which cannot either."""
    usual = threading.excepthook

    def hook(args):
        if trouble(args.exc_value) is None:
            usual(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual


@contextlib.contextmanager
def reported(own: bool = False) -> Iterator[None]:
    """Bad input leaves as one line and exit status 2, what the machine refuses with 1, a stopped run as the
    signal's own status; a warning is a line as well.

    Args:
      own: whether the process ends then: nothing more is said.
    """
    from jaxgan.config import InputError  # a fifth of a second, in which a signal may come

    def line(message, category, *_, **__):
        return f"{'warning' if category is UserWarning else category.__name__}: {message}\n"

    def end(line: str, status: int) -> None:
        if line:
            print(line, file=sys.stderr, flush=True)
        if own and "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized():
            sys.stdout.flush()
            os._exit(status)  # Python's own end would wait for the other processes
        if own:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.exit(status)

    usual, warnings.formatwarning = warnings.formatwarning, line
    try:
        with at_once("stopped before it was done"), quiet_threads():
            yield
    except InputError as e:
        end(f"error: {e}", 2)
    except Stopped as e:
        if own:  # a compilation may be under way in another thread, and does not survive Python's own end
            print(e.line, file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(128 + e.signum)
        end(e.line, 128 + e.signum)
    except KeyboardInterrupt:
        end("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        end("", 128 + signal.SIGPIPE)
    except Refused as e:
        end(f"error: {e}", 1)
    except Exception as e:
        if (told := trouble(e)) is None:
            raise
        end(f"error: {told}", 1)
    finally:
        warnings.formatwarning = usual
