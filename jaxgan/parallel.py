"""Many devices, and many lanes.

The only home of pmap. The state goes in and comes out replicated, without a leading device axis, so
checkpoints and samplers know nothing of devices. pmap here is shard_map(check_vma=False): a gradient
is the shard's own until `steps.update` takes the mean. Under check_vma=True it would be summed
already, and that mean would leave it too large by the number of devices. Where the devices belong to
several processes it is that shard_map by its name, since what pmap returns is local to a process.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

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


def local(devices: list) -> list:
    """Those of the devices that are this process's own."""
    return [device for device in devices if device.process_index == jax.process_index()]


def over_devices(chunk: Callable, devices: list, parts=()) -> Callable:
    """Compiles a chunk for the devices; the state is donated.

    Args:
      chunk: (state, data, slot, length) -> (state, metrics), built with `axis=AXIS` if there is
        more than one device. Each device is given its own share of `slot` and all of the rest.
      devices: of this process, or of all processes.
      parts: for each entry of a tuple `data`, whether a device is given its own part of it alone, whose
        arrays have an axis of the devices before all others (see `apart`); () if of none.

    Returns:
      The same function, with slot i32[B] for the global batch.
    """
    if len(devices) == 1:
        options = compiler_options(devices[0])
        return jax.jit(chunk, static_argnums=3, donate_argnums=0, compiler_options=options)
    if len(local(devices)) < len(devices):
        return _over_processes(chunk, devices, parts)
    mapped = jax.pmap(
        chunk,
        axis_name=AXIS,
        devices=devices,
        in_axes=(None, tuple(0 if own else None for own in parts) or None, 0, None),
        out_axes=None,
        static_broadcasted_argnums=3,
        donate_argnums=0,
    )

    def run(state, data, slot, length):
        return mapped(state, data, slot.reshape(len(devices), -1), length)

    return run


def _over_processes(chunk: Callable, devices: list, parts) -> Callable:
    """`over_devices` on the mesh of all processes' devices: what goes in and comes out are global arrays."""
    own = lambda tree: jax.tree.map(lambda x: x[0], tree)  # noqa: E731

    def share(state, data, slot, *, length):
        data = tuple(own(x) if part else x for x, part in zip(data, parts, strict=True)) if parts else data
        return chunk(state, data, slot, length)

    def run(state, data, slot, length):
        specs = tuple(PartitionSpec(AXIS) if part else PartitionSpec() for part in parts) or PartitionSpec()
        mapped = jax.shard_map(
            partial(share, length=length),
            mesh=_mesh(devices),
            in_specs=(PartitionSpec(), specs, PartitionSpec(AXIS)),
            out_specs=PartitionSpec(),
            check_vma=False,
        )
        return mapped(state, data, slot)

    options = compiler_options(devices[0])
    return jax.jit(run, static_argnums=3, donate_argnums=0, compiler_options=options)


def _mesh(devices: list) -> Mesh:
    return Mesh(np.asarray(devices), (AXIS,))


def replicate(tree, devices: list):
    """The tree on every device. (A state left on one of several would make pmap compile twice; on a mesh of
    one, a step would be traced twice.) Of several processes each must have the same tree."""
    if len(devices) == 1:
        return jax.device_put(tree, devices[0])
    everywhere = NamedSharding(_mesh(devices), PartitionSpec())
    if len(local(devices)) == len(devices):
        return jax.device_put(tree, everywhere)
    # By device_put each process would send the others all that it has, to see whether it is the same.
    return jax.tree.map(lambda x: _global(x, everywhere), tree)


def _global(x, sharding: NamedSharding):
    """The array of all processes of which this one has its own part, or the whole where it is replicated."""
    if hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        impl = jax.random.key_impl(x)
        return jax.random.wrap_key_data(_global(jax.random.key_data(x), sharding), impl=impl)
    return jax.make_array_from_process_local_data(sharding, np.asarray(x))


def apart(tree, devices: list):
    """Arrays [own devices, ...], of which each device is given its own entry; one alone has no such axis."""
    if len(devices) == 1:
        return jax.device_put(jax.tree.map(lambda x: x[0], tree), devices[0])
    over = NamedSharding(_mesh(devices), PartitionSpec(AXIS))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(over, x), tree)


def here(tree, devices: list):
    """Replicated arrays on the first of this process's devices, for what is no matter of the others."""
    if len(own := local(devices)) == len(devices):
        return jax.device_put(tree, devices[0])
    return jax.device_put(jax.tree.map(lambda x: x.addressable_data(0), tree), own[0])


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
    that a lane has alone. Data of the lanes' own are a list.

    On one CPU device as many calls run at a time as there are cores: the products of a small network leave
    most of them idle. Devices that wait for each other get one call at a time.
    """
    several = devices[0].platform == "cpu" and len(devices) == 1

    def run(states, given, slot, length):
        each = given[1] if isinstance(given[1], list) else [given[1]] * len(states)

        def one(state, numbers, data):
            return chunk(state, (numbers, data), slot, length)

        if several and len(states) > 1:
            with ThreadPoolExecutor(min(len(states), os.cpu_count() or 1)) as pool:
                pairs = list(pool.map(lambda *x: jax.block_until_ready(one(*x)), states, given[0], each))
        else:
            pairs = [one(*x) for x in zip(states, given[0], each, strict=True)]
        after, metrics = zip(*pairs, strict=True)
        return list(after), list(metrics)

    return run
