import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets.ctgan import Discriminator, Generator

SPANS = (("modes", 3), ("one_hot", 2), ("one_hot", 3))
ASKED = (0.25, 0.25, 0.1, 0.2, 0.2)
GIVEN = (0.0, 0.5, 0.0, 0.0, 0.5)
NET = Generator(SPANS, ASKED, GIVEN, latent=4, hidden=(8,), temperature=0.1)


@pytest.fixture(scope="module")
def made():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(500, NET.numbers)), jnp.float32)
    variables = NET.init(jax.random.key(0), z, train=True)
    (record, missed), _ = NET.apply(variables, z, train=True, mutable=["batch_stats"])
    return z, variables, np.asarray(record), np.asarray(missed)


def test_a_record_has_its_columns_codes(made):
    z, variables, record, _ = made
    assert NET.numbers == 4 + 1 + 2 + 2 + 3
    assert record.shape == (500, 8 + 5)
    assert np.abs(record[:, 0]).max() <= 1
    for start, stop in ((1, 3), (3, 5), (5, 8)):
        np.testing.assert_allclose(record[:, start:stop].sum(1), 1, rtol=1e-5)
        assert record[:, start:stop].max(1).mean() > 0.9  # nearly one-hot, at this temperature
        times = np.bincount(record[:, start:stop].argmax(1), minlength=stop - start)
        assert times.min() > 20  # by the noise that z has, all are made


def test_the_category_asked_for_is_read_off_z(made):
    """In training by the shares of one kind, in sampling by those of the other."""
    z, variables, record, _ = made
    code = record[:, 8:]
    assert (code.sum(1) == 1).all()
    assert code.mean(0) == pytest.approx(ASKED, abs=0.06)
    sampled = NET.apply(variables, z, train=False)
    assert sampled.shape == (500, 8)
    # A category that is not given makes no difference to where it would be.
    other = NET.clone(given=(0.5, 0.0, 0.5, 0.0, 0.0)).apply(variables, z, train=False)
    assert not np.allclose(sampled, other, atol=1e-3)
    moved = z.at[:, 4].set(jnp.abs(z[:, 4]) + 0.01)  # the upper half: always the last
    again = moved.at[:, 4].set(3.0)
    np.testing.assert_array_equal(
        NET.apply(variables, moved, train=False), NET.apply(variables, again, train=False)
    )


def test_what_g_says_is_the_cross_entropy_of_the_category(made):
    """Worked out from the logits, which are found by taking the noise away."""
    z, variables, record, missed = made
    u = np.clip(np.asarray(jax.scipy.special.ndtr(z[:, 4:])), 1e-6, 1 - 1e-6)
    noise = -np.log(-np.log(u[:, 3:]))  # after the category's number and those of two modes
    entropies = []
    for (start, stop), own in (((3, 5), noise[:, :2]), ((5, 8), noise[:, 2:])):
        logits = 0.1 * np.log(np.maximum(record[:, start:stop], 1e-30)) - own
        logits -= logits.max(1, keepdims=True)
        entropies.append(np.log(np.exp(logits).sum(1, keepdims=True)) - logits)
    expected = (record[:, 8:] * np.concatenate(entropies, 1)).sum(1)
    seen = (record[:, 3:8] > 1e-25).all(1)  # else the logits cannot be told
    assert seen.mean() > 0.7
    np.testing.assert_allclose(missed[seen], expected[seen], rtol=1e-3, atol=1e-3)
    assert not np.allclose(missed[seen], expected[seen][::-1], atol=0.1)


def test_without_categories_nothing_is_asked_for(key):
    net = Generator((("modes", 2),), (), (), latent=2, hidden=(4,))
    z = jnp.zeros((3, net.numbers))
    out, _ = jax.eval_shape(lambda: net.init_with_output(key, z, train=True))
    assert [x.shape for x in out] == [(3, 2), (3,)]


def test_the_discriminator_drops_out_in_training_alone(key):
    net = Discriminator((16,))
    x = jnp.ones((4, 6))
    variables = net.init(key, x, train=False)
    still = net.apply(variables, x, train=False)
    assert np.ptp(still) == 0
    assert np.ptp(net.apply(variables, x, train=True, rngs={"params": key})) > 0
