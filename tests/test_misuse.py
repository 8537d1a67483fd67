"""The public functions of the core, used as they are not meant to be: a right result or a sentence."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan import dynamics, random, steps, terms
from jaxgan.config import InputError
from jaxgan.game import Optimizers
from jaxgan.losses import adversarial, auxiliary, penalties
from jaxgan.losses.adversarial import AdversarialLoss, non_saturating
from jaxgan.nets import mlp
from jaxgan.terms import OfStep, Term, g_penalty, penalty
from jaxgan.two_player import two_player

B = 6
KEY = jax.random.key(0)
SGD = Optimizers(optax.sgd(0.1), optax.sgd(0.1))
IMAGE = jnp.linspace(-1, 1, B * 16).reshape(B, 4, 4, 1)
BATCH = {"image": IMAGE, "slot": jnp.arange(B)}
LATENT = partial(random.normal, shape=(4,))
G, D = mlp.Generator((4, 4, 1), (8,), None), mlp.Discriminator((8,))


class _Says(nn.Module):
    """A discriminator that says what a function makes of its logits [B]."""

    what: callable

    @nn.compact
    def __call__(self, x, *, train):
        return self.what(nn.Dense(1)(x.reshape(len(x), -1))[:, 0])


class _Modeless(nn.Module):
    """A network without `train`."""

    out: tuple

    @nn.compact
    def __call__(self, x):
        return nn.Dense(int(np.prod(self.out)))(x.reshape(len(x), -1)).reshape(len(x), *self.out)


class _Deterministic(nn.Module):
    def __call__(self, x, deterministic):
        return x.sum((1, 2, 3))


def _game(g=G, d=D, **options):
    return two_player(g, d, **{"loss": non_saturating, "latent": LATENT, **options})


def _played(gan=None, opts=SGD, key=KEY, batch=BATCH, at=None, step=steps.d_step, **options):
    """The shapes after a state is made and a step is taken: nothing is computed."""
    gan = _game() if gan is None else gan

    def run(key, batch):
        state = steps.create_state(gan, opts, key, batch)
        return step(gan, opts, state, batch if at is None else at, **options)

    return jax.eval_shape(run, key, batch)


def _with(**options):
    return lambda: _played(_game(**options))


def _g(**options):
    return lambda: _played(_game(**options), step=steps.g_step)


STATE = jax.eval_shape(partial(steps.create_state, _game(), SGD), KEY, BATCH)


def _traced(gan, opts):
    return jax.eval_shape(partial(steps.d_step, gan, opts), STATE, BATCH)


STACK = jax.tree.map(lambda x: x[None], BATCH)
KEYWORD = "keyword-only " if sys.version_info >= (3, 12) else ""  # Python's own words

WRONG = {
    # keys
    "a number for a key": (
        lambda: steps.create_state(_game(), SGD, 0, BATCH),
        r"jax.random.key\(seed\).* not 0",
    ),
    "an old key": (lambda: steps.create_state(_game(), SGD, jnp.array([0, 0], jnp.uint32), BATCH), "PRNGKey"),
    "no key": (lambda: steps.create_state(_game(), SGD, None, BATCH), "not None"),
    "an old key to draw": (lambda: random.normal(jnp.array([0, 0], jnp.uint32), jnp.arange(3)), "PRNGKey"),
    "keys": (lambda: random.fold(jax.random.split(KEY, 2), 1), r"key<fry>\[2\]"),
    "a float to fold": (lambda: random.fold(KEY, 1.5), "an integer or a name, not 1.5"),
    "a number for slots": (lambda: LATENT(KEY, 16), r"jnp.arange\(B\), not 16"),
    "slots of floats": (lambda: random.uniform(KEY, jnp.arange(3.0)), r"not float32\[3\]"),
    "integers below 0": (lambda: random.integers(KEY, jnp.arange(3), 0), "1 or more, not 0"),
    "nothing to permute": (lambda: random.permute(KEY, jnp.arange(0), 0), "1 or more, not 0"),
    "psi of 0": (lambda: random.truncated(LATENT, KEY, jnp.arange(3), 0.0), "above 0"),
    "psi of nan": (lambda: random.truncated(LATENT, KEY, jnp.arange(3), float("nan")), "above 0"),
    # batches
    "an array for a batch": (lambda: steps.d_step(_game(), SGD, STATE, IMAGE), "a dict of arrays"),
    "an array for batches": (lambda: steps.train_step(_game(), SGD, STATE, IMAGE[None]), "n_critic, B, ..."),
    "a batch for batches": (lambda: steps.train_step(_game(), SGD, STATE, BATCH), r"x\[None\] of each"),
    "another size": (lambda: _played(batch={**BATCH, "label": jnp.arange(5)}), r"label.* \[5\]"),
    "a number in a batch": (lambda: _played(batch={**BATCH, "x": jnp.float32(1)}), r"x.* \[\]"),
    "another entry": (lambda: _played(batch={"picture": IMAGE}), "asked for 'image', .* has picture, slot"),
    "no condition": (lambda: _played(_game(_Two(), _Two(), condition="label")), "asked for 'label'"),
    "levels": (lambda: _played(batch={"image": IMAGE.astype(jnp.uint8)}), "x / 127.5 - 1"),
    "levels later": (lambda: _played(at={"image": IMAGE.astype(jnp.uint8)}), "x / 127.5 - 1"),
    "larger data": (
        lambda: _played(batch={"image": jnp.zeros((B, 5, 5, 1))}),
        r"G makes .*\[6, 4, 4, 1\].*\[6, 5, 5, 1\]",
    ),
    "flat data": (lambda: _played(batch={"image": jnp.zeros((B, 16))}), "G makes"),
    "a shard without slots": (lambda: _played(at={"image": IMAGE}, axis="devices"), "needs `slot`"),
    "microbatches": (lambda: _played(accumulate=4), "6 is not cut into 4"),
    "no microbatches": (lambda: _played(accumulate=0), "not cut into 0"),
    "half a pack": (lambda: _played(_game(pack=4)), "a batch of 6 is not made of packs of 4"),
    "no pack": (_with(pack=0), "1 or more, not 0"),
    # parts
    "swapped": (lambda: steps.create_state(SGD, _game(), KEY, BATCH), "gan is a GAN, not Optimizers"),
    "swapped in a step": (lambda: steps.g_step(SGD, _game(), STATE, BATCH), "gan is a GAN, not Optimizers"),
    "swapped in dynamics": (lambda: dynamics.simultaneous_step(SGD, _game(), STATE, STACK), "not Optimizers"),
    "batch before state": (lambda: steps.d_step(_game(), SGD, BATCH, STATE), "state is a GANState, not dict"),
    "a rate": (
        lambda: _played(opts=Optimizers(1e-3, optax.sgd(0.1))),
        r"Optimizers.g is .*adam\(1e-3\), not 0.001",
    ),
    "a schedule": (
        lambda: _played(opts=SGD._replace(d=optax.constant_schedule(1.0))),
        "Optimizers.d is an optax",
    ),
    "not called": (lambda: _played(opts=SGD._replace(d=optax.adam)), "Optimizers.d is an optax .* not adam"),
    "an average of 1": (lambda: _played(opts=SGD._replace(ema_decay=1.0)), "below 1"),
    "another optimiser": (
        lambda: _traced(_game(), Optimizers(optax.adam(0.1), optax.adam(0.1))),
        "another optimiser",
    ),
    "another network": (
        lambda: _traced(_game(d=mlp.Discriminator((9,))), SGD),
        "the state is of another discriminator",
    ),
    "a deeper network": (
        lambda: _traced(_game(d=mlp.Discriminator((8, 8))), SGD),
        "the state is of another discriminator",
    ),
    "a class": (_with(d=mlp.Discriminator), "the discriminator is a linen module, .* not Discriminator"),
    "a function": (_with(g=lambda z: z), "the generator is a linen module"),
    "another mode": (_with(d=_Deterministic()), r"_Deterministic\(data, train=...\): .*deterministic"),
    "no label": (_with(g=_Modeless((4, 4, 1)), condition="label"), "too many positional"),
    "a latent's size": (_with(latent=16), r"\(key, slot\) -> z, not 16"),
    "one latent": (_with(latent=lambda key, slot: jnp.zeros(3)), r"\[6, ...\] of 6 slots, not float32\[3\]"),
    # D's logits
    "a scalar": (_with(d=_Says(lambda x: x.mean())), r"not float32\[\]"),
    "other examples": (_with(d=_Says(lambda x: x[:3])), r"not float32\[3\]"),
    "three things": (_with(d=_Says(lambda x: (x, x, x))), "a tuple of 3"),
    "a dict": (_with(d=_Says(lambda x: {"logits": x})), "D makes logits"),
    # losses
    "half a loss": (_with(loss=non_saturating.d), "a pair of functions"),
    "a name": (_with(loss="hinge"), "a pair of functions, .* not 'hinge'"),
    "an option missing": (
        _with(loss=adversarial.f_gan),
        f"missing a required {KEYWORD}argument: 'divergence'",
    ),
    "a loss's mean": (
        _with(loss=AdversarialLoss(lambda r, f: (f - r).mean(), non_saturating.g)),
        r"D's loss is .*\[6\]",
    ),
    "pairs": (
        _with(loss=AdversarialLoss(lambda r, f: f[:, None] - r[None], non_saturating.g)),
        r"not float32\[6, 6\]",
    ),
    "G's mean": (_g(loss=OfStep(lambda s: s.fake_logits, lambda s: s.fake_logits.mean())), "G's loss is"),
    "no examples": (lambda: non_saturating.d(jnp.float32(0), jnp.float32(0)), "not a single number"),
    "flips": (
        lambda: adversarial.flip(jnp.zeros(6), jnp.zeros(6), jnp.zeros(3, bool)),
        "one choice an example",
    ),
    "labels of floats": (lambda: auxiliary.cross_entropy(jnp.zeros((6, 3)), jnp.zeros(6)), "labels integers"),
    # terms
    "terms in a list": (_with(d_terms=[penalty(penalties.r1)]), "a dict by the names"),
    "a bare penalty": (_with(d_terms={"r1": penalties.r1}), "term 'r1' .* terms.penalty"),
    "no function": (_with(d_terms={"r1": 10.0}), "not 10.0"),
    "every 0": (_with(d_terms={"r1": penalty(penalties.r1, every=0)}), "1 or more, not 0"),
    "every -2": (_with(d_terms={"r1": penalty(penalties.r1, every=-2)}), "1 or more, not -2"),
    "every 2.5": (_with(d_terms={"r1": penalty(penalties.r1, every=2.5)}), "1 or more, not 2.5"),
    "a weight of nan": (_with(d_terms={"x": Term(lambda s: s.real_logits, float("nan"))}), "weight is nan"),
    "gamma of nan": (lambda: penalty(penalties.r1, gamma=float("nan")), "gamma is nan"),
    "a start alone": (_with(d_terms={"x": Term(lambda s, c: s.real_logits, start=0.0)}), "go together"),
    "a term's pairs": (
        _with(d_terms={"x": lambda s: s.real_logits[:, None] - s.fake_logits[None]}),
        r"term 'x' is .*\[6, 6\]",
    ),
    "a term's half": (_with(d_terms={"x": lambda s: s.real_logits[:3]}), r"not float32\[3\]"),
    "G's penalty on D": (_with(d_terms={"x": g_penalty(penalties.path_length, mean=1.0)}), "one of g_terms"),
    "D's penalty on G": (_g(g_terms={"x": penalty(penalties.r1)}), "one of d_terms"),
    "LeCam on G": (_g(g_terms={"x": terms.lecam(0.3)}), "one of d_terms"),
    "a share": (lambda: terms.top_k(non_saturating, 0.5), "function of .* not 0.5"),
    "a critic's mean": (
        lambda: penalties.r1(lambda x: x.mean(), IMAGE, IMAGE, KEY, jnp.arange(B)),
        "a critic makes",
    ),
    "slopes of levels": (
        lambda: penalties.r1(lambda x: x.sum((1, 2, 3)), IMAGE.astype(jnp.uint8), IMAGE, KEY, jnp.arange(B)),
        "of uint8 levels",
    ),
    # dynamics and chunks
    "unrolled back": (lambda: dynamics.unrolled(_game(), SGD, -1), "0 or more, not -1"),
    "unrolled, swapped": (lambda: dynamics.unrolled(SGD, _game(), 1), "gan is a GAN"),
    "gamma below 0": (lambda: dynamics.consensus(_game(), -1.0), "gamma is -1.0"),
    "a threshold": (lambda: dynamics.gated_step(_game(), SGD, STATE, STACK, threshold=80), "at most 1"),
    "a bound of nan": (lambda: dynamics.clip_weights(float("nan")), "is nan"),
    "a schedule of 0": (lambda: dynamics.wgan_schedule(0), "n_critic is a whole number"),
    "plain batches": (lambda: dynamics.scheduled_step(_game(), SGD, STATE, STACK), "resident.scheduled"),
    "no square": (lambda: dynamics.eigenvalues(lambda x: x[:1], jnp.ones(2)), "1 numbers of 2"),
    "a point of integers": (lambda: dynamics.eigenvalues(lambda x: x, jnp.arange(2)), "real numbers"),
    "batches at hand": (
        lambda: steps.train_chunk(partial(steps.train_step, _game(), SGD), STACK, STATE, 2),
        "a function of the state",
    ),
}


class _Two(nn.Module):
    @nn.compact
    def __call__(self, x, label, *, train):
        return nn.Dense(1)(x)


@pytest.mark.parametrize("name", WRONG)
def test_misuse_is_told_in_a_line(name):
    wrong, sentence = WRONG[name]
    with pytest.raises(ValueError, match=sentence) as told:
        wrong()
    assert "\n" not in str(told.value)
    if "losses" not in told.traceback[-1].path.parts and "nn" not in told.traceback[-1].path.parts:
        assert isinstance(told.value, InputError)


def test_a_batch_without_slots_has_them_in_order():
    filled = steps.with_slots({"image": IMAGE[None].repeat(2, 0)}, 1)["slot"]
    np.testing.assert_array_equal(filled, [range(B)] * 2)
    state, bare = steps.create_state(_game(), SGD, KEY, {"image": IMAGE}), {"image": IMAGE}
    step = jax.jit(partial(steps.d_step, _game(), SGD, accumulate=3))
    np.testing.assert_array_equal(*[step(state, x)[1]["d/loss"] for x in (bare, BATCH)])


def test_networks_without_a_mode_are_called_without_it():
    g, d = (
        _Modeless((4, 4, 1)),
        nn.Sequential([lambda x: x.reshape(len(x), -1), nn.Dense(8), nn.relu, nn.Dense(1)]),
    )
    gan = _game(g, d)
    state, figures = _played(gan, step=steps.train_step, at=STACK)
    assert figures["d/loss"].shape == ()
    state = steps.create_state(gan, SGD, KEY, BATCH)
    made = gan.sample(state.g.variables, LATENT(KEY, jnp.arange(3)))
    assert made.shape == (3, 4, 4, 1)
    assert gan.critic(state.d.variables, made).shape == (3, 1)


def test_logits_of_any_further_shape_are_an_examples():
    shape = (2, 3, 1)
    many = _Says(lambda x: jnp.broadcast_to(x.reshape(-1, *(1,) * len(shape)), (B, *shape)))
    losses = []
    for d in (_Says(lambda x: x), many):
        gan = _game(d=d, d_terms={"r1": penalty(penalties.r1), "all": lambda s: jnp.float32(0.5)})
        state = steps.create_state(gan, SGD, KEY, BATCH)
        losses.append(jax.jit(gan.d_loss)(state.d.params, state, BATCH, KEY)[0])
    np.testing.assert_allclose(*losses, rtol=1e-5)
