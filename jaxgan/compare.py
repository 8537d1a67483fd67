"""Runs ranked by a score, if their protocols allow it. Runs that differ in the seed alone are one entry."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from jaxgan import evaluate, plots, records
from jaxgan.config import InputError, nearest
from jaxgan.metrics.score import Score, cut, difference, from_record, mean_interval
from jaxgan.results import Outcome, Results, Row
from jaxgan.statistics import badness


class Scored(NamedTuple):
    """A run, or samples without one."""

    path: Path
    step: int | None  # the generator's
    score: Score


class Entry(NamedTuple):
    """Runs of one config: what is ranked."""

    name: str
    members: list[Scored]

    @property
    def value(self) -> float:
        """The mean over the seeds."""
        return mean_interval([member.score.value for member in self.members])[0]

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %: over the seeds by Student's t, or a single run's own, over its samples."""
        if len(self.members) == 1:
            value, ends, _ = self.members[0].score
            return ends or (value, value)
        mean, half = mean_interval([member.score.value for member in self.members])
        return cut((mean - half, mean + half), self.members[0].score.protocol.within)

    @property
    def badness(self) -> float:
        """Less is better."""
        return float(badness(self.value, self.members[0].score.protocol.better))


def expanded(paths: list[Path]) -> list[Path]:
    """The runs and files of scores that are named, each lane of a folder of lanes by itself.

    Raises:
      InputError: if one is no run, no folder of lanes and no file of scores.
    """
    found = []
    for path in [own for given in paths for own in _lane_folders(given)]:
        names, frozen = records.lane_names(path), records.lane_names(path, "failed")
        if frozen:
            print(f"{path}: frozen and left out: {', '.join(sorted(frozen))}")
        left = [path / name for name in names if name not in frozen]
        for own in left if names else [path]:
            if not evaluate.without_run(own):
                records.read(own)
            elif not own.is_file():
                raise InputError(
                    f"{own} is not a file; `jaxgan evaluate SPEC --images SPEC --out {own}` makes it"
                )
            found.append(own)
    return found


def _lane_folders(path: Path) -> list[Path]:
    """The folders of a sweep's configurations, or the path itself."""
    return sorted(p.parent for p in path.glob("*/lanes.json")) if (path / "sweep.json").is_file() else [path]


def _scores(path: Path, step: int | None) -> dict[int, list[Score]]:
    """A run's scores by step, of one step alone if it is given; without a run the step is 0."""
    by_step = {}
    for record in evaluate.read(path)["scores"]:
        by_step.setdefault(record["step"] or 0, []).append(from_record(record))
    if not by_step:
        raise InputError(f"{path} has no scores yet; make them by `jaxgan evaluate {path}`")
    if step is not None and step not in by_step and not evaluate.without_run(path):
        raise InputError(
            f"{path} has no scores of step {step}, but of {sorted(by_step)}; "
            f"make them by `jaxgan evaluate {path} --checkpoint {step}`"
        )
    return by_step if step is None or evaluate.without_run(path) else {step: by_step[step]}


def _of(path: Path, name: str, step: int | None) -> tuple[int, list[Score]]:
    """The newest step with scores of that name, and these."""
    by_step = _scores(path, step)
    own = {at: [s for s in found if s.name == name] for at, found in by_step.items()}
    steps = [at for at, found in own.items() if found]
    if not steps:
        names = {s.name for found in by_step.values() for s in found}
        raise InputError(f"{path} has no {name}, but {', '.join(sorted(names))}{nearest(name, names)}")
    return max(steps), own[max(steps)]


