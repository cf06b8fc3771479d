"""GluonCV as the judge: its own networks with seeded weights, run without its read of uninitialised memory."""
import contextlib
import re
import types
import zlib
from typing import NamedTuple, Tuple

import mxnet as mx
import numpy as np
from gluoncv import data, model_zoo

FAR = -1e4  # pixels; a RoI there samples nothing
# Of the standard deviation of some weights: levels of like magnitude, proposals of all sizes, scores well apart.
FACTORS = (("P2_conv1", 0.2), ("P3_conv1", 0.3), ("P4_conv1", 0.5), ("box_predictor", 0.3),
           ("rpn.rpn_head.loc", 0.2), ("rpn.loc", 0.2))


@contextlib.contextmanager
def coco_classes(classes):
    """GluonCV's named models take their classes from its COCO or VOC data set; for a while these are its classes."""
    datasets = (data.COCODetection, data.VOCDetection)
    before = [dataset.CLASSES for dataset in datasets]
    try:
        for dataset in datasets:
            dataset.CLASSES = list(classes)
        yield
    finally:
        for dataset, old in zip(datasets, before):
            dataset.CLASSES = old


def build(name, classes, post_nms=None, salt=0):
    """The GluonCV network called ``name`` with seeded weights; ``post_nms``: proposals kept, None is its own number."""
    with coco_classes(classes):
        settings = {"classes": classes} if name.endswith("_custom") else {}
        net = model_zoo.get_model(name, pretrained=False, pretrained_base=False, **settings)
    if post_nms is not None:
        limit(net, post_nms, 2 * post_nms)
    net.initialize()
    net._pyramid_roi_feats = types.MethodType(_pyramid_without_negative_batch_index, net)
    finish_shapes(net)
    seed(net, salt)
    balance_classes(net, image(160, 224, salt))
    return net


def limit(net, proposals, masks):
    """Keep that many proposals an image in inference, and make masks for that many boxes."""
    net._rpn_test_post_nms = net.rpn._test_post_nms = proposals
    if hasattr(net, "_rcnn_max_dets"):
        net._rcnn_max_dets = masks


def finish_shapes(net):
    """Deferred shapes are inferred by one run, on an image so small that it has few anchors."""
    before = net._rpn_test_post_nms, getattr(net, "_rcnn_max_dets", 0)
    limit(net, 8, 8)
    net(mx.nd.zeros((1, 3, 64, 96)))[0].wait_to_read()
    limit(net, *before)


def seed(net, salt):
    """Fill every parameter but the anchors, each from a generator of its own, seeded by its name."""
    parameters = net._collect_params_with_prefix()
    per_block = 3 if any(re.search(r"layer(s1_conv4|1\.1\.conv3)|features\.4\.1\.conv3", n) for n in parameters) else 2
    for name, parameter in parameters.items():
        if not name.endswith(("anchors", "means", "stds")):
            parameter.set_data(mx.nd.array(draw(name, parameter.shape, salt, per_block)))


def balance_classes(net, x):
    """Rescale the class scores, so that on a picture like ``x`` no class wins everywhere."""
    seen = []
    hook = net.class_predictor.register_forward_hook(lambda block, inputs, output: seen.append(output.asnumpy()))
    net(mx.nd.array(x))[0].wait_to_read()
    hook.detach()
    factor = 2 / seen[0].std(axis=0).mean()
    weight, bias = net.class_predictor.weight, net.class_predictor.bias
    bias.set_data((bias.data() - mx.nd.array(seen[0].mean(axis=0))) * factor)
    weight.set_data(weight.data() * factor)


