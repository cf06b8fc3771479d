"""The three files of an exported network: written all or none, read with their checksums."""
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Tuple

from gluonnorm.errors import GluonnormError

import mxnet as mx

SUFFIXES = ("-symbol.json", "-0000.params", ".json")  # symbol, parameters, record: the order of writing


class DeployError(GluonnormError, RuntimeError):
    """A network that cannot be exported, or exported files that are missing, altered or not ours."""


def write(prefix: str, symbol: mx.sym.Symbol, values: Dict[str, mx.nd.NDArray], record: Dict[str, Any]) -> None:
    """All three files or none; the checksums go into the record's provenance."""
    states = set(symbol.list_auxiliary_states())
    parameters = {f"{'aux' if name in states else 'arg'}:{name}": value for name, value in values.items()}
    targets = _paths(prefix)
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=targets[0].parent, prefix=".export-") as folder:
        aside = [Path(folder, target.name) for target in targets]
        try:
            aside[0].write_text(symbol.tojson(remove_amp_cast=False), encoding="utf-8")
            mx.nd.save(str(aside[1]), parameters)
            whole = mx.nd.load(str(aside[1])).keys() == parameters.keys()  # on a full disk MXNet can fail silently
        except (OSError, mx.MXNetError):
            whole = False
        if not whole:
            raise DeployError(f"the files of {prefix} could not be written whole; is the disk full?")
        record["provenance"]["sha256"] = {"symbol": _sha256(aside[0]), "params": _sha256(aside[1])}
        record["provenance"]["sha256"]["record"] = _of_record(record)
        aside[2].write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        for source, target in zip(aside, targets):
            os.replace(source, target)


def read(prefix: str) -> Tuple[Path, Path, Dict[str, Any]]:
    """Where symbol and parameters are, and the record. Raises DeployError where one is missing, foreign or altered."""
    symbol_file, params_file, record_file = paths = _paths(prefix)
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        ending = next((suffix for suffix in SUFFIXES if prefix.endswith(suffix)), None)
        way_out = f"; give {prefix[:-len(ending)]} alone" if ending else ""
        raise DeployError(f"{' and '.join(missing)} missing; an exported network is three files: "
                          f"{', '.join(prefix + suffix for suffix in SUFFIXES)}{way_out}")
    try:
        record = json.loads(record_file.read_text(encoding="utf-8"))
        checksums = record["provenance"]["sha256"]
        expected = [(symbol_file, checksums["symbol"]), (params_file, checksums["params"])]
        own = checksums.get("record")  # records of earlier versions have none
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeployError(f"{record_file} is not the record of an exported network ({error!r}); "
                          "export again") from error
    for path, checksum in expected:
        if _sha256(path) != checksum:
            raise DeployError(f"{path} is not the file that {record_file} speaks of: its checksum differs; "
                              "copy all three files again, or export again")
    if own is not None and own != _of_record(record):
        raise DeployError(f"{record_file} was altered: its checksum differs; copy it again, or export again")
    return symbol_file, params_file, record


def _paths(prefix: str) -> Tuple[Path, Path, Path]:
    if not os.path.basename(prefix):
        raise ValueError(f"prefix is {prefix!r}; want a folder and a name, such as {os.path.join(prefix, 'model')!r}")
    symbol_file, params_file, record_file = (Path(f"{prefix}{suffix}") for suffix in SUFFIXES)
    return symbol_file, params_file, record_file


def _of_record(record: Dict[str, Any]) -> str:
    """The checksum of all that a record says, but for this checksum."""
    said = json.loads(json.dumps(record))
    said["provenance"]["sha256"].pop("record", None)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
