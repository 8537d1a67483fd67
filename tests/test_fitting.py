"""Training from Python, with arrays of one's own."""

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

import jaxgan
from jaxgan import cli, random
from jaxgan.config import InputError
from jaxgan.game import Optimizers
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import mlp, points
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
    fit = partial(jaxgan.fit, *_game(), {"image": images}, batch_size=8, seed=3, out=tmp_path / "r")
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
    with pytest.raises(InputError, match="already holds another run"):
        fit(steps=40, seed=5)
    with pytest.raises(SystemExit) as left:
        cli.main(["sample", str(tmp_path / "r")])
    assert left.value.code == 2
    assert "was made by jaxgan.fit" in capsys.readouterr().err
    with pytest.raises(InputError, match="no longer what the run was trained on"):
        jaxgan.fit(*_game(), {"image": images[::-1]}, batch_size=8, seed=3, steps=30, out=tmp_path / "r")


def test_all_devices_are_used_by_a_function_of_the_axis(plain, images, capsys):
    jaxgan.fit(*_game(), {"image": images}, steps=1, batch_size=8)
    assert "one of 8 devices is used: give a function, axis -> GAN" in capsys.readouterr().out
    state, history = jaxgan.fit(
        lambda axis: _game()[0], _game()[1], {"image": images}, steps=30, batch_size=8, seed=3
    )
    assert capsys.readouterr().out == ""
    assert len(jax.tree.leaves(state)[0].sharding.device_set) == 8
    np.testing.assert_allclose(history["d/loss"], plain.history["d/loss"], rtol=1e-3)


def test_ctrl_c_returns_what_was_trained(images, capsys):
    def interrupt():
        time.sleep(1.5)
        signal.raise_signal(signal.SIGINT) if False else __import__("os").kill(
            __import__("os").getpid(), signal.SIGINT
        )

    thread = threading.Thread(target=interrupt)
    thread.start()
    state, history = jaxgan.fit(*_game(), {"image": images}, steps=10**7, batch_size=8)
    thread.join()
    assert 0 < int(state.step) < 10**7
    assert len(history["d/loss"]) == int(state.step)
    assert f"stopped at step {int(state.step)} of 10000000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arrays", "options", "told"),
    [
        (
            {"image": np.zeros((9, 8, 8, 1)), "label": np.zeros(8)},
            {},
            "arrays of several lengths: image 9, label 8",
        ),
        ({"image": np.full((9, 8, 8, 1), np.nan)}, {}, "not finite in 9 of 9 examples"),
        ({"image": np.zeros((0, 8, 8, 1))}, {}, "it has no examples"),
        ({"image": np.array([None] * 9)}, {}, "is of object"),
        ({"image": np.zeros((9, 8, 8, 1))}, {"batch_size": 10}, "larger than the data set: arrays has 9"),
        ({"image": np.zeros((9, 8, 8, 1))}, {"steps": 0}, "--steps 0: it must be 1 or more"),
        (
            {"picture": np.zeros((9, 8, 8, 1))},
            {},
            "the game looks for 'image' in a batch, which has picture, slot",
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
