"""Tasks of Label Studio, and the way back through its export to the data readers."""

import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree

from gluonnorm.class_colors import class_colors, hex_color
from gluonnorm.cropped_masks import Crop, CroppedMasks
from gluonnorm.data import COCODataset, VOCDataset
from gluonnorm.detection_formats import label_studio_config, label_studio_task
from gluonnorm.detection_formats.brush_runs import brush_runs
from gluonnorm.errors import InputError
from gluonnorm.types import Detections

import numpy as np
import pytest
from PIL import Image

CLASSES = ("RBC", 'WBC & "co"', "Plätt")
SIZE = (120, 170)
URL = "/data/local-files/?d=photos/my%20photo.png"
# A Python that has label-studio-sdk, whose converter is the one of Label Studio's export.
PYTHON = os.environ.get("GLUONNORM_LABEL_STUDIO_PYTHON")


def detections(masks=None, inclusive=False):
    boxes = np.float32([[10.25, 20.5, 60, 50], [90, 7, 170, 120], [0, 0, 17, 12]])
    if inclusive:
        boxes[:, 2:] -= 1
    return Detections(boxes, np.float32([0.75, 0.5, 0.25]), np.int32([1, 0, 2]), masks, inclusive)


def ellipses():
    """A mask in each box, one of them in two parts and with a hole."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    masks = []
    for x1, y1, x2, y2 in detections().boxes:
        across = (columns - (x1 + x2) / 2) / (x2 - x1)
        down = (rows - (y1 + y2) / 2) / (y2 - y1)
        masks.append(across**2 + down**2 < 0.25)
    masks[1][50:53] = False
    masks[1][20:30, 120:140] = False
    return np.array(masks)


def unpacked(runs):
    """Read packed runs bit by bit, as the description of the format says."""
    bits = "".join(f"{byte:08b}" for byte in runs)
    position = 0

    def take(count):
        nonlocal position
        position += count
        return int(bits[position - count : position], 2)

    total = take(32)
    value_bits = take(5) + 1
    count_bits = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        is_repeated = take(1)
        count = take(count_bits[take(2)]) + 1
        if is_repeated:
            values += [take(value_bits)] * count
        else:
            values += [take(value_bits) for _ in range(count)]
    assert len(bits) - position < 8
    return np.array(values, np.uint8)


@pytest.mark.parametrize("inclusive", [False, True])
def test_rectangles_are_in_percent_of_the_photo(inclusive):
    task = label_studio_task(URL, SIZE, detections(inclusive=inclusive), CLASSES, "blood")
    assert task["data"] == {"image": URL}
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "blood" and prediction["score"] == 0.5
    regions = prediction["result"]
    for region, box, name, score in zip(
        regions, detections().boxes, ('WBC & "co"', "RBC", "Plätt"), (0.75, 0.5, 0.25)
    ):
        value = region["value"]
        x, y = value["x"] * 1.7, value["y"] * 1.2
        corners = [x, y, x + value["width"] * 1.7, y + value["height"] * 1.2]
        np.testing.assert_allclose(corners, box, atol=1e-9)
        assert region["type"] == "rectanglelabels" and value["rectanglelabels"] == [name]
        assert region["score"] == score and value["rotation"] == 0
        assert (region["original_height"], region["original_width"]) == SIZE
    assert len({region["id"] for region in regions}) == 3
    other = label_studio_task("b.png", SIZE, detections(), CLASSES)["predictions"][0]["result"]
    assert not {region["id"] for region in regions} & {region["id"] for region in other}


def test_the_interface_has_the_names_and_colors_that_predictions_need():
    for masks, tag, kind in (
        (False, "RectangleLabels", "rectanglelabels"),
        (True, "BrushLabels", "brushlabels"),
    ):
        view = ElementTree.fromstring(label_studio_config(CLASSES, masks))
        image, labels = view
        assert image.tag == "Image" and labels.tag == tag
        assert [label.get("value") for label in labels] == list(CLASSES)
        colors = [hex_color(color) for color in class_colors(CLASSES)]
        assert [label.get("background") for label in labels] == colors
        found = detections(ellipses() if masks else None)
        task = label_studio_task(URL, SIZE, found, CLASSES)
        assert list(task["data"]) == [image.get("value").lstrip("$")]
        for region in task["predictions"][0]["result"]:
            assert region["from_name"] == labels.get("name")
            assert region["to_name"] == labels.get("toName") == image.get("name")
            assert region["type"] == kind


def xml_holds(character):
    """Tell whether a parser of XML reads a character."""
    try:
        ElementTree.fromstring(f"<a>{character}</a>".encode())
    except (ElementTree.ParseError, UnicodeEncodeError):
        return False
    return True


def test_class_names_that_no_xml_file_holds_are_refused():
    points = (
        0,
        1,
        8,
        0xB,
        0x1F,
        0x7F,
        0x85,
        0xD7FF,
        0xD800,
        0xDFFF,
        0xE000,
        0xFFFD,
        0xFFFE,
        0x1F600,
    )
    characters = [chr(point) for point in points] + ["\t", "\n", "\r", "\u0301"]
    held = [character for character in characters if xml_holds(character)]
    assert 5 < len(held) < len(characters) - 5
    for character in characters:
        name = f"a{character}b"
        if character in held:
            labels = ElementTree.fromstring(label_studio_config(["c", name]))[1]
            assert labels[1].get("value") == name
            continue
        with pytest.raises(InputError, match="^class 'a.*b' has .*, which no XML file can hold"):
            label_studio_config(["c", name])


def test_brush_regions_hold_the_masks_exactly():
    masks = ellipses()
    for form in (masks, CroppedMasks.of(masks)):
        task = label_studio_task(URL, SIZE, detections(form), CLASSES)
        regions = json.loads(json.dumps(task))["predictions"][0]["result"]
        for region, mask in zip(regions, masks):
            assert region["value"]["format"] == "rle"
            picture = unpacked(region["value"]["rle"]).reshape(*SIZE, 4)
            np.testing.assert_array_equal(picture, 255 * mask[:, :, None].repeat(4, axis=2))


@pytest.mark.parametrize("seed", range(6))
def test_runs_of_every_length_are_packed(seed):
    """Masks without pixels, full ones, single pixels, and runs of more than 65536 values."""
    generator = np.random.default_rng(seed)
    height, width = [(1, 1), (5, 7), (64, 64), (300, 200), (3, 1000), (400, 300)][seed]
    rare = generator.random((height, width)) < 0.0005
    masks = [rare, ~rare, generator.random((height, width)) < 0.5, np.zeros_like(rare)]
    masks.append(np.ones_like(rare))
    for mask in masks:
        crop = CroppedMasks.of(mask[None]).crops[0]
        for part in (crop, Crop(0, 0, mask)):
            values = unpacked(brush_runs(part, height, width))
            np.testing.assert_array_equal(values.reshape(height, width, 4)[..., 3], 255 * mask)


def test_what_is_outside_is_left_out_and_nothing_is_a_task_too():
    found = detections()._replace(boxes=np.float32([[-9, -9, 17, 12], [170, 0, 180, 9], [3] * 4]))
    (region,) = label_studio_task(URL, SIZE, found, CLASSES)["predictions"][0]["result"]
    assert (region["value"]["x"], region["value"]["y"]) == (0, 0)
    np.testing.assert_allclose((region["value"]["width"], region["value"]["height"]), (10, 10))
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int32))
    (prediction,) = label_studio_task(URL, SIZE, nothing, CLASSES)["predictions"]
    assert prediction["result"] == [] and "score" not in prediction
    with pytest.raises(InputError, match="ids from 0 to 2, but there are 2 class names"):
        label_studio_task(URL, SIZE, detections(), CLASSES[:2])


def photo_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "photos" / "my photo.png")
    return tmp_path / "photos"


def test_an_export_as_coco_is_read_with_the_same_boxes(tmp_path):
    """The file is written here as label-studio-sdk 2.1.2 writes it, names of images included."""
    task = label_studio_task(URL, SIZE, detections(), CLASSES)
    categories = [{"id": number, "name": name} for number, name in enumerate(sorted(CLASSES))]
    number_of = {category["name"]: category["id"] for category in categories}
    annotations = []
    for number, region in enumerate(task["predictions"][0]["result"]):
        value = region["value"]
        percent = [value[key] for key in ("x", "y", "width", "height")]
        sides = [region["original_width"], region["original_height"]] * 2
        box = [side * share / 100 for side, share in zip(sides, percent)]
        category = number_of[value["rectanglelabels"][0]]
        entry = {"id": number, "image_id": 0, "category_id": category, "bbox": box}
        annotations.append({**entry, "segmentation": [], "ignore": 0, "iscrowd": 0, "area": 1.0})
    image = {"id": 0, "width": SIZE[1], "height": SIZE[0], "file_name": URL}
    content = {"images": [image], "categories": categories, "annotations": annotations}
    (tmp_path / "result.json").write_text(json.dumps(content))
    assert_same_boxes(COCODataset(tmp_path / "result.json", photo_folder(tmp_path), CLASSES))


def assert_same_boxes(dataset, tolerance=1e-4):
    assert dataset.classes == CLASSES and len(dataset) == 1
    np.testing.assert_allclose(dataset[0][1], detections().boxes, atol=tolerance)
    np.testing.assert_array_equal(dataset[0][2], detections().ids)


CONVERT = """
import json, sys
from label_studio_sdk.converter import Converter
from label_studio_sdk.converter.converter import Format
from label_studio_sdk.label_interface import LabelInterface
folder = sys.argv[1]
config = open(folder + "/tasks.xml", encoding="utf-8").read()
tasks = json.load(open(folder + "/tasks.json", encoding="utf-8"))
for number, task in enumerate(tasks):
    (prediction,) = task.pop("predictions")
    faults = LabelInterface(config).validate_prediction(prediction, return_errors=True)
    assert not faults, faults
    accepted = {"id": number, "result": prediction["result"], "completed_by": 1}
    task.update(id=number, annotations=[accepted], predictions=[])
