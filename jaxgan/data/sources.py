"""Sets of real images, all of one size, as uint8 arrays in memory."""

import contextlib
import dataclasses
import importlib.util
import logging
import math
import struct
import zipfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from jaxgan import memory
from jaxgan.config import InputError, nearest
from jaxgan.data import drawings, files, shapes, store
from jaxgan.data.dataset import Dataset
from jaxgan.data.files import Read
from jaxgan.data.fit import Fit, how_resized, resized
from jaxgan.data.reading import UNREADABLE, Example, each, gathered

KINDS = ("digits", "shapes", "tfds:NAME", "folder:PATH", "npz:PATH")


def image_set(
    name: str, image, label=None, classes: tuple[str, ...] = (), remarks: tuple[str, ...] = ()
) -> Dataset:
    """A data set of `image` uint8[N, S, S, C] and, where there are labels, `label` i32[N] of the classes."""
    labelled = {} if label is None else {"label": np.asarray(label, np.int32)}
    facts = {"classes": list(classes)} if labelled else {}
    return Dataset(name, {"image": image, **labelled}, facts, remarks=tuple(remarks))


def load(
    spec: str,
    *,
    image_size: int | None,
    channels: int | None = None,
    split: str = "train",
    data_dir: str | None = None,
) -> Dataset:
    """Reads a data set.

    Args:
      spec: `digits` (scikit-learn's 1797 handwritten digits of 8x8), `shapes` or `shapes:N` (10,000 or N
        drawings of `data.shapes`, of one shape each, whose kind is the class), `tfds:NAME` (a prepared TFDS
        image set, read without TensorFlow), `folder:PATH` (images of one size, as a viewer shows them, on
        white where they are transparent; sub-folders are classes, or where they are called train, test and
        validation, splits) or `npz:PATH` (`image` uint8[N, H, W] or [N, H, W, C], and `label` and `classes`,
        their names, if there are any). A set of a single class has no labels.
      image_size: S; images are cropped to their central square and resized to it (bicubic,
        antialiased), one by one as they are read. None: the side of that square.
      channels: 1 or 3; None keeps the data's own.
      split: of a TFDS set, or a folder that has some.
      data_dir: where TFDS sets lie; None is TFDS's own default.

    Returns:
      The set; its `remarks` say what was left out or changed.

    Raises:
      InputError: if the set is unknown, missing, unreadable or not made of images of one size, or there is no
        room for it.
    """
    if image_size is not None and image_size < 1:
        raise InputError(f"--image-size {image_size}: it must be 1 or more")
    if channels not in (None, 1, 3):
        raise InputError(f"--channels {channels}: images have 1 or 3")
    kind, _, where = spec.partition(":")
    if split != "train" and kind in ("digits", "shapes", "npz"):
        raise InputError(f"--split {split}: {spec} has no splits; sets of TFDS have, and folders may")
    fit = Fit(image_size, channels, spec)
    name, chosen = spec, []
    if spec == "digits":
        read = _digits(fit)
    elif kind == "shapes":
        read = _shapes(spec, fit)
    elif kind == "tfds" and where:
        read = _tfds(where, split, data_dir, fit)
        name = f"{spec}/{split}"
    elif kind == "folder" and where:
        root = Path(where).expanduser()
        if not root.is_dir():
            raise InputError(f"--data {spec} is not a folder")
        root, chosen = files.split_of(root, split)
        read = files.read(root, fit)
        name = f"{spec}/{split}" if chosen else spec
    elif kind == "npz" and where:
        path = Path(where).expanduser()
        read = of_arrays(path, arrays_of(path), fit)
    else:
        hint = nearest(spec, ["digits", "shapes", "tfds", "folder", "npz"])
        raise InputError(f"--data {spec!r} is not one of {', '.join(KINDS)}{hint}")
    told = [*chosen, *read.told, *resized(read.size, read.images.shape[1])]
    label, classes = read.label, read.classes
    if len(classes) == 1:
        told.append(f"all images are of one class, {classes[0]}: a set of one class has no labels")
    if len(classes) < 2:
        label, classes = None, ()
    if store.in_file(read.images):
        size = memory.told(read.images.nbytes)
        told.append(f"{size} of images are too many for the memory: they are in a file while this runs")
    found = image_set(name, read.images, label, classes, told)
    read_size = len(read.images) * math.prod(read.size) * read.images.shape[-1]
    return dataclasses.replace(found, read=read_size, resized=how_resized(read.size, found["image"].shape[1]))


