"""Training from Python, with arrays of one's own."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import jaxgan
from jaxgan import cli, lanes, random
from jaxgan.config import InputError
from jaxgan.game import Optimizers
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import dcgan, mlp, points
from jaxgan.train import Loop
from jaxgan.two_player import two_player

README = (Path(__file__).parents[1] / "README.md").read_text()


def _game(**options):
    gan = two_player(
        mlp.Generator((8, 8, 1), (8,), None),
        mlp.Discriminator((8,)),
        loss=non_saturating,
        latent=partial(random.normal, shape=(4,)),
        **options,
    )
    return gan, Optimizers(optax.adam(1e-3, b1=0.5), optax.adam(1e-3, b1=0.5), 0.9)


def _same(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(a.g), jax.tree.leaves(b.g))


@pytest.fixture(scope="module")
def plain(images):
    return jaxgan.fit(*_game(), {"image": images}, steps=30, batch_size=8, seed=3)


def test_the_history_has_every_step(plain):
    state, history = plain
    assert int(state.step) == 30
    assert set(history) == {"d/loss", "d/accuracy_real", "d/accuracy_fake", "g/loss"}
    assert all(x.shape == (30,) and np.isfinite(x).all() for x in history.values())


def test_a_seed_is_a_run(plain, images):
    again = jaxgan.fit(*_game(), {"image": images}, steps=30, batch_size=8, seed=3)
    other = jaxgan.fit(*_game(), {"image": images}, steps=30, batch_size=8, seed=4)
    _same(plain.state, again.state)
    assert not np.array_equal(plain.history["d/loss"], other.history["d/loss"])


@pytest.mark.filterwarnings("ignore:.*biased upwards")
def test_a_folder_has_what_a_run_has_and_training_goes_on(plain, images, tmp_path, capsys):
    gan, opts = _game()
    fit = partial(
        jaxgan.fit, gan=gan, opts=opts, arrays={"image": images}, batch_size=8, seed=3, out=tmp_path / "r"
    )
    half = fit(steps=20)
    np.testing.assert_array_equal(half.history["g/loss"], plain.history["g/loss"][:20])
    state, history = fit(steps=30)
    assert "going on from the checkpoint of step 20" in capsys.readouterr().out
    _same(state, plain.state)
    for name, values in plain.history.items():
        np.testing.assert_array_equal(history[name], values)
    for name in ("config.json", "metrics.jsonl", "samples.png", "curves.png", "scores.json"):
        assert (tmp_path / "r" / name).is_file()
    generator = jaxgan.load(tmp_path / "r", gan=_game()[0])
    samples = generator.sample(jax.random.key(0), 5)
    np.testing.assert_allclose(
        samples,
        _game()[0].sample(state.g.averaged, _game()[0].latent(jax.random.key(0), jnp.arange(5))),
        atol=1e-6,
    )
    for other, told in (
        (partial(fit, seed=5), r"seed: 5, not 3"),
        (partial(fit, opts=Optimizers(optax.sgd(1.0), optax.sgd(1.0), 0.9)), "another game, loss, optimiser"),
        (
            partial(fit, gan=_game(d_terms={"small": lambda seen: seen.real_logits**2})[0]),
            "another game, loss",
        ),
    ):
        with pytest.raises(InputError, match=f"already holds another run .*{told}"):
            other(steps=30)
    fit(steps=30)
    assert "holds all 30 steps already" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        cli.main(["sample", str(tmp_path / "r")])
    assert left.value.code == 2
    assert "was made by jaxgan.fit" in capsys.readouterr().err
    with pytest.raises(InputError, match="no longer what the run was trained on"):
        jaxgan.fit(*_game(), {"image": images[::-1]}, batch_size=8, seed=3, steps=30, out=tmp_path / "r")


def test_all_devices_are_used_by_a_function_of_the_axis(plain, images, capsys):
    jaxgan.fit(*_game(), {"image": images}, steps=1, batch_size=8)
    assert "one of 8 devices is used: give a function, axis -> GAN" in capsys.readouterr().out
    jaxgan.fit(*_game(), {"image": images}, steps=1, batch_size=8, loop=Loop(chunk=5))
    assert "one of 8 devices is used" in capsys.readouterr().out
    state, history = jaxgan.fit(
        lambda axis: _game()[0], _game()[1], {"image": images}, steps=30, batch_size=8, seed=3
    )
    assert capsys.readouterr().out == ""
    assert len(jax.tree.leaves(state)[0].sharding.device_set) == 8
    np.testing.assert_allclose(history["d/loss"], plain.history["d/loss"], rtol=1e-3)


def _interrupt(seconds, written=None):
    """Ctrl-C after a while; that of a file begins when something is in it."""
    deadline = time.monotonic() + 120
    while written is not None and time.monotonic() < deadline:
        if written.is_file() and written.stat().st_size:
            break
        time.sleep(0.05)
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_returns_what_was_trained(images, capsys, monkeypatch):
    begun, first_bad = threading.Event(), lanes.first_bad
    monkeypatch.setattr(lanes, "first_bad", lambda *args: begun.set() or first_bad(*args))
    thread = threading.Thread(target=lambda: begun.wait(120) and _interrupt(0.5))
    thread.start()
    state, history = jaxgan.fit(*_game(), {"image": images}, steps=10**6, batch_size=8)
    thread.join()
    assert 0 < int(state.step) < 10**6
    assert len(history["d/loss"]) == int(state.step)
    assert f"stopped at step {int(state.step)} of 1000000" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*biased upwards")
def test_a_conditional_game_has_all_that_a_run_has(images, tmp_path):
    """Its labels are bytes; its classes have no names."""
    gan = two_player(
        dcgan.Generator(width=4, image_size=8, n_classes=3),
        dcgan.Discriminator(width=4, n_classes=3),
        loss=non_saturating,
        latent=partial(random.normal, shape=(4,)),
        condition="label",
    )
    arrays = {"image": images, "label": (np.arange(40) % 3).astype(np.uint8)}
    jaxgan.fit(gan, _game()[1], arrays, steps=3, batch_size=8, out=tmp_path / "r")
    generator, key = jaxgan.load(tmp_path / "r", gan=gan), jax.random.key(0)
    np.testing.assert_array_equal(generator.sample(key, 4), generator.sample(key, 4, label=[0, 1, 2, 0]))
    for label, told in (
        (99, "label 99 is not one of the classes: 0 '0', 1 '1', 2 '2'"),
        (-5, "label -5 is not"),
    ):
        with pytest.raises(InputError, match=told):
            generator.sample(key, 4, label=label)
    other = two_player(*_networks(), loss=non_saturating, latent=gan.latent, condition="code")
    codes = {"image": images, "code": np.ones((40, 2))}
    with pytest.raises(
        InputError, match="the game is given 'code', and samples of arrays are asked for nothing"
    ):
        jaxgan.fit(other, _game()[1], codes, steps=3, batch_size=8, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


class _Given(nn.Module):
    """A network that is given something and does not use it."""

    net: nn.Module

    def __call__(self, x, given, *, train: bool):
        return self.net(x, train=train)


def _networks():
    return _Given(mlp.Generator((8, 8, 1), (8,), None)), _Given(mlp.Discriminator((8,)))


@pytest.mark.filterwarnings("ignore:.*biased upwards")
def test_ctrl_c_returns_what_a_folder_has(images, tmp_path, capsys):
    rows = tmp_path / "r" / "metrics.jsonl"
    thread = threading.Thread(target=_interrupt, args=(0.5, rows))
    thread.start()
    options = dict(
        batch_size=8, out=tmp_path / "r", loop=Loop(sample_every=0, evaluate_every=0, checkpoint_every=0)
    )
    state, history = jaxgan.fit(*_game(), {"image": images}, steps=10**6, **options)
    thread.join()
    assert 0 < int(state.step) == len(history["d/loss"]) < 10**6
    told = capsys.readouterr()
    assert "what was trained until then is returned" in told.out
    assert "go on by calling jaxgan.fit again" in told.out


@pytest.mark.parametrize(
    ("loop", "out", "told"),
    [
        ({"seeds": 2}, True, "Loop(seeds=...) says nothing here"),
        ({"name": "x"}, True, "Loop(name=...) says nothing here"),
        ({"patience": 2}, False, "Loop(patience=...) says nothing without `out`"),
        ({"devices": 2}, False, "a game is for one device; give a function"),
    ],
)
def test_what_of_the_loop_does_not_apply_is_told(images, tmp_path, loop, out, told):
    with pytest.raises(InputError, match=re.escape(told)):
        jaxgan.fit(*_game(), {"image": images}, steps=2, batch_size=8, loop=Loop(**loop),
                   out=tmp_path / "r" if out else None)  # fmt: skip
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arrays", "options", "told"),
    [
        (
            {"image": np.zeros((9, 8, 8, 1))},
            {"out": True},
            "'image' is float32[9, 8, 8, 1]; pictures and scores",
        ),
        (
            {"image": np.zeros((9, 8, 8, 1)), "label": np.zeros(8)},
            {},
            "arrays of several lengths: image 9, label 8",
        ),
        ({"image": np.full((9, 8, 8, 1), np.nan)}, {}, "not finite in 9 of 9 examples"),
        ({"image": np.zeros((0, 8, 8, 1))}, {}, "it has no examples"),
        ({"image": np.array([None] * 9)}, {}, "is of object"),
        ({"image": np.zeros((9, 8, 8, 1))}, {"batch_size": 10}, "larger than the data set: arrays has 9"),
        ({"image": np.zeros((9, 8, 8, 1))}, {"steps": 0}, "--steps 0: it must be at least 1"),
        (
            {"picture": np.zeros((9, 8, 8, 1))},
            {},
            "the game asked for 'image', which it did not find; a batch has picture, slot",
        ),
        ({"x": np.zeros((9, 3))}, {"out": True}, "has no array 'image', but x"),
    ],
)
def test_bad_input_is_a_line(arrays, options, told, tmp_path):
    game = _game()
    if "x" in arrays:
        networks = points.Generator((8,), features=3), points.Discriminator((8,))
        latent = partial(random.normal, shape=(4,))
        game = two_player(*networks, loss=non_saturating, latent=latent, of="x"), game[1]
    if options.pop("out", False):
        options["out"] = tmp_path / "r"
    with pytest.raises(InputError, match=re.escape(told)) as e:
        jaxgan.fit(*game, arrays, **{"steps": 2, "batch_size": 8, **options})
    assert "\n" not in str(e.value)
    assert not (tmp_path / "r").exists()


def test_the_lines_in_the_readme_run_as_they_stand(tmp_path):
    """From an empty folder, through standard input, in a process of their own."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (code,) = [block for block in blocks if "jaxgan.fit(" in block]
    code += "\nprint(history['g/loss'].shape, images.shape)\n"
    done = subprocess.run([sys.executable, "-"], input=code,
                          cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(2000,) (16, 8, 8, 1)"
    assert list(tmp_path.iterdir()) == []
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
