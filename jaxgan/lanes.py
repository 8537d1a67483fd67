"""The runs of one loop. Each lane is a run of its own, in a folder of its own."""

import contextlib
import dataclasses
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.tree_util import Partial
from tqdm import tqdm

from jaxgan import (
    cache,
    checkpoint,
    evaluate,
    methods,
    origin,
    parallel,
    plots,
    processes,
    records,
    sampling,
    troubles,
)
from jaxgan.config import InputError, check
from jaxgan.data import files
from jaxgan.feed import Feed
from jaxgan.game import GANState
from jaxgan.kinds import Judge, Made
from jaxgan.metrics.score import Sampling, mean_interval, table
from jaxgan.program import Program
from jaxgan.random import fold

FRAMES = 100  # at most, in the animation


@dataclass
class Lane:
    """A run under way."""

    name: str  # among the lanes of its loop; empty if it is alone
    path: Path
    cfg: Any
    loop: Any
    program: Program
    judge: Judge | None  # None in all processes but the first
    numbers: dict  # the program's arguments, as are
    feed: Feed  # of the data
    slot: Any  # the slots of a batch
    gan: Any
    state: GANState
    progress: dict  # of the host: what a checkpoint holds beside the state
    step: int
    latest: ocp.CheckpointManager
    best: ocp.CheckpointManager
    rows: Any  # metrics.jsonl
    events: Any  # TensorBoard's
    began: float  # in seconds, less what earlier sittings took
    pending: list = field(default_factory=list)  # (first step, figures) of chunks that are not written yet
    begun: bool = False  # whether a chunk of it is compiled
    kept_best: int | None = None  # the best step that the newest checkpoint knows
    failed: str | None = None  # why it was frozen
    dropped: bool = False  # whether it was stopped in favour of others
    shown: Made | None = None  # what its pictures showed last

    @property
    def watched(self) -> tuple[int, float | None] | None:
        """The step of its newest figure that it is watched by, and that; None of one that is not finite."""
        return self.progress.get("watched")

    @property
    def spent(self) -> bool:
        """Whether its patience is."""
        return 0 < self.loop.patience <= self.progress["stale"]

    @property
    def ended(self) -> bool:
        """Whether it is at its last step, or where patience ended it."""
        return self.step >= self.cfg.steps or self.spent


def of_seeds(cfg, seeds: int) -> dict[str, Any]:
    """The configs of so many seeds, from the config's on, by the names of their lanes; one alone has none."""
    if seeds == 1:
        return {"": cfg}
    of = range(cfg.seed, cfg.seed + seeds)
    return {f"seed-{seed}": check(dataclasses.replace(cfg, seed=seed)) for seed in of}


def several(paths: dict) -> bool:
    """Whether runs by their names are lanes of one folder; one alone has no name."""
    return list(paths) != [""]


read = records.lane_names


def check_free(root: Path) -> None:
    """Raises InputError if there is something in a folder already."""
    if read(root):
        raise InputError(
            f"{root} already holds lanes; go on with them by `jaxgan resume {root}`, or choose another --name"
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root} exists and is no folder of lanes; choose another --name")


def write(root: Path, names: list[str], **facts) -> None:
    """Writes lanes.json."""
    records.write(root / "lanes.json", {"lanes": names, **facts})


def _abstract(state: GANState) -> GANState:
    """The shapes, types and places of what a checkpoint holds of a state."""
    saved = state.replace(frozen=())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), saved)


