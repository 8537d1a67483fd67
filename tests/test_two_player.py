from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan import augment, random, steps, terms
from jaxgan.config import InputError
from jaxgan.game import Optimizers
from jaxgan.losses import adversarial, penalties
from jaxgan.losses.adversarial import least_squares, non_saturating, relativistic
from jaxgan.losses.auxiliary import cross_entropy
from jaxgan.nets import dcgan, mlp
from jaxgan.nn.minibatch import pack
from jaxgan.terms import Term, g_penalty, penalty
from jaxgan.two_player import encoded, two_player


def _equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


@pytest.fixture(scope="module")
def game(tiny):
    gan, opts = tiny()
    batch = {
        "image": jax.random.uniform(jax.random.key(1), (8, 8, 8, 1), minval=-1),
        "slot": jnp.arange(8),
    }
    return gan, steps.create_state(gan, opts, jax.random.key(0), batch), batch


def test_statistics_are_updated_in_their_own_players_step_alone(key):
    gan = two_player(
        dcgan.Generator(width=4, image_size=16),
        dcgan.Discriminator(width=4),
        loss=non_saturating,
        latent=partial(random.normal, shape=(4,)),
    )
    opts = Optimizers(optax.sgd(0.0), optax.sgd(0.0))
    batch = {"image": jax.random.uniform(key, (4, 16, 16, 1)), "slot": jnp.arange(4)}
    state = steps.create_state(gan, opts, key, batch)
    _, (after_d, _) = gan.d_loss(state.d.params, state, batch, key)
    _, (after_g, _) = gan.g_loss(state.g.params, state, batch, key)
    assert _equal(after_d.g, state.g)
    assert not _equal(after_d.d.stats, state.d.stats)
    assert _equal(after_g.d, state.d)
    assert not _equal(after_g.g.stats, state.g.stats)


def test_both_steps_see_the_generator_in_training_mode(game, key):
    """With running statistics that are far off, a generator in inference mode would show it."""
    gan, state, batch = game
    off = jax.tree.map(lambda x: x + 100.0, state.g.stats)
    elsewhere = state.replace(g=state.g.replace(stats=off))
    for loss, who in [(gan.d_loss, "d"), (gan.g_loss, "g")]:
        params = getattr(state, who).params
        same = [loss(params, s, batch, key)[0] for s in (state, elsewhere)]
        np.testing.assert_array_equal(*same)
    z = gan.latent(key, batch["slot"])
    shown = [gan.sample(s.g.variables, z) for s in (state, elsewhere)]
    assert not np.allclose(*shown)  # sampling does use them


def test_the_players_draw_different_latents(game):
    gan, state, batch = game
    key = jax.random.key(0)
    assert not np.allclose(
        gan.latent(steps.fold(key, 0, "d", 0), batch["slot"]),
        gan.latent(steps.fold(key, 0, "g", 0), batch["slot"]),
    )


def test_accuracy_is_reported_apart_for_real_and_fake(game, key):
    gan, state, batch = game
    _, (_, metrics) = gan.d_loss(state.d.params, state, batch, key)
    assert set(metrics) == {"accuracy_real", "accuracy_fake"}
    assert all(0 <= float(m) <= 1 for m in metrics.values())


def _small(**options):
    """A game of small MLPs: (gan, state, batch)."""
    gan = two_player(
        mlp.Generator((4, 4, 1), (8,), None),
        mlp.Discriminator((8,)),
        latent=partial(random.normal, shape=(4,)),
        **{"loss": non_saturating, **options},
    )
    opts = Optimizers(optax.sgd(0.1), optax.sgd(0.1))
    batch = {
        options.get("of", "image"): jax.random.uniform(jax.random.key(1), (6, 4, 4, 1)),
        "slot": jnp.arange(6),
    }
    return gan, steps.create_state(gan, opts, jax.random.key(0), batch), batch


def _logits(gan, state, batch, key):
    z = gan.latent(steps.fold(key, "latent"), batch["slot"])
    fake = mlp.Generator((4, 4, 1), (8,), None).apply(state.g.variables, z, train=True)
    return [mlp.Discriminator((8,)).apply(state.d.variables, x, train=True) for x in (batch["image"], fake)]


