"""A sweep: configurations times seeds, each a run in a folder of its own, and their table.

SWEEP/sweep.json           what it is: experiment, config, loop, what is varied
      study.db             the book of what is done, claimed and waiting, unless --storage names another
      FIELD=VALUE,.../seed-N/    a run as any other
      table.md  table.csv  table.tex  runs.jsonl
      *.png  sweep.html    pictures, and one page with all of it
      events/              TensorBoard's hparams
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import tyro
from PIL import Image

from jaxgan import lanes, memory, methods, origin, program, records, run, signals, train
from jaxgan.config import InputError, check, first_difference, from_dict, is_name, nearest
from jaxgan.data import bad_examples
from jaxgan.kinds import Kind
from jaxgan.results import Results, chosen
from jaxgan.signals import Refused, at_once, reported
from jaxgan.sweeps import book, pace, page, pictures, space
from jaxgan.sweeps.plan import (
    Options,
    Plan,
    baseline_of,
    check_options,
    check_pruner,
    config_of,
    configs_of,
    extended,
    gathered,
    known,
    own_storage,
    remember,
    space_of,
    storage_of,
    typed,
)
from jaxgan.sweeps.work import Work, check_program, work_on
from jaxgan.train import Loop

SEEDS = 5  # of each configuration, if nothing is said
TOGETHER = 16  # lanes under way at a time, if nothing is said


def _module(make, cfg) -> ModuleType:
    """The module of a method, which its Config must be of."""
    module = sys.modules[type(cfg).__module__]
    own = make if isinstance(make, ModuleType) else getattr(module, "make", None)
    if own is not module and own is not make:
        raise InputError(
            f"{type(cfg).__name__} and make must be of one module, under the names Config and make"
        )
    return module


def sweep(
    make: Callable | ModuleType,
    cfg,
    grid: Mapping[str, Any],
    *,
    seeds: int = SEEDS,
    baseline: Mapping[str, Any] | None = None,
    kind: Kind | None = None,
    loop: Loop | None = None,
    **options,
) -> Results:
    """Trains every configuration of a grid with the same seeds, and returns their table.

    Where the folder `loop.out`/METHOD/`loop.name` holds this very sweep, what is done is skipped and the rest
    is added: more seeds, more values, what a kill left undone.

    Args:
      make: a method's `make`, or its module, of which `cfg` is the Config.
      cfg: what all of them have.
      grid: of each field that is varied its values, or what they are drawn from,
        `jaxgan.sweeps.log_uniform(low, high)`; "FIELD,FIELD" of fields that have the same value.
      seeds: of each configuration, from the config's on.
      baseline: the values of that which the others are compared with; the config's own if not given.
      kind: of the data; the module's own if not given.
      loop: how the host runs the lanes.
      options: fields of `Options` but `baseline`.

    Raises:
      InputError: before anything is written, if it will not do, or the folder holds another sweep.
      Stopped: if a signal ended it; what was trained is kept.
    """
    module = _module(make, cfg)
    kind = methods.kind_of(module) if kind is None else kind
    loop = check(dataclasses.replace(methods.loop_of(module, Loop()) if loop is None else loop, seeds=seeds))
    if unknown := sorted(set(options) - set(vars(Options()))):
        raise InputError(f"sweep has no option {unknown[0]!r}{nearest(unknown[0], vars(Options()))}")
    return start(module, cfg, grid, loop, Options(**options), kind, baseline)


def main(
    module: ModuleType,
    cfg=None,
    grid: Mapping[str, Any] | None = None,
    loop: Loop | None = None,
    options: Options | None = None,
    *,
    argv: list[str] | None = None,
) -> None:
    """The command line of a sweep: that of the method's config and loop, and what is varied, `--set`.

    Args:
      module: a method's.
      cfg, loop, options: the defaults of their flags; the module's own if not given.
      grid: what is varied; `--set` puts other values in the place of a field's, or adds a field.
    """
    own = module.Config() if cfg is None else cfg
    usual = methods.loop_of(module, Loop()) if loop is None else loop
    usual = usual if usual.seeds > 1 else dataclasses.replace(usual, seeds=SEEDS)

    @dataclass(frozen=True)
    class Command:
        set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
        """FIELD=VALUE,VALUE,... or FIELD=LOW..HIGH:STEP, or for a sampler FIELD=log:LOW..HIGH or
        FIELD=uniform:LOW..HIGH; once for each field that is varied; FIELD,FIELD=... of fields that have the
        same value"""
        sweep: tyro.conf.OmitArgPrefixes[Options] = Options() if options is None else options
        config: tyro.conf.OmitArgPrefixes[type(own)] = own
        loop: tyro.conf.OmitArgPrefixes[Loop] = usual

    with reported(own=argv is None):
        command = tyro.cli(Command, args=argv, description=f"Sweep: {module.__doc__}")
        varied = dict(grid or {}) | space.from_text(type(own), command.set)
        kind = methods.kind_of(module)
        told_failures(start(module, command.config, varied, command.loop, command.sweep, kind))
    if argv is None:
        signals.done()


def told_failures(found: Results) -> None:
    """Raises Refused, so that a command's status is not 0, if a lane failed."""
    if found.failed:
        n = sum(len(row.outcomes) for row in found.rows)
        raise Refused(f"{len(found.failed)} of {n} lanes failed, are named above, and are in no mean")


