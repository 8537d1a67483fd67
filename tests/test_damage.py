"""Whatever is damaged in a run's folder is told, or has changed nothing: one bit, a half, all of a file."""

import json
import random
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import checkpoint, evaluate, lanes, records, steps
from jaxgan.config import InputError
from jaxgan.metrics.score import Sampling, Score, protocol

BATCH = {"image": jnp.zeros((2, 8, 8, 1)), "slot": jnp.arange(2)}
PROGRESS = {"best": 0.5, "best_step": 2, "stale": 0, "seconds": 1.0, "rows": (0, 0, 0)}


@pytest.fixture(scope="module")
def state(request):
    gan, opts = request.getfixturevalue("tiny")(kind="mlp")
    return steps.create_state(gan, opts, jax.random.key(0), BATCH)


@pytest.fixture(scope="module")
def saved(state, tmp_path_factory):
    """A folder with checkpoints 1 and 2."""
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"
    with checkpoint.manager(folder, 2) as manager:
        for step in (1, 2):
            checkpoint.save(manager, state.replace(step=jnp.int32(step)), PROGRESS | {"best_step": step})
    return folder


def _abstract(state):
    of = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)  # noqa: E731
    return jax.tree.map(of, state.replace(frozen=()))


def _resumed(folder, state):
    with checkpoint.manager(folder, 2) as manager:
        return checkpoint.restore(manager, _abstract(state))


def _sampled(folder, state):
    return checkpoint.restore_players(folder, [1, 2], _abstract(state), critic=True)


def _flip(file, rng):
    content = bytearray(file.read_bytes())
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def _same(a, b):
    leaves = [
        [np.asarray(checkpoint._raw(x)) if hasattr(x, "dtype") else x for x in jax.tree.leaves(t)]
        for t in (a, b)
    ]
    return len(leaves[0]) == len(leaves[1]) and all(
        np.array_equal(x, y) for x, y in zip(*leaves, strict=True)
    )


def _unnoticed(read, saved, state, tmp_path, capsys, n=60, below="2"):
    """How many of n flipped bits changed what was read without a word."""
    whole, rng, silent = read(saved, state), random.Random(0), 0
    files = sorted(p for p in (saved / below).rglob("*") if p.is_file() and p.stat().st_size)
    sizes = [p.stat().st_size for p in files]
    for _ in range(n):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        folder = shutil.copytree(saved, tmp_path / "run" / "checkpoints")
        (file,) = rng.choices(files, sizes)
        _flip(folder / file.relative_to(saved), rng)
        capsys.readouterr()
        found = read(folder, state)
        if not _same(found, whole):
            silent += "checkpoint 2 is damaged" not in capsys.readouterr().err
    return silent


