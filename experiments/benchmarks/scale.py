"""What a step of DCGAN takes, in time and memory, by batch, image size, devices, set size and `--hold`.

    python -m experiments.benchmarks.scale

Each case is a process of its own, on made-up images and on as many CPU devices as it says, which share the
machine's cores: more of them are no faster here, and tell what the exchange between them costs. A row has the
median over chunks of steps, the peak of the process's memory, and the share of the time in which a chunk
waited for its rows.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import jax
import numpy as np
import tyro
from tqdm import tqdm

from experiments import dcgan
from experiments.benchmarks.startup import cpu
from jaxgan import feed, memory, methods, parallel, train
from jaxgan.config import Count, check
from jaxgan.data import Dataset
from jaxgan.signals import reported


@dataclass(frozen=True)
class Case:
    """What is trained, and on what."""

    image_size: int = 32
    batch_size: int = 64
    devices: int = 1
    images: int = 10_000
    hold: str = "copy"


CASES = [
    Case(),
    Case(batch_size=16),
    Case(batch_size=128),
    Case(image_size=64),
    Case(devices=2),
    Case(devices=4),
    Case(devices=2, hold="shard"),
    Case(hold="stream"),
    Case(images=100_000),
    Case(images=100_000, hold="stream"),
]


@dataclass(frozen=True)
class Config:
    """Times steps of DCGAN."""

    width: Count = 64  # as in the tables of speed
    steps: Count = 10  # in a chunk
    chunks: Count = 5
    case: str | None = None  # one case, as JSON, in this process; all, each in one of its own, if not given


def measured(cfg: Config, case: Case) -> dict:
    """Of one case: milliseconds a step, MiB, and the share of the time that a chunk waited."""
    base = np.random.default_rng(0).integers(0, 256, (64, case.image_size, case.image_size, 3), np.uint8)
    data = Dataset("noise", {"image": base[np.arange(case.images) % len(base)]})
    own = dcgan.Config(
        image_size=case.image_size, batch_size=case.batch_size, width=cfg.width, channels=3, recipe="paper"
    )
    method = methods.method_of(dcgan, methods.kind_of(dcgan))
    own = train.ready(method, {"": own}, data)[""]
    loop = train.Loop(devices=case.devices, hold=case.hold, chunk=cfg.steps)
    devices = train.devices_for(own, loop, data)
    program = train.programs_of(method, [own], loop, data, devices, hold=train.hold_for(loop, data, devices))(
        own
    )
    key, numbers = jax.random.key(0), program.numbers(own)
    state = parallel.replicate(program.initial(key, numbers), devices)
    rows = feed.Feed(program, key, feed.placed(program))
    slot, seconds, waits = jax.numpy.arange(own.batch_size, dtype=jax.numpy.int32), [], []
    for i in range(1 + cfg.chunks):
        began = time.perf_counter()
        state, _ = program.chunk(state, (numbers, rows(i * cfg.steps, cfg.steps, cfg.steps)), slot, cfg.steps)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - began)
        waits.append(rows.waits() or 0.0)
    rows.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ms = 1000 * statistics.median(seconds[1:]) / cfg.steps
    return {"ms": ms, "mib": peak, "waits": statistics.median(waits[1:])}


def row(case: Case, found: dict) -> str:
    """A row of the table."""
    size = memory.told(case.images * case.image_size**2 * 3)
    what = (
        f"{case.image_size}x{case.image_size} | {case.batch_size} | {case.devices} | {size} | `{case.hold}`"
    )
    return f"| {what} | {found['ms']:.0f} | {found['mib']:.0f} | {found['waits']:.0%} |"


def run(cfg: Config) -> None:
    """Prints the table, or of one case what was found."""
    if cfg.case is not None:
        print(json.dumps(measured(cfg, Case(**json.loads(cfg.case)))))
        return
    print(f"{cpu()}\n\n| images | batch | devices | set | `--hold` | ms a step | MiB | waits |")
    print("|---|---|---|---|---|---|---|---|")
    for case in tqdm(CASES, "cases", leave=False, disable=None):
        command = [sys.executable, "-m", "experiments.benchmarks.scale", "--case", json.dumps(asdict(case))]
        for name in ("width", "steps", "chunks"):
            command += [f"--{name}", str(getattr(cfg, name))]
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(case.devices)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{case}: {done.stderr.strip().splitlines()[-1]}")
        print(row(case, json.loads(done.stdout.strip().splitlines()[-1])), flush=True)


if __name__ == "__main__":
    with reported():
        run(check(tyro.cli(Config, description=__doc__)))
