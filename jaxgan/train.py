"""The host's side of a run: chunks of compiled steps, figures, pictures, scores, checkpoints, lanes."""

import contextlib
import dataclasses
import gc
import importlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import jax
import tyro
from annotated_types import Ge, Le
from etils import epath
from tqdm import tqdm

from jaxgan import (
    cache,
    checkpoint,
    evaluate,
    feed,
    kinds,
    lanes,
    memory,
    methods,
    origin,
    parallel,
    processes,
    program,
    recipes,
    records,
    run,
    sampling,
    signals,
    troubles,
)
from jaxgan.config import Count, InputError, Natural, Processes, check, first_difference, from_dict, is_name
from jaxgan.data import Dataset, bad_examples
from jaxgan.kinds import Kind
from jaxgan.lanes import Lane
from jaxgan.program import Program
from jaxgan.signals import Stopped, at_once, caught_signals, reported, watched

Seeds = Annotated[int, Ge(1), Le(1000)]
Hold = Literal["auto", "copy", "shard", "stream"]


@dataclass(frozen=True)
class Loop:
    """How the host runs it. What the run computes changes by none of it, but for `patience`, which may
    end it early, and `accumulate`, where a layer or loss looks at a batch as a whole."""

    name: str | None = None  # of the run's folder OUT/METHOD/NAME; the date and time if not given
    resume: Literal["never", "auto"] = "never"  # auto: go on with the run of that NAME, if there is one
    out: str = "runs"  # the folder of all runs
    data_dir: str | None = None  # where TFDS sets lie prepared; TFDS's own place if not given
    seeds: Seeds = 1  # runs side by side, with the seed and those after it, each in a folder of its own
    together: bool | None = None  # lanes as one batch; if not given, on a GPU or TPU alone
    chunk: Count = 50  # steps in one compiled call
    log_every: Count = 10  # steps between lines of metrics.jsonl; the first has one as well
    sample_every: Natural = 250  # steps between pictures of samples; 0: only at the end
    evaluate_every: Natural = 500  # steps between scores, the best generator kept; 0: only at the end
    patience: Natural = 0  # stop after so many scores without a better one; 0: never
    checkpoint_every: Natural = 500  # steps between checkpoints; 0: only at the end
    keep: Count = 3  # of the newest checkpoints
    keep_every: Natural = 0  # steps of which one checkpoint each is kept for good; 0: none is
    checkpoints: str | None = None  # a folder or bucket (gs://...) to write them to, for another machine too
    devices: Natural = 0  # how many of this machine's devices to use; 0: all, and of all processes
    accumulate: Count = 1  # microbatches that a device's share of the batch is cut into
    on_bad_example: Literal["raise", "skip"] = "raise"  # what becomes of files that cannot be read
    cache: bool = True  # keep compiled programs for later runs, in the user's cache folder
    hold: Hold = "auto"  # the data: all on each device, a part on each, or on the host; auto: what has room
    watchdog: Natural = 3600  # seconds without a chunk of steps that end a run which is stuck; 0: none do


def devices_for(cfg, loop: Loop, data: Dataset) -> list:
    """The devices to train on: this process's, or those of all that train together."""
    if loop.patience and not loop.evaluate_every:
        raise InputError(f"--patience {loop.patience} watches the scores of --evaluate-every, which is 0")
    several = processes.count() > 1
    devices = jax.devices() if several else jax.local_devices()
    if loop.devices > len(devices) or several and loop.devices not in (0, len(devices)):
        where = f"{processes.count()} processes have" if several else "this machine has"
        raise InputError(f"--devices {loop.devices}: {where} {len(devices)}")
    devices = devices[: loop.devices or None]
    batch = cfg.batch_size
    if batch > data.size:
        raise InputError(f"--batch-size {batch} is larger than the data set: {data.name} has {data.size}")
    if batch % (len(devices) * loop.accumulate):
        raise InputError(
            f"--batch-size {batch} cannot be divided by {len(devices)} devices times "
            f"{loop.accumulate} microbatches; choose a multiple, or fewer --devices"
        )
    return devices


