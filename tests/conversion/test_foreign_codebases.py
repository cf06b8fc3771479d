"""Weights of programs that are no source are named as what they are, with what to do."""

import model_zoo
from gluonnorm import conversion
from gluonnorm.conversion import ConversionError, describe_foreign, load
from gluonnorm.errors import InputError

import mxnet as mx
import numpy as np
import pytest
from tiny_detector import tiny_detector

FILES = {
    "mmdetection": [
        "backbone.conv1.weight",
        "neck.lateral_convs.0.conv.weight",
        "rpn_head.rpn_conv.weight",
        "roi_head.bbox_head.fc_cls.weight",
    ],
    "mmdetection with a prefix": ["module.backbone.conv1.weight", "module.bbox_head.fc_cls.bias"],
    "maskrcnn-benchmark": [
        "module.backbone.body.stem.conv1.weight",
        "module.backbone.body.layer1.0.conv1.weight",
        "module.backbone.fpn.fpn_inner1.weight",
        "module.rpn.head.conv.weight",
        "module.roi_heads.box.feature_extractor.fc6.weight",
    ],
    "one-stage detector of torchvision": [
        "backbone.body.conv1.weight",
        "head.classification_head.cls_logits.weight",
    ],
    "on MobileNet": ["backbone.body.0.0.weight", "backbone.body.1.block.0.0.weight"],
    "YOLO": ["model.0.conv.weight", "model.1.cv1.conv.weight"],
    "DETR": ["transformer.encoder.layers.0.linear1.weight", "class_embed.weight"],
    "faster-rcnn.pytorch": ["RCNN_base.0.weight", "RCNN_rpn.RPN_Conv.weight"],
    "DETR or another": ["class_labels_classifier.weight", "model.query.weight"],
    "weights of YOLO": ["module_list.0.Conv2d.weight"],
    "YOLO with a prefix": ["model.head.cls_convs.0.0.conv.weight"],
    "SSD": ["vgg.0.weight", "loc.0.weight"],
    "SSD with the names of GluonCV": ["class_predictors.0.predictor.weight"],
    "RetinaNet": ["head.cls_score.weight", "backbone.bottom_up.res2.0.conv1.weight"],
    "RetinaNet with the names of Caffe2": ["retnet_cls_conv_n0_fpn3_w", "res2_0_branch1_w"],
    "EfficientDet": ["model.class_net.predict.conv_pw.weight"],
    "Keypoint R-CNN": ["backbone.body.conv1.weight", "roi_heads.keypoint_head.0.weight"],
    "Cascade R-CNN": ["backbone.bottom_up.stem.conv1.weight", "roi_heads.box_head.0.fc1.weight"],
    "simple-faster-rcnn-pytorch": ["extractor.0.weight", "head.cls_loc.weight"],
    "Keras": ["mrcnn_class_logits/kernel:0"],
    "Object Detection API": ["FirstStageFeatureExtractor/resnet_v1_50/conv1/weights"],
    "mx-rcnn": ["arg:rpn_conv_3x3_weight", "stage1_unit1_conv1_weight"],
    "Hugging Face": ["resnet.embedder.embedder.convolution.weight"],
    "export of this package": ["resnetv10_conv0_weight_folded1", "fpn0_convnorm0_conv0_bias"],
    "ChainerCV": ["extractor/conv1/conv/W", "rpn/conv1/W"],
    "Tensorpack": ["conv0/W", "group0/block0/conv1/W"],
    "PaddleDetection": ["backbone.conv1.conv.weight", "backbone.conv1.norm._mean"],
    "collect_params": ["arg:fasterrcnn0_rpn0_conv0_weight", "fasterrcnn0_dense0_bias"],
    "export": ["resnetv1b_conv0_weight", "maskrcnn0_rpn0_rpnhead0_conv0_weight"],
}


@pytest.fixture(scope="module")
def net():
    return tiny_detector("fpn")


@pytest.mark.parametrize("program", FILES)
@pytest.mark.parametrize("source", ["torchvision", "gluoncv", "detectron2"])
def test_a_file_is_named_as_what_it_is(net, program, source):
    arrays = {name: np.ones((4, 4), np.float32) for name in FILES[program]}
    with pytest.raises(ConversionError) as caught:
        load(net, arrays, source)
    message = str(caught.value)
    assert program.split(" with")[0] in message and "\n" not in message
    # It says what to do, and does not list arrays that are missing.
    assert "missing" not in message
    assert any(advice in message for advice in ("give", "take", "net.save_parameters"))


@pytest.mark.parametrize("source", ["torchvision", "gluoncv"])
@pytest.mark.parametrize("kind", ["fpn", "mask_fpn", "c4"])
def test_files_of_a_source_are_none_of_these(source, kind):
    convention = {"gluoncv": {"convention": "gluoncv"}}.get(source, {})
    try:
        arrays = conversion.save(tiny_detector(kind, **convention), None, source)
    except ConversionError:
        pytest.skip("the codebase has no such network")
    assert describe_foreign(arrays) is None


@pytest.mark.parametrize("kind", ["fpn", "mask_fpn", "c4", "mask_c4"])
def test_names_of_this_package_are_none_of_these(kind):
    net = tiny_detector(kind)
    assert describe_foreign(net._collect_params_with_prefix()) is None
    assert "collect_params().save" in (describe_foreign(net.collect_params().keys()) or "")


def test_pretrained_names_the_program_as_well(tmp_path):
    net = tiny_detector("fpn")
    path = str(tmp_path / "a.params")
    net.collect_params().save(path)
    with pytest.raises(InputError, match="collect_params.*net.save_parameters"):
        model_zoo.get_model("faster_rcnn_fpn_resnet18_v1b_custom", classes=("a",), pretrained=path)


def test_the_advice_for_collect_params_works(tmp_path):
    """What it says is done here; a new process gives the network the same prefix."""
    net = tiny_detector("fpn")
    first, second = str(tmp_path / "first.params"), str(tmp_path / "second.params")
    net.collect_params().save(first)
    expected = {name: array.asnumpy() for name, array in mx.nd.load(first).items()}
    for parameter in net.collect_params().values():
        parameter.set_data(parameter.data() * 0)
    net.collect_params().load(first)
    net.save_parameters(second)
    again = tiny_detector("fpn")
    again.load_parameters(second)
    for parameter, array in zip(again.collect_params().values(), expected.values()):
        np.testing.assert_array_equal(parameter.data().asnumpy(), array)
