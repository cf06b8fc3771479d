"""The run times by name: which one runs a prefix's files, and where it is imported."""

import importlib.util
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from gluonnorm.deploy.bundle import (
    BUNDLE_SUFFIXES,
    ONNX_SUFFIX,
    DeployError,
    bundle_paths,
    require_files,
)
from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.late_import import import_late


class RunTime(NamedTuple):
    """A run time.

    Attributes
    ----------
    module : str
        The file of its back end. It has a function ``open_files(prefix, ctx)``, which returns a
        ``Backend`` and the manifest.
    package : str
        The package that the file imports.
    install : str
        The command that installs the package.
    suffix : str
        The ending of the file that it reads.
    """

    module: str
    package: str
    install: str
    suffix: str


# In the order in which they are taken if the user names none.
RUN_TIMES: Dict[str, RunTime] = {
    "mxnet": RunTime(
        "gluonnorm.deploy.backends.mxnet_backend",
        "mxnet",
        "pip install 'gluonnorm[cpu]'",
        BUNDLE_SUFFIXES[0],
    ),
    "onnxruntime": RunTime(
        "gluonnorm.deploy.backends.onnxruntime_backend",
        "onnxruntime",
        "pip install 'gluonnorm[onnx]'",
        ONNX_SUFFIX,
    ),
    "openvino": RunTime(
        "gluonnorm.deploy.backends.openvino_backend",
        "openvino",
        "pip install openvino",
        ONNX_SUFFIX,
    ),
}


def choose_backend(prefix: str) -> str:
    """Choose a run time that is installed and for which a prefix has files.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.

    Returns
    -------
    str
        The first such key of ``RUN_TIMES``.

    Raises
    ------
    DeployError
        There are no files of this prefix, or none of the run times that read them is installed.
    InputError
        ``prefix`` has no first part of a name.
    """
    paths = bundle_paths(prefix)
    suitable: List[str] = []
    for name, run_time in RUN_TIMES.items():
        if Path(f"{prefix}{run_time.suffix}").is_file():
            suitable.append(name)
    if not suitable:
        require_files(prefix, paths)
        raise AssertionError("the graph is missing, so one of MXNet's files is")
    for name in suitable:
        if _is_installed(RUN_TIMES[name].package):
            return name
    files = " and ".join(dict.fromkeys(f"{prefix}{RUN_TIMES[name].suffix}" for name in suitable))
    commands = " or ".join(RUN_TIMES[name].install for name in suitable)
    raise DeployError(
        f"{files} can be run by {' or '.join(suitable)}, and none of these is installed; {commands}"
    )


def backend_module(name: Optional[str]) -> Any:
    """Import the file of a run time.

    Parameters
    ----------
    name : str
        A key of ``RUN_TIMES``.

    Returns
    -------
    module
        The file.

    Raises
    ------
    InputError
        There is no run time of this name.
    DeployError
        Its package is not installed, or cannot be imported.
    """
    run_time = RUN_TIMES.get(name) if isinstance(name, str) else None
    if run_time is None:
        suggestion = did_you_mean(str(name), RUN_TIMES) or ";"
        raise InputError(f"backend is {name!r}{suggestion} give one of {', '.join(RUN_TIMES)}")
    return import_late(
        run_time.module,
        DeployError,
        f"backend {name!r} needs the package {run_time.package}",
        f"install it with {run_time.install}",
    )


def _is_installed(package: str) -> bool:
    """Whether a package can be found; it is not imported."""
    return importlib.util.find_spec(package) is not None
