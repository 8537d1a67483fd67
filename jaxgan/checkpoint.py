"""Checkpoints by orbax: written in the background, the newest few kept, damage noticed."""

import contextlib
import dataclasses
import logging
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import checkpoint_managers as policies

from jaxgan import processes, records, signals
from jaxgan.config import InputError
from jaxgan.game import GANState, Player


def _expected_noise(report) -> None:
    """Reads that were under way beside one that failed complain of the event loop it took with it."""
    if "Event loop is closed" not in str(report.exc_value):
        sys.__unraisablehook__(report)


def _quietly() -> None:
    """From now on a checkpoint that cannot be read or written is told of by us alone, in one line."""
    sys.unraisablehook = _expected_noise
    for name in ("asyncio", "absl"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _place(folder) -> epath.Path:
    """A folder by its whole name; a bucket's is whole."""
    return epath.Path(folder) if "://" in str(folder) else epath.Path(Path(folder).absolute())


@contextlib.contextmanager
def reached(place) -> Iterator[None]:
    """What a storage library raises is its own affair: of another folder or a bucket it is told in a line."""
    try:
        yield
    except (FloatingPointError, signals.Refused):
        raise
    except Exception as e:
        line = str(e).partition(" [tensorstore_spec")[0].strip().partition("\n")[0] or type(e).__name__
        raise signals.Refused(f"{place} cannot be reached ({line})") from e


def manager(folder, keep: int | None, keep_every: int = 0) -> ocp.CheckpointManager:
    """Of the checkpoints in a folder, or a bucket: the newest `keep` are kept (all, if it is None), and one
    each `keep_every` steps, if that is not 0."""
    _quietly()
    place = _place(folder)
    # Several managers are at work at a time: of several processes each waits for the same one of the others.
    of = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=f"{zlib.crc32(str(place).encode()):x}")
    kept = [policies.LatestN(keep), *([policies.EveryNSteps(keep_every)] if keep_every else [])]
    policy = None if keep is None else policies.AnyPreservationPolicy(kept)
    # Folders made in the background, where they cannot be, are waited for until five minutes have passed.
    here = ocp.AsyncOptions(create_directories_asynchronously=False)
    return ocp.CheckpointManager(
        place,
        options=ocp.CheckpointManagerOptions(
            preservation_policy=policy, multiprocessing_options=of, async_options=here
        ),
        item_handlers={
            "state": ocp.StandardCheckpointHandler(),
            "meta": ocp.JsonCheckpointHandler(),
        },
    )


def _raw(leaf):
    """A typed key's integers, and anything else as it is."""
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _leaves(tree) -> dict[str, Any]:
    """A tree's leaves by path: g/params/Dense_0/kernel."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): _raw(leaf) for path, leaf in leaves}


def _sums(tree) -> dict[str, list]:
    """The shape, type and checksum of each leaf, by path."""
    host = {path: np.asarray(leaf) for path, leaf in _leaves(tree).items()}
    return {
        path: [list(x.shape), str(x.dtype), zlib.crc32(np.ascontiguousarray(x))] for path, x in host.items()
    }


def first_not_finite(state: GANState) -> str | None:
    """The path of the first leaf of a state that is not finite; None if all are."""
    leaves = _leaves(state.replace(frozen=()))
    return next((path for path, leaf in leaves.items() if not np.isfinite(np.asarray(leaf)).all()), None)


def _as_saved(state: GANState) -> dict:
    """A state's fields by name, without those that are younger than the first checkpoints and not in use."""
    fields = lambda x: {f.name: getattr(x, f.name) for f in dataclasses.fields(x)}  # noqa: E731
    young = lambda name, value: name == "powers" and value is None  # noqa: E731
    players = {who: fields(getattr(state, who)) for who in "gd"}
    players = {who: {k: v for k, v in own.items() if not young(k, v)} for who, own in players.items()}
    return fields(state) | players


def _from_saved(fields: dict) -> GANState:
    """`_as_saved`, undone."""
    return GANState(**fields | {who: Player(**fields[who]) for who in "gd"})


def save(to: ocp.CheckpointManager, state: GANState, progress: dict) -> None:
    """Saves a state (all but `frozen`) and the host's own progress under the state's step. Returns
    when the state has been copied to the host, and so may be donated; the files are written in the
    background. A step that is there already is left as it is.

    Raises:
      FloatingPointError: naming the first leaf that is not finite; nothing is saved then.
      InputError: if the state is another one in another process.
    """
    if (path := first_not_finite(state)) is not None:
        raise FloatingPointError(path)
    state = state.replace(frozen=())
    step = int(state.step)
    if step in to.all_steps():
        return
    sums = _sums(state)
    processes.check_alike("state, as where a mean over devices is missing", f"{records.checksum(sums)}")
    meta = records.sealed({"leaves": sums, "progress": dict(progress)})  # a copy: it is written later
    to.save(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardSave(_as_saved(state)), meta=ocp.args.JsonSave(meta)),
    )


