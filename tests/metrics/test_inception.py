"""The reference values are pytorch-fid 0.3.0's (PyTorch 2.13.0, torchvision 0.28.0), with `_state` as its
weights: for each level a few features of two images."""

import hashlib
import zlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxgan import cache
from jaxgan.config import InputError
from jaxgan.metrics import inception
from jaxgan.metrics.inception import LEVELS, Inception, Weights, features, fold, load
from jaxgan.metrics.resize import scaled

SMALL = {  # of images of 107x123, not resized: the last block sees 2x2 pixels
    "64": ([7, 16, 55], [[0.629938, 2.144180, 1.620165], [0.140684, 1.462245, 1.530117]]),
    "192": ([5, 17, 175], [[5.819518, 1.654209, 0.593805], [3.891070, 1.069413, 0.959887]]),
    "768": ([7, 21, 758], [[0.117749, 0.196531, 0.090040], [0.237519, 0.121132, 0.075413]]),
    "2048": ([4, 14, 2034], [[0.344096, 0.132598, 0.494910], [0.304349, 0.126132, 0.465577]]),
    "logits": ([5, 25, 991], [[1.030628, 0.109780, 0.154409], [0.853119, 0.125837, 0.280995]]),
    "logits_unbiased": ([7, 27, 994], [[0.342059, 0.720965, 0.416443], [0.443184, 0.551744, 0.423411]]),
}
PADDING_COUNTED = {
    "768": ([7, 21, 758], [[0.173660, 0.118534, 0.068756], [0.288043, 0.087381, 0.067199]]),
    "2048": ([4, 14, 2034], [[0.447775, 0.370471, 0.379508], [0.398267, 0.319429, 0.265736]]),
}
LAST_POOL_AVERAGED = {
    "768": SMALL["768"],
    "2048": ([4, 14, 2034], [[0.344096, 0.132598, 0.309317], [0.304349, 0.126132, 0.169306]]),
}
# Of images of 40x56, resized.
FULL = ([4, 14, 45], [[0.950179, 0.160725, 0.162949], [0.883272, 0.178293, 0.155833]])


def _images(height, width):
    x = np.random.default_rng(1).integers(0, 256, (2, height, width, 3), np.uint8)
    x[1] //= np.arange(1, width + 1, dtype=np.uint8)[:, None]
    return x


