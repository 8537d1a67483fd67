"""The `jaxgan` command: what is done with runs once they exist."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import tyro

from jaxgan import compare, evaluate, plots, report, run, train
from jaxgan.config import Count, InputError, Natural, Seed, check
from jaxgan.data import load
from jaxgan.metrics.scores import METRICS

Folder = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True)
class Sample:
    """Draw samples from a run's generator, its average where one was kept."""

    run: Folder  # the run's folder
    n: Count = 64  # how many; with --interpolate, how many paths
    out: Path = Path("samples.png")  # a .png grid, or .npz with `image` uint8[n, H, W, C]
    seed: Seed = 0  # of the latents
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    label: str | None = None  # a class's name or number; each in turn, one column a class, if not given
    psi: float | None = None  # truncation: latents with |z| < psi alone
    interpolate: Natural = 0  # samples on each path between two latents; 0: no paths


@dataclass(frozen=True)
class Evaluate:
    """Score a run's checkpoints, or other images beside the run's data."""

    run: Folder  # the run's folder
    metrics: tuple[str, ...] = ()  # of those above; the usual ones if not given
    features: tuple[str, ...] = ()
    """classifier (of the data's own labels), inception (its weights are downloaded once, or the file that
    $JAXGAN_INCEPTION names), raw, cells (8x8 mean pixels), projection, or a MODULE:FUNCTION of your own;
    classifier or, without labels, cells if not given"""
    checkpoint: str = "last"  # last, best (of the watched score), a step (0: untrained), or all that are kept
    n: Count = 10_000  # samples
    pairs: Count = 5000  # real ones and samples, at most, where each is compared with each
    seed: Seed = 0  # of the latents
    psi: float | None = None  # truncation: latents with |z| < psi alone
    split: str | None = None  # the reference's, of a TFDS set; the one that was trained on if not given
    resize: Literal["legacy", "tensorflow", "clean"] = "legacy"
    """to Inception's size, as pytorch-fid, the original or clean-fid does"""
    groups: Natural = 10  # of samples, left out in turn for the intervals; 0: none
    images: str | None = None  # score these instead: digits, tfds:NAME, folder:PATH or npz:PATH
    images_split: str = "test"  # theirs, of a TFDS set
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


def _label(run_classes: tuple[str, ...], text: str | None):
    """A class's number from its name or its number."""
    if text is None:
        return None
    if not run_classes:
        raise InputError("--label: this generator takes no label")
    if text in run_classes:
        return run_classes.index(text)
    if text.isdecimal() and int(text) < len(run_classes):
        return int(text)
    raise InputError(f"--label {text!r} is not one of {', '.join(run_classes)}")


def _which(text: str) -> str | int:
    """A checkpoint, as `run.load` takes it."""
    if text not in ("last", "best") and not text.isdecimal():
        raise InputError(f"--checkpoint {text!r}: last, best, or a step")
    return int(text) if text.isdecimal() else text


def sample(args: Sample) -> None:
    """`jaxgan sample`."""
    check(args)
    if args.out.suffix not in (".png", ".npz"):
        raise InputError(f"--out {args.out}: a name ending in .png or .npz")
    which = _which(args.checkpoint)
    if args.interpolate and args.psi is not None:
        raise InputError("--psi and --interpolate do not go together; leave one out")
    generator = run.load(args.run, which)
    label = _label(generator.classes, args.label)
    key = jax.random.key(args.seed)
    columns = None
    if args.interpolate:
        columns = args.interpolate
        path_label = label
        if generator.classes and label is None:  # a class a path
            path_label = np.repeat(run.labels(len(generator.classes), args.n), columns)
        images = generator.interpolate(key, args.n, columns, path_label)
    else:
        if generator.classes and label is None:
            columns = len(generator.classes)
        images = generator.sample(key, args.n, label, args.psi)
    images = plots.to_uint8(images)
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        if args.out.suffix == ".npz":
            np.savez_compressed(args.out, image=images)
        else:
            plots.picture(plots.grid(images, columns)).save(args.out)
    except OSError as e:
        raise InputError(f"--out {args.out} cannot be written ({e.strerror})") from None
    print(f"{len(images)} samples of step {generator.step} in {args.out}")


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


def evaluate_run(args: Evaluate) -> None:
    """`jaxgan evaluate`."""
    check(args)
    record = run.read(args.run)
    _, cfg = run.method(record)
    data_dir = args.data_dir or record["loop"]["data_dir"]
    evaluate.chosen(args.run, args.checkpoint)
    if args.split and not cfg.data.startswith("tfds:"):
        raise InputError(f"--split {args.split}: {cfg.data} has no splits; only sets of TFDS have")
    seen = run.dataset(record, data_dir)
    real = seen if args.split in (None, cfg.split) else run.load_named(cfg, data_dir, args.split)
    _, size, _, channels = seen.image.shape
    given = args.images and load(
        args.images, image_size=size, channels=channels, split=args.images_split, data_dir=data_dir
    )
    labelled = hasattr(cfg, "n_classes") if given is None else given.classes == seen.classes
    plan = evaluate.plan(
        seen,
        real,
        args.features,
        args.metrics,
        n=args.n if given is None else min(args.n, len(given.image)),
        conditional=labelled and seen.label is not None,
        resize=args.resize,
        pairs=args.pairs,
        groups=args.groups,
    )
    if given is None:
        evaluate.score_run(args.run, plan, args.checkpoint, n=args.n, seed=args.seed, psi=args.psi)
    else:
        evaluate.score_images(plan, given, args.n)


def compare_runs(args: Compare) -> None:
    """`jaxgan compare`."""
    check(args)
    for path in args.runs:
        run.read(path)
    print(compare.table(compare.ranked(list(args.runs), args.metric, args.step)))


_EVALUATE = "\n\n".join(
    [
        "Score a run's checkpoints, or other images beside the run's data. The metrics are",
        *(f"{name}: {metric.about} ({metric.better} is better)" for name, metric in METRICS.items()),
    ]
)
_COMMANDS = {
    Sample: sample,
    Evaluate: evaluate_run,
    Compare: compare_runs,
    Report: report_run,
    Resume: resume,
    List: list_runs,
}


def main(argv: list[str] | None = None) -> None:
    """The command `jaxgan`."""
    args = tyro.cli(
        Annotated[Sample, tyro.conf.subcommand("sample", prefix_name=False)]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate", prefix_name=False, description=_EVALUATE)]
        | Annotated[Compare, tyro.conf.subcommand("compare", prefix_name=False)]
        | Annotated[Report, tyro.conf.subcommand("report", prefix_name=False)]
        | Annotated[Resume, tyro.conf.subcommand("resume", prefix_name=False)]
        | Annotated[List, tyro.conf.subcommand("list", prefix_name=False)],
        prog="jaxgan",
        description="Work with the runs that `python -m experiments.NAME` makes.",
        args=argv,
    )
    with train.reported():
        _COMMANDS[type(args)](args)


if __name__ == "__main__":
    main()
