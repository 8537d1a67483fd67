"""Points [N, d] of a distribution that is known, drawn anew for each batch, or of a file."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from jaxgan import plots, troubles
from jaxgan import random as keys
from jaxgan.config import InputError, Natural, nearest
from jaxgan.data import Dataset, synthetic
from jaxgan.data import load as read_images
from jaxgan.data.sources import arrays_of, image_set
from jaxgan.data.synthetic import Mixture
from jaxgan.kinds.kind import Judge, Kind, Made, Panel, Shares, groups_of, numbers_of, taken
from jaxgan.losses import penalties
from jaxgan.metrics import judge as judges
from jaxgan.metrics.modes import drift, modes, stacked_modes
from jaxgan.metrics.score import Protocol, Sampling, Score, intervals, protocol
from jaxgan.metrics.sliced_wasserstein import sliced_wasserstein
from jaxgan.troubles import Trouble

MIXTURES = {"ring": synthetic.ring, "grid": synthetic.grid, "embedded": synthetic.embedded}
SETS = (*MIXTURES, "swiss_roll", "stacked", "npz:PATH")
COUNTED = 25  # modes whose shares are kept at each moment, at most
DIRECTIONS = 64  # of the sliced Wasserstein distance
SLOPES = 500  # pairs of real and generated points behind D's mean slope, at most


def _mixture_batch(arrays, key, draw, slot):
    point = synthetic.sample(Mixture(arrays["centres"], arrays["std"]), keys.fold(key, "data", draw), slot)
    return {"point": point}


def _roll_batch(arrays, key, draw, slot):
    return {"point": synthetic.swiss_roll(keys.fold(key, "data", draw), slot, arrays["noise"][0])}


def _stacked_batch(arrays, key, draw, slot):
    key = keys.fold(key, "data", draw)
    images, _ = synthetic.stacked_digits(key, slot, arrays["image"], arrays["label"])
    return {"point": images.reshape(len(slot), -1)}


def load(cfg, data_dir: str | None) -> Dataset:
    """The set that a config names by `data`.

    `ring`, `grid`, `embedded` (VEEGAN's 1200-D modes), each with numbers such as `ring:radius=2,std=0.02`;
    `swiss_roll`, `stacked` (three 8x8 digits as one vector); or `npz:PATH` with `point` [N, d]. A config's
    `samples` are those behind each figure: 2500 if not given, and 26,000 of stacked digits, as published.

    Raises:
      InputError: if there is no such set, or it cannot be read.
    """
    spec = cfg.data
    name, _, text = spec.partition(":")
    facts = {"samples": getattr(cfg, "samples", None) or (26_000 if name == "stacked" else 2500)}
    if name in MIXTURES:
        mixture = MIXTURES[name](**numbers_of(spec, text, MIXTURES[name]))
        centres = np.asarray(mixture.centres)
        std = np.broadcast_to(np.asarray(mixture.std), centres.shape[1:])
        return Dataset(spec, {"centres": centres, "std": std}, facts, _mixture_batch)
    if spec == "swiss_roll":
        return Dataset(spec, {"noise": np.array([0.25])}, facts, _roll_batch)
    if spec == "stacked":
        digits = read_images("digits", image_size=8)
        return Dataset(spec, digits.arrays, facts, _stacked_batch)
    if name == "npz" and text:
        found = arrays_of(Path(text).expanduser())
        if "point" not in found or found["point"].ndim != 2:
            raise InputError(f"{text} has no array 'point' [N, d], but {', '.join(found) or 'nothing'}")
        return Dataset(spec, {"point": found["point"]}, facts)
    raise InputError(f"--data {spec!r} is not one of {', '.join(SETS)}{nearest(name, SETS)}")


def check(data: Dataset) -> None:
    """Raises InputError unless there is `point` [N, d], or the set draws it."""
    if "point" not in data.example(1) or len(data.example(1)["point"].shape) != 2:
        raise InputError(f"{data.name} has no array 'point' [N, d], but {', '.join(data.arrays)}")


def _mixture(data: Dataset) -> Mixture | None:
    """The modes of a set that has some."""
    return Mixture(data["centres"], data["std"]) if "centres" in data.arrays else None


@cache
def reference(data: Dataset, n: int) -> np.ndarray:
    """n points of the set, the same at each call, f32[n, d]."""
    if data.sampler is None:
        rows = np.random.default_rng(0).permutation(len(data["point"]))[:n]
        return data["point"][rows]
    return data.made(keys.fold(jax.random.key(0), "reference"), n)["point"]


def _counter(data: Dataset) -> Callable | None:
    """samples -> the figures of `metrics.modes`, of a set that has modes."""
    if (mixture := _mixture(data)) is not None:
        return jax.jit(partial(modes, mixture=mixture))
    if "label" not in data.arrays:
        return None
    judge = judges.cached(image_set("digits", data["image"], data["label"], tuple("0123456789")))

    def count(samples):
        channels = np.moveaxis(plots.to_uint8(samples).reshape(-1, 8, 8, 3), -1, 1).reshape(-1, 8, 8, 1)
        logits, _ = judges.judge(judge, channels, batch_size=4096)
        return stacked_modes(logits.argmax(1).reshape(-1, 3))

    return count


def slope(made: Made, points) -> float:
    """The mean norm of D's gradient between real points and samples, a pack's own where D judges packs; NaN
    of fewer than a pack."""
    n = min(len(points), len(made.samples), SLOPES)
    real, fake = jnp.asarray(points[:n]), jnp.asarray(made.samples[:n])
    pack = next((m for m in range(1, n + 1) if _judges(made.critic, real[:m])), n + 1)
    n -= n % pack
    critic = made.critic if isinstance(made.critic, Partial) else Partial(made.critic)
    return float(_steepness(critic, real[:n], fake[:n], pack)) if n else float("nan")


@partial(jax.jit, static_argnums=3)
def _steepness(critic, real, fake, pack: int):
    """The mean norm of a critic's gradient between points: compiled once for all states of a D."""
    x = penalties.interpolate(real, fake, jax.random.key(0), jnp.arange(len(real)))
    gradient = jax.grad(lambda x: critic(x).sum())(x)
    return jnp.linalg.norm(gradient.reshape(len(real) // pack, -1), axis=1).mean()


def _judges(critic: Callable, x) -> bool:
    """Whether so many points are a whole number of packs."""
    try:
        jax.eval_shape(critic, x)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Options:
    """Score a run's checkpoints: by the sliced Wasserstein distance to the data and, where their modes are
    known, the modes captured, the share of samples within them, and the reverse KL of their shares."""

    groups: Natural = 10  # of samples, left out in turn for the intervals; 0: none


def judge(
    data: Dataset,
    *,
    conditional: bool = False,
    options: Options | None = None,
    real: Dataset | None = None,
    n: int | None = None,
) -> Judge:
    """The distance to the data; where modes are known, how many are captured and how well; D's slope."""
    n = n or data.facts.get("samples", 2500)
    groups = groups_of(options)
    against = data if real is None else real
    points, count = reference(against, n), _counter(data)

    def distance(samples) -> float:
        return sliced_wasserstein(jax.random.key(0), points, samples, projections=DIRECTIONS)

    def counted(samples) -> dict[str, np.ndarray]:
        return {} if count is None else {k: np.asarray(v) for k, v in count(samples).items()}

    def watch(made: Made) -> dict[str, float]:
        if not np.isfinite(made.samples).all():
            return {}
        found = counted(made.samples)
        shares = found.pop("shares", np.zeros(0))
        figures = {"swd": distance(made.samples), **found}
        if made.critic is not None:
            figures["slope"] = slope(made, points)
        if 0 < len(shares) <= COUNTED:
            figures |= {f"share/{i:02}": share for i, share in enumerate(shares)}
        return figures

    def figures(samples) -> dict[str, float]:
        found = {k: float(v) for k, v in counted(samples).items() if k != "shares"}
        return {"swd": distance(samples), **found}

    def all_scores(made: Made, sampling: Sampling) -> list[Score]:
        samples = made.samples
        if not np.isfinite(samples).all():
            raise InputError(
                f"{(~np.isfinite(samples)).any(1).sum()} of {len(samples)} samples are not finite"
            )
        values, missed = figures(samples), []
        if not np.isfinite(values.get("reverse_kl", 0)):
            del values["reverse_kl"]
            missed.append("reverse_kl is left out: no sample is within 3 standard deviations of a mode")
        around = {}
        if groups and len(samples) >= 4 * groups:
            fewer = lambda rows: {**dict.fromkeys(values, np.nan), **figures(samples[rows])}  # noqa: E731
            around = intervals(
                fewer, values, len(samples), groups=groups, bounds=_bounds(against), shares=SHARES
            )
        if made.critic is not None:
            values["slope"] = slope(made, points)
            if not np.isfinite(values["slope"]):
                del values["slope"]
                missed.append(
                    "slope is left out: the samples are fewer than a pack of D's, or D is not finite"
                )
        by = partial(_protocol, against, len(points), len(samples), sampling)
        found = [
            Score(
                value,
                ends if np.isfinite(ends := around.get(name, (np.nan,))).all() else None,
                by(name),
            )
            for name, value in values.items()
        ]
        return taken(found, missed)

    def wrong(made: Made, rows: list[dict], found: list[Score]) -> list[Trouble]:
        shares = counted(made.samples).get("shares", np.zeros(0))
        k = len(shares)
        if not k:
            return troubles.of_steps(rows)
        within, names = float(shares.sum()), [f"mode {i}" for i in range(k)]
        # Those beside all modes are of none, and say nothing of which are missing.
        own = troubles.of_shares(
            names, shares / max(within, 1e-9), np.full(k, 1 / k), within * len(made.samples), "mode"
        )
        return troubles.of_steps(rows) + troubles.of_quality(within) + own

    return Judge(n, watch, all_scores, _remarks, wrong)


SHARES = ("high_quality",)


def _bounds(data: Dataset) -> dict[str, tuple[float, float]]:
    """The least and the greatest that a figure can be."""
    mixture = _mixture(data)
    k = 1000 if mixture is None else len(mixture.centres)
    return {
        "swd": (0, None),
        "slope": (0, None),
        "high_quality": (0, 1),
        "captured": (0, k),
        "reverse_kl": (0, float(np.log(k))),
    }


BETTER = {"captured": "higher", "high_quality": "higher", "slope": "nearer to 1"}


def _protocol(against: Dataset, n_real: int, n_fake: int, sampling: Sampling, name: str) -> Protocol:
    of = {"swd": f"points in {DIRECTIONS} directions", "slope": "D's logits"}
    return protocol(
        sampling,
        metric=name,
        better=BETTER.get(name, "lower"),
        within=_bounds(against).get(name, (None, None)),
        features=of.get(name, "the true modes, within 3 standard deviations"),
        reference=against,
        n_reference=n_real if name in of else 0,
        n_fake=n_fake,
    )


def shares_of(rows: list[dict]) -> tuple[list[int], np.ndarray]:
    """The steps at which the modes' shares were counted, and the shares f32[T, K]."""
    rows = [row for row in rows if "share/00" in row]
    names = sorted(name for name in rows[0] if name.startswith("share/")) if rows else []
    return [row["step"] for row in rows], np.array([[row[name] for name in names] for row in rows])


def _remarks(made: Made, rows: list[dict]):
    """Modes captured in the median over the last fifth of the moments, and how far the shares move."""
    captured = [row["score/captured"] for row in rows if "score/captured" in row]
    facts, lines = {}, []
    if captured:
        late = float(np.median(captured[-max(1, len(captured) // 5) :]))
        facts["captured_late"] = late
        lines.append(f"captured over the last fifth of {len(captured)} moments: {late:g} in the median")
    steps, shares = shares_of(rows)
    if len(steps) >= 2:
        facts["drift"] = float(drift(shares[min(len(steps) // 2, len(steps) - 2) :]))
        lines.append(f"the modes' shares move by {facts['drift']:.3f} a moment in its second half")
    return facts, lines


def _plane(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The two directions [d, 2] in which the data vary most (their own axes in 2-D), and a window there."""
    points = reference(data, 2500)
    directions = np.eye(2)
    if points.shape[1] != 2:
        directions = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][:2].T
    seen = points @ directions
    middle, reach = (seen.max(0) + seen.min(0)) / 2, 0.65 * np.ptp(seen, axis=0).max()
    return directions, np.stack([middle - reach, middle + reach], 1)


def _draw(axis, data: Dataset, samples) -> None:
    mixture, (directions, window) = _mixture(data), _plane(data)
    if mixture is not None and data["centres"].shape[1] == 2:
        plots.density(axis, samples, mixture.centres, 3 * float(np.max(mixture.std)))
    else:
        plots.density(axis, samples @ directions, window=window)


def _show(data: Dataset, made: Made) -> np.ndarray:
    """Where samples lie, over the true modes of a mixture; stacked digits as images."""
    if "label" in data.arrays:
        return plots.grid(plots.to_uint8(made.samples[:64]).reshape(-1, 8, 8, 3), 8)
    return plots.canvas(partial(_draw, data=data, samples=made.samples), title=f"step {made.step:,}")


def _shares(data: Dataset, made: Made, rows) -> np.ndarray | None:
    """The modes' shares over the steps."""
    steps, shares = shares_of(rows)
    if len(steps) < 2:
        return None
    draw = partial(plots.mode_shares, shares=shares, steps=steps)
    return plots.canvas(draw, (9, 4), "share of each mode")


def panels(data: Dataset, generator, key, rows) -> list[Panel]:
    """Where samples lie, and what they have of each mode."""
    samples = generator.made(key, 2500, None).samples
    if "label" in data.arrays:
        stacked = plots.to_uint8(samples[:100]).reshape(-1, 8, 8, 3)
        found = [
            Panel("Samples", plots.Tiles(stacked, title="Samples"), "As they were drawn, none left out.")
        ]
    else:
        text = "A histogram of 2500 samples; a ring is 3 standard deviations of a true mode."
        draw = partial(_draw, data=data, samples=samples)
        beside = partial(_draw, data=data, samples=reference(data, 2500))
        found = [
            Panel("Samples", draw, text),
            Panel("Data", beside, "As many points of the data."),
        ]
    mixture = _mixture(data)
    if mixture is not None and len(mixture.centres) <= COUNTED:
        k = len(mixture.centres)
        own = np.asarray(modes(jnp.asarray(samples), mixture)["shares"])
        names = tuple(f"mode {i}" for i in range(k))
        text = "Of 2500 samples, those within 3 standard deviations of each mode."
        found.append(Panel("Shares of modes", Shares(names, own, np.full(k, 1 / k)), text, half=False))
    steps, shares = shares_of(rows)
    if len(steps) >= 2:
        draw = partial(plots.mode_shares, shares=shares, steps=steps)
        found.append(Panel("Shares over training", draw, "White is of no mode.", half=False))
    return found


def _write_npz(path, made: Made, facts, columns) -> None:
    np.savez_compressed(path, point=made.samples)


def _write_csv(path, made: Made, facts, columns) -> None:
    np.savetxt(path, made.samples, "%.9g", ",")


def _write_png(path, made: Made, facts, columns) -> None:
    samples = made.samples
    if samples.shape[1] != 2:
        raise InputError(
            f"--out {path}: points of {samples.shape[1]} numbers have no picture; write .npz or .csv"
        )
    low, high = samples.min(0), samples.max(0)
    reach = 0.55 * max(np.max(high - low), 1e-6)
    middle = (low + high) / 2
    window = np.stack([middle - reach, middle + reach], 1)
    title = f"{len(samples)} samples"
    plots.picture(plots.canvas(partial(plots.density, samples=samples, window=window), title=title)).save(
        path
    )


points = Kind(
    load=load,
    judge=judge,
    show=_show,
    write={".png": _write_png, ".npz": _write_npz, ".csv": _write_csv},
    finals={"shares": _shares},
    panels=panels,
    of="point",
    shown=2500,
    check=check,
    options=Options,
    unit="points",
)