def hold_for(loop: Loop, data: Dataset, devices: list) -> str:
    """Where the data are while a run trains on these devices, as `data.held` has it.

    Raises:
      InputError: if they cannot be where they are asked to be.
    """
    if data.sampler is not None:
        if loop.hold not in ("auto", "copy"):
            raise InputError(f"--hold {loop.hold}: {data.name} is drawn anew in each step, and held nowhere")
        return "copy"
    if loop.hold == "shard" and len(devices) == 1:
        raise InputError("--hold shard: there is one device; --hold stream leaves the data on the host")
    if loop.hold != "auto":
        return loop.hold
    own = parallel.local(devices)
    shared = len(own) if own[0].platform == "cpu" else 1  # devices of one memory
    size, room = memory.size(data.described) * shared, memory.free(own[0]) / 2
    if size <= room:
        return "copy"
    return "shard" if len(devices) > 1 and size / len(devices) <= room else "stream"


def _as_data(cfg, data: Dataset):
    """The config with those of its fields that the data decide as the data have them."""
    for name, fact in data.facts.items():
        own = getattr(cfg, name, fact)
        if own not in (None, fact):
            raise InputError(f"--{name.replace('_', '-')} {own}: {data.name} has {fact}")
    known = {field.name for field in dataclasses.fields(cfg)}
    return dataclasses.replace(cfg, **{k: v for k, v in data.facts.items() if k in known})


def main(
    config_class: type,
    make: Callable,
    kind: Kind = kinds.default,
    loop: Loop | None = None,
    *,
    argv: list[str] | None = None,
) -> None:
    """The command line of an experiment: `python -m experiments.NAME [--FLAG VALUE ...]`.

    Args:
      kind: of the experiment's data, by its name in the module.
      loop: the defaults of the host's flags.

    Raises:
      TypeError: if the module that defines the config has another `make`, or none, or not the kind: there
        a resumed or loaded run looks for them (and for the method's own `train_step(cfg)`,
        `batches(cfg, draw)`, `complete(cfg)` and `frozen(cfg, data)`, if it has any).
    """
    usual = Loop() if loop is None else loop

    @dataclass(frozen=True)
    class Command:
        config: tyro.conf.OmitArgPrefixes[config_class] = dataclasses.field(default_factory=config_class)
        loop: tyro.conf.OmitArgPrefixes[Loop] = dataclasses.field(default_factory=lambda: usual)
        processes: tyro.conf.OmitArgPrefixes[Processes] = dataclasses.field(default_factory=Processes)

    if argv is None:
        # A process of its own, whose tracing makes objects by the million: 4 to 11 % of its start.
        gc.freeze()
        gc.set_threshold(20_000, 25, 50)
    module = sys.modules[config_class.__module__]
    if getattr(module, "make", None) is not make:
        raise TypeError(f"{module.__name__}: Config and make must be of one module, under these names")
    with reported(own=argv is None):
        command = tyro.cli(Command, args=argv, description=module.__doc__)
        with at_once("stopped before the first step"):
            processes.start(command.processes)
            start(command.config, command.loop, kind)
    if argv is None:
        signals.done()


def start(cfg, loop: Loop, kind: Kind = kinds.default) -> dict:
    """Makes a run's folder and trains. Returns the scores; of several lanes, these by the lane's name.

    Raises:
      InputError: before anything is written, if the config, the data or the folder will not do;
        later, if a figure is no longer finite.
      Stopped: if a signal ended it.
    """
    processes.check_told()
    cfg, loop = check(cfg), check(loop)
    if missing := [name for name in ("batch_size", "steps", "seed") if not hasattr(cfg, name)]:
        raise InputError(f"{type(cfg).__name__} has no field {missing[0]!r}, which every run needs")
    if loop.name is not None and not is_name(loop.name):
        raise InputError(f"--name {loop.name!r} must be the name of one folder; see --out for its place")
    if "://" in loop.out:
        raise InputError(f"--out {loop.out} is no folder of this machine; --checkpoints may be a bucket")
    if loop.resume == "auto" and loop.name is None:
        raise InputError("--resume auto goes on with the run of a name: give --name NAME")
    module = sys.modules[type(cfg).__module__]
    experiment = methods.experiment_of(type(cfg), kind)
    method = methods.method_of(module, kind)
    name = loop.name or processes.from_first(lambda: f"{datetime.now():%Y%m%d-%H%M%S}")
    root = Path(loop.out) / methods.name_of(experiment) / name
    with processes.all_or_none():
        if loop.resume == "auto" and loop.checkpoints is not None and processes.first():
            fetch(root, loop)
    with processes.quiet(), processes.all_or_none(), bad_examples(loop.on_bad_example):
        data = kind.load(method.complete(cfg), loop.data_dir)
    return begin(method, experiment, cfg, loop, data, root, kept_text(module))


