"""Lines of a text file as tokens of one length."""

from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxgan.config import InputError

Units = Literal["characters", "words"]
UNKNOWN = {"characters": "\N{REPLACEMENT CHARACTER}", "words": "<unknown>"}
LONGEST = 32  # tokens of a line, where it is not said


class Text(NamedTuple):
    """Lines as tokens."""

    tokens: np.ndarray  # i32[N, L], filled up with 0
    vocabulary: tuple[str, ...]  # what each token stands for; 0 is nothing
    remarks: tuple[str, ...]  # what was left out or changed


def _lines(spec: str, path: Path) -> list[str]:
    """The file's lines, without the signs that end them."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"--data {spec}: there is no such file") from None
    except OSError as e:
        raise InputError(f"--data {spec} cannot be read ({e.strerror})") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content[: e.start].count(b"\n") + 1
        raise InputError(f"--data {spec} is not UTF-8 text (line {line}); convert it first") from None
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def read(spec: str, path: Path, *, length: int | None, units: Units, most: int | None = None) -> Text:
    """Reads a file, one line a sequence.

    Args:
      spec: how messages call it.
      length: L; longer lines are cut there. None: as the longest line has, 32 at most.
      units: what a token is.
      most: tokens that are kept, the most frequent; the others are one more, the unknown. None: all.

    Raises:
      InputError: if there is no such file, it is not UTF-8, or has fewer than two lines with a token.
    """
    split = list if units == "characters" else str.split
    found = [split(line) for line in _lines(spec, path)]
    lines = [line for line in found if line]
    if len(lines) < 2:
        few = "no line with anything on it" if not lines else "one line alone"
        raise InputError(f"--data {spec} has {few}: a set takes two lines or more")
    told = []
    if empty := len(found) - len(lines):
        told.append(f"{empty} of {len(found)} lines are empty and left out")
    longest = max(map(len, lines))
    length = min(longest, LONGEST) if length is None else length
    if cut := sum(len(line) > length for line in lines):
        told.append(f"{cut} of {len(lines)} lines are longer than {length} {units} (up to {longest}) and cut")
    lines = [line[:length] for line in lines]
    counts = Counter(token for line in lines for token in line)
    kept = sorted(counts, key=lambda token: (-counts[token], token))
    vocabulary = ["", *kept[:most]]
    if others := kept[len(vocabulary) - 1 :]:
        times, total = sum(counts[token] for token in others), counts.total()
        told.append(
            f"{times} of {total} {units} are none of the {most} most frequent, and one unknown token "
            f"({len(others)} kinds)"
        )
        vocabulary.append(UNKNOWN[units])
    place = {token: i for i, token in enumerate(vocabulary[1 : len(kept[:most]) + 1], 1)}
    tokens = np.zeros((len(lines), length), np.int32)
    for row, line in zip(tokens, lines, strict=True):
        row[: len(line)] = [place.get(token, len(vocabulary) - 1) for token in line]
    return Text(tokens, tuple(vocabulary), tuple(told))
