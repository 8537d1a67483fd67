"""Checkpoints by orbax: asynchronous, the newest few kept, damage noticed."""

import shutil
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from jaxgan.config import InputError
from jaxgan.game import GANState


def manager(folder: Path, keep: int) -> ocp.CheckpointManager:
    """Of the checkpoints in a folder, of which the newest `keep` are kept."""
    return ocp.CheckpointManager(
        folder.absolute(),
        options=ocp.CheckpointManagerOptions(max_to_keep=keep),
        item_handlers={
            "state": ocp.StandardCheckpointHandler(),
            "meta": ocp.JsonCheckpointHandler(),
        },
    )


def _raw(leaf):
    """A typed key's integers, and anything else as it is."""
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _host_leaves(state) -> dict[str, np.ndarray]:
    """The state's leaves on the host, by path."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(_raw(leaf)) for path, leaf in leaves}


def _checksum(leaves: dict[str, np.ndarray]) -> int:
    crc = 0
    for path, leaf in leaves.items():
        crc = zlib.crc32(np.ascontiguousarray(leaf), zlib.crc32(path.encode(), crc))
    return crc


def save(to: ocp.CheckpointManager, state: GANState, progress: dict) -> None:
    """Saves a state (all but `frozen`) and the host's own progress under the state's step. Returns
    as soon as the state may be donated; a step that is there already is left as it is.

    Raises:
      FloatingPointError: naming the first leaf that is not finite; nothing is saved then.
    """
    state = state.replace(frozen=())
    leaves = _host_leaves(state)
    for path, leaf in leaves.items():
        if not np.isfinite(leaf).all():
            raise FloatingPointError(path)
    step = int(state.step)
    if step in to.all_steps():
        return
    meta = {"checksum": _checksum(leaves), "progress": progress}
    to.save(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)),
    )


def _compare_shapes(saved, abstract: GANState, where: Path) -> None:
    """Raises InputError for the first path at which a saved tree's shapes are not the expected."""

    def shapes(tree):
        return {
            jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }

    old, new = shapes(saved), shapes(abstract.replace(key=jax.eval_shape(_raw, abstract.key)))
    for path in [*new, *(p for p in old if p not in new)]:
        a, b = old.get(path, "absent"), new.get(path, "absent")
        if a != b:
            raise InputError(
                f"{where} is of another network: {path} is {a} there and {b} in this configuration"
            )


def restore(source: ocp.CheckpointManager, abstract: GANState) -> tuple[GANState, dict] | None:
    """The newest state that is whole, and the progress saved with it.

    A checkpoint that cannot be read, or whose checksum is off, is passed over for the one before;
    if that one is whole, the damaged are moved aside into `damaged/`.

    Args:
      abstract: the state's shapes, dtypes and shardings, without `frozen`.

    Returns:
      None if there is no checkpoint at all.

    Raises:
      InputError: if the newest is of another network, or every one is damaged.
    """
    folder = Path(source.directory)
    damaged = {}
    for step in sorted(source.all_steps(), reverse=True):
        try:
            state, progress = _read(source, abstract, folder, step)
        except InputError:
            raise
        except Exception as e:  # what a damaged file raises is the storage library's own affair
            damaged[step] = str(e).strip().partition("\n")[0][:120] or type(e).__name__
            continue
        for bad, reason in damaged.items():
            aside = folder.parent / "damaged" / f"{folder.name}-{bad}"
            shutil.rmtree(aside, ignore_errors=True)
            shutil.move(folder / str(bad), aside)
            print(f"checkpoint {bad} is damaged ({reason}): moved to {aside}", file=sys.stderr)
        source.reload()
        return state, progress
    if damaged:
        step, reason = next(iter(damaged.items()))
        raise InputError(
            f"none of the checkpoints {sorted(damaged)} in {folder} can be read ({step}: {reason}); "
            "start a new run with another --name"
        )
    return None


def _read(source, abstract: GANState, folder: Path, step: int) -> tuple[GANState, dict]:
    saved = source.item_metadata(step)["state"]
    if saved is None:
        raise OSError("its files cannot be read")
    _compare_shapes(getattr(saved, "tree", saved), abstract, folder / str(step))
    wanted = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), meta=ocp.args.JsonRestore())
    read = source.restore(step, args=wanted)
    if _checksum(_host_leaves(read.state)) != read.meta["checksum"]:
        raise OSError("its checksum is off")
    return read.state, read.meta["progress"]


def restore_generator(folder: Path, step: int, abstract: dict) -> dict:
    """Only what sampling needs of a checkpoint, G's `params`, `stats` and `ema`, on one device."""
    one = SingleDeviceSharding(jax.local_devices()[0])
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=one), abstract)
    args = {"g": jax.tree.map(lambda x: ocp.ArrayRestoreArgs(sharding=x.sharding), shapes)}
    with ocp.PyTreeCheckpointer() as reader:
        restored = reader.restore(
            (folder / str(step) / "state").absolute(),
            args=ocp.args.PyTreeRestore({"g": shapes}, restore_args=args, partial_restore=True),
        )
    return restored["g"]
