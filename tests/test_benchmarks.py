import contextlib
import dataclasses
import subprocess
import sys
from functools import partial
from types import ModuleType, SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from experiments.benchmarks import loading, scale, startup, step_time
from experiments.benchmarks.cases import CASES, Pair
from jaxgan import steps
from jaxgan.config import InputError
from jaxgan.nn.conv import conv


def test_the_floor_counts_every_product_of_the_ring():
    """By hand: what a pass multiplies, and what of it the gradients of weights and inputs need."""
    g, d, hidden = 2 * 128 + 128**2 + 128 * 2, 2 * 128 + 128**2 + 128, 128**2
    d_step = g + 2 * d + 2 * d + 2 * (hidden + 128)
    g_step = g + d + d + g + (hidden + 2 * 128)
    assert step_time.flops(CASES["g"]) == 2 * 256 * (d_step + g_step)


class Lazily(Pair):
    """The ring with a product of [128, 128] in one step of four, from the second on."""

    @staticmethod
    def train_step(gan, opts, state, batches):
        state, metrics = steps.train_step(gan, opts, state, batches)
        w = state.g.params["Dense_1"]["kernel"]
        return state, metrics | {"w": lax.cond(state.step % 4 == 1, lambda: (w @ w).sum(), lambda: 0.0)}


def test_the_floor_counts_what_is_lazy_by_its_frequency():
    ring = {f.name: getattr(CASES["g"], f.name) for f in dataclasses.fields(CASES["g"])}
    once = 2 * 128**3
    for start, period, share in ((0, 4, 1 / 4), (0, 1, 1), (1, 1, 0), (1, 4, 1 / 4)):
        lazily = Lazily(**ring | {"start": start, "period": period})
        assert step_time.flops(lazily) - step_time.flops(CASES["g"]) == share * once


def test_the_floor_counts_a_groups_channels_alone():
    """In all three products of a convolution."""
    x, w = jnp.ones((2, 6, 6, 8)), jnp.ones((3, 3, 2, 12))
    loss = lambda x, w: jnp.square(conv(x, w, (1, 1), groups=4)).sum()  # noqa: E731
    program = jax.make_jaxpr(jax.grad(loss, (0, 1)))(x, w)
    assert step_time._count(program.jaxpr, [None, None]) == 3 * 2 * 2 * 36 * 9 * 2 * 12


def test_a_timing_is_of_whole_periods(monkeypatch):
    """Of lazy terms, whose steps cost more than the others."""
    asked = []

    def process(name, mode, length):
        asked.append(length)
        one = SimpleNamespace(run=lambda: 30.0, stop=lambda: None)
        return SimpleNamespace(ready=lambda: one)

    monkeypatch.setattr(step_time, "Process", process)
    assert step_time._length("g", 1) == 33
    assert step_time._length("j", 1) == 48
    assert asked == [4, 16]


