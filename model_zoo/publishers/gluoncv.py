"""The weights of GluonCV 0.10.5.

Names and SHA-1 are those of ``gluoncv.model_zoo.model_store``, accuracies those of GluonCV's
documentation.
"""

from typing import List, NamedTuple, Optional, Tuple

from model_zoo.publishers.published_file import (
    BATCH_STATISTICS,
    GLUONCV_REPO,
    GROUP_NORM,
    PublishedWeights,
)

LICENSE = "Apache-2.0"


class _Classifier(NamedTuple):
    """A classifier: its name, the SHA-1 of its file, and its top-1 accuracy in percent."""

    name: str
    sha1: str
    top1: Optional[str]


class _Detector(NamedTuple):
    """A detector: its name, the SHA-1 of its file, and its accuracy."""

    name: str
    sha1: str
    metric: str


CLASSIFIERS = (
    _Classifier("resnet18_v1b", "2d9d980c990442f826f20781ed039851e78dabe3", "70.94"),
    _Classifier("resnet34_v1b", "8e16b84814e84f64d897854003f049872991eaa6", None),
    _Classifier("resnet50_v1b", "0ecdba34691be172036ddf244ff1b2eade75ffde", "77.67"),
    _Classifier("resnet101_v1b", "a455932aa95cb7dcfa05fd040b9b5a5660733c39", "79.20"),
    _Classifier("resnet152_v1b", "a5a61ee1ce5ab7c09720775b223360f3c60e211d", None),
    _Classifier("resnet50_v1d", "117a384ecf61490eb31ea147eb0e61e6d2b8a449", "79.15"),
    _Classifier("resnet101_v1d", "1b2b825feff86b0354642a4ab59f9b6e35e47338", "80.51"),
    _Classifier("resnet152_v1d", "cddbc86ff24a5544f57242ded0acb14ef1fbd437", None),
    _Classifier("resnet18_v2", "a81db45fd7b7a2d12ab97cd88ef0a5ac48b8f657", None),
    _Classifier("resnet34_v2", "9d6b80bbc35169de6b6edecffdd6047c56fdd322", None),
    _Classifier("resnet50_v2", "ecdde35339c1aadbec4f547857078e734a76fb49", "77.11"),
    _Classifier("resnet101_v2", "18e93e4f48947e002547f50eabbcc9c83e516aa6", None),
    _Classifier("resnet50_v1b_gn", "48ddf358d5acc879f76740dae695be67d96beea6", "77.36"),
    _Classifier("mobilenet1.0", "efbb2ca3881998d5a8c5cb6c457a28c1e085fed5", "73.28"),
    _Classifier("resnest50", "bcfefe1dd1dd1ef5cfed5563123c1490ea37b42e", "81.04"),
    _Classifier("resnest101", "5da943b3230f071525a98639945a6b3b3a45ac95", "82.83"),
    _Classifier("resnest269", "11ae7f5da2bcdbad05ba7e84f9b74383e717f3e3", "84.53"),
)
DETECTORS = (
    _Detector(
        name="faster_rcnn_resnet50_v1b_voc",
        sha1="447328d89d70ae1e2ca49226b8d834e5a5456df3",
        metric="78.3 mAP on VOC07",
    ),
    _Detector(
        name="faster_rcnn_resnet50_v1b_coco",
        sha1="5b4690fb7c5b62c44fb36c67d0642b633697f1bb",
        metric="box AP 37.0 on COCO val2017",
    ),
    _Detector(
        name="faster_rcnn_resnet101_v1d_coco",
        sha1="a465eca35e78aba6ebdf99bf52031a447e501063",
        metric="box AP 40.1 on COCO val2017",
    ),
    _Detector(
        name="faster_rcnn_fpn_resnet50_v1b_coco",
        sha1="233572743bc537291590f4edf8a0c17c14b234bb",
        metric="box AP 38.4 on COCO val2017",
    ),
    _Detector(
        name="faster_rcnn_fpn_resnet101_v1d_coco",
        sha1="1194ab4ec6e06386aadd55820add312c8ef59c74",
        metric="box AP 40.8 on COCO val2017",
    ),
    _Detector(
        name="faster_rcnn_fpn_syncbn_resnest50_coco",
        sha1="6df46961827647d418b11ffaf616a6a60d9dd16e",
        metric="box AP 42.7 on COCO val2017",
    ),
    _Detector(
        name="faster_rcnn_fpn_syncbn_resnest101_coco",
        sha1="baebfa1b7d7f56dd33a7687efea4b014736bd791",
        metric="box AP 44.9 on COCO val2017",
    ),
    _Detector(
        name="faster_rcnn_fpn_syncbn_resnest269_coco",
        sha1="b7d778f58921e459a6af200f6a323d6fe67069b9",
        metric="box AP 46.5 on COCO val2017",
    ),
    _Detector(
        name="mask_rcnn_resnet18_v1b_coco",
        sha1="e071cf1550bc0331c218a9072b59e9550595d1e7",
        metric="box AP 31.2, mask AP 28.4 on COCO val2017",
    ),
    _Detector(
        name="mask_rcnn_resnet50_v1b_coco",
        sha1="a3527fdc2cee5b1f32a61e5fd7cda8fb673e86e5",
        metric="box AP 38.3, mask AP 33.1 on COCO val2017",
    ),
    _Detector(
        name="mask_rcnn_resnet101_v1d_coco",
        sha1="4a3249c584f81c2a9b5d852b742637cd692ebdcb",
        metric="box AP 41.3, mask AP 35.2 on COCO val2017",
    ),
    _Detector(
        name="mask_rcnn_fpn_resnet18_v1b_coco",
        sha1="14a922c38b0b196fdb1f7141be4666c10476f426",
        metric="box AP 34.9, mask AP 30.4 on COCO val2017",
    ),
    _Detector(
        name="mask_rcnn_fpn_resnet50_v1b_coco",
        sha1="1364d0afe4de575af5d4389d50c2dbf22449ceac",
        metric="box AP 39.2, mask AP 35.4 on COCO val2017",
    ),
    _Detector(
        name="mask_rcnn_fpn_resnet101_v1d_coco",
        sha1="89c7d8669b677a05c6eaa25375ead9a174109c69",
        metric="box AP 42.3, mask AP 37.7 on COCO val2017",
    ),
)


