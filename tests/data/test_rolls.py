"""Made-up music, voices and MIDI files as piano rolls, and their sound."""

import io
import sys

import mido
import numpy as np
import pytest
from scipy.io import wavfile

from jaxgan.config import InputError
from jaxgan.data import band, midi, rolls, sound
from jaxgan.data.midi import Note

LOW = 36


@pytest.fixture(scope="module")
def tune():
    return band.draw(40, bars=3)


def _classes(bar):
    """Pitch classes of each step, as sets."""
    return [set(np.flatnonzero(step) % 12) for step in bar]


def test_made_up_music_is_in_its_key_and_its_tracks_agree(tune):
    assert tune.shape == (40, 3, 16, 24, 3)
    found = [np.flatnonzero(tune[..., i].any((0, 1, 2))) for i in (1, 2)]
    assert all(set(x % 12) == set(band.MAJOR) for x in found)
    assert found[0].max() < 12 <= found[1].min()
    for phrase in tune:
        before = None
        for bar in phrase:
            chord, bass = (set().union(*_classes(bar[..., i])) for i in (2, 1))
            shapes = {tuple(sorted((note - root) % 12 for note in chord)) for root in chord}
            assert shapes & {(0, 4, 7), (0, 3, 7)}  # a major or a minor triad
            assert bass <= chord
            assert chord != before
            before = chord
            assert all(len(x) in (0, 3) for x in _classes(bar[..., 2]))


def test_made_up_notes_are_long_and_drums_on_quavers(tune):
    lines = tune.reshape(40, 48, 24, 3)
    lengths = [n.stop - n.start for one in lines for n in midi.notes_of(one) if n.track > 0]
    assert min(lengths) == 3
    assert max(lengths) == 15
    assert not tune[:, :, 1::2, :, 0].any()
    assert tune[:, :, 0, 0, 0].all()  # the bass drum


def test_a_phrase_depends_on_neither_its_number_nor_the_key(tune):
    np.testing.assert_array_equal(band.draw(7, bars=3), tune[:7])
    other = band.draw(7, bars=3, key=2)
    np.testing.assert_array_equal(other[..., 0], tune[:7, ..., 0])
    assert set(np.flatnonzero(other[..., 2].any((0, 1, 2))) % 12) == {(x + 2) % 12 for x in band.MAJOR}
    assert not np.array_equal(band.draw(7, bars=3, seed=1), tune[:7])


def test_notes_of_a_roll_and_back():
    roll = np.random.default_rng(0).uniform(size=(40, 128, 2)) < 0.4
    notes = midi.notes_of(roll)
    np.testing.assert_array_equal(midi.lay(notes, 40, 2), roll)
    assert sum(note.stop - note.start for note in notes) == roll.sum()
    assert notes == sorted(notes, key=lambda note: note.start)


def test_a_note_that_is_struck_again_is_heard_as_two():
    """By a step of silence before it, where the first has more than one."""
    found = midi.lay([Note(0, 60, 0, 4), Note(0, 60, 4, 8), Note(0, 62, 0, 1), Note(0, 62, 1, 3)], 8, 1)
    assert found[:, 60, 0].astype(int).tolist() == [1, 1, 1, 0, 1, 1, 1, 1]
    assert found[:, 62, 0].astype(int).tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    short = midi.lay([Note(0, 64, 2, 3), Note(0, 64, 3, 5)], 8, 1)
    assert short[:, 64, 0].astype(int).tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    later = midi.lay([Note(0, 60, 0, 4), Note(0, 60, 5, 8), Note(0, 61, 4, 5)], 8, 1)
    assert later[:4, 60, 0].all()


def test_a_roll_to_midi_and_back(tune, tmp_path):
    """Exactly, with drums on their channel; phrases are a bar of silence apart."""
    whole = midi.joined(tune[:3])
    assert whole.shape == (3 * 48 + 2 * 16, 24, 3)
    np.testing.assert_array_equal(whole[64:112], tune[1].reshape(48, 24, 3))
    assert not whole[48:64].any()
    midi.write(tmp_path / "x.mid", whole, LOW, band.NAMES)
    parts = midi.read(tmp_path / "x.mid")
    assert parts[1:] == (True, 3, True)
    back = midi.lay(parts.notes, len(whole), 3)
    np.testing.assert_array_equal(back[:, LOW : LOW + 24], whole)
    file = mido.MidiFile(tmp_path / "x.mid")
    channels = [{m.channel for m in track if m.type == "note_on"} for track in file.tracks]
    assert channels == [set(), {9}, {1}, {2}]
    assert file.length == pytest.approx(len(whole) * 0.125, abs=0.5)


