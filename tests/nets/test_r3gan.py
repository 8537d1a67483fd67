from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import r3gan


def _size(variables):
    return sum(np.prod(x.shape) for x in jax.tree.leaves(variables["params"]))


def _shapes(net, *inputs):
    return jax.eval_shape(net.init, jax.random.key(0), *inputs)


def _random(variables, seed=0):
    """The same tree with normal weights of a tenth, those that start at 0 too."""
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(seed)
    return jax.tree.unflatten(tree, [jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype) for x in leaves])


LABEL = jnp.zeros(1, jnp.int32)
CIFAR = (768,) * 4
FFHQ = (768,) * 4 + (384, 192, 96)


@pytest.mark.parametrize(
    ("widths", "n_classes", "millions"),
    [
        (CIFAR, None, ("20.732", "20.684")),  # the paper's stacked MNIST: 20.7 and 20.7 million
        (CIFAR, 10, ("20.782", "21.281")),
        (FFHQ, None, ("23.058", "23.010")),
    ],
)
def test_the_papers_sizes(widths, n_classes, millions):
    def block(c):
        return 2 * c * 2 * c + 2 * c * 16 * 9 + 2 * 2 * c

    blocks = sum(2 * block(c) for c in widths)
    changes = sum(a * b for a, b in zip(widths, widths[1:], strict=False) if a != b)
    first, last = widths[0], widths[-1]
    both = blocks + changes + 16 * first + 3 * last
    asked = () if n_classes is None else (LABEL,)
    size = 2 << len(widths)
    net = dict(widths=widths, n_classes=n_classes)
    g = _size(_shapes(r3gan.Generator(**net), jnp.zeros((1, 64)), *asked))
    d = _size(_shapes(r3gan.Discriminator(**net), jnp.zeros((1, size, size, 3)), *asked))
    if n_classes is None:
        assert (g, d) == (both + 64 * first, both + first)
    else:
        assert (g, d) == (both + 128 * first + 64 * 10, both + first * first + first * 10)
    assert (f"{g / 1e6:.3f}", f"{d / 1e6:.3f}") == millions


NET = dict(widths=(128, 128, 64), blocks=1, n_classes=10)


@pytest.fixture(scope="module")
def new():
    """G's and D's parameters before the first step."""
    g, d = r3gan.Generator(**NET), r3gan.Discriminator(**NET)
    inputs = jnp.zeros((1, 96)), jnp.zeros((1, 16, 16, 3))
    init = jax.jit(
        lambda key: [net.init(key, x, LABEL)["params"] for net, x in zip((g, d), inputs, strict=True)]
    )
    return init(jax.random.key(0))


def test_at_first_every_block_is_the_identity(new):
    """G is then its basis, doubled, in a linear map, and D a linear one of the image."""
    rng = np.random.default_rng(0)
    z, label = jnp.asarray(rng.normal(size=(2, 96)), jnp.float32), jnp.array([3, 9])

    @jax.jit
    def both(p, z):
        x = jnp.concatenate([z, p["embed"]["embedding"][label]], 1) @ p["Dense_0"]["kernel"]
        x = r3gan.double(r3gan.double(p["basis"] * x[:, None, None]) @ p["Conv_0"]["kernel"][0, 0])
        return r3gan.Generator(**NET).apply({"params": p}, z, label), x @ p["Conv_1"]["kernel"][0, 0]

    np.testing.assert_allclose(*both(new[0], z), rtol=1e-4, atol=1e-5)
    of = jax.jit(lambda p, x: r3gan.Discriminator(**NET).apply({"params": p}, x, label))
    a, b = (jnp.asarray(rng.normal(size=(2, 16, 16, 3)), jnp.float32) for _ in range(2))
    p = new[1]
    np.testing.assert_allclose(of(p, a) + 2 * of(p, b), of(p, a + 2 * b), rtol=1e-4, atol=1e-5)
    p = _random(p)
    assert not np.allclose(of(p, a) + 2 * of(p, b), of(p, a + 2 * b), rtol=1e-2)


def test_a_branch_starts_with_a_share_of_the_blocks(key):
    """Before its last layer the mean square is 1 / L of the block's input, by He's gains and L^(-1/4) in
    each of two layers."""
    x = jax.random.normal(key, (4, 8, 8, 256))
    block = r3gan.Block(depth=8)
    variables = block.init(key, x)
    last = {"kernel": jnp.eye(512)[:, :256][None, None]}
    params = {**variables["params"], "Conv_2": last}
    inner = block.apply({"params": params}, x) - x
    # The edges see zeros.
    assert float(jnp.square(inner[:, 1:-1, 1:-1]).mean()) == pytest.approx(1 / 8, rel=0.05)
    assert not variables["params"]["Conv_2"]["kernel"].any()


