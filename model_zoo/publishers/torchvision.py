"""The weights of torchvision: ``IMAGENET1K_V1`` and ``COCO_V1``.

torchvision states the first eight digits of a file's SHA-256, in the file's name. A longer SHA-256
below is one that several independent projects state.
"""

from typing import List, NamedTuple, Optional

from model_zoo.publishers.published_file import PublishedWeights, coco_metric

LICENSE = "BSD-3-Clause; the terms of the training data may apply"


class _Classifier(NamedTuple):
    """A classifier: its name, SHA-256, size in bytes, and top-1 accuracy in percent."""

    name: str
    sha256: str
    size: Optional[int]
    top1: str


class _Detector(NamedTuple):
    """A detector: its name, SHA-256, size in bytes, box AP, mask AP, and epsilon."""

    name: str
    sha256: str
    size: Optional[int]
    box_ap: str
    mask_ap: Optional[str]
    eps: Optional[float]


CLASSIFIERS = (
    _Classifier(
        name="resnet18",
        sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        size=46830571,
        top1="69.76",
    ),
    _Classifier(
        name="resnet34",
        sha256="b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
        size=None,
        top1="73.31",
    ),
    _Classifier(
        name="resnet50",
        sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        size=102530333,
        top1="76.13",
    ),
    _Classifier(name="resnet101", sha256="63fe2227", size=None, top1="77.37"),
    _Classifier(name="resnet152", sha256="394f9c45", size=None, top1="78.31"),
)
# The detectors of the first version were trained with FrozenBatchNorm2d(eps=0.0).
DETECTORS = (
    _Detector(
        name="fasterrcnn_resnet50_fpn",
        sha256="258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
        size=167502836,
        box_ap="37.0",
        mask_ap=None,
        eps=0.0,
    ),
    _Detector(
        name="fasterrcnn_resnet50_fpn_v2",
        sha256="dd69338a24b8d7381807e247652bdc356325bcbaf1cd3e092e00e0a1a58706bf",
        size=None,
        box_ap="46.7",
        mask_ap=None,
        eps=None,
    ),
    _Detector(
        name="maskrcnn_resnet50_fpn",
        sha256="bf2d0c1efbc936eeee2bc95a48e80ebc86b891f61b0106485937fc29f9315fc0",
        size=None,
        box_ap="37.9",
        mask_ap="34.6",
        eps=0.0,
    ),
    _Detector(
        name="maskrcnn_resnet50_fpn_v2",
        sha256="73cbd0190fcbe3ba339921fbce2c3a0b6bb9126c9a133c85e43a2a8e060a109e",
        size=185828065,
        box_ap="47.4",
        mask_ap="41.8",
        eps=None,
    ),
)


def published_weights() -> List[PublishedWeights]:
    """List the weights that torchvision publishes for models of the catalogue.

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
    """Describe the file of a classifier; all have their stride in the 3x3 convolutions."""
    file = f"{classifier.name}-{classifier.sha256[:8]}.pth"
    return PublishedWeights(
        key=f"torchvision/{classifier.name}",
        file=file,
        url=_url(file),
        source="torchvision",
        checksum=f"sha256:{classifier.sha256}",
        size=classifier.size,
        license=LICENSE,
        metric=f"ImageNet top-1 {classifier.top1} %",
        backbones=(f"{classifier.name}_v1b",),
    )


def _detector_weights(detector: _Detector) -> PublishedWeights:
    """Describe the file of a detector; the catalogue has it under torchvision's own name."""
    file = f"{detector.name}_coco-{detector.sha256[:8]}.pth"
    return PublishedWeights(
        key=f"torchvision/{detector.name}",
        file=file,
        url=_url(file),
        source="torchvision",
        checksum=f"sha256:{detector.sha256}",
        size=detector.size,
        license=LICENSE,
        metric=coco_metric(detector.box_ap, detector.mask_ap),
        models=(detector.name,),
        eps=detector.eps,
    )


def _url(file: str) -> str:
    """Return the address of a file."""
    return f"https://download.pytorch.org/models/{file}"
