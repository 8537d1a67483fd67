"""Kinds of data: what the loop and the commands know of them. One file a kind."""

from jaxgan.kinds.images import images as default
from jaxgan.kinds.kind import Judge, Kind, Made, NoOptions, Panel, Played, Shares

__all__ = ["Judge", "Kind", "Made", "NoOptions", "Panel", "Played", "Shares", "default"]