def elsewhere(path: Path, loop: Loop) -> str:
    """Where the checkpoints of a run are, if not in its folder.

    Raises:
      InputError: if that is a bucket which orbax does not write to.
    """
    away = loop.checkpoints
    if "://" not in away:
        away = str(Path(away).expanduser().absolute())
    elif not away.startswith("gs://"):
        raise InputError(f"--checkpoints {away}: orbax writes to folders and gs://; mount others as a folder")
    return f"{away.rstrip('/')}/{path.absolute().relative_to(Path(loop.out).absolute()).as_posix()}"


def fetch(root: Path, loop: Loop) -> None:
    """Takes what a run, or lanes, left beside their checkpoints, to a machine that has nothing of it."""
    place = epath.Path(elsewhere(root, loop))
    with checkpoint.reached(place):
        records.copy(["lanes.json"], place, root)
        for name in lanes.read(root) or [""]:
            there, here = place / name / "metrics.jsonl", root / name / "metrics.jsonl"
            if there.exists() and (not here.exists() or len(there.read_bytes()) > here.stat().st_size):
                print(f"{root / name} is taken from {place / name}")
                records.copy(lanes.MIRRORED, place / name, root / name)


def kept_text(module) -> bytes | None:
    """The source of a method that is not installed, which its runs keep; it is trusted from now on."""
    text = None if origin.is_installed(module) else origin.text_of(module)
    if text is not None:
        origin.remember(text, origin.file_of(module))
    return text


def begin(
    method: methods.Method,
    experiment: dict,
    cfg,
    loop: Loop,
    data: Dataset,
    root: Path,
    text: bytes | None = None,
) -> dict:
    """Makes the folder of a method's run on some data, and trains.

    Args:
      text: the method's source, to be kept in the folder.
    """
    origin.check_wanted()
    with processes.quiet():
        with processes.all_or_none():
            configs = ready(method, lanes.of_seeds(cfg, loop.seeds), data)
            for line in recipe_lines(method, cfg, data):
                print(line)
            devices = devices_for(next(iter(configs.values())), loop, data)
        check_alike(configs, loop, data)
        hold = processes.from_first(lambda: hold_for(loop, data, devices))
        with processes.all_or_none():
            programs = programs_of(method, configs.values(), loop, data, devices, hold=hold)
        paths = {name: root / name for name in configs}
        again = loop.resume == "auto"
        known = processes.from_first(lambda: _known(experiment, paths, configs) if again else [])
        with processes.all_or_none():
            if processes.first():
                if lanes.several(paths) and not again:
                    lanes.check_free(root)
                new = {name: path for name, path in paths.items() if name not in known}
                create(method, experiment, new, configs, loop, data, programs, text)
                if lanes.several(paths) and not lanes.read(root):
                    lanes.write(root, list(paths))
                    if loop.checkpoints is not None:
                        records.copy(["lanes.json"], root, epath.Path(elsewhere(root, loop)))
        if known:
            runs = {name: records.read(path) for name, path in paths.items()}
            return go_on(method, root, runs, configs, loop, data)
        return _fit(root, paths, configs, loop, data, programs, dict.fromkeys(paths, False))


