"""Read COCO's result files: detections that eval_faster_rcnn.py or another program has written."""

from typing import Any, Dict, List

from gluonnorm.data.json_file import (
    read_json,
    required,
    required_integer,
    shorten,
    to_float,
    to_integer,
)
from gluonnorm.errors import InputError

from pycocotools import mask as run_length_codec

BOX_NUMBERS = 4


def read_results(path: str) -> List[Dict[str, Any]]:
    """Read and check a file of COCO results.

    Parameters
    ----------
    path : str
        A JSON file with a list of objects, each with ``image_id``, ``category_id``, ``score``, and
        ``bbox`` (x, y, width, height) or ``segmentation`` (run lengths), or both.

    Returns
    -------
    list of dict
        The entries with these keys alone. Run lengths are compressed ones.

    Raises
    ------
    InputError
        The file cannot be read or holds something else. The message names the entry. Whether
        images and categories are those of the ground truth is for the evaluation to say.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(
            f"{path} holds {shorten(content)}; want a list of results, as eval_faster_rcnn.py "
            "--save-json writes, and not the ground truth"
        )
    return [_read_entry(entry, f"{path}: entry {number}") for number, entry in enumerate(content)]


def _read_entry(entry: Any, where: str) -> Dict[str, Any]:
    """Check one result."""
    score = to_float(required(entry, "score", where))
    if score is None:
        raise InputError(f"{where} has score {shorten(entry['score'])}; want a number")
    result: Dict[str, Any] = {
        "image_id": required_integer(entry, "image_id", where),
        "category_id": required_integer(entry, "category_id", where),
        "score": score,
    }
    if "bbox" not in entry and "segmentation" not in entry:
        raise InputError(f"{where} has neither bbox nor segmentation; want one of them")
    if "bbox" in entry:
        result["bbox"] = _read_box(entry["bbox"], where)
    if "segmentation" in entry:
        result["segmentation"] = _read_mask(entry["segmentation"], where)
    return result


def _read_box(box: Any, where: str) -> List[float]:
    """Check a box: four numbers, of which the sides are not negative."""
    numbers = [to_float(number) for number in box] if isinstance(box, list) else []
    values = [number for number in numbers if number is not None]
    if len(numbers) != BOX_NUMBERS or len(values) != BOX_NUMBERS or min(values[2:]) < 0:
        raise InputError(
            f"{where} has bbox {shorten(box)}; want x, y, width and height in pixels, the last two "
            "not negative"
        )
    return values


def _read_mask(mask: Any, where: str) -> Dict[str, Any]:
    """Check run lengths, and compress them if they are not."""
    size = mask.get("size") if isinstance(mask, dict) else None
    wanted = [to_integer(side) for side in size] if isinstance(size, list) else []
    sides = [side for side in wanted if side is not None and side > 0]
    if len(wanted) != 2 or len(sides) != 2:
        raise InputError(
            f"{where} has segmentation {shorten(mask)}; want run lengths: an object with size "
            "(height, width) and counts"
        )
    counts = mask.get("counts")
    if isinstance(counts, str):
        return {"size": sides, "counts": counts}
    height, width = sides
    numbers = [to_integer(count) for count in counts] if isinstance(counts, list) else []
    lengths = [number for number in numbers if number is not None and number >= 0]
    if len(lengths) < len(numbers) or sum(lengths) != height * width:
        raise InputError(
            f"{where} has run lengths {shorten(counts)} in a mask of {height} x {width} pixels; "
            "want integers whose sum is the number of pixels, or compressed text"
        )
    encoded = run_length_codec.frPyObjects({"size": sides, "counts": lengths}, height, width)
    return {"size": sides, "counts": encoded["counts"].decode("ascii")}
