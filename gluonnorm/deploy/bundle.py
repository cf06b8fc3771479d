"""The files of an exported network: written all or none, read with their checksums."""

import hashlib
import json
import math
import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

from gluonnorm.errors import GluonnormError, InputError, first_line
from gluonnorm.weight_files import atomic_files, file_digest, read_description

import mxnet as mx

# Symbol, parameters, manifest. The manifest is the last file that gets its name, so a manifest
# exists only beside the two files that it describes.
BUNDLE_SUFFIXES = ("-symbol.json", "-0000.params", ".json")
ONNX_SUFFIX = ".onnx"
# The files by the keys of their checksums in the manifest.
FILE_SUFFIXES = {
    "symbol": BUNDLE_SUFFIXES[0],
    "params": BUNDLE_SUFFIXES[1],
    "onnx": ONNX_SUFFIX,
}
# Version 0.1 called the manifest a record. The key keeps that name, so that its exports are
# verified too.
MANIFEST_DIGEST_KEY = "record"
Manifest = Dict[str, Any]


class DeployError(GluonnormError, RuntimeError):
    """A network that cannot be exported, or exported files that cannot be loaded."""


class Bundle(NamedTuple):
    """The files of an exported network, whose checksums were verified.

    Attributes
    ----------
    symbol_file : pathlib.Path
        The graph.
    params_file : pathlib.Path
        The parameters.
    manifest : dict
        The content of the third file, see ``deploy.export``.
    """

    symbol_file: Path
    params_file: Path
    manifest: Manifest


def bundle_paths(prefix: str) -> List[Path]:
    """Name the three files of an exported network.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.

    Returns
    -------
    list of pathlib.Path
        Symbol, parameters and manifest.

    Raises
    ------
    InputError
        ``prefix`` ends with a folder and has no first part of a name.

    Examples
    --------
    >>> [path.name for path in bundle_paths("out/blood")]
    ['blood-symbol.json', 'blood-0000.params', 'blood.json']
    """
    if not os.path.basename(prefix):
        example = os.path.join(prefix, "model")
        raise InputError(f"prefix is {prefix!r}; want a folder and a name, such as {example!r}")
    return [Path(f"{prefix}{suffix}") for suffix in BUNDLE_SUFFIXES]


def write_bundle(
    prefix: str, symbol: mx.sym.Symbol, values: Dict[str, mx.nd.NDArray], manifest: Manifest
) -> None:
    """Write the three files of an exported network, all or none.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names. Missing folders are made.
    symbol : mx.sym.Symbol
        The graph.
    values : dict of str to mx.nd.NDArray
        The values of its arguments and auxiliary states, by name.
    manifest : dict
        What the third file says. The checksums are added to its ``provenance``.

    Raises
    ------
    DeployError
        The files could not be written completely; earlier files are as they were.
    """
    symbol_path, params_path, _ = bundle_paths(prefix)
    with _files_and_manifest(prefix, [symbol_path, params_path], manifest) as files:
        symbol_file, params_file = files
        Path(symbol_file).write_text(symbol.tojson(remove_amp_cast=False), encoding="utf-8")
        _save_parameters(params_file, symbol, values)
        manifest["provenance"]["sha256"].update(
            symbol=file_digest(symbol_file), params=file_digest(params_file)
        )


def write_onnx_bundle(prefix: str, content: bytes, manifest: Manifest) -> None:
    """Write an ONNX file and the manifest, both or none.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names. Missing folders are made.
    content : bytes
        The content of the ONNX file.
    manifest : dict
        As for :func:`write_bundle`.

    Raises
    ------
    DeployError
        The files could not be written completely; earlier files are as they were.
    """
    with _files_and_manifest(prefix, [Path(f"{prefix}{ONNX_SUFFIX}")], manifest) as files:
        (onnx_file,) = files
        Path(onnx_file).write_bytes(content)
        manifest["provenance"]["sha256"]["onnx"] = file_digest(onnx_file)