def _known(experiment: dict, paths: dict[str, Path], configs: dict) -> list[str]:
    """Which of the runs exist already, to be gone on with.

    Raises:
      InputError: if one is of another configuration, apart from its number of steps.
    """
    found = []
    for name, path in paths.items():
        if not (path / "config.json").exists():
            continue
        record, cfg = records.read(path), configs[name]
        mine = records.plain(dataclasses.asdict(cfg)) | {"steps": record["config"]["steps"]}
        difference = first_difference(mine, record["config"])
        if record["experiment"]["module"] != experiment["module"]:
            difference = f"of {methods.name_of(record['experiment'])}"
        if difference is not None:
            raise InputError(f"--resume auto: {path} holds another run ({difference}); choose another --name")
        found.append(name)
    return found


def check_alike(configs: dict, loop: Loop, data: Dataset) -> None:
    """Raises InputError unless all processes train one model, in one way, on one set."""
    if processes.count() == 1:
        return
    processes.check_alike("versions", json.dumps(run.versions()))
    for name, cfg in configs.items():
        processes.check_alike("config", f"{name} {cfg}")
    processes.check_alike("flags of the loop", f"{loop}")
    processes.check_alike("data", f"{data.name} {data.digest}")


def _check_seen(paths: dict[str, Path]) -> None:
    """Raises InputError if a process does not see the folders that the first one made."""
    with processes.all_or_none():
        for path in paths.values():
            if not (path / "config.json").exists():
                raise InputError(
                    f"{path} cannot be seen from here: --out must be a folder that all processes share"
                )


def ready(method: methods.Method, configs: dict, data: Dataset) -> dict:
    """The configs with what the data decide, a recipe's values too.

    Raises:
      InputError: if one and the data do not go together.
    """
    known = {name: _as_data(method.complete(own), data) for name, own in configs.items()}
    found = {name: check(recipes.filled(own, data.numbers)) for name, own in known.items()}
    method.kind.check(data)
    return found


def recipe_lines(method: methods.Method, cfg, data: Dataset) -> list[str]:
    """What is said of the recipe that `ready` gives a config."""
    return recipes.told(_as_data(method.complete(cfg), data), data.numbers)


def create(
    method: methods.Method,
    experiment: dict,
    paths: dict[str, Path],
    configs: dict,
    loop: Loop,
    data: Dataset,
    programs: Callable,
    text: bytes | None,
) -> None:
    """Makes the folders of runs, each as one that runs alone."""
    for name, path in paths.items():
        own = programs(configs[name])
        asked = sampling.asked_of(method.make(own.cfg)[0], method.kind, data)
        alone, devices = dataclasses.replace(loop, seeds=1), list(own.devices)
        away = None if loop.checkpoints is None else elsewhere(path, loop)
        if away is not None:
            with checkpoint.reached(away):
                epath.Path(away).mkdir(parents=True, exist_ok=True)
        run.create(
            path,
            experiment,
            configs[name],
            alone,
            data,
            devices,
            asked,
            program=own.digest,
            text=text,
            elsewhere=away,
        )
        if away is not None:
            with checkpoint.reached(away):
                records.copy(["config.json"], path, epath.Path(away))  # it is known by this as the run's


def resume(path: str | Path, *, trust: bool = False, data: str | None = None, **changes) -> dict:
    """Goes on with a run from its newest whole checkpoint. Returns the scores.

    Args:
      path: a run's folder, or that of several lanes.
      trust: lets code that came with the run be executed; you have read it.
      data: what the run's `--data` is called now, if it was moved.
      changes: fields of `Loop`, and `steps`, that shall differ from the run's own from now on.

    Raises:
      InputError, Stopped: as `start`; also if the data set is not what it was, or the run's code was not run
        here before.
    """
    with processes.quiet():
        return _resumed(Path(path), trust, data, changes)


def loop_of(recorded: dict) -> Loop:
    """The loop of a record; what is newer than it is as usual."""
    return from_dict(Loop, dataclasses.asdict(Loop()) | recorded)


