"""The updates: state in, state out.

`update` is the one place with a gradient, the one with an optimiser and the one with a mean over
devices. The opponent needs no stop_gradient: it is read from the state and not differentiated.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxgan.config import InputError
from jaxgan.game import GAN, GANState, Optimizers, Player
from jaxgan.random import fold, kind_of


def check_parts(gan: GAN, opts: Optimizers, state: GANState | None = None) -> None:
    """Raises InputError where a game, its optimisers or its state is something else."""
    for what, x, kind in (("gan", gan, GAN), ("opts", opts, Optimizers), ("state", state, GANState)):
        if not isinstance(x, kind) and x is not None:
            raise InputError(
                f"{what} is a {kind.__name__}, not {kind_of(x)}: the order is (gan, opts, state, batch)"
            )
    for who in "gd":
        tx = getattr(opts, who)
        if not (hasattr(tx, "init") and hasattr(tx, "update")):
            raise InputError(
                f"Optimizers.{who} is an optax optimiser, such as optax.adam(1e-3), not {kind_of(tx)}"
            )
    decay = opts.ema_decay
    if isinstance(decay, int | float) and not 0 <= decay < 1:
        raise InputError(f"ema_decay is {decay}: it must be at least 0 and below 1; None keeps no average")
    names = [width_name(std) for std in opts.powers]
    if len(set(names)) < len(names):
        raise InputError(f"Optimizers.powers are widths that differ, not {', '.join(names)}")


def with_slots(batch: dict, lead: int = 0, axis: str | None = None) -> dict:
    """The batch, or batches, with `slot` filled in where it is missing: 0, 1, ... of the batch.

    Args:
      lead: the number of axes before the examples'.
      axis: the name of the device axis, where there is one.

    Raises:
      InputError: if it is no dict of arrays that share so many axes and the examples', or `slot` is missing
        where the batch is one shard of several.
    """
    shape = "[" + "n_critic, " * lead + "B, ...]"
    if not isinstance(batch, dict):
        raise InputError(f"a batch is a dict of arrays {shape}, such as {{'image': x}}, not {kind_of(batch)}")
    shapes = {
        jax.tree_util.keystr(path): np.shape(x) for path, x in jax.tree_util.tree_leaves_with_path(batch)
    }
    heads = {s[: lead + 1] for s in shapes.values()}
    alone = lead and "slot" in batch and np.ndim(batch["slot"]) == 1
    if len(heads) > 1 or any(len(head) <= lead for head in heads) or alone:
        found = ", ".join(f"{name.strip('[]')} {list(s)}" for name, s in shapes.items())
        hint = "; of one batch, x[None] of each" if lead else ""
        raise InputError(f"a batch's arrays are all {shape}, and these are {found}{hint}")
    if "slot" in batch or not heads:
        return batch
    if axis is not None:
        raise InputError("a shard's batch needs `slot`, i32[B], its examples' places in the global batch")
    (head,) = heads
    return {**batch, "slot": jnp.broadcast_to(jnp.arange(head[-1], dtype=jnp.int32), head)}


def create_state(gan: GAN, opts: Optimizers, key, batch, frozen=()) -> GANState:
    """The state before the first step; only the batch's shapes matter.

    It is compiled, because a compiled function's outputs never share a buffer: `ema` and the live
    parameters are equal here, and two leaves in one buffer could not be donated.

    Raises:
      InputError: if a part is not what it should be, or parts and shapes do not go together.
    """
    check_parts(gan, opts)
    batch = with_slots(batch)
    fold(key)

    def player(variables, tx, averaged=False, powers=()):
        params, stats = variables["params"], {k: v for k, v in variables.items() if k != "params"}
        kept = {width_name(std): variables for std in powers} or None
        return Player(params, stats, tx.init(params), variables if averaged else None, kept)

    @jax.jit
    def create(key, batch, frozen):
        g, d, extra = gan.init(fold(key, "init"), batch)
        return GANState(
            step=jnp.zeros((), jnp.int32),
            key=key,
            g=player(g, opts.g, opts.ema_decay is not None, opts.powers),
            d=player(d, opts.d),
            extra=extra,
            frozen=frozen,
        )

    return create(key, batch, frozen)


def ema_warmup(decay, step):
    """The decay at a step, min(decay, (1 + step) / (10 + step)): early averages forget fast."""
    return jnp.minimum(decay, (1 + step) / (10 + step))


def half_life(images: float, batch_size: int, ramp: float | None = 0.05) -> Callable:
    """step -> the decay of an average that forgets half in so many images, and earlier, where `ramp` is not
    None, in that share of all images so far (Karras et al. 2020b, code)."""

    def decay(step):
        most = images if ramp is None else jnp.minimum(images, ramp * batch_size * (step + 1.0))
        return 0.5 ** (batch_size / jnp.maximum(most, 1e-8))

    return decay


def exponent(std: float) -> float:
    """g of the average by t^g of the weights at times t up to now whose relative width is std: the standard
    deviation of the time that a weight is of, over the time now (Karras et al. 2024, equations 123 and 126).

    Raises:
      InputError: if the width is not above 0, or above that of the plain mean of all, 0.2886 (g = 0).
    """
    if not 0 < std <= 12**-0.5:
        raise InputError(f"an average's relative width is above 0 and at most {12**-0.5:.4f}, not {std}")
    square = std**-2  # (g + 2)^2 (g + 3) / (g + 1)
    return max(0.0, float(np.roots([1, 7, 16 - square, 12 - square]).real.max()))


def width_name(std: float) -> str:
    """A relative width as the states of runs name it: 0.05 is "0.05".

    Raises:
      InputError: as `exponent`, and if it has more than three digits after the point.
    """
    exponent(std)
    if round(std, 3) != std:
        raise InputError(f"an average's relative width has at most three digits after the point, not {std}")
    return f"{std:g}"


def power_share(std: float, step):
    """The share of the new weights in an average by a power function, after `step` steps and one: all at
    first, 1 - (1 - 1 / t)^(g + 1) after t (Karras et al. 2024, equation 127)."""
    return -jnp.expm1((exponent(std) + 1) * jnp.log1p(-1 / (step + 1)))


def _averaged(variables, ema, share):
    """The average after a step; what is no float, such as a count, is as it is now."""
    moved = lambda new, old: optax.incremental_update(new, old, share)  # noqa: E731
    is_float = lambda x: jnp.issubdtype(x.dtype, jnp.inexact)  # noqa: E731
    return jax.tree.map(lambda new, old: moved(new, old) if is_float(new) else new, variables, ema)


def _mean_gradient(loss_fn, params, state, batch, key, accumulate):
    """((loss, (state, metrics)), gradient) of the batch, taken in `accumulate` microbatches.

    All of them see the state as it was, and what they make of `stats` and `extra` is averaged, so that it
    moves once a step.
    """
    gradient = jax.value_and_grad(loss_fn, has_aux=True)
    if accumulate == 1:
        return gradient(params, state, batch, key)
    sizes = {x.shape[0] for x in jax.tree.leaves(batch)}
    if not isinstance(accumulate, int) or accumulate < 1 or any(n % accumulate for n in sizes):
        raise InputError(
            f"accumulate: a batch of {max(sizes)} is not cut into {accumulate!r} equal microbatches"
        )

    def one(total, micro):
        (loss, (after, metrics)), grads = gradient(params, state, micro, key)
        moved = after.g.stats, after.d.stats, after.extra
        return jax.tree.map(jnp.add, total, grads), (loss, metrics, moved)

    def mean(x):
        return x.mean(0) if jnp.issubdtype(x.dtype, jnp.inexact) else x[-1]

    micros = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), batch)
    zeros = jax.tree.map(jnp.zeros_like, params)
    total, parts = lax.scan(one, zeros, micros)
    loss, metrics, (g, d, extra) = jax.tree.map(mean, parts)
    state = state.replace(g=state.g.replace(stats=g), d=state.d.replace(stats=d), extra=extra)
    return (loss, (state, metrics)), jax.tree.map(lambda x: x / accumulate, total)


def _optimised(who, tx, grads, player):
    """`tx.update`; where the state that it is given is another optimiser's, it is said."""
    try:
        return tx.update(grads, player.opt, player.params)
    except Exception as e:  # what an optimiser raises of a state that is not its own is its own matter
        if jax.tree.structure(jax.eval_shape(tx.init, player.params)) == jax.tree.structure(player.opt):
            raise
        raise InputError(f"the state of {who} was made for another optimiser: make it by create_state") from e


