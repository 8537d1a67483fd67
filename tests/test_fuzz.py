"""Every command and flag, given anything: a status and a line, within seconds and a bound of memory."""

import contextlib
import dataclasses
import resource
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from experiments import gan
from jaxgan import cli, train
from jaxgan.kinds.images import images
from jaxgan.train import Loop

TINY = {"image_size": 8, "batch_size": 8, "steps": 4, "g_hidden": (8,), "d_hidden": (8,), "latent": 4}
ODD = [
    "0",
    "1",
    "-1",
    "3",
    "0.5",
    "-0.0",
    "1e-300",
    "1e30",
    "1e309",
    "inf",
    "-inf",
    "nan",
    "None",
    "",
    " ",
    "x",
]
ODD += ["--", "\N{SNOWMAN}", "10000000", "1000000000", "1000000000000", "9" * 30, "1/2", "1,2", "[1]", "True"]
SECONDS, BYTES = 30, 6 * 2**30
FEW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    train.start(
        gan.Config(**TINY), Loop(out=str(root), name="a", devices=1, sample_every=0, evaluate_every=0)
    )
    return root / "gan" / "a"


@contextlib.contextmanager
def _bounded():
    """What is allocated beyond the bound fails, and what takes too long is told."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, began = resource.getrlimit(resource.RLIMIT_AS), time.monotonic()
    resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.monotonic() - began < SECONDS


def _ends(call, capsys):
    """It ends by itself or by status 2 and at most a line of its own; tyro's words are in a box."""
    status = 0
    capsys.readouterr()
    with _bounded():
        try:
            call()
        except SystemExit as e:
            status = e.code
    said = capsys.readouterr().err
    assert status in (0, 2, None)
    assert "Traceback" not in said
    own = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(own) <= 1
    assert said.strip() or status != 2
    return status


def _flags(cls):
    return sorted("--" + field.name.replace("_", "-") for field in dataclasses.fields(cls))


def _trained(flags, root, capsys):
    """The command of an experiment up to its first step."""
    usual = {f.name: getattr(gan.Config(**TINY), f.name) for f in dataclasses.fields(gan.Config)}
    init = gan.Config.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_fit", lambda *args: {})
        patch.setattr(gan.Config, "__init__", lambda self, **given: init(self, **(usual | given)))
        argv = ["--out", str(root / "runs"), *flags]
        return _ends(lambda: train.main(gan.Config, gan.make, images, argv=argv), capsys)


@FEW
@given(
    choice=st.integers(0, 10**6),
    value=st.sampled_from(ODD),
    second=st.tuples(st.integers(0, 10**6), st.sampled_from(ODD)),
)
def test_any_flag_of_a_training(choice, value, second, tmp_path, capsys):
    flags = [f for f in _flags(gan.Config) + _flags(Loop) if f not in ("--out", "--data-dir")]
    wanted = {flags[choice % len(flags)]: value, flags[second[0] % len(flags)]: second[1]}
    _trained([f"{flag}={x}" for flag, x in wanted.items()], tmp_path, capsys)


@pytest.mark.parametrize(
    "flag",
    ["--g-hidden=10000000", "--latent=1000000000", "--batch-size=1000000000", "--image-size=1000000",
     "--seeds=1000000", "--steps=1000000000000", "--g-lr=inf", "--devices=1000000", "--n-critic=1000000000"],
)  # fmt: skip
def test_what_is_too_large_is_refused_at_once(flag, tmp_path, capsys):
    assert _trained([flag], tmp_path, capsys) == 2


COMMANDS = {"sample": cli.Sample, "evaluate": cli.Evaluate, "compare": cli.Compare, "report": cli.Report,
            "resume": cli.Resume, "list": cli.List, "export": cli.Export}  # fmt: skip


@FEW
@given(
    command=st.sampled_from(sorted(COMMANDS)),
    choice=st.integers(0, 10**6),
    value=st.sampled_from(ODD),
    more=st.booleans(),
)
@example(command="sample", choice=4, value="1000000000", more=False)
def test_any_flag_of_a_command(command, choice, value, more, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "_fit", lambda *args: {})
    flags = [f for f in _flags(COMMANDS[command]) if f not in ("--run", "--runs", "--root", "--data-dir")]
    argv = [command, str(run.parent if command == "list" else run)]
    if command == "evaluate":
        argv += ["--metrics", "memorisation"]
    if flags:
        flag = flags[choice % len(flags)]
        argv += ["--trust"] if flag == "--trust" else [f"{flag}={value}"]
    if more and command in ("sample", "evaluate") and "--n" not in argv[-1]:
        argv += ["--n", "20"]
    _ends(lambda: cli.main(argv), capsys)


def test_the_bound_of_memory_holds():
    """The negative control: more than the bound cannot be had."""
    with _bounded(), pytest.raises(MemoryError):
        bytearray(2 * BYTES)