@contextmanager
def _files_and_manifest(
    prefix: str, paths: Sequence[Path], manifest: Manifest
) -> Iterator[List[str]]:
    """Give temporary names for files, and then write the manifest beside them.

    All get their names at the end, or none does. The caller adds the checksums of its files to the
    manifest. Those of files of the other format are added here.
    """
    manifest_path = bundle_paths(prefix)[-1]
    manifest_path.parent.mkdir(parents=True, exist_ok=True)
    other_checksums = _checksums_of_same_network(manifest_path, manifest)
    try:
        with atomic_files(*map(str, [*paths, manifest_path])) as temporary_files:
            *files, manifest_file = temporary_files
            yield files
            checksums = manifest["provenance"]["sha256"]
            for key, digest in other_checksums.items():
                checksums.setdefault(key, digest)
            checksums[MANIFEST_DIGEST_KEY] = _manifest_digest(manifest)
            Path(manifest_file).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    except (OSError, mx.MXNetError) as error:
        raise DeployError(
            f"the files of {prefix} could not be written completely "
            f"({first_line(error)}); is the disk full?"
        ) from error
    _warn_of_other_network(prefix, manifest)


def _checksums_of_same_network(manifest_path: Path, manifest: Manifest) -> Dict[str, str]:
    """Read the checksums of an earlier export's files; {} if that was of another network."""
    try:
        earlier = read_description(str(manifest_path))
        checksums = earlier["provenance"].pop("sha256")
        weights = checksums.pop("weights")
        checksums.pop(MANIFEST_DIGEST_KEY)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # There is none, it is of an earlier version, or it is not a manifest.
        return {}
    # The trip through JSON turns tuples into the lists that are in the file.
    new = json.loads(json.dumps(manifest))
    is_same = weights == new["provenance"].pop("sha256")["weights"] and earlier == new
    return checksums if is_same else {}


def _warn_of_other_network(prefix: str, manifest: Manifest) -> None:
    """Warn of files that an earlier export of another network has left beside a manifest."""
    checksums = manifest["provenance"]["sha256"]
    left = []
    for key, suffix in FILE_SUFFIXES.items():
        path = f"{prefix}{suffix}"
        if key not in checksums and os.path.exists(path):
            left.append(path)
    if left:
        warnings.warn(
            f"{' and '.join(left)} are of an earlier export of another network or with other "
            f"settings, which {prefix}.json no longer describes; export again in that format too, "
            "or delete them",
            stacklevel=5,
        )


def read_bundle(prefix: str) -> Bundle:
    """Find the files of an exported network, read the manifest and verify all checksums.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.

    Returns
    -------
    Bundle
        The paths of symbol and parameters, and the manifest.

    Raises
    ------
    DeployError
        A file is missing, was altered, or is not a file of an exported network.
    InputError
        ``prefix`` has no first part of a name.
    """
    symbol_file, params_file, manifest_file = bundle_paths(prefix)
    _require_files(prefix, [symbol_file, params_file, manifest_file])
    try:
        manifest = read_description(str(manifest_file))
        checksums = manifest["provenance"]["sha256"]
        if "onnx" in checksums and "symbol" not in checksums:
            raise DeployError(_onnx_alone(prefix))
        symbol_digest = checksums["symbol"]
        params_digest = checksums["params"]
        manifest_digest = checksums.get(MANIFEST_DIGEST_KEY)  # the earliest exports do not have it
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeployError(
            f"{manifest_file} is not the manifest of an exported network ({error!r}); export again"
        ) from error
    for path, digest in ((symbol_file, symbol_digest), (params_file, params_digest)):
        if file_digest(str(path)) != digest:
            raise DeployError(
                f"{path} is not the file that {manifest_file} describes: its "
                "checksum differs; copy all three files again, or export again"
            )
    if manifest_digest is not None and manifest_digest != _manifest_digest(manifest):
        raise DeployError(
            f"{manifest_file} was altered: its checksum differs; copy it again, or export again"
        )
    fault = _manifest_fault(manifest)
    if fault:
        raise DeployError(
            f"{manifest_file} is not the manifest of an exported network ({fault}); export again"
        )
    _rename_old_keys(manifest)
    return Bundle(symbol_file, params_file, manifest)


