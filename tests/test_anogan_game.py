"""AnoGAN's and f-AnoGAN's runs: what moves in which phase, what is saved, what the commands make of them."""

import csv
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import anogan, f_anogan
from jaxgan import anomaly, checkpoint, cli, detector, parallel, sampling, train
from jaxgan.config import InputError
from jaxgan.kinds.anomalies import anomalies
from jaxgan.methods import method_of
from jaxgan.nets import dcgan
from jaxgan.program import Program, arguments, traceable
from jaxgan.train import Loop

SMALL = dict(
    image_size=8, width=4, latent=4, batch_size=8, steps=4, held_out=8, g_lr=2e-3, ema_decay=0.5,
)  # fmt: skip
GAME, OF = 2, ("generator", "encoder")


def _given(module, **changes):
    own = SMALL | ({"game_steps": GAME, "n_critic": 2} if module is f_anogan else {"search_steps": 3})
    return module.Config(**(own | changes))


def _config(module, **changes):
    """A config with what the data decide, and these."""
    cfg = _given(module, **changes)
    data = anomalies.load(cfg, None)
    return train.ready(method_of(module, anomalies), {"": cfg}, data)[""], data


@cache
def _program(devices):
    """f-AnoGAN's state before the first step, what moves it on, and that one's arguments."""
    cfg, data = _config(f_anogan)
    program = Program(method_of(f_anogan, anomalies), cfg, tuple(arguments(cfg)), data, devices)
    state = sampling.initial_state(f_anogan.make, cfg, data.example(cfg.batch_size))
    arrays = {"image": jnp.asarray(data["image"])}
    state, arrays = parallel.replicate((state, arrays), devices)
    return state, program.chunk, (program.numbers(cfg), arrays), jnp.arange(cfg.batch_size)


def _walk(devices, n=4):
    """The states before and after each of n steps, and the figures."""
    state, chunk, given, slot = _program(devices)
    kept = lambda state: jax.tree.map(np.asarray, parallel.here(state, list(devices)).replace(key=()))  # noqa: E731
    found, figures = [kept(state)], []
    for _ in range(n):
        state, told = chunk(state, given, slot, 1)
        found.append(kept(state))
        figures.append({k: float(np.ravel(v)[0]) for k, v in told.items()})
    return found, figures


@pytest.fixture(scope="module")
def walked():
    return _walk(tuple(jax.devices()[:1]))


def _same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_the_game_comes_first_and_then_the_encoder_alone(walked):
    """In each phase what has no part in it stands still to the last bit: parameters, statistics, moments."""
    states, figures = walked
    for i, (a, b) in enumerate(zip(states[:-1], states[1:], strict=True)):
        game = i < GAME
        assert [not _same(a.g.params[name], b.g.params[name]) for name in OF] == [game, not game]
        assert _same(a.g.stats, b.g.stats) == (not game)
        assert _same(a.d, b.d) == (not game)
        of_g, of_e = ([s.g.opt.inner_states[name].inner_state for s in (a, b)] for name in OF)
        assert _same(*(x.inner_state for x in of_g)) == (not game)
        assert _same(*of_e) == game
        assert (figures[i]["d/loss"] != 0) == game
        assert (figures[i]["g/residual"] > 0) == (figures[i]["g/features"] > 0) == (not game)
        if not game:
            parts = figures[i]["g/residual"] + figures[i]["g/features"]
            assert figures[i]["g/loss"] == pytest.approx(parts, rel=1e-5)
    assert [int(s.step) for s in states] == list(range(5))


def test_two_devices_make_the_run_of_one(walked):
    """To 2 % of how far they went, in both phases."""
    states, _ = walked
    others, _ = _walk(tuple(jax.devices()[:2]))
    for a, b in ((0, GAME), (GAME, 4)):
        one, two = (
            np.concatenate([np.ravel(y - x) for x, y in zip(*map(jax.tree.leaves, pair), strict=True)])
            for pair in (
                [(s.g.params, s.d.params) for s in (states[a], states[b])],
                [(s.g.params, s.d.params) for s in (others[a], others[b])],
            )
        )
        assert np.linalg.norm(one) > 0
        assert np.linalg.norm(two - one) < 0.02 * np.linalg.norm(one)


