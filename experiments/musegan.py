"""MuseGAN: phrases of music in several tracks (Dong et al. 2018, https://arxiv.org/abs/1709.06298).

    python -m experiments.musegan
    python -m experiments.musegan --data npz:chorales.npz
    python -m experiments.musegan --data folder:PATH

G makes piano rolls of bars x steps x pitches x tracks in (-1, 1), and a note sounds where it is above 0. Of
the latent z some vectors are shared by all tracks and some a track's own, and of each some stand for the
whole phrase and some give a temporal generator a vector for each bar:

    composer    z, z_t                 one bar generator of all tracks
    jamming     z_i, z_it              one a track, which know nothing of one another
    hybrid      z, z_t, z_i, z_it      one a track

A critic D minimises D(G(z)) - D(x) + gp_weight (||grad D|| - 1)^2, the slope taken at random points between
real and generated rolls, and G minimises -D(G(z)). In jamming each track has a critic of its own, which sees
that track alone; `--critics` has either with each model. Independent critics are the negative control: tracks
may each be like real ones, and yet not belong together, which tonal_distance and harmony_jsd tell.

Without --data the phrases are made up, of drums, bass and chords that agree in each bar. The paper has 4 bars
of 96 steps, 84 pitches and 5 tracks, z of 128 numbers for a track, and a rate of 2e-4 (the first version of
the authors' code; 1e-3 in the present one).

Measured by the first command with `--steps 600 --evaluate-every 100 --seeds 5`, in 15 minutes of one core of
an AMD EPYC (family 25 model 1) beside other work, seed by seed, and in brackets that of held-out phrases: all
notes are in the scale (all), the tonal distance of bass and chords is 1.031, 1.036, 1.034, 1.032 and 1.045
(1.050; of shuffled tracks 1.525), harmony_jsd 0.076, 0.073, 0.096, 0.125 and 0.101 (0.001; 0.348), notes of
three steps or more are 0.76 to 0.83 (1), and 0.9 to 4 % of the bars are copies. With `--model jamming --steps
400` notes are in the scale too, but the tonal distance is 1.475 to 1.500 and harmony_jsd 0.405 to 0.455:
tracks that know nothing of one another.

Bach's chorales, by the second command with `--steps 1200`, seed 0, in 11 minutes beside other work: 3.91
pitch classes a bar (3.30 held out), tonal distance of the voices 1.483 (1.575; of shuffled voices 1.692),
harmony_jsd 0.287 (0.042; 0.475), in scale 0.965 (0.933), notes of three steps or more 0.44 (0.62), and no bar
is a copy (0.07). The voices keep their order; many notes are cut short.

Published: of 50,266 phrases of the Lakh set, notes of three steps or more are 90.0, 81.9, 88.4 and 89.6 % of
bass, guitar, piano and strings, of the hybrid model's samples 44.6, 43.2, 45.5 and 52.0 %; the tonal distance
of bass and piano is 1.51, of other phrases' tracks 1.56, and of the hybrid model's 1.32 (tables 1 and 2).
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from jaxgan import random, train
from jaxgan.config import Count, Decay, InputError, Rate, Seed
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.music import music
from jaxgan.losses import penalties
from jaxgan.losses.adversarial import wasserstein
from jaxgan.nets import musegan
from jaxgan.terms import penalty
from jaxgan.train import Loop
from jaxgan.two_player import encoded, two_player

Critics = Literal["joint", "independent"]


@dataclass(frozen=True)
class Config:
    """MuseGAN."""

    data: str = "band"  # band (or band:phrases=4000,key=0,seed=0), npz:PATH of voices, folder:PATH of .mid
    bars: Count = 2  # of a phrase; 4 in the paper
    transpose: bool = True  # pieces whose keys are known to C major or A minor
    bar: Count | None = None  # steps of a bar; as the data have
    pitches: Count | None = None  # as the data have
    tracks: tuple[str, ...] | None = None  # their names; as the data have
    model: musegan.Model = "hybrid"  # composer, jamming or hybrid: what tracks share, as above
    critics: Critics | None = None  # joint, or independent of each track, as jamming has if not given
    latent: Count = 16  # numbers in each vector of z; 32 in the paper
    width: Count = 16  # channels, of which layers have 2, 4 or 8 times as many
    batch_size: Count = 64  # phrases in one update
    steps: Count = 3000  # generator updates; 50,000 in the authors' code
    n_critic: Count = 5  # critic updates for one of the generator
    gp_weight: Rate = 10.0  # of the gradient penalty, lambda
    g_lr: Rate = 1e-3  # the generator's learning rate
    d_lr: Rate = 1e-3  # the critic's learning rate
    beta1: Decay = 0.5  # of Adam
    beta2: Decay = 0.9  # of Adam
    ema_decay: Decay | None = None  # of the generator's average; none in the paper
    seed: Seed = 0  # of the run's key


def each_gradient_penalty(critics, real, fake, key, slot, *, weight):
    """The gradient penalty of critics that each see one track, [B]: the mean of each one's own.

    Args:
      critics: rolls [B, ..., M] -> logits [B, M], of which logit i depends on track i alone.
    """
    x = penalties.interpolate(real, fake, key, slot)
    slope = jax.grad(lambda x: critics(x).sum())(x)
    off = penalties.safe_norm(jnp.square(slope).sum(range(1, x.ndim - 1))) - 1
    return weight * jnp.square(off).mean(-1)


def level(roll):
    """bool as f32: 1 where a note is, -1 elsewhere."""
    return jnp.where(roll, 1.0, -1.0)


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    if cfg.tracks is None or cfg.bar is None or cfg.pitches is None:
        raise InputError("bar, pitches and tracks depend on the data: give them, as `Dataset.facts` has them")
    tracks = len(cfg.tracks)
    critics = cfg.critics or ("independent" if cfg.model == "jamming" else "joint")
    d, slope = {
        "joint": (musegan.Critic, penalties.gradient_penalty),
        "independent": (musegan.Critics, each_gradient_penalty),
    }[critics]
    gan = two_player(
        musegan.Generator(cfg.model, cfg.bars, cfg.bar, cfg.pitches, tracks, cfg.width, axis),
        d(cfg.width),
        loss=wasserstein,
        latent=partial(random.normal, shape=(musegan.vectors(cfg.model, tracks), cfg.latent)),
        of="level",
        d_terms={"gp": penalty(slope, weight=cfg.gp_weight)},
    )
    adam = partial(optax.adam, b1=cfg.beta1, b2=cfg.beta2)
    return encoded(gan, "roll", "level", level), Optimizers(adam(cfg.g_lr), adam(cfg.d_lr), cfg.ema_decay)


loop = Loop(sample_every=500, evaluate_every=250, checkpoint_every=1000)

if __name__ == "__main__":
    train.main(Config, make, music, loop)
