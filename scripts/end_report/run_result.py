"""The numbers of a finished training run, of which the sentences of its end are made."""

from typing import Dict, NamedTuple, Optional, Tuple

from gluonnorm.data.reachable import ClassReach, Reach
from gluonnorm.rcnn import DetectorConfig

import numpy as np

# From this AP50 on nothing is said. Chosen without an experiment: what is missing from 1 is then of
# the size of annotation errors, and no flag is sure to gain it.
GOOD_SCORE = 0.95


class Remedy(NamedTuple):
    """A change of the anchors or of the input size, and what it was computed to reach.

    Attributes
    ----------
    settings : str
        The values of ``--set``, as a shell takes them.
    reached : dict of str to float
        For each class with objects, the share that has an anchor with the IoU that is needed.
    """

    settings: str
    reached: Dict[str, float]


class ClassResult(NamedTuple):
    """What is known of one class at the end of a run.

    Attributes
    ----------
    name : str
        The class.
    train_objects, train_images : int
        Its objects to learn from, and the images that have one.
    objects : int
        Its objects in the images that are judged.
    reach : ClassReach or None
        What share of them the anchors and the proposals reach; None if it is not known.
    num_proposed : int
        Its objects in the images whose proposals were computed.
    box_score, mask_score : float or None
        AP50 of its boxes and of its masks; None if they were not scored.
    """

    name: str
    train_objects: int
    train_images: int
    objects: int
    reach: Optional[ClassReach] = None
    num_proposed: int = 0
    box_score: Optional[float] = None
    mask_score: Optional[float] = None

    @property
    def is_good(self) -> bool:
        """Whether nothing is left to be explained."""
        scores = [score for score in (self.box_score, self.mask_score) if score is not None]
        return bool(scores) and min(scores) >= GOOD_SCORE

    @property
    def anchor_reach(self) -> Optional[float]:
        """The share of its objects that an anchor reaches."""
        return None if self.reach is None else self.reach.reached

    @property
    def proposal_reach(self) -> Optional[float]:
        """The share of its objects that a proposal reaches."""
        return None if self.reach is None else self.reach.proposals


class RunFlags(NamedTuple):
    """The flags of a run that the sentences name.

    Attributes
    ----------
    lr, usual_lr : float
        The learning rate, and the default one for this number of images in an update.
    epochs : int
        The value of ``--epochs``.
    minutes : float or None
        The value of ``--minutes``, if the run has one.
    patience : int
        The value of ``--patience``; 0 without.
    augments : bool
        Whether ``--augment`` changes the training images.
    repeat_threshold : float or None
        The value of ``--repeat-threshold``.
    weighted_classes : tuple of str
        The classes that ``--class-weights`` names.
    """

    lr: float
    usual_lr: float
    epochs: int
    minutes: Optional[float] = None
    patience: int = 0
    augments: bool = False
    repeat_threshold: Optional[float] = None
    weighted_classes: Tuple[str, ...] = ()


class RunResult(NamedTuple):
    """What is known at the end of a run.

    Attributes
    ----------
    flags : RunFlags
        How it was started.
    config : DetectorConfig or None
        The settings of the network; None for a network without these settings.
    classes : tuple of ClassResult
        The classes of the network.
    losses : dict of str to numpy.ndarray
        (S,) float64 for each loss: its mean over the images of each step.
    rates : numpy.ndarray
        (S,) float64, the learning rate of each step.
    steps_per_epoch : int
        Steps in an epoch.
    epochs : int
        Complete epochs, those of earlier parts of the run included.
    decisive : str
        The name of the score that chooses the best weights.
    evaluations : tuple of (int, float)
        Complete epochs and decisive score of each evaluation, epochs ascending; empty without
        evaluations.
    scores : dict of str to float
        All scores of the last evaluation; empty without evaluations.
    train_images : int
        Images of the training set.
    split : str
        The split whose objects are judged: "validation", or "training" in a run without
        evaluations.
    objects_of_image : numpy.ndarray
        (N,) int, the objects of each image of that split.
    proposed_images : int
        How many images the proposals were computed of; 0 if they are not known.
    reach : Reach or None
        The IoUs that count as reached, and the sizes of the anchors.
    remedies : tuple of Remedy
        Changes that would bring more objects into the reach of the anchors.
    anchors_of_level : int
        The anchors of the largest feature map, for an image of median size; 0 if it is not known.
    unknown_classes : tuple of str
        The classes of the validation files that the network does not have.
    """

    flags: RunFlags
    config: Optional[DetectorConfig]
    classes: Tuple[ClassResult, ...]
    losses: Dict[str, np.ndarray]
    rates: np.ndarray
    steps_per_epoch: int
    epochs: int
    decisive: str = "AP50"
    evaluations: Tuple[Tuple[int, float], ...] = ()
    scores: Dict[str, float] = {}
    train_images: int = 0
    split: str = "validation"
    objects_of_image: np.ndarray = np.zeros(0, int)
    proposed_images: int = 0
    reach: Optional[Reach] = None
    remedies: Tuple[Remedy, ...] = ()
    anchors_of_level: int = 0
    unknown_classes: Tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing is left to be explained."""
        scores = [self.scores[name] for name in ("AP50", "segm/AP50") if name in self.scores]
        return bool(scores) and min(scores) >= GOOD_SCORE
