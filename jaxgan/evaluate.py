"""Scores of a run's checkpoints, or of any other images beside the run's data."""

import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxgan import cache, plots, run
from jaxgan.config import InputError
from jaxgan.data import Dataset, load
from jaxgan.metrics import features, scores
from jaxgan.metrics.reference import Reference, measure, reference
from jaxgan.metrics.score import Score, from_record, to_record
from jaxgan.random import fold

USUAL = ("fd", "kd", "precision_recall", "density_coverage", "memorisation", "diversity")


class Plan(NamedTuple):
    """What is asked of images."""

    train: Dataset  # that the generator has seen
    parts: list[tuple[Reference, list[str]]]  # the metrics on each of the features
    groups: int  # of samples, left out in turn for the intervals


def plan(
    train: Dataset, real: Dataset, spaces, metrics, *, conditional, resize="legacy", pairs=5000, groups=10
) -> Plan:
    """References and metrics that go together; what is not named after features is on the first alone.

    Args:
      real: the reference's images.
      spaces: of `features.KINDS`; none: the classifier's, or cells where there are no labels.
      metrics: of `scores.METRICS`; none: the usual.
      conditional: whether the images to be scored have labels.

    Raises:
      InputError: if a metric or a feature is unknown or cannot be had.
    """
    spaces = [features.named(s, train, resize) for s in spaces] or [features.usual(train)]
    parts = []
    for space in spaces:
        ref = reference(real, space, train=train, pairs=pairs)
        asked = list(metrics) or [*USUAL, *(["agreement"] if conditional and ref.tells_classes else [])]
        scores.check(asked, ref, conditional=conditional)
        parts.append((ref, [m for m in asked if not parts or scores.METRICS[m].named]))
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
      InputError: if there is no such checkpoint, or a score cannot be taken; scores.json is then as it was.
    """
    if not (checkpoint in ("last", "best", "all") or checkpoint.isdigit()):
        raise InputError(f"--checkpoint {checkpoint!r}: last, best, all, or a step")
    if checkpoint == "all":
        chosen = run.checkpoints(path) or ["last"]
    else:
        chosen = [int(checkpoint) if checkpoint.isdigit() else checkpoint]
    read(path)
    found = []
    for which in chosen:
        generator = run.load(path, which)
        label = run.drawn_labels(plan.train, n) if generator.classes else None
        images = plots.to_uint8(generator.sample(fold(jax.random.key(seed), "scores"), n, label, psi))
        sampling = scores.Sampling("EMA" if generator.averaged else "live", seed, psi)
        these = score(plan, images, label, sampling)
        print(f"step {generator.step}\n{scores.table(these)}", flush=True)
        found += [(generator.step, one) for one in these]
    remember(path, found)
    if len(chosen) > 1:
        plots.scores(path / "evaluation.png", found, f"{path.parent.name}/{path.name} over its checkpoints")
        print(f"picture   {path / 'evaluation.png'}")
    print(f"scores    {path / 'scores.json'}")
    return found


def score_images(plan: Plan, spec: str, split: str, data_dir: str | None, n: int) -> list[Score]:
    """Scores the images of a data set, at most n of them at random, as if they had been generated.

    Args:
      spec, split, data_dir: as `data.load` takes them.
    """
    _, size, _, channels = plan.train.image.shape
    given = load(spec, image_size=size, channels=channels, split=split, data_dir=data_dir)
    rows = np.random.default_rng(1).permutation(len(given.image))[:n]
    label = None if given.label is None else given.label[rows]
    found = score(plan, given.image[rows], label, scores.Sampling(f"images of {given.name}"))
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
            from_record(record)
    except FileNotFoundError:
        return {"scores": []}
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(f"{file} is damaged ({e}); move it away and evaluate again") from None
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

    known, anew = read(path), [to_record(one, step) for step, one in found]
    places = {place(record) for record in anew}
    kept = [record for record in known["scores"] if place(record) not in places]
    known = known | facts | {"scores": [*kept, *anew]}
    cache.write(path / "scores.json", (json.dumps(known, indent=2) + "\n").encode())
    return known