def update(
    who: str,
    loss_fn: Callable,
    tx: optax.GradientTransformation,
    state: GANState,
    batch: dict,
    *,
    turn=0,
    key=None,
    accumulate: int = 1,
    ema_decay=None,
    axis: str | None = None,
    at=None,
) -> tuple[GANState, dict]:
    """One optimiser step of one player.

    Args:
      who: "g" or "d".
      loss_fn: (params, state, batch, key) -> (loss, (state, metrics)); the state that it returns
        differs in `stats` and `extra` alone.
      turn: which of the player's updates in this step it is; it enters the key.
      key: what the loss draws from, in place of the player's own key.
      accumulate: the number of microbatches that the batch is cut into; a layer or loss that looks at a
        batch as a whole, such as batch normalisation, then sees a microbatch at a time, and dropout has a
        mask for each. `stats` and `extra` move once, to the mean of what each microbatch makes of them (of
        integers the last's): running means are those of the whole batch, and running variances lack what
        the microbatches' means differ by.
      ema_decay: of the player's averaged variables, if it keeps any; those by power functions need none.
      axis: the name of the device axis, if the batch is one shard of several.
      at: the parameters at which the gradient is taken, if not the player's own.

    Returns:
      The state, and the loss and the loss's metrics as `{who}/loss`, `{who}/...`, f32[].

    Raises:
      InputError: if batch, state and game do not go together.
    """
    if not isinstance(state, GANState):
        raise InputError(f"a step takes the state, a GANState, and then the batch; not {kind_of(state)}")
    batch = with_slots(batch, axis=axis)
    key = fold(state.key, state.step, who, turn) if key is None else key
    player = getattr(state, who)
    at = player.params if at is None else at
    (loss, (state, metrics)), grads = _mean_gradient(loss_fn, at, state, batch, key, accumulate)
    if axis is not None:
        loss, metrics, grads = lax.pmean((loss, metrics, grads), axis)
    updates, opt = _optimised(who, tx, grads, player)
    player = getattr(state, who).replace(params=optax.apply_updates(player.params, updates), opt=opt)
    if player.ema is not None:
        decay = ema_decay(state.step) if callable(ema_decay) else ema_warmup(ema_decay, state.step)
        player = player.replace(ema=_averaged(player.variables, player.ema, 1 - decay))
    if player.powers is not None:
        shares = {name: power_share(float(name), state.step) for name in player.powers}
        moved = {name: _averaged(player.variables, old, shares[name]) for name, old in player.powers.items()}
        player = player.replace(powers=moved)
    metrics = {f"{who}/{name}": value for name, value in {"loss": loss, **metrics}.items()}
    return state.replace(**{who: player}), metrics


