"""Made-up music in one known key: drums, bass and chords that agree in each bar."""

import numpy as np

NAMES = ("drums", "bass", "chords")
LOW, PITCHES, STEPS = 36, 24, 16  # the lowest MIDI number, pitches, and steps of a bar
MAJOR = (0, 2, 4, 5, 7, 9, 11)  # pitch classes above the tonic


def _steps(*lengths: int) -> np.ndarray:
    """Notes of so many steps one after another, each without its last: bool[16]."""
    found = np.ones(STEPS, bool)
    found[np.cumsum(lengths) - 1] = False
    return found


def _at(*steps: int) -> np.ndarray:
    return np.isin(np.arange(STEPS), steps)


HELD = np.stack([_steps(16), _steps(8, 8), _steps(4, 4, 4, 4), _steps(12, 4)])  # of bass and chords
KICK = np.stack([_at(0, 8), _at(0, 8, 10), _at(0, 6, 8)])
SNARE = _at(4, 12)
HAT = np.stack([_at(*range(0, 16, 2)), _at(*range(0, 16, 4))])
DRUMS = {"kick": 36, "snare": 38, "hat": 42}  # of General MIDI


def draw(n: int, bars: int = 2, key: int = 0, seed: int = 0) -> np.ndarray:
    """Phrases bool[n, bars, 16, 24, 3] in the major key on pitch class `key`; phrase i does not depend on n.

    A bar has one of the six triads on the first degrees, another than the bar before: chords have its three
    pitch classes in the octave from 48, the bass has its root from 36, or the fifth in the second half. Notes
    of both last three steps or more; drums are struck on quavers.
    """
    u = np.random.default_rng(seed).random((n, 3 + 4 * bars))

    def chosen(columns, of: int) -> np.ndarray:
        return (u[:, columns] * of).astype(int)

    of_bars = lambda i: slice(3 + i * bars, 3 + (i + 1) * bars)  # noqa: E731
    moves = chosen(of_bars(0), 5) + 1
    moves[:, 0] = chosen(0, 6)
    degree = np.cumsum(moves, 1) % 6
    triad = (np.array(MAJOR)[(degree[..., None] + np.array([0, 2, 4])) % 7] + key) % 12  # [n, bars, 3]
    found = np.zeros((n, bars, STEPS, PITCHES, len(NAMES)), bool)
    drums, bass, chords = np.moveaxis(found, -1, 0)
    for name, struck in (
        ("kick", KICK[chosen(1, len(KICK))]),
        ("snare", np.broadcast_to(SNARE, (n, STEPS))),
        ("hat", HAT[chosen(2, len(HAT))]),
    ):
        drums[..., DRUMS[name] - LOW] = struck[:, None]
    i, t, s = np.ogrid[:n, :bars, :STEPS]
    fifth = chosen(of_bars(1), 2)[..., None] * (s >= STEPS // 2)
    root = np.take_along_axis(triad, np.broadcast_to(2 * fifth, (n, bars, STEPS)), -1)
    bass[i, t, s, root] = HELD[chosen(of_bars(2), len(HELD))]
    for voice in range(3):
        chords[i, t, s, 12 + triad[..., voice, None]] = HELD[chosen(of_bars(3), len(HELD))]
    return found
