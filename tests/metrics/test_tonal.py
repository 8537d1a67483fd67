"""Scores of piano rolls against values by hand, and against plain loops."""

from itertools import groupby

import numpy as np
import pytest

from jaxgan.data import band
from jaxgan.metrics.music import (
    chroma,
    copied_bars,
    drum_pattern,
    empty_bars,
    harmonies,
    harmony_jsd,
    in_scale,
    qualified_notes,
    shuffled,
    tonal_centroid,
    tonal_distance,
    used_pitch_classes,
)


@pytest.fixture(scope="module")
def noise():
    """Rolls whose tracks have notes of many lengths, and some silent bars."""
    rng = np.random.default_rng(0)
    on = rng.uniform(size=(6, 3, 8, 24, 2)) < np.array([0.7, 0.02])
    on[:, 1, ..., 1] = False
    return on


@pytest.fixture(scope="module")
def tune():
    return band.draw(300)


def _single(*pitch_classes):
    x = np.zeros(12)
    x[list(pitch_classes)] = 1
    return x


def _track(pitches, steps=8):
    """bool[1, 1, steps, 24] that sounds throughout."""
    x = np.zeros((1, 1, steps, 24), bool)
    x[..., list(pitches)] = True
    return x


def test_empty_bars_are_those_without_a_note():
    """And not the others: of three bars one is empty in one track, and two in the other."""
    rolls = np.zeros((1, 3, 4, 12, 2), bool)
    rolls[0, :2, 3, 5, 0] = True
    rolls[0, 0, 0, 0, 1] = True
    np.testing.assert_allclose(empty_bars(rolls), [1 / 3, 2 / 3])


def test_pitch_classes_are_those_of_octaves(noise):
    """A pitch and one an octave above are of one class, and neighbours are not, counted one by one."""
    rolls = np.zeros((1, 2, 4, 24, 1), bool)
    rolls[0, 0, :, [3, 15], 0] = True
    rolls[0, 0, 2, 4, 0] = True
    assert used_pitch_classes(rolls).tolist() == [2]  # of the bar that has notes
    np.testing.assert_array_equal(chroma(rolls, 2)[0, 0, :, 3:5, 0], [[4, 0], [4, 1]])
    counts = [
        [len({p % 12 for p in np.flatnonzero(bar[..., i].any(0))}) for phrase in noise for bar in phrase]
        for i in range(2)
    ]
    expected = [np.mean([x for x in track if x]) for track in counts]
    np.testing.assert_allclose(used_pitch_classes(noise), expected)
    assert np.isnan(used_pitch_classes(np.zeros_like(rolls)))[0]


@pytest.mark.parametrize("least", [1, 2, 3, 5])
def test_notes_are_runs_also_across_barlines(noise, least):
    lengths = [[], []]
    for phrase in noise:
        for track in range(2):
            for pitch in range(24):
                line = phrase[..., pitch, track].ravel()
                lengths[track] += [len(list(run)) for on, run in groupby(line) if on]
    expected = [np.mean(np.array(x) >= least) for x in lengths]
    np.testing.assert_allclose(qualified_notes(noise, least), expected)


def test_a_note_is_qualified_from_three_steps_on():
    rolls = np.zeros((1, 2, 4, 12, 1), bool)
    rolls[0, 0, 3, 0], rolls[0, 1, :2, 0] = True, True  # three steps, over the barline
    rolls[0, 1, 2:, 1] = True  # two, at the phrase's end
    rolls[0, 0, :4, 2] = True
    assert qualified_notes(rolls).tolist() == [2 / 3]
    assert np.isnan(qualified_notes(np.zeros_like(rolls)))[0]


def test_drums_on_quavers():
    drums = np.zeros((1, 1, 16, 3), bool)
    drums[0, 0, [0, 2, 4], 0] = True
    drums[0, 0, [3], 1] = True
    assert drum_pattern(drums) == 0.75
    assert drum_pattern(np.ones((1, 2, 16, 3), bool)) == 0.5  # chance
    assert drum_pattern(np.roll(drums, 1, 2)) == 0.25
    assert np.isnan(drum_pattern(np.zeros_like(drums)))
    with pytest.raises(ValueError, match="12 steps are not eight equal parts"):
        drum_pattern(np.zeros((1, 1, 12, 3), bool))


