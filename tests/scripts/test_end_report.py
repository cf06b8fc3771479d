"""What a run says at its end: which sentence for which numbers, and a run that cannot learn."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import model_zoo
from gluonnorm import training
from gluonnorm.data import COCODataset, GluonCVDataset, draw_shapes, inspect
from gluonnorm.data.reachable import ClassReach, Reach
from gluonnorm.rcnn import DetectorConfig

import mxnet as mx
import numpy as np
import pytest
from in_process import SCRIPTS, run_script

STEPS = 20  # of an epoch
FAR = Reach(0.7, 0.5, np.array([32.0, 512.0]), 4, np.zeros(0))


@pytest.fixture()
def parts(monkeypatch):
    """The files of the report as modules."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = ("run_result", "report", "progress_findings", "anchor_remedies", "measures")
    modules = {name: importlib.import_module(f"end_report.{name}") for name in names}
    modules["proposals"] = importlib.import_module("_proposals")
    return SimpleNamespace(**modules)


def reach(anchors=1.0, candidates=1.0, proposals=1.0, positive=0.9, length=40.0, objects=50):
    return ClassReach(objects, length, 0.6, positive, anchors, candidates, proposals)


def test_a_resumed_run_is_not_asked_for_minutes(parts):
    """It keeps its epochs, so more --minutes would change nothing."""
    values = {"lr": 0.01, "epochs": 2, "patience": 0, "augment": [], "repeat_threshold": None}
    for resume, minutes in ((False, 9.0), (True, None), ("run-0000001.json", None)):
        args = SimpleNamespace(**values, class_weights=[], minutes=9.0, resume=resume)
        assert parts.measures.run_flags(args, 1).minutes == minutes


def one_class(parts, name="cell", **changes):
    """A class without any fault, but for ``changes``."""
    values = {"train_objects": 300, "train_images": 90, "objects": 50, "reach": reach()}
    values.update({"num_proposed": 50, "box_score": 0.9, **changes})
    return parts.run_result.ClassResult(name=name, **values)


def settled(epochs, level=1.0, start=4.0):
    """The losses of a run that learns in its first epochs, and then no more, with some noise."""
    rng = np.random.default_rng(5)
    means = level + (start - level) * np.exp(-2.0 * np.arange(epochs))
    return np.repeat(means, STEPS) + rng.normal(0, 0.1, epochs * STEPS)


def cosine_rates(steps, base=0.01):
    return np.array([training.cosine(step, base, steps) for step in range(steps)])


