"""Many devices, and many lanes.

The only home of pmap. The state goes in and comes out replicated, without a leading device axis, so
checkpoints and samplers know nothing of devices. pmap here is shard_map(check_vma=False): a gradient
is the shard's own until `steps.update` takes the mean. Under check_vma=True it would be summed
already, and that mean would leave it too large by the number of devices.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax import lax
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
    """The tree on every device. (A state left on one device would make pmap compile twice.)"""
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


def over_lanes(chunk: Callable) -> Callable:
    """Runs a chunk (state, lane, *shared) -> (state, metrics) over lanes: states as in `LANES`, `lane`
    (a pytree of what differs, such as a config's numeric fields) along its first axis.

    On a CPU the lanes run one after another, where each finds its arrays in the cache: four of a DCGAN's
    took 340 ms a step side by side, and 279 so. Elsewhere they are vmapped.
    """

    def side_by_side(states, lane, *shared):
        in_axes = (LANES, 0) + (None,) * len(shared)
        return jax.vmap(chunk, in_axes=in_axes, out_axes=(LANES, 0))(states, lane, *shared)

    def in_turn(states, lane, *shared):
        def one(own):
            parts, lane = own
            state, metrics = chunk(states.replace(**parts), lane, *shared)
            return state.replace(frozen=()), metrics

        parts = {name: getattr(states, name) for name in ("key", "g", "d", "extra")}
        after, metrics = lax.map(one, (parts, lane))
        return after.replace(step=after.step[0], frozen=states.frozen), metrics

    return in_turn if jax.default_backend() == "cpu" else side_by_side
