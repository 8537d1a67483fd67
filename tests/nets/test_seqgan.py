import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxgan.data import oracle
from jaxgan.nets.seqgan import Discriminator, LanguageModel
from jaxgan.nets.wgan_gp_text import Block, Generator
from jaxgan.nets.wgan_gp_text import Discriminator as Critic

V, L = 3, 3


ALL = np.array(list(itertools.product(range(V), repeat=L)), np.int32)
NET = LanguageModel(V, 4, 4)
N = 30_000  # draws
_logits = jax.jit(NET.apply)
_first = partial(jax.jit, static_argnames="likeliest_first")
_draw = _first(partial(NET.apply, method=NET.draw))
_complete = _first(partial(NET.apply, method=NET.complete))
_relaxed = jax.jit(partial(NET.apply, method=NET.relaxed))


@pytest.fixture(scope="module")
def variables():
    """Weights by which tokens differ much in what follows them."""
    params = {name: jnp.float32(x) for name, x in oracle.create(V, 4, seed=105)._asdict().items()}
    return {"params": params, "sampling": {"temperature": jnp.ones(())}}


def _probabilities(variables, tokens):
    log_p = jax.nn.log_softmax(_logits(variables, tokens))
    own = jnp.take_along_axis(log_p, jnp.asarray(tokens)[..., None], -1)[..., 0]
    return np.exp(np.asarray(own.sum(1), np.float64))


def _near(shares, p, n) -> bool:
    """Whether shares of n draws are within 4.5 standard deviations of probabilities."""
    return bool((np.abs(shares - p) < 4.5 * np.sqrt(p * (1 - p) / n) + 1e-6).all())


@pytest.mark.parametrize("first", [False, True])
def test_draws_have_the_networks_probabilities(variables, first):
    """Each of the 27 sequences, whichever token the noise counts from."""
    p = _probabilities(variables, ALL)
    assert p.sum() == pytest.approx(1, abs=1e-5)
    noise = jax.random.uniform(jax.random.key(2), (N, L))
    drawn = _draw(variables, noise, likeliest_first=first)
    shares = np.bincount(np.asarray(drawn) @ [9, 3, 1], minlength=27) / N
    assert _near(shares, p, N)
    assert not _near(shares, np.full(27, 1 / 27), N)


def test_completions_keep_what_is_given(variables):
    """And draw the rest by what it depends on: after a first token, the shares of the second."""
    noise = jax.random.uniform(jax.random.key(3), (N, L))
    given, known = np.tile(np.array([[2, 1, 0]], np.int32), (N, 1)), np.arange(N) % 4
    whole = np.asarray(_complete(variables, noise, given, known))
    for k in range(4):
        assert (whole[known == k, :k] == given[0, :k]).all()
    assert (whole[known == 0, 0] != 2).any()
    after, p = whole[known == 1], _probabilities(variables, ALL).reshape(3, 3, 3).sum(2)
    shares = np.bincount(after[:, 1], minlength=3) / len(after)
    assert _near(shares, p[2] / p[2].sum(), len(after))
    assert not _near(shares, p[0] / p[0].sum(), len(after))


def test_low_noise_draws_from_the_nucleus(variables):
    """Noise of 0 is the likeliest token at each place; without the order it is token 0."""
    zero = jnp.zeros((1, L))
    likeliest = _draw(variables, zero, likeliest_first=True)
    np.testing.assert_array_equal(likeliest, _logits(variables, likeliest).argmax(-1))
    assert likeliest.tolist() != [[0, 0, 0]]
    assert _draw(variables, zero).tolist() == [[0, 0, 0]]


def test_temperature_sharpens_what_is_drawn_and_not_the_likelihood(variables):
    noise = jax.random.uniform(jax.random.key(4), (N, L))
    cold = variables | {"sampling": {"temperature": jnp.float32(0.2)}}
    warm, sharp = (_probabilities(variables, _draw(v, noise)).mean() for v in (variables, cold))
    assert sharp > 1.2 * warm
    np.testing.assert_array_equal(_logits(cold, ALL), _logits(variables, ALL))


