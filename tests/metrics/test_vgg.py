"""VGG19's features, by a small file of the published layout."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from jaxgan import torch_weights
from jaxgan.config import InputError
from jaxgan.metrics import vgg

BLOCKS = ((2, 3), (4, 4), (5, 5, 5, 5), (6, 6, 6, 6), (7, 7, 7, 7))


@pytest.fixture
def small(monkeypatch):
    """Weights of a narrow network as the file has them, f32[O, C, 3, 3]."""
    monkeypatch.setattr(vgg, "BLOCKS", BLOCKS)
    rng, c, found = np.random.default_rng(0), 3, {}
    for names, widths in zip(vgg._names(), BLOCKS, strict=True):
        for name, o in zip(names, widths, strict=True):
            found[f"{name}.weight"] = rng.normal(size=(o, c, 3, 3), scale=0.4).astype(np.float32)
            found[f"{name}.bias"] = rng.normal(size=o, scale=0.3).astype(np.float32)
            c = o
    return found


def _naive(weights, image):
    """[H, W, 3] in [-1, 1] -> [F, h, w], channel by channel."""
    x = ((image + 1) / 2 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x, at = x.transpose(2, 0, 1), 0
    for i, block in enumerate(BLOCKS):
        if i:
            x = np.stack([c.reshape(len(c) // 2, 2, -1, 2).max((1, 3)) for c in x])
        for _ in block:
            w, b = weights[f"features.{at}.weight"], weights[f"features.{at}.bias"]
            x = [sum(signal.correlate2d(c, k, "same") for c, k in zip(x, own, strict=True)) for own in w]
            x, at = np.maximum(np.stack(x) + b[:, None, None], 0), at + 2
        at += 1
    return x / 12.75


def test_its_features_are_those_of_the_layers_one_by_one(small, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_weights, "read", lambda content, name: small)
    (tmp_path / "x.pth").touch()
    params = vgg.read(tmp_path / "x.pth")
    assert list(params)[:3] == ["features.0", "features.2", "features.5"]
    assert list(params)[-1] == "features.34"
    image = np.random.default_rng(1).uniform(-1, 1, (2, 32, 32, 3))
    found = vgg.features(params, jnp.asarray(image, jnp.float32))
    for x, y in zip(found, image, strict=True):
        expected = _naive(small, y)
        assert expected.max() > 1e-4
        np.testing.assert_allclose(x.transpose(2, 0, 1), expected, rtol=1e-3, atol=1e-5)
    grey = vgg.features(params, jnp.asarray(image[..., :1], jnp.float32))
    as_colours = vgg.features(params, jnp.asarray(image[..., :1].repeat(3, -1), jnp.float32))
    np.testing.assert_allclose(grey, as_colours, atol=1e-6)


def test_another_file_is_a_line(small, tmp_path, monkeypatch):
    (tmp_path / "x.pth").write_bytes(b"no weights")
    for path, told in (("none.pth", "none.pth cannot be read"), ("x.pth", "is not a file of PyTorch's")):
        with pytest.raises(InputError, match=re.escape(told)):
            vgg.read(tmp_path / path)
    for name, x in (("features.28.bias", small["features.28.bias"][:-1]), ("features.0.weight", None)):
        monkeypatch.setattr(torch_weights, "read", lambda content, path, name=name, x=x: small | {name: x})
        told = f"{name.rpartition('.')[0]} is not VGG19's"
        with pytest.raises(InputError, match=re.escape(told)):
            vgg.read(tmp_path / "x.pth")
    spoilt = small | {"features.5.bias": np.full_like(small["features.5.bias"], np.nan)}
    monkeypatch.setattr(torch_weights, "read", lambda content, path: spoilt)
    with pytest.raises(InputError, match=re.escape("features.5 is not finite")):
        vgg.read(tmp_path / "x.pth")


def test_the_published_network_is_expected():
    assert [len(block) for block in vgg.BLOCKS] == [2, 2, 4, 4, 4]
    layers = [name for block in vgg._names() for name in block]
    assert layers == [f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)]
