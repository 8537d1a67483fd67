"""Images of the user's own, answered by a generator that is given images."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from jaxgan import plots, records
from jaxgan.config import InputError
from jaxgan.data import files, sources
from jaxgan.sampling import Generator, pictures

SUFFIX = {"image": ".png", "folder": "", "npz": ".npz"}
GREY = 128  # what is given in a hole, as the task `hole` has it


class Source(NamedTuple):
    """Images to be answered."""

    form: Literal["image", "folder", "npz"]
    names: list[Path]  # of files, below the folder
    images: list[np.ndarray]  # uint8[H, W, C] each, of any sizes
    holes: list[np.ndarray | None]  # bool[H, W] each, where a picture is more than half transparent


def _opened(path: Path, maps: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """An image as a viewer shows it, uint8[H, W, 1 or 3], or a label map, uint8[H, W, 1]; where it is
    transparent, if it can be."""
    try:
        with Image.open(path) as image:
            files.load(image)
            if maps:
                return np.asarray(files.label_map(image))[..., None], None
            shown, hole = np.asarray(files.viewed(image)), None
            if image.has_transparency_data:
                hole = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))[..., 3] < 128
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError) as e:
        raise InputError(f"{path} cannot be read as an image ({str(e).partition(chr(10))[0]})") from None
    return shown.reshape(*shown.shape[:2], -1), hole


def read(path: Path, run: Path | None) -> Source:
    """The images of a file or a folder, or label maps, if a run's generator is given these.

    Raises:
      InputError: if there are none, or one cannot be read.
    """
    maps = run is not None and "labels" in records.read(run)["data"]["facts"]
    if path.is_dir():
        found, _ = files.found(path)
        images, holes = zip(*(_opened(file, maps) for file in found), strict=True)
        return Source("folder", [p.relative_to(path) for p in found], list(images), list(holes))
    if not path.exists():
        raise InputError(f"{path} is neither an image nor a folder, and there is no such file")
    if path.suffix == ".npz":
        arrays = sources.arrays_of(path)
        name = next((name for name in ("input", "image") if name in arrays), None)
        if name is None:
            raise InputError(f"{path} has no array 'input' or 'image', but {', '.join(arrays)}")
        images = arrays[name]
        images = images[..., None] if images.ndim == 3 else images
        return Source("npz", [path], list(images), [None] * len(images))
    image, hole = _opened(path, maps)
    return Source("image", [Path(path.name)], [image], [hole])


def check_out(source: Source, out: Path) -> None:
    """Raises InputError if the answers cannot be written there."""
    if source.form == "npz" and out.suffix != ".npz":
        raise InputError(f"--out {out}: a name ending in .npz for the images of an npz file")
    if source.form == "image" and out.suffix.lower() not in files.endings():
        raise InputError(f"--out {out}: a name that ends as an image's does, such as .png")
    if source.form == "folder":
        check_folder(source, out)


def check_folder(source: Source, out: Path) -> None:
    """Raises InputError unless it is a new folder, or an empty one, and each image has a name in it."""
    if len({p.with_suffix("") for p in source.names}) < len(source.names):
        raise InputError("two images of one folder have one name but for its ending: rename one of them")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out} is there already; name a new folder")


def fitting(image: np.ndarray, hole: np.ndarray | None, channels: int, name: Path) -> np.ndarray:
    """An image with as many channels as the generator is given: grey as colours, transparency as a hole, no
    other."""
    if channels in (2, 4) and image.shape[-1] != channels:
        if hole is None or not hole.any():
            raise InputError(f"{name} has no hole: make transparent what is to be filled")
        seen = fitting(image, None, channels - 1, name)
        hole = hole[..., None]
        return np.concatenate([np.where(hole, GREY, seen), 255 * hole], -1).astype(np.uint8)
    if image.shape[-1] == 1 and channels == 3:
        return np.repeat(image, 3, -1)
    if image.shape[-1] == 3 and channels == 1 and (image == image[..., :1]).all():
        return image[..., :1]
    if image.shape[-1] != channels:
        raise InputError(f"{name} has {image.shape[-1]} channels, and the generator is given {channels}")
    return image


def _with_instances(number: np.ndarray, channels: int) -> np.ndarray:
    """A label map, its labels as the instances too if a generator is told these and it does not have them."""
    return np.repeat(number, 2, -1) if channels == number.shape[-1] + 1 else number


def _saved(canvas: np.ndarray, path: Path) -> None:
    Image.fromarray(canvas[..., 0] if canvas.shape[-1] == 1 else canvas).save(path)


def write(generator: Generator, source: Source, out: Path, key, variants: int = 1) -> int:
    """Answers every image, those of one size together. Returns how many answers were written.

    Raises:
      InputError: as `Generator.translate`; if one is of another size or kind than the network takes.
    """
    asked = pictures(generator.gan, generator.asked)
    channels = 1 if asked is None else asked.shape[-1]
    names = source.names * (len(source.images) if source.form == "npz" else 1)
    each = zip(source.images, source.holes, names, strict=True)
    if "labels" in generator.facts:
        if channels == 2 and any(image.shape[-1] == 1 for image in source.images):
            print("boundaries lie where two labels meet: the maps know no instances")
        images = [_with_instances(image, channels) for image, _, _ in each]
    else:
        images = [fitting(image, hole, channels, name) for image, hole, name in each]
    answers: dict[int, np.ndarray] = {}
    for size in dict.fromkeys(x.shape for x in images):
        rows = [i for i, x in enumerate(images) if x.shape == size]
        try:
            made = generator.translate(np.stack([images[i] for i in rows]), key, variants)
        except InputError as e:
            raise InputError(f"{names[rows[0]]} of {size[1]}x{size[0]}: {e}") from None
        answers |= zip(rows, made.reshape(len(rows), variants, *made.shape[1:]), strict=True)
    every = [answers[i] for i in range(len(images))]
    try:
        if source.form == "npz":
            np.savez_compressed(out, image=np.concatenate(every))
        elif source.form == "image":
            out.parent.mkdir(parents=True, exist_ok=True)
            _saved(every[0][0] if variants == 1 else plots.grid(every[0], min(variants, 8)), out)
        else:
            for name, own in zip(names, every, strict=True):
                for i, x in enumerate(own):
                    file = out / name.parent / f"{name.stem}{f'-{i + 1}' if variants > 1 else ''}.png"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    _saved(x, file)
    except OSError as e:
        raise InputError(f"--out {out} cannot be written ({e.strerror or e})") from None
    return variants * len(images)