json.dump(tasks, open(folder + "/export.json", "w", encoding="utf-8"))
for name in sys.argv[2:]:
    converter = Converter(config, project_dir=folder, download_resources=False)
    converter.convert(folder + "/export.json", folder + "/" + name, Format[name], is_dir=False)
"""


def converted(tmp_path, found, *formats):
    """Accept all predictions, and export them with Label Studio's own program."""
    if not PYTHON:
        pytest.skip("GLUONNORM_LABEL_STUDIO_PYTHON names no Python with label-studio-sdk")
    config = label_studio_config(CLASSES, found.masks is not None)
    (tmp_path / "tasks.xml").write_text(config, encoding="utf-8")
    tasks = [label_studio_task(URL, SIZE, found, CLASSES)]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    command = [PYTHON, "-c", CONVERT, str(tmp_path), *formats]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_boxes_come_back_from_the_real_converter(tmp_path):
    converted(tmp_path, detections(), "COCO", "VOC")
    photos = photo_folder(tmp_path)
    assert_same_boxes(COCODataset(tmp_path / "COCO" / "result.json", photos, CLASSES))
    (tmp_path / "VOC" / "JPEGImages").symlink_to(photos)
    # It writes whole pixels.
    assert_same_boxes(VOCDataset(tmp_path / "VOC", None, CLASSES), tolerance=1)


def test_masks_come_back_from_the_real_converter(tmp_path):
    masks = ellipses()
    masks[1] = masks[0]
    converted(tmp_path, detections(masks), "BRUSH_TO_COCO")
    path = tmp_path / "BRUSH_TO_COCO" / "result_coco.json"
    dataset = COCODataset(path, photo_folder(tmp_path), CLASSES, masks=True)
    read = CroppedMasks.of(np.asarray(dataset[0].masks, bool))
    for crop, expected in zip(read.crops, CroppedMasks.of(masks).crops):
        # Its polygons have the indices of pixels for corners, so the last row and column are lost.
        assert (crop.top, crop.left) == (expected.top, expected.left)
        lost = np.subtract(expected.pixels.shape, crop.pixels.shape)
        assert lost.min() >= 1 and lost.max() <= 2
