"""SeqGAN's gradient, its phases and its runs; and WGAN-GP on text."""

import itertools
import re
from dataclasses import fields
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from experiments import seqgan, wgan_gp_text
from jaxgan import cli, records, sampling, train
from jaxgan.config import InputError
from jaxgan.data import oracle
from jaxgan.kinds.sequences import sequences
from jaxgan.losses.policy_gradient import leave_one_out, reinforce
from jaxgan.methods import method_of
from jaxgan.nets.seqgan import LanguageModel
from jaxgan.program import Program, arguments, traceable
from jaxgan.train import Loop

pytestmark = pytest.mark.usefixtures("without_curves")

V, L = 3, 3
ALL = jnp.array(list(itertools.product(range(V), repeat=L)), jnp.int32)
REWARDS = jax.random.uniform(jax.random.key(9), (V**L,))  # of each sequence
DATA = "oracle:tokens=5,hidden=3,lines=64"
SMALL = {"data": DATA, "length": 6, "embedding": 4, "hidden": 8, "widths": (1, 2), "filters": 3,
         "batch_size": 4, "mle_steps": 3, "d_steps": 2, "steps": 8, "n_critic": 2, "rollouts": 2,
         "ema_decay": 0.9}  # fmt: skip


def _reward(tokens):
    return REWARDS[tokens @ jnp.array([9, 3, 1])]


@pytest.fixture(scope="module")
def policy():
    """A small network by which tokens differ much in what follows them."""
    params = {name: jnp.float32(x) for name, x in oracle.create(V, 2, seed=131)._asdict().items()}
    return LanguageModel(V, 2, 2), {"params": params, "sampling": {"temperature": jnp.ones(())}}


def _log_p(net, variables, tokens):
    log_p = jax.nn.log_softmax(net.apply(variables, tokens))
    return jnp.take_along_axis(log_p, tokens[..., None], -1)[..., 0]


def test_action_values_are_the_expected_rewards(policy):
    """Of two sequences, at each of their beginnings, against the sum over all that they can become."""
    net, variables = policy
    tokens, n = ALL[jnp.array([5, 21])], 20_000
    p = np.exp(_log_p(net, variables, ALL).sum(1))
    noise = jax.random.uniform(jax.random.key(2), (2, n, L))
    complete = partial(net.apply, variables, method=net.complete)
    found = np.asarray(jax.jit(partial(seqgan.action_values, complete, _reward))(tokens, noise))
    for row, sequence in zip(found, np.asarray(tokens), strict=True):
        for t in range(1, L + 1):
            some = (np.asarray(ALL)[:, :t] == sequence[:t]).all(1)
            expected = (p * REWARDS)[some].sum() / p[some].sum()
            assert row[t - 1] == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(n))
    assert found[0, 2] == _reward(tokens)[0]


@pytest.fixture(scope="module")
def gradients(policy):
    """The enumerated gradient [P], and that of 1e5 draws in 50 parts [50, P], by how tokens are judged."""
    net, variables = policy
    params, rest = variables["params"], {"sampling": variables["sampling"]}
    parts, batch = 50, 2000

    def expected(params):
        return -(jnp.exp(_log_p(net, {"params": params, **rest}, ALL).sum(1)) * REWARDS).sum()

    def estimates(key):
        noise = jax.random.uniform(key, (2, batch, L))
        tokens = net.apply(variables, noise[0], method=net.draw)
        complete = partial(net.apply, variables, method=net.complete)
        values = seqgan.action_values(complete, _reward, tokens, noise[1][:, None])
        before = jnp.roll(values, 1, 1)
        advantages = {
            "values": values,
            "with a baseline": values - leave_one_out(values),
            "of the position before": before - leave_one_out(before),
        }

        def loss(params, advantage):
            return reinforce(net.apply({"params": params, **rest}, tokens), tokens, advantage).mean()

        return {name: ravel_pytree(jax.grad(loss)(params, x))[0] for name, x in advantages.items()}

    exact = ravel_pytree(jax.jit(jax.grad(expected))(params))[0]
    found = jax.jit(lambda keys: jax.lax.map(estimates, keys))(jax.random.split(jax.random.key(3), parts))
    return np.asarray(exact), {name: np.asarray(x) for name, x in found.items()}


