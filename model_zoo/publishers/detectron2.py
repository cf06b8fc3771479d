"""The weights of Detectron2's ``MODEL_ZOO.md``; a file's name has six digits of its MD5."""

from typing import List, NamedTuple, Optional

from model_zoo.publishers.published_file import (
    BATCH_STATISTICS,
    GROUP_NORM,
    PublishedWeights,
    coco_metric,
)

SERVER = "https://dl.fbaipublicfiles.com/detectron2"
LICENSE = "CC BY-SA 3.0"


class _Detector(NamedTuple):
    """A detector: its name, model id, the first digits of its MD5, box AP and mask AP."""

    name: str
    model_id: int
    md5: str
    box_ap: str
    mask_ap: Optional[str]


DETECTORS = (
    _Detector("faster_rcnn_R_50_C4_1x", 137257644, "721ade", "35.7", None),
    _Detector("faster_rcnn_R_50_C4_3x", 137849393, "f97cb7", "38.4", None),
    _Detector("faster_rcnn_R_50_FPN_1x", 137257794, "b275ba", "37.9", None),
    _Detector("faster_rcnn_R_50_FPN_3x", 137849458, "280758", "40.2", None),
    _Detector("faster_rcnn_R_101_C4_3x", 138204752, "298dad", "41.1", None),
    _Detector("faster_rcnn_R_101_FPN_3x", 137851257, "f6e8b1", "42.0", None),
    _Detector("mask_rcnn_R_50_C4_1x", 137259246, "9243eb", "36.8", "32.2"),
    _Detector("mask_rcnn_R_50_C4_3x", 137849525, "4ce675", "39.8", "34.4"),
    _Detector("mask_rcnn_R_50_FPN_1x", 137260431, "a54504", "38.6", "35.2"),
    _Detector("mask_rcnn_R_50_FPN_3x", 137849600, "f10217", "41.0", "37.2"),
    _Detector("mask_rcnn_R_101_C4_3x", 138363239, "a2914c", "42.6", "36.7"),
    _Detector("mask_rcnn_R_101_FPN_3x", 138205316, "a3ec72", "42.9", "38.6"),
    _Detector("mask_rcnn_R_50_FPN_3x_gn", 138602888, "dc5d9e", "42.6", "38.6"),
    _Detector("mask_rcnn_R_50_FPN_3x_syncbn", 169527823, "3b3c51", "41.9", "37.8"),
    _Detector("scratch_mask_rcnn_R_50_FPN_3x_gn", 138602908, "01ca85", "39.9", "36.6"),
    _Detector("scratch_mask_rcnn_R_50_FPN_9x_gn", 183808979, "da7b4c", "43.7", "39.6"),
    _Detector("scratch_mask_rcnn_R_50_FPN_9x_syncbn", 184226666, "5ce33e", "43.6", "39.3"),
)


def published_weights() -> List[PublishedWeights]:
    """List the weights that Detectron2 publishes for models of the catalogue.

    Returns
    -------
    list of PublishedWeights
        One file for each detector.
    """
    published = []
    for detector in DETECTORS:
        published.append(_detector_weights(detector))
    return published


def _detector_weights(detector: _Detector) -> PublishedWeights:
    """Describe the file of a detector."""
    has_group_norm = detector.name.endswith("_gn")
    folder = f"{_section_of(detector)}/{detector.name}/{detector.model_id}"
    return PublishedWeights(
        key=f"detectron2/{detector.name}",
        file=f"{detector.name}-{detector.md5}.pkl",
        url=f"{SERVER}/{folder}/model_final_{detector.md5}.pkl",
        source="detectron2",
        checksum=f"md5:{detector.md5}",
        license=LICENSE,
        metric=coco_metric(detector.box_ap, detector.mask_ap),
        models=(detector.name,),
        norms=GROUP_NORM if has_group_norm else BATCH_STATISTICS,
        order="BGR",
    )


def _section_of(detector: _Detector) -> str:
    """Name the section of the model zoo that has the detector; it is a folder on the server."""
    if detector.name.endswith(("_gn", "_syncbn")):
        return "Misc"
    if detector.mask_ap is None:
        return "COCO-Detection"
    return "COCO-InstanceSegmentation"
