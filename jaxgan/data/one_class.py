"""Sets of which the examples of some classes are normal: these alone are trained on, and of the others, which
are anomalous, as many are held out as of these."""

import numpy as np

from jaxgan.config import InputError, nearest
from jaxgan.data import store
from jaxgan.data.dataset import Dataset

MOST = 400  # normal examples that are held out, if it is not said how many
FEWEST = 4  # of either sort that are held out, and that are trained on


def _numbers(data: Dataset, normal: str) -> list[int]:
    """The normal classes by their numbers."""
    known = list(data.classes)
    names = [normal] if normal in known else [name.strip() for name in normal.split("+")]
    for name in names:
        if name not in known:
            raise InputError(
                f"--normal {normal}: {data.name} has no class {name!r}, but {', '.join(known)}"
                f"{nearest(name, known)}"
            )
    return sorted({known.index(name) for name in names})


def split(data: Dataset, normal: str, held_out: int | None = None) -> Dataset:
    """The normal examples of a set with `image` and `label`, some of them held out.

    Args:
      normal: the name of a class, or those of several joined by a +.
      held_out: how many normal examples, drawn at random but the same each time, are not trained on, and at
        most as many anomalous; None: a third, `MOST` at most.

    Returns:
      `image` of normal examples; `held_out` has `image`, `label`, and i32 `anomalous` and `test`, each 1 or
      0: half of either sort is for choosing by, and half for the last score.

    Raises:
      InputError: if there are no labels, no such class, or too few examples of either sort.
    """
    if not data.classes:
        raise InputError(f"{data.name} has no labels, by which normal and anomalous images could be told")
    label = data["label"]
    is_normal = np.isin(label, _numbers(data, normal))
    rng = np.random.default_rng(0)
    own, others = (rng.permutation(np.flatnonzero(of)) for of in (is_normal, ~is_normal))
    n = min(len(own) // 3, MOST) if held_out is None else held_out
    apart, odd = own[:n], others[:n]
    if min(len(apart), len(odd), len(own) - n) < FEWEST:
        raise InputError(
            f"{data.name}: of {len(own)} normal and {len(others)} anomalous images {n} of each are to be "
            f"held out; of either at least {FEWEST} are, and {FEWEST} normal ones are trained on (--held-out)"
        )
    rows = np.concatenate([apart, odd])
    second_half = [np.arange(len(x)) >= len(x) // 2 for x in (apart, odd)]
    held = {
        "image": data["image"][rows],
        "label": label[rows],
        "anomalous": (np.arange(len(rows)) >= len(apart)).astype(np.int32),
        "test": np.concatenate(second_half).astype(np.int32),
    }
    name = f"{data.name}, {normal}"
    image = store.take(data["image"], np.sort(own[n:]), name)
    told = f"{len(image)} normal images; {len(apart)} of these and {len(odd)} anomalous ones are held out"
    return Dataset(
        name,
        {"image": image},
        {"channels": image.shape[-1], "normal": normal},
        remarks=(*data.remarks, told),
        resized=data.resized,
        held_out=Dataset(f"{name}, held out", held, {"classes": data.classes}),
    )
