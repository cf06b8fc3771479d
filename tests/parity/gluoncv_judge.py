"""GluonCV's own detectors with seeded weights, the reference ("judge") of the parity tests.

On a CPU, GluonCV's feature pyramids read uninitialized memory. The networks built here have a
correction of that one call, see ``_pyramid_without_negative_batch_index``.
"""

import contextlib
import re
import types
import zlib
from typing import NamedTuple, Tuple

import mxnet as mx
import numpy as np
from gluoncv import data, model_zoo
from gluoncv.model_zoo.rcnn.faster_rcnn.faster_rcnn import custom_faster_rcnn_fpn
from gluoncv.model_zoo.rcnn.mask_rcnn import custom_mask_rcnn_fpn

# What the caller of GluonCV's custom_* functions must give: the numbers of its named models.
PYRAMID_NUMBERS = {
    "short": 800,
    "max_size": 1333,
    "min_stage": 2,
    "max_stage": 6,
    "nms_thresh": 0.5,
    "nms_topk": -1,
    "post_nms": -1,
    "roi_size": (14, 14),
    "strides": (4, 8, 16, 32, 64),
    "rpn_channel": 1024,
    "scales": (2, 4, 8, 16, 32),
    "alloc_size": (384, 384),
    "rpn_test_post_nms": 1000,
    "rpn_min_size": 1,
    "num_sample": 512,
}
FAR_AWAY = -1e4  # pixels; a RoI at this coordinate samples only zeros

# Factors on the standard deviation of some weights. They give all pyramid levels a similar
# magnitude, proposals all sizes, and scores enough distance from each other.
SCALES = (
    ("P2_conv1", 0.2),
    ("P3_conv1", 0.3),
    ("P4_conv1", 0.5),
    ("box_predictor", 0.3),
    ("rpn.rpn_head.loc", 0.2),
    ("rpn.loc", 0.2),
)

# The last convolution of a bottleneck block; a basic block has only two.
THIRD_CONVOLUTION = re.compile(r"layer(s1_conv4|1\.1\.conv3)|features\.4\.1\.conv3")
NUMBERED_GAMMA = re.compile(r"layers\d_(?:sync)?batchnorm(\d+)_gamma")


@contextlib.contextmanager
def coco_classes(classes):
    """Replace the classes of GluonCV's COCO and VOC data sets for a while.

    GluonCV's named models take their classes from these data sets.
    """
    datasets = (data.COCODetection, data.VOCDetection)
    original_classes = [dataset.CLASSES for dataset in datasets]
    try:
        for dataset in datasets:
            dataset.CLASSES = list(classes)
        yield
    finally:
        for dataset, names in zip(datasets, original_classes):
            dataset.CLASSES = names


def custom_detector(name, classes, base_network_name=None, **settings):
    """Make a detector of GluonCV whose backbone the caller chooses.

    GluonCV's ``get_model("custom_faster_rcnn_fpn")`` is the function of its double head, which has
    the same name and cannot run, so its Faster R-CNN's own function is called.
    """
    settings = {**PYRAMID_NUMBERS, **settings}
    if base_network_name is not None:
        settings["base_network_name"] = base_network_name
    if name == "custom_faster_rcnn_fpn":
        return custom_faster_rcnn_fpn(classes, pretrained_base=False, clip=4.14, **settings)
    return custom_mask_rcnn_fpn(
        classes, pretrained_base=False, clip=4.42, target_roi_scale=2, num_fcn_convs=4, **settings
    )


def build(name, classes, post_nms=None, salt=0, **settings):
    """Build a GluonCV detector with seeded weights.

    Parameters
    ----------
    name : str
        Name of the model in GluonCV.
    classes : sequence of str
        Names of the classes.
    post_nms : int, optional
        Proposals an image in inference. None keeps GluonCV's number.
    salt : int
        Seed of the weights.
    **settings
        Arguments of GluonCV's function for a ``custom_*`` model.

    Returns
    -------
    gluoncv detector
        The network, ready to run on the CPU.
    """
    # A new name manager counts networks from 0, as in a process that makes only this one.
    with coco_classes(classes), mx.name.NameManager():
        if name.startswith("custom_"):
            net = custom_detector(name, classes, **settings)
        else:
            custom = {"classes": classes} if name.endswith("_custom") else {}
            net = model_zoo.get_model(name, pretrained=False, pretrained_base=False, **custom)
    if post_nms is not None:
        limit_outputs(net, proposal_count=post_nms, mask_count=2 * post_nms)
    net.initialize()
    net._pyramid_roi_feats = types.MethodType(_pyramid_without_negative_batch_index, net)
    infer_shapes(net)
    seed_parameters(net, salt)
    balance_classes(net, sample_image(160, 224, salt))
    return net


