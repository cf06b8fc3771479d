"""The recorded answers of other programs (``tests/golden``), and the comparison with them.

A case stores what a program returned for seeded weights and a seeded image. The weights and the
image themselves are made again from names and seeds.
"""

import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import model_zoo
from gluonnorm import conversion
from gluonnorm.deploy import Predictor
from gluonnorm.types import Detections

import mxnet as mx
import numpy as np
from golden import seeded

FOLDER = Path(__file__).resolve().parent.parent / "golden"
CASE_NAME = re.compile(
    r"(?P<source>torchvision|detectron2|detectron|switchnorm)_(?P<model>.+)"
    r"_(?P<height>\d+)x(?P<width>\d+)_s(?P<salt>\d+)"
)
# Entries of a state dict that are settings and not weights.
SETTINGS = re.compile(r"pixel_(mean|std)|.*anchor_generator.*|.*cell_anchors.*")
MAX_DISTANCE = 1  # pixels between the corners of boxes that count as the same detection


class Differences(NamedTuple):
    """The largest differences between this package's answer and the program's.

    Values are NaN if the case has nothing to compare.

    Attributes
    ----------
    features : float
        Of feature maps, in standard deviations of the program's map.
    detections : int
        Number of detections of this package.
    expected_detections : int
        Number of detections of the program.
    matched : int
        Number of the program's detections that this package finds too: of the same class, with
        the box within a pixel.
    boxes : float
        Of matched boxes' corners, in pixels of the photo.
    scores : float
        Of matched scores.
    masks : float
        Of matched mask areas, relative to the program's area.
    mask_pixels : float
        Of matched mask areas, in pixels.
    """

    features: float
    detections: int
    expected_detections: int
    matched: int
    boxes: float
    scores: float
    masks: float
    mask_pixels: float


class Case:
    """One file of ``tests/golden``.

    Parameters
    ----------
    path : Path
        The file, named SOURCE_MODEL_HEIGHTxWIDTH_sSALT.npz.

    Attributes
    ----------
    source : str
        The program whose names the weights have: "torchvision", "detectron2", "detectron" or
        "switchnorm".
    model : str
        Name of the model in the program.
    eps : float or None
        Epsilon of the frozen batch norm; None keeps the model's own.
    size : tuple of int
        Height and width of the photo in pixels.
    salt : int
        Seed of the weights and of the photo.
    answer : dict
        The arrays in the file.

    Raises
    ------
    ValueError
        The file has another name.
    """

    def __init__(self, path: Path) -> None:
        match = CASE_NAME.fullmatch(path.stem)
        if match is None:
            raise ValueError(f"{path.name}: want SOURCE_MODEL_HEIGHTxWIDTH_sSALT.npz")
        self.source = match["source"]
        self.salt = int(match["salt"])
        self.size = (int(match["height"]), int(match["width"]))
        # torchvision loads its published v1 files into FrozenBatchNorm2d with eps 0. The cases
        # whose model ends in "_frozen" are made this way.
        self.model, frozen_suffixes = re.subn("_frozen$", "", match["model"])
        self.eps = 0.0 if frozen_suffixes else None
        with np.load(path) as file:
            self.answer: Dict[str, np.ndarray] = {key: file[key] for key in file.files}

    @property
    def is_classifier(self) -> bool:
        """Whether the model is a ResNet without a detector around it."""
        return self.model.startswith("resnet")

    def state(self) -> Dict[str, np.ndarray]:
        """Make the weights, with the program's names."""
        arrays = {}
        for line in self.answer["shapes"].tolist():
            name, shape_text = line.rsplit(":", 1)
            if not SETTINGS.fullmatch(name):
                shape = [int(side) for side in shape_text.split(",") if side]
                arrays[name] = seeded.tensor(name, shape, self.salt)
        # A case may scale or replace single tensors, so that its detector returns boxes.
        for key, value in self.answer.items():
            change, _, name = key.partition(":")
            if change == "scale":
                arrays[name] = (arrays[name] * value).astype(np.float32)
            elif change == "override":
                arrays[name] = value
        return arrays

    def image(self) -> np.ndarray:
        """Make the photo as the program got it.

        Returns
        -------
        np.ndarray
            (H, W, 3), RGB in 0..255: float32 for torchvision, uint8 for the others.
        """
        image = seeded.image(*self.size, self.salt).transpose(1, 2, 0)
        if self.source == "torchvision":
            return image * 255
        return np.round(image * 255).astype(np.uint8)

    def maps(self) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """Iterate over the recorded feature maps, finest first.

        Yields
        ------
        tuple of np.ndarray
            The mean over each channel, and the corner (8, 6, 6) of the map.
        """
        # The names sort from fine to coarse: c2 .. c5, fpn_0 .. fpn_3, fpn_pool,
        # fpn_p2 .. fpn_p6, fpn_res4.
        for key in sorted(self.answer):
            name, suffix = key[: -len("_mean")], key[-len("_mean") :]
            if suffix == "_mean" and key != "pixel_mean":
                yield self.answer[key], self.answer[f"{name}_corner"]

    def network(self, **settings: object) -> mx.gluon.HybridBlock:
        """Build this package's network with the program's weights."""
        name = f"{self.model}_v1b" if self.is_classifier else self.model
        net = model_zoo.get_model(name, **settings)
        conversion.load(net, self.state(), self.source, eps=self.eps)
        net.hybridize()
        return net


