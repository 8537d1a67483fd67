import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from jaxgan import averages, checkpoint, dynamics, fit, steps
from jaxgan.config import InputError
from jaxgan.game import GAN, GANState, Optimizers, Player
from jaxgan.train import Loop

BATCH = {"image": jnp.zeros((2, 8, 8, 1)), "slot": jnp.arange(2)}
STDS = (0.05, 0.1)


def _profile(step, std, n):
    """The weight of each of n steps in an average that ends at `step`, in closed form: the shares' products
    telescope."""
    t = np.minimum(np.arange(n + 1) / step, 1)
    return np.diff(t ** (steps.exponent(std) + 1))


@pytest.mark.parametrize(("std", "published"), [(0.05, 16.97), (0.10, 6.94)])
def test_exponents_are_the_papers(std, published):
    g = steps.exponent(std)
    assert round(g, 2) == published
    assert (g + 1) / (g + 2) ** 2 / (g + 3) == pytest.approx(std**2)
    w, t = _profile(10_000, std, 10_000), np.arange(1, 10_001)
    mean = (w * t).sum()
    assert np.sqrt((w * (t - mean) ** 2).sum()) / 10_000 == pytest.approx(std, rel=1e-3)
    assert steps.exponent(12**-0.5) == pytest.approx(0, abs=1e-6)


def test_shares_make_the_profile():
    """Also after a million steps, where (1 - 1 / t) has few bits left."""
    shares = np.float64(jax.jit(jax.vmap(lambda step: steps.power_share(0.1, step)))(jnp.arange(50)))
    kept = np.append(np.cumprod((1 - shares)[:0:-1])[::-1], 1)
    np.testing.assert_allclose(shares * kept, _profile(50, 0.1, 50), atol=1e-6)
    late = float(steps.power_share(0.1, jnp.int32(10**6 - 1)))
    assert late == pytest.approx((steps.exponent(0.1) + 1) / 10**6, rel=1e-5)


def _game(tiny, powers=STDS, **options):
    gan, opts = tiny(kind="mlp", **options)
    return gan, opts._replace(g=optax.sgd(1.0), powers=powers)


def test_a_run_keeps_averages_of_all_its_weights(tiny):
    """Against sums over the weights themselves, after the first step and after seven; the ordinary average is
    as it was without."""
    gan, opts = _game(tiny)
    state = steps.create_state(gan, opts, jax.random.key(0), BATCH)
    assert set(state.g.powers) == {"0.05", "0.1"}
    assert state.d.powers is None
    step = jax.jit(lambda state: steps.g_step(gan, opts, state, BATCH)[0])
    plain = jax.jit(lambda state: steps.g_step(gan, opts._replace(powers=()), state, BATCH)[0])
    seen, other = [], state.replace(g=state.g.replace(powers=None))
    for n in range(1, 8):
        state, other = step(state), plain(other)
        seen.append(state.g.variables)
        if n in (1, 7):
            for name, found in state.g.powers.items():
                w = _profile(n, float(name), n)
                expected = jax.tree.map(lambda *x, w=w: sum(a * b for a, b in zip(w, x, strict=True)), *seen)
                jax.tree.map(
                    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected
                )
    jax.tree.map(np.testing.assert_array_equal, state.g.ema, other.g.ema)
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: not np.allclose(a, b), *state.g.powers.values()))
    assert any(moved)


def test_an_extragradient_step_moves_them_once():
    """As tests/test_dynamics.py has it by hand: G goes from 2 to 2.36, by way of 2.1."""

    def d_loss(params, state, batch, key):
        return -params * state.g.params * batch["image"].mean(), (state, {})

    def g_loss(params, state, batch, key):
        return -params * state.d.params * batch["image"].mean(), (state, {})

    sgd = optax.sgd(0.1)
    kept = {"params": jnp.float32(2)}
    g = Player(jnp.float32(2), {}, sgd.init(jnp.ones(())), powers={"0.2": kept})
    d = Player(jnp.float32(1), {}, sgd.init(jnp.ones(())))
    start = GANState(jnp.int32(3), jax.random.key(0), g, d)
    batches = {"image": np.array([[1.0, 1.0], [3.0, 3.0]]), "slot": np.zeros((2, 2), int)}
    game = GAN(None, d_loss, g_loss, None, None)
    after, _ = dynamics.extragradient_step(game, Optimizers(sgd, sgd), start, batches)
    share = 1 - (3 / 4) ** (steps.exponent(0.2) + 1)
    assert float(after.g.params) == pytest.approx(2.36)
    assert float(after.g.powers["0.2"]["params"]) == pytest.approx(share * 2.36 + (1 - share) * 2, rel=1e-5)


