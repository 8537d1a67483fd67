"""A run at a glance: one figure, and one page that needs nothing beside it.

RUN/report.png     samples, nearest training images, interpolations, classes, their shares, curves
    report.html    the same with scores, protocols, config and commands; no script, no network
"""

import base64
import contextlib
import dataclasses
import io
import shlex
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxgan import cache, evaluate, plots, run
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.metrics import judge as judges
from jaxgan.metrics.neighbours import nearest
from jaxgan.metrics.score import from_record

JUDGED = 2000  # samples behind the shares of classes
SHOWN = 100  # samples at most
PAIRS = 50  # samples beside their nearest training images at most
PATHS, POINTS = 10, 8  # interpolations, and the samples on each
CLASSES, EACH = 20, 10  # classes in the grid at most, and samples of each
FRAMES = 24  # of the animation at most: the page is one file


class Classes(NamedTuple):
    """What a run makes of the classes of its data."""

    names: tuple[str, ...]
    grid: list  # EACH rows of min(CLASSES, len(names)) images uint8[H, W, C], or empty cells
    asked: bool  # whether the grid's columns are asked labels, or else what the judge sees
    fake: np.ndarray  # the share of each class among the samples, f64[K]
    real: np.ndarray  # and among the data
    accuracy: float  # of the judge


class Report(NamedTuple):
    """What is shown of a run."""

    path: Path
    record: dict[str, Any]
    config: Any
    step: int  # of the generator
    seed: int  # of the latents
    n_data: int
    images: np.ndarray  # uint8[N, H, W, C]
    near: np.ndarray  # uint8[PAIRS, H, W, C], the training image nearest to each
    paths: np.ndarray  # uint8[PATHS * POINTS, H, W, C]
    classes: Classes | None  # None where the data have no labels
    rows: list[dict]  # of metrics.jsonl
    scores: dict  # scores.json, or the beginning of one

    @property
    def name(self) -> str:
        """The run's own."""
        return self.path.absolute().name

    @property
    def title(self) -> str:
        """The experiment and its data."""
        return f"{_method(self.record)} on {self.record['data']['name']}"


def make(
    path: str | Path,
    which: str | int = "last",
    *,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
) -> tuple[Path, Path]:
    """Writes report.png and report.html of a run, also of one that is still training.

    Args:
      path: the run's folder.
      which: of its checkpoints, as for `run.load`.
      seed: of the latents.
      out: the folder to write to; None is the run's.
      data_dir: where TFDS sets lie now, if it is elsewhere than the run's own.

    Returns:
      The two files.

    Raises:
      InputError: if there is no such run or checkpoint, its data have changed or are missing, a file
        of it is damaged, or `out` cannot be written to; the files are then as they were.
    """
    path = Path(path)
    out = path if out is None else Path(out)
    seen = gather(path, which, seed=seed, data_dir=data_dir)
    picture = io.BytesIO()
    _sheet(seen).save(picture, "PNG")
    files = {out / "report.png": picture.getvalue(), out / "report.html": page(seen).encode()}
    try:
        for file, content in files.items():
            cache.write(file, content)
    except OSError as e:
        raise InputError(f"--out {out} cannot be written to ({e.strerror})") from None
    return tuple(files)


def gather(path: Path, which: str | int = "last", *, seed: int = 0, data_dir: str | None = None) -> Report:
    """What is shown of a run; arguments and errors as of `make`."""
    record = run.read(path)
    _, cfg = run.method(record)
    generator = run.load(path, which)
    data = run.dataset(record, data_dir)
    scores = evaluate.read(path)
    try:
        rows = run.rows(path)
    except ValueError as e:
        raise InputError(f"{path / 'metrics.jsonl'} is damaged ({e})") from None
    key = jax.random.key(seed)
    label = None
    if generator.classes:  # as frequent as in the data
        label = run.drawn_labels(data, JUDGED)
    images = _sampled(generator, key, SHOWN if data.label is None else JUDGED, label)
    index, _ = nearest(images[:PAIRS], data.image)
    path_label = np.repeat(run.labels(len(generator.classes), PATHS), POINTS) if generator.classes else None
    return Report(
        path=path,
        record=record,
        config=cfg,
        step=generator.step,
        seed=seed,
        n_data=len(data.image),
        images=images[:SHOWN],
        near=data.image[index],
        paths=plots.to_uint8(generator.interpolate(key, PATHS, POINTS, path_label)),
        classes=None if data.label is None else _classes(generator, record, data, images, key),
        rows=rows,
        scores=scores,
    )