def _state():
    """A state dict under which activations keep their size: each array is drawn by its name."""

    def draw(key, shape):
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        if key.endswith(("conv.weight", "fc.weight")):
            x = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif key.endswith("running_var"):
            x = rng.uniform(0.5, 2, shape)
        elif key.endswith("bn.weight"):
            x = rng.uniform(0.7, 1.3, shape)
        else:
            x = rng.normal(0, 0.2, shape)
        return np.float32(x)

    image = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    params = jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]
    shapes = {}
    for (*layer, part), x in flatten_dict(params).items():
        layer = ".".join(layer)
        if layer == "fc":
            shapes |= {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
        elif part == "kernel":
            shapes[f"{layer}.conv.weight"] = tuple(x.shape[axis] for axis in (3, 2, 0, 1))
            names = ("weight", "bias", "running_mean", "running_var")
            shapes |= {f"{layer}.bn.{name}": x.shape[3:] for name in names}
    return {key: draw(key, shape) for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def state():
    return _state()


@pytest.fixture(scope="module")
def weights(state):
    return Weights(fold(state), "0" * 64)


def _levels(weights):
    return jax.jit(Inception().apply)({"params": weights.params}, scaled(np.float32(_images(107, 123))))


def _close(found, expected):
    for level, (index, values) in expected.items():
        np.testing.assert_allclose(found[level][:, np.array(index)], values, rtol=1e-4, err_msg=level)


def test_every_level_is_pytorch_fids(weights):
    found = _levels(weights)
    assert set(found) == set(LEVELS)
    _close(found, SMALL)
    for level in ("64", "192", "768", "2048"):
        assert found[level].shape == (2, int(level))
    bias = weights.params["fc"]["bias"]
    np.testing.assert_allclose(found["logits"] - bias[None], found["logits_unbiased"], atol=1e-6)
    for wrong in (PADDING_COUNTED, LAST_POOL_AVERAGED):
        with pytest.raises(AssertionError, match="2048"):
            _close({"2048": found["2048"]}, {"2048": wrong["2048"]})


@pytest.mark.slow
def test_counted_padding_is_another_network(weights, monkeypatch):
    monkeypatch.setattr(inception, "_avg_pool", lambda x: nn.avg_pool(x, (3, 3), (1, 1), "SAME"))
    found = _levels(weights)
    _close(found, PADDING_COUNTED)
    with pytest.raises(AssertionError, match="768"):
        _close(found, SMALL)


@pytest.mark.slow
def test_an_average_in_the_last_block_is_another_network(weights, monkeypatch):
    pool = inception._max_pool
    monkeypatch.setattr(
        inception,
        "_max_pool",
        lambda x, stride=2, padding="VALID": inception._avg_pool(x) if stride == 1 else pool(x),
    )
    found = _levels(weights)
    _close(found, LAST_POOL_AVERAGED)
    with pytest.raises(AssertionError, match="2048"):
        _close(found, SMALL)


@pytest.mark.slow
def test_features_are_pytorch_fids(weights):
    found = features(_images(40, 56), weights)
    _close({"2048": found}, {"2048": FULL})
    single = features(_images(40, 56), weights, batch_size=1)
    np.testing.assert_allclose(single, found, rtol=1e-5, atol=1e-5)


def test_features_do_not_depend_on_the_batch_size(weights):
    images = np.concatenate([_images(40, 56), _images(40, 56)[:, ::-1], _images(40, 56)[:1]])
    whole = features(images, weights, level=64)
    assert whole.shape == (5, 64)
    assert whole.dtype == np.float32
    parts = features(images, weights, level="64", batch_size=2)
    # Of each image's largest: a feature that is all but 0 is a difference of larger numbers.
    assert (np.abs(parts - whole) / whole.max(1, keepdims=True)).max() < 1e-6
    np.testing.assert_array_equal(whole[0], whole[4])
    np.testing.assert_array_equal(parts[0], parts[4])
    assert np.abs(whole[0] - whole[2]).max() > 0.01


def test_grey_images_are_shown_in_three_channels(weights):
    grey = _images(40, 56)[..., :1]
    a, b = (features(x, weights, level=64) for x in (grey, grey.repeat(3, -1)))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_bad_images(weights):
    good = _images(8, 8)
    for bad, message in (
        (good / 255, "uint8 in 0 to 255, not float64"),
        (good.astype(np.int32), "not int32"),
        (good[0], r"\[N, H, W, C\] with 1 or 3 channels, not \[8, 8, 3\]"),
        (good[..., :2], r"not \[2, 8, 8, 2\]"),
        (good[:0], r"not \[0, 8, 8, 3\]"),
        (good.transpose(0, 3, 1, 2), r"not \[2, 3, 8, 8\]"),
    ):
        with pytest.raises(InputError, match=message):
            features(bad, weights)
    with pytest.raises(InputError, match="level '2047' is not one of 64, .*did you mean '2048'"):
        features(good, weights, level=2047)
    with pytest.raises(InputError, match="resize 'cleen' is not one of .*did you mean 'clean'"):
        features(good, weights, resize="cleen")
    with pytest.raises(InputError, match="batch_size 0"):
        features(good, weights, batch_size=0)


def test_batch_norm_is_folded(state, weights):
    layer = "Mixed_6b.branch7x7_2"
    rng = np.random.default_rng(0)
    patch = rng.normal(size=(1, 7, 128))
    kernel = state[f"{layer}.conv.weight"].astype(float)
    x = np.einsum("hwi,oihw->o", patch, kernel)
    gain, shift, mean, variance = (
        state[f"{layer}.bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    expected = (x - mean) / np.sqrt(variance + 1e-3) * gain + shift
    folded = weights.params["Mixed_6b"]["branch7x7_2"]
    found = np.einsum("hwi,hwio->o", patch, folded["kernel"]) + folded["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_weights_of_another_network_are_refused(state):
    counted = {**state, "Conv2d_1a_3x3.bn.num_batches_tracked": np.int64(0)}
    assert set(fold(counted)) == set(fold(state))
    missing = {key: x for key, x in state.items() if key != "Mixed_7c.branch_pool.bn.bias"}
    nan = state["fc.bias"].copy()
    nan[3] = np.nan
    for bad, message in (
        (missing, "x.pth has no Mixed_7c.branch_pool.bn.bias: give pytorch-fid's"),
        ({**state, "AuxLogits.fc.bias": nan}, "x.pth has AuxLogits.fc.bias as well"),
        ({**state, "fc.bias": nan[:1000]}, r"x.pth: fc.bias is \(1000,\), not \(1008,\)"),
        ({**state, "fc.bias": nan}, "x.pth: fc.bias is not finite"),
        ({**state, "Mixed_5b.branch1x1.bn.running_var": -np.ones(64)}, "running_var is below 0"),
    ):
        with pytest.raises(InputError, match=message):
            fold(bad, "x.pth")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small file in the place of the published one, whose contents are taken for weights."""
    path = tmp_path / "server" / "pt_inception.pth"
    path.parent.mkdir()
    path.write_bytes(b"the weights")
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXGAN_INCEPTION", raising=False)
    monkeypatch.setattr(inception, "URL", path.as_uri())
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(b"the weights").hexdigest())
    monkeypatch.setattr(inception.torch_weights, "read", lambda content, name: content)
    monkeypatch.setattr(inception, "fold", lambda state, name: {"is": state})
    return path


def test_the_published_file_is_downloaded_once(published):
    found = load()
    assert found.params == {"is": b"the weights"}
    assert found.name == f"inception-2015-12-05 {inception.SHA256[:16]}"
    published.unlink()
    assert load() == found
    kept = cache.folder() / "inception" / published.name
    kept.write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be had .* name the file in .JAXGAN_INCEPTION"):
        load()
    published.write_bytes(b"another file")
    with pytest.raises(InputError, match="is not the published file: its SHA-256 is"):
        load()
    assert kept.read_bytes() == b"damaged"
    published.write_bytes(b"the weights")
    assert load() == found


def test_a_file_of_ones_own(published, tmp_path, monkeypatch):
    own = tmp_path / "own.pth"
    own.write_bytes(b"other weights")
    found = load(own)
    assert found.params == {"is": b"other weights"}
    assert found.name == f"inception {found.sha256[:16]}"  # and not that of 2015
    monkeypatch.setenv("JAXGAN_INCEPTION", str(own))
    assert load() == found
    monkeypatch.setenv("JAXGAN_INCEPTION", "")
    assert load().params == {"is": b"the weights"}
    with pytest.raises(InputError, match="nothing.pth cannot be read .No such file"):
        load(tmp_path / "nothing.pth")