def limit_outputs(net, proposal_count, mask_count):
    """Set how many proposals an image are kept in inference, and how many boxes get a mask."""
    net._rpn_test_post_nms = proposal_count
    net.rpn._test_post_nms = proposal_count
    if hasattr(net, "_rcnn_max_dets"):
        net._rcnn_max_dets = mask_count


def infer_shapes(net):
    """Infer deferred shapes by one run, on an image so small that it has few anchors."""
    proposal_count = net._rpn_test_post_nms
    mask_count = getattr(net, "_rcnn_max_dets", 0)
    limit_outputs(net, proposal_count=8, mask_count=8)
    net(mx.nd.zeros((1, 3, 64, 96)))[0].wait_to_read()
    limit_outputs(net, proposal_count, mask_count)


def seed_parameters(net, salt):
    """Fill every parameter except anchors and constants, each from its own generator."""
    parameters = net._collect_params_with_prefix()
    has_bottlenecks = any(THIRD_CONVOLUTION.search(name) for name in parameters)
    norms_per_block = 3 if has_bottlenecks else 2
    # Else activations grow from block to block, and the scores of proposals all become 1.
    if any("resnest_" in name for name in parameters):
        norms_per_block = 4
    for name, parameter in parameters.items():
        if not name.endswith(("anchors", "means", "stds")):
            array = seeded_array(name, parameter.shape, salt, norms_per_block)
            parameter.set_data(mx.nd.array(array))


def balance_classes(net, image):
    """Rescale the class scores, so that no class wins everywhere on an image like ``image``."""
    score_batches = []

    def keep_scores(block, inputs, output):
        """Keep the output of the class predictor."""
        score_batches.append(output.asnumpy())

    hook = net.class_predictor.register_forward_hook(keep_scores)
    net(mx.nd.array(image))[0].wait_to_read()
    hook.detach()

    scores = score_batches[0]
    scale = 2 / scores.std(axis=0).mean()
    weight = net.class_predictor.weight
    bias = net.class_predictor.bias
    bias.set_data((bias.data() - mx.nd.array(scores.mean(axis=0))) * scale)
    weight.set_data(weight.data() * scale)


