from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import stylegan2
from jaxgan.nn.norm import pixel_norm

SMALL = dict(channels=1, width=4, most=8, styles=6, mapping=2)
SLOT = jnp.arange(4)


@pytest.fixture(scope="module")
def z():
    return jnp.asarray(np.random.default_rng(1).standard_normal((4, 6), np.float32))


def _made(net, *args):
    """Variables at random, of which none is 0; numpy's, which need no compiling."""
    rng = np.random.default_rng(3)

    def at(path, x):
        # What learns slowly is kept so many times as large.
        scale = 100 if "mapped" in jax.tree_util.keystr(path) else 1
        return jnp.asarray(scale * rng.standard_normal(x.shape, np.float32))

    init = partial(net.init, train=True)
    return jax.tree_util.tree_map_with_path(at, jax.eval_shape(init, jax.random.key(0), *args))


@pytest.fixture(scope="module")
def g():
    return stylegan2.Generator(8, **SMALL)


@pytest.fixture(scope="module")
def variables(g, z):
    return _made(g, z)


def _trained(g):
    """(variables, z, key, slot) -> what it makes in training, and what it keeps."""
    return jax.jit(
        lambda v, z, key, slot: g.apply(v, z, train=True, drawing=(key, slot), mutable=["average", "noise"])
    )


def _sample(g, variables, z, *label):
    return jax.jit(lambda v, z: g.apply(v, z, *label, train=False))(variables, z)


def _size(tree):
    return sum(np.prod(x.shape, dtype=int) for x in jax.tree.leaves(tree))


def test_the_papers_layers(key):
    """Of the authors' code at 256 pixels with 16,384 channels a pixel's side, as its log lists them."""
    g = stylegan2.Generator(256, width=128, mapping=2)
    shapes = jax.eval_shape(partial(g.init, train=True), key, jnp.zeros((4, 512)))
    assert g.layers == 14
    assert _size(shapes["params"]["mapped"]) == 2 * 262_656
    of = {name: _size(x) for name, x in shapes["params"]["synthesis"].items()}
    assert {of[f"conv{size}_same"] for size in (4, 8, 16, 32, 64)} == {2_622_465}
    assert (of["constant"], of["colours4"]) == (8192, 264_195)
    assert (of["conv128_up"], of["conv128_same"], of["colours128"]) == (1_442_561, 721_409, 132_099)
    assert (of["conv256_up"], of["conv256_same"], of["colours256"]) == (426_369, 213_249, 66_051)
    d = stylegan2.Discriminator(width=32)
    shapes = jax.eval_shape(partial(d.init, train=True), key, jnp.zeros((4, 1024, 1024, 3)))["params"]
    of = {name: {k: _size(x) for k, x in each.items()} for name, each in shapes.items()}
    assert of["block1024"] == {"beside": 2048, "first": 9248, "second": 18_496}
    assert of["block256"] == {"beside": 32_768, "first": 147_584, "second": 295_168}
    assert sum(of["colours"].values()) == 128
    assert sum(of["last"].values()) == 9 * 513 * 512 + 512
    assert sum(of["dense"].values()) == 16 * 512 * 512 + 512


@pytest.mark.parametrize("norm", ["demodulation", "adain"])
def test_images_and_logits(key, norm):
    g, d = stylegan2.Generator(16, **SMALL, norm=norm), stylegan2.Discriminator(width=4, most=8)
    z = jnp.zeros((4, 3))  # of another size than w
    images, variables = jax.eval_shape(partial(g.init_with_output, train=True), key, z)
    assert (images.shape, images.dtype) == ((4, 16, 16, 1), jnp.float32)
    assert set(variables) == {"params", "average", "noise"}
    logits, variables = jax.eval_shape(partial(d.init_with_output, train=True), key, images)
    assert (logits.shape, logits.dtype) == ((4,), jnp.float32)
    assert set(variables) == {"params"}


