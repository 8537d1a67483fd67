"""Runs ranked by a score, if their protocols allow it."""

from pathlib import Path

from jaxgan import evaluate
from jaxgan.config import InputError, nearest
from jaxgan.metrics.score import Score, difference, from_record


def _scores(path: Path, step: int | None) -> dict[int, list[Score]]:
    """A run's scores by step, of one step alone if it is given."""
    by_step = {}
    for record in evaluate.read(path)["scores"]:
        by_step.setdefault(record["step"], []).append(from_record(record))
    if not by_step:
        raise InputError(f"{path} has no scores yet; make them by `jaxgan evaluate {path}`")
    if step is not None and step not in by_step:
        raise InputError(
            f"{path} has no scores of step {step}, but of {sorted(by_step)}; "
            f"make them by `jaxgan evaluate {path} --checkpoint {step}`"
        )
    return by_step if step is None else {step: by_step[step]}


def _of(path: Path, name: str, step: int | None) -> tuple[int, list[Score]]:
    """The newest step with scores of that name, and these."""
    by_step = _scores(path, step)
    own = {at: [s for s in found if s.name == name] for at, found in by_step.items()}
    steps = [at for at, found in own.items() if found]
    if not steps:
        names = {s.name for found in by_step.values() for s in found}
        raise InputError(f"{path} has no {name}, but {', '.join(sorted(names))}{nearest(name, names)}")
    return max(steps), own[max(steps)]


def ranked(
    paths: list[Path], name: str | None = None, step: int | None = None
) -> list[tuple[Path, int, Score]]:
    """Runs, best first, each with a step and its score under a protocol that all of them have.

    Args:
      paths: the runs' folders, two or more.
      name: the score's; the first score of the first run if None.
      step: the generators'; each run's newest that was scored if None.

    Raises:
      InputError: if a run has not that score, or there is no protocol that they all have; it names the first
        difference.
    """
    if len(paths) < 2:
        raise InputError("a comparison takes two runs or more")
    if name is None:
        by_step = _scores(paths[0], step)
        name = by_step[max(by_step)][0].name
    found = [_of(path, name, step) for path in paths]
    common = [s for s in found[0][1] if all(any(difference(s, o) is None for o in own) for _, own in found)]
    if not common:
        first = found[0][1][-1]
        pairs = [(path, difference(own[-1], first)) for path, (_, own) in zip(paths, found, strict=True)]
        path, apart = next(pair for pair in pairs if pair[1])
        raise InputError(
            f"{name} of {path} and of {paths[0]} are not comparable: {apart}. "
            "Score both alike by `jaxgan evaluate`"
        )
    protocol = max(common, key=lambda s: s.protocol.n_fake)
    rows = [
        (path, at, next(s for s in own if difference(s, protocol) is None))
        for path, (at, own) in zip(paths, found, strict=True)
    ]
    return sorted(rows, key=lambda row: _badness(row[2]))


def _badness(score: Score) -> float:
    kind, _, target = score.protocol.better.partition(" to ")
    return {"lower": score.value, "higher": -score.value}.get(kind, abs(score.value - float(target or 0)))


def table(rows: list[tuple[Path, int, Score]]) -> str:
    """The ranking as lines. One whose interval meets that of the one before is marked."""
    lines, before = [], None
    width = max(len(str(path)) for path, _, _ in rows)
    for path, step, score in rows:
        low, high = score.interval or (score.value, score.value)
        alike = before is not None and low <= before[1] and before[0] <= high
        mark = "  not told apart from the one above" if alike else ""
        lines.append(f"{path!s:{width}}  step {step:<8} {score.value:<9.4g} {low:.4g} to {high:.4g}{mark}")
        before = low, high
    score = rows[0][2]
    return "\n".join([f"{score.name}, {score.protocol.better} is better: {score.protocol}", *lines])
