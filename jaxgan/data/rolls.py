"""Phrases of pieces of music, as piano rolls of semiquavers."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan import memory
from jaxgan.config import InputError
from jaxgan.data import files, midi
from jaxgan.data.midi import BAR, Note

VOICES = ("soprano", "alto", "tenor", "bass")
SCALE = (0, 2, 4, 5, 7, 9, 11)  # of C major and A minor


class Pieces(NamedTuple):
    """Pieces that were read, each from a barline on."""

    rolls: list[np.ndarray]  # bool[T, 128, M] each
    tracks: tuple[str, ...]
    scale: tuple[int, ...] | None  # pitch classes of the one key that they are in
    told: list[str]  # what was left out or changed


def _key(path: Path, text: str) -> tuple[int, str]:
    """The tonic's pitch class and the mode of "7:minor"."""
    text = str(text)
    tonic, _, mode = text.partition(":")
    if not tonic.isdecimal() or int(tonic) > 11 or mode not in ("major", "minor"):
        raise InputError(f"{path}: a key is as 7:minor, the tonic's pitch class and the mode, not {text!r}")
    return int(tonic), mode


def shift(tonic: int, mode: str) -> int:
    """By how many semitones a piece gets to C major or A minor: -5 to 6."""
    return ((0 if mode == "major" else 9) - tonic + 5) % 12 - 5


