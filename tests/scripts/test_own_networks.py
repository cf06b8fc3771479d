"""Networks of Gluon's and GluonCV's zoos, from a user's own file, go through all scripts."""

import json
import sys

import model_zoo
from gluonnorm.data import draw_shapes
from gluonnorm.deploy import Predictor
from gluonnorm.nn import norm as norm_module
from gluonnorm.nn import replace_norms
from model_zoo.backbone_builders import BACKBONES
from model_zoo.catalogue import MODELS

import pytest
from document_files import write_document_files
from in_process import run_script
from mxnet.gluon.model_zoo import vision

USER_FILE = """
import functools

import model_zoo
from gluonnorm.backbones import TappedBackbone
from gluonnorm.nn import GroupNorm, register_norm, replace_norms
from gluoncv import model_zoo as gluoncv_zoo
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

C4 = {"anchor_sizes": ((16, 32),), "roi_size": 6, "rpn_channels": 16}
FPN = {"fpn_channels": 32, "rpn_channels": 16, "roi_size": 3}


def mobilenet(norm):
    features = vision.mobilenet0_25().features
    replace_norms(features, norm)
    return TappedBackbone(features, taps=(20, 32, 68, 80))


def mobilenet_v3(norm):
    features = gluoncv_zoo.get_model("mobilenetv3_small").features
    replace_norms(features, norm)
    return TappedBackbone(features, taps=(3, 5, 10, 13))


def resnext(norm):
    features = gluoncv_zoo.get_model("resnext50_32x4d").features
    replace_norms(features, norm)
    return features[:7], features[7:8]


def densenet(norm):
    features = vision.densenet121().features
    replace_norms(features, norm)
    return TappedBackbone(features, taps=(4, 6, 8, 12))


def vgg(norm):
    features = vision.vgg11().features
    top = nn.HybridSequential()
    top.add(nn.Dense(32, activation="relu"), nn.Dropout(0.5))
    return features[:20], top


for build in (mobilenet, mobilenet_v3, resnext, densenet, vgg):
    name = build.__name__
    is_pyramid = name not in ("resnext", "vgg")
    model_zoo.register_backbone(name, build)
    model_zoo.register(
        model_zoo.Model(
            f"faster_rcnn_{name}",
            backbone=name,
            neck="fpn" if is_pyramid else "c4",
            head="2fc" if is_pyramid else "res5",
            settings=FPN if is_pyramid else C4,
        )
    )
register_norm("gn4", functools.partial(GroupNorm, num_groups=4))
"""
SETTINGS = (
    "--set short=64 max_size=96 num_sample=8 rpn_num_sample=16 rpn_train_pre_nms=50 "
    "rpn_train_post_nms=20 rpn_test_pre_nms=50 rpn_test_post_nms=10 max_detections=5 "
    "score_thresh=0.0"
).split()
PLUGIN = ("--plugin", "my_zoo")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own_networks")
    draw_shapes(folder, train=2, val=1, size=(64, 96))
    return folder


@pytest.fixture()
def own_file(tmp_path, monkeypatch):
    """The user's file in the current folder; what it registers is forgotten after the test."""
    for registry in (BACKBONES, MODELS, norm_module._NORMS):
        monkeypatch.setattr(registry, "_entries", dict(registry))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_zoo.py").write_text(USER_FILE)
    yield tmp_path
    for module in ("my_zoo", "my_parts", "my_losses", "my_changes", "my_data"):
        sys.modules.pop(module, None)


def train(network, shapes, *flags, settings=SETTINGS):
    data = ["--dataset", "coco", "--data-root", shapes, "--train-split", "train"]
    done = run_script(
        "train_faster_rcnn.py",
        *["--network", network, *data, "--epochs", 1, "--val-interval", 0],
        *["--save-prefix", "runs/net", *settings, *flags],
    )
    return done


