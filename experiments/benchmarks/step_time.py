"""Milliseconds of a training step: this library against PyTorch, interleaved in one run.

    pip install -e '.[bench]'
    python -m experiments.benchmarks.step_time

Every case is the same game on both sides: networks, batch, optimiser and arithmetic. Before a case is
timed, both sides are given the same weights and inputs and must agree in both losses and every
gradient to 1e-3. Then each round runs every mode once, and the table has the medians over rounds:

    scan           jaxgan's networks and `train_chunk`, donated state
    loop           the same train step, jitted, in a Python loop
    linen          flax.linen's convolutions in the scan (one round: it can take minutes)
    eager          PyTorch, fused Adam
    channels_last  the same with channels-last memory
    compile        the same with `torch.compile` on both losses, where it can: not through a second
                   derivative

`floor` is the step's multiplications in their direct form at the speed of the fastest matrix product
measured beside them. Peak memory and the time to the first step are those of a process of its own
for each mode. On a machine with a GPU all of it runs there.
"""

import functools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import lax
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.benchmarks.cases import CASES, Case
from jaxgan import random, steps
from jaxgan.config import Count, InputError
from jaxgan.nets import dcgan, resnet
from jaxgan.nn import spectral

OURS = ("scan", "loop")
TORCH = ("eager", "channels_last", "compile")
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Config:
    """Times a training step in jaxgan and in PyTorch."""

    cases: tuple[Literal["a", "b", "c", "d", "e", "f", "g"], ...] = tuple("abcdefg")  # which, by letter
    rounds: Count = 9  # how often each mode is timed; 7 or more for a median to quote
    seconds: Count = 1  # about how long one timing lasts
    linen: bool = True  # also flax.linen's convolutions in the scan
    memory: bool = True  # also peak memory and compile time, in processes of their own
    out: Path = Path("runs/benchmarks/step_time")  # for table.md, results.json and ratios.png


# --- our side


def _linen_convolutions():
    """Has the networks built on flax.linen's convolutions."""
    plain = type("SpectralConv", (spectral._Spectral, nn.Conv), {})
    stack = ExitStack()
    for module, name, layer in (
        (dcgan, "Conv", nn.Conv),
        (dcgan, "ConvTranspose", nn.ConvTranspose),
        (resnet, "Conv", nn.Conv),
        (resnet, "SpectralConv", plain),
    ):
        stack.enter_context(mock.patch.object(module, name, layer))
    return stack


class Ours:
    """One mode of jaxgan: `run()` makes `length` steps and waits for them."""

    def __init__(self, case: Case, mode: str, length: int):
        self.mode, self.length = mode, length
        with _linen_convolutions() if mode == "linen" else ExitStack():
            gan, opts = case.game()
            self.batches = case.batches()
            first = jax.tree.map(lambda x: x[0], self.batches)
            self.state = steps.create_state(gan, opts, jax.random.key(0), first)
            step = functools.partial(steps.train_step, gan, opts)
            if mode != "loop":
                one, n = step, length
                step = lambda state, b: steps.train_chunk(one, lambda _: b, state, n)  # noqa: E731
            start = time.perf_counter()
            self.step = jax.jit(step, donate_argnums=0).lower(self.state, self.batches).compile()
            self.compile_s = time.perf_counter() - start

    def run(self):
        for _ in range(self.length if self.mode == "loop" else 1):
            self.state, metrics = self.step(self.state, self.batches)
        jax.block_until_ready((self.state, metrics))


