"""convert.py from one end to the other: in, back, and the errors a user can cause."""

import pickle

import model_zoo
from gluonnorm import conversion

import numpy as np
import pytest
from in_process import run_script

NETWORK = "faster_rcnn_fpn_resnet18_v1b_custom"


def convert(*args):
    return run_script("convert.py", *args)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A backbone's and a detector's weights as torchvision has them: resnet18.pth, detector.pth."""
    folder = tmp_path_factory.mktemp("convert")
    conversion.save(
        model_zoo.get_model("resnet18_v1b"), str(folder / "resnet18.pth"), "torchvision"
    )
    conversion.save(
        model_zoo.get_model(NETWORK, classes=("a", "b")),
        str(folder / "detector.pth"),
        "torchvision",
    )
    return folder


def test_a_backbone_in_and_back(folder):
    ended = convert(
        "--network",
        "resnet18_v1b",
        "--source",
        "torchvision",
        "--weights",
        folder / "resnet18.pth",
        "--output",
        folder / "in" / "resnet18.params",
        "--report",
        folder / "report.txt",
    )
    assert ended.returncode == 0, ended.stderr
    assert "100 of 100 arrays loaded" in ended.stdout
    assert "layer4.1.bn2.gamma" in (folder / "report.txt").read_text()
    ended = convert(
        "--save-as",
        "torchvision",
        "--network",
        "resnet18_v1b",
        "--params",
        folder / "in" / "resnet18.params",
        "--output",
        folder / "back.pth",
    )
    assert ended.returncode == 0, ended.stderr
    first, second = (
        conversion.read_arrays(str(folder / name)) for name in ("resnet18.pth", "back.pth")
    )
    assert set(first) == set(second) and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def test_a_detector_in_and_back(folder):
    ended = convert(
        "--network",
        NETWORK,
        "--classes",
        "a",
        "b",
        "--source",
        "torchvision",
        "--weights",
        folder / "detector.pth",
        "--output",
        folder / "detector.params",
    )
    assert ended.returncode == 0, ended.stderr
    net = model_zoo.get_model(
        NETWORK, classes=("a", "b"), pretrained=str(folder / "detector.params")
    )
    theirs = conversion.read_arrays(str(folder / "detector.pth"))
    np.testing.assert_array_equal(
        net.rpn.score.weight.data().asnumpy(), theirs["rpn.head.cls_logits.weight"]
    )
    ended = convert(
        "--save-as",
        "torchvision",
        "--network",
        NETWORK,
        "--classes",
        "a",
        "b",
        "--params",
        folder / "detector.params",
        "--output",
        folder / "back.safetensors",
    )
    assert ended.returncode == 0, ended.stderr
    back = conversion.read_arrays(str(folder / "back.safetensors"))
    assert set(back) == set(theirs) and all(
        np.array_equal(back[name], theirs[name]) for name in back
    )


def test_other_classes_need_a_word(folder):
    flags = (
        "--network",
        NETWORK,
        "--classes",
        "x",
        "y",
        "z",
        "--source",
        "torchvision",
        "--weights",
        folder / "detector.pth",
        "--output",
        folder / "three.params",
    )
    ended = convert(*flags)
    assert ended.returncode == 2 and "num_classes_differ='reset'" in ended.stderr
    assert not (folder / "three.params").exists()
    ended = convert(*flags, "--num-classes-differ", "reset")
    assert ended.returncode == 0 and "fresh predictors" in ended.stdout


def test_an_imagenet_file_for_a_detector(folder):
    flags = (
        "--network",
        NETWORK,
        "--classes",
        "a",
        "--source",
        "torchvision",
        "--weights",
        folder / "resnet18.pth",
        "--output",
        folder / "started.params",
    )
    ended = convert(*flags)
    assert ended.returncode == 2 and "load_backbone" in ended.stderr
    ended = convert(*flags, "--backbone-only")
    assert ended.returncode == 0 and "100 of 100 arrays loaded" in ended.stdout


def test_the_list():
    ended = convert("--list")
    assert (
        ended.returncode == 0
        and "gluoncv, torchvision, detectron, detectron2, switchnorm" in ended.stdout
    )
    assert "maskrcnn_resnet50_fpn_v2" in ended.stdout


@pytest.mark.parametrize(
    "flags, words",
    [
        ((), "give --output, --network, --source, --weights too"),
        (("--save-as", "torchvision", "--output", "x.pth"), "give --params too"),
        (
            (
                "--network",
                "resnet18_v1b",
                "--source",
                "torchvision",
                "--weights",
                "no.pth",
                "--output",
                "x.params",
                "--params",
                "y",
            ),
            "--weights",
        ),
        (
            (
                "--network",
                "resnet18_v1b",
                "--source",
                "torchvision",
                "--weights",
                "no.pth",
                "--output",
                "x.params",
            ),
            "no.pth: no such file",
        ),
        (
            (
                "--network",
                "resnet18_v1b",
                "--classes",
                "a",
                "--source",
                "torchvision",
                "--weights",
                "no.pth",
                "--output",
                "x.params",
            ),
            "bare backbone",
        ),
        (
            (
                "--network",
                "resnet51",
                "--source",
                "torchvision",
                "--weights",
                "no.pth",
                "--output",
                "x.params",
            ),
            "did you mean resnest50, resnet50_v1d or resnet50_v1b",
        ),
    ],
)
def test_errors_say_what_to_do(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = convert(*flags)
    assert ended.returncode == 2 and words in ended.stderr, ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_with_several_weights(folder):
    """The report states the choice and the prefix; --entry makes another one."""
    arrays = conversion.read_arrays(str(folder / "resnet18.pth"))
    averaged = {f"module.{name}": array + 1 for name, array in arrays.items()}
    with open(folder / "several.pkl", "wb") as file:
        pickle.dump({"net": arrays, "ema": averaged, "epoch": 3}, file)
    flags = ["--network", "resnet18_v1b", "--source", "torchvision"]
    flags += ["--weights", folder / "several.pkl", "--output", folder / "several.params"]
    ended = convert(*flags)
    assert ended.returncode == 0, ended.stderr
    assert "the weights under 'net' are taken; the file also has 'ema'" in ended.stdout
    ended = convert(*flags, "--entry", "ema")
    assert ended.returncode == 0, ended.stderr
    assert "the weights under 'ema' are taken" in ended.stdout
    assert "prefix 'module.' taken off" in ended.stdout
    written = conversion.read_arrays(str(folder / "several.params"))
    np.testing.assert_array_equal(written["conv1.weight"], arrays["conv1.weight"] + 1)
    ended = convert(*flags, "--entry", "model")
    assert ended.returncode == 2 and "give one of net, ema" in ended.stderr
