"""What a batch is made of."""

from jaxgan.data.dataset import Dataset
from jaxgan.data.sources import load

__all__ = ["Dataset", "load"]
