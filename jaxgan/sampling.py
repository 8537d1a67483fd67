"""A generator to sample from, and what it is asked for."""

import dataclasses
import io
import math
import zipfile
import zlib
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from tqdm import tqdm

from jaxgan import (
    checkpoint,
    kinds,
    memory,
    origin,
    parallel,
    processes,
    random,
    records,
    run,
    standing,
    steps,
)
from jaxgan.config import InputError, from_dict
from jaxgan.data import Dataset, resident
from jaxgan.game import GAN, GANState, Optimizers, samples_of
from jaxgan.kinds import Kind, Made
from jaxgan.methods import Fit, fitted
from jaxgan.metrics.score import RUNNING
from jaxgan.standing import Statistics

MOST = 16  # of what is asked for in turn, in one picture


def sample_file(kind: Kind) -> str:
    """A file that samples of the kind may be written to."""
    return "grid.png" if ".png" in kind.write else f"samples{next(iter(kind.write))}"


def asked_of(gan: GAN, kind: Kind, data: Dataset) -> dict | None:
    """What a game's generator is asked for in turn; None if it takes no condition.

    Raises:
      InputError: if it takes one that the kind of data does not ask for.
    """
    if gan.condition is None:
        return None
    asked = kind.ask(data)
    if gan.condition not in asked:
        known = ", ".join(asked) or "nothing"
        raise InputError(
            f"the game is given {gan.condition!r}, and samples of {data.name} are asked for {known}"
        )
    return asked


def drawn(data: Dataset, kind: Kind, n: int) -> dict[str, np.ndarray]:
    """n examples to ask a generator for, the same at each call: as the kind has them, or those that are held
    out in turn, or as frequent as in the data."""
    if kind.exam is not None:
        return kind.exam(data, n)
    of = data if data.held_out is None else data.held_out
    asked = {name: of[name] for name in kind.ask(data)}
    size = len(next(iter(asked.values())))
    rows = np.random.default_rng(0).integers(size, size=n) if of is data else np.arange(n) % size
    return {name: x[rows] for name, x in asked.items()}


def in_turn(asked: dict, n: int, most: int | None = None) -> dict:
    """The first n of what is asked for, each of the first `most` in turn: 0, 1, ..., 0, 1, ..."""
    return {name: x[np.arange(n) % len(x[:most])] for name, x in asked.items()}


def conditions(gan: GAN, asked: dict | None):
    """What the generator is given for what it is asked for, as its batches have it; None if it is nothing."""
    return None if asked is None else resident.scaled(np.asarray(asked[gan.condition]))


def pictures(gan: GAN, asked: dict | None) -> np.ndarray | None:
    """What the generator is asked for, if these are images, uint8[M, H, W, C]; else None."""
    given = (asked or {}).get(gan.condition)
    return given if getattr(given, "dtype", None) == np.uint8 and given.ndim == 4 else None


def initial_state(make: Callable, cfg, example: dict) -> GANState:
    """The state before the first step; a function of cfg alone. Only the example's shapes matter."""
    gan, opts = make(cfg)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example)
    return steps.create_state(gan, opts, jax.random.key(cfg.seed), zeros)


BATCH = 64  # of samples: those of a picture, so that those of a score need no program of their own


