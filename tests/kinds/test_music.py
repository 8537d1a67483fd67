"""Music: what is read, scored, shown and written."""

from dataclasses import dataclass

import mido
import numpy as np
import pytest
from PIL import Image

from jaxgan.config import InputError
from jaxgan.data import Dataset, band, midi
from jaxgan.kinds import Made
from jaxgan.kinds.music import Options, by_track, decode, figures, music, of_real, pictures
from jaxgan.metrics.music import shuffled
from jaxgan.metrics.score import Sampling


@dataclass(frozen=True)
class Config:
    data: str
    bars: int = 2
    transpose: bool = True


def _load(spec, **options):
    return music.load(Config(spec, **options), None)


def _made(rolls):
    return Made(rolls, None, None, 7)


@pytest.fixture(scope="module")
def data():
    return _load("band:phrases=400")


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Ten made-up pieces of four bars as two voices, in D."""
    tune = band.draw(10, bars=4)[..., 1:]
    line = [x.argmax(3) * x.any(3) for x in np.moveaxis(tune.reshape(10, 64, 1, 24, 2), -1, 0)]
    pitch = np.stack([x.ravel() for x in line]).astype(np.uint8)
    pitch = np.where(pitch > 0, pitch + 50, 0).astype(np.uint8)
    path = tmp_path_factory.mktemp("voices") / "x.npz"
    start = np.arange(11) * 64
    onset = (pitch > 0) & (np.diff(pitch, axis=1, prepend=0) != 0)
    np.savez(path, pitch=pitch, onset=onset, start=start, key=np.array(["2:major"] * 10))
    return path


def test_sets_say_what_they_are(data):
    assert data["roll"].shape == (400, 2, 16, 24, 3)
    assert data.held_out["roll"].shape == (100, 2, 16, 24, 3)
    assert data["roll"].dtype == bool
    assert data.facts == {"bars": 2, "bar": 16, "pitches": 24, "tracks": ("drums", "bass", "chords"),
                          "low": 36, "scale": (0, 2, 4, 5, 7, 9, 11)}  # fmt: skip
    music.check(data)
    assert _load("band:phrases=8,key=2", bars=3).facts["scale"] == (1, 2, 4, 6, 7, 9, 11)


def test_voices_are_read(voices):
    found = _load(f"npz:{voices}")
    assert found["roll"].shape[1:3] == (2, 16)
    assert found.facts["tracks"] == ("voice_1", "voice_2")
    held = len(found.held_out["roll"])
    assert 2 * 2 <= held <= 2 * 3  # two pieces of three or, after an upbeat, two
    assert len(found["roll"]) >= 8 * 2
    assert of_real(found)["in_scale"] == 1
    assert f"{held} phrases are of pieces that are held out: scores are beside these" in found.remarks
    assert "in_scale" not in of_real(_load(f"npz:{voices}", transpose=False))


def test_real_music_is_as_it_was_made(data):
    """And tracks of different phrases are not, in what tells that they belong together."""
    real = of_real(data)
    plain = {"empty_bars": 0, "qualified_notes": 1, "drum_pattern": 1, "in_scale": 1}
    assert {name: real[name] for name in plain} == plain
    assert 2 <= real["used_pitch_classes"] <= 2.5  # of chords three, of the bass one or two
    assert real["shuffled_tonal_distance"] > real["tonal_distance"] + 0.3
    assert real["shuffled_harmony_jsd"] > 0.2 > real["harmony_jsd"] > 0
    noise = np.random.default_rng(0).uniform(size=data["roll"].shape) < 0.5
    found = figures(data, data.held_out, noise)
    assert found["in_scale"] == pytest.approx(7 / 12, abs=0.01)
    assert found["drum_pattern"] == pytest.approx(0.5, abs=0.01)
    assert found["harmony_jsd"] > 0.99
    assert found["copied_bars"] == 0
    assert figures(data, data.held_out, data["roll"])["copied_bars"] == 1


def test_each_track_has_its_figures(data):
    """Drums have no pitch, and silence no figure but its empty bars."""
    of = data["roll"][:50].copy()
    of[:25, ..., 1] = False
    found = by_track(data.facts, of)
    assert found["empty_bars"] == {"drums": 0, "bass": 0.5, "chords": 0}
    assert set(found["used_pitch_classes"]) == {"bass", "chords"}
    assert set(found["tonal_distance"]) == {"bass-chords"}
    assert found["drum_pattern"] == {"drums": 1}
    silent = figures(data, data.held_out, np.zeros_like(of))
    assert silent == {"harmony_jsd": pytest.approx(1), "empty_bars": 1}


def test_scores_have_intervals_and_remarks_what_real_music_has(data):
    judge = music.judge(data, options=Options(groups=5), n=100)
    made = _made(shuffled(data["roll"][:100]))
    found = {score.name: score for score in judge.scores(made, Sampling("live"))}
    assert list(found) == list(judge.watch(made))
    assert next(iter(found)) == "harmony_jsd"
    low, high = found["tonal_distance"].interval
    assert low < found["tonal_distance"].value < high
    assert found["harmony_jsd"].protocol.n_reference == 100
    assert found["copied_bars"].protocol.n_reference == 400
    assert found["in_scale"].protocol.n_reference == 0
    known, lines = judge.remarks(made, [])
    assert known["tonal_distance_of_real"] < found["tonal_distance"].value
    assert known["tonal_distance_of_shuffled"] == pytest.approx(found["tonal_distance"].value, abs=0.15)
    assert len(lines) == 5
    assert "bass 1.000 (1.000)" in lines[-1]
    with pytest.raises(InputError, match="--groups 1"):
        music.judge(data, options=Options(groups=1))


def test_a_silent_generator_has_scores(data):
    found = music.judge(data).scores(_made(np.zeros_like(data["roll"][:60])), Sampling("live"))
    assert [score.name for score in found] == ["harmony_jsd", "empty_bars"]


def test_a_note_sounds_above_0():
    np.testing.assert_array_equal(decode(np.array([-1, -0.1, 0, 0.1])), [False, False, False, True])
    np.testing.assert_array_equal(decode(np.array([True, False])), [True, False])


def test_pictures_have_high_pitches_above_and_a_colour_a_track():
    rolls = np.zeros((1, 2, 4, 12, 2), bool)
    rolls[0, 0, 1, 0, 0] = rolls[0, 1, 0, 11, 1] = True
    (picture,) = pictures(rolls)
    assert picture.shape == (12, 8, 3)
    ground = picture[5, 0], picture[5, 7]
    assert not np.array_equal(*ground)
    one, other = picture[11, 1], picture[0, 4]
    assert len({tuple(x) for x in (*ground, one, other)}) == 4
    changed = (picture != np.where(np.arange(8)[None, :, None] < 4, ground[0], ground[1])).any(-1)
    assert sorted(zip(*np.nonzero(changed), strict=True)) == [(0, 4), (11, 1)]


def test_files_hold_the_samples(data, tmp_path):
    made = _made(data["roll"][:3])
    for suffix, write in music.write.items():
        write(tmp_path / f"x{suffix}", made, data.facts, None)
    with np.load(tmp_path / "x.npz") as saved:
        np.testing.assert_array_equal(saved["roll"], made.samples)
        assert saved["tracks"].tolist() == ["drums", "bass", "chords"]
        assert saved["low"] == 36
    back = midi.read(tmp_path / "x.mid")
    roll = midi.lay(back.notes, 3 * 32 + 2 * 16, 3)[:, 36:60]
    np.testing.assert_array_equal(roll, midi.joined(made.samples))
    assert mido.MidiFile(tmp_path / "x.mid").tracks[2].name == "bass"
    assert (tmp_path / "x.wav").read_bytes()[:4] == b"RIFF"
    with Image.open(tmp_path / "x.png") as image:
        assert image.width > 600


def test_neighbours_are_the_nearest_phrases(data):
    """Beside a phrase that is changed a little stands the phrase."""
    samples = data["roll"][:4].copy()
    samples[:, 0, 1, 23, 0] ^= True
    canvas = music.finals["neighbours"](data, _made(samples), [])
    same = music.finals["neighbours"](data, _made(data["roll"][:4]), [])
    assert canvas.shape == same.shape
    assert 0 < (canvas != same).any(-1).sum() <= 4
    assert np.array_equal(music.show(data, _made(samples)), music.show(data, _made(samples)))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("bond", "'bond' is not one of band, npz:PATH, folder:PATH; did you mean 'band'"),
        ("npz:", "'npz:' is not one of"),
        ("npz:none.npz", "npz:none.npz is not a file"),
        ("folder:none", "folder:none is no folder"),
        ("band:phrase=5", "'phrase' is not one of phrases, key, seed; did you mean 'phrases'"),
        ("band:phrases=4", "phrases are 8 or more"),
        ("band:key=12", "key is in 0 to 11"),
        ("band:seed=-1", "seed 0 or more"),
    ],
)
def test_bad_names_are_told(spec, told):
    with pytest.raises(InputError, match=told):
        _load(spec)


def test_other_data_are_none_of_this_kind(data):
    for arrays, more, told in [
        ({"token": np.zeros((4, 2), np.int32)}, {}, "is not 'roll' bool"),
        ({"roll": np.zeros((4, 2, 16, 24, 3), np.float32)}, {}, "is not 'roll' bool"),
        ({"roll": np.zeros((4, 2, 16, 24, 2), bool)}, {}, "has not the tracks drums, bass, chords"),
        ({"roll": np.zeros((4, 2, 16, 24, 3), bool)}, {"held_out": None}, "none of it is held out"),
    ]:
        with pytest.raises(InputError, match=told):
            music.check(Dataset("x", arrays, data.facts, **{"held_out": data.held_out} | more))
