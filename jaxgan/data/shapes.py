"""A world whose truth is known: drawings of shapes, all that is true of them, and what reads it back.

A drawing is in colour, f32[S, S, 3] in [0, 1], of any size from 16 pixels on, its edges antialiased. Shapes
are of one chroma, the greatest less the least channel, and backgrounds grey, so that how much of a pixel a
shape covers, its hue and its texture are read from the pixel alone, exactly but for rounding. Lengths are in
half-widths of the image, whose centre is the origin; x points right, and y down.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import random
from jaxgan.config import InputError
from jaxgan.random import fold

KINDS = "circle", "square", "triangle", "star"
COLOURS = "red", "green", "blue", "yellow", "magenta", "cyan"
TEXTURES = "plain", "striped", "chequered"
BACKGROUNDS = "black", "grey", "white"
LABELS = "background", *KINDS
SMALLEST = 16  # pixels of a side, below which textures cannot be told

_HUES = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)], np.float32)
_GREYS = np.array([0.1, 0.5, 0.9], np.float32)
_CHROMA, _LIGHT = 0.6, 0.4  # of every shape; what its texture adds at most
TURN = np.pi / 6  # of the hues of the second domain
_PERIOD = 0.36  # of textures
_WAVE = 2 * np.pi / _PERIOD
# Points of each kind, and how far in the edges come between them, over the radius: a circle has none.
_POINTS = np.array([1, 4, 3, 5], np.int32)
_INNER = np.array([1, np.cos(np.pi / 4), np.cos(np.pi / 3), 0.45], np.float32)
_AREA = np.array([np.pi, 2, 3 * np.sqrt(3) / 4, 5 * 0.45 * np.sin(np.pi / 5)])  # over the radius squared

# How strongly the mass of each kind turns 3, 4 and 5 times around its centre, over a measure of its size.
_TURNS = np.array([(0, 0, 0), (0, 0.6, 0), (0.8, 0, 0), (0, 0, 1.842)], np.float32)


class Scene(NamedTuple):
    """What is true of n drawings of k shapes each, of which the later ones lie on the earlier."""

    kind: jax.Array  # i32[n, k], of KINDS
    colour: jax.Array  # i32[n, k], of COLOURS
    texture: jax.Array  # i32[n, k], of TEXTURES
    radius: jax.Array  # f32[n, k], of the circle around it
    centre: jax.Array  # f32[n, k, 2], x and y
    rotation: jax.Array  # f32[n, k], radians from x to y; of a circle it means nothing
    phase: jax.Array  # f32[n, k, 2], of the texture, radians
    background: jax.Array  # i32[n], of BACKGROUNDS


def scenes(
    key,
    slot,
    *,
    shapes: int = 1,
    by_kind: bool = False,
    kinds: tuple[str, ...] = KINDS,
    textures: tuple[str, ...] = TEXTURES,
    backgrounds: tuple[str, ...] = BACKGROUNDS,
    radii: tuple[float, float] | None = None,
) -> Scene:
    """Scenes at random: every attribute is independent of the others, and each shape is whole in the image.

    Args:
      slot: i32[n]; scene i draws from the key folded with `slot[i]`.
      shapes: k, of each drawing; of several each is smaller.
      by_kind: whether a shape's colour is that of its kind.
      kinds, textures, backgrounds: those that there are.
      radii: the least and the greatest, up to 0.95; half a side is 1.
    """
    if not isinstance(shapes, int) or shapes < 1:
        raise InputError(f"shapes is a number of shapes, 1 or more, not {shapes!r}")
    known = (
        _numbers("textures", textures, TEXTURES),
        _numbers("backgrounds", backgrounds, BACKGROUNDS),
        _numbers("kinds", kinds, KINDS),
    )
    some = (shapes,)
    integers = lambda name, n: random.integers(fold(key, name), slot, n, some)  # noqa: E731
    uniform = lambda name, low, high, shape=some: random.uniform(  # noqa: E731
        fold(key, name), slot, shape, minval=low, maxval=high
    )
    low, high = radii or ((0.4, 0.75) if shapes == 1 else (0.3, 0.5))
    kind, radius = known[2][integers("kind", len(kinds))], uniform("radius", low, high)
    texture = known[0][integers("texture", len(textures))]
    background = random.integers(fold(key, "background"), slot, len(backgrounds))
    return Scene(
        kind,
        kind if by_kind else integers("colour", len(COLOURS)),
        texture,
        radius,
        (0.95 - radius)[..., None] * uniform("centre", -1.0, 1.0, (shapes, 2)),
        uniform("rotation", 0.0, 2 * np.pi),
        uniform("phase", 0.0, 2 * np.pi, (shapes, 2)),
        known[1][background],
    )


def _numbers(what: str, names: tuple[str, ...], known: tuple[str, ...]):
    """The numbers of names, i32[n].

    Raises:
      InputError: if one is unknown, or there is none.
    """
    if not names or (unknown := [name for name in names if name not in known]):
        told = repr(unknown[0]) if names else "none"
        raise InputError(f"{what} are of {', '.join(known)}, not {told}")
    return jnp.asarray([known.index(name) for name in names], jnp.int32)


def _points(side: int):
    """The centres of the pixels, f32[S, S, 2]."""
    line = (jnp.arange(side) + 0.5) * 2 / side - 1
    return jnp.stack(jnp.meshgrid(line, line, indexing="xy"), -1)


def _distance(kind, radius, centre, rotation, side: int):
    """The signed distance to one shape's edge, f32[S, S], below 0 inside; near a corner, to a side's line."""
    p = _points(side) - centre[None, None]
    r, n = jnp.linalg.norm(p, axis=-1), jnp.asarray(_POINTS)[kind]
    # All but the circle: an angle is folded into the half of a point, whose one edge is a line.
    half = jnp.pi / n
    turn = jnp.mod(jnp.arctan2(p[..., 1], p[..., 0]) - rotation + half, 2 * half) - half
    x, y = r * jnp.cos(turn), jnp.abs(r * jnp.sin(turn))
    corner = jnp.asarray(_INNER)[kind] * radius * jnp.stack([jnp.cos(half), jnp.sin(half)])
    along = corner - jnp.stack([radius, 0.0])
    normal = jnp.stack([along[1], -along[0]]) / jnp.linalg.norm(along)
    line = (x - radius) * normal[0] + y * normal[1]
    return jnp.where(kind == 0, r - radius, line)


def _covered(distance, side: int):
    """How much of each pixel lies inside."""
    return jnp.clip(0.5 - distance * side / 2, 0, 1)


def _light(texture, phase, side: int):
    """What a texture adds to a colour, f32[S, S] in [0, _LIGHT]: stripes lie along x."""
    x, y = jnp.moveaxis(_WAVE * _points(side) + phase[None, None], -1, 0)
    waves = jnp.stack([jnp.zeros_like(x), jnp.sin(y), jnp.sin(x) * jnp.sin(y)])[texture]
    return _LIGHT * jnp.clip(0.5 + waves / _WAVE * side / 2, 0, 1)


def _each(scene: Scene, side: int):
    """The distances of every shape, f32[n, k, S, S]."""
    if side < SMALLEST:
        raise InputError(f"shapes are drawn with {SMALLEST} pixels a side or more, not {side}")
    one = lambda *shape: _distance(*shape, side)  # noqa: E731
    return jax.vmap(jax.vmap(one))(scene.kind, scene.radius, scene.centre, scene.rotation)


def draw(scene: Scene, side: int):
    """The drawings, f32[n, S, S, 3] in [0, 1]."""
    covered = _covered(_each(scene, side), side)[..., None]
    light = jax.vmap(jax.vmap(lambda *of: _light(*of, side)))(scene.texture, scene.phase)
    paint = _CHROMA * jnp.asarray(_HUES)[scene.colour][:, :, None, None] + light[..., None]
    n, k = scene.kind.shape
    image = jnp.broadcast_to(jnp.asarray(_GREYS)[scene.background][:, None, None, None], (n, side, side, 3))
    for i in range(k):
        image = covered[:, i] * paint[:, i] + (1 - covered[:, i]) * image
    return image


def alpha(scene: Scene, side: int):
    """How much of each pixel shapes cover, f32[n, S, S, 1] in [0, 1]."""
    return 1 - jnp.prod(1 - _covered(_each(scene, side), side), 1)[..., None]


def turned(image, angle: float):
    """Images f32[..., 3] in [0, 1] with their hues turned by radians, from red to green to blue: about the
    greys, which stay, and cut at [0, 1]."""
    thirds = angle - 2 * np.pi / 3 * np.arange(3)
    weights = (1 + 2 * np.cos(thirds)) / 3  # of a channel in itself, the next and the one after
    turn = np.stack([np.roll(weights, i) for i in range(3)])
    return jnp.clip(image @ turn.astype(np.float32), 0, 1)


def second(scene: Scene, side: int):
    """The same scenes in a second domain, f32[n, S, S, 3] in [0, 1]: plain, their hues turned by `TURN`, and
    the shapes lit by every other square of two pixels, as on a board that is laid over the image. It is a
    function of the plain drawing, one that can be undone, and that moves with it by four pixels, as what
    networks of two halvings make: they would not know where a board of larger squares begins."""
    plain = turned(draw(scene._replace(texture=jnp.zeros_like(scene.texture)), side), TURN)
    place = jnp.arange(side) // 2
    light = _LIGHT * ((place[:, None] + place[None]) % 2)[..., None]
    return jnp.clip(plain + alpha(scene, side) * light[None], 0, 1)


def edges(scene: Scene, side: int):
    """The outlines that are seen, a pixel wide, f32[n, S, S, 1] in [0, 1]."""
    distance = _each(scene, side)
    line = jnp.clip(1 - jnp.abs(distance) * side / 2, 0, 1)
    seen = jnp.zeros_like(line[:, 0])
    for i in range(line.shape[1]):
        seen = jnp.maximum(line[:, i], (1 - _covered(distance[:, i], side)) * seen)
    return seen[..., None]


def instances(scene: Scene, side: int):
    """Which shape each pixel is of, i32[n, S, S]: 0 is the background, k the front."""
    inside = _each(scene, side) <= 0
    number = jnp.arange(1, inside.shape[1] + 1, dtype=jnp.int32)[None, :, None, None]
    return (inside * number).max(1)


def labels(scene: Scene, side: int):
    """What each pixel is, i32[n, S, S], of LABELS."""
    whole = jnp.concatenate([jnp.zeros_like(scene.kind[:, :1]), scene.kind + 1], 1)
    return jax.vmap(lambda of, seen: of[seen])(whole, instances(scene, side))


def captions(scene: Scene) -> list[str]:
    """A sentence on each drawing: "a small striped red square at the top left on grey"; of several shapes,
    the back one first."""
    scene = jax.tree.map(np.asarray, scene)
    middle = 0.58 if scene.kind.shape[1] == 1 else 0.4
    down, across = ("top", "middle", "bottom"), ("left", "centre", "right")

    def of(i: int, j: int) -> str:
        size = "small" if scene.radius[i, j] < middle else "large"
        x, y = np.digitize(scene.centre[i, j], (-0.15, 0.15))
        what = f"{TEXTURES[scene.texture[i, j]]} {COLOURS[scene.colour[i, j]]} {KINDS[scene.kind[i, j]]}"
        return f"a {size} {what} at the {down[y]} {across[x]}"

    n, k = scene.kind.shape
    return [
        f"{' and '.join(of(i, j) for j in range(k))} on {BACKGROUNDS[scene.background[i]]}" for i in range(n)
    ]


def covered(image):
    """How much of each pixel a shape covers, read from drawings f32[..., 3] in [0, 1]: [...] in [0, 1]."""
    return jnp.clip((image.max(-1) - image.min(-1)) / _CHROMA, 0, 1)


def hues(image):
    """The colour that each pixel of drawings f32[..., 3] is nearest to, i32[...]; on a background it means
    nothing."""
    low = image.min(-1, keepdims=True)
    hue = (image - low) / jnp.maximum(image.max(-1, keepdims=True) - low, 1e-6)
    return (
        ((hue[..., None, :] - _HUES.reshape((1,) * (hue.ndim - 1) + _HUES.shape)) ** 2)
        .sum(-1)
        .argmin(-1)
        .astype(jnp.int32)
    )


def segmented(image):
    """The labels of drawings whose shapes have the colours of their kinds, i32[..., S, S], of LABELS and one
    more of pixels whose colour is no kind's."""
    return jnp.where(covered(image) > 0.5, jnp.minimum(hues(image), len(KINDS)) + 1, 0)


