import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import checkpoint, steps
from jaxgan.config import InputError

BATCH = {"image": jnp.zeros((2, 8, 8, 1)), "slot": jnp.arange(2)}


def _state(tiny, step=0, seed=0, **kind):
    gan, opts = tiny(**kind)
    state = steps.create_state(gan, opts, jax.random.key(seed), BATCH, frozen=jnp.ones(3))
    return state.replace(step=jnp.int32(step))


def _abstract(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
        state.replace(frozen=()),
    )


def _same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


@pytest.fixture
def saved(tiny, tmp_path):
    """Checkpoints 1, 2 and 3 of a keep of 3, after a 0 that was dropped."""
    with checkpoint.manager(tmp_path / "checkpoints", 3) as manager:
        for step in range(4):
            checkpoint.save(manager, _state(tiny, step, seed=step), {"best": step})
        manager.wait_until_finished()
        yield manager


def test_a_round_trip_keeps_every_bit_and_leaves_frozen_out(saved, tiny):
    assert saved.all_steps() == [1, 2, 3]
    state = _state(tiny, 3, seed=3)
    restored, progress = checkpoint.restore(saved, _abstract(state))
    _same(restored, state.replace(frozen=()))
    assert type(restored) is type(state)
    assert type(restored.d.opt) is type(state.d.opt)
    assert progress == {"best": 3}
    with pytest.raises(AssertionError):
        _same(restored, _state(tiny, 3, seed=0).replace(frozen=()))


@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
def test_a_damaged_one_is_moved_aside_and_the_one_before_is_taken(saved, tiny, capsys, damage):
    for file in Path(saved.directory / "3" / "state").rglob("d/*"):
        content = bytearray(file.read_bytes())
        middle = len(content) // 2
        content[middle] ^= 0x10
        if damage == "missing":
            file.unlink()
        else:
            file.write_bytes(content[:middle] if damage == "cut" else content)
    state, progress = checkpoint.restore(saved, _abstract(_state(tiny)))
    assert int(state.step) == progress["best"] == 2
    assert "checkpoint 3 is damaged" in capsys.readouterr().err
    assert (saved.directory.parent / "damaged" / "checkpoints-3").is_dir()
    assert saved.all_steps() == [1, 2]


def test_a_wrong_value_is_noticed_by_its_checksum(saved, tiny, monkeypatch):
    """Also where the storage format itself has no complaint."""
    right = checkpoint._sums

    def wrong(tree):
        return {path: [*x[:2], x[2] ^ (path == "d/params/Dense_0/kernel")] for path, x in right(tree).items()}

    monkeypatch.setattr(checkpoint, "_sums", wrong)
    told = r"none of the checkpoints \[1, 2, 3\] .* the checksum of d/params/Dense_0/kernel is off"
    with pytest.raises(InputError, match=told):
        checkpoint.restore(saved, _abstract(_state(tiny)))
    assert sorted(p.name for p in Path(saved.directory).iterdir()) == ["1", "2", "3"]


def test_other_shapes_are_named_and_nothing_is_moved(saved, tiny):
    other = _abstract(_state(tiny, kind="mlp"))
    with pytest.raises(InputError, match="is of another network: g/params/.* is .* there and"):
        checkpoint.restore(saved, other)
    assert saved.all_steps() == [1, 2, 3]


def test_a_state_that_is_not_finite_is_not_saved(saved, tiny):
    state = _state(tiny, 4)
    params = {**state.d.params, "Dense_0": {"kernel": jnp.full(2, jnp.nan)}}
    with pytest.raises(FloatingPointError, match="d/params/Dense_0/kernel"):
        checkpoint.save(saved, state.replace(d=state.d.replace(params=params)), {})
    assert saved.all_steps() == [1, 2, 3]


def test_nothing_there_is_no_error(tiny, tmp_path):
    with checkpoint.manager(tmp_path / "none", 1) as manager:
        assert checkpoint.restore(manager, _abstract(_state(tiny))) is None


def test_the_generator_alone(saved, tiny, capsys):
    folder = Path(saved.directory)
    abstract = jax.eval_shape(lambda: _state(tiny))
    variables, d, step = checkpoint.restore_players(folder, [1, 2], abstract, critic=True)
    assert step == 2
    _same(d, _state(tiny, seed=2).d.variables)
    _same(variables, _state(tiny, seed=2).g.ema)
    with pytest.raises(InputError, match="3 is of another network: g/ema/.* is .* there"):
        checkpoint.restore_players(folder, [3], jax.eval_shape(lambda: _state(tiny, kind="mlp")))
    for file in (folder / "3" / "state").rglob("d/*"):
        file.unlink()
    variables, none, step = checkpoint.restore_players(folder, [1, 2, 3], abstract)
    assert (none, step) == (None, 2)
    assert "checkpoint 3 is damaged" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"none of the checkpoints \[3\]"):
        checkpoint.restore_players(folder, [3], abstract)


def test_the_generator_without_an_average(tiny, tmp_path):
    state = _state(tiny, ema_decay=None)
    with checkpoint.manager(tmp_path / "c", 1) as manager:
        checkpoint.save(manager, state, {})
        manager.wait_until_finished()
        variables, *_ = checkpoint.restore_players(tmp_path / "c", [0], jax.eval_shape(lambda: state))
    _same(variables, state.g.variables)


def test_saving_and_then_donating_is_safe(tiny, tmp_path):
    state = _state(tiny)
    expected = np.asarray(jax.tree.leaves(state.g.params)[0]).copy()
    with checkpoint.manager(tmp_path / "c", 1) as manager:
        checkpoint.save(manager, state, {})
        bump = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s.g.params), donate_argnums=0)
        bump(state)
        manager.wait_until_finished()
        restored, _ = checkpoint.restore(manager, _abstract(_state(tiny)))
    np.testing.assert_array_equal(jax.tree.leaves(restored.g.params)[0], expected)


def test_any_file_of_one_that_is_deleted_is_noticed_or_of_no_account(saved, tiny, tmp_path, capsys):
    """Also the one by which the storage library knows that a leaf is a key."""
    newest = Path(saved.directory) / "3"
    files = sorted(p.relative_to(newest) for p in newest.rglob("*") if p.is_file())
    assert Path("state/array_metadatas/process_0") in files
    kept, noticed = tmp_path / "kept", []
    shutil.copytree(newest, kept)
    for file in files:
        shutil.rmtree(newest, ignore_errors=True)
        shutil.copytree(kept, newest)
        (newest / file).unlink()
        saved.reload()
        restored, progress = checkpoint.restore(saved, _abstract(_state(tiny)))
        step = progress["best"]
        _same(restored, _state(tiny, step, seed=step).replace(frozen=()))
        if step == 2:
            noticed.append(str(file))
            assert "checkpoint 3 is damaged and was moved to" in capsys.readouterr().err
    assert {"state/array_metadatas/process_0", "meta/metadata", "state/manifest.ocdbt"} <= set(noticed)
