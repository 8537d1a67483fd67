"""Generators that their authors have published, as networks of this package, without running anything of the
files.

The one there is: StyleGAN2's (Karras et al. 2020, https://arxiv.org/abs/1912.04958), as
https://github.com/NVlabs/stylegan2-ada-pytorch writes it, and https://github.com/NVlabs/stylegan3 where its
configuration is stylegan2.

    generator, variables, latent = published.stylegan2("ffhq.pkl")
    images = generator.apply(variables, z, train=False)

    jaxgan sample ffhq.pkl --n 16 --psi 0.7
    jaxgan project ffhq.pkl me.png
"""

import io
import itertools
import math
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgan import random, sampling, torch_weights
from jaxgan.config import InputError
from jaxgan.game import GAN
from jaxgan.kinds.images import images
from jaxgan.nets import stylegan2 as nets
from jaxgan.torch_weights import Object, Tensor

_MOST, _DEPTH = 10_000, 8  # parts of a network, and how far within each other; StyleGAN2's are 70, and 4

_FORMS = "give a .pkl of stylegan2-ada-pytorch or stylegan3, or a state dict as .pt, .npz or .safetensors"


class Published(NamedTuple):
    """A generator, the variables that it is applied with, and how many numbers z has."""

    generator: nets.Generator
    variables: dict
    latent: int


class _Other(Exception):
    """What a file has instead of the generator."""


class _Network(NamedTuple):
    """Arrays by their names, and what else is known of the network; None: the file has arrays alone."""

    arrays: dict[str, Any]  # of `shape` and `dtype`, and by `_numbers` of numbers
    facts: dict[str, Any] | None


def _advice(what: str) -> str:
    """What to do about a file that holds something that is not read."""
    if what.startswith("dnnlib.tflib"):
        return (
            "it is of TensorFlow; `python legacy.py --source FILE --dest NEW.pkl` in stylegan2-ada-pytorch "
            "converts StyleGAN2's"
        )
    if not what or " " in what:  # nothing that has a name
        return _FORMS
    return (
        "nothing of the file was run; if you trust it, torch.save(G_ema.state_dict(), 'G.pt') where it is at "
        "home makes a file that is read"
    )


def _opened(path: Path, content: bytes):
    """What a file of any of the forms holds."""
    if content.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                of_numpy = any(name.endswith(".npy") for name in archive.namelist())
            if of_numpy:
                with np.load(io.BytesIO(content), allow_pickle=False) as found:
                    return dict(found)
        except Exception as e:  # a damaged archive can raise almost any
            raise InputError(f"{path} is damaged ({type(e).__name__}): fetch it again") from None
    if content[8:9] == b"{":
        try:
            from safetensors.numpy import load
        except ImportError as e:
            raise InputError(f"{path} takes the package safetensors: pip install 'jaxgan[export]'") from e
        try:
            return load(content)
        except Exception as e:
            raise InputError(f"{path} is damaged ({type(e).__name__}): fetch it again") from None
    return torch_weights.load(content, path, _advice)


def _taken_apart(network: Object) -> _Network:
    """The arrays and attributes of a network that was saved as objects."""
    arrays, facts, parts = {}, {}, itertools.count()

    def walk(part, at: str):
        if not isinstance(part, Object) or next(parts) > _MOST or at.count(".") > _DEPTH:
            raise _Other(f"has a part {at[:-1]!r} that is none of StyleGAN2's")
        parameters, buffers, inner = (part.state.get(k, {}) for k in ("_parameters", "_buffers", "_modules"))
        if not all(isinstance(own, dict) for own in (parameters, buffers, inner)):
            raise _Other(f"has a part {at[:-1]!r} that is no network's")
        own = {**parameters, **buffers}
        arrays.update({f"{at}{k}": x for k, x in own.items() if x is not None})
        facts.update({f"{at}{k}": x for k, x in part.state.items()})
        for name, x in inner.items():
            walk(x, f"{at}{name}.")

    walk(network, "")
    return _Network(arrays, facts)