def seeded_array(name, shape, salt=0, norms_per_block=3):
    """Draw the array of one parameter from a generator that is seeded by the parameter's name.

    The scales keep activations within bounds through fifty layers, and the scores of RoIs apart.
    """
    rng = np.random.RandomState(zlib.crc32(f"{salt}:{name}".encode()) & 0x7FFFFFFF)
    if name.endswith("var"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith("mean"):
        return 0.1 * rng.randn(*shape)
    if name.endswith("gamma"):
        if _is_last_norm_of_block(name, norms_per_block):
            return rng.uniform(0.1, 0.3, shape)
        return rng.uniform(0.5, 1.0, shape)
    if len(shape) == 1:
        return 0.05 * rng.randn(*shape)

    array = np.sqrt(2 / np.prod(shape[1:])) * rng.randn(*shape)
    if len(shape) == 2:
        # All RoIs share a mean activation. Rows of mean 0 ignore it, so the RoIs' scores differ.
        array -= array.mean(axis=1, keepdims=True)
    for part, scale in SCALES:
        if part in name:
            return array * scale
    return array


def _is_last_norm_of_block(name, norms_per_block):
    """Tell whether a scale belongs to the norm that ends a residual branch."""
    numbered = NUMBERED_GAMMA.search(name)
    if numbered:
        return int(numbered.group(1)) % norms_per_block == norms_per_block - 1
    return f".bn{norms_per_block}." in name


def sample_image(height, width, salt=0):
    """Draw a smooth image with blocks, normalized: (1, 3, height, width) float32."""
    rng = np.random.RandomState(1000 + salt)
    rows, columns = np.mgrid[:height, :width]
    channels = []
    for _ in range(3):
        down = np.sin(rng.uniform(0.01, 0.06) * rows + rng.uniform(0, 6))
        across = np.cos(rng.uniform(0.01, 0.06) * columns + rng.uniform(0, 6))
        channels.append(down + across)
    picture = np.stack(channels)
    for _ in range(12):
        block_height = rng.randint(height // 12, height // 2)
        block_width = rng.randint(width // 12, width // 2)
        top = rng.randint(0, height - block_height)
        left = rng.randint(0, width - block_width)
        block = picture[:, top : top + block_height, left : left + block_width]
        block += rng.uniform(-1.5, 1.5, (3, 1, 1))
    return picture[None].astype(np.float32)


def parameter_arrays(net):
    """Return ``{structural name: array}``, with the names that ``save_parameters`` writes."""
    parameters = net._collect_params_with_prefix()
    return {name: parameter.data().asnumpy() for name, parameter in parameters.items()}


def feature_maps(net, image):
    """Return the feature maps of a GluonCV detector, finest first, as NumPy arrays."""
    features = net.features(mx.nd.array(image))
    if not isinstance(features, (list, tuple)):
        features = [features]
    return [feature_map.asnumpy() for feature_map in features]


def detections(net, image, count=100):
    """Return the ``count`` best detections of a GluonCV detector over all classes.

    GluonCV returns a row for each class and proposal, class by class. Where too few proposals
    survive, it fills up with boxes whose corners are all -1, and runs its heads on them as well;
    ``best_detections`` drops them.

    Returns
    -------
    tuple of np.ndarray
        Ids, scores, boxes, and masks if the network has them.
    """
    return best_detections(net(mx.nd.array(image)), count)


def best_detections(outputs, count):
    """Return the ``count`` best rows of a network's output for one image, as NumPy arrays.

    Padding and boxes without an area are left out.
    """
    ids, scores, boxes, *masks = [output[0].asnumpy() for output in outputs]
    ids = ids[:, 0]
    scores = scores[:, 0]
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    rows = np.flatnonzero((scores > 0) & has_area)
    order = rows[np.argsort(-scores[rows], kind="stable")][:count]
    return (ids[order], scores[order], boxes[order], *(array[order] for array in masks))


class Differences(NamedTuple):
    """The largest differences between a network and GluonCV's.

    Attributes
    ----------
    features : float
        Of feature maps, in standard deviations of GluonCV's map.
    counts : tuple of int
        Numbers of detections: the network's and GluonCV's.
    class_count : int
        How many different classes the hundred best detections of GluonCV have.
    same_classes : bool
        Whether all detections have the same class.
    boxes : float
        Of box corners, in pixels; infinite if the counts differ.
    scores : float
        Of scores; infinite if the counts differ.
    masks : float
        Of mask cells; infinite if the counts differ, 0 without masks.
    """

    features: float
    counts: Tuple[int, int]
    class_count: int
    same_classes: bool
    boxes: float
    scores: float
    masks: float


def compare(network, judge, image, count=100):
    """Compare the feature maps and the ``count`` best detections of a network with GluonCV's.

    Parameters
    ----------
    network : mx.gluon.HybridBlock
        A detector of this package.
    judge : gluoncv detector
        GluonCV's detector with the same weights.
    image : np.ndarray
        (1, 3, H, W) float32, normalized.
    count : int
        How many detections are compared, at most 100.

    Returns
    -------
    Differences
        The largest differences.
    """
    features = feature_difference(network, judge, image)
    actual = best_detections(network(mx.nd.array(image)), count)
    hundred_best = detections(judge, image)
    class_count = len(set(hundred_best[0]))
    expected = [array[:count] for array in hundred_best]
    counts = (len(actual[0]), len(expected[0]))
    if counts[0] != counts[1]:
        return Differences(features, counts, class_count, False, np.inf, np.inf, np.inf)

    same_classes = bool((actual[0] == expected[0]).all())
    largest = []
    for actual_array, expected_array in zip(actual[1:], expected[1:]):
        largest.append(float(abs(actual_array - expected_array).max()))
    scores, boxes, *masks = largest
    return Differences(
        features, counts, class_count, same_classes, boxes, scores, max(masks, default=0.0)
    )


def feature_difference(network, judge, image):
    """Compare feature maps alone: the largest difference, in standard deviations of the judge's."""
    actual_maps = [array.asnumpy() for array in network.backbone(mx.nd.array(image))]
    expected_maps = feature_maps(judge, image)
    assert [array.shape for array in actual_maps] == [array.shape for array in expected_maps]
    differences = []
    for actual, expected in zip(actual_maps, expected_maps):
        differences.append(abs(actual - expected).max() / expected.std())
    return max(differences)


def _pyramid_without_negative_batch_index(self, F, features, rois, *args, **kwargs):
    """Run GluonCV's own ``_pyramid_roi_feats`` with a corrected RoIAlign.

    GluonCV gives the RoIs of other levels the batch index -1. For these, MXNet 1.9.1's CPU operator
    leaves the output uninitialized and zeroes a part of another RoI's. The GPU operator returns
    zeros, which GluonCV relies on. Here such a RoI is moved far away from the image instead, where
    it samples zeros on both.
    """

    def roi_align(data, rois, *args, **kwargs):
        """Pool RoIs; a RoI of batch index -1 gives zeros."""
        batch_index = F.slice_axis(rois, axis=1, begin=0, end=1)
        corners = F.slice_axis(rois, axis=1, begin=1, end=5)
        of_other_level = F.broadcast_like(batch_index < 0, rois)
        far_corners = F.ones_like(corners) * FAR_AWAY
        far_rois = F.concat(F.zeros_like(batch_index), far_corners, dim=1)
        moved = F.where(of_other_level, far_rois, rois)
        return F.contrib.ROIAlign(data, moved, *args, **kwargs)

    contrib = types.SimpleNamespace(**vars(F.contrib))
    contrib.ROIAlign = roi_align
    corrected = types.SimpleNamespace(**vars(F))
    corrected.contrib = contrib
    return type(self)._pyramid_roi_feats(self, corrected, features, rois, *args, **kwargs)
