"""A run does not depend on where its data are."""

import dataclasses
import time
from functools import partial

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan import dynamics, feed, memory, methods, parallel, train
from jaxgan.config import InputError
from jaxgan.data import Dataset, resident
from jaxgan.program import traceable
from jaxgan.train import Loop


@pytest.fixture(scope="module")
def data(images):
    return Dataset("levels", {"image": images, "label": np.arange(40, dtype=np.int32) % 4})


@pytest.fixture(scope="module")
def trained(tiny, data):
    """(hold, devices, ...) -> what a run of 14 steps makes, in chunks of 4."""

    def run(hold, devices=1, n_critic=2, train_step=None, chunk=4):
        opts = tiny()[1]
        return jaxgan.fit(
            lambda axis: tiny(axis)[0],
            opts,
            data,
            steps=14,
            batch_size=8,
            n_critic=n_critic,
            train_step=train_step,
            loop=Loop(hold=hold, devices=devices, chunk=chunk, cache=False),
        )

    return run


def _same(a, b):
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(a.state.g), jax.tree.leaves(b.state.g), strict=True
    ):
        np.testing.assert_array_equal(x, y, str(path))
    for name, values in a.history.items():
        np.testing.assert_array_equal(values, b.history[name], name)


@pytest.fixture(scope="module")
def copied(trained):
    return {devices: trained("copy", devices) for devices in (1, 2)}


@pytest.mark.parametrize(("hold", "devices"), [("stream", 1), ("stream", 2), ("shard", 2)])
def test_a_run_is_the_same_bit_for_bit_wherever_its_data_are(trained, copied, hold, devices):
    _same(copied[devices], trained(hold, devices))


def test_a_set_of_another_order_is_another_run(copied, trained, monkeypatch):
    """The negative control: rows of other places in the permutation."""
    window = feed.held.window
    monkeypatch.setattr(
        feed.held, "window", lambda arrays, key, first, *rest, **k: window(arrays, key, first + 1, *rest, **k)
    )
    with pytest.raises(AssertionError):
        _same(copied[1], trained("stream"))


def _program(tiny, data, method=None, **options):
    cfg = methods.Fit(8, 100, 2, averaged=True)
    own = methods.fitted(lambda axis=None: tiny(axis)[0], tiny()[1], methods.kinds.default)
    own = own._replace(**(method or {}))
    devices = tuple(jax.devices()[: options.pop("devices", 1)])
    return traceable(own, cfg, data, devices, hold="stream", **options)


def test_a_schedule_draws_what_its_steps_draw(tiny, data):
    schedule = dynamics.wgan_schedule(5, many=100)
    method = {
        "train_step": lambda cfg: dynamics.scheduled_step,
        "batches": lambda cfg, draw: partial(resident.scheduled, draw, schedule=schedule),
    }
    program = _program(tiny, data, method)
    for step, length in [(0, 1), (0, 50), (24, 4), (30, 7), (498, 5)]:
        first, last = (schedule(step)[1], sum(map(int, schedule(step + length - 1))))
        assert program.draws(step, length) == (int(first), last - int(first))


def test_batches_chosen_by_more_than_the_step_are_refused(tiny, data):
    def batches(cfg, draw):
        return lambda state: jax.tree.map(lambda x: x[None], draw(state.key, state.g.opt[0].count))

    with pytest.raises(InputError, match="--hold stream: the method chooses batches by more than its step"):
        _ = _program(tiny, data, {"batches": batches}).draws


@pytest.fixture
def rows(tiny, data):
    program = _program(tiny, data)
    made = feed.Feed(program, jax.random.key(3), None)
    yield made
    made.close()


def _first_of(rows, *chunk):
    return int(rows(*chunk)["first"])


def test_a_chunk_that_was_not_foreseen_is_read_all_the_same(rows):
    assert _first_of(rows, 0, 4, 4) == 0
    assert _first_of(rows, 10, 2, 4) == 20  # two draws a step
    assert _first_of(rows, 12, 4) == 24
    assert rows(12, 4)["rows"]["image"].shape == (8, 8, 8, 8, 1)


