"""A run at a glance: one figure, and one page that needs nothing beside it.

RUN/report.png     what the kind of data has to show of the samples, and curves
    report.html    the same with scores, protocols, config and commands; no script, no network
"""

import dataclasses
import io
import mimetypes
import shlex
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from jaxgan import cache, evaluate, methods, pages, plots, records, run, sampling, troubles
from jaxgan.config import InputError
from jaxgan.data import files
from jaxgan.kinds import Panel, Played, Shares
from jaxgan.metrics.score import from_record
from jaxgan.troubles import Trouble

FRAMES = 24  # of the animation at most: the page is one file
TALL = 6  # tiles of a named column on the page
WIDTH = 538  # pixels of a picture in half the page: eight of 64 and their gaps, in pairs
CHART = 360, 250  # pixels of a curve
PLAYER = 256  # of a picture with a sound
GIF, WAV = mimetypes.types_map[".gif"], "audio/wav"


class Report(NamedTuple):
    """What is shown of a run."""

    path: Path
    record: dict[str, Any]
    config: Any
    step: int  # of the generator
    seed: int  # of the latents
    panels: list[Panel]  # what its kind of data has to show
    rows: list[dict]  # of metrics.jsonl
    scores: dict  # scores.json, or the beginning of one
    troubles: list[Trouble]  # what has gone wrong until that step

    @property
    def name(self) -> str:
        """The run's own."""
        return self.path.absolute().name

    @property
    def title(self) -> str:
        """The experiment and its data."""
        return f"{methods.name_of(self.record['experiment'])} on {self.record['data']['name']}"


def make(
    path: str | Path,
    which: str | int = "last",
    *,
    seed: int = 0,
    out: str | Path | None = None,
    data: str | None = None,
    data_dir: str | None = None,
) -> tuple[Path, Path]:
    """Writes report.png and report.html of a run, also of one that is still training.

    Args:
      path: the run's folder.
      which: of its checkpoints, as for `sampling.load`.
      seed: of the latents.
      out: the folder to write to; None is the run's.
      data: what the run's `--data` is called now, if it was moved.
      data_dir: where TFDS sets lie now, if it is elsewhere than the run's own.

    Returns:
      The two files.

    Raises:
      InputError: if there is no such run or checkpoint, its data have changed or are missing, a file
        of it is damaged, or `out` cannot be written to; the files are then as they were.
    """
    path = Path(path)
    out = path if out is None else Path(out)
    seen = gather(path, which, seed=seed, data=data, data_dir=data_dir)
    picture = io.BytesIO()
    _sheet(seen).save(picture, "PNG")
    files = {out / "report.png": picture.getvalue(), out / "report.html": page(seen).encode()}
    try:
        for file, content in files.items():
            cache.write(file, content)
    except OSError as e:
        raise InputError(f"--out {out} cannot be written to ({e.strerror})") from None
    return tuple(files)


def gather(
    path: Path,
    which: str | int = "last",
    *,
    seed: int = 0,
    data: str | None = None,
    data_dir: str | None = None,
) -> Report:
    """What is shown of a run; arguments and errors as of `make`."""
    record = records.read(path)
    generator = sampling.load(path, which, critic=True)
    data = run.dataset(record, data_dir, data, path)
    scores = evaluate.read(path)
    rows = records.rows(path)
    panels = generator.kind.panels(data, generator, jax.random.key(seed), rows)
    if scores.get("step") == generator.step:
        wrong = troubles.from_records(scores.get("troubles"))
    else:
        wrong = troubles.of_steps([row for row in rows if row["step"] <= generator.step])
    return Report(path, record, generator.config, generator.step, seed, panels, rows, scores, wrong)


def _number(value) -> str:
    """A figure as a person reads it: four digits."""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return "\N{EN DASH}" if value is None else str(value)


def _interval(score: dict) -> str:
    ends = score["interval"]
    return f"{_number(ends[0])} to {_number(ends[1])}" if ends else ""


def _protocol(score: dict) -> str:
    protocol = from_record(score).protocol
    return f"{protocol}; {protocol.better} is better"


def _progress(seen: Report) -> str:
    total = seen.config.steps
    return f"step {seen.step:,}" + ("" if seen.step == total else f" of {total:,}")


def _curves(seen: Report) -> list[tuple[str, Any]]:
    """The curves of a run: a title and `draw(axis)` each."""
    lines = plots.panels(seen.rows).items()
    return [(label, partial(plots.curve_chart, rows=seen.rows, label=label, names=n)) for label, n in lines]


def _bars(shares: Shares) -> Any:
    return partial(plots.shares_chart, classes=shares.names, fake=shares.fake, real=shares.real)


