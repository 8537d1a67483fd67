"""Music in several tracks: piano rolls bool[N, bars, steps, pitches, tracks]."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from jaxgan import plots
from jaxgan.config import InputError, Natural, nearest
from jaxgan.data import Dataset, band, midi, rolls, sound
from jaxgan.data.sources import arrays_of
from jaxgan.kinds.kind import (
    Judge,
    Kind,
    Made,
    NoOptions,
    Panel,
    Played,
    Shares,
    groups_of,
    numbers_of,
    taken,
)
from jaxgan.metrics import music as of_music
from jaxgan.metrics import neighbours
from jaxgan.metrics.score import Sampling, Score, intervals, protocol

SETS = ("band", "npz:PATH", "folder:PATH")
SCORED = 1000  # samples behind a score, at most
SHOWN = 32  # samples in a picture
HEARD = 8  # samples in a report that can be played
CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def _band(bars: int, phrases: int = 4000, key: int = 0, seed: int = 0):
    found = band.draw(phrases + phrases // 4, bars, key, seed)
    scale = sorted((key + step) % 12 for step in band.MAJOR)
    return found[: -(phrases // 4)], found[-(phrases // 4) :], scale


def load(cfg, data_dir: str | None) -> Dataset:
    """The set that a config names by `data`, as `roll` bool[N, bars, 16, P, M], phrases of `bars` bars.

    `band`, made up in one major key, with numbers such as `band:phrases=4000,key=0,seed=0`, and a quarter as
    many phrases more that are held out; `npz:PATH` of voices, as `data.rolls.of_voices` has it; `folder:PATH`
    of .mid files. Of pieces a fifth is held out. Where a config has `transpose` and the keys are known, they
    become one.

    Raises:
      InputError: if there is no such set, or it cannot be read.
    """
    spec, bars = cfg.data, cfg.bars
    name, _, rest = spec.partition(":")
    if name == "band":
        options = numbers_of(spec, rest, _band)
        if options.get("phrases", 8) < 8 or not 0 <= options.get("key", 0) < 12 or options.get("seed", 0) < 0:
            raise InputError(f"--data {spec}: phrases are 8 or more, key is in 0 to 11, and seed 0 or more")
        trained, held, scale = _band(bars, **options)
        tracks, low, told = band.NAMES, band.LOW, []
    elif name in ("npz", "folder") and rest:
        path = Path(rest).expanduser()
        transpose = getattr(cfg, "transpose", True)
        pieces = rolls.of_voices(path, arrays_of(path), transpose) if name == "npz" else rolls.of_folder(path)
        trained, held, low, told = rolls.cut(pieces, bars, f"--data {spec}")
        tracks, scale = pieces.tracks, pieces.scale
        told = [*told, f"{len(held)} phrases are of pieces that are held out: scores are beside these"]
    else:
        raise InputError(f"--data {spec!r} is not one of {', '.join(SETS)}{nearest(name, SETS)}")
    facts = {
        "bars": bars,
        "bar": trained.shape[2],
        "pitches": trained.shape[3],
        "tracks": tuple(tracks),
        "low": low,
        "scale": None if scale is None else tuple(scale),
    }
    apart = Dataset(f"{spec}, held out", {"roll": held}, facts)
    return Dataset(spec, {"roll": trained}, facts, remarks=tuple(told), held_out=apart)


def check(data: Dataset) -> None:
    """Raises InputError unless there is `roll` bool[N, bars, steps, P, M] with M tracks in the facts, and
    some are held out."""
    found, tracks = data.get("roll"), data.facts.get("tracks")
    if found is None or found.dtype != bool or found.ndim != 5 or not tracks:
        raise InputError(f"{data.name} is not 'roll' bool[N, bars, steps, pitches, tracks]")
    if found.shape[4] != len(tracks) or data.held_out is None:
        raise InputError(f"{data.name} has not the tracks {', '.join(tracks)}, or none of it is held out")


def decode(made) -> np.ndarray:
    """What G makes in [-1, 1] as bool: a note where it is above 0."""
    return np.asarray(made) > 0


def _pitched(facts) -> list[int]:
    """The tracks that are no drums."""
    return [i for i, name in enumerate(facts["tracks"]) if name != "drums"]


def by_track(facts, of) -> dict[str, dict[str, float]]:
    """Figures of rolls for each track: {name: {track: figure}}, and for each pair of pitched ones."""
    tracks, pitched = facts["tracks"], _pitched(facts)
    used, long = of_music.used_pitch_classes(of), of_music.qualified_notes(of)
    found = {
        "empty_bars": dict(zip(tracks, of_music.empty_bars(of), strict=True)),
        "used_pitch_classes": {tracks[i]: used[i] for i in pitched},
        "qualified_notes": {tracks[i]: long[i] for i in pitched},
        "tonal_distance": {
            f"{tracks[i]}-{tracks[j]}": of_music.tonal_distance(of[..., i], of[..., j])
            for i, j in combinations(pitched, 2)
        },
        "drum_pattern": {
            name: of_music.drum_pattern(of[..., i]) for i, name in enumerate(tracks) if name == "drums"
        },
    }
    return {name: {k: float(x) for k, x in each.items()} for name, each in found.items()}


def _means(each: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the tracks that have it."""
    finite = {name: [x for x in of.values() if np.isfinite(x)] for name, of in each.items()}
    return {name: float(np.mean(values)) for name, values in finite.items() if values}


