"""The classes of the public data sets, in the order of their ids."""

from typing import Tuple

from gluonnorm.conversion.codebases.torchvision import UNUSED_COCO_IDS

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

# COCO's ids follow its supercategories. Each paragraph below is one of them, from person, vehicle
# and outdoor to electronic, appliance and indoor.
COCO_CLASSES = (
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
)


def _name_every_coco_id() -> Tuple[str, ...]:
    """Name the ids 1 to 90; COCO reserved ten of them and never annotates them."""
    names = []
    annotated_names = iter(COCO_CLASSES)
    for coco_id in range(1, 91):
        if coco_id in UNUSED_COCO_IDS:
            names.append(f"N/A {coco_id}")
        else:
            names.append(next(annotated_names))
    return tuple(names)


# torchvision's detectors predict COCO's own ids: their class i has id i + 1.
COCO_IDS = _name_every_coco_id()