def test_voices_become_pieces(tmp_path):
    """Of a D minor piece of two bars after an upbeat, transposed by a fourth downwards; one of an odd length
    is left out."""
    pitch = np.zeros((2, 42), np.uint8)
    pitch[0, :32], pitch[1, :32] = 65, 50
    pitch[1, 28:32] = 62
    onset = np.zeros((2, 42), bool)
    onset[:, [0, 4, 32]], onset[0, 12], onset[1, 28] = True, True, True
    arrays = {"pitch": pitch, "onset": onset, "start": np.array([0, 32, 42]),
              "key": np.array(["2:minor", "0:major"])}  # fmt: skip
    found = rolls.of_voices(tmp_path / "x.npz", arrays, True)
    assert len(found.rolls) == 1
    (roll,) = found.rolls
    assert roll.shape == (16, 128, 2)  # 28 % 8 = 4 steps of an upbeat, and 12 at the end
    assert np.flatnonzero(roll[..., 0].any(0)).tolist() == [60]
    assert np.flatnonzero(~roll[:, 60, 0]).tolist() == [7]  # before it is struck again
    assert np.flatnonzero(roll[..., 1].any(0)).tolist() == [45]
    assert found.told[0] == "1 of 2 pieces are not of whole bars of 4/4 and left out"
    assert found.scale == rolls.SCALE
    plain = rolls.of_voices(tmp_path / "x.npz", arrays, False)
    assert np.flatnonzero(plain.rolls[0][..., 0].any(0)).tolist() == [65]
    assert plain.scale is None
    assert found.tracks == ("voice_1", "voice_2")


@pytest.mark.parametrize(("tonic", "mode", "by"), [(0, "major", 0), (7, "major", 5), (6, "major", 6),
                                                  (5, "major", -5), (9, "minor", 0), (2, "minor", -5),
                                                  (3, "minor", 6)])  # fmt: skip
def test_shifts_to_the_one_key(tonic, mode, by):
    assert rolls.shift(tonic, mode) == by
    assert (tonic + by) % 12 == (0 if mode == "major" else 9)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"onset": None}, "has no array 'onset', but pitch, start"),
        ({"pitch": np.zeros((2, 16), np.int32)}, r"'pitch' is int32\[2, 16\]; not MIDI numbers"),
        ({"pitch": np.full((2, 16), 200, np.uint8)}, "not MIDI numbers"),
        ({"onset": np.ones((2, 8), bool)}, r"'onset' is bool\[2, 8\]"),
        ({"start": np.array([0, 12])}, "'start' does not rise from 0 to 16"),
        ({"start": np.array([0, 8, 4, 16])}, "'start' does not rise"),
        ({"key": np.array(["7:dorian"])}, "a key is as 7:minor, .* not '7:dorian'"),
        ({"key": np.array(["12:minor"])}, "a key is as 7:minor"),
        ({"key": np.array(["7:minor", "8:minor"])}, "'key' has 2 entries, of 1 pieces"),
        ({"pitch": np.full((2, 16), 125, np.uint8), "key": np.array(["7:major"])}, "leaves MIDI's range"),
    ],
)
def test_other_arrays_are_no_voices(tmp_path, changes, told):
    arrays = {"pitch": np.full((2, 16), 60, np.uint8), "onset": np.ones((2, 16), bool)}
    arrays |= {"start": np.array([0, 16])} | changes
    with pytest.raises(InputError, match=told):
        rolls.of_voices(tmp_path / "x.npz", {k: v for k, v in arrays.items() if v is not None}, True)


def _pieces(n, bars, pitch=60):
    whole = [np.zeros((16 * bars, 128, 1), bool) for _ in range(n)]
    for i, roll in enumerate(whole):
        roll[:, pitch + i % 3] = True
        roll[i, pitch - 3] = True  # by which a piece is known
    return rolls.Pieces(whole, ("voice_1",), None, [])


def test_phrases_are_cut_on_barlines_and_pieces_held_out_whole():
    pieces = _pieces(10, 3, pitch=50)
    found = rolls.cut(pieces, 2, "x")
    assert found.trained.shape == (16, 2, 16, 24, 1)  # octaves from C, 36 to 59
    assert found.held.shape == (4, 2, 16, 24, 1)
    assert found.low == 36
    known = {
        roll[:, 36:60].tobytes() for i in range(10) for roll in (pieces.rolls[i][:32], pieces.rolls[i][16:])
    }
    every = np.concatenate([found.trained, found.held]).reshape(20, 32, 24, 1)
    assert {x.tobytes() for x in every} == known
    first = {x[0].tobytes() for x in every[:16:2]}, {x[0].tobytes() for x in every[16::2]}
    assert first[0]
    markers = [{int(np.flatnonzero(x[:, 11, 0])[0]) for x in part[::2]} for part in (every[:16], every[16:])]
    assert sorted(markers[0] | markers[1]) == list(range(10))
    assert not markers[0] & markers[1]


