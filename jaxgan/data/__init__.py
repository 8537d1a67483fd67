"""What a batch is made of."""

from jaxgan.data.sources import Dataset, load

__all__ = ["Dataset", "load"]
