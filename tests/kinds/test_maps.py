"""Runs from label maps: SPADE with styles, and pix2pixHD in its phases."""

import dataclasses
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxgan
from experiments import pix2pixhd, spade
from jaxgan import cli, methods, parallel, plots, records, sampling, train
from jaxgan.config import InputError
from jaxgan.kinds import Made
from jaxgan.kinds.pairs import exam, pairs, seen
from jaxgan.metrics.score import Sampling
from jaxgan.nets.pix2pixhd import ENHANCER, GLOBAL
from jaxgan.program import Program, arguments, traceable
from jaxgan.train import Loop

SHAPES = {"data": "shapes:800", "held_out": 240, "image_size": 16, "task": "labels", "batch_size": 4}
STYLED = {
    **SHAPES,
    "steps": 4,
    "encoder": True,
    "latent": 3,
    "g_width": 2,
    "d_width": 2,
    "hidden": 4,
    "layers": 1,
}
PHASED = {
    **SHAPES, "steps": 6, "coarse": 2, "alone": 2, "levels": 1, "blocks": 1, "enhancer_blocks": 1,
    "g_width": 2, "d_width": 2, "layers": 1, "scales": 2, "features": 2,
}  # fmt: skip
OFTEN = {"chunk": 2, "log_every": 1, "sample_every": 0, "evaluate_every": 0, "checkpoint_every": 2, "keep": 9}


def _start(module, out, name="a", devices=1, **config):
    cfg = module.Config(**config)
    return train.start(cfg, Loop(name=name, out=str(out), devices=devices, **OFTEN), pairs)


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    out = tmp_path_factory.mktemp("styled")
    return out / "spade" / "a", _start(spade, out, **STYLED)


@pytest.fixture(scope="module")
def phased(tmp_path_factory):
    out = tmp_path_factory.mktemp("phased")
    return out / "pix2pixhd" / "a", _start(pix2pixhd, out, **PHASED)


@pytest.fixture(scope="module")
def data():
    return pairs.load(spade.Config(**STYLED), None)


def test_the_truth_shows_its_map_and_others_do_not(data):
    judge = pairs.judge(data)
    asked = sampling.drawn(data, pairs, judge.n)
    uniform = judge.n - 340
    assert uniform == 40
    found = {}
    for name, samples in {"truth": asked["image"], "others": asked["image"][::-1]}.items():
        scores = judge.scores(Made(samples, asked, None, 1), Sampling("live"))
        found[name] = {score.protocol.metric: score for score in scores}
    assert found["truth"]["miou"].value > 0.85 > 0.5 > found["others"]["miou"].value
    low, high = found["truth"]["miou"].interval
    assert low < found["truth"]["miou"].value < high
    assert found["truth"]["pixels"].value > 0.93


def test_maps_of_one_label_are_scored_by_their_colour(data):
    """A painter of each label's colour is right; one who paints all red, in one map of five."""
    judge = pairs.judge(data)
    asked = exam(data, judge.n)
    label = asked["input"][340:, ..., 0]
    assert [len(np.unique(x)) for x in label] == [1] * 40
    assert np.bincount(label[:, 0, 0]).tolist() == [8] * 5
    colours = np.array(
        [(128, 128, 128), (230, 77, 77), (77, 230, 77), (77, 77, 230), (230, 230, 77)], np.uint8
    )
    for samples, expected in (
        (colours[asked["input"][..., 0]], 1.0),
        (np.full_like(asked["image"], colours[1]), 0.2),
    ):
        scores = judge.scores(Made(samples, asked, None, 1), Sampling("live"))
        (uniform,) = [s for s in scores if s.protocol.metric == "uniform"]
        assert uniform.value == pytest.approx(expected)
        assert (uniform.protocol.n_fake, uniform.protocol.examples) == (40, "maps of one label alone")


def test_what_a_run_of_maps_leaves(styled):
    path, result = styled
    names = {score["name"] for score in result["scores"]}
    assert {"miou", "pixels", "uniform", "l1", "variety"} <= names
    facts = records.read(path)["data"]["facts"]
    assert (facts["labels"], facts["input_channels"]) == (5, 1)
    assert records.read(path)["config"]["labels"] == 5


def test_label_maps_are_shown_in_colours():
    number = np.arange(5, dtype=np.uint8).reshape(1, 1, 5, 1)
    shown = seen(np.concatenate([number, 255 - number], -1), (1, 5), 5)
    assert len(np.unique(shown.reshape(5, 3), axis=0)) == 5
    colours = plots.label_colours(20)
    apart = np.abs(colours[:, None].astype(int) - colours[None]).max(-1)[~np.eye(20, dtype=bool)]
    assert apart.min() > 15


