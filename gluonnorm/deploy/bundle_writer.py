"""Writing the files of an exported network, all or none."""

import json
import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Sequence

from gluonnorm.deploy.bundle import (
    FILE_SUFFIXES,
    MANIFEST_DIGEST_KEY,
    DeployError,
    Manifest,
    bundle_paths,
    manifest_digest,
)
from gluonnorm.errors import first_line
from gluonnorm.weight_files import atomic_files, file_digest, read_description
from gluonnorm.weight_files.prefix_lock import PrefixLock

import mxnet as mx


def make_bundle_folder(prefix: str) -> None:
    """Make the folder of an exported network, and check that files can be written into it.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.

    Raises
    ------
    DeployError
        The folder cannot be made, or no file can be written into it.
    """
    folder = bundle_paths(prefix)[-1].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: the name contains a null byte
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DeployError(
            f"prefix is {prefix!r}, and its folder cannot be made ({reason}); give another one"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DeployError(
            f"prefix is {prefix!r}, and no file can be written into its folder; give a prefix in a "
            "folder of yours"
        )


def write_bundle(
    prefix: str, symbol: mx.sym.Symbol, values: Dict[str, mx.nd.NDArray], manifest: Manifest
) -> None:
    """Write the three files of an exported network, all or none.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names, in a folder that exists.
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
    InputError
        Another process, or another thread, writes the files of this prefix now.
    """
    symbol_path, params_path, _ = bundle_paths(prefix)
    with _files_and_manifest(prefix, [symbol_path, params_path], manifest) as files:
        symbol_file, params_file = files
        Path(symbol_file).write_text(symbol.tojson(remove_amp_cast=False), encoding="utf-8")
        _save_parameters(params_file, symbol, values)
        manifest["provenance"]["sha256"].update(
            symbol=file_digest(symbol_file), params=file_digest(params_file)
        )


def write_contents(prefix: str, contents: Mapping[str, bytes], manifest: Manifest) -> None:
    """Write the files of ONNX or OpenVINO and the manifest, all or none.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names, in a folder that exists.
    contents : dict of str to bytes
        The contents of the files, by keys of ``FILE_SUFFIXES``.
    manifest : dict
        As for :func:`write_bundle`.

    Raises
    ------
    DeployError
        The files could not be written completely; earlier files are as they were.
    InputError
        Another process, or another thread, writes the files of this prefix now.
    """
    paths = [Path(f"{prefix}{FILE_SUFFIXES[key]}") for key in contents]
    with _files_and_manifest(prefix, paths, manifest) as files:
        for file, key in zip(files, contents):
            Path(file).write_bytes(contents[key])
            manifest["provenance"]["sha256"][key] = file_digest(file)


@contextmanager
def _files_and_manifest(
    prefix: str, paths: Sequence[Path], manifest: Manifest
) -> Iterator[List[str]]:
    """Give temporary names for files, and then write the manifest beside them.

    All get their names at the end, or none does. The caller adds the checksums of its files to the
    manifest. Those of files of the other format are added here.
    """
    manifest_path = bundle_paths(prefix)[-1]
    all_paths = [*paths, manifest_path]
    try:
        # Of two exports at the same time, each would write into the temporary files of the other.
        with PrefixLock(str(manifest_path)), atomic_files(*map(str, all_paths)) as temporary_files:
            other_checksums = _checksums_of_same_network(manifest_path, manifest)
            *files, manifest_file = temporary_files
            yield files
            checksums = manifest["provenance"]["sha256"]
            for key, digest in other_checksums.items():
                checksums.setdefault(key, digest)
            checksums[MANIFEST_DIGEST_KEY] = manifest_digest(manifest)
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
        earlier["provenance"].pop("versions")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # There is none, it is of an earlier version, or it is not a manifest.
        return {}
    # The trip through JSON turns tuples into the lists that are in the file.
    new = json.loads(json.dumps(manifest))
    # The files of a network remain its files when a package is upgraded between two exports.
    del new["provenance"]["versions"]
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
