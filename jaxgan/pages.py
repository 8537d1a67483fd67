"""Pages that need no other file, no script and no network."""

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image


def template(file: Path, **filters) -> jinja2.Template:
    """The template of a file, which extends page.html.

    Args:
      filters: of the template, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([file.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(file.name)


def embedded(content: bytes, kind: str = "image/png") -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def png(canvas: np.ndarray) -> bytes:
    """A picture uint8[H, W, 3] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(canvas).save(file, "PNG", optimize=True)
    return file.getvalue()