@pytest.mark.long
def test_styles_are_walked_through(styled, tmp_path):
    path, _ = styled
    cli.main(["report", str(path), "--out", str(tmp_path)])
    assert "Styles" in (tmp_path / "report.html").read_text()
    generator = jaxgan.load(path)
    several = generator.translate(generator.asked["input"][:1], variants=3)
    assert len({x.tobytes() for x in several}) > 1


def test_maps_of_ones_own_are_translated(styled, tmp_path):
    path, _ = styled
    number = np.kron(np.array([[0, 1], [2, 4]]), np.ones((8, 8))).astype(np.uint8)
    image = Image.fromarray(number).convert("P")
    image.putpalette([7 * i % 256 for i in range(768)])
    image.putdata(number.ravel().tolist())
    image.save(tmp_path / "p.png")
    Image.fromarray(number).save(tmp_path / "l.png")
    for name in "pl":
        cli.main(
            [
                "translate",
                str(path),
                str(tmp_path / f"{name}.png"),
                "--out",
                str(tmp_path / f"{name}-out.png"),
            ]
        )
    made = [np.asarray(Image.open(tmp_path / f"{name}-out.png")) for name in "pl"]
    np.testing.assert_array_equal(*made)
    np.testing.assert_array_equal(made[0], jaxgan.load(path).translate(number[None, ..., None])[0])
    Image.fromarray(number + 3).save(tmp_path / "more.png")
    Image.fromarray(np.stack([number] * 3, -1)).save(tmp_path / "rgb.png")
    for name, told in (
        ("more", "the label map has 7, and this generator knows labels 0 to 4"),
        ("rgb", "its mode is RGB; a label map has one number a pixel"),
    ):
        with pytest.raises(SystemExit) as left:
            cli.main(
                ["translate", str(path), str(tmp_path / f"{name}.png"), "--out", str(tmp_path / "x.png")]
            )
        assert left.value.code == 2, told
        assert not (tmp_path / "x.png").exists()
    with pytest.raises(
        InputError, match=re.escape("the label map has 7, and this generator knows labels 0 to 4")
    ):
        jaxgan.load(path).translate(number[None, ..., None] + 3)


@pytest.mark.long
def test_boundaries_that_a_map_of_ones_own_lacks_are_taken_from_it(phased, tmp_path):
    path, _ = phased
    number = np.kron(np.array([[0, 1], [2, 4]]), np.ones((8, 8))).astype(np.uint8)
    Image.fromarray(number).save(tmp_path / "x.png")
    cli.main(["translate", str(path), str(tmp_path / "x.png"), "--out", str(tmp_path / "y.png")])
    both = np.stack([number, number], -1)[None]
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "y.png")), jaxgan.load(path).translate(both)[0]
    )


def _leaves(path, step):
    generator = sampling.load(path, step, critic=True)
    return jax.tree.leaves((generator.variables, generator.d_variables))


@pytest.mark.long
@pytest.mark.parametrize("which", ["styled", "phased"])
def test_they_go_on_bit_for_bit_and_on_two_devices(which, request, tmp_path):
    path, _ = request.getfixturevalue(which)
    module, config = {"styled": (spade, STYLED), "phased": (pix2pixhd, PHASED)}[which]
    own = shutil.copytree(path, tmp_path / "again")
    for step in records.checkpoints(own):
        if step > 2:
            shutil.rmtree(own / "checkpoints" / str(step))
    train.resume(own)
    jax.tree.map(np.testing.assert_array_equal, _leaves(path, config["steps"]), _leaves(own, config["steps"]))
    _start(module, tmp_path, "two", devices=2, **config)
    given = jaxgan.load(path).asked["input"][:8]
    one, two, before = (
        jaxgan.load(p, step).sample(jax.random.key(0), 8, given)
        for p, step in ((path, "last"), (tmp_path / path.parent.name / "two", "last"), (path, 2))
    )
    assert np.abs(two - one).max() < 0.2 * np.abs(before - one).max()


@pytest.fixture(scope="module")
def program():
    cfg = dataclasses.replace(pix2pixhd.Config(**PHASED), channels=3, labels=5)
    data = pairs.load(cfg, None)
    method = methods.method_of(pix2pixhd, pairs)
    return Program(method, cfg, tuple(arguments(cfg)), data, tuple(jax.devices()[:1]))


