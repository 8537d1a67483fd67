"""How images are brought to one size, each as it is read.

What reads images in a process of its own imports this and no JAX, which takes three times as long.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxgan import memory
from jaxgan.config import InputError
from jaxgan.data import store


class Fit(NamedTuple):
    """How images are brought to one size."""

    size: int | None  # S; None: an image's smaller side
    channels: int | None  # None: an image's own
    name: str  # of the set

    def told(self, image: np.ndarray, n: int) -> str:
        """n images like this one, as it is kept, for what is said."""
        return f"{n} images of {self.name} in {image.shape[1]}x{image.shape[0]}"

    def check_room(self, first: Image.Image, n: int) -> None:
        """Raises InputError if there is no room for n images like the first, or for itself."""
        size = self.size or min(first.size)
        values = size**2 * (self.channels or len(first.getbands()))
        what = f"{n} images of {self.name} in {size}x{size}"
        store.fits(n * values, what)
        memory.require(2 * values, f"each of {what}")

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


class Halves(Fit):
    """Brings two images side by side to one size each."""

    def check_room(self, first: Image.Image, n: int) -> None:
        """As of one image; also InputError if they are not of one width."""
        if first.width % 2:
            raise InputError(
                f"--data {self.name}: images of {first.width}x{first.height} are not two of one width, A|B"
            )
        super().check_room(first.crop((0, 0, first.width // 2, first.height)), 2 * n)

    def told(self, image: np.ndarray, n: int) -> str:
        """Twice as many images, for what is said."""
        return f"{2 * n} images of {self.name} in {image.shape[0]}x{image.shape[0]}"

    def __call__(self, image: Image.Image) -> np.ndarray:
        """uint8[S, 2 S, channels] of two images, A|B."""
        middle = image.width // 2
        halves = (image.crop(box) for box in ((0, 0, middle, image.height), (middle, 0, *image.size)))
        return np.concatenate([super(Halves, self).__call__(half) for half in halves], 1)


class Labels(Fit):
    """Brings label maps to one size, by the nearest pixel: what lies between two labels is neither."""

    def __call__(self, image: Image.Image) -> np.ndarray:
        """uint8[S, S, 1] of a label map."""
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        size = self.size or side
        box = (left, top, left + side, top + side)
        return np.asarray(image.resize((size, size), Image.Resampling.NEAREST, box))[..., None]


def resized(size: tuple[int, int], to: int) -> list[str]:
    """A line on what became of images of that size, if they were changed."""
    if size == (to, to):
        return []
    side, lost = min(size), 1 - min(size) / max(size)
    cut = f"cropped to their middle {side}x{side}, which loses {lost:.0%} of each" if lost else ""
    sized = f"resized to {to}x{to}" if side != to else ""
    return [f"images of {size[0]}x{size[1]} are {', and '.join(part for part in (cut, sized) if part)}"]


def how_resized(size: tuple[int, int], to: int) -> str:
    """The same as a protocol names it; "" if images are as they were."""
    if size == (to, to):
        return ""
    cut = "" if size[0] == size[1] else "the central square of "
    return f"{'cropped' if min(size) == to else 'resized (bicubic)'} from {cut}{size[0]}x{size[1]}"
