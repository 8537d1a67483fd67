"""Data sets: real images, all of one size, as uint8 arrays in memory."""

import contextlib
import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxgan.config import InputError, nearest

KINDS = ("digits", "tfds:NAME", "folder:PATH", "npz:PATH")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


class Dataset(NamedTuple):
    """Images, and labels where the set has them."""

    name: str
    image: np.ndarray  # uint8[N, S, S, C]
    label: np.ndarray | None  # int32[N] in [0, len(classes))
    classes: tuple[str, ...]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What a batch is gathered from."""
        return {"image": self.image} | ({} if self.label is None else {"label": self.label})

    @property
    def digest(self) -> str:
        """A hash of the contents: 16 hexadecimal digits."""
        h = hashlib.sha256()
        for name, x in self.arrays.items():
            h.update(f"{name}{x.shape}{x.dtype}".encode())
            h.update(np.ascontiguousarray(x))
        return h.hexdigest()[:16]


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
      image_size: S; images are cropped to their central square and resized to it (bicubic,
        antialiased).
      channels: 1 or 3; None keeps the data's own.
      split: of a TFDS set.
      data_dir: where TFDS sets lie; None is TFDS's own default.

    Raises:
      InputError: if the set is unknown, missing, unreadable or not made of images of one size.
    """
    kind, _, where = spec.partition(":")
    if spec == "digits":
        images, label, classes = _digits()
    elif kind == "tfds" and where:
        images, label, classes = _tfds(where, split, data_dir)
    elif kind == "folder" and where:
        images, label, classes = _folder(Path(where).expanduser())
    elif kind == "npz" and where:
        images, label, classes = _npz(Path(where).expanduser())
    else:
        hint = nearest(spec, ["digits", "tfds", "folder", "npz"])
        raise InputError(f"--data {spec!r} is not one of {', '.join(KINDS)}{hint}")
    if channels is None:
        channels = 3 if any(image.mode == "RGB" for image in images) else 1
    if channels not in (1, 3):
        raise InputError(f"--channels {channels}: images have 1 or 3")
    image = np.stack([_array(image, image_size, channels) for image in images])
    name = spec if kind != "tfds" else f"{spec}/{split}"
    return Dataset(name, image, None if label is None else np.asarray(label, np.int32), classes)


def _array(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """uint8[size, size, channels]."""
    image = image.convert("L" if channels == 1 else "RGB")
    side = min(image.size)
    if image.size != (size, size):
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box)
    return np.asarray(image).reshape(size, size, channels)


def _progress(items: Iterable, total: int, what: str) -> Iterable:
    return tqdm(items, desc=what, total=total, unit="image", leave=False, delay=1, disable=None)


def _digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * (255 / 16)).round().astype(np.uint8)
    return [Image.fromarray(x) for x in images], digits.target, tuple("0123456789")


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


def _tfds(name: str, split: str, data_dir: str | None):
    import tensorflow_datasets as tfds

    with _quiet():
        try:
            builder = tfds.builder(name, data_dir=data_dir)
        except tfds.core.registered.DatasetNotFoundError:
            hint = nearest(name.partition("/")[0], tfds.list_builders(with_community_datasets=False))
            raise InputError(f"--data tfds:{name}: TFDS has no set of that name{hint}") from None
        file_format = builder.info.file_format
        random_access = file_format is not None and file_format.value == "array_record"
        if not builder.is_prepared() or not random_access:
            where = f", data_dir={data_dir!r}" if data_dir else ""
            call = f"tfds.builder('{name}'{where}, file_format='array_record')"
            raise InputError(
                f"--data tfds:{name} is not prepared as array_record in {builder.data_path}. "
                "Prepare it once (this needs the 'prepare' extra): pip install 'jaxgan[prepare]' && "
                f'python -c "import tensorflow_datasets as tfds; {call}.download_and_prepare()"'
            )
        if split not in builder.info.splits:
            have = ", ".join(builder.info.splits)
            raise InputError(f"--split {split!r}: tfds:{name} has {have}")
        features = builder.info.features
        kinds = {tfds.features.Image: None, tfds.features.ClassLabel: None}
        for key, feature in features.items():
            for kind in kinds:
                if isinstance(feature, kind) and kinds[kind] is None:
                    kinds[kind] = key
        image_key, label_key = kinds.values()
        if image_key is None:
            raise InputError(f"--data tfds:{name} has no images, but {', '.join(features)}")
        source = builder.as_data_source(split=split)
        blocks = (range(i, min(i + 1000, len(source))) for i in range(0, len(source), 1000))
        items = (item for block in blocks for item in source.__getitems__(block))
        images, label = [], []
        for item in _progress(items, len(source), "reading"):
            image = item[image_key]
            images.append(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image))
            label.append(item[label_key] if label_key else None)
    _one_size(images, [f"example {i}" for i in range(len(images))], f"tfds:{name}")
    classes = tuple(features[label_key].names) if label_key else ()
    return images, label if label_key else None, classes


def _one_size(images, names, where: str) -> None:
    for image, name in zip(images, names, strict=True):
        if image.size != images[0].size:
            a, b = ("x".join(map(str, im.size)) for im in (images[0], image))
            raise InputError(f"{where}: {name} is {b} and {names[0]} {a}; make all images one size first")


def _folder(root: Path):
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
    images = [_open(p) for p in _progress(files, len(files), "reading")]
    _one_size(images, [str(p.relative_to(root)) for p in files], f"folder:{root}")
    label = [classes.index(p) for p in parents] if classes else None
    return images, label, classes


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise InputError(f"{path} cannot be read as an image ({e}); repair or remove it") from None
    if image.mode == "CMYK":
        raise InputError(f"{path} is CMYK; convert it to RGB (its colours depend on a profile)")
    if image.mode in ("L", "1"):
        return image.convert("L")
    if image.mode in ("RGB", "RGBA", "P", "LA", "PA"):
        return image.convert("RGB")
    raise InputError(f"{path} has the mode {image.mode}; convert it to 8-bit grey or RGB")


def _npz(path: Path):
    if not path.is_file():
        raise InputError(f"--data npz:{path} is not a file")
    try:
        with np.load(path, allow_pickle=False) as f:
            arrays = dict(f)
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read as an .npz file ({e})") from None
    image, label = arrays.get("image"), arrays.get("label")
    if image is None:
        raise InputError(f"{path} has no array 'image', but {', '.join(arrays) or 'nothing'}")
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[3:] not in ((), (1,), (3,)):
        raise InputError(
            f"{path}: 'image' is {image.dtype}{list(image.shape)}; it must be uint8[N, H, W], "
            "[N, H, W, 1] or [N, H, W, 3]"
        )
    if len(image) == 0:
        raise InputError(f"{path}: 'image' is empty")
    classes = ()
    if label is not None:
        if label.shape != image.shape[:1] or label.dtype.kind not in "iu" or label.min() < 0:
            raise InputError(f"{path}: 'label' must be one integer from 0 up for each image")
        classes = tuple(map(str, range(int(label.max()) + 1)))
    grey = image[..., 0] if image.shape[3:] == (1,) else image
    return [Image.fromarray(x) for x in grey], label, classes
