"""The table of an ablation: a row a configuration, over seeds, and beside a baseline of the same seeds."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan.config import InputError, nearest
from jaxgan.metrics.score import Protocol
from jaxgan.statistics import FEWEST, Summary, Versus, badness, holm, logarithmic, summary, versus

CSV = (  # the columns of table.csv, after the fields
    "metric planned n mean low high median worst failed pairs difference difference_low difference_high "
    "better p p_holm seeds_needed"
).split()


class Outcome(NamedTuple):
    """What became of one seed under one configuration."""

    seed: int
    figures: dict[str, float]  # its scores by name; {} if it was frozen or dropped
    failed: str | None = None  # why it was frozen
    dropped: int | None = None  # the step at which it was stopped in favour of others
    folder: str = ""  # of the run
    troubles: tuple[str, ...] = ()  # the names of what went wrong in it
    pace: float | None = None  # seconds a step that it had the devices


@dataclass(frozen=True)
class Row:
    """A configuration."""

    config: dict[str, Any]  # the fields in which configurations differ
    outcomes: tuple[Outcome, ...]  # by their seeds

    @property
    def label(self) -> str:
        """The configuration as text."""
        return ", ".join(f"{name}={told(value)}" for name, value in self.config.items()) or "as it is"

    @property
    def failed(self) -> list[Outcome]:
        """Those that were frozen."""
        return [own for own in self.outcomes if own.failed is not None]

    def values(self, metric: str) -> dict[int, float]:
        """The scores of that name by seed."""
        return {own.seed: own.figures[metric] for own in self.outcomes if metric in own.figures}


def told(value) -> str:
    """A field's value in short, and without loss."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "-".join(map(told, value)) if isinstance(value, tuple | list) else str(value)


class Compared(NamedTuple):
    """A row's figures."""

    row: Row
    summary: Summary | None  # None where no seed has the score
    versus: Versus | None  # None of the baseline, and where there is no pair
    p: float | None  # corrected for the number of rows


