"""What is compiled for a run: one program for all its lanes, and for every value of its numbers."""

import dataclasses
import hashlib
import re
from collections.abc import Callable
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import config, memory, parallel, steps
from jaxgan.config import InputError
from jaxgan.data import Dataset, held
from jaxgan.game import samples_of
from jaxgan.methods import Method


def arguments(cfg) -> dict[str, Any]:
    """The numbers of a config that a program may take as arguments, the seed among them."""
    return {**config.numbers(cfg), "seed": np.uint32(cfg.seed)}


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled functions of all configs that differ in a seed and in numbers alone."""

    method: Method
    cfg: Any  # one of them
    names: tuple[str, ...]  # of the numbers that are arguments
    data: Dataset
    devices: tuple
    accumulate: int = 1
    hold: str = "copy"  # where the data are, as of `data.held`
    spread: tuple = ()  # devices that lanes are spread over, one on each; their states are on `devices`

    def numbers(self, cfg) -> dict[str, jax.Array]:
        """The arguments of a config."""
        found = arguments(cfg)
        return {name: jnp.asarray(found[name]) for name in self.names}

    def _made(self, numbers: dict, axis: str | None = None):
        return self.method.make(dataclasses.replace(self.cfg, **numbers), axis)

    @cached_property
    def frozen(self):
        """What is in the state, but neither trained nor saved."""
        return self.method.frozen(self.cfg, self.data)

    @cached_property
    def _create(self) -> Callable:
        """(key, numbers) -> the state before the first step, without what is frozen: a network's weights
        would be constants of the program."""
        example = self.data.example(self.cfg.batch_size)

        def create(key, numbers):
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example)
            return steps.create_state(*self._made(numbers), key, zeros)

        return jax.jit(create, compiler_options=parallel.brief_options(self.devices[0]))

    def initial(self, key, numbers: dict):
        """The state before the first step."""
        frozen = jax.tree.map(jnp.array, self.frozen)  # copies, as a state is donated
        return self._create(key, numbers).replace(frozen=frozen)

    @cached_property
    def abstract(self):
        """The shapes of a state."""
        own = jax.eval_shape(self._create, jax.random.key(0), self.numbers(self.cfg))
        return own.replace(frozen=jax.eval_shape(lambda: self.frozen))

    @cached_property
    def sample(self) -> Callable:
        """(numbers, g_variables, key, slot, condition) -> samples of the latents of the slots."""
        return jax.jit(lambda numbers, *args: samples_of(self._made(numbers)[0], *args))

    @cached_property
    def critic(self) -> Callable | None:
        """(numbers, d_variables, data, condition) -> D's logits."""
        if self.method.make(self.cfg)[0].critic is None:
            return None
        return jax.jit(lambda numbers, *args: self._made(numbers)[0].critic(*args))

    @cached_property
    def examine(self) -> Callable | None:
        """(numbers, g_variables, d_variables, data, key, slot, ...) -> `GAN.examine`, if the game has it."""
        if self.method.make(self.cfg)[0].examine is None:
            return None
        return jax.jit(lambda numbers, *args: self._made(numbers)[0].examine(*args))

    @cached_property
    def step(self) -> Callable:
        """(state, ((numbers, arrays), slot)) -> (state, metrics): one step.

        It is traced once, which takes a second, for the room, the digest and each length of a chunk.
        """
        axis = parallel.AXIS if len(self.devices) > 1 else None
        cfg, method = self.cfg, self.method

        def step(state, drawn_from):
            (numbers, arrays), slot = drawn_from
            own = dataclasses.replace(cfg, **numbers)
            batches = method.batches(own, partial(self._drawn, arrays, slot, axis))
            return method.train_step(own)(
                *method.make(own, axis), state, batches(state), axis=axis, accumulate=self.accumulate
            )

        return jax.jit(step, inline=True)

    def _drawn(self, arrays, slot, axis: str | None, key, i) -> dict:
        """The i-th batch of what a device holds of the data."""
        size = {"batch_size": self.cfg.batch_size}
        if self.hold == "stream":
            return held.draw_window(arrays, i, slot)
        if self.hold == "shard":
            of = held.lengths(self.data.arrays)
            return held.draw_shards(arrays, key, i, slot, **size, of=of, axis=axis)
        return self.data.batch(arrays, key, i, slot, **size)

    @cached_property
    def draws(self) -> Callable:
        """(step, length) -> the first of the batches that so many steps from that one on draw, and how many
        there are.

        Raises:
          InputError: if the method's batches depend on more than the step and the run's key.
        """

        def of(step):
            state = SimpleNamespace(step=step, key=jax.random.key(0))
            found = self.method.batches(self.cfg, lambda key, i: {"i": i})(state)
            if isinstance(found, tuple):  # of a schedule: their number, and turn -> batch
                return found[1](0)["i"], jnp.asarray(found[0])
            return found["i"].min(), found["i"].max() - found["i"].min() + 1

        compiled = jax.jit(of)

        def draws(step: int, length: int) -> tuple[int, int]:
            (first, n), (last, m) = ([int(x) for x in compiled(s)] for s in (step, step + length - 1))
            return min(first, last), max(first + n, last + m) - min(first, last)

        try:
            draws(0, 1)
        except (AttributeError, TypeError, KeyError) as e:
            raise InputError(f"--hold stream: the method chooses batches by more than its step ({e})") from e
        return draws

    @cached_property
    def bare(self) -> Callable:
        """`chunk`, not compiled."""

        def chunk(state, given, slot, length):
            return steps.train_chunk(self.step, lambda _: (given, slot), state, length)

        return chunk

    @cached_property
    def traced(self):
        """The jaxpr of a step on the devices' shares; nothing is compiled."""
        n, batch_size = len(self.devices), self.cfg.batch_size
        arrays = self.data.described
        numbers = self.numbers(self.cfg)
        step = partial(self.bare, length=1)
        if n == 1:
            slot = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
        else:
            slot = jax.ShapeDtypeStruct((n, batch_size // n), jnp.int32)
            step = jax.vmap(step, (None, None, 0), axis_name=parallel.AXIS)
        return jax.make_jaxpr(step)(self.abstract, (numbers, arrays), slot)

    @cached_property
    def digest(self) -> str:
        """A hash of what a step computes: game, losses, optimisers and the order of their updates; where the
        data are is no part of it, nor how many devices there are."""
        if self.hold != "copy" or len(self.devices) > 1:
            return dataclasses.replace(self, hold="copy", devices=self.devices[:1]).digest
        text = re.sub(r"0x[0-9a-f]+", "", str(self.traced))  # but for where its functions lie in memory
        consts = [np.asarray(x).tobytes() for x in (*self.traced.consts, *jax.tree.leaves(self.frozen))]
        return hashlib.sha256(b"".join([text.encode(), *consts])).hexdigest()[:16]

    @cached_property
    def chunk(self) -> Callable:
        """(state, (numbers, arrays), slot, length) -> (state, metrics f32[length])."""
        return parallel.over_devices(self.bare, list(self.devices), (False, self.hold != "copy"))

    @cached_property
    def lanes(self) -> Callable:
        """The chunk of several lanes, as `parallel.side_by_side` or `parallel.one_each` have it."""
        if self.spread:
            return parallel.one_each(self.bare, list(self.spread))
        parts = False, self.hold != "copy"
        return parallel.over_devices(parallel.side_by_side(self.bare), list(self.devices), parts)


class Room(NamedTuple):
    """What a program takes of the memory at least, in bytes."""

    state: int  # of a lane
    data: int
    made: int  # the largest array of a step


def _held(program: Program) -> int:
    """Bytes of the data that a device has at a time, but for what streams through it."""
    size = memory.size(program.data.described)
    return {"copy": size, "shard": -(-size // len(program.devices)), "stream": 0}[program.hold]


def room(program: Program) -> Room:
    """What a program takes."""
    state = memory.size(program.abstract)
    data = _held(program)
    whole = dataclasses.replace(program, hold="copy")  # what a step makes does not depend on it
    return Room(state, data, memory.largest(whole.traced.jaxpr))


def _check_room(program: Program, lanes: int) -> None:
    """Raises InputError if the states, the data and the largest array of a step exceed the memory."""
    state, data, made = room(program)
    parts = {"states" if lanes > 1 else "state": lanes * state, "data": data, "largest array of a step": made}
    told = ", ".join(f"{name} {memory.told(size)}" for name, size in parts.items())
    memory.require(sum(parts.values()), f"this configuration ({told})", parallel.local(program.devices)[0])


def traceable(
    method: Method,
    cfg,
    data: Dataset,
    devices: tuple,
    accumulate: int = 1,
    *,
    hold: str = "copy",
    lanes: int = 1,
    spread: tuple = (),
) -> Program:
    """The program of a config, with those numbers as arguments that the method does not look at.

    They are found by tracing a step, the method's own order of updates and batches included.

    Raises:
      InputError: if the game cannot be built or trained with these sizes, or there is no room for the lanes.
    """
    names = tuple(arguments(cfg))

    def trace(names: tuple) -> Program:
        program = Program(method, cfg, names, data, devices, accumulate, hold, spread)
        _check_room(program, lanes)
        return program

    def passes(names: tuple) -> Program | None:
        try:
            return trace(names)
        except InputError:
            raise
        except Exception:  # what a number that is traced may raise depends on what is done with it
            return None

    if (program := passes(names)) is not None:
        return program
    try:
        trace(())  # what fails here as well is no matter of numbers
    except KeyError as e:
        has = ", ".join(data.example(1))
        raise InputError(f"the game asked for {e}, which it did not find; a batch has {has}") from e
    except InputError:
        raise
    except (ValueError, OverflowError, MemoryError) as e:
        raise InputError(str(e).partition("\n")[0]) from e
    kept = tuple(name for name in names if passes((name,)) is not None)
    looked_at = ", ".join(sorted(set(names) - set(kept)))
    print(f"the method looks at the value of {looked_at}: each value is a program of its own")
    return trace(kept)
