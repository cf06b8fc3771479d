"""What a Predictor asks of a run time."""

from typing import Any, List, NamedTuple, Optional, Protocol, Sequence, Tuple, Type

from gluonnorm.deploy.bundle import CANDIDATES_OUTPUT

import numpy as np


class Outputs(NamedTuple):
    """What a network returns for a batch of B images.

    Attributes
    ----------
    detections : list of numpy.ndarray
        ids (B, D, 1), scores (B, D, 1), boxes (B, D, 4) in pixels of the input, and perhaps masks
        (B, D, M, M) in 0..1. Rows are sorted best first and padded with -1.
    candidate_scores : numpy.ndarray or None
        (B, ``max_candidates`` + 1), the scores of the best pairs of RoI and class, best first; None
        if the files do not have this output. The last column is above the score threshold if
        candidates were cut off.
    """

    detections: List[np.ndarray]
    candidate_scores: Optional[np.ndarray]


class Backend(Protocol):
    """A network in a run time, ready for images.

    Attributes
    ----------
    net : mx.gluon.HybridBlock or None
        The network of MXNet; None in other run times.
    has_masks : bool
        Whether the network returns masks.
    run_errors : tuple of exception classes
        What the run time raises for an image that is too small for the layers.
    """

    net: Any
    has_masks: bool
    run_errors: Tuple[Type[Exception], ...]

    def run(self, pixels: np.ndarray) -> Outputs:
        """Run the network on a batch.

        Parameters
        ----------
        pixels : numpy.ndarray
            (B, 3, H, W) float32, prepared as the manifest says, of any B, H and W.

        Returns
        -------
        Outputs
            Arrays of their own.
        """


def named_outputs(names: Sequence[str], arrays: Sequence[np.ndarray]) -> Outputs:
    """Tell the outputs of a detector from the scores of its candidates.

    Parameters
    ----------
    names : sequence of str
        The names of the outputs in order. The last one may be ``CANDIDATES_OUTPUT``.
    arrays : sequence of numpy.ndarray
        The outputs.

    Returns
    -------
    Outputs
        Both.
    """
    if names[-1] == CANDIDATES_OUTPUT:
        return Outputs(list(arrays[:-1]), arrays[-1])
    return Outputs(list(arrays), None)
