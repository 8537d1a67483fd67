"""Generative adversarial networks in JAX and Flax: pure functions, one compiled loop, exact resume."""

import importlib

__all__ = ["Dataset", "Fitted", "Generator", "distributed", "fit", "load", "sweep"]
__version__ = "0.1.0"

_HOMES = {
    "Dataset": "data",
    "distributed": "processes",
    "Fitted": "fitting",
    "fit": "fitting",
    "Generator": "sampling",
    "load": "sampling",
    "sweep": "sweeps",
}


def __getattr__(name: str):
    """A public name, from its module: a loss is tested without an import of checkpoints and pictures."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxgan' has no attribute {name!r}")
    return getattr(importlib.import_module(f"jaxgan.{_HOMES[name]}"), name)