def test_weights_start_at_the_scales_of_the_code(new):
    """std of N(0, gain^2 / fan_in): of a label's vector fan_in is the number of classes."""
    g, d = jax.tree.map(lambda x: float(np.std(x)), new)
    in_g = {"basis": 1, "embed": 10**-0.5, "Dense_0": 192**-0.5, "Conv_0": 128**-0.5, "Conv_1": 1 / 8}
    in_d = {"basis": 1 / 4, "embed": 1280**-0.5, "Dense_0": 128**-0.5, "Conv_0": 3**-0.5, "Conv_1": 1 / 8}
    branch = r3gan.GAIN * 3**-0.25
    for player, expected, width in ((g, in_g, 128), (d, in_d, 64)):
        for name, std in expected.items():
            assert jax.tree.leaves(player[name]) == pytest.approx([std], rel=0.1), name
        assert player["Block_0"]["Conv_0"]["kernel"] == pytest.approx(branch / width**0.5, rel=0.03)
        assert player["Block_0"]["Conv_1"]["kernel"] == pytest.approx(branch / 12, rel=0.03)  # 3 x 3 x 16


def test_sizes_change_by_a_filter_of_1_3_3_1():
    x = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1, 0].set(1.0)
    row = np.array([0, 1, 3, 3, 1, 0]) / 4
    np.testing.assert_allclose(r3gan.double(x)[0, ..., 0], np.outer(row, row))
    x = jnp.arange(1.0, 5.0).reshape(1, 1, 4, 1) * jnp.ones((1, 4, 1, 1))
    across = np.array([0 + 3 * 1 + 3 * 2 + 3, 2 + 3 * 3 + 3 * 4 + 0]) / 8
    np.testing.assert_allclose(r3gan.halve(x)[0, ..., 0], np.outer([7 / 8, 7 / 8], across))


def test_halving_is_a_quarter_of_the_transpose_of_doubling():
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.normal(size=(2, n, 3 * n, 3)), jnp.float32) for n in (2, 4))
    forth, back = jax.jit(lambda a, b: ((r3gan.double(a) * b).sum(), (a * r3gan.halve(b)).sum()))(a, b)
    assert float(forth) == pytest.approx(4 * float(back), rel=1e-4)