def _fitted(images: np.ndarray, fit: Fit) -> np.ndarray:
    """Images uint8[N, H, W] or [N, H, W, 3] as they are kept."""
    first, n = Image.fromarray(images[0]), len(images)
    if type(fit) is Fit and fit.channels in (None, len(first.getbands())):
        if first.size == (fit.size or first.height,) * 2:
            return images.reshape(*images.shape[:3], -1)  # as they are, in memory or in a file
    fit.check_room(first, n)

    read = _Blocks(images, fit)
    found = gathered(
        n,
        read,
        where=fit.name,
        what=lambda x: fit.told(x, n),
        name=lambda i: f"image {i}",
        apart=False,  # they would be sent to other processes as a whole
    )
    return found.images


class _Blocks(NamedTuple):
    """Reads rows of images uint8[N, H, W] or [N, H, W, 3]."""

    images: np.ndarray
    fit: Fit

    def __call__(self, rows: range) -> list:
        return each(rows, self._one)

    def _one(self, i: int) -> Example:
        image = Image.fromarray(self.images[i])
        return Example(self.fit(image), image.size)


def _digits(fit: Fit) -> Read:
    # The file alone: an import of scikit-learn takes a second.
    package = Path(importlib.util.find_spec("sklearn").origin).parent
    table = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", np.uint8, delimiter=",")
    images = table[:, :64].reshape(-1, 8, 8)
    levels = (images * (255 / 16)).round().astype(np.uint8)
    return Read(_fitted(levels, fit), (8, 8), table[:, 64].astype(int), tuple("0123456789"))


def _shapes(spec: str, fit: Fit) -> Read:
    side = fit.size or 32

    def draw(slot):
        scene = shapes.scenes(jax.random.key(0), slot)
        return shapes.draw(scene, side), scene.kind[:, 0]

    image, kind = drawings.drawn(draw, drawings.counted(spec))
    return Read(_fitted(image, fit), (side, side), kind, shapes.KINDS)


@contextlib.contextmanager
def _guarded():
    """Without absl's hints at OpenCV; and no module that a prepared set names is imported but TFDS's own."""
    from tensorflow_datasets.core.features.feature import FeatureConnector

    log, named = logging.getLogger("absl"), FeatureConnector.__dict__["cls_from_name"]
    level = log.level

    def cls_from_name(cls, name: str):
        if name.split(".")[:3] != ["tensorflow_datasets", "core", "features"]:
            raise InputError(f"its features.json names {name}, which is no feature of TFDS's own")
        return named.__func__(cls, name)

    log.setLevel(logging.ERROR)
    FeatureConnector.cls_from_name = classmethod(cls_from_name)
    try:
        yield
    finally:
        FeatureConnector.cls_from_name = named
        log.setLevel(level)


def _tfds(name: str, split: str, data_dir: str | None, fit: Fit) -> Read:
    import tensorflow_datasets as tfds

    with _guarded():
        try:
            if (of := tfds.core.naming.parse_builder_name_kwargs(name)[0].namespace) is not None:
                raise InputError(f"sets of {of} bring code of their own, which is not run")
            builder = tfds.builder(name, data_dir=data_dir)
        except tfds.core.registered.DatasetNotFoundError:
            hint = nearest(name.partition("/")[0], tfds.list_builders(with_community_datasets=False))
            raise InputError(f"--data tfds:{name}: TFDS has no set of that name{hint}") from None
        except Exception as e:  # an unknown version, config or name space: each its own exception
            reason = str(e).strip().partition("\n")[0] or type(e).__name__
            raise InputError(f"--data tfds:{name}: TFDS cannot make it: {reason}") from e
        file_format = builder.info.file_format
        random_access = file_format is not None and file_format.value == "array_record"
        if not builder.is_prepared() or not random_access:
            where = f", data_dir={data_dir!r}" if data_dir else ""
            call = f"tfds.builder({name!r}{where}, file_format='array_record').download_and_prepare()"
            raise InputError(
                f"--data tfds:{name} is not prepared as array_record in {builder.data_path}. Prepare it "
                "once, with the 'prepare' extra: pip install -e '.[prepare]' && "
                f'python -c "import tensorflow_datasets as tfds; {call}"'
            )
        have = ", ".join(builder.info.splits)
        try:
            n = builder.info.splits[split].num_examples  # also of a part, or a sum: train[:10%], train+test
        except Exception as e:  # of a wrong name, bracket or bound: each its own
            raise InputError(f"--split {split!r}: tfds:{name} has {have}, and parts as train[:10%]") from e
        features = builder.info.features
        images_of = [k for k, f in features.items() if isinstance(f, tfds.features.Image)]
        labels_of = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
        if not images_of:
            raise InputError(f"--data tfds:{name} has no images, but {', '.join(features)}")
        source = builder.as_data_source(split=split) if n else ()
        if not len(source):
            raise InputError(f"--data tfds:{name} has no examples in {split}")
        read = _Records(str(builder.data_path), split, images_of[0], tuple(labels_of[:1]), fit)
        if fit.size:
            fit.check_room(Image.new("L", (1, 1)), len(source))  # if they are grey
        own = gathered(
            len(source),
            read,
            where=f"tfds:{name}",
            what=lambda image: fit.told(image, len(source)),
            name=lambda i: f"example {i}",
        )
    label = own.label if labels_of else None
    if labels_of and label.min() < 0:
        raise InputError(f"--data tfds:{name}: {split} has examples without a label; choose another --split")
    classes = tuple(features[labels_of[0]].names) if labels_of else ()
    return Read(own.images, own.size, label, classes, own.told)


