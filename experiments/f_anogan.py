"""f-AnoGAN: AnoGAN with an encoder in the place of its search (Schlegl et al. 2019,
https://doi.org/10.1016/j.media.2019.01.010).

    python -m experiments.f_anogan
    python -m experiments.f_anogan --data tfds:fashion_mnist --normal Trouser

For `game_steps` WGAN-GP learns of the classes `normal` alone, as in `experiments.wgan_gp`. Then an encoder E
with a tanh for its last layer learns by RMSProp, while G and D stand still in inference mode, to minimise

    mean (x - G(E(x)))^2 + weight mean (f(x) - f(G(E(x))))^2

of normal images, where f is what D's last hidden layer has. Of a query the same sum is the score. E has D's
trunk, without normalisation; z is uniform in [-1, 1), which is where a tanh reaches, and normal in the paper.
How images are scored, and beside what, is as in `experiments.anogan`.

Measured by `--image-size 8 --normal 8 --width 16 --game-steps 400 --steps 2400` with seed 0, in a minute of
one core of an AMD EPYC (family 25 model 1): auc 0.958 (0.901 to 0.993; 58 images), of the class mean 0.954,
of 32 principal components 0.968, and of an untrained G 0.668.

On Fashion-MNIST with `--image-size 16 --width 16 --held-out 400 --seeds 5`, 9 to 16 minutes a class beside
other work: auc and half its 95 % interval over the seeds, and in brackets that of the class mean, of PCA and
of an untrained G. Latents and lengths were chosen by auc_validation.

    Trouser                                              0.983 +- 0.003  (0.958, 0.983, 0.19)
    Pullover  --game-steps 600 --steps 2600              0.884 +- 0.004  (0.846, 0.888, 0.81)
    Sandal    --game-steps 600 --steps 2600 --latent 8   0.927 +- 0.014  (0.893, 0.915, 0.17)
    Bag                                                  0.876 +- 0.015  (0.843, 0.927, 0.69)

With the latent of 100 sandals have 0.903; after 600 steps of the game bags have 0.863 and trousers 0.981.

Published: an AUC of 0.93 on images of retinas.
"""

from dataclasses import dataclass
from functools import partial

import jax
import optax
from jax import lax

from experiments import dcgan, wgan_gp
from jaxgan import anomaly, dynamics, steps, train
from jaxgan.config import Count, Decay, InputError, Natural, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.anomalies import anomalies
from jaxgan.losses.adversarial import wasserstein
from jaxgan.losses.penalties import gradient_penalty
from jaxgan.nets import f_anogan
from jaxgan.recipes import check_filled
from jaxgan.terms import penalty
from jaxgan.train import Loop
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(wgan_gp.Config):
    """f-AnoGAN."""

    normal: str = "0"  # the class that is trained on, or several, as 0+1
    held_out: Count | None = None  # normal images not trained on, and as many others; a third, at most 400
    game_steps: Natural = 1500  # generator updates, before the encoder's
    steps: Count = 4500  # of the game, then of the encoder: 50,000 of these in the authors' code
    e_lr: Rate = 5e-4  # the encoder's learning rate; 5e-5 in the authors' code
    weight: Rate = 1.0  # of D's features in the encoder's loss and the score, kappa
    ema_decay: Decay | None = None  # of the generator's average and the encoder's; none in the paper


def autoencoder(cfg: Config, axis: str | None) -> f_anogan.Autoencoder:
    """G and E."""
    check_filled(cfg)
    head = f_anogan.Code(cfg.latent, cfg.dtype)
    encoder = dcgan.discriminator(cfg, axis, norm="none", head=head)
    return f_anogan.Autoencoder(dcgan.generator(cfg, axis), encoder)


def game(cfg: Config, axis: str | None = None) -> GAN:
    """WGAN-GP, in which the encoder has no part."""
    return two_player(
        autoencoder(cfg, axis),
        dcgan.discriminator(cfg, axis, norm="none"),
        loss=wasserstein,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
        d_terms={"gp": penalty(gradient_penalty, weight=cfg.gp_weight, one_sided=cfg.one_sided)},
    )


def encode(net: f_anogan.Autoencoder, gan: GAN, weight, g_variables, d_variables, x) -> anomaly.Examined:
    """What is found of data by the encoder."""
    made = net.apply(g_variables, x, method=net.reconstruct)
    of = partial(anomaly.features, partial(gan.critic, d_variables))
    return anomaly.izi(x, made, of(x), of(made), weight)


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one.

    Raises:
      InputError: if there are no steps for the encoder.
    """
    if cfg.steps <= cfg.game_steps:
        raise InputError(f"--steps {cfg.steps}: the encoder learns after --game-steps {cfg.game_steps}")
    net, gan = autoencoder(cfg, axis), game(cfg, axis)

    def examine(g_variables, d_variables, x, key, slot):
        return encode(net, gan, cfg.weight, g_variables, d_variables, x)

    gan = gan._replace(examine=anomaly.controlled(gan, examine, jax.random.key(cfg.seed)))
    adam = partial(optax.adam, b1=cfg.beta1, b2=cfg.beta2)
    # By its momentum G would move on where its gradient is none; the encoder has no moments before its phase.
    parts = {
        "generator": optax.conditionally_mask(adam(cfg.g_lr), lambda step: step < cfg.game_steps),
        "encoder": optax.rmsprop(cfg.e_lr),
    }
    by_name = lambda params: {name: name for name in params}  # noqa: E731
    return gan, Optimizers(optax.partition(parts, by_name), adam(cfg.d_lr), cfg.ema_decay, cfg.shared_draws)


def encoders_loss(cfg: Config, axis: str | None = None):
    """That of the second phase, as `GAN.g_loss`."""
    net, gan = autoencoder(cfg, axis), game(cfg, axis)

    def loss(params, state, batch, key):
        params = {**params, "generator": lax.stop_gradient(params["generator"])}
        variables = {"params": params, **state.g.stats}
        found = encode(net, gan, cfg.weight, variables, state.d.variables, batch["image"])
        parts = {"residual": found.residual.mean(), "features": found.features.mean()}
        return found.score.mean(), (state, parts)

    return loss


def train_step(cfg: Config):
    """The game's updates, and after `game_steps` the encoder's alone."""

    def step(gan, opts, state, batches, **options):
        encoding = gan._replace(g_loss=encoders_loss(cfg, options.get("axis")))

        def play(state):
            return steps.train_step(gan, opts, state, batches, **options)

        def encode(state):
            last = jax.tree.map(lambda x: x[-1], batches)
            return steps.g_step(encoding, opts, state, last, **options)

        return dynamics.one_of(state.step < cfg.game_steps, play, encode, state)

    return step


loop = Loop(sample_every=500, evaluate_every=500, checkpoint_every=1000)

if __name__ == "__main__":
    train.main(Config, make, anomalies, loop)
