import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgan.nn import winograd


@pytest.mark.parametrize(("tile", "taps"), winograd.MATRICES)
def test_the_transformations_are_a_filter(tile, taps):
    b, g, a = winograd.MATRICES[tile, taps]
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(tile + taps - 1), rng.standard_normal(taps)
    filtered = [x[i : i + taps] @ w for i in range(tile)]
    np.testing.assert_allclose(a @ ((b @ x) * (g @ w)), filtered, atol=1e-13)
    b = b.copy()
    b[0, 0] *= -1  # the control: one sign
    assert np.abs(a @ ((b @ x) * (g @ w)) - filtered).max() > 0.01


@pytest.mark.parametrize(("tile", "taps"), winograd.MATRICES)
def test_few_digits_are_lost(tile, taps):
    """Against float64, by the largest entry: a direct float32 sum has 2e-7."""
    x = jax.random.normal(jax.random.key(0), (2, 16, 16, 64))
    w = jax.random.normal(jax.random.key(1), (taps, taps, 64, 32))
    axes = [winograd.Axis(16, taps, 1, (taps - 1) // 2, 16, tile)] * 2
    with jax.enable_x64(True):
        exact = np.asarray(winograd.conv(x.astype(jnp.float64), w.astype(jnp.float64), axes))
    error = np.abs(winograd.conv(x, w, axes) - exact).max() / np.abs(exact).max()
    assert error < 5e-6


CASES = [
    (rank, kernel, stride, low, size)
    for kernel, stride in ((2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (5, 2), (7, 2))
    for rank, low, size in ((1, 2, 8), (2, 0, 7 if kernel == 7 else 5), (2, 2, 8), (2, -1, 8))
] + [(3, 4, 2, 1, 6), (1, 3, 1, 1, 8), (2, 3, 1, 1, 16)]  # the last two have tiles of 4


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rank", "kernel", "stride", "low", "size"), CASES)
def test_each_product_is_the_direct_one(rank, kernel, stride, low, size, transposed):
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
        tile = winograd.tiles((kernel,) * rank, (stride,) * rank, (output,) * rank)[0]
        axes = [winograd.Axis(size, kernel, stride, low, output, tile)] * rank
        turn = (lambda w: jnp.swapaxes(jnp.flip(w, range(rank)), -1, -2)) if transposed else lambda w: w
        return (y, *transposes(g)), (
            winograd.conv(x, turn(w), axes, transposed),
            winograd.conv_input(g, turn(w), axes, transposed),
            turn(winograd.conv_weight(x, g, axes, transposed)),
        )

    for a, b in zip(*both(x, w, g), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5 * np.abs(a).max())
