"""Where sequences are from: files, a grammar, an oracle."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import grammar, oracle, text
from jaxgan.nets.seqgan import LanguageModel


def _read(tmp_path, content, **options):
    path = tmp_path / "x.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return text.read("text:x", path, **{"length": None, "units": "characters", **options})


def test_characters_of_lines(tmp_path):
    found = _read(tmp_path, "abba\r\nab\n")
    assert found.vocabulary == ("", "a", "b")
    np.testing.assert_array_equal(found.tokens, [[1, 2, 2, 1], [1, 2, 0, 0]])
    assert found.tokens.dtype == np.int32
    assert found.remarks == ()


def test_words_of_lines(tmp_path):
    found = _read(tmp_path, "the cat  sat\nthe dog", units="words")
    assert found.vocabulary == ("", "the", "cat", "dog", "sat")
    np.testing.assert_array_equal(found.tokens, [[1, 2, 4], [1, 3, 0]])


def test_what_is_cut_unknown_or_empty_is_said(tmp_path):
    """And nothing is said where nothing is."""
    found = _read(tmp_path, "aaab\n\nab c\naab\n\n", length=3, most=2)
    assert found.vocabulary == ("", "a", "b", "\N{REPLACEMENT CHARACTER}")
    np.testing.assert_array_equal(found.tokens, [[1, 1, 1], [1, 2, 3], [1, 1, 2]])
    assert found.remarks == (
        "2 of 5 lines are empty and left out",
        "2 of 3 lines are longer than 3 characters (up to 4) and cut",
        "1 of 9 characters are none of the 2 most frequent, and one unknown token (1 kinds)",
    )
    assert _read(tmp_path, "ab\nba\n", length=2, most=2).remarks == ()
    long = _read(tmp_path, "a" * 50 + "\nb\n")
    assert long.tokens.shape == (2, text.LONGEST)
    assert long.remarks == ("1 of 2 lines are longer than 32 characters (up to 50) and cut",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "text:x has no line with anything on it"),
        (b"\n\n\n", "text:x has no line with anything on it"),
        (b"abc\n", "text:x has one line alone"),
        (b"abc\n\xff\xfe\n", r"text:x is not UTF-8 text \(line 2\)"),
    ],
)
def test_bad_files_are_told_in_a_line(content, told, tmp_path):
    with pytest.raises(InputError, match=told) as error:
        _read(tmp_path, content)
    assert "\n" not in str(error.value)


def test_no_file_and_a_folder(tmp_path):
    for path, told in ((tmp_path / "none.txt", "there is no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(InputError, match=told):
            text.read("text:x", path, length=None, units="words")


RIGHT = ["x", "x+y", "(x)", "((x+y))*z", "x*(y+z)*x"]
WRONG = ["", "+", "x+", "xy", "(x", "x)", "()", ")x(", "x+*y", "(x)(y)", "x\N{OPEN BOX}+y", "w", "x + y", ")"]


@pytest.mark.parametrize(("string", "holds"), [(s, True) for s in RIGHT] + [(s, False) for s in WRONG])
def test_expressions_by_hand(string, holds):
    assert grammar.valid(string) is holds


def test_the_check_agrees_with_the_grammar_itself():
    """On all strings of up to five signs: those that its rules make, and no others."""
    signs = grammar.VOCABULARY[1:]
    made = {1: {*"xyz"}}  # terms and expressions by their length
    terms = {1: {*"xyz"}}
    for n in range(2, 6):
        terms[n] = {f"({e})" for e in made.get(n - 2, ())}
        made[n] = terms[n] | {
            f"{e}{op}{t}" for k in range(1, n - 1) for e in made[k] for op in "+*" for t in terms[n - 1 - k]
        }
        found = {s for s in map("".join, itertools.product(signs, repeat=n)) if grammar.valid(s)}
        assert found == made[n]


def test_what_the_grammar_draws_is_valid_and_differs():
    tokens = grammar.draw(400, 9)
    strings = ["".join(grammar.VOCABULARY[i] for i in row) for row in tokens]
    assert all(map(grammar.valid, strings))
    assert max(map(len, strings)) == 9
    assert len(set(strings)) > 150
    np.testing.assert_array_equal(tokens, grammar.draw(400, 9))
    assert not np.array_equal(tokens, grammar.draw(400, 9, seed=1))


@pytest.fixture(scope="module")
def small():
    return oracle.create(3, 4, seed=5)


def _all(v, length):
    return np.array(list(itertools.product(range(v), repeat=length)), np.int32)


def test_the_oracles_probabilities_are_a_distribution(small):
    """They sum to 1 over all sequences, and each is what a network with the same weights says."""
    tokens = _all(3, 3)
    log_p = oracle.log_likelihood(small, tokens)
    assert np.exp(log_p.sum(1)).sum() == pytest.approx(1)
    net = LanguageModel(3, 4, 4)
    variables = {
        "params": {k: jnp.float32(x) for k, x in small._asdict().items()},
        "sampling": {"temperature": 1.0},
    }
    logits = net.apply(variables, jnp.asarray(tokens))
    own = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], -1)[..., 0]
    np.testing.assert_allclose(own, log_p, atol=1e-5)
    assert not np.allclose(own[:, ::-1], log_p, atol=1e-2)


def test_draws_are_the_oracles(small):
    """The share of each sequence, and the mean of -log p against the entropy of the enumeration."""
    tokens = _all(3, 3)
    p = np.exp(oracle.log_likelihood(small, tokens).sum(1))
    n = 40_500  # more than a block, and no multiple of one
    drawn = oracle.draw(small, n, 3)
    assert drawn.shape == (n, 3)
    shares = np.bincount(drawn @ [9, 3, 1], minlength=27) / n
    deviation = np.sqrt(p * (1 - p) / n)
    assert (np.abs(shares - p) < 4.5 * deviation + 1e-9).all()
    exact = -(p * np.log(p)).sum() / 3
    assert oracle.entropy(small, 3, n) == pytest.approx(exact, abs=0.01)
    cold = oracle.draw(small, n, 3, temperature=0.5)
    nll = -oracle.log_likelihood(small, cold).mean()
    assert nll < exact - 0.05  # a lower temperature alone comes below the entropy