def read(image) -> Scene:
    """What drawings f32[n, S, S, 3] of one shape each show, k = 1; rotations are those of the first point
    after x, and phases are not read.

    Of 4000 drawings at random, in 8 bits a channel, it reads every kind, colour and background right, and

    | side | texture wrong | radius off by | centre | rotation, radians |
    |---|---|---|---|---|
    | 16 | 0.03 % | 0.0052 | 0.0027 | 0.0085 |
    | 32 | none | 0.0013 | 0.0007 | 0.0019 |
    | 64 | none | 0.0004 | 0.0002 | 0.0004 |
    """
    return jax.vmap(_read)(image)


def _read(image) -> Scene:
    side = image.shape[0]
    weight, points = covered(image), _points(side)
    total = jnp.maximum(weight.sum(), 1e-6)
    centre = (weight[..., None] * points).sum((0, 1)) / total
    z = (points - centre[None, None]) @ jnp.asarray([1, 1j])
    n = jnp.asarray([3, 4, 5])
    spread = jnp.sqrt((weight * jnp.abs(z) ** 2).sum() / total)
    turns = (weight[None] * z[None] ** n[:, None, None]).sum((1, 2)) / total / spread**n
    kind = ((jnp.abs(turns)[None] - _TURNS) ** 2).sum(1).argmin()
    points_of = jnp.asarray(_POINTS)[kind]
    rotation = jnp.angle(turns[jnp.clip(points_of - 3, 0, 2)]) / points_of
    area = total * (2 / side) ** 2
    votes = jax.nn.one_hot(hues(image), len(COLOURS)) * weight[..., None]
    edge = jnp.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).min(-1)
    grey = jnp.median(edge)
    x, y = jnp.moveaxis(_WAVE * points, -1, 0)
    stripes = jnp.stack([jnp.ones_like(y), jnp.sin(y), jnp.cos(y)], -1)
    chequers = jnp.concatenate(
        [stripes[..., :1], *((f(x)[..., None] * stripes[..., 1:]) for f in (jnp.sin, jnp.cos))], -1
    )
    inside = (weight > 0.98).reshape(-1)
    left = jnp.stack([_left(basis, image.min(-1), inside) for basis in (stripes[..., :1], stripes, chequers)])
    texture = jnp.where(left[0] < 0.05 * _LIGHT, 0, 1 + left[1:].argmin())
    one = lambda x: jnp.asarray(x)[None]  # noqa: E731
    return Scene(
        one(kind.astype(jnp.int32)),
        one(votes.sum((0, 1)).argmax().astype(jnp.int32)),
        one(texture.astype(jnp.int32)),
        one(jnp.sqrt(area / jnp.asarray(_AREA, jnp.float32)[kind])),
        centre[None],
        one(jnp.mod(rotation, 2 * jnp.pi / points_of)),
        jnp.zeros((1, 2)),
        jnp.abs(grey - _GREYS).argmin().astype(jnp.int32),
    )


def _left(basis, light, inside):
    """What the least squares fit of waves f32[S, S, m] leaves of a light f32[S, S] inside a shape, in root
    mean square."""
    waves = basis.reshape(len(inside), -1) * inside[:, None]
    light = light.reshape(-1) * inside
    gram = waves.T @ waves + 1e-3 * jnp.eye(waves.shape[1])
    rest = light - waves @ jnp.linalg.solve(gram, waves.T @ light)
    return jnp.sqrt((rest**2).sum() / jnp.maximum(inside.sum(), 1))
