"""Checkpoints by orbax: asynchronous, the newest few kept, damage noticed."""

import shutil
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgan.config import InputError
from jaxgan.game import GANState


def manager(folder: Path, keep: int) -> ocp.CheckpointManager:
    """Of the checkpoints in a folder, of which the newest `keep` are kept."""
    options = ocp.CheckpointManagerOptions(max_to_keep=keep)
    return ocp.CheckpointManager(folder.absolute(), options=options)


def _host_leaves(state) -> dict[str, np.ndarray]:
    """The state's leaves on the host, by path."""

    def raw(leaf):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): raw(leaf) for path, leaf in leaves}


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


def _compare_shapes(saved, abstract, where: str) -> None:
    def shapes(tree):
        names = jax.tree_util.tree_leaves_with_path(tree)
        return {
            "/".join(
                str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path
            ): x
            for path, x in names
        }

    old, new = shapes(saved), shapes(abstract)
    for path in [*new, *(p for p in old if p not in new)]:
        a, b = (tuple(t[path].shape) if path in t else "absent" for t in (old, new))
        if a != b:
            raise InputError(
                f"{where} is of another network: {path} is {a} there and {b} in this configuration"
            )


def restore(
    source: ocp.CheckpointManager, abstract: GANState, step: int | None = None
) -> tuple[GANState, dict] | None:
    """The newest state that is whole (or that of a step) and the progress saved with it.

    A checkpoint that cannot be read, or whose checksum is off, is moved aside into `damaged/`, and
    the one before is tried.

    Args:
      abstract: the state's shapes, dtypes and shardings, without `frozen`.

    Returns:
      None if there is no checkpoint at all.

    Raises:
      InputError: if the newest is of another network, or every one is damaged.
    """
    folder = Path(source.directory)
    steps = sorted(source.all_steps(), reverse=True)
    for tried in steps if step is None else [step]:
        try:
            meta_of = source.item_metadata(tried)
            saved = meta_of["state"]
            _compare_shapes(getattr(saved, "tree", saved), abstract, f"{folder / str(tried)}")
            read = source.restore(
                tried,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(abstract), meta=ocp.args.JsonRestore()
                ),
            )
            if _checksum(_host_leaves(read.state)) != read.meta["checksum"]:
                raise OSError("its checksum is off")
            return read.state, read.meta["progress"]
        except InputError:
            raise
        except Exception as e:  # what a damaged file raises is the storage library's own affair
            aside = folder.parent / "damaged" / f"{folder.name}-{tried}"
            aside.parent.mkdir(exist_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
            shutil.move(folder / str(tried), aside)
            reason = str(e).strip().partition("\n")[0][:120] or type(e).__name__
            print(
                f"checkpoint {tried} is damaged ({reason}): moved to {aside}, trying the one before",
                file=sys.stderr,
            )
            source.reload()
    if steps:
        raise InputError(f"no checkpoint in {folder} can be read; start a new run with --name")
    return None


def restore_generator(folder: Path, step: int, abstract: dict) -> dict:
    """Only what sampling needs of a checkpoint: G's `params`, `stats` and `ema`."""
    restored = ocp.PyTreeCheckpointer().restore(
        (folder / str(step) / "state").absolute(),
        args=ocp.args.PyTreeRestore({"g": abstract}, partial_restore=True),
    )
    return restored["g"]
