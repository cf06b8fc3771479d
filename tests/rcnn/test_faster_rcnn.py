from dataclasses import replace

from gluonnorm.rcnn import FasterRCNN
from gluonnorm.rcnn.anchors import pyramid_anchors

import mxnet as mx
import numpy as np
import pytest
import reference.boxes as slow
from reference.nms import per_class_nms
from reference.proposals import propose
from reference.roi_align import pyramid_level, roi_align
from tiny_detector import CLASSES, images, tiny_detector

KINDS = ("fpn", "c4")


@pytest.fixture(scope="module", params=KINDS)
def net(request):
    return tiny_detector(request.param, max_detections=70)  # 20 RoIs of 3 classes: padding is certain


def run(net, x, hybrid=False):
    net.hybridize(hybrid)
    return [array.asnumpy() for array in net(x)]


def assert_same(first, second):
    for one, other in zip(first, second):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def slow_detector(net, image):
    """Ids, scores and boxes of one image: what has weights is the network's own, the rest a loop."""
    config, extent, classes = net.config, image.shape[2:], len(net.classes)
    features = net.backbone(image)
    logits, deltas = net.rpn.over(features)
    anchors = pyramid_anchors(mx.nd, features, net.backbone.strides, config.anchor_sizes, config.anchor_ratios)
    rois, scores = propose([level.asnumpy()[0] for level in logits], [level.asnumpy()[0] for level in deltas],
                           [level.asnumpy() for level in anchors], extent, config.rpn_test_pre_nms,
                           config.rpn_test_post_nms, config.rpn_nms_thresh, config.rpn_min_size)
    rois = rois[scores >= 0]
    strides = [stride for stride in net.backbone.strides if stride <= 32]
    lowest = int(np.log2(strides[0]))
    pooled = []
    for roi in rois:
        level = pyramid_level(roi, lowest, lowest + len(strides) - 1) - lowest
        pooled.append(roi_align(features[level].asnumpy()[0], roi, strides[level], config.roi_size, 2))
    logits, deltas = (array.asnumpy() for array in net.predictor(net.box_head(mx.nd.array(pooled))))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    boxes = [[slow.clip(slow.decode(delta, roi, config.box_stds), *extent) for delta in row.reshape(classes, 4)]
             for row, roi in zip(deltas, rois)]
    return per_class_nms(chances[:, 1:], np.array(boxes), config.nms_thresh, config.score_thresh,
                         config.max_detections)


def test_equals_a_detector_of_loops(net):
    x = images(2)
    result = run(net, x)
    for b in range(2):
        wanted = slow_detector(net, x[b:b + 1])
        assert 5 < (wanted[0] >= 0).sum() < 60
        assert_same([array[b] for array in result], wanted)


def test_rows_are_sorted_inside_the_image_and_padded(net):
    ids, scores, boxes = run(net, images(2))
    assert ids.shape == scores.shape == (2, 70, 1) and boxes.shape == (2, 70, 4)
    padding = ids[..., 0] < 0
    assert padding.any() and not padding.all()
    for array in (ids, scores, boxes):
        assert (array[padding] == -1).all()
    assert (np.diff(padding.astype(int), axis=1) >= 0).all()  # padding comes last
    assert (np.diff(scores[..., 0], axis=1) <= 0).all()
    assert set(ids[~padding].ravel()) <= {0, 1, 2}
    assert (scores[~padding] > net.config.score_thresh).all() and (scores <= 1).all()
    assert (boxes[~padding] >= 0).all() and (boxes[~padding] <= [96, 64, 96, 64]).all()


def test_hybrid_equals_imperative_at_any_size(net):
    for size in ((64, 96), (33, 50), (128, 70)):  # the graph is traced at the first
        x = images(2, *size)
        wanted = run(net, x)
        assert (wanted[0] >= 0).any()
        if size == (64, 96):
            net.hybridize()
        assert_same(run(net, x, hybrid=True), wanted)


def test_batch_of_two_equals_two_batches_of_one(net):
    x = images(2)
    together = run(net, x)
    apart = [run(net, x[b:b + 1]) for b in range(2)]
    assert np.abs(apart[0][2] - apart[1][2]).max() > 1
    assert_same(together, [np.concatenate(pair) for pair in zip(*apart)])


def test_configure_reaches_a_hybridized_network():
    net = tiny_detector("fpn")
    x = images()
    before = run(net, x, hybrid=True)
    threshold = float(np.median(before[1][before[1] >= 0]))
    net.configure(score_thresh=threshold)
    after = [array.asnumpy() for array in net(x)]
    kept = int((before[1] > threshold).sum())
    assert 0 < kept < (before[1] >= 0).sum()
    for old, new in zip(before, after):
        np.testing.assert_allclose(new[0, :kept], old[0, :kept], rtol=1e-5)
        assert (new[0, kept:] == -1).all()
    assert net.spec.config.score_thresh == threshold
    with pytest.raises(TypeError, match="no option 'score_tresh'; nearest: score_thresh"):
        net.configure(score_tresh=0.5)
    with pytest.raises(ValueError, match="rpn_channels: widths, RoI size and number of anchors are those of the"):
        net.configure(rpn_channels=7)


def test_what_a_network_says_of_itself(net):
    assert net.classes == CLASSES and net.config is net.spec.config
    assert net.stride == (16 if len(net.backbone.strides) == 1 else 32)
    assert net.preprocess.short == (800,) and net.preprocess.max_size == 1333 and net.preprocess.normalize


@pytest.mark.parametrize("rescale,normalize,wanted", [(None, None, True), ("denormalize", None, True),
                                                      ("normalize", None, False), (None, False, False)])
def test_who_normalizes(rescale, normalize, wanted):
    assert tiny_detector("fpn", rescale=rescale, normalize=normalize).preprocess.normalize == wanted


def test_anchor_sizes_must_fit_the_maps(net):
    levels = len(net.backbone.strides)
    spec = replace(net.spec, config=net.config.override(anchor_sizes=((8,), (16,))))
    with pytest.raises(ValueError, match=f"anchor_sizes has 2 levels, the backbone gives {levels} maps"):
        FasterRCNN(net.backbone, net.rpn, net.box_head, spec)
