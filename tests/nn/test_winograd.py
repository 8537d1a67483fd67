import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgan.nn import winograd


@pytest.mark.parametrize("taps", winograd.TAPS)
def test_the_transformations_are_an_exact_filter(taps):
    """Two outputs of a filter from taps + 1 products, in integers (halves in G): no rounding."""
    b, g, a = winograd._B[taps], winograd._G[taps], winograd._A[taps]
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 9, taps + 1), 2 * rng.integers(-9, 9, taps)
    filtered = [x[i : i + taps] @ w for i in range(winograd.TILE)]
    np.testing.assert_array_equal(a @ ((b @ x) * (g @ w)), filtered)
    b = b.copy()
    b[0, 0] *= -1  # the control: one sign
    assert (a @ ((b @ x) * (g @ w)) != filtered).any()


CASES = [
    (rank, kernel, stride, low, size)
    for kernel, stride in ((2, 1), (3, 1), (3, 2), (4, 2), (5, 2))
    for rank, low, size in ((1, 2, 8), (2, 0, 5), (2, 2, 8), (2, -1, 8))
] + [(3, 4, 2, 1, 6)]


@pytest.mark.parametrize(("rank", "kernel", "stride", "low", "size"), CASES)
def test_each_product_is_the_direct_one(rank, kernel, stride, low, size):
    rng = np.random.default_rng(kernel)
    output = (size + low + 1 - kernel) // stride + 1
    x = rng.standard_normal((2, *(size,) * rank, 3), np.float32)
    w = rng.standard_normal((*(kernel,) * rank, 3, 4), np.float32)
    g = rng.standard_normal((2, *(output,) * rank, 4), np.float32)
    letters = "DHW"[-rank:]

    def direct(x, w):
        x = lax.pad(x, jnp.float32(0), [(0, 0, 0), *((low, 1, 0),) * rank, (0, 0, 0)])
        dims = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
        return lax.conv_general_dilated(x, w, (stride,) * rank, "VALID", dimension_numbers=dims)

    @jax.jit
    def both(x, w, g):
        y, transposes = jax.vjp(direct, x, w)
        axes = [winograd.Axis(size, kernel, stride, low, output)] * rank
        return (y, *transposes(g)), (
            winograd.conv(x, w, axes),
            winograd.conv_input(g, w, axes),
            winograd.conv_weight(x, g, axes),
        )

    for a, b in zip(*both(x, w, g), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5 * np.abs(a).max())