def generate(
    sample: Callable,
    of,
    condition=None,
    *,
    then: Callable = lambda x: x,
    batch_size: int = BATCH,
    together: bool = False,
) -> np.ndarray:
    """The samples of latents, or of their slots, and of conditions, a batch at a time, on the host.

    Args:
      sample: (of, condition) -> samples, compiled.
      of: [N, ...], and condition [N, ...], if there is one.
      then: what is made of each batch: decoded at once, images take a quarter of the memory.
      together: whether each of several processes, all of which call this, makes its share of the batches;
        each has all of them in the end, the same as one process would have made.
    """
    inputs = jax.device_get((of,) if condition is None else (of, condition))  # to be cut without a program
    n = jax.tree.leaves(of)[0].shape[0]
    batch_size = min(batch_size, n)
    whole = -(-n // batch_size) * batch_size  # the last batch is filled up: one shape, one compile
    parts, made = [], None
    rows = (np.arange(whole) % n).reshape(-1, batch_size)
    gathered = processes.gathered if together else lambda part: part
    own = processes.share(rows) if together else rows
    for index in tqdm([*own, None], desc="samples", unit="batch", leave=False, delay=1, disable=None):
        before = made
        if index is not None:
            made = sample(*jax.tree.map(lambda x, index=index: x[index], inputs))
        if before is not None:  # fetched while the device makes the next
            parts.append(gathered(then(jax.device_get(before))))
    return jax.tree.map(lambda *x: np.concatenate(x)[:n], *parts)


def writer(kind: Kind, path: Path) -> Callable:
    """What writes samples of a kind to a file of this name.

    Raises:
      InputError: if the kind has no file whose name ends so.
    """
    if path.suffix not in kind.write:
        raise InputError(f"{path}: samples go to a file of a name ending in {' or '.join(kind.write)}")
    return kind.write[path.suffix]


@dataclasses.dataclass(frozen=True)
class Generator:
    """A trained generator."""

    gan: GAN
    variables: dict
    config: Any
    kind: Kind
    facts: dict  # of the data, as `Dataset.facts`
    asked: dict | None  # what it is asked for, each in turn: {name: [M, ...]}; None if it takes no condition
    step: int
    averaged: bool  # its weights are the average that was kept
    d_variables: dict | None = None  # D's, if they were asked for
    batch_norm: str = RUNNING  # the statistics that it samples by

    def by_statistics(
        self, which: Statistics, key, condition=None, psi: float | None = None, passes: int = standing.PASSES
    ) -> "Generator":
        """The same generator by other statistics of batch normalisation: those that training kept, which
        lag behind the weights; standing ones, of many batches of other latents at the very weights that are
        sampled; or each batch's own, by which a sample depends on the others of its 64.

        Args:
          key: of the latents behind standing statistics.
          condition: what is asked for in their batches, [passes * batch_size, ...]; of a generator that takes
            one, None draws from the run's own.
          psi: truncates those latents to |z| < psi, as the samples' are to be.
          passes: batches, of as many examples as in training.

        Raises:
          InputError: if the generator has no batch normalisation that keeps statistics.
        """
        if which == "running":
            return self
        if "batch_stats" not in self.variables or self.gan.pass_through is None:
            raise InputError(f"this generator keeps no statistics of batches, and so has no {which} ones")
        if which == "batch":
            gan = self.gan._replace(sample=standing.batchwise(self.gan))
            return dataclasses.replace(self, gan=gan, batch_norm=f"statistics of each {BATCH}")
        size = self.config.batch_size
        if condition is None and self.gan.condition is not None:
            own = self.asked[self.gan.condition]
            condition = own[np.asarray(random.integers(key, jnp.arange(passes * size), len(own)))]
        given = None if condition is None else resident.scaled(np.asarray(condition))
        variables = standing.standing_statistics(
            self.gan, self.variables, key, given, passes=passes, batch_size=size, psi=psi
        )
        name = f"standing statistics of {passes} batches of {size}"
        return dataclasses.replace(self, variables=variables, batch_norm=name)

    def sample(self, key, n: int, condition=None, psi: float | None = None, *, label=None) -> np.ndarray:
        """n samples as the method's network makes them: images f32[n, H, W, C] in [-1, 1]. Sample i does not
        depend on n.

        Args:
          key: a typed JAX key, `jax.random.key(0)`.
          condition: of a generator that takes one, as its kind of data has it, for one or for n samples; None
            takes each of the run's own in turn.
          psi: truncates the latent to |z| < psi: less variety, more typical samples.
          label: the condition of a generator that is given labels: an integer, i32[n], or a class's name.

        Raises:
          InputError: if n is below 1 or more than memory holds, psi is below 0.01, or the generator has no
            such condition.
        """
        return self._samples(key, n, condition, psi, label)

    def _samples(self, key, n: int, condition, psi: float | None, label=None, then: Callable = lambda x: x):
        if n < 1:
            raise InputError(f"n is {n}: ask for 1 or more samples")
        if psi is not None and not 0.01 <= psi < math.inf:
            raise InputError(f"psi is {psi}: it must be 0.01 or more, and finite")
        self._check_room(n, then)
        given = self.given(condition, label, n)
        if psi is not None:
            z = random.truncated(self.gan.latent, key, jnp.arange(n), psi)
            return generate(partial(self._compiled, self.variables), z, given, then=then)
        sample = partial(self._drawn, self.variables, random.fold(key))
        return generate(sample, np.arange(n), given, then=then)

    def translate(self, images, key=None, variants: int = 1) -> np.ndarray:
        """What a generator that is given an image answers, uint8[N * variants, h, w, c]; the answers to one
        image follow each other.

        Args:
          images: uint8[N, H, W, C], of any size that the network takes.
          key: of the noise; `jax.random.key(0)` if not given. Answer i does not depend on how many there are.
          variants: answers to each image, by other noise.

        Raises:
          InputError: if the generator is given no image, or none like these.
        """
        known = pictures(self.gan, self.asked)
        if known is None:
            raise InputError("this generator is given no image: see sample")
        images = np.asarray(images)
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[3] != known.shape[3]
            or not len(images)
        ):
            what = f"{images.dtype}{list(images.shape)}"
            raise InputError(f"images are uint8[N, H, W, {known.shape[3]}] for this generator, not {what}")
        labels = self.facts.get("labels")
        if labels is not None and (most := int(images[..., 0].max())) >= labels:
            raise InputError(f"the label map has {most}, and this generator knows labels 0 to {labels - 1}")
        if variants < 1:
            raise InputError(f"variants is {variants}: ask for 1 or more")
        given = resident.scaled(np.repeat(images, variants, 0))
        key = jax.random.key(0) if key is None else random.fold(key)
        sample, answer = partial(self._drawn, self.variables, key), self.kind.answer
        try:
            return answer(generate(sample, np.arange(len(given)), given, then=self.kind.decode))
        except ValueError as e:
            raise InputError(str(e).partition("\n")[0]) from None

    def interpolate(self, key, rows: int, columns: int, condition=None, *, label=None) -> np.ndarray:
        """`rows` paths of `columns` samples between pairs of latents, [rows * columns, ...].

        Each path starts and ends at a sample and stays where latents lie: straight if they are
        bounded (uniform); else, for normal ones, rescaled so that each point is normal again. A condition is
        one for all paths or one each; without one each path has the next of the run's own.
        """
        if columns < 2 or rows < 1:
            raise InputError(
                f"an interpolation has 1 row or more of 2 columns or more, not {rows} of {columns}"
            )
        self._check_room(rows * columns)
        ends = self.gan.latent(key, jnp.arange(2 * rows))
        a, b = ends[:rows, None], ends[rows:, None]
        t = jnp.linspace(0, 1, columns).reshape(1, -1, *(1,) * (a.ndim - 2))
        path = (1 - t) * a + t * b
        if float(jnp.abs(self.gan.latent(key, jnp.arange(1000))).max()) > 1:
            path = path / jnp.sqrt((1 - t) ** 2 + t**2)
        condition = self._condition(condition, label, rows)
        condition = None if condition is None else np.repeat(condition, columns, 0)
        return self.of(path.reshape(-1, *ends.shape[1:]), condition)

    def of(self, z, condition=None, *, label=None) -> np.ndarray:
        """The samples of latents z [N, ...]."""
        n = jax.tree.leaves(z)[0].shape[0]
        return generate(partial(self._compiled, self.variables), z, self.given(condition, label, n))

    def given(self, condition, label, n: int):
        """What the generator is given for n samples; None if it takes no condition."""
        condition = self._condition(condition, label, n)
        return None if condition is None else resident.scaled(condition)

    def _condition(self, condition, label, n: int):
        """What n samples are asked for, [n, ...]; None if the generator takes no condition."""
        own = self.gan.condition
        if label is not None:
            if own != "label" or condition is not None:
                told = "label or condition, not both" if own == "label" else "this generator takes no label"
                raise InputError(told)
            condition = label
        if own is None:
            if condition is not None:
                raise InputError("this generator takes no condition")
            return None
        if condition is None:
            return in_turn(self.asked, n)[own]
        return self.kind.condition(self.facts, self.asked[own], condition, n)

    def save(
        self, path, key, n: int, condition=None, psi: float | None = None, *, label=None, columns=None
    ) -> None:
        """Writes the samples that `sample` would make to a file, as `jaxgan sample` does: a grid of images,
        rows of a table, lines of text, a song, as the name's ending has it.

        Args:
          path: a file, which is overwritten.
          columns: of interpolations instead: n of them, each of so many samples (`interpolate`).

        Raises:
          InputError: as `sample` and `interpolate` do, if both psi and columns are given, or if the name has
            an ending that the kind of data has no file of, or cannot be written.
        """
        path = Path(path)
        write = writer(self.kind, path)
        if columns is not None and psi is not None:
            raise InputError("psi truncates no interpolation: leave psi or columns out")
        self._check_room(n * (columns or 1), self.kind.decode)
        own = self._condition(condition, label, n)
        asked = None if own is None else {self.gan.condition: own}
        if columns is not None:
            samples = self.decoded(self.interpolate(key, n, columns, condition, label=label))
            asked = None if asked is None else {name: x.repeat(columns, 0) for name, x in asked.items()}
            made = Made(samples, asked, None, self.step)
        else:
            if asked is not None and condition is None and label is None:
                columns = len(next(iter(self.asked.values())))
            made = self.made(key, n, asked, psi)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, made, self.facts, columns)
        except OSError as e:
            raise InputError(f"{path} cannot be written ({e.strerror})") from None

    @cached_property
    def _compiled(self) -> Callable:
        return jax.jit(self.gan.sample)

    @cached_property
    def _drawn(self) -> Callable:
        return jax.jit(partial(samples_of, self.gan))

    def _check_room(self, n: int, then: Callable = lambda x: x) -> None:
        """Raises InputError if there is no room for n samples, as `then` makes them, and their latents."""
        asked = None if self.gan.condition is None else in_turn(self.asked, 1)
        z = jax.eval_shape(self.gan.latent, jax.random.key(0), jnp.arange(1))
        sample = jax.eval_shape(self.gan.sample, self.variables, z, conditions(self.gan, asked))
        kept = then(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), sample))
        # They are joined, and written or shown.
        memory.require(n * (memory.size(z) + 3 * memory.size(kept)), f"{n} samples")

    def decoded(self, samples):
        """What `sample` made, as the data set holds it."""
        return self.kind.decode(samples)

    def drawn(self, data: Dataset, n: int) -> dict | None:
        """n examples of the data to ask for, None if the generator takes no condition."""
        self._check_room(n, self.kind.decode)
        return None if self.gan.condition is None else drawn(data, self.kind, n)

    def made(self, key, n: int, asked: dict | None, psi: float | None = None) -> Made:
        """n samples, ready to be shown and judged.

        Args:
          asked: as `drawn`.
        """
        condition = asked[self.gan.condition] if asked else None
        samples = self._samples(key, n, condition, psi, then=self.kind.decode)
        critic = None
        if self.d_variables is not None:
            critic = Partial(jax.jit(self.gan.critic), self.d_variables)
        return Made(samples, asked, critic, self.step, self.examine)

    @cached_property
    def examine(self) -> Callable | None:
        """(data, key, slot, ...) -> `GAN.examine`; None of a game that has none, or without D's variables."""
        if self.gan.examine is None or self.d_variables is None:
            return None
        return Partial(jax.jit(self.gan.examine), self.variables, self.d_variables)