def _compare_shapes(saved: dict[str, list], wanted, where: Path) -> None:
    """Raises InputError for the first path at which a saved state's shapes are not the expected ones."""
    old = {path: tuple(shape) for path, (shape, *_) in saved.items()}
    raw = jax.eval_shape(partial(jax.tree.map, _raw), wanted)
    new = {path: tuple(leaf.shape) for path, leaf in _leaves(raw).items()}
    for path in [*new, *(p for p in old if p not in new)]:
        a, b = old.get(path, "absent"), new.get(path, "absent")
        if a != b:
            raise InputError(
                f"{where} is of another network: {path} is {a} there and {b} in this configuration"
            )


def _check_sums(saved: dict[str, list], found) -> None:
    """Raises OSError if a leaf is not the one that was saved."""
    for path, own in _sums(found).items():
        if own != saved[path]:
            raise OSError(f"the checksum of {path} is off")


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
    folder, steps = epath.Path(source.directory), source.all_steps()
    if not steps:
        return None

    def read(step):
        meta = records.meta(folder / str(step))
        _compare_shapes(meta["leaves"], abstract, folder / str(step))
        request = ocp.args.StandardRestore(_as_saved(abstract))
        found = _from_saved(source.restore(step, args=ocp.args.Composite(state=request)).state)
        _check_sums(meta["leaves"], found)
        # Without its own note of it the storage library gives a key as the integers that it is made of.
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(abstract), strict=True)
        if any(x.dtype != wanted.dtype for x, wanted in pairs):
            raise OSError("what types its arrays are of is lost")
        return found, meta["progress"]

    with processes.all_or_none():
        found, damaged = _try_newest_first(steps, folder, read)
    processes.check_alike("checkpoints that are whole", f"{int(found[0].step)}")
    for step, reason in damaged.items() if processes.first() else ():
        aside = folder.parent / "damaged" / f"{folder.name}-{step}"
        if aside.exists():
            aside.rmtree()
        aside.parent.mkdir(parents=True, exist_ok=True)
        (folder / str(step)).rename(aside)
        print(f"checkpoint {step} is damaged and was moved to {aside} ({reason})", file=sys.stderr)
    processes.from_first(lambda: None)  # the others wait until they are
    source.reload()
    return found


def _read_part(place: epath.Path, wanted: dict):
    """The leaves of a saved state that are wanted, on one device.

    Raises:
      InputError: if they are of another network.
      OSError: if one is not what was saved; of a damaged file, whatever the storage library raises.
    """
    one = SingleDeviceSharding(jax.local_devices()[0])
    args = jax.tree.map(lambda x: ocp.ArrayRestoreArgs(sharding=one), wanted)
    saved = records.meta(place)["leaves"]
    parts = tuple(f"{who}/{part}/" for who, own in wanted.items() for part in own)
    _compare_shapes({path: x for path, x in saved.items() if path.startswith(parts)}, wanted, place)
    with ocp.PyTreeCheckpointer() as reader:
        request = ocp.args.PyTreeRestore(wanted, restore_args=args, partial_restore=True)
        found = reader.restore(place / "state", args=request)
    _check_sums(saved, found)
    return found


def restore_powers(folder, step: int, variables) -> dict[str, dict]:
    """The generator's averages by power functions that a checkpoint has, by their widths' names.

    Args:
      variables: the shapes and types of the generator's.

    Raises:
      InputError: if it has none, or they are of another network.
      Exception: of a damaged file, whatever the storage library raises.
    """
    _quietly()
    place = _place(folder) / str(step)
    paths = [path.split("/") for path in records.meta(place)["leaves"]]
    names = {path[2]: variables for path in paths if path[:2] == ["g", "powers"]}
    if not names:
        raise InputError(f"{place} has no averages by power functions: see Optimizers.powers")
    return _read_part(place, {"g": {"powers": names}})["g"]["powers"]


def restore_players(
    folder, steps: list[int], abstract: GANState, *, critic: bool = False
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
    g, d = abstract.g, abstract.d
    wanted = {"g": {"params": g.params, "stats": g.stats} if g.ema is None else {"ema": g.ema}}
    if critic:
        wanted["d"] = {"params": d.params, "stats": d.stats}

    def read(step):
        return _read_part(_place(folder) / str(step), wanted), step

    def variables(found):
        return found["ema"] if "ema" in found else {"params": found["params"], **found["stats"]}

    (found, step), damaged = _try_newest_first(steps, folder, read)
    for bad, reason in damaged.items():
        print(f"checkpoint {bad} is damaged ({reason}); taking that of step {step}", file=sys.stderr)
    return variables(found["g"]), variables(found["d"]) if critic else None, step
