"""Image files below a folder, each as a viewer shows it."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from natsort import natsort_keygen, ns
from PIL import ExifTags, Image, ImageOps

from jaxgan.config import InputError
from jaxgan.data.reading import UNREADABLE, Example, each, gathered

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
HIDDEN = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")  # what systems leave beside images
NO_PICTURES = (
    "BUFR",
    "EPS",
    "FITS",
    "GRIB",
    "HDF5",
    "IPTC",
    "MPEG",
    "WMF",
)  # Pillow knows, but does not decode them
BACKGROUND = 255  # of what is transparent: white, as on a page


class Read(NamedTuple):
    """Images as they were read."""

    images: np.ndarray  # uint8[N, S, S, 1 or 3]
    size: tuple[int, int]  # width and height that they had
    label: Sequence[int] | None = None
    classes: tuple[str, ...] = ()
    told: Sequence[str] = ()  # lines on what was left out or changed
    kept: np.ndarray | None = None  # which of the files they are, i64[N], where some could not be read


natural = natsort_keygen(alg=ns.PATH)  # 2 before 11


@cache
def endings() -> frozenset[str]:
    """Of the files that Pillow reads as images."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(end for end, kind in known if kind in Image.OPEN and kind not in NO_PICTURES)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in HIDDEN


def _below(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """(folder, its folders, its files) of root and of all below it, links followed, each once."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        place = os.stat(folder)
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()  # a link to a folder above it
            continue
        seen.add((place.st_dev, place.st_ino))
        yield Path(folder), folders, files


def found(root: Path) -> tuple[list[Path], list[str]]:
    """The images below a folder, in the natural order of their names, and lines on what is left out.

    Raises:
      InputError: if there is none.
    """
    images, hidden, others = [], [], Counter()
    for folder, folders, files in _below(root):
        hidden += [name for name in folders + files if _hidden(name)]
        folders[:] = [name for name in folders if not _hidden(name)]
        for name in files:
            ending = Path(name).suffix.lower()
            if _hidden(name):
                continue
            if ending in endings():
                images.append(folder / name)
            else:
                others[ending or "no ending"] += 1
    left_out = ", ".join(f"{n} {ending}" for ending, n in others.most_common(8))
    if not images:
        only = f", but {left_out}" if others else ""
        raise InputError(f"--data folder:{root} has no images{only} (png, jpg and what else Pillow reads)")
    told = [f"left out as no images: {left_out}"] if others else []
    if hidden:
        told.append(f"left out as hidden: {len(hidden)} ({', '.join(sorted(set(hidden))[:3])})")
    return sorted(images, key=natural), told


def split_of(root: Path, split: str) -> tuple[Path, list[str]]:
    """The folder of a split, where the root's own folders are splits, such as train and test; else the root.

    Returns:
      The folder, and a line on what was chosen.

    Raises:
      InputError: if it has splits and not this one, or none and another than train is asked for.
    """
    names = {p.name for p in root.iterdir() if p.is_dir() and not _hidden(p.name)}
    known = {name: key for key, alike in SPLITS.items() for name in names if name.lower() in alike}
    if not names or len(known) < len(names):
        if split != "train":
            raise InputError(f"--split {split}: folder:{root} has no splits")
        return root, []
    chosen = [name for name, key in known.items() if split in (name, key)]
    if len(chosen) != 1:
        raise InputError(f"--split {split}: folder:{root} has {', '.join(sorted(names))}")
    others = f", and not {', '.join(sorted(names - set(chosen)))}" if len(names) > 1 else ""
    return root / chosen[0], [f"its folder {chosen[0]} is read{others}"]


def _classes(root: Path, files: list[Path]) -> tuple[tuple[str, ...], list[int], list[str]]:
    """The names of the classes, each file's class, and lines on them.

    Raises:
      InputError: if there are images beside the classes' folders, or a class's folder has none.
    """
    parts = [p.relative_to(root).parts for p in files]
    classes = tuple(sorted({p[0] for p in parts if len(p) > 1}, key=natural))
    if not classes:
        return (), [], []
    if alone := [p[0] for p in parts if len(p) == 1]:
        raise InputError(
            f"--data folder:{root} has {len(alone)} images beside its sub-folders ({alone[0]}); "
            "put each image into a class's folder, or all of them into one without sub-folders"
        )
    folders = {p.name for p in root.iterdir() if p.is_dir() and not _hidden(p.name)}
    if empty := sorted(folders - set(classes), key=natural):
        raise InputError(
            f"--data folder:{root}: the class {empty[0]} has no image; put some there, or remove it"
        )
    told = []
    if deeper := sum(len(p) > 2 for p in parts):
        told.append(f"{deeper} images lie deeper; the first level of folders makes the classes")
    number = {name: i for i, name in enumerate(classes)}
    return classes, [number[p[0]] for p in parts], told


def viewed(image: Image.Image) -> Image.Image:
    """An open image as a viewer shows it: upright, on white where it is transparent, of 8 bits: L or RGB.

    Raises:
      ValueError: if it is of a mode that no viewer shows without a guess.
    """
    if image.mode == "CMYK":
        raise ValueError("it is CMYK, whose colours depend on a profile; convert it to RGB")
    if image.mode in ("F", "I"):
        raise ValueError(f"its mode is {image.mode}; convert it to 8-bit grey or RGB")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) * 255 / 65535).round().astype(np.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        grey = image.mode in ("L", "LA", "La", "1")
        page = Image.new("RGBA", image.size, (BACKGROUND,) * 4)
        return Image.alpha_composite(page, colours).convert("L" if grey else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def label_map(image: Image.Image) -> Image.Image:
    """An open image as a map of labels, L: its grey levels, or its numbers in its palette.

    Raises:
      ValueError: if it is in colours.
    """
    if image.mode not in ("1", "L", "P"):
        raise ValueError(f"its mode is {image.mode}; a label map has one number a pixel, of mode L or P")
    numbers = np.asarray(image).astype(np.uint8)
    return Image.fromarray(numbers)


def load(image: Image.Image) -> None:
    """Decodes an open image.

    Raises:
      ValueError: if it is larger than images are, or no picture, by its header, whatever its name says.
    """
    if image.format in NO_PICTURES:  # another program would be run to decode some of these
        raise ValueError(f"it is {image.format}, which is not read")
    if image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"its header says {image.width}x{image.height}, which is no image to train on")
    image.load()


def picture(path: Path) -> Image.Image | None:
    """A picture that a run has written; None if it cannot be read."""
    with contextlib.suppress(*UNREADABLE), Image.open(path, formats=["PNG"]) as image:
        load(image)
        return image
    return None


def _opened(path: Path | str, view) -> tuple[Image.Image, tuple[str, ...]]:
    """The image in a file, and what was done to it."""
    with Image.open(path) as image:
        load(image)
        seen = []
        if view is viewed:
            if image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255:
                seen.append("are transparent in parts, and taken as on white")
            if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                seen.append("are turned upright, as their EXIF has it")
            if getattr(image, "is_animated", False) and image.format != "MPO":
                seen.append("have several frames, of which the first is taken")
        return view(image), tuple(seen)


class _Blocks(NamedTuple):
    """Reads rows of a list of files."""

    files: list[str]  # paths take a hundred times as long to be sent to a process
    fit: Callable
    view: Callable

    def __call__(self, rows: range) -> list:
        return each(rows, self._one)

    def _one(self, i: int) -> Example:
        image, seen = _opened(self.files[i], self.view)
        return Example(self.fit(image), image.size, seen)


def read(root: Path, fit, view=viewed) -> Read:
    """The images below a folder.

    Args:
      fit: a `fit.Fit`.
      view: an open image -> that which is taken.

    Raises:
      InputError: if an image cannot be read, sizes differ, or there are no images or classes without one.
    """
    files, told = found(root)
    classes, label, more = _classes(root, files)
    for path in files:
        try:
            first, _ = _opened(path, view)
        except UNREADABLE:
            continue
        fit.check_room(first, len(files))
        break
    own = gathered(
        len(files),
        _Blocks([str(file) for file in files], fit, view),
        where=f"folder:{root}",
        what=lambda image: fit.told(image, len(files)),
        name=lambda i: str(files[i].relative_to(root)),
    )
    if len(own.kept) < len(files):
        label = [label[i] for i in own.kept] if classes else label
        if gone := sorted(set(range(len(classes))) - set(label)):
            raise InputError(f"--data folder:{root}: of the class {classes[gone[0]]} no image can be read")
    told += [*more, *own.told, *(f"{n} of {len(files)} images {what}" for what, n in own.seen.items())]
    return Read(own.images, own.size, label, classes, told, own.kept)
