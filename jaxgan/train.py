"""The host's side of a run: chunks of compiled steps, figures, pictures, scores, checkpoints."""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from PIL import Image
from tensorboardX import SummaryWriter
from tqdm import tqdm

from jaxgan import cache, checkpoint, evaluate, parallel, plots, run, steps
from jaxgan.config import Count, InputError, Natural, check, from_dict
from jaxgan.data import Dataset, resident
from jaxgan.metrics import judge, scores
from jaxgan.metrics.neighbours import nearest
from jaxgan.metrics.reference import Reference, measure, reference
from jaxgan.metrics.score import Score
from jaxgan.random import fold

SCORED = 5000  # samples behind a score
FRAMES = 100  # at most, in the animation


@dataclass(frozen=True)
class Loop:
    """How the host runs it. What the run computes changes by none of it, but for `patience`, which may
    end it early, and `accumulate`, where a layer or loss looks at a batch as a whole."""

    name: str | None = None  # of the run's folder OUT/METHOD/NAME; the date and time if not given
    out: str = "runs"  # the folder of all runs
    data_dir: str | None = None  # where TFDS sets lie prepared; TFDS's own place if not given
    chunk: Count = 50  # steps in one compiled call
    log_every: Count = 10  # steps between lines of metrics.jsonl; the first has one as well
    sample_every: Natural = 250  # steps between grids of samples; 0: only at the end
    evaluate_every: Natural = 500  # steps between scores, the best generator kept; 0: only at the end
    patience: Natural = 0  # stop after so many scores without a better one; 0: never
    checkpoint_every: Natural = 500  # steps between checkpoints; 0: only at the end
    keep: Count = 3  # of the newest checkpoints
    devices: Natural = 0  # how many of this machine's devices to use; 0: all
    accumulate: Count = 1  # microbatches that a device's share of the batch is cut into
    cache: bool = True  # keep compiled programs for later runs, in the user's cache folder


class Stopped(Exception):
    """Ctrl-C or SIGTERM ended the run early, and it was saved."""

    def __init__(self, signum: int):
        self.signum = signum


@dataclass(frozen=True)
class _Training:
    """What stays the same over a run."""

    path: Path
    cfg: object
    loop: Loop
    data: Dataset
    devices: list
    gan: object
    chunk: Callable
    reference: Reference
    label: np.ndarray | None  # of the shown samples


def _check_loop(cfg, loop: Loop, data: Dataset) -> list:
    """The devices to train on."""
    check(loop)
    if loop.patience and not loop.evaluate_every:
        raise InputError(f"--patience {loop.patience} watches the scores of --evaluate-every, which is 0")
    devices = jax.local_devices()
    if loop.devices > len(devices):
        raise InputError(f"--devices {loop.devices}: this machine has {len(devices)}")
    devices = devices[: loop.devices or None]
    n, batch = len(data.image), cfg.batch_size
    if n < 4:
        raise InputError(f"{data.name} has {n} images; a score needs 4 or more")
    if batch > n:
        raise InputError(f"--batch-size {batch} is larger than the data set: {data.name} has {n}")
    if batch % (len(devices) * loop.accumulate):
        raise InputError(
            f"--batch-size {batch} cannot be divided by {len(devices)} devices times "
            f"{loop.accumulate} microbatches; choose a multiple, or fewer --devices"
        )
    return devices


def _as_data(cfg, data: Dataset):
    """The config with `channels` and `n_classes` as the data has them."""
    found = {"channels": data.image.shape[-1]}
    if hasattr(cfg, "n_classes"):
        if data.label is None:
            raise InputError(f"{data.name} has no labels, and a conditional generator needs them")
        found["n_classes"] = len(data.classes)
        if cfg.n_classes not in (None, len(data.classes)):
            raise InputError(f"--n-classes {cfg.n_classes}: {data.name} has {len(data.classes)}")
    return dataclasses.replace(cfg, **found)


def main(config_class: type, make: Callable, argv: list[str] | None = None) -> None:
    """The command line of an experiment: `python -m experiments.NAME [--FLAG VALUE ...]`.

    Raises:
      TypeError: if the module that defines the config has another `make`, or none: it is where a
        resumed or loaded run looks for it (and for the method's own `train_step(cfg)` and
        `batches(cfg, data, slot)`, if it has any).
    """

    @dataclass(frozen=True)
    class Command:
        config: tyro.conf.OmitArgPrefixes[config_class] = dataclasses.field(default_factory=config_class)
        loop: tyro.conf.OmitArgPrefixes[Loop] = dataclasses.field(default_factory=Loop)

    module = sys.modules[config_class.__module__]
    if getattr(module, "make", None) is not make:
        raise TypeError(f"{module.__name__}: Config and make must be of one module, under these names")
    command = tyro.cli(Command, args=argv, description=module.__doc__)
    with reported():
        start(command.config, command.loop)