def test_the_encoders_loss_is_the_score_and_its_slope_by_differences(walked):
    """Along its own direction, of networks whose weights are larger than at the start; and G's part of it is
    none."""
    states, _ = walked
    cfg, data = _config(f_anogan, weight=0.7)
    g, d = (jax.tree.map(lambda x: 6 * x, player.params) for player in (states[3].g, states[3].d))
    state = states[3].replace(g=states[3].g.replace(params=g), d=states[3].d.replace(params=d))
    value_and_slope = jax.jit(jax.value_and_grad(f_anogan.encoders_loss(cfg), has_aux=True))
    gan, _ = f_anogan.make(cfg)
    batch = {"image": jnp.float32(data["image"][:8] / 127.5 - 1), "slot": jnp.arange(8)}
    (value, (after, _)), slope = value_and_slope(g, state, batch, None)
    found = jax.jit(gan.examine)(state.g.variables, state.d.variables, batch["image"], None, batch["slot"])
    assert float(value) == pytest.approx(float(found.score.mean()), rel=1e-6)
    np.testing.assert_allclose(found.score, found.residual + 0.7 * found.features, rtol=1e-5)
    assert _same(after, state)
    assert all((x == 0).all() for x in jax.tree.leaves(slope["generator"]))
    size = float(np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(slope["encoder"]))))
    by = 1e-3  # above, rectifiers turn on and off

    def at(t):
        moved = jax.tree.map(lambda p, s: p + t * s / size, g, slope)
        return float(value_and_slope(moved, state, batch, None)[0][0])

    assert (at(by) - at(-by)) / (2 * by) == pytest.approx(size, rel=1e-2)


def test_an_encoding_is_the_networks_by_hand(walked):
    """E is D's trunk with a tanh, and G is in inference mode: a query's own, whatever is beside it."""
    states, _ = walked
    cfg, data = _config(f_anogan)
    gan, _ = f_anogan.make(cfg)
    g, d = states[4].g.variables, states[4].d.variables
    trunk = dcgan.Discriminator(width=4, norm="none", head=lambda x, label: x)
    params = g["params"]["encoder"]
    x = jnp.float32(data["image"][:5] / 127.5 - 1)
    last = params["head"]["Dense_0"]
    z = jnp.tanh(trunk.apply({"params": params}, x, train=False) @ last["kernel"] + last["bias"][None])
    net = dcgan.Generator(image_size=8, width=4)
    expected = net.apply({k: v["generator"] for k, v in g.items()}, z, train=False)
    examine = jax.jit(gan.examine)
    found = examine(g, d, x, None, jnp.arange(5))
    np.testing.assert_allclose(found.reconstruction, expected, atol=1e-5)
    np.testing.assert_allclose(examine(g, d, x[:2], None, jnp.arange(2)).score, found.score[:2], rtol=1e-5)


@pytest.mark.parametrize("module", [anogan, f_anogan])
def test_every_number_of_a_config_may_be_traced_on_two_devices(module):
    cfg, data = _config(module)
    names = traceable(method_of(module, anomalies), cfg, data, tuple(jax.devices()[:2])).names
    assert set(names) == set(arguments(cfg))
    assert {"weight", "g_lr", "d_lr", "search_rate" if module is anogan else "e_lr"} < set(names)


def test_an_encoder_without_steps_is_told():
    with pytest.raises(InputError, match="--steps 2: the encoder learns after --game-steps 2"):
        f_anogan.make(replace(_config(f_anogan)[0], steps=2))


@pytest.mark.parametrize("at", [1, 2, 3], ids=["in the game", "before the encoder", "in the encoder's phase"])
def test_what_is_saved_in_a_phase_goes_on_bit_for_bit(walked, tmp_path, at):
    states, figures = walked
    with checkpoint.manager(tmp_path / "checkpoints", 1) as manager:
        state = states[at].replace(key=jax.random.key(0))
        checkpoint.save(manager, state, {})
        manager.wait_until_finished()
        state, _ = checkpoint.restore(manager, jax.eval_shape(lambda: state))
    chunk, given, slot = _program(tuple(jax.devices()[:1]))[1:]
    for expected in figures[at:]:
        state, found = chunk(state, given, slot, 1)
        assert {k: float(np.ravel(v)[0]) for k, v in found.items()} == expected
    assert _same(jax.tree.map(np.asarray, state.replace(key=())), states[-1])


