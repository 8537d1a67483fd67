import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgan.nets.dcgan import SIZES, Discriminator, Generator


def _shapes(net, *inputs):
    return jax.eval_shape(lambda: net.init_with_output(jax.random.key(0), *inputs, train=True))


def _count(variables):
    return sum(x.size for x in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize("size", SIZES)
def test_every_size_by_one_rule(size):
    images, _ = _shapes(Generator(width=8, image_size=size, channels=3), jnp.zeros((2, 10)))
    assert images.shape == (2, size, size, 3)
    assert images.dtype == jnp.float32
    logits, _ = _shapes(Discriminator(width=8), jnp.zeros((2, size, size, 3)))
    assert logits.shape == (2,)


def test_the_papers_widths_at_64_pixels():
    """100 -> 4x4x1024 -> 512 -> 256 -> 128 -> 3, and back; kernels of 4x4."""
    _, g = _shapes(Generator(width=128, image_size=64, channels=3), jnp.zeros((2, 100)))
    _, d = _shapes(Discriminator(width=128), jnp.zeros((2, 64, 64, 3)))
    convolutions = [(1024, 512), (512, 256), (256, 128), (128, 3)]
    weights = 100 * 16 * 1024 + sum(16 * a * b for a, b in convolutions)
    assert _count(g) == weights + 2 * (1024 + 512 + 256 + 128) + 3
    weights = sum(16 * a * b for a, b in convolutions) + 16 * 1024
    assert _count(d) == weights + 128 + 2 * (256 + 512 + 1024) + 1


def test_a_label_is_concatenated_to_every_layer():
    z, label, x = jnp.zeros((2, 10)), jnp.zeros(2, jnp.int32), jnp.zeros((2, 16, 16, 1))
    for make, inputs in [
        (lambda **k: Generator(width=8, image_size=16, **k), (z,)),
        (lambda **k: Discriminator(width=8, **k), (x,)),
    ]:
        _, plain = _shapes(make(), *inputs)
        _, joined = _shapes(make(n_classes=5), *inputs, label)
        for name, layer in plain["params"].items():
            if "kernel" in layer:  # one more input channel a class, at each cell of a flattened map
                grown = joined["params"][name]["kernel"].shape[-2] - layer["kernel"].shape[-2]
                assert grown == 5, name


def test_every_parameter_is_reached_and_the_label_matters(key):
    g = Generator(width=4, image_size=16, n_classes=3)
    d = Discriminator(width=4, n_classes=3)
    z, label = jax.random.normal(key, (6, 5)), jnp.arange(6) % 3
    gv = g.init(key, z, label, train=True)
    x = g.apply(gv, z, label, train=True, mutable=["batch_stats"])[0]
    dv = d.init(key, x, label, train=True)

    def loss(gp, dp, label):
        x, _ = g.apply({**gv, "params": gp}, z, label, train=True, mutable=["batch_stats"])
        s, _ = d.apply({**dv, "params": dp}, x, label, train=True, mutable=["batch_stats"])
        return (s**2 * jnp.arange(6)).sum()

    both = jax.jit(jax.value_and_grad(loss, (0, 1)))
    value, grads = both(gv["params"], dv["params"], label)
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        assert float(jnp.abs(grad).max()) > 0, path
    assert not jnp.allclose(value, both(gv["params"], dv["params"], (label + 1) % 3)[0])


def test_bfloat16_computes_in_it_and_keeps_float32_parameters(key):
    g = Generator(width=4, image_size=8, dtype="bfloat16")
    z = jax.random.normal(key, (4, 5))
    variables = g.init(key, z, train=True)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    half = g.apply(variables, z, train=True, mutable=["batch_stats"])[0]
    full = g.clone(dtype="float32").apply(variables, z, train=True, mutable=["batch_stats"])[0]
    assert half.dtype == jnp.float32
    assert 0 < float(jnp.abs(half - full).max()) < 0.05


def test_a_size_that_it_cannot_make_is_named():
    with pytest.raises(ValueError, match=r"\(8, 16, 32, 64, 128\) pixels, not 28"):
        _shapes(Generator(image_size=28), jnp.zeros((2, 10)))
    with pytest.raises(ValueError, match="not 20"):
        _shapes(Discriminator(), jnp.zeros((2, 20, 20, 1)))


def test_norm_of_the_discriminator(key):
    """Of batch norm nothing is left with "none"; with "spectral" no layer stretches what it is given."""
    x = jnp.zeros((2, 16, 16, 1))
    _, none = _shapes(Discriminator(width=8, norm="none"), x)
    assert set(none) == {"params"}
    assert all("bias" in layer for layer in none["params"].values())
    d = Discriminator(width=8, norm="spectral")
    variables = d.init(key, x, train=True)
    for _ in range(20):
        _, moved = d.apply(variables, x, train=True, mutable=["spectral"])
        variables |= moved
    one, two = jax.random.normal(key, (2, 8, 16, 16, 1))
    # Each 4x4 convolution with stride 2 meets an input four times, so it stretches twofold at most.
    moved = jnp.abs(d.apply(variables, one, train=False) - d.apply(variables, two, train=False))
    assert (moved <= 4 * jnp.sqrt(jnp.square(one - two).sum((1, 2, 3)))).all()
    larger = jax.tree.map(lambda k: 100 * k if k.ndim > 1 else k, variables["params"])
    again = d.apply({**variables, "params": larger}, one, train=False)
    assert jnp.allclose(again, d.apply(variables, one, train=False), rtol=1e-4, atol=1e-5)


def test_conditional_norm_takes_the_label_and_nothing_else_does(key):
    g = Generator(width=4, image_size=8, n_classes=3, conditional_norm=True)
    z, label = jax.random.normal(key, (6, 5)), jnp.array([0, 1, 2, 0, 1, 2])
    variables = g.init(key, z, label, train=True)
    plain = Generator(width=4, image_size=8).init(key, z, train=True)
    kernels = [
        {k: v["kernel"].shape for k, v in p["params"].items() if "kernel" in v} for p in (variables, plain)
    ]
    assert kernels[0] == kernels[1]
    same = g.apply(variables, z, label, train=False)
    np.testing.assert_array_equal(
        same, g.apply(variables, z, (label + 1) % 3, train=False)
    )  # scales start at 1
    params = variables["params"]
    norm = params["ConditionalBatchNorm_0"]
    norm = {**norm, "scale": {"embedding": norm["scale"]["embedding"].at[0].add(1.0)}}
    changed = {**variables, "params": {**params, "ConditionalBatchNorm_0": norm}}
    moved = jnp.abs(g.apply(changed, z, label, train=False) - same).max((1, 2, 3)) > 0
    np.testing.assert_array_equal(moved, label == 0)


def test_a_head_takes_the_last_layers_place(key):
    class Head(nn.Module):
        def __call__(self, x, label):
            return x.sum(1) + label

    d, label = Discriminator(width=4, head=Head()), jnp.array([10.0, 20.0])
    x = jax.random.normal(key, (2, 8, 8, 1))
    variables = d.init(key, x, label, train=True)
    assert "Dense_0" not in variables["params"]
    both = [d.apply(variables, x, y, train=False) for y in (label, 0 * label)]
    np.testing.assert_allclose(both[0] - both[1], label, rtol=1e-5)