def run(parts, **changes):
    """A run of six epochs without any fault, but for ``changes``."""
    losses = changes.pop("losses", {"rpn_class": settled(6), "rcnn_class": settled(6)})
    steps = len(next(iter(losses.values())))
    flags = {"lr": 0.01, "usual_lr": 0.01, "epochs": steps // STEPS, **changes.pop("flags", {})}
    values = {
        "config": DetectorConfig(),
        "classes": (one_class(parts),),
        "rates": cosine_rates(steps),
        "epochs": steps // STEPS,
        "evaluations": ((5, 0.79), (6, 0.8)),
        "scores": {"AP50": 0.8},
        "train_images": 100,
        "objects_of_image": np.array([3, 5]),
        "reach": FAR,
        "proposed_images": 2,
        **changes,
    }
    return parts.run_result.RunResult(
        flags=parts.run_result.RunFlags(**flags), losses=losses, steps_per_epoch=STEPS, **values
    )


def only_finding(parts, result):
    """The single finding of a run."""
    lines = parts.report.end_report(result)
    assert len(lines) == 2, lines
    assert lines[0].startswith("what keeps AP50 at 0.800") and lines[1].startswith("  ")
    return lines[1].strip()


def only_line(parts, result):
    (line,) = parts.report.end_report(result)
    return line


def test_a_run_without_faults(parts):
    line = only_line(parts, run(parts))
    assert line.startswith("AP50 is 0.800, and no single cause stands out that keeps it down")
    assert "lowest AP50 is that of cell, 0.900, while proposals reach 100 % of its" in line
    assert "try --epochs 12 (now 6), or more training images" in line


def test_a_good_score_needs_no_explanation(parts):
    classes = (one_class(parts, box_score=0.97, reach=reach(anchors=0.1, proposals=0.1)),)
    rising = ((5, 0.9), (6, 0.97))
    result = run(parts, scores={"AP50": 0.97}, evaluations=rising, classes=classes)
    line = only_line(parts, result)
    assert line == "AP50 is 0.970, and nothing stands out that keeps it down"


def test_a_run_without_evaluations(parts):
    classes = (one_class(parts, box_score=None, num_proposed=0, reach=reach(proposals=None)),)
    unscored = {"scores": {}, "evaluations": (), "split": "training", "classes": classes}
    line = only_line(parts, run(parts, **unscored))
    assert line.startswith("nothing in the losses and the anchors") and "not scored" in line
    unreached = classes[0]._replace(reach=reach(anchors=0.3, proposals=None))
    unscored["classes"] = (unreached,)
    head, finding = parts.report.end_report(run(parts, **unscored))
    assert head == "what may keep the score down:"
    assert "with 70 % of 50 objects of cell (40 pixels large) in the training set" in finding


def test_anchors_that_do_not_reach_a_class(parts):
    remedies = (
        parts.run_result.Remedy('"anchor_sizes=((12,),)"', {"cell": 0.97, "egg": 1.0}),
        parts.run_result.Remedy("short=1600 max_size=2666", {"cell": 0.9, "egg": 0.5}),
    )
    cell = one_class(
        parts, box_score=0.1, reach=reach(anchors=0.38, proposals=0.3, candidates=0.3, length=12.0)
    )
    egg = one_class(parts, "egg", box_score=0.1, num_proposed=0, reach=reach(anchors=0, length=9.0))
    fine = one_class(parts, "fine")
    result = run(parts, classes=(cell, egg, fine), remedies=remedies)
    finding = only_finding(parts, result)
    assert finding == (
        "the anchors are 32 to 512 pixels large in the network's input, and none has an IoU of 0.5 "
        "or more with 100 % of 50 objects of egg (9 pixels large), 62 % of 50 objects of cell (12 "
        'pixels large) in the validation set; try --set "anchor_sizes=((12,),)", which leaves 0 %, '
        "3 % without one, or --set short=1600 max_size=2666, which leaves 50 %, 10 % without one"
    )
    without = only_finding(parts, result._replace(remedies=()))
    assert without.endswith("; choose anchor_sizes and anchor_ratios closer to the boxes")
    many = [one_class(parts, f"c{n}", reach=reach(anchors=0, proposals=0)) for n in range(7)]
    finding = only_finding(parts, run(parts, classes=tuple(many)))
    assert "c2 (40 pixels large), likewise of c3, c4, c5, c6 in the" in finding


def test_distant_anchors_are_no_fault_if_the_proposals_reach(parts):
    cell = one_class(parts, reach=reach(anchors=0.1, candidates=0.99, proposals=0.95))
    assert "no single cause" in only_line(parts, run(parts, classes=(cell,)))


def test_proposals_that_miss_what_the_anchors_reach(parts):
    lost_before = reach(candidates=0.5, proposals=0.45)
    cell = one_class(parts, box_score=0.4, reach=lost_before)
    finding = only_finding(parts, run(parts, classes=(cell,), anchors_of_level=12000))
    assert finding == (
        "cell: anchors reach 100 % of its objects, the boxes that enter the NMS of the proposals "
        "50 %, the proposals 45 %; try --set rpn_train_pre_nms=4000 rpn_test_pre_nms=2000, as only "
        "1000 of 12000 boxes enter"
    )
    all_enter = only_finding(parts, run(parts, classes=(cell,), anchors_of_level=900))
    assert all_enter.endswith("the proposals 45 %; try --epochs 12 (now 6)")
    few = cell._replace(reach=lost_before._replace(positive=0.2))
    finding = only_finding(parts, run(parts, classes=(few,)))
    assert "try --set rpn_pos_iou_thresh=0.5, as only 20 % have an anchor with an IoU of 0.7" in (
        finding
    )
    lost_in_nms = cell._replace(reach=reach(candidates=0.98, proposals=0.45))
    finding = only_finding(parts, run(parts, classes=(lost_in_nms,)))
    assert finding.endswith(
        "try --set rpn_train_post_nms=2000 rpn_test_post_nms=2000 (now 1000 after the NMS)"
    )


def test_an_rpn_that_was_still_learning(parts):
    falling = np.repeat([4.0, 3.6, 3.2, 2.8, 2.4, 2.0], STEPS)
    falling[1::2] += 0.01
    result = run(
        parts,
        losses={"rpn_class": falling, "rcnn_class": settled(6)},
        rates=np.full(6 * STEPS, 0.01),
        classes=(one_class(parts, box_score=0.3, reach=reach(candidates=0.4, proposals=0.4)),),
    )
    _, finding, progress = parts.report.end_report(result)
    assert "try --epochs 12 (now 6), as the losses of the RPN were still falling" in finding
    assert progress.startswith("  the losses were still falling (a sum of 3")


def test_few_objects_with_proposals_say_nothing(parts):
    cell = one_class(parts, box_score=0.1, num_proposed=4, reach=reach(proposals=0.2))
    assert "no single cause" in only_line(parts, run(parts, classes=(cell,)))


def test_a_head_that_misses_what_is_proposed(parts):
    cell = one_class(parts, box_score=0.5, train_images=12)
    common = one_class(parts, "common", train_images=95)
    finding = only_finding(parts, run(parts, classes=(cell, common)))
    assert finding == (
        "cell: proposals reach 100 % of its objects, and its AP50 is 0.500, so the box head "
        "confuses or misses it; it is in 12 of 100 training images; try --repeat-threshold 0.48, "
        "which shows it twice as often, or --class-weights cell=2"
    )
    used = {"repeat_threshold": 0.5, "weighted_classes": ("cell",)}
    finding = only_finding(parts, run(parts, classes=(cell, common), flags=used))
    assert "try --augment color_jitter random_crop, or more training images of it" in finding
    used["augments"] = True
    finding = only_finding(parts, run(parts, classes=(cell, common), flags=used))
    assert "try --set short=1200, or more training images of it" in finding
    rising = run(parts, classes=(cell, common), flags=used, evaluations=((3, 0.5), (6, 0.8)))
    _, finding, _ = parts.report.end_report(rising)
    assert finding.endswith("try --epochs 12 (now 6), as AP50 was still rising")
    # Twelve images are no fewer than those of the other classes.
    finding = only_finding(parts, run(parts, classes=(cell, one_class(parts, train_images=40))))
    assert "--repeat-threshold" not in finding and "--augment" in finding


def test_the_name_of_a_class_is_quoted_for_the_shell(parts):
    red = one_class(parts, "red cell", box_score=0.1, train_images=2)
    finding = only_finding(parts, run(parts, classes=(red, one_class(parts))))
    assert "--class-weights 'red cell=2'" in finding


def test_masks_that_are_worse_than_boxes(parts):
    cell = one_class(parts, mask_score=0.5)
    finding = only_finding(parts, run(parts, classes=(cell,)))
    assert finding == (
        "cell: the AP50 of its boxes is 0.900, that of its masks 0.500; try --set "
        "mask_roi_size=28 (now 14)"
    )


def test_many_classes_take_few_lines(parts):
    classes = [one_class(parts, f"c{n}", box_score=0.5 - n / 100) for n in range(9)]
    _, *findings = parts.report.end_report(run(parts, classes=tuple(classes)))
    assert [finding.split(":")[0].strip() for finding in findings] == ["c8", "c7", "c6"]
    assert findings[-1].endswith("(likewise c5, c4, c3, c2 and 2 more)")


def test_a_class_without_training_objects(parts):
    lost = one_class(parts, "star", train_objects=0, train_images=0, box_score=0.0)
    finding = only_finding(parts, run(parts, classes=(lost, one_class(parts))))
    assert finding.startswith("star: 50 validation objects, and not one in the training set")
    assert "--classes" in finding
    finding = only_finding(parts, run(parts, unknown_classes=("moon",)))
    assert finding.startswith("moon: classes of the validation files that the training set does")


def test_more_objects_than_detections(parts):
    crowded = np.array([30, 30, 140])
    finding = only_finding(parts, run(parts, objects_of_image=crowded))
    assert finding == (
        "1 of 3 validation images have more than 100 objects, the most detections of an image; "
        "20 % of all objects cannot be found; try --set max_detections=140"
    )
    config = DetectorConfig(rpn_test_post_nms=100, rpn_train_post_nms=500, max_detections=200)
    finding = only_finding(parts, run(parts, objects_of_image=crowded, config=config))
    assert finding.endswith("try --set rpn_train_post_nms=500 rpn_test_post_nms=280")
    assert "no single" in only_line(parts, run(parts, objects_of_image=np.array([99, 101])))


def test_losses_that_still_fall(parts):
    falling = 1 + np.exp(-np.arange(6 * STEPS) / 60)
    constant = np.full(6 * STEPS, 0.01)
    learning = {"losses": {"rcnn_class": falling}, "rates": constant}
    finding = only_finding(parts, run(parts, **learning))
    assert finding.startswith("the losses were still falling (a sum of 1.16 in the last 20 steps,")
    assert finding.endswith("had not been lowered; try --epochs 12 (now 6)")
    timed = only_finding(parts, run(parts, **learning, flags={"minutes": 30}))
    assert timed.endswith("try --minutes 60 (now 30)")
    stopped = only_finding(parts, run(parts, **learning, flags={"patience": 3, "epochs": 50}))
    assert stopped.endswith("try --patience 6 (now 3)")
    # Where the rate was lowered, the losses fall because of that.
    lowered = run(parts, losses={"rcnn_class": falling})
    assert "no single cause" in only_line(parts, lowered)


def test_scores_that_still_rise(parts):
    rising = run(parts, evaluations=((3, 0.5), (6, 0.8)))
    finding = only_finding(parts, rising)
    assert finding == (
        "AP50 was still rising (0.500 after epoch 3, 0.800 after epoch 6); try --epochs 12 (now 6)"
    )


def test_losses_that_do_not_fall(parts):
    flat = {"losses": {"rcnn_class": settled(6, start=1.05)}, "scores": {"AP50": 0.01}}
    finding = only_finding(parts, run(parts, **flat, flags={"lr": 0.001}))
    assert finding.startswith("the losses did not fall: their sum is 1.0")
    assert finding.endswith("the learning rate is low; try --lr 0.01 (now 0.001)")
    finding = only_finding(parts, run(parts, **flat, flags={"lr": 0.5}))
    assert finding.endswith("the learning rate is high; try --lr 0.01 (now 0.5)")
    finding = only_finding(parts, run(parts, **flat))
    assert finding.endswith("try --lr 0.00333 (now 0.01) or --lr 0.03")
    # The losses of a run's later part do not tell.
    assert "no single cause" in only_line(parts, run(parts, **flat, epochs=9))
    # A run that starts from a trained detector has little to learn.
    trained = run(parts, losses=flat["losses"])
    assert "no single cause" in only_line(parts, trained)


def test_losses_that_rise_again(parts):
    losses = settled(6)
    losses[-2 * STEPS :] += 1
    finding = only_finding(parts, run(parts, losses={"rcnn_class": losses}))
    assert finding.startswith("the losses rose again, from 1 in an earlier part of the run to 2")
    assert finding.endswith("is too high; try --lr 0.00333 (now 0.01), or --clip-gradient 10")


def test_a_best_score_of_long_ago(parts):
    peak = ((1, 0.5), (2, 0.87), (4, 0.82), (6, 0.8))
    finding = only_finding(parts, run(parts, evaluations=peak))
    assert finding.startswith("AP50 was best after epoch 2 (0.870) and has fallen to 0.800")
    assert "-best.params has the weights of epoch 2; try --augment color_jitter" in finding
    assert "--patience 3" in finding
    used = {"augments": True, "patience": 2}
    finding = only_finding(parts, run(parts, evaluations=peak, flags=used))
    assert "--augment" not in finding and "--patience" not in finding
    assert finding.endswith("try --epochs 2 with a rate that falls within them")


def test_a_rate_that_was_never_lowered(parts):
    finding = only_finding(parts, run(parts, rates=np.full(6 * STEPS, 0.01)))
    assert finding.startswith("the learning rate was never lowered (0.01 to the end)")
    assert finding.endswith("try --lr-mode cosine or --lr-decay-epoch 4.5")


def test_too_few_steps_and_no_anchors_say_nothing_wrong(parts):
    few = {"rcnn_class": np.array([1.0, 2.0, 3.0])}
    line = only_line(parts, run(parts, losses=few, config=None, classes=(), reach=None))
    assert line.startswith("AP50 is 0.800, and no single cause stands out")
    none = parts.progress_findings.loss_trend(run(parts, losses=few))
    assert none is None


def remedies_for(parts, *sizes, **settings):
    """What would reach objects of these widths and heights, a class for each."""
    photo = np.zeros((256, 256, 3), np.uint8)
    classes = [f"class {number}" for number in range(len(sizes))]
    items = []
    for number, (width, height) in enumerate(sizes):
        box = [50.3, 60.7, 50.3 + width, 60.7 + height, number]
        items += [(photo, np.array([box]))] * 4
    objects = inspect(GluonCVDataset(items, classes=classes)).learnable_objects
    config = DetectorConfig(short=256, max_size=512, **settings)
    strides = (4, 8, 16, 32, 64)
    return parts.anchor_remedies.anchor_remedies(objects, classes, config, strides, multiple=32)


def test_remedies_are_those_that_reach(parts):
    anchors, larger_input = remedies_for(parts, (16, 16))
    assert anchors.settings == '"anchor_sizes=((16,),(32,),(64,),(128,),(256,))"'
    # The smallest enlargement: 1.41 leaves 22.6 pixels, less than half the area of 32.
    assert larger_input.settings == "short=431 max_size=862"
    assert anchors.reached == larger_input.reached == {"class 0": 1.0}
    # Small and large objects: anchors are added, because another input would lose a class.
    sizes = ((90,), (100,), (110,), (120,), (140,))
    (anchors,) = remedies_for(parts, (12, 12), (180, 180), anchor_sizes=sizes)
    assert anchors.reached == {"class 0": 1.0, "class 1": 1.0}
    # Where the cells of the first map are, 13 pixels fit better than 11 and than 16.
    assert anchors.settings == '"anchor_sizes=((13,90),(15,100),(16,110),(18,120),(21,140))"'
    (long_one,) = remedies_for(parts, (160, 25))
    assert long_one.settings == '"anchor_ratios=(0.16,0.5,1.0,2.0)"'
    # Reached as they are, and so small that no anchor on a grid of four pixels reaches them.
    assert remedies_for(parts, (40, 40)) == () == remedies_for(parts, (1.2, 1.2))


def test_images_for_proposals_are_evenly_spaced(parts):
    chosen = parts.proposals.spaced_images(np.repeat(np.arange(0, 1000, 2), 3))
    assert len(chosen) == 100 and chosen[0] == 0 and chosen[-1] == 998
    gaps = np.diff(chosen)
    assert gaps.min() >= 10 and gaps.max() <= 12
    assert parts.proposals.spaced_images(np.array([7, 7, 2])) == [2, 7]
    assert parts.proposals.spaced_images(np.zeros(0, int)) == []


def test_a_detector_without_anchors_is_judged_by_losses_and_scores(parts):
    net = SimpleNamespace(has_masks=False, classes=("cell",))
    dataset = [None] * 3
    flags = parts.run_result.RunFlags(lr=0.01, usual_lr=0.01, epochs=2)
    finished = parts.measures.FinishedRun(flags, net, mx.cpu(), dataset, dataset)
    rows = []
    for step, loss in enumerate(settled(2), 1):
        rows.append({"step": step, "lr": 0.01, "losses": {"own": float(loss)}})
        if step % STEPS == 0:
            scores = {"AP50": step / 100, "AP50/cell": step / 100, "AP50/none": -1.0}
            rows.append({"step": step, "epoch": step // STEPS, "eval": scores})
    result = parts.measures.measure_run(finished, rows, STEPS, 2)
    assert result.evaluations == ((1, 0.2), (2, 0.4)) and "AP50/none" not in result.scores
    _, finding = parts.report.end_report(result)
    assert "AP50 was still rising (0.200 after epoch 1, 0.400 after epoch 2)" in finding


SETTINGS = (
    "--set short=64 max_size=96 fpn_channels=32 rpn_channels=8 roi_size=3 num_sample=8 "
    "rpn_num_sample=16 rpn_train_pre_nms=50 rpn_train_post_nms=20 rpn_test_pre_nms=50 "
    "rpn_test_post_nms=10 max_detections=5"
).split()
FAR_ANCHORS = "anchor_sizes=((2,),(3,),(4,),(5,),(6,))"
NETWORK = ["--network", "faster_rcnn_fpn_resnet18_v1b_custom", "--norm", "gn"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=4, val=6, size=(64, 96))
    return folder


def train(shapes, prefix, *flags):
    data = ["--dataset", "coco", "--data-root", shapes, "--train-split", "train"]
    options = ["--val-split", "val", "--save-prefix", prefix, "--batch-size", 2, *SETTINGS]
    done = run_script("train_faster_rcnn.py", *NETWORK, *data, *options, FAR_ANCHORS, *flags)
    assert done.returncode == 0 and done.stderr.count("Traceback") == 0, done.stderr
    return done


def test_a_run_whose_anchors_reach_no_class_says_so(shapes, tmp_path):
    done = train(shapes, tmp_path / "run", "--epochs", 1)
    lines = done.stdout.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("what keeps AP50"))
    # The scores come before the report, and the names of the files after it.
    assert lines[start - 1].startswith("epoch 1: AP ")
    assert lines[-3].startswith("checkpoint ")
    report = lines[start + 1 : -3]
    anchors = next(line for line in report if line.startswith("  the anchors are 2 to 6 pixels"))
    truth = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    category = next(row["id"] for row in truth["categories"] if row["name"] == "square")
    count = sum(row["category_id"] == category for row in truth["annotations"])
    assert f"100 % of {count} objects of square (" in anchors and "circle" in anchors
    assert '; try --set "anchor_sizes=((' in anchors and "which leaves 0 %" in anchors
    logged = Path(f"{tmp_path / 'run'}.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in logged[-len(report) - 1 :]] == lines[start:-3]
    again = train(shapes, tmp_path / "run", "--epochs", 1, "--resume")
    assert again.stdout.splitlines()[-len(report) - 4 :] == lines[start:]


def test_a_run_without_evaluations_is_judged_on_the_training_set(shapes, tmp_path):
    done = train(shapes, tmp_path / "run", "--epochs", 1, "--val-interval", 0)
    assert "what may keep the score down:\n" in done.stdout
    assert "none has an IoU of 0.5 or more with 100 % of " in done.stdout
    assert "in the training set; try --set" in done.stdout


def test_an_error_in_the_report_costs_a_line(shapes, tmp_path, monkeypatch, parts):
    monkeypatch.setattr(parts.measures, "inspect", None)
    with pytest.warns(UserWarning, match="no report on what keeps the score down .TypeError: "):
        done = train(shapes, tmp_path / "run", "--epochs", 1)
    assert f"checkpoint {tmp_path / 'run'}-0000002.json" in done.stdout


def test_proposals_are_those_of_the_network(shapes, tmp_path, parts):
    """An RPN without deltas proposes its anchors, so the reach of both is known."""
    dataset = COCODataset(shapes / "annotations" / "instances_val.json", shapes / "val")
    net = model_zoo.get_model(
        NETWORK[1],
        norm="gn",
        classes=dataset.classes,
        short=64,
        max_size=96,
        fpn_channels=32,
        rpn_channels=8,
        anchor_sizes=((16,), (32,), (64,), (128,), (256,)),
    )
    net.rpn.loc.weight.set_data(mx.nd.zeros_like(net.rpn.loc.weight.data()))
    flags = parts.run_result.RunFlags(lr=0.01, usual_lr=0.01, epochs=1)
    finished = parts.measures.FinishedRun(flags, net, mx.cpu(), dataset, dataset)
    losses = {"rpn_class": 1.0}
    scores = {"AP50": 0.5, **{f"AP50/{name}": 0.5 for name in dataset.classes}}
    rows = [
        {"step": 1, "epoch": 0, "lr": 0.01, "losses": losses},
        {"step": 1, "epoch": 1, "eval": scores},
    ]
    result = parts.measures.measure_run(finished, rows, 1, 1)
    counts = np.bincount([row["category_id"] for row in dataset.coco_truth()["annotations"]])
    with_objects = np.count_nonzero(result.objects_of_image)
    assert result.proposed_images == with_objects < len(dataset)
    for entry in result.classes:
        assert entry.objects == entry.train_objects == entry.num_proposed
        assert entry.objects in counts and entry.box_score == 0.5
        # All anchors enter the NMS, and clipping brings an anchor closer to an object.
        assert entry.reach.candidates >= entry.reach.reached
    good = {name: 0.99 for name in scores}
    rows[1]["eval"] = good
    assert parts.measures.measure_run(finished, rows, 1, 1).proposed_images == 0