def _sampled(generator: run.Generator, key, n: int, label) -> np.ndarray:
    """n samples as uint8[n, H, W, C], under a progress bar."""
    z = generator.gan.latent(key, jnp.arange(n))
    bar = tqdm(total=n, desc="samples", unit="image", leave=False, delay=1, disable=None)
    parts = []
    with bar:
        for i in range(0, n, 250):
            part = jax.tree.map(lambda x, i=i: x[i : i + 250], z)
            parts.append(plots.to_uint8(generator.of(part, None if label is None else label[i : i + 250])))
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def _classes(generator: run.Generator, record: dict, data: Dataset, images, key) -> Classes:
    names = tuple(record["data"]["classes"])
    judge = judges.cached(data)
    seen = judges.judge(judge, images)[0].argmax(1)
    shown = min(CLASSES, len(names))
    if generator.classes:
        grid = list(_sampled(generator, key, EACH * shown, run.labels(shown, EACH * shown)))
    else:
        of = [images[seen == c] for c in range(shown)]
        empty = plots.empty(images.shape[1:])
        grid = [of[c][r] if r < len(of[c]) else empty for r in range(EACH) for c in range(shown)]
    fake, real = (np.bincount(x, minlength=len(names)) / len(x) for x in (seen, data.label))
    return Classes(names, grid, bool(generator.classes), fake, real, judge.accuracy)


def _method(record: dict) -> str:
    experiment = record["experiment"]
    name = experiment["module"].rpartition(".")[2]
    return Path(experiment["file"]).stem if name == "__main__" else name


def _number(value) -> str:
    """A figure as a person reads it: four digits."""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return "\N{EN DASH}" if value is None else str(value)


def _interval(score: dict) -> str:
    ends = score["interval"]
    return f"{_number(ends[0])} to {_number(ends[1])}" if ends else ""


def _progress(seen: Report) -> str:
    total = seen.config.steps
    return f"step {seen.step:,}" + ("" if seen.step == total else f" of {total:,}")


def _tiles(seen: Report) -> dict[str, plots.Tiles]:
    """The pictures of a run, by what they show."""
    n = len(seen.near)
    pairs = np.stack([seen.images[:n], seen.near], 1).reshape(-1, *seen.near.shape[1:])
    found = {
        "samples": plots.Tiles(seen.images, title="Samples"),
        "nearest": plots.Tiles(pairs, close=2, title="Samples, each with its nearest training image"),
        "paths": plots.Tiles(seen.paths, POINTS, close=POINTS, title="Interpolations"),
    }
    if seen.classes is not None:
        shown = seen.classes.names[:CLASSES]
        title = "Classes, as asked for" if seen.classes.asked else "Classes, as a judge sees them"
        found["classes"] = plots.Tiles(seen.classes.grid, len(shown), EACH, names=shown, title=title)
    return found


def _charts(seen: Report) -> list[tuple[str, Any]]:
    """The curves of a run: a title and `draw(axis)` each."""
    lines = plots.panels(seen.rows).items()
    return [(label, partial(plots.curve_chart, rows=seen.rows, label=label, names=n)) for label, n in lines]


