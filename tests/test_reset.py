import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.reset import reset_at

PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.zeros(1)}
PHASES = jnp.array([0, 0, 0, 1, 1, 2, 2])


def _grads(i):
    return jax.tree.map(lambda x: jnp.cos(x + i), PARAMS)


def _run(tx, first, last):
    """The state and the last updates of the steps first to last - 1, by gradients of the step alone."""
    state, update = tx.init(PARAMS), jax.jit(tx.update)
    for i in range(first, last):
        updates, state = update(_grads(i), state, PARAMS)
    return state, updates


def _assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("n", range(1, 8))
def test_each_phase_is_as_if_it_were_the_first(n):
    """Adam with a schedule, after n updates, is Adam that has seen those of the last phase alone."""
    adam = optax.adam(optax.linear_schedule(1.0, 0.0, 10), b1=0.9)
    began = int(np.flatnonzero(PHASES == PHASES[n - 1])[0])
    state, updates = _run(reset_at(adam, lambda count: PHASES[count]), 0, n)
    inner, fresh = _run(adam, began, n)
    assert state.count == n
    _assert_equal(state.inner, inner)
    _assert_equal(updates, fresh)
    if began:  # the control
        with pytest.raises(AssertionError):
            _assert_equal(updates, _run(adam, 0, n)[1])


def test_the_parameters_are_needed():
    tx = reset_at(optax.adam(1e-3), lambda count: count)
    with pytest.raises(ValueError, match="update is called with the parameters"):
        tx.update(_grads(0), tx.init(PARAMS))
