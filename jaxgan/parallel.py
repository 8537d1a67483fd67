"""Many devices, and many lanes.

The only home of pmap. The state goes in and comes out replicated, without a leading device axis, so
checkpoints and samplers know nothing of devices. pmap here is shard_map(check_vma=False): a gradient
is the shard's own until `steps.update` takes the mean. Under check_vma=True it would be summed
already, and that mean would leave it too large by the number of devices.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgan.game import GANState

AXIS = "devices"


def compiler_options(device) -> dict:
    """What XLA is told when it compiles a training loop for the device.

    On a CPU it copies every weight and moment of an optimiser in each step of a scan, unless it is
    to look at what really overlaps: an MLP GAN's step took 10.2 ms, and 8.8 ms with it, bit for bit
    the same.
    """
    return {"xla_cpu_copy_insertion_use_region_analysis": True} if device.platform == "cpu" else {}


def brief_options(device) -> dict:
    """What XLA is told when it compiles for the device what runs once, unless the user's XLA_FLAGS have told
    it: a DCGAN's first state, the same bit for bit, is compiled in 1.5 s for 3.3."""
    told = "xla_backend_optimization_level" in os.environ.get("XLA_FLAGS", "")
    return {"xla_backend_optimization_level": 1} if device.platform == "cpu" and not told else {}


def over_devices(chunk: Callable, devices: list) -> Callable:
    """Compiles a chunk for the devices; the state is donated.

    Args:
      chunk: (state, data, slot, length) -> (state, metrics), built with `axis=AXIS` if there is
        more than one device. Each device is given its own share of `slot` and all of the rest.

    Returns:
      The same function, with slot i32[B] for the global batch.
    """
    if len(devices) == 1:
        options = compiler_options(devices[0])
        return jax.jit(chunk, static_argnums=3, donate_argnums=0, compiler_options=options)
    mapped = jax.pmap(
        chunk,
        axis_name=AXIS,
        devices=devices,
        in_axes=(None, None, 0, None),
        out_axes=None,
        static_broadcasted_argnums=3,
        donate_argnums=0,
    )

    def run(state, data, slot, length):
        return mapped(state, data, slot.reshape(len(devices), -1), length)

    return run


def replicate(tree, devices: list):
    """The tree on every device. (A state left on one of several would make pmap compile twice; on a mesh of
    one, a step would be traced twice.)"""
    if len(devices) == 1:
        return jax.device_put(tree, devices[0])
    mesh = Mesh(np.asarray(devices), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def assert_replicated(tree) -> None:
    """Raises AssertionError, naming the first path, if devices hold different values of a leaf.

    A mean over devices that was forgotten is silent otherwise: the shards drift apart and device
    0's values are returned.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        first, *others = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        if not all(np.array_equal(first, other, equal_nan=True) for other in others):
            raise AssertionError(f"devices hold different values at {jax.tree_util.keystr(path)}")


# The step stays one number for all lanes: a `lax.cond` on it still runs one branch, where on a
# batched predicate both would run and lazy regularisation would not be lazy.
LANES = GANState(step=None, key=0, g=0, d=0, extra=0, frozen=None)


def _stacked(trees: list):
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def _together(states: list[GANState]) -> GANState:
    """The states of lanes as one, as `LANES` has it; what all of them share is the first one's."""
    own = _stacked([state.replace(step=None, frozen=()) for state in states])
    return own.replace(step=states[0].step, frozen=states[0].frozen)


def _parted(after: GANState, metrics: dict, before: list[GANState]) -> tuple[list[GANState], list[dict]]:
    """The lanes' own states, each with what was frozen of it before, and metrics."""
    own = after.replace(step=None, frozen=())
    lane = lambda tree, i: jax.tree.map(lambda x: x[i], tree)  # noqa: E731
    states = [lane(own, i).replace(step=after.step, frozen=one.frozen) for i, one in enumerate(before)]
    return states, [lane(metrics, i) for i in range(len(before))]


def side_by_side(chunk: Callable) -> Callable:
    """A chunk (state, (numbers, data), slot, length) over several lanes at once, vmapped: lists of states and
    of numbers in, lists of states and of metrics out. The lanes stand at one step.

    On a CPU a lane's arrays then leave the cache for the others': four of a DCGAN's took 340 ms a step so,
    and 279 one after another. There `in_turn` is the faster way.
    """

    def run(states, given, slot, length):
        numbers, data = given
        mapped = jax.vmap(lambda s, n: chunk(s, (n, data), slot, length), (LANES, 0), (LANES, 0))
        return _parted(*mapped(_together(states), _stacked(numbers)), states)

    return run


def padded(side_by_side: Callable, width: int) -> Callable:
    """Lanes side by side in calls of one width: where there are fewer, copies of the last one fill it, so
    that nothing is compiled anew and no lane's numbers change when others have come to their end."""

    def run(states, given, slot, length):
        numbers, data = given
        after, metrics = [], []
        for first in range(0, len(states), width):
            own, of = states[first : first + width], numbers[first : first + width]
            missing = width - len(own)
            filled = own + [jax.tree.map(jnp.copy, own[-1]) for _ in range(missing)]
            done, figures = side_by_side(filled, (of + of[-1:] * missing, data), slot, length)
            after += done[: len(own)]
            metrics += figures[: len(own)]
        return after, metrics

    return run


def one_each(chunk: Callable, devices: list) -> Callable:
    """A chunk for one device over as many lanes as there are devices, as `side_by_side`, but one on each: a
    lane computes what it computes alone. Its state is brought to the first device after each call."""
    mapped = jax.pmap(
        lambda state, numbers, data, slot, length: chunk(state, (numbers, data), slot, length),
        axis_name=AXIS,
        in_axes=(LANES, 0, None, None, None),
        out_axes=(LANES, 0),
        devices=devices,
        static_broadcasted_argnums=4,
        donate_argnums=0,
    )
    own = NamedSharding(Mesh(np.asarray(devices), (AXIS,)), PartitionSpec(AXIS))
    held = []  # the data as given, and on all devices

    def everywhere(data):
        if not held or held[0] is not data:
            held[:] = [data, replicate(data, devices)]
        return held[1]

    def run(states, given, slot, length):
        numbers, data = given
        together = _together(states)
        shared = replicate((together.step, together.frozen, slot), devices)
        state, numbers = jax.device_put((together.replace(step=None, frozen=()), _stacked(numbers)), own)
        state = state.replace(step=shared[0], frozen=shared[1])
        after, metrics = mapped(state, numbers, everywhere(data), shared[2], length)
        return _parted(*jax.device_put((after, metrics), devices[0]), states)

    return run


def in_turn(chunk: Callable, devices: list) -> Callable:
    """A compiled chunk over several lanes as `side_by_side`, but each by a call of its own: the very numbers
    that a lane has alone.

    On one CPU device as many calls run at a time as there are cores: the products of a small network leave
    most of them idle. Devices that wait for each other get one call at a time.
    """
    several = devices[0].platform == "cpu" and len(devices) == 1

    def run(states, given, slot, length):
        def one(state, numbers):
            return chunk(state, (numbers, given[1]), slot, length)

        if several and len(states) > 1:
            with ThreadPoolExecutor(min(len(states), os.cpu_count() or 1)) as pool:
                pairs = list(pool.map(lambda *x: jax.block_until_ready(one(*x)), states, given[0]))
        else:
            pairs = [one(*x) for x in zip(states, given[0], strict=True)]
        after, metrics = zip(*pairs, strict=True)
        return list(after), list(metrics)

    return run
