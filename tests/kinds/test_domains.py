"""Two domains: how they are read, asked for and scored, and a run of CycleGAN."""

import colorsys
import re
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import cyclegan
from jaxgan import cli, dynamics, records, sampling, steps, train
from jaxgan.config import InputError
from jaxgan.data import Dataset, shapes
from jaxgan.data import domains as read
from jaxgan.kinds import Made
from jaxgan.kinds.domains import domains
from jaxgan.metrics import judge as judges
from jaxgan.metrics.score import Sampling
from jaxgan.nets import cyclegan as nets
from jaxgan.nets import pix2pix
from jaxgan.train import Loop

SMALL = {"data": "shapes:450", "image_size": 16, "held_out": 230, "batch_size": 4, "steps": 8}
TINY = {**SMALL, "g_width": 4, "d_width": 4, "blocks": 1, "layers": 1, "pool": 6}
TINY |= {"lr": 2e-4, "cycle": 10.0, "identity": 0.5, "r1": 30.0}
OFTEN = {"chunk": 2, "log_every": 1, "sample_every": 4, "evaluate_every": 4, "checkpoint_every": 4}


def _start(out, name="a", devices=1, **config):
    cfg = cyclegan.Config(**{**TINY, **config})
    return train.start(cfg, Loop(name=name, out=str(out), devices=devices, **OFTEN), domains)


