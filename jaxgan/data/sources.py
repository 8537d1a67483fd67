"""Sets of real images, all of one size, as uint8 arrays in memory."""

import contextlib
import logging
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxgan.config import InputError, nearest
from jaxgan.data.dataset import Dataset

KINDS = ("digits", "tfds:NAME", "folder:PATH", "npz:PATH")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
GREY = ("1", "L")
COLOUR = ("RGB", "RGBA", "P", "LA", "PA")


def image_set(name: str, image, label=None, classes: tuple[str, ...] = ()) -> Dataset:
    """A data set of `image` uint8[N, S, S, C] and, where there are labels, `label` i32[N] of the classes."""
    labelled = {} if label is None else {"label": np.asarray(label, np.int32)}
    return Dataset(name, {"image": image, **labelled}, {"classes": list(classes)} if labelled else {})


def load(
    spec: str,
    *,
    image_size: int,
    channels: int | None = None,
    split: str = "train",
    data_dir: str | None = None,
) -> Dataset:
    """Reads a data set.

    Args:
      spec: `digits` (scikit-learn's 1797 handwritten digits of 8x8), `tfds:NAME` (a prepared TFDS
        image set, read without TensorFlow), `folder:PATH` (images of one size; sub-folders are
        classes) or `npz:PATH` (`image` uint8[N, H, W] or [N, H, W, C], and `label` if there is one).
        A set of a single class has no labels.
      image_size: S; images are cropped to their central square and resized to it (bicubic,
        antialiased), one by one as they are read.
      channels: 1 or 3; None keeps the data's own.
      split: of a TFDS set.
      data_dir: where TFDS sets lie; None is TFDS's own default.

    Raises:
      InputError: if the set is unknown, missing, unreadable or not made of images of one size.
    """
    if image_size < 1:
        raise InputError(f"--image-size {image_size}: it must be 1 or more")
    if channels not in (None, 1, 3):
        raise InputError(f"--channels {channels}: images have 1 or 3")
    kind, _, where = spec.partition(":")
    size = (image_size, channels)
    if spec == "digits":
        images, label, classes = _digits(*size)
    elif kind == "tfds" and where:
        images, label, classes = _tfds(where, split, data_dir, *size)
    elif kind == "folder" and where:
        images, label, classes = _folder(Path(where).expanduser(), *size)
    elif kind == "npz" and where:
        images, label, classes = _npz(Path(where).expanduser(), *size)
    else:
        hint = nearest(spec, ["digits", "tfds", "folder", "npz"])
        raise InputError(f"--data {spec!r} is not one of {', '.join(KINDS)}{hint}")
    if len(classes) < 2:
        label, classes = None, ()
    name = spec if kind != "tfds" else f"{spec}/{split}"
    return image_set(name, np.stack(images), label, classes)


def _array(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """uint8[size, size, channels]."""
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box)
    return np.asarray(image).reshape(size, size, channels)


def _progress(items: Iterable, total: int, what: str) -> Iterable:
    return tqdm(items, desc=what, total=total, unit="image", leave=False, delay=1, disable=None)


def _digits(size, channels):
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * (255 / 16)).round().astype(np.uint8)
    return (
        [_array(Image.fromarray(x), size, channels or 1) for x in images],
        digits.target,
        tuple("0123456789"),
    )


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


def _tfds(name: str, split: str, data_dir: str | None, size, channels):
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
        for i, item in enumerate(_progress(items, len(source), "reading")):
            image = item[images_of[0]]
            if image.dtype != np.uint8 or image.shape[-1] not in (1, 3):
                what = f"{image.dtype}{list(image.shape)}"
                raise InputError(f"--data tfds:{name}: images are {what}; they must be 8-bit grey or RGB")
            first = first or image.shape
            _same_size(f"tfds:{name}", f"example {i}", image.shape[1::-1], "example 0", first[1::-1])
            grey = image[..., 0] if image.shape[-1] == 1 else image
            images.append(_array(Image.fromarray(grey), size, channels or first[-1]))
            label += [item[key] for key in labels_of[:1]]
    if not images:
        raise InputError(f"--data tfds:{name} has no examples in {split}")
    if label and min(label) < 0:
        raise InputError(f"--data tfds:{name}: {split} has examples without a label; choose another --split")
    classes = tuple(features[labels_of[0]].names) if labels_of else ()
    return images, label, classes


