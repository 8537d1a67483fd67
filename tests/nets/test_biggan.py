from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import biggan

SMALL = dict(image_size=8, width=4, channels=1, n_classes=3, shared=5, attention=4)


def _size(net, *args):
    shapes = jax.eval_shape(partial(net.init, train=True), jax.random.key(0), *args)
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(shapes["params"]))


def _some(path, x):
    """Numbers for a variable, without the seconds that orthogonal ones take to be compiled."""
    rng = np.random.default_rng(len(jax.tree_util.keystr(path)))
    named = {"var": np.ones(x.shape), "gamma": np.ones(x.shape)}
    return named.get(path[-1].key, 0.3 * rng.standard_normal(x.shape)).astype(np.float32)


def _variables(net, *args):
    shapes = jax.eval_shape(partial(net.init, train=True), jax.random.key(0), *args)
    return jax.tree_util.tree_map_with_path(_some, shapes)


def _made(n=6, latent=4, **options):
    """A small G, its variables, its z and its labels."""
    g = biggan.Generator(**SMALL | options)
    z, label = np.random.default_rng(1).standard_normal((n, latent), np.float32), np.arange(n) % 3
    return g, _variables(g, z, label), z, label


@pytest.mark.parametrize(
    ("size", "width", "g", "d", "options"),
    [
        (128, 96, 70_433_988, 87_982_370, {"n_classes": 1000, "attention": 64}),
        (64, 64, 31_842_820, 19_558_082, {"n_classes": 10, "attention": 32}),
        (32, 64, 4_668_163, 4_207_361, {"n_classes": 10, "hierarchical": False}),
    ],
)  # fmt: skip
def test_the_authors_counts_of_weights(size, width, g, d, options):
    """Of their code in PyTorch; the first is the paper's network of 158 million."""
    z, image, label = jnp.zeros((2, 120)), jnp.zeros((2, size, size, 3)), jnp.zeros(2, jnp.int32)
    z = z if options.get("hierarchical", True) else jnp.zeros((2, 128))
    assert _size(biggan.Generator(size, width, **options), z, label) == g
    options = {k: x for k, x in options.items() if k != "hierarchical"}
    assert _size(biggan.Discriminator(width, **options), image, label) == d


def test_maps_are_doubled_and_halved_by_the_table():
    assert biggan.g_widths(32) == (4, 4, 4, 4)
    assert biggan.d_blocks(32) == ((4, True), (4, True), (4, False), (4, False))
    assert biggan.d_blocks(8) == ((4, True), (4, False), (4, False))
    assert biggan.d_blocks(64)[-2:] == ((8, True), (16, False))
    for size in biggan.SIZES:
        assert 4 << (len(biggan.g_widths(size)) - 1) == size
        final = size >> sum(halve for _, halve in biggan.d_blocks(size))
        assert final == (4 if size > 32 or size == 8 else 8)


def test_each_block_has_a_chunk_of_z_to_itself():
    g, variables, z, label = _made(image_size=16, latent=6)
    params = variables["params"]

    @jax.jit
    def gains(z):
        of = lambda module, name: module.name == "gain"  # noqa: E731
        options = dict(train=True, capture_intermediates=of, mutable=["batch_stats", "intermediates"])
        kept = g.apply(variables, z, label, **options)[1]["intermediates"]
        return [[kept[f"block_{i}"][f"norm_{j}"]["gain"]["__call__"][0] for j in (0, 1)] for i in (0, 1)]

    whole, reached = gains(z), []
    for j in range(3):
        other = z.copy()
        other[:, 2 * j : 2 * j + 2] += 1
        reached.append(jax.tree.map(lambda x, y: not np.allclose(x, y, atol=1e-4), gains(other), whole))
    assert reached == [[[False] * 2] * 2, [[True] * 2, [False] * 2], [[False] * 2, [True] * 2]]
    assert params["first"]["kernel"].shape[0] == 2


def test_all_of_z_enters_at_once_without_chunks():
    params = _made(hierarchical=False)[1]["params"]
    assert params["first"]["kernel"].shape == (4, 16 * 16)
    assert params["block_0"]["norm_0"]["gain"]["kernel"].shape == (5, 16)
    params = _made(hierarchical=False, shared=0)[1]["params"]
    assert params["block_0"]["norm_0"]["gain"]["kernel"].shape == (3, 16)  # a row a class
    assert "embedding" not in params


