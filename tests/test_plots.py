from functools import partial

import numpy as np
import pytest
from PIL import Image

from jaxgan import plots
from jaxgan.data.synthetic import ring


def test_uint8_is_the_nearest_level_and_undoes_the_scaling():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(plots.to_uint8(levels / 127.5 - 1), levels)
    np.testing.assert_array_equal(plots.to_uint8([-2.0, 2.0, 0.003]), [0, 255, 128])


def test_a_grid_runs_row_by_row():
    images = np.stack([np.full((2, 3, 1), i, np.uint8) for i in range(5)])
    canvas = plots.grid(images, columns=3, gap=1)
    assert canvas.shape == (7, 13, 1)
    assert [canvas[1, 1 + 4 * i, 0] for i in range(3)] == [0, 1, 2]
    assert [canvas[4, 1 + 4 * i, 0] for i in range(3)] == [3, 4, 128]
    assert plots.grid(images).shape == (7, 13, 1)


def test_neighbours_stand_side_by_side():
    a, b = np.zeros((2, 4, 4, 1), np.uint8), np.full((2, 4, 4, 1), 255, np.uint8)
    canvas = plots.neighbours(a, b, columns=2)
    assert canvas.shape == (10, 25, 1)
    assert canvas[3, 3, 0] == 0
    assert canvas[3, 7, 0] == 255


def test_pictures_are_enlarged_by_whole_pixels():
    image = plots.picture(np.zeros((9, 18, 3), np.uint8))
    assert image.mode == "RGB"
    assert (image.width, image.height) == (18 * 36, 9 * 36)
    assert plots.picture(np.zeros((700, 700, 1), np.uint8)).size == (700, 700)


def test_smoothing_is_a_running_mean():
    x = np.arange(6.0)
    np.testing.assert_allclose(plots._smooth(x, 3), [0, 0.5, 1, 2, 3, 4])


