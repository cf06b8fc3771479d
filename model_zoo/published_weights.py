"""Published weights: where each file lies, how it is checked, under what terms it comes, and whom it serves."""
import os
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from gluonnorm.types import IMAGENET_STD, Preprocess

GLUONCV_REPO = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/"
STORED = ("frozen_bn", "global_bn")  # norms that only apply a scale and a shift
BATCH = STORED + ("bn", "sync_bn")  # norms with gamma, beta, mean and variance
GROUP = ("gn",)
STD = {"RGB": IMAGENET_STD, "BGR": (1.0, 1.0, 1.0)}  # by which the pixels of 0..255 were divided
OF_GLUONCV = "Apache-2.0"
OF_TORCHVISION = "BSD-3-Clause; the terms of the training data may apply"
OF_DETECTRON_ZOO = "CC BY-SA 3.0"


@dataclass(frozen=True)
class PublishedWeights:
    """One published file.

    ``key`` names the record ("torchvision/resnet50") and ``file`` its copy in the cache. ``checksum`` is the algorithm
    and the leading digits its publisher states, "sha1:0ecdba34691b...", or None where nobody states one; of a ``.zip``
    it is that of the file inside. ``size`` is in bytes where known. ``source`` is what ``gluonnorm.conversion`` calls
    the codebase. ``license`` is None where the publisher states none beside the file. ``metric`` is the publisher's.
    ``models`` are the catalogue names that the file fills, ``backbones`` those whose backbone it starts, with one of
    ``norms``. ``order`` is that of the colours it was trained on: "RGB" less ImageNet's mean and divided by its
    deviation, "BGR" (0..255) less the mean only. ``eps`` is that of the stored batch statistics where it is not 1e-5.
    """
    key: str
    file: str
    url: str
    source: str
    checksum: Optional[str] = None
    size: Optional[int] = None
    license: Optional[str] = None
    metric: Optional[str] = None
    models: Tuple[str, ...] = ()
    backbones: Tuple[str, ...] = ()
    norms: Tuple[str, ...] = BATCH
    order: str = "RGB"
    eps: Optional[float] = None

    def address(self) -> str:
        """Where to fetch it: ``url``; of GluonCV's files the same in the mirror ``MXNET_GLUON_REPO``, as MXNet does."""
        mirror = os.environ.get("MXNET_GLUON_REPO")
        if mirror and self.url.startswith(GLUONCV_REPO):
            return mirror.rstrip("/") + "/" + self.url[len(GLUONCV_REPO):]
        return self.url


