"""The `jaxgan` command: what is done with runs once they exist."""

import dataclasses
import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxgan import compare, evaluate, kinds, report, run, sampling, train
from jaxgan.config import Count, InputError, Natural, Seed, check
from jaxgan.kinds import Kind, Made
from jaxgan.signals import reported

Folder = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True)
class Sample:
    """Draw samples from a run's generator, its average where one was kept."""

    run: Folder  # the run's folder
    n: Count = 64  # how many; with --interpolate, how many paths
    out: Path | None = (
        None  # a file whose ending the kind of data can write; samples and the first such if not given
    )
    seed: Seed = 0  # of the latents
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    label: str | None = None  # the name of the class to ask for; each in turn, a column each, if not given
    psi: float | None = None  # truncation: latents with |z| < psi alone
    interpolate: Natural = 0  # samples on each path between two latents; 0: no paths


@dataclass(frozen=True)
class Evaluate:
    """Score a run's checkpoints, or other samples beside the run's data."""

    run: Folder  # the run's folder
    checkpoint: str = "last"  # last, best (of the watched score), a step (0: untrained), or all that are kept
    n: Count = 10_000  # samples
    seed: Seed = 0  # of the latents
    psi: float | None = None  # truncation: latents with |z| < psi alone
    split: str | None = None  # the reference's, of a TFDS set; the one that was trained on if not given
    samples: Annotated[str | None, tyro.conf.arg(aliases=["--images"])] = None
    """score these instead, named as an experiment's --data"""
    samples_split: Annotated[str | None, tyro.conf.arg(aliases=["--images-split"])] = None
    """theirs, of a TFDS set; test if not given"""
    data_dir: str | None = None  # where TFDS sets lie; as the run had it if not given


@dataclass(frozen=True)
class Compare:
    """Rank runs by a score, best first; refused where the scores' protocols differ."""

    runs: tyro.conf.Positional[tuple[Path, ...]]  # the runs' folders
    metric: str | None = None  # the score's name; the first of the first run's if not given
    step: Natural | None = None  # the generators'; each run's newest that was scored if not given


@dataclass(frozen=True)
class Report:
    """Show a run at a glance: report.png, and report.html, one page that needs nothing beside it."""

    run: Folder  # the run's folder
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    seed: Seed = 0  # of the latents
    out: Path | None = None  # the folder to write to; the run's if not given
    data_dir: str | None = None  # where TFDS sets lie now


@dataclass(frozen=True)
class Resume:
    """Go on with a run that was interrupted, bit for bit, or train it for longer."""

    run: Folder  # the run's folder
    steps: Count | None = None  # a new number of steps in all
    devices: Natural | None = None  # how many devices to use from now on; 0: all
    data_dir: str | None = None  # where TFDS sets lie now


@dataclass(frozen=True)
class List:
    """List runs: method, steps, score, time."""

    root: Folder = Path("runs")  # the folder of all runs


def _which(text: str) -> str | int:
    """A checkpoint, as `sampling.load` takes it."""
    if text not in ("last", "best") and not text.isdecimal():
        raise InputError(f"--checkpoint {text!r}: last, best, or a step")
    return int(text) if text.isdecimal() else text


def sample(args: Sample) -> None:
    """`jaxgan sample`."""
    check(args)
    which = _which(args.checkpoint)
    if args.interpolate and args.psi is not None:
        raise InputError("--psi and --interpolate do not go together; leave one out")
    writers = run.method(run.read(args.run))[0].kind.write
    out = args.out or Path(f"samples{next(iter(writers))}")
    if out.suffix not in writers:
        raise InputError(f"--out {out}: a name ending in {' or '.join(writers)}")
    generator = sampling.load(args.run, which)
    if args.label is not None and generator.gan.condition is None:
        raise InputError("--label: this generator takes no label")
    key = jax.random.key(args.seed)
    asked, columns = generator.asked_for(args.label, args.n), args.interpolate or None
    if args.interpolate:
        samples = generator.interpolate(key, args.n, columns, args.label)
        asked = None if asked is None else {name: x.repeat(columns, 0) for name, x in asked.items()}
    else:
        if asked is not None and args.label is None:
            columns = len(next(iter(generator.asked.values())))
        samples = generator.sample(key, args.n, args.label, args.psi)
    made = Made(generator.decoded(samples), asked, None, generator.step)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        writers[out.suffix](out, made, generator.facts, columns)
    except OSError as e:
        raise InputError(f"--out {out} cannot be written ({e.strerror})") from None
    print(f"{len(samples)} samples of step {generator.step} in {out}")


def report_run(args: Report) -> None:
    """`jaxgan report`."""
    check(args)
    which = _which(args.checkpoint)
    picture, page = report.make(args.run, which, seed=args.seed, out=args.out, data_dir=args.data_dir)
    print(f"figure  {picture}")
    print(f"page    {page}")


def resume(args: Resume) -> None:
    """`jaxgan resume`."""
    check(args)
    changes = {"steps": args.steps, "devices": args.devices, "data_dir": args.data_dir}
    train.resume(args.run, **{k: v for k, v in changes.items() if v is not None})