@pytest.fixture(scope="module")
def data():
    return domains.load(cyclegan.Config(**SMALL), None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("domains")
    return out / "cyclegan" / "a", _start(out)


def _state(path):
    generator = sampling.load(path, 8, critic=True)
    return jax.tree.leaves((generator.variables, generator.d_variables))


def test_partners_are_held_out_and_trained_on_by_neither(data):
    assert data["a"]["image"].shape == data["b"]["image"].shape == (450, 16, 16, 3)
    held = data.held_out
    a, b = (held[side] / 255 for side in "ab")
    np.testing.assert_array_equal(shapes.read(a).kind[:, 0], held["label"])
    of_a, of_b = ((np.ptp(x, axis=-1) > 0.1) for x in (a, b))
    assert (of_a == of_b).mean() > 0.99 > 0.9 > (of_a == of_b[::-1]).mean()
    for image, own, label in zip(b, of_b, held["label"], strict=True):  # a kind's colour tells the partner's
        hue, *_ = colorsys.rgb_to_hsv(*image[own].mean(0))
        assert hue == pytest.approx(label / 3 + 1 / 12, abs=0.03)
    assert set(np.asarray(shapes.read(a).background)) == {shapes.BACKGROUNDS.index("grey")}
    whole = {x.tobytes() for x in data["a"]["image"]}
    assert not whole & {x.tobytes() for x in held["a"]}
    # Nothing pairs what is trained on: the scenes of b are others.
    here, there = (shapes.read(data[side]["image"] / 255) for side in "ab")
    assert float(np.abs(here.centre - there.centre).max((1, 2)).min()) > 1e-3


def test_halves_of_pairs(tmp_path):
    a = np.arange(30, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "x.npz", one=a, two=255 - a)
    data = read.load(f"npz:{tmp_path / 'x.npz'}", arrays="one,two", held_out=6)
    np.testing.assert_array_equal(data.held_out["b"], 255 - data.held_out["a"])
    parts = [set(data["a"]["image"][:, 0, 0, 0]), set(255 - data["b"]["image"][:, 0, 0, 0])]
    parts.append(set(data.held_out["a"][:, 0, 0, 0]))
    assert sum(map(len, parts)) == len(set.union(*parts)) == 30
    assert data.facts["partners"]
    back = read.load(f"npz:{tmp_path / 'x.npz'}", arrays="one,two", held_out=6, backwards=True)
    np.testing.assert_array_equal(back["a"]["image"], data["b"]["image"])


def test_folders_and_two_sets(tmp_path):
    for name, n in (("trainA", 9), ("trainB", 12), ("testA", 4), ("testB", 5)):
        (tmp_path / name).mkdir()
        for i in range(n):
            Image.new("RGB", (8, 8), (i, len(name), n)).save(tmp_path / name / f"{i}.png")
    data = read.load(f"folder:{tmp_path}")
    assert (len(data["a"]["image"]), len(data["b"]["image"]), len(data.held_out["a"])) == (9, 12, 4)
    assert not data.facts["partners"]
    assert "of testA's 4 images and testB's 5 the first 4 are taken" in data.remarks
    both = read.load(f"digits;folder:{tmp_path / 'trainB'}", image_size=8, channels=1, held_out=5)
    assert (len(both["a"]["image"]), len(both["b"]["image"])) == (1792, 7)


@pytest.mark.parametrize(
    ("spec", "options", "told"),
    [
        ("digits", {}, "--data digits: domains are shapes, folder:PATH, npz:PATH, or two sets, SPEC;SPEC"),
        ("shapes:2", {}, "--data shapes:2: shapes, or shapes:N of them, 4 or more"),
        (
            "shapes:50",
            {"held_out": 2},
            "--held-out 2: of a at least 4 images are trained on, and as many held out",
        ),
        ("folder:nowhere", {}, "--data folder:nowhere is not a folder"),
        ("digits;digits", {"held_out": 1795}, "there are 2 and 1795"),
    ],
)
def test_bad_input_is_a_line(spec, options, told):
    with pytest.raises(InputError, match=re.escape(told)):
        read.load(spec, **options)


def test_the_usual_number_of_drawings():
    data = read.load("shapes", image_size=16, held_out=4)
    assert len(data["a"]["image"]) == len(data["b"]["image"]) == 10_000
    assert data.name == "shapes"


def test_an_empty_domain_is_named(tmp_path):
    for name in ("trainA", "trainB"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "trainA" / "x.png")
    with pytest.raises(InputError, match="trainB has no images"):
        read.load(f"folder:{tmp_path}")
    (tmp_path / "trainB").rmdir()
    with pytest.raises(InputError, match="has no folders trainA and trainB, but traina"):
        read.load(f"folder:{tmp_path}")


@pytest.mark.long
def test_partners_score_best(data):
    judge, asked = domains.judge(data), sampling.drawn(data, domains, 230)
    assert judge.n == 230
    of = {}
    for name, answer, back in [("partner", "b", "a"), ("input", "a", "a"), ("lost", "b", "b")]:
        made = Made(np.stack([asked[answer], asked[back]], 1), asked, None, 1)
        of[name] = {s.protocol.metric: s.value for s in judge.scores(made, Sampling("live"))}
        assert judge.watch(made)["l1"] == pytest.approx(of[name]["l1"])
    assert of["partner"]["l1"] == of["partner"]["cycle_l1"] == of["input"]["cycle_l1"] == 0
    assert of["lost"]["cycle_l1"] == pytest.approx(of["input"]["l1"])
    assert of["input"]["l1"] > 0.08
    name = "fcd_shapes_b"
    assert of["partner"][name] < 0.8 * of["input"][name]
    right = judges.cached(Dataset("shapes, b", data["b"], data.facts))
    told = judges.judge(right, asked["b"])[0].argmax(1)
    assert of["partner"]["agreement"] == pytest.approx((told == asked["label"]).mean())
    assert domains.judge(data, n=10_000).n == 230
    facts, lines = judge.remarks(made, [])
    assert facts["l1_of_the_input"] == pytest.approx(of["input"]["l1"])
    mean = data["b"]["image"].mean(0).round()
    nothing = np.abs(mean / 255 - data.held_out["b"] / 255).mean()
    assert facts["l1_of_the_mean_image"] == pytest.approx(nothing, rel=1e-5)
    assert f"the mean image of b {nothing:.4f}" in lines[0]


def test_a_run_its_commands_and_what_it_leaves(trained, tmp_path, capsys):
    path, result = trained
    assert {"agreement", "l1", "cycle_l1"} <= {score["name"] for score in result["scores"]}
    rows = records.rows(path)
    assert {"g/cycle", "g/identity", "g/game", "d/accuracy_fake_a"} <= set(rows[0])
    cli.main(["sample", str(path), "--n", "4", "--out", str(tmp_path / "x.npz")])
    with np.load(tmp_path / "x.npz") as found:
        assert {k: x.shape for k, x in found.items()} == dict.fromkeys(("a", "b", "back"), (4, 16, 16, 3))
        given, answers = found["a"], found["b"]
    Image.fromarray(given[0]).save(tmp_path / "in.png")
    cli.main(["translate", str(path), str(tmp_path / "in.png"), "--out", str(tmp_path / "out.png")])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), answers[0])
    cli.main(["report", str(path)])
    assert "Translations" in (path / "report.html").read_text()