def assert_succeeds(done):
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize(
    "network, norm, norm_class",
    [
        ("faster_rcnn_mobilenet", "gn4", "GroupNorm"),
        ("faster_rcnn_mobilenet_v3", "frozen_bn", "FrozenBatchNorm"),
        ("faster_rcnn_resnext", "frozen_bn", "FrozenBatchNorm"),
        ("faster_rcnn_densenet", "bn", "BatchNorm"),
        ("faster_rcnn_vgg", "frozen_bn", None),
    ],
)
def test_a_foreign_network_is_trained_reopened_exported_and_read(
    own_file, shapes, network, norm, norm_class
):
    assert_succeeds(train(network, shapes, "--norm", norm, *PLUGIN))
    checkpoint = own_file / "runs" / "net-0000002.json"
    spec = json.loads(checkpoint.read_text())["spec"]
    assert spec["model"] == network and spec["norm"] == norm
    net = model_zoo.from_spec(spec)
    assert norm_class is None or norm_class in str(net.backbone)

    data = ["--dataset", "coco", "--data-root", shapes, "--val-split", "val"]
    opened = ["--params", checkpoint, *PLUGIN]
    assert "AP" in assert_succeeds(run_script("eval_faster_rcnn.py", *opened, *data)).stdout
    photo = shapes / "val" / "000000.jpg"
    assert_succeeds(run_script("demo.py", photo, *opened, "--output", "drawn"))
    assert (own_file / "drawn" / "000000-detections.jpg").exists()
    exported = assert_succeeds(run_script("export.py", *opened, "--output", "out/net")).stdout
    assert "largest difference: ids 0" in exported
    detections = Predictor("out/net")(str(photo))
    assert len(detections.boxes) == 5


@pytest.mark.slow
def test_the_files_of_the_page_on_own_parts_train_and_reopen(own_file, shapes):
    assert write_document_files("extending.md", own_file) == [
        "my_parts.py",
        "my_losses.py",
        "my_changes.py",
        "my_data.py",
    ]
    plugin = ["--plugin", "my_parts"]
    own_loss = ["--box-loss", "my_losses:iou_loss", "--augment", "my_changes:fog,most=0.3"]
    settings = [*SETTINGS, "fpn_channels=32", "rpn_channels=16", "mask_channels=16", "roi_size=4"]
    for network, norm in (
        ("faster_rcnn_my_resnet18", "gn4"),
        ("mask_rcnn_fpn_my_mobilenet_v3", "frozen_bn"),
    ):
        flags = ["--norm", norm, *plugin, *own_loss, "--save-prefix", f"runs/{network}"]
        assert_succeeds(train(network, shapes, *flags, settings=settings))
        checkpoint = own_file / "runs" / f"{network}-0000002.json"
        assert json.loads(checkpoint.read_text())["spec"]["norm"] == norm
        output = f"out/{network}"
        assert_succeeds(
            run_script("export.py", "--params", checkpoint, "--output", output, *plugin)
        )
        assert len(Predictor(output)(str(shapes / "val" / "000000.jpg")).boxes) == 5
    write_csv(shapes / "annotations" / "instances_train.json", own_file / "train.csv")
    for path in (shapes / "train").iterdir():
        (own_file / path.name).write_bytes(path.read_bytes())
    own_data = ["--dataset", "my_data:cells", "--data-root", own_file, "--save-prefix", "runs/csv"]
    assert_succeeds(train("faster_rcnn_my_resnet18", shapes, *plugin, *own_data, settings=settings))
    (checkpoint,) = (own_file / "runs").glob("csv-0*.json")
    spec = json.loads(checkpoint.read_text())["spec"]
    assert spec["classes"] == ["circle", "triangle"]  # what the two images show


