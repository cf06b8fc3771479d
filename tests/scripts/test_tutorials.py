"""The commands of docs/tutorials, on drawn photos and with smaller networks and shorter runs.

Each test makes the files that its page takes for granted. What is not run: the service, which
test_serve_process.py starts and stops, and whatever fetches published weights.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any, Dict, List, Sequence

import model_zoo
from gluonnorm import conversion, training
from gluonnorm.data import COCODataset, draw_shapes

import numpy as np
import pytest
from document_commands import commands_of
from in_process import SCRIPTS, run_script
from PIL import Image
from test_examples import blocks_of

pytestmark = pytest.mark.slow
TUTORIALS = SCRIPTS.parent / "docs" / "tutorials"
CELLS = ("cell", "clump")
PHOTOS: Dict[str, Any] = {"train": 3, "val": 2, "size": (64, 96)}
# Settings that no weights depend on.
SMALL_INPUT = (
    "short=64 max_size=96 num_sample=8 rpn_num_sample=16 rpn_train_pre_nms=50 "
    "rpn_train_post_nms=20 rpn_test_pre_nms=50 rpn_test_post_nms=20 max_detections=10"
).split()
SMALL_LAYERS = ["fpn_channels=32", "rpn_channels=8"]
SHORT_RUN = ["--epochs", "1", "--dtype", "float32"]
OBJECT = """
    <object>
        <name>{name}</name>
        <pose>Unspecified</pose>
        <truncated>0</truncated>
        <difficult>0</difficult>
        <bndbox>
            <xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax>
        </bndbox>
    </object>"""
PAGE = """<annotation>
    <folder>{split}</folder>
    <filename>{file}</filename>
    <source><database>Unknown</database></source>
    <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
    <segmented>0</segmented>{objects}
</annotation>
"""
Changes = Dict[str, Sequence[str]]


def run_page(page: str, changes: Changes, more: Changes) -> List[str]:
    """Run the commands of a tutorial, and return their scripts.

    Parameters
    ----------
    page : str
        The tutorial's name.
    changes : dict of str to sequence of str
        What replaces a part of a command. A part is one word, or several with spaces.
    more : dict of str to sequence of str
        What is added to the commands of a script.

    Returns
    -------
    list of str
        The scripts in the order of the page.
    """
    scripts = []
    for command in commands_of((TUTORIALS / f"{page}.md").read_text(encoding="utf-8")):
        scripts.append(command.script)
        if command.script == "serve":
            continue
        flags = replaced(command.flags, changes) + list(more.get(command.script, ()))
        ended = run_script(f"{command.script}.py", *flags)
        assert ended.returncode == 0, f"{command.script} {flags}: {ended.stdout}{ended.stderr}"
    return scripts


def replaced(flags: Sequence[str], changes: Changes) -> List[str]:
    """The flags of a command after the changes; a checkpoint of a step becomes the newest one."""
    result = list(flags)
    for part, substitute in changes.items():
        words = part.split()
        for index in range(len(result) - len(words), -1, -1):
            if result[index : index + len(words)] == words:
                result[index : index + len(words)] = substitute
    for index, flag in enumerate(result):
        if re.fullmatch(r"runs/.*-\d+\.json", flag):
            result[index] = str(training.latest(flag.rpartition("-")[0]))
    return result


def label_photos(folder: Path, names: Sequence[str] = ()) -> None:
    """Draw photos into train/ and val/, each with the XML file of labelImg beside it."""
    draw_shapes(folder, **PHOTOS)
    for split in ("train", "val"):
        dataset = COCODataset(folder / "annotations" / f"instances_{split}.json", folder / split)
        classes = names or dataset.classes
        for index in range(len(dataset)):
            photo = dataset[index]
            objects = [
                OBJECT.format(
                    name=classes[min(label, len(classes) - 1)], box=[round(side) for side in box]
                )
                for label, box in zip(photo.labels, photo.boxes.tolist())
            ]
            path = folder / split / Path(photo.name).name
            height, width, _ = photo.image.shape
            page = PAGE.format(
                split=split, file=path.name, width=width, height=height, objects="".join(objects)
            )
            path.with_suffix(".xml").write_text(page, encoding="utf-8")


def draw_cells(folder: Path) -> None:
    """Draw photos of two classes of cells in COCO's format."""
    draw_shapes(folder, **PHOTOS)
    for path in (folder / "annotations").iterdir():
        content = json.loads(path.read_text())
        for entry in content["annotations"]:
            entry["category_id"] = min(entry["category_id"], len(CELLS))
        content["categories"] = [{"id": id_, "name": name} for id_, name in enumerate(CELLS, 1)]
        path.write_text(json.dumps(content))


