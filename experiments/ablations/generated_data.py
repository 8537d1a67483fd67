"""What generated images are good for: a classifier of few real images, with and without them (after Frid-Adar
et al. 2018).

    python -m experiments.ablations.generated_data

Claim: with images of a DCGAN beside 182 real ones and their usual augmentation, a classifier's sensitivity to
three kinds of liver lesions rose from 78.6 to 85.7 %, its specificity from 88.4 to 92.4 %.

A seed draws its own few real images of each class, trains a class-conditional GAN on these alone, and then
classifiers of one size, all from the same weights and for equally many steps, on the real images alone and
with N more: generated ones; the same with their labels permuted, which has to be worse; and the real ones
again, shifted at random by a few pixels, which costs nothing. All are tested on the same real images, which
neither GAN nor classifier has seen. What was found stays in OUT/results.json, and another call goes on there.
"""

import dataclasses
import importlib
import json
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import linen as nn
from jax import lax

from jaxgan import cache, fitting, methods, plots, random, recipes, sampling, statistics
from jaxgan.config import Count, InputError, check, first_difference
from jaxgan.data import Dataset, load, resident
from jaxgan.data.sources import image_set
from jaxgan.game import samples_of
from jaxgan.kinds.images import images as of_images
from jaxgan.losses.auxiliary import cross_entropy
from jaxgan.nn.conv import Conv
from jaxgan.signals import Stopped, reported

ALONE = "real alone"
BATCH = 64


@dataclass(frozen=True)
class Config:
    """Trains classifiers with and without generated images."""

    data: str = "digits"  # digits, tfds:NAME, folder:PATH or npz:PATH, with labels
    data_dir: str | None = None  # where TFDS sets lie prepared; TFDS's own place if not given
    split: str = "train"  # of a TFDS set
    image_size: Count = 16  # pixels
    real_per_class: Count = 20  # real images of each class that GAN and classifiers see
    generated: tuple[Count, ...] = (200, 1000)  # images added to them, of all classes together
    seeds: Count = 5  # 0, 1, ...: each with other real images, another GAN and other classifiers
    method: Literal["projection", "cgan", "acgan"] = "projection"  # the GAN's
    gan_steps: Count = 2000  # generator updates
    classifier_steps: Count = 1000
    shift: Count = 2  # pixels by which real images are shifted at most
    tested: Count = 5000  # unseen real images that a classifier is tested on, at most
    out: Path = Path("runs/generated_data")  # for results.json, table.md, accuracy.png and samples.png


class Classifier(nn.Module):
    """Images f32[B, H, W, C] -> scores f32[B, n_classes]."""

    n_classes: int

    @nn.compact
    def __call__(self, x):
        """Two convolutions that halve the sides, and a hidden layer."""
        for width in (32, 64):
            x = nn.relu(Conv(width, (4, 4), (2, 2))(x))
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(self.n_classes)(x)


@partial(jax.jit, static_argnames=("n_classes", "steps"))
def learned(key, image, label, *, n_classes: int, steps: int):
    """The variables of a classifier of images uint8[N, H, W, C] and labels i32[N] after so many steps of
    Adam, at a rate that falls from 1e-3 to 0."""
    net, tx = Classifier(n_classes), optax.adam(optax.cosine_decay_schedule(1e-3, steps))
    slot = jnp.arange(min(BATCH, len(image)))
    arrays = {"image": image, "label": label}

    def step(carry, i):
        variables, opt = carry
        batch = resident.draw(arrays, key, i, slot, batch_size=len(slot))

        def loss(variables):
            return cross_entropy(net.apply(variables, batch["image"]), batch["label"]).mean()

        updates, opt = tx.update(jax.grad(loss)(variables), opt)
        return (optax.apply_updates(variables, updates), opt), None

    variables = net.init(random.fold(key, "init"), resident.scaled(image[:1]))
    return lax.scan(step, (variables, tx.init(variables)), jnp.arange(steps))[0][0]


@partial(jax.jit, static_argnames="n_classes")
def _seen(variables, image, *, n_classes: int):
    return Classifier(n_classes).apply(variables, resident.scaled(image)).argmax(1)


def accuracy(variables, image, label, n_classes: int) -> float:
    """The share of images uint8[N, H, W, C] whose class a classifier sees."""
    seen = sampling.generate(partial(_seen, variables, n_classes=n_classes), image, batch_size=512)
    return float((seen == label).mean())


