"""The files of an exported network: their names, and how they are read with their checksums."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from gluonnorm.errors import GluonnormError, InputError
from gluonnorm.types import is_number
from gluonnorm.weight_files import file_digest, parse_description, read_description

# Symbol, parameters, manifest. The manifest is the last file that gets its name, so a manifest
# exists only beside the two files that it describes.
BUNDLE_SUFFIXES = ("-symbol.json", "-0000.params", ".json")
# The files by the keys of their checksums in the manifest.
FILE_SUFFIXES = {
    "symbol": BUNDLE_SUFFIXES[0],
    "params": BUNDLE_SUFFIXES[1],
    "onnx": ".onnx",
    "xml": ".xml",
    "bin": ".bin",
}
# The files of each format beside the manifest. The first one is the graph.
FORMAT_FILES = {
    "mxnet": ("symbol", "params"),
    "onnx": ("onnx",),
    "openvino": ("xml", "bin"),
}
# Version 0.1 called the manifest a record. The key keeps that name, so that its exports are
# verified too.
MANIFEST_DIGEST_KEY = "record"
MANIFEST_KEY = "manifest"  # of the metadata of the files of ONNX and OpenVINO
# The outputs in order; masks only of a network that has them.
OUTPUTS = ("ids", "scores", "boxes", "masks")
# The last output of the files of ONNX and OpenVINO, which a manifest does not list.
CANDIDATES_OUTPUT = "candidates"
# What reading and searching something raises that is no manifest.
MANIFEST_ERRORS = (ValueError, KeyError, TypeError, AttributeError)
Manifest = Dict[str, Any]


class DeployError(GluonnormError, RuntimeError):
    """A network that cannot be exported, or exported files that cannot be loaded."""


class Bundle(NamedTuple):
    """MXNet's files of an exported network, whose checksums were verified.

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


class GraphBundle(NamedTuple):
    """The files of an exported network in the format of ONNX or OpenVINO.

    Attributes
    ----------
    graph_file : pathlib.Path
        The graph. The checksums of all files were verified if there is a manifest beside it.
    manifest : dict or None
        The content of the manifest; None if there is no such file. The graph has one in its
        metadata as well, under the key ``MANIFEST_KEY``.
    """

    graph_file: Path
    manifest: Optional[Manifest]


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


def graph_path(prefix: str, format: str) -> Path:
    """Name the graph of an exported network.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.
    format : str
        A key of ``FORMAT_FILES``.

    Returns
    -------
    pathlib.Path
        The file.
    """
    return Path(f"{prefix}{FILE_SUFFIXES[FORMAT_FILES[format][0]]}")


