"""Whether there is room for what is asked for, told before any of it is made."""

import contextlib
import math
import resource
from pathlib import Path

import psutil

from jaxgan.config import InputError


def size(tree) -> int:
    """Bytes of arrays, or of their shapes and types."""
    import jax  # what reads images needs none of it

    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def largest(jaxpr) -> int:
    """Bytes of what the largest operation of a program, a `Jaxpr`, makes: it needs as many at least."""
    import jax
    from jax.extend.core import ClosedJaxpr, Jaxpr

    found = 0
    for eqn in jaxpr.eqns:
        made = [v.aval for v in eqn.outvars if hasattr(v.aval, "shape")]
        inner = [x for x in jax.tree.leaves(list(eqn.params.values())) if isinstance(x, ClosedJaxpr | Jaxpr)]
        found = max(found, size(made), *(largest(getattr(x, "jaxpr", x)) for x in inner))
    return found


def _allowed() -> int | None:
    """Bytes that a limit on this process's group leaves it (a container's, a job's of SLURM, a service's), of
    what others do not give back when asked; None if there is no limit."""
    left = []
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds not in ("", "memory"):
                continue
            root = Path("/sys/fs/cgroup", kinds)
            most, now = ("limit_in_bytes", "usage_in_bytes") if kinds else ("max", "current")
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                if not folder.is_relative_to(root):
                    break
                with contextlib.suppress(OSError, ValueError):
                    limit = int((folder / f"memory.{most}").read_text())
                    stat = dict(x.split() for x in (folder / "memory.stat").read_text().splitlines())
                    pages = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
                    left.append(limit - int((folder / f"memory.{now}").read_text()) + pages)
    own = psutil.Process().memory_info()
    for kind, used in ((resource.RLIMIT_DATA, own.data), (resource.RLIMIT_AS, own.vms)):
        limit, _ = resource.getrlimit(kind)
        left += [] if limit == resource.RLIM_INFINITY else [limit - used]
    return max(0, min(left)) if left else None


def free(device=None) -> int:
    """Bytes that a device has left; of a CPU, and of None, what there is and this process may take."""
    known = (device and device.memory_stats()) or {}
    if "bytes_limit" in known:
        return known["bytes_limit"] - known["bytes_in_use"]
    there, allowed = psutil.virtual_memory().available, _allowed()
    return there if allowed is None else min(there, allowed)


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
