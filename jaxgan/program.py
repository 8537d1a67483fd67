"""What is compiled for a run: one program for all its lanes, and for every value of its numbers."""

import dataclasses
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import config, parallel, steps
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.run import Method

# What a method raises where it looks at the value of a number that is traced.
LOOKED_AT = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)


def arguments(cfg) -> dict[str, Any]:
    """The numbers of a config that a program may take as arguments, the seed among them."""
    return {**config.numbers(cfg), "seed": np.uint32(cfg.seed)}


def _trace(method: Method, cfg, data: Dataset, n_devices: int, accumulate: int, names) -> None:
    """Traces both losses on a device's microbatch, the named numbers as arguments."""
    share = data.example(cfg.batch_size // (n_devices * accumulate))
    whole = data.example(cfg.batch_size)

    def trace(numbers):
        own = dataclasses.replace(cfg, **numbers)
        gan, opts = method.make(own)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), whole)
        state = steps.create_state(gan, opts, jax.random.key(0), zeros)

        def losses(batch):
            gan, _ = method.make(own, parallel.AXIS)
            players = (gan.d_loss, state.d), (gan.g_loss, state.g)
            return [loss(player.params, state, batch, state.key)[0] for loss, player in players]

        batch = jax.tree.map(lambda x: jnp.zeros((n_devices, *x.shape), x.dtype), share)
        return jax.vmap(losses, axis_name=parallel.AXIS)(batch)

    jax.eval_shape(trace, {name: arguments(cfg)[name] for name in names})


def traceable(method: Method, cfg, data: Dataset, n_devices: int = 1, accumulate: int = 1) -> tuple[str, ...]:
    """The numbers of a config that its program takes as arguments: all but those whose value `make` looks at.

    Raises:
      InputError: if networks or losses cannot be built.
    """
    names = tuple(arguments(cfg))
    trace = partial(_trace, method, cfg, data, n_devices, accumulate)

    def passes(names):
        try:
            trace(names)
        except LOOKED_AT:
            return False
        return True

    try:
        if passes(names):
            return names
        trace(())  # what fails here is no matter of numbers
        kept = tuple(name for name in names if passes((name,)))
        looked_at = ", ".join(sorted(set(names) - set(kept)))
        print(f"make() looks at the value of {looked_at}: each is a program of its own")
        return kept
    except KeyError as e:
        names = ", ".join(data.example(1))
        raise InputError(f"the game looks for {e} in a batch, which has {names}") from e
    except ValueError as e:
        raise InputError(str(e).partition("\n")[0]) from e


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled functions of all configs that differ in a seed and in numbers alone."""

    method: Method
    cfg: Any  # one of them
    names: tuple[str, ...]  # of the numbers that are arguments
    data: Dataset
    devices: tuple
    accumulate: int = 1

    def numbers(self, cfg) -> dict[str, jax.Array]:
        """The arguments of a config."""
        found = arguments(cfg)
        return {name: jnp.asarray(found[name]) for name in self.names}

    def _made(self, numbers: dict, axis: str | None = None):
        return self.method.make(dataclasses.replace(self.cfg, **numbers), axis)

    @cached_property
    def initial(self) -> Callable:
        """(key, numbers) -> the state before the first step."""
        example = self.data.example(self.cfg.batch_size)

        def create(key, numbers):
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example)
            return steps.create_state(*self._made(numbers), key, zeros)

        return jax.jit(create)

    @cached_property
    def sample(self) -> Callable:
        """(numbers, g_variables, z, condition) -> samples."""
        return jax.jit(lambda numbers, *args: self._made(numbers)[0].sample(*args))

    @cached_property
    def critic(self) -> Callable | None:
        """(numbers, d_variables, data, condition) -> D's logits."""
        if self.method.make(self.cfg)[0].critic is None:
            return None
        return jax.jit(lambda numbers, *args: self._made(numbers)[0].critic(*args))

    @cached_property
    def bare(self) -> Callable:
        """`chunk`, not compiled."""
        axis = parallel.AXIS if len(self.devices) > 1 else None
        cfg, method = self.cfg, self.method

        def chunk(state, given, slot, length):
            numbers, arrays = given
            own = dataclasses.replace(cfg, **numbers)
            step = partial(
                method.train_step(own), *method.make(own, axis), axis=axis, accumulate=self.accumulate
            )
            draw = partial(self.data.batch, arrays, slot=slot, batch_size=cfg.batch_size)
            return steps.train_chunk(step, method.batches(own, lambda key, i: draw(key, i)), state, length)

        return chunk

    @cached_property
    def chunk(self) -> Callable:
        """(state, (numbers, arrays), slot, length) -> (state, metrics f32[length])."""
        return parallel.over_devices(self.bare, list(self.devices))

    @cached_property
    def lanes(self) -> Callable:
        """The chunk of several lanes side by side, as `parallel.side_by_side` has it."""
        return parallel.over_devices(parallel.side_by_side(self.bare), list(self.devices))
