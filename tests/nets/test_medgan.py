import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets.medgan import Discriminator, Generator


@pytest.fixture
def z():
    return jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)


@pytest.mark.parametrize("counts", [False, True])
def test_the_generator_by_hand(z, key, counts):
    """Shortcuts about batch normalisation, and a decoder that the autoencoder has as well."""
    real = jnp.round(3 * jnp.abs(z[:, :3])) if counts else (z[:, :3] > 0).astype(jnp.float32)
    net = Generator(3, width=4, layers=1, counts=counts)
    variables = net.init(key, z, train=True, real=real)
    p = variables["params"]
    p["decoder"]["bias"] += 1  # so that no ReLU is dead
    (made, again), moved = net.apply(variables, z, train=True, real=real, mutable=["batch_stats"])
    last = jax.nn.relu if counts else jnp.tanh
    x = z
    for i, activation in enumerate((jax.nn.relu, last)):
        y = x @ p[f"Dense_{i}"]["kernel"]
        x = x + activation((y - y.mean(0)[None]) / jnp.sqrt(y.var(0) + 1e-5)[None])
    decoded = lambda x: x @ p["decoder"]["kernel"] + p["decoder"]["bias"][None]  # noqa: E731
    end = jax.nn.relu if counts else jax.nn.sigmoid
    np.testing.assert_allclose(made, end(decoded(x)), rtol=1e-4, atol=1e-5)
    code = last(real @ p["encoder"]["kernel"] + p["encoder"]["bias"][None])
    np.testing.assert_allclose(again, jax.nn.relu(decoded(code)) if counts else decoded(code), rtol=1e-5)
    # In sampling the statistics that were kept, which move by a hundredth.
    first = moved["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(first, 0.01 * (z @ p["Dense_0"]["kernel"]).mean(0), rtol=1e-4, atol=1e-7)
    still = net.apply(variables, z, train=False)
    assert still.shape == (6, 3)
    assert not np.allclose(still, made, atol=1e-3)
    np.testing.assert_allclose(net.apply(variables, z[:2], train=False), still[:2], rtol=1e-5)
    assert not np.allclose(
        made[:2], net.apply(variables, z[:2], train=True, mutable=["batch_stats"])[0], atol=1e-3
    )


def test_widths_that_cannot_be_added_are_told(key):
    with pytest.raises(ValueError, match=r"z \[B, 5\] is added to layers of 4"):
        jax.eval_shape(lambda: Generator(3, width=4).init(key, jnp.zeros((2, 5)), train=True))


def test_the_discriminator_sees_the_batch(z, key):
    """So a record's logit depends on the others; without averaging it is its own."""
    for averaging in (True, False):
        net = Discriminator((5,), averaging=averaging)
        variables = net.init(key, z)
        both, alone = net.apply(variables, z), net.apply(variables, z[:3])
        assert both.shape == (6,)
        assert variables["params"]["Dense_0"]["kernel"].shape == (8 if averaging else 4, 5)
        assert np.allclose(both[:3], alone, atol=1e-5) != averaging
