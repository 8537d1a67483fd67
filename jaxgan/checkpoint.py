"""Checkpoints by orbax: written in the background, the newest few kept, damage noticed."""

import logging
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def first_not_finite(state: GANState) -> str | None:
    """The path of the first leaf of a state that is not finite; None if all are."""
    leaves = _host_leaves(state.replace(frozen=()))
    return next((path for path, leaf in leaves.items() if not np.isfinite(leaf).all()), None)


def save(to: ocp.CheckpointManager, state: GANState, progress: dict) -> None:
    """Saves a state (all but `frozen`) and the host's own progress under the state's step. Returns
    when the state has been copied to the host, and so may be donated; the files are written in the
    background. A step that is there already is left as it is.

    Raises:
      FloatingPointError: naming the first leaf that is not finite; nothing is saved then.
    """
    if (path := first_not_finite(state)) is not None:
        raise FloatingPointError(path)
    state = state.replace(frozen=())
    leaves = _host_leaves(state)
    step = int(state.step)
    if step in to.all_steps():
        return
    meta = {"checksum": _checksum(leaves), "progress": dict(progress)}  # a copy: it is written later
    to.save(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)),
    )


def _compare_shapes(saved, abstract, where: Path) -> None:
    """Raises InputError for the first path at which a saved tree's shapes are not the expected."""

    def shapes(tree):
        return {
            jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }

    old, new = shapes(saved), shapes(jax.eval_shape(lambda tree: jax.tree.map(_raw, tree), abstract))
    for path in [*new, *(p for p in old if p not in new)]:
        a, b = old.get(path, "absent"), new.get(path, "absent")
        if a != b:
            raise InputError(
                f"{where} is of another network: {path} is {a} there and {b} in this configuration"
            )


def _expected_noise(report) -> None:
    """Reads that were under way beside one that failed complain of the event loop it took with it."""
    if "Event loop is closed" not in str(report.exc_value):
        sys.__unraisablehook__(report)


def _quietly() -> None:
    """From now on a checkpoint that cannot be read is told of by us alone, in one line."""
    sys.unraisablehook = _expected_noise
    for name in ("asyncio", "absl"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _try_newest_first(steps: list[int], folder: Path, read: Callable) -> tuple[Any, dict[int, str]]:
    """What `read` makes of the newest checkpoint that is whole, and why those after it are not.

    Raises:
      InputError: if none can be read, or `read` raised it.
    """
    damaged = {}
    _quietly()
    for step in sorted(steps, reverse=True):
        try:
            return read(step), damaged
        except (InputError, MemoryError, jax.errors.JaxRuntimeError):
            raise
        except Exception as e:  # what a damaged file raises is the storage library's own affair
            damaged[step] = str(e).strip().partition("\n")[0][:200] or type(e).__name__
    step, reason = next(iter(damaged.items()))
    raise InputError(
        f"none of the checkpoints {sorted(damaged)} in {folder} can be read ({step}: {reason}); "
        "start a new run under another --name"
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
    folder, steps = Path(source.directory), source.all_steps()
    if not steps:
        return None

    def read(step):
        saved = source.item_metadata(step)["state"]
        if saved is None:
            raise OSError("its files cannot be read")
        _compare_shapes(getattr(saved, "tree", saved), abstract, folder / str(step))
        wanted = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), meta=ocp.args.JsonRestore())
        found = source.restore(step, args=wanted)
        if _checksum(_host_leaves(found.state)) != found.meta["checksum"]:
            raise OSError("its checksum is off")
        return found.state, found.meta["progress"]

    found, damaged = _try_newest_first(steps, folder, read)
    for step, reason in damaged.items():
        aside = folder.parent / "damaged" / f"{folder.name}-{step}"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.move(folder / str(step), aside)
        print(f"checkpoint {step} is damaged and was moved to {aside} ({reason})", file=sys.stderr)
    source.reload()
    return found


def restore_players(
    folder: Path, steps: list[int], abstract: GANState, *, critic: bool = False
) -> tuple[dict, dict | None, int]:
    """Only what sampling needs, the generator's `Player.averaged`, from the newest of the steps that
    is whole, on one device.

    Args:
      critic: whether D's variables are wanted as well.

    Returns:
      The generator's variables, D's or None, and the step they are of.

    Raises:
      InputError: if the newest is of another network, or none can be read.
    """
    one = SingleDeviceSharding(jax.local_devices()[0])
    g, d = abstract.g, abstract.d
    wanted = {"g": {"params": g.params, "stats": g.stats} if g.ema is None else {"ema": g.ema}}
    if critic:
        wanted["d"] = {"params": d.params, "stats": d.stats}
    args = jax.tree.map(lambda x: ocp.ArrayRestoreArgs(sharding=one), wanted)

    def read(step):
        place = (folder / str(step) / "state").absolute()
        with ocp.PyTreeCheckpointer() as reader:
            saved = reader.metadata(place).item_metadata.tree
            own = {who: {k: saved[who][k] for k in parts} for who, parts in wanted.items()}
            _compare_shapes(own, wanted, place.parent)
            request = ocp.args.PyTreeRestore(wanted, restore_args=args, partial_restore=True)
            return reader.restore(place, args=request), step

    def variables(found):
        return found["ema"] if "ema" in found else {"params": found["params"], **found["stats"]}

    (found, step), damaged = _try_newest_first(steps, folder, read)
    for bad, reason in damaged.items():
        print(f"checkpoint {bad} is damaged ({reason}); taking that of step {step}", file=sys.stderr)
    return variables(found["g"]), variables(found["d"]) if critic else None, step
