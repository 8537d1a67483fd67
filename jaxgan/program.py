"""What is compiled for a run: one program for all its lanes, and for every value of its numbers."""

import dataclasses
import hashlib
import re
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import config, memory, parallel, steps
from jaxgan.config import InputError
from jaxgan.data import Dataset
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
    def step(self) -> Callable:
        """(state, ((numbers, arrays), slot)) -> (state, metrics): one step.

        It is traced once, which takes a second, for the room, the digest and each length of a chunk.
        """
        axis = parallel.AXIS if len(self.devices) > 1 else None
        cfg, method = self.cfg, self.method

        def step(state, drawn_from):
            (numbers, arrays), slot = drawn_from
            own = dataclasses.replace(cfg, **numbers)
            draw = partial(self.data.batch, arrays, slot=slot, batch_size=cfg.batch_size)
            batches = method.batches(own, lambda key, i: draw(key, i))
            return method.train_step(own)(
                *method.make(own, axis), state, batches(state), axis=axis, accumulate=self.accumulate
            )

        return jax.jit(step, inline=True)

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
        arrays = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, dict(self.data.arrays)))
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
        """A hash of what a step computes: game, losses, optimisers and the order of their updates."""
        text = re.sub(r"0x[0-9a-f]+", "", str(self.traced))  # but for where its functions lie in memory
        consts = [np.asarray(x).tobytes() for x in (*self.traced.consts, *jax.tree.leaves(self.frozen))]
        return hashlib.sha256(b"".join([text.encode(), *consts])).hexdigest()[:16]

    @cached_property
    def chunk(self) -> Callable:
        """(state, (numbers, arrays), slot, length) -> (state, metrics f32[length])."""
        return parallel.over_devices(self.bare, list(self.devices))

    @cached_property
    def lanes(self) -> Callable:
        """The chunk of several lanes, as `parallel.side_by_side` or `parallel.one_each` have it."""
        if self.spread:
            return parallel.one_each(self.bare, list(self.spread))
        return parallel.over_devices(parallel.side_by_side(self.bare), list(self.devices))


class Room(NamedTuple):
    """What a program takes of the memory at least, in bytes."""

    state: int  # of a lane
    data: int
    made: int  # the largest array of a step


def room(program: Program) -> Room:
    """What a program takes."""
    state = memory.size(program.abstract)
    data = memory.size(jax.tree.map(np.asarray, dict(program.data.arrays)))
    return Room(state, data, memory.largest(program.traced.jaxpr))


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
        program = Program(method, cfg, names, data, devices, accumulate, spread)
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