def _manifest_fault(manifest: Manifest) -> str:
    """Say which entry of a manifest is of a wrong type; "" if the entries that are read are not."""
    description = manifest.get("input")
    if not isinstance(description, dict) or not isinstance(description.get("name"), str):
        return "input.name is missing or no text"
    # Early exports have no config.
    config = manifest.get("config", {})
    if not isinstance(config, dict) or not isinstance(config.get("convention", {}), dict):
        return "config or config.convention is no object"
    threshold = config.get("score_thresh", 0)
    is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not is_number or not math.isfinite(threshold):
        return f"config.score_thresh is {threshold!r}, no number"
    return _classes_fault(manifest)


def _classes_fault(manifest: Manifest) -> str:
    """Say why the names of the classes cannot be those of the network; "" if they can."""
    if "classes" not in manifest:
        return ""
    classes = manifest["classes"]
    is_list = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if not is_list or not classes or len(set(classes)) < len(classes):
        return f"classes is {classes!r:.60}, no list of different names"
    spec = manifest["provenance"].get("spec")
    trained_classes = spec.get("classes") if isinstance(spec, dict) else None
    if isinstance(trained_classes, list) and len(trained_classes) != len(classes):
        return f"classes has {len(classes)} names, the network was for {len(trained_classes)}"
    return ""


def _save_parameters(path: str, symbol: mx.sym.Symbol, values: Dict[str, mx.nd.NDArray]) -> None:
    """Write parameters under the names that MXNet's loaders expect, and check that all arrived."""
    auxiliary_states = set(symbol.list_auxiliary_states())
    parameters = {}
    for name, value in values.items():
        section = "aux" if name in auxiliary_states else "arg"
        parameters[f"{section}:{name}"] = value
    mx.nd.save(path, parameters)
    # On a full disk ``mx.nd.save`` can write a part of the file and report no error. Reading the
    # file back shows it.
    if mx.nd.load(path).keys() != parameters.keys():
        raise OSError("parameters are missing from the file that MXNet wrote")


def _require_files(prefix: str, paths: List[Path]) -> None:
    """Raise DeployError if one of the three files is missing."""
    missing = [str(path) for path in paths if not path.is_file()]
    if not missing:
        return
    manifest_file = paths[-1]
    if os.path.isfile(f"{prefix}{ONNX_SUFFIX}") and str(manifest_file) not in missing:
        raise DeployError(_onnx_alone(prefix))
    message = (
        f"{' and '.join(missing)} missing; an exported network is three files: "
        f"{', '.join(prefix + suffix for suffix in BUNDLE_SUFFIXES)}"
    )
    for suffix in BUNDLE_SUFFIXES:
        if prefix.endswith(suffix):
            raise DeployError(f"{message}; give {prefix[: -len(suffix)]} alone")
    raise DeployError(message)


def _onnx_alone(prefix: str) -> str:
    """Say that a network was exported to ONNX and not for MXNet."""
    return (
        f"{prefix}.json describes {prefix}{ONNX_SUFFIX}, and no files of MXNet; run that file with "
        "onnxruntime or OpenVINO, or export with format='mxnet' too"
    )


def _rename_old_keys(manifest: Manifest) -> None:
    """Give the entries of a manifest of version 0.1 their present names."""
    description = manifest.get("input")
    if isinstance(description, dict) and "colour" in description:
        description["color"] = description.pop("colour")


def _manifest_digest(manifest: Manifest) -> str:
    """Compute the checksum of everything in a manifest except for this checksum itself."""
    # The trip through JSON copies the manifest, and turns tuples into the lists that a reader gets.
    content = json.loads(json.dumps(manifest))
    content["provenance"]["sha256"].pop(MANIFEST_DIGEST_KEY, None)
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
