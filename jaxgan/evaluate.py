"""Scores of a run's checkpoints, or of any other images beside the run's data."""

import fcntl
import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxgan import cache, plots, run
from jaxgan.config import InputError, one_of
from jaxgan.data import Dataset
from jaxgan.metrics import features, scores
from jaxgan.metrics.reference import Reference, measure, reference
from jaxgan.metrics.score import Score, from_record, to_record
from jaxgan.random import fold


class Plan(NamedTuple):
    """What is asked of images."""

    train: Dataset  # that the generator has seen
    parts: list[tuple[Reference, list[str]]]  # the metrics on each of the features
    groups: int  # of samples, left out in turn for the intervals


def _usual(ref: Reference, n: int, conditional: bool) -> list[str]:
    """The metrics if none are named, of those that so many samples and the data can have."""
    fewest = min(n, len(ref.rows.image))
    more = {"kd": 2, "precision_recall": 4, "density_coverage": 6}  # rows that they need
    first, *others = scores.usual(ref, conditional=conditional)
    return [first, *(metric for metric, needed in more.items() if fewest >= needed), *others]


def plan(
    train: Dataset,
    real: Dataset,
    spaces,
    metrics,
    *,
    n: int,
    conditional: bool,
    resize: str = "legacy",
    pairs: int = 5000,
    groups: int = 10,
) -> Plan:
    """References and metrics that go together; what is not named after features is on the first alone.

    Args:
      real: the reference's images.
      spaces: of `features.KINDS`; none: the classifier's, or cells where there are no labels.
      metrics: of `scores.METRICS`; none: the usual.
      n: how many images there will be.
      conditional: whether they will have labels.

    Raises:
      InputError: if a metric or a feature is unknown or cannot be had.
    """
    if groups == 1:
        raise InputError("--groups 1: an interval takes 2 or more groups; 0 takes none")
    for metric in metrics:
        one_of("--metrics", metric, scores.METRICS)
    parts = []
    for i, space in enumerate([features.named(s, train, resize) for s in spaces] or [features.usual(train)]):
        asked = [m for m in metrics if i == 0 or scores.METRICS[m].named]
        scores.check(asked, space.kind, real, conditional=conditional)
        ref = reference(real, space, train=train, pairs=pairs)
        if not metrics:
            asked = [m for m in _usual(ref, n, conditional) if i == 0 or scores.METRICS[m].named]
        if asked:
            parts.append((ref, asked))
    return Plan(train, parts, groups)


def score(plan: Plan, images, label, sampling: scores.Sampling) -> list[Score]:
    """The planned scores of images uint8[N, S, S, C], asked for with label i32[N] if they were."""
    found = []
    for ref, metrics in plan.parts:
        fake = measure(ref, images, label)
        found += scores.evaluate(ref, fake, metrics, sampling, groups=plan.groups)
    return found


def score_run(
    path: Path,
    plan: Plan,
    checkpoint: str = "last",
    *,
    n: int = 10_000,
    seed: int = 0,
    psi: float | None = None,
) -> list[tuple[int, Score]]:
    """Scores a run's generator, and adds them to its scores.json; over several checkpoints, draws them too.

    Args:
      checkpoint: last, best, all, or a step.
      n: samples; with the labels, if it takes any, as frequent as in the data.
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
        generator = run.load(path, which)
        label = run.drawn_labels(plan.train, n) if generator.classes else None
        images = plots.to_uint8(generator.sample(fold(jax.random.key(seed), "scores"), n, label, psi))
        sampling = scores.Sampling("EMA" if generator.averaged else "live", seed, psi)
        these = [(generator.step, one) for one in score(plan, images, label, sampling)]
        remember(path, these)
        print(f"step {generator.step}\n{scores.table([one for _, one in these])}", flush=True)
        found += these
    if len(steps) > 1:
        plots.scores(path / "evaluation.png", found, f"{path.parent.name}/{path.name} over its checkpoints")
        print(f"picture   {path / 'evaluation.png'}")
    print(f"scores    {path / 'scores.json'}")
    return found


def chosen(path: Path, checkpoint: str) -> list[str | int]:
    """What `run.load` takes, for last, best, a step, or all that are kept."""
    if checkpoint == "all":
        return run.checkpoints(path) or ["last"]
    if not (checkpoint in ("last", "best") or checkpoint.isdecimal()):
        raise InputError(f"--checkpoint {checkpoint!r}: last, best, all, or a step")
    return [int(checkpoint) if checkpoint.isdecimal() else checkpoint]


def score_images(plan: Plan, given: Dataset, n: int) -> list[Score]:
    """Scores the images of a data set, at most n of them at random, as if they had been generated."""
    rows = np.random.default_rng(1).permutation(len(given.image))[:n]
    label = given.label[rows] if given.classes and given.classes == plan.train.classes else None
    sampling = scores.Sampling(f"images of {given.name} {given.digest}", batch_norm="none")
    found = score(plan, given.image[rows], label, sampling)
    print(scores.table(found))
    return found


def read(path: Path) -> dict:
    """A run's scores.json, or the beginning of one.

    Raises:
      InputError: if it is damaged.
    """
    file = path / "scores.json"
    try:
        known = json.loads(file.read_text())
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
        records = {place(record): record for record in known["scores"]}
        records |= {place(record): record for record in (to_record(one, step) for step, one in found)}
        known = known | facts | {"scores": list(records.values())}
        cache.write(path / "scores.json", (json.dumps(known, indent=2) + "\n").encode())
    return known
