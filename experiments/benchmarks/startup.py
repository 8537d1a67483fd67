"""Seconds that a person waits for a command: help, lists, samples, a first step.

    python -m experiments.benchmarks.startup

Each command is a process of its own. Cold is with an empty cache: nothing is compiled yet, and the classifier
of the closing scores is trained. The table has the median over rounds and the CPU.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from jaxgan.config import Count, check
from jaxgan.signals import reported

STEP = ["experiments.dcgan", "--steps", "1", "--devices", "1", "--out"]


@dataclass(frozen=True)
class Config:
    """Times what a person waits for."""

    rounds: Count = 5  # how often each command is timed; the cold step once


def cpu() -> str:
    """The name of this machine's CPU, and how many cores it has."""
    info = Path("/proc/cpuinfo")
    named = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return f"{named[0].partition(': ')[2] if named else 'an unknown CPU'}, {os.cpu_count()} cores"


def seconds(arguments: list[str], cache: Path) -> float:
    """Of one command, `python -m` of the arguments.

    Raises:
      RuntimeError: with its last line, if it fails.
    """
    start = time.perf_counter()
    environment = os.environ | {"JAXGAN_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    return time.perf_counter() - start


def measure(rounds: int, root: Path) -> dict[str, list[float]]:
    """The seconds of each command, in each round."""
    cache, runs = root / "cache", root / "runs"
    names = iter(range(1000))
    step = lambda: [*STEP, str(runs), "--name", str(next(names))]  # noqa: E731
    found = {"dcgan --steps 1, cold": [seconds(step(), cache)]}
    run = str(runs / "dcgan" / "0")
    commands = {
        "jaxgan --help": lambda: ["jaxgan", "--help"],
        "jaxgan list": lambda: ["jaxgan", "list", str(runs)],
        "jaxgan sample": lambda: ["jaxgan", "sample", run, "--out", str(root / "grid.png")],
        "dcgan --steps 1, warm": step,
    }
    for command in commands.values():  # the first of each compiles, or reads files anew
        seconds(command(), cache)
    for _ in tqdm(range(rounds), unit="round"):
        for name, command in commands.items():
            found.setdefault(name, []).append(seconds(command(), cache))
    return found


def table(found: dict[str, list[float]]) -> str:
    """The medians and ranges as Markdown."""
    lines = ["| command | median, s | from | to |", "|---|---|---|---|"]
    for name, each in found.items():
        lines.append(f"| {name} | {statistics.median(each):.2f} | {min(each):.2f} | {max(each):.2f} |")
    return "\n".join(lines)


def main(cfg: Config) -> None:
    """Runs, and prints the table."""
    check(cfg)
    with tempfile.TemporaryDirectory() as root:
        print(f"{cpu()}\n\n{table(measure(cfg.rounds, Path(root)))}")


if __name__ == "__main__":
    with reported(own=True):
        main(tyro.cli(Config, description=__doc__))