@contextlib.contextmanager
def opened(
    name: str, path: Path, cfg, program: Program, judge: Judge | None, loop, everywhere
) -> Iterator[Lane]:
    """A lane at its newest checkpoint, or before its first step; metrics.jsonl is cut to match.

    Args:
      everywhere: as of `feed.placed`.
    """
    from tensorboardX import SummaryWriter  # a sixth of a second, which `--help` need not wait for

    numbers = program.numbers(cfg)
    devices, first = list(program.devices), processes.first()
    with contextlib.ExitStack() as stack:
        records.check_home(path)
        home = records.home(path)
        latest = stack.enter_context(checkpoint.manager(home / "checkpoints", loop.keep, loop.keep_every))
        best = stack.enter_context(checkpoint.manager(home / "best", None))
        feed = Feed(dataclasses.replace(program, cfg=cfg), jax.random.key(cfg.seed), everywhere)
        stack.callback(feed.close)
        state = parallel.replicate(program.initial(jax.random.key(cfg.seed), numbers), devices)
        progress = {"best": None, "best_step": None, "stale": 0, "seconds": 0.0, "rows": (0, 0, 0)}
        if (found := checkpoint.restore(latest, _abstract(state))) is not None:
            state, progress = found[0].replace(frozen=state.frozen), found[1]
            of = f"{name}: " if name else ""
            print(f"{of}going on from the checkpoint of step {int(state.step)}")
        step = int(state.step)
        for later in [s for s in best.all_steps() if s > step]:
            best.delete(later)  # of steps that the run now takes again
        kept = [row for row in records.rows(path, progress) if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in kept).encode()
        progress["rows"] = records.rows_sum(text)
        if first:
            cache.write(path / "metrics.jsonl", text)
            rows, events = path / "metrics.jsonl", SummaryWriter(str(path / "events"), purge_step=step + 1)
        else:
            rows, events = Path(os.devnull), SummaryWriter(write_to_disk=False)
        yield Lane(
            name=name,
            path=path,
            cfg=cfg,
            loop=loop,
            program=program,
            kept_best=progress["best_step"],
            judge=judge,
            numbers=numbers,
            feed=feed,
            slot=jnp.arange(cfg.batch_size, dtype=jnp.int32),
            gan=program.method.make(cfg)[0],
            state=state,
            progress=progress,
            step=step,
            latest=latest,
            best=best,
            rows=stack.enter_context(rows.open("a")),
            events=stack.enter_context(events),
            began=time.monotonic() - progress["seconds"],
        )


@contextlib.contextmanager
def guarded(lane: Lane) -> Iterator[None]:
    """A figure that is not finite freezes this lane at its last finite state, and no other lane."""
    try:
        yield
    except FloatingPointError as e:
        reason, at = e.args
        lane.pending = []
        kept = _last_finite(lane, at - 1)
        lane.failed = (
            f"{reason} is not finite at step {at} and the run stopped there; "
            f"the state of step {kept} is kept in {lane.path}. "
            "Lower the learning rates, or try another loss, under a new --name"
        )
        if lane.name:
            tqdm.write(f"{lane.name} is frozen: {lane.failed}", file=sys.stderr)


def _last_finite(lane: Lane, step: int) -> int:
    """Saves the last finite state up to a step, found by taking the steps since the newest checkpoint again.
    Returns its step."""
    lane.latest.wait_until_finished()
    program = lane.program
    fresh = parallel.replicate(program.initial(jax.random.key(lane.cfg.seed), lane.numbers), program.devices)
    found = checkpoint.restore(lane.latest, _abstract(fresh))
    state = fresh if found is None else found[0].replace(frozen=fresh.frozen)
    for length in (lane.loop.chunk, 1):
        while int(state.step) + length <= step:
            before = jax.tree.map(jnp.copy, state)  # the chunk is given the state's own memory
            given = lane.numbers, lane.feed(int(state.step), length)
            after, _ = program.chunk(state, given, lane.slot, length)
            finite = checkpoint.first_not_finite(after) is None
            state = after if finite else before
            if not finite:
                break
    checkpoint.save(lane.latest, state, lane.progress)
    lane.latest.wait_until_finished()
    return lane.latest.latest_step()


def worked(own: list[Lane], steps: int, seconds: float) -> None:
    """Notes how long lanes that took so many steps together had the devices: an equal share each."""
    for lane in own:
        before = lane.progress.get("worked", (0, 0.0))
        lane.progress["worked"] = before[0] + steps, before[1] + seconds / len(own)


def settle(lane: Lane, bar: tqdm, but: int = 0) -> None:
    """Waits for the figures of all chunks but the last ones and writes them, up to one that is not finite.

    Raises:
      FloatingPointError: its name and step.
    """
    while len(lane.pending) > but:
        first, metrics = lane.pending.pop(0)
        metrics = {name: np.asarray(values) for name, values in metrics.items()}
        bad = first_bad(first, metrics)
        if bad is not None:
            metrics = {name: values[: bad[1] - first] for name, values in metrics.items()}
        _write(lane, bar, first, metrics)
        if bad is not None:
            raise FloatingPointError(*bad)