def _sheet(seen: Report) -> Image.Image:
    """report.png."""
    pictures = [(p.heading, p.what) for p in seen.panels if isinstance(p.what, plots.Tiles | Played)]
    tiles = [plots.Tiles(x.images, title=t) if isinstance(x, Played) else x for t, x in pictures]
    others = [(p.heading, p.what) for p in seen.panels if not isinstance(p.what, plots.Tiles | Played)]
    charts = [(title, _bars(x) if isinstance(x, Shares) else x) for title, x in others] + _curves(seen)
    parts = [seen.name, _progress(seen)]
    own = [record for record in seen.scores["scores"] if record["step"] == seen.step][:2]
    for score in own:
        interval = f" ({_interval(score)})" if score["interval"] else ""
        parts.append(f"{score['name']} {_number(score['value'])}{interval}")
    if own:
        parts.append(str(from_record(own[0]).protocol))
    told = [f"{trouble.name}: {trouble.told}" for trouble in seen.troubles]
    return plots.sheet(seen.title, "   \N{MIDDLE DOT}   ".join(parts), tiles, charts, told)


# The page.


def _picture(canvas: np.ndarray, alt: str, **more) -> dict[str, Any]:
    """A picture as the template takes it."""
    size = {"width": canvas.shape[1], "height": canvas.shape[0]}
    return {
        "source": pages.embedded(pages.png(canvas)),
        **size,
        "alt": alt,
        "pixels": True,
        "media": None,
        **more,
    }


def _chart(draw, title: str, size: tuple[int, int], alt: str) -> dict[str, Any]:
    """A chart for light and for dark screens."""
    light, dark = (
        _picture(plots.chart(draw, size, title=title, dark=x, scale=2), alt) for x in (False, True)
    )
    shown = {"width": size[0], "height": size[1], "pixels": False}
    return {**light, **shown, "media": "(prefers-color-scheme: dark)", "other": dark["source"]}