@pytest.mark.parametrize(
    "around",
    [lambda loss: loss, partial(terms.flipped, probability=0.0), partial(terms.top_k, share=lambda step: 1)],
    ids=["plain", "flipped", "top_k"],
)
def test_accuracy_is_by_the_chance_of_the_loss(key, around):
    """As of least squares, whose targets are 0 and 1: 0.5."""
    assert least_squares.chance == 0.5
    real, fake = (np.asarray(x) for x in _logits(*_small(), key))
    chance = float(np.sort(real)[1:3].mean())  # two of six lie below
    gan, state, batch = _small(loss=around(least_squares._replace(chance=chance)))
    _, (_, metrics) = gan.d_loss(state.d.params, state, batch, key)
    assert float(metrics["accuracy_real"]) == pytest.approx(4 / 6)
    assert float(metrics["accuracy_fake"]) == pytest.approx((fake < chance).mean())


def test_a_relativistic_generator_sees_the_real_data(key):
    gan, state, batch = _small(loss=relativistic)
    loss, _ = gan.g_loss(state.g.params, state, batch, key)
    real, fake = _logits(gan, state, batch, key)
    np.testing.assert_allclose(loss, np.log1p(np.exp(real - fake)).mean(), rtol=1e-5)


def test_real_logits_that_g_does_not_use_cost_nothing(key):
    """A non-saturating generator's step, compiled, has no pass of D over the real images."""

    def work(loss):
        gan, state, batch = _small(loss=loss)
        return jax.jit(gan.g_loss).lower(state.g.params, state, batch, key).compile().cost_analysis()["flops"]

    one_pass = 2 * 6 * (16 * 8 + 8)
    assert one_pass < work(relativistic) - work(non_saturating) < 2 * one_pass


def test_penalties_are_added_and_reported(key):
    plain, state, batch = _small()
    gan, _, _ = _small(d_terms={"r1": penalty(penalties.r1), "drift": penalty(penalties.drift)})
    (total, (_, metrics)), (base, _) = (g.d_loss(state.d.params, state, batch, key) for g in (gan, plain))
    assert float(metrics["r1"]) > 0
    np.testing.assert_allclose(total, base + metrics["r1"] + metrics["drift"], rtol=1e-5)
    gan, _, _ = _small(g_terms={"seek": g_penalty(penalties.mode_seeking, latent=plain.latent)})
    (total, (_, metrics)), (base, _) = (g.g_loss(state.g.params, state, batch, key) for g in (gan, plain))
    np.testing.assert_allclose(total, base + metrics["seek"], rtol=1e-5)


def test_a_lazy_penalty_is_taken_in_one_step_of_n(key):
    gan, state, batch = _small(d_terms={"r1": penalty(penalties.r1, every=4)})
    full, _, _ = _small(d_terms={"r1": penalty(penalties.r1)})

    def r1(gan, step):
        state_ = state.replace(step=jnp.int32(step))
        return float(gan.d_loss(state.d.params, state_, batch, key)[1][1]["r1"])

    assert [r1(gan, step) == 0 for step in range(6)] == [False, True, True, True, False, True]
    assert r1(gan, 4) == pytest.approx(4 * r1(full, 4), rel=1e-5)
    # In lanes the branch is still left out: the step is one number for all.
    lanes = jax.vmap(lambda p: gan.d_loss(p, state, batch, key)[0])
    program = str(jax.make_jaxpr(lanes)(jax.tree.map(lambda x: jnp.stack([x, x]), state.d.params)))
    assert "cond" in program


def test_flipped_labels_are_the_other_sides_loss(key):
    _, state, batch = _small()
    real, fake = _logits(_small()[0], state, batch, key)
    always = _small(loss=terms.flipped(non_saturating, 1.0))[0].d_loss(state.d.params, state, batch, key)[0]
    np.testing.assert_allclose(always, non_saturating.d(fake, real).mean(), rtol=1e-5)
    draws = random.uniform(steps.fold(key, "flip"), batch["slot"])
    half = float(jnp.median(draws))
    some = _small(loss=terms.flipped(non_saturating, half))[0].d_loss(state.d.params, state, batch, key)[0]
    mask = draws < half
    assert mask.sum() == 3
    np.testing.assert_allclose(some, non_saturating.d(*adversarial.flip(real, fake, mask)).mean(), rtol=1e-5)


def test_top_k_leaves_out_the_worst(key):
    gan, state, batch = _small(loss=terms.top_k(non_saturating, lambda step: (6 - step) / 6))
    state = state.replace(step=jnp.int32(4))
    _, fake = _logits(gan, state, batch, key)
    best = np.sort(non_saturating.g(fake, fake))[:2].mean()
    np.testing.assert_allclose(gan.g_loss(state.g.params, state, batch, key)[0], best, rtol=1e-5)


