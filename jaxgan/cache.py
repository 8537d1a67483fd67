"""Files written whole or not at all, and what is kept between runs in the user's cache folder."""

import os
from pathlib import Path


def folder() -> Path:
    """$JAXGAN_CACHE, or `jaxgan` in the user's cache folder."""
    if chosen := os.environ.get("JAXGAN_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxgan"


def write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, also where two processes write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def keep_compilations() -> None:
    """Turns on JAX's persistent compilation cache, unless the user has set one up already."""
    import jax  # half a second, for which no reader of records need wait

    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(folder() / "xla"))
        # The forty small programs of a run take five seconds together.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
