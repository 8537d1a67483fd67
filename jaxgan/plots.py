"""Every picture."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

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