def test_each_term_is_of_the_images_that_it_names(data):
    cfg = cyclegan.Config(**{**TINY, "channels": 3, "batch_size": 3})
    gan, opts = cyclegan.make(cfg)
    real = {side: data[side]["image"][:3] / np.float32(127.5) - 1 for side in "ab"}
    batch = {side: {"image": x} for side, x in real.items()} | {"slot": np.arange(3)}
    state = steps.create_state(gan, opts, jax.random.key(0), batch)
    total, (_, found) = jax.jit(gan.g_loss)(state.g.params, state, batch, jax.random.key(1))
    g = nets.Generator(cfg.g_width, cfg.blocks, 3)
    d = pix2pix.Discriminator(cfg.d_width, layers=cfg.layers)
    made = jax.jit(lambda side, x: g.apply({"params": state.g.params[side]}, x), static_argnums=0)
    apart = lambda x, y: float(np.abs(x - y).mean())  # noqa: E731
    expected = {"game": 0.0, "cycle": 0.0, "identity": 0.0}
    for side, other in ("ab", "ba"):
        fake = made(side, real[other])
        says = d.apply({"params": state.d.params[side]}, fake, train=True)
        expected["game"] += float(((says - 1) ** 2).mean())
        expected["cycle"] += apart(made(other, fake), real[other]) / 2
        expected["identity"] += apart(made(side, real[side]), real[side]) / 2
    assert {name: float(x) for name, x in found.items()} == pytest.approx(expected, rel=1e-4)
    # Cycle and identity are of both sides, and the identity's weight is a share of the cycle's.
    whole = expected["game"] + 2 * cfg.cycle * (expected["cycle"] + cfg.identity * expected["identity"])
    assert float(total) == pytest.approx(whole, rel=1e-4)
    # D's loss, by squares of which half counts; the pool is empty, so it has what G has just made.
    loss, _ = jax.jit(gan.d_loss)(state.d.params, state, batch, jax.random.key(1))
    expected = 0.0
    for side, other in ("ab", "ba"):
        judged = lambda x, side=side: d.apply({"params": state.d.params[side]}, x, train=True)  # noqa: E731
        slope = jax.grad(lambda x, judged=judged: judged(x).mean((1, 2)).sum())(real[side])
        on_real, on_fake = judged(real[side]), judged(made(side, real[other]))
        expected += float(((on_real - 1) ** 2).mean() / 2 + (on_fake**2).mean() / 2)
        expected += cfg.r1 / 2 * float((slope**2).sum((1, 2, 3)).mean())
    assert float(loss) == pytest.approx(expected, rel=1e-4)


@pytest.mark.long
def test_both_players_images_are_made_once(data):
    """As many convolutions are compiled as both updates alone have, less those of the second making."""
    cfg = cyclegan.Config(**TINY, channels=3)
    gan, opts = cyclegan.make(cfg)
    batches = {side: {"image": data[side]["image"][None, :4] / np.float32(127.5) - 1} for side in "ab"}
    batches |= {"slot": np.arange(4)[None]}
    batch = jax.tree.map(lambda x: x[0], batches)
    state = steps.create_state(gan, opts, jax.random.key(0), batch)

    def count(f, *args):
        return jax.jit(f).lower(*args).compile().as_text().count(" convolution(")

    d, g, both = (
        count(partial(step, gan, opts), state, b)
        for step, b in (
            (steps.d_step, batch),
            (steps.g_step, batch),
            (dynamics.simultaneous_step, batches),
        )
    )
    net = nets.Generator(cfg.g_width, cfg.blocks)
    twice = np.concatenate([batch["a"]["image"]] * 2)
    made = count(lambda p, x: net.apply({"params": p}, x), state.g.params["a"], twice)
    assert both == d + g - 2 * made < d + g


@pytest.mark.long
def test_it_goes_on_bit_for_bit(trained, tmp_path):
    path, _ = trained
    root = shutil.copytree(path, tmp_path / "cyclegan" / "cut")
    shutil.rmtree(root / "checkpoints" / "8")
    train.resume(root)
    jax.tree.map(np.testing.assert_array_equal, _state(path), _state(root))


@pytest.mark.long
def test_two_devices_make_the_same_run(tmp_path):
    # Of every colour, texture and background: of flat ones, instance normalisation magnifies rounding.
    scene = shapes.scenes(jax.random.key(0), np.arange(1300))
    both = shapes.draw(scene, 16), shapes.second(scene, 16)
    np.savez(tmp_path / "x.npz", **dict(zip("ab", (np.uint8(255 * x) for x in both), strict=True)))
    runs = {"one": {}, "two": {"devices": 2}, "other": {"seed": 1}}
    for name, options in runs.items():
        _start(tmp_path, name, data=f"npz:{tmp_path / 'x.npz'}", **options)
    # Rounding grows with the steps, since Adam takes it for a slope where there is none.
    figures = [
        [row["g/loss"] for row in records.rows(tmp_path / "cyclegan" / name) if "g/loss" in row][:5]
        for name in runs
    ]
    np.testing.assert_allclose(figures[1], figures[0], rtol=1e-4)
    assert not np.allclose(figures[2], figures[0], rtol=1e-2)
