"""Milliseconds of a training step: this library against PyTorch, interleaved in one run.

    pip install -e '.[bench]'
    python -m experiments.benchmarks.step_time

Every case is the same game on both sides: networks, batch, optimiser and arithmetic. Before a case is
timed, both sides are given the same weights and inputs and must agree in all losses and every gradient to
1e-3. A timing is of whole periods of lazy terms. Then each mode gets a process of its own, since the two
libraries slow each other down by a tenth in one (an MLP's step), each round runs every mode once, one after
the other, and the table has the medians over rounds:

    scan           jaxgan's networks and `train_chunk`, donated state
    loop           the same train step, jitted, in a Python loop
    linen          flax.linen's convolutions in the scan (one round: it can take minutes)
    eager          PyTorch, fused Adam
    channels_last  the same with channels-last memory
    compile        the same with `torch.compile` on what it can take: on both losses, or on their parts
                   that have no second derivative

`floor` is the step's multiplications in their direct form at the speed of the fastest matrix product
measured beside them, and `products` the share of the step that they would take at the speed of the
library's own (ours / PyTorch's; above 100 % where fewer than the direct form's are computed): what is
left is passes over memory and calls. Peak memory is the whole process's, with its library. On a
machine with a GPU all of it runs there. The table and results.json are written anew after each case; a
case that fails is named, and the others go on.

    python -m experiments.benchmarks.step_time --tiny

runs each case once, with batches of 2 and without PyTorch, to see that it does.
"""

import dataclasses
import functools
import json
import math
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
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
from jax.extend import core
from jax.interpreters import partial_eval
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.benchmarks.cases import CASES, Case
from experiments.benchmarks.startup import cpu
from jaxgan import parallel, random, steps
from jaxgan.config import Count, InputError
from jaxgan.nets import cyclegan, dcgan, pix2pix, progan, r3gan, resnet, stylegan2
from jaxgan.nn import equalized, modulated, spectral
from jaxgan.signals import reported

OURS = ("scan", "loop")
TORCH = ("eager", "channels_last", "compile")
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Config:
    """Times a training step in jaxgan and in PyTorch."""

    cases: tuple[Literal[tuple(CASES)], ...] = tuple(CASES)  # which, by letter
    rounds: Count = 9  # how often each mode is timed; 7 or more for a median to quote
    seconds: Count = 1  # about how long one timing lasts
    linen: bool = True  # also flax.linen's convolutions in the scan
    tiny: bool = False  # each case's scan once, with batches of 2: to see that it runs
    out: Path = Path("runs/benchmarks/step_time")  # for table.md, results.json and ratios.png


# --- our side


class LinenSpectralConv(spectral._Spectral, nn.Conv):
    """`flax.linen.Conv` with a kernel of spectral norm 1."""

    iterations: int = 1


class LinenEqualizedConv(equalized._Equalized, nn.Conv):
    """`flax.linen.Conv` with an equalized learning rate."""

    kernel_init: Callable = nn.initializers.normal(1.0)
    gain: float = math.sqrt(2)
    lr_multiplier: float = 1.0