def _gluoncv() -> List[PublishedWeights]:
    """Files and SHA-1 of ``gluoncv.model_zoo.model_store`` (0.10.5), accuracies of its documentation.

    The ``_custom`` rows that are its COCO detectors start from them, with fresh predictors; those of ResNet-18 are not.
    """
    classifiers = [
        ("resnet18_v1b", "2d9d980c990442f826f20781ed039851e78dabe3", "70.94"),
        ("resnet34_v1b", "8e16b84814e84f64d897854003f049872991eaa6", None),
        ("resnet50_v1b", "0ecdba34691be172036ddf244ff1b2eade75ffde", "77.67"),
        ("resnet101_v1b", "a455932aa95cb7dcfa05fd040b9b5a5660733c39", "79.20"),
        ("resnet152_v1b", "a5a61ee1ce5ab7c09720775b223360f3c60e211d", None),
        ("resnet50_v1d", "117a384ecf61490eb31ea147eb0e61e6d2b8a449", "79.15"),
        ("resnet101_v1d", "1b2b825feff86b0354642a4ab59f9b6e35e47338", "80.51"),
        ("resnet152_v1d", "cddbc86ff24a5544f57242ded0acb14ef1fbd437", None),
        ("resnet18_v2", "a81db45fd7b7a2d12ab97cd88ef0a5ac48b8f657", None),
        ("resnet34_v2", "9d6b80bbc35169de6b6edecffdd6047c56fdd322", None),
        ("resnet50_v2", "ecdde35339c1aadbec4f547857078e734a76fb49", "77.11"),
        ("resnet101_v2", "18e93e4f48947e002547f50eabbcc9c83e516aa6", None),
        ("resnet50_v1b_gn", "48ddf358d5acc879f76740dae695be67d96beea6", "77.36")]
    detectors = [
        ("faster_rcnn_resnet50_v1b_voc", "447328d89d70ae1e2ca49226b8d834e5a5456df3", "78.3 mAP on VOC07"),
        ("faster_rcnn_resnet50_v1b_coco", "5b4690fb7c5b62c44fb36c67d0642b633697f1bb", "box AP 37.0"),
        ("faster_rcnn_resnet101_v1d_coco", "a465eca35e78aba6ebdf99bf52031a447e501063", "box AP 40.1"),
        ("faster_rcnn_fpn_resnet50_v1b_coco", "233572743bc537291590f4edf8a0c17c14b234bb", "box AP 38.4"),
        ("faster_rcnn_fpn_resnet101_v1d_coco", "1194ab4ec6e06386aadd55820add312c8ef59c74", "box AP 40.8"),
        ("mask_rcnn_resnet18_v1b_coco", "e071cf1550bc0331c218a9072b59e9550595d1e7", "box AP 31.2, mask AP 28.4"),
        ("mask_rcnn_resnet50_v1b_coco", "a3527fdc2cee5b1f32a61e5fd7cda8fb673e86e5", "box AP 38.3, mask AP 33.1"),
        ("mask_rcnn_resnet101_v1d_coco", "4a3249c584f81c2a9b5d852b742637cd692ebdcb", "box AP 41.3, mask AP 35.2"),
        ("mask_rcnn_fpn_resnet18_v1b_coco", "14a922c38b0b196fdb1f7141be4666c10476f426", "box AP 34.9, mask AP 30.4"),
        ("mask_rcnn_fpn_resnet50_v1b_coco", "1364d0afe4de575af5d4389d50c2dbf22449ceac", "box AP 39.2, mask AP 35.4"),
        ("mask_rcnn_fpn_resnet101_v1d_coco", "89c7d8669b677a05c6eaa25375ead9a174109c69", "box AP 42.3, mask AP 37.7")]

    def record(name: str, sha1: str, metric: Optional[str], models: Tuple[str, ...], backbones: Tuple[str, ...],
               norms: Tuple[str, ...]) -> PublishedWeights:
        stem = f"{name}-{sha1[:8]}"
        return PublishedWeights(f"gluoncv/{name}", f"{stem}.params", f"{GLUONCV_REPO}gluon/models/{stem}.zip", "gluoncv",
                             f"sha1:{sha1}", None, OF_GLUONCV, metric, models, backbones, norms)

    def rows_of(name: str) -> Tuple[str, ...]:
        return (name,) if "resnet18" in name or name.endswith("_voc") else (name, name.replace("_coco", "_custom"))

    return [record(name, sha1, top1 and f"ImageNet top-1 {top1} %", (), (name.replace("_gn", ""),),
                   GROUP if name.endswith("_gn") else BATCH) for name, sha1, top1 in classifiers] + \
           [record(name, sha1, metric if "VOC" in metric else f"{metric} on COCO val2017", rows_of(name), (), BATCH)
            for name, sha1, metric in detectors]


