"""The commands of docs/tutorials/own_photos.md, on drawn photos with labelImg's files, and with a
smaller network."""

from pathlib import Path
from typing import List

from gluonnorm import training
from gluonnorm.data import COCODataset, draw_shapes

import pytest
from document_commands import commands_of
from in_process import SCRIPTS, run_script

TUTORIAL = SCRIPTS.parent / "docs" / "tutorials" / "own_photos.md"
LONG_RUN = ["--minutes", "30"]
SHORT_RUN = (
    "--epochs 1 --dtype float32 --set short=64 max_size=96 fpn_channels=32 rpn_channels=8 "
    "num_sample=8 rpn_num_sample=16 rpn_train_pre_nms=50 rpn_train_post_nms=20 "
    "rpn_test_pre_nms=50 rpn_test_post_nms=20"
).split()
CHECKPOINT = "runs/photos-0001000.json"
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


def label_photos(folder: Path) -> None:
    """Draw photos into train/ and val/, each with the XML file of labelImg beside it."""
    draw_shapes(folder, train=6, val=2, size=(64, 96))
    for split in ("train", "val"):
        dataset = COCODataset(folder / "annotations" / f"instances_{split}.json", folder / split)
        for index in range(len(dataset)):
            photo = dataset[index]
            objects = [
                OBJECT.format(name=dataset.classes[label], box=[round(side) for side in box])
                for label, box in zip(photo.labels, photo.boxes.tolist())
            ]
            path = folder / split / Path(photo.name).name
            height, width, _ = photo.image.shape
            page = PAGE.format(
                split=split, file=path.name, width=width, height=height, objects="".join(objects)
            )
            path.with_suffix(".xml").write_text(page, encoding="utf-8")


def shortened(flags: List[str]) -> List[str]:
    """The flags of a command, with a short run and the checkpoint that it has left."""
    for index in range(len(flags)):
        if flags[index : index + 2] == LONG_RUN:
            flags = flags[:index] + flags[index + 2 :] + SHORT_RUN
    if CHECKPOINT in flags:
        newest = training.latest("runs/photos")
        flags = [str(newest) if flag == CHECKPOINT else flag for flag in flags]
    return flags


@pytest.mark.slow
def test_the_commands_of_the_tutorial(tmp_path: Path, monkeypatch) -> None:
    label_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    done = []
    for command in commands_of(TUTORIAL.read_text(encoding="utf-8")):
        # It runs until it is stopped; test_serve_process.py does both.
        if command.script != "serve":
            ended = run_script(f"{command.script}.py", *shortened(command.flags))
            assert ended.returncode == 0, f"{command.script}: {ended.stdout}{ended.stderr}"
        done.append(command.script)
    assert done == [
        "check_dataset",
        "train_faster_rcnn",
        "demo",
        "eval_faster_rcnn",
        "export",
        "serve",
    ]
    assert len(list(Path("drawn").glob("*-detections.jpg"))) == 2
    assert Path("out/photos-symbol.json").is_file()
