"""`jaxgan sweep FOLDER --watch`: a sweep's table as it fills, from another terminal or another machine."""

import time
from pathlib import Path

from optuna.trial import TrialState
from rich.console import Console
from rich.live import Live
from rich.table import Table

from jaxgan import records
from jaxgan.config import InputError
from jaxgan.results import Results
from jaxgan.sweeps import book, plan

EVERY = 2.0  # seconds between looks


def _steps(root: Path, config: dict) -> str:
    """How far the runs of a configuration are."""
    place = root / plan.label(config)
    newest = [max((row["step"] for row in records.rows(run)), default=0) for run in place.glob("seed-*")]
    return f"step {min(newest)}" if newest else ""


def table(found: Results, states: dict[str, TrialState], root: Path) -> Table:
    """The results so far, each configuration with what becomes of it."""
    drawn = Table(title=found.title, caption="\n".join(found.notes()[:1]), caption_justify="left")
    columns = found.columns()
    for name in [*columns[: len(found.fields) + 5], "state"]:
        drawn.add_column(name)
    for row, line in zip(found.rows, found.cells(), strict=True):
        state = states.get(book.identity(records.plain(row.config)))
        said = {
            TrialState.COMPLETE: "done",
            TrialState.PRUNED: "stopped",
            TrialState.WAITING: "waiting",
            TrialState.RUNNING: f"running {_steps(root, row.config)}",
        }[state]
        said = f"{said}, {len(row.failed)} failed" if row.failed else said
        drawn.add_row(*line[: len(found.fields) + 5], said)
    return drawn


def main(argv: list[str]) -> None:
    """Shows the sweep of a folder until it is done; where there is no terminal, once."""
    if len(argv) != 1 or not (Path(argv[0]) / "sweep.json").is_file():
        raise InputError("jaxgan sweep FOLDER --watch: the folder of a sweep, which has a sweep.json")
    root, console = Path(argv[0]), Console()
    known = plan.known(root)
    cfg = plan.config_of(known, root)
    url = plan.storage_of(known, root)
    study = book.opened(url, known["study"], known["plan"]).study

    def look() -> tuple[Table, bool]:
        with book.answering(url):
            every = book.trials(study)
        states = {book.identity(t.user_attrs["config"]): t.state for t in every if "config" in t.user_attrs}
        found = plan.gathered(every, known, root, cfg)
        busy = any(t.state in (TrialState.WAITING, TrialState.RUNNING) for t in every)
        return table(found, states, root), busy

    drawn, busy = look()
    if not console.is_terminal:
        console.print(drawn)
        return
    with Live(drawn, console=console, refresh_per_second=4) as live:
        while busy:
            time.sleep(EVERY)
            drawn, busy = look()
            live.update(drawn)
