"""AC-GAN: D also names the class (Odena, Olah and Shlens 2017, https://arxiv.org/abs/1610.09585).

    python -m experiments.acgan

G is given the label, D is not: beside its logit it says which class it sees. D and G both lower the cross
entropy of the class, D on real and generated images, G on generated ones.

Measured by this command with seeds 0, 1 and 2, in about a minute each on one CPU core: fcd 9.0, 12.6
and 17.5 (two random halves of the real digits are 6.8 apart). By a judge that is right on 99.0 % of
held-out real digits each class has 8.1 to 12.3 % of the samples; diversity 0.81 to 0.86, memorisation
1.05 to 1.11. It sees the label that was asked for in 97.3, 99.2 and 97.2 % of 5000 samples.

Published: an Inception score of 8.25 +- 0.07 on CIFAR-10.
"""

from dataclasses import dataclass

from experiments import cgan, dcgan
from jaxgan import train
from jaxgan.config import Count, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses.adversarial import non_saturating
from jaxgan.losses.auxiliary import cross_entropy
from jaxgan.nn.conditional import AuxiliaryClassifier
from jaxgan.terms import Term
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(cgan.Config):
    """Auxiliary classifier GAN."""

    width: Count = 32  # channels next to the image, doubled at each level inward
    steps: Count = 4000  # generator updates
    d_class_weight: Rate = 1.0  # of the classes' cross entropy in D's loss
    g_class_weight: Rate = 1.0  # of the classes' cross entropy in G's loss


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""

    def on_fake(seen):
        return cross_entropy(seen.of_fake, seen.batch["label"])

    def on_both(seen):
        return cross_entropy(seen.of_real, seen.batch["label"]) + on_fake(seen)

    gan = two_player(
        dcgan.generator(cfg, axis, n_classes=cfg.n_classes),
        dcgan.discriminator(cfg, axis, head=AuxiliaryClassifier(cfg.n_classes, cfg.dtype)),
        loss=non_saturating,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
        condition="label",
        d_terms={"classes": Term(on_both, cfg.d_class_weight)},
        g_terms={"classes": Term(on_fake, cfg.g_class_weight)},
    )
    return gan, dcgan.optimizers(cfg)


if __name__ == "__main__":
    train.main(Config, make, images)
