"""The `jaxgan` command: what is done with runs once they exist.

What takes seconds to import is imported by the commands that use it: help and lists are there at once.
"""

import ast
import dataclasses
import importlib
import importlib.util
import operator
import re
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from jaxgan import cache, origin, records, signals, troubles
from jaxgan.config import Count, InputError, Natural, Processes, Seed, check, flag, nearest
from jaxgan.signals import reported

if TYPE_CHECKING:
    from jaxgan.data import Dataset
    from jaxgan.kinds import Kind

Folder = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True)
class Train:
    """Train a method: `jaxgan train NAME --help` shows its flags, `jaxgan train` the methods there are."""

    method: Annotated[str, tyro.conf.Positional]
    """one of the project's, a module's name, or a file"""


@dataclass(frozen=True)
class Sweep:
    """Train a method under many configurations, with the same seeds: `jaxgan sweep NAME --help` shows its
    flags, `jaxgan sweep FOLDER --watch` how far one is."""

    method: Annotated[str, tyro.conf.Positional]
    """one of the project's, a module's name, or a file"""


@dataclass(frozen=True)
class Sample:
    """Draw samples from a run's generator, its average where one was kept."""

    run: Folder  # the run's folder, or a file of a published StyleGAN2
    n: Count = 64  # how many; with --interpolate, how many paths
    out: Path | None = (
        None  # a file whose ending the kind of data can write; samples and the first such if not given
    )
    seed: Seed = 0  # of the latents
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    label: str | None = None  # the name of the class to ask for; each in turn, a column each, if not given
    psi: float | None = None
    """truncation: latents with |z| < psi alone; of a published StyleGAN2 all, and w by psi from its mean"""
    interpolate: Natural = 0  # samples on each path between two latents; 0: no paths
    trust: bool = False  # run the code that came with the run; you have read it


@dataclass(frozen=True)
class Translate:
    """Answer images by a run's generator, its average where one was kept."""

    run: Folder  # the run's folder
    input: Folder  # an image, a folder of them, or an npz file with `input` or `image` uint8[N, H, W, C]
    out: Path | None = None
    """a file like the input, of several variants a grid; a new folder for a folder; answers in the current
    folder if not given"""
    variants: Count = 1  # answers to each, by other noise
    seed: Seed = 0  # of the noise
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    trust: bool = False  # run the code that came with the run; you have read it


@dataclass(frozen=True)
class Project:
    """Find the latents whose samples are nearest to images of your own, by a run's generator."""

    run: Folder  # the run's folder, or a file of a published StyleGAN2
    input: Folder  # an image, a folder of them, or an npz file with `image` uint8[N, H, W, C], of its size
    out: Path = Path("found.png")  # a .png of each image beside what was found, or a .npz with the latents
    space: Literal["z", "w", "w+"] | None = None
    """z; of a generator with styles w, one for all layers, or w+, one for each, which is its default"""
    steps: Count = 1000  # of Adam
    seed: Seed = 0  # of the search's random moves
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    label: str | None = None  # the name of the images' class; each in turn if not given
    trust: bool = False  # run the code that came with the run; you have read it


@dataclass(frozen=True)
class Anomaly:
    """Score images of your own by how far the nearest is that a run's generator makes: by AnoGAN's search, or
    as its method has it."""

    run: Folder  # the run's folder
    input: Folder  # an image, a folder of them, or an npz file with `image` uint8[N, H, W, C], of its size
    out: Path = Path("anomalies")  # a new folder: scores.csv, and of each image a heat map
    steps: Count | None = None  # of Adam, where the method has no way of its own; 500 if not given
    seed: Seed = 0  # of where searches begin
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    label: str | None = None  # the name of the normal class, of a generator that is given labels
    trust: bool = False  # run the code that came with the run; you have read it


@dataclass(frozen=True)
class Explore:
    """Look into a run's latent space: a film of walks, truncation, styles mixed, directions, path lengths."""

    run: Folder  # the run's folder, or a file of a published StyleGAN2
    out: Path = Path("explored")  # a folder of pictures, walk.gif, and figures.json where there are styles
    n: Count = 8  # latents to look at
    seed: Seed = 0  # of them
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    label: str | None = None  # the name of the class to ask for; each in turn if not given
    trust: bool = False  # run the code that came with the run; you have read it


