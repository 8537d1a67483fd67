"""Training by sampling (Xu et al. 2019, section 4.3): rows of a table by a category that is asked for, so
that rare ones are seen as well."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import random
from jaxgan.data.tables import Column
from jaxgan.nn.categories import asked_shares, chosen, cumulative


def arrays_of(columns: Sequence[Column], table: np.ndarray, record: np.ndarray) -> dict[str, np.ndarray]:
    """What `draw` makes batches from: the records, and of each column of categories the rows by category.

    Args:
      table: f64[N, C], and record f32[N, E] of the same rows.
    """
    at = [i for i, column in enumerate(columns) if column.encoding == "one_hot"]
    counts = [np.bincount(table[:, i].astype(int), minlength=len(columns[i].values)) for i in at]
    return {
        "record": record,
        "below": cumulative(asked_shares(counts)),
        "column": np.repeat(np.arange(len(at)), [len(own) for own in counts]),
        "first": np.concatenate([np.cumsum(own) - own for own in counts]),
        "many": np.concatenate(counts),
        "rows": np.stack([np.argsort(table[:, i], kind="stable") for i in at]),
    }


def draw(arrays, key, i, slot) -> dict:
    """The i-th batch: records of rows that have the category asked for, with its one-hot code beside, f32[B,
    E + C]."""
    key = random.fold(key, "data", i)
    asked = chosen(random.uniform(random.fold(key, "asked"), slot), arrays["below"])
    many = arrays["many"][asked]
    place = (random.uniform(random.fold(key, "row"), slot) * many).astype(jnp.int32)
    row = arrays["rows"][arrays["column"][asked], arrays["first"][asked] + jnp.minimum(place, many - 1)]
    code = jax.nn.one_hot(asked, len(arrays["below"]))
    return {"record": jnp.concatenate([arrays["record"][row], code], 1)}
