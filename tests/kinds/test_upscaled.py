"""A run of SRGAN: its phases, what stays frozen, and what it is compared with."""

import contextlib
import io
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import srgan
from jaxgan import methods, parallel, records, sampling, train
from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.kinds.pairs import pairs
from jaxgan.metrics import judge
from jaxgan.program import Program, arguments, traceable
from jaxgan.train import Loop

TINY = {
    "data": "digits", "image_size": 16, "channels": 1, "held_out": 150, "batch_size": 8, "steps": 8,
    "pretrain": 4, "g_width": 4, "blocks": 1, "d_width": 2, "d_dense": 4, "judged": "whole",
}  # fmt: skip
OFTEN = {"chunk": 2, "log_every": 1, "sample_every": 0, "evaluate_every": 0, "checkpoint_every": 2, "keep": 9}


def _start(out, name="a", devices=1, **config):
    cfg = srgan.Config(**{**TINY, **config})
    return train.start(cfg, Loop(name=name, out=str(out), devices=devices, **OFTEN), pairs)


@pytest.fixture(scope="module", autouse=True)
def _untrained():
    """The classifier whose features are compared is as it begins: to train one takes a minute."""
    own = judge.train

    def train(data, seed=0):
        if not seed:
            return own(data)
        params = judge._initial(data["image"].shape[1:], len(data.classes), seed)
        return judge.Judge(jax.tree.map(np.float32, params), len(data.classes), 0.5, data.digest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "train", train)
        yield


@pytest.fixture(scope="module")
def data():
    return pairs.load(srgan.Config(**TINY), None)


@pytest.fixture(scope="module")
def told():
    return io.StringIO()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, told):
    out = tmp_path_factory.mktemp("upscaled")
    with contextlib.redirect_stdout(told):
        return out / "srgan" / "a", _start(out)


@pytest.fixture(scope="module")
def program(data):
    cfg = srgan.Config(**TINY)
    method = methods.method_of(srgan, pairs)
    return Program(method, cfg, tuple(arguments(cfg)), data, tuple(jax.devices()[:1]))


def _advance(program, state, n):
    arrays = jax.tree.map(jnp.asarray, dict(program.data.arrays))
    given = program.numbers(program.cfg), arrays
    state, _ = parallel.in_turn(program.chunk, list(program.devices))(
        [state], ([given[0]], arrays), jnp.arange(8), n
    )
    return state[0]


def test_d_rests_while_srresnet_learns(program):
    start = program.initial(jax.random.key(0), program.numbers(program.cfg))
    before = jax.device_get(start)
    half = jax.device_get(_advance(program, start, 4))
    jax.tree.map(np.testing.assert_array_equal, half.d, before.d)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max() > 0, half.g.params, before.g.params)
    assert all(jax.tree.leaves(moved))
    after = jax.device_get(_advance(program, jax.device_put(half), 4))
    for part in ("params", "stats", "opt"):
        moved = jax.tree.map(lambda a, b: (a != b).any(), getattr(after.d, part), getattr(half.d, part))
        assert any(jax.tree.leaves(moved)), part
    jax.tree.map(np.testing.assert_array_equal, after.frozen, before.frozen)
    assert jax.tree.leaves(after.frozen)


def test_srresnet_learns_by_squares_alone(trained):
    path, _ = trained
    rows = [row for row in records.rows(path) if "g/loss" in row]
    assert [row["step"] for row in rows] == list(range(1, 9))
    for row in rows[:4]:
        assert row["g/loss"] == row["g/squares"] > 0
        assert row["d/loss"] == row["g/perceptual"] == 0
    for row in rows[4:]:
        assert min(row["d/loss"], row["g/perceptual"]) > 0
        assert row["g/loss"] > row["g/squares"] + row["g/perceptual"]


@pytest.mark.long
def test_the_features_decide_what_g_learns_and_which_program_it_is(program, data, key):
    gan, _ = srgan.make(program.cfg)
    state = program.initial(jax.random.key(0), program.numbers(program.cfg))
    batch = {k: jnp.asarray(data[k][:8] / np.float32(127.5) - 1) for k in ("input", "image")}
    batch["slot"] = jnp.arange(8)
    other = state.replace(frozen=jax.tree.map(lambda x: x[::-1], state.frozen))
    one, two = (jax.grad(gan.g_loss, has_aux=True)(s.g.params, s, batch, key)[0] for s in (state, other))
    apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), one, two)
    assert max(jax.tree.leaves(apart)) > 1e-4
    digests = {program.digest}
    for frozen in (srgan.frozen, lambda cfg, data: jax.tree.map(lambda x: 2 * x, srgan.frozen(cfg, data))):
        method = program.method._replace(frozen=frozen)
        digests.add(Program(method, program.cfg, program.names, data, program.devices).digest)
    assert len(digests) == 2


