"""One sweep against the same runs one after another, compilation and closing scores included.

    python -m experiments.benchmarks.lanes

Each is a process of its own with an empty cache, in turn, round by round; the runs one after another share
their process, and so the compiled programs that the cache has kept. The table has the medians and the CPU.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from experiments.benchmarks.startup import cpu
from jaxgan.config import Count, check
from jaxgan.signals import reported

SCRIPT = """
import json, sys, time
from dataclasses import replace
from experiments import mixtures, toolbox
from jaxgan import methods, sweeps, train
from jaxgan.sweeps import space

way, out, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
module = {"ring": mixtures, "digits": toolbox}[given["case"]]
cfg = module.Config(**given["config"])
often = {"sample_every": 0, "evaluate_every": 0, "checkpoint_every": 0, "log_every": 50}
loop = train.Loop(out=out, name="a", devices=1, **often)
began = time.monotonic()
if way == "sweep":
    sweeps.sweep(module, cfg, given["grid"], seeds=given["seeds"], loop=loop)
else:
    for i, values in enumerate(space.grid(given["grid"])):
        for seed in range(given["seeds"]):
            name = f"{i}-{seed}"
            train.start(replace(cfg, seed=seed, **values), replace(loop, name=name), methods.kind_of(module))
print("seconds", time.monotonic() - began)
"""


@dataclass(frozen=True)
class Config:
    """Times a sweep against the same runs one after another."""

    case: Literal["ring", "digits"] = "ring"  # 128-128 networks on 8 modes; a DCGAN on the digits
    batch_size: Count = 256
    steps: Count = 1000
    seeds: Count = 16
    values: Count = 1  # of a rate
    rounds: Count = 3


def seconds(way: str, given: dict) -> float:
    """Of one process.

    Raises:
      RuntimeError: with its last line, if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAXGAN_CACHE": str(Path(folder) / "cache")}
        command = [sys.executable, "-c", SCRIPT, way, str(Path(folder) / "runs"), json.dumps(given)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.strip().rpartition("seconds ")[2])


def main() -> None:
    """The table."""
    with reported(own=True):
        cfg = check(tyro.cli(Config, description=__doc__))
        own = {"batch_size": cfg.batch_size, "steps": cfg.steps}
        own |= {"ring": {"method": "r3gan", "protocol": "veegan"}, "digits": {}}[cfg.case]
        grid = {"d_lr": [5e-4 * 2**i for i in range(cfg.values)]}
        given = {"case": cfg.case, "config": own, "grid": grid, "seeds": cfg.seeds}
        times = {"sweep": [], "runs": []}
        for _ in range(cfg.rounds):
            for way, found in times.items():
                found.append(seconds(way, given))
                print(f"{way} {found[-1]:.1f} s", flush=True)
        medians = {way: statistics.median(found) for way, found in times.items()}
        ratios = [b / a for a, b in zip(*times.values(), strict=True)]
        n, what = cfg.seeds * cfg.values, f"{cfg.case}, batch {cfg.batch_size}, {cfg.steps} steps, {cpu()}"
        times_as_long = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{n} lanes of {what}: {medians['sweep']:.1f} s")
        print(f"{n} runs one after another: {medians['runs']:.1f} s, {times_as_long} times as long")


if __name__ == "__main__":
    main()