def _torchvision() -> List[PublishedWeights]:
    """``IMAGENET1K_V1`` and ``COCO_V1``.

    torchvision writes the first eight digits of the SHA-256 into a file's name. The rest stands here where several
    independent projects state the same.
    """
    rest = {"f37072fd": "47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
            "b627a593": "bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
            "0676ba61": "b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
            "258fb6c6": "38b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
            "dd69338a": "24b8d7381807e247652bdc356325bcbaf1cd3e092e00e0a1a58706bf",
            "bf2d0c1e": "fbc936eeee2bc95a48e80ebc86b891f61b0106485937fc29f9315fc0",
            "73cbd019": "0fcbe3ba339921fbce2c3a0b6bb9126c9a133c85e43a2a8e060a109e"}
    classifiers = [("resnet18", "f37072fd", 46830571, "69.76"), ("resnet34", "b627a593", None, "73.31"),
                   ("resnet50", "0676ba61", 102530333, "76.13"), ("resnet101", "63fe2227", None, "77.37"),
                   ("resnet152", "394f9c45", None, "78.31")]
    detectors = [("fasterrcnn_resnet50_fpn", "258fb6c6", 167502836, "box AP 37.0", 0.0),
                 ("fasterrcnn_resnet50_fpn_v2", "dd69338a", None, "box AP 46.7", None),
                 ("maskrcnn_resnet50_fpn", "bf2d0c1e", None, "box AP 37.9, mask AP 34.6", 0.0),
                 ("maskrcnn_resnet50_fpn_v2", "73cbd019", 185828065, "box AP 47.4, mask AP 41.8", None)]

    def record(name: str, file: str, digits: str, size: Optional[int], metric: str, models: Tuple[str, ...],
               backbones: Tuple[str, ...], eps: Optional[float]) -> PublishedWeights:
        return PublishedWeights(f"torchvision/{name}", file, f"https://download.pytorch.org/models/{file}", "torchvision",
                             f"sha256:{digits}{rest.get(digits, '')}", size, OF_TORCHVISION, metric, models, backbones,
                             BATCH, eps=eps)

    return [record(name, f"{name}-{digits}.pth", digits, size, f"ImageNet top-1 {top1} %", (), (f"{name}_v1b",), None)
            for name, digits, size, top1 in classifiers] + \
           [record(name, f"{name}_coco-{digits}.pth", digits, size, f"{metric} on COCO val2017", (name,), (), eps)
            for name, digits, size, metric, eps in detectors]


def _detectron() -> List[PublishedWeights]:
    """Files of Detectron's ``MODEL_ZOO.md`` and, with group normalization, ``projects/GN/README.md``.

    Their batch statistics are folded into scale and shift, so live statistics would not start from them.
    """
    base = "https://dl.fbaipublicfiles.com/detectron/"
    imagenet = [("R-50", "MSRA/", "resnet50_v1a", STORED, None), ("R-101", "MSRA/", "resnet101_v1a", STORED, None),
                ("R-50-GN", "47261647/", "resnet50_v1b", GROUP, "ImageNet top-1 76.0 %"),
                ("R-101-GN", "47592356/", "resnet101_v1b", GROUP, "ImageNet top-1 77.4 %")]
    finals = [  # name, model id, the rest of the run's folder name, box AP, mask AP
        ("e2e_faster_rcnn_R-50-C4_1x", 35857197, "01_33_49.iAX0mXvW", "34.8", None),
        ("e2e_faster_rcnn_R-50-C4_2x", 35857281, "01_34_56.ScPH0Z4r", "36.5", None),
        ("e2e_faster_rcnn_R-50-FPN_1x", 35857345, "01_36_30.cUF7QR7I", "36.7", None),
        ("e2e_faster_rcnn_R-50-FPN_2x", 35857389, "01_37_22.KSeq0b5q", "37.9", None),
        ("e2e_faster_rcnn_R-101-FPN_1x", 35857890, "01_38_50.sNxI7sX7", "39.4", None),
        ("e2e_faster_rcnn_R-101-FPN_2x", 35857952, "01_39_49.JPwJDh92", "39.8", None),
        ("e2e_mask_rcnn_R-50-C4_1x", 35858791, "01_45_57.ZgkA7hPB", "35.8", "31.4"),
        ("e2e_mask_rcnn_R-50-C4_2x", 35858828, "01_46_47.HBThTerB", "37.8", "32.8"),
        ("e2e_mask_rcnn_R-50-FPN_1x", 35858933, "01_48_14.DzEQe4wC", "37.7", "33.9"),
        ("e2e_mask_rcnn_R-50-FPN_2x", 35859007, "01_49_07.By8nQcCH", "38.6", "34.5"),
        ("e2e_mask_rcnn_R-101-FPN_1x", 35861795, "02_31_37.KqyEK4tT", "40.0", "35.9"),
        ("e2e_mask_rcnn_R-101-FPN_2x", 35861858, "02_32_51.SgT4y1cO", "40.9", "36.4"),
        ("e2e_mask_rcnn_R-50-FPN_2x_gn", 48616381, "0416.13_23_38.bTlTI97Q", "40.3", "35.7"),
        ("e2e_mask_rcnn_R-101-FPN_2x_gn", 48616724, "0416.13_26_34.GLnri4GR", "41.8", "36.8"),
        ("e2e_mask_rcnn_R-50-FPN_3x_gn", 48734751, "0417.09_54_59.nwCTtPVk", "40.8", "36.1"),
        ("e2e_mask_rcnn_R-101-FPN_3x_gn", 48734779, "0417.09_55_23.HMtcR8wg", "42.3", "37.2")]
    weights = "output/train/coco_2014_train%3Acoco_2014_valminusminival/generalized_rcnn/model_final.pkl"
    records = [PublishedWeights(f"detectron/{name}", f"{name}.pkl", f"{base}ImageNetPretrained/{folder}{name}.pkl",
                             "detectron", None, None, OF_DETECTRON_ZOO, metric, (), (backbone,), norms, "BGR")
               for name, folder, backbone, norms, metric in imagenet]
    for name, number, run, box, mask in finals:
        of_gn = name.endswith("_gn")
        folder = f"GN/{number}/04_2018_gn_baselines/{name}_{run}" if of_gn else \
            f"{number}/12_2017_baselines/{name}.yaml.{run}"
        records.append(PublishedWeights(f"detectron/{name}", f"{name}-{number}.pkl", f"{base}{folder}/{weights}",
                                     "detectron", None, None, None if of_gn else OF_DETECTRON_ZOO, _coco(box, mask),
                                     (name,), (), GROUP if of_gn else STORED, "BGR"))
    return records


