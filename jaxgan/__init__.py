"""Generative adversarial networks in JAX and Flax: pure functions, one compiled loop, exact resume."""

from jaxgan.run import Generator, load

__all__ = ["Generator", "load"]
__version__ = "0.1.0"