@pytest.mark.long
def test_each_phase_moves_its_parts_alone(program):
    """Of the global network in the first and last, of the enhancer from the second; moments too."""
    state = program.initial(jax.random.key(0), program.numbers(program.cfg))
    arrays = jax.tree.map(jnp.asarray, dict(program.data.arrays))
    advance = parallel.in_turn(program.chunk, list(program.devices))
    states = [jax.device_get(state)]
    for _ in range(3):
        (state,), _ = advance([state], ([program.numbers(program.cfg)], arrays), jnp.arange(4), 2)
        states.append(jax.device_get(state))

    def moves(a, b, who, names):
        # A bias before a normalisation has no gradient but rounding: kernels tell.
        x, y = (getattr(s, who).params for s in (a, b))
        each = [
            jax.tree.leaves(jax.tree.map(lambda p, q: bool((p != q).any()), x[name], y[name]))
            for name in names
        ]
        return {any(own) for own in each}

    told = [
        (moves(a, b, "g", GLOBAL[:2]), moves(a, b, "g", ENHANCER), moves(a, b, "d", ["scale_0"]),
         moves(a, b, "d", ["scale_1"]))
        for a, b in zip(states, states[1:], strict=False)
    ]  # fmt: skip
    assert told == [({True}, {False}, {False}, {True}), ({False}, {True}, {True}, {True}), ({True},) * 4]
    moments = [
        {
            jax.tree_util.keystr(p): x
            for p, x in jax.tree_util.tree_leaves_with_path(s.g.opt)
            if np.ndim(x) > 1
        }
        for s in states
    ]
    enhancer = [k for k in moments[0] if "enhancer" in k]
    whole = [k for k in moments[0] if "'whole'" in k]
    assert enhancer
    assert whole
    assert all((moments[1][k] == 0).all() for k in enhancer)
    assert all((moments[1][k] == moments[2][k]).all() for k in whole)
    assert any((moments[2][k] != moments[3][k]).any() for k in whole)
    # Nor do a resting part's updates count: its first ones would be many times too long.
    counts = [
        {
            name: int(s.g.opt[0].inner_states[name].inner_state.inner_state.count)
            for name in ("global", "fine")
        }
        for s in states
    ]
    assert [tuple(c.values()) for c in counts] == [(0, 0), (2, 0), (2, 2), (4, 4)]
    # The coarse head has no part after the first phase.
    assert moves(states[2], states[3], "g", GLOBAL[2:]) <= {True, False}
    assert [float(s.g.stats["phase"]["enhanced"]) for s in states] == [0, 0, 1, 1]


@pytest.mark.long
def test_what_is_shown_in_the_first_phase_is_the_coarse_answer(phased):
    path, _ = phased
    given = jaxgan.load(path).asked["input"][:2]
    first, last = (jaxgan.load(path, step).sample(jax.random.key(0), 2, given) for step in (2, 6))
    blocks = lambda x: x.reshape(2, 8, 2, 8, 2, 3)  # noqa: E731
    assert np.ptp(blocks(first), axis=(2, 4)).max() == 0
    assert np.ptp(blocks(last), axis=(2, 4)).max() > 1e-3


@pytest.mark.parametrize(
    ("module", "config"), [(spade, STYLED), (pix2pixhd, PHASED)], ids=["spade", "pix2pixhd"]
)
def test_every_number_may_be_a_lanes_own(module, config):
    cfg = dataclasses.replace(module.Config(**config), channels=3, labels=5)
    data = pairs.load(cfg, None)
    found = traceable(methods.method_of(module, pairs), cfg, data, tuple(jax.devices()[:2]))
    assert set(found.names) == set(arguments(cfg)) > {"seed", "matching"}


def test_what_cannot_be_played_is_a_line():
    for module, config, told in (
        (pix2pixhd, {"scales": 1}, "--scales 1: 2 or more"),
        (pix2pixhd, {"features": 3}, "--features 3: they are of a label map's instances"),
        (pix2pixhd, {"features": 3, "labels": 5, "boundaries": False}, "--features 3: they are of"),
        (spade, {}, "SPADE takes label maps: --task labels of shapes, or --labels N"),
    ):
        with pytest.raises(InputError, match=re.escape(told)):
            module.make(dataclasses.replace(module.Config(**config), channels=3))


@pytest.mark.long
def test_the_record_names_the_maps(phased):
    path, _ = phased
    known = json.loads((path / "config.json").read_text())
    assert known["data"]["facts"]["input_channels"] == 2
