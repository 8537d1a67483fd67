"""StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958; StyleGAN 2019,
https://arxiv.org/abs/1812.04948; the code and rates of 2020b, https://arxiv.org/abs/2006.06676).

    python -m experiments.stylegan2
    python -m experiments.stylegan2 --data tfds:fashion_mnist --data-dir DIR --image-size 32 --conditional
    python -m experiments.stylegan2 --data npz:emoji.npz --image-size 32

D minimises -log D(x) - log(1 - D(G(z))) and G minimises -log D(G(z)). In one step of 16 D takes a step of
its own down 16 gamma / 2 ||grad D(x)||^2, and in one of 4 G one down 4 * 2 (||J' y|| - a)^2, with J its
slope in w, y a random image and a the running mean of the lengths. These too are Adam's, so that the rates
are 16/17 and 4/5 of those given, and the betas are taken to these powers (section 3.1).

Measured with `--steps 1500` and seed 0, in 4 minutes of a core of an AMD EPYC (family 25 model 1): fcd 49.5
(47.9 to 51.2; two halves of the data are 4.56 apart) by version 3 of the digits' classifier, and still
falling, from 166 after 500 steps and 84.8 after 1000; each class with 3.9 to 17.7 % of the samples,
diversity 0.95, memorisation 1.49. R1's weight decides: with `--gamma 3` and `10` it is 52.3 and 48.0, with
0.1 it is 204, and with 0.0016, 2020b's heuristic, 188, where even 4000 steps end at 57.9; without mixing
and path length, `--mixing 0 --path-weight 0`, that one has 77.9 after 1500.

On `--data shapes --image-size 32 --width 8 --steps 2500`, seeds 0 to 2, 11 minutes of a core each, it is
not there yet: fcd 184, 84.2 and 69.3 (386, 29.5 and 128 with `--gamma 0.0064`), and no better than without
a mapping network, `--mapping 0`: 110, 50.4 and 84.6. By `jaxgan explore` the mean path length is 4.48, 4.19
and 3.11 in Z and 2.66, 2.45 and 1.91 in W. A swap of the first three layers' styles changes 10, 50 and 45 %
of the shapes and moves the centre by 0.124, 0.222 and 0.173, one of the others' 7, 19 and 21 % and 0.068,
0.054 and 0.053; the colours follow the first too, 73, 65 and 76 %, and the others in 36, 52 and 28 %.

By each of the three runs eight samples of its own, sought in W+ for 500 steps, are found again to 0.0007 at
most in the median, in the distance of `jaxgan.latents.scales`, and at worst 0.0018; eight drawings that no
run has seen to 0.0055, 0.0037 and 0.0045, where the image of the mean style is 0.36, 0.64 and 0.62 away, and
samples of random latents are 0.65 to 0.75.

The emoji, at `--width 16 --steps 1600` with seeds 0 to 2, in 10 minutes of a core each, are far from done:
fcd 211, 220 and 230, still falling (359, 311 and 316 after half of the steps), where DCGAN with `--width 16
--steps 5800` makes 30.5, 29.4 and 36.3 in 7: it sees seven times as many images in less time. StyleGAN2's
are smoother and less diverse (0.83 to 0.86 of the data's diversity, DCGAN's 1.01 to 1.02).

Published: an FID of 2.84 and a path length of 145.0 on FFHQ at 1024 pixels, where StyleGAN has 4.40 and 212.1
(2020, table 1); an FID of 2.42 on CIFAR-10 with labels and adaptive augmentation (2020b).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax.numpy as jnp
import optax
from jax import lax

from experiments import dcgan
from jaxgan import random, steps, terms, train
from jaxgan.config import Chance, Count, Decay, InputError, Natural, Rate, Seed
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses import penalties
from jaxgan.losses.adversarial import AdversarialLoss, non_saturating
from jaxgan.nets import stylegan2
from jaxgan.random import fold
from jaxgan.terms import penalty, weighs
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config:
    """StyleGAN2."""

    data: str = "digits"  # digits, shapes, tfds:NAME, folder:PATH or npz:PATH
    split: str = "train"  # of a TFDS set
    image_size: Count = 16  # a power of two, 8 or more
    channels: int | None = None  # 1 or 3; as the data has if not given
    conditional: bool = False  # both networks are given the label
    n_classes: int | None = None  # as the data has if not given
    width: Count = 16  # channels next to the image, doubled at each level inward; 32 in the paper
    most: Count = 64  # of these; 512 in the paper
    latent: Count = 64  # numbers in z; 512 in the paper
    styles: Count = 64  # numbers in w; 512 in the paper
    mapping: Natural = 4  # layers from z to w, where 0 makes them equal; 8 in the paper, 2 in 2020b
    norm: Literal["demodulation", "adain"] = "demodulation"  # StyleGAN2's or StyleGAN's
    noise: bool = True  # of each layer, beside z
    mixing: Decay = 0.9  # the share of images that are of two z; 0 in 2020b for CIFAR-10
    psi: Rate = 1.0  # of w's distance from its mean in samples: below 1 they are better and less diverse
    batch_size: Count = 32  # as in the paper
    steps: Count = 4000  # generator updates
    n_critic: Count = 1  # discriminator updates for one of the generator
    g_lr: Rate = 2.5e-3  # the generator's learning rate, as in 2020b; 2e-3 in the paper
    d_lr: Rate = 2.5e-3  # the discriminator's learning rate, likewise
    beta1: Decay = 0.0  # of Adam
    beta2: Decay = 0.99  # of Adam
    gamma: Rate = 1.0  # of R1; in 2020b 0.0002 pixels / batch, and 0.01 for CIFAR-10: far too little here
    r1_every: Count = 16  # steps of D to one down R1
    path_weight: Rate = 2.0  # of the path length; 0 in 2020b for CIFAR-10
    path_decay: Rate = 0.01  # how far the running mean of lengths moves
    path_every: Count = 4  # steps of G to one down the path length
    ema_images: Rate = 10_000.0  # in which G's average forgets half
    ema_ramp: Rate = 0.05  # or earlier in this share of all images so far
    augment: Literal["none", "diff_augment", "ada", "apa"] = "none"  # of what D sees: where data are few
    augment_p: Chance | None = None  # of each change; if not given 1, and of ada and apa as D knows the data
    ada_target: Chance = 0.6  # the mean sign of D's logits of real images that ada and apa keep to
    ada_images: Count = 500_000  # real images within which their probability goes from 0 to 1
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the networks' arithmetic
    seed: Seed = 0  # of the run's key


def networks(cfg: Config, axis: str | None):
    """G and D of a config."""
    classes = cfg.n_classes if cfg.conditional else None
    size = dict(width=cfg.width, most=cfg.most, n_classes=classes, dtype=cfg.dtype, axis=axis)
    g = stylegan2.Generator(
        cfg.image_size,
        cfg.channels,
        styles=cfg.styles,
        mapping=cfg.mapping,
        noise=cfg.noise,
        mixing=cfg.mixing if weighs(cfg.mixing) else None,
        psi=cfg.psi,
        norm=cfg.norm,
        **size,
    )
    return g, stylegan2.Discriminator(mapping=max(cfg.mapping, 1), **size)


def regularisers(cfg: Config, axis: str | None = None) -> GAN:
    """The game whose losses are R1 and the path length alone, each as heavy as its interval is long."""
    g, _ = networks(cfg, axis)
    nothing = lambda real, fake: jnp.zeros(len(real))  # noqa: E731
    path = terms.style_path_length(
        g.layers, cfg.styles, weight=cfg.path_every * cfg.path_weight, decay=cfg.path_decay, axis=axis
    )
    return _game(
        cfg,
        axis,
        loss=AdversarialLoss(nothing, nothing),
        d_terms={"r1": penalty(penalties.r1, gamma=cfg.r1_every * cfg.gamma)} if weighs(cfg.gamma) else {},
        g_terms={"path_length": path} if weighs(cfg.path_weight) else {},
    )


def _game(cfg: Config, axis: str | None, **options) -> GAN:
    g, d = networks(cfg, axis)
    gan = two_player(
        g,
        d,
        latent=partial(random.normal, shape=(cfg.latent,)),
        condition="label" if cfg.conditional else None,
        augment=dcgan.augmentation(cfg, axis),
        **options,
    )

    def styles(variables, z, *label):
        w = g.apply(variables, z, *label, method=g.map)
        return jnp.broadcast_to(w[:, None], (len(w), g.layers, cfg.styles))

    def synthesise(variables, w):
        return g.apply(variables, w, method=g.synthesise)

    return gan._replace(styles=styles, synthesise=synthesise)


def adam(cfg: Config, lr, every: int, weight) -> optax.GradientTransformation:
    """Adam that takes every + 1 steps where it would take `every`, where the further one has a weight."""
    share = every / (every + 1) if weighs(weight) else 1.0
    return optax.adam(share * lr, b1=cfg.beta1**share, b2=cfg.beta2**share)


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    if cfg.conditional and cfg.n_classes is None:
        raise InputError("--conditional: the data has no classes")
    gan = _game(cfg, axis, loss=non_saturating)
    g = adam(cfg, cfg.g_lr, cfg.path_every, cfg.path_weight)
    d = adam(cfg, cfg.d_lr, cfg.r1_every, cfg.gamma)
    ema = steps.half_life(cfg.ema_images, cfg.batch_size, cfg.ema_ramp)
    return gan._replace(init=regularisers(cfg, axis).init), Optimizers(g, d, ema)


def _lazily(who: str, loss: Callable, tx, every: int, name: str, state, batch, key, **options):
    """An update of a player by a regulariser in one step of `every`: the state, and the term or 0."""

    def taken(state):
        # G's average moves once a step, with the update that ends it.
        still = lambda step: 1.0  # noqa: E731
        state, found = steps.update(who, loss, tx, state, batch, key=key, ema_decay=still, **options)
        return state, found[name]

    return lax.cond(state.step % every == 0, taken, lambda state: (state, 0.0), state)


def train_step(cfg: Config):
    """G's regulariser where its turn is, then D, D's regulariser, and G: the order of the authors' code."""

    def step(gan, opts, state, batches, **options):
        lazy = regularisers(cfg, options.get("axis"))
        figures = {}

        def d_step(gan, opts, state, batch, turn=0, **options):
            state, found = steps.d_step(gan, opts, state, batch, turn=turn, **options)
            if weighs(cfg.gamma):
                key = fold(state.key, state.step, "r1", turn)
                extra = state.extra
                state, found["d/r1"] = _lazily(
                    "d", lazy.d_loss, opts.d, cfg.r1_every, "d/r1", state, batch, key, **options
                )
                state = state.replace(extra=extra)  # an augmentation's probability moves once an update
            return state, found

        if weighs(cfg.path_weight):
            last = {name: x[-1] for name, x in batches.items()}
            key = fold(state.key, state.step, "path length")
            state, figures["g/path_length"] = _lazily(
                "g", lazy.g_loss, opts.g, cfg.path_every, "g/path_length", state, last, key, **options
            )
        state, found = steps.train_step(gan, opts, state, batches, d_step=d_step, **options)
        return state, found | figures

    return step


if __name__ == "__main__":
    train.main(Config, make, images)