def _off(exact, found):
    """How far the mean is from the exact value, in its standard errors."""
    return (found.mean(0) - exact) / (found.std(0, ddof=1) / np.sqrt(len(found)))


def test_the_estimate_is_the_enumerated_gradient(gradients):
    """Of each parameter, with and without the baseline, which takes variance from it."""
    exact, found = gradients
    for name in ("values", "with a baseline"):
        off = _off(exact, found[name])
        assert np.sqrt(np.square(off).mean()) < 1.4
        assert np.abs(off).max() < 4
    assert np.median(found["with a baseline"].std(0) / found["values"].std(0)) < 0.8


def test_a_reward_of_the_position_before_is_seen(gradients):
    """The negative control: each token judged by what was expected without it."""
    exact, found = gradients
    assert np.sqrt(np.square(_off(exact, found["of the position before"])).mean()) > 5


def _ready(module=seqgan, **changes):
    """A config with what its data decide, and these."""
    known = {f.name for f in fields(module.Config)}
    cfg = module.Config(**{k: v for k, v in (SMALL | changes).items() if k in known})
    data = sequences.load(cfg, None)
    return train.ready(method_of(module, sequences), {"": cfg}, data)[""], data


def _states(cfg, data, n):
    """The states before and after each of n steps, and the figures."""
    program = Program(method_of(seqgan, sequences), cfg, tuple(arguments(cfg)), data, (jax.devices()[0],))
    state = sampling.initial_state(seqgan.make, cfg, data.example(cfg.batch_size))
    given = program.numbers(cfg), {"token": jnp.asarray(data["token"])}
    kept = lambda state: jax.tree.map(np.asarray, state.replace(key=()))  # noqa: E731
    found, figures = [kept(state)], []
    for _ in range(n):
        state, told = program.chunk(state, given, jnp.arange(cfg.batch_size), 1)
        found.append(kept(state))
        figures.append({k: float(v[0]) for k, v in told.items()})
    return found, figures


def _same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.fixture(scope="module")
def walked():
    return _states(*_ready(), 8)


def test_each_player_learns_in_its_phases(walked):
    """Three steps of likelihood, two of D alone, then both; both move in all the others."""
    states, figures = walked
    pairs = list(itertools.pairwise(states))
    assert [not _same(a.g.params, b.g.params) for a, b in pairs] == [True] * 3 + [False] * 2 + [True] * 3
    assert [not _same(a.g.ema, b.g.ema) for a, b in pairs] == [True] * 3 + [False] * 2 + [True] * 3
    assert [not _same(a.d.params, b.d.params) for a, b in pairs] == [False] * 3 + [True] * 5
    assert [int(s.step) for s in states] == list(range(9))
    assert [x["d/loss"] > 0 for x in figures] == [False] * 3 + [True] * 5
    assert [x["g/reward"] > 0 for x in figures] == [False] * 5 + [True] * 3
    for x in figures[:5]:
        assert x["g/loss"] == x["g/nll"] > 0
    assert all(x["g/loss"] != x["g/nll"] > 0 for x in figures[5:])


def test_adam_starts_afresh_with_the_reward(walked):
    """Its count is that of the phase's updates."""
    states, _ = walked
    assert [int(s.g.opt[1].inner.count) for s in states] == [0, 1, 2, 3, 3, 3, 1, 2, 3]


def test_the_roll_out_policy_starts_as_the_generator_and_follows_it(walked):
    """At its first use it is G, and after that 0.8 of it stays at each update."""
    states, _ = walked
    of = lambda s: np.asarray(s.extra["rollout"]["kernel"])  # noqa: E731
    g = [np.asarray(s.g.params["kernel"]) for s in states]
    np.testing.assert_array_equal(of(states[6]), g[5])
    np.testing.assert_allclose(of(states[7]), 0.8 * g[5] + 0.2 * g[6], rtol=1e-6)
    np.testing.assert_allclose(of(states[8]), 0.8 * of(states[7]) + 0.2 * g[7], rtol=1e-6)