@contextlib.contextmanager
def reported():
    """Bad input leaves as one line and exit status 2, a stopped run as the signal's own status; a warning is
    a line as well."""

    def line(message, category, *_, **__):
        return f"{'warning' if category is UserWarning else category.__name__}: {message}\n"

    usual, warnings.formatwarning = warnings.formatwarning, line
    try:
        yield
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except Stopped as e:
        sys.exit(128 + e.signum)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    finally:
        warnings.formatwarning = usual


def start(cfg, loop: Loop) -> dict:
    """Makes a run's folder and trains. Returns the scores.

    Raises:
      InputError: before anything is written, if the config, the data or the folder will not do;
        later, if a figure is no longer finite.
      Stopped: if a signal ended it.
    """
    check(cfg)
    if loop.name is not None and Path(loop.name).name != loop.name:
        raise InputError(f"--name {loop.name!r} must be the name of one folder; see --out for its place")
    module = sys.modules[type(cfg).__module__]
    experiment = run.experiment_of(type(cfg))
    name = experiment["module"].rpartition(".")[2]
    data = run.load_named(cfg, loop.data_dir)
    cfg = _as_data(cfg, data)
    devices = _check_loop(cfg, loop, data)
    _build(module, cfg, loop, data, devices)
    method = Path(experiment["file"]).stem if name == "__main__" else name
    path = Path(loop.out) / method / (loop.name or f"{datetime.now():%Y%m%d-%H%M%S}")
    run.create(path, experiment, cfg, loop, data, devices)
    return _fit(path, module, cfg, loop, data, devices)


def resume(path: str | Path, **changes) -> dict:
    """Goes on with a run from its newest whole checkpoint. Returns the scores.

    Args:
      changes: fields of `Loop`, and `steps`, that shall differ from the run's own from now on.

    Raises:
      InputError, Stopped: as `start`; also if the data set is not what it was.
    """
    path = Path(path)
    record = run.read(path)
    module, old = run.method(record)
    cfg = dataclasses.replace(old, steps=changes.pop("steps", old.steps))
    loop = dataclasses.replace(from_dict(Loop, record["loop"]), **changes)
    check(cfg)
    data = run.dataset(record, loop.data_dir)
    devices = _check_loop(cfg, loop, data)
    _build(module, cfg, loop, data, devices)
    now = {"versions": run.versions(), "devices": run.kinds(devices)}
    for what, value in now.items():
        if record[what] != value:
            print(f"{what} before: {record[what]}, now: {value}")
            print("so the run goes on to float tolerance, not bit for bit")
    return _fit(path, module, cfg, loop, data, devices, extended=cfg.steps > old.steps)