def test_relaxed_draws_are_draws_with_a_gradient(variables):
    """One-hot, of the network's probabilities; the gradient is that of the softmax over tau."""
    gumbel = jax.random.gumbel(jax.random.key(5), (N, L, V))
    hard = np.asarray(_relaxed(variables, gumbel, 0.5))
    np.testing.assert_allclose(np.sort(hard, -1), np.tile([0.0, 0.0, 1.0], (N, L, 1)), atol=1e-6)
    shares = np.bincount(hard.argmax(-1) @ [9, 3, 1], minlength=27) / N
    assert _near(shares, _probabilities(variables, ALL), N)

    def first(params, tau):
        return _relaxed({**variables, "params": params}, gumbel[:50], tau)[:, 0, 0].sum()

    slope = jax.jit(jax.grad(first))
    logits = _logits(variables, ALL)[:1, 0]
    for tau in (0.5, 2.0):
        y = jax.nn.softmax((logits + gumbel[:50, 0]) / tau)
        expected = (y[:, :1] * (jnp.eye(V)[:1] - y) / tau).sum(0)
        found = slope(variables["params"], tau)["out_bias"]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_one_program_draws_any_number(variables):
    (b,) = export.symbolic_shape("b")
    draw = jax.jit(lambda noise: NET.apply(variables, noise, likeliest_first=True, method=NET.draw))
    of_any = export.export(draw)(jax.ShapeDtypeStruct((b, L), jnp.float32))
    for n in (1, 5):
        noise = jax.random.uniform(jax.random.key(6), (n, L))
        np.testing.assert_array_equal(of_any.call(noise), draw(noise))


def test_the_discriminator_takes_tokens_and_mixtures_of_them(key):
    net = Discriminator(5, (1, 2, 4), 3, 4)
    tokens = jax.random.randint(key, (6, 7), 0, 5)
    variables, of = jax.jit(net.init)(key, tokens), jax.jit(net.apply)
    logits = of(variables, tokens)
    assert logits.shape == (6,)
    np.testing.assert_allclose(of(variables, jax.nn.one_hot(tokens, 5)), logits, rtol=1e-5, atol=1e-6)
    none = of(variables, tokens, jnp.zeros((6, net.features)))
    assert float(jnp.ptp(none)) == 0 < float(jnp.ptp(logits))
    with pytest.raises(ValueError, match="a filter of width 4 is wider than sequences of 3"):
        net.init(key, tokens[:, :3])


def test_the_discriminator_sees_where_tokens_stand_by_its_filters(key):
    """A filter of one token sees which there are, and one of two their order."""
    tokens = jax.random.randint(key, (4, 6), 0, 5)
    for widths, alike in (((1,), True), ((2,), False)):
        net = Discriminator(5, widths, 8, 4)
        variables, of = jax.jit(net.init)(key, tokens), jax.jit(net.apply)
        same = np.allclose(of(variables, tokens), of(variables, tokens[:, ::-1]), atol=1e-6)
        assert same is alike


def test_characters_of_a_residual_network(key):
    """The published sizes: five blocks of two convolutions, one more that is 1 wide, and a dense layer."""
    g, d, z = Generator(32, 96, 512), Critic(512), jnp.zeros((1, 128))
    block = 2 * (5 * 512 * 512 + 512)
    count = lambda net, x: sum(  # noqa: E731
        y.size for y in jax.tree.leaves(jax.eval_shape(lambda: net.init(key, x)))
    )
    assert count(g, z) == 129 * 32 * 512 + 5 * block + 513 * 96
    assert count(d, jnp.zeros((1, 32, 96))) == 97 * 512 + 5 * block + 32 * 512 + 1
    small = Generator(4, 3, 2, 1)
    z = jax.random.normal(key, (5, 2))
    made = jax.jit(lambda z: small.init_with_output(key, z)[0])(z)
    assert made.shape == (5, 4, 3)
    np.testing.assert_allclose(made.sum(-1), 1, rtol=1e-5)
    assert float(made.min()) > 0


def test_a_block_adds_0_3_of_its_branch(key):
    """Whose last bias alone is not 0."""
    block, x = Block(), jax.random.normal(key, (2, 4, 3))
    params = jax.tree.map(jnp.zeros_like, jax.eval_shape(block.init, key, x))
    params["params"]["Conv_1"]["bias"] = jnp.array([1.0, 2.0, -1.0])
    found = jax.jit(block.apply)(params, x)
    np.testing.assert_allclose(found - x, np.broadcast_to([0.3, 0.6, -0.3], x.shape), rtol=1e-5)