def test_lecams_anchors_follow_the_logits(key):
    gan, state, batch = _small(d_terms={"lecam": terms.lecam(0.3)})
    np.testing.assert_array_equal(state.extra["lecam"], [0, 0])
    real, fake = _logits(gan, state, batch, key)
    _, (after, metrics) = gan.d_loss(state.d.params, state, batch, key)
    expected = (np.maximum(real, 0) ** 2 + np.maximum(-fake, 0) ** 2).mean()
    np.testing.assert_allclose(metrics["lecam"], 0.3 * expected, rtol=1e-5)
    np.testing.assert_allclose(after.extra["lecam"], 0.01 * np.array([real.mean(), fake.mean()]), rtol=1e-4)


class _Classifier(nn.Module):
    """A discriminator that also says one of three classes."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(1)(x)[:, 0], nn.Dense(3)(x)


def test_what_else_d_says_has_its_own_terms(key):
    label = jnp.array([0, 1, 2, 0, 1, 2])
    gan = two_player(
        mlp.Generator((4, 4, 1), (8,), None),
        _Classifier(),
        loss=non_saturating,
        latent=partial(random.normal, shape=(4,)),
        d_terms={
            "r1": penalty(penalties.r1),  # of the logits alone
            "class_real": lambda seen: cross_entropy(seen.of_real, label),
        },
        g_terms={"class": lambda seen: cross_entropy(seen.of_fake, label)},
    )
    opts = Optimizers(optax.sgd(0.1), optax.sgd(0.1))
    batch = {"image": jax.random.uniform(jax.random.key(1), (6, 4, 4, 1)), "slot": jnp.arange(6)}
    state = steps.create_state(gan, opts, key, batch)
    logits, said = _Classifier().apply(state.d.variables, batch["image"], train=True)
    _, (_, metrics) = gan.d_loss(state.d.params, state, batch, key)
    np.testing.assert_allclose(metrics["class_real"], cross_entropy(said, label).mean(), rtol=1e-5)
    total, (_, metrics) = gan.g_loss(state.g.params, state, batch, key)
    no_class = two_player(
        mlp.Generator((4, 4, 1), (8,), None), _Classifier(), loss=non_saturating, latent=gan.latent
    )
    base, _ = no_class.g_loss(state.g.params, state, batch, key)
    np.testing.assert_allclose(total, base + metrics["class"], rtol=1e-5)


def test_a_packed_d_and_its_penalties_see_packs(key):
    """Six examples are three packs of two; R1 is on a pack's own gradient."""
    gan, state, batch = _small(pack=2, d_terms={"r1": penalty(penalties.r1, gamma=2.0)})
    first = state.d.params["Dense_0"]["kernel"]
    assert first.shape == (4 * 4 * 2, 8)
    fake = mlp.Generator((4, 4, 1), (8,), None).apply(
        state.g.variables, gan.latent(steps.fold(key, "latent"), batch["slot"]), train=True
    )
    critic = partial(mlp.Discriminator((8,)).apply, state.d.variables, train=True)
    real, fake = pack(batch["image"], 2), pack(fake, 2)
    slope = jax.vmap(jax.grad(lambda x: critic(x[None])[0]))(real)
    loss, (_, metrics) = gan.d_loss(state.d.params, state, batch, key)
    np.testing.assert_allclose(metrics["r1"], jnp.square(slope).sum((1, 2, 3)).mean(), rtol=1e-4)
    expected = non_saturating.d(critic(real), critic(fake)).mean() + metrics["r1"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    loss, _ = gan.g_loss(state.g.params, state, batch, key)
    np.testing.assert_allclose(loss, non_saturating.g(critic(fake), critic(fake)).mean(), rtol=1e-5)
    with pytest.raises(ValueError, match="a condition cannot be packed"):
        _small(pack=2, condition="label")


def test_a_weight_is_of_the_term(key):
    one, state, batch = _small(d_terms={"small": lambda seen: seen.real_logits**2})
    five, _, _ = _small(d_terms={"small": Term(lambda seen: seen.real_logits**2, 5.0)})
    values = [gan.d_loss(state.d.params, state, batch, key)[1][1]["small"] for gan in (one, five)]
    assert float(values[0]) > 0
    np.testing.assert_allclose(5 * values[0], values[1], rtol=1e-6)


@pytest.mark.parametrize("who", ["g", "d"])
def test_a_term_of_the_weights_moves_them(who, key):
    """By `seen.params`; those of the state are constants of the step."""

    def gradient(of=None):
        gan, state, batch = _small(**({} if of is None else {f"{who}_terms": {"of": of}}))
        params = getattr(state, who).params
        gradient = jax.jit(jax.grad(getattr(gan, f"{who}_loss"), has_aux=True))
        return params, gradient(params, state, batch, key)[0]

    norm = lambda params: 0.5 * sum(jnp.square(w).sum() for w in jax.tree.leaves(params))  # noqa: E731
    params, plain = gradient()
    moved = gradient(lambda seen: norm(seen.params))[1]
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), moved, jax.tree.map(jnp.add, plain, params))
    constant = gradient(lambda seen: norm(getattr(seen.state, who).params))[1]
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), constant, plain)


