"""Features of VGG19 (Simonyan and Zisserman 2015) by the weights that torchvision published, as
`vgg19-dcbb9e9d.pth` of PyTorch: the perceptual loss of SRGAN (Ledig et al. 2017, section 2.2.1).
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import torch_weights
from jaxgan.config import InputError
from jaxgan.nn.conv import conv

# Convolutions of each block, with their channels; a max pool comes after each block.
BLOCKS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
_SCALE = 1 / 12.75  # the paper's, which makes a mean square of features about one of pixels


def _names() -> list[list[str]]:
    """Each block's layers as the file names them: a ReLU follows each, and a pool each block."""
    names, at = [], 0
    for block in BLOCKS:
        names.append([f"features.{at + 2 * i}" for i in range(len(block))])
        at += 2 * len(block) + 1
    return names


def read(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """The convolutions' kernels f32[3, 3, C, O] and biases, by the file's names of the layers.

    Raises:
      InputError: if the file cannot be read, or is of another network.
    """
    path = Path(path).expanduser()
    try:
        found = torch_weights.read(path.read_bytes(), path)
    except OSError as e:
        raise InputError(f"--vgg {path} cannot be read ({e.strerror})") from None
    params, c = {}, 3
    for names, widths in zip(_names(), BLOCKS, strict=True):
        for name, o in zip(names, widths, strict=True):
            kernel, bias = found.get(f"{name}.weight"), found.get(f"{name}.bias")
            if np.shape(kernel) != (o, c, 3, 3) or np.shape(bias) != (o,):
                raise InputError(f"--vgg {path}: {name} is not VGG19's; give vgg19-dcbb9e9d.pth of PyTorch")
            if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
                raise InputError(f"--vgg {path}: {name} is not finite; give vgg19-dcbb9e9d.pth of PyTorch")
            params[name] = {"kernel": np.transpose(kernel, (2, 3, 1, 0)).copy(), "bias": bias}
            c = o
    return params


def features(params, x):
    """The maps after the last convolution and its ReLU, before the last pool, over 12.75, f32[B, h, w, F].

    Args:
      x: images f32[B, H, W, 1 or 3] in [-1, 1], of 16 pixels a side or more.
    """
    x = ((x + 1) / 2 - _MEAN.reshape(1, 1, 1, 3)) / _STD.reshape(1, 1, 1, 3)
    for i, names in enumerate(_names()):
        if i:
            b, h, w, c = x.shape
            x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))
        for name in names:
            of = params[name]
            x = jax.nn.relu(conv(x, jnp.asarray(of["kernel"]), (1, 1)) + of["bias"].reshape(1, 1, 1, -1))
    return x * _SCALE
