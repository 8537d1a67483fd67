"""What a batch is made of."""

from jaxgan.data.dataset import Dataset
from jaxgan.data.reading import bad_examples
from jaxgan.data.sources import load

__all__ = ["Dataset", "bad_examples", "load"]
