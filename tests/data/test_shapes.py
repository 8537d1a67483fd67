import colorsys
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import drawings, shapes

SIDE = 32


@pytest.fixture(scope="module")
def single():
    """Scenes of one shape, and their drawings in 8 bits: (scene, f32[1000, 32, 32, 3])."""
    scene = shapes.scenes(jax.random.key(3), jnp.arange(1000))
    return scene, jnp.round(jax.jit(shapes.draw, static_argnums=1)(scene, SIDE) * 255) / 255


@pytest.fixture(scope="module")
def several():
    """Scenes of three shapes in the colours of their kinds."""
    return shapes.scenes(jax.random.key(4), jnp.arange(100), shapes=3, by_kind=True)


def _rotated_by(scene, read):
    turn = 2 * np.pi / shapes._POINTS[scene.kind]
    return jnp.where(scene.kind == 0, 0, jnp.mod(read.rotation - scene.rotation + turn / 2, turn) - turn / 2)


def test_what_is_drawn_is_read_back(single):
    scene, drawn = single
    read = jax.jit(shapes.read)(drawn)
    for name in ("kind", "colour", "texture", "background"):
        np.testing.assert_array_equal(getattr(read, name), getattr(scene, name), err_msg=name)
    assert float(jnp.abs(read.radius - scene.radius).max()) < 0.01
    assert float(jnp.abs(read.centre - scene.centre).max()) < 0.01
    assert float(jnp.abs(_rotated_by(scene, read)).max()) < 0.03


@pytest.mark.parametrize(
    "change", ["kind", "colour", "texture", "background", "radius", "centre", "rotation"]
)
def test_each_attribute_is_read_for_itself(change):
    """A change of one is read as a change of that one alone."""
    one = jax.tree.map(lambda x: x[:1], shapes.scenes(jax.random.key(0), jnp.arange(1)))
    one = one._replace(
        **{k: jnp.full_like(getattr(one, k), v) for k, v in {"kind": 1, "texture": 1, "radius": 0.5}.items()},
        centre=jnp.zeros((1, 1, 2)), rotation=jnp.full((1, 1), 0.3),
    )  # fmt: skip
    value = getattr(one, change)
    other = one._replace(**{change: (value + 1) % 3 if value.dtype == jnp.int32 else value + 0.15})
    a, b = (shapes.read(shapes.draw(scene, 64)) for scene in (one, other))
    changed = {
        name
        for name in ("kind", "colour", "texture", "background", "radius", "centre")
        if float(jnp.abs(getattr(a, name) - getattr(b, name)).max()) > 0.02
    }
    if abs(float(_rotated_by(other, b)[0, 0])) > 0.02 or float(jnp.abs(a.rotation - b.rotation).max()) > 0.1:
        changed.add("rotation")
    assert changed - ({"rotation"} if change == "kind" else set()) == {change}


def test_the_ideal_moments_are_those_of_the_drawings():
    scene = shapes.Scene(
        jnp.arange(4)[:, None], *(jnp.zeros((4, 1), jnp.int32) for _ in range(2)), jnp.full((4, 1), 0.8),
        jnp.zeros((4, 1, 2)), jnp.zeros((4, 1)), jnp.zeros((4, 1, 2)), jnp.zeros(4, jnp.int32),
    )  # fmt: skip
    weight = np.asarray(shapes.alpha(scene, 256), np.float64)[..., 0]
    z = np.asarray(shapes._points(256), np.float64) @ [1, 1j]
    total = weight.sum((1, 2))
    spread = np.sqrt((weight * abs(z) ** 2).sum((1, 2)) / total)
    found = [abs((weight * z**n).sum((1, 2))) / total / spread**n for n in (3, 4, 5)]
    np.testing.assert_allclose(np.stack(found, 1), shapes._TURNS, atol=2e-3)
    np.testing.assert_allclose(total * (2 / 256) ** 2, shapes._AREA * 0.64, rtol=2e-3)


def test_sizes_agree():
    """A drawing of four times the side, averaged, is the drawing, but for what edges are rounded by."""
    scene = shapes.scenes(jax.random.key(5), jnp.arange(50), textures=("plain",))
    large, small = shapes.draw(scene, 128), shapes.draw(scene, 32)
    mean = large.reshape(50, 32, 4, 32, 4, 3).mean((2, 4))
    assert float(jnp.abs(mean - small).mean()) < 0.002
    assert float((jnp.abs(mean - small) > 0.1).mean()) < 0.002


def test_a_scene_is_its_slots():
    whole = shapes.scenes(jax.random.key(1), jnp.arange(8), shapes=2)
    part = shapes.scenes(jax.random.key(1), jnp.asarray([5, 2]), shapes=2)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[jnp.asarray([5, 2])], b), whole, part)
    reach = jnp.abs(whole.centre).max(-1) + whole.radius
    assert float(reach.max()) <= 0.95 + 1e-6