def test_a_g_without_labels_and_chunks_has_plain_batch_norms(key):
    g = biggan.Generator(**SMALL | {"n_classes": 0, "hierarchical": False})
    shapes = jax.eval_shape(partial(g.init, train=True), key, jnp.zeros((2, 4)))
    assert set(shapes["params"]["block_0"]["norm_0"]) == {"scale", "bias"}
    g = g.clone(hierarchical=True)
    shapes = jax.eval_shape(partial(g.init, train=True), key, jnp.zeros((2, 4)))
    assert shapes["params"]["block_0"]["norm_0"]["gain"]["kernel"].shape == (2, 16)  # the chunk alone
    d = biggan.Discriminator(4)
    x = jnp.zeros((2, 8, 8, 1))
    assert jax.eval_shape(partial(d.init_with_output, train=True), key, x)[0].shape == (2,)


def test_weights_begin_orthogonal(key):
    g, _, z, label = _made()
    params = jax.jit(partial(g.init, train=True))(key, z, label)["params"]
    for kernel in (params["block_0"]["conv_1"]["kernel"], params["self_attention"]["f"]["kernel"]):
        w = kernel.reshape(-1, kernel.shape[-1])
        np.testing.assert_allclose(w.T @ w, np.eye(w.shape[1]), atol=1e-5)
    e = params["embedding"]["embedding"]
    np.testing.assert_allclose(e @ e.T, np.eye(3), atol=1e-5)


def test_a_label_and_a_residual_gain_change_the_image():
    g, variables, z, label = _made()
    run = jax.jit(lambda g, label: g.apply(variables, z, label, train=False), static_argnums=0)
    image = run(g, label)
    assert image.shape == (6, 8, 8, 1)
    assert np.abs(image).max() < 1
    assert np.all(np.abs(image - run(g, (label + 1) % 3)).max((1, 2, 3)) > 1e-3)
    assert np.abs(image - run(g.clone(residual_gain=False), label)).max() > 1e-3


def test_the_head_is_the_projections(key):
    """psi(h) + <e(y), h>, of normalised psi and e, and h the sum of the last map's positive part."""
    d = biggan.Discriminator(4, n_classes=3, attention=4)
    x, label = jax.random.uniform(key, (5, 8, 8, 1), minval=-1), np.array([0, 2, 1, 1, 0])
    variables = _variables(d, x, label)

    @jax.jit
    def run(stats):
        of = lambda module, name: module.name == "block_2"  # noqa: E731
        options = dict(train=True, capture_intermediates=of, mutable=["spectral", "intermediates"])
        logits, kept = d.apply({"params": variables["params"], **stats}, x, label, **options)
        kept = dict(kept)
        return logits, kept.pop("intermediates"), kept

    stats = {"spectral": variables["spectral"]}
    for _ in range(60):
        logits, kept, stats = run(stats)
    h = np.maximum(np.asarray(kept["block_2"]["__call__"][0]), 0).sum((1, 2))
    head = jax.tree.map(np.asarray, variables["params"]["head"])
    psi, e = (w / np.linalg.norm(w, 2) for w in (head["psi"]["kernel"], head["embed"]["embedding"]))
    expected = h @ psi[:, 0] + head["psi"]["bias"][0] + (e[label] * h).sum(1)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    assert len(jax.tree.leaves(stats)) == 3 + 2 + 2 + 4 + 2  # of each block, the attention and the head


def test_two_devices_make_the_images_of_one():
    _, variables, z, label = _made()

    def images(axis, z, label):
        g = biggan.Generator(**SMALL, axis=axis)
        return g.apply(variables, z, label, train=True, mutable=["batch_stats"])[0]

    whole = jax.jit(partial(images, None))(z, label)
    shards = z.reshape(2, 3, 4), label.reshape(2, 3)
    for axis, same in (("devices", True), (None, False)):
        each = jax.jit(jax.vmap(partial(images, axis), axis_name="devices"))(*shards)
        assert np.allclose(each.reshape(whole.shape), whole, atol=1e-4) == same


@pytest.mark.parametrize(
    ("net", "size", "told"),
    [
        (biggan.Generator(**SMALL | {"image_size": 24}), 4, r"images of \(8, 16, .* pixels, not 24"),
        (biggan.Generator(**SMALL), 5, "z of 5 numbers is not cut into 2 equal chunks"),
        (biggan.Generator(**SMALL | {"attention": 16}), 4, r"G has maps of \[4, 8\] pixels, and none of 16"),
        (biggan.Discriminator(4), 24, "pixels, not 24"),
        (biggan.Discriminator(4, attention=8), 8, r"D has maps of \[4\] pixels, and none of 8"),
    ],
)
def test_what_cannot_be_is_told(net, size, told, key):
    given = jnp.zeros((2, size) if isinstance(net, biggan.Generator) else (2, size, size, 1))
    with pytest.raises(ValueError, match=told):
        jax.eval_shape(partial(net.init, train=True), key, given, jnp.zeros(2, jnp.int32))