def parted(data: Dataset, each: int, seed: int, most: int) -> tuple[Dataset, Dataset]:
    """So many images of each class at random, and at most so many of all others.

    Raises:
      InputError: if the set has no labels, or a class has no more than `each`.
    """
    if not data.classes:
        raise InputError(f"{data.name} has no labels, which a classifier learns")
    order = np.random.default_rng(seed).permutation(len(data["label"]))
    label = data["label"][order]
    few = []
    for c, name in enumerate(data.classes):
        own = order[label == c]
        if len(own) <= each:
            raise InputError(f"{data.name} has {len(own)} images of {name}: --real-per-class is below that")
        few.append(own[:each])
    few = np.concatenate(few)
    others = order[~np.isin(order, few)][:most]
    return tuple(
        image_set(f"{data.name}, {what}", data["image"][rows], data["label"][rows], data.classes)
        for what, rows in ((f"{each} of each class", few), ("others", others))
    )


def generated(cfg: Config, real: Dataset, seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n images of a GAN that has seen the real ones alone, uint8[n, H, W, C], each class in turn, and their
    labels i32[n].

    Raises:
      Stopped: if Ctrl-C came while it learned.
    """
    module = importlib.import_module(f"experiments.{cfg.method}")
    facts = {"channels": real["image"].shape[-1], "n_classes": len(real.classes)}
    own = module.Config(image_size=cfg.image_size, steps=cfg.gan_steps, seed=seed, **facts)
    own = recipes.filled(own, real.numbers)
    gan, opts = module.make(own)
    step = methods.method_of(module, of_images).train_step(own)
    size = min(own.batch_size, len(real["image"]))
    options = dict(steps=own.steps, batch_size=size, n_critic=own.n_critic, seed=seed, train_step=step)
    state = fitting.fit(gan, opts, real, **options).state
    if int(state.step) < own.steps:
        raise Stopped(signal.SIGINT, "stopped while a GAN was learning: another call begins its seed anew")
    label = np.arange(n, dtype=np.int32) % len(real.classes)
    sample = partial(jax.jit(partial(samples_of, gan)), state.g.averaged, random.fold(state.key, "more"))
    return sampling.generate(sample, np.arange(n), label, then=plots.to_uint8), label


def shifted(image, n: int, pixels: int, seed: int) -> np.ndarray:
    """n of the images uint8[N, H, W, C], each in turn, moved by at most so many pixels, edges repeated."""
    height, width = image.shape[1:3]
    sides = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    moved = np.pad(image[np.arange(n) % len(image)], sides, "edge")
    starts = np.random.default_rng(seed).integers(2 * pixels + 1, size=(n, 2))
    return np.stack([x[i : i + height, j : j + width] for x, (i, j) in zip(moved, starts, strict=True)])


def added(cfg: Config, real: Dataset, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is put beside the real images, by its name: images and labels."""
    most = max(cfg.generated)
    image, label = generated(cfg, real, seed, most)
    copies, own = shifted(real["image"], most, cfg.shift, seed), np.resize(real["label"], most)
    found = {}
    for n in cfg.generated:
        wrong = np.random.default_rng(seed).permutation(label[:n])
        found[f"{n} generated"] = image[:n], label[:n]
        found[f"{n} generated, labels permuted"] = image[:n], wrong
        found[f"{n} shifted"] = copies[:n], own[:n]
    return found


def measured(cfg: Config, data: Dataset, seed: int) -> dict[str, float]:
    """The accuracy of a seed's classifiers, by what they have learned from."""
    real, unseen = parted(data, cfg.real_per_class, seed, cfg.tested)
    n_classes, key = len(data.classes), random.fold(jax.random.key(seed), "classifier")
    more = added(cfg, real, seed)
    plots.picture(plots.grid(more[f"{max(cfg.generated)} generated"][0][: 8 * n_classes], n_classes)).save(
        cfg.out / "samples.png"
    )
    found = {}
    for name, (image, label) in {ALONE: (real["image"][:0], real["label"][:0]), **more}.items():
        image, label = (np.concatenate(x) for x in ((real["image"], image), (real["label"], label)))
        variables = learned(key, image, label, n_classes=n_classes, steps=cfg.classifier_steps)
        found[name] = accuracy(variables, unseen["image"], unseen["label"], n_classes)
    return found


def table(found: dict[str, list[float]]) -> str:
    """Each row's accuracies by seed, in percent: their mean, and that of the differences from the real images
    alone, seed by seed, with 95 % intervals, as Markdown."""
    lines = [
        "| learned from | accuracy, % | 95 % | against real alone | 95 % | p |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ends = lambda x: "" if x is None else "{:.1f} to {:.1f}".format(*x)  # noqa: E731
    alone = 100 * np.array(found[ALONE])
    for name, values in found.items():
        values = 100 * np.array(values)
        own = statistics.summary(values, better="higher", within=(0, 100))
        cells = [f"{own.mean:.1f}", ends(own.interval), "", "", ""]
        if name != ALONE:
            apart = statistics.versus(values, alone, better="higher")
            p = "" if apart.p is None else f"{apart.p:.2g}"
            cells[2:] = f"{apart.difference:+.1f}", ends(apart.interval), p
        lines.append(f"| {name if name == ALONE else f'... and {name}'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(found: dict[str, list[float]], path: Path) -> None:
    """The accuracies: a point a seed, and the mean with its interval."""
    figure = plots.figure_of((7, 0.4 * len(found) + 1), layout="constrained")
    axis = figure.subplots()
    for row, (name, values) in enumerate(found.items()):
        values = 100 * np.array(values)
        own = statistics.summary(values, better="higher", within=(0, 100))
        colour = "C3" if "permuted" in name else "C0" if "generated" in name else "0.3"
        axis.plot(values, np.full(len(values), row), "o", color=colour, alpha=0.3, markersize=4)
        axis.plot(own.mean, row, "|", color=colour, markersize=16)
        if own.interval is not None:
            axis.hlines(row, *own.interval, color=colour, linewidth=2)
    axis.axvline(100 * np.mean(found[ALONE]), color="0.7", linewidth=0.8, zorder=0)
    axis.set(yticks=range(len(found)), yticklabels=found, xlabel="right on unseen real images, %")
    axis.invert_yaxis()
    figure.savefig(path, dpi=110)


def known(cfg: Config) -> dict[str, dict[str, float]]:
    """What earlier calls have measured, by seed.

    Raises:
      InputError: if the folder holds another comparison.
    """
    path = cfg.out / "results.json"
    if not path.is_file():
        return {}
    record = json.loads(path.read_text())
    if difference := first_difference(_told(cfg), record["config"]):
        raise InputError(f"{cfg.out} holds another comparison ({difference}); choose another --out")
    return record["seeds"]


def _told(cfg: Config) -> dict:
    """What decides a seed's numbers, as JSON has it."""
    fields = {k: v for k, v in dataclasses.asdict(cfg).items() if k not in ("seeds", "out", "data_dir")}
    return json.loads(json.dumps(fields))


def main(cfg: Config) -> str:
    """Runs, writes the table, the picture and the numbers after each seed, and prints the table.

    Raises:
      InputError: if the data cannot be used, or the folder holds another comparison.
    """
    cfg = check(cfg)
    cache.keep_compilations()  # a seed's program is the next one's
    if not cfg.generated:
        raise InputError("--generated: give one number of images or more")
    seeds = known(cfg)
    data = load(cfg.data, image_size=cfg.image_size, split=cfg.split, data_dir=cfg.data_dir)
    cfg.out.mkdir(parents=True, exist_ok=True)
    for seed in range(cfg.seeds):
        if str(seed) not in seeds:
            seeds[str(seed)] = measured(cfg, data, seed)
            record = {"config": _told(cfg), "seeds": seeds}
            cache.write(cfg.out / "results.json", json.dumps(record, indent=1).encode())
        right = ", ".join(f"{name} {value:.1%}" for name, value in seeds[str(seed)].items())
        print(f"seed {seed}: {right}", flush=True)
    some = [seeds[str(seed)] for seed in range(cfg.seeds)]
    found = {name: [one[name] for one in some] for name in some[0]}
    text = table(found)
    (cfg.out / "table.md").write_text(text + "\n")
    plot(found, cfg.out / "accuracy.png")
    print(f"\n{text}\nwritten to {cfg.out}")
    return text


if __name__ == "__main__":
    with reported(own=True):
        main(tyro.cli(Config, description=__doc__))