def _resumed(root: Path, trust: bool, data: str | None, changes: dict) -> dict:
    processes.check_told()
    paths = {name: root / name for name in lanes.read(root)} or {"": root}
    runs = {name: records.read(p) for name, p in paths.items()}
    record = next(iter(runs.values()))
    changed = {k: v for k, v in changes.items() if k != "steps"}
    loop = check(dataclasses.replace(loop_of(record["loop"]), **changed))
    if trust:
        origin.trust(record["experiment"], next(iter(paths.values())))
    configs = {}
    for name, own in runs.items():
        method, old = run.method(own, paths[name])
        here = old if data is None else run.at(own, old, data)
        configs[name] = check(dataclasses.replace(here, steps=changes.get("steps", old.steps)))
    with processes.all_or_none():
        found = run.dataset(record, loop.data_dir, data, next(iter(paths.values())))
    return go_on(method, root, runs, configs, loop, found)


def go_on(
    method: methods.Method, root: Path, runs: dict[str, dict], configs: dict, loop: Loop, data: Dataset
) -> dict:
    """Goes on with the lanes below a folder, whose config.json are the runs, under new configs."""
    paths = {name: root / name for name in runs}
    check_alike(configs, loop, data)
    for name, cfg in configs.items():
        run.checked(runs[name], data)
        if (step := max(records.checkpoints(paths[name]), default=0)) > cfg.steps:
            raise InputError(f"{paths[name]} is at step {step} already; give no fewer --steps")
    devices = devices_for(next(iter(configs.values())), loop, data)
    hold = processes.from_first(lambda: hold_for(loop, data, devices))
    programs = programs_of(method, configs.values(), loop, data, devices, hold=hold)
    now = {"versions": run.versions(), "devices": run.device_kinds(devices)}
    for what, value in now.items():
        if before := next((r[what] for r in runs.values() if r[what] != value), None):
            print(f"{what} before: {before}, now: {value}")
            print("so the run goes on to float tolerance, not bit for bit")
    if all(r["versions"] == now["versions"] and r["devices"] == now["devices"] for r in runs.values()):
        before = {name: from_dict(type(configs[name]), r["config"]) for name, r in runs.items()}
        same = programs if before == configs else programs_of(method, before.values(), loop, data, devices)
        _tell_changes(runs, loop, {name: same(cfg).digest for name, cfg in before.items()})
    extended = {name: configs[name].steps > record["config"]["steps"] for name, record in runs.items()}
    return _fit(root, paths, configs, loop, data, programs, extended)


def _tell_changes(runs: dict[str, dict], loop: Loop, digests: dict[str, str]) -> None:
    """A line says if a step computes something else than it did, apart from what was asked for."""
    if any(r["loop"]["accumulate"] != loop.accumulate for r in runs.values()):
        print("another --accumulate: the run goes on to float tolerance, not bit for bit")
    elif any(digests[name] != record["program"] for name, record in runs.items()):
        print(
            "a step computes something else than when the run began: its losses, networks or optimisers have"
        )
        print("been edited, so it goes on, but not as it would have")


def programs_of(
    method: methods.Method,
    configs,
    loop: Loop,
    data: Dataset,
    devices: list,
    at_once: int | None = None,
    spread: tuple = (),
    hold: str = "copy",
) -> Callable:
    """cfg -> its program; configs that differ in a seed and in numbers alone share one.

    Args:
      configs: those whose programs are built now, before a folder is made.
      at_once: how many lanes there must be room for; one for each of the configs if not given.
      spread, hold: as of `Program`.
    """
    forms, known = {}, {}

    def program_of(cfg) -> Program:
        numbers = program.arguments(cfg)
        static = tuple(getattr(cfg, f.name) for f in dataclasses.fields(cfg) if f.name not in numbers)
        form = tuple(numbers), static
        if form not in forms:
            room = len(configs) if at_once is None else at_once
            forms[form] = program.traceable(
                method, cfg, data, tuple(devices), loop.accumulate, hold=hold, lanes=room, spread=spread
            )
        traced = forms[form]
        key = form, tuple(numbers[name] for name in numbers if name not in traced.names)
        if key not in known:
            known[key] = traced if traced.cfg == cfg else dataclasses.replace(traced, cfg=cfg)
        return known[key]

    for cfg in configs:
        program_of(cfg)
    return program_of


def _import_ahead() -> None:
    """What only a run's end needs: its second passes while XLA compiles."""
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg", "scipy.special"):
        importlib.import_module(name)