def _detectron2() -> List[PublishedWeights]:
    """Files of Detectron2's ``MODEL_ZOO.md``; six digits of the MD5 stand in each name."""
    finals = [  # name, model id, digits, box AP, mask AP
        ("faster_rcnn_R_50_C4_1x", 137257644, "721ade", "35.7", None),
        ("faster_rcnn_R_50_C4_3x", 137849393, "f97cb7", "38.4", None),
        ("faster_rcnn_R_50_FPN_1x", 137257794, "b275ba", "37.9", None),
        ("faster_rcnn_R_50_FPN_3x", 137849458, "280758", "40.2", None),
        ("faster_rcnn_R_101_C4_3x", 138204752, "298dad", "41.1", None),
        ("faster_rcnn_R_101_FPN_3x", 137851257, "f6e8b1", "42.0", None),
        ("mask_rcnn_R_50_C4_1x", 137259246, "9243eb", "36.8", "32.2"),
        ("mask_rcnn_R_50_C4_3x", 137849525, "4ce675", "39.8", "34.4"),
        ("mask_rcnn_R_50_FPN_1x", 137260431, "a54504", "38.6", "35.2"),
        ("mask_rcnn_R_50_FPN_3x", 137849600, "f10217", "41.0", "37.2"),
        ("mask_rcnn_R_101_C4_3x", 138363239, "a2914c", "42.6", "36.7"),
        ("mask_rcnn_R_101_FPN_3x", 138205316, "a3ec72", "42.9", "38.6"),
        ("mask_rcnn_R_50_FPN_3x_gn", 138602888, "dc5d9e", "42.6", "38.6"),
        ("mask_rcnn_R_50_FPN_3x_syncbn", 169527823, "3b3c51", "41.9", "37.8"),
        ("scratch_mask_rcnn_R_50_FPN_3x_gn", 138602908, "01ca85", "39.9", "36.6"),
        ("scratch_mask_rcnn_R_50_FPN_9x_gn", 183808979, "da7b4c", "43.7", "39.6")]
    records = []
    for name, number, digits, box, mask in finals:
        folder = "Misc" if name.endswith(("_gn", "_syncbn")) else \
            "COCO-Detection" if mask is None else "COCO-InstanceSegmentation"
        url = f"https://dl.fbaipublicfiles.com/detectron2/{folder}/{name}/{number}/model_final_{digits}.pkl"
        records.append(PublishedWeights(f"detectron2/{name}", f"{name}-{digits}.pkl", url, "detectron2", f"md5:{digits}",
                                     None, OF_DETECTRON_ZOO, _coco(box, mask), (name,), (),
                                     GROUP if name.endswith("_gn") else BATCH, "BGR"))
    return records