def test_every_mode_of_ours_makes_the_same_steps():
    scan, loop = (step_time.runner("g", mode, 3) for mode in step_time.OURS)
    scan.run()
    loop.run()
    assert int(scan.state.step) == int(loop.state.step) == 3
    for a, b in zip(*(jax.tree.leaves(one.state.g.params) for one in (scan, loop)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def _result(title, **median_ms):
    alone = dict.fromkeys(median_ms, {"compile_s": 1.5, "peak_mib": 500.0})
    rates = {"jax": 100.0, "torch": 50.0}
    found = dict(best="compile", ratio=1.5, aim=1.2, gflop=4.0, alone=alone, products_gflops=rates)
    return {"title": title, "median_ms": median_ms, **found}


def test_the_table_and_the_plot_hold_every_mode(tmp_path):
    results = {"b": _result("DCGAN", scan=80.0, loop=90.0, eager=130.0, compile=120.0)}
    lines = step_time.table(results, 400.0).splitlines()
    assert lines[2] == "| (b) DCGAN | 80 | 90 | - | 130 | - | 120 | 10 | 50% / 67% | 1.50 | 1.2 |"
    assert lines[-1] == "| (b) | 1.5; 500 | 1.5; 500 | 1.5; 500 | - | 1.5; 500 |"
    step_time.plot(results, tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").stat().st_size > 5000


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("linen", [False, True])
def test_every_case_is_traced(name, linen):
    """With its own layers and with linen's, which stand in for them."""
    case = CASES[name]
    with step_time._linen_convolutions() if linen else contextlib.nullcontext():
        gan, opts = case.game()
        batches = jax.eval_shape(case.batches)
        first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batches)
        state = jax.eval_shape(partial(steps.create_state, gan, opts), jax.random.key(0), first)
        after, metrics = jax.eval_shape(partial(case.train_step, gan, opts), state, batches)
    assert jax.tree.map(lambda x: x.shape, after) == jax.tree.map(lambda x: x.shape, state)
    assert {"d/loss", "g/loss"} <= set(metrics)


def _small(name):
    """A case with networks of few channels."""
    case = CASES[name]
    size = {"image_size": 8, "width": 8, "latent": 5} | {"j": {"most": 8, "styles": 6, "mapping": 2},
            "k": {"most": 8}, "l": {"blocks": 1}}[name]  # fmt: skip
    layout = {path: (side, (4, 4, 8)) for path, (side, _) in case.layout.items()}
    config = dataclasses.replace(case.config, **size)
    return dataclasses.replace(case, config=config, shape=(8, 8, 3), batch=4, latent=5, layout=layout)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["j", "k", "l"])
def test_the_experiments_agree_with_pytorch(name):
    """In each loss and gradient, the lazy ones too."""
    pytest.importorskip("torch")
    with jax.enable_x64(True):
        assert step_time.disagreement(name, _small(name)) < 1e-12


def test_a_case_that_fails_does_not_lose_the_others(tmp_path, monkeypatch, capsys):
    """What was measured is written; the failure is named at the end."""

    def measure(cfg, name, products, bar):
        if name == "d":
            raise RuntimeError("case d, linen: no")
        found = _result(CASES[name].title, scan=80.0, loop=90.0, eager=130.0, compile=120.0)
        return found | {"difference": 1e-5, "peak_gflops": 400.0}

    torch = ModuleType("torch")
    torch.__version__ = "2"
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(step_time, "measure", measure)
    monkeypatch.setattr(step_time, "Process", lambda *args: SimpleNamespace(ready=lambda: None))
    with pytest.raises(RuntimeError, match="case d, linen: no"):
        step_time.main(step_time.Config(cases=("b", "d", "e"), out=tmp_path))
    text = (tmp_path / "table.md").read_text()
    assert "(b) DCGAN" in text
    assert "(e) WGAN-GP" in text
    assert text.startswith(startup.cpu())
    assert "GFLOP/s: jax 100, torch 50" in text
    assert "(d) failed: case d" in capsys.readouterr().out


def test_what_fails_in_a_process_is_told():
    with pytest.raises(RuntimeError, match="case z, scan: KeyError"):
        step_time.Process("z", "scan").ready()


@pytest.mark.parametrize(
    ("cases", "said"), [(("g",), "pip install -e '.[bench]'"), ((), "name at least one")]
)
def test_bad_input_says_what_to_do(cases, said, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError) as error:
        step_time.main(step_time.Config(cases=cases, out=tmp_path / "out"))
    assert said in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_status_2(tmp_path):
    command = [sys.executable, "-m", step_time.__name__, "--cases", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_what_a_person_waits_for_is_a_table(tmp_path, monkeypatch):
    """Each command once, of which none is run."""
    ran = []
    monkeypatch.setattr(startup, "seconds", lambda arguments, cache: ran.append(arguments) or len(ran))
    lines = startup.table(startup.measure(1, tmp_path)).splitlines()
    assert lines[2] == "| dcgan --steps 1, cold | 1.00 | 1.00 | 1.00 |"
    assert [line.split(" |")[0] for line in lines[3:]] == [
        "| jaxgan --help", "| jaxgan list", "| jaxgan sample", "| dcgan --steps 1, warm"
    ]  # fmt: skip
    assert len({" ".join(arguments) for arguments in ran}) == 6  # a step has a run of its own each time


def test_a_command_that_fails_is_told(tmp_path):
    assert startup.seconds(["this"], tmp_path) > 0
    with pytest.raises(RuntimeError, match="no_such_module: .*No module named no_such_module"):
        startup.seconds(["no_such_module"], tmp_path)


def test_loading_counts_the_images_of_each_epoch(tmp_path, monkeypatch):
    loading.write_jpegs(tmp_path, 70, 16)
    cfg = loading.Config(batch_size=8, epochs=3, chunk=3)
    drawn, window = [], loading.held.window

    def counted(*args, **kwargs):
        drawn.append(args[2:4])
        return window(*args, **kwargs)

    monkeypatch.setattr(loading.held, "window", counted)
    rates = loading.ours(cfg, f"folder:{tmp_path}")
    assert len(rates) == 3
    assert all(rate > 0 for rate in rates)
    assert drawn == [(first, 3) for first in (0, 3, 6, 8, 11, 14, 16, 19, 22)]  # eight batches an epoch
    monkeypatch.setattr(loading, "ours", lambda cfg, spec: [10.0, 100.0, 100.0])
    monkeypatch.setattr(loading, "theirs", lambda cfg, spec: [25.0, 25.0, 25.0])
    told = loading.report(loading.measured(cfg, "folder:x"))
    assert "0.40 times in the first epoch, 4.0 after it, 1.0 over all 3" in told


def test_every_case_of_scale_is_a_row():
    found = {"ms": 12.4, "mib": 900.2, "waits": 0.031}
    assert scale.row(scale.Case(hold="stream"), found).endswith(
        "| 64 | 1 | 29.3 MiB | `stream` | 12 | 900 | 3% |"
    )