def figures(data: Dataset, held: Dataset, of) -> dict[str, float]:
    """What is known of rolls beside held-out ones; what they have nothing for is left out."""
    pitched = of[..., _pitched(data.facts)]
    found = {"harmony_jsd": of_music.harmony_jsd(pitched, _reference(held))}
    found |= _means(by_track(data.facts, of))
    if data.facts["scale"] is not None:
        found["in_scale"] = of_music.in_scale(pitched, data.facts["scale"])
    found["copied_bars"] = of_music.copied_bars(of, data["roll"])
    return {name: x for name, x in found.items() if np.isfinite(x)}


@cache
def _some(data: Dataset, n: int) -> np.ndarray:
    """At most n rolls of a set."""
    return data.examples(n)["roll"]


def _reference(held: Dataset) -> np.ndarray:
    """The pitched tracks of held-out rolls."""
    return _some(held, SCORED)[..., _pitched(held.facts)]


@cache
def _own(data: Dataset, held: Dataset) -> dict[str, float]:
    """The figures of real music, which samples should be near to."""
    return figures(data, held, _some(held, SCORED))


@cache
def of_real(data: Dataset) -> dict[str, float]:
    """The figures of held-out music in the place of samples; harmonies are those of the phrases trained on,
    beside the held-out. And of the held-out with tracks of different phrases: `shuffled_...`."""
    held = data.held_out
    harmony = figures(data, held, _some(data, SCORED))["harmony_jsd"]
    mixed = figures(data, held, of_music.shuffled(_some(held, SCORED)))
    names = [name for name in ("harmony_jsd", "tonal_distance") if name in mixed]
    return _own(data, held) | {"harmony_jsd": harmony} | {f"shuffled_{name}": mixed[name] for name in names}


ABOUT = {
    "harmony_jsd": ((0, 1), "pitch classes of a beat, of all pitched tracks"),
    "empty_bars": ((0, 1), "bars of a track; mean over tracks"),
    "used_pitch_classes": ((0, 12), "of a bar; mean over pitched tracks"),
    "qualified_notes": ((0, 1), "3 steps or more; mean over pitched tracks"),
    "tonal_distance": ((0, None), "tonal centroids of a beat; mean over pairs"),
    "drum_pattern": ((0, 1), "drums on quavers"),
    "in_scale": ((0, 1), "pitched tracks, by steps"),
    "copied_bars": ((0, 1), "whole bars of the phrases trained on"),
}


@dataclass(frozen=True)
class Options(NoOptions):
    """Score a run's checkpoints: harmony_jsd, and what music is like, beside held-out music: empty_bars,
    used_pitch_classes, qualified_notes, tonal_distance, drum_pattern, in_scale and copied_bars."""

    groups: Natural = 10  # of samples, left out in turn for the intervals; 0: none


def judge(
    data: Dataset,
    *,
    conditional: bool = False,
    options: Options | None = None,
    real: Dataset | None = None,
    n: int | None = None,
) -> Judge:
    """Scores of phrases beside held-out ones; by the divergence of harmonies a run is watched."""
    groups = groups_of(options)
    check(data)
    held = data.held_out if real is None else dataclasses.replace(real, facts=data.facts)
    n = n or SCORED

    def watch(made: Made) -> dict[str, float]:
        return figures(data, held, made.samples)

    def scores(made: Made, sampling: Sampling) -> list[Score]:
        of = made.samples
        values, around = figures(data, held, of), {}
        if groups and len(of) >= 4 * groups:
            known = {name: ABOUT[name][0] for name in values}
            around = intervals(
                lambda rows: dict.fromkeys(values, np.nan) | figures(data, held, of[rows]),
                values,
                len(of),
                groups=groups,
                bounds=known,
            )
        found, own = [], _own(data, held)
        for name, value in values.items():
            within, what = ABOUT[name]
            # What real music has no such figure of is best where there is least of it.
            better = "lower" if name == "harmony_jsd" else f"nearer to {own.get(name, 0):.4g}"
            against, size = {
                "harmony_jsd": (held, len(_reference(held))),
                "copied_bars": (data, data.size),
            }.get(name, (None, 0))
            told = protocol(
                sampling,
                metric=name,
                better=better,
                within=within,
                features=what,
                reference=held if against is None else against,
                n_reference=int(size),
                n_fake=len(of),
            )
            ends = around.get(name)
            found.append(Score(value, ends if ends is not None and np.isfinite(ends).all() else None, told))
        return taken(found, [])

    def remarks(made: Made, rows):
        real = of_real(data)
        own = {name: x for name, x in real.items() if not name.startswith("shuffled")}
        mixed = {name.removeprefix("shuffled_"): x for name, x in real.items() if name not in own}
        lines = ["held-out music in the place of samples: " + _told(own)]
        if mixed:
            lines.append("its tracks of different phrases together: " + _told(mixed))
        each, beside = (by_track(data.facts, x) for x in (made.samples, _some(data.held_out, SCORED)))
        for name, values in each.items():
            if len(values) > 1:
                pairs = [f"{track} {x:.3f} ({beside[name][track]:.3f})" for track, x in values.items()]
                lines.append(f"{name}, and of held-out music: {', '.join(pairs)}")
        return {f"{name}_of_real": x for name, x in own.items()} | {
            f"{name}_of_shuffled": x for name, x in mixed.items()
        }, lines

    return Judge(n, watch, scores, remarks)


