"""Several processes that train one model: how they find each other, agree, and end together.

Each process has the devices of its own machine, and all of them run the same program on the mesh of all.
What one of them decides by itself (a signal, a fault, a figure that was taken once) is told to all at the
same place of the program: a process that waits in a collective for one that went another way would wait for
ever.
"""

import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxgan.config import InputError, Processes, check
from jaxgan.signals import Refused

# How a launcher tells each of its processes how many there are.
LAUNCHERS = {"SLURM_STEP_NUM_TASKS": "SLURM", "OMPI_COMM_WORLD_SIZE": "Open MPI", "PMI_SIZE": "MPI"}


def start(flags: Processes) -> None:
    """Joins the other processes, if the flags say so.

    Raises:
      InputError: if they are not complete, the others are not found, or JAX has looked for devices already;
        also if a launcher started several processes and no flag says what they are to do.
    """
    flags = check(flags)
    by_hand = (flags.coordinator, flags.processes, flags.process)
    if not flags.distributed:
        if any(x is not None for x in by_hand):
            raise InputError("--coordinator, --processes and --process go with --distributed")
        return
    if 0 < sum(x is not None for x in by_hand) < 3:
        raise InputError("--coordinator, --processes and --process go together; or leave all three out")
    distributed(*by_hand, heartbeat=flags.heartbeat)


def distributed(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    heartbeat: int = 30,
    wait: int = 300,
) -> None:
    """Makes this process one of several that train a model together; to be called in each, before JAX looks
    for devices.

    Args:
      coordinator: HOST:PORT of process 0, which the others must be able to reach. None: as a TPU VM, SLURM,
        Open MPI or Kubernetes provides it, and the other two as well.
      processes: how many there are.
      process: which of them this one is.
      heartbeat: seconds without a sign of life after which a process is held to be dead, and the others end.
      wait: seconds for all processes to come.

    Raises:
      InputError: if JAX has looked for devices before, or nothing tells where the others are.
      Refused: if they have not come in that time.
    """
    if multiprocessing.parent_process() is not None or jax.distributed.is_initialized():
        return  # a worker that reads data imports the main module; it is none of the processes
    if (process is None) != (processes is None) or (coordinator is None) != (processes is None):
        raise InputError("give coordinator, processes and process, or none of them")
    if processes is not None and not 0 <= process < processes:
        raise InputError(f"process {process} is none of {processes}: they are numbered from 0")
    jax.config.update("jax_enable_preemption_service", False)  # `signals` answers SIGTERM
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            cluster_detection_method=None if coordinator is None else "deactivate",
            initialization_timeout=wait,
            heartbeat_timeout_seconds=heartbeat,
            shutdown_timeout_seconds=heartbeat,
        )
    except (RuntimeError, ValueError) as e:
        line = str(e).strip().partition("\n")[0]
        if "before any JAX" in line:
            line = "call jaxgan.distributed(), or give --distributed, before anything asks JAX for devices"
        elif coordinator is not None and isinstance(e, RuntimeError):
            raise Refused(f"the other processes have not come: {line}") from None
        elif coordinator is None:
            line = f"nothing tells where the other processes are ({line}): give --coordinator's address"
        raise InputError(f"several processes cannot begin: {line}") from None


def count() -> int:
    """How many processes train together."""
    return jax.process_count()


def first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def check_told() -> None:
    """Raises InputError where a launcher started several processes, each of which would train a model of its
    own, and nobody said that they belong together."""
    for name, launcher in LAUNCHERS.items():
        n = os.environ.get(name, "")
        if n.isdecimal() and int(n) > 1 and count() == 1:
            raise InputError(
                f"{launcher} started {n} processes, each of which would train a model of its own: give "
                "--distributed, or call jaxgan.distributed(), to train one together; to train one each, "
                f"unset {name}"
            )


def _gathered(x: np.ndarray) -> np.ndarray:
    """What each process has, [processes, ...]."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(x))


def share(blocks: np.ndarray) -> np.ndarray:
    """This process's of some blocks [N, ...]: of each P in turn one, and the last again where none is left,
    so that each process has as many."""
    whole = -(-len(blocks) // count()) * count()
    return blocks[np.minimum(np.arange(jax.process_index(), whole, count()), len(blocks) - 1)]


def gathered(x):
    """The arrays [B, ...] of each process, one process after the other, in all of them."""

    def all_of(x):
        of_bytes = np.ascontiguousarray(x)[..., None].view(np.uint8)  # no type is narrowed on the way
        return np.concatenate(_gathered(of_bytes)).view(x.dtype)[..., 0]

    return x if count() == 1 else jax.tree.map(all_of, x)


def _texts(text: bytes) -> list[bytes]:
    """What each process has to say."""
    lengths = _gathered(np.int32(len(text)))
    room = 1 << int(lengths.max()).bit_length()  # so that few sizes are ever compiled
    padded = np.frombuffer(text.ljust(room, b"\0"), np.uint8)
    return [row[:n].tobytes() for row, n in zip(_gathered(padded), lengths, strict=True)]


def most(code: int) -> int:
    """The largest of what each process says."""
    return code if count() == 1 else int(_gathered(np.int32(code)).max())


@contextlib.contextmanager
def all_or_none() -> Iterator[None]:
    """What ends one process here ends all, each with the line of the one that failed first by its number."""
    if count() == 1:
        yield
        return
    error = None
    try:
        yield
    except Exception as e:
        error = e
    told = "" if error is None else f"{isinstance(error, InputError):d}{error or type(error).__name__}"
    each = _texts(told.encode())
    if error is not None:
        raise error
    for i, line in enumerate(map(bytes.decode, each)):
        if line:
            raise (InputError if line[0] == "1" else Refused)(f"process {i} of {count()}: {line[1:]}")


def from_first(make: Callable[[], Any]) -> Any:
    """What process 0 makes, in every process: something that JSON holds. What it raises, all raise."""
    if count() == 1:
        return make()
    made = None
    with all_or_none():
        made = make() if first() else None
    text = _texts(json.dumps(made).encode() if first() else b"")[0]
    return made if first() else json.loads(text)


def check_alike(what: str, text: str) -> None:
    """Raises InputError, in every process, if the processes do not all have the same."""
    if count() > 1 and len(found := dict.fromkeys(_texts(text.encode()))) > 1:
        told = " and ".join(repr(x.decode()[:200]) for x in list(found)[:2])
        raise InputError(f"the processes do not have the same {what}: {told}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Of several processes the first one speaks; the others' errors are heard all the same."""
    if count() == 1 or first():
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
