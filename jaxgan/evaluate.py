"""Scores of a run's checkpoints, or of any other samples beside the run's data."""

import fcntl
import json
from pathlib import Path

import jax

from jaxgan import methods, plots, records, sampling
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.kinds import Judge, Kind, Made
from jaxgan.metrics.score import Sampling, Score, from_record, table, to_record
from jaxgan.random import fold


def score_run(
    path: Path,
    data: Dataset,
    judge: Judge,
    checkpoint: str = "last",
    *,
    seed: int = 0,
    psi: float | None = None,
) -> list[tuple[int, Score]]:
    """Scores a run's generator, and adds them to its scores.json; over several checkpoints, draws them too.

    Args:
      data: what it was trained on.
      checkpoint: last, best, all, or a step.
      psi: truncates the latent to |z| < psi.

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
        made = generator.made(key, judge.n, generator.drawn(data, judge.n), psi)
        how = Sampling("EMA" if generator.averaged else "live", seed, psi)
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


def score_given(given: Dataset, train: Dataset, kind: Kind, judge: Judge) -> list[Score]:
    """Scores the examples of a data set, `judge.n` of them at random, as if they had been generated."""
    found = given.examples(judge.n, seed=1)
    asked = {k: found[k] for k in kind.ask(given)} if asked_alike(given, train, kind) else None
    how = Sampling(f"{kind.unit} of {given.name} {given.digest}", batch_norm="none")
    found = judge.scores(Made(found[kind.of], asked, None, 0), how)
    print(table(found))
    return found


def asked_alike(given: Dataset, train: Dataset, kind: Kind) -> bool:
    """Whether what a generator is asked for means the same in both sets."""
    mine, theirs = kind.ask(given), kind.ask(train)
    same = given.facts == train.facts and mine.keys() == theirs.keys()
    return bool(mine) and same


def read(path: Path) -> dict:
    """A run's scores.json, or the beginning of one.

    Raises:
      InputError: if it is damaged.
    """
    file = path / "scores.json"
    try:
        known = records.parsed(file.read_bytes())
        for record in known["scores"]:
            from_record(record), int(record["step"])
    except FileNotFoundError:
        return {"scores": []}
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(
            f"{file} is damaged or of another version ({e}); move it away and evaluate again"
        ) from None
    return known


def remember(path: Path, found: list[tuple[int, Score]], **facts) -> dict:
    """Adds scores to a run's scores.json, in the place of older ones of the same step and protocol.

    Args:
      facts: what else is to be set there.

    Returns:
      All that it holds now.
    """

    def place(record):
        return record["step"], json.dumps(record["protocol"], sort_keys=True)

    with (path / "scores.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read(path)
        placed = {place(record): record for record in known["scores"]}
        placed |= {place(record): record for record in (to_record(one, step) for step, one in found)}
        known = known | facts | {"scores": list(placed.values())}
        records.write(path / "scores.json", known)
    return known