CHOICES = [{}, {"estimator": "gumbel"}, {"reward": "constant"}, {"baseline": False}]


def test_each_choice_is_another_loss():
    example = {"token": jnp.zeros((4, 6), jnp.int32), "slot": jnp.arange(4)}

    def program(**changes):
        cfg, _ = _ready(**changes)
        gan, opts = seqgan.make(cfg)
        state = jax.eval_shape(partial(sampling.initial_state, seqgan.make, cfg, example))
        traced = jax.make_jaxpr(gan.g_loss)(state.g.params, state, example, jax.random.key(0))
        return re.sub(r"0x[0-9a-f]+", "", str(traced))

    programs = [program(**changes) for changes in CHOICES]
    assert len(set(programs)) == len(CHOICES)
    assert program(dropout=0.5) == programs[0]  # which is D's alone


@pytest.mark.parametrize(
    ("changes", "learns"),
    [
        ({"estimator": "gumbel"}, True),
        ({"estimator": "gumbel", "reward": "constant"}, False),
        ({"reward": "constant"}, False),
    ],
)
def test_a_constant_reward_teaches_nothing(walked, changes, learns):
    """G's gradient by reward."""
    cfg, data = _ready(**changes)
    batch = {"token": jnp.asarray(data["token"][:4]), "slot": jnp.arange(4)}
    gan, _ = seqgan.make(cfg)
    state = walked[0][5].replace(key=jax.random.key(0))
    slope, _ = jax.jit(jax.grad(gan.g_loss, has_aux=True))(state.g.params, state, batch, state.key)
    largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slope))
    assert largest > 1e-7 if learns else largest == 0


@pytest.mark.parametrize("module", [seqgan, wgan_gp_text])
def test_every_number_of_a_config_may_be_traced(module):
    """So that a sweep over it is one compiled program; on two devices."""
    cfg, data = _ready(module, width=4, blocks=1, latent=3)
    names = traceable(method_of(module, sequences), cfg, data, tuple(jax.devices()[:2])).names
    assert set(names) == set(arguments(cfg))
    numbers = {f.name for f in fields(cfg) if isinstance(getattr(cfg, f.name), float)}
    assert {"g_lr", "d_lr", "ema_decay"} < numbers <= set(arguments(cfg))


def test_bad_input_names_the_flag():
    for changes, told in [
        ({"length": 1, "widths": (1,)}, "--length 1: it must be 2 or more"),
        ({"widths": (1, 7)}, r"--length 6: .* --widths \(1, 7\) none above"),
        ({"batch_size": 1}, "--batch-size 1: the baseline is of the other examples"),
    ]:
        with pytest.raises(InputError, match=told):
            seqgan.make(_ready(**changes)[0])
    seqgan.make(_ready(batch_size=1, baseline=False)[0])


def _start(out, name, **changes):
    cfg = seqgan.Config(**(SMALL | changes))
    loop = Loop(name=name, out=str(out), devices=1, chunk=1, log_every=1, sample_every=0, evaluate_every=0,
                checkpoint_every=2, keep=20)  # fmt: skip
    found = train.start(cfg, loop, sequences)
    return out / "seqgan" / name, found


