"""Notes, piano rolls and MIDI files."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan import memory
from jaxgan.config import InputError

BEAT = 4  # steps of a crotchet
BAR = 4 * BEAT  # of a bar of 4/4
ALL = 128  # pitches
DRUMS = 9  # the channel of drums, counted from 0
TEMPO = 120  # crotchets a minute
TICKS = 480  # of a crotchet
PROGRAMS = {"bass": 33}  # of General MIDI, counted from 0; others are a piano
LONGEST = 2**20  # steps of a file


class Note(NamedTuple):
    """A note from step `start` to before `stop`."""

    track: int
    pitch: int
    start: int
    stop: int


def lay(notes: Iterable[Note], length: int, tracks: int) -> np.ndarray:
    """The roll bool[length, 128, tracks] of notes. Where one is struck again while it sounds, or just as it
    ends, the step before is silent, if it is not the note's only one.

    Raises:
      InputError: if there is no room for it.
    """
    memory.require(length * ALL * tracks, f"a piano roll of {length} steps")
    roll = np.zeros((length, ALL, tracks), bool)
    for track, pitch, start, stop in sorted(notes, key=lambda note: note.start):
        line = roll[:, pitch, track]
        if start > 1 and line[start - 1] and line[start - 2]:
            line[start - 1] = False
        line[start:stop] = True
    return roll


def notes_of(roll) -> list[Note]:
    """The notes of a roll bool[T, P, M], by their start; a pitch counts from the roll's lowest."""
    lines = np.moveaxis(np.asarray(roll, bool), 0, -1)  # [P, M, T]
    edges = np.diff(np.pad(lines.astype(np.int8), [(0, 0), (0, 0), (1, 1)]), axis=-1)
    (pitch, track, start), (_, _, stop) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    found = map(Note, track.tolist(), pitch.tolist(), start.tolist(), stop.tolist())
    return sorted(found, key=lambda note: (note.start, note.track, note.pitch))


def joined(rolls, rest: int = BAR) -> np.ndarray:
    """Phrases bool[n, bars, steps, P, M] one after another, with steps of silence between: bool[T, P, M]."""
    n, bars, steps, *some = np.shape(rolls)
    lines = np.pad(np.reshape(rolls, (n, bars * steps, *some)), [(0, 0), (0, rest), (0, 0), (0, 0)])
    return lines.reshape(-1, *some)[: n * (bars * steps + rest) - rest]


def _mido(what: str):
    """The library.

    Raises:
      InputError: if it is not there.
    """
    try:
        import mido  # an extra, and only for these files
    except ImportError:
        raise InputError(f"{what} needs mido: pip install 'jaxgan[music]'") from None
    return mido


def write(path: str | Path, roll, low: int, names: tuple[str, ...]) -> None:
    """Writes a roll bool[T, P, M] as a MIDI file, a track each, at 120 crotchets a minute.

    Args:
      low: the lowest pitch's MIDI number.
      names: of the tracks; one called "drums" goes to the channel of drums.

    Raises:
      InputError: if mido is not installed.
    """
    mido = _mido(str(path))
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    head = mido.MidiTrack([
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(TEMPO)),
        mido.MetaMessage("time_signature", numerator=4, denominator=4),
    ])  # fmt: skip
    file.tracks.append(head)
    notes, channels = notes_of(roll), [c for c in range(16) if c != DRUMS]
    for i, name in enumerate(names):
        channel = DRUMS if name == "drums" else channels[i % len(channels)]
        track = mido.MidiTrack([
            mido.MetaMessage("track_name", name=name),
            mido.Message("program_change", channel=channel, program=PROGRAMS.get(name, 0)),
        ])  # fmt: skip
        events = [(end, on, note.pitch) for note in notes if note.track == i
                  for end, on in ((note.start, True), (note.stop, False))]  # fmt: skip
        now = 0
        for step, on, pitch in sorted(events):  # at one step what ends comes first
            kind, wait = ("note_on" if on else "note_off"), (step - now) * TICKS // BEAT
            track.append(mido.Message(kind, channel=channel, note=low + pitch, velocity=80, time=wait))
            now = step
        file.tracks.append(track)
    file.save(str(path))


class Parts(NamedTuple):
    """A MIDI file: its parts by track and channel, drums first."""

    notes: list[Note]
    drums: bool  # whether the first part is drums
    parts: int
    common: bool  # whether it is in 4/4 throughout


def read(path: Path) -> Parts:
    """The notes of a MIDI file, to the nearest semiquaver; each lasts one at least.

    Raises:
      InputError: if mido is not installed, or it is no such file.
    """
    mido = _mido(str(path))
    try:
        file = mido.MidiFile(str(path))
        ticks = file.ticks_per_beat
        if not 0 < ticks < 2**15:
            raise ValueError("its time is not in crotchets")
        found, common = {}, True
        for i, track in enumerate(file.tracks):
            now, sounding = 0, {}
            for message in track:
                now += message.time
                if message.type == "time_signature":
                    common &= (message.numerator, message.denominator) == (4, 4)
                if message.type not in ("note_on", "note_off"):
                    continue
                step, part = round(now * BEAT / ticks), (message.channel != DRUMS, i, message.channel)
                if step > LONGEST:
                    raise ValueError("it is too long")
                place = part, message.note
                if (start := sounding.pop(place, None)) is not None:
                    found.setdefault(part, []).append((message.note, start, max(step, start + 1)))
                if message.type == "note_on" and message.velocity:
                    sounding[place] = step
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError) as e:
        raise InputError(f"{path} is no MIDI file that can be read ({str(e) or type(e).__name__})") from None
    parts = sorted(found)
    notes = [Note(track, *note) for track, part in enumerate(parts) for note in found[part]]
    return Parts(notes, bool(parts) and not parts[0][0], len(parts), common)