def _kept(n, every, stds=STDS):
    """(steps, widths) of what a run of n steps keeps."""
    return zip(*((at, std) for at in range(every, n + 1, every) for std in stds), strict=True)


@pytest.mark.parametrize(("at", "std"), [(2000, 0.05), (1000, 0.1)])
def test_what_was_kept_is_itself(at, std):
    kept = [list(x) for x in _kept(2000, 125)]
    found = averages.coefficients(*kept, std, at)
    own = [(s, w) == (at, std) for s, w in zip(*kept, strict=True)]
    np.testing.assert_allclose(found, own, atol=1e-7)


def _walks(n):
    rng = np.random.default_rng(0)
    return {"line": np.arange(1.0, n + 1), "walk": rng.normal(size=n).cumsum(), "noise": rng.normal(size=n)}


@pytest.mark.parametrize(("std", "error"), [(0.03, 0.039), (0.07, 0.0038), (0.15, 0.0090), (0.2, 0.024)])
def test_an_average_of_another_width_is_made_of_them(std, error):
    """Of 16 checkpoints. The error is that of the profile, in the Euclidean norm and over the profile's; of
    weights that walk it is a small part of the way. The nearest average that was kept is far off."""
    n, (at, stds) = 4000, _kept(4000, 250)
    profiles = np.stack([_profile(s, w, n) for s, w in zip(at, stds, strict=True)])
    wanted = _profile(n, std, n)
    shares = averages.coefficients(at, stds, std, n)
    assert shares.sum() == pytest.approx(1)
    apart = lambda other: np.linalg.norm(other - wanted) / np.linalg.norm(wanted)  # noqa: E731
    assert apart(shares @ profiles) == pytest.approx(error, rel=0.03)
    nearest = profiles[-2 + int(abs(0.1 - std) < abs(0.05 - std))]
    assert apart(nearest) > 7 * error
    trees = [{"a": np.float32(p @ _walks(n)["walk"]), "n": np.int32(i)} for i, p in enumerate(profiles)]
    made = averages.combined(shares, trees)
    assert (made["a"].dtype, made["n"]) == (np.float32, 31)
    for name, weights in _walks(n).items():
        found, expected = shares @ (profiles @ weights), wanted @ weights
        spread = np.sqrt(wanted @ (weights - expected) ** 2)
        assert abs(found - expected) < 2 * error * spread, name
        if name == "walk":
            assert float(made["a"]) == pytest.approx(found, rel=1e-5)
        if name == "line":
            g = steps.exponent(std)
            assert expected == pytest.approx(n * (g + 1) / (g + 2), rel=1e-3)
            assert abs(nearest @ weights - expected) > 0.2 * spread


@pytest.mark.parametrize(("end", "error"), [(2500, 0.0086), (2625, 0.29)])
def test_an_earlier_checkpoint_may_be_its_end_but_no_step_between(end, error):
    n, (at, stds) = 4000, _kept(4000, 250)
    profiles = np.stack([_profile(s, w, n) for s, w in zip(at, stds, strict=True)])
    wanted = _profile(end, 0.12, n)
    apart = averages.coefficients(at, stds, 0.12, end) @ profiles - wanted
    assert np.linalg.norm(apart) / np.linalg.norm(wanted) == pytest.approx(error, rel=0.03)