def _build(module, cfg, loop: Loop, data: Dataset, devices: list) -> None:
    """Traces the losses on a device's microbatch; an InputError where networks or losses cannot be built."""
    n = len(devices)

    def losses(state, batch):
        gan, _ = module.make(cfg, parallel.AXIS)
        players = (gan.d_loss, state.d), (gan.g_loss, state.g)
        return [loss(player.params, state, batch, state.key)[0] for loss, player in players]

    def share(x):
        shape = (n, cfg.batch_size // (n * loop.accumulate), *x.shape[1:])
        return jnp.zeros(shape, jnp.float32 if x.dtype == np.uint8 else x.dtype)

    try:
        state = jax.eval_shape(partial(run.initial_state, module.make, cfg, data.image.shape))
        batch = jax.eval_shape(
            lambda: {k: share(x) for k, x in data.arrays.items()} | {"slot": share(jnp.arange(1))}
        )
        jax.eval_shape(jax.vmap(losses, (None, 0), axis_name=parallel.AXIS), state, batch)
    except ValueError as e:
        raise InputError(str(e).partition("\n")[0]) from e


def _batches(cfg, data, slot) -> Callable:
    """state -> the real batches of the state's step, as `train_step` takes them."""
    return partial(resident.batches, data, slot=slot, batch_size=cfg.batch_size, n_critic=cfg.n_critic)


def _chunk(module, cfg, loop: Loop, n_devices: int) -> Callable:
    """(state, data, slot, length) -> (state, metrics), to be compiled."""
    axis = parallel.AXIS if n_devices > 1 else None
    gan, opts = module.make(cfg, axis)
    train_step = module.train_step(cfg) if hasattr(module, "train_step") else steps.train_step
    step = partial(train_step, gan, opts, axis=axis, accumulate=loop.accumulate)
    batches = getattr(module, "batches", _batches)

    def chunk(state, data, slot, length):
        return steps.train_chunk(step, batches(cfg, data, slot), state, length)

    return chunk


def _fit(path: Path, module, cfg, loop: Loop, data: Dataset, devices: list, extended=False) -> dict:
    if loop.cache:
        cache.keep_compilations()
    with contextlib.ExitStack() as stack:
        stack.enter_context(run.locked(path))
        evaluate.read(path)  # what it holds is kept: a damaged one is told before the training
        caught = stack.enter_context(_signals())
        latest = stack.enter_context(checkpoint.manager(path / "checkpoints", loop.keep))
        best = stack.enter_context(checkpoint.manager(path / "best", 1))
        print(f"{path}: {len(data.image)} images of {data.name}, {len(devices)} x {devices[0].device_kind}")
        if data.label is not None:
            right = judge.cached(data).accuracy
            print(f"judge of the classes: {right:.1%} right on held-out real images")
        training = _Training(
            path=path,
            cfg=cfg,
            loop=loop,
            data=data,
            devices=devices,
            gan=module.make(cfg)[0],
            chunk=parallel.over_devices(_chunk(module, cfg, loop, len(devices)), devices),
            reference=reference(data),
            label=run.labels(_columns(cfg), _shown(cfg)) if hasattr(cfg, "n_classes") else None,
        )
        state, progress = _first_state(training, module, latest)
        if int(state.step) > cfg.steps:
            raise InputError(f"{path} is at step {int(state.step)} already; give no fewer --steps")
        _remember(path, cfg, loop)
        if extended:
            progress["stale"] = 0
        state, progress = _loop(training, state, progress, latest, best, caught)
        latest.wait_until_finished()
        if caught:
            print(f"stopped at step {int(state.step)}; go on by `jaxgan resume {path}`", file=sys.stderr)
            raise Stopped(caught[0])
        return _finish(training, state, progress)


def _remember(path: Path, cfg, loop: Loop) -> None:
    """Puts what a resumed run was given anew into its config.json."""
    anew = {"config": dataclasses.asdict(cfg), "loop": dataclasses.asdict(loop)}
    run.write(path, run.read(path) | anew)


def _first_state(training: _Training, module, latest):
    """The newest checkpoint's state and progress, or the initial ones; metrics.jsonl cut to match."""
    initial = partial(run.initial_state, module.make, training.cfg)
    fresh = parallel.replicate(initial(training.data.image.shape), training.devices)
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
        fresh.replace(frozen=()),
    )
    found = checkpoint.restore(latest, abstract)
    rows = run.rows(training.path)
    if found is None:
        state, progress = fresh, {"best": None, "best_step": None, "stale": 0, "seconds": 0.0}
    else:
        state, progress = found[0].replace(frozen=fresh.frozen), found[1]
        print(f"going on from the checkpoint of step {int(state.step)}")
    kept = [row for row in rows if row["step"] <= int(state.step)]
    text = "".join(json.dumps(row) + "\n" for row in kept)
    cache.write(training.path / "metrics.jsonl", text.encode())
    return state, progress


