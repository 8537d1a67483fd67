"""Who depends on what in MuseGAN's networks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets.musegan import Critic, Critics, Generator, TemporalGenerator, vectors

BARS, STEPS, PITCHES, TRACKS, D = 3, 8, 24, 2, 4


def _generator(model):
    net = Generator(model, BARS, STEPS, PITCHES, TRACKS, width=2)
    z = jax.random.normal(jax.random.key(1), (3, vectors(model, TRACKS), D))
    variables = jax.jit(partial(net.init, train=False))(jax.random.key(0), z)
    return net, jax.jit(partial(net.apply, train=False)), z, variables


def _changed(sample, variables, z, vector):
    """Which tracks and bars differ, bool[tracks], bool[bars], where one vector of z does."""
    a, b = (np.asarray(sample(variables, x)) for x in (z, z.at[:, vector].add(1.0)))
    return (a != b).any((0, 1, 2, 3)), (a != b).any((0, 2, 3, 4))


@pytest.fixture(scope="module", params=["composer", "jamming", "hybrid"])
def made(request):
    return request.param, *_generator(request.param)


def test_each_vector_reaches_the_tracks_it_is_of(made):
    """Shared ones all, a track's own that one alone; and all bars."""
    model, _, sample, z, variables = made
    shared = [0, 1] if model != "jamming" else []
    own = [] if model == "composer" else [(len(shared) + i, i // 2) for i in range(2 * TRACKS)]
    assert z.shape[1] == len(shared) + len(own)
    rolls = sample(variables, z)
    assert rolls.shape == (3, BARS, STEPS, PITCHES, TRACKS)
    assert float(jnp.abs(rolls).max()) < 1
    for vector in shared:
        tracks, bars = _changed(sample, variables, z, vector)
        assert tracks.all()
        assert bars.all()
    for vector, track in own:
        tracks, bars = _changed(sample, variables, z, vector)
        assert tracks.tolist() == [i == track for i in range(TRACKS)]
        assert bars.all()


def test_bars_differ_by_the_temporal_generators_alone(made):
    """Without what these make, all bars are the same, and what stays of z is the phrase's."""
    _, _, sample, z, variables = made
    rolls = sample(variables, z)
    assert not np.allclose(rolls[:, 0], rolls[:, 1])
    still = {k: jax.tree.map(jnp.zeros_like, v) for k, v in variables["params"].items() if "temporal" in k}
    assert still
    bare = {**variables, "params": {**variables["params"], **still}}
    rolls = sample(bare, z)
    np.testing.assert_allclose(rolls[:, 0], rolls[:, 1], atol=1e-6)
    assert not np.allclose(rolls[0], rolls[1])


def test_the_generator_normalises_and_the_critics_do_not(made):
    _, net, _, z, variables = made
    apply = jax.jit(partial(net.apply, train=True, mutable=["batch_stats"]))
    rolls, moved = apply(variables, z)
    assert rolls.shape == (3, BARS, STEPS, PITCHES, TRACKS)
    before, after = jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(moved["batch_stats"])
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    for net in (Critic(2), Critics(2)):
        assert set(jax.eval_shape(net.init, jax.random.key(0), rolls)) == {"params"}


def test_a_temporal_generator_has_a_vector_a_bar():
    net = TemporalGenerator(BARS)
    z = jax.random.normal(jax.random.key(0), (5, D))
    found, _ = jax.jit(partial(net.init_with_output, train=True))(jax.random.key(1), z)
    assert found.shape == (5, BARS, D)
    assert not np.allclose(found[:, 0], found[:, 1])


def test_independent_critics_see_their_own_track():
    """And a joint one sees all, at all places."""
    x = jax.random.normal(jax.random.key(0), (2, BARS, STEPS, PITCHES, TRACKS))
    for net, shape in ((Critics(2), (2, TRACKS)), (Critic(2), (2,))):
        logits, variables = jax.jit(net.init_with_output)(jax.random.key(1), x)
        assert logits.shape == shape
        assert logits.dtype == jnp.float32
        one = lambda x, net=net, v=variables: net.apply(v, x).reshape(2, -1)[:, 0].sum()  # noqa: E731
        slope = np.asarray(jax.jit(jax.grad(one))(x))
        assert slope[..., 0].all()
        assert slope[..., 1].any() == (len(shape) == 1)


def test_a_bar_that_has_no_beats_or_octaves_is_told():
    z = jnp.zeros((2, 2, D))
    for steps, pitches in ((10, 24), (8, 20)):
        with pytest.raises(ValueError, match=f"not {steps} steps and {pitches} pitches"):
            jax.eval_shape(
                lambda z, s=steps, p=pitches: Generator("composer", 2, s, p, 2).init(
                    jax.random.key(0), z, train=False
                ),
                z,
            )
        with pytest.raises(ValueError, match="a bar has 4 beats and whole octaves"):
            jax.eval_shape(Critic().init, jax.random.key(0), jnp.zeros((2, 2, steps, pitches, 2)))
