"""The detector of a script that detects, for which MXNet is imported only if MXNet runs it."""

import argparse
from typing import Any, Dict, Optional

from gluonnorm.deploy import Predictor
from gluonnorm.deploy.backends.choice import choose_backend
from gluonnorm.errors import InputError
from gluonnorm.late_import import import_late
from gluonnorm.photos.tiles import Tiling

from _gpus import gpu_numbers


def open_detector(
    args: argparse.Namespace, backend: Optional[str] = None, tiling: Optional[Tiling] = None
) -> Predictor:
    """Open the trained detector that the flags name, ready for photos.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``_model_flags.add_model_arguments``, with ``classes`` and ``gpus``.
    backend : str or None
        The run time of exported files, as for ``Predictor``.
    tiling : Tiling or None
        The tiles in which large photos are taken; None takes them as they are.

    Returns
    -------
    Predictor
        The exported files, or the network with its weights, hybridized.

    Raises
    ------
    InputError
        The flags do not fit together, the files are no weights of that network, or they need MXNet,
        which is not installed.
    CheckpointError, DeployError
        A checkpoint or an export is damaged or of another network.
    """
    check_backend(args, backend)
    if args.exported and args.set:
        raise InputError("--set cannot change exported files; give it to scripts/export.py")
    options: Dict[str, Any] = {}
    if tiling is not None:
        options = {"tile": tiling.tile, "overlap": tiling.overlap}
    if not args.exported:
        ctx = _import_with_mxnet("_devices", "--params").contexts(args.gpus)
        return _import_with_mxnet("_models", "--params").open_network_predictor(
            args, ctx, **options
        )
    run_time = backend or choose_backend(args.exported)
    numbers = gpu_numbers(args.gpus)
    if len(numbers) == 1:
        options["gpu"] = numbers[0]
    elif numbers and run_time == "mxnet":
        options["ctx"] = _import_with_mxnet("_devices", "--gpus").contexts(args.gpus)
    elif numbers:
        raise InputError(f"--gpus is {args.gpus!r}; want one number with --backend {run_time}")
    return Predictor(args.exported, backend=run_time, **options)


def check_backend(args: argparse.Namespace, backend: Optional[str]) -> None:
    """Refuse a run time where there are no exported files.

    Parameters
    ----------
    args, backend
        As for ``open_detector``.

    Raises
    ------
    InputError
        There is a run time, and no exported files.
    """
    if backend is not None and not args.exported:
        raise InputError("--backend runs exported files; give --exported, or leave it out")


def _import_with_mxnet(module: str, flag: str) -> Any:
    """Import a module that imports MXNet; ``flag`` is what asks for it."""
    return import_late(
        module,
        InputError,
        f"{flag} needs MXNet",
        "install it with pip install 'gluonnorm[cpu]', or give --exported with the prefix of an "
        "ONNX file",
    )
