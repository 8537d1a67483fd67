"""Sequences of tokens: what is read, scored, shown and written."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import Dataset
from jaxgan.kinds import Made
from jaxgan.kinds.sequences import Options, decode, figures, floors, sequences, strings
from jaxgan.metrics.score import Sampling


@dataclass(frozen=True)
class Config:
    data: str
    length: int | None = None
    units: str = "characters"
    most: int | None = None


def _load(spec, *args, **options):
    return sequences.load(Config(spec, *args, **options), None)


def _made(tokens):
    return Made(tokens, None, None, 7)


@pytest.fixture(scope="module")
def oracle():
    return _load("oracle:tokens=5,hidden=3,lines=600", 6)


@pytest.fixture(scope="module")
def expressions():
    return _load("grammar:lines=600", 8)


def test_sets_say_what_they_are(oracle, expressions):
    assert oracle["token"].shape == (600, 6)
    assert oracle.facts["vocabulary"] == ["0", "1", "2", "3", "4"]
    assert (oracle.facts["tokens"], oracle.facts["length"]) == (5, 6)
    assert (expressions.facts["tokens"], expressions.facts["length"]) == (8, 8)
    assert _load("grammar:lines=9")["token"].shape == (9, 16)
    for data in (oracle, expressions):
        assert 0 <= data["token"].min() < data["token"].max() < data.facts["tokens"]
        sequences.check(data)


def test_another_oracle_has_other_lines():
    """So a score by one is never of lines that another drew."""
    one, same, other = (_load(f"oracle:tokens=5,lines=50,seed={seed}", 6) for seed in (0, 0, 1))
    assert one.digest == same.digest != other.digest
    assert one.facts["oracle"] != other.facts["oracle"]


def test_lines_of_a_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("to be\nnot to be\n\nor\n")
    data = _load(f"text:{path}", units="words")
    assert data.facts["vocabulary"] == ["", "be", "to", "not", "or"]
    assert strings(data.facts, data["token"]) == ["to be", "not to be", "or"]
    assert data.remarks == ("1 of 4 lines are empty and left out",)
    characters = _load(f"text:{path}", 4)
    assert strings(characters.facts, characters["token"]) == ["to b", "not ", "or"]
    assert len(characters.remarks) == 2


def test_padding_that_a_token_follows_is_seen(expressions):
    """As text, and by the grammar; at the end it is nothing."""
    tokens = np.array([[1, 4, 2, 0], [1, 0, 4, 2], [0, 0, 0, 0], [0, 1, 0, 0]])
    found = strings(expressions.facts, tokens)
    assert found == ["x+y", "x\N{OPEN BOX}+y", "", "\N{OPEN BOX}x"]
    padded = np.pad(tokens, ((0, 0), (0, 4))).astype(np.int32)
    assert figures(expressions, padded)["valid"] == 0.25


def test_data_have_the_figures_of_data(oracle, expressions):
    """And their tokens in another order have not."""
    mixed = np.random.default_rng(0).permuted(expressions["token"], axis=1)
    for tokens, valid, copied in ((expressions["token"], 1, 1), (mixed, 0.1, 0.1)):
        found = figures(expressions, tokens)
        assert list(found) == ["jsd_4", "jsd_3", "jsd_2", "jsd_1", "valid", "copied"]
        assert found["valid"] == 1 if valid == 1 else found["valid"] < valid
        assert found["copied"] == 1 if copied == 1 else found["copied"] < copied
        assert found["jsd_1"] == 0
        assert (found["jsd_4"] == 0) == (valid == 1)
    own, floor = figures(oracle, oracle["token"]), floors(oracle, 300)
    assert next(iter(own)) == "oracle_nll"
    assert own["oracle_nll"] == pytest.approx(floor["entropy"], abs=0.06)
    random = np.random.default_rng(0).integers(5, size=(600, 6)).astype(np.int32)
    assert figures(oracle, random)["oracle_nll"] > floor["entropy"] + 0.3
    assert 0 < floor["data_jsd_4"]
    of_grammar = floors(expressions, 300)
    assert "entropy" not in of_grammar
    assert of_grammar["data_jsd_4"] < 0.3 * of_grammar["unigram_jsd_4"]


def test_scores_have_intervals_and_remarks_their_floors(expressions):
    judge = sequences.judge(expressions, options=Options(groups=5), n=200)
    assert judge.n == 200
    made = _made(expressions["token"][:200])
    found = {score.name: score for score in judge.scores(made, Sampling("live"))}
    assert list(found) == list(judge.watch(made))
    low, high = found["jsd_4"].interval
    assert 0 <= low <= found["jsd_4"].value <= high <= 1
    assert found["jsd_4"].protocol.n_reference == 600
    assert found["valid"].protocol.n_reference == 0
    assert found["valid"].protocol.better == "higher"
    known, lines = judge.remarks(made, [])
    assert set(known) == {"unigram_jsd_4", "data_jsd_4"}
    assert len(lines) == 1
    with pytest.raises(InputError, match="--groups 1"):
        sequences.judge(expressions, options=Options(groups=1))


def test_bleu_is_beside_that_of_lines(expressions):
    """And one line again and again is alike by self-BLEU, though by BLEU it is as lines are."""
    judge = sequences.judge(expressions, options=Options(groups=0, bleu=150), n=200)
    long = expressions["token"][expressions["token"][:, 6] > 0]
    collapsed = np.repeat(long[:1], 200, 0)
    by = {}
    new = _load("grammar:lines=200,seed=1", 8)["token"]
    for name, tokens in (("lines", new), ("collapsed", collapsed)):
        found = {score.name: score for score in judge.scores(_made(tokens), Sampling("live"))}
        assert list(found)[-2:] == ["bleu", "self_bleu"]
        told = found["bleu"].protocol
        assert (told.n_fake, told.n_reference, found["self_bleu"].protocol.n_reference) == (150, 150, 0)
        by[name] = {
            k: (x.value, float(x.protocol.better.split()[-1])) for k, x in found.items() if "bleu" in k
        }
    assert all(abs(value - own) < 0.1 for value, own in by["lines"].values())
    assert by["collapsed"]["self_bleu"][0] == 1
    assert by["collapsed"]["self_bleu"][1] < 0.97
    few = _load("grammar:lines=3", 8)
    for data, n, how in ((expressions, 200, 1), (expressions, 1, 9), (few, 200, 9)):
        with pytest.raises(InputError, match=f"--bleu {how}: BLEU takes 2 samples or more, and 4 lines"):
            sequences.judge(data, options=Options(bleu=how), n=n)


def test_without_sacrebleu_it_is_said_before_samples_are_made(expressions, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(InputError, match=r"BLEU needs sacrebleu: pip install 'jaxgan\[text\]'"):
        sequences.judge(expressions, options=Options(bleu=20), n=200)


def test_short_lines_have_fewer_n_grams():
    found = figures(data := _load("oracle:tokens=4,hidden=2,lines=40", 2), data["token"])
    assert list(found) == ["oracle_nll", "jsd_2", "jsd_1", "copied"]


def test_probabilities_are_decoded_as_the_likeliest_tokens():
    soft = np.array([[[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]], np.float32)
    np.testing.assert_array_equal(decode(soft), [[1, 0]])
    np.testing.assert_array_equal(decode(np.array([[2, 1]])), [[2, 1]])
    assert decode(soft).dtype == np.int32


def test_a_picture_has_the_samples_and_the_lines_beside(oracle, tmp_path):
    """Also of a script that its font lacks, and of dollars, which are no formula."""
    one = sequences.show(oracle, _made(oracle["token"][:24]))
    other = sequences.show(oracle, _made(oracle["token"][24:48]))
    assert one.dtype == np.uint8
    assert one.std() > 10
    assert not np.array_equal(one, other)
    path = tmp_path / "x.txt"
    path.write_text("$\\sqrt$ \N{ETHIOPIC SYLLABLE HA}\n$x_$\n", "utf-8")
    data = _load(f"text:{path}")
    assert sequences.show(data, _made(data["token"])).std() > 3


def test_files_hold_the_samples(expressions, tmp_path):
    made = _made(expressions["token"][:4])
    sequences.write[".txt"](tmp_path / "x.txt", made, expressions.facts, None)
    assert (tmp_path / "x.txt").read_text().splitlines() == strings(expressions.facts, made.samples)
    again = _load(f"text:{tmp_path / 'x.txt'}", 8)
    assert strings(again.facts, again["token"]) == strings(expressions.facts, made.samples)
    sequences.write[".npz"](tmp_path / "x.npz", made, expressions.facts, None)
    with np.load(tmp_path / "x.npz") as saved:
        np.testing.assert_array_equal(saved["token"], made.samples)
        assert saved["vocabulary"].tolist() == expressions.facts["vocabulary"]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("orakle", "'orakle' is not one of oracle, grammar, text:PATH; did you mean 'oracle'"),
        ("text:", "'text:' is not one of"),
        ("text:none.txt", "--data text:none.txt: there is no such file"),
        ("oracle:token=5", "'token' is not one of tokens, hidden, lines, seed; did you mean 'tokens'"),
        ("oracle:tokens=1", "2 tokens or more"),
        ("grammar:lines=1", "lines are 2 or more"),
        ("grammar:seed=-1", "a seed is 0 or more"),
        ("grammar:lines=x", "lines is a number, not 'x'"),
    ],
)
def test_bad_names_are_told(spec, told):
    with pytest.raises(InputError, match=told):
        _load(spec)


def test_other_data_are_none_of_this_kind(oracle):
    facts = dict(oracle.facts)
    for arrays, told in [
        ({"point": np.zeros((4, 2), np.int32)}, "is not 'token' i32"),
        ({"token": np.zeros((4, 2), np.float32)}, "is not 'token' i32"),
        ({"token": np.full((4, 2), 5, np.int32)}, "tokens beyond its vocabulary of 5"),
    ]:
        with pytest.raises(InputError, match=told):
            sequences.check(Dataset("x", arrays, facts))
    with pytest.raises(InputError, match="with a vocabulary in its facts"):
        sequences.check(Dataset("x", {"token": np.zeros((4, 2), np.int32)}))
