"""GluonCV's detectors on its MobileNet and ResNeSt: trained two steps, exported, and served."""

import model_zoo
from gluonnorm import deploy, training
from gluonnorm.rcnn import make_loss

import mxnet as mx
import numpy as np
import pytest

SMALL = {
    "short": 64,
    "max_size": 96,
    "fpn_channels": 16,
    "rpn_channels": 16,
    "roi_size": 4,
    "mask_roi_size": 4,
    "mask_channels": 16,
    "rpn_train_post_nms": 20,
    "rpn_test_post_nms": 20,
    "num_sample": 8,
    "score_thresh": 0.0,
    "freeze_at": 0,
}

pytestmark = pytest.mark.filterwarnings("ignore:Caution using SyncBatchNorm")


@pytest.mark.parametrize(
    "name",
    [
        "mask_rcnn_fpn_syncbn_mobilenet1_0_coco",
        pytest.param("faster_rcnn_fpn_syncbn_resnest50_coco", marks=pytest.mark.slow),
    ],
)
def test_a_row_learns_and_its_export_detects_the_same(name, tmp_path):
    mx.random.seed(5)
    np.random.seed(5)
    net = model_zoo.get_model(name, classes=("red", "white"), **SMALL)
    loss = make_loss(net)
    loss.hybridize()
    learning = training.trainable_parameters(net)
    trainer = mx.gluon.Trainer(learning, "sgd", {"learning_rate": 1e-4})
    images = mx.nd.random.normal(shape=(2, 3, 64, 96))
    ground_truth = [mx.nd.array([[[8, 8, 40, 50]]] * 2), mx.nd.array([[1], [0]])]
    if net.has_masks:
        ground_truth.append(mx.nd.ones((2, 1, 28, 28)))
    before = learning[0].data().asnumpy()
    for _ in range(2):
        with mx.autograd.record():
            losses = loss(images, *ground_truth)
            total = mx.nd.add_n(*losses)
        total.backward()
        trainer.step(2)
        assert np.isfinite(total.asnumpy()).all()
    assert np.abs(learning[0].data().asnumpy() - before).max() > 0

    deploy.export(net, str(tmp_path / "net"))
    photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    detections = deploy.Predictor(str(tmp_path / "net"))(photo)
    wanted = deploy.Predictor.from_network(net)(photo)
    assert len(detections.boxes) == len(wanted.boxes) > 0
    np.testing.assert_allclose(detections.scores, wanted.scores, rtol=1e-3)
    np.testing.assert_allclose(detections.boxes, wanted.boxes, atol=0.05)
    assert (detections.masks is not None) == net.has_masks