def test_what_is_left_out_of_phrases_is_told():
    pieces = _pieces(10, 2)
    pieces.rolls[:] = [np.pad(x, [(0, 32), (0, 0), (0, 0)]) for x in pieces.rolls]
    pieces.rolls.append(pieces.rolls[0][:16])
    told = rolls.cut(pieces, 2, "x").told
    assert told == ["1 of 11 pieces are shorter than 2 bars", "10 phrases are silent and left out"]
    with pytest.raises(
        InputError, match="x: 1 pieces have 0 phrases of 2 bars to train on, and 1 to be held"
    ):
        rolls.cut(_pieces(1, 2), 2, "x")
    with pytest.raises(InputError, match="x has no notes"):
        rolls.cut(rolls.Pieces([np.zeros((16, 128, 1), bool)], ("a",), None, []), 1, "x")


def test_pitches_to_the_end_of_midi_are_whole_octaves():
    found = rolls.cut(_pieces(5, 1, pitch=125), 1, "x")
    assert found.trained.shape[3] == 12
    assert found.low == 120
    assert found.trained[..., 5, 0].any()


def test_a_folder_of_midi_files(tune, tmp_path):
    """Those of another number of parts, in another time or without notes are left out, and told."""
    for i in range(3):
        midi.write(tmp_path / f"{i}.mid", midi.joined(tune[i : i + 1]), LOW, band.NAMES)
    midi.write(tmp_path / "3.mid", midi.joined(tune[:1, ..., 1:]), LOW, band.NAMES[1:])
    midi.write(tmp_path / "4.mid", midi.joined(np.zeros_like(tune[:1])), LOW, band.NAMES)
    waltz = mido.MidiFile(tmp_path / "0.mid")
    waltz.tracks[0][1] = mido.MetaMessage("time_signature", numerator=3, denominator=4)
    waltz.save(tmp_path / "5.mid")
    found = rolls.of_folder(tmp_path)
    assert found.tracks == ("drums", "part_1", "part_2")
    assert len(found.rolls) == 3
    for i, roll in enumerate(found.rolls):
        np.testing.assert_array_equal(roll[:, LOW : LOW + 24], tune[i].reshape(48, 24, 3))
    assert found.told == [
        "2 of 6 files have no notes, or are not in 4/4, and are left out",
        "1 of 4 files have not the 3 parts that most have, and are left out",
    ]


def test_what_is_no_midi_is_told(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="has no .mid file"):
        rolls.of_folder(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        rolls.of_folder(tmp_path / "none")
    midi.write(tmp_path / "b.mid", np.zeros((16, 12, 1), bool), LOW, ("a",))
    with pytest.raises(InputError, match="no file of 1 has notes in 4/4"):
        rolls.of_folder(tmp_path)
    for content in (b"", b"MThd", b"no music at all", (tmp_path / "b.mid").read_bytes()[:40]):
        (tmp_path / "a.mid").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.mid is no MIDI file that can be read"):
            rolls.of_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "mido", None)
    for of in (
        lambda: midi.read(tmp_path / "b.mid"),
        lambda: midi.write("x.mid", np.zeros((4, 12, 1)), 0, "a"),
    ):
        with pytest.raises(InputError, match=r"\.mid needs mido: pip install 'jaxgan\[music\]'"):
            of()


def test_a_tone_has_its_frequency():
    """440 Hz of MIDI's 69, an octave above twice as many; and it ends with the note."""
    roll = np.zeros((16, 24, 1), bool)
    roll[:8, 9] = True
    for low, hertz in ((60, 440), (72, 880)):
        wave = sound.wave(roll, low, ("voice",), rate=8000)
        assert len(wave) == 16 * 1000
        spectrum = np.abs(np.fft.rfft(wave[:8000]))
        assert spectrum.argmax() == hertz  # in bins of 1 Hz
        assert not wave[8000:].any()


def test_drums_are_noise_and_short():
    roll = np.ones((8, 12, 1), bool)
    roll[:, :6] = roll[:, 7:] = False
    tone, drum = (sound.wave(roll, 36, (name,)) for name in ("voice", "drums"))
    late = [np.square(x[4000:]).sum() / np.square(x).sum() for x in (tone, drum)]
    assert late[0] > 100 * late[1]


def test_sound_as_a_file():
    wave = np.array([0, 1, -1, 0.5])
    rate, found = wavfile.read(io.BytesIO(sound.wav(wave, 8000)))
    assert rate == 8000
    np.testing.assert_allclose((found - 127.5) / 127, wave, atol=0.5 / 127 + 1e-9)
    assert sound.wave(np.zeros((4, 12, 1), bool), 0, ("a",)).tolist() == [0.0] * 4000
