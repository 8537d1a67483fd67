"""The networks of MuseGAN (Dong et al. 2018, section 3), for piano rolls of any number of bars and tracks.

A vector of z is shared or a track's own, and it is the phrase's, or one by which a temporal generator makes
another for each bar. Bar generators make a bar's roll of what there is for it: one of all tracks (composer),
or one a track. Layers without overlap bring a bar from beats to steps, and from octaves to pitches by one
kernel of 12 semitones, so that each octave has the same scale. BN is in G alone, since the critic's penalty
is one on each example's own slope.

The output is tanh: (1 + tanh x) / 2 is the sigmoid of 2x, so that this is no other one.
"""

from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv, ConvTranspose

Model = Literal["composer", "jamming", "hybrid"]
BEATS = 4  # of a bar


def vectors(model: Model, tracks: int) -> int:
    """How many vectors z has: two shared ones, two of each track, or both."""
    return {"composer": 2, "jamming": 2 * tracks, "hybrid": 2 + 2 * tracks}[model]


def _octaves(steps: int, pitches: int) -> int:
    """Raises ValueError unless a bar is of whole beats and octaves."""
    if steps % BEATS or pitches % 12:
        raise ValueError(
            f"a bar has {BEATS} beats and whole octaves, not {steps} steps and {pitches} pitches"
        )
    return pitches // 12


class _Normed(nn.Module):
    """ReLU of the batch normalised."""

    axis: str | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        norm = nn.BatchNorm(
            use_running_average=not train, momentum=0.9, axis_name=self.axis, dtype=self.dtype
        )
        return nn.relu(norm(x))


class TemporalGenerator(nn.Module):
    """A vector [B, d] -> one for each bar, [B, bars, d]."""

    bars: int
    axis: str | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z, *, train: bool):
        d = z.shape[-1]
        normed = partial(_Normed, self.axis, self.dtype)
        x = nn.Dense(self.bars * 2 * d, use_bias=False, dtype=self.dtype)(z)
        x = normed()(x.reshape(-1, self.bars, 2 * d), train=train)
        x = Conv(d, (3,), use_bias=False, dtype=self.dtype)(x)
        return normed()(x, train=train)


class BarGenerator(nn.Module):
    """What there is for a bar [N, k] -> its roll before tanh, [N, steps, pitches, tracks]."""

    steps: int
    pitches: int
    tracks: int
    width: int = 16
    axis: str | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, code, *, train: bool):
        octaves, each = _octaves(self.steps, self.pitches), self.steps // BEATS
        normed = partial(_Normed, self.axis, self.dtype)
        options = {"use_bias": False, "dtype": self.dtype}
        up = lambda n, by: ConvTranspose(n, by, by, **options)  # noqa: E731
        x = nn.Dense(BEATS * 4 * self.width, **options)(code).reshape(-1, BEATS, 1, 4 * self.width)
        x = normed()(x, train=train)
        x = normed()(up(4 * self.width, (each, 1))(x), train=train)
        x = normed()(Conv(4 * self.width, (3, 1), **options)(x), train=train)
        x = normed()(up(2 * self.width, (1, octaves))(x), train=train)
        return ConvTranspose(self.tracks, (1, 12), (1, 12), dtype=self.dtype)(x)


class Generator(nn.Module):
    """z [B, vectors, d] -> rolls f32[B, bars, steps, pitches, tracks] in (-1, 1)."""

    model: Model
    bars: int
    steps: int
    pitches: int
    tracks: int
    width: int = 16
    axis: str | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z, *, train: bool):
        z = z.astype(self.dtype)
        still = lambda x: jnp.broadcast_to(x[:, None], (len(x), self.bars, x.shape[-1]))  # noqa: E731
        temporal = partial(TemporalGenerator, self.bars, self.axis, self.dtype)
        shared, own = ([], z) if self.model == "jamming" else ([z[:, 0], z[:, 1]], z[:, 2:])
        if shared:
            shared = [still(shared[0]), temporal(name="temporal")(shared[1], train=train)]
        if self.model == "composer":
            codes = {"bar": (shared, self.tracks)}
        else:
            codes = {}
            for i in range(self.tracks):
                moving = temporal(name=f"temporal_{i}")(own[:, 2 * i + 1], train=train)
                codes[f"bar_{i}"] = [*shared, still(own[:, 2 * i]), moving], 1
        found = []
        for name, (code, tracks) in codes.items():
            make = BarGenerator(
                self.steps, self.pitches, tracks, self.width, self.axis, self.dtype, name=name
            )
            found.append(make(jnp.concatenate(code, -1).reshape(len(z) * self.bars, -1), train=train))
        rolls = jnp.tanh(jnp.concatenate(found, -1).astype(jnp.float32))
        return rolls.reshape(len(z), self.bars, *rolls.shape[1:])


class Critic(nn.Module):
    """Rolls [B, bars, steps, pitches, M] -> logits f32[B].

    Beside what it makes of octaves, steps, beats and bars, it sees how often a pitch class sounds in a beat.
    """

    width: int = 16
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        b, bars, steps, pitches, tracks = x.shape
        octaves, each = _octaves(steps, pitches), steps // BEATS
        x = x.astype(self.dtype).reshape(b * bars, steps, pitches, tracks)
        chroma = x.reshape(-1, BEATS, each, octaves, 12, tracks).mean((2, 3)).reshape(-1, BEATS, 12 * tracks)

        def down(x, n, by):
            return nn.leaky_relu(Conv(n, by, by, padding="VALID", dtype=self.dtype)(x), 0.2)

        x = down(x, 2 * self.width, (1, 12))
        x = down(x, 4 * self.width, (1, octaves))
        x = down(x, 4 * self.width, (each, 1))[:, :, 0]
        chroma = nn.leaky_relu(nn.Dense(2 * self.width, dtype=self.dtype)(chroma), 0.2)
        x = jnp.concatenate([x, chroma], -1).reshape(b, -1)
        x = nn.leaky_relu(nn.Dense(8 * self.width, dtype=self.dtype)(x), 0.2)
        return nn.Dense(1, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)


class Critics(nn.Module):
    """Rolls [B, ..., M] -> logits f32[B, M], each by a critic that sees its own track alone."""

    width: int = 16
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        each = [Critic(self.width, self.dtype, name=f"track_{i}") for i in range(x.shape[-1])]
        return jnp.stack([critic(x[..., i : i + 1]) for i, critic in enumerate(each)], -1)
