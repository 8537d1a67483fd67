"""The ordinary pair, one generator against one discriminator, as a GAN."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import flax
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgan import terms
from jaxgan.augment import Adaptive, exchange
from jaxgan.config import InputError
from jaxgan.game import GAN
from jaxgan.losses.adversarial import AdversarialLoss, accuracy
from jaxgan.nn import minibatch
from jaxgan.random import fold, kind_of
from jaxgan.terms import OfStep, Seen, Term

_NONE = MappingProxyType({})
FIGURES = "accuracy_real", "accuracy_fake"  # of D, beside its loss and its terms


def _signature(called) -> inspect.Signature:
    """How a network, or the first layer of a Sequential, is called."""
    while isinstance(called, nn.Sequential) and called.layers:
        called = called.layers[0]
    return inspect.signature(called)


def _mode(who: str, net: nn.Module, *args: str) -> Callable:
    """train -> the keyword arguments of a call: {"train": ...}, or none where the network has no such mode.

    Raises:
      InputError: if it is no linen module, or cannot be called with the arguments.
    """
    if not isinstance(net, nn.Module):
        raise InputError(f"the {who} is a linen module, such as mlp.Discriminator(), not {kind_of(net)}")
    signature = _signature(net)
    kinds = {p.kind for p in signature.parameters.values()}
    has = "train" in signature.parameters or inspect.Parameter.VAR_KEYWORD in kinds
    try:
        signature.bind(*args, **({"train": True} if has else {}))
    except TypeError as e:
        name = type(net).__name__
        raise InputError(f"the {who} is called as {name}({', '.join(args)}, train=...): {e}") from e
    return lambda train: {"train": train} if has else {}


def _called(who: str, f: Callable, *args, **options):
    """The network's output; what linen finds wrong is said of the player."""
    try:
        return f(*args, **options)
    except flax.errors.InvalidRngError as e:
        raise InputError(f"the {who} draws random numbers to sample: give it an argument `train`") from e
    except (flax.errors.ScopeParamShapeError, flax.errors.ScopeParamNotFoundError,
            flax.errors.ScopeCollectionNotFound) as e:  # fmt: skip
        what = str(e).partition(" (http")[0]
        raise InputError(f"the state is of another {who}, or of data of another shape: {what}") from e


def _entry(batch, name: str):
    if name not in batch:
        raise InputError(
            f"the game asked for {name!r}, which it did not find; a batch has {', '.join(batch)}"
        )
    return batch[name]


def _made(said) -> tuple:
    """What G makes: (data, what else it says or None)."""
    return said if isinstance(said, tuple) and len(said) == 2 else (said, None)


def _logits(said, x) -> tuple:
    """What D says of data x [B, ...]: (logits [B, ...], what else or None)."""
    logits, else_ = said if isinstance(said, tuple) and len(said) == 2 else (said, None)
    if getattr(logits, "shape", ())[:1] != (len(x),):
        kind = "a tuple of " + str(len(logits)) if isinstance(logits, tuple) else kind_of(logits)
        raise InputError(
            f"D makes logits [{len(x)}, ...] of {len(x)} examples, or a pair of them and more; not {kind}"
        )
    return logits, else_


@jax.custom_jvp
def _of_a_whole_batch(x):
    """x; where a gradient is taken in it, it is told that there is no example's own."""
    return x


@_of_a_whole_batch.defjvp
def _warn_of_it(x, dx):
    warnings.warn(
        "a penalty takes D's slope in an example, and by batch normalisation each logit of D depends on all "
        "examples, so that it is not the example's own: take a D without it (norm='none' or 'spectral')",
        stacklevel=2,
    )
    return *x, *dx


def _has_batch_norm(stats) -> bool:
    """Whether a network keeps the means of batches, as linen's BatchNorm does."""
    kept = jax.tree_util.tree_leaves_with_path(stats.get("batch_stats", {}))
    return any(getattr(path[-1], "key", None) == "mean" for path, _ in kept)