def _checked(path: Path, arrays: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`pitch`, `onset` and `start` of a file of voices."""
    if missing := {"pitch", "onset", "start"} - set(arrays):
        raise InputError(f"{path} has no array {min(missing)!r}, but {', '.join(arrays) or 'nothing'}")
    pitch, onset, start = (np.asarray(arrays[name]) for name in ("pitch", "onset", "start"))
    if pitch.dtype != np.uint8 or pitch.ndim != 2 or not pitch.size or pitch.max() >= midi.ALL:
        raise InputError(f"{path}: 'pitch' is {pitch.dtype}{list(pitch.shape)}; not MIDI numbers uint8[V, T]")
    if onset.dtype != bool or onset.shape != pitch.shape:
        raise InputError(f"{path}: 'onset' is {onset.dtype}{list(onset.shape)}; not bool, one a 'pitch'")
    whole = start.ndim == 1 and start.dtype.kind in "iu" and len(start) > 1
    if not whole or start[0] != 0 or start[-1] != pitch.shape[1] or (np.diff(start.astype(int)) < 1).any():
        raise InputError(f"{path}: 'start' does not rise from 0 to {pitch.shape[1]}, where pieces start")
    return pitch, onset, start


def _notes(pitch: np.ndarray, onset: np.ndarray) -> list[Note]:
    """Of voices [V, T]: a note ends where the pitch changes or one begins."""
    found = []
    for track, (line, struck) in enumerate(zip(pitch, onset, strict=True)):
        starts = np.flatnonzero(struck | (np.diff(line, prepend=line[:1]) != 0) | (np.arange(len(line)) == 0))
        for start, stop in zip(starts, [*starts[1:], len(line)], strict=True):
            if line[start]:
                found.append(Note(track, int(line[start]), int(start), int(stop)))
    return found


def of_voices(path: Path, arrays: dict, transpose: bool) -> Pieces:
    """Pieces of voices: `pitch` uint8[V, T], the MIDI number in each semiquaver or 0, `onset` bool[V, T],
    `start` [N + 1], piece i being `[:, start[i]:start[i + 1]]`, and `key`, text such as "7:minor".

    Such a file has no barlines: a piece's are taken to lie so that its last note of the last voice is struck
    on the first or the third beat. Pieces that are not of whole bars of 4/4 together are left out.

    Raises:
      InputError: if they are something else.
    """
    pitch, onset, start = _checked(path, arrays)
    keys = arrays.get("key")
    transpose = transpose and keys is not None
    if transpose and len(keys) != len(start) - 1:
        raise InputError(f"{path}: 'key' has {len(keys)} entries, of {len(start) - 1} pieces")
    memory.require(pitch.size * midi.ALL, f"piano rolls of {pitch.shape[1]} steps")
    rolls, odd = [], 0
    for i, (first, last) in enumerate(zip(start[:-1], start[1:], strict=True)):
        own, struck = pitch[:, first:last].astype(int), onset[:, first:last]
        if (last - first) % BAR or not struck[-1].any():
            odd += 1
            continue
        if transpose:
            own = np.where(own > 0, own + shift(*_key(path, keys[i])), 0)
            if own.min() < 0 or own.max() >= midi.ALL:
                raise InputError(f"{path}: piece {i + 1} leaves MIDI's range in the one key; --no-transpose")
        upbeat = int(np.flatnonzero(struck[-1])[-1]) % (BAR // 2)
        roll = midi.lay(_notes(own, struck), own.shape[1], len(own))
        rolls.append(roll[upbeat : upbeat + (len(roll) - upbeat) // BAR * BAR])
    told = [f"{odd} of {len(start) - 1} pieces are not of whole bars of 4/4 and left out"] * bool(odd)
    told.append("barlines lie so that a piece's last note is struck on beat 1 or 3; upbeats are left out")
    if transpose:
        told.append("pieces are transposed to C major or A minor (--no-transpose: as they are)")
    tracks = VOICES if len(pitch) == 4 else tuple(f"voice_{i + 1}" for i in range(len(pitch)))
    return Pieces(rolls, tracks, SCALE if transpose else None, told)


def of_folder(path: Path) -> Pieces:
    """Pieces of the .mid files of a folder. Of these the most common number of parts is taken, and files of
    other numbers, or not in 4/4, are left out.

    Raises:
      InputError: if there are none, or one cannot be read.
    """
    found = sorted(path.glob("*.mid"), key=files.natural) if path.is_dir() else []
    if not found:
        raise InputError(f"--data folder:{path} " + ("has no .mid file" if path.is_dir() else "is no folder"))
    read = [midi.read(file) for file in found]
    fit = [parts for parts in read if parts.common and parts.parts]
    if not fit:
        raise InputError(f"--data folder:{path}: no file of {len(found)} has notes in 4/4")
    (drums, parts), _ = Counter((x.drums, x.parts) for x in fit).most_common(1)[0]
    same = [x for x in fit if (x.drums, x.parts) == (drums, parts)]
    rolls = []
    for x in same:
        last = max(note.stop for note in x.notes)
        rolls.append(midi.lay(x.notes, -(-last // BAR) * BAR, parts))
    told = []
    if odd := len(found) - len(fit):
        told.append(f"{odd} of {len(found)} files have no notes, or are not in 4/4, and are left out")
    if other := len(fit) - len(same):
        told.append(
            f"{other} of {len(fit)} files have not the {parts} parts that most have, and are left out"
        )
    tracks = ("drums",) * drums + tuple(f"part_{i + 1}" for i in range(parts - drums))
    return Pieces(rolls, tracks, None, told)


class Phrases(NamedTuple):
    """Phrases cut from pieces."""

    trained: np.ndarray  # bool[N, bars, 16, P, M]
    held: np.ndarray  # of other pieces, as the former
    low: int  # the lowest pitch's MIDI number, a C
    told: list[str]


def cut(pieces: Pieces, bars: int, name: str, seed: int = 0) -> Phrases:
    """Phrases of so many bars, one from each barline on, of four in five pieces, and of the others apart.
    Pitches are the whole octaves that the pieces reach; silent phrases are left out.

    Raises:
      InputError: if there are none of either.
    """
    reach = np.flatnonzero(np.logical_or.reduce([roll.any((0, 2)) for roll in pieces.rolls] or [[False]]))
    if not len(reach):
        raise InputError(f"{name} has no notes")
    low, high = reach[0] // 12 * 12, min(reach[-1] // 12 * 12 + 12, midi.ALL)
    high += -(high - low) % 12
    numbers = np.random.default_rng(seed).permutation(len(pieces.rolls))
    apart = set(numbers[: max(1, len(numbers) // 5)].tolist())
    sides, silent, short = ([], []), 0, 0
    for i, roll in enumerate(pieces.rolls):
        roll = np.pad(roll, [(0, 0), (0, max(0, high - midi.ALL)), (0, 0)])[:, low:high]
        measures = roll.reshape(-1, BAR, *roll.shape[1:])
        short += len(measures) < bars
        for first in range(len(measures) - bars + 1):
            phrase = measures[first : first + bars]
            if phrase.any():
                sides[i in apart].append(phrase)
            else:
                silent += 1
    if not all(sides):
        raise InputError(
            f"{name}: {len(pieces.rolls)} pieces have {len(sides[0])} phrases of {bars} bars to train on, "
            f"and {len(sides[1])} to be held out; at least one of each is needed"
        )
    told = [*pieces.told]
    told += [f"{short} of {len(pieces.rolls)} pieces are shorter than {bars} bars"] * bool(short)
    told += [f"{silent} phrases are silent and left out"] * bool(silent)
    memory.require(sum(map(len, sides)) * sides[0][0].size, f"phrases of {name}")
    return Phrases(np.stack(sides[0]), np.stack(sides[1]), int(low), told)