def _network(found, key: str) -> _Network:
    """The network of that name in a file, or the only one."""
    if isinstance(found, dict):
        found = found.get(key, found)
    if isinstance(found, Object):
        if found.class_name != "Generator":
            raise _Other(f"holds an object of {found.class_name}, not of Generator")
        return _taken_apart(found)
    if not isinstance(found, dict):
        raise _Other(f"holds no network: {_FORMS}")
    for kind in (Object, Mapping):
        if networks := [str(k) for k, x in found.items() if isinstance(x, kind)]:
            raise _Other(f"has no {key!r}, but {', '.join(networks)}")
    return _Network({str(k): x for k, x in found.items()}, None)


def _shape(network: _Network, name: str, axes: int) -> tuple[int, ...]:
    if name not in network.arrays:
        raise _Other(f"has no {name}, which a generator of StyleGAN2 has")
    shape = network.arrays[name].shape
    if len(shape) != axes or 0 in shape:
        raise _Other(f"has {name} {list(shape)}, which is none of StyleGAN2's")
    return shape


def _sizes(network: _Network) -> tuple[dict, int]:
    """Of the generator, as its fields; and of its latent.

    Raises:
      _Other: if a generator of this package has none such.
    """
    arrays = network.arrays
    for name, x in arrays.items():
        if not isinstance(x, Tensor | np.ndarray):
            raise _Other(f"has {name!r}, which is no array: {_FORMS}")
    if "synthesis.b4.const" not in arrays:
        if "b4.out.weight" in arrays:
            raise _Other("holds a discriminator, not a generator")
        if any(name.startswith("synthesis.input.") for name in arrays):
            raise _Other("holds a generator of StyleGAN3, not of StyleGAN2")
    _shape(network, "synthesis.b4.const", 3)
    found = [re.fullmatch(r"synthesis\.b(\d{1,5})\.conv1\.weight", name) for name in arrays]
    sides = sorted(int(match[1]) for match in found if match)
    if len(sides) < 2 or sides != [4 << i for i in range(len(sides))]:
        raise _Other(f"has layers of {', '.join(map(str, sides))} pixels, which are 4, 8, ... to 8 or more")
    if any(name.endswith(".skip.weight") for name in arrays) or "synthesis.b4.torgb.weight" not in arrays:
        raise _Other("has a synthesis of the architecture resnet or orig; this package has skip alone")
    features = {side: _shape(network, f"synthesis.b{side}.conv1.weight", 4)[0] for side in sides}
    side, most = sides[-1], max(features.values())
    for own, n in features.items():
        if n != min(features[side] * side // own, most):
            raise _Other(f"has {list(features.values())} channels, which are not doubled inward up to a most")
    (styles,) = _shape(network, "mapping.w_avg", 1)
    layers = [re.match(r"mapping\.fc(\d{1,3})\.", name) for name in arrays]
    layers = 1 + max((int(match[1]) for match in layers if match), default=0)
    classes = _shape(network, "mapping.embed.weight", 2)[1] if "mapping.embed.weight" in arrays else None
    latent = _shape(network, "mapping.fc0.weight", 2)[1] - (0 if classes is None else styles)
    if latent < 1:
        raise _Other("makes w of a label alone, without z")
    size = dict(width=features[side], most=most, styles=styles, mapping=layers, n_classes=classes)
    channels = _shape(network, f"synthesis.b{side}.torgb.weight", 4)[0]
    noise = any(name.endswith(".noise_strength") for name in arrays)
    return dict(image_size=side, channels=channels, noise=noise, **size), latent


def _check(network: _Network) -> None:
    """Raises _Other if the network is known to compute something else than this package's."""
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    for name, x in network.arrays.items():
        if name.endswith("resample_filter"):
            x = _numbers(name, x)
            if x.shape != taps.shape or np.abs(x - taps).max() > 1e-6:
                raise _Other(f"has {name}, a filter that is not (1, 3, 3, 1)")
    for name, x in (network.facts or {}).items():
        layer = re.fullmatch(r"(?:mapping\.fc\d+|synthesis\.b\d+\.conv[01])\.activation", name)
        if layer and x != "lrelu":
            raise _Other(f"has the activation {x!r}, not lrelu")
        slow = isinstance(x, float) and math.isclose(x, 0.01)
        if re.fullmatch(r"mapping\.fc\d+\.bias_gain", name) and not slow:
            raise _Other(f"has a mapping that learns {x} times as fast, not 0.01 times")


def _clamp(network: _Network, path: Path, given: float | None) -> float | None:
    """At what each layer is cut off."""
    if given is not None:
        return None if given == math.inf else given
    if network.facts is None:
        warnings.warn(
            f"{path} tells no conv_clamp, and no layer is cut off: give clamp=256 where it was trained in "
            "float16, clamp=math.inf where it was not",
            stacklevel=3,
        )
        return None
    layers = r"synthesis\.b\d+\.(?:conv[01]|torgb)\.conv_clamp"
    found = [x for name, x in network.facts.items() if re.fullmatch(layers, name)]
    clamp = found[0] if found else None
    if any(x != clamp for x in found):
        raise _Other(f"has layers that are cut off at different places, {found}")
    if clamp is not None and not (isinstance(clamp, int | float) and clamp > 0):
        raise _Other(f"has a conv_clamp {clamp!r}, which is no number above 0")
    return clamp


_AS_IT_IS, _DENSE, _CONV, _CONSTANT = (0,), (1, 0), (2, 3, 1, 0), (1, 2, 0)


def _places(generator: nets.Generator) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Of each array of theirs by its name: where this package has it, and its axes there."""
    found = {
        "mapping.w_avg": ("average/w", _AS_IT_IS),
        "synthesis.b4.const": ("params/synthesis/constant", _CONSTANT),
    }

    def layer(theirs: str, ours: str, axes):
        found[f"{theirs}.weight"] = f"params/{ours}/kernel", axes
        found[f"{theirs}.bias"] = f"params/{ours}/bias", _AS_IT_IS

    if generator.n_classes is not None:
        layer("mapping.embed", "mapped/embed", _DENSE)
    for i in range(generator.mapping):
        layer(f"mapping.fc{i}", f"mapped/dense{i}", _DENSE)
    convs = itertools.count()
    for side in (4 << i for i in range(generator.layers // 2)):
        names = {"conv0": "conv{}_up", "conv1": "conv{}_same", "torgb": "colours{}"}
        for name, own in names.items():
            if (side, name) == (4, "conv0"):
                continue
            theirs, ours = f"synthesis.b{side}.{name}", f"synthesis/{own.format(side)}"
            layer(theirs, ours, _CONV)
            layer(f"{theirs}.affine", f"{ours}/style", _DENSE)
            if name != "torgb" and generator.noise:
                found[f"{theirs}.noise_strength"] = f"params/{ours}/strength", ()
                found[f"{theirs}.noise_const"] = f"noise/synthesis/kept/layer{next(convs)}", (0, 1)
    return found


def _numbers(name: str, x) -> np.ndarray:
    """An array's."""
    x = x.array() if isinstance(x, Tensor) else x
    if not np.issubdtype(x.dtype, np.floating):
        raise _Other(f"has {name} of {x.dtype}, not of floats")
    return np.asarray(x, np.float32)


def _turned(name: str, x: np.ndarray, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """An array as this package has it."""
    if x.ndim != len(axes) or tuple(x.shape[i] for i in axes) != shape:
        theirs = [shape[axes.index(i)] for i in range(len(axes))]
        raise _Other(f"has {name} {list(x.shape)}, where the other layers take {theirs}")
    if name.endswith(".conv0.weight"):
        # Their transposed convolution turns the kernel around, as a convolution in the strict sense; the one
        # of this package is a correlation, as all others.
        x = x[:, :, ::-1, ::-1]
    return x.transpose(axes).copy()


def _variables(network: _Network, generator: nets.Generator, latent: int) -> dict:
    places = _places(generator)
    for name in places:
        if name not in network.arrays:
            raise _Other(f"has no {name}, which a generator of StyleGAN2 has")
    for name in network.arrays:
        if name not in places and not name.endswith("resample_filter"):
            raise _Other(f"has {name}, which a generator of StyleGAN2 has not")
    z = jax.ShapeDtypeStruct((1, latent), jnp.float32)
    label = () if generator.n_classes is None else (jax.ShapeDtypeStruct((1,), jnp.int32),)
    init = partial(generator.init, train=False)
    shapes = flatten_dict(jax.eval_shape(init, jax.random.key(0), z, *label), sep="/")
    found = {
        ours: _turned(name, _numbers(name, network.arrays[name]), axes, shapes[ours].shape)
        for name, (ours, axes) in places.items()
    }
    return jax.device_put(unflatten_dict(found, sep="/"))


def stylegan2(path: str | Path, key: str = "G_ema", *, clamp: float | None = None) -> Published:
    """A generator of StyleGAN2's from a `.pkl` of stylegan2-ada-pytorch or stylegan3, or from its state dict
    as a `.pt` of `torch.save`, an `.npz` or a `.safetensors`. Nothing that the file asks to be called is
    called, and the source code in it is not looked at.

    It computes in float32 what the PyTorch network does with `force_fp32`; layers that this would have in
    float16 on a GPU differ by rounding. Its fixed noise, `noise_mode="const"`, is the collection "noise", and
    with `drawing`, as in training, noise is drawn anew. No styles are mixed unless by
    `generator.clone(mixing=0.9)`. Truncation of the first n layers alone, `truncation_cutoff`, is
    `generator.clone(psi=(psi,) * n + (1.0,) * (generator.layers - n))`.

    Args:
      key: which network of several; G is the one that was trained, without an average.
      clamp: at what each layer is cut off, `conv_clamp` there; None: as the file says, and with a warning not
        at all where that has arrays alone; math.inf: not at all.

    Raises:
      InputError: if the file cannot be read, is damaged, names what is not read, or has no such generator.
    """
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
    except OSError as e:
        raise InputError(f"{path} cannot be read ({e.strerror})") from None
    try:
        network = _network(_opened(path, content), key)
        size, latent = _sizes(network)
        _check(network)
        generator = nets.Generator(**size, mixing=None, clamp=_clamp(network, path, clamp))
        return Published(generator, _variables(network, generator, latent), latent)
    except _Other as e:
        raise InputError(f"{path} {e}") from None


@dataclass(frozen=True)
class Config:
    """Where a generator is from."""

    file: str
    key: str
    psi: float | tuple[float, ...]


def load(
    path: str | Path,
    key: str = "G_ema",
    *,
    psi: float | tuple[float, ...] = 1.0,
    clamp: float | None = None,
) -> sampling.Generator:
    """The same, to sample from, project to, explore and export as a generator that `jaxgan.load` gives.

    Args:
      psi: of w's distance from its mean in samples, or one number for each layer.

    Raises:
      InputError: as `stylegan2`, and if psi is something else.
    """
    generator, variables, latent = stylegan2(path, key, clamp=clamp)
    if np.shape(psi) not in ((), (generator.layers,)) or not np.isfinite(psi).all():
        raise InputError(f"psi is a finite number, or {generator.layers} of them, not {psi}")
    generator = generator.clone(psi=psi)

    def sample(variables, z, *label):
        return generator.apply(variables, z, *label, train=False)

    def styles(variables, z, *label):
        w = generator.apply(variables, z, *label, method=generator.map)
        return jnp.broadcast_to(w[:, None], (len(w), generator.layers, w.shape[-1]))

    def synthesise(variables, w):
        return generator.apply(variables, w, method=generator.synthesise)

    gan = GAN(
        None,  # a generator without a discriminator is not trained
        None,
        None,
        partial(random.normal, shape=(latent,)),
        sample,
        condition=None if generator.n_classes is None else "label",
        styles=styles,
        synthesise=synthesise,
    )
    asked = None if generator.n_classes is None else {"label": np.arange(generator.n_classes, dtype=np.int32)}
    config = Config(str(path), key, psi)
    return sampling.Generator(gan, variables, config, images, {}, asked, step=0, averaged=key == "G_ema")
