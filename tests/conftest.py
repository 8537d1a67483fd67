import ctypes
import gc
import os
import sys
from functools import partial

import jax
import numpy as np
import optax
import pytest

# What is compiled here runs for moments: without LLVM's optimisations, by the older emitters of jax 0.10 and
# in one piece all takes 40 % less CPU time. The processes that tests start have it too.
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
if jax.__version_info__ < (0, 11):
    QUICK += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}"

# A test that traces makes objects by the million, which live on in JAX's caches: to look through them all for
# garbage as often as Python does takes a tenth of the time.
gc.set_threshold(20_000, 25, 50)

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    """Compiled programs are kept for the next run; judges are not, so that tests train their own."""
    if not hasattr(config, "cache"):
        return
    folder = config.cache.mkdir("xla")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)  # for the processes that tests start


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    os.environ["JAXGAN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", autouse=True)
def _memory_given_back():
    """What a file's tests compiled is forgotten after it: in all it is 7 GB a worker."""
    yield
    jax.clear_caches()
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to be in, with a cache of its own, in which no method was run yet."""
    from jaxgan import origin

    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "cache"))
    for name in ("_allowed", "_changes", "_roots"):
        monkeypatch.setattr(origin, name, set())
    monkeypatch.setattr(sys, "path", list(sys.path))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = set(sys.modules)
    yield here
    for name in set(sys.modules) - before:
        if name.startswith(("_method_", "noisy")):
            del sys.modules[name]


@pytest.fixture
def without_curves(monkeypatch):
    """For tests of whatever else a run leaves: half a second each."""
    monkeypatch.setattr("jaxgan.plots.curves", lambda path, rows, title: None)


@pytest.fixture
def key():
    return jax.random.key(7)


@pytest.fixture(scope="session")
def images():
    """Forty 8x8 grey images, uint8[40, 8, 8, 1], each of one brightness."""
    levels = np.arange(40, dtype=np.uint8) * 6
    return np.broadcast_to(levels[:, None, None, None], (40, 8, 8, 1)).copy()


@pytest.fixture(scope="session")
def tiny():
    """Makes a DCGAN of 8x8 images small enough to compile in a second: (gan, optimizers)."""
    from jaxgan import random
    from jaxgan.game import Optimizers
    from jaxgan.losses.adversarial import non_saturating
    from jaxgan.nets import dcgan, mlp
    from jaxgan.two_player import two_player

    def make(axis=None, kind="dcgan", ema_decay=0.9):
        latent = partial(random.normal, shape=(4,))
        if kind == "dcgan":
            g = dcgan.Generator(width=4, image_size=8, axis=axis)
            d = dcgan.Discriminator(width=4, axis=axis)
        else:
            g = mlp.Generator((8, 8, 1), (16,), None)
            d = mlp.Discriminator((16,))
        gan = two_player(g, d, loss=non_saturating, latent=latent)
        return gan, Optimizers(optax.adam(1e-3, b1=0.5), optax.adam(1e-3, b1=0.5), ema_decay)

    return make
