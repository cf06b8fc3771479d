from dataclasses import asdict, replace

from gluonnorm.errors import InputError
from gluonnorm.ops.boxes import image_extent
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD

import mxnet as mx
import numpy as np
import pytest
from reference.detector import detector, padded
from tiny_detector import CLASSES, images, tiny_detector

KINDS = ("fpn", "c4")


@pytest.fixture(scope="module", params=KINDS)
def net(request):
    return tiny_detector(
        request.param, max_detections=70
    )  # 20 RoIs of 3 classes: padding is certain


def run(net, x, hybrid=False):
    net.hybridize(hybrid)
    return [array.asnumpy() for array in net(x)]


def assert_same(first, second):
    for one, other in zip(first, second):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [(64, 96), (50, 70)])
def test_equals_a_detector_of_loops(net, size):
    """Features are those of the padded image, and boxes end at the image itself."""
    x = images(2, *size)
    result = run(net, x)
    for b in range(2):
        wanted, _ = detector(net, x[b : b + 1])
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
    apart = [run(net, x[b : b + 1]) for b in range(2)]
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
    with pytest.raises(InputError, match="no setting 'score_tresh'; did you mean .*score_thresh"):
        net.configure(score_tresh=0.5)
    with pytest.raises(InputError, match="nms_thresh is 2; it must be a number in 0..1"):
        net.configure(nms_thresh=2)
    channels = net.config.rpn_channels
    with pytest.raises(
        InputError,
        match=f"^rpn_channels is {channels} and would be 7: widths, RoI size and number of anchors",
    ):
        net.configure(nms_thresh=0.5, rpn_channels=7)
    with pytest.raises(InputError, match=r"^anchor_ratios is .* and would be \(1\.0,\): widths"):
        net.configure(anchor_ratios=(1.0,))
    # The layers would learn on, and the description of the network say otherwise.
    with pytest.raises(InputError, match=r"freeze_at is None and would be 3.*backbone\.freeze_at"):
        net.configure(freeze_at=3)
    net.configure(freeze_at=None, nms_thresh=0.5)


def test_padding_by_hand_changes_the_limits_of_boxes_only(net):
    """The network pads as is done by hand here; only the boxes that reach over the edge differ."""
    x = images(1, 50, 70)
    ids, _, boxes = run(net, x)
    features = net.backbone(mx.nd.array(padded(x.asnumpy(), net.preprocess.multiple)))
    for got, want in zip(net._feature_maps(mx.nd, x).features, features):
        np.testing.assert_array_equal(got.asnumpy(), want.asnumpy())
    found = boxes[ids[..., 0] >= 0]
    assert (found <= [70, 50, 70, 50]).all() and (found == [70, 50, 70, 50]).any()
    whole = run(
        net, mx.nd.array(padded(x.asnumpy(), net.preprocess.multiple))
    )  # a larger image: boxes reach further
    assert (whole[2][..., 2] > 70).any() or (whole[2][..., 3] > 50).any()


@pytest.mark.parametrize(
    "settings,color",
    [
        ({}, (0, 0, 0)),
        ({"normalize": False}, IMAGENET_MEAN),
        ({"normalize": False, "order": "BGR"}, IMAGENET_MEAN[::-1]),
    ],
)
def test_padding_has_the_mean_color_as_the_network_sees_it(settings, color):
    net = tiny_detector("c4", **settings)
    x = mx.nd.ones((1, 3, 17, 20)) * 7
    maps = net._feature_maps(mx.nd, x)
    assert maps.padded.shape == (1, 3, 32, 32)
    assert [side.asscalar() for side in image_extent(mx.nd, x)] == [17, 20]
    for channel, value in zip(maps.padded.asnumpy()[0], color):
        assert (channel[:17, :20] == 7).all()
        np.testing.assert_allclose(channel[17:], value, rtol=1e-6)
        np.testing.assert_allclose(channel[:, 20:], value, rtol=1e-6)


@pytest.mark.parametrize("multiple", [1, 64])
def test_the_multiple_can_be_set(multiple):
    net = tiny_detector("fpn", multiple=multiple, max_detections=70)
    assert net.preprocess.multiple == multiple
    x = images(1, 50, 70)
    wanted, _ = detector(net, x)
    assert net._feature_maps(mx.nd, x).padded.shape[2:] == (
        (50, 70) if multiple == 1 else (64, 128)
    )
    assert_same([array[0] for array in run(net, x)], wanted)


def test_what_a_network_says_of_itself(net):
    assert net.classes == CLASSES and net.config is net.spec.config and not net.has_masks
    preprocess = net.preprocess
    assert preprocess.multiple == (16 if len(net.backbone.strides) == 1 else 32)
    assert preprocess.short == (800,) and preprocess.max_size == 1333 and preprocess.normalize
    assert (preprocess.mean, preprocess.std, preprocess.order) == (
        IMAGENET_MEAN,
        IMAGENET_STD,
        "RGB",
    )


def test_the_input_is_as_configured():
    settings = {
        "short": (480, 640),
        "max_size": 900,
        "mean": (1.0, 2.0, 3.0),
        "std": (4.0, 5.0, 6.0),
        "order": "BGR",
        "resize": "antialias",
        "rounding": "floor",
        "multiple": 8,
        "normalize": True,
    }
    expected = {**settings, "inclusive": False}
    assert asdict(tiny_detector("c4", **settings).preprocess) == expected
    inclusive = tiny_detector("c4", convention="detectron", **settings)
    assert asdict(inclusive.preprocess) == {**settings, "inclusive": True}


@pytest.mark.parametrize(
    "rescale,normalize,wanted",
    [
        (None, None, True),
        ("denormalize", None, True),
        ("normalize", None, False),
        (None, False, False),
    ],
)
def test_who_normalizes(rescale, normalize, wanted):
    assert tiny_detector("fpn", rescale=rescale, normalize=normalize).preprocess.normalize == wanted


def test_anchor_sizes_must_fit_the_maps(net):
    levels = len(net.backbone.strides)
    spec = replace(net.spec, config=net.config.override(anchor_sizes=((8,), (16,))))
    with pytest.raises(
        InputError, match=f"anchor_sizes has 2 levels, the backbone gives {levels} maps"
    ):
        FasterRCNN(net.backbone, net.rpn, net.box_head, spec)
