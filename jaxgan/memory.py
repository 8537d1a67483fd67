"""Whether there is room for what is asked for, told before any of it is made."""

import math

import jax
import psutil
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxgan.config import InputError


def size(tree) -> int:
    """Bytes of arrays, or of their shapes and types."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def largest(jaxpr: Jaxpr) -> int:
    """Bytes of what the largest operation of a program makes: it needs as many at least."""
    found = 0
    for eqn in jaxpr.eqns:
        made = [v.aval for v in eqn.outvars if hasattr(v.aval, "shape")]
        inner = [x for x in jax.tree.leaves(list(eqn.params.values())) if isinstance(x, ClosedJaxpr | Jaxpr)]
        found = max(found, size(made), *(largest(getattr(x, "jaxpr", x)) for x in inner))
    return found


def free(device=None) -> int:
    """Bytes that a device has left; of a CPU, and of None, what this machine has."""
    known = (device and device.memory_stats()) or {}
    if "bytes_limit" in known:
        return known["bytes_limit"] - known["bytes_in_use"]
    return psutil.virtual_memory().available


def told(n: int) -> str:
    """So many bytes, in a unit that suits them."""
    unit = min((max(n, 1).bit_length() - 1) // 10, 4)
    return f"{n / 1024**unit:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def require(needed: int, what: str, device=None) -> None:
    """Raises InputError if there is no room for so many bytes, which `what` would take."""
    if needed > (there := free(device)):
        raise InputError(
            f"{what} would take {told(needed)} of memory, and {told(there)} are free: ask for less"
        )
