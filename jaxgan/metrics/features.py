"""Where images are compared: functions from images to rows of numbers, each with a name for the record."""

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan.config import InputError, nearest
from jaxgan.data import Dataset
from jaxgan.metrics import inception as networks
from jaxgan.metrics import judge as judges

WIDEST = 4096  # numbers in a row, of whose covariance the root is still taken in a minute


class Features(NamedTuple):
    """A feature space."""

    kind: str  # `classifier`, `inception`, ...: a part of a score's name
    name: str  # for a protocol: version, and the hash of what it was made from
    of: Callable  # images uint8[N, H, W, C] -> (features [N, D], logits f32[N, K] or None)


def classifier(data: Dataset, file: Path | None = None) -> Features:
    """The last hidden layer of a classifier of a labelled set's own classes, which is trained once.

    Args:
      file: that it is read from, or written to if there is none.

    Raises:
      InputError: if the set has no labels, or the file is no classifier of such images.
    """
    if not data.classes:
        raise InputError(f"{data.name} has no labels to train a classifier on; choose other features")
    judge = judges.cached(data) if file is None else judges.shared(data, file)
    return Features("classifier", judge.name, lambda images: judges.judge(judge, images)[::-1])


def inception(resize: str = "legacy") -> Features:
    """The network of the original Frechet inception distance, with the weights that `inception.load` finds.

    Raises:
      InputError: if its weights cannot be had, or the resizing is unknown.
    """
    weights = networks.load()
    of = partial(networks.levels, weights=weights, wanted=("2048", "logits_unbiased"), resize=resize)
    return Features("inception", f"{weights.name}, resized {resize}", of)


def _flat(images) -> np.ndarray:
    return np.reshape(images, (len(images), -1)).astype(np.float32) / 255


def _raw(images):
    if (width := images[0].size) > WIDEST:
        raise InputError(f"images of {width} pixels are too large for raw features; choose projection")
    return _flat(images), None


def _in_blocks(of: Callable, images) -> np.ndarray:
    """of(images) a part at a time: pixels as numbers take eight times the memory of the images."""
    return np.concatenate([of(part) for part in np.array_split(images, -(-len(images) // 1024))])


def _cells(images):
    size = images.shape[1]
    edges = np.linspace(0, size, min(size, 8) + 1).astype(int)

    def means(part):
        x = np.add.reduceat(np.add.reduceat(part / 255.0, edges[:-1], 1), edges[:-1], 2)
        return (x / np.outer(np.diff(edges), np.diff(edges))[:, :, None]).reshape(len(part), -1)

    return _in_blocks(means, images), None


def projection(width: int = 256, seed: int = 0) -> Features:
    """Pixels in [0, 1] times a matrix of independent N(0, 1 / width), a function of the seed: distances stay
    as they are to about sqrt(2 / width) of themselves (Johnson and Lindenstrauss 1984)."""

    def of(images):
        matrix = np.random.default_rng(seed).standard_normal((images[0].size, width)) / np.sqrt(width)
        return _in_blocks(lambda part: _flat(part) @ matrix.astype(np.float32), images), None

    return Features("projection", f"projection v1 to {width} of seed {seed}", of)


RAW = Features("raw", "raw pixels", _raw)
CELLS = Features("cells", "mean pixels of 8x8 cells", _cells)
KINDS = ("classifier", "inception", "raw", "cells", "projection", "MODULE:FUNCTION")


def custom(spec: str, data: Dataset) -> Features:
    """A function of the user's, named as `package.module:function`: images uint8[N, H, W, C] -> [N, D].

    Its name for the record has a hash of what it makes of the first images of the data, so that a change of
    the code or of weights that it loads is another name.

    Raises:
      InputError: if there is no such function, or it makes no row of numbers of each image.
    """
    module, _, name = spec.partition(":")
    if os.getcwd() not in sys.path:  # an installed command does not look there
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as e:
        raise InputError(f"--features {spec}: {e}") from None

    def of(images):
        rows = np.asarray(function(images))
        numbers = np.issubdtype(rows.dtype, np.number)
        if not numbers or rows.ndim != 2 or len(rows) != len(images) or rows.size == 0:
            what = f"{rows.dtype}{list(rows.shape)} of {len(images)} images"
            raise InputError(f"{spec} made {what}, not a row of numbers of each")
        return rows, None

    probe = of(data["image"][:64])[0].astype(np.float16)  # not every last digit of another machine's
    digest = hashlib.sha256(np.ascontiguousarray(probe)).hexdigest()[:12]
    return Features(re.sub(r"\W+", "_", spec), f"{spec}, {digest} on {data.digest}", of)


def named(spec: str, data: Dataset, resize: str = "legacy", file: Path | None = None) -> Features:
    """The features of one of `KINDS`; `data` is what a classifier learns, `file` where it is kept, `resize`
    is Inception's.

    Raises:
      InputError: if there are none of that name, or they cannot be made.
    """
    if spec == "classifier":
        return classifier(data, file)
    if spec == "inception":
        return inception(resize)
    plain = {"raw": RAW, "cells": CELLS, "projection": projection()}
    if spec in plain:
        return plain[spec]
    if ":" in spec:
        return custom(spec, data)
    raise InputError(f"--features {spec!r} is not one of {', '.join(KINDS)}{nearest(spec, KINDS)}")


def usual(data: Dataset) -> Features:
    """What a training run is watched by: the classifier's features, or cells where there are no labels."""
    return classifier(data) if data.classes else CELLS
