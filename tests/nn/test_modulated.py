from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn import modulated

modulated_conv = jax.jit(modulated.modulated_conv, static_argnames=("demodulate", "double", "form"))


def _arrays(normal, size=3):
    return normal((3, 4, 6, 5)), normal((size, size, 5, 2)), normal((3, 5))


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_both_forms_are_equal_in_values_and_slopes(normal, double, demodulate):
    x, kernel, style = _arrays(normal)
    options = {"double": double, "demodulate": demodulate}

    def found(form):
        of = partial(modulated_conv, form=form, **options)
        y = of(x, kernel, style)
        towards = np.sin(np.arange(y.size)).reshape(y.shape)
        slopes = lambda *args: jax.grad(lambda *args: (of(*args) * towards).sum(), (0, 1, 2))(*args)  # noqa: E731
        second = jax.grad(lambda style: sum(jnp.square(g).sum() for g in slopes(x, kernel, style)))(style)
        return y, slopes(x, kernel, style), second

    scaled, grouped = (jax.jit(partial(found, form))() for form in ("scaled", "grouped"))
    assert scaled[0].shape == ((3, 8, 12, 2) if double else (3, 4, 6, 2))
    for a, b in zip(jax.tree.leaves(scaled), jax.tree.leaves(grouped), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * np.abs(b).max())


def test_outputs_of_unit_inputs_are_of_unit_deviation(normal):
    x, kernel, style = normal((8, 16, 16, 8)), 7 * normal((3, 3, 8, 6)), 5 * normal((8, 8))
    inside = lambda y: np.asarray(y)[:, 1:-1, 1:-1].std((0, 1, 2))  # noqa: E731
    np.testing.assert_allclose(inside(modulated_conv(x, kernel, style)), 1, rtol=0.1)
    assert inside(modulated_conv(x, kernel, style, demodulate=False)).min() > 20  # the control


def test_a_style_is_the_inputs_scale_and_its_length_is_lost(normal):
    x, kernel, style = _arrays(normal)
    y = modulated_conv(x, kernel, style)
    np.testing.assert_allclose(modulated_conv(x, kernel, 3 * style), y, rtol=1e-4, atol=1e-5)
    plain = partial(modulated_conv, demodulate=False)
    one = plain(x * style[:, None, None], kernel, jnp.ones_like(style))
    np.testing.assert_allclose(plain(x, kernel, style), one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("double", [False, True])
def test_it_is_pytorchs(normal, size, double):
    """Written for each example by itself, with kernels, filter and paddings as the authors' code has them."""
    torch = pytest.importorskip("torch")
    x, kernel, style = _arrays(normal, size)
    y = modulated_conv(x, kernel, style, double=double)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    for i in range(len(x)):
        w = torch.tensor(kernel * style[i][:, None]).permute(3, 2, 0, 1)
        w = w / (w.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        z = torch.tensor(x[i]).permute(2, 0, 1)[None]
        if double:
            between = torch.zeros(1, 5, 8, 12)
            between[:, :, ::2, ::2] = z
            edge = size - 1
            z = torch.nn.functional.conv2d(torch.nn.functional.pad(between, (edge,) * 4), w)
            box = (4 * torch.outer(taps, taps)).expand(2, 1, 4, 4)
            low, high = 2 - size // 2, 1 - (size - 1 - size // 2)
            z = torch.nn.functional.conv2d(torch.nn.functional.pad(z, (low, high) * 2), box, groups=2)
        else:
            z = torch.nn.functional.conv2d(z, w, padding=size // 2)
        np.testing.assert_allclose(y[i], z[0].permute(1, 2, 0), rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_said(normal):
    x, kernel, style = _arrays(normal)
    with pytest.raises(ValueError, match=r"takes a style \[B, C\], not \(5,\)"):
        modulated_conv(x, kernel, style[0])
    with pytest.raises(ValueError, match="scaled or grouped, not 'fused'"):
        modulated_conv(x, kernel, style, form="fused")


def test_bfloat16(normal):
    x, kernel, style = _arrays(normal)
    full = modulated_conv(x, kernel, style)
    for form in ("scaled", "grouped"):
        y = modulated_conv(*(a.astype(jnp.bfloat16) for a in (x, kernel, style)), form=form)
        assert y.dtype == jnp.bfloat16
        np.testing.assert_allclose(y.astype(jnp.float32), full, atol=0.1)
