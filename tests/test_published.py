"""The reference values are of the published generator written a second time, in PyTorch 2.13.0 and float64;
from it the authors' own code in float32 is less than 1e-5 away. Each is a sum of an image or a slope times
numbers drawn by its name: of the image, of z, and of each array of `_shapes`."""

import io
import os
import pickle
import warnings
import zipfile
import zlib
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors import numpy

from jaxgan import cli, projector, published, random
from jaxgan.config import InputError

LATENT, STYLES = 5, 6
# pixels, channels of the image, of each size, classes, mapping layers, psi of each layer, clamp
CASES = {
    "plain": (8, 1, (8, 4), None, 2, 1.0, None),
    "labels": (16, 3, (8, 8, 4), 3, 3, 0.7, 1.5),
    "cutoff": (8, 3, (4, 4), None, 1, (0.5, 0.5, 1.0, 1.0), None),
}
# fmt: off
REFERENCE = {
    "plain": [
        -51.99431, -60.9727, -45.62981, 119.7302, 64.11806, 58.77835, 0, 52.92513, -10.28388, -13.31808,
        16.07123, -8.401043, -39.35266, -4.511798, -2.152987, -7.988049, 37.3215, -14.91895, -18.42678,
        -46.88191, -95.34209, -18.81072, -15.93907, 41.61297, -101.9841, -17.57232, -6.503999, 9.150755,
        -48.37828, 41.44383, 8.585707, 9.085376, -241.5843, -42.21192,
    ],
    "labels": [
        -27.94392, -5.935961, -22.88728, 17.90456, -10.65437, 23.33127, -7.978382, -9.501749, -6.604992,
        -9.151495, -31.67772, -7.512554, 0.349557, -14.4095, -8.593634, -7.303448, -20.82914, 12.50318,
        12.80403, -23.6887, -32.97713, -29.41921, 19.36038, 6.015237, 0.3382366, 0.03017918, -3.013224,
        -4.818595, 10.02158, -3.173823, -3.075684, -1.162121, 69.19261, -10.86636, 0.9620374, 2.883542,
        2.620786, 0.9312386, 18.20387, -95.64815, -5.809437, 12.1177, -2.946146, -17.61124, 0.3001549,
        11.61138, 13.37451, -18.55335, -4.038492, -7.264122, 7.919445, 8.309011, 29.86765, 9.241282,
    ],
    "cutoff": [
        -97.65573, 49.14681, 212.9192, -72.38826, -84.4516, -21.66859, -29.68639, 3.523979, -3.521644,
        -22.39534, -10.11234, 13.12927, -20.44217, 2.901987, 4.633916, -18.82419, -60.77053, 38.27203,
        -78.8394, 8.074116, 0.6816618, -1.181903, 169.9061, 27.33239, -42.05214, 19.16731, 16.46907,
        -21.90704, -8.760429, 8.893639, 30.13296, 44.5001,
    ],
}
# fmt: on


def _shapes(side, channels, features, classes, layers, noise=True):
    """The arrays of the published generator, by name."""
    found = {}

    def layer(name, *shape, bias):
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, (bias,)

    if classes:
        layer("mapping.embed", STYLES, classes, bias=STYLES)
    for i in range(layers):
        taken = STYLES if i else LATENT + (STYLES if classes else 0)
        layer(f"mapping.fc{i}", STYLES, taken, bias=STYLES)
    found["mapping.w_avg"] = (STYLES,)
    found["synthesis.b4.const"] = (features[0], 4, 4)
    before = features[0]
    for i, n in enumerate(features):
        taken = {"conv0": before, "conv1": n, "torgb": n}
        for name in taken if i else ("conv1", "torgb"):
            at, kernel = f"synthesis.b{4 << i}.{name}", (1, 1) if name == "torgb" else (3, 3)
            made = channels if name == "torgb" else n
            layer(at, made, taken[name], *kernel, bias=made)
            layer(f"{at}.affine", taken[name], STYLES, bias=taken[name])
            if noise and name != "torgb":
                found |= {f"{at}.noise_const": (4 << i,) * 2, f"{at}.noise_strength": ()}
        before = n
    return found


def _drawn(name, shape):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    # What learns a hundredth as fast is kept a hundred times as large.
    return np.asarray(rng.standard_normal(shape) * (100 if ".fc" in name else 1), np.float32)


