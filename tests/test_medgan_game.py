"""medGAN's phases: what moves in which, and that they are functions of the step."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import medgan
from jaxgan import checkpoint, methods, sampling
from jaxgan.config import InputError
from jaxgan.kinds.records import records
from jaxgan.losses.adversarial import non_saturating
from jaxgan.program import arguments, traceable

SMALL = replace(
    medgan.Config(), data="patients:rows=40,codes=5,groups=2", width=4, layers=1, d_hidden=(4,),
    pretrain=3, steps=6, batch_size=8,
)  # fmt: skip
DATA = records.load(SMALL, None)
CFG = replace(SMALL, schema=DATA.facts["schema"], target=DATA.facts["target"])


def _batch(cfg=CFG, draws=2):
    x = jnp.asarray(DATA["record"][: draws * 8].reshape(draws, 8, 5))
    return {"record": x, "slot": jnp.broadcast_to(jnp.arange(8), (draws, 8))}


@pytest.fixture(scope="module")
def run():
    """The states before each of six steps and after the last, and each step's figures."""
    gan, opts = medgan.make(CFG)
    state = sampling.initial_state(medgan.make, CFG, DATA.example(8))
    step = jax.jit(partial(medgan.train_step(CFG), gan, opts))
    states, figures = [state], []
    for _ in range(6):
        state, found = step(state, _batch())
        states.append(state)
        figures.append(found)
    return states, figures, step


def _moved(before, after) -> set[str]:
    return {name for name in before if not _equal(before[name], after[name])}


def _equal(a, b) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


def test_the_autoencoder_learns_alone_and_then_its_decoder_learns_on(run):
    states, figures, _ = run
    nets = {"Dense_0", "Dense_1", "BatchNorm_0", "BatchNorm_1"}
    for i, (a, b) in enumerate(zip(states[:-1], states[1:], strict=True)):
        early = i < CFG.pretrain
        assert _moved(a.g.params, b.g.params) == ({"encoder", "decoder"} if early else {"decoder", *nets}), i
        assert _equal(a.d.params, b.d.params) == early
    names = {"g/loss", "g/reconstruction", "g/l2", "d/loss", "d/l2", "d/accuracy_real", "d/accuracy_fake"}
    assert all(set(found) == names for found in figures)
    assert figures[0]["g/reconstruction"] > 0 == figures[0]["d/loss"]
    assert figures[-1]["g/reconstruction"] == 0 < figures[-1]["d/loss"]


def test_adam_starts_afresh_with_the_game(run):
    """So its first step there is of one length, whatever went before: lr in each number."""
    states, _, _ = run
    for i in (0, CFG.pretrain):
        decoder = [state.g.params["decoder"]["kernel"] for state in states[i : i + 2]]
        change = np.abs(decoder[1] - decoder[0])
        assert np.median(change) == pytest.approx(CFG.g_lr, rel=1e-3)
    later = np.abs(states[-1].g.params["decoder"]["kernel"] - states[-2].g.params["decoder"]["kernel"])
    assert np.abs(later / CFG.g_lr - 1).max() > 0.01  # the control: a step that is not the first


@pytest.mark.parametrize("at", [1, 2, 4], ids=["in pre-training", "before the game", "in the game"])
def test_what_is_saved_in_a_phase_goes_on_bit_for_bit(run, tmp_path, at):
    states, figures, step = run
    with checkpoint.manager(tmp_path / "checkpoints", 1) as manager:
        checkpoint.save(manager, states[at], {})
        manager.wait_until_finished()
        state, _ = checkpoint.restore(manager, jax.eval_shape(lambda: states[at]))
    for expected in figures[at:]:
        state, found = step(state, _batch())
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    plain = lambda state: state.replace(key=jax.random.key_data(state.key))  # noqa: E731
    jax.tree.map(np.testing.assert_array_equal, plain(state), plain(states[-1]))