def first_bad(first: int, metrics: dict) -> tuple[str, int] | None:
    """The first step, counted from `first`, at which a metric is not finite, and the metric's name: a
    loss's, if one is not finite there."""
    wrong = {name: np.flatnonzero(~np.isfinite(values)) for name, values in metrics.items()}
    found = [(where[0], "loss" not in name, name) for name, where in wrong.items() if len(where)]
    if not found:
        return None
    at, _, name = min(found)
    return name, first + int(at)


def _write_row(lane: Lane, row: dict) -> None:
    line = json.dumps(row) + "\n"
    lane.rows.write(line)
    lane.progress["rows"] = records.rows_sum(line.encode(), lane.progress["rows"])
    for name, value in row.items():
        if name != "step":
            lane.events.add_scalar(name, value, row["step"])


def _write(lane: Lane, bar: tqdm, first: int, metrics: dict) -> None:
    """The figures of a chunk whose first step is `first`."""
    length = len(next(iter(metrics.values())))
    if length == 0:
        return
    every = lane.loop.log_every
    for i in range(length):
        if (first + i) % every == 0 or first + i == 1:
            row = {name: float(values[i]) for name, values in metrics.items()}
            _write_row(lane, {"step": first + i, **row})
    bar.update(length)
    shown = {"D": "d/loss", "G": "g/loss", "real": "d/accuracy_real", "fake": "d/accuracy_fake"}
    figures = {short: f"{metrics[n].mean():.2f}" for short, n in shown.items() if n in metrics}
    if (waits := lane.feed.waits()) is not None:
        figures["waits for data"] = f"{waits:.0%}"
        lane.events.add_scalar("waits_for_data", waits, first + length - 1)
    if rate := bar.format_dict["rate"]:  # tqdm's own moving average
        figures["examples/s"] = f"{rate * lane.cfg.batch_size:.0f}"
        lane.events.add_scalar("examples_per_second", rate * lane.cfg.batch_size, first + length - 1)
    bar.set_postfix(figures, refresh=False)


def _samples(
    program: Program,
    gan,
    numbers: dict,
    state: GANState,
    n: int,
    key,
    asked: dict | None,
    together: bool = False,
) -> Made:
    """n samples of a state's generator, with what the players say of data; `together` as of
    `sampling.generate`."""
    g, d, key = parallel.here((state.g.averaged, state.d.variables, key), list(program.devices))
    sample, given = partial(program.sample, numbers, g, key), sampling.conditions(gan, asked)
    decode = program.method.kind.decode
    samples = sampling.generate(sample, np.arange(n), given, then=decode, together=together)
    critic = None if program.critic is None else Partial(program.critic, numbers, d)
    examine = None if program.examine is None else Partial(program.examine, numbers, g, d)
    return Made(samples, asked, critic, int(state.step), examine)


def _made(lane: Lane, n: int, key, asked: dict | None, together: bool = False) -> Made:
    return _samples(lane.program, lane.gan, lane.numbers, lane.state, n, key, asked, together)


