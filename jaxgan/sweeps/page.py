"""What a sweep leaves in its folder: tables, pictures, one page with all of it, and TensorBoard's hparams."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from jaxgan import cache, pages
from jaxgan.results import Results, told
from jaxgan.sweeps import pictures

KEEP = {  # the pictures by their files' names, and what they are called on the page
    "scores": "Scores while training",
    "seconds": "Scores over time",
    "seeds": "Every seed",
    "heat_map": "Both fields",
    "parallel": "All fields",
    "samples": "Samples",
}


def drawn(found: Results, root: Path) -> dict[str, np.ndarray]:
    """The pictures that there are, by their files' names."""
    every = {
        "scores": pictures.over_steps(found, root),
        "seconds": pictures.over_steps(found, root, seconds=True),
        "seeds": pictures.strip(found),
        "heat_map": pictures.heat_map(found),
        "parallel": pictures.parallel_coordinates(found),
        "samples": pictures.samples(found, root),
    }
    return {name: canvas for name, canvas in every.items() if canvas is not None}


def write(found: Results, root: Path) -> list[str]:
    """Writes all into a sweep's folder. Returns lines that say where."""
    found.write(root)
    lines = [f"table     {root / 'table.md'}, .csv, .tex, runs.jsonl"]
    if any(own.figures for row in found.rows for own in row.outcomes):
        every = drawn(found, root)
        for name in KEEP:
            if name in every:
                Image.fromarray(every[name]).save(root / f"{name}.png")
            else:
                (root / f"{name}.png").unlink(missing_ok=True)
        cache.write(root / "sweep.html", page(found, every).encode())
        hparams(found, root / "events")
        first, *rest = (f"{name}.png" for name in every)
        lines.append(f"pictures  {', '.join([str(root / first), *rest])}")
        lines.append(f"page      {root / 'sweep.html'}")
    return lines


def page(found: Results, every: dict[str, np.ndarray]) -> str:
    """One page that needs nothing beside it."""
    columns, others = found.others()
    runs = [(row.label, own) for row in found.rows for own in row.outcomes]
    return pages.template(Path(__file__).parent / "sweep.html").render(
        title=found.title,
        columns=found.columns(),
        rows=found.cells(),
        best=next((i for i, row in enumerate(found.rows) if row is found.best), None),
        value=len(found.fields) + 1,
        notes=found.notes(),
        other_columns=columns if len(columns) > len(found.fields) else [],
        others=others,
        pictures=[(KEEP[name], pages.embedded(pages.png(canvas))) for name, canvas in every.items()],
        metric=found.metric,
        runs=runs,
    )


def hparams(found: Results, folder: Path) -> None:
    """Every run for TensorBoard's hparams tab."""
    from tensorboardX import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for row in found.rows:
            plain = {
                k: v if isinstance(v, bool | int | float | str) else told(v) for k, v in row.config.items()
            }
            for own in row.outcomes:
                if own.figures:
                    writer.add_hparams({**plain, "seed": own.seed}, own.figures, name=own.folder)