@dataclass(frozen=True)
class Results:
    """An ablation's outcomes, and their table in several forms."""

    title: str
    metric: str  # by which the rows are compared
    protocols: dict[str, Protocol]  # of each score
    rows: tuple[Row, ...]
    baseline: dict[str, Any] | None = None  # the configuration that the others are compared with
    seeds: int = 0  # of each configuration, as planned

    @property
    def fields(self) -> list[str]:
        """The fields in which configurations differ."""
        return list(self.rows[0].config) if self.rows else []

    @property
    def failed(self) -> list[tuple[Row, Outcome]]:
        """Each lane that was frozen, and its row."""
        return [(row, own) for row in self.rows for own in row.failed]

    def logarithmic(self, metric: str) -> bool:
        """Whether a score is summarised by its logarithm."""
        every = [x for row in self.rows for x in row.values(metric).values()]
        return logarithmic(every, self.protocols[metric].within)

    @property
    def _by_ratio(self) -> bool:
        """Whether rows are compared by a ratio, as `statistics.versus` has it."""
        if self.metric not in self.protocols or self.protocols[self.metric].better.startswith("nearer"):
            return False
        return self.logarithmic(self.metric)

    @cached_property
    def compared(self) -> list[Compared]:
        """The rows' figures. Comparisons are between the seeds that both have."""
        if self.metric not in self.protocols:
            return [Compared(row, None, None, None) for row in self.rows]
        protocol, log = self.protocols[self.metric], self.logarithmic(self.metric)
        base = next((row for row in self.rows if row.config == self.baseline), None)
        found = []
        for row in self.rows:
            own = row.values(self.metric)
            of = (
                summary(list(own.values()), better=protocol.better, within=protocol.within, log=log)
                if own
                else None
            )
            theirs = {} if base is None or row is base else base.values(self.metric)
            both = [seed for seed in own if seed in theirs]
            pair = [own[seed] for seed in both], [theirs[seed] for seed in both]
            found.append((row, of, versus(*pair, better=protocol.better, log=log) if both else None))
        at = [i for i, (*_, against) in enumerate(found) if against is not None and against.p is not None]
        corrected = dict(zip(at, holm([found[i][2].p for i in at]), strict=True))
        return [Compared(*each, corrected.get(i)) for i, each in enumerate(found)]

    def badness(self, value: float) -> float:
        """A value of the metric so that less is better."""
        return float(badness([value], self.protocols[self.metric].better)[0])

    @property
    def best(self) -> Row | None:
        """The row with the best mean."""
        known = [
            (self.badness(c.summary.mean), i) for i, c in enumerate(self.compared) if c.summary is not None
        ]
        return self.compared[min(known)[1]].row if known else None

    def notes(self) -> list[str]:
        """What the table means, and what is missing from it."""
        if self.metric not in self.protocols:
            lines = [f"no run has the score {self.metric} yet"]
        else:
            protocol, log = self.protocols[self.metric], self.logarithmic(self.metric)
            scale = "geometric mean over seeds, interval of 95 % by Student's t on the logarithm"
            plain = "mean over seeds, interval of 95 % by Student's t"
            lines = [f"{self.metric}, {protocol.better} is better: {scale if log else plain}", str(protocol)]
        if any(c.versus is not None for c in self.compared):
            nearer = self.protocols[self.metric].better.startswith("nearer")
            ratio = "ratio" if self._by_ratio else "difference" + " of the distances to what is best" * nearer
            lines.append(
                f"against {Row(self.baseline, ()).label}: the paired {ratio} with its interval of 95 %; how "
                "many of 100 pairs of seeds are better; the exact sign-flip p, by Holm for all rows; and the "
                "seeds that this difference takes for a power of 0.8"
            )
            few = sorted(
                {c.versus.pairs for c in self.compared if c.versus is not None and c.versus.p is None}
            )
            lines += [
                f"{n} pair{'s' * (n > 1)} cannot reach p = 0.05 (the least is {2 / 2**n:.3g}): {FEWEST} can"
                for n in few
            ]
        for row, own in self.failed:
            lines.append(f"failed, and in no mean: {row.label}, seed {own.seed}: {own.failed}")
        for row in self.rows:
            if wrong := _alike([name for own in row.outcomes for name in own.troubles]):
                each = ", ".join(f"{name} ({n} of {len(row.outcomes)} seeds)" for name, n in wrong)
                lines.append(f"warning: {row.label}: {each}")
            if steps := {own.dropped for own in row.outcomes if own.dropped is not None}:
                lines.append(f"stopped in favour of others: {row.label}, at step {max(steps)}")
        return lines

    def columns(self) -> list[str]:
        """The table's heading."""
        against = ["against the baseline", "95 %", "better in", "p", "seeds needed"]
        compared = any(c.versus is not None for c in self.compared)
        failed = ["failed"] if self.failed else []
        return [
            *self.fields,
            "seeds",
            self.metric,
            "95 %",
            "median",
            "worst",
            *failed,
            *(against if compared else []),
        ]

    def cells(self) -> list[list[str]]:
        """The table's rows, as text."""
        columns, lines = self.columns(), []
        for row, of, against, p in self.compared:
            planned = max(self.seeds, len(row.outcomes))
            n = 0 if of is None else of.n
            line = [told(value) for value in row.config.values()]
            line.append(str(n) if n == planned else f"{n} of {planned}")
            line += (
                ["", "", "", ""]
                if of is None
                else [f"{of.mean:.4g}", _ends(of.interval), f"{of.median:.4g}", f"{of.worst:.4g}"]
            )
            if self.failed:
                line.append(str(len(row.failed) or ""))
            if against is not None:
                p = f"{p:.2g}" if p is not None else f"{against.pairs} pairs are too few"
                line += [
                    f"x {against.difference:.3g}" if self._by_ratio else f"{against.difference:+.3g}",
                    _ends(against.interval),
                    f"{100 * against.better:.0f} %",
                    p,
                    "" if against.needed is None else str(against.needed),
                ]
            lines.append(line + [""] * (len(columns) - len(line)))
        return lines

    def others(self) -> tuple[list[str], list[list[str]]]:
        """The heading and the rows of the other scores: each mean with its interval."""
        names = [name for name in self.protocols if name != self.metric]
        lines = []
        for row in self.rows:
            line = [told(value) for value in row.config.values()]
            for name in names:
                own, protocol = list(row.values(name).values()), self.protocols[name]
                if not own:
                    line.append("")
                    continue
                of = summary(own, better=protocol.better, within=protocol.within, log=self.logarithmic(name))
                line.append(f"{of.mean:.3g}" + (f" ({_ends(of.interval)})" if of.interval else ""))
            lines.append(line)
        return [*self.fields, *names], lines

    def markdown(self) -> str:
        """The tables and their notes."""
        best = self.best
        lines = self.cells()
        for line, row in zip(lines, self.rows, strict=True):
            if row is best and len(self.rows) > 1:
                at = len(self.fields) + 1
                line[at] = f"**{line[at]}**"
        parts = [
            f"# {self.title}",
            _pipes(self.columns(), lines),
            "\n".join(f"- {line}" for line in self.notes()),
        ]
        columns, others = self.others()
        if len(columns) > len(self.fields):
            parts += ["## Other scores", _pipes(columns, others)]
        return "\n\n".join(parts) + "\n"

    _repr_markdown_ = markdown

    def __str__(self) -> str:
        """The first table as aligned text, and its notes."""
        lines = [self.columns(), *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(f"{x:{w}}" for x, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([*text, *self.notes()])

    def csv(self) -> str:
        """The rows with all their figures, as numbers."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*self.fields, *CSV])
        for row, of, against, p in self.compared:
            own = [*[told(v) for v in row.config.values()], self.metric, max(self.seeds, len(row.outcomes))]
            own += (
                [0, *[""] * 5]
                if of is None
                else [of.n, of.mean, *(of.interval or ("", "")), of.median, of.worst]
            )
            own.append(len(row.failed))
            if against is not None:
                ends = against.interval or ("", "")
                each = [
                    against.pairs,
                    against.difference,
                    *ends,
                    against.better,
                    against.p,
                    p,
                    against.needed,
                ]
                own += ["" if x is None else x for x in each]
            writer.writerow(own + [""] * (len(self.fields) + len(CSV) - len(own)))
        return file.getvalue()

    def jsonl(self) -> str:
        """One line a run: its configuration, seed and scores, or why it has none."""
        every = [(row.config, own._asdict()) for row in self.rows for own in row.outcomes]
        lines = [{"config": config, **{k: v for k, v in own.items() if k != "pace"}} for config, own in every]
        return "".join(json.dumps(line) + "\n" for line in lines)

    def latex(self) -> str:
        """The first table for the package booktabs, its notes as comments."""
        head, *body = (" & ".join(map(_tex, line)) + r" \\" for line in [self.columns(), *self.cells()])
        layout = "l" * len(self.fields) + "r" * (len(self.columns()) - len(self.fields))
        notes = [f"% {line}" for line in self.notes()]
        table = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
        return "\n".join([*notes, *table, r"\end{tabular}"]) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Writes table.md, table.csv, table.tex and runs.jsonl into a folder."""
        texts = {
            "table.md": self.markdown(),
            "table.csv": self.csv(),
            "table.tex": self.latex(),
            "runs.jsonl": self.jsonl(),
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
        return [folder / name for name in texts]


def _alike(names: Sequence[str]) -> list[tuple[str, int]]:
    """How often each is there; those that differ in a first number are one, of all that it was."""
    found: dict[str, list[str]] = {}
    for name in names:
        first, _, rest = name.partition(" ")
        found.setdefault(rest if first.isdigit() else name, []).append(first if first.isdigit() else "")
    told = []
    for rest, firsts in found.items():
        each = sorted({int(x) for x in firsts if x})
        span = " to ".join(map(str, dict.fromkeys((each[0], each[-1])))) + " " if each else ""
        told.append((span + rest, len(firsts)))
    return told


def _ends(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else "{:.3g} to {:.3g}".format(*interval)


def _pipes(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(str(x).replace("|", r"\|") for x in row) + " |" for row in rows)


TEX = {
    **{plain: "\\" + plain for plain in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},  # which the first fonts lack
}


def _tex(text: str) -> str:
    return "".join(TEX.get(character, character) for character in text)


def chosen(metric: str | None, names: Sequence[str]) -> str:
    """The score to compare by: the one that is asked for, or the first.

    Raises:
      InputError: if there is none of that name.
    """
    if metric is not None and names and metric not in names:
        raise InputError(f"--metric {metric}: the runs have {', '.join(names)}{nearest(metric, names)}")
    return metric if metric is not None or not names else names[0]
