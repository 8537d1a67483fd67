"""The types of a two-player game, and nothing else."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from flax import struct

PyTree = Any


@struct.dataclass
class Player:
    """One side of the game. It may own several networks: then `params` is a dict of their trees."""

    params: PyTree
    stats: PyTree  # every other linen collection: batch_stats, spectral, ...
    opt: optax.OptState
    # The exponential moving average of `variables`, if one is kept: also of the running statistics,
    # since the live ones belong to other weights than the averaged.
    ema: dict | None = None
    # Averages of `variables` by power functions of the step, by the names of their relative widths
    # (`steps.width_name`); `jaxgan.averages` makes those of other widths of them.
    powers: dict[str, dict] | None = None

    @property
    def variables(self) -> dict:
        """What `module.apply` takes: `{"params": ..., **stats}`."""
        return {"params": self.params, **self.stats}

    @property
    def averaged(self) -> dict:
        """The averaged variables, or the live ones where no average is kept."""
        return self.variables if self.ema is None else self.ema


@struct.dataclass
class GANState:
    """All that a run needs to go on."""

    step: jax.Array  # i32[], generator updates done
    key: jax.Array  # the run's typed key: constant, never advanced
    g: Player
    d: Player
    extra: PyTree = ()  # carried by the method: path-length mean, augmentation probability, image pool
    frozen: PyTree = ()  # never trained and never saved: a feature network


class GAN(NamedTuple):
    """A method: five pure functions, as optax's GradientTransformation is two, and what others
    may ask of it.

    A batch is a dict of arrays whose first axis is the example: `image` f32[B, H, W, C] in [-1, 1],
    `label` i32[B] where there are labels, `slot` i32[B], each example's place in the global batch
    (what is drawn for an example is drawn from its slot), and what a method needs beside.
    """

    init: Callable  # (key, batch) -> (g_variables, d_variables, extra)
    d_loss: Callable  # (d_params, state, batch, key) -> (loss, (state, metrics))
    g_loss: Callable  # (g_params, state, batch, key) -> (loss, (state, metrics))
    latent: Callable  # (key, slot) -> z, the generator's random input, [len(slot), ...]
    sample: Callable  # (g_variables, z, condition) -> data, the generator in inference mode
    critic: Callable | None = None  # (d_variables, data, condition) -> logits, D in inference mode
    condition: str | None = None  # the entry of a batch that `sample` is given; None: it takes no condition
    # (g_variables, z, condition, key) -> (data, g_variables), the generator in training mode: it samples by
    # the batch's own statistics, and the running ones move, as nothing else does
    pass_through: Callable | None = None
    # Of a generator with styles: (g_variables, z, condition) -> styles w [B, layers, d], and
    # (g_variables, w) -> data
    styles: Callable | None = None
    synthesise: Callable | None = None
    # (g_variables, d_variables, data, key, slot, ...) -> what the players find of data, arrays [B, ...], in
    # inference mode; of a method that is there to examine data
    examine: Callable | None = None


def samples_of(gan: GAN, variables, key, slot, *condition):
    """What G makes of the latents that a key gives the slots: compiled whole, it is one program."""
    return gan.sample(variables, gan.latent(key, slot), *condition)


class Optimizers(NamedTuple):
    """How each player is updated."""

    g: optax.GradientTransformation
    d: optax.GradientTransformation
    ema_decay: Any = None  # of the generator's average, in [0, 1), or step -> it; None keeps none
    shared_draws: bool = False  # G's update draws what D's last one drew, as in most DCGAN code
    powers: tuple[float, ...] = ()  # relative widths of G's averages by power functions, as (0.05, 0.1)
