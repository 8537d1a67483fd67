"""A generator that is used where there is no jaxgan."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from experiments import cgan, dcgan
from jaxgan import cli, export, sampling, train
from jaxgan.kinds.images import images
from jaxgan.metrics import judge
from jaxgan.train import Loop

TINY = {"image_size": 8, "latent": 4, "batch_size": 16, "steps": 20, "ema_decay": 0.9}

APART = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jaxgan", "experiments", "flax"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import jax
import numpy as np

generate = jax.export.deserialize(open(sys.argv[1], "rb").read())
given = np.load(sys.argv[2])
found = [generate.call(given["z"][:n], given["label"][:n]) for n in (1, 7)]
np.savez(sys.argv[3], one=found[0], seven=found[1])
assert not any(name.startswith("jaxgan") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    loop = Loop(name="a", out=str(out), devices=1, chunk=10, sample_every=0, evaluate_every=0)
    with pytest.MonkeyPatch.context() as patch:  # the scores are not what is looked at
        patch.setenv("JAXGAN_CACHE", str(out / "cache"))
        patch.setattr(judge, "FEWEST", 1)
        patch.setattr(judge, "MOST", 1)
        train.start(cgan.Config(**TINY, width=8), loop)
    return out / "cgan" / "a"


def test_it_runs_in_a_process_without_jaxgan(trained, tmp_path, capsys):
    file = tmp_path / "sub" / "generator.bin"
    cli.main(["export", str(trained), "--out", str(file)])
    assert f"generator of step 20 in {file}" in (text := capsys.readouterr().out)
    assert "z float32[b,4], label int32[b]; z was drawn with mean" in text
    assert "gives     float32[b,8,8,1]\n" in text
    generator = jaxgan.load(trained)
    z, label = generator.gan.latent(jax.random.key(3), jnp.arange(7)), np.arange(7, dtype=np.int32)
    np.savez(tmp_path / "z.npz", z=z, label=label)
    args = [file, tmp_path / "z.npz", tmp_path / "found.npz"]
    done = subprocess.run(
        [sys.executable, "-c", APART, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    expected, found = generator.of(z, label), np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["seven"], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["one"], expected[:1], rtol=0, atol=1e-6)
    assert np.abs(expected - generator.of(z, label[::-1])).max() > 1e-3  # the label is asked for


@pytest.mark.parametrize("size", [8, 16])
def test_convolutions_are_exported_for_any_number_of_samples_and_every_platform(size):
    cfg = dcgan.Config(image_size=size, channels=1, width=32, latent=4, g_lr=2e-4)
    example = {
        "image": jax.ShapeDtypeStruct((4, size, size, 1), np.float32),
        "slot": jax.ShapeDtypeStruct((4,), np.int32),
    }
    state = sampling.initial_state(dcgan.make, cfg, example)
    # Kernels as large as a trained generator's.
    variables = jax.tree.map(lambda x: 8 * x if x.ndim > 1 else x, state.g.averaged)
    made = sampling.Generator(dcgan.make(cfg)[0], variables, cfg, images, {}, None, 0, True)
    found = jax.export.deserialize(export.function(made).serialize())
    assert found.platforms == ("cpu", "cuda", "tpu")
    for n in (1, 3, 40):
        z = made.gan.latent(jax.random.key(1), jnp.arange(n))
        expected = made.of(z)
        assert expected.std() > 0.1
        np.testing.assert_allclose(found.call(z), expected, rtol=0, atol=1e-6)


def test_weights_have_their_names(trained, tmp_path, capsys):
    from safetensors.numpy import load_file

    file = tmp_path / "w.safetensors"
    cli.main(["export", str(trained), "--to", "safetensors", "--out", str(file)])
    assert "safetensors.numpy.load_file" in capsys.readouterr().out
    variables, found = jaxgan.load(trained).variables, load_file(file)
    assert len(found) == len(jax.tree.leaves(variables))
    np.testing.assert_array_equal(found["params/Dense_0/kernel"], variables["params"]["Dense_0"]["kernel"])
    size = int.from_bytes(file.read_bytes()[:8], "little")
    assert json.loads(file.read_bytes()[8 : 8 + size])["__metadata__"]["step"] == "20"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["RUN", "--checkpoint", "7"], "has no checkpoint of step 7"),
        (["RUN", "--out", "/proc/x.bin"], "--out /proc/x.bin cannot be written"),
        (["NONE"], "is no run's folder"),
    ],
)
def test_bad_input_is_a_line(trained, tmp_path, capsys, args, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(trained), "NONE": str(tmp_path / "none")}
    with pytest.raises(SystemExit) as e:
        cli.main(["export", *(places.get(a, a) for a in args)])
    error = capsys.readouterr().err
    assert e.value.code == 2
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("to", "module"), [("jax", "flatbuffers"), ("safetensors", "safetensors.numpy")])
def test_a_package_that_is_missing_is_named(trained, tmp_path, capsys, to, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith("jax._src.export.serialization")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit):
        cli.main(["export", str(trained), "--to", to, "--out", str(tmp_path / "x")])
    assert (
        f"takes the package {module.partition('.')[0]}: pip install 'jaxgan[export]'"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "x").exists()


def test_a_network_that_looks_at_the_number_of_samples_is_told(trained):
    made = jaxgan.load(trained)

    def sample(variables, z, label):
        return z if z.shape[0] > 3 else -z

    with pytest.raises(jaxgan.config.InputError, match="cannot be exported for any number of samples: "):
        export.function(sampling.dataclasses.replace(made, gan=made.gan._replace(sample=sample)))