def _summary(path: Path) -> tuple[str, str, str, str, str]:
    record = run.read(path)
    steps = f"{max(run.checkpoints(path), default=0)}/{record['config']['steps']}"
    score = minutes = ""
    if (path / "scores.json").is_file():
        known = evaluate.read(path)
        newest = max(known["scores"], key=lambda record: record["step"], default=None)
        score = f"{newest['name']} {newest['value']:.2f}" if newest else ""
        minutes = f"{known['seconds'] / 60:.1f}" if "seconds" in known else ""
    return str(path), record["data"]["name"], steps, score, minutes


def list_runs(args: List) -> None:
    """`jaxgan list`."""
    if not args.root.is_dir():
        raise InputError(f"{args.root} is not a folder; runs are made by `python -m experiments.NAME`")
    found = run.find(args.root)
    if not found:
        print(f"no runs in {args.root}")
        return
    rows = [("run", "data", "steps", "score", "minutes")]
    for path in found:
        try:
            rows.append(_summary(path))
        except (InputError, KeyError, TypeError, ValueError):
            rows.append((str(path), "damaged", "", "", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{x:{w}}" for x, w in zip(row, widths, strict=True)).rstrip())


def evaluate_run(args: Evaluate, options) -> None:
    """`jaxgan evaluate`."""
    check(args)
    check(options)
    record = run.read(args.run)
    method, cfg = run.method(record)
    kind, data_dir = method.kind, args.data_dir or record["loop"]["data_dir"]
    evaluate.chosen(args.run, args.checkpoint)

    def of(**changes):
        return kind.load(dataclasses.replace(cfg, **changes), data_dir)

    if args.split and not hasattr(cfg, "split"):
        raise InputError(f"--split {args.split}: {record['data']['name']} has no splits")
    real = None if args.split in (None, getattr(cfg, "split", None)) else of(split=args.split)
    seen = run.dataset(record, data_dir)
    conditional = method.make(cfg)[0].condition is not None
    if args.samples is None:
        if args.samples_split is not None:
            raise InputError(f"--samples-split {args.samples_split} is of --samples, which is not given")
        judge = kind.judge(seen, conditional=conditional, options=options, real=real, n=args.n)
        evaluate.score_run(args.run, seen, judge, args.checkpoint, seed=args.seed, psi=args.psi)
        return
    if args.checkpoint != "last" or args.seed or args.psi is not None:
        raise InputError("--samples are scored as they are; leave out --checkpoint, --seed and --psi")
    if not hasattr(cfg, "data"):
        raise InputError(f"--samples {args.samples}: {record['data']['name']} is not named by --data")
    tfds = args.samples.startswith("tfds:")
    if args.samples_split is not None and not tfds:
        raise InputError(
            f"--samples-split {args.samples_split}: {args.samples} has no splits; only TFDS sets have"
        )
    given = of(data=args.samples, **({"split": args.samples_split or "test"} if tfds else {}))
    conditional = evaluate.asked_alike(given, seen, kind)
    n = int(min(args.n, given.size))
    judge = kind.judge(seen, conditional=conditional, options=options, real=real, n=n)
    evaluate.score_given(given, seen, kind, judge)


def compare_runs(args: Compare) -> None:
    """`jaxgan compare`."""
    check(args)
    for path in args.runs:
        run.read(path)
    print(compare.table(compare.ranked(list(args.runs), args.metric, args.step)))


def _kind(argv: list[str]) -> Kind:
    """Of the first run that the arguments name: its options are flags."""
    for text in argv:
        if (Path(text) / "config.json").is_file():
            return run.method(run.read(Path(text)))[0].kind
    return kinds.default


def _evaluate(kind: Kind) -> type:
    """The arguments of `jaxgan evaluate` for runs on a kind of data."""

    @dataclass(frozen=True)
    class Command:
        own: tyro.conf.OmitArgPrefixes[Evaluate]
        options: tyro.conf.OmitArgPrefixes[kind.options] = field(default_factory=kind.options)

    Command.__doc__ = kind.options.__doc__
    return Command


def _commands(argv: list[str]) -> dict[str, tuple[type, Callable]]:
    kind = _kind(argv[1:]) if argv[:1] == ["evaluate"] else kinds.default
    return {
        "sample": (Sample, sample),
        "evaluate": (_evaluate(kind), lambda args: evaluate_run(args.own, args.options)),
        "compare": (Compare, compare_runs),
        "report": (Report, report_run),
        "resume": (Resume, resume),
        "list": (List, list_runs),
    }


def main(argv: list[str] | None = None) -> None:
    """The command `jaxgan`."""
    argv = sys.argv[1:] if argv is None else argv
    with reported():
        commands = _commands(argv)
    choices = [
        Annotated[cls, tyro.conf.subcommand(name, prefix_name=False, description=cls.__doc__)]
        for name, (cls, _) in commands.items()
    ]
    args = tyro.cli(
        reduce(operator.or_, choices),
        prog="jaxgan",
        description="Work with the runs that `python -m experiments.NAME` makes.",
        args=argv,
    )
    with reported():
        next(call for cls, call in commands.values() if cls is type(args))(args)


if __name__ == "__main__":
    main()