def draw_nuclei(folder: Path) -> None:
    """Draw photos with masks, all of them in one folder."""
    draw_shapes(folder, **PHOTOS)
    (folder / "images").mkdir()
    for path in (folder / "annotations").iterdir():
        split = path.stem.rpartition("_")[2]
        content = json.loads(path.read_text())
        for image in content["images"]:
            name = f"{split}-{image['file_name']}"
            (folder / split / image["file_name"]).rename(folder / "images" / name)
            image["file_name"] = name
        path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def own_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands of the first tutorial were run."""
    folder = tmp_path_factory.mktemp("own_photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        label_photos(folder / "photos")
        run = [*SHORT_RUN, "--set", *SMALL_INPUT, *SMALL_LAYERS]
        scripts = run_page("own_photos", {"--minutes 30": run}, {})
    assert scripts == [
        "check_dataset",
        "train_faster_rcnn",
        "demo",
        "eval_faster_rcnn",
        "export",
        "serve",
    ]
    return folder


def test_own_photos(own_photos: Path) -> None:
    assert len(list((own_photos / "drawn").glob("*-detections.jpg"))) == 2
    assert (own_photos / "out" / "photos-symbol.json").is_file()


def test_deploy_without_mxnet(own_photos: Path, tmp_path: Path, monkeypatch) -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(own_photos / "runs", "runs")
    shutil.copy(next((own_photos / "photos" / "val").glob("*.jpg")), "photo.jpg")
    changes = {"runs/blood-best.json": ["runs/photos-best.json"]}
    scripts = run_page("without_mxnet", changes, {})
    assert scripts == ["export", "demo"]
    assert Path("drawn/photo-detections.jpg").is_file()


def test_masks_for_microscopy(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_nuclei(tmp_path / "nuclei")
    Image.new("RGB", (1300, 200), "gray").save("slide.tif")
    run = [*SHORT_RUN, "--set", *SMALL_INPUT, *SMALL_LAYERS, "mask_channels=32"]
    scripts = run_page("microscopy", {"--minutes 30": run}, {})
    assert scripts == [
        "check_dataset",
        "train_faster_rcnn",
        "eval_faster_rcnn",
        "demo",
        "export",
        "demo",
    ]
    assert len(list(Path("drawn").glob("*-detections.*"))) == 6


def test_micrographs_of_12_bits_and_label_images_become_a_data_set(
    tmp_path: Path, monkeypatch
) -> None:
    """The Python of the page, on one micrograph with two nuclei."""
    monkeypatch.chdir(tmp_path)
    for folder in ("raw", "labels/train", "nuclei/images"):
        Path(folder).mkdir(parents=True)
    gray = np.arange(0, 4096, 2, dtype=np.uint16).reshape(32, 64)
    Image.fromarray(gray).save("raw/0001.tif")
    labels = np.zeros(gray.shape, np.uint16)
    labels[5:20, 5:20] = 1
    labels[22:30, 10:60] = 300
    Image.fromarray(labels).save("labels/train/0001.png")
    namespace: Dict[str, Any] = {}
    for block in blocks_of((TUTORIALS / "microscopy.md").read_text(encoding="utf-8")):
        exec(block.code, namespace)
    Path("nuclei/images/0001.tif").rename("nuclei/images/0001.png")
    dataset = COCODataset("nuclei/annotations/instances_train.json", "nuclei/images", masks=True)
    (image,) = dataset
    assert np.abs(image.image[:, :, 0] - gray / 4096 * 255).max() < 1
    assert image.boxes.tolist() == [[5, 5, 20, 20], [10, 22, 60, 30]]
    assert np.array_equal(image.masks, [labels == 1, labels == 300])


def test_move_a_torchvision_model(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_cells(tmp_path / "cells")
    shutil.copy(next((tmp_path / "cells" / "val").iterdir()), "photo.jpg")
    network = "maskrcnn_resnet18_fpn"
    files = {"maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth": None, "cells.pth": CELLS}
    for file, classes in files.items():
        net = model_zoo.get_model(network, classes=classes, freeze_at=0)
        conversion.save(net, file, source="torchvision")
    small = ["--set", *SMALL_INPUT]
    scripts = run_page(
        "torchvision_model",
        {"maskrcnn_resnet50_fpn": [network], "--epochs 5": SHORT_RUN},
        dict.fromkeys(("demo", "eval_faster_rcnn", "export", "train_faster_rcnn"), small),
    )
    assert scripts == [
        "convert",
        "convert",
        "demo",
        "eval_faster_rcnn",
        "export",
        "train_faster_rcnn",
    ]
    assert len(json.loads(Path("drawn.json").read_text())["images"]) == 1


def test_fine_tune_a_gluoncv_model(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("BCCD", "cells"):
        label_photos(tmp_path / folder, CELLS)
    net = model_zoo.get_model("faster_rcnn_resnet50_v1b_custom", classes=CELLS, freeze_at=0)
    conversion.save(net, "faster_rcnn_cells.params", source="gluoncv")
    small = ["--set", *SMALL_INPUT]
    scripts = run_page(
        "gluoncv_model",
        {
            "faster_rcnn_fpn_resnet50_v1b_custom --pretrained": [
                *("faster_rcnn_fpn_resnet18_v1b_custom", "--norm", "gn")
            ],
            "--minutes 60": SHORT_RUN,
            "--epochs 5": SHORT_RUN,
        },
        dict.fromkeys(("eval_faster_rcnn", "train_faster_rcnn"), small),
    )
    assert scripts == ["train_faster_rcnn", "convert", "eval_faster_rcnn", "train_faster_rcnn"]
