"""The weights of Detectron: its ``MODEL_ZOO.md`` and, for GroupNorm, ``projects/GN/README.md``.

Detectron publishes no checksums.
"""

from typing import List, NamedTuple, Optional, Tuple

from gluonnorm.nn import STORED_STATISTICS_NORMS
from model_zoo.publishers.published_file import (
    GROUP_NORM,
    PublishedWeights,
    coco_metric,
)

SERVER = "https://dl.fbaipublicfiles.com/detectron/"
MODEL_ZOO_LICENSE = "CC BY-SA 3.0"
FINAL_WEIGHTS = (
    "output/train/coco_2014_train%3Acoco_2014_valminusminival/generalized_rcnn/model_final.pkl"
)


class _Classifier(NamedTuple):
    """A classifier: its name, its folder, the backbone that it fills, and its accuracy."""

    name: str
    folder: str
    backbone: str
    metric: Optional[str]


class _Detector(NamedTuple):
    """A detector: its name, model id, the end of its folder's name, box AP and mask AP."""

    name: str
    model_id: int
    run: str
    box_ap: str
    mask_ap: Optional[str]


CLASSIFIERS = (
    _Classifier("R-50", "MSRA", "resnet50_v1a", None),
    _Classifier("R-101", "MSRA", "resnet101_v1a", None),
    _Classifier("R-50-GN", "47261647", "resnet50_v1b", "ImageNet top-1 76.0 %"),
    _Classifier("R-101-GN", "47592356", "resnet101_v1b", "ImageNet top-1 77.4 %"),
)
DETECTORS = (
    _Detector("e2e_faster_rcnn_R-50-C4_1x", 35857197, "01_33_49.iAX0mXvW", "34.8", None),
    _Detector("e2e_faster_rcnn_R-50-C4_2x", 35857281, "01_34_56.ScPH0Z4r", "36.5", None),
    _Detector("e2e_faster_rcnn_R-50-FPN_1x", 35857345, "01_36_30.cUF7QR7I", "36.7", None),
    _Detector("e2e_faster_rcnn_R-50-FPN_2x", 35857389, "01_37_22.KSeq0b5q", "37.9", None),
    _Detector("e2e_faster_rcnn_R-101-FPN_1x", 35857890, "01_38_50.sNxI7sX7", "39.4", None),
    _Detector("e2e_faster_rcnn_R-101-FPN_2x", 35857952, "01_39_49.JPwJDh92", "39.8", None),
    _Detector("e2e_mask_rcnn_R-50-C4_1x", 35858791, "01_45_57.ZgkA7hPB", "35.8", "31.4"),
    _Detector("e2e_mask_rcnn_R-50-C4_2x", 35858828, "01_46_47.HBThTerB", "37.8", "32.8"),
    _Detector("e2e_mask_rcnn_R-50-FPN_1x", 35858933, "01_48_14.DzEQe4wC", "37.7", "33.9"),
    _Detector("e2e_mask_rcnn_R-50-FPN_2x", 35859007, "01_49_07.By8nQcCH", "38.6", "34.5"),
    _Detector("e2e_mask_rcnn_R-101-FPN_1x", 35861795, "02_31_37.KqyEK4tT", "40.0", "35.9"),
    _Detector("e2e_mask_rcnn_R-101-FPN_2x", 35861858, "02_32_51.SgT4y1cO", "40.9", "36.4"),
)
GROUP_NORM_DETECTORS = (
    _Detector("e2e_mask_rcnn_R-50-FPN_2x_gn", 48616381, "0416.13_23_38.bTlTI97Q", "40.3", "35.7"),
    _Detector("e2e_mask_rcnn_R-101-FPN_2x_gn", 48616724, "0416.13_26_34.GLnri4GR", "41.8", "36.8"),
    _Detector("e2e_mask_rcnn_R-50-FPN_3x_gn", 48734751, "0417.09_54_59.nwCTtPVk", "40.8", "36.1"),
    _Detector("e2e_mask_rcnn_R-101-FPN_3x_gn", 48734779, "0417.09_55_23.HMtcR8wg", "42.3", "37.2"),
)


def published_weights() -> List[PublishedWeights]:
    """List the weights that Detectron publishes for models of the catalogue.

    Returns
    -------
    list of PublishedWeights
        Classifiers first, then detectors. The batch statistics of Detectron's files are folded
        into scale and shift, so norms with live statistics cannot start from them.
    """
    published = []
    for classifier in CLASSIFIERS:
        published.append(_classifier_weights(classifier))
    for detector in DETECTORS:
        folder = f"{detector.model_id}/12_2017_baselines/{detector.name}.yaml.{detector.run}"
        published.append(
            _detector_weights(detector, folder, STORED_STATISTICS_NORMS, MODEL_ZOO_LICENSE)
        )
    for detector in GROUP_NORM_DETECTORS:
        folder = f"GN/{detector.model_id}/04_2018_gn_baselines/{detector.name}_{detector.run}"
        published.append(_detector_weights(detector, folder, GROUP_NORM, None))
    return published


def _classifier_weights(classifier: _Classifier) -> PublishedWeights:
    """Describe the file of a classifier."""
    has_group_norm = classifier.name.endswith("-GN")
    return PublishedWeights(
        key=f"detectron/{classifier.name}",
        file=f"{classifier.name}.pkl",
        url=f"{SERVER}ImageNetPretrained/{classifier.folder}/{classifier.name}.pkl",
        source="detectron",
        license=MODEL_ZOO_LICENSE,
        metric=classifier.metric,
        backbones=(classifier.backbone,),
        norms=GROUP_NORM if has_group_norm else STORED_STATISTICS_NORMS,
        order="BGR",
    )


def _detector_weights(
    detector: _Detector, folder: str, norms: Tuple[str, ...], license_name: Optional[str]
) -> PublishedWeights:
    """Describe the file of a detector."""
    return PublishedWeights(
        key=f"detectron/{detector.name}",
        file=f"{detector.name}-{detector.model_id}.pkl",
        url=f"{SERVER}{folder}/{FINAL_WEIGHTS}",
        source="detectron",
        license=license_name,
        metric=coco_metric(detector.box_ap, detector.mask_ap),
        models=(detector.name,),
        norms=norms,
        order="BGR",
    )
