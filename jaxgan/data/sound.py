"""Piano rolls as sound, by a plain synthesis."""

import io

import numpy as np
from scipy.io import wavfile

from jaxgan.data import midi

SECONDS = 60 / midi.TEMPO / midi.BEAT  # of a step
OVERTONES = (1.0, 0.4, 0.15)


def _tone(pitch: int, n: int, rate: int) -> np.ndarray:
    t = np.arange(n) / rate
    wave = sum(a * np.sin(2 * np.pi * (i + 1) * frequency(pitch) * t) for i, a in enumerate(OVERTONES))
    return wave * np.exp(-2 * t) * np.clip(200 * t, 0, 1) * np.clip(200 * (t[-1] - t), 0, 1)


def _drum(pitch: int, n: int, rate: int) -> np.ndarray:
    t = np.arange(n) / rate
    deep = np.sin(2 * np.pi * 60 * t)
    return (deep if pitch <= 36 else np.random.default_rng(pitch).uniform(-1, 1, n)) * np.exp(-25 * t)


def frequency(pitch: int) -> float:
    """Of a MIDI number, in hertz: 440 of 69."""
    return 440 * 2 ** ((pitch - 69) / 12)


def wave(roll, low: int, names: tuple[str, ...], rate: int = 8000) -> np.ndarray:
    """A roll bool[T, P, M] as sound f64[samples] in [-1, 1]: notes are three sines that die away, drums
    noise.

    Args:
      low: the lowest pitch's MIDI number.
      names: of the tracks, of which "drums" are drums.
      rate: samples a second.
    """
    step = round(SECONDS * rate)
    found = np.zeros(len(roll) * step)
    for track, pitch, start, stop in midi.notes_of(roll):
        part = found[start * step : stop * step]
        part += (_drum if names[track] == "drums" else _tone)(low + pitch, len(part), rate)
    return found / max(1.0, np.abs(found).max(initial=0))


def wav(sound, rate: int = 8000) -> bytes:
    """Sound f64[samples] in [-1, 1] as a WAV file of 8 bits a sample."""
    file = io.BytesIO()
    wavfile.write(file, rate, np.rint(127.5 + 127 * np.asarray(sound)).astype(np.uint8))
    return file.getvalue()
