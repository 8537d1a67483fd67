"""The networks of MuseGAN (Dong et al. 2018, section 3), for piano rolls of any number of bars and tracks.

A vector of z is shared or a track's own, and it is the phrase's, or one by which a temporal generator makes
another for each bar. Bar generators make a bar's roll of what there is for it: one of all tracks (composer),
or one a track. A bar becomes beats, beats steps, steps octaves, and octaves 12 semitones, by the same layer
for each, so that all octaves have one scale; D goes the way back. As kernels do not overlap, they are dense
layers of blocks. BN is in G alone, since the critic's penalty is one on each example's own slope.

The output is tanh: (1 + tanh x) / 2 is the sigmoid of 2x, so that this is no other one.
"""

import math
from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv

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
        d, x = z.shape[-1], z
        for width in (2 * d, d):
            x = nn.Dense(self.bars * width, use_bias=False, dtype=self.dtype)(x.reshape(len(z), -1))
            x = _Normed(self.axis, self.dtype)(x.reshape(-1, self.bars, width), train=train)
        return x


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
        octaves, n, wide = _octaves(self.steps, self.pitches), len(code), 4 * self.width
        normed = partial(_Normed, self.axis, self.dtype)

        def up(x, *shape):
            """A block of what each place becomes."""
            size = math.prod(shape) // math.prod(x.shape[1:-1])
            return normed()(
                nn.Dense(size, use_bias=False, dtype=self.dtype)(x).reshape(n, *shape), train=train
            )

        x = up(up(code, BEATS, wide), self.steps, wide)
        x = normed()(Conv(wide, (3,), use_bias=False, dtype=self.dtype)(x), train=train)
        x = up(x, self.steps, octaves, 2 * self.width)
        x = nn.Dense(12 * self.tracks, dtype=self.dtype)(x)
        return x.reshape(n, self.steps, self.pitches, self.tracks)


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

        def layer(x, n):
            return nn.leaky_relu(nn.Dense(n, dtype=self.dtype)(x), 0.2)

        x = layer(x.reshape(-1, steps, octaves, 12 * tracks), 2 * self.width)
        x = layer(x.reshape(-1, steps, octaves * 2 * self.width), 4 * self.width)
        x = layer(x.reshape(-1, BEATS, each * 4 * self.width), 4 * self.width)
        x = jnp.concatenate([x, layer(chroma, 2 * self.width)], -1).reshape(b, -1)
        return nn.Dense(1, dtype=self.dtype)(layer(x, 8 * self.width))[:, 0].astype(jnp.float32)


class Critics(nn.Module):
    """Rolls [B, ..., M] -> logits f32[B, M], each by a critic that sees its own track alone."""

    width: int = 16
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        each = [Critic(self.width, self.dtype, name=f"track_{i}") for i in range(x.shape[-1])]
        return jnp.stack([critic(x[..., i : i + 1]) for i, critic in enumerate(each)], -1)
