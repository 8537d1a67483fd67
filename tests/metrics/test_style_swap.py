import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import shapes
from jaxgan.metrics.style_swap import style_swap


@jax.jit
def _synthesise(w):
    """Draws what the first layers say of kind and place, and the last of colour."""
    n = len(w)
    kind, place = (w[:, 0, 0] > 0).astype(jnp.int32), jnp.clip(w[:, 1, :2], -0.4, 0.4)
    scene = shapes.Scene(
        kind[:, None],
        (w[:, 3, 0] > 0).astype(jnp.int32)[:, None],
        jnp.zeros((n, 1), jnp.int32),
        jnp.full((n, 1), 0.45),
        place[:, None],
        jnp.zeros((n, 1)),
        jnp.zeros((n, 1, 2)),
        jnp.ones(n, jnp.int32),
    )
    return 2 * shapes.draw(scene, 16) - 1


def test_each_change_is_seen_where_it_was_made():
    rng = np.random.default_rng(0)
    w, other = (jnp.asarray(rng.standard_normal((40, 4, 3), np.float32)) for _ in range(2))
    found = jax.jit(lambda w, other: style_swap(_synthesise, w, other))(w, other)
    kind, colour = (((w[:, i, 0] > 0) != (other[:, i, 0] > 0)).mean() for i in (0, 3))
    a, b = (jnp.clip(x[:, 1, :2], -0.4, 0.4) for x in (w, other))
    apart = jnp.linalg.norm(a - b, axis=-1)
    assert 0.3 < kind < 0.7
    moved = apart.mean()
    for name, expected in {
        "coarse": (kind, 0, moved),
        "fine": (0, colour, 0),
        "all": (kind, colour, moved),
    }.items():
        np.testing.assert_allclose(found[name], expected, atol=0.01, err_msg=name)


@pytest.mark.parametrize(("shapes_", "coarse"), [(((2, 4, 3), (2, 4, 2)), 3), (((2, 3, 3), (2, 3, 3)), 3)])
def test_styles_that_do_not_fit_are_said(shapes_, coarse):
    with pytest.raises(ValueError, match="of more than 3 layers, not"):
        style_swap(_synthesise, *map(jnp.zeros, shapes_), coarse)