def _columns(tiles: plots.Tiles) -> list[dict[str, Any]]:
    """A picture a column under its name, so that a narrow screen may have them in several rows."""
    w = tiles.images[0].shape[1]
    width = max(1, 96 // w) * w
    columns = []
    for c, name in enumerate(tiles.names):
        column = tiles.images[c :: len(tiles.names)][:TALL]
        made = sum(tile.shape[-1] != 4 for tile in column)
        canvas = plots.tiles(plots.Tiles(column, 1, TALL), width)
        columns.append(_picture(canvas, f"{made} samples of {name}", name=name))
    return columns


def _played(what: Played, name: str) -> list[dict[str, Any]]:
    """A picture each, and its sound below."""
    found = []
    for i, (tile, sound) in enumerate(zip(what.images, what.sounds, strict=True), 1):
        factor = max(1, PLAYER // tile.shape[1])
        canvas = tile.repeat(factor, 0).repeat(factor, 1)
        found.append(_picture(canvas, f"{name}, {i}", sound=pages.embedded(sound, WAV)))
    return found


NOTHING = {"shares": None, "columns": None, "played": None, "picture": None}  # in a section


def _section(panel: Panel, wide: bool) -> dict[str, Any]:
    """A panel as the template takes it; `wide` is a half one that goes right across, to leave no hole."""
    what, half = panel.what, panel.half and not wide
    section = {**NOTHING, "heading": panel.heading, "text": panel.text, "half": half}
    if isinstance(what, Shares):
        most = max(what.fake.max(), what.real.max())
        shares = [
            {
                "name": name,
                "fake_width": f"{fake / most:.1%}",
                "real_width": f"{real / most:.1%}",
                "told": f"{fake:.1%} / {real:.1%}",
            }
            for name, fake, real in zip(what.names, what.fake, what.real, strict=True)
        ]
        return section | {"shares": shares, "name_width": min(14, max(map(len, what.names)) + 1)}
    if isinstance(what, Played):
        return section | {"played": _played(what, panel.heading)}
    if isinstance(what, plots.Tiles) and what.names:
        return section | {"columns": _columns(what)}
    width = WIDTH if half else 2 * WIDTH
    if isinstance(what, plots.Tiles):
        what = what._replace(rows=4) if wide else what
        return section | {"picture": _picture(plots.fitted(what, width), panel.heading)}
    return section | {"picture": _chart(what, "", (width, 360), panel.heading)}


def _animation(seen: Report) -> dict[str, Any] | None:
    """The pictures of samples/ as one that moves, and a still one for who wants none; None if there are
    fewer than two."""
    grids = sorted((seen.path / "samples").glob("[0-9]*.png"))
    frames, steps = [], []
    for i in np.unique(np.linspace(0, len(grids) - 1, FRAMES).astype(int)) if grids else ():
        # A run that is training may have written half of its newest.
        if (grid := files.picture(grids[i])) is not None:
            small = plots.unpicture(grid)
            frames.append(small.reduce(-(-small.width // 720)))  # the page is one file: no larger than shown
            steps.append(int(grids[i].stem))
    if len(frames) < 2:
        return None
    file, still = io.BytesIO(), io.BytesIO()
    plots.animation(file, frames)
    frames[-1].save(still, "PNG")
    width, height = frames[0].size
    factor = max(1, WIDTH // width)
    span = f"step {steps[0]:,} to {steps[-1]:,}"
    moving = {
        "source": pages.embedded(file.getvalue(), GIF),
        "width": factor * width,
        "height": factor * height,
        "alt": f"Animation of the same samples from {span}",
        "pixels": factor > 1,
        "media": "(prefers-reduced-motion: reduce)",
        "other": pages.embedded(still.getvalue()),
    }
    text = f"The same latents from {span}."
    return {**NOTHING, "heading": "Over training", "text": text, "half": True, "picture": moving}


def _sections(seen: Report) -> list[dict[str, Any]]:
    """The panels, the animation behind the first."""
    moving = _animation(seen)
    halves = [i for i, panel in enumerate(seen.panels) if panel.half]
    odd = (len(halves) + (moving is not None)) % 2
    wide = halves[-1] if odd and halves else None
    sections = [_section(panel, i == wide) for i, panel in enumerate(seen.panels)]
    return [*sections[:1], *([moving] if moving else []), *sections[1:]]


def _defaults(config_class: type) -> dict[str, Any]:
    """The fields of a config that have a default, and it."""
    return {
        f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        for f in dataclasses.fields(config_class)
        if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
    }


def changed(config) -> dict[str, Any]:
    """The fields of a config that are not as its class has them by default."""
    defaults = _defaults(type(config))
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return {k: v for k, v in values.items() if k not in defaults or defaults[k] != v}


def _flags(name: str, value) -> list[str]:
    """A field's value as the command line takes it."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *(str(v) for v in (value if isinstance(value, tuple) else (value,)))]


def command(record: dict, config) -> str:
    """The command that trains a run anew, with the same numbers."""
    experiment, loop = record["experiment"], record["loop"]
    if experiment["file"] is None:
        return "# the method was at hand in a session, and is known there alone"
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


def _origin(seen: Report) -> dict[str, Any]:
    data = seen.record["data"]
    arrays = ", ".join(f"{name} {shape}" for name, shape in data["shapes"].items())
    return {
        "commit": seen.record.get("commit"),
        "devices": ", ".join(seen.record["devices"]),
        "data": f"{data['name']}: {arrays}",
        "digest of the data": data["digest"],
    }


def _commands(seen: Report) -> str:
    path = shlex.quote(str(seen.path))
    ended = max([row["step"] for row in seen.rows], default=0) >= seen.config.steps
    go_on = f"# train it for longer\njaxgan resume {path} --steps {2 * seen.config.steps}"
    file = sampling.sample_file(run.method(seen.record, seen.path)[0].kind)
    parts = [
        f"# train it anew\n{command(seen.record, seen.config)}",
        go_on if ended else f"# go on with it\njaxgan resume {path}",
        f"# more samples of this step\njaxgan sample {path} --checkpoint {seen.step} --n 64 --out {file}",
    ]
    return "\n\n".join(parts)


def _notes(seen: Report, own: list[dict]) -> str:
    notes = []
    if not own:
        notes.append(f"None of step {seen.step:,}, which is shown: `jaxgan evaluate` makes them.")
    best = seen.scores.get("best") or {}
    if best.get("value") is not None:
        notes.append(
            f"Best while training: {best['name']} {_number(best['value'])} at step {best['step']:,}."
        )
    return " ".join(notes)


def page(seen: Report) -> str:
    """report.html: one file that needs no other, no script and no network."""
    file = Path(__file__).with_name("report.html")
    template = pages.template(file, number=_number, interval=_interval, protocol=_protocol)
    records = seen.scores["scores"]
    own = [record for record in records if record["step"] == seen.step]
    return template.render(
        title=seen.title,
        name=seen.name,
        progress=_progress(seen),
        seed=seen.seed,
        scores=records,
        own=own,
        others=[record for record in records if record["step"] != seen.step],
        notes=_notes(seen, own),
        troubles=seen.troubles,
        sections=_sections(seen),
        curves=[_chart(draw, title, CHART, f"Curve: {title}") for title, draw in _curves(seen)],
        changed=changed(seen.config),
        config={f.name: getattr(seen.config, f.name) for f in dataclasses.fields(seen.config)},
        loop=seen.record["loop"],
        origin=_origin(seen),
        versions=seen.record["versions"],
        commands=_commands(seen),
    )
