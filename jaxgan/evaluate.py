"""Scores of a run's checkpoints, or of any other samples beside the run's data."""

import fcntl
import json
from pathlib import Path

import jax

from jaxgan import methods, plots, records, sampling, standing
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.kinds import Judge, Kind, Made
from jaxgan.metrics.score import Sampling, Score, from_record, table, to_record
from jaxgan.random import fold
from jaxgan.standing import Statistics


def score_run(
    path: Path,
    data: Dataset,
    judge: Judge,
    checkpoint: str = "last",
    *,
    seed: int = 0,
    psi: float | None = None,
    statistics: Statistics = "running",
) -> list[tuple[int, Score]]:
    """Scores a run's generator, and adds them to its scores.json; over several checkpoints, draws them too.

    Args:
      data: what it was trained on.
      checkpoint: last, best, all, or a step.
      psi: truncates the latent to |z| < psi.
      statistics: of G's batch normalisation; see `sampling.Generator.by_statistics`.

    Returns:
      Each score with its generator's step.

    Raises:
      InputError: if there is no such checkpoint, or a score cannot be taken; those of the checkpoints before
        it are kept.
    """
    steps = chosen(path, checkpoint)
    read(path)
    found = []
    for which in steps:
        generator = sampling.load(path, which, critic=True)
        key = fold(jax.random.key(seed), "scores")
        if statistics != "running":
            condition, passed = generator.gan.condition, standing.PASSES * generator.config.batch_size
            asked = None if condition is None else sampling.drawn(data, generator.kind, passed)[condition]
            generator = generator.by_statistics(statistics, fold(key, "statistics"), asked, psi)
        made = generator.made(key, judge.n, generator.drawn(data, judge.n), psi)
        how = Sampling("EMA" if generator.averaged else "live", seed, psi, generator.batch_norm)
        these = [(generator.step, one) for one in judge.scores(made, how)]
        remember(path, these)
        print(f"step {generator.step}\n{table([one for _, one in these])}", flush=True)
        found += these
    if len(steps) > 1:
        name = methods.name_of(records.read(path)["experiment"])
        plots.scores(path / "evaluation.png", found, f"{name}/{path.name} over its checkpoints")
        print(f"picture   {path / 'evaluation.png'}")
    print(f"scores    {path / 'scores.json'}")
    return found


def chosen(path: Path, checkpoint: str) -> list[str | int]:
    """What `sampling.load` takes, for last, best, a step, or all that are kept."""
    if checkpoint == "all":
        return records.checkpoints(path) or ["last"]
    if not (checkpoint in ("last", "best") or checkpoint.isdecimal()):
        raise InputError(f"--checkpoint {checkpoint!r}: last, best, all, or a step")
    return [int(checkpoint) if checkpoint.isdecimal() else checkpoint]


def score_given(
    given: Dataset, train: Dataset, kind: Kind, judge: Judge, out: Path | None = None
) -> list[Score]:
    """Scores the examples of a data set, `judge.n` of them at random, as if they had been generated.

    Args:
      out: a file ending in .json that keeps the scores, with those it has; None: none does.

    Raises:
      InputError: if no score can be taken, or the file holds those of other samples or cannot be written.
    """
    own = {"samples": _name(given), "reference": _name(train)}
    known = {} if out is None else read(out)
    if known.get("of", own) != own:
        raise InputError(f"{out} holds scores of {known['of']['samples']}; choose another --out")
    found = given.examples(judge.n, seed=1)
    asked = {k: found[k] for k in kind.ask(given)} if asked_alike(given, train, kind) else None
    made = ", ".join(filter(None, [f"{kind.unit} as given", given.resized]))
    scores = judge.scores(Made(found[kind.of], asked, None, 0), Sampling(made, batch_norm="none"))
    print(f"{_name(given)} beside {_name(train)}\n{table(scores)}")
    if out is not None:
        try:
            remember(out, [(None, score) for score in scores], of=own)
        except OSError as e:
            raise InputError(f"--out {out} cannot be written ({e.strerror})") from None
        print(f"scores    {out}")
    return scores


def _name(data: Dataset) -> str:
    return f"{data.name} {data.digest}"


def asked_alike(given: Dataset, train: Dataset, kind: Kind) -> bool:
    """Whether what a generator is asked for means the same in both sets."""
    mine, theirs = kind.ask(given), kind.ask(train)
    return bool(mine) and given.facts == train.facts and mine.keys() == theirs.keys()


def without_run(path: Path) -> bool:
    """Whether it names a file of scores, and no run's folder."""
    return path.suffix == ".json" and not path.is_dir()


def file_of(path: Path) -> Path:
    """Where the scores of a run are, or of samples without one."""
    return path if without_run(path) else path / "scores.json"


def read(path: Path) -> dict:
    """A run's scores.json, or a file of scores, or the beginning of one.

    Raises:
      InputError: if it is damaged or cannot be read.
    """
    known = records.scores(file_of(path))
    try:
        for record in known["scores"]:
            from_record(record)
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(
            f"{file_of(path)} is of another version ({e}); move it away and evaluate again"
        ) from None
    return known


def remember(path: Path, found: list[tuple[int | None, Score]], **facts) -> dict:
    """Adds scores to a run's scores.json, or to a file, in the place of older ones of the same step and
    protocol.

    Args:
      facts: what else is to be set there.

    Returns:
      All that it holds now.
    """

    def place(record):
        return record["step"], json.dumps(record["protocol"], sort_keys=True)

    file = file_of(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    lock_name = f".{file.stem}.lock" if without_run(path) else f"{file.stem}.lock"
    with file.with_name(lock_name).open("a") as lock:  # which empties nothing, if it is a link
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read(path)
        placed = {place(record): record for record in known["scores"]}
        placed |= {place(record): record for record in (to_record(one, step) for step, one in found)}
        known = json.loads(json.dumps(known | facts | {"scores": list(placed.values())}))
        records.write(file, known)
    return known
