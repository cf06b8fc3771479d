"""Write tidecv.json: what the real tidecv says of the sets of tests/error_sets.py.

    pip install tidecv==1.0.1
    python tests/golden/make_tidecv.py FOLDER

FOLDER holds pycocotools' example: instances_val2014_100.json with its fake bbox and segm results. It
needs nothing of gluonnorm.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

import tidecv
from error_sets import RECIPES, digest, draw_set
from tidecv.errors.qualifiers import Qualifier

MODES = {"bbox": tidecv.TIDE.BOX, "segm": tidecv.TIDE.MASK}
THRESHOLDS = [(0.5, 0.1), (0.75, 0.2)]


def data_of(ground_truth, results):
    """Make tidecv's objects, as its readers of COCO's files do."""
    truth = tidecv.Data("truth", max_dets=100)
    for image in ground_truth["images"]:
        truth.add_image(image["id"], image["file_name"])
    for category in ground_truth["categories"]:
        truth.add_class(category["id"], category["name"])
    for entry in ground_truth["annotations"]:
        add = truth.add_ignore_region if entry["iscrowd"] else truth.add_ground_truth
        add(entry["image_id"], entry["category_id"], entry["bbox"], entry["segmentation"])
    detections = tidecv.Data("detections")
    for entry in results:
        detections.add_detection(
            entry["image_id"],
            entry["category_id"],
            entry["score"],
            entry["bbox"],
            entry["segmentation"],
        )
    return truth, detections


def class_aps(data):
    """AP of each class by its id, without the classes that tidecv leaves out of the mean."""
    return {key: obj.get_ap() for key, obj in data.objs.items() if not obj.is_empty()}


def overall_losses(tide, run):
    """The AP over all classes, and what it loses."""
    (main,) = tide.get_main_errors().values()
    (special,) = tide.get_special_errors().values()
    return {"ap": run.ap, "lost": {**main, **special}}


def example_answers(folder):
    """What tidecv, with its own readers, says of pycocotools' example."""
    answers = {}
    for iou_type, mode in MODES.items():
        truth = tidecv.datasets.COCO(str(folder / "instances_val2014_100.json"))
        results = str(folder / f"instances_val2014_fake{iou_type}100_results.json")
        tide = tidecv.TIDE(mode=mode)
        run = tide.evaluate(truth, tidecv.datasets.COCOResult(results))
        answers[iou_type] = overall_losses(tide, run)
    return answers


def answer(ground_truth, results, iou_type, pos_threshold, background_threshold):
    """Run tidecv, and collect what it computes."""
    truth, detections = data_of(ground_truth, results)
    tide = tidecv.TIDE(pos_threshold, background_threshold, MODES[iou_type])
    run = tide.evaluate(truth, detections)
    counts = {}
    mended = {}
    for error_type, errors in run.error_dict.items():
        # An ignored detection is no error of the network, though tidecv lists it.
        counted = [e for e in errors if not hasattr(e, "pred") or e.pred["used"] is not None]
        counts[error_type.short_name] = len(counted)
        is_of_type = Qualifier("", None)._make_error_func(error_type)
        mended[error_type.short_name] = class_aps(run.fix_errors(is_of_type))
    return {
        **overall_losses(tide, run),
        "counts": counts,
        "classes": class_aps(run.ap_data),
        "mended_classes": mended,
    }


def write(folder):
    """Write the answers for all sets, and for the example in a folder."""
    answers = {}
    for name in RECIPES:
        ground_truth, results = draw_set(name)
        cases = []
        for iou_type in MODES:
            for thresholds in THRESHOLDS:
                case = answer(ground_truth, results, iou_type, *thresholds)
                cases.append({"iou_type": iou_type, "thresholds": thresholds, **case})
        answers[name] = {"digest": digest(ground_truth, results), "cases": cases}
    content = {
        "program": f"tidecv {tidecv.__version__}",
        "example": example_answers(folder),
        "sets": answers,
    }
    (FOLDER / "tidecv.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
