"""What GluonCV's demo, evaluation and fine-tuning call, in our own words, on small networks.

docs/from_gluoncv.md says which lines of its programs change."""

import model_zoo
from gluonnorm.data import GluonCVDataset
from gluonnorm.rcnn import RPNTargetBatchify

import gluoncv
import matplotlib
import mxnet as mx
import numpy as np
import pytest
from gluoncv.data import batchify
from gluoncv.data.transforms.presets import rcnn
from gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel import ForwardBackwardTask
from gluoncv.utils.metrics.voc_detection import VOC07MApMetric
from PIL import Image
from tiny_detector import ANCHOR_SIZES, SETTINGS, tiny_detector

CLASSES = ("disc", "square", "star")


class Pictures(mx.gluon.data.Dataset):
    """Four pictures with a bright square, labeled as GluonCV's data sets do."""

    CLASSES = list(CLASSES)
    classes = list(CLASSES)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        height, width = ((60, 90), (90, 60))[index % 2]
        pixels = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
        x, y = rng.integers(4, 20, 2)
        pixels[y : y + 30, x : x + 30] = 230
        label = np.array([[x, y, x + 30, y + 30, 1, 0]], np.float32)
        return mx.nd.array(pixels, dtype="uint8"), label


@pytest.fixture(params=["c4", "fpn"])
def net(request):
    return tiny_detector(request.param, norm="gn", short=64, max_size=96)


def test_the_calls_of_the_demo(net, tmp_path):
    matplotlib.use("Agg")
    path, weights = str(tmp_path / "photo.png"), str(tmp_path / "net.params")
    Image.fromarray(Pictures()[0][0].asnumpy()).save(path)
    net.save_parameters(weights)
    net.load_parameters(weights)
    net.set_nms(0.3, 200)
    net.collect_params().reset_ctx(ctx=[mx.cpu()])
    x, picture = rcnn.load_test(path, short=net.short, max_size=net.max_size)
    ids, scores, boxes = (array[0].asnumpy() for array in net(x.as_in_context(mx.cpu())))
    assert ids.shape == scores.shape == (100, 1) and boxes.shape == (100, 4)
    axes = gluoncv.utils.viz.plot_bbox(
        picture, boxes, scores, ids, thresh=0.0, class_names=net.classes
    )
    assert len(axes.patches) == (scores >= 0).sum() > 0


def test_the_calls_of_the_evaluation(net):
    """A network that returns the ground truth scores 1; the metric reads its padding as none."""
    net.hybridize(static_alloc=True)
    parts = batchify.Tuple(*[batchify.Append() for _ in range(3)])
    pictures = Pictures().transform(rcnn.FasterRCNNDefaultValTransform(net.short, net.max_size))
    loader = mx.gluon.data.DataLoader(pictures, 1, False, batchify_fn=parts, last_batch="keep")
    clipper = gluoncv.nn.bbox.BBoxClipToImage()
    metrics = [VOC07MApMetric(iou_thresh=0.5, class_names=net.classes) for _ in range(2)]
    for (x,), (label,), (scale,) in loader:
        ids, scores, boxes = net(x)
        clipped = clipper(boxes, x)
        is_detection = (ids >= 0).asnumpy()[0, :, 0] == 1
        assert is_detection.any() and not is_detection.all()
        np.testing.assert_array_equal(
            clipped.asnumpy()[0][is_detection], boxes.asnumpy()[0][is_detection]
        )
        factor = scale.reshape(-1).asscalar()
        truth = [label[:, :, :4] * factor, label[:, :, 4:5], label[:, :, 5:6]]
        metrics[0].update(clipped * factor, ids, scores, *truth)
        # The same rows, but the first detection is the ground truth.
        ids[:, 0], scores[:, 0], clipped[:, 0] = 1, 1, label[:, 0, :4]
        metrics[1].update(clipped * factor, ids, scores, *truth)
    assert 0 <= metrics[0].get()[1][-1] < 1
    names, values = metrics[1].get()
    assert names[-1] == "mAP" and values[1] == pytest.approx(1)


def test_the_calls_of_the_fine_tuning(tmp_path):
    """From a trained file by ``transfer``, through GluonCV's loop, to a file that opens again."""
    settings = {**SETTINGS, "anchor_sizes": ANCHOR_SIZES["c4"], "short": 64, "max_size": 96}
    source = model_zoo.get_model("mask_rcnn_resnet18_v1b_coco", norm="gn", **settings)
    source.save_parameters(str(tmp_path / "coco.params"))

    net = tiny_detector("c4", classes=("square", "bird"), norm="gn", short=64, max_size=96)
    net.reset_class(list(CLASSES), reuse_weights=[name for name in CLASSES if name in net.classes])
    loader = mx.gluon.data.DataLoader(
        Pictures().transform(rcnn.FasterRCNNDefaultTrainTransform(net.short, net.max_size)),
        2,
        shuffle=True,
        batchify_fn=RPNTargetBatchify(net),
        last_batch="rollover",
        num_workers=0,
    )
    net.collect_params().reset_ctx([mx.cpu()])
    net.collect_params().setattr("grad_req", "null")
    net.collect_train_params().setattr("grad_req", "write")
    trainer = mx.gluon.Trainer(
        net.collect_train_params(), "sgd", {"learning_rate": 0.001, "wd": 5e-4, "momentum": 0.9}
    )
    losses = mx.gluon.loss
    task = ForwardBackwardTask(
        net,
        trainer,
        losses.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
        losses.HuberLoss(rho=1 / 9.0),
        losses.SoftmaxCrossEntropyLoss(),
        losses.HuberLoss(),
        mix_ratio=1.0,
        amp_enabled=False,
    )
    before = net.rpn.conv.weight.data().asnumpy()
    for pictures, labels, *targets in loader:
        assert pictures.shape[0] == 2
        result = task.forward_backward((pictures, labels, *(part[0] for part in targets)))
        trainer.step(2)
        assert all(np.isfinite(part.asscalar()) for part in result[:4])
    assert np.abs(net.rpn.conv.weight.data().asnumpy() - before).max() > 0
    path = str(tmp_path / "tuned.params")
    net.save_parameters(path)
    again = tiny_detector("c4", norm="gn")
    again.load_parameters(path)
    x = mx.nd.zeros((1, 3, 64, 96))
    for array, wanted in zip(again(x), net(x)):
        np.testing.assert_allclose(array.asnumpy(), wanted.asnumpy(), rtol=1e-4, atol=1e-3)


def test_a_data_set_for_gluoncv_serves_our_loader_too():
    dataset = GluonCVDataset(Pictures())
    assert len(dataset) == 4 and tuple(dataset.classes) == CLASSES
