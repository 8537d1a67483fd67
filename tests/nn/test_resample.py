from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.nn import resample

double, halve = (jax.jit(f, static_argnames="taps") for f in (resample.double, resample.halve))
fir = jax.jit(resample.fir, static_argnames=("edges", "taps"))


@pytest.mark.parametrize("change", [double, halve])
def test_a_constant_image_stays_so_inside(change):
    y = change(jnp.full((1, 8, 12, 2), 0.7))
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], 0.7, rtol=1e-6)
    assert np.abs(y[:, 0] - 0.7).min() > 0.05  # beyond the edges is 0


def test_a_point_becomes_the_filters_product(normal):
    x = jnp.zeros((1, 8, 8, 1)).at[0, 3, 4, 0].set(1)
    taps = np.array([1, 3, 3, 1]) / 8
    plain = np.zeros((8, 8))
    plain[1:5, 2:6] = np.outer(taps, taps)
    np.testing.assert_allclose(fir(x, (1, 2))[0, ..., 0], plain, rtol=1e-6)
    wide = np.zeros((16, 16))
    wide[5:9, 7:11] = 4 * np.outer(taps, taps)
    np.testing.assert_allclose(double(x)[0, ..., 0], wide, rtol=1e-6)
    np.testing.assert_allclose(halve(jnp.asarray(wide)[None, ..., None]).sum(), 1, rtol=1e-6)


def test_the_sum_of_what_lies_inside_is_kept(normal):
    x = np.zeros((2, 10, 10, 3), np.float32)
    x[:, 3:7, 3:7] = normal((2, 4, 4, 3))
    total = x.sum((1, 2))
    np.testing.assert_allclose(double(x).sum((1, 2)), 4 * total, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(halve(x).sum((1, 2)), total / 4, rtol=1e-4, atol=1e-5)


def test_halving_is_the_transpose_of_doubling_over_four(normal):
    x, y = normal((2, 8, 6, 3)), normal((2, 4, 3, 3))
    one = (halve(x) * y).sum()
    np.testing.assert_allclose(one, (x * double(y)).sum() / 4, rtol=1e-4)
    odd = (1.0, 3.0, 2.0, 1.0)  # the control: taps that do not read the same backwards
    other = (halve(x, odd) * y).sum()
    assert abs(other - (x * double(y, odd)).sum() / 4) > 1e-2


def test_taps_are_not_turned_and_edges_may_cut(normal):
    x = normal((1, 6, 6, 1))
    y = fir(x, (0, 0), taps=(1.0, 0.0))
    np.testing.assert_allclose(y, x[:, :5, :5], rtol=1e-6)
    whole = fir(x, (2, 1))
    np.testing.assert_allclose(fir(x, (1, -1)), whole[:, 1:-2, 1:-2], rtol=1e-6)
    with pytest.raises(ValueError, match="nothing is left"):
        resample.fir(x, (-3, -3))


def _matrix(n, edges, taps, up, down):
    """The filter along an axis of n, by its definition."""
    wide = np.zeros((up * n + sum(max(e, 0) for e in edges), n))
    wide[max(edges[0], 0) : max(edges[0], 0) + up * n : up][:n] = np.eye(n)
    wide = wide[max(-edges[0], 0) : len(wide) - max(-edges[1], 0)]
    rows = [np.array(taps) @ wide[o : o + len(taps)] for o in range(0, len(wide) - len(taps) + 1, down)]
    return np.stack(rows) * up / sum(taps)


def test_the_filter_and_its_transpose_are_a_matrix_and_its_transpose(normal):
    """Also of lanes; with phases that no tap meets, in the last row, and images that are cut."""
    rows = [
        ((1, 1), (1.0, 3.0, 3.0, 1.0), 1, 1),
        ((2, -1), (1.0, 3.0, 2.0, 1.0), 2, 1),
        ((-1, 3), (1.0, 3.0, 2.0, 1.0), 1, 2),
        ((2, 2), (1.0, 2.0, 4.0), 3, 2),
        ((0, 1), (1.0, 2.0), 1, 3),
    ]
    x = normal((3, 1, 5, 6, 2))
    for edges, taps, up, down in rows:
        m, n = (_matrix(size, edges, taps, up, down) for size in (5, 6))
        of = jax.vmap(partial(resample.fir, edges=edges, taps=taps, up=up, down=down))
        g = normal((3, 1, len(m), len(n), 2))
        y = jax.jit(of)(x)
        back = jax.jit(jax.linear_transpose(of, x))(g)[0]
        np.testing.assert_allclose(y, np.einsum("oh,pw,lbhwc->lbopc", m, n, x), atol=1e-5)
        np.testing.assert_allclose(back, np.einsum("oh,pw,lbopc->lbhwc", m, n, g), atol=1e-5)


def test_derivatives_of_second_order(normal):
    check_grads(jax.jit(lambda x: halve(double(x) ** 2)), (normal((1, 4, 4, 1)),), 2, rtol=1e-2)


def test_bfloat16(normal):
    x = normal((1, 4, 4, 1))
    y = double(x.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), double(x), atol=0.05)