@contextlib.contextmanager
def _signals():
    """Yields a list that the first Ctrl-C or SIGTERM is put into; a second one ends at once."""
    caught: list[int] = []

    def note(signum, frame):
        if caught:
            raise KeyboardInterrupt
        caught.append(signum)
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping as soon as the run is saved; once more to stop at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield caught  # signals are not this thread's
        return
    old = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _length(step: int, total: int, loop: Loop) -> int:
    """Steps in the next chunk: `loop.chunk`, or if a stop comes before, the largest power of two that
    fits, so that few lengths are ever compiled. A run's numbers do not depend on it."""
    periods = (loop.sample_every, loop.evaluate_every, loop.checkpoint_every)
    room = min(total, step + loop.chunk, *((step // p + 1) * p for p in periods if p)) - step
    return room if room == loop.chunk else 1 << (room.bit_length() - 1)


def _loop(training: _Training, state, progress: dict, latest, best, caught: list):
    """Trains to the last step, to the end of patience, or until a signal is caught: (state, progress)."""
    cfg, loop, path = training.cfg, training.loop, training.path
    step, before = int(state.step), progress["seconds"]
    began = time.monotonic()
    data = parallel.replicate(
        {name: jnp.asarray(x) for name, x in training.data.arrays.items()}, training.devices
    )
    slot = jnp.arange(cfg.batch_size, dtype=jnp.int32)
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context((path / "metrics.jsonl").open("a"))
        events = stack.enter_context(SummaryWriter(str(path / "events"), purge_step=step + 1))
        bar = stack.enter_context(_bar(cfg, step))

        def settle(first, metrics):
            """Waits for a chunk's figures and writes them, up to the first that is not finite."""
            bad = _first_bad(first, metrics)
            if bad is not None:
                metrics = {name: values[: bad[1] - first] for name, values in metrics.items()}
            _write(rows, events, bar, training, first, metrics)
            if bad is not None:
                raise InputError(_advice(training, latest, *bad))

        def save(to):
            progress["seconds"] = before + time.monotonic() - began
            rows.flush()
            parallel.assert_replicated(state)
            try:
                checkpoint.save(to, state, progress)
            except FloatingPointError as e:
                raise InputError(_advice(training, latest, f"the state{e}", step)) from None

        def spent():
            return 0 < loop.patience <= progress["stale"]

        watched = scores.name("fd", training.reference)
        pending = None
        while step < cfg.steps and not caught and not spent():
            length = _length(step, cfg.steps, loop)
            state, metrics = training.chunk(state, data, slot, length)
            if pending is not None:  # while the devices compute this chunk, write the last one's
                settle(*pending)
            pending = (step + 1, metrics)
            step += length
            if _due(step, loop.evaluate_every):
                settle(*pending)
                pending, score = None, scores.distance(training.reference, _scored(training, state))
                _write_row(rows, events, {"step": step, f"score/{watched}": score})
                if progress["best"] is None or score < progress["best"]:
                    progress |= {"best": score, "best_step": step, "stale": 0}
                    save(best)
                else:
                    progress["stale"] += 1
            ends = step == cfg.steps or spent()
            shows = ends or _due(step, loop.sample_every)
            saves = ends or _due(step, loop.checkpoint_every)
            if pending is not None and (shows or saves or caught):
                settle(*pending)
                pending = None
            if shows:
                _show(training, state, step, events)
            if saves or caught:
                save(latest)
        if caught:  # also if it was before the first step
            save(latest)
    if spent() and step < cfg.steps:
        print(f"no better score in {loop.patience}: stopped at step {step}")
    progress["seconds"] = before + time.monotonic() - began
    return state, progress


def _bar(cfg, step: int) -> tqdm:
    interval = 0.1 if sys.stderr.isatty() else 20.0
    return tqdm(total=cfg.steps, initial=step, unit="step", mininterval=interval, dynamic_ncols=True)


def _first_bad(first: int, metrics: dict) -> tuple[str, int] | None:
    """The first step, counted from `first`, at which a metric is not finite, and the metric's name: a
    loss's, if one is not finite there."""
    wrong = {name: np.flatnonzero(~np.isfinite(values)) for name, values in metrics.items()}
    found = [(where[0], "loss" not in name, name) for name, where in wrong.items() if len(where)]
    if not found:
        return None
    at, _, name = min(found)
    return name, first + int(at)


def _advice(training: _Training, latest, term: str, step: int) -> str:
    latest.wait_until_finished()
    newest = latest.latest_step()
    kept = "no checkpoint had been made" if newest is None else f"the checkpoint of step {newest} is kept"
    return (
        f"{term} is not finite at step {step} and the run stopped there; {kept} in {training.path}. "
        "Lower the learning rates, or try another loss, under a new --name"
    )


def _write_row(rows, events, row: dict) -> None:
    rows.write(json.dumps(row) + "\n")
    for name, value in row.items():
        if name != "step":
            events.add_scalar(name, value, row["step"])


def _write(rows, events, bar, training: _Training, first: int, metrics: dict) -> None:
    """The figures of a chunk whose first step is `first`."""
    metrics = {name: np.asarray(values) for name, values in metrics.items()}
    length = len(next(iter(metrics.values())))
    if length == 0:
        return
    for i in range(length):
        if _due(first + i, training.loop.log_every) or first + i == 1:
            row = {name: float(values[i]) for name, values in metrics.items()}
            _write_row(rows, events, {"step": first + i, **row})
    bar.update(length)
    shown = {"D": "d/loss", "G": "g/loss", "real": "d/accuracy_real", "fake": "d/accuracy_fake"}
    figures = {short: f"{metrics[n].mean():.2f}" for short, n in shown.items() if n in metrics}
    if rate := bar.format_dict["rate"]:  # tqdm's own moving average
        figures["examples/s"] = f"{rate * training.cfg.batch_size:.0f}"
        events.add_scalar("examples_per_second", rate * training.cfg.batch_size, first + length - 1)
    bar.set_postfix(figures, refresh=False)


def _images(training: _Training, state, n: int, key, label) -> np.ndarray:
    """n samples as uint8."""
    g, key = jax.device_put((state.g.averaged, key), training.devices[0])
    return plots.to_uint8(run.generate(training.gan, g, training.gan.latent(key, jnp.arange(n)), label))


def _samples(training: _Training, state) -> np.ndarray:
    """The grid's samples as uint8, of the same latents at every step."""
    return _images(training, state, _shown(training.cfg), fold(state.key, "samples"), training.label)


def _columns(cfg) -> int:
    """Of the grid of samples: one a class for a conditional generator, of at most 16 classes."""
    return min(cfg.n_classes, 16) if hasattr(cfg, "n_classes") else 8


def _shown(cfg) -> int:
    return 8 * _columns(cfg)


def _show(training: _Training, state, step: int, events) -> None:
    """A grid of samples into samples/ and TensorBoard."""
    images = _samples(training, state)
    canvas = plots.grid(images, _columns(training.cfg))
    folder = training.path / "samples"
    folder.mkdir(exist_ok=True)
    plots.picture(canvas).save(folder / f"{step:07d}.png")
    events.add_image("samples", canvas, step, dataformats="HWC")


def _labels(training: _Training) -> np.ndarray | None:
    return None if training.label is None else run.drawn_labels(training.data, SCORED)


def _scored(training: _Training, state) -> np.ndarray:
    """The images behind a score, of the same latents at every step and in every run."""
    key = fold(jax.random.key(0), "scores")
    return _images(training, state, SCORED, key, _labels(training))


def _finish(training: _Training, state, progress: dict) -> dict:
    """The pictures, the curves and the scores of the last state."""
    path, cfg, data = training.path, training.cfg, training.data
    step = int(state.step)
    title = f"{path.parent.name} on {data.name}, {step} steps"
    images = _samples(training, state)
    plots.picture(plots.grid(images, _columns(cfg))).save(path / "samples.png")
    index, _ = nearest(images[:32], data.image)
    pairs = plots.neighbours(images[:32], data.image[index])
    plots.picture(pairs).save(path / "neighbours.png")
    grids = sorted((path / "samples").glob("*.png"))
    if grids:
        chosen = np.linspace(0, len(grids) - 1, min(len(grids), FRAMES)).astype(int)
        plots.animation(path / "samples" / "animation.gif", [Image.open(grids[i]) for i in chosen])
    plots.curves(path / "curves.png", run.rows(path), title)
    ref = training.reference
    fake = measure(ref, _scored(training, state), _labels(training))
    sampling = scores.Sampling("live" if state.g.ema is None else "EMA")
    found = scores.evaluate(ref, fake, scores.usual(ref, conditional=fake.label is not None), sampling)
    watched = found[0].protocol  # of what was watched too
    best = {"step": progress["best_step"], "name": watched.metric, "value": progress["best"]}
    result = evaluate.remember(
        path,
        [(step, score) for score in found],
        step=step,
        seconds=round(progress["seconds"], 1),
        best=best | {"protocol": dataclasses.asdict(watched)},
        two_halves_of_the_data=ref.floor,
        class_shares=scores.class_shares(ref, fake),
    )
    _report(path, result, found)
    return result


def _report(path: Path, result: dict, found: list[Score]) -> None:
    print(scores.table(found))
    print(f"two halves of the data are {result['two_halves_of_the_data']:.2f} apart")
    if shares := result["class_shares"]:
        print("classes " + "  ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    print(f"pictures  {path / 'samples.png'}, neighbours.png, samples/animation.gif")
    print(f"curves    {path / 'curves.png'}")
    print(f"scores    {path / 'scores.json'}")
    print(f"more      jaxgan sample {path} --n 64 --out grid.png")