LOOP = dict(chunk=1, log_every=1, sample_every=0, evaluate_every=2, checkpoint_every=1, keep=9, devices=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each method, their folders and scores."""
    root, found = tmp_path_factory.mktemp("runs"), {}
    for module in (anogan, f_anogan):
        name = module.__name__.rpartition(".")[2]
        loop = Loop(**LOOP, out=str(root), name="r")
        found[name] = root / name / "r", train.start(_given(module), loop, anomalies)
    return found


@pytest.mark.parametrize("name", ["anogan", "f_anogan"])
def test_a_run_is_scored_beside_its_controls(runs, name):
    path, result = runs[name]
    scores = {score["name"]: score for score in result["scores"]}
    names = ["misordered_validation", "auc_validation", "auc", "auc_class_mean", "auc_pca", "auc_untrained"]
    assert list(scores) == names
    assert scores["auc"]["interval"][0] <= scores["auc"]["value"] <= scores["auc"]["interval"][1]
    assert result["best"]["name"] == "misordered_validation"


def test_commands_take_a_run(runs, tmp_path, capsys):
    path, _ = runs["f_anogan"]
    cli.main(["evaluate", str(path)])
    assert "auc_untrained" in capsys.readouterr().out
    cli.main(["report", str(path), "--out", str(tmp_path / "r")])
    assert "Anomalous images" in (tmp_path / "r" / "report.html").read_text()


def _scores(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", ["anogan", "f_anogan"])
def test_the_command_scores_images(runs, tmp_path, capsys, name):
    """A folder's, the same alone and in a file of arrays: as the run itself examines them."""
    path, _ = runs[name]
    images = anomalies.load(_given(anogan), None).held_out["image"][:3]
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    for file, image in zip(("a.png", "b/c.png", "d.png"), images, strict=True):
        Image.fromarray(image[..., 0]).save(folder / file)
    np.savez(tmp_path / "x.npz", image=images[1:])
    for given, out in ((folder, "all"), (folder / "d.png", "one"), (tmp_path / "x.npz", "arrays")):
        cli.main(["anomaly", str(path), str(given), "--out", str(tmp_path / out)])
    assert "3 scores of step 4" in capsys.readouterr().out
    every, one, arrays = (_scores(tmp_path / out) for out in ("all", "one", "arrays"))
    assert list(every) == ["a.png", "b/c.png", "d.png"]
    pairs = (one["d.png"], "d.png"), (arrays["x.npz[1]"], "d.png"), (arrays["x.npz[0]"], "b/c.png")
    for row, file in pairs:
        assert {**row, "file": file} == every[file]
    generator = sampling.load(path, critic=True)
    own = anomaly.examined(detector.examiner(generator), images, jax.random.key(0))
    np.testing.assert_allclose([float(row["score"]) for row in every.values()], own.score, rtol=1e-5)
    np.testing.assert_allclose([float(row["residual"]) for row in every.values()], own.residual, rtol=1e-5)
    with Image.open(tmp_path / "all" / "b" / "c.png") as picture:
        assert picture.width > 2.5 * picture.height
    assert (tmp_path / "arrays" / "1.png").exists()


@pytest.fixture
def plain(tiny):
    """A generator of images whose method examines nothing."""
    gan, opts = tiny()
    batch = {"image": jnp.zeros((8, 8, 8, 1)), "slot": jnp.arange(8)}
    g, d, _ = gan.init(jax.random.key(0), batch)
    return sampling.Generator(gan, g, None, anomalies, {}, None, 0, False, d)


def test_any_run_of_images_is_searched(plain):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1)).astype(np.uint8)
    examine = detector.examiner(plain, steps=2)
    found = anomaly.examined(examine, images, jax.random.key(3))
    np.testing.assert_allclose(found.score, 0.9 * found.residual + 0.1 * found.features, rtol=1e-5)
    assert not np.allclose(anomaly.examined(examine, images, jax.random.key(4)).score, found.score, rtol=1e-6)
    for changes, label, told in [
        ({"d_variables": None}, None, "has no discriminator"),
        ({}, "a", "--label: this generator takes no label"),
        ({"gan": plain.gan._replace(condition="label")}, None, "is given labels: name the normal class"),
        ({"gan": plain.gan._replace(condition="input")}, None, "is given 'input'"),
    ]:
        with pytest.raises(InputError, match=told):
            detector.examiner(replace(plain, **changes), label)


def test_what_the_command_cannot_take_is_one_line(runs, tmp_path, capsys):
    path, _ = runs["f_anogan"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    Image.new("L", (8, 9)).save(tmp_path / "tall.png")
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    Image.new("RGB", (8, 8), (9, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "twice").mkdir()
    for name in ("x.png", "x.bmp"):
        Image.new("L", (8, 8)).save(tmp_path / "twice" / name)
    for given, flags, told in [
        ("twice", [], "have one name but for its ending"),
        ("tall.png", [], "tall.png is 8x9, and this generator makes 8x8"),
        ("red.png", [], "red.png has 3 channels"),
        ("none.png", [], "there is no such file"),
        ("x.png", ["--out", str(tmp_path / "full")], "is there already; name a new folder"),
        ("x.png", ["--steps", "5"], "--steps 5: this run has its own way"),
        ("x.png", ["--label", "0"], "takes no label"),
    ]:
        with pytest.raises(SystemExit) as status:
            cli.main(["anomaly", str(path), str(tmp_path / given), "--out", str(tmp_path / "out"), *flags])
        assert status.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert told in line
    assert not (tmp_path / "out").exists()