def test_what_a_term_carries_goes_on_from_step_to_step(key):
    """A count of steps, in either player's loss; its term is the count itself."""

    def counting(start):
        return Term(
            lambda seen, count: count + 0 * seen.fake_logits, start=start, carry=lambda _, count: count + 1
        )

    gan, state, batch = _small(d_terms={"a": counting(0.0)}, g_terms={"b": counting(7.0)})
    assert state.extra == {"a": 0.0, "b": 7.0}
    for _ in range(2):
        _, (state, d_metrics) = gan.d_loss(state.d.params, state, batch, key)
        _, (state, g_metrics) = gan.g_loss(state.g.params, state, batch, key)
    assert (float(d_metrics["a"]), float(g_metrics["b"])) == (1, 8)
    assert state.extra == {"a": 2.0, "b": 9.0}
    for name in ("loss", "accuracy_real"):
        with pytest.raises(ValueError, match=f"a term is named '{name}', as another figure is"):
            _small(d_terms={name: lambda seen: seen.real_logits})
    with pytest.raises(ValueError, match="carry something by one name"):
        _small(d_terms={"a": counting(0.0)}, g_terms={"a": counting(0.0)})


def test_a_game_says_what_it_is_given_and_lends_its_critic(key):
    gan, state, batch = _small()
    assert gan.condition is None
    real, _ = _logits(gan, state, batch, key)
    np.testing.assert_allclose(gan.critic(state.d.variables, batch["image"]), real, rtol=1e-6)
    packed, state, batch = _small(pack=2)
    assert packed.critic(state.d.variables, batch["image"]).shape == (3,)


def test_the_data_have_any_name(key):
    gan, state, batch = _small(of="thing")
    assert set(batch) == {"thing", "slot"}
    assert np.isfinite(gan.d_loss(state.d.params, state, batch, key)[0])


class _Sum(nn.Module):
    """A discriminator whose logit is linear in the data, and which notes nothing else."""

    @nn.compact
    def __call__(self, x):
        return x.reshape(len(x), -1) @ self.param("w", nn.initializers.normal(1.0), (x[0].size,))


def _augmented(augment, **options):
    gan = two_player(
        dcgan.Generator(width=4, image_size=8, channels=1),
        _Sum(),
        loss=non_saturating,
        latent=partial(random.normal, shape=(4,)),
        augment=augment,
        **options,
    )
    batch = {"image": jax.random.uniform(jax.random.key(1), (8, 8, 8, 1), minval=-1), "slot": jnp.arange(8)}
    opts = Optimizers(optax.sgd(0.1), optax.sgd(0.1))
    return gan, steps.create_state(gan, opts, jax.random.key(0), batch), batch


def test_all_that_d_sees_is_augmented(key):
    """By twice the data as by twice the weights: in both steps, real and fake, and its penalties."""
    r1 = {"d_terms": {"r1": penalty(penalties.r1, gamma=1.0), "r2": penalty(penalties.r2, gamma=1.0)}}
    plain, state, batch = _augmented(None, **r1)
    twice, *_ = _augmented(lambda key, x, slot: 2 * x, **r1)
    heavy = state.replace(d=state.d.replace(params=jax.tree.map(lambda w: 2 * w, state.d.params)))
    found, (_, figures) = twice.d_loss(state.d.params, state, batch, key)
    expected, (_, others) = plain.d_loss(heavy.d.params, heavy, batch, key)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    for name in ("r1", "r2"):
        assert float(figures[name]) == pytest.approx(float(others[name]), rel=1e-5)
        assert float(figures[name]) > 0.1
    by_g = [gan.g_loss(state.g.params, s, batch, key)[0] for gan, s in ((twice, state), (plain, heavy))]
    assert float(by_g[0]) == pytest.approx(float(by_g[1]), rel=1e-5)
    assert float(by_g[0]) != pytest.approx(
        float(plain.g_loss(state.g.params, state, batch, key)[0]), rel=1e-2
    )
    x = batch["image"]
    np.testing.assert_array_equal(
        twice.critic({"params": state.d.params}, x), plain.critic({"params": state.d.params}, x)
    )  # not outside training


