"""What the network of a run found, kept beside the run for the next page about it.

Detecting takes nearly all of the time of a page. What was found is used again if it would be found
again: the same weights and graph, the same pixels and ground truth, the same versions and devices.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import gluonnorm
from gluonnorm.data import Dataset
from gluonnorm.rcnn import FasterRCNN
from run_report.run_files import DETECTIONS_ENDING

import mxnet as mx
import numpy as np
from _output import write_text
from tqdm import tqdm


class Found(NamedTuple):
    """What a network finds on a data set.

    Attributes
    ----------
    results : list of dict
        COCO result entries.
    proposal_ious : (list of float, list of float) or None
        What ``Inspection.with_proposals`` takes; None if the proposals are not known.
    seconds : float
        The time from the files of the data set to the results.
    """

    results: List[Dict[str, Any]]
    proposal_ious: Optional[Tuple[List[float], List[float]]]
    seconds: float


def fingerprint(
    net: mx.gluon.HybridBlock, dataset: Dataset, ground_truth: Dict[str, Any], gpus: str
) -> str:
    """Compute a number that changes with everything that what is found depends on.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        The network with its weights.
    dataset : Dataset
        The images; all are read.
    ground_truth : dict
        A COCO dict.
    gpus : str
        The value of ``--gpus``.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    versions = [gluonnorm.__version__, mx.__version__, np.__version__]
    settings = asdict(net.spec) if isinstance(net, FasterRCNN) else None
    facts = [versions, gpus, settings, _operators(net), ground_truth]
    digest.update(json.dumps(facts, default=repr).encode())
    for name, parameter in net._collect_params_with_prefix().items():
        digest.update(name.encode())
        digest.update(parameter.list_data()[0].asnumpy().tobytes())
    for index in tqdm(range(len(dataset)), desc="compare", unit="image", disable=None, leave=False):
        image = np.ascontiguousarray(dataset[index].image)
        digest.update(str(image.shape).encode())
        digest.update(image.tobytes())
    return digest.hexdigest()


def _operators(net: mx.gluon.HybridBlock) -> List[List[Any]]:
    """List the operators of a network's graph, which a plugin may have changed, without names."""
    graph = mx.sym.Group(list(net(mx.sym.var("data"))))
    nodes = json.loads(graph.tojson())["nodes"]
    return [[node["op"], node.get("attrs"), node["inputs"]] for node in nodes]


def read_found(prefix: str, key: str) -> Optional[Found]:
    """Read what an earlier page kept, if it would be found again.

    Parameters
    ----------
    prefix : str
        The ``--save-prefix`` of the run.
    key : str
        The ``fingerprint`` of now.

    Returns
    -------
    Found or None
        None if nothing was kept, or under another fingerprint, or if the file is damaged.
    """
    try:
        with open(prefix + DETECTIONS_ENDING, encoding="utf-8") as file:
            content = json.load(file)
        return Found(**content["found"]) if content["fingerprint"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_found(prefix: str, key: str, found: Found) -> None:
    """Keep what was found.

    Parameters
    ----------
    prefix : str
        The ``--save-prefix`` of the run.
    key : str
        Its ``fingerprint``.
    found : Found
        What was found.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    content = {"fingerprint": key, "found": found._asdict()}
    write_text(prefix + DETECTIONS_ENDING, json.dumps(content))