_NHWC = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def _linen_convolutions():
    """Has the networks built on flax.linen's convolutions."""
    stack = ExitStack()
    for module, name, layer in (
        (dcgan, "Conv", nn.Conv),
        (dcgan, "ConvTranspose", nn.ConvTranspose),
        (cyclegan, "Conv", nn.Conv),
        (cyclegan, "ConvTranspose", nn.ConvTranspose),
        (pix2pix, "Conv", nn.Conv),
        (pix2pix, "ConvTranspose", nn.ConvTranspose),
        (resnet, "Conv", nn.Conv),
        (resnet, "SpectralConv", LinenSpectralConv),
        (stylegan2, "EqualizedConv", LinenEqualizedConv),
        (modulated, "conv", functools.partial(lax.conv_general_dilated, **_NHWC)),
        (modulated, "conv_transpose", functools.partial(lax.conv_transpose, **_NHWC)),
        (progan, "EqualizedConv", LinenEqualizedConv),
        (r3gan, "Conv", nn.Conv),
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
            state = steps.create_state(gan, opts, jax.random.key(0), first)
            self.state = state.replace(step=state.step + case.start)
            step = functools.partial(case.train_step, gan, opts)
            if mode != "loop":
                one, n = step, length

                # Batches of the step, as in training: what is made of the same ones is taken out of the loop,
                # and may then be made twice.
                def step(state, b):
                    drawn = lambda state: lax.optimization_barrier((b, state.step))[0]  # noqa: E731
                    return steps.train_chunk(one, drawn, state, n)

            start = time.perf_counter()
            options = parallel.compiler_options(jax.devices()[0])
            step = jax.jit(step, donate_argnums=0, compiler_options=options)
            self.step = step.lower(self.state, self.batches).compile()
            self.compile_s = time.perf_counter() - start

    def run(self):
        for _ in range(self.length if self.mode == "loop" else 1):
            self.state, metrics = self.step(self.state, self.batches)
        jax.block_until_ready((self.state, metrics))


def flops(case: Case) -> float:
    """Floating-point operations of one step's matrix products and convolutions in their direct form: the mean
    over a period, in each step those of the branches that it takes."""
    gan, opts = case.game()
    batches = case.batches()
    state = steps.create_state(gan, opts, jax.random.key(0), jax.tree.map(lambda x: x[0], batches))
    closed = jax.make_jaxpr(functools.partial(case.train_step, gan, opts))(state, batches)
    used, reads = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    leaves = [x for x, read in zip(jax.tree.leaves((state, batches)), reads, strict=True) if read]
    period = range(case.start, case.start + case.period)
    counts = [_count(used, [np.int32(n) if x is state.step else None for x in leaves]) for n in period]
    return float(statistics.mean(counts))


def _count(jaxpr, given: list) -> int:
    """Operations of a program, of whose inputs some scalars are known and the others None. What follows from
    these alone, such as which branch is taken, is computed."""
    total, known = 0, dict(zip(jaxpr.invars, given, strict=True))
    for eqn in jaxpr.eqns:
        name, jitted = eqn.primitive.name, eqn.primitive.name == "jit"
        values = [v.val if isinstance(v, core.Literal) else known.get(v) for v in eqn.invars]
        inner = [p for p in eqn.params.values() if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
        scalar = not any(v.aval.shape for v in eqn.outvars)
        if scalar and all(x is not None for x in values) and (jitted or not (inner or name == "cond")):
            run = (
                core.jaxpr_as_fun(inner[0]) if jitted else functools.partial(eqn.primitive.bind, **eqn.params)
            )
            made = run(*values)
            known |= zip(eqn.outvars, made if eqn.primitive.multiple_results else [made], strict=True)
            continue
        shapes = [v.aval.shape for v in (*eqn.invars, *eqn.outvars) if hasattr(v.aval, "shape")]
        if name in ("conv", "conv_input", "conv_weight"):
            geo = eqn.params["geo"]
            # Each entry of the kernel meets each pixel of the output once.
            n, c, o = {
                "conv": (shapes[0][0], *shapes[1][-2:]),
                "conv_input": (shapes[0][0], *shapes[1][-2:]),
                "conv_weight": (shapes[0][0], shapes[0][-1] // geo.groups, shapes[1][-1]),
            }[name]
            total += 2 * n * math.prod(geo.output) * math.prod(geo.kernel) * c * o
        elif name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            total += 2 * math.prod(shapes[-1]) * math.prod(shapes[0][i] for i in contracted)
        elif name == "cond":
            total += _count(eqn.params["branches"][int(values[0])].jaxpr, values[1:])
            continue
        times = eqn.params.get("length", 1) if name == "scan" else 1
        for part in (getattr(p, "jaxpr", p) for p in inner):
            passed = values if jitted else [None] * len(part.invars)
            total += times * _count(part, passed)
    return total


class Product:
    """Square matrix products, jax's or PyTorch's, with the same face as `Ours`."""

    SIZE, length, compile_s = 2048, 4, 0.0

    def __init__(self, library: str):
        if library == "torch":
            import torch

            self.x, self.sync = torch.randn(self.SIZE, self.SIZE, device=_device()), _synchronize
            self.products = lambda x: [x @ x for _ in range(self.length)]
        else:
            self.x, self.sync = jnp.ones((self.SIZE, self.SIZE)), jax.block_until_ready
            body = lambda x, _: (x @ x * 1e-3, None)  # noqa: E731
            self.products = jax.jit(lambda x: lax.scan(body, x, None, length=self.length)[0])

    def run(self):
        self.sync(self.products(self.x))


# --- PyTorch's side


def _device():
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _synchronize(_=None):
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Torch:
    """One mode of PyTorch, with the same face as `Ours`."""

    def __init__(self, name: str, case: Case, mode: str, length: int):
        import torch

        from experiments.benchmarks import in_torch

        torch.manual_seed(0)
        device = _device()
        batches = case.batches()
        seen = [[in_torch.image(x) for x in of] for of in zip(*case.seen(batches), strict=True)]
        self.trainer = in_torch.trainer(name, case, mode, seen, device)
        self.length = length
        start = time.perf_counter()
        self.trainer.step()
        _synchronize()
        self.compile_s = time.perf_counter() - start

    def run(self):
        for _ in range(self.length):
            self.trainer.step()
        _synchronize()


def modes(case: Case) -> tuple[str, ...]:
    """The modes that a case has."""
    skipped = set() if case.compiles else {"compile"}
    if len(case.shape) != 3 or case.title.startswith("MLP"):
        skipped.add("channels_last")
    return tuple(m for m in (*OURS, *TORCH) if m not in skipped)


def runner(name: str, mode: str, length: int, batch: int | None = None):
    """A mode of a case, ready to run; of the case "peak", a library's matrix product.

    Args:
      batch: examples in one, if not the case's own.
    """
    if name == "peak":
        return Product(mode)
    case = CASES[name] if batch is None else dataclasses.replace(CASES[name], batch=batch)
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


def _moved(params):
    """Every weight by a normal number a tenth as large as one of its leaf, or as 1."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: x + 0.1 * rng.standard_normal(x.shape) * (jnp.abs(x).mean() if x.any() else 1.0), params
    )


# To be compiled soon; two runs of it are not worth more.
_UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def disagreement(name: str, case: Case) -> float:
    """The largest relative difference of the two sides' losses, the lazy ones too, and gradients (each
    gradient's by its norm), from the same weights, images and random numbers.

    The weights are moved a little from where they begin: what begins at 0 hides what is behind it.

    In float64: in float32, weights changed by a millionth change these gradients by up to 3e-3 of
    their norm, since some of the many units are always at the kink of their ReLU.

    Raises:
      ValueError: if the networks' parameters are not the same.
    """
    from experiments.benchmarks import in_torch

    gan, opts = case.game(jnp.float64)
    batch = jax.tree.map(lambda x: x[0], case.batches())
    state = steps.create_state(gan, opts, jax.random.key(0), batch)
    wide = lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x  # noqa: E731
    batch, state = jax.tree.map(wide, (batch, state))
    state = state.replace(
        step=state.step + case.start,
        g=state.g.replace(params=_moved(state.g.params)),
        d=state.d.replace(params=_moved(state.d.params)),
    )
    vectors = _converged(state.d.stats, state.d.params)
    if vectors:
        tree = state.d.stats["spectral"]
        for path, u in vectors.items():
            *layers, last = path.split("/")[1:]
            functools.reduce(dict.__getitem__, layers, tree)[last]["u"] = u
    key = random.fold(jax.random.key(0), "agreement")
    drawn = jax.tree.map(wide, case.drawn(gan, key, batch["slot"]))

    game = in_torch.game_of(name, case)
    nets = {"g": ("generator", game.g.double()), "d": ("discriminator", game.d.double())}
    tensors = {}
    for who, (side, net) in nets.items():
        tensors |= in_torch.load(net, _flat(side, getattr(state, who).params), case.layout)
    in_torch.load_vectors(game.d, {f"discriminator{path}": u for path, u in vectors.items()})
    seen = [in_torch.image(x) for x in case.seen(batch)]
    drawn = {what: in_torch.image(x) for what, x in drawn.items()}

    worst = 0.0
    losses = {"d_loss": ("d", gan.d_loss), "g_loss": ("g", gan.g_loss), **case.lazy(jnp.float64)}
    for name, (who, loss_fn) in losses.items():
        gradient = jax.jit(jax.value_and_grad(loss_fn, has_aux=True), compiler_options=_UNOPTIMISED)
        (ours, _), grads = gradient(getattr(state, who).params, state, batch, key)
        for _, net in nets.values():
            net.zero_grad()
        theirs = getattr(game, name)(drawn, *seen)
        theirs.backward()
        worst = max(worst, abs(float(ours) - theirs.item()) / max(abs(float(ours)), 1e-3))
        grads = _flat(nets[who][0], grads)
        largest = max(np.linalg.norm(v) for v in grads.values())
        for path, value in grads.items():
            value = in_torch.weight(value, path, case.layout)
            # A bias before batch norm has no gradient but rounding: measured against the largest.
            scale = max(float(value.norm()), 1e-3 * largest)
            of = tensors[path].grad
            worst = max(worst, float((value if of is None else of - value).norm()) / scale)
    return worst


# --- the run


def _peak_memory(mode: str) -> int:
    """Bytes; on a CPU of the whole process, by the kernel's own count where there is one, since
    `ru_maxrss` is inherited from the parent."""
    if mode in TORCH and _device() == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    if mode not in TORCH and jax.default_backend() != "cpu":
        return jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _serve(pipe, *args):
    """The process's side of `Process`."""
    mode = args[1]
    try:
        one = runner(*args)
        one.run()
        pipe.send((one.compile_s, one.length))
        while pipe.recv():
            start = time.perf_counter()
            one.run()
            pipe.send(1e3 * (time.perf_counter() - start) / one.length)
        pipe.send(_peak_memory(mode))
    except EOFError:  # the parent has ended
        pass
    except Exception as e:
        pipe.send(f"{type(e).__name__}: {e}")


class Process:
    """A mode in a process of its own, compiled and run once."""

    def __init__(self, name: str, mode: str, length: int = 0, batch: int | None = None):
        self.title = f"case {name}, {mode}"
        spawn = multiprocessing.get_context("spawn")
        self.pipe, end = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(end, name, mode, length, batch), daemon=True)
        self.process.start()
        end.close()

    def _receive(self):
        try:
            answer = self.pipe.recv()
        except EOFError:
            answer = "its process ended"
        if isinstance(answer, str):
            raise RuntimeError(f"{self.title}: {answer}")
        return answer

    def ready(self):
        self.compile_s, self.length = self._receive()
        return self

    def run(self) -> float:
        """Milliseconds a step."""
        self.pipe.send(True)
        return self._receive()

    def stop(self) -> int:
        """Its peak memory, bytes."""
        self.pipe.send(False)
        peak = self._receive()
        self.process.join()
        return peak


def _length(name: str, seconds: float) -> int:
    """Steps a timing: 10 at least, since every call allocates its buffers anew and a run's are long, and
    whole periods of lazy terms."""
    period = CASES[name].period
    one = Process(name, "scan", max(4, period)).ready()
    length = max(10, round(1e3 * seconds / one.run()))
    one.stop()
    return -(-length // period) * period


def measure(cfg: Config, name: str, products: dict[str, Process], bar: tqdm) -> dict:
    """All numbers of one case."""
    case = CASES[name]
    bar.set_postfix_str(f"{name}: agreement")
    with jax.enable_x64(True):
        difference = disagreement(name, case)
    if not difference < TOLERANCE:
        raise RuntimeError(f"case {name}: the two sides differ by {difference:.1e}; nothing is timed")
    bar.set_postfix_str(f"{name}: compiling")
    length = _length(name, cfg.seconds)
    processes = {mode: Process(name, mode, length).ready() for mode in modes(case)}
    times, square = {mode: [] for mode in processes}, {library: [] for library in products}
    for round_ in range(cfg.rounds):
        bar.set_postfix_str(f"{name}: round {round_ + 1} of {cfg.rounds}")
        for library, product in products.items():
            square[library].append(product.run())
        order = list(processes)
        for mode in order[round_ % len(order) :] + order[: round_ % len(order)]:
            times[mode].append(processes[mode].run())
            time.sleep(0.1)  # idle threads spin a while before they sleep
        bar.update()
    alone = {
        mode: {"compile_s": one.compile_s, "peak_mib": one.stop() / 2**20} for mode, one in processes.items()
    }
    if cfg.linen and len(case.shape) == 3 and not case.title.startswith("MLP"):
        bar.set_postfix_str(f"{name}: linen's convolutions in the scan")
        one = Process(name, "linen", 2).ready()  # XLA unrolls a loop of one
        times["linen"] = [one.run()]
        one.stop()
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
        "products_gflops": {
            library: 2e-6 * Product.SIZE**3 / statistics.median(each) for library, each in square.items()
        },
        "peak_gflops": 2e-6 * Product.SIZE**3 / min(min(each) for each in square.values()),
    }


def _row(cells) -> str:
    return f"| {' | '.join(cells)} |"


def table(results: dict, peak: float) -> str:
    """The results as Markdown."""
    every = (*OURS, "linen", *TORCH)
    head = ["case", *every, "floor", "products", "best PyTorch / scan", "aim"]
    lines = [_row(head), _row(["---"] * len(head))]
    for name, r in results.items():
        ms = [f"{r['median_ms'][m]:.3g}" if m in r["median_ms"] else "-" for m in every]
        floor = f"{1e3 * r['gflop'] / peak:.3g}"
        shares = [
            1e3 * r["gflop"] / r["products_gflops"][library] / r["median_ms"][mode]
            for library, mode in (("jax", "scan"), ("torch", r["best"]))
        ]
        share = " / ".join(f"{x:.0%}" for x in shares)
        lines.append(_row([f"({name}) {r['title']}", *ms, floor, share, f"{r['ratio']:.2f}", str(r["aim"])]))
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


def tiny(cfg: Config) -> None:
    """Runs each case's scan once.

    Raises:
      RuntimeError: naming the case that does not run.
    """
    for name in cfg.cases:
        one = Process(name, "scan", 2, batch=2).ready()
        print(
            f"({name}) {CASES[name].title}: compiled in {one.compile_s:.1f} s, a step in {one.run():.3g} ms"
        )
        one.stop()


def _write(out: Path, record: dict) -> str:
    """Writes what is known, and returns it as text."""
    (out / "results.json").write_text(json.dumps(record, indent=1))
    results = record["cases"]
    rates = ", ".join(
        f"{library} {statistics.median(r['products_gflops'][library] for r in results.values()):.0f}"
        for library in ("jax", "torch")
    )
    text = (
        f"{record['cpu']}; jax {record['jax']}, torch {record['torch']}; products of "
        f"{Product.SIZE} x {Product.SIZE}, GFLOP/s: {rates}\n\n{table(results, record['peak_gflops'])}\n"
    )
    (out / "table.md").write_text(text)
    plot(results, out / "ratios.png")
    return text


def main(cfg: Config) -> None:
    """Runs, prints the table and writes it with its plot.

    Raises:
      InputError: without PyTorch, or cases.
      RuntimeError: at the end, naming the cases that failed.
    """
    if not cfg.cases:
        raise InputError(f"--cases: name at least one of {' '.join(CASES)}")
    if cfg.tiny:
        tiny(cfg)
        return
    try:
        import torch
    except ImportError as e:
        raise InputError("this benchmark needs PyTorch: pip install -e '.[bench]'") from e
    cfg.out.mkdir(parents=True, exist_ok=True)
    # Several processes share a GPU here; jax would take three quarters of it in each.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    products = {library: Process("peak", library).ready() for library in ("jax", "torch")}
    results, failed, text = {}, {}, "no case was measured"
    with tqdm(total=len(cfg.cases) * cfg.rounds, unit="round") as bar:
        for name in cfg.cases:
            try:
                found = results[name] = measure(cfg, name, products, bar)
            except RuntimeError as e:
                failed[name] = str(e)
                bar.write(f"({name}) failed: {e}")
                continue
            text = _write(
                cfg.out,
                {
                    "cpu": cpu(),
                    "jax": jax.__version__,
                    "torch": torch.__version__,
                    "device": jax.devices()[0].device_kind,
                    "peak_gflops": max(r["peak_gflops"] for r in results.values()),
                    "cases": results,
                },
            )
            bar.write(
                f"({name}) {found['ratio']:.2f} times as fast as {found['best']}; "
                f"losses and gradients differ by {found['difference']:.0e}"
            )
    print(f"milliseconds a step\n\n{text}\nwritten to {cfg.out}")
    if failed:
        raise RuntimeError("; ".join(failed.values()))


if __name__ == "__main__":
    with reported(own=True):
        try:
            main(tyro.cli(Config, description=__doc__))
        except RuntimeError as e:
            print(f"error: {e}", file=sys.stderr)
            sys.exit(1)