def test_at_first_images_and_logits_are_of_order_one(key, g, variables, z):
    """With the constants that each layer begins with, which the shapes alone would not show."""
    conv = stylegan2.StyledConv(3)
    some = jax.jit(conv.init)(key, jnp.ones((1, 4, 4, 2)), jnp.ones((1, 6)), jnp.ones((1, 4, 4, 1)))["params"]
    begins = {
        k: float(x.ravel()[0]) for k, x in jax.tree_util.tree_leaves_with_path(some) if x.max() == x.min()
    }
    begins = {jax.tree_util.keystr(k): x for k, x in begins.items()}
    assert begins == {"['bias']": 0, "['strength']": 0, "['style']['bias']": 1}

    def at(path, x):
        name = jax.tree_util.keystr(path)
        return x if "kernel" in name or "constant" in name else jnp.full_like(x, "style" in name)

    images = _sample(g, jax.tree_util.tree_map_with_path(at, variables), z)
    assert 0.3 < images.std() < 3
    d = stylegan2.Discriminator(width=4, most=8)
    logits = jax.jit(partial(d.apply, train=True))(
        jax.tree_util.tree_map_with_path(at, _made(d, images)), images
    )
    assert 0.05 < logits.std() < 5


def test_adain_gives_each_channel_ws_mean_and_deviation(key):
    rng = np.random.default_rng(4)
    conv = stylegan2.StyledConv(5, norm="adain")
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((2, 4, 4, 3), (2, 6)))
    y, variables = jax.jit(conv.init_with_output)(key, x, w)
    style = variables["params"]["style"]
    style = {name: np.asarray(value) for name, value in style.items()}
    scale, shift = np.split(w @ style["kernel"] / np.sqrt(6) + style["bias"], 2, -1)
    np.testing.assert_allclose(y.mean((1, 2)), shift, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(y.std((1, 2)), np.abs(1 + scale), rtol=1e-3, atol=1e-4)


def test_a_mapping_without_layers_is_the_normalised_z(key, z):
    none = stylegan2.Mapping(6, 0)
    w, variables = none.init_with_output(key, z)
    assert variables == {}
    np.testing.assert_array_equal(w, pixel_norm(z))
    np.testing.assert_allclose(jnp.square(w).mean(1), 1, rtol=1e-5)
    for bad in (lambda: none.init(key, z[:, :5]), lambda: stylegan2.Mapping(6, 0, 3).init(key, z, SLOT)):
        with pytest.raises(ValueError, match="0 layers is the identity"):
            bad()
    with pytest.raises(ValueError, match="of 3 classes: label is None"):
        stylegan2.Mapping(6, 1, 3).init(key, z)


def test_psi_draws_to_the_mean_image(g, variables, z):
    images = {psi: _sample(g.clone(psi=psi), variables, z) for psi in (0.0, 0.5, 1.0)}
    mean = jnp.broadcast_to(variables["average"]["w"], (1, g.layers, 6))
    of = lambda w: jax.jit(lambda v, w: g.apply(v, w, method="synthesise"))(variables, w)  # noqa: E731
    for image in images[0.0]:
        np.testing.assert_allclose(image, of(mean)[0], rtol=1e-4, atol=1e-5)
    w = g.apply(variables, z, method="map")
    assert np.abs(w - mean[:, 0]).min() > 1e-4
    w = jnp.broadcast_to(w[:, None], (4, g.layers, 6))
    np.testing.assert_allclose(images[1.0], of(w), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(images[0.5], of(mean + 0.5 * (w - mean)), rtol=1e-4, atol=1e-4)
    some = jnp.array([0.0, 1, 1, 0.5])  # a layer its own
    each = _sample(g.clone(psi=tuple(some.tolist())), variables, z)
    np.testing.assert_allclose(each, of(mean + some[None, :, None] * (w - mean)), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="psi is a number, or 4 of them, not 2"):
        _sample(g.clone(psi=(0.5, 1.0)), variables, z)


def test_mixing_changes_what_comes_after_the_cut_alone(g, variables, z):
    """Seen from the styles that synthesis is given."""

    @jax.jit
    def given(v, z):
        def keep(next, args, kwargs, context):
            if context.module.name == "synthesis" and context.method_name == "__call__":
                seen.append(args[0])
            return next(*args, **kwargs)

        seen = []
        with stylegan2.nn.intercept_methods(keep):
            slot = jnp.arange(len(z))
            drawing = jax.random.key(3), slot
            g.apply(v, z, train=True, drawing=drawing, mutable=["average"])
            w = g.apply(v, z, method="map")
        return seen[0], w

    many = jnp.tile(z[:1], (400, 1))
    mixed, w = given(variables, many)
    own = np.asarray(jnp.abs(mixed - w[:, None]).max(-1) < 1e-6)
    cuts = own.sum(1)
    assert (own == (np.arange(4)[None] < cuts[:, None])).all()  # the first layers, and no other
    shares = np.bincount(cuts, minlength=5) / 400
    assert shares[0] == 0
    np.testing.assert_allclose(shares[1:], [0.3, 0.3, 0.3, 0.1], atol=0.08)
    assert len(np.unique(np.asarray(mixed[cuts < 4, -1, 0]))) > 300  # each has another z of its own


def test_noise_is_an_examples_own_in_training_and_kept_in_samples(g, variables, z):
    same = jnp.tile(z[:1], (4, 1))
    kept = _sample(g, variables, same)
    np.testing.assert_allclose(kept, np.broadcast_to(kept[:1], kept.shape), rtol=1e-4, atol=1e-5)
    trained = _trained(g.clone(mixing=None))
    first, moved = trained(variables, z, jax.random.key(1), SLOT)
    jax.tree.map(np.testing.assert_array_equal, *(v["noise"] for v in (moved, variables)))
    assert [x.shape for x in jax.tree.leaves(variables["noise"])] == [(4, 4), (8, 8), (8, 8)]
    turned, _ = trained(variables, z[::-1], jax.random.key(1), SLOT[::-1])
    np.testing.assert_allclose(turned[::-1], first, rtol=1e-4, atol=1e-5)
    other, _ = trained(variables, z, jax.random.key(2), SLOT)
    alike, _ = trained(variables, same, jax.random.key(1), SLOT)
    for a, b in ((first, other), (alike[0], alike[1])):
        assert np.abs(a - b).max() > 0.1
    off = g.clone(noise=False, mixing=None)
    bare = {**variables, "noise": {}}
    plain = jax.jit(
        lambda v, z, key: off.apply(v, z, train=True, drawing=(key, SLOT), mutable=["average"])[0]
    )
    images = [plain(bare, z, jax.random.key(i)) for i in (1, 2)]
    np.testing.assert_array_equal(*images)
    np.testing.assert_allclose(images[0], _sample(off, bare, z), rtol=1e-4, atol=1e-5)
    no_strength = jax.tree_util.tree_map_with_path(
        lambda p, x: 0 * x if "strength" in jax.tree_util.keystr(p) else x, variables
    )
    np.testing.assert_allclose(_sample(g, no_strength, z), _sample(off, bare, z), rtol=1e-4, atol=1e-5)
    assert np.abs(_sample(g, variables, z) - images[0]).max() > 0.1


def test_the_average_of_w_moves_in_training(g, variables, z):
    moved = jax.jit(lambda *args: _trained(g)(*args)[1])(variables, z, jax.random.key(1), SLOT)
    w = g.apply(variables, z, method="map").mean(0)
    expected = 0.998 * variables["average"]["w"] + 0.002 * w
    np.testing.assert_allclose(moved["average"]["w"], expected, rtol=1e-5)
    assert np.abs(expected - variables["average"]["w"]).max() > 1e-4


def test_a_shift_is_added_to_each_layers_w(g, variables, z):
    shift = jnp.asarray(np.random.default_rng(2).standard_normal((4, 4, 6), np.float32))
    w = g.apply(variables, z, method="map")[:, None] + shift
    shifted = jax.jit(lambda v, z, shift: g.apply(v, z, train=False, shift=shift))(variables, z, shift)
    synthesised = jax.jit(lambda v, w: g.apply(v, w, method="synthesise"))(variables, w)
    np.testing.assert_allclose(shifted, synthesised, rtol=1e-4, atol=1e-4)
    slope = jax.jit(jax.jacobian(lambda w: g.apply(variables, w, method="synthesise").std()))(w)
    assert np.abs(slope).sum((0, 2)).min() > 1e-3  # each layer's has a part
    with pytest.raises(ValueError, match=r"takes w \[B, 4, styles\], not \(4, 3, 6\)"):
        g.apply(variables, w[:, 1:], method="synthesise")


def test_two_devices_have_the_average_and_the_deviation_of_one(g, variables, z):
    d = stylegan2.Discriminator(width=4, most=8)

    def both(g, d, g_variables, d_variables, z, slot):
        drawing = jax.random.key(1), slot
        images, moved = g.apply(g_variables, z, train=True, drawing=drawing, mutable=["average"])
        return images, d.apply(d_variables, images, train=True), moved["average"]["w"]

    d_variables = _made(d, jnp.zeros((4, 8, 8, 1)))
    alone = jax.jit(partial(both, g, d))(variables, d_variables, z, SLOT)
    shards = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), (z, SLOT))
    over = lambda axis: jax.jit(  # noqa: E731
        jax.vmap(
            partial(both, g.clone(axis=axis), d.clone(axis=axis)), (None, None, 0, 0), axis_name="devices"
        )
    )
    images, logits, average = over("devices")(variables, d_variables, *shards)
    np.testing.assert_allclose(images.reshape(alone[0].shape), alone[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(logits.reshape(-1), alone[1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(average, np.stack([alone[2]] * 2), rtol=1e-5)
    apart = jax.jit(lambda *args: over(None)(*args)[2])(variables, d_variables, *shards)  # the control
    assert np.abs(apart[0] - apart[1]).max() > 1e-4


def test_labels_reach_both_networks(z):
    g = stylegan2.Generator(8, **SMALL, n_classes=3)
    d = stylegan2.Discriminator(width=4, most=8, n_classes=3, mapping=2)
    label = jnp.array([0, 1, 2, 1])
    images = jnp.asarray(np.random.default_rng(5).standard_normal((4, 8, 8, 1), np.float32))
    g_variables, d_variables = _made(g, z, label), _made(d, images, label)
    sample = jax.jit(lambda label: g.apply(g_variables, z, label, train=False))
    judge = jax.jit(lambda label: d.apply(d_variables, images, label, train=True))
    other = label.at[0].set(2)
    for f in (sample, judge):
        change = np.abs(f(label) - f(other)).reshape(4, -1).max(1)
        assert change[0] > 1e-3
        assert change[1:].max() < 1e-6
        assert np.isnan(f(label.at[0].set(3))).reshape(4, -1).any(1).tolist() == [True, False, False, False]


@pytest.mark.parametrize("size", [4, 12])
def test_sizes_are_powers_of_two(key, size):
    for call in (
        lambda: stylegan2.Generator(size, **SMALL).init(key, jnp.zeros((2, 6)), train=True),
        lambda: stylegan2.Discriminator(4).init(key, jnp.zeros((2, size, size, 1)), train=True),
    ):
        with pytest.raises(ValueError, match=f"16, 32, ... pixels, not {size}"):
            jax.eval_shape(call)


def test_bfloat16(g, variables, z):
    half = _sample(g.clone(dtype=jnp.bfloat16), variables, z)
    assert half.dtype == jnp.float32
    full = _sample(g, variables, z)
    np.testing.assert_allclose(half, full, atol=0.1 * float(jnp.abs(full).max()))