def _state(*case, of="", **options):
    return {name: _drawn(of + name, shape) for name, shape in _shapes(*case, **options).items()}


class _Call:
    """What a pickle has called, in the file alone."""

    def __init__(self, module, name, *args, state=None):
        self.named, self.args, self.state = f"c{module}\n{name}\n".encode(), args, state


def _pickled(x):
    """Opcodes that push it."""
    if isinstance(x, _Call):
        built = b"" if x.state is None else _pickled(x.state) + b"b"
        return x.named + _pickled(x.args) + b"R" + built
    if isinstance(x, dict):
        return b"}" + b"".join(_pickled(k) + _pickled(v) + b"s" for k, v in x.items())
    if isinstance(x, tuple):
        return b"(" + b"".join(map(_pickled, x)) + b"t"
    if isinstance(x, bytes) and x.startswith(b"opcodes:"):
        return x.removeprefix(b"opcodes:")
    return pickle.dumps(x, 3)[2:-1]


def _dump(x):
    return b"\x80\x03" + _pickled(x) + b"."


def _storage(x, key="5"):
    """Opcodes that push a storage of PyTorch's."""
    return f"(Vstorage\nctorch\nFloatStorage\nV{key}\nVcpu\nI{x.size}\nNtQ".encode()


def _view(x, storage):
    strides = tuple(n // 4 for n in np.empty(x.shape, np.float32).strides)
    hooks = _Call("collections", "OrderedDict")
    return _Call("torch._utils", "_rebuild_tensor_v2", storage, 0, x.shape, strides, False, hooks)


def _embedded(x, pickled=None):
    """A storage as `torch.storage` pickles it: a file within the file."""
    system = {"protocol_version": 1001, "little_endian": True}
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
    parts += [b"\x80\x02" + (pickled or _storage(x)) + b".", pickle.dumps(["5"], 2)]
    content = b"".join(parts) + x.size.to_bytes(8, "little") + x.tobytes()
    return _Call("torch.storage", "_load_from_bytes", content)


def _float(x):
    kind = _Call("numpy", "dtype", "f8", False, True, state=(3, "<", None, None, None, -1, -1, 0))
    return _Call("numpy.core.multiarray", "scalar", kind, np.float64(x).tobytes())


SOURCE = "import os\nos.mkdir({!r})\nclass Generator: pass\n"


def _object(name, state, source=""):
    meta = {"type": "class", "version": 6, "module_src": source, "class_name": name, "state": state}
    return _Call("torch_utils.persistence", "_reconstruct_persistent_obj", meta)


def _module(arrays, facts, name="Generator", at="", source=""):
    """The object of a network of these arrays and attributes."""
    own, inner = {}, {}
    for path, x in arrays.items():
        first, dot, rest = path.partition(".")
        if dot:
            inner.setdefault(first, {})[rest] = x
        else:
            own[first] = x
    tensor = {k: _view(x, _embedded(x)) for k, x in own.items()}
    hooks = _Call("collections", "OrderedDict")
    state = {
        "training": False,
        "_parameters": {
            k: _Call("torch._utils", "_rebuild_parameter", x, False, hooks)
            for k, x in tensor.items()
            if k in ("weight", "bias")
        },
        "_buffers": {k: x for k, x in tensor.items() if k not in ("weight", "bias")} | {"unused": None},
        "_non_persistent_buffers_set": set(),
        "_modules": {k: _module(x, facts, "Layer", f"{at}{k}.", source) for k, x in inner.items()},
        "act_gain": _float(np.sqrt(2)),
    }
    state |= {k.removeprefix(at): x for k, x in facts.items() if k.rpartition(".")[0] + "." == at}
    return _object(name, state, source)


def _pkl(arrays, clamp=None, more=(), source="", **others):
    facts = {}
    for name in arrays:
        layer, _, last = name.rpartition(".")
        if last == "weight" and layer.rpartition(".")[2] in ("conv0", "conv1", "torgb"):
            facts[f"{layer}.conv_clamp"] = clamp
        if last == "weight" and ".fc" in layer:
            facts |= {f"{layer}.bias_gain": 0.01, f"{layer}.activation": "lrelu"}
    g = _module(arrays, facts | dict(more), source=source)
    options = _Call("dnnlib.util", "EasyDict")
    return _dump({"training_set_kwargs": options, "G": g, "D": None, "G_ema": g} | others)


def _pt(arrays):
    """A state dict in a zip of PyTorch's."""
    file = io.BytesIO()
    views = {name: _view(x, b"opcodes:" + _storage(x, str(i))) for i, (name, x) in enumerate(arrays.items())}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", _dump(views))
        for i, x in enumerate(arrays.values()):
            archive.writestr(f"a/data/{i}", x.tobytes())
    return file.getvalue()


def _npz(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _safetensors(arrays):
    return numpy.save(arrays)


@pytest.fixture
def read(tmp_path):
    """A file's content -> what it is read as."""

    def of(content, **options):
        (tmp_path / "g.pkl").write_bytes(content)
        return published.stylegan2(tmp_path / "g.pkl", **options)

    return of


@pytest.fixture
def told(read):
    """A file's content -> the line that tells what is wrong with it."""

    def of(content, **options):
        with pytest.raises(InputError) as e:
            read(content, **options)
        line = str(e.value)
        assert "\n" not in line
        assert "g.pkl " in line
        return line.partition("g.pkl ")[2]

    return of


PLAIN = CASES["plain"][:5]


def _inner(name, x):
    """A sum by numbers of the name's, and what rounding may make of it."""
    along = _drawn(f"along {name}", x.shape)
    return (x * along).sum(), 1e-6 * np.linalg.norm(x) * np.linalg.norm(along)


@pytest.mark.parametrize("name", CASES)
def test_images_and_slopes_are_those_of_the_published_network(read, name):
    *case, psi, clamp = CASES[name]
    taps = {"synthesis.b8.resample_filter": np.float32(np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64)}
    generator, variables, latent = read(_pkl(_state(*case) | taps, clamp))
    assert latent == LATENT
    generator = generator.clone(psi=psi)
    side, channels, _, classes, _ = case
    z = jnp.asarray(_drawn(f"{name} z", (4, latent)))
    label = () if classes is None else (jnp.arange(4) % classes,)
    seen = _drawn(f"{name} cotangent", (4, channels, side, side)).transpose(0, 2, 3, 1)

    def of(variables, z):
        made = generator.apply(variables, z, *label, train=False)
        return (made * seen).sum(), made

    slopes = jax.jit(jax.value_and_grad(of, (0, 1), has_aux=True))
    (_, made), (by_variable, by_z) = jax.device_get(slopes(variables, z))
    if clamp is not None:
        assert np.abs(made).max() > clamp  # the image is a sum of layers that are cut off
    found = [_inner("image", made.transpose(0, 3, 1, 2)), _inner("z", by_z)]
    # In this package's layout too a slope goes along with what is drawn for it.
    along = flatten_dict(read(_pkl(_state(*case, of="along "))).variables, sep="/")
    by_variable = flatten_dict(by_variable, sep="/")
    assert set(along) == set(by_variable)
    places = published._places(generator)
    for array in _shapes(*case):
        slope, direction = by_variable[places[array][0]], along[places[array][0]]
        rounding = 1e-6 * np.linalg.norm(slope) * np.linalg.norm(direction)
        found.append(((slope * direction).sum(), rounding))
    assert len(found) == len(REFERENCE[name])
    for (x, rounding), expected in zip(found, REFERENCE[name], strict=True):
        assert abs(x - expected) <= 10 * rounding + 1e-5 * abs(expected)


SIZES = [
    (8, 1, (8, 4), None, 2),
    (8, 3, (4, 4), 7, 8),
    (64, 3, (16, 16, 8, 4, 2), None, 1),
    (16, 4, (12, 6, 3), 1, 2),
]


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.filterwarnings("ignore:.*tells no conv_clamp")
def test_sizes_are_those_of_the_arrays_in_every_form(read, case):
    side, channels, features, classes, layers = case
    arrays = _state(*case)
    generator, first, latent = read(_pkl(arrays, 256))
    known = "image_size", "channels", "width", "most", "styles", "mapping", "n_classes", "noise", "clamp"
    found = [getattr(generator, name) for name in known]
    assert found == [side, channels, features[-1], features[0], STYLES, layers, classes, True, 256]
    assert (latent, generator.mixing, generator.psi) == (LATENT, None, 1.0)
    for write in (_pt, _npz, _safetensors):
        other = read(write(arrays), clamp=256)
        assert other.generator == generator
        jax.tree.map(partial(np.testing.assert_array_equal, strict=True), other.variables, first)
    half = read(_npz({name: x.astype(np.float16) for name, x in arrays.items()})).variables
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-7), half, first)


