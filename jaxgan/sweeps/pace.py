"""Whether lanes go faster side by side, as one batch, or in turn: measured where that pays."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan import feed, parallel
from jaxgan.program import Program
from jaxgan.train import Loop

WORTH = 20  # times what the measurement takes: what the sweep has to take for it


def _timed(
    advance: Callable, program: Program, configs: list, length: int, calls: int
) -> tuple[float, float]:
    """Seconds of the first call of a chunk for lanes, which compiles, and of the quickest other one."""
    numbers = [program.numbers(cfg) for cfg in configs]
    seeds = [jax.random.key(cfg.seed) for cfg in configs]
    states = [program.initial(key, own) for key, own in zip(seeds, numbers, strict=True)]
    devices = list(program.devices)
    states = [parallel.replicate(state, devices) for state in states]
    arrays = feed.placed(program)
    slot, seconds = jnp.arange(program.cfg.batch_size, dtype=jnp.int32), []
    for _ in range(1 + calls):
        began = time.monotonic()
        states, _ = advance(states, (numbers, arrays), slot, length)
        jax.block_until_ready(states)
        seconds.append(time.monotonic() - began)
    return seconds[0], min(seconds[1:])


def together(program: Program, configs: list, loop: Loop, lanes: int, steps: int) -> tuple[bool, str]:
    """Whether lanes shall go side by side, and why.

    Args:
      configs: of the lanes of one call.
      lanes: of the whole sweep.
      steps: of each.
    """
    names = {True: "side by side", False: "in turn"}
    if program.hold == "stream":
        return False, "in turn, as each draws rows of its own"
    if loop.together is not None:
        return loop.together, f"{names[loop.together]}, as asked for"
    usual = program.devices[0].platform != "cpu"
    if len(configs) == 1:
        return False, "one at a time"
    in_turn = parallel.in_turn(program.chunk, list(program.devices))
    few = configs[: max(2, min(len(configs), jax.local_device_count()))]
    compiling, one = _timed(in_turn, program, few, loop.chunk, 1)
    whole = one / len(few) * lanes * steps / loop.chunk
    takes = 3 * compiling + 5 * one / len(few) * len(configs)
    if whole < WORTH * takes:
        return usual, f"{names[usual]}: about {whole:.0f} s are too short to measure which way is faster"
    _, turn = _timed(in_turn, program, configs, loop.chunk, 2)
    _, side = _timed(program.lanes, program, configs, loop.chunk, 2)
    each, faster = 1000 / loop.chunk / len(configs), side < turn
    told = f"a lane's step takes {side * each:.3g} ms side by side, {turn * each:.3g} in turn"
    return faster, f"{names[faster]}: {told}"