def flops(case: Case) -> float:
    """Floating-point operations of one step's matrix products and convolutions in their direct form."""
    gan, opts = case.game()
    batches = case.batches()
    state = steps.create_state(gan, opts, jax.random.key(0), jax.tree.map(lambda x: x[0], batches))
    closed = jax.make_jaxpr(functools.partial(steps.train_step, gan, opts))(state, batches)

    def count(jaxpr):
        total = 0
        for eqn in jaxpr.eqns:
            shapes = [v.aval.shape for v in (*eqn.invars, *eqn.outvars) if hasattr(v.aval, "shape")]
            if eqn.primitive.name in ("conv", "conv_input", "conv_weight"):
                geo = eqn.params["geo"]
                # Each entry of the kernel meets each pixel of the output once.
                n, c, o = {
                    "conv": (shapes[0][0], *shapes[1][-2:]),
                    "conv_input": (shapes[0][0], *shapes[1][-2:]),
                    "conv_weight": (shapes[0][0], shapes[0][-1], shapes[1][-1]),
                }[eqn.primitive.name]
                total += 2 * n * math.prod(geo.output) * math.prod(geo.kernel) * c * o
            elif eqn.primitive.name == "dot_general":
                (contracted, _), _ = eqn.params["dimension_numbers"]
                total += 2 * math.prod(shapes[-1]) * math.prod(shapes[0][i] for i in contracted)
            inner = [p for p in eqn.params.values() if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
            times = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
            total += times * sum(count(getattr(p, "jaxpr", p)) for p in inner)
        return total

    return float(count(closed.jaxpr))


class Peak:
    """The fastest square matrix product, jax's or PyTorch's, in operations a second."""

    SIZE, REPEATS = 2048, 4

    def __init__(self, device):
        import torch

        self.sync = torch.cuda.synchronize if device == "cuda" else lambda: None
        self.torch, self.best = torch.randn(self.SIZE, self.SIZE, device=device), 0.0
        body = lambda x, _: (x @ x * 1e-3, None)  # noqa: E731
        self.jax = jnp.ones((self.SIZE, self.SIZE))
        self.product = jax.jit(lambda x: lax.scan(body, x, None, length=self.REPEATS)[0])

    def measure(self):
        jax.block_until_ready(self.product(self.jax))
        start = time.perf_counter()
        jax.block_until_ready(self.product(self.jax))
        between = time.perf_counter()
        for _ in range(self.REPEATS):
            self.torch @ self.torch
        self.sync()
        took = min(between - start, time.perf_counter() - between)
        self.best = max(self.best, self.REPEATS * 2 * self.SIZE**3 / took)


# --- PyTorch's side


def _device():
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class Torch:
    """One mode of PyTorch, with the same face as `Ours`."""

    def __init__(self, name: str, case: Case, mode: str, length: int):
        import torch

        from experiments.benchmarks import in_torch

        torch.manual_seed(0)
        device = _device()
        real = [in_torch.image(x) for x in case.batches()["image"]]
        self.trainer, self.length = in_torch.Trainer(name, case, mode, real, device), length
        self.sync = torch.cuda.synchronize if device == "cuda" else lambda: None
        start = time.perf_counter()
        self.trainer.step()
        self.sync()
        self.compile_s = time.perf_counter() - start

    def run(self):
        for _ in range(self.length):
            self.trainer.step()
        self.sync()


def modes(case: Case) -> tuple[str, ...]:
    """The modes that a case has."""
    second_order = case.penalty is not None
    skipped = {"compile"} if second_order else set()
    if len(case.shape) != 3 or case.title.startswith("MLP"):
        skipped.add("channels_last")
    return tuple(m for m in (*OURS, *TORCH) if m not in skipped)


def runner(name: str, mode: str, length: int):
    """A mode of a case, ready to run."""
    case = CASES[name]
    return Torch(name, case, mode, length) if mode in TORCH else Ours(case, mode, length)


# --- agreement


def _flat(prefix, tree):
    return flatten_dict({prefix: tree}, sep="/")


def _converged(stats, params):
    """The limits of the spectral vectors, by layer: a power iteration of either library leaves them."""
    kernels = _flat("", params)
    paths = [path.removesuffix("/u") for path in _flat("", stats.get("spectral", {}))]
    matrices = {p: np.asarray(kernels[f"{p}/kernel"]) for p in paths}
    return {p: np.linalg.svd(m.reshape(-1, m.shape[-1]), False)[2][0] for p, m in matrices.items()}


def disagreement(name: str) -> float:
    """The largest relative difference of the two sides' losses and gradients (each gradient's by its
    norm), from the same weights, images, latents and interpolation.

    In float64: in float32, weights changed by a millionth change these gradients by up to 3e-3 of
    their norm, since some of the many units are always at the kink of their ReLU.

    Raises:
      ValueError: if the networks' parameters are not the same.
    """
    from experiments.benchmarks import in_torch

    case = CASES[name]
    gan, opts = case.game(jnp.float64)
    batch = jax.tree.map(lambda x: x[0], case.batches())
    state = steps.create_state(gan, opts, jax.random.key(0), batch)
    wide = lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x  # noqa: E731
    batch, state = jax.tree.map(wide, (batch, state))
    vectors = _converged(state.d.stats, state.d.params)
    if vectors:
        tree = state.d.stats["spectral"]
        for path, u in vectors.items():
            *layers, last = path.split("/")[1:]
            functools.reduce(dict.__getitem__, layers, tree)[last]["u"] = u
    key = random.fold(jax.random.key(0), "agreement")
    z = wide(gan.latent(random.fold(key, "latent"), batch["slot"]))
    mix = (
        random.uniform(random.fold(key, "interpolate"), batch["slot"], (1, 1, 1))
        .reshape(-1)
        .astype(jnp.float64)
    )

    g, d = (net.double() for net in in_torch.networks(name, case))
    nets = {"generator": (g, state.g.params), "discriminator": (d, state.d.params)}
    tensors = {}
    for side, (net, params) in nets.items():
        tensors |= in_torch.load(net, _flat(side, params), case.layout)
    in_torch.load_vectors(d, {f"discriminator{path}": u for path, u in vectors.items()})
    real, z_torch, mix = in_torch.image(batch["image"]), in_torch.image(z), in_torch.image(mix)

    worst = 0.0
    for side, loss_fn, params in (
        ("discriminator", gan.d_loss, state.d.params),
        ("generator", gan.g_loss, state.g.params),
    ):
        (ours, _), grads = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(params, state, batch, key)
        for net in (g, d):
            net.zero_grad()
        theirs = (
            in_torch.d_loss(case, g, d, real, z_torch, mix)
            if side == "discriminator"
            else in_torch.g_loss(case, g, d, z_torch)
        )
        theirs.backward()
        worst = max(worst, abs(float(ours) - theirs.item()) / max(abs(float(ours)), 1e-3))
        grads = _flat(side, grads)
        largest = max(np.linalg.norm(v) for v in grads.values())
        for path, value in grads.items():
            value = in_torch.weight(value, path, case.layout)
            # A bias before batch norm has no gradient but rounding: measured against the largest.
            scale = max(float(value.norm()), 1e-3 * largest)
            worst = max(worst, float((tensors[path].grad - value).norm()) / scale)
    return worst


# --- the run


def _peak_memory() -> int:
    """Bytes. On Linux the kernel's own count: `ru_maxrss` is inherited from the parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _alone(name: str, mode: str, length: int) -> dict:
    """Compile time and peak memory of one mode in a process of its own."""
    code = f"from experiments.benchmarks import step_time; step_time.report({name!r}, {mode!r}, {length})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"case {name}, {mode}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def report(name: str, mode: str, length: int):
    """Prints what `_alone` reads."""
    one = runner(name, mode, length)
    one.run()
    if mode in TORCH and _device() == "cuda":
        import torch

        peak = torch.cuda.max_memory_allocated()
    elif mode not in TORCH and jax.default_backend() != "cpu":
        peak = jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    else:
        peak = _peak_memory()
    print(json.dumps({"compile_s": one.compile_s, "peak_mib": peak / 2**20}))


def _length(one, seconds: float) -> int:
    """Steps a timing: 10 at least, since every call allocates its buffers anew and a run's are long."""
    one.run()
    start = time.perf_counter()
    one.run()
    return max(10, round(seconds * one.length / (time.perf_counter() - start)))


def measure(cfg: Config, name: str, peak: Peak, bar: tqdm) -> dict:
    """All numbers of one case."""
    case = CASES[name]
    bar.set_postfix_str(f"{name}: agreement")
    with jax.enable_x64(True):
        difference = disagreement(name)
    if not difference < TOLERANCE:
        raise RuntimeError(f"case {name}: the two sides differ by {difference:.1e}; nothing is timed")
    bar.set_postfix_str(f"{name}: compiling")
    length = _length(runner(name, "scan", 4), cfg.seconds)
    runners = {mode: runner(name, mode, length) for mode in modes(case)}
    for one in runners.values():
        one.run()
    times = {mode: [] for mode in runners}
    for round_ in range(cfg.rounds):
        bar.set_postfix_str(f"{name}: round {round_ + 1} of {cfg.rounds}")
        peak.measure()
        order = list(runners)
        for mode in order[round_ % len(order) :] + order[: round_ % len(order)]:
            time.sleep(0.2)  # the other library's idle threads spin a while before they sleep
            start = time.perf_counter()
            runners[mode].run()
            times[mode].append(1e3 * (time.perf_counter() - start) / length)
        bar.update()
    runners.clear()
    if cfg.linen and len(case.shape) == 3 and not case.title.startswith("MLP"):
        bar.set_postfix_str(f"{name}: linen's convolutions in the scan")
        one = Ours(case, "linen", 2)  # XLA unrolls a loop of one
        start = time.perf_counter()
        one.run()
        times["linen"] = [1e3 * (time.perf_counter() - start) / 2]
    alone = {}
    if cfg.memory:
        for mode in modes(case):
            bar.set_postfix_str(f"{name}: {mode} alone")
            alone[mode] = _alone(name, mode, length)
    medians = {mode: statistics.median(t) for mode, t in times.items()}
    best = min((m for m in medians if m in TORCH), key=medians.get)
    against = [b / s for b, s in zip(times[best], times["scan"], strict=True)]
    return {
        "title": case.title,
        "aim": case.aim,
        "difference": difference,
        "steps": length,
        "gflop": flops(case) / 1e9,
        "times_ms": times,
        "median_ms": medians,
        "best": best,
        "ratio": statistics.median(against),
        "loop_over_scan": statistics.median(b / s for b, s in zip(times["loop"], times["scan"], strict=True)),
        "alone": alone,
    }


def _row(cells) -> str:
    return f"| {' | '.join(cells)} |"


def table(results: dict, peak: float) -> str:
    """The results as Markdown."""
    every = (*OURS, "linen", *TORCH)
    head = ["case", *every, "floor", "best PyTorch / scan", "aim"]
    lines = [_row(head), _row(["---"] * len(head))]
    for name, r in results.items():
        ms = [f"{r['median_ms'][m]:.3g}" if m in r["median_ms"] else "-" for m in every]
        floor = f"{1e12 * r['gflop'] / peak:.3g}"
        lines.append(_row([f"({name}) {r['title']}", *ms, floor, f"{r['ratio']:.2f}", str(r["aim"])]))
    if any(r["alone"] for r in results.values()):
        head = ["first step, s; peak memory, MiB", *OURS, *TORCH]
        lines += ["", _row(head), _row(["---"] * len(head))]
        for name, r in results.items():
            alone = [r["alone"].get(m) for m in (*OURS, *TORCH)]
            cells = [f"{a['compile_s']:.1f}; {a['peak_mib']:.0f}" if a else "-" for a in alone]
            lines.append(_row([f"({name})", *cells]))
    return "\n".join(lines)


def plot(results: dict, path: Path):
    """How many times as fast as PyTorch's best mode each of our modes is, by case."""
    figure = Figure(figsize=(8, 0.6 * len(results) + 1.6), layout="constrained")
    axes = figure.subplots()
    for i, (name, r) in enumerate(reversed(results.items())):
        best = r["median_ms"][r["best"]]
        for j, (mode, colour) in enumerate((("scan", "#1f77b4"), ("loop", "#9ecae1"))):
            axes.barh(
                i + 0.2 - 0.4 * j,
                best / r["median_ms"][mode],
                0.38,
                color=colour,
                label=mode if not i else None,
            )
        axes.plot([r["aim"]] * 2, [i - 0.4, i + 0.4], color="black", label="aim" if not i else None)
        axes.text(0.03, i + 0.2, f"({name}) {r['title']}", va="center", color="white", fontsize=8)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set(yticks=[], xlabel="times as fast as PyTorch's best mode")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)