def _asked(path: Path, checksum: int | None) -> dict | None:
    """What a run's generator is asked for in turn, None if it takes no condition."""
    if checksum is None:
        return None
    file = path / "asked.npz"
    try:
        content = file.read_bytes()
        if zlib.crc32(content) != checksum:
            raise ValueError("its checksum is off")
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            return dict(found)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as e:
        raise InputError(
            f"{file} is damaged ({e}): put it back as it was; a run of the same command with --steps 1 makes "
            "the same"
        ) from None


def load(
    path: str | Path,
    which: str | int = "last",
    *,
    gan: GAN | None = None,
    kind: Kind | None = None,
    critic: bool = False,
    trust: bool = False,
) -> Generator:
    """The generator of a run, its average where one was kept.

    Args:
      path: the run's folder.
      which: "last" (if that one is damaged, the one before), "best" (of the watched score), or a
        step that has a checkpoint; 0 is the generator before the first step.
      gan: the game of a run that `jaxgan.fit` made; that of any other is found.
      kind: of its data; the default if not given.
      critic: whether D is wanted as well.
      trust: lets code that came with the run be executed; you have read it.

    Raises:
      InputError: if there is no such run or checkpoint, or its code was not run here before.
    """
    path = Path(path)
    record = records.read(path)
    if trust:
        origin.trust(record["experiment"], path)
    if gan is None:
        of, cfg = run.method(record, path)
    else:
        cfg = from_dict(Fit, record["config"])
        opts = Optimizers(optax.identity(), optax.identity(), 0.5 if cfg.averaged else None)
        of = fitted(gan, opts, kind or kinds.default)
    gan = of.make(cfg)[0]
    initial = partial(initial_state, of.make, cfg, run.example_of(record))
    abstract = jax.eval_shape(initial)
    averaged = abstract.g.ema is not None
    known = {
        "config": cfg,
        "kind": of.kind,
        "facts": record["data"]["facts"],
        "asked": _asked(path, record["asked"]),
    }
    if which == 0:
        # Compiled as a run's own is, which may decide the last bit.
        state = jax.jit(initial, compiler_options=parallel.brief_options(jax.devices()[0]))()
        d = state.d.variables if critic and gan.critic else None
        return Generator(gan, state.g.averaged, **known, step=0, averaged=averaged, d_variables=d)
    folder = records.home(path) / ("best" if which == "best" else "checkpoints")
    found = records.checkpoints(path, folder.name)
    if not found:
        raise InputError(f"{path} has no checkpoint in {folder.name}/ yet")
    if which == "last":
        wanted = found
    else:
        wanted = [found[-1] if which == "best" else int(which)]
    if wanted[-1] not in found:
        raise InputError(f"{path} has no checkpoint of step {which}, but of {found}")
    wants = critic and gan.critic is not None
    g, d, step = checkpoint.restore_players(folder, wanted, abstract, critic=wants)
    return Generator(gan, g, **known, step=step, averaged=averaged, d_variables=d)
