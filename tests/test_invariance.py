"""A hundred steps on several devices are those on one: in double precision, where rounding stays small.

In single precision it does not: a GAN's steps may be chaotic, and what is apart is further apart by each. So
the package is copied with every float32 in it a float64, and the copy is run.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import experiments
import jaxgan
from jaxgan import records
from jaxgan.data import shapes

RUN = """
import os, runpy, sys, jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
jnp.float32 = jnp.float64  # the default of layers' parameters
import numpy as np
from jaxgan import checkpoint
if sys.argv[2] == "forgotten":
    jax.lax.pmean = lambda x, *_, **__: x
def save(to, state, progress):
    leaves = jax.tree.leaves((state.g.params, state.d.params))
    assert all(x.dtype == jnp.float64 for x in leaves)
    np.savez("state.npz", *map(np.asarray, leaves))
    os._exit(0)  # scores are not asked for
checkpoint.save = save
sys.argv = sys.argv[3:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

DCGAN = "--image-size 16 --width 16 --recipe paper --batch-size 16"
# At a rate at which a hundred steps are no chaos yet, on images without flat parts: instance normalisation
# magnifies the rounding of those.
CYCLEGAN = "--data BOTH --image-size 16 --g-width 8 --d-width 8 --batch-size 8 --held-out 100 --lr 2e-5"
STYLEGAN2 = "--image-size 16 --width 4 --most 16 --latent 16 --styles 16 --batch-size 32"
LOOP = "--steps 100 --chunk 25 --sample-every 0 --evaluate-every 0 --checkpoint-every 0"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The package and its experiments in double precision, and images of two domains."""
    place = tmp_path_factory.mktemp("double")
    for package in (jaxgan, experiments):
        root = Path(package.__file__).parent
        shutil.copytree(root, place / root.name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in place.rglob("*.py"):
        if "metrics" not in file.parts:
            file.write_text(re.sub(r'(jnp\.|")float32', r"\1float64", file.read_text()))
    rng = np.random.default_rng(0)
    scene = shapes.scenes(jax.random.key(0), np.arange(600))
    both = np.asarray(shapes.draw(scene, 16)), np.asarray(shapes.second(scene, 16))
    noisy = [np.uint8(255 * np.clip(x + rng.uniform(-0.15, 0.15, x.shape), 0, 1)) for x in both]
    np.savez(place / "both.npz", **dict(zip("ab", noisy, strict=True)))
    (place / "run.py").write_text(RUN)
    return place


def _start(copy, experiment: str, flags: str, devices: int, how: str = "whole"):
    """A hundred steps: the folder, and how they ended."""
    place = copy / f"{experiment}-{devices}-{how}"
    place.mkdir()
    argv = [f"experiments.{experiment}", *flags.split(), *LOOP.split(), "--out", "runs", "--name", "a"]
    command = [sys.executable, str(copy / "run.py"), str(devices), how, *argv]
    env = os.environ | {"PYTHONPATH": str(copy), "JAXGAN_CACHE": str(copy / "cache")}
    return place, subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=3600)


def _run(copy, experiment: str, flags: str, devices: int) -> tuple[list[np.ndarray], list[float]]:
    """The parameters after a hundred steps, and D's loss in each row of the figures."""
    place, done = _start(copy, experiment, flags, devices)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [row["d/loss"] for row in records.rows(place / "runs" / experiment / "a") if "d/loss" in row]
    with np.load(place / "state.npz") as found:
        return [found[key] for key in found.files], losses


def _distance(a, b) -> float:
    """Of the parameter that is furthest from its like, in its size. A bias before an instance normalisation
    has no gradient but rounding's, and is left out."""
    size = np.linalg.norm
    return max(size(x - y) / size(y) for x, y in zip(a, b, strict=True) if size(y) > 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "flags", "bound"),
    [("dcgan", DCGAN, 1e-12), ("cyclegan", CYCLEGAN, 1e-11), ("stylegan2", STYLEGAN2, 1e-11)],
)
def test_devices_train_the_model_of_one(copy, experiment, flags, bound):
    """Where means over devices are forgotten their states differ, which is noticed."""
    flags = flags.replace("BOTH", f"npz:{copy / 'both.npz'}")
    parameters, losses = _run(copy, experiment, flags, 1)
    found = {}
    for devices in (2, 4, 8):
        own, its_losses = _run(copy, experiment, flags, devices)
        found[devices] = _distance(own, parameters)
        assert len(losses) > 5
        np.testing.assert_allclose(its_losses, losses, rtol=bound)
    print(f"{experiment}: {found}")
    assert max(found.values()) < bound
    _, forgotten = _start(copy, experiment, flags, 2, "forgotten")
    assert forgotten.returncode != 0
    assert "devices hold different values at" in forgotten.stderr
