"""Cases that real programs answered: weights and images from names and seeds, and what the program made of them."""
import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import model_zoo
from gluonnorm import conversion
from gluonnorm.deploy import Predictor

import mxnet as mx
import numpy as np
from golden import seeded

FOLDER = Path(__file__).resolve().parent.parent / "golden"
NAME = re.compile(r"(?P<source>torchvision|detectron2)_(?P<model>.+)_(?P<height>\d+)x(?P<width>\d+)_s(?P<salt>\d+)")
SETTINGS = re.compile(r"pixel_(mean|std)|.*anchor_generator.*|.*cell_anchors.*")  # in a state dict, and no weights


class Differences(NamedTuple):
    """The largest of each sort; NaN where a case has none of it."""
    features: float  # in standard deviations of the reference's map
    found: int  # detections here
    wanted: int  # detections of the program
    same: int  # of these, found here with the same class and the box within a pixel
    boxes: float  # pixels of the photo, over the same ones
    scores: float
    masks: float  # area, in parts of the program's
    mask_pixels: float  # the same in pixels


class Case:
    """One file of ``tests/golden``."""

    def __init__(self, path: Path) -> None:
        match = NAME.fullmatch(path.stem)
        if match is None:
            raise ValueError(f"{path.name}: want SOURCE_MODEL_HEIGHTxWIDTH_sSALT.npz")
        self.source, self.salt = match["source"], int(match["salt"])
        # torchvision loads its published v1 files into FrozenBatchNorm2d with eps 0; "_frozen" cases are made so.
        self.model, frozen = re.subn("_frozen$", "", match["model"])
        self.eps = 0.0 if frozen else None
        self.size = int(match["height"]), int(match["width"])
        with np.load(path) as file:
            self.answer: Dict[str, np.ndarray] = {key: file[key] for key in file.files}

    @property
    def is_classifier(self) -> bool:
        """Whether it is a ResNet without a detector around it."""
        return self.model.startswith("resnet")

    def state(self) -> Dict[str, np.ndarray]:
        """The source's weights by its names."""
        shapes = dict(line.rsplit(":", 1) for line in self.answer["shapes"].tolist())
        arrays = {name: seeded.tensor(name, [int(side) for side in shape.split(",") if side], self.salt)
                  for name, shape in shapes.items() if not SETTINGS.fullmatch(name)}
        for key, value in self.answer.items():
            kind, _, name = key.partition(":")
            if kind == "scale":
                arrays[name] = (arrays[name] * value).astype(np.float32)
            elif kind == "override":
                arrays[name] = value
        return arrays

    def image(self) -> np.ndarray:
        """The photo as the source got it: (H, W, 3) RGB, float32 in 0..255, or bytes for Detectron2."""
        image = seeded.image(*self.size, self.salt).transpose(1, 2, 0)
        return image * 255 if self.source == "torchvision" else np.round(image * 255).astype(np.uint8)

    def maps(self) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """Of each map, finest first: the mean over each channel, and a corner (8, 6, 6)."""
        names = sorted(key[:-len("_mean")] for key in self.answer if key.endswith("_mean") and key != "pixel_mean")
        for name in names:  # c2 .. c5, fpn_0 .. fpn_3, fpn_pool, fpn_p2 .. fpn_p6, fpn_res4
            yield self.answer[f"{name}_mean"], self.answer[f"{name}_corner"]

    def network(self, **settings: object) -> mx.gluon.HybridBlock:
        """Ours, with the source's weights."""
        name = f"{self.model}_v1b" if self.is_classifier else self.model
        net = model_zoo.get_model(name, **settings)
        conversion.load(net, self.state(), self.source, eps=self.eps)
        net.hybridize()
        return net


def cases() -> List[Path]:
    """The files, sorted."""
    return sorted(path for path in FOLDER.glob("*.npz") if NAME.fullmatch(path.stem))


def compare(case: Case, net: mx.gluon.HybridBlock) -> Differences:
    """``net``'s answer against the program's."""
    if case.is_classifier:
        x = mx.nd.array(seeded.image(*case.size, case.salt)[None])  # no normalization in these cases
        return Differences(_features(case, net(x)), 0, 0, 0, np.nan, np.nan, np.nan, np.nan)
    predictor = Predictor.from_network(net, resize=case.source == "torchvision")
    x = mx.nd.array(predictor.prepare(case.image())[None])
    features = _features(case, net._maps(mx.nd, x)[1])
    found, answer = predictor(case.image()), case.answer
    labels = answer["labels"] - (case.source == "torchvision")  # which counts a background class
    pairs = list(_pairs(found, answer["boxes"], labels))
    mine, theirs = (np.array([pair[side] for pair in pairs], int) for side in (0, 1))
    masks = mask_pixels = np.nan
    if found.masks is not None:
        wanted = answer["mask_area"][theirs]
        missed = np.abs(found.masks.sum(axis=(1, 2))[mine] - wanted)
        masks, mask_pixels = float((missed / np.maximum(wanted, 1)).max(initial=0)), float(missed.max(initial=0))
    return Differences(features, len(found.ids), len(labels), len(pairs),
                       float(np.abs(found.boxes[mine] - answer["boxes"][theirs]).max(initial=0)),
                       float(np.abs(found.scores[mine] - answer["scores"][theirs]).max(initial=0)), masks, mask_pixels)


def _features(case: Case, maps: List[mx.nd.NDArray]) -> float:
    worst = 0.0
    for map_, (mean, corner) in zip(maps, case.maps()):
        array = map_.asnumpy()[0]
        found = np.concatenate([array.mean(axis=(1, 2)), array[:8, :6, :6].ravel()])
        worst = max(worst, float(np.abs(found - np.concatenate([mean, corner.ravel()])).max() / array.std()))
    return worst


def _pairs(found: object, boxes: np.ndarray, labels: np.ndarray) -> Iterator[Tuple[int, int]]:
    """(ours, theirs) of one class with boxes within a pixel, each used once, the nearest for the best score first."""
    free = set(range(len(found.ids)))
    for row, (box, label) in enumerate(zip(boxes, labels)):
        near = [(np.abs(found.boxes[i] - box).max(), i) for i in free if found.ids[i] == label]
        if near and min(near)[0] < 1:
            free.remove(min(near)[1])
            yield min(near)[1], row