def main(cfg: Config):
    """Runs, prints the table and writes it with its plot."""
    try:
        import torch
    except ImportError as e:
        raise InputError("this benchmark needs PyTorch: pip install -e '.[bench]'") from e
    if not cfg.cases:
        raise InputError("--cases: name at least one of a b c d e f g")
    cfg.out.mkdir(parents=True, exist_ok=True)
    peak, results = Peak(_device()), {}
    with tqdm(total=len(cfg.cases) * cfg.rounds, unit="round") as bar:
        for name in cfg.cases:
            results[name] = measure(cfg, name, peak, bar)
            record = {
                "jax": jax.__version__,
                "torch": torch.__version__,
                "device": jax.devices()[0].device_kind,
                "cores": os.cpu_count(),
                "peak_gflops": peak.best / 1e9,
                "cases": results,
            }
            (cfg.out / "results.json").write_text(json.dumps(record, indent=1))
            bar.write(f"({name}) {results[name]['ratio']:.2f} times as fast as {results[name]['best']}")
    text = table(results, peak.best)
    (cfg.out / "table.md").write_text(text + "\n")
    plot(results, cfg.out / "ratios.png")
    print(f"milliseconds a step; the fastest matrix product made {peak.best / 1e9:.0f} GFLOP/s\n\n{text}\n")
    print(f"written to {cfg.out}")


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
