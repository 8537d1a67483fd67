"""The pictures of a sweep, each a canvas uint8[H, W, 3], or None where there is nothing to draw."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxgan import plots, records
from jaxgan.data import files
from jaxgan.results import Results, Row, told
from jaxgan.statistics import logarithmic, summary

THUMBNAIL = 150  # pixels across, in the grid of samples
MOST = 12  # configurations with a colour of their own
TICKS = 6  # values of a field that are all written beside its axis


def _coloured(found: Results) -> list[Row]:
    """The rows that are drawn each in a colour: all, or the best where there are too many."""
    known = [c for c in found.compared if c.summary is not None]
    if len(known) <= MOST:
        return [c.row for c in known]
    return [c.row for c in sorted(known, key=lambda c: found.badness(c.summary.mean))[:MOST]]


def over_steps(found: Results, root: Path, *, seconds: bool = False) -> np.ndarray | None:
    """The watched score over the steps, or over the seconds that a lane had the devices: the mean over the
    seeds of each configuration, and its interval of 95 %."""
    curves, rows = [], _coloured(found)
    for row in rows:
        paces = [own.pace for own in row.outcomes if own.pace]
        if seconds and not paces:
            continue
        points = [_watched(root / own.folder, found.metric) for own in row.outcomes if own.figures]
        steps = sorted(set.intersection(*map(set, points))) if points else []
        if len(steps) > 1:
            scale = float(np.median(paces)) if seconds else 1.0
            curves.append((row.label, np.array(steps) * scale, [[own[s] for own in points] for s in steps]))
    if not curves:
        return None
    protocol = found.protocols[found.metric]
    log = logarithmic([x for *_, values in curves for at in values for x in at], protocol.within)

    def draw(axis):
        for i, (label, x, values) in enumerate(curves):
            own = [summary(at, better=protocol.better, within=protocol.within, log=log) for at in values]
            style = {"color": f"C{i % 10}", "linestyle": "-" if i < 10 else "--"}
            axis.plot(x, [s.mean for s in own], label=label, linewidth=1.6, **style)
            if all(s.interval for s in own):
                axis.fill_between(
                    x,
                    *zip(*(s.interval for s in own), strict=True),
                    alpha=0.15,
                    linewidth=0,
                    color=f"C{i % 10}",
                )
        if log:
            _logarithmic(axis, "y")
        axis.set(xlabel="seconds of the devices" if seconds else "generator steps", ylabel=found.metric)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))

    title, known = f"{found.metric} while training", sum(c.summary is not None for c in found.compared)
    left_out = f"; {len(rows) - len(curves)} with too few points" if len(curves) < len(rows) else ""
    best = f", the best {len(rows)} of {known}" if len(rows) < known else ""
    return _canvas(draw, (9, 4.6), f"{title}{best}: mean and 95 % interval over seeds{left_out}")


def _watched(path: Path, metric: str) -> dict[int, float]:
    """A run's watched figures by step."""
    name = metric if "/" in metric else f"score/{metric}"
    rows = records.rows(path) if path.is_dir() else []
    return {row["step"]: row[name] for row in rows if name in row}


def strip(found: Results) -> np.ndarray | None:
    """Each seed's score as a point, each configuration's mean and interval beside."""
    known = [c for c in found.compared if c.summary is not None]
    if not known:
        return None
    log = found.logarithmic(found.metric)

    def draw(axis):
        for i, c in enumerate(known):
            values = list(c.row.values(found.metric).values())
            spread = (np.arange(len(values)) - (len(values) - 1) / 2) * 0.5 / max(len(values), 6)
            axis.plot(values, i + spread, "o", color="C0", markersize=4, alpha=0.6)
            ends = c.summary.interval or (c.summary.mean, c.summary.mean)
            axis.plot(ends, [i + 0.36] * 2, color="k", linewidth=1.4)
            axis.plot([c.summary.mean], [i + 0.36], "kD", markersize=4)
            if c.row.failed:
                axis.text(
                    1.0,
                    i,
                    f" {len(c.row.failed)} failed",
                    transform=axis.get_yaxis_transform(),
                    color="C3",
                    fontsize=8,
                )
        axis.set_yticks(range(len(known)), [c.row.label for c in known], fontsize=8, parse_math=False)
        axis.set_ylim(len(known) - 0.4, -0.6)
        if log:
            _logarithmic(axis, "x")
        axis.set_xlabel(f"{found.metric} ({found.protocols[found.metric].better} is better)")
        axis.grid(alpha=0.3, axis="x")

    return _canvas(draw, (9, 1.2 + 0.42 * len(known)), "every seed, and the mean with its 95 % interval")


