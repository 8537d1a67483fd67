import numpy as np
from PIL import Image

from jaxgan import plots


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
