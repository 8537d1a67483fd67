"""Sequences of tokens [N, L]: of a known oracle, of a grammar, or the lines of a text file."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np

from jaxgan import plots
from jaxgan.config import InputError, Natural, nearest
from jaxgan.data import Dataset, grammar, text
from jaxgan.data import oracle as oracles
from jaxgan.data.oracle import Oracle
from jaxgan.game import samples_of
from jaxgan.kinds.kind import Judge, Kind, Made, Panel, groups_of, numbers_of, taken
from jaxgan.metrics import ngrams
from jaxgan.metrics.bleu import bleu, self_bleu
from jaxgan.metrics.score import Protocol, Sampling, Score, intervals, protocol

SETS = ("oracle", "grammar", "text:PATH")
GAP = "\N{OPEN BOX}"  # padding that a token comes after
SHOWN = 24  # samples in a picture
WIDE = 36  # signs of a line there
TEMPERATURES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5)
DRAWN = 2000  # samples of a temperature


def _oracle(length: int, tokens: int = 64, hidden: int = 32, lines: int = 10_000, seed: int = 0):
    if tokens < 2 or hidden < 1:
        raise InputError(f"--data oracle has 2 tokens or more, and 1 hidden unit, not {tokens} and {hidden}")
    made = oracles.draw(oracles.create(tokens, hidden, seed), lines, length)
    facts = {"oracle": {"tokens": tokens, "hidden": hidden, "seed": seed}}
    return made, [str(i) for i in range(tokens)], facts | {"separator": " "}


def _grammar(length: int, lines: int = 10_000, seed: int = 0):
    return grammar.draw(lines, length, seed), list(grammar.VOCABULARY), {"grammar": True, "separator": ""}


KNOWN = {"oracle": (_oracle, 12), "grammar": (_grammar, 16)}  # and the usual length


def load(cfg, data_dir: str | None) -> Dataset:
    """The set that a config names by `data`, as `token` i32[N, L].

    `oracle`, sequences of a random LSTM, with numbers, as `oracle:tokens=64,hidden=32,lines=10000,seed=0`;
    `grammar`, arithmetic expressions, as `grammar:lines=10000,seed=0`; or `text:PATH`, the lines of a file.
    A config's `length` is L; if not given 12, 16 or that of the longest line, 32 at most. Of a file its
    `units` are characters or words, and `most` is how many kinds of these are kept.

    Raises:
      InputError: if there is no such set, or it cannot be read.
    """
    spec, length = cfg.data, getattr(cfg, "length", None)
    name, _, rest = spec.partition(":")
    if name in KNOWN:
        make, usual = KNOWN[name]
        options = numbers_of(spec, rest, make)
        if options.get("lines", 2) < 2 or options.get("seed", 0) < 0:
            raise InputError(f"--data {spec}: lines are 2 or more, and a seed is 0 or more")
        tokens, vocabulary, facts = make(length or usual, **options)
        told = ()
    elif name == "text" and rest:
        units, most = getattr(cfg, "units", "characters"), getattr(cfg, "most", None)
        found = text.read(spec, Path(rest).expanduser(), length=length, units=units, most=most)
        tokens, vocabulary, told = found
        facts = {"separator": "" if units == "characters" else " "}
    else:
        raise InputError(f"--data {spec!r} is not one of {', '.join(SETS)}{nearest(name, SETS)}")
    facts |= {"tokens": len(vocabulary), "length": tokens.shape[1], "vocabulary": list(vocabulary)}
    return Dataset(spec, {"token": tokens}, facts, remarks=tuple(told))


def check(data: Dataset) -> None:
    """Raises InputError unless there is `token` i32[N, L], of a vocabulary in the facts."""
    tokens, vocabulary = data.get("token"), data.facts.get("vocabulary")
    if tokens is None or tokens.ndim != 2 or tokens.dtype != np.int32 or not vocabulary:
        raise InputError(f"{data.name} is not 'token' i32[N, L] with a vocabulary in its facts")
    if tokens.min() < 0 or tokens.max() >= len(vocabulary):
        raise InputError(f"{data.name} has tokens beyond its vocabulary of {len(vocabulary)}")


def decode(made) -> np.ndarray:
    """What G makes, tokens or the probabilities of tokens f32[n, L, V], as tokens i32[n, L]."""
    made = np.asarray(made)
    return (made.argmax(-1) if made.ndim == 3 else made).astype(np.int32)


def strings(facts, tokens) -> list[str]:
    """Tokens [n, L] as text, without the padding at the end; padding before a token is a sign of its own."""
    found = []
    for row in np.asarray(tokens):
        row = row[: np.flatnonzero(row)[-1] + 1 if row.any() else 0] if _padded(facts) else row
        found.append(facts["separator"].join(facts["vocabulary"][token] or GAP for token in row))
    return found


def _padded(facts) -> bool:
    """Whether token 0 is nothing."""
    return facts["vocabulary"][0] == ""


def _known(data: Dataset) -> Oracle | None:
    """The oracle of a set that has one."""
    return oracles.create(**data.facts["oracle"]) if "oracle" in data.facts else None


def _n_grams(length: int) -> list[str]:
    return [f"jsd_{n}" for n in range(1, min(4, length) + 1)]


SHARES = ("valid", "copied")


def figures(data: Dataset, samples) -> dict[str, float]:
    """What is known of samples i32[n, L]: the oracle's mean -log p of a token in nats, the divergences of
    n-grams in bits, the shares that the grammar takes and that are lines of the data."""
    found, lines = {}, data["token"]
    if (oracle := _known(data)) is not None:
        found["oracle_nll"] = -float(oracles.log_likelihood(oracle, samples).mean())
    found |= zip(_n_grams(lines.shape[1])[::-1], ngrams.divergences(samples, lines)[::-1], strict=True)
    if "grammar" in data.facts:
        found["valid"] = float(np.mean([grammar.valid(s) for s in strings(data.facts, samples)]))
    return found | {"copied": ngrams.copied(samples, lines)}


@cache
def floors(data: Dataset, n: int) -> dict[str, float]:
    """What there is to compare with: the oracle's entropy, and the divergences of n samples of the unigram
    model, and of n lines of the data, half of them at most, from the others."""
    found, lines = {}, data["token"]
    if (oracle := _known(data)) is not None:
        found["entropy"] = oracles.entropy(oracle, lines.shape[1])
    last = _n_grams(lines.shape[1])[-1]
    found[f"unigram_{last}"] = ngrams.divergences(ngrams.of_shares(lines, n), lines)[-1]
    order = np.random.default_rng(0).permutation(len(lines))
    m = min(n, len(lines) // 2)
    return found | {f"data_{last}": ngrams.divergences(lines[order[:m]], lines[order[m:]])[-1]}


@cache
def _repeated(data: Dataset) -> float:
    """The share of lines that are in the data again."""
    return ngrams.repeated(data["token"])


def _by_bleu(samples, lines, padded: bool) -> dict[str, float]:
    return {"bleu": bleu(samples, lines, padded=padded), "self_bleu": self_bleu(samples, padded=padded)}


@cache
def _halves(data: Dataset, n: int) -> tuple[np.ndarray, dict[str, float]]:
    """At most n lines, and BLEU and self-BLEU of as many others in the place of samples."""
    order = np.random.default_rng(0).permutation(len(data["token"]))
    m = min(n, len(order) // 2)
    lines, others = data["token"][order[:m]], data["token"][order[m : 2 * m]]
    return lines, _by_bleu(others, lines, _padded(data.facts))


def _compared(data: Dataset, samples, n: int, sampling: Sampling) -> list[Score]:
    """BLEU of n samples beside as many lines, and self-BLEU; both are best where those of other lines are."""
    lines, own = _halves(data, n)
    found = _by_bleu(samples[: len(lines)], lines, _padded(data.facts))

    def told(name):
        return protocol(
            sampling,
            metric=name,
            better=f"nearer to {own[name]:.4g}",
            within=(0, 1),
            features="n-grams of 1 to 4 tokens",
            reference=data,
            n_reference=len(lines) if name == "bleu" else 0,
            n_fake=len(lines),
        )

    return [Score(value, None, told(name)) for name, value in found.items()]


@dataclass(frozen=True)
class Options:
    """Score a run's checkpoints: by the oracle's likelihood where there is one, the n-grams of samples and
    data, the share of strings that a grammar takes, and the share that are copies."""

    groups: Natural = 10  # of samples, left out in turn for the intervals; 0: none
    bleu: Natural = 0  # samples that BLEU and self-BLEU are of, and lines beside them; needs jaxgan[text]


def judge(
    data: Dataset,
    *,
    conditional: bool = False,
    options: Options | None = None,
    real: Dataset | None = None,
    n: int | None = None,
) -> Judge:
    """The oracle's likelihood, the n-grams, the share of valid strings and of copies."""
    n = n or DRAWN
    groups = groups_of(options)
    against = data if real is None else real
    if compared := 0 if options is None else min(options.bleu, n):
        if min(compared, len(against["token"]) // 2) < 2:
            raise InputError(f"--bleu {options.bleu}: BLEU takes 2 samples or more, and 4 lines of data")
        _halves(against, compared)  # says at once whether what it needs is installed

    def watch(made: Made) -> dict[str, float]:
        return figures(against, made.samples)

    def scores(made: Made, sampling: Sampling) -> list[Score]:
        samples = made.samples
        values, around = figures(against, samples), {}
        if groups and len(samples) >= 4 * groups:
            of = lambda rows: figures(against, samples[rows])  # noqa: E731
            around = intervals(of, values, len(samples), groups=groups, bounds=_BOUNDS, shares=SHARES)
        by = partial(_protocol, against, len(samples), sampling)
        found = [Score(value, around.get(name), by(name)) for name, value in values.items()]
        if compared:
            found += _compared(against, samples, compared, sampling)
        return taken(found, [])

    def remarks(made: Made, rows):
        known = floors(against, len(made.samples))
        last = _n_grams(against["token"].shape[1])[-1]
        unigram, data = known[f"unigram_{last}"], known[f"data_{last}"]
        lines = [f"a unigram model has {last} {unigram:.3f}, and other lines of the data {data:.3f}"]
        if "entropy" in known:
            lines.append(f"the oracle's own entropy is {known['entropy']:.3f} nats a token")
        return known, lines

    return Judge(n, watch, scores, remarks)


_BOUNDS = {"oracle_nll": (0, None), **dict.fromkeys(_n_grams(4), (0, 1)), "valid": (0, 1), "copied": (0, 1)}
_OF = {"oracle_nll": "log p of the oracle", "valid": "the grammar", "copied": "whole lines"}


def _protocol(against: Dataset, n: int, sampling: Sampling, name: str) -> Protocol:
    alone = name in ("oracle_nll", "valid")
    better = {"valid": "higher", "copied": f"nearer to {_repeated(against):.4g}"}.get(name, "lower")
    return protocol(
        sampling,
        metric=name,
        better=better,
        within=_BOUNDS[name],
        features=_OF.get(name, "shares of n-grams"),
        reference=against,
        n_reference=0 if alone else len(against["token"]),
        n_fake=n,
    )


def _draw_lines(axis, pairs: list[tuple[str, str]]) -> None:
    """Samples, and in grey beside each the line of the data that is nearest."""
    axis.set_axis_off()
    longest = min(WIDE, max(len(x) for pair in pairs for x in pair))
    points = axis.get_window_extent().width * 72 / axis.figure.dpi
    size = min(9, 0.48 * points / (0.62 * longest))  # a letter of this family is 0.6 times as wide as high
    style = {"family": "monospace", "fontsize": size, "parse_math": False, "transform": axis.transAxes}
    for i, pair in enumerate(pairs):
        for x, line, colour in zip((0, 0.52), pair, (None, "0.5"), strict=True):
            line = line if len(line) <= WIDE else line[: WIDE - 1] + "\N{HORIZONTAL ELLIPSIS}"
            known = {} if colour is None else {"color": colour}
            axis.text(x, 1 - (i + 1) / (len(pairs) + 1), line, **style, **known)


def _chart(data: Dataset, samples) -> Callable:
    """draw(axis), of samples beside the nearest lines."""
    samples = samples[:SHOWN]
    beside = data["token"][ngrams.nearest(samples, data["token"])]
    return partial(
        _draw_lines, pairs=list(zip(*(strings(data.facts, x) for x in (samples, beside)), strict=True))
    )


def _show(data: Dataset, made: Made) -> np.ndarray:
    """Samples, and beside each the nearest line of the data."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a script that the picture's font lacks
        return plots.canvas(
            _chart(data, made.samples), (9, 5.2), f"step {made.step:,}: samples, nearest lines"
        )


def temperatures(data: Dataset, generator, key, n: int = DRAWN) -> dict[str, np.ndarray]:
    """What G and the oracle make at each of `TEMPERATURES`: their -log p by the oracle, f64[T, 2], and how
    far their bigrams are from the data's. Lower likelihood alone is cheap: a lower temperature has it
    (Caccia et al. 2020)."""
    oracle, length, found = _known(data), data["token"].shape[1], []
    sample = jax.jit(partial(samples_of, generator.gan))
    for temperature in TEMPERATURES:
        variables = {**generator.variables, "sampling": {"temperature": np.float32(temperature)}}
        drawn = oracles.draw(oracle, n, length, seed=2, temperature=temperature)
        pair = decode(sample(variables, key, np.arange(n))), drawn
        found.append([figures(data, x) for x in pair])
    name = _n_grams(length)[min(1, length - 1)]
    return {k: np.array([[one[k] for one in pair] for pair in found]) for k in ("oracle_nll", name)}


def _curves(axis, of: dict[str, np.ndarray]) -> None:
    nll, (name, jsd) = of["oracle_nll"], list(of.items())[-1]
    for i, (label, style) in enumerate((("G", "o-"), ("the oracle", "s--"))):
        axis.plot(jsd[:, i], nll[:, i], style, label=label)
    for x, y, temperature in zip(jsd[:, 0], nll[:, 0], TEMPERATURES, strict=True):
        axis.annotate(f"{temperature:g}", (x, y), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axis.set(xlabel=f"{name}, bits", ylabel="-log p by the oracle, nats a token")
    axis.legend(fontsize=8)


def panels(data: Dataset, generator, key, rows) -> list[Panel]:
    """Samples beside the nearest lines, and the temperatures of a generator that is drawn from at any."""
    samples = generator.made(key, SHOWN, None).samples
    text = "As they were drawn, none left out; in grey, the line that differs in the fewest places."
    found = [Panel("Samples", _chart(data, samples), text)]
    if "oracle" in data.facts and "sampling" in generator.variables:
        of = temperatures(data, generator, key)
        told = ", ".join(
            f"{t:g}: {x[0]:.3f} ({x[1]:.3f})" for t, x in zip(TEMPERATURES, of["oracle_nll"], strict=True)
        )
        text = f"-log p by the oracle at each temperature, and of the oracle's own draws: {told}."
        found.append(Panel("Temperatures", partial(_curves, of=of), text))
    return found


def _write_txt(path, made: Made, facts, columns) -> None:
    Path(path).write_text("".join(f"{line}\n" for line in strings(facts, made.samples)), "utf-8")


def _write_npz(path, made: Made, facts, columns) -> None:
    np.savez_compressed(path, token=made.samples, vocabulary=np.array(facts["vocabulary"]))


sequences = Kind(
    load=load,
    judge=judge,
    show=_show,
    write={".txt": _write_txt, ".npz": _write_npz},
    panels=panels,
    decode=decode,
    of="token",
    shown=SHOWN,
    check=check,
    options=Options,
    unit="lines",
)