def heat_map(found: Results) -> np.ndarray | None:
    """Of two fields, of which there is every pair of values: the mean of each."""
    if len(found.fields) != 2:
        return None
    down, across = found.fields
    ys, xs = (list(dict.fromkeys(told(row.config[f]) for row in found.rows)) for f in (down, across))
    if len(found.rows) < len(xs) * len(ys):
        return None
    values = np.full((len(ys), len(xs)), np.nan)
    for c in found.compared:
        if c.summary is not None:
            values[ys.index(told(c.row.config[down])), xs.index(told(c.row.config[across]))] = c.summary.mean
    if np.isfinite(values).sum() < 2 or max(len(xs), len(ys)) > 30:
        return None
    shown = np.log(values) if found.logarithmic(found.metric) else values
    lower = found.protocols[found.metric].better != "higher"

    def draw(axis):
        axis.imshow(shown, "viridis_r" if lower else "viridis", aspect="auto")
        middle = (np.nanmin(shown) + np.nanmax(shown)) / 2
        for (i, j), value in np.ndenumerate(values):
            dark = (shown[i, j] > middle) == lower
            text = f"{value:.3g}" if np.isfinite(value) else "failed"
            axis.text(j, i, text, ha="center", va="center", fontsize=9, color="w" if dark else "k")
        axis.set_xticks(range(len(xs)), xs, parse_math=False)
        axis.set_yticks(range(len(ys)), ys, parse_math=False)
        axis.set(xlabel=across, ylabel=down)

    size = (2.2 + 1.0 * len(xs), 1.6 + 0.55 * len(ys))
    return _canvas(draw, size, f"{found.metric}, mean over seeds")


def parallel_coordinates(found: Results) -> np.ndarray | None:
    """Of three fields or more, or of values that were drawn: a line a configuration through its values, the
    better ones darker."""
    known = [c for c in found.compared if c.summary is not None]
    if len(known) < 2 or len(found.fields) < 2 or (len(found.fields) == 2 and heat_map(found) is not None):
        return None
    names = [*found.fields, found.metric]
    places, ticks = [], []
    for name in found.fields:
        own = [c.row.config[name] for c in known]
        if all(isinstance(x, int | float) and not isinstance(x, bool) for x in own):
            scale = np.log if min(own) > 0 and max(own) > 20 * min(own) else np.asarray
            low, high = float(scale(min(own))), float(scale(max(own)))
            places.append([(float(scale(x)) - low) / (high - low or 1) for x in own])
            shown = sorted(set(own)) if len(set(own)) <= TICKS else [min(own), max(own)]
            ticks.append([((float(scale(x)) - low) / (high - low or 1), told(x)) for x in shown])
        else:
            order = list(dict.fromkeys(map(told, own)))
            places.append([order.index(told(x)) / max(1, len(order) - 1) for x in own])
            ticks.append([(i / max(1, len(order) - 1), text) for i, text in enumerate(order)])
    means = np.array([c.summary.mean for c in known])
    scale = np.log if found.logarithmic(found.metric) else np.asarray
    low, high = float(scale(means.min())), float(scale(means.max()))
    places.append([(float(scale(x)) - low) / (high - low or 1) for x in means])
    ticks.append([(0.0, f"{means.min():.3g}"), (1.0, f"{means.max():.3g}")])
    rank = np.argsort(np.argsort([found.badness(x) for x in means])) / (len(means) - 1)

    def draw(axis):
        import matplotlib

        colours = matplotlib.colormaps["viridis"](rank)
        for i in np.argsort(-rank):
            style = {"linewidth": 2.0 if rank[i] < 0.2 else 1.0, "alpha": 0.9 if rank[i] < 0.2 else 0.5}
            axis.plot(range(len(names)), [own[i] for own in places], color=colours[i], **style)
        for x, own in enumerate(ticks):
            axis.axvline(x, color="0.6", linewidth=0.8)
            for y, text in own:
                axis.text(x, y, f" {text}", fontsize=8, va="bottom", parse_math=False)
        axis.set_xticks(range(len(names)), names, parse_math=False)
        axis.set_yticks([])
        axis.set_ylim(-0.05, 1.1)

    left_out = len(found.rows) - len(known)
    title = "each configuration; the darker the better" + (
        f"; {left_out} without a score" if left_out else ""
    )
    return _canvas(draw, (2.0 * len(names) + 1, 4.2), title)