def cases() -> List[Path]:
    """List the files of all cases, sorted."""
    return sorted(path for path in FOLDER.glob("*.npz") if CASE_NAME.fullmatch(path.stem))


def compare(case: Case, net: mx.gluon.HybridBlock) -> Differences:
    """Compare a network's answer with the program's.

    Parameters
    ----------
    case : Case
        The recorded answer.
    net : mx.gluon.HybridBlock
        This package's network with the program's weights, as ``Case.network`` builds it.

    Returns
    -------
    Differences
        The largest differences.
    """
    if case.is_classifier:
        # These cases were recorded without normalization.
        image = mx.nd.array(seeded.image(*case.size, case.salt)[None])
        features = _largest_feature_difference(case, net(image))
        return Differences(features, 0, 0, 0, np.nan, np.nan, np.nan, np.nan)

    predictor = Predictor.from_network(net, resize=case.source == "torchvision")
    prepared = mx.nd.array(predictor.prepare(case.image())[None])
    feature_maps = net._feature_maps(mx.nd, prepared).features
    features = _largest_feature_difference(case, feature_maps)
    return _compare_detections(case, predictor(case.image()), features)


def _compare_detections(case: Case, detections: Detections, features: float) -> Differences:
    """Compare detections with the program's; ``features`` is the difference of the maps."""
    labels = case.answer["labels"]
    if case.source == "torchvision":
        labels = labels - 1  # torchvision counts the background as class 0
    pairs = list(_matched_pairs(detections, case.answer["boxes"], labels))
    rows = np.array([row for row, _ in pairs], int)
    expected_rows = np.array([expected_row for _, expected_row in pairs], int)

    box_distances = np.abs(detections.boxes[rows] - case.answer["boxes"][expected_rows])
    score_distances = np.abs(detections.scores[rows] - case.answer["scores"][expected_rows])
    masks = np.nan
    mask_pixels = np.nan
    if detections.masks is not None:
        areas = detections.masks.sum(axis=(1, 2))[rows]
        expected_areas = case.answer["mask_area"][expected_rows]
        area_distances = np.abs(areas - expected_areas)
        masks = float((area_distances / np.maximum(expected_areas, 1)).max(initial=0))
        mask_pixels = float(area_distances.max(initial=0))
    return Differences(
        features=features,
        detections=len(detections.ids),
        expected_detections=len(labels),
        matched=len(pairs),
        boxes=float(box_distances.max(initial=0)),
        scores=float(score_distances.max(initial=0)),
        masks=masks,
        mask_pixels=mask_pixels,
    )


def _largest_feature_difference(case: Case, maps: List[mx.nd.NDArray]) -> float:
    """Compare the channel means and a corner of each map with the recorded ones."""
    largest = 0.0
    for feature_map, (expected_mean, expected_corner) in zip(maps, case.maps()):
        array = feature_map.asnumpy()[0]
        means = array.mean(axis=(1, 2))
        corner = array[:8, :6, :6]
        differences = np.concatenate(
            [
                np.abs(means - expected_mean),
                np.abs(corner - expected_corner).ravel(),
            ]
        )
        largest = max(largest, float(differences.max() / array.std()))
    return largest


def _matched_pairs(
    detections: Detections, expected_boxes: np.ndarray, labels: np.ndarray
) -> Iterator[Tuple[int, int]]:
    """Pair detections of one class whose boxes are within a pixel: (row, expected row).

    The expected detections choose in the order of their scores, each the nearest free box.
    """
    free_rows = set(range(len(detections.ids)))
    for expected_row, (box, label) in enumerate(zip(expected_boxes, labels)):
        candidates = []
        for row in free_rows:
            if detections.ids[row] == label:
                distance = np.abs(detections.boxes[row] - box).max()
                candidates.append((distance, row))
        if not candidates:
            continue
        distance, nearest_row = min(candidates)
        if distance < MAX_DISTANCE:
            free_rows.remove(nearest_row)
            yield nearest_row, expected_row
