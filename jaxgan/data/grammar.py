"""Arithmetic expressions such as x+(y*z), of which each string is exactly right or wrong.

expression = term, or term operator expression
term = x, y, z, or ( expression )
"""

import numpy as np

OPERANDS, OPERATORS = "xyz", "+*"
VOCABULARY = ("", *OPERANDS, *OPERATORS, "(", ")")


def valid(text: str) -> bool:
    """Whether it is an expression."""
    depth, wanted = 0, True  # open brackets; whether a term must come next
    for sign in text:
        if wanted and (sign in OPERANDS or sign == "("):
            depth, wanted = depth + (sign == "("), sign == "("
        elif not wanted and (sign in OPERATORS or sign == ")"):
            depth, wanted = depth - (sign == ")"), sign != ")"
        else:
            return False
        if depth < 0:
            return False
    return not wanted and depth == 0


def _expression(rng: np.random.Generator, room: int) -> str:
    """An expression, or one that is longer than `room` and not worth going on with."""
    text = ""
    while len(text) <= room:
        inner = rng.random() < 0.25
        text += f"({_expression(rng, room - len(text) - 2)})" if inner else rng.choice(list(OPERANDS))
        if rng.random() < 0.2:
            break
        text += rng.choice(list(OPERATORS))
    return text


def draw(n: int, length: int, seed: int = 0) -> np.ndarray:
    """n random expressions of at most `length` signs as tokens i32[n, length], filled up with 0."""
    rng, found = np.random.default_rng(seed), np.zeros((n, length), np.int32)
    for row in found:
        while len(text := _expression(rng, length)) > length or not valid(text):
            pass
        row[: len(text)] = [VOCABULARY.index(sign) for sign in text]
    return found