def draw(name, shape, salt=0, per_block=3):
    """One array. Scales keep activations within bounds through fifty layers, and the scores of RoIs apart."""
    rng = np.random.RandomState(zlib.crc32(f"{salt}:{name}".encode()) & 0x7FFFFFFF)
    if name.endswith("var"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith("mean"):
        return 0.1 * rng.randn(*shape)
    if name.endswith("gamma"):
        counted = re.search(r"layers\d_(?:sync)?batchnorm(\d+)_gamma", name)
        last = int(counted.group(1)) % per_block == per_block - 1 if counted else f".bn{per_block}." in name
        return rng.uniform(0.1, 0.3, shape) if last else rng.uniform(0.5, 1.0, shape)
    if len(shape) == 1:
        return 0.05 * rng.randn(*shape)
    array = np.sqrt(2 / np.prod(shape[1:])) * rng.randn(*shape)
    if len(shape) == 2:  # rows without mean, so that RoIs differ by more than what they have in common
        array -= array.mean(axis=1, keepdims=True)
    return array * next((factor for part, factor in FACTORS if part in name), 1)


def image(height, width, salt=0):
    """A smooth picture with blocks, normalized: (1, 3, height, width) float32."""
    rng = np.random.RandomState(1000 + salt)
    y, x = np.mgrid[:height, :width]
    picture = np.stack([np.sin(rng.uniform(0.01, 0.06) * y + rng.uniform(0, 6))
                        + np.cos(rng.uniform(0.01, 0.06) * x + rng.uniform(0, 6)) for _ in range(3)])
    for _ in range(12):
        h, w = rng.randint(height // 12, height // 2), rng.randint(width // 12, width // 2)
        top, left = rng.randint(0, height - h), rng.randint(0, width - w)
        picture[:, top:top + h, left:left + w] += rng.uniform(-1.5, 1.5, (3, 1, 1))
    return picture[None].astype(np.float32)


def arrays_of(net):
    """{structural name: array}, as ``save_parameters`` writes them."""
    return {name: parameter.data().asnumpy() for name, parameter in net._collect_params_with_prefix().items()}


def feature_maps(net, x):
    """Its maps, finest first, as NumPy arrays."""
    maps = net.features(mx.nd.array(x))
    return [m.asnumpy() for m in (maps if isinstance(maps, (list, tuple)) else [maps])]


def detections(net, x, count=100):
    """Ids, scores, boxes (and masks) of the ``count`` best that GluonCV finds, over all classes.

    It returns a row for each class and proposal, class by class. Where fewer proposals survive than it wants, it fills
    up with boxes all of whose corners are -1, and those pass through its heads as well: see ``best``.
    """
    return best(net(mx.nd.array(x)), count)


def best(outputs, count):
    """The ``count`` best rows of a network's output as NumPy arrays, without boxes that have no area."""
    outputs = [output[0].asnumpy() for output in outputs]
    ids, scores, boxes = outputs[0][:, 0], outputs[1][:, 0], outputs[2]
    real = (scores > 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    order = np.flatnonzero(real)[np.argsort(-scores[real], kind="stable")][:count]
    return (ids[order], scores[order], boxes[order], *(output[order] for output in outputs[3:]))


class Differences(NamedTuple):
    """The largest ones between two networks; ``features`` in standard deviations of the judge's map."""
    features: float
    counts: Tuple[int, int]
    same_classes: bool
    boxes: float
    scores: float
    masks: float


def compare(ours, judge, x, count=100):
    """Run both on ``x`` and compare their maps and their ``count`` best detections with an area."""
    maps = [m.asnumpy() for m in ours.backbone(mx.nd.array(x))]
    wanted_maps = feature_maps(judge, x)
    assert [m.shape for m in maps] == [m.shape for m in wanted_maps]
    features = max(abs(got - wanted).max() / wanted.std() for got, wanted in zip(maps, wanted_maps))
    found, wanted = best(ours(mx.nd.array(x)), count), detections(judge, x, count)
    counts = len(found[0]), len(wanted[0])
    if counts[0] != counts[1]:
        return Differences(features, counts, False, np.inf, np.inf, np.inf)
    scores, boxes, *masks = (float(abs(got - want).max()) for got, want in zip(found[1:], wanted[1:]))
    return Differences(features, counts, bool((found[0] == wanted[0]).all()), boxes, scores, max(masks, default=0.0))


def proposals(net, x):
    """Its proposals (R, 4), those that are not padding."""
    maps = net.features(mx.nd.array(x))
    rois = net.rpn(mx.nd.zeros(x.shape), *(maps if isinstance(maps, (list, tuple)) else [maps]))[1][0].asnumpy()
    return rois[rois[:, 2] > rois[:, 0]]


def _pyramid_without_negative_batch_index(self, F, features, rois, *args, **kwargs):
    """GluonCV's own method, with another RoIAlign.

    It gives the RoIs of other levels the batch index -1. MXNet's CPU operator then leaves their part of the output
    uninitialised, and zeroes a part of another RoI; the GPU's gives zeros, which is what was meant.
    """
    def roi_align(data, rois, *args, **kwargs):
        elsewhere = F.broadcast_like(F.slice_axis(rois, axis=1, begin=0, end=1) < 0, rois)
        far = F.concat(F.zeros_like(F.slice_axis(rois, axis=1, begin=0, end=1)),
                       F.ones_like(F.slice_axis(rois, axis=1, begin=1, end=5)) * FAR, dim=1)
        return F.contrib.ROIAlign(data, F.where(elsewhere, far, rois), *args, **kwargs)

    corrected = types.SimpleNamespace(**{**vars(F), "contrib": types.SimpleNamespace(
        **{**vars(F.contrib), "ROIAlign": roi_align})})
    return type(self)._pyramid_roi_feats(self, corrected, features, rois, *args, **kwargs)
