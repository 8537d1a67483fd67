"""How the two players move: the Jacobian of their motion, and updates other than alternating ones.

A variant is a GAN made from a GAN, an optax transformation, or a train step that an experiment names
as its own, so each goes with any loss, penalty, optimiser, device axis and lanes. Optimistic
updates are optax's own: `simultaneous_step` with `optax.optimistic_gradient_descent` or
`optax.optimistic_adam_v2` for both players (Daskalakis et al. 2018).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

from jaxgan.config import InputError
from jaxgan.game import GAN, GANState, Optimizers, PyTree
from jaxgan.random import kind_of
from jaxgan.steps import check_parts, d_step, g_step, shared_key, train_step, update, with_slots
from jaxgan.terms import finite


def vector_field(d_loss: Callable, g_loss: Callable) -> Callable:
    """The motion of any two-player game in continuous time, each player down its own gradient
    (Mescheder et al. 2017).

    Args:
      d_loss, g_loss: (d_params, g_params) -> f[], of any two pytrees.

    Returns:
      (d_params, g_params) -> (-grad d_loss, -grad g_loss), each in its own player's parameters. An
      equilibrium is stable if the real parts of the field's `eigenvalues` there are negative.
    """

    def field(point):
        d_params, g_params = point
        motion = jax.grad(d_loss)(d_params, g_params), jax.grad(g_loss, argnums=1)(d_params, g_params)
        return jax.tree.map(jnp.negative, motion)

    return field


def eigenvalues(step: Callable, point: PyTree) -> np.ndarray:
    """The eigenvalues of a map's Jacobian at a point: of a vector field, or of an update.

    A fixed point of an update attracts if all lie inside the unit circle, at a rate of the largest
    modulus a step. The Jacobian has the parameters' own precision (see `jax.enable_x64`), its
    eigenvalues are taken in float64. What is under a `lax.stop_gradient` counts as constant.

    Args:
      step: point -> point, two pytrees of n real numbers, in the same order.
      point: where.

    Returns:
      complex128[n], the largest modulus first; of a conjugate pair, the positive imaginary part.

    Raises:
      InputError: if the point is not of real numbers, or the map makes a number of others.
    """
    flat, unravel = ravel_pytree(point)
    if not jnp.issubdtype(flat.dtype, jnp.floating):
        raise InputError(f"the point is of real numbers, floats, not {kind_of(flat)}")
    jacobian = jax.jacfwd(lambda x: ravel_pytree(step(unravel(x)))[0])(flat)
    if jacobian.shape[0] != jacobian.shape[1]:
        raise InputError(
            f"the map makes {jacobian.shape[0]} numbers of {jacobian.shape[1]}: it has no eigenvalues"
        )
    values = np.linalg.eigvals(np.asarray(jacobian, np.float64)).astype(np.complex128)
    return values[np.lexsort((-values.imag, -np.abs(values)))]


def unrolled(
    gan: GAN, opts: Optimizers, steps: int, *, stop_gradient: bool = False, axis: str | None = None
) -> GAN:
    """G learns against the D that `steps` more updates would make of D (Metz et al. 2017, equation 9).

    The updates are D's own, `opts.d` and statistics included, and G's gradient goes through them
    (equation 12); D itself is updated once, as ever. All of them see G's real batch and G's random
    draws, as in the paper's experiments (section 3: a fixed minibatch for all unrolling steps). Where the
    batch is cut into microbatches, each looks ahead on its own.

    Adam needs `eps_root` above 0 here, such as 1e-16: its square root has no gradient where all of a
    parameter's gradients were 0, and a dead ReLU would make G's gradient NaN.

    Args:
      steps: K, 0 or more; 0 is the plain game. G's gradient takes K times D's memory.
      stop_gradient: leaves out how the K updates depend on G, equation 12's second term. This only
        looks ahead, and on the Dirac-GAN damps half as much.
      axis: the name of the device axis, if the batch is one shard of several.
    """
    check_parts(gan, opts)
    if isinstance(steps, bool | float) or (isinstance(steps, int) and steps < 0):
        raise InputError(f"G foresees a whole number of updates, 0 or more, not {steps!r}")

    def g_loss(params, state, batch, key):
        moved = state if stop_gradient else state.replace(g=state.g.replace(params=params))

        def ahead(_, d):
            return update("d", gan.d_loss, opts.d, moved.replace(d=d), batch, key=key, axis=axis)[0].d

        d = lax.fori_loop(0, steps, ahead, state.d)
        loss, (after, metrics) = gan.g_loss(params, state.replace(d=d), batch, key)
        return loss, (after.replace(d=state.d), metrics)

    return gan._replace(g_loss=g_loss)


def consensus(gan: GAN, gamma, *, axis: str | None = None) -> GAN:
    """Adds gamma / 2 ||v||^2 to both losses, v being both players' gradients: v becomes
    v + gamma J^T v with J the Jacobian of v (Mescheder et al. 2017).

    The paper updates both players at once, as `simultaneous_step` does. v is the gradient of the batch
    at hand, or of a microbatch.

    Args:
      gamma: 0 or more; 0 is the plain game.
      axis: the name of the device axis, if the batch is one shard of several.

    Returns:
      A GAN with one more metric of each player, `consensus`: 1 / 2 ||v||^2.
    """
    finite("gamma", gamma, 0)

    def both(d_params, g_params, state, batch, key):
        state = state.replace(d=state.d.replace(params=d_params), g=state.g.replace(params=g_params))
        d, d_grads = jax.value_and_grad(gan.d_loss, has_aux=True)(d_params, state, batch, key)
        g, g_grads = jax.value_and_grad(gan.g_loss, has_aux=True)(g_params, state, batch, key)
        v = (d_grads, g_grads) if axis is None else lax.pmean((d_grads, g_grads), axis)
        return d, g, optax.tree.norm(v, squared=True) / 2

    def regularised(value, square):
        loss, (state, metrics) = value
        return loss + gamma * square, (state, {**metrics, "consensus": square})

    def d_loss(params, state, batch, key):
        d, _, square = both(params, state.g.params, state, batch, key)
        return regularised(d, square)

    def g_loss(params, state, batch, key):
        _, g, square = both(state.d.params, params, state, batch, key)
        return regularised(g, square)

    return gan._replace(d_loss=d_loss, g_loss=g_loss)


def _together(gan, opts, state, batch, **options):
    """One update of each player at the same state."""
    after_d, d_metrics = d_step(gan, opts, state, batch, **options)
    key = shared_key(opts, state, 0)
    after, g_metrics = g_step(gan, opts, state.replace(extra=after_d.extra), batch, key=key, **options)
    return after.replace(d=after_d.d), {**d_metrics, **g_metrics}


def simultaneous_step(gan: GAN, opts: Optimizers, state: GANState, batches: dict, **options):
    """Both players' updates, each against the opponent as it was before the step.

    Args:
      batches: arrays [1, B, ...].

    Returns:
      The state at the next step, and the metrics.

    Raises:
      InputError: if there is more than one real batch.
    """
    check_parts(gan, opts, state)
    batches = with_slots(batches, 1, options.get("axis"))
    n_critic = batches["slot"].shape[0]
    if n_critic != 1:
        raise InputError(f"simultaneous updates take one real batch a step, not n_critic = {n_critic}")
    batch = jax.tree.map(lambda x: x[0], batches)
    return _together(gan, opts, state, batch, **options)


def extragradient_step(gan: GAN, opts: Optimizers, state: GANState, batches: dict, **options):
    """Extrapolates by a simultaneous update, and updates by the gradients found there (Korpelevich 1976).

    The parameters and the average move from where they were; all else, and so Adam's moments and every
    count of updates, goes on through both (Extra-Adam: Gidel et al. 2019, algorithm 4, option 1).
    Learning-rate schedules therefore count two a step.

    Args:
      batches: arrays [2, B, ...], the extrapolation's real batch and the update's; or [1, B, ...], the
        same for both. Random draws are the two's own in either case.

    Returns:
      The state at the next step, and the update's metrics.

    Raises:
      InputError: if there are more than two real batches.
    """
    check_parts(gan, opts, state)
    batches = with_slots(batches, 1, options.get("axis"))
    n_critic = batches["slot"].shape[0]
    if n_critic > 2:
        raise InputError(f"an extra-gradient step takes one or two real batches, not n_critic = {n_critic}")
    first, last = (jax.tree.map(lambda x, i=i: x[i], batches) for i in (0, -1))
    ahead, _ = _together(gan, opts, state, first, **options)
    ahead = ahead.replace(step=state.step)  # both are one step
    from_d = ahead.replace(d=ahead.d.replace(params=state.d.params))
    after_d, d_metrics = d_step(gan, opts, from_d, last, turn=1, at=ahead.d.params, **options)
    from_g = ahead.replace(
        g=ahead.g.replace(params=state.g.params, ema=state.g.ema, powers=state.g.powers),
        extra=after_d.extra,
    )
    key = shared_key(opts, state, 1)
    after, g_metrics = g_step(gan, opts, from_g, last, turn=1, key=key, at=ahead.g.params, **options)
    return after.replace(d=after_d.d), {**d_metrics, **g_metrics}


def gated_step(gan: GAN, opts: Optimizers, state: GANState, batches: dict, *, threshold=0.8, **options):
    """`train_step`, but D stays as it is, statistics and optimiser state included, where it is right on
    more than `threshold` of the batch (3D-GAN: Wu et al. 2016).

    The accuracy is D's before the update, on the update's own batch, real and generated halves alike.

    Args:
      threshold: in [0, 1].

    Returns:
      As `train_step`, with `d/updated`: 1 if D's last update was made, 0 if not.

    Raises:
      InputError: if D's loss has no metrics `accuracy_real` and `accuracy_fake`, or the threshold is
        not in [0, 1].
    """
    if isinstance(threshold, int | float) and not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}: it must be at least 0 and at most 1")

    def gated(gan, opts, state, batch, **options):
        after, metrics = d_step(gan, opts, state, batch, **options)
        if missing := {"d/accuracy_real", "d/accuracy_fake"} - set(metrics):
            raise InputError(f"D is gated by its accuracy, and its loss has no metric {min(missing)[2:]}")
        accuracy = (metrics["d/accuracy_real"] + metrics["d/accuracy_fake"]) / 2
        is_open = accuracy <= threshold
        d = jax.tree.map(partial(jnp.where, is_open), after.d, state.d)
        return after.replace(d=d), {**metrics, "d/updated": is_open.astype(jnp.float32)}

    return train_step(gan, opts, state, batches, d_step=gated, **options)


def one_of(first, a: Callable, b: Callable, state: GANState) -> tuple[GANState, dict]:
    """a(state) where `first`, bool[], is true, and b(state) where it is not, as of a training's two phases.

    Both are state -> (state, metrics). All steps tell the figures of both: of what has no part in a step they
    are 0.
    """
    names = sorted({*jax.eval_shape(a, state)[1], *jax.eval_shape(b, state)[1]})

    def telling_all(of):
        def taken(state):
            state, found = of(state)
            return state, {name: found.get(name, jnp.zeros(())) for name in names}

        return taken

    return lax.cond(first, telling_all(a), telling_all(b), state)


def wgan_schedule(n_critic=5, *, many=100, first=25, every=500) -> Callable:
    """How often the critic of a WGAN is updated: `many` times while G has made fewer than `first`
    updates and at each `every`-th, else `n_critic` times (the code of Arjovsky et al. 2017).

    Returns:
      step i32[] -> (the updates of that step, those of all steps before it), as
      `data.resident.scheduled` takes it.
    """

    for name, n in (("n_critic", n_critic), ("many", many), ("every", every)):
        if isinstance(n, bool | float) or (isinstance(n, int) and n < 1):
            raise InputError(f"{name} is a whole number of 1 or more, not {n!r}")

    def schedule(step):
        def multiples(below):
            return (below + every - 1) // every

        busy = (step < first) | (step % every == 0)
        since = jnp.maximum(multiples(step) - multiples(first), 0)
        busy_before = jnp.minimum(step, first) + since
        return jnp.where(busy, many, n_critic), n_critic * step + (many - n_critic) * busy_before

    return schedule


def scheduled_step(gan: GAN, opts: Optimizers, state: GANState, batches: tuple, **options):
    """`train_step` with a number of discriminator updates that may depend on the step.

    An experiment has, beside `make`,

        def train_step(cfg):
            return dynamics.scheduled_step

        def batches(cfg, draw):
            return partial(resident.scheduled, draw, schedule=dynamics.wgan_schedule(cfg.n_critic))

    Args:
      batches: n_critic i32[], 1 or more, and turn -> the turn's real batch [B, ...].
    """
    check_parts(gan, opts, state)
    if not (isinstance(batches, tuple) and len(batches) == 2 and callable(batches[1])):
        raise InputError(
            f"batches are (n_critic, turn -> batch), as resident.scheduled makes, not {kind_of(batches)}"
        )
    n_critic, batch = batches

    def turn(i, carry):
        return d_step(gan, opts, carry[0], batch(i), turn=i, **options)

    _, d_metrics = jax.eval_shape(turn, 0, (state, None))
    d_metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), d_metrics)
    state, d_metrics = lax.fori_loop(0, n_critic, turn, (state, d_metrics))
    key = shared_key(opts, state, n_critic - 1)
    state, g_metrics = g_step(gan, opts, state, batch(n_critic - 1), key=key, **options)
    return state, {**d_metrics, **g_metrics}


def clip_weights(limit: float) -> optax.GradientTransformation:
    """Keeps every parameter within +-limit, to float rounding, after the update (Arjovsky et al. 2017,
    algorithm 1: 0.01). It goes last in a chain, behind what scales by the learning rate."""

    finite("the largest weight", limit, 0)

    def clip(updates, params):
        return jax.tree.map(lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params)

    return optax.stateless(clip)


class HistoricalAveragingState(NamedTuple):
    """The mean of the parameters at the `count` updates so far."""

    count: jax.Array  # i32[]
    mean: PyTree


def historical_averaging(weight: float) -> optax.GradientTransformation:
    """Adds to the gradient that of weight ||theta - mean of the past theta||^2 (Salimans et al. 2016,
    section 3.3, with weight 1). It goes first in a chain.

    The past is the parameters before each earlier update; at the first the term is 0.
    """
    finite("the weight of historical averaging", weight, 0)

    def init(params):
        return HistoricalAveragingState(jnp.zeros((), jnp.int32), params)

    def update(updates, state, params):
        count = state.count + 1
        updates = jax.tree.map(lambda u, p, m: u + 2 * weight * (p - m), updates, params, state.mean)
        mean = jax.tree.map(lambda p, m: m + (p - m) / count, params, state.mean)
        return updates, HistoricalAveragingState(count, mean)

    return optax.GradientTransformation(init, update)