def _fit(
    root: Path,
    paths: dict[str, Path],
    configs: dict,
    loop: Loop,
    data: Dataset,
    programs: Callable,
    extended: dict[str, bool],
) -> dict:
    """Trains the runs of a folder, which exist. Returns the scores, as `start`."""
    _check_seen(paths)
    how = run.goes_on_by(root, records.read(next(iter(paths.values())))["experiment"])
    first = programs(next(iter(configs.values())))
    told = f", {len(paths)} lanes" if lanes.several(paths) else ""
    print("\n".join(header(root, data, first, told)))
    done, failed = fit_lanes(paths, configs, loop, data, programs, extended, how=how)
    if lanes.several(paths):
        for name, (result, _) in done.items():
            for line in troubles.lines(troubles.from_records(result["troubles"])):
                print(f"{name}: {line}")
        if processes.first():
            lanes.summary(root, {name: figures for name, (_, figures) in done.items()}, failed)
    if failed:
        raise InputError(", ".join(f"{name}: {told}" if name else told for name, told in failed.items()))
    results = {name: result for name, (result, _) in done.items()}
    return results if lanes.several(paths) else results[""]


def header(root: Path, data: Dataset, program: Program, told: str = "") -> list[str]:
    """The first lines of what is said: where, on what data, on what devices."""
    devices = program.devices
    size = f"{data.size} {program.method.kind.unit} of " if data.size < float("inf") else ""
    of = f" of {processes.count()} processes" if processes.count() > 1 else ""
    first = f"{root}: {size}{data.name}, {len(devices)} x {devices[0].device_kind}{of}{told}"
    whole = memory.told(memory.size(data.described))
    where = {
        "copy": [],
        "shard": [f"{whole} of data are shared out over the devices"],
        "stream": [f"{whole} of data stay on the host, and each chunk of steps is sent its rows"],
    }[program.hold]
    return [first, *(f"  {remark}" for remark in (*data.remarks, *where))]


def fit_lanes(
    paths: dict[str, Path],
    configs: dict,
    loop: Loop,
    data: Dataset,
    programs: Callable,
    extended: dict[str, bool],
    *,
    how: str,
    width: int | None = None,
    review: Callable = lambda step, every: (),
    fail_fast: bool = False,
) -> tuple[dict[str, tuple[dict, dict]], dict[str, str]]:
    """Trains runs on one data set, which exist, from their newest checkpoints, and scores them.

    Args:
      paths: their folders, by name.
      programs: as `programs_of`.
      extended: whether each was given more steps, which its patience begins anew with.
      how: how to go on with them, for what is said.
      width: as many lanes are in each call of those side by side; all of a program's if not given.
      review: (a step at which lanes were scored, all lanes) -> those that shall stop.
      fail_fast: whether the others stop, and are saved, when one is frozen.

    Returns:
      What `lanes.finish` has of each that went to its end, and why others were frozen.

    Raises:
      Stopped: if a signal ended it; all is saved.
    """
    if loop.cache:
        cache.keep_compilations()
    threading.Thread(target=_import_ahead, daemon=True).start()

    def where() -> str:
        steps = sorted({lane.step for lane in all_lanes}) or [0]
        at = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
        return f"stopped at {at}; go on by {how}"

    all_lanes: list[Lane] = []
    with _told_how(how, paths.values()), contextlib.ExitStack() as stack, at_once(where), _left(stack):
        with processes.all_or_none():
            for path in paths.values() if processes.first() else ():
                stack.enter_context(run.locked(path))
                evaluate.read(path)  # what it holds is kept: a damaged one is told before the training
        first = programs(next(iter(configs.values())))
        kind, judge = first.method.kind, None
        with processes.all_or_none():
            if processes.first():
                judge = kind.judge(data, conditional=first.method.make(first.cfg)[0].condition is not None)
        everywhere, asked = feed.placed(first), loop
        loop = dataclasses.replace(loop, chunk=feed.chunk_of(first, loop.chunk))
        if loop.chunk < asked.chunk:
            print(f"--chunk {loop.chunk}, as the rows of {asked.chunk} steps are too many to send at a time")
        for (name, path), cfg in zip(paths.items(), configs.values(), strict=True):
            lane = stack.enter_context(lanes.opened(name, path, cfg, programs(cfg), judge, loop, everywhere))
            all_lanes.append(lane)
            if processes.first():
                run.remember(lane.path, lane.cfg, dataclasses.replace(asked, seeds=1), lane.program.digest)
            lane.progress["stale"] *= not extended[lane.name]
        _loop(all_lanes, loop, where, width, review, fail_fast)
        left = [lane for lane in all_lanes if lane.failed is None and lane.ended]
        with at_once(lambda: where().replace(";", ", in the closing scores;")):
            done = {lane.name: lanes.finish(lane) for lane in left}
        return done, {lane.name: lane.failed for lane in all_lanes if lane.failed is not None}


