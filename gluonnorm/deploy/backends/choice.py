"""The run times by name: which one runs a prefix's files, and where it is imported."""

import importlib.util
from typing import Any, Dict, NamedTuple, Optional, Tuple

from gluonnorm.deploy.bundle import DeployError, bundle_paths, graph_path, require_files
from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.late_import import import_late


class RunTime(NamedTuple):
    """A run time.

    Attributes
    ----------
    module : str
        The file of its back end. It has a function ``open_files(prefix, ctx, gpu)``, which returns
        a ``Backend`` and the manifest.
    package : str
        The package that the file imports.
    install : str
        The command that installs the package.
    formats : tuple of str
        The formats of files that it reads.
    """

    module: str
    package: str
    install: str
    formats: Tuple[str, ...]


# In the order in which they are taken if the user names none.
RUN_TIMES: Dict[str, RunTime] = {
    "mxnet": RunTime(
        "gluonnorm.deploy.backends.mxnet_backend",
        "mxnet",
        "pip install 'gluonnorm[cpu]'",
        ("mxnet",),
    ),
    "onnxruntime": RunTime(
        "gluonnorm.deploy.backends.onnxruntime_backend",
        "onnxruntime",
        "pip install 'gluonnorm[onnx]'",
        ("onnx",),
    ),
    "openvino": RunTime(
        "gluonnorm.deploy.backends.openvino_backend",
        "openvino",
        "pip install 'gluonnorm[openvino]'",
        ("openvino", "onnx"),
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
    graphs: Dict[str, None] = {}
    suitable: Dict[str, RunTime] = {}
    for name, run_time in RUN_TIMES.items():
        for graph in [graph_path(prefix, format) for format in run_time.formats]:
            if graph.is_file():
                graphs[str(graph)] = None
                suitable[name] = run_time
    if not suitable:
        require_files(prefix, paths)
        raise AssertionError("the graph is missing, so one of MXNet's files is")
    for name, run_time in suitable.items():
        if _is_installed(run_time.package):
            return name
    commands = " or ".join(run_time.install for run_time in suitable.values())
    raise DeployError(
        f"{' and '.join(graphs)} can be run by {' or '.join(suitable)}, and none of these is "
        f"installed; {commands}"
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