def _same_size(where: str, name: str, size: tuple, first_name: str, first_size: tuple) -> None:
    if size != first_size:
        a, b = ("x".join(map(str, x)) for x in (first_size, size))
        raise InputError(f"{where}: {name} is {b} and {first_name} {a}; make all images one size first")


def _folder(root: Path, size, channels):
    if not root.is_dir():
        raise InputError(f"--data folder:{root} is not a folder")
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not files:
        endings = " ".join(sorted(SUFFIXES))
        raise InputError(f"--data folder:{root} has no images (files ending in {endings})")
    parents = [p.relative_to(root).parts[0] if p.parent != root else None for p in files]
    classes = tuple(sorted({p for p in parents if p is not None}))
    if classes and None in parents:
        raise InputError(
            f"--data folder:{root} has images beside its sub-folders ({files[parents.index(None)].name}); "
            "put each image into a class's folder, or all of them into one without sub-folders"
        )
    names = [str(p.relative_to(root)) for p in files]
    headers = [_header(p) for p in files]
    for name, (shape, _) in zip(names, headers, strict=True):
        _same_size(f"folder:{root}", name, shape, names[0], headers[0][0])
    channels = channels or (3 if any(mode not in GREY for _, mode in headers) else 1)
    images = [_array(_open(p), size, channels) for p in _progress(files, len(files), "reading")]
    return images, [classes.index(p) for p in parents if p is not None], classes


@contextlib.contextmanager
def _reading(path: Path):
    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        if isinstance(e, InputError):
            raise
        raise InputError(f"{path} cannot be read as an image ({e}); repair or remove it") from None


def _header(path: Path) -> tuple[tuple[int, int], str]:
    """An image's size and mode, without its pixels."""
    with _reading(path), Image.open(path) as image:
        if image.mode == "CMYK":
            raise InputError(f"{path} is CMYK; convert it to RGB (its colours depend on a profile)")
        if image.mode not in GREY + COLOUR:
            raise InputError(f"{path} has the mode {image.mode}; convert it to 8-bit grey or RGB")
        return image.size, image.mode


def _open(path: Path) -> Image.Image:
    with _reading(path), Image.open(path) as image:
        image.load()
        return image


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file.

    Raises:
      InputError: if there is none, or it cannot be read.
    """
    if not path.is_file():
        raise InputError(f"--data npz:{path} is not a file")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as f:
            return dict(f)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        raise InputError(f"{path} cannot be read as an .npz file ({e})") from None


def _npz(path: Path, size, channels):
    arrays = arrays_of(path)
    image, label = arrays.get("image"), arrays.get("label")
    if image is None:
        raise InputError(f"{path} has no array 'image', but {', '.join(arrays) or 'nothing'}")
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[3:] not in ((), (1,), (3,)):
        raise InputError(
            f"{path}: 'image' is {image.dtype}{list(image.shape)}; it must be uint8[N, H, W], "
            "[N, H, W, 1] or [N, H, W, 3]"
        )
    if image.size == 0:
        raise InputError(f"{path}: 'image' is empty")
    classes = ()
    if label is not None:
        if label.shape != image.shape[:1] or label.dtype.kind not in "iu" or label.min() < 0:
            raise InputError(f"{path}: 'label' must be one integer from 0 up for each image")
        classes = tuple(map(str, range(int(label.max()) + 1)))
    grey = image[..., 0] if image.shape[3:] == (1,) else image
    channels = channels or (3 if grey.ndim == 4 else 1)
    return [_array(Image.fromarray(x), size, channels) for x in grey], label, classes