@contextlib.contextmanager
def _left(stack: contextlib.ExitStack):
    """Where another process is lost nothing is closed, which would wait for it until JAX ends this one."""
    try:
        yield
    except Exception as e:
        if signals.trouble(e) == signals.LOST:
            stack.pop_all()
        raise


@contextlib.contextmanager
def _told_how(how: str, paths: Iterable[Path]):
    """What the machine refuses is told with how to go on: what was saved is whole."""
    try:
        yield
    except InputError:
        raise
    except Exception as e:
        gone = next((path for path in paths if not (path / "config.json").exists()), None)
        told = signals.trouble(e) if gone is None else f"{gone} is no longer there; put it back"
        if told is None:
            raise
        raise signals.Refused(f"{told}, then go on by {how}: what was saved is whole") from e


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def length_of(step: int, total: int, loop: Loop) -> int:
    """Steps in the next chunk: `loop.chunk`, or if a stop comes before, the largest power of two that
    fits, so that few lengths are ever compiled. A run's numbers do not depend on it."""
    periods = (loop.sample_every, loop.evaluate_every, loop.checkpoint_every)
    room = min(total, step + loop.chunk, *((step // p + 1) * p for p in periods if p)) - step
    return room if room == loop.chunk else 1 << (room.bit_length() - 1)


def _advance(group: list[Lane], length: int, then: int, widths: dict[int, int]) -> None:
    """A chunk of steps for lanes that stand at one step, by as few calls as their programs allow.

    Args:
      then: steps in the next chunk, if it is of the same lanes; 0 if there is none.
      widths: how many lanes each program, by its id, takes side by side; in turn if it is not there.
    """
    by_program = {}
    for lane in group:
        by_program.setdefault(id(lane.program), []).append(lane)
    for program_id, own in by_program.items():
        compiled = own[0].program
        if width := widths.get(program_id):
            advance = parallel.padded(compiled.lanes, width)
        else:
            advance = parallel.in_turn(compiled.chunk, list(compiled.devices))
        states, numbers = [lane.state for lane in own], [lane.numbers for lane in own]
        arrays = [lane.feed(lane.step, length, then) for lane in own]
        if compiled.hold != "stream":
            arrays = arrays[0]  # of all
        began = time.monotonic()
        states, metrics = advance(states, (numbers, arrays), own[0].slot, length)
        if own[0].name:  # one alone has the host's work done meanwhile
            jax.block_until_ready(states)
            if all(lane.begun for lane in own):  # the first call compiles
                lanes.worked(own, length, time.monotonic() - began)
        for lane, state, figures in zip(own, states, metrics, strict=True):
            lane.state, lane.pending = state, [*lane.pending, (lane.step + 1, figures)]
            lane.step += length


def _widths(all_lanes: list[Lane], loop: Loop, width: int | None) -> dict[int, int]:
    """As `_advance` takes them. They stay as they are when lanes come to their end, so that a lane's numbers
    do not depend on the others'."""
    if n := len(all_lanes[0].program.spread):
        return {id(lane.program): n for lane in all_lanes}
    if all_lanes[0].program.hold == "stream":  # each lane has rows of its own
        return {}
    on_cpu = all_lanes[0].program.devices[0].platform == "cpu"
    if not (not on_cpu if loop.together is None else loop.together):
        return {}
    found = Counter(id(lane.program) for lane in all_lanes)
    return {program: width or n for program, n in found.items() if (width or n) > 1}


def _loop(
    all_lanes: list[Lane],
    loop: Loop,
    where: Callable,
    width: int | None,
    review: Callable,
    fail_fast: bool,
) -> None:
    """Trains every lane to its last step, to the end of patience, until a review drops it, or until a signal
    is caught.

    Args:
      where: () -> a line on where it is, and how to go on.
      width, review, fail_fast: as of `fit_lanes`.

    Raises:
      Stopped: if one was, and all is saved.
    """
    widths = _widths(all_lanes, loop, width)

    def under_way(lane: Lane) -> bool:
        return lane.failed is None and not lane.dropped and not lane.ended

    def failed() -> bool:
        return fail_fast and any(lane.failed for lane in all_lanes)

    def advance(group: list[Lane], length: int, then: int) -> None:
        compiled = all(lane.begun for lane in group)
        # Until the first chunk is compiled nothing is lost.
        with contextlib.nullcontext() if compiled else at_once(where):
            _advance(group, length, then, widths)
        for lane in group:
            lane.begun = True

    def drop(step: int) -> None:
        for lane in review(step, all_lanes) if _due(step, loop.evaluate_every) else ():
            if under_way(lane):
                with lanes.guarded(lane):
                    lanes.settle(lane, bar)
                    lanes.save(lane)
                lane.dropped = True

    at_once_line = lambda: where().replace(";", ", without the steps since its checkpoint;")  # noqa: E731
    with _bar(all_lanes) as bar, caught_signals(at_once_line) as caught, watched(loop.watchdog) as alive:

        def stopped() -> int:
            """The signal that one of the processes has caught, or 0."""
            return processes.most(sum(caught[:1]))

        for step in sorted({lane.step for lane in all_lanes} - {0}):  # where it was killed before it decided
            drop(step)
        stop = stopped()
        while (active := [lane for lane in all_lanes if under_way(lane)]) and not stop and not failed():
            step = min(lane.step for lane in active)
            group = [lane for lane in active if lane.step == step]
            total = min(lane.cfg.steps for lane in group)
            length = length_of(step, total, loop)
            then = length_of(step + length, total, loop) if step + length < total else 0
            alive()
            advance(group, length, then)
            step += length
            stop = stopped()
            for lane in group:
                with lanes.guarded(lane):
                    lanes.settle(lane, bar, but=1)  # the last chunk's, while the devices compute this one
                    alive(not _due(step, loop.evaluate_every))  # scores take the time that they take
                    if _due(step, loop.evaluate_every):
                        lanes.settle(lane, bar)
                        lanes.watch(lane)
                    if (
                        lane.ended
                        or stop
                        or _due(step, loop.sample_every)
                        or _due(step, loop.checkpoint_every)
                    ):
                        lanes.settle(lane, bar)
                    if lane.ended or _due(step, loop.sample_every):
                        lanes.show(lane)
                    if lane.ended or stop or _due(step, loop.checkpoint_every):
                        lanes.save(lane)
            drop(step)
            stop = stop or stopped()
        for lane in all_lanes if stop or failed() else ():  # also if it was before the first step
            if lane.failed is None:
                with lanes.guarded(lane):
                    lanes.settle(lane, bar)
                    lanes.save(lane)
    for lane in all_lanes:
        if lane.spent and lane.step < lane.cfg.steps:
            print(
                f"{lane.name or 'the run'}: no better score in {loop.patience}: stopped at step {lane.step}"
            )
        lane.latest.wait_until_finished()
        lanes.forget_worse(lane)
    if stop:
        raise Stopped(stop, where())


def _bar(all_lanes: list[Lane]) -> tqdm:
    interval = 0.1 if sys.stderr.isatty() else 20.0
    off = not processes.first()
    total, done = (sum(steps) for steps in zip(*((x.cfg.steps, x.step) for x in all_lanes), strict=True))
    return tqdm(total=total, initial=done, unit="step", mininterval=interval, dynamic_ncols=True, disable=off)