@pytest.mark.parametrize("n", [15, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("read", [_resumed, _sampled])
def test_a_flipped_bit_of_a_checkpoint_is_told(read, n, saved, state, tmp_path, capsys):
    assert _unnoticed(read, saved, state, tmp_path, capsys, n) == 0


@pytest.mark.slow
def test_without_the_sums_some_are_not(saved, state, tmp_path, capsys, monkeypatch):
    """The negative control: the storage format itself does not see all."""
    monkeypatch.setattr(checkpoint, "_check_sums", lambda *args: None)
    assert _unnoticed(_resumed, saved, state, tmp_path, capsys, below="2/state/ocdbt.process_0/d") > 0


WAYS = {
    "emptied": lambda content: b"",
    "halved": lambda content: content[: len(content) // 2],
    "replaced": lambda content: random.Random(0).randbytes(len(content) + 10),
    "of another": lambda content: b'{"lanes": []}',
}


@pytest.mark.parametrize("way", WAYS)
def test_any_file_of_a_checkpoint(way, saved, state, tmp_path, capsys):
    whole = _sampled(saved, state)
    for file in sorted(p.relative_to(saved) for p in (saved / "2").rglob("*") if p.is_file()):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        folder = shutil.copytree(saved, tmp_path / "run" / "checkpoints")
        (folder / file).write_bytes(WAYS[way]((folder / file).read_bytes()))
        capsys.readouterr()
        found = _sampled(folder, state)
        assert _same(found, whole) or "checkpoint 2 is damaged" in capsys.readouterr().err, file


def test_progress_is_under_the_checksum(saved, state, tmp_path, capsys):
    folder = shutil.copytree(saved, tmp_path / "run" / "checkpoints")
    file = folder / "2" / "meta" / "metadata"
    file.write_text(file.read_text().replace('"best": 0.5', '"best": 0.1'))
    _, progress = _resumed(folder, state)
    assert progress["best_step"] == 1
    assert "checkpoint 2 is damaged and was moved to" in capsys.readouterr().err


RECORD = {
    "experiment": {"module": "experiments.gan", "file": None, "kind": "images", "digest": None},
    "program": "x",
    "config": {"steps": 10, "seed": 0},
    "loop": {},
    "data": {"name": "digits", "digest": "x", "shapes": {}, "facts": {}, "example": {}},
    "folder": "/",
    "asked": None,
    "versions": {},
    "devices": [],
}


def _config(path):
    records.write(path / "config.json", RECORD)
    return path / "config.json", lambda: records.read(path)


def _lanes(path):
    lanes.write(path, ["seed-0", "seed-1"])
    return path / "lanes.json", lambda: lanes.read(path)


def _scores(path):
    what = protocol(Sampling("EMA"), metric="fd", better="lower", features="x", n_fake=6)
    evaluate.remember(path, [(10, Score(1.25, (1.0, 1.5), what))])
    return path / "scores.json", lambda: evaluate.read(path)


@pytest.mark.parametrize("make", [_config, _lanes, _scores])
def test_any_damage_of_a_record_is_a_line_that_names_it(make, tmp_path):
    file, read = make(tmp_path)
    content, whole, rng, refused = file.read_bytes(), read(), random.Random(0), 0
    damaged = [way(content) for way in WAYS.values()]
    for _ in range(200):
        _flip(file, rng)
        damaged.append(file.read_bytes())
        file.write_bytes(content)
    for one in damaged:
        file.write_bytes(one)
        told = None
        try:
            assert read() == whole
        except InputError as e:
            told = str(e)
        refused += told is not None
        assert told is None or (file.name in told and "\n" not in told)
    assert refused > 190


class TestRows:
    ROWS = [{"step": i, "d/loss": i / 7} for i in range(1, 41)]

    @pytest.fixture
    def run(self, tmp_path):
        """40 rows under a checkpoint's sum, and two that came after it."""
        lines = [json.dumps(row) + "\n" for row in self.ROWS]
        text = "".join(lines).encode()
        (tmp_path / "metrics.jsonl").write_bytes(text + b'{"step": 41}\n{"step": 42, "d/lo')
        meta = tmp_path / "checkpoints" / "40" / "meta"
        meta.mkdir(parents=True)
        progress = PROGRESS | {"rows": records.rows_sum(text)}
        records.write(meta / "metadata", {"leaves": {}, "progress": progress})
        return tmp_path

    def test_whole(self, run, capsys):
        assert records.rows(run) == [*self.ROWS, {"step": 41}]
        assert capsys.readouterr().err == ""

    def test_the_sum_is_that_of_its_parts(self):
        parts = records.rows_sum(b"b\nc\n", records.rows_sum(b"a\n"))
        assert parts == records.rows_sum(b"a\nb\nc\n")

    def test_any_damage_is_told(self, run, capsys):
        file, rng = run / "metrics.jsonl", random.Random(0)
        content = file.read_bytes()
        size = len(content) - len(b'{"step": 41}\n{"step": 42, "d/lo')
        damaged = [way(content) for way in WAYS.values()] + [content[200:]]
        for _ in range(100):
            changed = bytearray(content)
            changed[rng.randrange(size)] ^= 1 << rng.randrange(8)
            damaged.append(bytes(changed))
        for one in damaged:
            file.write_bytes(one)
            found = records.rows(run)
            told = capsys.readouterr().err
            assert told.startswith(f"{file} is damaged: "), (found, told)
            assert told.count("\n") == 1
        file.unlink()
        assert records.rows(run) == []
        assert "of 40 rows 0 can be read" in capsys.readouterr().err

    def test_what_is_lost_without_a_checkpoint_is_told_as_well(self, run, capsys):
        shutil.rmtree(run / "checkpoints")
        lines = Path(run / "metrics.jsonl").read_text().splitlines(keepends=True)
        lines[3] = lines[3][:10] + "\n"
        (run / "metrics.jsonl").write_text("".join(lines))
        assert len(records.rows(run)) == 40
        assert "is damaged: 1 rows of 41 are lost" in capsys.readouterr().err