def write_csv(coco_file, csv_file):
    """Write the boxes of a COCO file as lines image,x1,y1,x2,y2,class."""
    content = json.loads(coco_file.read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    lines = []
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        name = names[annotation["category_id"]]
        lines.append(f"{files[annotation['image_id']]},{x},{y},{x + width},{y + height},{name}\n")
    csv_file.write_text("".join(lines))


@pytest.mark.parametrize(
    "value, words",
    [
        ("my_zoo", "--box-loss is 'my_zoo'; give MODULE:FUNCTION"),
        ("my_zoo:vg", "--box-loss my_zoo:vg: my_zoo has no function 'vg'; did you mean vgg"),
        ("nothing:loss", "--box-loss nothing: no such module"),
    ],
)
def test_a_box_loss_that_does_not_exist(own_file, shapes, value, words):
    done = train("faster_rcnn_mobilenet", shapes, "--norm", "bn", *PLUGIN, "--box-loss", value)
    # Notes on the data set may come first.
    *notes, error = done.stderr.splitlines()
    assert done.returncode == 2 and error.startswith("error: ") and words in error
    assert all(note.startswith("note: ") for note in notes)


def test_a_backbone_for_a_custom_model_is_named_in_every_script(own_file, shapes):
    """GluonCV's base_network_name, with a backbone of the user's file."""
    network = "custom_faster_rcnn_fpn"
    flags = ["--base-network", "mobilenet", "--norm", "gn4", *PLUGIN]
    small = [*SETTINGS, "fpn_channels=16", "rpn_channels=16", "roi_size=4"]
    assert_succeeds(train(network, shapes, *flags, settings=small))
    checkpoint = own_file / "runs" / "net-0000002.json"
    assert json.loads(checkpoint.read_text())["spec"]["backbone"] == "mobilenet"

    again = ["--params", checkpoint, "--network", network, *flags]
    assert_succeeds(run_script("export.py", *again, "--output", "out/net"))
    other = run_script("export.py", *again, "--base-network", "resnet18_v1b", "--output", "out/x")
    assert other.returncode == 2 and "backbone" in other.stderr

    # Weights alone, of a network whose widths are those of the row.
    net = model_zoo.get_model(network, norm="bn", classes=["a"], base_network_name="mobilenet")
    net.save_parameters("net.params")
    weights = ["--params", "net.params", "--network", network, "--norm", "bn", *PLUGIN]
    photo = shapes / "val" / "000000.jpg"
    drawn = ["--classes", "a", "--output", "drawn", "--base-network", "mobilenet"]
    assert_succeeds(run_script("demo.py", photo, *weights, *drawn, "--set", *SETTINGS[1:3]))
    refused = run_script("demo.py", photo, *weights, *drawn[:-2])
    assert refused.returncode == 2 and "weights of another network" in refused.stderr


def test_without_the_plugin_the_message_names_it(own_file, shapes):
    assert_succeeds(train("faster_rcnn_mobilenet", shapes, "--norm", "gn4", *PLUGIN))
    for registry in (BACKBONES, MODELS, norm_module._NORMS):
        for name in ("mobilenet", "faster_rcnn_mobilenet", "gn4"):
            registry._entries.pop(name, None)
    checkpoint = own_file / "runs" / "net-0000002.json"
    for script, flags in (
        ("eval_faster_rcnn.py", ["--data-root", shapes]),
        ("demo.py", [shapes / "val" / "000000.jpg"]),
        ("export.py", ["--output", "out/net"]),
        ("convert.py", ["--save-as", "gluoncv", "--output", "net.params"]),
    ):
        done = run_script(script, *flags, "--params", checkpoint)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "no model 'faster_rcnn_mobilenet'" in done.stderr
        assert (
            "needs the module that registers it: import that first, in a script with --plugin "
            in (done.stderr)
        )
    # A file never chooses what is imported.
    assert "my_zoo" not in checkpoint.read_text()


def test_the_user_file_is_not_needed_where_its_names_are_not_used(own_file):
    assert "faster_rcnn_mobilenet" not in run_script("convert.py", "--list").stdout
    assert "faster_rcnn_mobilenet" in run_script("convert.py", "--list", *PLUGIN).stdout


def test_replaced_norms_of_a_foreign_network_are_counted():
    report = replace_norms(vision.densenet121().features, "frozen_bn")
    assert len(report) == 121 and {norm.new for norm in report} == {"FrozenBatchNorm"}
