"""SeqGAN: a generator of tokens as a policy (Yu et al. 2017, https://arxiv.org/abs/1609.05473).

    python -m experiments.seqgan

An LSTM G draws y_1 ... y_L one after another. It learns in three phases, by the number of the step:

    mle_steps    G minimises -log p of the data's lines, D stands still
    d_steps      D minimises -log D(x) - log(1 - D(y)), n_critic times a step, G stands still
    the others   G maximises the expected D(y), and D goes on as before

In the last, G follows the gradient sum_t (Q_t - b_t) grad log p(y_t | y_1 ... y_t-1), where Q_t is the mean
of D over `rollouts` completions of y_1 ... y_t, and for the last token D(y) itself. They are drawn by a
roll-out policy, which starts as G and of which `decay` stays at each update. The baseline b_t is the mean of
the other examples' Q_t, and adds no bias. With `--estimator gumbel` G follows the gradient of log D through
one-hot draws instead, which are a softmax to it (straight-through Gumbel-softmax: Jang, Gu and Poole 2017).

The data are lines of an LSTM with weights from N(0, 1), the oracle (section 5.1), and the score is what that
says of the samples: oracle_nll, its -log p in nats a token. Lower temperatures lower it too, at the price of
variety, so that `jaxgan report` draws it over them, beside the divergence of bigrams. The negative control is
`--reward constant`, and the start from which it has to fall a run that ends with its --mle-steps.

In the paper 5000 tokens, lines of 20, 120 epochs of likelihood, 16 roll-outs, D's filters 1 to 20 wide with
100 to 200 of each, and 15 epochs of D for one update of G; G has no baseline, and D's last layer an L2 term.

Measured by this command with `--seeds 5`, in 30 minutes of one core of an AMD EPYC (family 25 model 1)
beside other work: from where likelihood ends to the last step oracle_nll falls from 3.307, 3.317, 3.292,
3.342 and 3.264 to 3.182, 3.197, 3.229, 3.228 and 3.187, by 0.100 in the mean (0.065 to 0.134, Student's t);
the oracle's own lines have 2.349. jsd_4 is 0.675 to 0.684 at the end, where other lines of the oracle have
0.655 and those of a unigram model 0.971. With `--reward constant --no-baseline` oracle_nll rises in each
seed, by 0.03 to 0.16. With `--estimator gumbel` and seed 0 it ends at 3.187, in 5 minutes.

A lower temperature has more, at the price of variety. At 0.5, 0.7, 0.85 and 1 oracle_nll and, in brackets,
jsd_2 are in the mean over seeds 1.92 (0.221), 2.44 (0.102), 2.88 (0.059) and 3.30 (0.047) where likelihood
ends, 1.87 (0.228), 2.34 (0.110), 2.78 (0.063) and 3.20 (0.045) at the last step, and 1.45 (0.175), 1.75
(0.081), 2.04 (0.048) and 2.35 (0.038) of the oracle's own lines: at an equal jsd_2 between these about 0.06
of the 0.10 are left.

Published: an oracle_nll of 8.736, and of likelihood alone 9.038 (table 1).
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import optax
from annotated_types import Gt
from jax import lax

from jaxgan import random, steps, train
from jaxgan.config import Count, Decay, InputError, Natural, Rate, Seed
from jaxgan.data.text import Units
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.sequences import sequences
from jaxgan.losses.adversarial import accuracy, non_saturating
from jaxgan.losses.policy_gradient import leave_one_out, negative_log_likelihood, reinforce
from jaxgan.nets.seqgan import Discriminator, LanguageModel
from jaxgan.random import fold
from jaxgan.reset import reset_at
from jaxgan.train import Loop


@dataclass(frozen=True)
class Config:
    """SeqGAN."""

    data: str = "oracle"  # oracle, grammar or text:PATH, with numbers as in oracle:tokens=64,seed=0
    length: Count | None = None  # tokens of a line; 12, 16 or the longest line's (32 at most) if not given
    units: Units = "characters"  # of a text: characters or words
    most: Count | None = None  # kinds of units that are kept, the others being one unknown; all if not given
    tokens: Count | None = None  # in the vocabulary; as the data has if not given
    embedding: Count = 32  # numbers that a token is for G, and for D
    hidden: Count = 32  # units of the LSTM
    widths: tuple[Count, ...] = (1, 2, 3, 4, 5, 6)  # tokens under D's filters
    filters: Count = 32  # of each width
    dropout: Decay = 0.25  # of what D's last layer sees, in its own updates
    batch_size: Count = 64  # lines in one update
    mle_steps: Natural = 3000  # updates of G by likelihood
    d_steps: Natural = 200  # steps in which D alone is trained
    steps: Count = 4000  # of all three phases
    n_critic: Count = 5  # updates of D in a step
    estimator: Literal["reinforce", "gumbel"] = "reinforce"  # of G's gradient
    rollouts: Count = 8  # completions of each beginning
    decay: Decay = 0.8  # what stays of the roll-out policy at an update
    baseline: bool = True  # the other examples' mean reward
    reward: Literal["discriminator", "constant"] = "discriminator"  # constant: the negative control
    tau: Annotated[float, Gt(0)] = 1.0  # temperature of the Gumbel-softmax
    mle_lr: Rate = 0.01  # G's learning rate by likelihood
    g_lr: Rate = 1e-3  # and by reward; 0.01 in the authors' code
    d_lr: Rate = 1e-3  # D's learning rate; 1e-4 in the authors' code
    clip: Rate = 5.0  # norm of G's gradient, at most
    ema_decay: Decay | None = None  # of the generator's average; none in the paper
    seed: Seed = 0  # of the run's key


def first_reward(cfg: Config) -> int:
    """The step from which on G learns by reward."""
    return cfg.mle_steps + cfg.d_steps


def networks(cfg: Config) -> tuple[LanguageModel, Discriminator]:
    """G and D.

    Raises:
      InputError: if lines of one token, or shorter ones than a filter, are to be judged.
    """
    if cfg.length < 2 or max(cfg.widths) > cfg.length:
        raise InputError(f"--length {cfg.length}: it must be 2 or more, and --widths {cfg.widths} none above")
    g = LanguageModel(cfg.tokens, cfg.embedding, cfg.hidden)
    return g, Discriminator(cfg.tokens, cfg.widths, cfg.filters, cfg.embedding)


def action_values(complete, score, tokens, noise):
    """Q_t f32[B, L] of sequences i32[B, L]: the mean score of the completions of tokens 1 to t.

    Args:
      complete: (noise [M, L], given i32[M, L], known i32[M]) -> i32[M, L].
      score: i32[M, L] -> f32[M].
      noise: f32[B, rollouts, L]; one row serves all beginnings of a sequence.
    """
    b, length = tokens.shape
    known = jnp.repeat(jnp.arange(1, length), b)
    given = jnp.tile(tokens, (length - 1, 1))

    def rollout(noise):
        return score(complete(jnp.tile(noise, (length - 1, 1)), given, known)).reshape(length - 1, b)

    values = lax.map(rollout, noise.swapaxes(0, 1)).mean(0)
    return jnp.concatenate([values, score(tokens)[None]]).T


def game(cfg: Config, axis: str | None = None) -> GAN:
    """The game. A batch has `token` i32[B, L]; `extra` is the roll-out policy's parameters."""
    g, d = networks(cfg)
    latent = partial(random.uniform, shape=(cfg.length,))

    def drawn(params, state, batch, key):
        noise = latent(fold(key, "latent"), batch["slot"])
        return g.apply({"params": params, **state.g.stats}, noise, method=g.draw)

    def init(key, batch):
        tokens = batch["token"]
        variables = g.init(fold(key, "g"), tokens)
        # A copy, as no two parts of a state may share a buffer.
        rollout = jax.tree.map(jnp.copy, variables["params"])
        return variables, d.init(fold(key, "d"), tokens), {"rollout": rollout}

    def d_loss(params, state, batch, key):
        real, fake = batch["token"], drawn(state.g.params, state, batch, key)
        mask = random.uniform(fold(key, "dropout"), batch["slot"], (2, d.features)) >= cfg.dropout
        mask = mask.swapaxes(0, 1).reshape(-1, d.features) / (1 - cfg.dropout)
        logits = d.apply({"params": params}, jnp.concatenate([real, fake]), mask)
        real_logits, fake_logits = jnp.split(logits, 2)
        right = {
            "accuracy_real": accuracy(real_logits, real=True).mean(),
            "accuracy_fake": accuracy(fake_logits, real=False).mean(),
        }
        return non_saturating.d(real_logits, fake_logits).mean(), (state, right)

    def by_reinforce(params, rollout, state, batch, key):
        """The loss and the mean reward."""
        tokens = drawn(params, state, batch, key)
        if cfg.reward == "constant":
            values = jnp.ones(tokens.shape)
        else:
            noise = random.uniform(fold(key, "rollouts"), batch["slot"], (cfg.rollouts, cfg.length))
            policy = {"params": rollout, **state.g.stats}
            complete = partial(g.apply, policy, method=g.complete)
            score = lambda x: jax.nn.sigmoid(d.apply({"params": state.d.params}, x))  # noqa: E731
            values = action_values(complete, score, tokens, noise)
        advantage = values - leave_one_out(values, axis=axis) if cfg.baseline else values
        logits = g.apply({"params": params, **state.g.stats}, tokens)
        return reinforce(logits, tokens, advantage).mean(), values[:, -1].mean()

    def by_gumbel(params, rollout, state, batch, key):
        shape = cfg.length, cfg.tokens
        uniform = random.uniform(fold(key, "gumbel"), batch["slot"], shape, minval=1e-7)
        variables = {"params": params, **state.g.stats}
        soft = g.apply(variables, -jnp.log(-jnp.log(uniform)), cfg.tau, method=g.relaxed)
        logits = d.apply({"params": state.d.params}, soft)
        if cfg.reward == "constant":
            logits = 0 * logits
        return non_saturating.g(logits, logits).mean(), jax.nn.sigmoid(logits).mean()

    def g_loss(params, state, batch, key):
        start = state.step <= first_reward(cfg)
        follow = lambda old, new: jnp.where(start, new, cfg.decay * old + (1 - cfg.decay) * new)  # noqa: E731
        rollout = lax.stop_gradient(jax.tree.map(follow, state.extra["rollout"], params))
        logits = g.apply({"params": params, **state.g.stats}, batch["token"])
        nll = negative_log_likelihood(logits, batch["token"]).mean()
        by_reward = {"reinforce": by_reinforce, "gumbel": by_gumbel}[cfg.estimator]
        loss, reward = lax.cond(
            state.step < first_reward(cfg),
            lambda params: (nll, jnp.zeros(())),
            lambda params: by_reward(params, rollout, state, batch, key),
            params,
        )
        return loss, (state.replace(extra={"rollout": rollout}), {"nll": nll, "reward": reward})

    def sample(variables, noise, condition=None):
        return g.apply(variables, noise, likeliest_first=True, method=g.draw)

    def critic(variables, tokens, condition=None):
        return d.apply(variables, tokens)

    return GAN(init, d_loss, g_loss, latent, sample, critic)


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    if cfg.baseline and cfg.batch_size < 2:
        raise InputError("--batch-size 1: the baseline is of the other examples; give 2, or --no-baseline")
    # Adam starts afresh with the reward.
    rewarded = lambda updates: updates >= cfg.mle_steps  # noqa: E731
    g = optax.chain(
        optax.clip_by_global_norm(cfg.clip),
        reset_at(optax.scale_by_adam(), rewarded),
        optax.scale_by_learning_rate(lambda updates: jnp.where(rewarded(updates), cfg.g_lr, cfg.mle_lr)),
    )
    return game(cfg, axis), Optimizers(g, optax.adam(cfg.d_lr), cfg.ema_decay)


