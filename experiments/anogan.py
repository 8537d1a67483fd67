"""AnoGAN: images that a GAN of normal ones cannot make (Schlegl et al. 2017, https://arxiv.org/abs/1703.05921).

    python -m experiments.anogan
    python -m experiments.anogan --data tfds:fashion_mnist --normal Trouser

DCGAN learns of the classes `normal` alone. Of a query x that z is sought by Adam, from a latent of its own
and in `search_steps`, which minimises

    (1 - weight) sum |x - G(z)| + weight sum |f(x) - f(G(z))|

where f is what D's last hidden layer has. What is left is the score, and |x - G(z)| the heat map. G and D are
in inference mode.

Of the images that are held out, normal and anomalous, half are for choosing by: by misordered_validation,
which is 1 - AUC there, the best checkpoint is kept, `--search-steps` and `--weight` are to be chosen, and
PCA's components are. The others are scored at the end: `auc`, beside the distance from the mean of the images
trained on, what their principal components leave, and G as it was before its first step (auc_untrained).

Measured by `--normal 8 --width 16`, the digit 8 being normal, with seed 0, in 5 minutes of one core of an
AMD EPYC (family 25 model 1) beside other work: auc 0.972 (0.928 to 1; 58 images), of the class mean 0.968,
of 16 principal components 0.976, and of an untrained G 0.829. So nothing is won over these here.

On Fashion-MNIST with `--image-size 16 --width 16 --held-out 400 --seeds 5`, 7 to 14 minutes a class beside
other work: auc and half its 95 % interval over the seeds, and in brackets that of the class mean, of PCA and
of an untrained G. Latents, lengths and weights were chosen by auc_validation.

    Trouser   --search-steps 200                              0.974 +- 0.003  (0.958, 0.983, 0.27)
    Pullover  --steps 4000 --latent 8 --weight 0.95           0.870 +- 0.015  (0.846, 0.888, 0.68)
    Sandal    --latent 8 --search-steps 200                   0.919 +- 0.003  (0.893, 0.915, 0.31)
    Bag       --steps 4000 --latent 2 --search-steps 200
              --weight 0.9 --search-rate 0.05                 0.860 +- 0.022  (0.843, 0.927, 0.72)

So it is above the class mean in each, by 0.02, and below PCA in three. In 100 numbers a search finds
anomalies too: with `--latent 100` and the default weight bags have 0.799, and on validation images 0.795
after 200 steps falls to 0.708 after 500 of five times the rate. Bags are told by what D sees rather than by
pixels: of one search in 8 numbers the features alone have 0.848 on validation images, the pixels 0.788.

Published: an AUC of 0.89 on images of retinas; with one digit of MNIST normal 0.85 to 0.99, in the mean 0.913
(Perera, Nallapati and Xiang 2019).
"""

from dataclasses import dataclass
from functools import partial

import jax

from experiments import dcgan
from jaxgan import anomaly, train
from jaxgan.config import Chance, Count, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.anomalies import anomalies
from jaxgan.train import Loop


@dataclass(frozen=True)
class Config(dcgan.Config):
    """AnoGAN."""

    normal: str = "0"  # the class that is trained on, or several, as 0+1
    held_out: Count | None = None  # normal images not trained on, and as many others; a third, at most 400
    width: Count = 32  # channels next to the image, doubled at each level inward
    steps: Count = 2000  # generator updates
    search_steps: Count = 500  # of Adam, for each query
    search_rate: Rate = 0.02  # of Adam there
    weight: Chance = 0.1  # of D's features in the score, lambda


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    gan, opts = dcgan.make(cfg, axis)
    how = dict(steps=cfg.search_steps, rate=cfg.search_rate, weight=cfg.weight)
    examine = anomaly.controlled(gan, partial(anomaly.search, gan, **how), jax.random.key(cfg.seed))
    return gan._replace(examine=examine), opts


loop = Loop(sample_every=500, evaluate_every=500, checkpoint_every=1000)

if __name__ == "__main__":
    train.main(Config, make, anomalies, loop)