def shared_key(opts: Optimizers, state: GANState, turn):
    """What G's update draws from, in place of its own key: what D's update of that turn drew from, if
    the players share their draws, and None if not."""
    return fold(state.key, state.step, "d", turn) if opts.shared_draws else None


def d_step(gan: GAN, opts: Optimizers, state: GANState, batch: dict, **options):
    """One update of the discriminator; the options are `update`'s."""
    check_parts(gan, opts, state)
    return update("d", gan.d_loss, opts.d, state, batch, **options)


def g_step(gan: GAN, opts: Optimizers, state: GANState, batch: dict, **options):
    """One update of the generator and of its average, which ends the step: `state.step` counts these.

    So a d_step and a g_step called in turn draw anew each time, as in `train_step`. The options are
    `update`'s.
    """
    check_parts(gan, opts, state)
    state, metrics = update("g", gan.g_loss, opts.g, state, batch, ema_decay=opts.ema_decay, **options)
    return state.replace(step=state.step + 1), metrics


def train_step(gan: GAN, opts: Optimizers, state: GANState, batches: dict, *, d_step=d_step, **options):
    """n_critic updates of D, each on its own real batch, then one of G with the last one's labels
    (Goodfellow et al. 2014, Algorithm 1).

    With `opts.shared_draws` G learns from the very samples that D has just judged. Where there is one
    update of D, XLA then makes G's forward pass once for both, which saves a tenth of a step.

    Args:
      batches: arrays [n_critic, B, ...].
      d_step: the update of D, if it is not the ordinary one.

    Returns:
      The state at the next step, and the metrics; D's are its last update's.
    """
    check_parts(gan, opts, state)
    batches = with_slots(batches, 1, options.get("axis"))
    n_critic = batches["slot"].shape[0]
    last = jax.tree.map(lambda x: x[-1], batches)
    if n_critic == 1:
        state, d_metrics = d_step(gan, opts, state, last, **options)
    else:

        def turn(state, inputs):
            turn, batch = inputs
            return d_step(gan, opts, state, batch, turn=turn, **options)

        state, d_metrics = lax.scan(turn, state, (jnp.arange(n_critic), batches))
        d_metrics = jax.tree.map(lambda x: x[-1], d_metrics)
    key = shared_key(opts, state, n_critic - 1)
    state, g_metrics = g_step(gan, opts, state, last, key=key, **options)
    return state, {**d_metrics, **g_metrics}


def train_chunk(step: Callable, batches: Callable, state: GANState, length: int):
    """`length` train steps in one `lax.scan`.

    Args:
      step: (state, batches) -> (state, metrics), `train_step` with its method bound.
      batches: state -> the real batches of the state's step, as the step takes them.

    Returns:
      The state, and every step's metrics, f32[length].

    Raises:
      InputError: if `step` or `batches` is no function of the state.
    """
    for what, f in (("step", step), ("batches", batches)):
        if not callable(f):
            raise InputError(
                f"{what} is a function of the state, such as lambda state: ..., not {kind_of(f)}"
            )

    def body(state, _):
        return step(state, batches(state))

    return lax.scan(body, state, None, length=length)
