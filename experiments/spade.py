"""SPADE, or GauGAN (Park et al. 2019, https://arxiv.org/abs/1903.07291): from label maps to images.

    python -m experiments.spade
    python -m experiments.spade --modulation concat
    python -m experiments.spade --encoder
    python -m experiments.spade --data folder:PATH --task "" --labels 35 --boundaries

Drawings of 32 pixels from their maps of five labels, 500 of 10,000 held out; medians and ranges of seeds 0
to 2, by `jaxgan sweep spade --set modulation=spade,concat --seeds 3` in 34 minutes beside other work on two
cores of an Intel Xeon (family 6 model 207). The labels are read back from the answers by the drawings'
colours, also from answers to maps of one label alone (`uniform`): where the map stands beside each layer's
input, instance normalisation leaves nothing of such a one.

| | miou | uniform | pixels right |
|---|---|---|---|
| SPADE | 0.925 (0.918 to 0.926) | 0.9986 (0.9785 to 0.9994) | 0.968 (0.966 to 0.970) |
| the map beside, instance norm | 0.930 (0.925 to 0.939) | 0.200 (0.199 to 0.200) | 0.970 (0.967 to 0.974) |

With `--encoder` (seed 0, 8 minutes) miou is 0.977 and uniform 0.994, two answers to one map differ by an l1
of 0.13, in their backgrounds, and the Frechet distance of cell means is 0.90 in place of 7.10.

Published: a mean IoU of 37.4 % on COCO-Stuff, 38.5 % on ADE20K and 62.3 % on Cityscapes, by other segmenters.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import optax

from jaxgan import random, train
from jaxgan.config import Count, InputError, Natural, Rate, Seed
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.pairs import pairs
from jaxgan.losses.adversarial import hinge
from jaxgan.nets import multiscale, pix2pix, spade
from jaxgan.terms import Term, feature_matching, over_scales
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config:
    """SPADE."""

    data: str = "shapes"  # of the task labels; or folder:PATH or npz:PATH of label maps and images
    task: str = "labels"  # "" of data that are pairs
    arrays: str = "input,image"  # the maps and the images in an npz file
    held_out: Count = 500  # pairs that are not trained on
    split: str = "train"  # of a TFDS set
    labels: int | None = None  # of a map, 0 to LABELS - 1; those of shapes are known
    boundaries: bool = False  # G is also told where instances meet
    image_size: Count = 32  # pixels a side
    channels: int | None = None  # 1 or 3; the data's own if not given
    batch_size: Count = 8  # pairs in one update
    steps: Natural = 2000  # generator updates
    n_critic: Count = 1  # discriminator updates for one of the generator
    seed: Seed = 0  # of the run's key
    g_lr: Rate = 4e-4  # the generator's learning rate
    d_lr: Rate = 1.6e-3  # four times G's, as the paper has it
    matching: Rate = 10.0  # of D's inner maps
    modulation: Literal["spade", "concat"] = "spade"  # concat: the map beside the input of each layer
    norm: Literal["batch", "instance"] = "batch"  # within SPADE
    encoder: bool = False  # styles: z is drawn around what an encoder makes of the real image
    latent: Count = 16  # numbers of a style
    divergence: Rate = 0.05  # of the encoder's styles from the standard normal ones
    g_width: Count = 8  # channels next to the image; 64 in the paper
    d_width: Count = 16  # channels of each discriminator's first layer; 64 in the paper
    hidden: Count = 32  # of the layers that make SPADE's numbers; the paper's 128
    layers: Natural = 2  # of D at each scale
    scales: Count = 2  # discriminators, each of half the size of the one before


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    if cfg.labels is None:
        raise InputError(
            "SPADE takes label maps: --task labels of shapes, or --labels N of data that are pairs"
        )
    g = spade.Generator(
        cfg.labels,
        cfg.g_width,
        depth=pix2pix.depth(cfg.image_size),
        channels=cfg.channels,
        hidden=cfg.hidden,
        modulation=cfg.modulation,
        norm=cfg.norm,
        encoder=cfg.encoder,
        axis=axis,
    )
    d = multiscale.Discriminator(
        cfg.d_width, cfg.layers, range(cfg.scales), norm="spectral", labels=cfg.labels
    )
    terms = {"matching": Term(feature_matching, cfg.matching)}
    if cfg.encoder:
        terms["divergence"] = Term(lambda seen: spade.divergence(seen.of_g), cfg.divergence)
    gan = two_player(
        g,
        d,
        loss=over_scales(hinge),
        latent=partial(random.normal, shape=(cfg.latent if cfg.encoder else 0,)),
        condition="input",
        g_terms=terms,
    )
    return gan, Optimizers(*(optax.adam(lr, b1=0.0, b2=0.9) for lr in (cfg.g_lr, cfg.d_lr)))


if __name__ == "__main__":
    train.main(Config, make, pairs)