def test_the_passes_of_an_update_have_the_same_draws(key):
    """So that a penalty by differences of logits is one of the data's, and not of their augmentations."""
    seen = []

    def augment(key, x, slot):
        seen.append(np.asarray(jax.random.key_data(key)))
        return x + random.normal(key, slot, x.shape[1:])

    approximate = penalty(penalties.approximate_r2, gamma=1.0)
    gan, state, batch = _augmented(augment, d_terms={"r2": approximate})
    exact, *_ = _augmented(augment, d_terms={"r2": penalty(penalties.r2, gamma=1.0)})
    seen.clear()
    a, b = (g.d_loss(state.d.params, state, batch, key)[1][1]["r2"] for g in (gan, exact))
    assert float(a) == pytest.approx(float(b), rel=0.3)  # of 8 directions; 100 times that by other draws
    of_d = {x.tobytes() for x in seen}
    assert len(of_d) == 1
    gan.d_loss(state.d.params, state, batch, random.fold(key, "next"))
    assert {x.tobytes() for x in seen} > of_d


def test_packed_data_are_not_augmented():
    with pytest.raises(InputError, match="pack: what is packed cannot be augmented"):
        _augmented(lambda key, x, slot: x, pack=2)


def test_an_adaptive_augmentation_has_its_probability_in_the_state(key):
    """It is what D's signs of the real make of it, and the draws of that very probability are D's input."""
    adaptive = augment.Adaptive(augment.translation, 8, target=0.0, images=80.0)
    gan, state, batch = _augmented(adaptive)
    plain, *_ = _augmented(None)
    opts = Optimizers(optax.sgd(0.0), optax.sgd(0.0))
    ones = jax.tree.map(jnp.ones_like, state.d.params)
    state = state.replace(d=state.d.replace(params=ones))  # D is the sum of the pixels
    bright = {**batch, "image": jnp.full_like(batch["image"], 0.5)}
    step, found = jax.jit(partial(steps.train_step, gan, opts)), []
    for x in [bright] * 4 + [{**bright, "image": -bright["image"]}] * 8:
        state, figures = step(state, jax.tree.map(lambda x: x[None], x))
        found.append(float(figures["d/augment"]))
    np.testing.assert_allclose(found, [0] * 4 + [0.4] * 4 + [0] * 4, atol=1e-6)  # that the update saw
    assert float(state.extra["augment"]["p"]) == 0
    risen = state.replace(extra={"augment": {**state.extra["augment"], "p": jnp.float32(1.0)}})
    shifted, *_ = _augmented(augment.translation)
    for s, other in ((state, plain), (risen, shifted)):
        for which in ("d_loss", "g_loss"):
            losses = [getattr(g, which)(getattr(s, which[0]).params, s, batch, key)[0] for g in (gan, other)]
            np.testing.assert_array_equal(*losses)
    with pytest.raises(InputError, match="a term is named 'augment', as another figure is"):
        _augmented(adaptive, d_terms={"augment": lambda seen: seen.real_logits})


class _Told(nn.Module):
    """A generator of what it is told: the step, and a number of each slot."""

    @nn.compact
    def __call__(self, z, *, train, step=None, drawing=None, bright=0.0):
        kept = self.variable("growth", "step", lambda: jnp.zeros((), jnp.int32))
        mean = self.variable("kept", "mean", lambda: jnp.zeros(()))
        if train:
            kept.value, mean.value = step, 1.0 * step
        noise = random.normal(*drawing) if train else jnp.zeros(len(z))
        level = self.param("level", nn.initializers.zeros, ())
        return jnp.broadcast_to((kept.value + noise + level + bright)[:, None], (len(z), 2))


def _told(**options):
    latent = partial(random.normal, shape=(2,))
    gan = two_player(_Told(), _Sum(), loss=non_saturating, latent=latent, of="x", **options)
    return gan, {"x": jnp.zeros((4, 2)), "slot": jnp.arange(4)}