def test_without_noise(read):
    generator, variables, _ = read(_pkl(_state(*PLAIN, noise=False)))
    assert not generator.noise
    assert set(variables) == {"average", "params"}


def test_where_layers_are_cut_off(read, told):
    arrays = _state(*PLAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(_pkl(arrays)).generator.clamp is None
        assert read(_pkl(arrays, 8.0)).generator.clamp == 8.0
        assert read(_pkl(arrays, 8.0), clamp=np.inf).generator.clamp is None
        assert read(_npz(arrays), clamp=np.inf).generator.clamp is None
    with pytest.warns(UserWarning, match="tells no conv_clamp"):
        assert read(_npz(arrays)).generator.clamp is None
    several = _pkl(arrays, 8.0, {"synthesis.b4.conv1.conv_clamp": 4.0})
    assert told(several) == "has layers that are cut off at different places, [4.0, 8.0, 8.0, 8.0, 8.0]"
    for clamp in (0.0, "256", float("nan")):
        with_clamp = _pkl(arrays, clamp)
        assert told(with_clamp).startswith(("has a conv_clamp ", "has layers that are cut off"))


def test_which_network(read, told):
    one, other = _state(*PLAIN), _state(*PLAIN, of="other ")
    g, d = _module(other, {}), _module({"b4.out.weight": one["mapping.w_avg"]}, {}, "Discriminator")
    file = _pkl(one, G=g, D=d)
    for key, arrays in (("G_ema", one), ("G", other)):
        found = read(file, key=key).variables["average"]["w"]
        np.testing.assert_array_equal(found, arrays["mapping.w_avg"])
    assert told(file, key="D") == "holds an object of Discriminator, not of Generator"
    assert told(file, key="ema") == "has no 'ema', but G, D, G_ema"
    assert read(_dump(g)).latent == LATENT


ATTACK = _Call("posix", "mkdir", "marker")


SHORT = dict(ids=lambda x: x if isinstance(x, str) else "")


@pytest.mark.parametrize(
    ("what", "content"),
    [
        ("posix.mkdir", _dump({"G_ema": ATTACK})),
        ("posix.mkdir", _pkl(_state(*PLAIN), augment_pipe=ATTACK)),
        ("posix.mkdir", _dump(_view(np.zeros(1), _embedded(np.zeros(1), _pickled(ATTACK))))),
        ("builtins.eval", _dump(_object("Generator", _Call("builtins", "eval", "{}")))),
        ("builtins.getattr", _dump(_Call("builtins", "getattr", _Call("collections", "OrderedDict"), "x"))),
        ("torch.load", _dump(_Call("torch", "load", "marker"))),
        ("numpy.core.multiarray._reconstruct", _dump(_Call("numpy.core.multiarray", "_reconstruct"))),
        # A storage within a storage's file is no storage's.
        ("torch.storage._load_from_bytes", _dump(_embedded(np.zeros(1), _pickled(_embedded(np.zeros(1)))))),
    ],
    **SHORT,
)
def test_nothing_else_is_called(told, what, content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told(content).startswith(f"holds {what}: nothing of the file was run; if you trust it, ")
    assert not os.path.exists("marker")
    pickle.loads(_dump(ATTACK))  # which a reader that trusts it would have done
    assert os.path.exists("marker")


class _Attack:
    def __reduce__(self):
        return os.mkdir, ("marker",)


def test_arrays_of_objects_are_not_unpickled(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attack = np.empty(1, object)
    attack[0] = _Attack()
    content = _npz(_with("mapping.w_avg", attack))
    assert told(content) == "is damaged (ValueError): fetch it again"
    assert not os.path.exists("marker")
    np.load(io.BytesIO(content), allow_pickle=True)["mapping.w_avg"]
    assert os.path.exists("marker")


def test_source_code_is_text(read, tmp_path):
    marker = str(tmp_path / "marker")
    source = SOURCE.format(marker)
    assert read(_pkl(_state(*PLAIN), source=source)).latent == LATENT
    assert not os.path.exists(marker)
    exec(source, {})
    assert os.path.exists(marker)


CALLED = [
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n",
    b"ccollections\nOrderedDict\n",
    b"cdnnlib.util\nEasyDict\n",
    b"cbuiltins\nset\n",
    b"cnumpy\ndtype\n",
    b"ctorch\nFloatStorage\n",
]


def test_no_file_changes_how_the_next_is_read(read, told):
    good = _pkl(_state(*PLAIN))
    for named in CALLED:
        for state in ((None, {"__defaults__": (1,), "of": 1}), {"of": 1, "__call__": 1}):
            assert told(b"\x80\x03" + named + _pickled(state) + b"b.").startswith("is damaged")
    assert read(good).latent == LATENT


def test_parts_without_end(told):
    """A part that is within itself, and one that is in many places."""
    part = _object("Generator", b"opcodes:h\x01")  # of a state that is filled after it was kept
    filled = b"h\x01" + _pickled("_modules") + b"}" + _pickled("a") + _pickled(part) + b"ss0"
    assert told(b"\x80\x03}q\x010" + filled + _pickled(part) + b".").startswith("has a part 'a.a.a.a")
    part = _object("Generator", {})
    for i in range(8):
        kept = b"opcodes:" + _pickled(part) + bytes([ord("q"), i + 1])
        again = b"opcodes:" + bytes([ord("h"), i + 1])
        part = _object("Generator", {"_modules": {"a": kept, **dict.fromkeys("bcde", again)}})
    assert "that is none of StyleGAN2's" in told(_dump(part))


@pytest.mark.parametrize("write", [_pkl, _pt, _npz, _safetensors])
@pytest.mark.filterwarnings("ignore:.*tells no conv_clamp")
def test_a_file_cut_short(told, write):
    whole = write(_state(*PLAIN))
    for end in [*range(40), *range(40, len(whole), 997), len(whole) - 1]:
        assert told(whole[:end]).startswith(("is damaged", "is not a file of PyTorch's: give a .pkl"))


def _without(name):
    return {k: x for k, x in _state(*PLAIN).items() if k != name}


def _with(name, x):
    return _state(*PLAIN) | {name: x}


@pytest.mark.parametrize("name", _shapes(*PLAIN))
def test_an_array_that_is_missing_or_of_another_shape(told, name):
    line = told(_pkl(_without(name)))
    if name == "synthesis.b8.conv1.weight":
        assert line.startswith("has layers of 4 pixels")
    elif name == "synthesis.b4.torgb.weight":
        assert line.startswith("has a synthesis of the architecture resnet or orig")
    elif name == "synthesis.b4.conv1.weight":
        assert line.startswith("has layers of 8 pixels")
    else:
        assert line.startswith(f"has no {name}, which")
    x = _state(*PLAIN)[name]
    other = np.concatenate([x, x]) if x.ndim > 1 else x[..., None]
    assert told(_pkl(_with(name, other))).startswith("has ")


ONE = np.ones(1, np.float32)
BOX = np.full((4, 4), 1 / 16, np.float32)


@pytest.mark.parametrize(
    ("line", "content"),
    [
        ("has synthesis.b4.extra, which a generator", _pkl(_with("synthesis.b4.extra", ONE))),
        ("has a synthesis of the architecture resnet", _pkl(_with("synthesis.b8.skip.weight", ONE))),
        ("has synthesis.b8.resample_filter, a filter", _pkl(_with("synthesis.b8.resample_filter", BOX))),
        ("holds a discriminator", _npz({"b4.out.weight": ONE})),
        ("holds a generator of StyleGAN3", _npz({"synthesis.input.weight": ONE})),
        ("has no synthesis.b4.const, which", _npz({"convs.0.conv.weight": ONE})),
        ("has mapping.w_avg of int32, not", _npz(_with("mapping.w_avg", np.ones(STYLES, np.int32)))),
        ("has layers of 4 pixels", _npz(_state(4, 1, (8,), None, 1))),
        ("has [8, 8, 4, 1] channels, which", _npz(_state(32, 1, (8, 8, 4, 1), None, 1))),
        ("has the activation 'relu'", _pkl(_state(*PLAIN), more={"mapping.fc0.activation": "relu"})),
        ("has a mapping that learns 1.0 times", _pkl(_state(*PLAIN), more={"mapping.fc1.bias_gain": 1.0})),
        ("has a mapping that learns x times", _pkl(_state(*PLAIN), more={"mapping.fc1.bias_gain": "x"})),
        ("has a part '' that is no network's", _dump(_object("Generator", {"_parameters": 3}))),
        ("has a part 'a' that is none of", _dump(_object("Generator", {"_modules": {"a": 3}}))),
        ("has '1', which is no array: give a .pkl", _dump({1: 2})),
        ("holds no network: give a .pkl", _dump(3)),
        ("holds no network: give a .pkl", _dump((1, {}))),
        ("has 'a', which is no array: give a .pkl", _dump({"a": 1})),
        ("holds dnnlib.tflib.network.Network: it is of TensorFlow; `python legacy.py --source",
         _dump((_Call("dnnlib.tflib.network", "Network"),) * 3)),
        ("is not a file of PyTorch's: give a .pkl", b"<html>not found</html>"),
        ("is damaged", pickle.dumps({}, 4)[:-1]),
        ("is damaged", _dump(_Call("numpy", "dtype", "f8", False, True, state=(3, ">")))),
    ],
    **SHORT,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*tells no conv_clamp")
def test_other_files(told, line, content):
    assert told(content).startswith(line)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="none.pkl cannot be read"):
        published.stylegan2(tmp_path / "none.pkl")


def test_z_is_needed(told):
    case = (8, 1, (4, 4), 3, 1)
    arrays = _state(*case) | {"mapping.fc0.weight": np.ones((STYLES, STYLES), np.float32)}
    assert told(_pkl(arrays)) == "makes w of a label alone, without z"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "g.pkl"
    path.write_bytes(_pkl(_state(8, 3, (4, 4), 3, 1)))
    return path


def test_psi_is_one_number_or_one_of_each_layer(file):
    assert published.load(file, psi=(0.5,) * 4).config.psi == (0.5,) * 4
    for psi in (np.nan, (0.5,) * 3, np.inf):
        with pytest.raises(InputError, match="psi is a finite number, or 4 of them, not "):
            published.load(file, psi=psi)


def test_its_samples(file):
    key, whole = jax.random.key(0), published.load(file)
    made = whole.sample(key, 3, label=1)
    assert made.shape == (3, 8, 8, 3)
    assert np.ptp(made, axis=0).max() > 0.1
    z = whole.gan.latent(random.fold(key), jnp.arange(3))
    assert z.shape == (3, LATENT)

    def by_styles(variables, z):
        return whole.gan.synthesise(variables, whole.gan.styles(variables, z, jnp.ones(3, jnp.int32)))

    np.testing.assert_allclose(jax.jit(by_styles)(whole.variables, z), made, atol=1e-4)
    with pytest.raises(InputError, match="label 3 is not one of the classes"):
        whole.sample(key, 1, label=3)


def test_on_the_command_line(file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["sample", str(file), "--n", "4", "--psi", "0", "--out", "a.npz"])
    assert capsys.readouterr().out == "4 samples of g.pkl in a.npz\n"
    with np.load("a.npz") as found:
        assert found["label"].tolist() == [0, 1, 2, 0]
        assert np.ptp(found["image"], axis=0).max() <= 1
        np.savez("b.npz", image=found["image"][:1])
    sought = {}

    def project(generator, images, condition, **options):
        sought.update(spaces=projector.spaces(generator), condition=condition)
        return projector.Projected(images, images, generator.variables["average"]["w"][None], np.zeros(1))

    monkeypatch.setattr(projector, "project", project)
    cli.main(["project", str(file), "b.npz", "--label", "2", "--out", "c.png"])
    assert sought == {"spaces": ("w+", "w", "z"), "condition": "2"}
    assert capsys.readouterr().out == "1 images, mean distance 0, in c.png\n"
    cli.main(["export", str(file), "--to", "safetensors", "--out", "d.safetensors"])
    assert "generator of g.pkl in d.safetensors" in capsys.readouterr().out
    for command in (["sample", str(file), "--checkpoint", "3"], ["sample", "a.npz"], ["export", "b.npz"]):
        with pytest.raises(SystemExit) as status:
            cli.main(command)
        assert status.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert Path("c.png").exists()
