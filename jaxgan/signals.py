"""How a command ends: by a signal, by bad input, or with a warning; each a line."""

import contextlib
import os
import signal
import sys
import threading
import warnings

from jaxgan.config import InputError


class Stopped(Exception):
    """Ctrl-C or SIGTERM ended the run early, and it was saved."""

    def __init__(self, signum: int):
        self.signum = signum


@contextlib.contextmanager
def reported():
    """Bad input leaves as one line and exit status 2, a stopped run as the signal's own status; a warning is
    a line as well."""

    def line(message, category, *_, **__):
        return f"{'warning' if category is UserWarning else category.__name__}: {message}\n"

    usual, warnings.formatwarning = warnings.formatwarning, line
    try:
        yield
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except Stopped as e:
        sys.exit(128 + e.signum)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    finally:
        warnings.formatwarning = usual


@contextlib.contextmanager
def raised_signals():
    """Ctrl-C or SIGTERM raises `Stopped`, where nothing is lost by it."""

    def stop(signum, frame):
        raise Stopped(signum)

    with _handled_by(stop):
        yield


@contextlib.contextmanager
def _handled_by(handler):
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not this thread's
        return
    old = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, usual in old.items():
            signal.signal(signum, usual)


@contextlib.contextmanager
def caught_signals():
    """Yields a list that the first Ctrl-C or SIGTERM is put into; a second one ends at once."""
    caught: list[int] = []

    def note(signum, frame):
        if caught:
            raise KeyboardInterrupt
        caught.append(signum)
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping as soon as the run is saved; once more to stop at once\n")

    with _handled_by(note):
        yield caught
