"""InfoGAN: part of the latent is to be read off the image (Chen et al. 2016, https://arxiv.org/abs/1606.03657).

    python -m experiments.infogan

The latent holds a category and continuous codes, uniform in [-1, 1), beside its noise. A head on D's
features, Q, predicts them from the image, and both players lower -log Q(c | G(z)), which bounds their
mutual information with the image from below. Its last numbers are the codes: the continuous ones,
and one whose place in [-1, 1) among equal parts is the category. (So truncation by `jaxgan sample
--psi` leaves out the first and the last categories.)

Measured by this command with seeds 0, 1 and 2, in about a minute each on one CPU core: fcd 4.4, 3.6 and
3.9 (two random halves of the real digits are 6.8 apart). By a judge that is right on 99.0 % of held-out
real digits each class has 8.3 to 12.0 % of the samples; diversity 0.95 to 0.97, memorisation 1.11 to
1.14. The category is the judge's class in 82 % (seed 0, `agreement`).

Published: the category of an InfoGAN of MNIST, as a classifier of the digits, is wrong on 5 % (section 7.2).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from scipy.optimize import linear_sum_assignment

from experiments import dcgan
from jaxgan import plots, records, run, sampling, train
from jaxgan.config import Count, Decay, Natural, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses.adversarial import non_saturating
from jaxgan.losses.auxiliary import cross_entropy, gaussian_code
from jaxgan.losses.penalties import r1
from jaxgan.metrics import judge as judges
from jaxgan.nn.conditional import CodeHead
from jaxgan.terms import penalty
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(dcgan.Config):
    """InfoGAN."""

    width: Count = 32  # channels next to the image, doubled at each level inward
    steps: Count = 3000  # generator updates
    g_lr: Rate = 1e-3  # the generator's learning rate
    d_lr: Rate = 1e-3  # the discriminator's learning rate
    beta1: Decay = 0.0  # of Adam
    beta2: Decay = 0.99  # of Adam
    r1: Rate = 1.0  # gamma of the penalty of D's slope at real images; none in the paper
    latent: Count = 19  # numbers in z, the codes among them; 74 in the paper, a category of 10 among them
    categories: Count = 10  # that the last number of z chooses from
    continuous: Natural = 2  # codes that stand before it
    category_weight: Rate = 0.1  # of the category's cross entropy; 1 in the paper
    continuous_weight: Rate = 0.1  # of the continuous codes' squared error


def codes(z, categories: int, continuous: int):
    """The category i32[B] and the continuous codes f32[B, continuous] of latents z [B, latent]."""
    category = jnp.floor((z[:, -1] + 1) / 2 * categories).astype(jnp.int32)
    return jnp.clip(category, 0, categories - 1), z[:, -1 - continuous : -1]


class Generator(nn.Module):
    """z [B, latent] -> images, the category as a one-hot code."""

    net: nn.Module
    categories: int

    def __call__(self, z, *, train: bool):
        category, _ = codes(z, self.categories, 0)
        one_hot = jax.nn.one_hot(category, self.categories)
        return self.net(jnp.concatenate([z[:, :-1], one_hot], 1), train=train)


class Head(nn.Module):
    """Features [B, F] -> (logits f32[B], what Q says of the codes)."""

    categories: int
    continuous: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, label=None):
        logits = nn.Dense(1, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)
        hidden = nn.leaky_relu(nn.Dense(128, dtype=self.dtype)(x), 0.1)
        return logits, CodeHead((self.categories,), self.continuous, self.dtype)(hidden)


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""

    if cfg.latent <= cfg.continuous:
        raise ValueError(
            f"--latent {cfg.latent}: it holds {cfg.continuous} codes and the category's; give more"
        )

    def category(seen):
        (logits,), _ = seen.of_fake
        return cfg.category_weight * cross_entropy(logits, codes(seen.z, cfg.categories, cfg.continuous)[0])

    def continuous(seen):
        _, means = seen.of_fake
        return cfg.continuous_weight * gaussian_code(means, codes(seen.z, cfg.categories, cfg.continuous)[1])

    information = {"category": category, "continuous": continuous}

    gan = two_player(
        Generator(dcgan.generator(cfg, axis), cfg.categories),
        dcgan.discriminator(cfg, axis, norm="none", head=Head(cfg.categories, cfg.continuous, cfg.dtype)),
        loss=non_saturating,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
        d_terms={"r1": penalty(r1, gamma=cfg.r1), **information},
        g_terms=information,
    )
    return gan, dcgan.optimizers(cfg)


def matched(category, seen, categories: int, classes: int) -> float:
    """How often a category is the class seen, both i32[N], in [0, 1], the categories named by the matching of
    both that is best (as in the paper's section 7.2)."""
    counts = np.zeros((categories, classes), int)
    np.add.at(counts, (np.asarray(category), np.asarray(seen)), 1)
    return float(counts[linear_sum_assignment(-counts)].sum() / len(seen))


def agreement(path, n: int = 5000, data_dir: str | None = None) -> float:
    """How often the category of a run's samples is the class that the judge of its data sees, `matched`."""
    trained = sampling.load(path)
    cfg = trained.config
    judge = judges.cached(run.dataset(records.read(path), data_dir))
    z = trained.gan.latent(jax.random.key(cfg.seed), jnp.arange(n))
    category, _ = codes(z, cfg.categories, cfg.continuous)
    logits, _ = judges.judge(judge, plots.to_uint8(trained.of(z)))
    return matched(category, logits.argmax(1), cfg.categories, judge.n_classes)


if __name__ == "__main__":
    train.main(Config, make, images)
