"""Every picture. matplotlib takes a third of a second to import, and is imported where a chart is drawn."""

import colorsys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxgan.metrics.score import Score

PIXELS = 640  # the least longer side of a picture: small images are shown enlarged, not blurred


def figure_of(size: tuple[float, float], **options):
    """A figure so many inches large."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(size, **options)
    FigureCanvasAgg(figure)
    return figure


def drawn(figure) -> np.ndarray:
    """Its pixels, uint8[H, W, 4]."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def to_uint8(images) -> np.ndarray:
    """Images in [-1, 1] as uint8, rounded to the nearest of 256 levels."""
    return np.clip(np.rint((np.asarray(images, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


def label_colours(n: int) -> np.ndarray:
    """A colour for each of n labels, uint8[n, 3]: dark grey for the first, then hues far apart."""
    golden = 0.618034
    hues = [colorsys.hsv_to_rgb(golden * i % 1, 0.75 - 0.3 * (i // 8 % 2), 0.95) for i in range(n - 1)]
    return np.round(255 * np.array([(0.2, 0.2, 0.2), *hues])).astype(np.uint8)


def heat_maps(images, made) -> np.ndarray:
    """Each image uint8[N, H, W, C], what was found for it f32[N, H, W, C] in [-1, 1], and in colours how far
    the two differ, the mean over channels: from black over violet and red to pale yellow, which is the whole
    range. uint8[N, 3, H, W, 3]."""
    import matplotlib

    made = to_uint8(made)
    apart = np.abs(images.astype(np.float32) - made.astype(np.float32)).mean(3) / 255
    heat = matplotlib.colormaps["inferno"](apart, bytes=True)[..., :3]
    return np.stack([*(np.repeat(x, 3 // x.shape[-1], -1) for x in (images, made)), heat], 1)


def grid(images, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Images uint8[N, H, W, C] row by row on one canvas, uint8[height, width, C]."""
    n, h, w, c = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    canvas = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, c), 128, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        canvas[top : top + h, left : left + w] = image
    return canvas


def picture(canvas: np.ndarray) -> Image.Image:
    """The canvas as a picture, enlarged by a whole factor if it is small."""
    factor = max(1, -(-PIXELS // max(canvas.shape[:2])))
    image = Image.fromarray(canvas[..., 0] if canvas.shape[-1] == 1 else canvas)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def unpicture(image: Image.Image) -> Image.Image:
    """What `picture` was made of, as small as it was."""
    pixels = np.asarray(image)
    for f in range(PIXELS, 1, -1):
        if image.width % f == image.height % f == 0:
            small = pixels[::f, ::f]
            if np.array_equal(small.repeat(f, 0).repeat(f, 1), pixels):
                return Image.fromarray(small)
    return image


def neighbours(samples, nearest, columns: int = 4) -> np.ndarray:
    """Each sample with its nearest training image at its right (Goodfellow et al. 2014, figure 2),
    both uint8[N, H, W, C], as a canvas of `columns` pairs a row."""
    pairs = np.concatenate([samples, nearest], 2)
    return grid(pairs, columns, gap=3)


def animation(path, frames: list[Image.Image], seconds: float = 6.0) -> None:
    """A GIF of the frames, to a path or an open file, that lasts about so many seconds and rests on the
    last one."""
    if frames[0].mode != "L":
        # One palette for all: to find each frame's own takes four times as long.
        some = [
            np.asarray(frames[i].convert("RGB"))[::2, ::2] for i in {0, len(frames) // 2, len(frames) - 1}
        ]
        palette = Image.fromarray(np.concatenate(some)).quantize(256)
        frames = [
            frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames
        ]
    each = max(40, int(1000 * seconds / len(frames)))
    durations = [each] * (len(frames) - 1) + [2000]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over the last `window` values, over fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return (sums[stop] - sums[start]) / (stop - start)


def panels(rows: list[dict]) -> dict[str, list[str]]:
    """What the rows of metrics.jsonl hold, as one panel for losses, one for accuracies and one a score:
    the panel's label to the names drawn in it."""
    names = sorted({name for row in rows for name in row} - {"step"})
    scores = [n for n in names if n.startswith("score/")]
    found = {
        "loss (nats)": [n for n in names if "loss" in n and n not in scores],
        "D's accuracy": [n for n in names if "accuracy" in n and n not in scores],
    }
    found |= {n.removeprefix("score/"): [n] for n in scores}
    return {label: lines for label, lines in found.items() if lines}


def curve(axis, rows: list[dict], label: str, names: list[str]) -> None:
    """One panel of `panels`; of many points a running mean is drawn, the points themselves pale."""
    for colour, name in enumerate(names):
        points = [(row["step"], row[name]) for row in rows if name in row]
        steps, values = (np.asarray(x, float) for x in zip(*points, strict=True))
        style = {"color": f"C{colour}"}
        if len(values) > 50:
            axis.plot(steps, values, alpha=0.2, linewidth=0.5, **style)
            values = _smooth(values, max(1, len(values) // 50))
            axis.plot(steps, values, label=name, **style)
        else:
            axis.plot(steps, values, marker="o", markersize=3, label=name, **style)
    if label == "D's accuracy":
        axis.set_ylim(-0.03, 1.03)
        axis.axhline(0.5, color="grey", linewidth=0.5)
    if names[0].startswith("score/") and 0 < 10 * values.min() < values.max():
        axis.set_yscale("log")


def curves(path: Path, rows: list[dict], title: str) -> None:
    """One panel for each of loss, accuracy and score that the rows of metrics.jsonl hold."""
    chosen = panels(rows)
    height, longest = 2.6 * len(chosen) + 0.6, max(len(name) for names in chosen.values() for name in names)
    figure = figure_of((9, height))
    figure.suptitle(title, y=1 - 0.25 / height, va="center")
    # By hand, since a layout that matplotlib finds takes a drawing of its own: half a second.
    room = {"left": 0.09, "right": 0.93 - 0.0075 * longest, "top": 1 - 0.5 / height, "bottom": 0.55 / height}
    axes = figure.subplots(len(chosen), sharex=True, squeeze=False, gridspec_kw=room | {"hspace": 0.08})[:, 0]
    for axis, (label, names) in zip(axes, chosen.items(), strict=True):
        curve(axis, rows, label, names)
        axis.set_ylabel(label)
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    axes[-1].set_xlabel("generator steps")
    figure.savefig(path, dpi=110)


def scores(path: Path, found: list[tuple[int, Score]], title: str) -> None:
    """Each score over the generator's steps, with its interval; one panel a name."""
    names = list(dict.fromkeys(score.name for _, score in found))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = figure_of((4 * columns, 2.4 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        points = sorted((step, score.value, score.interval) for step, score in found if score.name == name)
        steps, values, around = zip(*points, strict=True)
        axis.plot(steps, values, marker="o", markersize=3)
        if all(around):
            axis.fill_between(steps, *zip(*around, strict=True), alpha=0.2, linewidth=0)
        better = next(score.protocol.better for _, score in found if score.name == name)
        axis.set_title(f"{name} ({better} is better)", fontsize=9)
        axis.grid(alpha=0.3)
    for axis in axes[len(names) :]:
        axis.remove()
    figure.supxlabel("generator steps")
    figure.savefig(path, dpi=110)


BINS = 81  # of a density, along each side; odd, so that the middle is in the middle of one


def density(axis, samples, centres=None, radius: float = 0.0, window=None) -> None:
    """Samples f32[N, 2] as a histogram, darker for more on a cube-root scale (the picture of Metz et al.
    2017, figure 2). Samples beyond the window, and those that are not finite, are told as a share.

    Args:
      centres: f32[K, 2], of modes that are ringed at the radius, or wider where that could not be seen.
      window: ((left, right), (bottom, top)); around the centres if not given.
    """
    centres = np.zeros((0, 2)) if centres is None else np.asarray(centres)
    if window is None:
        middle, reach = centres.mean(0), 0.65 * np.ptp(centres, axis=0).max() + radius
        window = np.stack([middle - reach, middle + reach], 1)
    window = np.asarray(window)
    counts, _, _ = np.histogram2d(*np.asarray(samples).T, BINS, window)
    share = counts.T / len(samples)
    # Darkest: all that one mode should have, in one cell; without modes, a hundredth of all.
    from matplotlib.collections import EllipseCollection
    from matplotlib.colors import PowerNorm

    norm = PowerNorm(1 / 3, 0, 1 / (len(centres) or 100))
    axis.imshow(share, "Blues", norm, origin="lower", extent=window.ravel(), interpolation="nearest")
    size = np.full(len(centres), 2 * max(radius, 0.025 * np.ptp(window[0])))
    rings = EllipseCollection(size, size, 0, units="xy", offsets=centres, offset_transform=axis.transData)
    rings.set(facecolor="none", edgecolor="C1", linewidth=0.8)
    axis.add_collection(rings)
    if (outside := 1 - share.sum()) > 0.005:
        axis.set_xlabel(f"{outside:.0%} outside", fontsize=9)
    axis.tick_params(labelsize=7)


def canvas(draw: Callable, size: tuple[float, float] = (5, 5.2), title: str = "") -> np.ndarray:
    """What `draw(axis)` draws on a figure so many inches large, whose axes never move: uint8[H, W, 3]."""
    figure = figure_of(size)
    axis = figure.add_axes((0.11, 0.11, 0.87, 0.82))
    draw(axis)
    axis.set_title(title, fontsize=9, parse_math=False)
    return drawn(figure)[..., :3].copy()


def mode_shares(axis, shares, steps) -> None:
    """The share of each mode over the steps, f32[T, K], stacked: a sampler that collapses shows one colour,
    one that oscillates changing ones, and what is of no mode stays white."""
    shares = np.asarray(shares)
    import matplotlib

    colours = matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, shares.shape[1]))
    axis.stackplot(steps, shares.T, colors=colours, linewidth=0)
    axis.set(xlim=(steps[0], steps[-1]), ylim=(0, 1), xlabel="generator steps", ylabel="share of samples")


def lanes(path: Path, groups: dict[str, dict[str, list[dict]]], title: str) -> bool:
    """Each score of metrics.jsonl's rows over the steps: every run's line, and the mean of each group of runs
    in bold where all of the group have it. Each of several groups has a colour. Returns whether any were.

    Args:
      groups: by their names, the rows of runs by theirs.
    """
    all_rows = [row for runs in groups.values() for rows in runs.values() for row in rows]
    names = sorted({name for row in all_rows for name in row if name.startswith("score/")})
    if not names:
        return False
    figure = figure_of((9, 2.2 * len(names) + 0.6), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, names, strict=True):
        for i, (group, runs) in enumerate(groups.items()):
            _group(axis, name, runs, None if len(groups) == 1 else (f"C{i % 10}", group))
        axis.set_ylabel(name.removeprefix("score/").replace("_", " "))
        axis.grid(alpha=0.3)
    if max(len(groups), len(next(iter(groups.values())))) <= 10:
        axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    axes[-1].set_xlabel("generator steps")
    figure.savefig(path, dpi=110)
    return True


def _group(axis, name: str, runs: dict[str, list[dict]], style: tuple[str, str] | None) -> None:
    """A score of some runs and their mean; `style` is the colour and the label of all, None one for each."""
    points = [{row["step"]: row[name] for row in rows if name in row} for rows in runs.values()]
    for run, own in zip(runs, points, strict=True):
        colour = {"label": run} if style is None else {"color": style[0]}
        axis.plot(list(own), list(own.values()), linewidth=0.8, alpha=0.7 if style is None else 0.4, **colour)
    common = sorted(set.intersection(*map(set, points)))
    bold = {"color": "k"} if style is None else {"color": style[0], "label": style[1]}
    axis.plot(common, [np.mean([own[step] for own in points]) for step in common], linewidth=1.6, **bold)


GAP = 6  # between tiles at least
TIGHT = 1  # between tiles that belong together
TILE = 112  # that a small image is enlarged to at most


class Tiles(NamedTuple):
    """Images as tiles of one picture."""

    images: Sequence  # uint8[H, W, C] each, row by row; C is 1, 3, or 4 where it is see-through
    columns: int = 0  # 0: as many as fill the width well
    rows: int = 0  # at most; 0: as many as make a square
    close: int = 1  # of a row, so many at a time stand close together
    names: tuple[str, ...] = ()  # of the columns
    title: str = ""


def _enlarged(size: int, columns: int, width: int, close: int) -> tuple[int, int]:
    """By what whole factor images `size` pixels wide fill a row of the width, and the gap that is left
    between those that do not stand close."""
    groups = columns // close
    room = width - TIGHT * (columns - groups)
    factor = (room - GAP * (groups - 1)) // (columns * size)
    factor = max(1, min(factor, TILE // size))
    left = (room - factor * columns * size) // (groups - 1) if groups > 1 else GAP
    return factor, int(np.clip(left, GAP, 3 * GAP))


def _filling(size: int, width: int, close: int) -> int:
    """How many columns of images `size` pixels wide leave least of the width empty: 6 to 10, or fewer if
    the images are large."""
    most = max(1, (width + GAP) // (size + GAP))
    wanted = [c for c in range(6, 11) if c <= most and c % close == 0] or [max(2, most // close) * close]

    def unused(columns):
        groups = columns // close
        gaps = TIGHT * (columns - groups) + GAP * (groups - 1)
        return width - gaps - columns * size * _enlarged(size, columns, width, close)[0]

    return min(wanted, key=unused)


def empty(shape: tuple[int, ...]) -> np.ndarray:
    """A pale cell in the place of an image [H, W, C], on light and on dark. uint8[H, W, 4]."""
    return np.broadcast_to(np.array([128, 128, 128, 48], np.uint8), (*shape[:2], 4))


def tiles(what: Tiles, width: int) -> np.ndarray:
    """The tiles on a see-through canvas uint8[height, about width, 4], enlarged by a whole factor; wider
    than asked if they do not fit as they are."""
    h, w = what.images[0].shape[:2]
    columns = what.columns or _filling(w, width, what.close)
    factor, gap = _enlarged(w, columns, width, what.close)
    below = min(gap, 2 * GAP)
    rows = what.rows or max(1, (width + below) // (h * factor + below))
    rows = min(rows, -(-len(what.images) // columns))
    steps = np.where(np.arange(1, columns) % what.close, TIGHT, gap) + w * factor
    left = np.concatenate([[0], np.cumsum(steps)]).astype(int)
    canvas = np.zeros((rows * (h * factor + below) - below, left[-1] + w * factor, 4), np.uint8)
    for i, image in enumerate(what.images[: rows * columns]):
        x, y = left[i % columns], i // columns * (h * factor + below)
        cell = canvas[y : y + h * factor, x : x + w * factor]
        cell[..., 3] = 255
        channels = slice(0, 4 if image.shape[-1] == 4 else 3)
        cell[..., channels] = image.repeat(factor, 0).repeat(factor, 1)
    return canvas


def fitted(what: Tiles, width: int) -> np.ndarray:
    """The canvas of `tiles`, made smaller if it is wider than the width."""
    canvas = tiles(what, width)
    if canvas.shape[1] > width:
        image = Image.fromarray(canvas)
        height = max(1, round(image.height * width / image.width))
        canvas = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
    return canvas


INK = {False: "#20252b", True: "#d5dae1"}  # of a chart's text, on light and on dark
COLOURS = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#e11d48", "#64748b")


def chart(draw: Callable, size: tuple[int, int], *, title: str, dark: bool = False, scale: int = 1):
    """What `draw(axis)` draws, on a see-through canvas uint8[scale * height, scale * width, 4]."""
    import matplotlib

    ink = INK[dark]
    style = {
        **{f"{part}.color": ink for part in ("text", "xtick", "ytick")},
        **{f"axes.{part}": ink for part in ("edgecolor", "labelcolor", "titlecolor")},
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
        "font.size": 9,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(style):
        figure = figure_of((size[0] / 100, size[1] / 100), dpi=100 * scale, layout="constrained")
        figure.patch.set_alpha(0)
        axis = figure.subplots()
        axis.patch.set_alpha(0)
        axis.set_title(title, loc="left", fontsize=10, fontweight="bold", parse_math=False)
        draw(axis)
        return drawn(figure).copy()


def _legend_below(axis) -> None:
    axis.figure.legend(fontsize=8, loc="outside lower center", ncols=2, handlelength=1.2)


def curve_chart(axis, rows: list[dict], label: str, names: list[str]) -> None:
    """A panel of `panels` as a chart of its own."""
    curve(axis, rows, label, names)
    axis.set_xlabel("generator steps")
    axis.grid(alpha=0.2)
    axis.set_xlim(0, max(row["step"] for row in rows) * 1.02)
    if len(names) > 1:
        _legend_below(axis)


def shares_chart(axis, classes: Sequence[str], fake, real) -> None:
    """The share of each class among samples and among the data, f32[K] each."""
    place = np.arange(len(classes))
    axis.barh(place - 0.2, fake, 0.4, label="samples")
    axis.barh(place + 0.2, real, 0.4, label="data", color="#94a3b8")
    every = -(-len(classes) // 30)  # so that names do not run into one another
    names = [name if len(name) <= 14 else name[:13] + "\u2026" for name in classes]
    axis.set_yticks(place[::every], names[::every], parse_math=False)
    axis.set_ylim(len(classes) - 0.4, -0.6)
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.tick_params(axis="y", length=0)
    _legend_below(axis)


SHEET = 1440  # pixels across a report, without its margins
MARGIN = 40
HEADING = 34  # above a picture
NAMES = 20  # for the names of its columns
LINE, ACROSS = 18, 190  # of a warning: pixels, and characters on it


def _place(figure, canvas: np.ndarray, what: Tiles, x: int, y: int) -> None:
    """Puts a canvas of tiles, its title and its columns' names at pixel (x, y) from the top left."""
    w, h = figure.bbox.width, figure.bbox.height
    figure.text(x / w, 1 - (y + 18) / h, what.title, fontsize=11, fontweight="bold")
    top = y + HEADING
    if what.names:
        size = canvas.shape[1] / len(what.names)
        fontsize = float(np.clip(1.15 * size / max(map(len, what.names)), 5, 9))
        style = {"ha": "center", "fontsize": fontsize, "parse_math": False}
        for i, name in enumerate(what.names):
            figure.text((x + (i + 0.5) * size) / w, 1 - (top + 12) / h, name, **style)
        top += NAMES
    figure.figimage(canvas, x, h - top - canvas.shape[0], origin="upper")


def sheet(
    title: str,
    subtitle: str,
    pictures: list[Tiles],
    charts: list[tuple[str, Callable]],
    warnings: Sequence[str] = (),
) -> Image.Image:
    """A report of one sheet: what went wrong, pictures, two or three in a row, and titled charts below them,
    each an `(title, draw(axis))`."""
    told = [line for text in warnings for line in textwrap.wrap(text, ACROSS, subsequent_indent="    ")]
    across = 3 if len(pictures) in (3, 5, 6) else max(1, min(2, len(pictures)))
    width = (SHEET - MARGIN * (across - 1)) // across
    canvases = [fitted(p, width) for p in pictures]
    heights = [len(c) + HEADING + (NAMES if p.names else 0) for c, p in zip(canvases, pictures, strict=True)]
    lines = [range(i, min(i + across, len(pictures))) for i in range(0, len(pictures), across)]
    parts = np.array_split(np.arange(len(charts)), max(1, -(-len(charts) // 4)))  # of about as many charts
    chart_lines = [[charts[i] for i in part] for part in parts if len(part)]
    tall = 340
    top = 84 + LINE * len(told)
    total = top + sum(max(heights[i] for i in line) + MARGIN for line in lines) + tall * len(chart_lines) + 8
    figure = figure_of(((SHEET + 2 * MARGIN) / 100, total / 100), dpi=100, facecolor="white")
    w, h = figure.bbox.width, figure.bbox.height
    figure.text(MARGIN / w, 1 - 44 / h, title, fontsize=18, fontweight="bold", parse_math=False)
    figure.text(MARGIN / w, 1 - 68 / h, subtitle, fontsize=10, color="#5b6470", parse_math=False)
    for i, text in enumerate(told):
        place = 1 - (68 + LINE * (i + 1)) / h
        figure.text(MARGIN / w, place, text, fontsize=10, color="#b45309", parse_math=False)
    y = top
    for line in lines:
        for place, i in enumerate(line):
            _place(figure, canvases[i], pictures[i], MARGIN + place * (width + MARGIN), y)
        y += max(heights[i] for i in line) + MARGIN
    for line in chart_lines:
        size = SHEET // len(line)
        for place, (name, draw) in enumerate(line):
            canvas = chart(draw, (size - 20, tall - 20), title=name)
            figure.figimage(canvas, MARGIN + place * size, h - y - canvas.shape[0], origin="upper")
        y += tall
    return Image.fromarray(drawn(figure)[..., :3].copy())
