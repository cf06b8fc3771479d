"""Weights of other codebases into a network, and back: all checked first, then written, and a report of it."""
import logging
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from gluonnorm.conversion.codebases.detectron import DETECTRON
from gluonnorm.conversion.codebases.detectron2 import DETECTRON2
from gluonnorm.conversion.codebases.gluoncv import GLUONCV
from gluonnorm.conversion.codebases.switchnorm import SWITCHNORM
from gluonnorm.conversion.codebases.torchvision import TORCHVISION
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.match import CLASSES_DIFFER, FRESH, Row, fit, some
from gluonnorm.conversion.network import backbone_parameters, parameters, stride_on
from gluonnorm.conversion.rules import Arrays, Shapes, Source, norm_kinds, theirs
from gluonnorm.weight_files import WeightFileError, read_file, write_arrays

import mxnet as mx
import numpy as np
from mxnet.gluon import Block, Parameter

log = logging.getLogger(__name__)
SOURCES: Dict[str, Source] = {source.name: source for source in (GLUONCV, TORCHVISION, DETECTRON,
                                                              DETECTRON2, SWITCHNORM)}
Weights = Union[str, "os.PathLike[str]", Mapping[str, Any]]


@dataclass(frozen=True)
class Report:
    """What went where. ``str(report)`` is a summary, ``report.table()`` has a line for each array.

    Parameters
    ----------
    source : name of the codebase
    weights : the file, or "" for arrays
    rows : (ours, theirs, shape, note) of every parameter; ``theirs`` is "" for what the file does not store
    left_out : (name in the file, reason) of every tensor that was not needed
    notes : what was assumed, changed or cast
    """
    source: str
    weights: str
    rows: Tuple[Row, ...]
    left_out: Tuple[Tuple[str, str], ...]
    notes: Tuple[str, ...]

    @property
    def loaded(self) -> int:
        """How many parameters got values."""
        return sum(row.note != FRESH for row in self.rows)

    def __str__(self) -> str:
        parts: Dict[str, int] = {}
        for row in self.rows:
            if row.note == FRESH:
                continue
            part = row.ours.split(".")[0]
            parts[part] = parts.get(part, 0) + 1
        reasons: Dict[str, List[str]] = {}
        for name, reason in self.left_out:
            reasons.setdefault(reason, []).append(name)
        lines = [f"{self.source} weights{f' {self.weights}' if self.weights else ''}: {self.loaded} of "
                 f"{len(self.rows)} arrays loaded, {len(self.left_out)} left out",
                 "  " + ", ".join(f"{part} {count}" for part, count in parts.items())]
        lines += [f"  left out ({reason}): {some(names, 2)}" for reason, names in reasons.items()]
        return "\n".join(lines + [f"  {note}" for note in self.notes])

    def table(self) -> str:
        """Every array: ours, theirs, shape and note; then what was left out, and why."""
        lines = [(row.ours, row.theirs or "-", "x".join(map(str, row.shape)), row.note) for row in self.rows]
        lines += [("-", name, "", f"left out: {reason}") for name, reason in self.left_out]
        widths = [max((len(line[column]) for line in lines), default=0) for column in range(3)]
        return "\n".join("  ".join([text.ljust(width) for text, width in zip(line, widths)] + [line[3]]).rstrip()
                         for line in lines)


def load(net: Block, weights: Weights, source: str, num_classes_differ: Optional[str] = None,
         eps: Optional[float] = None) -> Report:
    """Load the weights of another codebase into a detector, or a bare backbone. All or nothing.

    Parameters
    ----------
    net : initialized; must have the architecture of the weights. A bare backbone takes classifiers' files, and its
        part of detectors' files
    weights : a file, or {their name: array}
    source : one of ``SOURCES``
    num_classes_differ : None: a different number of classes is an error. "reset": then the predictors stay fresh.
        "reduce": the 90 ids of torchvision's COCO files are cut to the 80 that are classes
    eps : of the file's BatchNorm layers. None goes by the file: 0 for torchvision's published v1 detectors and for bare
        scales and shifts (BN* of Detectron), else 1e-5. Gamma is rescaled, so that the network's function is the file's

    Raises
    ------
    ConversionError : lists missing, unexpected, misshapen and unusable tensors; the network is then as it was
    """
    return _load(net, parameters(net), weights, source, num_classes_differ, eps)


def load_backbone(net: Block, weights: Weights, source: str, eps: Optional[float] = None) -> Report:
    """Load an ImageNet classifier's file, or a detector's, into the ResNet of a detector, and leave the rest of it.

    In a C4 detector the fourth stage is in the box head and is loaded too. Arguments and errors as for ``load``.
    """
    return _load(net, backbone_parameters(net), weights, source, None, eps)


def save(net: Block, path: Optional[str], source: str) -> Arrays:
    """The weights of ``net`` in the names and layouts of another codebase, as {their name: array}.

    ``path``, if any, is written; "torchvision" makes a ``.pth``, "gluoncv" a ``.params``. ``load`` reads it back to the
    same values. Raises ConversionError for a source that cannot be written, and for a network whose architecture it
    has no names for.
    """
    table = _source(source)
    if not table.saves:
        raise ConversionError(f"cannot save for {source!r}; there are: "
                              + ", ".join(name for name, known in SOURCES.items() if known.saves))
    if path is not None and not str(path).endswith(table.saves):
        raise ConversionError(f"{path}: {source} reads {' or '.join(table.saves)}; choose such a name")
    found = parameters(net)
    shapes = {name: parameter.shape for name, parameter in found.items()}
    plan = theirs(table, shapes)
    nameless = [name for name, named in plan.items() if not named.names]
    if nameless:
        raise ConversionError(f"{source} has no name for {len(nameless)} of the network's arrays: {some(nameless)}; "
                              f"only an architecture that {source} has can be saved for it")
    wrong, other = _wrong_stride(net, table, shapes), _other_geometry(net, table, shapes)
    if wrong:
        raise ConversionError(f"{wrong}; the file would detect something else there")
    if other:
        log.warning("beware: %s; from this file %s as it is detects a little differently", other, source)
    arrays = {}
    for name, (candidates, change) in plan.items():
        array = found[name].data(found[name].list_ctx()[0]).asnumpy()
        arrays[candidates[0]] = np.ascontiguousarray(change.save(array))
    arrays.update(table.extras(net, arrays))
    if path is not None:
        try:
            write_arrays(path, arrays)
        except WeightFileError as error:
            raise ConversionError(str(error)) from error
    return arrays