def _coco(box: str, mask: Optional[str]) -> str:
    return f"box AP {box}{f', mask AP {mask}' if mask else ''} on COCO val2017"


# The first record that fits wins: a name like resnet50_v1b is GluonCV's, so its own file comes before torchvision's.
PUBLISHED_WEIGHTS: Dict[str, PublishedWeights] = {record.key: record for record in
                                     _gluoncv() + _torchvision() + _detectron() + _detectron2()}


def resolve_pretrained(name: str) -> PublishedWeights:
    """The record that ``pretrained=True`` loads into the model ``name``; ValueError, with those there are, if none."""
    for record in PUBLISHED_WEIGHTS.values():
        if name in record.models:
            return record
    having = sorted(model for record in PUBLISHED_WEIGHTS.values() for model in record.models)
    raise ValueError(f"pretrained=True: nobody publishes weights of {name!r} that this package knows; names that have "
                     f"some: {', '.join(having)}. Or give a file of weights, or a key of model_zoo.published_weights.PUBLISHED_WEIGHTS")


def resolve_base(backbone: str, norm: str = "frozen_bn", preprocess: Optional[Preprocess] = None,
                 model: Optional[str] = None) -> PublishedWeights:
    """The record that ``pretrained_base=True`` loads.

    A file must have been made for the same backbone (the place of the stride shows in no shape), for a norm that reads
    its statistics, and for the input that ``preprocess`` makes; None takes any. Among those that fit, the source of the
    weights of ``model`` goes first, then GluonCV. ValueError, with the reason, if none fits.
    """
    of_backbone = [record for record in PUBLISHED_WEIGHTS.values() if backbone in record.backbones]
    fitting = [record for record in of_backbone if norm in record.norms and
               (preprocess is None or (preprocess.order, preprocess.std) == (record.order, STD[record.order]))]
    if fitting:
        sources = [record.source for record in PUBLISHED_WEIGHTS.values() if model in record.models]
        return next((record for record in fitting if record.source in sources), fitting[0])
    there = [f"{record.key} for {record.order} and norm {' or '.join(record.norms)}" for record in of_backbone]
    others = ", ".join(sorted({name for record in PUBLISHED_WEIGHTS.values() for name in record.backbones}))
    given = f" of std {preprocess.std} in {preprocess.order}" if preprocess else ""
    raise ValueError(f"pretrained_base=True: no weights published for {backbone!r}, norm={norm!r} and input{given};"
                     f" for this backbone: {'; '.join(there) or 'none'}; backbones that have some: {others}. "
                     "Or give a file of weights, or a key of model_zoo.published_weights.PUBLISHED_WEIGHTS")


def table() -> str:
    """All records as a Markdown table, which stands in ``docs/weights.md``."""
    lines = ["| key | serves | MB | published | checked by |", "|---|---|---|---|---|"]
    for record in PUBLISHED_WEIGHTS.values():
        serves = ", ".join(f"`{name}`" for name in record.backbones) or \
            ("its name" if len(record.models) == 1 else f"its name and `{record.models[1]}`")
        if record.backbones and record.norms != BATCH:
            serves += f", {' or '.join(record.norms)}, {record.order}"
        size = f"{record.size / 1e6:.0f}" if record.size else ""
        algorithm, _, digits = (record.checksum or "").partition(":")
        check = f"{algorithm.upper().replace('SHA', 'SHA-')} {digits[:8]}" if record.checksum else "first download"
        lines.append(f"| `{record.key}` | {serves} | {size} | {record.metric or ''} | {check} |")
    return "\n".join(lines)
