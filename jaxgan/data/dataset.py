"""A data set is named arrays, and a way to make batches of them."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxgan import memory
from jaxgan.config import InputError
from jaxgan.data import resident


def _flat(arrays: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each array by its name, and those of a group by `group/name`."""
    for name, x in arrays.items():
        if isinstance(x, Mapping):
            yield from _flat(x, f"{prefix}{name}/")
        else:
            yield prefix + name, x


def _checked(data: str, name: str, x) -> np.ndarray:
    """The array in a type that a device holds.

    Raises:
      InputError: if it is of objects or text, has no examples, or a number that is not finite or too large.
    """
    x = np.asarray(x)
    if x.dtype.kind not in "biuf":
        raise InputError(f"{data}: {name!r} is of {x.dtype}; a device holds numbers alone: encode it first")
    if x.ndim == 0 or x.size == 0:
        raise InputError(f"{data}: {name!r} is {x.dtype}{list(x.shape)}: it has no examples")
    if x.dtype.kind == "f":
        with np.errstate(over="ignore"):
            x = x.astype(np.float32) if x.itemsize > 4 else x
        parts = np.array_split(x.reshape(len(x), -1), -(-len(x) // 65536))
        if bad := sum(int((~np.isfinite(part).all(1)).sum()) for part in parts):
            raise InputError(
                f"{data}: {name!r} is not finite in {bad} of {len(x)} examples; mend or remove them"
            )
        return x
    if x.dtype.kind in "iu" and x.itemsize >= 4:
        if x.max() >= 2**31 or x.min() < -(2**31):
            raise InputError(f"{data}: {name!r} has integers of 2^31 and more; number them from 0")
        return x.astype(np.int32)
    return x


@dataclass(frozen=True, eq=False)
class Dataset:
    """Named arrays of any shape and type that share their first axis, the example.

    An entry that is a dict is a group, such as one of two domains that nothing pairs: its arrays share a
    first axis of their own, and each group is drawn in an order of its own.

    Raises:
      InputError: if an array is of objects or text, empty or not finite, or lengths differ within a group.
    """

    name: str
    arrays: Mapping[str, Any]
    # What else is known, as JSON has it: the names of classes, a vocabulary. A config's fields of these names
    # take these values.
    facts: Mapping[str, Any] = field(default_factory=dict)
    # (arrays, key, draw, slot) -> the draw-th batch, of a set that has no end: `arrays` are what it is made
    # from. None: `resident.draw`, each example once an epoch.
    sampler: Callable | None = None
    # The same examples, each as often as any other, of a set whose `sampler` draws some of them more often
    evenly: "Dataset | None" = None
    remarks: tuple[str, ...] = ()  # lines on what was left out or changed where it was read
    read: int | None = None  # the numbers that its examples had there, if they were made larger or smaller
    resized: str = ""  # how its examples were brought to their size, which every protocol names
    held_out: "Dataset | None" = None  # examples like these that are not trained on

    def __post_init__(self):
        if not self.arrays:
            raise InputError(f"{self.name} has no arrays")
        if "slot" in self.arrays:
            raise InputError(
                f"{self.name}: 'slot' is each example's place in a batch; name that array otherwise"
            )

        def checked(arrays, prefix=""):
            if not arrays:
                raise InputError(f"{self.name}: {prefix[:-1]!r} has no arrays")
            if "/" in prefix[:-1]:
                raise InputError(f"{self.name}: {prefix[:-1]!r} is a group within a group; make it one")
            return {
                name: checked(x, f"{prefix}{name}/")
                if isinstance(x, Mapping)
                else _checked(self.name, prefix + name, x)
                for name, x in arrays.items()
            }

        object.__setattr__(self, "arrays", checked(self.arrays))
        if self.sampler is None:
            self._check_lengths()

    def _check_lengths(self):
        for group, arrays in [
            ("", self.arrays),
            *((k, x) for k, x in self.arrays.items() if isinstance(x, dict)),
        ]:
            lengths = {k: len(x) for k, x in arrays.items() if not isinstance(x, dict)}
            if len(set(lengths.values())) > 1:
                told = ", ".join(f"{k} {n}" for k, n in lengths.items())
                where = f"{self.name}/{group}" if group else self.name
                raise InputError(
                    f"{where} has arrays of several lengths: {told}. Make them one, or give those that "
                    "nothing pairs a group of their own: {'a': {...}, 'b': {...}}"
                )

    def __getitem__(self, name: str):
        return self.arrays[name]

    def get(self, name: str):
        """The array of that name, or None."""
        return self.arrays.get(name)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels, if there are any."""
        return tuple(self.facts.get("classes", ()))

    @property
    def size(self) -> float:
        """How many examples there are, of the smallest group; infinite where they are drawn anew."""
        if self.evenly is not None:
            return self.evenly.size
        return math.inf if self.sampler else min(len(x) for _, x in _flat(self.arrays))

    @property
    def numbers(self) -> float:
        """How many numbers the examples hold as they were read; infinite where they are drawn anew."""
        if self.evenly is not None:
            return self.evenly.numbers
        if self.sampler:
            return math.inf
        return sum(x.size for _, x in _flat(self.arrays)) if self.read is None else self.read

    @cached_property
    def digest(self) -> str:
        """A hash of the contents: 16 hexadecimal digits."""
        h = hashlib.sha256()
        for name, x in _flat(self.arrays):
            h.update(f"{name}{x.shape}{x.dtype}".encode())
            h.update(np.ascontiguousarray(x))
        if self.held_out is not None:
            h.update(self.held_out.digest.encode())
        return h.hexdigest()[:16]

    @property
    def described(self) -> dict:
        """The shapes and types that its arrays have on a device; nothing of them is read."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), dict(self.arrays))

    @property
    def shapes(self) -> dict[str, str]:
        """Each array's type and shape, such as `uint8[1797, 16, 16, 1]`."""
        return {name: f"{x.dtype}{list(x.shape)}" for name, x in _flat(self.arrays)}

    def batch(self, arrays, key, draw, slot, *, batch_size: int) -> dict:
        """The draw-th batch of the key's run, [len(slot), ...].

        Args:
          arrays: this set's, on a device.
          slot: i32[B], the examples' places in the global batch of `batch_size`.
        """
        if self.sampler is not None:
            return {**self.sampler(arrays, key, draw, slot), "slot": slot}
        return resident.draw(arrays, key, draw, slot, batch_size=batch_size)

    def made(self, key, n: int) -> dict:
        """n examples of a set that has no end, on the host.

        Raises:
          InputError: if there is no room for them.
        """
        memory.require(4 * memory.size(self.example(n)), f"{n} examples of {self.name}")
        draw = jax.jit(lambda arrays, key: self.batch(arrays, key, 0, jax.numpy.arange(n), batch_size=n))
        return jax.device_get(draw(dict(self.arrays), key))

    def examples(self, n: int, seed: int = 0) -> dict:
        """At most n examples at random, as this set holds them; the same at each call."""
        if self.evenly is not None:
            return self.evenly.examples(n, seed)
        if self.sampler is not None:
            return self.made(jax.random.key(seed), n)
        rows = np.random.default_rng(seed).permutation(int(self.size))[:n]
        return jax.tree.map(lambda x: x[rows], dict(self.arrays))

    def example(self, batch_size: int) -> dict:
        """The shapes and types of a batch."""
        arrays = self.described
        slot = jax.ShapeDtypeStruct((batch_size,), np.int32)
        key = jax.eval_shape(lambda: jax.random.key(0))
        return jax.eval_shape(
            lambda arrays, key, slot: self.batch(arrays, key, 0, slot, batch_size=batch_size),
            arrays,
            key,
            slot,
        )