def go_on(root: Path, *, trust: bool = False) -> None:
    """`jaxgan resume` of a sweep."""
    told_failures(resume(root, trust=trust))


def start(
    module, cfg, varied, loop: Loop, options: Options, kind: Kind, baseline=None, root: Path | None = None
) -> Results:
    """`sweep`, with all that it needs.

    Args:
      root: the sweep's folder, if it is at its place no more.
    """
    origin.check_wanted()
    cfg, loop, options = check(cfg), check(loop), check(options)
    if loop.name is not None and not is_name(loop.name):
        raise InputError(f"--name {loop.name!r} must be the name of one folder; see --out for its place")
    varied = space.checked(cfg, varied)
    check_options(options, varied)
    experiment = methods.experiment_of(type(cfg), kind)
    name = loop.name or f"sweep-{datetime.now():%Y%m%d-%H%M%S}"
    root = Path(loop.out) / methods.name_of(experiment) / name if root is None else root
    plan = Plan(
        root,
        methods.method_of(module, kind),
        experiment,
        cfg,
        dataclasses.replace(loop, name=name, seeds=1),
        options,
        varied,
        list(range(cfg.seed, cfg.seed + loop.seeds)),
        baseline_of(cfg, varied, options, baseline),
        None,
    )
    how = f"`jaxgan resume {root}`" if experiment["file"] else "calling sweep again"
    with at_once(lambda: f"stopped between two steps; go on by {how}"):
        return _run(plan, how, module)


def _run(plan: Plan, how: str, module) -> Results:
    before = known(plan.root)
    own = records.plain(plan.record)
    if before is not None and (apart := first_difference(own, before["plan"])) is not None:
        raise InputError(f"{plan.root} holds another sweep ({apart}); choose another --name")
    if before is None and plan.root.exists() and (not plan.root.is_dir() or any(plan.root.iterdir())):
        raise InputError(f"{plan.root} exists and is no folder of a sweep; choose another --name")
    plan = plan if before is None else extended(plan, before)
    configs = configs_of(plan)
    first = plan.of((configs or [{}])[0], plan.seeds[0])
    with bad_examples(plan.loop.on_bad_example):
        data = plan.method.kind.load(plan.method.complete(first), plan.loop.data_dir)
        _check_data(plan, data)
    ready = train.ready(plan.method, {"": first}, data)[""]
    if plan.loop.resume != "never":
        raise InputError("--resume auto is of a run; a sweep of a name goes on wherever it was stopped")
    spread = _spread(plan.loop)
    if spread and train.hold_for(plan.loop, data, list(spread)) != "copy":
        spread = ()  # a lane on each device has all of the data there
    plan = plan._replace(loop=dataclasses.replace(plan.loop, devices=1)) if spread else plan
    devices = train.devices_for(ready, plan.loop, data)
    check_pruner(plan, ready.steps)
    hold = train.hold_for(plan.loop, data, devices)
    programs = train.programs_of(plan.method, [], plan.loop, data, devices, 1, spread, hold)
    if plan.options.metric is not None:
        chosen(plan.options.metric, lanes.score_names(programs(ready)))
    at_once, room = _at_once(plan, programs(ready))
    plan = plan._replace(text=train.kept_text(module))
    url = plan.options.storage or own_storage(plan.root)
    if plan.options.storage is None:
        plan.root.mkdir(parents=True, exist_ok=True)
    name = before["study"] if before is not None else f"{methods.name_of(plan.experiment)}/{plan.root.name}"
    study = book.opened(url, name, own)
    with book.answering(url):
        check_program(plan, study, programs(ready))
    plan.root.mkdir(parents=True, exist_ok=True)
    remember(plan, name)
    with book.answering(url):
        book.enqueue(study.study, configs, plan.seeds)
    print(
        "\n".join(
            train.recipe_lines(plan.method, first, data) + train.header(plan.root, data, programs(ready))
        )
    )
    with book.answering(url):
        width, why = _width(plan, study, programs(ready), configs, at_once)
    n = len(configs) or plan.options.trials
    extent = f"{n} configurations x {len(plan.seeds)} seeds"
    print(f"{extent}, {at_once} lanes at a time ({room}), {why}", flush=True)
    plan = plan._replace(loop=dataclasses.replace(plan.loop, together=width > 0))
    work = Work(plan, study, data, programs, width or at_once, width, ready.steps, how)
    with book.answering(url):
        work_on(work)
        found = gathered(book.trials(study.study), known(plan.root), plan.root, plan.cfg)
    print(found)
    print("\n".join(page.write(found, plan.root)))
    return found