def test_a_run_is_averaged_after_it_ended(tiny, tmp_path, without_curves):
    images = np.random.default_rng(0).integers(256, size=(200, 8, 8, 1), dtype=np.uint8)
    gan, opts = _game(tiny)
    loop = Loop(devices=1, checkpoint_every=4, keep=9, sample_every=0, evaluate_every=0)
    fit(gan, opts, {"image": images}, steps=12, batch_size=8, out=tmp_path / "run", loop=loop)
    at = {}
    for step in (4, 8, 12):
        shapes = jax.eval_shape(lambda: steps.create_state(gan, opts, jax.random.key(0), BATCH)).g.ema
        at[step] = checkpoint.restore_powers(tmp_path / "run" / "checkpoints", step, shapes)
    near = lambda a, b: jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), a, b)  # noqa: E731
    near(averages.of_run(tmp_path / "run", 0.1, gan=gan).variables, at[12]["0.1"])
    found = averages.of_run(tmp_path / "run", 0.05, 8, gan=gan)
    near(found.variables, at[8]["0.05"])
    assert found.step == 8
    assert found.sample(jax.random.key(0), 2).shape == (2, 8, 8, 1)
    kept = [(step, float(name)) for step in at for name in at[step]]
    shares = averages.coefficients(*zip(*kept, strict=True), 0.15, 12)
    trees = [at[step][f"{std:g}"] for step, std in kept]
    expected = jax.tree.map(lambda *x: sum(w * a for w, a in zip(shares, x, strict=True)), *trees)
    wide = averages.of_run(tmp_path / "run", 0.15, gan=gan).variables
    near(wide, expected)
    with pytest.raises(AssertionError):
        near(wide, at[12]["0.1"])
    with pytest.raises(InputError, match="has checkpoints of steps 4, 8, 12, not of 6"):
        averages.of_run(tmp_path / "run", 0.1, 6, gan=gan)
    for file in (tmp_path / "run" / "checkpoints" / "8" / "state").rglob("d/*"):
        file.unlink()
    near(averages.of_run(tmp_path / "run", 0.1, gan=gan).variables, at[12]["0.1"])


def _abstract(state):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)


def test_checkpoints_hold_them_and_need_not(tiny, tmp_path, monkeypatch):
    """A checkpoint from before there were any is read as ever."""

    @struct.dataclass
    class Old:
        params: dict
        stats: dict
        opt: tuple
        ema: dict | None = None

    def as_saved_then(state):
        fields = [f.name for f in dataclasses.fields(Old)]
        players = {who: Old(*(getattr(getattr(state, who), f) for f in fields)) for who in "gd"}
        return state.replace(**players)

    for name, powers in (("now", STDS), ("old", ()), ("none", ())):
        state = steps.create_state(*_game(tiny, powers), jax.random.key(0), BATCH)
        with monkeypatch.context() as then, checkpoint.manager(tmp_path / name, 1) as manager:
            if name == "old":
                then.setattr(checkpoint, "_as_saved", as_saved_then)
            checkpoint.save(manager, state, {})
            manager.wait_until_finished()
        with checkpoint.manager(tmp_path / name, 1) as manager:
            found, _ = checkpoint.restore(manager, _abstract(state))
        assert jax.tree.structure(found) == jax.tree.structure(state)
        jax.tree.map(np.testing.assert_array_equal, found.g, state.g)
        assert (found.g.powers is None) == (not powers)
        abstract = jax.eval_shape(lambda state=state: state)
        g, *_ = checkpoint.restore_players(tmp_path / name, [0], abstract)
        jax.tree.map(np.testing.assert_array_equal, g, state.g.ema)
        if not powers:
            with pytest.raises(InputError, match="no averages by power functions: see Optimizers.powers"):
                checkpoint.restore_powers(tmp_path / name, 0, state.g.variables)


@pytest.mark.parametrize(
    ("powers", "told"),
    [
        ((0.3,), "above 0 and at most 0.2887, not 0.3"),
        ((0.0,), "above 0 and at most 0.2887, not 0.0"),
        ((0.0501,), "at most three digits after the point, not 0.0501"),
        ((0.05, 0.05), "widths that differ, not 0.05, 0.05"),
    ],
)
def test_widths_that_cannot_be_are_said(tiny, powers, told):
    with pytest.raises(InputError, match=told):
        steps.create_state(*_game(tiny, powers), jax.random.key(0), BATCH)


def test_nothing_to_be_averaged_is_said(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        averages.coefficients([], [], 0.1, 5)
    with pytest.raises(InputError, match="of steps of 1 or more"):
        averages.coefficients([0, 5], [0.1, 0.1], 0.1, 5)
    with pytest.raises(InputError, match="at most 0.2887, not 0.4"):
        averages.of_run(Path(tmp_path), 0.4)
