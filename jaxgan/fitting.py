"""Training from a notebook or a script, with arrays, networks and a loss of one's own."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from jaxgan import (
    checkpoint,
    feed,
    kinds,
    lanes,
    methods,
    origin,
    parallel,
    processes,
    records,
    run,
    sampling,
    train,
)
from jaxgan.config import InputError, check, first_difference, from_dict
from jaxgan.data import Dataset
from jaxgan.game import GAN, GANState, Optimizers
from jaxgan.kinds import Kind
from jaxgan.program import Program, traceable
from jaxgan.signals import Stopped, caught_signals
from jaxgan.train import Loop


class Fitted(NamedTuple):
    """What training made."""

    state: GANState
    history: dict[str, np.ndarray]  # each figure of both players' updates, f32[steps]


def fit(
    gan: GAN | Callable,
    opts: Optimizers,
    arrays: Mapping | Dataset,
    *,
    steps: int,
    batch_size: int = 64,
    n_critic: int = 1,
    seed: int = 0,
    train_step: Callable | None = None,
    out: str | Path | None = None,
    kind: Kind | None = None,
    loop: Loop | None = None,
) -> Fitted:
    """Trains a game as the command line does: chunks of steps in a compiled scan, the data on the device.

    Args:
      gan: the game, for one device; or a function of a device axis's name (or None) that makes it, for all.
      opts: both players' optimisers.
      arrays: named arrays [N, ...] of any shapes, as `Dataset`; those of uint8 are scaled to [-1, 1].
      steps: generator updates.
      batch_size: real examples in one update of D.
      n_critic: updates of D for one of G.
      seed: of the run's key.
      train_step: the order of a step's updates, if it is not `steps.train_step`.
      out: a folder for all that a run has: figures, pictures, checkpoints, scores. Where it holds this very
        run already, training goes on from its newest checkpoint.
      kind: of the data, for pictures and scores; the default is images.
      loop: how the host runs it, with `out`; see `Loop`.

    Returns:
      The state after the last step, and the figures of all steps; of fewer, where Ctrl-C ended it.

    Raises:
      InputError: if data, game and sizes do not go together, or a figure is no longer finite.
      Stopped: if Ctrl-C came before the first step, and there is a folder.
    """
    origin.check_wanted()
    processes.check_told()
    data = arrays if isinstance(arrays, Dataset) else Dataset("arrays", arrays)
    cfg = check(methods.Fit(batch_size, steps, n_critic, seed, averaged=opts.ema_decay is not None))
    loop = _loop(gan, loop, out)
    method = methods.fitted(gan, opts, kind or kinds.default)
    if train_step is not None:
        method = method._replace(train_step=lambda cfg: train_step)
    devices = tuple(train.devices_for(cfg, loop, data))
    train.check_alike({"": cfg}, loop, data)
    hold = processes.from_first(lambda: train.hold_for(loop, data, list(devices)))
    program = traceable(method, cfg, data, devices, loop.accumulate, hold=hold)
    if out is None:
        return _in_memory(program, loop)
    return _in_a_folder(program, loop, Path(out))


def _loop(gan, loop: Loop | None, out) -> Loop:
    """How the host runs it.

    Raises:
      InputError: if what is asked for does not go with `fit`.
    """
    loop = Loop(devices=1 if isinstance(gan, GAN) else 0) if loop is None else check(loop)
    with_folder = {"log_every", "sample_every", "evaluate_every", "patience", "checkpoint_every", "keep"}
    allowed = {"chunk", "devices", "accumulate", "cache", "hold"} | (
        with_folder if out is not None else set()
    )
    for field in dataclasses.fields(Loop):
        if field.name not in allowed and getattr(loop, field.name) != field.default:
            where = "without `out`" if field.name in with_folder else "here"
            raise InputError(f"Loop({field.name}=...) says nothing {where}; leave it out")
    if isinstance(gan, GAN):
        if loop.devices > 1:
            raise InputError("a game is for one device; give a function, axis -> GAN, for several")
        if (n := len(jax.local_devices())) > 1:
            print(f"one of {n} devices is used: give a function, axis -> GAN, to use all")
        loop = dataclasses.replace(loop, devices=1)
    return dataclasses.replace(loop, log_every=1)


def _in_memory(program: Program, loop: Loop) -> Fitted:
    cfg, devices = program.cfg, list(program.devices)
    numbers = program.numbers(cfg)
    state = parallel.replicate(program.initial(jax.random.key(cfg.seed), numbers), devices)
    key, everywhere = jax.random.key(cfg.seed), feed.placed(program)
    loop = dataclasses.replace(loop, chunk=feed.chunk_of(program, loop.chunk))
    slot = jnp.arange(cfg.batch_size, dtype=jnp.int32)
    loop = dataclasses.replace(loop, **_NO_STOPS)
    history, step = [], 0
    with (
        caught_signals(lambda: f"stopped at step {step}") as caught,
        tqdm(total=cfg.steps, unit="step", disable=not processes.first()) as bar,
        contextlib.closing(feed.Feed(program, key, everywhere)) as rows,
    ):
        while step < cfg.steps and not processes.most(sum(caught[:1])):
            length = train.length_of(step, cfg.steps, loop)
            then = train.length_of(step + length, cfg.steps, loop) if step + length < cfg.steps else 0
            state, figures = program.chunk(state, (numbers, rows(step, length, then)), slot, length)
            figures = {name: np.asarray(values) for name, values in figures.items()}
            if bad := lanes.first_bad(step + 1, figures):
                raise InputError(
                    f"{bad[0]} is not finite at step {bad[1]}; lower the learning rates, or try another loss"
                )
            history.append(figures)
            step += length
            bar.update(length)
            shown = {name: f"{values[-1]:.2f}" for name, values in figures.items() if name.endswith("/loss")}
            bar.set_postfix(shown, refresh=False)
    if step < cfg.steps:
        print(f"stopped at step {step} of {cfg.steps}: what was trained until then is returned")
    names = history[0] if history else ()
    return Fitted(state, {name: np.concatenate([part[name] for part in history]) for name in names})


_NO_STOPS = {"sample_every": 0, "evaluate_every": 0, "checkpoint_every": 0}


def _in_a_folder(program: Program, loop: Loop, out: Path) -> Fitted:
    method, cfg, data = program.method, program.cfg, program.data
    experiment = {"module": None, "file": None, "kind": None}
    try:
        if processes.from_first((out / "config.json").exists):
            record = records.read(out)
            if record["experiment"]["module"] is not None:
                raise InputError(f"{out} holds a run of another kind; choose another folder")
            old = from_dict(methods.Fit, record["config"] | {"steps": cfg.steps})
            difference = first_difference(dataclasses.asdict(cfg), dataclasses.asdict(old))
            if difference is None and record["program"] != program.digest:
                difference = "another game, loss, optimiser, or version of JAX"
            if difference is not None:
                raise InputError(f"{out} already holds another run ({difference}); choose another folder")
            if max(records.checkpoints(out), default=0) == cfg.steps:
                print(f"{out} holds all {cfg.steps} steps already")
            train.go_on(method, out, {"": record}, {"": cfg}, loop, run.checked(record, data))
        else:
            train.begin(method, experiment, cfg, loop, data, out)
    except Stopped as e:
        if not records.checkpoints(out):
            raise
        print(f"{e.line}: what was trained until then is returned")
    example = data.example(cfg.batch_size)
    abstract = jax.eval_shape(partial(sampling.initial_state, method.make, cfg, example)).replace(frozen=())
    one = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=one), abstract)
    with checkpoint.manager(out / "checkpoints", loop.keep) as latest:
        state, _ = checkpoint.restore(latest, abstract)
    rows = [row for row in records.rows(out) if "g/loss" in row]
    names = [name for name in rows[0] if name != "step"] if rows else []
    return Fitted(state, {name: np.array([row[name] for row in rows], np.float32) for name in names})
