"""What a process needs before MXNet 1.9.1 is imported: threads, and names that newer NumPy dropped."""
import os
from typing import Set, Tuple

import numpy as np


def physical_cores() -> int:
    """Number of physical cores this process may run on, at least 1.

    Counted from ``/proc/cpuinfo`` over the allowed CPUs; where that says nothing, the allowed CPUs are counted.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores: Set[Tuple[str, str]] = set()
    fields = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                fields[key.strip()] = value.strip()
                if not line.strip():
                    if int(fields.get("processor", -1)) in allowed and "core id" in fields:
                        cores.add((fields.get("physical id", "0"), fields["core id"]))
                    fields = {}
    except (OSError, ValueError):
        cores.clear()
    return len(cores) or len(allowed) or 1


def prepare() -> None:
    """Set the thread count MXNet reads at import, and give NumPy 1.24+ the aliases MXNet and GluonCV still use.

    MXNet takes half of the logical CPUs where ``OMP_NUM_THREADS`` is unset; a value already set is left alone.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(physical_cores()))
    for name, kind in (("bool", np.bool_), ("float", np.float64), ("int", np.int_), ("object", np.object_)):
        if name not in np.__dict__:
            setattr(np, name, kind)