def read_bundle(prefix: str) -> Bundle:
    """Find MXNet's files of an exported network, read the manifest and verify all checksums.

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
    require_files(prefix, [symbol_file, params_file, manifest_file])
    files = {"symbol": symbol_file, "params": params_file}
    manifest = _read_manifest(manifest_file, files, _others_alone(prefix))
    return Bundle(symbol_file, params_file, manifest)


def read_graph_bundle(prefix: str, format: str) -> GraphBundle:
    """Find the files of ONNX or OpenVINO, read the manifest and verify all checksums.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.
    format : str
        ``"onnx"`` or ``"openvino"``.

    Returns
    -------
    GraphBundle
        The path of the graph, and the manifest if there is one beside it.

    Raises
    ------
    DeployError
        A file is missing or was altered, or the manifest is not one or describes other files alone.
    InputError
        ``prefix`` has no first part of a name.
    """
    manifest_file = bundle_paths(prefix)[-1]
    files = {key: Path(f"{prefix}{FILE_SUFFIXES[key]}") for key in FORMAT_FILES[format]}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        way_out = _right_prefix(prefix) or f"export with format={format!r}"
        raise DeployError(f"{' and '.join(missing)} missing; {way_out}")
    graph_file = graph_path(prefix, format)
    if not manifest_file.is_file():
        return GraphBundle(graph_file, None)
    others_alone = (
        f"{manifest_file} describes files of another format, and not {graph_file}, which is of "
        f"another export; export with format={format!r} again"
    )
    return GraphBundle(graph_file, _read_manifest(manifest_file, files, others_alone))


def parse_manifest(text: str, source: str) -> Manifest:
    """Read a manifest that is a part of another file.

    Parameters
    ----------
    text : str
        The manifest in JSON.
    source : str
        Where it is from, for messages.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DeployError
        It is not the manifest of an exported network.
    """
    try:
        manifest = parse_description(text)
        _checksums(manifest, ["weights"])
    except MANIFEST_ERRORS as error:
        raise _no_manifest(source, repr(error)) from error
    _check_entries(manifest, source)
    return manifest


def _read_manifest(manifest_file: Path, files: Mapping[str, Path], others_alone: str) -> Manifest:
    """Read a manifest, and verify it and the files that it describes.

    ``files`` are by the keys of their checksums. ``others_alone`` is the error's message for a
    manifest that has checksums of other files only.
    """
    source = str(manifest_file)
    try:
        manifest = read_description(source)
        checksums = manifest["provenance"]["sha256"]
        if not set(files) & set(checksums) and set(FILE_SUFFIXES) & set(checksums):
            raise DeployError(others_alone)
        expected = _checksums(manifest, files)
    except MANIFEST_ERRORS as error:
        raise _no_manifest(source, repr(error)) from error
    for key, path in files.items():
        if file_digest(str(path)) != expected[key]:
            raise DeployError(
                f"{path} is not the file that {source} describes: its "
                "checksum differs; copy all files of the export again, or export again"
            )
    digest = checksums.get(MANIFEST_DIGEST_KEY)  # the earliest exports do not have it
    if digest is not None and digest != manifest_digest(manifest):
        raise DeployError(
            f"{source} was altered: its checksum differs; copy it again, or export again"
        )
    _check_entries(manifest, source)
    return manifest


def _checksums(manifest: Manifest, keys: Iterable[str]) -> Dict[str, str]:
    """Return some checksums of a manifest; raise one of ``MANIFEST_ERRORS`` if one is missing."""
    checksums = manifest["provenance"]["sha256"]
    return {key: checksums[key] for key in keys}


def _no_manifest(source: str, reason: str) -> DeployError:
    """Make the error for a file that is no manifest."""
    return DeployError(
        f"{source} is not the manifest of an exported network ({reason}); export again"
    )


def _check_entries(manifest: Manifest, source: str) -> None:
    """Check the entries of a manifest, and give those of version 0.1 their present names."""
    fault = _manifest_fault(manifest)
    if fault:
        raise _no_manifest(source, fault)
    _rename_old_keys(manifest)


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
    if not is_number(threshold) or not math.isfinite(threshold):
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


def require_files(prefix: str, paths: Sequence[Path]) -> None:
    """Check that MXNet's files of an exported network are there.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.
    paths : sequence of pathlib.Path
        What ``bundle_paths`` returns.

    Raises
    ------
    DeployError
        One of the three files is missing.
    """
    missing = [str(path) for path in paths if not path.is_file()]
    if not missing:
        return
    manifest_file = paths[-1]
    if _other_graphs(prefix) and str(manifest_file) not in missing:
        raise DeployError(_others_alone(prefix))
    message = (
        f"{' and '.join(missing)} missing; an exported network is three files: "
        f"{', '.join(prefix + suffix for suffix in BUNDLE_SUFFIXES)}, or one of ONNX, "
        f"{prefix}.onnx, or two of OpenVINO, {prefix}.xml and {prefix}.bin"
    )
    way_out = _right_prefix(prefix)
    raise DeployError(f"{message}; {way_out}" if way_out else message)


def _right_prefix(prefix: str) -> str:
    """Say which prefix is meant by the name of a file or of a folder; "" for another text."""
    # "-symbol.json" ends like the manifest, so it comes first.
    for suffix in (*FILE_SUFFIXES.values(), BUNDLE_SUFFIXES[-1]):
        if prefix.endswith(suffix):
            return f"give {prefix[: -len(suffix)]} alone"
    if os.path.isdir(prefix):
        return f"{prefix} is a folder: add the first part of the files' names, as in {prefix}/model"
    return ""


def _other_graphs(prefix: str) -> List[str]:
    """List the graphs of a prefix that are not of MXNet."""
    graphs = [graph_path(prefix, format) for format in FORMAT_FILES if format != "mxnet"]
    return [str(graph) for graph in graphs if graph.is_file()]


def _others_alone(prefix: str) -> str:
    """Say that a network was exported to other formats and not for MXNet."""
    return (
        f"{prefix}.json describes {' and '.join(_other_graphs(prefix))}, and no files of MXNet; "
        "run that file with onnxruntime or OpenVINO, or export with format='mxnet' too"
    )


def _rename_old_keys(manifest: Manifest) -> None:
    """Give the entries of a manifest of version 0.1 their present names."""
    description = manifest.get("input")
    if isinstance(description, dict) and "colour" in description:
        description["color"] = description.pop("colour")


def manifest_digest(manifest: Manifest) -> str:
    """Compute the checksum of everything in a manifest except for this checksum itself.

    Parameters
    ----------
    manifest : dict
        The manifest, with or without the checksum.

    Returns
    -------
    str
        The SHA-256 in hexadecimal digits.
    """
    # The trip through JSON copies the manifest, and turns tuples into the lists that a reader gets.
    content = json.loads(json.dumps(manifest))
    content["provenance"]["sha256"].pop(MANIFEST_DIGEST_KEY, None)
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
