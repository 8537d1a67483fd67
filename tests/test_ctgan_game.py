"""CTGAN's game: what its losses are made of, and a run of it from a file to a file."""

import csv
import json
import shutil
import warnings
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import ctgan, medgan
from jaxgan import cli, methods, random, sampling, train
from jaxgan.config import InputError
from jaxgan.kinds.records import records
from jaxgan.losses.adversarial import wasserstein
from jaxgan.losses.penalties import gradient_penalty
from jaxgan.nets.ctgan import Discriminator
from jaxgan.nn.minibatch import pack
from jaxgan.program import arguments, traceable
from jaxgan.train import Loop
from jaxgan.two_player import two_player


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    rows = [[f"{rng.normal(3 * i):.2f}", "abc"[rng.integers(3)], ["no", "yes"][i]] for i in [0, 1] * 30]
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([["x", "ward", "ill"], *rows])
    return path


@pytest.fixture(scope="module")
def small(file):
    """A config that knows its data, and these."""
    cfg = replace(
        ctgan.Config(), data=f"csv:{file}", modes=2, latent=3, g_hidden=(4,), d_hidden=(4,), pack=2,
        batch_size=8, steps=4,
    )  # fmt: skip
    data = records.load(cfg, None)
    return replace(cfg, schema=data.facts["schema"], target=data.facts["target"]), data


def _batch(data):
    arrays = {name: jnp.asarray(x) for name, x in data.arrays.items()}
    return data.batch(arrays, jax.random.key(1), 0, jnp.arange(8), batch_size=8)


@pytest.fixture(scope="module")
def state(small):
    cfg, data = small
    return jax.jit(lambda: sampling.initial_state(ctgan.make, cfg, data.example(8)))()


def test_d_judges_packs_of_rows_with_their_categories(small, state, key):
    """And its penalty is one on a pack's slope."""
    cfg, data = small
    gan, _ = ctgan.make(cfg)
    batch = jax.jit(lambda: _batch(data))()
    assert batch["record"].shape[1] == data["record"].shape[1] + 5
    assert state.d.params["Dense_0"]["kernel"].shape[0] == 2 * batch["record"].shape[1]
    _, (_, found) = jax.eval_shape(gan.d_loss, state.d.params, state, batch, key)
    assert set(found) == {"accuracy_real", "accuracy_fake", "gp"}
    net = Discriminator(cfg.d_hidden)
    x = pack(batch["record"], 2)
    critic = lambda x: net.apply(state.d.variables, x, train=False)  # noqa: E731
    slope = jax.jit(jax.vmap(jax.grad(lambda x: critic(x[None])[0])))(x)
    by_hand = cfg.gp_weight * (np.linalg.norm(slope, axis=1) - 1) ** 2
    own = jax.jit(lambda x: gradient_penalty(critic, x, x, key, jnp.arange(4), weight=cfg.gp_weight))(x)
    np.testing.assert_allclose(own, by_hand, rtol=1e-4)


def test_g_pays_for_a_category_that_it_misses(small, state, key):
    """In its loss, beside -D: a step down that part alone lowers it."""
    cfg, data = small
    gan, _ = ctgan.make(cfg)
    batch = jax.jit(lambda: _batch(data))()

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def asked(params):
        loss, (_, found) = gan.g_loss(params, state, batch, key)
        return found["asked"], loss

    (before, loss), grads = asked(state.g.params)
    (after, _), _ = asked(jax.tree.map(lambda p, g: p - 0.1 * g, state.g.params, grads))
    assert 0.5 < float(before) < 2.5  # log 2 and log 3 of an untrained one, about
    assert float(after) < float(before) - 0.01
    bare = gan_without_asking(cfg)
    assert float(loss - before) == pytest.approx(
        float(jax.jit(lambda: bare.g_loss(state.g.params, state, batch, key)[0])()), abs=1e-5
    )


def gan_without_asking(cfg):
    """The game whose G is told of no category that it misses."""
    g = ctgan.generator(cfg)
    latent = partial(random.normal, shape=(g.numbers,))
    options = {"latent": latent, "of": "record", "pack": cfg.pack}
    return two_player(g, Discriminator(cfg.d_hidden), loss=wasserstein, **options)


def test_every_number_is_an_argument_on_two_devices_too(small):
    cfg, data = small
    method = methods.method_of(ctgan, records)
    names = set(traceable(method, cfg, data, tuple(jax.devices()[:2])).names)
    numbers = {"temperature", "gp_weight", "g_lr", "d_lr", "decay", "beta1", "beta2", "ema_decay", "seed"}
    assert names == set(arguments(cfg)) == numbers


def test_without_categories_rows_are_drawn_alike(small):
    cfg, _ = small
    plain = replace(cfg, by_category=False)
    data = records.load(plain, None)
    assert data.sampler is None
    assert set(data.arrays) == {"record"}
    state = jax.eval_shape(lambda: sampling.initial_state(ctgan.make, plain, data.example(8)))
    assert state.d.params["Dense_0"]["kernel"].shape[0] == 2 * data["record"].shape[1]


def test_a_schema_that_is_not_its_own_is_told(small):
    with pytest.raises(InputError, match="schema depends on the data"):
        ctgan.make(replace(small[0], schema=None))
    other = records.load(replace(medgan.Config(), data="patients:rows=40,codes=5,groups=2"), None)
    with pytest.raises(InputError, match="it is another method's"):
        ctgan.make(replace(small[0], schema=other.facts["schema"]))


@pytest.mark.usefixtures("without_curves")
def test_a_run_of_a_file_goes_on_bit_for_bit_and_writes_files(small, file, tmp_path, capsys):
    cfg = replace(small[0], schema=None, target=None, g_lr=1e-3)
    often = {"chunk": 2, "log_every": 2, "sample_every": 0, "evaluate_every": 4, "checkpoint_every": 2}
    loop = Loop(name="a", out=str(tmp_path), devices=1, cache=False, **often)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is left out")  # of rows that are all alike
        found = train.start(cfg, loop, records)
        path, half = tmp_path / "ctgan" / "a", tmp_path / "half"
        assert {s["name"] for s in found["scores"]} >= {"pair_error", "prediction", "f1", "attack"}
        assert "f1_of_real" in found
        shutil.copytree(path, half)
        shutil.rmtree(half / "checkpoints" / "4")
        train.resume(half)
        rows = [(p / "metrics.jsonl").read_bytes() for p in (path, half)]
        assert rows[0] == rows[1]
        for p in (path, half):
            cli.main(["sample", str(p), "--n", "30", "--out", str(p / "y.csv")])
        cli.main(["evaluate", str(path), "--samples", f"csv:{file}", "--out", str(tmp_path / "own.json")])
    assert (path / "y.csv").read_bytes() == (half / "y.csv").read_bytes()
    lines = list(csv.reader((path / "y.csv").open()))
    assert lines[0] == ["x", "ward", "ill"]
    assert len(lines) == 31
    assert {row[2] for row in lines[1:]} <= {"no", "yes"}
    assert all(len(row[0].partition(".")[2]) == 2 for row in lines[1:])
    scores = {s["name"]: s["value"] for s in json.loads((tmp_path / "own.json").read_text())["scores"]}
    assert scores["attack"] > 0.95  # the very rows trained on
    assert scores["pair_error"] < 0.05