def test_what_is_frozen_is_in_no_checkpoint(trained):
    path, _ = trained
    for meta in path.glob("checkpoints/*/meta/metadata"):
        leaves = json.loads(meta.read_text())["leaves"]
        assert any(name.startswith("g/params") for name in leaves)
        assert not any("frozen" in name for name in leaves)
    assert list(path.glob("checkpoints/*/meta/metadata"))


def _leaves(path):
    generator = sampling.load(path, 8, critic=True)
    return jax.tree.leaves((generator.variables, generator.d_variables))


@pytest.mark.parametrize("at", [4, *(pytest.param(x, marks=pytest.mark.long) for x in (2, 6))])
def test_it_goes_on_bit_for_bit_wherever_it_stopped(trained, tmp_path, at):
    """In the first phase, at its end, and in the second; the rate falls by the run's own length."""
    path, _ = trained
    again = shutil.copytree(path, tmp_path / "again")
    for step in records.checkpoints(again):
        if step > at:
            shutil.rmtree(again / "checkpoints" / str(step))
    train.resume(again)
    jax.tree.map(np.testing.assert_array_equal, _leaves(path), _leaves(again))


@pytest.mark.long
def test_two_devices_make_what_one_makes(trained, tmp_path):
    """Step by step, in both phases; rounding grows with the steps, since Adam takes it for a slope."""
    path, _ = trained
    _start(tmp_path, "two", devices=2)
    found = []
    for run in (path, tmp_path / "srgan" / "two"):
        rows = [row for row in records.rows(run) if "g/loss" in row][:6]
        found.append([[row["g/loss"], row["d/loss"], row["g/perceptual"]] for row in rows])
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3)
    apart = np.abs(np.diff(np.array(found[0])[:, 0])) / np.array(found[0])[1:, 0]
    assert apart.min() > 0.01  # one step from another


def test_it_is_told_what_no_learning_reaches(trained, told, data):
    path, result = trained
    known = json.loads((path / "scores.json").read_text())
    facts = json.dumps(known)
    for name in ("bicubic", "the_best_linear_map"):
        assert f"psnr_of_{name}" in facts
        assert f"fcd_digits_of_{name}" in facts
    assert "bicubic has psnr" in told.getvalue()
    assert "the best linear map has psnr" in told.getvalue()


def test_every_number_may_be_a_lanes_own(program, data):
    found = traceable(program.method, program.cfg, data, tuple(jax.devices()[:2]))
    assert set(found.names) == set(arguments(program.cfg)) > {"seed", "perceptual", "adversarial"}


@pytest.fixture(scope="module")
def bare(data):
    """The pairs without labels."""
    pairs_of = lambda of: {k: of[k] for k in ("input", "image")}  # noqa: E731
    held = Dataset("bare, held out", pairs_of(data.held_out), {"channels": 1})
    return Dataset("bare", pairs_of(data), {"channels": 1}, held_out=held)


def test_without_labels_there_are_no_features(data, bare):
    with pytest.raises(InputError, match="bare has no labels, of which a classifier could learn features"):
        srgan.frozen(srgan.Config(**TINY), bare)
    with pytest.raises(InputError, match="none.pth cannot be read"):
        srgan.frozen(srgan.Config(**TINY, vgg="none.pth"), data)


@pytest.mark.parametrize(
    "own", [{"perceptual": 0.0}, {"pretrain": TINY["steps"]}, {"perceptual": 0.0, "judged": "patches"}]
)
def test_what_compares_no_features_needs_no_labels(bare, own):
    program = traceable(
        methods.method_of(srgan, pairs), srgan.Config(**TINY | own), bare, tuple(jax.devices()[:1])
    )
    assert program.frozen == ()
    state = jax.eval_shape(program.initial, jax.random.key(0), program.numbers(program.cfg))
    arrays = jax.tree.map(jnp.asarray, dict(bare.arrays))
    given = (program.numbers(program.cfg), arrays), jax.ShapeDtypeStruct((8,), jnp.int32)
    figures = jax.eval_shape(program.step, state, given)[1]
    assert "g/squares" in figures
    assert "g/perceptual" not in figures


@pytest.mark.parametrize(
    ("task", "told"), [("low:2", "give --factor 2"), ("edges", "give --task low:FACTOR")]
)  # fmt: skip
def test_the_factor_is_the_tasks(task, told):
    with pytest.raises(InputError, match=told):
        srgan.make(srgan.Config(**TINY, task=task))