def test_the_share_of_the_time_that_a_chunk_waits_is_measured(rows, monkeypatch):
    rows(0, 4, 4)
    time.sleep(0.5)  # a chunk's own time, in which the next rows come
    rows.waits()
    rows(4, 4)
    assert rows.waits() < 0.5
    window = feed.held.window
    monkeypatch.setattr(feed.held, "window", lambda *a, **k: (time.sleep(0.5), window(*a, **k))[1])
    rows(8, 4)
    assert rows.waits() > 0.9
    assert feed.Feed(rows._program, jax.random.key(0), {}).waits() is None


def test_what_goes_wrong_while_reading_is_told_where_the_rows_are_wanted(rows, monkeypatch):
    def fails(*a, **k):
        raise OSError("the disk is gone")

    monkeypatch.setattr(feed.held, "window", fails)
    with pytest.raises(OSError, match="the disk is gone"):
        rows(0, 4)


def test_a_chunk_is_as_long_as_its_rows_have_room(tiny, data, monkeypatch):
    program = _program(tiny, data)
    assert feed.chunk_of(program, 50) == 50
    step = 2 * 8 * (8 * 8 * 4 + 4)  # two batches of eight, as numbers
    monkeypatch.setattr(feed, "WINDOW", 9 * step)
    assert feed.chunk_of(program, 50) == 8
    monkeypatch.setattr(feed, "WINDOW", 1)
    assert feed.chunk_of(program, 50) == 1
    assert feed.chunk_of(dataclasses.replace(program, hold="copy"), 50) == 50


@pytest.mark.parametrize(
    ("free", "devices", "expected"),
    [(10**9, 1, "copy"), (10**9, 4, "copy"), (2 * 2720, 1, "copy"), (2 * 2719, 1, "stream")]
    + [(2 * 2719, 4, "stream"), (2 * 2720, 4, "shard")],
)
def test_there_is_a_copy_where_there_is_room(data, monkeypatch, free, devices, expected):
    """2720 bytes; CPU devices share one memory, so that each of four has a quarter of it."""
    assert memory.size(data.described) == 2720
    monkeypatch.setattr(memory, "free", lambda device=None: free)
    assert train.hold_for(Loop(), data, jax.devices()[:devices]) == expected


def test_what_cannot_be_held_so_is_refused(data):
    with pytest.raises(InputError, match="--hold shard: there is one device"):
        train.hold_for(Loop(hold="shard"), data, jax.devices()[:1])
    endless = Dataset("endless", {"noise": np.ones(1)}, sampler=lambda arrays, key, draw, slot: {})
    assert train.hold_for(Loop(), endless, jax.devices()[:1]) == "copy"
    with pytest.raises(InputError, match="--hold stream: endless is drawn anew in each step"):
        train.hold_for(Loop(hold="stream"), endless, jax.devices()[:1])


def test_where_the_data_are_is_no_part_of_what_a_step_computes(tiny, data):
    streamed = _program(tiny, data)
    assert streamed.digest == dataclasses.replace(streamed, hold="copy").digest
    assert streamed.digest != dataclasses.replace(streamed, accumulate=2).digest


def test_lanes_have_rows_of_their_own(tiny, data):
    program = _program(tiny, data)
    feeds = [feed.Feed(program, jax.random.key(seed), None) for seed in (0, 1)]
    own = [one(0, 2) for one in feeds]
    numbers = program.numbers(program.cfg)
    states = lambda: [program.initial(jax.random.key(seed), numbers) for seed in (0, 1)]  # noqa: E731
    slot = np.arange(8, dtype=np.int32)
    advance = parallel.in_turn(program.chunk, list(program.devices))
    found, _ = advance(states(), ([numbers] * 2, own), slot, 2)
    whole = dataclasses.replace(program, hold="copy")
    advance = parallel.in_turn(whole.chunk, list(program.devices))
    expected, _ = advance(states(), ([numbers] * 2, feed.placed(whole)), slot, 2)
    for x, y in zip(*(jax.tree.leaves([s.g for s in lanes]) for lanes in (found, expected)), strict=True):
        np.testing.assert_array_equal(x, y)
    for one in feeds:
        one.close()