@pytest.mark.long
def test_the_maps_are_of_one_scene(several):
    image, labels = shapes.draw(several, SIDE), shapes.labels(several, SIDE)
    instances, alpha = shapes.instances(several, SIDE), shapes.alpha(several, SIDE)[..., 0]
    np.testing.assert_array_equal(labels > 0, instances > 0)
    assert int(instances.max()) == 3
    assert float((jnp.abs(alpha - (labels > 0)) > 0.5).mean()) < 1e-3
    # Two shapes that each cover less than half of a pixel cover less than three quarters.
    assert not ((shapes.covered(image) > 0.75) & (instances == 0)).any()
    for i in range(3):
        mine = instances == i + 1
        kind = jnp.broadcast_to(several.kind[:, i, None, None] + 1, mine.shape)
        np.testing.assert_array_equal(labels[mine], kind[mine])
    edges = shapes.edges(several, SIDE)[..., 0]
    here = jnp.stack([jnp.roll(instances, s, axis) != instances for s in (1, -1) for axis in (1, 2)]).any(0)
    assert float(edges[here].mean()) > 0.4
    assert float(edges[~here].mean()) < 0.03


def test_labels_are_read_from_colours(several):
    found, truth = shapes.segmented(shapes.draw(several, SIDE)), shapes.labels(several, SIDE)
    assert float((found == truth).mean()) > 0.995
    shuffled = shapes.segmented(shapes.draw(several, SIDE)[::-1])
    assert float((shuffled == truth).mean()) < 0.9


@pytest.mark.long
def test_the_second_domain_is_a_function_of_the_first():
    """Whatever the texture was; undone, it is a plain drawing of the same."""
    scene = shapes.scenes(jax.random.key(2), jnp.arange(200))
    plain = scene._replace(texture=jnp.zeros_like(scene.texture))
    np.testing.assert_array_equal(shapes.second(scene, SIDE), shapes.second(plain, SIDE))
    board = np.indices((SIDE, SIDE)) // 2
    light = 0.4 * (board.sum(0) % 2)[None, ..., None] * shapes.alpha(scene, SIDE)
    before = shapes.turned(shapes.draw(plain, SIDE), shapes.TURN)
    np.testing.assert_allclose(shapes.second(scene, SIDE), np.minimum(before + light, 1), atol=1e-6)
    undone = shapes.turned(shapes.second(scene, SIDE) - light, -shapes.TURN)
    read = shapes.read(undone)
    for name in ("kind", "colour", "background"):
        np.testing.assert_array_equal(getattr(read, name), getattr(scene, name))
    assert set(np.unique(read.texture)) == {0}


def test_hues_are_turned_and_greys_stay():
    for hue in np.linspace(0, 1, 12, endpoint=False):
        colour = np.array(colorsys.hsv_to_rgb(hue, 0.3, 0.6), np.float32)
        turned = colorsys.rgb_to_hsv(*np.asarray(shapes.turned(colour, np.pi / 6)).tolist())
        assert turned[0] == pytest.approx((hue + 1 / 12) % 1, abs=1e-5)
    grey = jnp.full((2, 3), 0.7)
    np.testing.assert_allclose(shapes.turned(grey, 2.0), grey, rtol=1e-6)


def test_captions_say_what_is_there(single):
    scene, _ = single
    texts = shapes.captions(scene)
    pattern = re.compile(r"a (small|large) (\w+) (\w+) (\w+) at the (\w+) (\w+) on (\w+)")
    for i in range(50):
        _, texture, colour, kind, down, across, background = pattern.fullmatch(texts[i]).groups()
        assert texture == shapes.TEXTURES[int(scene.texture[i, 0])]
        assert colour == shapes.COLOURS[int(scene.colour[i, 0])]
        assert kind == shapes.KINDS[int(scene.kind[i, 0])]
        assert background == shapes.BACKGROUNDS[int(scene.background[i])]
        x, y = scene.centre[i, 0]
        assert across == ("left" if x < -0.15 else "centre" if x < 0.15 else "right")
        assert down == ("top" if y < -0.15 else "middle" if y < 0.15 else "bottom")
    assert len(set(texts)) > 500
    both = shapes.captions(shapes.scenes(jax.random.key(0), jnp.arange(2), shapes=2))
    assert all(text.count(" at the ") == 2 for text in both)


def test_levels_are_integers_where_numbers_are_wide():
    with jax.enable_x64(True):
        (levels,) = drawings.drawn(lambda slot: (jnp.ones((len(slot), 2, 2, 1)) * 0.5,), 3)
    assert levels.dtype == np.uint8
    assert (levels == 128).all()


def test_bad_input_is_a_line():
    with pytest.raises(InputError, match="shapes is a number of shapes"):
        shapes.scenes(jax.random.key(0), jnp.arange(2), shapes=0)
    with pytest.raises(InputError, match="textures are of plain, striped, chequered, not 'checked'"):
        shapes.scenes(jax.random.key(0), jnp.arange(2), textures=("checked",))
    with pytest.raises(InputError, match="backgrounds are of black, grey, white, not none"):
        shapes.scenes(jax.random.key(0), jnp.arange(2), backgrounds=())
    with pytest.raises(InputError, match="16 pixels a side or more, not 8"):
        shapes.draw(shapes.scenes(jax.random.key(0), jnp.arange(2)), 8)