def test_a_network_is_told_the_step_and_its_draws(key):
    seen = {}

    def look(who):
        def of(s):
            jax.debug.callback(lambda x: seen.setdefault(who, []).append(np.asarray(x)), s.fake)
            return 0.0 * s.fake[:, 0]

        return of

    gan, batch = _told(d_terms={"see": look("d")}, g_terms={"see": look("g")})
    opts = Optimizers(optax.sgd(0.0), optax.sgd(0.0), lambda step: 0.5)
    state = steps.create_state(gan, opts, key, batch)
    for _ in range(3):
        state, _ = steps.train_step(gan, opts, state, jax.tree.map(lambda x: x[None], batch))
        jax.effects_barrier()
    for i in range(3):
        for who in "dg":
            assert np.ptp(seen[who][i][:, 0]) > 0.1  # each slot's own
            assert abs(seen[who][i][:, 0].mean() - i) < 2
        assert not np.allclose(seen["d"][i], seen["g"][i])  # another update's
    assert (int(state.g.stats["growth"]["step"]), float(state.g.stats["kept"]["mean"])) == (2, 2.0)
    np.testing.assert_array_equal(gan.sample(state.g.variables, jnp.zeros((3, 2))), np.full((3, 2), 2.0))
    # A count is no average's: the newest; a float is.
    assert int(state.g.ema["growth"]["step"]) == 2
    assert float(state.g.ema["kept"]["mean"]) == pytest.approx(0.5 * 2 + 0.25 * 1)
    half = jax.tree.map(lambda x: x[2:], batch)
    for b in (batch, half):
        gan.d_loss(state.d.params, state, b, key)
        jax.effects_barrier()
    np.testing.assert_array_equal(seen["d"][-2][2:], seen["d"][-1])  # on any device


def test_a_term_calls_g_with_what_it_likes(key):
    gan, batch = _told(g_terms={"bright": lambda s: s.generate(s.z, bright=3.0)[:, 0] - s.fake[:, 0]})
    state = steps.create_state(gan, Optimizers(optax.sgd(0.0), optax.sgd(0.0)), key, batch)
    figures = gan.g_loss(state.g.params, state, batch, key)[1][1]
    assert float(figures["bright"]) == pytest.approx(3)


def test_what_a_lazy_term_makes_beside_moves_in_its_own_steps(key):
    calls = []

    def of(s, carried):
        calls.append(1)
        return carried + 0 * s.real_logits, carried + 1

    gan, batch = _told(d_terms={"count": Term(of, lambda step: step + 1.0, every=2, start=jnp.zeros(()))})
    opts = Optimizers(optax.sgd(0.0), optax.sgd(0.0))
    state, found = steps.create_state(gan, opts, key, batch), []
    for _ in range(5):
        state, figures = steps.train_step(gan, opts, state, jax.tree.map(lambda x: x[None], batch))
        found.append((float(figures["d/count"]), float(state.extra["count"])))
    # the weight of its step, twice as heavy, times what was carried before
    assert found == [(0, 1), (0, 1), (2 * 3 * 1, 2), (0, 2), (2 * 5 * 2, 3)]
    gan, _ = _told(d_terms={"count": Term(lambda s, c: s.real_logits, start=jnp.zeros(()))})
    with pytest.raises(InputError, match="go together, or `of` makes"):
        gan.d_loss(state.d.params, state, batch, key)


def test_a_game_of_raw_values_is_the_same_game(game, key):
    """Its critic is given raw values, or what G makes; the control encodes otherwise."""
    gan, state, batch = game
    bits = jax.random.bernoulli(key, shape=batch["image"].shape)
    seen = batch | {"image": jnp.where(bits, 1.0, -1.0)}
    raw = {"bits": bits, "slot": batch["slot"]}
    own = encoded(gan, "bits", "image", lambda x: jnp.where(x, 1.0, -1.0))
    other = encoded(gan, "bits", "image", lambda x: jnp.where(x, -1.0, 1.0))
    opts = Optimizers(optax.sgd(0.1), optax.sgd(0.1))
    assert _equal(steps.create_state(own, opts, key, raw), steps.create_state(gan, opts, key, seen))
    for name, who in [("d_loss", "d"), ("g_loss", "g")]:
        params = getattr(state, who).params
        expected = getattr(gan, name)(params, state, seen, key)
        assert _equal(getattr(own, name)(params, state, raw, key), expected)
        if who == "d":
            assert not _equal(getattr(other, name)(params, state, raw, key), expected)
    variables = state.d.variables
    expected = gan.critic(variables, seen["image"])
    assert _equal(own.critic(variables, bits), expected)
    assert _equal(own.critic(variables, seen["image"]), expected)
    assert not _equal(other.critic(variables, bits), expected)