@dataclass(frozen=True)
class Evaluate:
    """Score a run's checkpoints, or other samples beside the run's data; or one data set beside another."""

    run: Annotated[str, tyro.conf.Positional]
    """the run's folder; or the real data, named as an experiment's --data, to score --images beside"""
    checkpoint: str = "last"  # last, best (of the watched score), a step (0: untrained), or all that are kept
    n: Count = 10_000  # samples
    seed: Seed = 0  # of the latents
    psi: float | None = None  # truncation: latents with |z| < psi alone
    statistics: Literal["running", "standing", "batch"] = "running"
    """of G's batch normalisation: those that training kept, those of many batches at the weights that are
    sampled, or each batch's own"""
    split: str | None = None
    """the real data's, of a TFDS set or a folder; the one that was trained on, or train, if not given"""
    samples: Annotated[str | None, tyro.conf.arg(aliases=["--images"])] = None
    """score these instead, named as an experiment's --data"""
    samples_split: Annotated[str | None, tyro.conf.arg(aliases=["--images-split"])] = None
    """theirs; if not given, test of a TFDS set, and train of a folder that has splits"""
    data: str | None = None  # what the run's --data is called now, if it was moved
    data_dir: str | None = None  # where TFDS sets lie; as the run had it if not given
    trust: bool = False  # run the code that came with the run; you have read it
    out: Path | None = None
    """a .json file for the scores of --images, which `jaxgan compare` takes; without a run NAME.scores.json
    if not given"""


@dataclass(frozen=True)
class Compare:
    """Rank runs by a score, best first, those that differ in the seed alone as one; refused where the scores'
    protocols differ."""

    runs: tyro.conf.Positional[tuple[Path, ...]]  # runs, folders of lanes, sweeps, files of --out
    metric: str | None = None  # the score's name; the first of the first run's if not given
    step: Natural | None = None  # the generators'; each run's newest that was scored if not given
    baseline: Path | None = None  # of several seeds, what the others are beside; the best if not given
    out: Path | None = None
    """a .png of the watched scores while training, or of sweeps on several data sets their performance
    profile; of several seeds, a .md, .csv, .tex or .jsonl of their table"""


@dataclass(frozen=True)
class Report:
    """Show a run at a glance: report.png, and report.html, one page that needs nothing beside it."""

    run: Folder  # the run's folder
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    seed: Seed = 0  # of the latents
    out: Path | None = None  # the folder to write to; the run's if not given
    data: str | None = None  # what the run's --data is called now, if it was moved
    data_dir: str | None = None  # where TFDS sets lie now
    trust: bool = False  # run the code that came with the run; you have read it


@dataclass(frozen=True)
class Export:
    """Write a run's generator, its average where one was kept, as a file that is used without jaxgan."""

    run: Folder  # the run's folder, or a file of a published StyleGAN2
    to: Literal["jax", "safetensors"] = "jax"
    """jax: a function of z and condition with its weights, for jax.export.deserialize; safetensors: the
    weights by their names"""
    out: Path | None = None  # the file; generator.bin or generator.safetensors if not given
    checkpoint: str = "last"  # last, best (of the watched score), or a step
    trust: bool = False  # run the code that came with the run; you have read it


@dataclass(frozen=True)
class Resume:
    """Go on with a run that was interrupted, bit for bit, or train it for longer."""

    run: Folder  # the run's folder
    steps: Count | None = None  # a new number of steps in all
    processes: tyro.conf.OmitArgPrefixes[Processes] = dataclasses.field(default_factory=Processes)
    devices: Natural | None = None  # how many devices to use from now on; 0: all
    data: str | None = None  # what the run's --data is called now, if it was moved
    data_dir: str | None = None  # where TFDS sets lie now
    trust: bool = False  # run the code that came with the run; you have read it