def _torch_player(torch, widths, n_classes, p, latent=None):
    """The forward pass of G (with `latent`) or D in torch, of the linen parameters p and [N, C, H, W]."""
    f = torch.nn.functional
    p = jax.tree.map(lambda x: torch.tensor(np.asarray(x), requires_grad=True), p)
    kernel = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
    counted = {"Conv": 0, "Block": 0}

    def taken(kind):
        counted[kind] += 1
        return p[f"{kind}_{counted[kind] - 1}"]

    def each(x, change):
        y = change(x.reshape(-1, 1, *x.shape[2:]))
        return y.reshape(*x.shape[:2], *y.shape[2:])

    def conv(x, own, **options):
        return f.conv2d(x, own["kernel"].permute(3, 2, 0, 1), own.get("bias"), **options)

    def block(x):
        own = taken("Block")
        y = f.leaky_relu(conv(x, own["Conv_0"]), 0.2)
        y = f.leaky_relu(conv(y, own["Conv_1"], padding=1, groups=max(1, y.shape[1] // 16)), 0.2)
        return x + conv(y, own["Conv_2"])

    def code(label):
        return f.one_hot(label, n_classes).float() @ p["embed"]["embedding"]

    def g(z, label=None):
        z = z if n_classes is None else torch.cat([z, code(label)], 1)
        x = p["basis"].permute(0, 3, 1, 2) * (z @ p["Dense_0"]["kernel"])[:, :, None, None]
        x = block(x)
        for a, b in zip(widths, widths[1:], strict=False):
            x = conv(x, taken("Conv")) if a != b else x
            x = each(x, lambda x: f.conv_transpose2d(x, 4 * kernel[None, None], stride=2, padding=1))
            x = block(x)
        return conv(x, taken("Conv"))

    def d(x, label=None):
        x = conv(x, taken("Conv"))
        for a, b in zip(widths[::-1], widths[::-1][1:], strict=False):
            x = block(x)
            x = each(x, lambda x: f.conv2d(x, kernel[None, None], stride=2, padding=1))
            x = conv(x, taken("Conv")) if a != b else x
        x = block(x)
        x = f.conv2d(x, p["basis"].permute(3, 0, 1, 2), groups=x.shape[1])[:, :, 0, 0]
        x = x @ p["Dense_0"]["kernel"]
        return (x * code(label)).sum(1) if n_classes is not None else x[:, 0]

    return (g if latent else d), p


def _gradients(p):
    return jax.tree.map(lambda x: x.grad.numpy(), p)


def test_both_players_are_those_of_torch():
    """Outputs and the gradients of a loss of G's; of D the gradients of its logits and of R1."""
    torch = pytest.importorskip("torch")
    widths, n_classes = (32, 8), 3  # 4 groups and 1
    rng = np.random.default_rng(0)
    z, weights = rng.normal(size=(2, 5)).astype("f"), rng.normal(size=(2, 8, 8, 3)).astype("f")
    label = np.array([2, 0])
    of_torch = torch.tensor(label)

    def same(found, expected, grads, p):
        for a, b in (
            (found, expected.detach().numpy()),
            *zip(*map(jax.tree.leaves, (grads, p)), strict=True),
        ):
            b = b if isinstance(b, np.ndarray) else b.grad.numpy()
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())

    g = r3gan.Generator(widths, blocks=1, n_classes=n_classes)
    params = _random(_shapes(g, z, label))["params"]

    def loss(params):
        images = g.apply({"params": params}, z, label)
        return (weights * jnp.tanh(images)).sum(), images

    (_, images), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    run, p = _torch_player(torch, widths, n_classes, params, latent=5)
    other = run(torch.tensor(z), of_torch).permute(0, 2, 3, 1)
    (torch.tensor(weights) * torch.tanh(other)).sum().backward()
    same(images, other, grads, p)

    d = r3gan.Discriminator(widths, blocks=1, n_classes=n_classes)
    params = _random(_shapes(d, weights, label), 1)["params"]

    def r1(params):
        logits, back = jax.vjp(lambda x: d.apply({"params": params}, x, label), jnp.asarray(weights))
        return jnp.square(back(jnp.ones(2))[0]).sum() + logits.sum(), logits

    (_, logits), grads = jax.jit(jax.value_and_grad(r1, has_aux=True))(params)
    run, p = _torch_player(torch, widths, n_classes, params)
    x = torch.tensor(weights).permute(0, 3, 1, 2).requires_grad_()
    other = run(x, of_torch)
    (slope,) = torch.autograd.grad(other.sum(), x, create_graph=True)
    ((slope**2).sum() + other.sum()).backward()
    same(logits, other, grads, p)


def test_derivatives_by_finite_differences():
    """The gradient of R1, which holds second derivatives, in float64."""
    with jax.enable_x64():
        d = r3gan.Discriminator((16,), blocks=1, dtype=jnp.float64)
        x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 1)))
        shapes = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, x.dtype), _shapes(d, x)["params"])
        params, way = _random(shapes), _random(shapes, 2)

        @jax.jit
        @jax.value_and_grad
        def penalty(t):
            moved = jax.tree.map(lambda a, b: a + t * b, params, way)
            slope = jax.grad(lambda x: d.apply({"params": moved}, x).sum())(x)
            return (slope**2).sum()

        h = 1e-5
        assert penalty(0.0)[0].dtype == jnp.float64
        differences = (penalty(h)[0] - penalty(-h)[0]) / (2 * h)
        assert float(penalty(0.0)[1]) == pytest.approx(float(differences), rel=1e-7)


def test_half_precision_is_of_all_sizes_but_the_first():
    for net, x, wide in (
        (r3gan.Generator, jnp.zeros((2, 8)), "Block_0"),
        (r3gan.Discriminator, jnp.zeros((2, 8, 8, 3)), "Block_1"),
    ):
        net = net(widths=(16, 16), blocks=1, dtype=jnp.bfloat16)
        apply = partial(net.apply, capture_intermediates=True)
        made, seen = jax.eval_shape(apply, _shapes(net, x), x)
        assert made.dtype == jnp.float32
        types = {name: seen["intermediates"][name]["__call__"][0].dtype for name in ("Block_0", "Block_1")}
        assert [name for name, dtype in types.items() if dtype == jnp.float32] == [wide]


def test_what_cannot_be_built_is_said():
    with pytest.raises(ValueError, match="a width of 12 has no groups of 16 of its 24 channels"):
        _shapes(r3gan.Generator((12,)), jnp.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"2 widths are of images of 8 pixels, not of \(16, 16\)"):
        _shapes(r3gan.Discriminator((16, 16)), jnp.zeros((1, 16, 16, 1)))
