"""Where the benchmark runs: interpreters, versions, threads, processor."""
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Dict, Optional, Tuple

import gluonnorm
from gluonnorm._runtime import physical_cores

FOLDER = Path(__file__).resolve().parent.parent  # scripts/, from which rows import what they share
# What each program needs.
MODULES = {"ours": ("gluonnorm", "mxnet", "numpy"), "gluoncv": ("gluoncv",), "torchvision": ("torch", "torchvision")}
PROBE = """
import importlib.util, json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    if importlib.util.find_spec(name) is None:
        sys.exit(1)
    try:
        found[name] = version(name)
    except PackageNotFoundError:  # such as mxnet-cu112, which is imported as mxnet
        found[name] = importlib.import_module(name).__version__
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Machine:
    """``pythons`` and ``versions`` are by program, versions None for one that is not installed; ``size`` is (height,
    width) of the images, ``facts`` are for the page."""
    pythons: Dict[str, str]
    versions: Dict[str, Optional[Dict[str, str]]]
    size: Tuple[int, int]
    seed: int
    facts: Dict[str, str]

    def missing(self, program: str) -> str:
        """Why a program's rows cannot run, or nothing."""
        return "not installed" if self.versions[program] is None else ""

    def environment(self) -> Dict[str, str]:
        """What the processes get: this package, and this process's threads, which torch takes from there too."""
        return _environment()


def describe(peer_python: str, size: Tuple[int, int], seed: int) -> Machine:
    """This machine. Raises ValueError where ``peer_python`` is no program."""
    pythons = {"ours": sys.executable, "gluoncv": sys.executable, "torchvision": peer_python}
    versions = {program: _versions(pythons[program], MODULES[program]) for program in MODULES}
    known = {name: version for program in versions.values() for name, version in (program or {}).items()}
    facts = {
        "processor": f"{_processor()}, {physical_cores()} physical cores, {os.environ['OMP_NUM_THREADS']} threads used",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version}" for name, version in known.items()),
        "not installed": ", ".join(program for program, found in versions.items() if found is None) or "nothing",
        "load before": f"{os.getloadavg()[0]:.1f} (0 is an idle machine)",
        "date": date.today().isoformat()}
    return Machine(pythons, versions, size, seed, facts)


def _versions(python: str, modules: Tuple[str, ...]) -> Optional[Dict[str, str]]:
    try:
        probe = subprocess.run([python, "-c", PROBE, *modules], capture_output=True, encoding="utf-8",
                               env=_environment())
    except OSError as error:
        raise ValueError(f"--peer-python {python}: cannot be run ({error.strerror}); give an interpreter that has "
                         "torchvision, or leave it out") from error
    return json.loads(probe.stdout.splitlines()[-1]) if probe.returncode == 0 else None


def _environment() -> Dict[str, str]:
    package = str(Path(gluonnorm.__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                platform.processor() or "unknown processor")