def train_step(cfg: Config):
    """G's update and then D's, of those whose phase it is; the figures of D are 0 while it stands still."""

    def step(gan, opts, state, batches, **options):
        batches = steps.with_slots(batches, 1, options.get("axis"))
        last = {name: x[-1] for name, x in batches.items()}
        before, waits = state.g, (cfg.mle_steps <= state.step) & (state.step < first_reward(cfg))
        likely = state.step < cfg.mle_steps
        state, figures = steps.g_step(gan, opts, state, last, **options)
        state = state.replace(g=jax.tree.map(lambda old, new: jnp.where(waits, old, new), before, state.g))

        def turn(state, inputs):
            turn, batch = inputs
            return steps.d_step(gan, opts, state, batch, turn=turn, **options)

        def d_turns(state):
            state, found = lax.scan(turn, state, (jnp.arange(cfg.n_critic), batches))
            return state, {name: x[-1] for name, x in found.items()}

        def none(state):
            return state, dict.fromkeys(("d/loss", "d/accuracy_real", "d/accuracy_fake"), jnp.zeros(()))

        state, found = lax.cond(likely, none, d_turns, state)
        return state, found | figures

    return step


loop = Loop(chunk=100, log_every=20, sample_every=500, evaluate_every=200, checkpoint_every=1000)

if __name__ == "__main__":
    train.main(Config, make, sequences, loop)
