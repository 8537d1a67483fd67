"""What a batch is made of."""

import importlib

__all__ = ["Dataset", "bad_examples", "load"]

_HOMES = {"Dataset": "dataset", "bad_examples": "reading", "load": "sources"}


def __getattr__(name: str):
    """A public name, from its module: a process that reads images waits for no import of JAX."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxgan.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"jaxgan.data.{_HOMES[name]}"), name)