def test_curves_and_animation_are_drawn(tmp_path):
    rows = [{"step": i, "d/loss": 1.0, "g/loss": i, "d/accuracy_real": 0.5} for i in range(60)]
    rows += [{"step": 60, "score/fcd": 9.0}]
    plots.curves(tmp_path / "curves.png", rows, "title")
    drawn = np.asarray(Image.open(tmp_path / "curves.png").convert("L"))
    assert drawn.shape[0] > 800  # three panels
    assert drawn.std() > 5
    frames = [Image.fromarray(np.full((8, 8), i * 60, np.uint8)) for i in range(4)]
    plots.animation(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 4


def test_an_animation_in_colour_keeps_the_colours_of_all_frames(tmp_path):
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    plots.animation(tmp_path / "a.gif", [Image.new("RGB", (8, 8), colour) for colour in colours])
    with Image.open(tmp_path / "a.gif") as gif:
        for i, colour in enumerate(colours):
            gif.seek(i)
            np.testing.assert_allclose(np.asarray(gif.convert("RGB")), np.full((8, 8, 3), colour), atol=4)


def test_a_density_lies_where_its_samples_do():
    """x to the right and y upwards; frames differ below the title in nothing else."""
    mixture = ring(4, std=0.01)
    at = [np.full((50, 2), point) for point in [(9.0, 9.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]]
    at[0][:7] = np.nan  # not finite is outside as well
    draw = partial(plots.density, centres=mixture.centres, radius=0.03)
    empty, *frames = [np.asarray(plots.canvas(partial(draw, samples=x)), int)[40:460] for x in at]
    ink = [np.argwhere(np.abs(x - empty).max(2) > 30) for x in frames]
    right, top, middle = (x.mean(0) for x in ink)
    side = 520 * 0.82  # pixels: the axes are 5.2 * 0.82 inches high, and square
    cell, unit = side / plots.BINS, side / (2 * (0.65 * 2 + 0.03))
    np.testing.assert_allclose(right - middle, [0, unit], atol=cell)
    np.testing.assert_allclose(top - middle, [-unit, 0], atol=cell)
    assert all(len(x) == pytest.approx(cell**2, rel=0.3) for x in ink)  # each is one cell


def test_what_lies_outside_of_a_density_is_told():
    told = []

    def draw(axis, samples):
        plots.density(axis, samples, window=((-1, 1), (-1, 1)))
        told.append(axis.get_xlabel())

    samples = np.array([[0.0, 0.0], [9.0, 0.0], [np.nan, 0.0], [0.5, 0.5]])
    plots.canvas(partial(draw, samples=samples))
    plots.canvas(partial(draw, samples=samples[[0, 3]]))
    assert told == ["50% outside", ""]


def test_mode_shares_are_stacked_to_scale():
    shares = np.broadcast_to([0.5, 0.25, 0.0], (6, 3))
    image = plots.canvas(partial(plots.mode_shares, shares=shares, steps=np.arange(6)), (9, 4))
    column = image[:, image.shape[1] // 2].astype(int)
    colours, counts = np.unique(column[np.ptp(column, axis=1) > 60], axis=0, return_counts=True)
    first, second = np.sort(counts)[:-3:-1]  # beside them, one row where they meet
    assert counts.sum() - first - second <= 2  # the third mode has nothing
    assert first / second == pytest.approx(2, rel=0.02)
    frame = np.flatnonzero(column.max(1) < 60)
    top = frame[frame < len(column) // 2].max()
    bottom = frame[frame > len(column) // 2].min()
    assert (first + second) / (bottom - top) == pytest.approx(0.75, rel=0.02)  # a quarter is of no mode


def test_lanes_have_a_line_each_and_their_mean_in_black(tmp_path):
    """A figure a panel: lanes at 0, 1 and 5 have their mean at 2, two fifths of the way up."""

    def curves(*signs):
        runs = {
            f"seed-{v}": [{"step": s} | {f"score/{sign}": sign * v for sign in signs} for s in range(4)]
            for v in (0.0, 1.0, 5.0)
        }
        return {"": runs}

    assert plots.lanes(tmp_path / "two.png", curves(1, -1), "title")
    assert plots.lanes(tmp_path / "one.png", curves(1), "title")
    assert not plots.lanes(tmp_path / "none.png", {"": {"seed-0": [{"step": 1, "d/loss": 1.0}]}}, "title")
    two, one = (np.asarray(Image.open(tmp_path / f"{n}.png").convert("RGB"), int) for n in ("two", "one"))
    assert len(two) > 1.6 * len(one)
    column = one[:, one.shape[1] // 3]
    coloured = np.flatnonzero(np.ptp(column, axis=1) > 60)
    lines = [rows.mean() for rows in np.split(coloured, np.flatnonzero(np.diff(coloured) > 3) + 1)]
    assert len(lines) == 3
    top, _, bottom = lines
    black = np.flatnonzero(column.max(1) < 60)
    inside = black[(black > top + 3) & (black < bottom - 3)]
    assert (bottom - inside.mean()) / (bottom - top) == pytest.approx(2 / 5, abs=0.02)


def test_tiles_are_enlarged_by_a_whole_factor_and_fill_the_width():
    """Two columns of 3 pixels in 18: 18 - 6 between them leaves 6 a tile, factor 2."""
    images = [np.full((3, 3, 1), i, np.uint8) for i in range(4)]
    canvas = plots.tiles(plots.Tiles(images, 2, 2), 18)
    assert canvas.shape == (18, 18, 4)
    assert [canvas[y, x, 0] for y in (0, 17) for x in (0, 17)] == [0, 1, 2, 3]
    assert canvas[5, 5, 3] == 255
    assert canvas[6, 6, 3] == canvas[9, 9, 3] == 0
    for size in (8, 16, 28, 32, 64, 128):
        images = [np.zeros((size, size, 3), np.uint8)] * 100
        for close in (1, 2):
            h, w, _ = plots.fitted(plots.Tiles(images, close=close), 538).shape
            assert 420 < w <= 538
            assert h <= 538
        assert plots.fitted(plots.Tiles(images, 20), 538).shape[1] <= 538


def test_tiles_that_belong_together_stand_close():
    images = [np.zeros((4, 4, 1), np.uint8)] * 4
    canvas = plots.tiles(plots.Tiles(images, 4, close=2), 28)
    np.testing.assert_array_equal(np.flatnonzero(canvas[0, :, 3] == 0), [4, *range(9, 19), 23])


def test_an_empty_cell_is_pale():
    image = np.zeros((2, 2, 1), np.uint8)
    canvas = plots.tiles(plots.Tiles([image, plots.empty(image.shape)], 2), 12)
    assert canvas[0, 0, 3] == 255
    assert 0 < canvas[0, -1, 3] < 100


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64, 128])
def test_a_picture_can_be_made_small_again(size):
    images = np.random.default_rng(0).integers(256, size=(20, size, size, 3), dtype=np.uint8)
    for columns in (5, 10):
        canvas = plots.grid(images, columns)
        np.testing.assert_array_equal(np.asarray(plots.unpicture(plots.picture(canvas))), canvas)


def test_a_panel_for_each_score():
    rows = [
        {"step": 1, "d/loss": 1.0, "d/accuracy_real": 0.5},
        {"step": 2, "score/fcd": 3.0, "score/b": -1.0},
    ]
    assert plots.panels(rows) == {
        "loss (nats)": ["d/loss"], "D's accuracy": ["d/accuracy_real"], "b": ["score/b"],
        "fcd": ["score/fcd"]}  # fmt: skip
    assert plots.panels([]) == {}
