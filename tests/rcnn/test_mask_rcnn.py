from gluonnorm.errors import InputError
from gluonnorm.nn import NORM_NAMES
from gluonnorm.rcnn import MaskRCNN

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import HybridBlock, SymbolBlock
from reference.detector import align, detector
from tiny_detector import images, tiny_detector

KINDS = ("mask_fpn", "mask_c4")
ROWS = {"max_detections": 70}  # 20 RoIs of 3 classes: padding is certain

pytestmark = pytest.mark.filterwarnings("ignore:Caution using SyncBatchNorm")


@pytest.fixture(scope="module", params=KINDS)
def net(request):
    return tiny_detector(request.param, **ROWS)


def run(net, x, hybrid=False):
    net.hybridize(hybrid)
    return [array.asnumpy() for array in net(x)]


def assert_same(first, second):
    assert len(first) == len(second) == 4
    for one, other, tolerance in zip(first, second, (0, 1e-4, 1e-3, 1e-3)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=tolerance)


def masks_by_hand(net, features, ids, boxes):
    """The mask head on each detection's own RoI: (D, M, M), zeros for padding."""
    found = np.flatnonzero(ids[:, 0] >= 0)
    pooled = mx.nd.array(
        [align(net, features, boxes[row].astype(float), net.config.mask_roi_size) for row in found]
    )
    logits = net.mask_head(net.box_head.shared(pooled)).asnumpy()
    masks = np.zeros((len(ids), *logits.shape[2:]))
    for row, maps in zip(found, logits):
        masks[row] = 1 / (1 + np.exp(-maps[int(ids[row, 0])]))
    return masks


@pytest.mark.parametrize(
    "size,settings",
    [
        ((64, 96), {}),
        ((50, 70), {}),
        ((50, 70), {"convention": "torchvision", "roi_sample_ratio": 0}),
        ((64, 96), {"convention": "gluoncv", "mask_roi_size": 6}),
        ((50, 70), {"convention": "detectron"}),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_detections_and_their_masks_equal_loops(kind, size, settings):
    net, x = tiny_detector(kind, **ROWS, **settings), images(1, *size)
    ids, scores, boxes, masks = (array[0] for array in run(net, x))
    wanted, features = detector(net, x)
    for got, want in zip((ids, scores, boxes), wanted):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)
    side = net.config.mask_roi_size * (
        2 if kind == "mask_fpn" else 1
    )  # res5 halves what the deconvolution doubles
    assert masks.shape == (70, side, side) and (ids >= 0).sum() > 3
    by_hand = masks_by_hand(net, features, ids, boxes)
    np.testing.assert_allclose(masks, by_hand, rtol=1e-3, atol=1e-4)
    assert by_hand[ids[:, 0] >= 0].std() > 0.02


def test_padding_has_no_mask_and_masks_lie_between_0_and_1(net):
    ids, _, boxes, masks = run(net, images(2))
    padding = ids[..., 0] < 0
    assert padding.any() and not padding.all() and net.has_masks
    assert (masks[padding] == 0).all() and (boxes[padding] == -1).all()
    assert (masks[~padding] > 0).all() and (masks[~padding] < 1).all()


def test_without_any_detection_all_masks_are_zero(net):
    threshold = net.config.score_thresh
    net.configure(score_thresh=1.0)
    ids, _, _, masks = run(net, images(2))
    net.configure(score_thresh=threshold)
    assert (ids == -1).all() and masks.shape[:2] == (2, 70) and (masks == 0).all()


def test_the_mask_head_sees_the_final_detections_only(net):
    seen = []
    handle = net.mask_head.register_forward_hook(
        lambda block, inputs, output: seen.append(inputs[0].shape[0])
    )
    run(net, images(2))
    handle.detach()
    assert seen == [2 * 70]


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
    apart = [run(net, x[b : b + 1]) for b in range(2)]
    assert np.abs(apart[0][3] - apart[1][3]).max() > 0.05
    assert_same(run(net, x), [np.concatenate(pair) for pair in zip(*apart)])


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_norm(kind, norm):
    net, x = tiny_detector(kind, norm=norm, head_norm=norm, **ROWS), images(1, 50, 70)
    result = run(net, x)
    assert [array.shape[:2] for array in result] == [(1, 70)] * 4 and (result[0] >= 0).any()
    assert np.isfinite(result[3]).all()
    assert ("mask_head.convs.0.norm.gamma" in net._collect_params_with_prefix()) == (
        kind == "mask_fpn"
    )
    assert_same(run(net, x, hybrid=True), result)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_are_those_of_faster_rcnn_and_the_mask_head(kind):
    names = set(tiny_detector(kind)._collect_params_with_prefix())
    of_boxes = set(tiny_detector(kind.replace("mask_", ""))._collect_params_with_prefix())
    assert of_boxes < names and all(name.startswith("mask_head.") for name in names - of_boxes)
    net = tiny_detector(kind)
    assert isinstance(net, MaskRCNN)
    assert net.mask_head.score.weight.shape == (3, 32, 1, 1)  # no background
    assert net.mask_head.deconv.weight.shape[0] == (32 if kind == "mask_fpn" else 512)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_graph_has_four_outputs_and_gives_the_same(kind, tmp_path):
    net, x = tiny_detector(kind, **ROWS), images(1)
    net.hybridize()
    wanted = {
        size: [array.asnumpy() for array in net(images(1, *size))] for size in ((64, 96), (50, 70))
    }
    HybridBlock.export(net, str(tmp_path / "net"), epoch=0)
    again = SymbolBlock.imports(
        str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    )
    for size, arrays in wanted.items():
        assert_same([array.asnumpy() for array in again(images(1, *size))], arrays)
    assert (again(x)[3].asnumpy() > 0).any()


def test_other_settings_of_the_masks_are_shapes_of_weights(net):
    channels = net.config.mask_channels
    with pytest.raises(
        InputError, match=f"mask_channels is {channels} and would be 64: widths, RoI size and"
    ):
        net.configure(mask_channels=64)