@dataclass(frozen=True)
class List:
    """List runs: method, steps, score, time, and what has gone wrong."""

    root: Folder = Path("runs")  # the folder of all runs


def _methods() -> dict[str, str]:
    """The project's experiments, and the first line of each."""
    files = sorted((origin.PROJECT / "experiments").glob("[a-z]*.py"))
    texts = {file.stem: ast.get_docstring(ast.parse(file.read_text())) for file in files}
    return {name: (text or "").partition("\n")[0] for name, text in texts.items()}


def _usage(command: str, flags: str) -> str:
    lines = [f"  {name:14} {line}" for name, line in _methods().items()]
    return "\n".join(
        [f"usage: jaxgan {command} {flags}; jaxgan {command} NAME --help shows its flags\n", *lines]
    )


def _module_name(name: str) -> str:
    """What a method's module is imported by, from any folder.

    Raises:
      InputError: if it is none.
    """
    own = name.removeprefix("experiments.")
    if own in _methods():
        sys.path.insert(0, str(origin.PROJECT))
        return f"experiments.{own}"
    sys.path.insert(0, str(Path.cwd()))
    try:
        known = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        raise InputError(f"{name} is no file, no module and no method{nearest(name, _methods())}")
    return name


def train_method(argv: list[str]) -> None:
    """`jaxgan train NAME_OR_FILE [--FLAG VALUE ...]`, from any folder: `python -m` or `python` of it."""
    if argv[:1] in ([], ["-h"], ["--help"]):
        print(_usage("train", "NAME_OR_FILE [--FLAG VALUE ...]"))
        return
    name, *flags = argv
    sys.argv = [f"jaxgan train {name}", *flags]
    if Path(name).is_file():
        sys.path.insert(0, str(Path(name).absolute().parent))
        runpy.run_path(name, run_name="__main__")
        return
    runpy.run_module(_module_name(name), run_name="__main__", alter_sys=True)


def sweep_method(argv: list[str]) -> None:
    """`jaxgan sweep NAME_OR_FILE --set FIELD=VALUE,... [--FLAG VALUE ...]`, from any folder."""
    if argv[:1] in ([], ["-h"], ["--help"]):
        print(_usage("sweep", "NAME_OR_FILE --set FIELD=VALUE,... [--FLAG VALUE ...]"))
        return
    if "--watch" in argv:
        from jaxgan.sweeps import watch

        watch.main([text for text in argv if text != "--watch"])
        return
    name, *flags = argv
    if name.startswith("-"):
        raise InputError("name a method first: jaxgan sweep NAME_OR_FILE --set FIELD=VALUE,...")
    from jaxgan import sweeps

    sys.argv = [f"jaxgan sweep {name}", *flags]
    if Path(name).is_file():
        module = origin.imported(Path(name).absolute())
    else:
        module = importlib.import_module(_module_name(name))
    if not (dataclasses.is_dataclass(getattr(module, "Config", None)) and hasattr(module, "make")):
        raise InputError(f"{name} has no Config and make, which a method has")
    sweeps.main(module, argv=flags)


def _which(text: str) -> str | int:
    """A checkpoint, as `sampling.load` takes it."""
    if text not in ("last", "best") and not text.isdecimal():
        raise InputError(f"--checkpoint {text!r}: last, best, or a step")
    return int(text) if text.isdecimal() else text


def _opened(path: Path, trust: bool) -> dict:
    """The record of the run that a command is given, whose code is trusted if the user says so."""
    record = records.read(path)
    if trust:
        origin.trust(record["experiment"], path)
    cache.keep_compilations()
    return record


def _published(path: Path, which: str | int, **options):
    """The generator of a file."""
    from jaxgan import published

    if which != "last":
        raise InputError(f"--checkpoint is of a run; {path} is a file")
    cache.keep_compilations()
    return published.load(path, **options)


def _generator(path: Path, which: str | int, trust: bool):
    """The generator of a run or a file."""
    from jaxgan import sampling

    if path.is_file():
        return _published(path, which)
    _opened(path, trust)
    return sampling.load(path, which)