def two_player(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    loss: AdversarialLoss | OfStep,
    latent: Callable,
    of: str = "image",
    condition: str | None = None,
    d_terms: Mapping[str, Term | Callable] = _NONE,
    g_terms: Mapping[str, Term | Callable] = _NONE,
    pack: int = 1,
    augment: Callable | Adaptive | None = None,
) -> GAN:
    """Joins two networks and a loss.

    Both steps see G in training mode, so D judges the generator that G is. G's running statistics
    are updated in G's step alone, D's in D's step alone: first on the real batch, then on the fake,
    which D sees apart.

    In training a network may draw random numbers (`nn.Dropout`), of any name: they are others in each update,
    and for the real and the fake pass of D; in D's penalties all passes have the same. They are the
    batch's, not an example's: a shard's or a microbatch's are its own.

    Args:
      generator: called as `(z, *condition, train=...)`, makes data, or a pair of them and of what else it
        says; `train` is left out where it takes none. In training it is given more where it has arguments
        of these names: `real`, the real data, as for an encoder; `drawing`, a key and the slots i32[B] by
        which `jaxgan.random` draws what is an example's own, such as noise; `step`, i32[], which it keeps
        in a collection where it must know it to sample.
      discriminator: called as `(data, *condition, train=...)`, makes logits [B, ...], or a pair of
        them and of what else it says (classes, codes); it is given `step` likewise.
      latent: (key, slot) -> z.
      of: the entry of the batch that G makes more of.
      condition: the entry of the batch that both networks are given, for example "label".
      d_terms: what is added to D's loss, by the name of its metric; see `jaxgan.terms`.
      g_terms: the same for G's loss.
      pack: how many examples D judges together (PacGAN: Lin et al. 2018); all of D's inputs
        are packed, and so a penalty's norm is a pack's.
      augment: (key, data, slot) -> data, such as `jaxgan.augment.diff_augment`: what is done in training to
        all that D sees, real and fake, in both steps, and under its penalties. In an update the passes of D
        have the same draws for a slot, so that a penalty compares alike with alike. Of an
        `augment.Adaptive` the probability is a figure of D's, `augment`; where it exchanges real data for
        generated ones, these are the real data of both losses and of their terms.

    Raises:
      InputError: if a packed D were to be given a condition or augmented data, two terms carry something by
        one name, one has the name of another figure, or a part is not what is asked for above; and where the
        game is played, if shapes and types do not go together.

    Warns:
      UserWarning: if a term takes D's gradient in its input, and D has batch normalisation.
    """
    if not isinstance(pack, int) or pack < 1:
        raise InputError(f"pack is a number of examples, 1 or more, not {pack!r}")
    if pack > 1 and condition is not None:
        raise InputError("pack: a condition cannot be packed, since the examples of a pack differ in it")
    if pack > 1 and augment is not None:
        raise InputError("pack: what is packed cannot be augmented, since its examples are channels of one")
    if not callable(latent):
        raise InputError(f"latent is a function (key, slot) -> z, not {kind_of(latent)}")
    loss, d_terms, g_terms = terms.of_step(loss), terms.named(d_terms), terms.named(g_terms)
    adaptive = isinstance(augment, Adaptive)
    deceives = adaptive and augment.of is None
    figures = {"loss", *FIGURES, *(["augment"] if adaptive else [])}
    if taken := figures & set(d_terms) | {"loss"} & set(g_terms):
        raise InputError(f"a term is named {min(taken)!r}, as another figure is: give it another name")
    carrying = [(k, t.start) for ts in (d_terms, g_terms) for k, t in ts.items() if t.start is not None]
    carrying += [("augment", augment.start())] if adaptive else []
    if len(dict(carrying)) < len(carrying):
        raise InputError("two terms carry something by one name: give one of them another")
    asks = () if condition is None else (condition,)
    g_mode, d_mode = (
        _mode("generator", generator, "z", *asks),
        _mode("discriminator", discriminator, "data", *asks),
    )
    g_knows, d_knows = (_signature(net).parameters for net in (generator, discriminator))

    def given(batch):
        return tuple(_entry(batch, name) for name in asks)

    def packed(x):
        return minibatch.pack(x, pack) if pack > 1 else x

    def drawn(key, batch):
        slot = _entry(batch, "slot")
        z = latent(fold(key, "latent"), slot)
        if getattr(z, "shape", ())[:1] != slot.shape:
            raise InputError(f"the latent makes [{len(slot)}, ...] of {len(slot)} slots, not {kind_of(z)}")
        return z

    def data(batch, fake):
        """The real data, which are to be of the shape and the kind of what G makes."""
        real = _entry(batch, of)
        if not jnp.issubdtype(real.dtype, jnp.floating):
            raise InputError(
                f"{of!r} is {kind_of(real)}: a game is of floats; of uint8 levels, x / 127.5 - 1"
            )
        if jnp.shape(fake) != real.shape:
            raise InputError(f"G makes {kind_of(fake)}, and {of!r} of the batch is {kind_of(real)}")
        return real

    def told(knows, batch, step, key):
        """What a network is given in training beside its input and the condition."""
        known = {"step": lambda: step, "drawing": lambda: (fold(key, "drawing"), _entry(batch, "slot"))}
        known |= {"real": lambda: _entry(batch, of)} if knows is g_knows else {}
        return {name: known[name]() for name in known if name in knows}

    def rngs(key, batch, name):
        """For a pass in training mode; a microbatch and a shard have their own, by their first slot."""
        return {"params": fold(key, "rngs", name, batch["slot"][0])}

    def generated(params, state, z, batch, key, **more):
        """(what G makes in training mode, what else it says, its new stats)."""
        stats = state.g.stats
        options = g_mode(True) | told(g_knows, batch, state.step, key) | more
        options |= dict(mutable=list(stats), rngs=rngs(key, batch, "g"))
        variables = {"params": params, **stats}
        said, stats = _called("generator", generator.apply, variables, z, *given(batch), **options)
        return *_made(said), stats

    def augmented(x, state, batch, key):
        given = fold(key, "augment"), x, _entry(batch, "slot")
        if augment is None or deceives:
            return x
        return augment.of(*given, state.extra["augment"]["p"]) if adaptive else augment(*given)

    def shown(real, state, batch, key):
        """The real data, or those that some are exchanged for."""
        if not deceives:
            return real
        key = fold(key, "pseudo")
        pseudo, _, _ = generated(state.g.params, state, drawn(key, batch), batch, key)
        given = real, lax.stop_gradient(pseudo), batch["slot"]
        return exchange(key, *given, state.extra["augment"]["p"])

    def judged(params, stats, x, state, batch, key, name):
        """D in training mode: (logits, what else it says, its new stats)."""
        x = augmented(x, state, batch, key)
        options = d_mode(True) | told(d_knows, batch, state.step, fold(key, name))
        options |= dict(mutable=list(stats), rngs=rngs(key, batch, name))
        variables = {"params": params, **stats}
        said, stats = _called("discriminator", discriminator.apply, variables, x, *given(batch), **options)
        return *_logits(said, x), stats

    def init(key, batch):
        z = drawn(key, batch)
        start = jnp.zeros((), jnp.int32)
        options = g_mode(True) | told(g_knows, batch, start, key)
        made, g = generator.init_with_output(fold(key, "g"), z, *given(batch), **options)
        real = packed(data(batch, _made(made)[0]))
        options = d_mode(True) | told(d_knows, batch, start, key)
        said, d = discriminator.init_with_output(fold(key, "d"), real, *given(batch), **options)
        _logits(said, real)
        return g, d, dict(carrying) or ()

    def d_loss(params, state, batch, key):
        z = drawn(key, batch)
        fake, _, _ = generated(state.g.params, state, z, batch, key)
        real, fake = packed(shown(data(batch, fake), state, batch, key)), packed(fake)
        real_logits, of_real, stats = judged(params, state.d.stats, real, state, batch, key, "real")
        fake_logits, of_fake, stats = judged(params, stats, fake, state, batch, key, "fake")
        right = partial(accuracy, chance=loss.chance)
        sides = right(real_logits, real=True), right(fake_logits, real=False)
        metrics = {name: side.mean() for name, side in zip(FIGURES, sides, strict=True)}
        watched = _of_a_whole_batch if _has_batch_norm(state.d.stats) else lambda x: x

        def critic(x):
            return judged(params, state.d.stats, watched(x), state, batch, key, "critic")[0]

        slot = batch["slot"][::pack]
        logits = real_logits, fake_logits
        said = *logits, of_real, of_fake, None
        seen = Seen(critic, None, real, fake, *said, z, batch, key, slot, state, params)
        added, extra = terms.taken(d_terms, seen)
        if adaptive:
            metrics["augment"] = state.extra["augment"]["p"]
            extra = extra | {"augment": lax.stop_gradient(augment.carry(extra["augment"], real_logits))}
        total = terms.mean("D's loss", loss.d(seen), len(real)) + sum(added.values())
        return total, (state.replace(d=state.d.replace(stats=stats), extra=extra), metrics | added)

    def g_loss(params, state, batch, key):
        z = drawn(key, batch)
        generate = lambda z, **more: generated(params, state, z, batch, key, **more)  # noqa: E731
        fake, of_g, stats = generate(z)
        real = shown(data(batch, fake), state, batch, key)

        def judge(x, name):
            return judged(state.d.params, state.d.stats, packed(x), state, batch, key, name)

        (real_logits, of_real, _), (fake_logits, of_fake, _) = judge(real, "real"), judge(fake, "fake")
        players = lambda x: judge(x, "critic")[0], lambda z, **more: generate(z, **more)[0]
        said = real_logits, fake_logits, of_real, of_fake, of_g
        seen = Seen(*players, real, fake, *said, z, batch, key, batch["slot"], state, params)
        added, extra = terms.taken(g_terms, seen)
        total = terms.mean("G's loss", loss.g(seen), len(fake_logits)) + sum(added.values())
        return total, (state.replace(g=state.g.replace(stats=stats), extra=extra), added)

    def sample(variables, z, asked=None):
        given = () if condition is None else (asked,)
        return _made(_called("generator", generator.apply, variables, z, *given, **g_mode(False)))[0]

    def pass_through(variables, z, asked, key):
        given = () if condition is None else (asked,)
        options = g_mode(True) | dict(mutable=["batch_stats"], rngs={"params": fold(key, "rngs")})
        said, moved = _called("generator", generator.apply, variables, z, *given, **options)
        return _made(said)[0], {**variables, **moved}

    def critic(variables, x, asked=None):
        given = () if condition is None else (asked,)
        x = packed(x)
        return _logits(
            _called("discriminator", discriminator.apply, variables, x, *given, **d_mode(False)), x
        )[0]

    return GAN(init, d_loss, g_loss, latent, sample, critic, condition, pass_through)


def encoded(gan: GAN, raw: str, of: str, encode: Callable) -> GAN:
    """A game of batch[of] f32[B, ...] as one of batch[raw], of integers or booleans, from which it is made.

    Args:
      encode: raw values -> what the players see of them, such as one-hot vectors.
    """

    def seen(batch):
        return batch | {of: encode(batch[raw])}

    def critic(variables, x, asked=None):
        made = jnp.issubdtype(x.dtype, jnp.floating)
        return gan.critic(variables, x if made else encode(x), asked)

    return gan._replace(
        init=lambda key, batch: gan.init(key, seen(batch)),
        d_loss=lambda params, state, batch, key: gan.d_loss(params, state, seen(batch), key),
        g_loss=lambda params, state, batch, key: gan.g_loss(params, state, seen(batch), key),
        critic=critic,
    )
