"""Files written whole or not at all, and what is kept between runs in the user's cache folder."""

import contextlib
import os
import sys
import warnings
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
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


_told: set[Path] = set()  # folders of which it was said already that nothing can be kept there


def _tell(place: Path, e: OSError) -> None:
    if place not in _told:
        _told.add(place)
        print(f"nothing can be kept in {place} ({e.strerror}): it is made anew each time", file=sys.stderr)


def keep(path: Path, content: bytes) -> None:
    """Writes a file in the cache folder; where that is not to be, a line says so, and all goes on without."""
    try:
        write(path, content)
    except OSError as e:
        _tell(folder(), e)


def keep_compilations() -> None:
    """Turns on JAX's persistent compilation cache, unless the user has set one up already."""
    import jax  # half a second, for which no reader of records need wait

    if jax.config.jax_compilation_cache_dir is None:
        place = folder() / "xla"
        try:
            write(place / "probe", bytes(100_000))
        except OSError as e:
            _tell(folder(), e)
            return
        # Later on, what cannot be kept is of no account.
        warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
        jax.config.update("jax_compilation_cache_dir", str(place))
        # The forty small programs of a run take five seconds together.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