@cache
def _source(folder: str, split: str):
    """The records of a prepared set; each process opens them for itself."""
    import tensorflow_datasets as tfds

    with _guarded():
        return tfds.builder_from_directory(folder).as_data_source(split=split)


class _Records(NamedTuple):
    """Reads rows of a prepared set."""

    folder: str
    split: str
    image: str  # the names of its features
    label: tuple[str, ...]  # one, or none
    fit: Fit

    def __call__(self, rows: range) -> list:
        source = _source(self.folder, self.split)
        with _guarded():  # here too: rows are read by processes of their own
            try:
                items = source.__getitems__(list(rows))  # three times as fast as one by one
            except UNREADABLE:
                return each(rows, lambda i: self._one(source[i]))
            return each(range(len(rows)), lambda i: self._one(items[i]))

    def _one(self, item: dict) -> Example:
        image = item[self.image]
        if image.dtype != np.uint8 or image.shape[-1] not in (1, 3):
            what = f"{image.dtype}{list(image.shape)}"
            raise InputError(f"images of TFDS are {what}; they must be 8-bit grey or RGB")
        seen = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        label = int(item[self.label[0]]) if self.label else None
        return Example(self.fit(seen), seen.size, label=label)


def _claims(path: Path) -> dict[str, tuple[tuple, np.dtype]]:
    """The shapes and types of the arrays in an .npz file, by their headers."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = header(file)
                length = math.prod(shape) * dtype.itemsize + file.tell()
                if not dtype.hasobject and length != entry.file_size:
                    raise ValueError(f"{entry.filename} has another length than its header says")
            found[entry.filename.removesuffix(".npy")] = shape, dtype
    return found


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of an .npz file that is too large for the memory: where it lies if it is not compressed, else
    in a file of its own."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = getattr(np.lib.format, f"read_array_header_{version[0]}_0")(file)
        header = file.tell()
        if fortran:
            raise ValueError(f"{name!r} is in Fortran's order: save it by np.ascontiguousarray")
        if entry.compress_type == zipfile.ZIP_STORED:
            with open(archive.filename, "rb") as raw:
                raw.seek(entry.header_offset + 26)  # the lengths of its name and of what else is known
                start = entry.header_offset + 30 + sum(struct.unpack("<HH", raw.read(4))) + header
            return np.memmap(archive.filename, dtype, "r", start, shape)
        made = store.empty(shape, dtype, f"{name!r} of {archive.filename}")
        left = memoryview(made.reshape(-1).view(np.uint8))
        while left:
            got = file.readinto(left[: store.BLOCK])
            if not got:
                raise ValueError(f"{entry.filename} ends too early")
            left = left[got:]
            store.written(made)
        return made


def _of_file(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, but for those of objects.

    Raises:
      InputError: if it cannot be read, or there is no room for it.
    """
    try:
        claims = {name: own for name, own in _claims(path).items() if not own[1].hasobject}
        needed = sum(math.prod(shape) * dtype.itemsize for shape, dtype in claims.values())
        if 2 * needed <= memory.free():
            with path.open("rb") as file, np.load(file, allow_pickle=False) as f:
                return {name: f[name] for name in claims}
        with zipfile.ZipFile(path) as archive:
            return {name: _member(archive, name) for name in claims}
    except InputError:
        raise
    except Exception as e:  # what a damaged file raises depends on where it is damaged
        raise InputError(f"{path} cannot be read as an .npz file ({_line(e)})") from None


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, but for those of objects; of a folder of such files those of all, one after
    another in the natural order of their names.

    Raises:
      InputError: if there is none, it cannot be read, there is no room for it, or parts do not go together.
    """
    if path.is_file():
        return _of_file(path)
    parts = sorted(path.glob("*.npz"), key=files.natural) if path.is_dir() else []
    if not parts:
        raise InputError(f"--data npz:{path} is not a file" + ", and holds none" * path.is_dir())
    read = [_of_file(part) for part in parts]
    found = {}
    for name, first in read[0].items():
        for part, own in zip(parts, read, strict=True):
            x = own.get(name, np.empty(0))
            if own.keys() != read[0].keys() or (x.dtype, x.shape[1:]) != (first.dtype, first.shape[1:]):
                raise InputError(f"{part} and {parts[0]} have other arrays, or of other shapes or types")
        if name == "classes":
            if not all(np.array_equal(own[name], first) for own in read):
                raise InputError(f"the files of {path} have several lists of 'classes'; make them one")
            found[name] = first
        else:
            found[name] = store.joined([own[name] for own in read], f"{name!r} of {path}")
    return found


def _line(e: Exception) -> str:
    return str(e).partition("\n")[0] or type(e).__name__


def of_arrays(path: Path, arrays: dict[str, np.ndarray], fit: Fit) -> Read:
    """The images among a file's arrays, with labels and classes if they are there.

    Raises:
      InputError: if they are no images, or the labels not theirs.
    """
    image, label, classes = (arrays.get(name) for name in ("image", "label", "classes"))
    if image is None:
        raise InputError(f"{path} has no array 'image', but {', '.join(arrays) or 'nothing'}")
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[3:] not in ((), (1,), (3,)):
        raise InputError(
            f"{path}: 'image' is {image.dtype}{list(image.shape)}; it must be uint8[N, H, W], "
            "[N, H, W, 1] or [N, H, W, 3], of levels from 0 to 255"
        )
    if image.size == 0:
        raise InputError(f"{path}: 'image' is empty")
    names = () if label is None else class_names(path, label, classes, len(image))
    unused = [name for name in arrays if name not in ("image", "label", "classes")]
    told = [f"arrays that are not used: {', '.join(unused)}"] if unused else []
    grey = image[..., 0] if image.shape[3:] == (1,) else image
    return Read(_fitted(grey, fit), image.shape[2:0:-1], label, names, told)


def class_names(path: Path, label: np.ndarray, classes: np.ndarray | None, n: int) -> tuple[str, ...]:
    """The names of the classes that labels are of.

    Raises:
      InputError: unless the labels are an integer for each image, of a class in each case.
    """
    if label.shape != (n,) or label.dtype.kind not in "iu":
        hint = "; of a one-hot code take argmax(1)" if label.ndim == 2 and label.shape[1] > 1 else ""
        what = f"{label.dtype}{list(label.shape)}"
        raise InputError(f"{path}: 'label' is {what}; it must be one integer for each of {n} images{hint}")
    if label.min() < 0:
        raise InputError(
            f"{path}: 'label' has {label.min()}; it must be one integer from 0 up for each image"
        )
    if classes is not None:
        if classes.ndim != 1 or classes.dtype.kind != "U" or len(set(classes.tolist())) < len(classes):
            raise InputError(f"{path}: 'classes' must be the classes' names, each another text")
        if label.max() >= len(classes):
            raise InputError(f"{path}: 'label' has {label.max()}, and there are {len(classes)} 'classes'")
        return tuple(classes.tolist())
    there = np.unique(label)
    if len(there) != there[-1] + 1:
        gap = int(np.flatnonzero(there != np.arange(len(there)))[0])
        raise InputError(
            f"{path}: 'label' goes up to {there[-1]}, and {gap} has no image; number the {len(there)} "
            f"classes from 0 to {len(there) - 1}, or name them all by an array 'classes'"
        )
    return tuple(map(str, range(len(there))))
