"""Two domains of images that nothing pairs: `a` and `b`, each drawn in an order of its own.

Of some sets the partner of an image in the other domain is known. It is never trained on, and what is held
out is scored by it.
"""

from pathlib import Path

import jax
import numpy as np

from jaxgan import memory
from jaxgan.config import InputError
from jaxgan.data import drawings, files, pairs, shapes, sources, store
from jaxgan.data.dataset import Dataset
from jaxgan.data.fit import Fit, resized

FEWEST = 4  # images of each domain, trained on and held out
RADII = 0.6, 0.95  # larger than other drawings': a kind is told by its shape
KINDS = shapes.KINDS[:3]  # red, green and blue


def _drawn(spec: str, side: int | None, held_out: int) -> tuple[dict, dict, list[str]]:
    """Plain shapes on grey, and others in the second domain; of those held out both.

    A kind has its own colour in each domain. Were colours drawn apart from kinds, any exchange of them would
    be as good an answer as the true one. And a generator begins by keeping colours: it finds the near ones
    that are meant, and never leaves those of another kind that are as near, as complementary ones would be.
    """
    n, side = drawings.counted(spec, FEWEST), side or 32
    memory.require(12 * (2 * n + held_out) * side**2, f"{2 * n} drawings of {side}x{side}")

    def draw(slot):
        only = {"kinds": KINDS, "textures": ("plain",), "backgrounds": ("grey",)}
        scene = shapes.scenes(jax.random.key(0), slot, by_kind=True, radii=RADII, **only)
        return shapes.draw(scene, side), shapes.second(scene, side), scene.kind[:, 0]

    a, b, kind = drawings.drawn(draw, 2 * n + held_out)
    held = {"a": a[2 * n :], "b": b[2 * n :], "label": kind[2 * n :]}
    return {"a": a[:n], "b": b[n : 2 * n], "label": {"a": kind[:n], "b": kind[n : 2 * n]}}, held, []


def _halves(found: dict[str, np.ndarray], held_out: int) -> tuple[dict, dict, list[str]]:
    """Of pairs one half's A, the other half's B, and held-out pairs."""
    a, b = found["A"], found["B"]
    order = np.random.default_rng(0).permutation(len(a))
    held, kept = order[:held_out], order[held_out:]
    half = len(kept) // 2
    told = [f"pairs are parted: {half} give their A and {len(kept) - half} others their B"]
    return {"a": a[kept[:half]], "b": b[kept[half:]]}, {"a": a[held], "b": b[held]}, told


def _folders(root: Path, fit, held_out: int) -> tuple[dict, dict, list[str]]:
    """The images of trainA and trainB, or A and B; held out those of testA and testB, or some of these."""
    names = {p.name.lower(): p for p in root.iterdir() if p.is_dir()}
    own = next(((x, y) for x, y in (("traina", "trainb"), ("a", "b")) if {x, y} <= set(names)), None)
    if own is None:
        raise InputError(
            f"--data folder:{root} has no folders trainA and trainB, but {', '.join(names) or 'none'}"
        )

    def read(name: str):
        found = files.read(names[name], fit)
        lines = [*found.told, *resized(found.size, found.images.shape[1])]
        return found.images, [f"{names[name].name}: {line}" for line in lines]

    (a, told), (b, more) = map(read, own)
    if {"testa", "testb"} <= set(names):
        (c, of_c), (d, of_d) = read("testa"), read("testb")
        n = min(len(c), len(d))
        told += [*more, *of_c, *of_d, "testA and testB are held out, whatever --held-out says"]
        if len(c) != len(d):
            told.append(f"of testA's {len(c)} images and testB's {len(d)} the first {n} are taken")
        return {"a": a, "b": b}, {"a": c[:n], "b": d[:n]}, told
    order = [np.random.default_rng(0).permutation(len(x)) for x in (a, b)]
    held = {k: x[rows[:held_out]] for k, x, rows in zip("ab", (a, b), order, strict=True)}
    what = f"the images of {root}"
    kept = {k: store.take(x, rows[held_out:], what) for k, x, rows in zip("ab", (a, b), order, strict=True)}
    return kept, held, told + more


def load(
    spec: str,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    backwards: bool = False,
    arrays: str = "a,b",
    held_out: int = 300,
    data_dir: str | None = None,
) -> Dataset:
    """Reads two domains.

    Args:
      spec: `shapes` (plain drawings, each kind of its colour, and others as `shapes.second` has them;
        `shapes:N`), whose partners are known; `folder:PATH` with trainA and trainB, and testA
        and testB if they are there; `npz:PATH` of two arrays of pairs, which are parted so that none is seen
        in both; or two sets as `sources.load` has them, `SPEC;SPEC`.
      image_size, channels, data_dir: as of `sources.load`, of both.
      backwards: b is given and a asked for.
      arrays: the names of A and B in an npz file.
      held_out: how many images of each are not trained on.

    Returns:
      `a` and `b`, groups with `image`; `held_out` has arrays `a` and `b`, partners of each other where
      `facts["partners"]` says so.

    Raises:
      InputError: as `sources.load`; if a domain is empty, or there are too few.
    """
    name, _, where = spec.partition(":")
    fit, partners = Fit(image_size, channels, spec), True
    if ";" in spec:
        sets = [
            sources.load(one.strip(), image_size=image_size, channels=channels, data_dir=data_dir)
            for one in spec.split(";", 1)
        ]
        order = [np.random.default_rng(0).permutation(len(x["image"])) for x in sets]
        kept, held = (
            {
                k: store.take(x["image"], rows[part], x.name)
                for k, x, rows in zip("ab", sets, order, strict=True)
            }
            for part in (slice(held_out, None), slice(held_out))
        )
        told, partners = [f"{x.name}: {line}" for x in sets for line in x.remarks], False
    elif name == "shapes":
        kept, held, told = _drawn(spec, image_size, held_out)
        spec = name
    elif name == "folder" and where:
        root = Path(where).expanduser()
        if not root.is_dir():
            raise InputError(f"--data {spec} is not a folder")
        kept, held, told = _folders(root, fit, held_out)
        partners = False
    elif name == "npz" and where:
        found, _, told = pairs.arrays_of(Path(where).expanduser(), arrays, fit)
        kept, held, more = _halves(found, held_out)
        told += more
    else:
        raise InputError(f"--data {spec}: domains are shapes, folder:PATH, npz:PATH, or two sets, SPEC;SPEC")
    label = kept.pop("label", None)
    for side, x in kept.items():
        if len(x) < FEWEST or len(held[side]) < FEWEST:
            raise InputError(
                f"--held-out {held_out}: of {side} at least {FEWEST} images are trained on, and as many "
                f"held out; there are {len(x)} and {len(held[side])}"
            )
    if backwards:
        kept, held = (x | {"a": x["b"], "b": x["a"]} for x in (kept, held))
        label = label and {"a": label["b"], "b": label["a"]}
    colours = {x.shape[-1] for x in kept.values()}
    if len(colours) > 1:
        raise InputError(f"--data {spec}: one domain is grey and the other in colour; give --channels 1 or 3")
    facts = {"channels": colours.pop(), "partners": partners}
    facts |= {"classes": list(KINDS)} if label else {}
    n = len(held["a"])
    told.append(
        f"{n} images of each are held out{', with their partners' if partners else ''}: scores are of these"
    )
    apart = Dataset(f"{spec}, held out", held, facts)
    title = f"{spec}{', backwards' if backwards else ''}"
    groups = {k: {"image": x} | ({"label": label[k]} if label else {}) for k, x in kept.items()}
    return Dataset(title, groups, facts, remarks=tuple(told), held_out=apart)