def _named(generator, path: Path) -> str:
    """Which generator it is, in words."""
    return path.name if path.is_file() else f"step {generator.step}"


def sample(args: Sample) -> None:
    """`jaxgan sample`."""
    import jax

    from jaxgan import run, sampling

    check(args)
    which, psi = _which(args.checkpoint), args.psi
    if args.interpolate and psi is not None:
        raise InputError("--psi and --interpolate do not go together; leave one out")
    if args.run.is_file():
        generator, psi = _published(args.run, which, psi=1.0 if psi is None else psi), None
        kind = generator.kind
    else:
        generator, record = None, _opened(args.run, args.trust)
        kind = run.method(record, args.run)[0].kind
    out = args.out or Path(f"samples{next(iter(kind.write))}")
    sampling.writer(kind, out)
    generator = generator or sampling.load(args.run, which)
    if args.label is not None and generator.gan.condition is None:
        raise InputError("--label: this generator takes no label")
    columns = args.interpolate or None
    generator.save(out, jax.random.key(args.seed), args.n, args.label, psi, columns=columns)
    print(f"{args.n * (columns or 1)} samples of {_named(generator, args.run)} in {out}")


def translate_given(args: Translate) -> None:
    """`jaxgan translate`."""
    import jax

    from jaxgan import sampling, translate

    check(args)
    which = _which(args.checkpoint)
    _opened(args.run, args.trust)
    source = translate.read(args.input, args.run)
    out = args.out or Path(f"answers{translate.SUFFIX[source.form]}")
    translate.check_out(source, out)
    if out.resolve() == args.input.resolve():
        raise InputError(f"--out {out} is the input itself; name another file")
    generator = sampling.load(args.run, which)
    n = translate.write(generator, source, out, jax.random.key(args.seed), args.variants)
    print(f"{n} answers of step {generator.step} in {out}")


def project_given(args: Project) -> None:
    """`jaxgan project`."""
    import jax

    from jaxgan import projector, translate

    check(args)
    which = _which(args.checkpoint)
    if args.out.suffix not in projector.WRITE:
        raise InputError(f"--out {args.out}: a name ending in {' or '.join(projector.WRITE)}")
    if args.out.resolve() == args.input.resolve():
        raise InputError(f"--out {args.out} is the input itself; name another file")
    generator = _generator(args.run, which, args.trust)
    source = translate.read(args.input, None if args.run.is_file() else args.run)
    if args.label is not None and generator.gan.condition is None:
        raise InputError("--label: this generator takes no label")
    images = projector.fitted(generator, source)
    options = dict(space=args.space, steps=args.steps, key=jax.random.key(args.seed))
    found = projector.project(generator, images, condition=args.label, **options)
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        projector.WRITE[args.out.suffix](args.out, found)
    except OSError as e:
        raise InputError(f"--out {args.out} cannot be written ({e.strerror})") from None
    print(f"{len(images)} images, mean distance {found.distance.mean():.3g}, in {args.out}")


def examine_given(args: Anomaly) -> None:
    """`jaxgan anomaly`."""
    import jax

    from jaxgan import anomaly, detector, projector, sampling, translate

    check(args)
    which = _which(args.checkpoint)
    _opened(args.run, args.trust)
    source = translate.read(args.input, args.run)
    translate.check_folder(source, args.out)
    generator = sampling.load(args.run, which, critic=True)
    given = projector.fitted(generator, source)
    examine = detector.examiner(generator, args.label, args.steps)
    found = anomaly.examined(examine, given, jax.random.key(args.seed))
    detector.write(args.out, source, given, found)
    print(
        f"{len(given)} scores of step {generator.step}, {found.score.min():.4g} to {found.score.max():.4g}, "
        f"in {args.out}"
    )


