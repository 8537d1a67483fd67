"""Sets of real images, all of one size, as uint8 arrays in memory."""

import contextlib
import dataclasses
import importlib.util
import logging
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxgan import memory
from jaxgan.config import InputError, nearest
from jaxgan.data import files
from jaxgan.data.dataset import Dataset
from jaxgan.data.files import Read

KINDS = ("digits", "tfds:NAME", "folder:PATH", "npz:PATH")


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
      spec: `digits` (scikit-learn's 1797 handwritten digits of 8x8), `tfds:NAME` (a prepared TFDS
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
    if split != "train" and kind in ("digits", "npz"):
        raise InputError(f"--split {split}: {spec} has no splits; sets of TFDS have, and folders may")
    fit = Fit(image_size, channels, spec)
    name, chosen = spec, []
    if spec == "digits":
        read = _digits(fit)
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
        hint = nearest(spec, ["digits", "tfds", "folder", "npz"])
        raise InputError(f"--data {spec!r} is not one of {', '.join(KINDS)}{hint}")
    told = [*chosen, *read.told, *resized(read.size, read.images[0].shape[0])]
    label, classes = read.label, read.classes
    if len(classes) == 1:
        told.append(f"all images are of one class, {classes[0]}: a set of one class has no labels")
    if len(classes) < 2:
        label, classes = None, ()
    colours = max(x.shape[-1] for x in read.images)
    images = [np.repeat(x, colours // x.shape[-1], -1) for x in read.images]
    found = image_set(name, np.stack(images), label, classes, told)
    read_size = len(images) * math.prod(read.size) * colours
    return dataclasses.replace(
        found, read=read_size, resized=_how_resized(read.size, found["image"].shape[1])
    )


class Fit(NamedTuple):
    """How images are brought to one size."""

    size: int | None  # S; None: an image's smaller side
    channels: int | None  # None: an image's own
    name: str  # of the set

    def check_room(self, first: Image.Image, n: int) -> None:
        """Raises InputError if there is no room for n images like the first, read and then in an array."""
        size = self.size or min(first.size)
        values = size**2 * (self.channels or len(first.getbands()))
        memory.require(2 * n * values, f"{n} images of {self.name} in {size}x{size}")

    def __call__(self, image: Image.Image) -> np.ndarray:
        """uint8[S, S, channels] of an image, L or RGB."""
        image = image.convert("L" if (self.channels or len(image.getbands())) == 1 else "RGB")
        side = min(image.size)
        size = self.size or side
        if image.size != (size, size):
            left, top = (image.width - side) // 2, (image.height - side) // 2
            box = (left, top, left + side, top + side)
            image = image.resize((size, size), Image.Resampling.BICUBIC, box)
        return np.asarray(image).reshape(size, size, -1)


def resized(size: tuple[int, int], to: int) -> list[str]:
    """A line on what became of images of that size, if they were changed."""
    if size == (to, to):
        return []
    side, lost = min(size), 1 - min(size) / max(size)
    cut = f"cropped to their middle {side}x{side}, which loses {lost:.0%} of each" if lost else ""
    sized = f"resized to {to}x{to}" if side != to else ""
    return [f"images of {size[0]}x{size[1]} are {', and '.join(part for part in (cut, sized) if part)}"]


def _how_resized(size: tuple[int, int], to: int) -> str:
    """The same as a protocol names it; "" if images are as they were."""
    if size == (to, to):
        return ""
    cut = "" if size[0] == size[1] else "the central square of "
    return f"{'cropped' if min(size) == to else 'resized (bicubic)'} from {cut}{size[0]}x{size[1]}"


def _progress(items: Iterable, total: int) -> Iterable:
    return tqdm(items, desc="reading", total=total, unit="image", leave=False, delay=1, disable=None)


def _fitted(images: np.ndarray, fit: Fit) -> list[np.ndarray]:
    """Images uint8[N, H, W] or [N, H, W, 3] as they are kept."""
    fit.check_room(Image.fromarray(images[0]), len(images))
    return [fit(Image.fromarray(x)) for x in _progress(images, len(images))]


def _digits(fit: Fit) -> Read:
    # The file alone: an import of scikit-learn takes a second.
    package = Path(importlib.util.find_spec("sklearn").origin).parent
    table = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", np.uint8, delimiter=",")
    images = table[:, :64].reshape(-1, 8, 8)
    levels = (images * (255 / 16)).round().astype(np.uint8)
    return Read(_fitted(levels, fit), (8, 8), table[:, 64].astype(int), tuple("0123456789"))


@contextlib.contextmanager
def _quiet():
    """Without absl's hints at OpenCV."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _tfds(name: str, split: str, data_dir: str | None, fit: Fit) -> Read:
    import tensorflow_datasets as tfds

    with _quiet():
        try:
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
        if split not in builder.info.splits:
            have = ", ".join(builder.info.splits)
            raise InputError(f"--split {split!r}: tfds:{name} has {have}")
        features = builder.info.features
        images_of = [k for k, f in features.items() if isinstance(f, tfds.features.Image)]
        labels_of = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
        if not images_of:
            raise InputError(f"--data tfds:{name} has no images, but {', '.join(features)}")
        source = builder.as_data_source(split=split)
        blocks = (range(i, min(i + 1000, len(source))) for i in range(0, len(source), 1000))
        items = (item for block in blocks for item in source.__getitems__(block))
        images, label, first = [], [], None
        for i, item in enumerate(_progress(items, len(source))):
            image = item[images_of[0]]
            if image.dtype != np.uint8 or image.shape[-1] not in (1, 3):
                what = f"{image.dtype}{list(image.shape)}"
                raise InputError(f"--data tfds:{name}: images are {what}; they must be 8-bit grey or RGB")
            first = first or image.shape
            _same_size(f"tfds:{name}", f"example {i}", image.shape[1::-1], "example 0", first[1::-1])
            grey = image[..., 0] if image.shape[-1] == 1 else image
            if i == 0:
                fit.check_room(Image.fromarray(grey), len(source))
            images.append(fit(Image.fromarray(grey)))
            label += [item[key] for key in labels_of[:1]]
    if not images:
        raise InputError(f"--data tfds:{name} has no examples in {split}")
    if label and min(label) < 0:
        raise InputError(f"--data tfds:{name}: {split} has examples without a label; choose another --split")
    classes = tuple(features[labels_of[0]].names) if labels_of else ()
    return Read(images, first[1::-1], label or None, classes)


def _same_size(where: str, name: str, size: tuple, first_name: str, first_size: tuple) -> None:
    if size != first_size:
        a, b = ("x".join(map(str, x)) for x in (first_size, size))
        raise InputError(f"{where}: {name} is {b} and {first_name} {a}; make all images one size first")


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


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, but for those of objects.

    Raises:
      InputError: if there is none, it cannot be read, or there is no room for it.
    """
    if not path.is_file():
        raise InputError(f"--data npz:{path} is not a file")
    try:
        claims = _claims(path)
        needed = sum(math.prod(shape) * dtype.itemsize for shape, dtype in claims.values())
        memory.require(needed, f"npz:{path}")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as f:
            return {name: f[name] for name, (_, dtype) in claims.items() if not dtype.hasobject}
    except InputError:
        raise
    except Exception as e:  # what a damaged file raises depends on where it is damaged
        raise InputError(f"{path} cannot be read as an .npz file ({_line(e)})") from None


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