def _load(net: Block, targets: Mapping[str, Parameter], weights: Weights, source: str,
          num_classes_differ: Optional[str], eps: Optional[float]) -> Report:
    table = _source(source)
    if num_classes_differ not in CLASSES_DIFFER:
        raise ConversionError(f"num_classes_differ is {num_classes_differ!r}; give one of {CLASSES_DIFFER}")
    if eps is not None and not 0 <= eps < 1:
        raise ConversionError(f"eps is {eps!r}; give 0 or a small positive number, or None to go by the file")
    shapes = {name: parameter.shape for name, parameter in targets.items()}
    arrays, file_name, notes = _read(weights)
    try:
        found = fit(table, shapes, arrays, file_name, num_classes_differ, eps)
    except ConversionError as error:
        raise ConversionError(f"{error}{_hint(table, arrays, shapes)}") from None
    wrong = _wrong_stride(net, table, shapes)
    if wrong and table.stride_certain:
        raise ConversionError(f"{wrong}; the weights fit in shape alone. Take a network with that stride")
    for name, array in found.arrays.items():
        targets[name].set_data(mx.nd.array(array, dtype=array.dtype))
    notes += [f"beware: {text}" for text in (wrong, _other_geometry(net, table, shapes)) if text]
    return Report(source, file_name, found.rows, found.left_out, (*notes, *found.notes))


def read_arrays(path: Union[str, "os.PathLike[str]"]) -> Arrays:
    """The arrays of a file of weights by name. Raises ConversionError for a file that cannot be read."""
    return _read_file(path)[0]


def _read_file(path: Union[str, "os.PathLike[str]"]) -> Tuple[Arrays, List[str]]:
    try:
        return read_file(path)
    except WeightFileError as error:
        raise ConversionError(str(error)) from error


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ConversionError(f"no source {name!r}; there are: {', '.join(SOURCES)}")
    return SOURCES[name]


def _read(weights: Weights) -> Tuple[Arrays, str, List[str]]:
    """{name: array}, the file's name and notes."""
    if not isinstance(weights, Mapping):
        arrays, notes = _read_file(weights)
        return arrays, os.fspath(weights), notes
    arrays = {}
    for name, value in weights.items():
        array = value.asnumpy() if isinstance(value, mx.nd.NDArray) else np.asarray(value)
        if array.dtype == object:
            raise ConversionError(f"{name} is a {type(value).__name__}, not an array; give a flat {{name: array}}, "
                                  "such as the 'model' or 'state_dict' of a checkpoint")
        arrays[str(name)] = array
    if arrays and all(name.startswith("module.") for name in arrays):
        return {name[len("module."):]: array for name, array in arrays.items()}, "", ["prefix 'module.' taken off"]
    return arrays, "", []


def _wrong_stride(net: Block, source: Source, shapes: Shapes) -> str:
    """What is wrong with the convolution that takes the stride, if it is not the one of ``source``; or ""."""
    kind = next((kind for layer, kind in norm_kinds(shapes).items() if layer.endswith("bn1")), "")
    here, there = stride_on(net), source.stride.get(kind)
    if None in (here, there) or here == there:
        return ""
    kernel = {"conv1": "first 1x1", "conv2": "3x3"}
    return (f"the bottleneck blocks of this network have their stride in the {kernel[str(here)]} convolution, those of "
            f"{source.name} ({kind}) in the {kernel[str(there)]}")


def _other_geometry(net: Block, source: Source, shapes: Shapes) -> str:
    """What differs in the convention of a detector from that the weights were trained with, or ""."""
    config = getattr(net, "config", None)
    if config is None or not any(name.startswith("rpn.") for name in shapes):
        return ""
    several = len(config.anchor_sizes[0]) > 1  # or else their order within a cell is no matter
    differ = [f"{name} {getattr(config.convention, name)!r} for {value!r}" for name, value in source.geometry.items()
              if getattr(config.convention, name) != value and (several or name != "anchor_order")]
    if not differ:
        return ""
    return (f"the network's convention has {', '.join(differ)} of {source.name}; build it with "
            f"convention={source.convention!r} to detect as {source.name} does")


def looks_like(names: Iterable[str]) -> Tuple[str, ...]:
    """The sources whose files have names like these."""
    names = list(names)
    return tuple(source.name for source in SOURCES.values()
                 if any(re.search(source.looks_like, name) for name in names))


def _hint(source: Source, arrays: Arrays, shapes: Shapes) -> str:
    """The likely mistake: another source, or a classifier's file for a whole detector."""
    known = looks_like(arrays)
    others = [name for name in known if name != source.name]
    if others and source.name not in known:
        return f". The names look like those of {' or '.join(others)}; give source={others[0]!r}"
    detector = any(name.startswith("rpn.") for name in shapes)
    if detector and source.name in known and not any(re.fullmatch(source.heads, name) for name in arrays):
        return ". The file has a backbone only; load_backbone puts it into a detector"
    return ""