def explore_run(args: Explore) -> None:
    """`jaxgan explore`."""
    import jax

    from jaxgan import explorer

    check(args)
    generator = _generator(args.run, _which(args.checkpoint), args.trust)
    if args.label is not None and generator.gan.condition is None:
        raise InputError("--label: this generator takes no label")
    found = explorer.explore(generator, jax.random.key(args.seed), args.n, args.label)
    try:
        names = explorer.write(args.out, found)
    except OSError as e:
        raise InputError(f"--out {args.out} cannot be written ({e.strerror})") from None
    told = "".join(f"\n{name}: {value:.4g}" for name, value in found.figures.items())
    print(f"{', '.join(names)} of {_named(generator, args.run)} in {args.out}{told}")


def report_run(args: Report) -> None:
    """`jaxgan report`."""
    from jaxgan import report

    check(args)
    which = _which(args.checkpoint)
    _opened(args.run, args.trust)
    where = {"data": args.data, "data_dir": args.data_dir}
    picture, page = report.make(args.run, which, seed=args.seed, out=args.out, **where)
    print(f"figure  {picture}")
    print(f"page    {page}")


def export_run(args: Export) -> None:
    """`jaxgan export`."""
    from jaxgan import export

    check(args)
    generator = _generator(args.run, _which(args.checkpoint), args.trust)
    out = args.out or Path(f"generator{export.FORMATS[args.to]}")
    lines = export.write(generator, args.to, out)
    print("\n".join([f"generator of {_named(generator, args.run)} in {out}", *lines]))


def resume(args: Resume) -> None:
    """`jaxgan resume`."""
    check(args)
    if (args.run / "sweep.json").is_file():
        from jaxgan import sweeps

        if given := [
            name for name in ("steps", "devices", "data", "data_dir") if getattr(args, name) is not None
        ]:
            raise InputError(f"{flag(given[0])} is of a run; to change a sweep, give its own command again")
        if args.processes.distributed:
            raise InputError("--distributed is of a run; processes that are given one sweep share its lanes")
        sweeps.go_on(args.run, trust=args.trust)
        return
    from jaxgan import processes, train

    processes.start(args.processes)
    changes = {"steps": args.steps, "devices": args.devices, "data_dir": args.data_dir}
    changes = {k: v for k, v in changes.items() if v is not None}
    train.resume(args.run, trust=args.trust, data=args.data, **changes)


def _summary(path: Path) -> tuple[str, ...]:
    record = records.read(path)
    steps = f"{max(records.checkpoints(path), default=0)}/{record['config']['steps']}"
    score = minutes = wrong = ""
    if (path / "scores.json").is_file():
        try:
            known = records.scores(path / "scores.json")
        except InputError:
            known = {"scores": []}
            score = "damaged, or of another version"
        newest = max(known["scores"], key=lambda record: record["step"], default=None)
        score = f"{newest['name']} {newest['value']:.2f}" if newest else score
        minutes = f"{known['seconds'] / 60:.1f}" if "seconds" in known else ""
        wrong = ", ".join(trouble.name for trouble in troubles.from_records(known.get("troubles")))
    return str(path), record["data"]["name"], steps, score, minutes, wrong


def list_runs(args: List) -> None:
    """`jaxgan list`."""
    if not args.root.is_dir():
        raise InputError(f"{args.root} is not a folder; runs are made by `python -m experiments.NAME`")
    found = records.find(args.root)
    if not found:
        print(f"no runs in {args.root}")
        return
    rows, damaged = [("run", "data", "steps", "score", "minutes", "trouble")], []
    for path in found:
        try:
            rows.append(_summary(path))
        except (InputError, KeyError, TypeError, ValueError) as e:
            rows.append((str(path), "damaged", "", "", "", ""))
            damaged.append(str(e) if isinstance(e, InputError) else f"{path}: its records do not fit ({e})")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{x:{w}}" for x, w in zip(row, widths, strict=True)).rstrip())
    for line in damaged:
        print(line, file=sys.stderr)