def _sheet(seen: Report) -> Image.Image:
    """report.png."""
    charts = _charts(seen)
    if of := seen.classes:
        bars = partial(plots.shares_chart, classes=of.names, fake=of.fake, real=of.real)
        charts = [("Shares of classes", bars), *charts]
    parts = [seen.name, _progress(seen)]
    own = [record for record in seen.scores["scores"] if record["step"] == seen.step][:2]
    for score in own:
        interval = f" ({_interval(score)})" if score["interval"] else ""
        parts.append(f"{score['name']} {_number(score['value'])}{interval}")
    if own:
        parts.append(str(from_record(own[0]).protocol))
    return plots.sheet(seen.title, "   \N{MIDDLE DOT}   ".join(parts), list(_tiles(seen).values()), charts)


# The page. Whatever comes from a run goes through `escape`.

TALL = 6  # samples of a class on the page
WIDTH = 538  # pixels of a picture in half the page: eight of 64 and their gaps, in pairs
STYLE = """
:root { color-scheme: light dark; --back: #f4f5f7; --card: #fff; --ink: #1b1f24; --soft: #5b6470;
  --line: #e2e5ea; --mine: #3b82f6; --data: #a9b4c2; }
@media (prefers-color-scheme: dark) { :root { --back: #0f1216; --card: #191d23; --ink: #e6e9ee;
  --soft: #9aa4b1; --line: #2c323b; --mine: #60a5fa; --data: #5a6675; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 2rem 12px 3rem; background: var(--back);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: clamp(1.4rem, 5.5vw, 1.9rem); line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 0 0 .25rem; font-size: 1.1rem; }
p { margin: 0 0 .9rem; color: var(--soft); font-size: .9rem; }
header p { font-size: 1rem; margin: .3rem 0 1.25rem; overflow-wrap: anywhere; }
main { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px;
  grid-column: 1 / -1; min-width: 0; }
section.half { grid-column: auto; }
img { display: block; max-width: 100%; height: auto; }
img.pixels { image-rendering: pixelated; }
.row { display: flex; flex-wrap: wrap; gap: 14px 13px; }
.row figure { margin: 0; width: min(var(--tile), calc((100% - 52px) / 5)); min-width: 0; }
figcaption { font-size: .8rem; text-align: center; margin-bottom: 4px; color: var(--soft);
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); gap: 12px; }
.charts img { margin: 0 auto; }
ol.shares { list-style: none; margin: 0; padding: 0; columns: 2 300px; column-gap: 40px; }
.shares li { display: grid; grid-template-columns: var(--name) 1fr 6.8rem; gap: 10px; align-items: center;
  break-inside: avoid; padding: 3px 0; font-size: .85rem; }
.shares li > :first-child { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.shares i { display: block; height: 7px; border-radius: 0 3px 3px 0; background: var(--mine); }
.shares i + i { background: var(--data); margin-top: 2px; }
.shares small, .key { color: var(--soft); font-size: .8rem; font-variant-numeric: tabular-nums; }
.shares small { text-align: right; }
.key { display: inline-block; white-space: nowrap; margin-left: .3em; }
.key b { display: inline-block; width: 1.4em; height: 7px; border-radius: 3px; background: var(--mine);
  margin: 0 .4em .1em 0; }
.key b + b, .key b.data { background: var(--data); margin-left: 1em; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: 8px 16px 8px 0; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th { border-top: 0; padding-top: 0; font-weight: 500; color: var(--soft); font-size: .8rem; }
tbody th { font-weight: 600; }
.plain th { font-weight: 400; color: var(--soft); width: 40%; }
.plain th, .plain td { padding-top: 4px; padding-bottom: 4px; }
.scores td { font-variant-numeric: tabular-nums; }
.scores .value { font-size: 1.15rem; font-weight: 650; line-height: 1.25; white-space: nowrap; }
.scores .interval { white-space: nowrap; }
.scores .protocol { color: var(--soft); font-size: .85rem; width: 55%; }
summary { cursor: pointer; color: var(--mine); font-size: .85rem; }
details > table { margin-top: .4rem; }
pre { margin: 0; padding: 12px 14px; background: var(--back); border-radius: 8px; font-size: .82rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 760px) {
  section.half { grid-column: 1 / -1; }
  .shares li { grid-template-columns: 1fr auto; gap: 2px 10px; padding: 5px 0; }
  .shares li > :nth-child(2) { order: 1; grid-column: 1 / -1; }
  .scores thead { display: none; }
  .scores > tbody > tr { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 12px; padding: 8px 0;
    border-top: 1px solid var(--line); }
  .scores > tbody > tr:first-child { border-top: 0; padding-top: 0; }
  .scores > tbody > tr > * { border: 0; padding: 0; }
  .scores .protocol { width: 100%; }
}
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def _source(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _png(canvas: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(canvas).save(file, "PNG", optimize=True)
    return _source(file.getvalue())


def _img(canvas: np.ndarray, alt: str) -> str:
    size = f'width="{canvas.shape[1]}" height="{canvas.shape[0]}"'
    return f'<img class="pixels" src="{_png(canvas)}" {size} alt="{escape(alt)}">'


def _section(heading: str, text: str, body: str, *, half: bool = False) -> str:
    return (
        f"<section{' class=half' if half else ''}>\n<h2>{heading}</h2>\n"
        f"{f'<p>{text}</p>' if text else ''}\n{body}\n</section>"
    )


def _table(values: dict) -> str:
    """Names and values, one a line."""
    lines = [f"<tr><th>{escape(str(k))}</th><td>{escape(_number(v))}</td></tr>" for k, v in values.items()]
    return f'<table class="plain"><tbody>{"".join(lines)}</tbody></table>'


def _scores_section(seen: Report) -> str:
    records = seen.scores["scores"]
    if not records:
        return _section("Scores", "None yet: a run is scored when it has finished.", "")
    own = [record for record in records if record["step"] == seen.step]
    others = [record for record in records if record["step"] != seen.step]
    notes = []
    if not own:
        notes.append(f"None of step {seen.step:,}, which is shown: `jaxgan evaluate` makes them.")
    best = seen.scores.get("best") or {}
    if best.get("value") is not None:
        notes.append(
            f"Best while training: {best['name']} {_number(best['value'])} at step {best['step']:,}."
        )
    body = _scores_table(own) if own else ""
    if others:
        body += f"<details><summary>of other steps</summary>{_scores_table(others)}</details>"
    return _section("Scores", escape(" ".join(notes)), body)


def _scores_table(records: list[dict]) -> str:
    lines = []
    for record in records:
        protocol = from_record(record).protocol
        short = f"step {record['step']:,}; {protocol}; {protocol.better} is better"
        whole = f"<details><summary>protocol</summary>{_table(record['protocol'])}</details>"
        lines.append(
            f'<tr><th>{escape(record["name"])}</th><td class="value">{_number(record["value"])}</td>'
            f'<td class="interval">{_interval(record)}</td>'
            f'<td class="protocol">{escape(short)}{whole}</td></tr>'
        )
    head = "<thead><tr><th>score</th><th>value</th><th>interval</th><th>protocol</th></tr></thead>"
    return f'<table class="scores">{head}<tbody>{"".join(lines)}</tbody></table>'


def _animation(seen: Report) -> str:
    """The grids of samples/ as one moving picture, and a still one for who wants none; "" if there are
    fewer than two."""
    grids = sorted((seen.path / "samples").glob("[0-9]*.png"))
    frames, steps = [], []
    for i in np.unique(np.linspace(0, len(grids) - 1, FRAMES).astype(int)) if grids else ():
        # A run that is training may have written half of its newest.
        with contextlib.suppress(OSError), Image.open(grids[i]) as image:
            small = plots.unpicture(image, seen.images.shape[2])
            frames.append(small.reduce(-(-small.width // 720)))  # the page is one file: no larger than shown
            steps.append(int(grids[i].stem))
    if len(frames) < 2:
        return ""
    file, still = io.BytesIO(), io.BytesIO()
    plots.animation(file, frames)
    frames[-1].save(still, "PNG")
    width, height = frames[0].size
    factor = max(1, WIDTH // width)
    span = f"step {steps[0]:,} to {steps[-1]:,}"
    picture = (
        f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="{_source(still.getvalue())}">'
        f'<img{" class=pixels" if factor > 1 else ""} src="{_source(file.getvalue(), "gif")}" '
        f'width="{factor * width}" height="{factor * height}" '
        f'alt="Animation of the same samples from {span}"></picture>'
    )
    return _section("Over training", f"The same latents from {span}.", picture, half=True)


def _classes_section(of: Classes) -> str:
    """A picture a class under its name, so that a narrow screen may have them in several rows."""
    names = of.names[:CLASSES]
    w = of.grid[0].shape[1]
    tile = max(1, 96 // w) * w
    figures = []
    for c, name in enumerate(names):
        column = of.grid[c :: len(names)][:TALL]
        made = sum(image.shape[-1] != 4 for image in column)
        picture = _img(plots.tiles(plots.Tiles(column, 1, TALL), tile), f"{made} samples of class {name}")
        caption = f'<figcaption title="{escape(name)}">{escape(name)}</figcaption>'
        figures.append(f"<figure>{caption}{picture}</figure>")
    text = (
        "Each column has the samples of a label that the generator was asked for."
        if of.asked
        else "The generator takes no label: a column has the samples that a judge, a classifier of the "
        "data's labels, sees as the class. Where it found fewer, cells stay empty."
    )
    if len(names) < len(of.names):
        text += f" The first {len(names)} of {len(of.names)} classes."
    return _section("Classes", text, f'<div class="row" style="--tile: {tile}px">{"".join(figures)}</div>')


def _shares_section(of: Classes) -> str:
    most = max(of.fake.max(), of.real.max())
    lines = [
        f'<li><span title="{escape(name)}">{escape(name)}</span>'
        f'<span><i style="width: {fake / most:.1%}"></i><i style="width: {real / most:.1%}"></i></span>'
        f"<small>{fake:.1%} / {real:.1%}</small></li>"
        for name, fake, real in zip(of.names, of.fake, of.real, strict=True)
    ]
    width = min(14, max(map(len, of.names)) + 1)
    text = (
        f"Of {JUDGED:,} samples, by a judge that is right on {of.accuracy:.1%} of held-out real images. "
        '<span class="key"><b></b>samples <b class="data"></b>data</span>'
    )
    return _section(
        "Shares of classes", text, f'<ol class="shares" style="--name: {width}ch">{"".join(lines)}</ol>'
    )


def _curves_section(seen: Report) -> str:
    size = (360, 250)
    pictures = []
    for title, draw in _charts(seen):
        light, dark = (_png(plots.chart(draw, size, title=title, dark=x, scale=2)) for x in (False, True))
        pictures.append(
            f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
            f'<img src="{light}" width="{size[0]}" height="{size[1]}" alt="Curve: {escape(title)}"></picture>'
        )
    if not pictures:
        return _section("Curves", "None yet: metrics.jsonl has no rows.", "")
    return _section("Curves", "", f'<div class="charts">{"".join(pictures)}</div>')


def _defaults(config_class: type) -> dict[str, Any]:
    """The fields of a config that have a default, and it."""
    return {
        f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        for f in dataclasses.fields(config_class)
        if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
    }


def changed(config) -> dict[str, Any]:
    """The fields of a config that are not as its class has them by default. The number of classes, which
    is always the data's, is none of them."""
    defaults = _defaults(type(config))
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return {k: v for k, v in values.items() if k != "n_classes" and (k not in defaults or defaults[k] != v)}