def profile(of: Mapping[str, Results]) -> np.ndarray | None:
    """The performance profile of configurations over several data sets (Dolan and More 2002): the share of
    sets on which a configuration's mean is within a factor of the best one's.

    Args:
      of: the results on each data set, of scores that are positive and of which less is better.
    """
    means: dict[str, dict[str, float]] = {}
    for name, found in of.items():
        for c in found.compared:
            if c.summary is not None and found.logarithmic(found.metric):
                means.setdefault(c.row.label, {})[name] = c.summary.mean
    whole = {label: own for label, own in means.items() if len(own) == len(of)}
    if len(whole) < 2 or len(of) < 2:
        return None
    best = {name: min(own[name] for own in whole.values()) for name in of}
    ratios = {label: np.sort([own[name] / best[name] for name in of]) for label, own in whole.items()}
    end = 1.1 * max(ratio[-1] for ratio in ratios.values())

    def draw(axis):
        for i, (label, ratio) in enumerate(ratios.items()):
            x, share = [1.0, *ratio, end], [0.0, *np.arange(1, len(ratio) + 1) / len(ratio), 1.0]
            axis.step(x, share, where="post", label=label, color=f"C{i % 10}", linewidth=1.6)
        _logarithmic(axis, "x")
        axis.set(xlabel="within so many times the best", ylabel="share of the data sets", ylim=(-0.03, 1.05))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="lower right")

    left_out = f"; {len(means) - len(whole)} not scored on each" if len(whole) < len(means) else ""
    return _canvas(draw, (7, 4.4), f"performance profile over {', '.join(of)}{left_out}")


def samples(found: Results, root: Path) -> np.ndarray | None:
    """What each run made last: a row a configuration, a column a seed."""
    rows = found.rows[:24]
    every = sorted({own.seed for row in rows for own in row.outcomes if own.figures})
    seeds = every[:8]
    tiles = {}
    for i, row in enumerate(rows):
        for own in row.outcomes:
            file = root / own.folder / "samples.png"
            known = own.seed in seeds and own.figures
            if known and (image := files.picture(file)) is not None:
                small = image.convert("RGB")
                small.thumbnail((THUMBNAIL, THUMBNAIL))
                tiles[i, seeds.index(own.seed)] = np.asarray(small)
    if not tiles:
        return None
    high, wide = (max(tile.shape[i] for tile in tiles.values()) for i in (0, 1))
    name, head, gap = 190, 26, 6
    canvas = np.full((head + len(rows) * (high + gap), name + len(seeds) * (wide + gap), 3), 255, np.uint8)
    for (i, j), tile in tiles.items():
        y, x = head + i * (high + gap), name + j * (wide + gap)
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    figure = plots.figure_of((canvas.shape[1] / 100, canvas.shape[0] / 100), dpi=100)
    figure.figimage(canvas, 0, 0, origin="upper")
    w, h = canvas.shape[1], canvas.shape[0]
    first = [(len(rows), len(found.rows), "rows"), (len(seeds), len(every), "seeds")]
    if cut := ", ".join(f"{n} of {of} {what}" for n, of, what in first if n < of):
        figure.text(8 / w, 1 - 16 / h, f"the first {cut}", fontsize=8)
    for j, seed in enumerate(seeds):
        figure.text(
            (name + j * (wide + gap) + wide / 2) / w, 1 - 16 / h, f"seed {seed}", ha="center", fontsize=8
        )
    for i, row in enumerate(rows):
        text = "\n".join(f"{k}={told(v)}" for k, v in row.config.items())
        y = 1 - (head + i * (high + gap) + high / 2) / h
        figure.text((name - 8) / w, y, text, ha="right", va="center", fontsize=8, parse_math=False)
    return plots.drawn(figure)[..., :3].copy()


def _logarithmic(axis, which: str) -> None:
    """Makes an axis logarithmic, its numbers written out."""
    axis.set(**{f"{which}scale": "log"})
    own = axis.yaxis if which == "y" else axis.xaxis
    own.set_major_formatter("{x:g}")
    own.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "25" else "")


def _canvas(draw, size: tuple[float, float], title: str) -> np.ndarray:
    figure = plots.figure_of(size, dpi=110, layout="constrained")
    axis = figure.subplots()
    draw(axis)
    axis.set_title(title, fontsize=10, loc="left", parse_math=False)
    return plots.drawn(figure)[..., :3].copy()
