import json
import re
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import mixtures
from experiments.mixtures import PROTOCOLS, Config, interval, make, train
from jaxgan import steps
from jaxgan.config import InputError

EVERY = [(name, "unrolled") for name in get_args(mixtures.Name)] + [("gan", name) for name in PROTOCOLS]


@pytest.mark.parametrize(("name", "protocol"), EVERY)
def test_every_method_makes_a_step(name, protocol):
    """Traced; which penalties and how many batches it has is in the metrics and shapes."""
    assert set(mixtures._methods(Config())) == set(get_args(mixtures.Name))
    gan, opts, method = make(Config(method=name, protocol=protocol))
    slot = jnp.arange(4 * method.pack)
    features = PROTOCOLS[protocol].generator.features
    batch = {"image": jnp.zeros((len(slot), features)), "slot": slot}
    batches = jax.tree.map(lambda x: jnp.stack([x] * method.n_critic), batch)
    state = jax.eval_shape(partial(steps.create_state, gan, opts), jax.random.key(0), batch)
    after, metrics = jax.eval_shape(partial(steps.train_step, gan, opts), state, batches)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert {f"d/{name}" for name in method.penalties} < set(metrics)


def test_no_two_methods_have_the_same_program():
    """So each differs from the plain game; the controls, a number that a method does not use."""

    def program(**options):
        gan, opts, method = make(Config(protocol="unrolled", **options))
        slot = jnp.arange(2 * method.pack)
        batch = {"image": jnp.zeros((len(slot), 2)), "slot": slot}
        state = jax.eval_shape(partial(steps.create_state, gan, opts), jax.random.key(0), batch)
        batches = jax.tree.map(lambda x: jnp.stack([x] * method.n_critic), batch)
        traced = jax.make_jaxpr(partial(steps.train_step, gan, opts))(state, batches)
        return re.sub(r"0x[0-9a-f]+", "", str(traced))

    programs = [program(method=name, unroll=1) for name in get_args(mixtures.Name)]
    assert len(set(programs)) == len(programs)
    assert program(method="gan", unroll=1, gamma=5.0) == programs[0]
    assert program(method="gan", unroll=1, n_critic=2) != programs[0]


def test_unrolling_changes_the_generators_update():
    """One update from the same weights: of the game itself, unrolled, and looking ahead."""

    def updated(**options):
        gan, opts, method = make(Config(protocol="unrolled", **options))
        slot = jnp.arange(8 * method.pack)
        image = jax.random.normal(jax.random.key(1), (len(slot), 2))
        batch = {"image": image, "slot": slot}
        state = steps.create_state(gan, opts, jax.random.key(0), batch)
        state, _ = jax.jit(partial(steps.g_step, gan, opts))(state, batch)
        return np.concatenate([x.ravel() for x in jax.tree.leaves(state.g.params)])

    plain, unrolled, ahead = (updated(method=m, unroll=2) for m in ("gan", "unrolled", "look_ahead"))
    assert not np.allclose(plain, unrolled, atol=1e-5)
    assert not np.allclose(unrolled, ahead, atol=1e-5)


def test_a_lane_is_the_run_of_its_seed():
    def samples(**options):
        cfg = Config(method="pacgan", samples=20, **options)
        states, run, look = mixtures._lanes(cfg, mixtures.target(cfg))
        return look(run(3)(states)[0])[0]

    both, one, other = samples(seeds=2, seed=3), samples(seeds=1, seed=4), samples(seeds=1, seed=9)
    np.testing.assert_allclose(one[0], both[1], atol=1e-4)
    assert not np.allclose(one[0], other[0], atol=1e-2)


def test_what_a_run_leaves(tmp_path, capsys):
    train(Config(seeds=1, steps=1, samples=50, out=tmp_path / "least"))  # two moments are the fewest
    cfg = Config(seeds=2, steps=4, moments=2, samples=50, out=tmp_path)
    results = train(cfg)
    folder = tmp_path / "ring-unrolled-gan"
    names = ["curves.png", "densities.gif", "densities.png", "results.json", "shares.png"]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["moments"] == [0, 2, 4]
    assert np.shape(results["captured"]) == (2, 3)
    assert "4 steps, 2 seeds" in capsys.readouterr().out


def test_the_interval_is_students():
    """Of 1, 2, 3: 2 +- 4.3027 * 1 / sqrt(3)."""
    assert interval([1, 2, 3]) == pytest.approx((2.0, 2.48414), abs=1e-4)
    mean, half = interval([5])
    assert mean == 5
    assert np.isnan(half)


def test_bad_input_names_the_flag(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file cannot be made"):
        train(Config(out=tmp_path / "file", steps=1))
    with pytest.raises(InputError, match="--data stacked with --protocol unrolled"):
        mixtures.main(Config(data="stacked", out=tmp_path / "out"))
    with pytest.raises(InputError, match="--seeds 0"):
        mixtures.main(Config(seeds=0, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