def _flags(name: str, value) -> list[str]:
    """A field's value as the command line takes it."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *(str(v) for v in (value if isinstance(value, tuple) else (value,)))]


def command(record: dict, config) -> str:
    """The command that trains a run anew, with the same numbers."""
    experiment, loop = record["experiment"], record["loop"]
    python = [
        "python",
        *(["-m", experiment["module"]] if "." in experiment["module"] else [experiment["file"]]),
    ]
    # What of the loop changes a run's numbers, and where its data are.
    kept = {"accumulate": 1, "patience": 0, "data_dir": None}
    given = {k: loop[k] for k, default in kept.items() if loop.get(k, default) != default}
    if "patience" in given:
        given["evaluate_every"] = loop["evaluate_every"]
    return shlex.join(python + [x for k, v in (changed(config) | given).items() for x in _flags(k, v)])


def _config_section(seen: Report) -> str:
    differs = changed(seen.config)
    whole = {f.name: getattr(seen.config, f.name) for f in dataclasses.fields(seen.config)}
    loop = _table(seen.record["loop"])
    return _section(
        "Config",
        "What differs from the experiment's defaults." if differs else "The experiment's defaults.",
        (_table(differs) if differs else "")
        + f"<details><summary>all of it</summary>{_table(whole)}</details>"
        + f"<details><summary>how the host ran it</summary>{loop}</details>",
        half=True,
    )


def _origin_section(seen: Report) -> str:
    data = seen.record["data"]
    facts = {
        "commit": seen.record.get("commit"),
        "devices": ", ".join(seen.record["devices"]),
        "data": f"{seen.n_data:,} images of {data['name']}, {'x'.join(map(str, data['shape'][1:]))}",
        "digest of the data": data["digest"],
    }
    versions = f"<details><summary>versions</summary>{_table(seen.record['versions'])}</details>"
    return _section("Origin", "", _table(facts) + versions, half=True)


def _commands_section(seen: Report) -> str:
    path = shlex.quote(str(seen.path))
    ended = max([row["step"] for row in seen.rows], default=0) >= seen.config.steps
    go_on = f"# train it for longer\njaxgan resume {path} --steps {2 * seen.config.steps}"
    parts = [
        f"# train it anew\n{command(seen.record, seen.config)}",
        go_on if ended else f"# go on with it\njaxgan resume {path}",
        f"# more samples of this step\njaxgan sample {path} --checkpoint {seen.step} --n 64 --out grid.png",
    ]
    text = "\n\n".join(parts)
    return _section("Commands", "", f"<pre>{escape(text)}</pre>")


def page(seen: Report) -> str:
    """report.html: one file that needs no other, no script and no network."""
    animation = _animation(seen)
    tiles = _tiles(seen)
    if not animation:  # three halves would leave a hole: the paths then go right across
        tiles["paths"] = tiles["paths"]._replace(rows=4)
    widths = {"samples": WIDTH, "nearest": WIDTH, "paths": WIDTH if animation else 2 * WIDTH}
    pictures = {name: plots.fitted(tiles[name], width) for name, width in widths.items()}
    asked = ", one class a path" if seen.classes and seen.classes.asked else ""
    sections = [
        _scores_section(seen),
        _section(
            "Samples",
            f"Drawn with seed {seen.seed}, none left out.",
            _img(pictures["samples"], "Grid of samples"),
            half=True,
        ),
        animation,
        _section(
            "Nearest training images",
            "At the right of each sample the training image nearest to it, by Euclidean distance of pixels.",
            _img(pictures["nearest"], "Samples, each beside its nearest training image"),
            half=True,
        ),
        _section(
            "Interpolations",
            f"Each row is a path between two latents{asked}.",
            _img(pictures["paths"], "Samples on paths between two latents, a path a row"),
            half=bool(animation),
        ),
        *([_classes_section(seen.classes), _shares_section(seen.classes)] if seen.classes else []),
        _curves_section(seen),
        _config_section(seen),
        _origin_section(seen),
        _commands_section(seen),
    ]
    body = "\n".join(x for x in sections if x)
    title = escape(seen.title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}: {escape(seen.name)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{escape(seen.name)} &middot; {escape(_progress(seen))}</p>
</header>
<main>
{body}
</main>
</body>
</html>
"""
