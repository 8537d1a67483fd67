"""A latent space is looked into: what each table has in which place, and lengths of a known generator."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, explorer, latents, random, sampling
from jaxgan.config import InputError
from jaxgan.game import GAN
from jaxgan.kinds.images import images
from jaxgan.metrics.path_length import trimmed_mean
from jaxgan.nets import stylegan2
from jaxgan.random import fold

LAYERS, D, SIDE, N = 4, 3, 16, 3


def _generator(
    styles: bool = True, condition: str | None = None, data: str = "shapes:9"
) -> sampling.Generator:
    """Each layer's style is the colour of its own rows; z is the cube root of it, of class i plus i."""

    def of_z(variables, z, label=None):
        z = z if label is None else z + label[:, None]
        return jnp.broadcast_to((0.2 * z**3)[:, None], (len(z), LAYERS, D))

    def synthesise(variables, w):
        rows = w.repeat(SIDE // LAYERS, 1)
        return jnp.broadcast_to(rows[:, :, None], (len(w), SIDE, SIDE, D)) * variables["params"]["scale"]

    def sample(variables, z, label=None):
        return synthesise(variables, of_z(variables, z, label))

    more = {"styles": of_z, "synthesise": synthesise} if styles else {}
    gan = GAN(None, None, None, partial(random.normal, shape=(D,)), sample, condition=condition, **more)
    asked = None if condition is None else {condition: np.arange(N, dtype=np.int32)}
    style = {"style": {"kernel": jnp.diag(jnp.array([1.0, 3.0, 2.0]))}}
    variables = {"params": {"scale": jnp.ones(()), "layer": style}}
    return sampling.Generator(gan, variables, SimpleNamespace(data=data), images, {}, asked, 7, False)


def _colour(table, layer: int):
    """The colour of a layer's rows, as levels -1 to 1."""
    return table[..., layer * SIDE // LAYERS, 0, :] / 127.5 - 1


def test_each_place_has_its_styles(key):
    generator = _generator()
    found = explorer.explore(generator, key, N, measured=256)

    def of(name, n):
        return np.asarray(generator.gan.styles({}, generator.gan.latent(fold(key, name), jnp.arange(n))))

    w, mean = np.clip(of("ends", 2 * N), -1, 1)[:, 0], of("spread", 256)[:, 0].mean(0)
    a, b = w[:N], w[N:]
    near = partial(np.testing.assert_allclose, atol=1 / 127)
    assert found.walk.shape == (explorer.FRAMES, N, SIDE, SIDE, D)
    near(_colour(found.walk[0], 3), a)
    near(_colour(found.walk[-1], 0), b)
    for layer in range(LAYERS):
        tables = (_colour(found.tables[f"mixing_{name}"], layer) for name in ("coarse", "fine"))
        (above, left, coarse), (_, _, fine) = ((x[0], x[1:, 0], x[1:, 1:]) for x in tables)
        near(above, [mean, *b])
        near(left, a)
        others = np.broadcast_to(b[None], (N, N, D)), np.broadcast_to(a[:, None], (N, N, D))
        near(coarse, others[0 if layer < 3 else 1])
        near(fine, others[1 if layer < 3 else 0])
    whole = _colour(found.tables["truncation"], 0)
    near(whole[:, explorer.PSI.index(0.0)], np.broadcast_to(mean, (N, D)))
    near(whole[:, explorer.PSI.index(1.0)], a)
    strongest = _colour(found.tables["closed_form"][0], 2) - mean  # the layers take up the second most
    near(strongest[:, [0, 2]], np.zeros((7, 2)))
    assert (np.diff(strongest[2:5, 1]) > 0.1).all()  # further out it is beyond the levels
    spread = _colour(found.tables["principal"], 2) - mean
    near(spread[:, 3], np.zeros((D, D)))
    assert np.abs(spread[:, 4]).max() > 0.1


def test_path_lengths_are_those_of_the_mathematics(key):
    found = explorer.explore(_generator(data="digits"), key, 1, measured=2048).figures
    assert set(found) == {"path_length_z", "path_length_w"}
    own = fold(key, "lengths")
    ends = np.stack([random.normal(fold(own, end), jnp.arange(2048), (D,)) for end in ("start", "end")])
    a, b = 0.2 * ends**3
    straight = jnp.asarray((b - a)[:, None, None]) * jnp.ones((1, SIDE, SIDE, 1))
    wanted = trimmed_mean(latents.scales(straight, jnp.zeros_like(straight)))
    assert found["path_length_w"] == pytest.approx(wanted, rel=5e-3)
    assert found["path_length_z"] != pytest.approx(wanted, rel=0.1)


def test_the_layers_of_stylegan2_that_read_a_style(key):
    g = stylegan2.Generator(8, 1, width=4, most=8, styles=5, mapping=1)
    variables = jax.eval_shape(partial(g.init, train=False), key, jnp.zeros((1, 5)))
    assert [x.shape for x in explorer.style_kernels(variables)] == [(5, n) for n in (8, 4, 8, 4, 8)]


def test_labels_are_heeded_and_latents_without_styles_too(key):
    labelled = explorer.explore(_generator(condition="label"), key, N, 2, measured=256)
    plain = explorer.explore(_generator(), key, N, measured=256)
    assert labelled.tables["truncation"].mean() > plain.tables["truncation"].mean() + 50
    alone = explorer.explore(_generator(styles=False), key, N)
    assert set(alone.tables) == {"truncation"}
    assert not alone.figures
    assert alone.tables["truncation"].shape == (N, len(explorer.BOUND), SIDE, SIDE, D)
    assert np.abs(alone.tables["truncation"][:, 0] - 127.5).max() <= 1  # |z| < 0.1, and a cube of it
    assert alone.walk.shape == (explorer.FRAMES, N, SIDE, SIDE, D)


def test_the_command_writes_all_of_it(key, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_opened", lambda *_: {})
    monkeypatch.setattr(sampling, "load", lambda *_: _generator())
    cli.main(["explore", str(tmp_path), "--out", str(tmp_path / "out"), "--n", "2"])
    told = capsys.readouterr().out
    for name in ("coarse_position", "fine_colour", "all_kind", "path_length_w"):
        assert f"\n{name}: " in told
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    names = ["closed_form", "mixing_coarse", "mixing_fine", "principal", "truncation"]
    assert files == sorted(["figures.json", "walk.gif", *(f"{name}.png" for name in names)])
    with Image.open(tmp_path / "out" / "walk.gif") as film:
        assert film.n_frames > 5  # those that are alike are one
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as left:
        cli.main(["explore", str(tmp_path), "--out", str(tmp_path / "file")])
    assert left.value.code == 2
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(InputError, match="n is 0"):
        explorer.explore(_generator(), key, 0)


def test_bounds_that_cut_nothing_are_left_out(key):
    uniform = partial(random.uniform, shape=(D,), minval=-1.0)
    generator = _generator(styles=False)
    generator = dataclasses.replace(generator, gan=generator.gan._replace(latent=uniform))
    table = explorer.explore(generator, key, 2).tables["truncation"]
    assert table.shape[1] == 1 + explorer.BOUND.index(1.0)
