"""What piano rolls bool[N, bars, steps, pitches, tracks] are like. The lowest pitch is a C.

A score is of music alone; what it is worth shows beside that of real music. Those of the paper are in section
5.1 of Dong et al. 2018.
"""

import numpy as np

from jaxgan.metrics import ngrams

BEATS = 4  # of a bar


def empty_bars(rolls) -> np.ndarray:
    """The share of bars without a note, [M] of the tracks. The authors' code of that name has the share of
    bars with one."""
    return 1 - np.asarray(rolls, bool).any((2, 3)).mean((0, 1))


def chroma(rolls, parts: int = BEATS) -> np.ndarray:
    """How often each pitch class sounds in each of a bar's parts, f64[N, bars, parts, 12, M].

    Raises:
      ValueError: if the steps are not so many equal parts, or the pitches no whole octaves.
    """
    n, bars, steps, pitches, tracks = np.shape(rolls)
    if steps % parts or pitches % 12:
        raise ValueError(f"{steps} steps are not {parts} equal parts, or {pitches} pitches no whole octaves")
    shape = n, bars, parts, steps // parts, pitches // 12, 12, tracks
    return np.asarray(rolls, bool).reshape(shape).sum((3, 4)).astype(float)


def used_pitch_classes(rolls) -> np.ndarray:
    """The mean number of pitch classes in a bar that has notes, [M]; NaN where none has."""
    used = (chroma(rolls, 1)[:, :, 0] > 0).sum(2)
    some = (used > 0).sum((0, 1))
    return np.where(some > 0, used.sum((0, 1)) / np.maximum(some, 1), np.nan)


def qualified_notes(rolls, least: int = 3) -> np.ndarray:
    """The share of notes of `least` steps or more, [M]; NaN of no notes. A note is a run of steps, also from
    one bar into the next; one that is struck again without a silent step between is one note."""
    n, bars, steps, pitches, tracks = np.shape(rolls)
    on = np.asarray(rolls, bool).reshape(n, bars * steps, pitches, tracks)
    on = np.pad(on, [(0, 0), (1, 1), (0, 0), (0, 0)])
    starts = on[:, 1:] & ~on[:, :-1]
    long = starts.copy()
    for later in range(2, least + 1):
        long &= np.roll(on, 1 - later, 1)[:, 1:]
    notes = starts.sum((0, 1, 2))
    return np.where(notes > 0, long.sum((0, 1, 2)) / np.maximum(notes, 1), np.nan)


def drum_pattern(drums) -> float:
    """The share of what is struck in drums bool[N, bars, steps, pitches] that is on the bar's quavers; NaN of
    nothing.

    Raises:
      ValueError: if a bar has no eight equal parts.
    """
    drums = np.asarray(drums, bool)
    if drums.shape[2] % 8:
        raise ValueError(f"{drums.shape[2]} steps are not eight equal parts")
    struck = drums.sum((0, 1, 3))
    return float(struck[:: drums.shape[2] // 8].sum() / struck.sum()) if struck.sum() else float("nan")


def tonal_centroid(chroma) -> np.ndarray:
    """The place of a chroma [..., 12] in the circles of fifths, of minor and of major thirds, [..., 6], of
    the radii 1, 1 and 1/2 (Harte, Sandler and Gasser 2006, equations 1 and 2); NaN of silence."""
    angle = np.arange(12)[:, None] * np.pi * np.array([7 / 6, 3 / 2, 2 / 3])
    circles = np.stack([np.sin(angle), np.cos(angle)], -1) * np.array([1, 1, 0.5])[:, None]
    total = np.asarray(chroma, float).sum(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return (chroma @ circles.reshape(12, 6)) / np.where(total > 0, total, np.nan)


def tonal_distance(a, b) -> float:
    """The mean distance of the tonal centroids of two tracks bool[N, bars, steps, pitches], over the beats in
    which both sound; NaN if there are none."""
    one, other = (tonal_centroid(chroma(np.asarray(x)[..., None])[..., 0]) for x in (a, b))
    apart = np.sqrt(np.square(one - other).sum(-1))
    both = np.isfinite(apart)
    return float(apart[both].mean()) if both.any() else float("nan")


def in_scale(rolls, scale) -> float:
    """The share of what sounds whose pitch class is one of `scale`; NaN of silence."""
    sounding = chroma(rolls, 1).sum((0, 1, 2, 4))
    return float(sounding[list(scale)].sum() / sounding.sum()) if sounding.sum() else float("nan")


def harmonies(rolls) -> np.ndarray:
    """Which pitch classes sound in each beat, in any track, as the bits of i32[N * bars * beats]."""
    some = chroma(rolls).any(-1)
    return (some @ (1 << np.arange(12))).astype(np.int32).ravel()


def harmony_jsd(a, b) -> float:
    """The Jensen-Shannon divergence, in bits, of the pitch classes that sound together in a beat of two sets
    of rolls: 0 of equal ones, 1 where no beat of one is as one of the other. Of fewer rolls it is higher."""
    return ngrams.divergences(harmonies(a)[:, None], harmonies(b)[:, None], 1)[0]


def _bars(rolls) -> list[bytes]:
    """Each bar with a note, of all tracks together."""
    rolls = np.asarray(rolls, bool)
    bars = rolls.reshape(rolls.shape[0] * rolls.shape[1], -1)
    return [row.tobytes() for row in np.packbits(bars[bars.any(1)], axis=1)]


def copied_bars(rolls, known) -> float:
    """The share of bars with a note that are, in all tracks, a bar of the rolls `known`; NaN of silence."""
    bars, seen = _bars(rolls), set(_bars(known))
    return float(np.mean([bar in seen for bar in bars])) if bars else float("nan")


def shuffled(rolls, seed: int = 0) -> np.ndarray:
    """The rolls with each track taken from another phrase, in an order of the track's own."""
    rng = np.random.default_rng(seed)
    each = [np.asarray(rolls)[rng.permutation(len(rolls)), ..., i] for i in range(np.shape(rolls)[-1])]
    return np.stack(each, -1)