def published_weights() -> List[PublishedWeights]:
    """List the weights that GluonCV publishes for models of the catalogue.

    Returns
    -------
    list of PublishedWeights
        Classifiers first, then detectors.
    """
    published = []
    for classifier in CLASSIFIERS:
        published.append(_classifier_weights(classifier))
    for detector in DETECTORS:
        published.append(_detector_weights(detector))
    return published


def _classifier_weights(classifier: _Classifier) -> PublishedWeights:
    """Describe the file of a classifier, which fills a backbone."""
    has_group_norm = classifier.name.endswith("_gn")
    stem = f"{classifier.name}-{classifier.sha1[:8]}"
    # Names of the catalogue have no dots.
    backbone = classifier.name.replace("_gn", "").replace(".", "_")
    return PublishedWeights(
        key=f"gluoncv/{classifier.name}",
        file=f"{stem}.params",
        url=_url(stem),
        source="gluoncv",
        checksum=f"sha1:{classifier.sha1}",
        license=LICENSE,
        metric=f"ImageNet top-1 {classifier.top1} %" if classifier.top1 else None,
        backbones=(backbone,),
        norms=GROUP_NORM if has_group_norm else BATCH_STATISTICS,
    )


def _detector_weights(detector: _Detector) -> PublishedWeights:
    """Describe the file of a detector."""
    stem = f"{detector.name}-{detector.sha1[:8]}"
    return PublishedWeights(
        key=f"gluoncv/{detector.name}",
        file=f"{stem}.params",
        url=_url(stem),
        source="gluoncv",
        checksum=f"sha1:{detector.sha1}",
        license=LICENSE,
        metric=detector.metric,
        models=_models_of(detector.name),
    )


def _models_of(detector_name: str) -> Tuple[str, ...]:
    """Name the rows of the catalogue that start from the file of a detector.

    The ``_custom`` rows on ResNet-50 and ResNet-101 are GluonCV's COCO detectors with other
    predictors, except those of Faster R-CNN with one map, which have other anchors. The
    ``_custom`` rows on ResNet-18 are detectors of this package. There are none on ResNeSt.
    """
    has_other_anchors = detector_name.startswith("faster_rcnn_resnet")
    has_other_backbone = "resnet18" in detector_name or "resnest" in detector_name
    if has_other_anchors or has_other_backbone or detector_name.endswith("_voc"):
        return (detector_name,)
    return (detector_name, detector_name.replace("_coco", "_custom"))


def _url(stem: str) -> str:
    """Return the address of the archive that contains a file."""
    return f"{GLUONCV_REPO}gluon/models/{stem}.zip"