def score_names(program: Program) -> list[str]:
    """The names of a program's scores, found by scoring a generator that has learnt nothing."""
    gan, kind = program.method.make(program.cfg)[0], program.method.kind
    judge = kind.judge(program.data, conditional=gan.condition is not None)
    numbers, key = program.numbers(program.cfg), jax.random.key(0)
    asked = None if gan.condition is None else sampling.drawn(program.data, kind, judge.n)
    made = _samples(program, gan, numbers, program.initial(key, numbers), judge.n, key, asked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be taken yet is among what is watched
        found = [score.name for score in judge.scores(made, Sampling("live"))]
    return list(dict.fromkeys([*found, *(name for name in judge.watch(made) if "/" not in name)]))


def _shown(lane: Lane) -> Made:
    """The samples of the pictures, of the same latents at every step."""
    if lane.shown is not None and lane.shown.step == lane.step:
        return lane.shown
    kind, asked = lane.program.method.kind, None
    n = kind.shown
    if lane.gan.condition is not None:
        asked = kind.ask(lane.program.data)
        columns = min(len(next(iter(asked.values()))), sampling.MOST)
        n = max(1, n // 8) * columns
        asked = sampling.in_turn(asked, n, sampling.MOST)
    key = fold(parallel.here(lane.state.key, list(lane.program.devices)), "samples")
    lane.shown = _made(lane, n, key, asked)
    return lane.shown


def _scored(lane: Lane) -> Made:
    """The samples behind a score, of the same latents at every step and in every run; each process makes its
    share of them."""
    kind, n = lane.program.method.kind, processes.from_first(lambda: lane.judge.n)
    asked = None if lane.gan.condition is None else sampling.drawn(lane.program.data, kind, n)
    return _made(lane, n, fold(jax.random.key(0), "scores"), asked, together=True)


def watch(lane: Lane) -> None:
    """The figures that the run is watched by; the best generator is kept."""
    made = _scored(lane)

    def judged() -> dict[str, float]:
        return {name: float(value) for name, value in lane.judge.watch(made).items()}

    figures = processes.from_first(judged)
    if not figures:
        return
    row = {k if "/" in k else f"score/{k}": v for k, v in figures.items() if np.isfinite(v)}
    _write_row(lane, {"step": lane.step, **row})
    score, progress = next(iter(figures.values())), lane.progress
    progress["watched"] = lane.step, score if np.isfinite(score) else None
    if np.isfinite(score) and (progress["best"] is None or score < progress["best"]):
        lane.progress |= {"best": score, "best_step": lane.step, "stale": 0}
        save(lane, lane.best)
    else:
        progress["stale"] += 1


def save(lane: Lane, to: ocp.CheckpointManager | None = None) -> None:
    """A checkpoint.

    Raises:
      FloatingPointError: its name and the step, if a number of the state is not finite.
    """
    lane.progress["seconds"] = time.monotonic() - lane.began
    lane.rows.flush()
    parallel.assert_replicated(lane.state)
    home = records.home(lane.path)
    try:
        with contextlib.nullcontext() if home == lane.path else checkpoint.reached(home):
            checkpoint.save(lane.latest if to is None else to, lane.state, lane.progress)
    except FloatingPointError as e:
        raise FloatingPointError(f"the state's {e}", lane.step) from None
    if to is None:
        _mirror(lane)
        forget_worse(lane)  # the checkpoint before this one is whole now
        lane.kept_best = lane.progress["best_step"]


# Kept beside checkpoints that are elsewhere, so that another machine can go on with the run.
MIRRORED = [origin.KEPT, "asked.npz", records.ELSEWHERE, "metrics.jsonl", "scores.json", "config.json"]


def _mirror(lane: Lane, names: Sequence[str] = ()) -> None:
    home = records.home(lane.path)
    if processes.first() and home != lane.path:
        with checkpoint.reached(home):
            records.copy([*names, *MIRRORED], lane.path, home)


def forget_worse(lane: Lane) -> None:
    """Deletes what was best before the best that the newest whole checkpoint knows, from which a run that was
    killed goes on."""
    for step in lane.best.all_steps():
        if lane.kept_best is not None and step < lane.kept_best:
            lane.best.delete(step)


def show(lane: Lane) -> None:
    """A picture of samples into samples/ and TensorBoard."""
    if not processes.first():
        return
    canvas = lane.program.method.kind.show(lane.program.data, _shown(lane))
    folder = lane.path / "samples"
    folder.mkdir(exist_ok=True)
    plots.picture(canvas).save(folder / f"{lane.step:07d}.png")
    lane.events.add_image("samples", canvas, lane.step, dataformats="HWC")


def finish(lane: Lane) -> tuple[dict, dict[str, float]]:
    """The pictures, the curves and the scores of the last state: what scores.json holds now, and by name what
    was found."""
    made = _scored(lane)
    result, figures = processes.from_first(lambda: _finished(lane, made))
    own = [f"{name}.png" for name in lane.program.method.kind.finals]
    _mirror(lane, ["samples.png", *own, "curves.png", "samples/animation.gif"])
    return result, figures


def _finished(lane: Lane, made: Made) -> tuple[dict, dict[str, float]]:
    path, data, progress = lane.path, lane.program.data, lane.progress
    progress["seconds"] = time.monotonic() - lane.began
    lane.rows.flush()
    rows = records.rows(path)
    kind, shown = lane.program.method.kind, _shown(lane)
    plots.picture(kind.show(data, shown)).save(path / "samples.png")
    others = []
    for name, draw in kind.finals.items():
        if (canvas := draw(data, shown, rows)) is not None:
            plots.picture(canvas).save(path / f"{name}.png")
            others.append(f"{name}.png")
    grids = sorted((path / "samples").glob("[0-9]*.png"))
    if grids:
        chosen = np.linspace(0, len(grids) - 1, min(len(grids), FRAMES)).astype(int)
        frames = [frame for i in chosen if (frame := files.picture(grids[i])) is not None]
        if frames:
            plots.animation(path / "samples" / "animation.gif", frames)
    experiment = records.read(path)["experiment"]
    plots.curves(
        path / "curves.png", rows, f"{methods.name_of(experiment)} on {data.name}, {lane.step} steps"
    )
    found = lane.judge.scores(made, Sampling("live" if lane.state.g.ema is None else "EMA"))
    facts, lines = lane.judge.remarks(made, rows)
    wrong = lane.judge.troubles(made, rows, found)
    facts["troubles"] = troubles.to_records(wrong)
    if found:
        watched = found[0].protocol  # of what was watched too
        facts["best"] = {
            "step": progress["best_step"],
            "name": watched.metric,
            "value": progress["best"],
            "protocol": dataclasses.asdict(watched),
        }
    if (pace := progress.get("worked")) is not None:
        facts["seconds_per_step"] = pace[1] / pace[0]  # of the devices, beside other lanes
    result = evaluate.remember(
        path,
        [(lane.step, score) for score in found],
        step=lane.step,
        seconds=round(progress["seconds"], 1),
        **facts,
    )
    if not lane.name:
        drawn = ", ".join([str(path / "samples.png"), *others, "samples/animation.gif"])
        more = f"jaxgan sample {path} --n 64 --out {sampling.sample_file(kind)}"
        if sampling.pictures(lane.gan, shown.asked) is not None:
            more = f"jaxgan translate {path} INPUT --out OUTPUT"
        if experiment["file"] is None:
            more = f'jaxgan.load("{path}"{", gan=gan" if experiment["module"] is None else ""})'
        told = [
            table(found),
            *lines,
            *troubles.lines(wrong),
            f"pictures  {drawn}",
            f"curves    {path / 'curves.png'}",
            f"scores    {path / 'scores.json'}",
            f"more      {more}",
        ]
        print("\n".join(told))
    numbers = {name: x for name, x in facts.items() if isinstance(x, float) and name != "seconds_per_step"}
    return result, {**{score.name: score.value for score in found}, **numbers}


def summary(root: Path, found: dict[str, dict[str, float]], failed: dict[str, str]) -> None:
    """Tells and writes what the lanes' figures are: the mean over the seeds, and each; a lane that was frozen
    is named, and no part of a mean."""
    write(root, [*found, *failed], failed=failed)
    of = len(found) + len(failed)
    print(f"{len(found)} lanes of {of}: the mean over seeds, half its 95 % interval, and each")
    for name in next(iter(found.values()), ()):
        each = [figures[name] for figures in found.values() if name in figures]
        mean, half = mean_interval(each)
        around = f" +- {half:.2g}   ({', '.join(f'{x:.4g}' for x in each)})" if len(each) > 1 else ""
        print(f"  {name:22} {mean:.4g}{around}")
    for lane in failed:
        print(f"  frozen: {lane}")
    curves = {"": {name: records.rows(root / name) for name in found}}
    if found and plots.lanes(root / "curves.png", curves, f"{root.parent.name}/{root.name}"):
        print(f"curves    {root / 'curves.png'}")
    if found:
        print(f"each lane's pictures and scores are in {root / next(iter(found))}, ...")