def evaluate_run(args: Evaluate, options) -> None:
    """`jaxgan evaluate`."""
    from jaxgan import evaluate, run
    from jaxgan.data import bad_examples

    check(args)
    check(options)
    if args.out is not None and args.out.suffix != ".json":
        raise InputError(f"--out {args.out}: a name ending in .json")
    if _is_spec(args.run):
        evaluate_sets(args, options)
        return
    args = dataclasses.replace(args, run=Path(args.run))
    if args.samples is not None and args.run.is_dir() and not (args.run / "config.json").exists():
        raise InputError(f"{args.run} is no run's folder; if it holds real images, name it folder:{args.run}")
    record = _opened(args.run, args.trust)
    method, cfg = run.method(record, args.run)
    cfg = run.at(record, cfg, args.data)
    kind, data_dir = method.kind, args.data_dir or record["loop"]["data_dir"]
    evaluate.chosen(args.run, args.checkpoint)

    def of(**changes):
        with bad_examples(record["loop"].get("on_bad_example", "raise")):
            return kind.load(dataclasses.replace(cfg, **changes), data_dir)

    if args.split and not hasattr(cfg, "split"):
        raise InputError(f"--split {args.split}: {record['data']['name']} has no splits")
    real = None if args.split in (None, getattr(cfg, "split", None)) else of(split=args.split)
    seen = run.dataset(record, data_dir, args.data, args.run)
    conditional = method.make(cfg)[0].condition is not None
    if args.samples is None:
        if args.samples_split is not None:
            raise InputError(f"--samples-split {args.samples_split} is of --samples, which is not given")
        if args.out is not None:
            raise InputError(
                f"--out {args.out} is of --samples; a run keeps its scores in {args.run}/scores.json"
            )
        judge = kind.judge(seen, conditional=conditional, options=options, real=real, n=args.n)
        how = {"seed": args.seed, "psi": args.psi, "statistics": args.statistics}
        evaluate.score_run(args.run, seen, judge, args.checkpoint, **how)
        return
    _check_given(args)
    if not hasattr(cfg, "data"):
        raise InputError(f"--samples {args.samples}: {record['data']['name']} is not named by --data")
    split = args.samples_split or ("test" if args.samples.startswith("tfds:") else "train")
    if hasattr(cfg, "split"):
        given = of(data=args.samples, split=split)
    elif args.samples_split is not None:
        raise InputError(f"--samples-split {args.samples_split}: {args.samples} has no splits")
    else:
        given = of(data=args.samples)
    _score_given(given, seen, kind, options, args, real)


def _score_given(given: "Dataset", seen: "Dataset", kind: "Kind", options, args: Evaluate, real=None) -> None:
    """Scores a set beside another, or beside `real`, and tells what of it is not as it was given."""
    from jaxgan import evaluate

    for remark in given.remarks:
        print(f"{given.name}: {remark}")
    if given.size < args.n:
        print(f"{given.name}: all {int(given.size)} {kind.unit} are scored")
    n = int(min(args.n, given.size))
    conditional = evaluate.asked_alike(given, seen, kind)
    judge = kind.judge(seen, conditional=conditional, options=options, real=real, n=n)
    evaluate.score_given(given, seen, kind, judge, args.out)


def _is_spec(text: str) -> bool:
    """Whether it names a data set, and no run's folder."""
    from jaxgan import kinds

    return not Path(text).exists() and (text.partition(":")[0] in kinds.default.specs)


def _check_given(args: Evaluate) -> None:
    if args.checkpoint != "last" or args.seed or args.psi is not None or args.statistics != "running":
        own = "--checkpoint, --seed, --psi and --statistics"
        raise InputError(f"--samples are scored as they are; leave out {own}")


def evaluate_sets(args: Evaluate, options) -> None:
    """`jaxgan evaluate` of one data set beside another, without a run."""
    from jaxgan import kinds

    if args.samples is None:
        raise InputError(f"{args.run} is a data set and no run: name what to score beside it by --images")
    if args.data is not None or args.trust:
        raise InputError(f"--data and --trust are of a run, and {args.run} is none; leave them out")
    _check_given(args)
    kind = kinds.default
    real = kind.read(args.run, options, args.split, args.data_dir)
    for remark in real.remarks:
        print(f"{real.name}: {remark}")
    given = kind.read(args.samples, options, args.samples_split, args.data_dir, real)
    name = re.sub(r"\W+", "_", Path(given.name.partition(":")[2] or given.name).stem)
    args = dataclasses.replace(args, out=args.out or Path(f"{name}.scores.json"))
    _score_given(given, real, kind, options, args)