def _leaves(path, step):
    generator = sampling.load(path, step, critic=True)
    return jax.tree.leaves((generator.variables, generator.d_variables))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of 8 steps, and one that stopped in the phase of likelihood, and again in that of reward."""
    out = tmp_path_factory.mktemp("runs")
    whole, scores = _start(out, "whole")
    parts, _ = _start(out, "parts", steps=2)
    train.resume(parts, steps=7)
    train.resume(parts, steps=8)
    return whole, parts, scores


def test_a_run_goes_on_bit_for_bit_in_each_phase(runs):
    whole, parts, _ = runs
    for step in (2, 8):
        assert step in records.checkpoints(whole)
        for a, b in zip(_leaves(whole, step), _leaves(parts, step), strict=True):
            np.testing.assert_array_equal(a, b)
    logged = [(path / "metrics.jsonl").read_bytes() for path in (whole, parts)]
    assert logged[0].count(b"g/nll") == 8
    assert logged[0] == logged[1]
    assert not all(np.array_equal(a, b) for a, b in zip(_leaves(whole, 6), _leaves(whole, 8), strict=True))


def test_every_command_takes_a_run(runs, tmp_path, capsys):
    whole, _, scores = runs
    assert {x["name"] for x in scores["scores"]} == {
        "oracle_nll",
        "jsd_1",
        "jsd_2",
        "jsd_3",
        "jsd_4",
        "copied",
    }
    assert scores["entropy"] > 0
    cli.main(["sample", str(whole), "--n", "5", "--out", str(tmp_path / "x.txt")])
    lines = (tmp_path / "x.txt").read_text().splitlines()
    assert len(lines) == 5
    assert all(re.fullmatch(r"[0-4]( [0-4]){5}", line) for line in lines)
    cli.main(["sample", str(whole), "--n", "5", "--out", str(tmp_path / "x.npz")])
    saved = np.load(tmp_path / "x.npz")
    assert [" ".join(saved["vocabulary"][row]) for row in saved["token"]] == lines
    generator, key = sampling.load(whole), jax.random.key(0)
    generator.save(tmp_path / "of" / "python.txt", key, 5)
    assert (tmp_path / "of" / "python.txt").read_text().splitlines() == lines
    with pytest.raises(InputError, match=r"x.csv: samples go to a file of a name ending in .txt or .npz"):
        generator.save("x.csv", key, 5)
    cli.main(["evaluate", str(whole), "--n", "100"])
    assert "oracle_nll" in capsys.readouterr().out
    cli.main(["report", str(whole), "--out", str(tmp_path / "r")])
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Temperatures" in page
    assert "0.5: " in page


def test_characters_without_recurrence(tmp_path):
    """G makes probabilities, a sample is the likeliest tokens, and D takes either; a step is traced above."""
    cfg = wgan_gp_text.Config(data="grammar:lines=64", length=6, tokens=8, width=4, blocks=1, latent=3)
    data = sequences.load(cfg, None)
    gan, _ = wgan_gp_text.make(cfg)
    state = sampling.initial_state(wgan_gp_text.make, cfg, data.example(4))
    z = gan.latent(jax.random.key(0), jnp.arange(4))
    soft = jax.jit(gan.sample)(state.g.variables, z, None)
    assert soft.shape == (4, 6, 8)
    np.testing.assert_allclose(soft.sum(-1), 1, rtol=1e-5)
    tokens = sequences.decode(soft)
    np.testing.assert_array_equal(tokens, soft.argmax(-1))
    critic = jax.jit(gan.critic)
    logits = critic(state.d.variables, tokens)
    np.testing.assert_array_equal(logits, critic(state.d.variables, jax.nn.one_hot(tokens, 8)))
    assert not np.allclose(logits, critic(state.d.variables, soft))


@pytest.mark.slow
def test_characters_without_recurrence_train(tmp_path):
    cfg = wgan_gp_text.Config(data="grammar:lines=64", length=6, width=4, blocks=1, latent=3, batch_size=4,
                              steps=2, n_critic=2)  # fmt: skip
    loop = Loop(
        name="a", out=str(tmp_path), devices=1, chunk=1, log_every=1, sample_every=0, evaluate_every=0
    )
    found = train.start(cfg, loop, sequences)
    assert [x["name"] for x in found["scores"]] == ["jsd_4", "jsd_3", "jsd_2", "jsd_1", "valid", "copied"]
    path = tmp_path / "wgan_gp_text" / "a"
    start, end = (sampling.load(path, step, critic=True) for step in (0, 2))
    for a, b in ((start.variables, end.variables), (start.d_variables, end.d_variables)):
        assert not _same(a, b)