def test_losses_by_hand(run, key):
    """The autoencoder's cross entropy and the game's loss, each with half the squares of what it trains."""
    states, _, _ = run
    state, batch = states[2], jax.tree.map(lambda x: x[0], _batch())
    alone, game = medgan.games(CFG)
    p, x = state.g.params, batch["record"]
    code = jnp.tanh(x @ p["encoder"]["kernel"] + p["encoder"]["bias"][None])
    chance = jax.nn.sigmoid(code @ p["decoder"]["kernel"] + p["decoder"]["bias"][None])
    entropy = -(x * jnp.log(chance) + (1 - x) * jnp.log(1 - chance)).sum(1).mean()

    def squares(tree):
        return sum(float((np.asarray(x) ** 2).sum()) for x in jax.tree.leaves(tree)) / 2

    loss, (_, found) = alone.g_loss(p, state, batch, key)
    l2 = CFG.l2 * squares([p["encoder"], p["decoder"]])
    assert float(loss) == pytest.approx(float(entropy) + l2, rel=1e-5)
    assert float(found["l2"]) == pytest.approx(l2, rel=1e-5)
    _, (_, found) = game.g_loss(p, state, batch, key)
    assert float(found["l2"]) == pytest.approx(
        CFG.l2 * squares({k: v for k, v in p.items() if k != "encoder"}), rel=1e-5
    )
    loss, (_, found) = game.d_loss(state.d.params, state, batch, key)
    assert float(found["l2"]) == pytest.approx(CFG.l2 * squares(state.d.params), rel=1e-5)
    plain = non_saturating.d(jnp.zeros(8), jnp.zeros(8)).mean()
    assert 0.2 * plain < float(loss - found["l2"]) < 5 * plain


def test_counts_are_learnt_by_squares(key):
    data = records.load(replace(SMALL, data="visits:rows=40,codes=5,groups=2"), None)
    cfg = replace(SMALL, schema=data.facts["schema"])
    alone, _ = medgan.games(cfg)
    state = sampling.initial_state(medgan.make, cfg, data.example(8))
    batch = {"record": jnp.asarray(data["record"][:8]), "slot": jnp.arange(8)}
    _, (_, found) = alone.g_loss(state.g.params, state, batch, key)
    p, x = state.g.params, batch["record"]
    code = jax.nn.relu(x @ p["encoder"]["kernel"] + p["encoder"]["bias"][None])
    again = jax.nn.relu(code @ p["decoder"]["kernel"] + p["decoder"]["bias"][None])
    assert float(found["reconstruction"]) == pytest.approx(float(jnp.square(again - x).mean()), rel=1e-5)


def test_every_number_is_an_argument_on_two_devices_too():
    method = methods.method_of(medgan, records)
    names = traceable(method, CFG, DATA, tuple(jax.devices()[:2])).names
    assert set(names) == set(arguments(CFG)) == {"g_lr", "d_lr", "l2", "ema_decay", "seed"}
    assert "l2" not in arguments(replace(CFG, l2=0.0))


def test_what_it_cannot_make_is_told():
    with pytest.raises(InputError, match="schema depends on the data"):
        medgan.make(SMALL)
    counts = records.load(replace(SMALL, data="visits:rows=40,codes=5,groups=2"), None).facts["schema"]
    with pytest.raises(InputError, match="of binary columns alone or of counts alone, not binary, count"):
        medgan.make(replace(CFG, schema=(*CFG.schema[:2], *counts[2:])))


def test_samples_have_no_part_of_the_encoder(run):
    """And are made by the decoder: the control moves that."""
    states, _, _ = run
    gan, _ = medgan.make(CFG)
    variables = states[-1].g.variables
    z = gan.latent(jax.random.key(1), jnp.arange(3))
    own = gan.sample(variables, z)

    def with_part(name):
        params = variables["params"]
        return {**variables, "params": {**params, name: jax.tree.map(jnp.ones_like, params[name])}}

    np.testing.assert_array_equal(gan.sample(with_part("encoder"), z), own)
    assert not np.allclose(gan.sample(with_part("decoder"), z), own)
