"""Pairs of images: what a generator is given, `input`, and what it is to answer with, `image`.

They come from files, or are made from any set of images by a task. Some are held out: those that are trained
on say nothing of how well a generator answers.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import memory
from jaxgan.config import InputError
from jaxgan.data import drawings, files, shapes, sources, store, tasks
from jaxgan.data.dataset import Dataset
from jaxgan.data.fit import Fit, Halves, Labels, resized

FEWEST = 4  # pairs that are held out at least
SIDES = "A", "B"
LARGER = 1.8  # shapes of label maps than other drawings': no label covers most of an image


def _folder(root: Path, fit: Fit, labels: int | None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A and B of a folder: of two folders in it by the names of their images, or of images of both; of two
    where A are label maps."""
    if all((root / side).is_dir() for side in SIDES):
        names = [
            [path.relative_to(root / side).with_suffix("") for path in files.found(root / side)[0]]
            for side in SIDES
        ]
        for side, own in zip(SIDES, names, strict=True):
            if twice := sorted({name for name in own if own.count(name) > 1}):
                raise InputError(f"--data folder:{root}: {side} has several images called {twice[0]}")
        for side, mine, others in (("A", *names), ("B", *names[::-1])):
            if alone := sorted(set(mine) - set(others)):
                other = SIDES[side == "A"]
                raise InputError(
                    f"--data folder:{root}: {len(alone)} images of {side} have none of their name in {other} "
                    f"({alone[0]})"
                )
        of_a = (fit, files.viewed) if labels is None else (Labels(*fit), files.label_map)
        read = [files.read(root / "A", *of_a), files.read(root / "B", fit)]
        told = [f"{side}: {line}" for side, own in zip(SIDES, read, strict=True) for line in own.told]
        told += [
            f"{side}: {line}"
            for side, own in zip(SIDES, read, strict=True)
            for line in resized(own.size, own.images.shape[1])
        ]
        a, b = read
        both, of_a, of_b = np.intersect1d(a.kept, b.kept, return_indices=True)
        if len(both) < max(len(a.kept), len(b.kept)):
            told.append(f"{len(both)} pairs are left, of which both images can be read")
            a, b = a._replace(images=a.images[of_a]), b._replace(images=b.images[of_b])
        return a.images, b.images, told
    if labels is not None:
        raise InputError(f"--data folder:{root}: label maps are in a folder A, their images in a folder B")
    read = files.read(root, Halves(*fit))
    both = read.images
    side = both.shape[1]
    width, height = read.size
    told = [*read.told, *resized((width // 2, height), side)]
    return both[:, :, :side], both[:, :, side:], told


def arrays_of(
    path: Path, names: str, fit: Fit, labels: int | None = None
) -> tuple[dict[str, np.ndarray], tuple, list[str]]:
    """A and B, and labels if there are any, of an npz file; the classes' names. With `labels` A are label
    maps."""
    parts = [name.strip() for name in names.split(",")]
    if len(parts) != 2:
        raise InputError(f"--arrays {names}: two names, as A,B")
    found = sources.arrays_of(path)
    read = {}
    for side, name in zip(SIDES, parts, strict=True):
        if name not in found:
            raise InputError(f"{path} has no array {name!r}, but {', '.join(found)}; see --arrays A,B")
        if side == "A" and labels is not None:
            read[side] = sources.of_arrays(path, {"image": _numbers(path, name, found[name])}, Labels(*fit))
        else:
            read[side] = sources.of_arrays(path, {"image": found[name]}, fit)
    (a, b), told = read.values(), []
    if len(a.images) != len(b.images):
        raise InputError(
            f"{path}: there are {len(a.images)} of {parts[0]!r} and {len(b.images)} of {parts[1]!r}"
        )
    arrays = {side: own.images for side, own in read.items()}
    told += resized(a.size, arrays["A"].shape[1])
    classes = ()
    if "label" in found:
        classes = sources.class_names(path, found["label"], found.get("classes"), len(a.images))
        arrays["label"] = found["label"].astype(np.int32)
    unused = [name for name in found if name not in (*parts, "label", "classes")]
    return arrays, classes, told + ([f"arrays that are not used: {', '.join(unused)}"] if unused else [])


def _numbers(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    """Label maps of any type of integers as uint8[N, H, W]."""
    x = x[..., 0] if x.shape[3:] == (1,) else x
    if x.dtype.kind not in "iu" or x.ndim != 3 or (x.size and not 0 <= x.min() <= x.max() <= 255):
        what = f"{x.dtype}{list(x.shape)}"
        raise InputError(f"{path}: {name!r} is {what}; label maps are integers [N, H, W] from 0 to 255")
    return x.astype(np.uint8)


def _drawn(spec: str, task: str, side: int | None) -> tuple[dict[str, np.ndarray], tuple, list[str]]:
    """Drawings of shapes in the colours of their kinds, textured, on grey, and their outlines."""
    n, side = drawings.counted(spec), side or 32
    memory.require(8 * n * side**2, f"{n} drawings of {side}x{side}")
    if task == "background":
        return _cut_out(n, side), shapes.KINDS, ["a cut-out lies before three other shapes"]
    if task == "labels":
        return _mapped(n, side), (), ["a drawing's texture and background are its style: no map tells them"]

    def draw(slot):
        scene = shapes.scenes(
            jax.random.key(0), slot, by_kind=True, textures=shapes.TEXTURES[1:], backgrounds=("grey",)
        )
        return shapes.draw(scene, side), shapes.edges(scene, side), scene.kind[:, 0]

    image, outline, kind = drawings.drawn(draw, n)
    arrays = {"B": image, "label": kind}
    arrays["A"] = outline if task == "edges" else tasks.given(tasks.named(task), image)
    return arrays, shapes.KINDS, ["the edges are the drawings' own outlines"] if task == "edges" else []


def _cut_out(n: int, side: int) -> dict[str, np.ndarray]:
    """Shapes cut out, and what they are before drawings of three shapes."""
    key = jax.random.key(0)

    def draw(slot):
        subject = shapes.scenes(key, slot, by_kind=True)
        others = shapes.scenes(jax.random.fold_in(key, 1), slot, shapes=3, by_kind=True)
        parts = shapes.draw(subject, side), shapes.alpha(subject, side), shapes.draw(others, side)
        return *jax.vmap(tasks.background)(*parts), subject.kind[:, 0]

    given, image, kind = drawings.drawn(draw, n)
    return {"A": given, "B": image, "label": kind}


def _mapped(n: int, side: int) -> dict[str, np.ndarray]:
    """Drawings of three large shapes each, in the colours of their kinds, of one texture, on any background,
    and their label maps, with the instances."""

    def draw(slot):
        scene = shapes.scenes(jax.random.key(0), slot, shapes=3, by_kind=True)
        one = jnp.broadcast_to(scene.texture[:, :1], scene.texture.shape)
        scene = scene._replace(texture=one, radius=LARGER * scene.radius)
        maps = shapes.labels(scene, side), shapes.instances(scene, side)
        return shapes.draw(scene, side), *(x.astype(jnp.uint8) for x in maps)

    image, label, instance = drawings.drawn(draw, n)
    return {"B": image, "A": np.stack([label, instance], -1)}


def _checked_maps(maps: np.ndarray, labels: int, instances: bool, spec: str) -> np.ndarray:
    """Label maps uint8[N, H, W, 1 or 2], with instances if they are wanted."""
    if (most := int(maps[..., 0].max())) >= labels:
        n = int((maps[..., 0] >= labels).any((1, 2)).sum())
        raise InputError(
            f"--data {spec}: {n} label maps have labels up to {most}; --labels {labels} has 0 to {labels - 1}"
        )
    return np.repeat(maps, 2, -1) if instances and maps.shape[-1] == 1 else maps[..., : 1 + instances]


def load(
    spec: str,
    *,
    task: str = "",
    image_size: int | None = None,
    channels: int | None = None,
    backwards: bool = False,
    arrays: str = "input,image",
    held_out: int = 500,
    split: str = "train",
    data_dir: str | None = None,
    labels: int | None = None,
    instances: bool | None = None,
) -> Dataset:
    """Reads pairs.

    Args:
      spec: with a task any set of images, as `sources.load` has them, or `shapes` (10,000 drawings of
        `data.shapes`; `shapes:N`), whose edges are their true outlines. Without one `folder:PATH`, of images
        that have A at the left and B at the right, or of folders A and B whose images have equal names; or
        `npz:PATH` of two arrays.
      task: as `tasks.named`; "" of data that are pairs.
      image_size, channels, split, data_dir: as of `sources.load`, of both images.
      backwards: B is given and A asked for.
      arrays: the names of A and B in an npz file.
      held_out: how many pairs, drawn at random but the same each time, are not trained on.
      labels: A are label maps, of so many labels from 0 on; of the task `labels` those of
        `shapes.LABELS`.
      instances: of a method that takes label maps, whether `input` has as a second channel which instance a
        pixel is of, or if only the map is known its label; None: the method takes images alone.

    Returns:
      `input`, `image` and, where there are labels, `label`; `held_out` has those that are.

    Raises:
      InputError: as `sources.load`; if images do not match, or there are too few.
    """
    name, _, where = spec.partition(":")
    classes, read, how = (), None, ""
    if instances is None and (task == "labels" or labels is not None):
        raise InputError("--task labels: the method takes images, and no label maps")
    maps = task == "labels" or labels is not None
    if maps and (task not in ("labels", "") or task and name != "shapes"):
        raise InputError(
            f"--task {task}: label maps are those of --data shapes, or pairs: --task '' --labels N"
        )
    if labels is not None and not 2 <= labels <= 256:
        raise InputError(f"--labels {labels}: a label map has 2 to 256")
    if task == "background" and name != "shapes":
        raise InputError("--task background: cut-outs are those of --data shapes; of others pairs, --task ''")
    if name == "shapes" and task:
        found, classes, told = _drawn(spec, task, image_size)
        spec = name
    elif task:
        data = sources.load(spec, image_size=image_size, channels=channels, split=split, data_dir=data_dir)
        found = {"A": tasks.given(tasks.named(task), data["image"]), "B": data["image"]}
        found |= {} if data.get("label") is None else {"label": data["label"]}
        spec, classes, told, read, how = data.name, data.classes, list(data.remarks), data.read, data.resized
    else:
        fit = Fit(image_size, channels, spec)
        path = Path(where).expanduser()
        if name == "folder" and where:
            if not path.is_dir():
                raise InputError(f"--data {spec} is not a folder")
            path, chosen = files.split_of(path, split) if not (path / "A").is_dir() else (path, [])
            a, b, told = _folder(path, fit, labels)
            found, told = {"A": a, "B": b}, chosen + told
        elif name == "npz" and where:
            found, classes, told = arrays_of(path, arrays, fit, labels)
        else:
            known = ", ".join(tasks.TASKS)
            raise InputError(
                f"--data {spec}: pairs are in folder:PATH or npz:PATH; or give --task, of {known}"
            )
    a, b = found.pop("A"), found.pop("B")
    if maps:
        labels = len(shapes.LABELS) if task == "labels" else labels
        if instances and a.shape[-1] == 1:
            told.append("boundaries lie where two labels meet: the maps know no instances")
        a = _checked_maps(a, labels, instances, spec)
    given, answer = (b, a) if backwards else (a, b)
    whole = {"input": given, "image": answer, **found}
    n = len(answer)
    if not FEWEST <= held_out <= n - FEWEST:
        raise InputError(
            f"--held-out {held_out}: of {n} pairs at least {FEWEST} are held out, and as many trained on"
        )
    order = np.random.default_rng(0).permutation(n)
    what = f"the pairs of {spec}"
    kept, held = (
        {k: store.take(x, rows, what) for k, x in whole.items()}
        for rows in (order[held_out:], order[:held_out])
    )
    facts = {
        "images": spec,
        "channels": answer.shape[-1],
        "input_channels": given.shape[-1],
        **({"classes": list(classes)} if classes else {}),
        **({"labels": labels} if maps else {}),
    }
    title = ", ".join(filter(None, [spec, task, "backwards" if backwards else ""]))
    apart = Dataset(f"{title}, held out", held, facts, resized=how)
    told.append(f"{held_out} of {n} pairs are held out: scores are of these")
    return Dataset(title, kept, facts, remarks=tuple(told), read=read, resized=how, held_out=apart)
