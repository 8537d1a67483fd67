"""MuseGAN's games and runs."""

import re
from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import wavfile

from experiments import musegan
from jaxgan import cli, records, sampling, train
from jaxgan.config import InputError
from jaxgan.data import midi
from jaxgan.kinds.music import music
from jaxgan.losses import penalties
from jaxgan.methods import method_of
from jaxgan.program import arguments, traceable
from jaxgan.train import Loop

pytestmark = pytest.mark.usefixtures("without_curves")

# One generator of all tracks has the least to compile; the others are traced.
SMALL = musegan.Config(data="band:phrases=16", bars=1, model="composer", latent=2, width=1, batch_size=4,
                       steps=4, n_critic=2, ema_decay=0.5)  # fmt: skip
DATA = music.load(SMALL, None)
CFG = train.ready(method_of(musegan, music), {"": SMALL}, DATA)[""]


def test_the_penalty_of_independent_critics_is_each_ones_own(key):
    """Of linear critics of slopes 3 and 1/2: the mean of 4 and 1/4; of one that sees both it would be
    (sqrt(9.25) - 1)^2."""
    real, fake = jax.random.normal(key, (2, 5, 1, 2, 8, 2))
    weight = jnp.zeros((1, 2, 8, 2)).at[0, 0, :2].set(jnp.array([[3.0, 0.3], [0.0, 0.4]]))
    critics = lambda x: (x * weight[None]).sum((1, 2, 3))  # noqa: E731
    given = real, fake, key, jnp.arange(5)
    found = musegan.each_gradient_penalty(critics, *given, weight=10.0)
    np.testing.assert_allclose(found, np.full(5, 10 * (4 + 0.25) / 2), rtol=1e-5)
    joint = penalties.gradient_penalty(lambda x: critics(x).sum(-1), *given, weight=10.0)
    np.testing.assert_allclose(joint, np.full(5, 10 * (np.sqrt(9.25) - 1) ** 2), rtol=1e-5)


def test_a_critic_judges_rolls_as_levels():
    gan, _ = musegan.make(CFG)
    state = sampling.initial_state(musegan.make, CFG, DATA.example(4))
    rolls = jnp.asarray(DATA["roll"][:4])
    critic = jax.jit(gan.critic)
    logits = critic(state.d.variables, rolls)
    np.testing.assert_array_equal(logits, critic(state.d.variables, 2.0 * rolls - 1))
    assert not np.allclose(logits, critic(state.d.variables, 1.0 * rolls))


@pytest.mark.parametrize(
    ("model", "critics", "logits"),
    [("hybrid", None, ()), ("composer", None, ()), ("jamming", None, (3,)), ("jamming", "joint", ()),
     ("hybrid", "independent", (3,))],
)  # fmt: skip
def test_each_model_has_its_critics(model, critics, logits):
    cfg = replace(CFG, model=model, critics=critics)
    gan, _ = musegan.make(cfg)
    batch = {"roll": jnp.zeros((4, 1, 16, 24, 3), bool), "slot": jnp.arange(4)}
    state = jax.eval_shape(lambda: sampling.initial_state(musegan.make, cfg, DATA.example(4)))
    found = jax.eval_shape(gan.critic, state.d.variables, batch["roll"])
    assert found.shape == (4, *logits)
    _, (_, figures) = jax.eval_shape(gan.d_loss, state.d.params, state, batch, jax.random.key(0))
    assert "gp" in figures


def test_every_number_of_a_config_may_be_traced():
    """So that a sweep over it is one compiled program; on two devices."""
    cfg = replace(CFG, critics="independent")
    names = traceable(method_of(musegan, music), cfg, DATA, tuple(jax.devices()[:2])).names
    numbers = {f.name for f in fields(cfg) if isinstance(getattr(cfg, f.name), float)}
    assert set(names) == set(arguments(cfg)) == numbers | {"seed"}
    assert {"g_lr", "d_lr", "gp_weight", "ema_decay"} <= numbers


def _start(out, name, **changes):
    loop = Loop(name=name, out=str(out), devices=1, chunk=1, log_every=1, sample_every=2, evaluate_every=0,
                checkpoint_every=2, keep=20)  # fmt: skip
    return out / "musegan" / name, train.start(replace(SMALL, **changes), loop, music)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of 4 steps, and one that stopped after 2."""
    out = tmp_path_factory.mktemp("runs")
    whole, scores = _start(out, "whole")
    parts, _ = _start(out, "parts", steps=2)
    train.resume(parts, steps=4)
    return whole, parts, scores


def _leaves(path, step):
    generator = sampling.load(path, step, critic=True)
    return jax.tree.leaves((generator.variables, generator.d_variables))


def test_a_run_goes_on_bit_for_bit(runs):
    whole, parts, _ = runs
    assert 4 in records.checkpoints(whole)
    for a, b in zip(_leaves(whole, 4), _leaves(parts, 4), strict=True):
        np.testing.assert_array_equal(a, b)
    logged = [(path / "metrics.jsonl").read_bytes() for path in (whole, parts)]
    assert logged[0].count(b"g/loss") == 4
    assert logged[0] == logged[1]
    assert not all(np.array_equal(a, b) for a, b in zip(_leaves(whole, 2), _leaves(whole, 4), strict=True))


def test_every_command_takes_a_run(runs, tmp_path, capsys):
    whole, _, scores = runs
    assert scores["scores"][0]["name"] == "harmony_jsd"
    assert scores["tonal_distance_of_real"] < scores["tonal_distance_of_shuffled"]
    assert scores["in_scale_of_real"] == 1
    for suffix in (".mid", ".png", ".wav", ".npz"):
        cli.main(["sample", str(whole), "--n", "3", "--out", str(tmp_path / f"x{suffix}")])
    with np.load(tmp_path / "x.npz") as saved:
        rolls = saved["roll"]
    assert rolls.shape == (3, 1, 16, 24, 3)
    whole_roll = midi.joined(rolls)
    notes = midi.read(tmp_path / "x.mid").notes
    assert len(notes) == len(midi.notes_of(whole_roll)) > 0
    rate, sound = wavfile.read(tmp_path / "x.wav")
    assert len(sound) == pytest.approx(len(whole_roll) * 0.125 * rate, rel=0.01)
    cli.main(["evaluate", str(whole), "--n", "60"])
    shown = capsys.readouterr().out
    assert "harmony_jsd" in shown
    assert "whole bars of the phrases trained on" in shown
    cli.main(["report", str(whole), "--out", str(tmp_path / "r")])
    page = (tmp_path / "r" / "report.html").read_text()
    assert len(re.findall(r'<audio controls preload="none" src="data:audio/wav;base64,UklGR', page)) == 8
    assert "media-src data:" in page
    assert "<script" not in page
    for heading in ("Samples", "Nearest training phrases", "Pitch classes"):
        assert f"<h2>{heading}</h2>" in page


def test_what_depends_on_the_data_is_asked_for():
    with pytest.raises(InputError, match="bar, pitches and tracks depend on the data"):
        musegan.make(SMALL)