def compare_runs(args: Compare) -> None:
    """`jaxgan compare`."""
    from jaxgan import compare

    check(args)
    paths = list(args.runs)
    if len(paths) > 1 and all((path / "sweep.json").is_file() for path in paths):
        from jaxgan import sweeps

        if given := [name for name in ("metric", "step", "baseline") if getattr(args, name) is not None]:
            raise InputError(f"{flag(given[0])} is of runs; each of several sweeps has its own table")
        sweeps.compare(paths, args.out)
        return
    entries = compare.ranked(compare.expanded(paths), args.metric, args.step)
    print(compare.table(entries))
    forms = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".jsonl": "jsonl"}
    suffix = None if args.out is None else args.out.suffix
    several = sum(len(entry.members) > 1 for entry in entries)
    if several > 1 or args.baseline is not None or suffix in forms:
        found = compare.over_seeds(entries, args.baseline)
        print(f"\n{found}")
        if suffix in forms:
            _write_text(args.out, getattr(found, forms[suffix])())
            print(f"table     {args.out}")
    if args.out is not None and suffix not in forms:
        compare.curves(args.out, entries)
        print(f"curves    {args.out}")


def _write_text(out: Path, text: str) -> None:
    try:
        out.write_text(text)
    except OSError as e:
        raise InputError(f"--out {out} cannot be written ({e.strerror})") from None


def _kind(argv: list[str]) -> "Kind":
    """Of the first run that the arguments name: its options are flags."""
    from jaxgan import kinds, run

    for text in argv:
        if (Path(text) / "config.json").is_file():
            record = _opened(Path(text), trust="--trust" in argv)
            return run.method(record, Path(text))[0].kind
    return kinds.default


def _evaluate(kind: "Kind") -> type:
    """The arguments of `jaxgan evaluate` for runs on a kind of data."""

    @dataclass(frozen=True)
    class Command:
        own: tyro.conf.OmitArgPrefixes[Evaluate]
        options: tyro.conf.OmitArgPrefixes[kind.options] = field(default_factory=kind.options)

    Command.__doc__ = kind.options.__doc__
    return Command


def _commands(argv: list[str]) -> dict[str, tuple[type, Callable]]:
    evaluation = Evaluate, None
    if argv[:1] == ["evaluate"]:
        evaluation = _evaluate(_kind(argv[1:])), lambda args: evaluate_run(args.own, args.options)
    return {
        "train": (Train, lambda args: train_method([args.method])),
        "sweep": (Sweep, lambda args: sweep_method([args.method])),
        "sample": (Sample, sample),
        "translate": (Translate, translate_given),
        "project": (Project, project_given),
        "anomaly": (Anomaly, examine_given),
        "explore": (Explore, explore_run),
        "evaluate": evaluation,
        "compare": (Compare, compare_runs),
        "report": (Report, report_run),
        "export": (Export, export_run),
        "resume": (Resume, resume),
        "list": (List, list_runs),
    }


def main(argv: list[str] | None = None) -> None:
    """The command `jaxgan`."""
    with reported(own=argv is None):
        _main(sys.argv[1:] if argv is None else argv)
    if argv is None:
        signals.done()


def _main(argv: list[str]) -> None:
    if argv[:1] in (["train"], ["sweep"]):
        {"train": train_method, "sweep": sweep_method}[argv[0]](argv[1:])
        return
    commands = _commands(argv)
    choices = [
        Annotated[cls, tyro.conf.subcommand(name, prefix_name=False, description=cls.__doc__)]
        for name, (cls, _) in commands.items()
    ]
    args = tyro.cli(
        reduce(operator.or_, choices),
        prog="jaxgan",
        description="Train methods, and work with the runs.",
        args=argv,
    )
    next(call for cls, call in commands.values() if cls is type(args))(args)


if __name__ == "__main__":
    main()