def _told(of: dict[str, float]) -> str:
    return "  ".join(f"{name} {x:.3f}" for name, x in of.items())


def pictures(of) -> np.ndarray:
    """Rolls as pictures uint8[N, P, bars * steps, 3], high pitches above, a colour a track; every other bar
    is on a paler ground."""
    n, bars, steps, pitches, tracks = np.shape(of)
    colours = plots.label_colours(tracks + 1)
    bar = np.arange(bars * steps) // steps
    ground = np.where(bar % 2, 66, 51).astype(np.uint8)
    found = np.broadcast_to(ground[None, None, :, None], (n, pitches, bars * steps, 3)).copy()
    upright = np.moveaxis(np.reshape(of, (n, bars * steps, pitches, tracks)), 1, 2)[:, ::-1]
    for track in range(tracks):
        found[upright[..., track]] = colours[track + 1]
    return found


def _tiled(of, columns: int | None = None) -> np.ndarray:
    return plots.grid(pictures(of), columns, gap=2)


def _show(data: Dataset, made: Made) -> np.ndarray:
    return _tiled(made.samples)


def _near(data: Dataset, of) -> np.ndarray:
    """The phrase trained on that is nearest to each roll: which differs in the fewest places."""
    return data["roll"][neighbours.nearest(of.view(np.uint8), data["roll"].view(np.uint8))[0]]


def _shown_near(data: Dataset, made: Made, rows) -> np.ndarray:
    of = made.samples[:SHOWN]
    return plots.neighbours(pictures(of), pictures(_near(data, of)))


def _classes(facts, of) -> np.ndarray:
    """How often each pitch class sounds, as a share."""
    found = of_music.chroma(of[..., _pitched(facts)], 1).sum((0, 1, 2, 4))
    return found / max(found.sum(), 1)


def panels(data: Dataset, generator, key, rows) -> list[Panel]:
    """Samples that can be played, samples beside the nearest phrases, and pitch classes."""
    facts = data.facts
    samples = generator.made(key, 500, None).samples
    heard, some = samples[:HEARD], samples[:SHOWN]
    sounds = [sound.wav(sound.wave(one, facts["low"], facts["tracks"])) for one in
              heard.reshape(len(heard), -1, *heard.shape[3:])]  # fmt: skip
    names = ", ".join(facts["tracks"])
    pairs = np.stack([pictures(some), pictures(_near(data, some))], 1)
    title = "Samples, each with its nearest training phrase"
    return [
        Panel(
            "Samples",
            Played(tuple(pictures(heard)), tuple(sounds)),
            f"As they were drawn, none left out: {names}.",
            half=False,
        ),
        Panel(
            "Nearest training phrases",
            plots.Tiles(pairs.reshape(-1, *pairs.shape[2:]), close=2, title=title),
            "At the right of each sample the training phrase that differs from it in the fewest places.",
        ),
        Panel(
            "Pitch classes",
            Shares(CLASSES, _classes(facts, samples), _classes(facts, data["roll"])),
            "Of what sounds in pitched tracks, by steps.",
        ),
    ]


def _write_mid(path, made: Made, facts, columns) -> None:
    midi.write(path, midi.joined(made.samples), facts["low"], tuple(facts["tracks"]))


def _write_png(path, made: Made, facts, columns) -> None:
    plots.picture(_tiled(made.samples, columns)).save(path)


def _write_wav(path, made: Made, facts, columns) -> None:
    roll, rate = midi.joined(made.samples), 22050
    Path(path).write_bytes(sound.wav(sound.wave(roll, facts["low"], facts["tracks"], rate), rate))


def _write_npz(path, made: Made, facts, columns) -> None:
    """`roll` bool[n, bars, steps, P, M], `tracks` and the lowest pitch as `low`."""
    np.savez_compressed(path, roll=made.samples, tracks=np.array(facts["tracks"]), low=facts["low"])


music = Kind(
    load=load,
    judge=judge,
    show=_show,
    write={".mid": _write_mid, ".png": _write_png, ".wav": _write_wav, ".npz": _write_npz},
    finals={"neighbours": _shown_near},
    panels=panels,
    decode=decode,
    of="roll",
    shown=SHOWN,
    check=check,
    options=Options,
    unit="phrases",
)