@pytest.mark.parametrize(
    ("interval", "squared"),
    [
        (7, (2 * np.sin(np.pi / 12)) ** 2 + 2 + 0.75),  # a fifth: 30, 90 and 120 degrees on the circles
        (6, 8),  # a tritone: opposite, opposite, the same
        (4, 3 + 0 + 0.75),  # a major third: 120, 0 and 120
        (0, 0),
    ],
)
def test_distances_of_single_notes_on_the_circles(interval, squared):
    """From any note, the chords of the angles between them."""
    for first in range(12):
        one, other = (tonal_centroid(_single(x % 12)) for x in (first, first + interval))
        assert np.square(one - other).sum() == pytest.approx(squared, abs=1e-12)
        low, high = _track([first]), _track([(first + interval) % 12 + 12])
        assert tonal_distance(low, high) == pytest.approx(np.sqrt(squared), abs=1e-12)


def test_a_centroid_is_the_mean_of_its_notes():
    """So it does not depend on how long they sound; an augmented triad is in the middle of two circles."""
    triad = tonal_centroid(_single(0, 4, 7))
    np.testing.assert_allclose(triad, np.mean([tonal_centroid(_single(x)) for x in (0, 4, 7)], 0))
    np.testing.assert_allclose(tonal_centroid(5 * _single(0, 4, 7)), triad)
    np.testing.assert_allclose(tonal_centroid(_single(0, 4, 8))[[0, 1, 4, 5]], 0, atol=1e-12)
    assert np.isnan(tonal_centroid(np.zeros(12))).all()


def test_tonal_distance_is_over_the_beats_that_both_have():
    a, b = _track([0]), _track([12])
    b[:, :, 4:] = False
    b[:, :, 4:6, 6] = True  # the third beat is a tritone away, in the fourth there is nothing
    assert tonal_distance(a, b) == pytest.approx(np.sqrt(8) / 3)
    assert np.isnan(tonal_distance(a, np.zeros_like(a)))


def test_in_scale_by_hand():
    rolls = _track([0, 2, 13])[..., None]
    rolls[0, 0, :4, 13] = False
    assert in_scale(rolls, (0, 2, 4, 5, 7, 9, 11)) == pytest.approx(16 / 20)
    assert in_scale(np.ones((1, 1, 4, 24, 1), bool), band.MAJOR) == pytest.approx(7 / 12)  # chance
    assert np.isnan(in_scale(np.zeros((1, 1, 4, 24, 1), bool), band.MAJOR))


def test_harmonies_are_what_sounds_in_a_beat():
    rolls = np.zeros((1, 1, 8, 24, 2), bool)
    rolls[0, 0, 0, 0, 0] = rolls[0, 0, 1, 16, 1] = True
    rolls[0, 0, 7, 11, 1] = True
    assert harmonies(rolls).tolist() == [0b10001, 0, 0, 1 << 11]


def test_divergences_of_harmonies(tune):
    pitched = tune[..., 1:]
    assert harmony_jsd(pitched, pitched[::-1]) == 0
    assert harmony_jsd(pitched, np.roll(pitched, 6, 3)) > 0.7
    assert harmony_jsd(np.ones_like(pitched), pitched) == pytest.approx(1)
    assert harmony_jsd(pitched[:150], pitched[150:]) < 0.1 < harmony_jsd(shuffled(pitched), pitched)


def test_copied_bars_are_whole_and_of_all_tracks(tune):
    known, rolls = tune[:1], tune[:2].copy()
    rolls[1, 0] = tune[0, 1]
    rolls[1, 1] = False  # which counts for nothing
    assert copied_bars(rolls, known) == 1
    rolls[0, 1, 5, 3, 2] ^= True
    assert copied_bars(rolls, known) == pytest.approx(2 / 3)
    assert np.isnan(copied_bars(np.zeros_like(known), known))


def test_shuffled_tracks_are_of_different_phrases(tune):
    """Each track keeps its phrases, and what they have to do with each other is lost."""
    mixed = shuffled(tune)
    for i in range(3):
        one, other = (sorted(row.tobytes() for row in x[..., i]) for x in (mixed, tune))
        assert one == other
    apart = [tonal_distance(x[..., 1], x[..., 2]) for x in (tune, mixed)]
    assert apart[0] < apart[1] - 0.3
    assert empty_bars(mixed).tolist() == empty_bars(tune).tolist()


def test_parts_that_do_not_divide_a_bar_are_told():
    with pytest.raises(ValueError, match="10 steps are not 4 equal parts"):
        chroma(np.zeros((1, 1, 10, 12, 1), bool))
    with pytest.raises(ValueError, match="20 pitches no whole octaves"):
        chroma(np.zeros((1, 1, 16, 20, 1), bool))
