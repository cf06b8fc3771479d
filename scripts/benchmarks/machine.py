"""Where the benchmark runs: interpreters, versions, threads and processor."""

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
from benchmarks.groups import LIBGOMP_SPINS
from gluonnorm._runtime import SPIN_COUNT, physical_cores, processor_name
from gluonnorm.errors import InputError

# scripts/ is the working folder of the rows' processes, because they import ``benchmarks`` from it.
SCRIPTS_FOLDER = Path(__file__).resolve().parent.parent
PROGRAM_MODULES = {
    "gluonnorm": ("gluonnorm", "mxnet", "numpy"),
    "gluoncv": ("gluoncv",),
    "torchvision": ("torch", "torchvision"),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "nncf": ("nncf",),
}
# Run by another interpreter. It prints {module: version}, or ends with status 1 if one is missing.
VERSION_PROBE = """
import importlib.util, json, sys
from importlib.metadata import PackageNotFoundError, version
versions = {}
for name in sys.argv[1:]:
    if importlib.util.find_spec(name) is None:
        sys.exit(1)
    try:
        versions[name] = version(name)
    except PackageNotFoundError:  # such as mxnet-cu112, which is imported as mxnet
        versions[name] = importlib.import_module(name).__version__
print(json.dumps(versions))
"""


@dataclass(frozen=True)
class Machine:
    """The machine, and what all rows are measured with.

    Attributes
    ----------
    pythons : dict of str to str
        The interpreter of each program.
    versions : dict of str to (dict or None)
        The version of each module that a program needs; None if the program is not installed.
    size : tuple of int
        Height and width of the images.
    seed : int
        Seed of weights, images and ground truth.
    facts : dict of str to str
        What the page says of the machine.
    """

    pythons: Dict[str, str]
    versions: Dict[str, Optional[Dict[str, str]]]
    size: Tuple[int, int]
    seed: int
    facts: Dict[str, str]

    def missing(self, program: str) -> str:
        """Tell why a program's rows cannot run.

        Parameters
        ----------
        program : str
            A key of ``versions``.

        Returns
        -------
        str
            The reason, or ``""`` if they can.
        """
        return "not installed" if self.versions[program] is None else ""


def describe_machine(peer_python: str, size: Tuple[int, int], seed: int) -> Machine:
    """Find out what is installed, and describe this machine.

    Parameters
    ----------
    peer_python : str
        The interpreter that has torchvision, onnxruntime, OpenVINO and nncf. A relative path is
        relative to the current folder.
    size : tuple of int
        Height and width of the images.
    seed : int
        Seed of weights, images and ground truth.

    Returns
    -------
    Machine
        The machine, with the versions of all that is installed.

    Raises
    ------
    InputError
        ``peer_python`` cannot be run.
    """
    peer_program = _absolute_program(peer_python)
    pythons = {"gluonnorm": sys.executable, "gluoncv": sys.executable}
    for program in ("torchvision", "onnxruntime", "openvino", "nncf"):
        pythons[program] = peer_program
    versions = {}
    for program in PROGRAM_MODULES:
        versions[program] = _module_versions(pythons[program], program, peer_python)
    return Machine(pythons, versions, size, seed, _facts(versions))


def row_environment(program: str) -> Dict[str, str]:
    """Make the environment of a row's process.

    Parameters
    ----------
    program : str
        The row's program.

    Returns
    -------
    dict of str to str
        This process's environment, with this package on the module path. It holds the number of
        threads, ``OMP_NUM_THREADS``, which torch reads too. How long threads wait for each other
        is this package's choice for its own rows alone.
    """
    variables = dict(os.environ)
    if program != "gluonnorm" and variables.get("GOMP_SPINCOUNT") == str(SPIN_COUNT):
        variables["GOMP_SPINCOUNT"] = LIBGOMP_SPINS
    # The processes run in another folder, where relative paths would mean something else.
    folders = [str(Path(gluonnorm.__file__).resolve().parents[1])]
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if folder:
            folders.append(os.path.abspath(folder))
    return {**variables, "PYTHONPATH": os.pathsep.join(folders)}


def _absolute_program(program: str) -> str:
    """Make a program's path absolute; a bare name is left to the search path."""
    # A link stays a link: a virtual environment is recognized by the path of its interpreter.
    return os.path.abspath(program) if os.path.dirname(program) else program


def _module_versions(python: str, program: str, peer_python: str) -> Optional[Dict[str, str]]:
    """Ask an interpreter for the versions of a program's modules; None if one is missing."""
    try:
        probe = subprocess.run(
            [python, "-c", VERSION_PROBE, *PROGRAM_MODULES[program]],
            capture_output=True,
            encoding="utf-8",
            env=row_environment(program),
        )
    except OSError as error:
        raise InputError(
            f"--peer-python {peer_python}: cannot be run ({error.strerror}); give an "
            "interpreter that has torchvision, or leave it out"
        ) from error
    if probe.returncode != 0:
        return None
    return json.loads(probe.stdout.splitlines()[-1])


def _facts(versions: Dict[str, Optional[Dict[str, str]]]) -> Dict[str, str]:
    """Collect what the page says of the machine."""
    installed = []
    missing = []
    for program, modules in versions.items():
        if modules is None:
            missing.append(program)
        else:
            installed += [f"{name} {version}" for name, version in modules.items()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = physical_cores()
    threads = os.environ["OMP_NUM_THREADS"]
    return {
        "processor": f"{processor_name()}, {cores} physical cores, {threads} threads used",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(installed),
        "not installed": ", ".join(missing) or "nothing",
        "load before": f"{os.getloadavg()[0]:.1f} (0 is an idle machine)",
        "date": date.today().isoformat(),
    }
