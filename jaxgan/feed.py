"""What each chunk of steps is given of the data, on the devices before it is asked for."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import memory, parallel
from jaxgan.data import held
from jaxgan.program import Program

WINDOW = 256 * 2**20  # bytes of the rows of a chunk on a device, at most


def placed(program: Program):
    """The data's arrays on the devices, as all chunks are given them; None where each has rows of its own."""
    devices, arrays = list(program.devices), dict(program.data.arrays)
    if program.hold == "stream":
        return None
    if program.hold == "shard":
        own = [i for i, device in enumerate(devices) if device in parallel.local(devices)]
        return parallel.apart(held.shards(arrays, len(devices), own), devices)
    return parallel.replicate(jax.tree.map(jnp.asarray, arrays), devices)


def chunk_of(program: Program, chunk: int) -> int:
    """The steps in a chunk: as many as asked for; where their rows are too many, a smaller power of two."""
    if program.hold != "stream":
        return chunk
    own = program.cfg.batch_size // len(program.devices)
    batch = memory.size({k: x for k, x in program.data.example(own).items() if k != "slot"})
    _, draws = program.draws(0, chunk)
    most = max(1, WINDOW // (batch * -(-draws // chunk)))
    return chunk if chunk <= most else 1 << (most.bit_length() - 1)


class Feed:
    """Calls of it are chunks in their order: (step, length, length of the next) -> arrays on the devices.

    Where they are rows of the chunk's own, those of the next are read and sent meanwhile, by a thread.
    """

    def __init__(self, program: Program, key, everywhere):
        self._program, self._everywhere = program, everywhere
        self._waited, self._since = 0.0, time.monotonic()
        if everywhere is None:
            # The thread computes on the host alone: a device would not answer before its chunk is done.
            self._key = jax.device_put(key, _host())
            devices = list(program.devices)
            share = np.arange(program.cfg.batch_size, dtype=np.int32).reshape(len(devices), -1)
            own = parallel.local(devices)
            self._slot = share[[device in own for device in devices]]
            self._thread = ThreadPoolExecutor(1, "rows")
            self._next: tuple[int, int, Future] | None = None

    def __call__(self, step: int, length: int, then: int = 0):
        """What `length` steps from that one on are given. `then`: the next chunk's, or 0 if there is none."""
        if self._everywhere is not None:
            return self._everywhere
        if self._next is None or self._next[:2] != (step, length):
            self._ask(step, length)
        began = time.monotonic()
        found = self._next[2].result()
        self._waited += time.monotonic() - began
        self._next = None
        if then:
            self._ask(step + length, then)
        return found

    def waits(self) -> float | None:
        """The share of the time since the last call in which a chunk had to wait for its rows; None if there
        is nothing to wait for."""
        if self._everywhere is not None:
            return None
        waited, since = self._waited, self._since
        self._waited, self._since = 0.0, time.monotonic()
        return min(waited / max(self._since - since, 1e-9), 1.0)

    def _ask(self, step: int, length: int) -> None:
        if self._next is not None:
            self._next[2].cancel()
        self._next = step, length, self._thread.submit(self._window, step, length)

    def _window(self, step: int, length: int):
        program, cfg = self._program, self._program.cfg
        with jax.default_device(_host()):
            first, count = program.draws(step, length)
            count = -(-count // length) * length  # so that a schedule has few sizes
            rows = held.window(
                program.data.arrays, self._key, first, count, self._slot, batch_size=cfg.batch_size
            )
        return jax.block_until_ready(parallel.apart(rows, list(program.devices)))

    def close(self) -> None:
        """Ends the thread."""
        if self._everywhere is None:
            self._thread.shutdown(cancel_futures=True)


def _host():
    """Where the rows' numbers are found."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # there are devices of one kind alone
        return jax.local_devices()[0]
