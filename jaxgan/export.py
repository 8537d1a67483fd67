"""A generator as a file that is used without this package: a function, or its weights by their names."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from jaxgan import cache
from jaxgan.config import InputError
from jaxgan.data import resident
from jaxgan.sampling import Generator

FORMATS = {"jax": ".bin", "safetensors": ".safetensors"}
PLATFORMS = ("cpu", "cuda", "tpu")


def function(generator: Generator) -> export.Exported:
    """G with its weights in it, for any number of samples and each of `PLATFORMS`: z [b, ...] and, of one
    that takes it, a condition [b, ...] -> samples [b, ...], as `Generator.of` makes them.

    Raises:
      InputError: if it cannot be exported, as where its shapes look at the number of samples.
    """
    (b,) = export.symbolic_shape("b")

    def of(x) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((b, *x.shape[1:]), x.dtype)

    z = jax.eval_shape(generator.gan.latent, jax.random.key(0), jnp.arange(1))
    inputs = [jax.tree.map(of, z)]
    if generator.gan.condition is not None:
        asked = np.asarray(generator.asked[generator.gan.condition])
        inputs.append(of(jax.eval_shape(resident.scaled, asked)))
    variables = jax.device_get(generator.variables)
    sample = jax.jit(lambda *x: generator.gan.sample(variables, *x))
    try:
        return export.export(sample, platforms=PLATFORMS)(*inputs)
    except Exception as e:  # whatever a method's own network raises of a number of samples that is a symbol
        reason = str(e).strip().partition("\n")[0]
        raise InputError(f"this generator cannot be exported for any number of samples: {reason}") from e


def weights(generator: Generator) -> dict[str, np.ndarray]:
    """G's variables by their names, such as `params/Dense_0/kernel`."""
    flat, _ = jax.tree.flatten_with_path(generator.variables)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(x) for path, x in flat}


def write(generator: Generator, to: str, out: Path) -> list[str]:
    """Writes a file in one of `FORMATS`.

    Returns:
      Lines that say how it is used.

    Raises:
      InputError: if the format's package is missing, or the file cannot be written.
    """
    try:
        if to == "jax":
            made = function(generator)
            content, told = bytes(made.serialize()), _use_of_function(generator, made, out)
        else:
            from safetensors.numpy import save

            found, config = weights(generator), json.dumps(dataclasses.asdict(generator.config))
            content = save(found, metadata={"step": str(generator.step), "config": config})
            told = [f"use       safetensors.numpy.load_file({str(out)!r}), {len(found)} arrays by name"]
        cache.write(out, content)
    except ImportError as e:
        name = "safetensors" if to == "safetensors" else "flatbuffers"
        raise InputError(f"--to {to} takes the package {name}: pip install 'jaxgan[export]'") from e
    except OSError as e:
        raise InputError(f"--out {out} cannot be written ({e.strerror})") from None
    return told


def _use_of_function(generator: Generator, made: export.Exported, out: Path) -> list[str]:
    inputs = jax.tree.unflatten(made.in_tree, made.in_avals)[0]
    names = ["z", generator.gan.condition][: len(inputs)]
    z = jax.device_get(generator.gan.latent(jax.random.key(0), jnp.arange(10_000)))
    told = [f"{name} {x}" for name, x in zip(names, inputs, strict=True)]
    law = ", ".join(
        f"mean {x.mean():.2f}, deviation {x.std():.2f}, {x.min():.2f} to {x.max():.2f}"
        for x in jax.tree.leaves(z)
    )
    return [
        f"takes     {', '.join(told)}; z was drawn with {law}",
        f"gives     {', '.join(map(str, made.out_avals))}",
        f"use       jax.export.deserialize(open({str(out)!r}, 'rb').read()).call({', '.join(names)})",
    ]
