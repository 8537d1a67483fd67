"""Every picture."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from PIL import Image

from jaxgan.data.synthetic import Mixture
from jaxgan.metrics.score import Score

PIXELS = 640  # the least longer side of a picture: small images are shown enlarged, not blurred


def to_uint8(images) -> np.ndarray:
    """Images in [-1, 1] as uint8, rounded to the nearest of 256 levels."""
    return np.clip(np.rint((np.asarray(images, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


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


def neighbours(samples, nearest, columns: int = 4) -> np.ndarray:
    """Each sample with its nearest training image at its right (Goodfellow et al. 2014, figure 2),
    both uint8[N, H, W, C], as a canvas of `columns` pairs a row."""
    pairs = np.concatenate([samples, nearest], 2)
    return grid(pairs, columns, gap=3)


def animation(path: Path, frames: list[Image.Image], seconds: float = 6.0) -> None:
    """A GIF of the frames that lasts about so many seconds and rests on the last one."""
    each = max(40, int(1000 * seconds / len(frames)))
    durations = [each] * (len(frames) - 1) + [2000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over the last `window` values, over fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return (sums[stop] - sums[start]) / (stop - start)


def curves(path: Path, rows: list[dict], title: str) -> None:
    """One panel for each of loss, accuracy and score that the rows of metrics.jsonl hold."""
    panels = {"loss": "loss (nats)", "accuracy": "D's accuracy", "score/": "Frechet distance"}
    names = sorted({name for row in rows for name in row} - {"step"})
    chosen = {p: [n for n in names if p in n] for p in panels}
    chosen = {p: n for p, n in chosen.items() if n}
    figure = Figure((9, 2.6 * len(chosen) + 0.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(chosen), sharex=True, squeeze=False)[:, 0]
    for axis, (panel, lines) in zip(axes, chosen.items(), strict=True):
        for colour, name in enumerate(lines):
            points = [(row["step"], row[name]) for row in rows if name in row]
            steps, values = (np.asarray(x, float) for x in zip(*points, strict=True))
            style = {"color": f"C{colour}"}
            if len(values) > 50:
                axis.plot(steps, values, alpha=0.2, linewidth=0.5, **style)
                values = _smooth(values, max(1, len(values) // 50))
                axis.plot(steps, values, label=name, **style)
            else:
                axis.plot(steps, values, marker="o", markersize=3, label=name, **style)
        if panel == "accuracy":
            axis.set_ylim(-0.03, 1.03)
            axis.axhline(0.5, color="grey", linewidth=0.5)
        if panel == "score/":
            axis.set_yscale("log")
        axis.set_ylabel(panels[panel])
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    axes[-1].set_xlabel("generator steps")
    figure.savefig(path, dpi=110)


def scores(path: Path, found: list[tuple[int, Score]], title: str) -> None:
    """Each score over the generator's steps, with its interval; one panel a name."""
    names = list(dict.fromkeys(score.name for _, score in found))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure((4 * columns, 2.4 * rows + 0.6), layout="constrained")
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


def _density(axis, samples, mixture: Mixture, title: str) -> None:
    """Samples f32[N, 2] as a histogram, the modes ringed at 3 std, or wider where that could not be seen."""
    centres, radius = np.asarray(mixture.centres), 3 * float(np.max(mixture.std))
    middle, reach = centres.mean(0), 0.65 * np.ptp(centres, axis=0).max() + radius
    window = np.stack([middle - reach, middle + reach], 1)  # one for all moments
    counts, _, _ = np.histogram2d(*np.asarray(samples).T, BINS, window)
    share = counts.T / len(samples)
    norm = PowerNorm(1 / 3, 0, 1 / len(centres))  # darkest: all that one mode should have, in one cell
    axis.imshow(share, "Blues", norm, origin="lower", extent=window.ravel(), interpolation="nearest")
    size = np.full(len(centres), 2 * max(radius, 0.05 * reach))
    rings = EllipseCollection(size, size, 0, units="xy", offsets=centres, offset_transform=axis.transData)
    rings.set(facecolor="none", edgecolor="C1", linewidth=0.8)
    axis.add_collection(rings)
    outside = 1 - share.sum()
    axis.set_title(title + (f", {outside:.0%} outside" if outside > 0.005 else ""), fontsize=9)
    axis.tick_params(labelsize=7)


def densities(path: Path, samples, steps, mixture: Mixture, title: str) -> None:
    """Where samples f32[T, N, 2] of successive steps lie over the true modes, at up to ten moments.

    A histogram, darker for more on one cube-root scale for all moments (the picture of Metz et al. 2017,
    figure 2). Samples beyond the window, and those that are not finite, are told as a share.
    """
    chosen = np.unique(np.linspace(0, len(steps) - 1, 10).round().astype(int))
    columns = min(5, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = Figure((2.6 * columns, 2.8 * rows + 0.4), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, i in zip(axes, chosen, strict=False):
        _density(axis, samples[i], mixture, f"step {steps[i]:,}")
    for axis in axes[len(chosen) :]:
        axis.remove()
    figure.savefig(path, dpi=110)


def density_frames(samples, steps, mixture: Mixture) -> list[Image.Image]:
    """The moments of `densities`, every one, as frames for an `animation`."""

    def frame(x, step):
        figure = Figure((5, 5.2))
        canvas = FigureCanvasAgg(figure)
        _density(figure.add_axes((0.1, 0.06, 0.88, 0.846)), x, mixture, f"step {step:,}")  # never moves
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())

    return [frame(x, step) for x, step in zip(samples, steps, strict=True)]


def mode_shares(path: Path, shares, steps, title: str) -> None:
    """The share of each mode over the steps, f32[T, K], stacked: a sampler that collapses shows one colour,
    one that oscillates changing ones, and what is of no mode stays white."""
    shares = np.asarray(shares)
    figure = Figure((9, 4), layout="constrained")
    figure.suptitle(title)
    axis = figure.subplots()
    colours = matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, shares.shape[1]))
    axis.stackplot(steps, shares.T, colors=colours, linewidth=0)
    axis.set(xlim=(steps[0], steps[-1]), ylim=(0, 1), xlabel="generator steps", ylabel="share of samples")
    figure.savefig(path, dpi=110)


def seeds(path: Path, figures: dict, steps, title: str) -> None:
    """Each figure f32[seeds, T] over the steps: every seed's line, and their mean in black."""
    figure = Figure((9, 2.2 * len(figures) + 0.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(figures), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, values) in zip(axes, figures.items(), strict=True):
        values = np.asarray(values, float)
        axis.plot(steps, values.T, linewidth=0.8, alpha=0.7)
        axis.plot(steps, values.mean(0), "k", linewidth=1.6)
        axis.set_ylabel(name.replace("_", " "))
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("generator steps")
    figure.savefig(path, dpi=110)