def ranked(paths: list[Path], name: str | None = None, step: int | None = None) -> list[Entry]:
    """Entries, best first, of runs whose scores have one protocol that all of them share.

    Args:
      paths: two or more, as `expanded` has them.
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
        fewest = min(s.protocol.n_fake for _, own in found for s in own)
        how = f"`jaxgan evaluate --n {fewest}`" if apart.startswith("n_fake") else "`jaxgan evaluate`"
        raise InputError(
            f"{name} of {path} and of {paths[0]} are not comparable: {apart}. Score both alike by {how}"
        )
    protocol = max(common, key=lambda s: s.protocol.n_fake)
    rows = [
        Scored(
            path,
            None if evaluate.without_run(path) else at,
            next(s for s in own if difference(s, protocol) is None),
        )
        for path, (at, own) in zip(paths, found, strict=True)
    ]
    return sorted(_entries(rows), key=lambda entry: entry.badness)


def _entries(rows: list[Scored]) -> list[Entry]:
    """Runs of one experiment on the same data whose configs differ in the seed alone, together."""
    groups, seen = {}, set()
    for row in rows:
        if evaluate.without_run(row.path):
            groups[str(row.path)] = [row]
            continue
        record = records.read(row.path)
        config = {k: v for k, v in record["config"].items() if k != "seed"}
        key = json.dumps([record["experiment"]["module"], record["data"]["digest"], config], sort_keys=True)
        while (key, record["config"].get("seed")) in seen:  # the same run again is no other seed
            key += " again"
        seen.add((key, record["config"].get("seed")))
        groups.setdefault(key, []).append(row)
    names = [_called([str(row.path) for row in own]) for own in groups.values()]
    return [
        Entry(name if names.count(name) == 1 else ", ".join(str(row.path) for row in own), own)
        for name, own in zip(names, groups.values(), strict=True)
    ]


def _called(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{os.path.commonprefix(paths)}*"


def table(entries: list[Entry]) -> str:
    """The ranking as lines. One whose interval meets that of the one before is marked."""
    lines, before = [], None
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        low, high = entry.interval
        alike = before is not None and low <= before[1] and before[0] <= high
        mark = "  not told apart from the one above" if alike else ""
        steps = sorted({member.step for member in entry.members if member.step is not None})
        at = f"step {' to '.join(map(str, steps[:1] + steps[1:][-1:]))}" if steps else ""
        seeds = f"  {len(entry.members)} seeds" if len(entry.members) > 1 else ""
        lines.append(
            f"{entry.name:{width}}  {at:<13} {entry.value:<9.4g} {low:.4g} to {high:.4g}{seeds}{mark}"
        )
        before = low, high
    score = entries[0].members[0].score
    head = [f"{score.name}, {score.protocol.better} is better: {score.protocol}"]
    if any(len(entry.members) > 1 for entry in entries):
        head.append(
            "of several seeds: the mean and its interval of 95 % over them; of one: that over its samples"
        )
    return "\n".join([*head, *lines])


def over_seeds(entries: list[Entry], baseline: Path | None = None) -> Results:
    """The table of an ablation, of entries of runs, best first: a row an entry, by the fields in which their
    configs differ.

    Args:
      baseline: a run of the entry that the others are compared with; the best one's if None.

    Raises:
      InputError: if no entry has it.
    """
    configs = [_config(entry.members[0].path) for entry in entries]
    fields = [f for f in configs[0] if len({json.dumps(c.get(f)) for c in configs}) > 1]
    whole = len({json.dumps([c.get(f) for f in fields]) for c in configs}) == len(configs)
    rows = tuple(
        Row({f: config.get(f) for f in fields} if fields and whole else {"run": entry.name}, _outcomes(entry))
        for entry, config in zip(entries, configs, strict=True)
    )
    first = 0
    if baseline is not None:
        at = [i for i, entry in enumerate(entries) for m in entry.members if m.path.is_relative_to(baseline)]
        if not at:
            raise InputError(f"--baseline {baseline} is none of the runs that are compared")
        first = at[0]
    score = entries[0].members[0].score
    return Results("", score.name, {score.name: score.protocol}, rows, rows[first].config)


def _config(path: Path) -> dict:
    return {} if evaluate.without_run(path) else {**records.read(path)["config"], "seed": None}


def _outcomes(entry: Entry) -> tuple[Outcome, ...]:
    found = []
    for i, (path, step, score) in enumerate(entry.members):
        seed = i if step is None else records.read(path)["config"].get("seed", i)
        found.append(Outcome(seed, {score.name: score.value}, folder=str(path)))
    return tuple(sorted(found, key=lambda own: own.seed))


def curves(path: Path, entries: list[Entry]) -> None:
    """A picture of the watched scores over the steps: every run's, and the mean of each entry.

    Raises:
      InputError: if there are none, or it cannot be written.
    """
    runs = {
        entry.name: {str(m.path): records.rows(m.path) for m in entry.members if m.step is not None}
        for entry in entries
    }
    try:
        if not plots.lanes(path, {name: own for name, own in runs.items() if own}, "scores while training"):
            raise InputError(f"--out {path}: no run has a score of --evaluate-every to draw")
    except (OSError, ValueError) as e:
        if isinstance(e, InputError):
            raise
        raise InputError(f"--out {path} cannot be written ({e}); a name ending in .png can") from None
