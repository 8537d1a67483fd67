"""Images are found again among a generator's, in each of its latent spaces."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, projector, random, sampling
from jaxgan.config import InputError
from jaxgan.game import GAN
from jaxgan.kinds.images import images
from jaxgan.translate import Source

LAYERS, D, SIDE = 2, 3, 8


def _generator(styles: bool, condition: str | None = None) -> sampling.Generator:
    """Each layer's style times a picture of its own; z is the style of both, less 1."""
    pictures = jax.random.normal(jax.random.key(1), (LAYERS, D, SIDE, SIDE, 1)) / 16
    variables = {"params": {"pictures": pictures}, "noise": {"a": jnp.zeros((SIDE, SIDE))}}

    def of_z(variables, z, *label):
        z = z if not label else z + label[0][:, None]
        return jnp.broadcast_to((z + 1)[:, None], (len(z), LAYERS, D))

    def synthesise(variables, w):
        seen = jnp.einsum("bld,ldhwc->bhwc", w, variables["params"]["pictures"])
        return seen + 1e-3 * variables["noise"]["a"][None, :, :, None]

    def sample(variables, z, *label):
        return synthesise(variables, of_z(variables, z, *label))

    latent = partial(random.normal, shape=(D,))
    more = {"styles": of_z, "synthesise": synthesise} if styles else {}
    gan = GAN(None, None, None, latent, sample, condition=condition, **more)
    asked = None if condition is None else {condition: np.arange(3, dtype=np.int32)}
    return sampling.Generator(gan, variables, None, images, {}, asked, 0, False)


def _images(generator, w):
    return generator.decoded(generator.gan.synthesise(generator.variables, w))


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_an_image_is_found_in_its_space(space):
    generator = _generator(True)
    w = 0.5 * jax.random.normal(jax.random.key(3), (2, LAYERS, D)) + 1
    same = jnp.broadcast_to(w[:, :1], w.shape)
    options = dict(space=space, steps=150, key=jax.random.key(0))
    found = projector.project(generator, _images(generator, same), **options)
    wanted = {"z": w[:, 0] - 1, "w": w[:, :1], "w+": same}[space]
    np.testing.assert_allclose(found.latent, wanted, atol=0.1)  # images are rounded to levels
    assert np.abs(found.found.astype(int) - found.images).max() <= 6
    # Two styles are in w+ alone.
    found = projector.project(generator, _images(generator, w), **options)
    worst = np.abs(found.found.astype(int) - found.images).max()
    assert worst <= 6 if space == "w+" else worst > 12
    assert (found.distance < 1e-4).all() == (space == "w+")


def test_what_cannot_be_found_is_refused():
    generator = _generator(False)
    assert projector.spaces(generator) == ("z",)
    image = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    with pytest.raises(InputError, match=r"--space w\+: this generator has z"):
        projector.project(generator, image, space="w+")
    with pytest.raises(
        InputError, match=r"are uint8\[1, 8, 8, 1\] for this generator, not uint8\[1, 8, 7, 1\]"
    ):
        projector.project(generator, image[:, :, 1:])
    source = Source("image", ["a.png"], [image[0, 1:]], [None])
    with pytest.raises(InputError, match="a.png is 8x7, and this generator makes 8x8: crop and resize it"):
        projector.fitted(generator, source)


def test_a_label_is_the_images():
    """z is found for the label that is asked for, and others for another."""
    generator = _generator(False, "label")
    kind = images._replace(condition=lambda facts, asked, value, n: np.full(n, int(value)))
    generator = sampling.Generator(*[*vars(generator).values()][:3], kind, {}, generator.asked, 0, False)
    z = 0.3 * jax.random.normal(jax.random.key(3), (2, D))
    sought = generator.decoded(generator.gan.sample(generator.variables, z, jnp.ones(2)))
    for label in (0, 1):
        found = projector.project(generator, sought, steps=150, condition=label)
        np.testing.assert_allclose(found.latent, z + (1 - label), atol=0.1)


def test_the_command_writes_pairs_or_arrays(tmp_path, monkeypatch, capsys):
    generator = _generator(True)
    sought = _images(generator, jnp.ones((1, LAYERS, D)))
    Image.fromarray(sought[0, ..., 0]).save(tmp_path / "x.png")
    monkeypatch.setattr(sampling, "load", lambda *a: generator)
    monkeypatch.setattr(cli, "_opened", lambda *a: {})
    monkeypatch.setattr("jaxgan.translate.records.read", lambda run: {"data": {"facts": {}}})
    command = ["project", str(tmp_path), str(tmp_path / "x.png"), "--steps", "60", "--space", "w"]
    cli.main([*command, "--out", str(tmp_path / "y.png")])
    assert "1 images, mean distance" in capsys.readouterr().out
    with Image.open(tmp_path / "y.png") as seen:
        assert seen.width == pytest.approx(2 * seen.height, rel=0.15)  # the image, and what was found
    cli.main([*command, "--out", str(tmp_path / "y.npz")])
    with np.load(tmp_path / "y.npz") as kept:
        assert {k: kept[k].shape for k in kept} == {
            "image": (1, SIDE, SIDE, 1), "latent": (1, 1, D), "distance": (1,)}  # fmt: skip
    for out, told in (("y.gif", "a name ending in .png or .npz"), ("x.png", "is the input itself")):
        with pytest.raises(SystemExit) as status:
            cli.main([*command, "--out", str(tmp_path / out)])
        assert status.value.code == 2
        assert told in capsys.readouterr().err