def _spread(loop: Loop) -> tuple:
    """The devices that lanes are spread over, one on each; () where one lane has them all."""
    devices = jax.local_devices()
    if loop.devices > len(devices):
        raise InputError(f"--devices {loop.devices}: this machine has {len(devices)}")
    devices = devices[: loop.devices or None]
    return tuple(devices) if len(devices) > 1 and not loop.together else ()


def _width(
    plan: Plan, own: book.Book, first: program.Program, configs: list, at_once: int
) -> tuple[int, str]:
    """How many lanes go side by side, 0 if they go in turn, and why: decided once for all of a sweep, in
    whose numbers it shows."""
    width = own.study.user_attrs.get("width")
    if width is not None:
        way = f"{width} side by side" if width else "in turn"
        if plan.loop.together not in (None, width > 0):
            raise InputError(
                f"{plan.root} runs its lanes {way}: leave out --together, or choose another --name"
            )
        return width, f"{way}, as before"
    if first.spread:
        own.study.set_user_attr("width", 0)
        return 0, f"one on each of {len(first.spread)} devices"
    n = len(configs) or plan.options.trials
    seeds = [dataclasses.replace(first.cfg, seed=seed) for seed in range(at_once)]
    side_by_side, why = pace.together(first, seeds, plan.loop, n * len(plan.seeds), first.cfg.steps)
    width = at_once if side_by_side and at_once > 1 else 0
    own.study.set_user_attr("width", width)
    return width, why


def _check_data(plan: Plan, data) -> None:
    """Raises InputError if a field that is varied decides the data: their scores would not be comparable."""
    for name, values in plan.space.items():
        for value in values if isinstance(values, tuple) else (values.low, values.high):
            own = plan.method.complete(plan.of(space.assigned(name, value), plan.cfg.seed))
            if plan.method.kind.load(own, plan.loop.data_dir).digest != data.digest:
                raise InputError(
                    f"--set {name}: {name} decides the data, by which scores are not comparable; start a "
                    "sweep for each value"
                )


def _at_once(plan: Plan, one: program.Program) -> tuple[int, str]:
    """How many lanes are under way at a time, and what they take."""
    sizes, free, seeds = program.room(one), memory.free(one.devices[0]), len(plan.seeds)
    per_lane = sizes.state + sizes.made
    fit = max(1, int((0.8 * free - sizes.data) // per_lane))
    if plan.options.at_once > fit:
        raise InputError(f"--at-once {plan.options.at_once}: there is room for {fit}")
    n = plan.options.at_once or min(max(TOGETHER, seeds), fit)
    n = n // seeds * seeds if n >= seeds else n  # whole configurations
    return n, f"one takes {memory.told(per_lane)} of {memory.told(free)} that are free"


def resume(root: Path, *, trust: bool = False) -> Results:
    """Goes on with the sweep of a folder: `jaxgan resume FOLDER`.

    Raises:
      InputError: as `sweep`; also if its code is not found, or was not run here before.
    """
    before = known(root)
    experiment = before["experiment"]
    if trust:
        origin.trust(experiment, root)
    if "***" in (before["options"]["storage"] or ""):
        raise InputError(
            f"{root}: its --storage has a password, which is not kept: give the sweep's command again"
        )
    module = origin.module(experiment, root)
    kind = run.kind_of(module, experiment)
    cfg = config_of(before, root)
    loop = dataclasses.replace(
        train.loop_of(before["loop"]), seeds=before["seeds"], out=str(root.absolute().parents[1])
    )
    options = from_dict(Options, before["options"])
    baseline = None if before["baseline"] is None else typed(cfg, before["baseline"])
    return start(module, cfg, space_of(cfg, before["space"]), loop, options, kind, baseline, root)


def compare(roots: list[Path], out: Path | None = None) -> dict[str, Results]:
    """`jaxgan compare` of sweeps: the table of each, by its data set.

    Args:
      out: a .png for their performance profile.

    Raises:
      InputError: if two are of one data set, or there is no profile to draw.
    """
    found = {}
    for root in roots:
        before = known(root)
        url = storage_of(before, root)
        study = book.opened(url, before["study"], before["plan"]).study
        with book.answering(url):
            results = gathered(book.trials(study), before, root, config_of(before, root))
        name = next((s.reference for s in results.protocols.values() if s.reference != "none"), root.name)
        if name in found:
            raise InputError(
                f"{root} is on {name}, as another sweep is: compare their configurations' folders"
            )
        found[name] = results
        print(f"{root}\n{results}\n")
    if out is not None:
        canvas = pictures.profile(found)
        if canvas is None:
            raise InputError(
                f"--out {out}: a performance profile is of configurations that every sweep has, two or more, "
                "by a positive score of which less is better"
            )
        try:
            Image.fromarray(canvas).save(out)
        except (OSError, ValueError) as e:
            raise InputError(f"--out {out} cannot be written ({e}); a name ending in .png can") from None
        print(f"profile   {out}")
    return found
