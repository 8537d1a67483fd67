import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.losses.policy_gradient import leave_one_out, negative_log_likelihood, reinforce


def test_likelihood_of_known_probabilities():
    p = jnp.array([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]])
    found = negative_log_likelihood(jnp.log(p) + 3, jnp.array([[1, 2]]))
    np.testing.assert_allclose(found, [[np.log(4), -np.log(0.7)]], rtol=1e-6)


def test_the_gradient_is_the_advantage_times_the_score():
    """Of one softmax, A (p - one-hot); the advantage itself has none."""
    logits, tokens = jnp.array([[[0.0, np.log(3.0)]]]), jnp.array([[1]])
    to_logits, to_advantage = jax.grad(lambda x, a: reinforce(x, tokens, a).sum(), (0, 1))(
        logits, jnp.array([[2.0]])
    )
    np.testing.assert_allclose(to_logits[0, 0], [2 * 0.25, 2 * (0.75 - 1)], rtol=1e-6)
    assert float(to_advantage[0, 0]) == 0


def test_the_baseline_is_of_the_others():
    rewards = jnp.array([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
    found = leave_one_out(rewards)
    np.testing.assert_allclose(found[:, 0], [4, 3.5, 1.5])
    np.testing.assert_allclose(found[:, 1], 10 * found[:, 0])
    with pytest.raises(ValueError, match="a batch of 2 or more"):
        leave_one_out(rewards[:1])


def test_the_baseline_is_of_all_devices():
    rewards = jnp.array([1.0, 2.0, 6.0, 7.0])
    parts = jax.vmap(lambda x: leave_one_out(x, axis="devices"), axis_name="devices")(rewards.reshape(2, 2))
    np.testing.assert_allclose(parts.ravel(), leave_one_out(rewards))
    alone = jax.vmap(leave_one_out)(rewards.reshape(2, 2))
    assert not np.allclose(alone, parts)
