import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import random
from jaxgan.nn.categories import asked_shares, chosen, cumulative, given_shares, gumbel_softmax


def test_a_category_is_chosen_by_its_share():
    below = cumulative([0.2, 0.0, 0.5, 0.3])
    u = jnp.array([0.0, 0.19, 0.2, 0.69, 0.71, 0.9999999])
    assert chosen(u, below).tolist() == [0, 0, 2, 2, 3, 3]
    times = np.bincount(chosen(jnp.linspace(0, 1, 1000, endpoint=False), below), minlength=4)
    assert times / 1000 == pytest.approx([0.2, 0, 0.5, 0.3], abs=0.002)
    assert cumulative([1.0, 3.0]).tolist() == [0.25, 1]  # of any unit


def test_the_greatest_entry_of_the_relaxed_code_is_a_draw():
    """At any temperature; near 0 the code is one-hot, and without noise it is always the likeliest."""
    logits = jnp.log(jnp.broadcast_to(jnp.array([0.1, 0.3, 0.6]), (20_000, 3)))
    u = random.uniform(jax.random.key(0), jnp.arange(20_000), (3,), minval=1e-6)
    for temperature in (0.2, 5.0):
        code = gumbel_softmax(logits, u, temperature)
        np.testing.assert_allclose(code.sum(1), 1, rtol=1e-5)
        assert np.bincount(code.argmax(1)) / 20_000 == pytest.approx([0.1, 0.3, 0.6], abs=0.015)
    assert gumbel_softmax(logits, u, 0.01).max(1).mean() > 0.98
    assert (gumbel_softmax(logits, jnp.full_like(u, 0.5), 0.2).argmax(1) == 2).all()
    with pytest.raises(ValueError, match="each logit has a number"):
        gumbel_softmax(logits, u[:, :2], 0.2)


def test_shares_of_two_columns():
    counts = ((0, 9, 99), (5, 5))
    logs = np.log([1, 10, 100])
    assert asked_shares(counts) == pytest.approx([*(logs / logs.sum() / 2), 0.25, 0.25])
    assert given_shares(counts) == pytest.approx([0, 9 / 216, 99 / 216, 0.25, 0.25])
    assert asked_shares(()) == given_shares(()) == ()
