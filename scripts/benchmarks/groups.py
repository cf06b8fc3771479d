"""What the benchmark compares: groups of rows measured side by side, and what each row should reach."""
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

Task = Dict[str, Any]

NMS_CLASSES = (1, 20, 80, 365, 1203)
BATCHES = (1, 2, 4, 8)
DTYPES = ("float32", "bfloat16", "int8")


class Target(NamedTuple):
    """What a row should reach: a ratio to its group's first row, or, for ``seconds``, a time."""
    kind: str  # "faster": at least so many times as fast; "step": the same, with no more memory; "slower"; "seconds"
    value: float

    def __str__(self) -> str:
        return {"faster": f"at least {self.value:g}x as fast", "slower": f"at most {self.value:g}x the time",
                "step": f"at least {self.value:g}x as fast, no more memory",
                "seconds": f"at most {1000 * self.value:g} ms"}[self.kind]


@dataclass(frozen=True)
class Row:
    """One process: ``program`` is ours, gluoncv or torchvision, ``task`` what it is told.

    ``against``: the label of the row it is compared with, if not the group's reference.
    """
    label: str
    program: str
    task: Task
    target: Optional[Target] = None
    against: Optional[str] = None


@dataclass(frozen=True)
class Group:
    """Rows that are alive together.

    ``reference``: the label of the row that those are compared with that name no other. ``weights``: tasks that write
    what the rows read. ``judge``: a row that is asked what it finds and not timed, where the reference's own answer is
    not to be relied on. ``alike``: whether all rows should find the same.
    """
    name: str
    title: str
    rows: Tuple[Row, ...]
    reference: str = ""
    weights: Tuple[Task, ...] = ()
    judge: Optional[Row] = None
    alike: bool = True


def groups(quick: bool) -> List[Group]:
    """All groups, in the order of measuring; ``quick`` has the same rows with less to do."""
    return [
        _detectors("gluoncv-fpn", "faster_rcnn_fpn_resnet50_v1b_coco", "gluoncv", (1.2, 2.0, 3.5), judged=True,
                   tuned=True),
        _detectors("gluoncv-c4", "faster_rcnn_resnet50_v1b_coco", "gluoncv", (2.0, None, None)),
        _detectors("gluoncv-mask", "mask_rcnn_fpn_resnet50_v1b_coco", "gluoncv", (3.0, None, None), judged=True),
        _detectors("torchvision-fpn", "fasterrcnn_resnet50_fpn", "torchvision", (1.15, 1.7, 2.5)),
        _detectors("torchvision-mask", "maskrcnn_resnet50_fpn", "torchvision", (None, None, None)),
        _norms(),
        _suppression(100 if quick else 1000),
        _batches(),
        _training("gluoncv-train", "faster_rcnn_fpn_resnet50_v1b_coco", "gluoncv", 1.3),
        _training("torchvision-train", "fasterrcnn_resnet50_fpn", "torchvision", 1.0),
    ]


def _detectors(name: str, network: str, peer: str, targets: Tuple[Optional[float], ...],
               judged: bool = False, tuned: bool = False) -> Group:
    """A peer's detector and ours, with the same weights, in every type; ``tuned``: the peer also as we run MXNet."""
    theirs = Row(peer, peer, {"kind": "detector", "network": network, "stem": name})
    also = (Row(f"{peer}-tuned", peer, {**theirs.task, "tuned": True}),) if tuned else ()
    ours = [Row(dtype, "ours", {"kind": "detector", "prefix": f"{name}-{dtype}"},
                None if target is None else Target("faster", target)) for dtype, target in zip(DTYPES, targets)]
    judge = Row("judge", peer, {**theirs.task, "kind": "judge"}) if judged else None
    weights = {"kind": "weights", "network": network, "stem": name, "source": peer, "dtypes": DTYPES}
    return Group(name, f"{network}, one image, against {peer}", (theirs, *also, *ours), peer, (weights,), judge)


def _norms() -> Group:
    """One architecture with each norm in the same places: backbone and pyramid."""
    network, norms = "faster_rcnn_fpn_resnet50_v1b_coco", ("frozen_bn", "gn", "sn", "sn_nobn")
    rows = tuple(Row(norm, "ours", {"kind": "detector", "prefix": f"{norm}-float32"},
                     Target("slower", 1.6) if norm != "frozen_bn" else None) for norm in norms)
    weights = tuple({"kind": "weights", "network": network, "stem": norm, "norm": norm, "dtypes": DTYPES[:1]}
                    for norm in norms)
    return Group("norms", f"{network} with each norm in backbone and pyramid, float32, one image", rows, "frozen_bn",
                 weights, alike=False)


def _suppression(rois: int) -> Group:
    """Final suppression alone, class by class and all at once."""
    rows = []
    for classes in NMS_CLASSES:
        task = {"kind": "nms", "rois": rois, "classes": classes}
        theirs = Row(f"gluoncv-{classes}", "gluoncv", task)
        rows += [theirs, Row(f"ours-{classes}", "ours", task, Target("seconds", 0.008), theirs.label)]
    return Group("nms", f"final suppression of {rois} RoIs, by the number of classes", tuple(rows))


def _batches() -> Group:
    """Seconds an image of several at a time."""
    network = "faster_rcnn_fpn_resnet50_v1b_coco"
    rows = tuple(Row(f"batch-{count}", "ours", {"kind": "detector", "prefix": "batch-float32", "images": count})
                 for count in BATCHES)
    return Group("batch", f"{network}, float32, several images at a time; seconds an image", rows, rows[0].label,
                 ({"kind": "weights", "network": network, "stem": "batch", "dtypes": DTYPES[:1]},))


def _training(name: str, network: str, peer: str, target: float) -> Group:
    """Forward, targets, backward and update of two images."""
    task = {"kind": "training", "network": network, "stem": name, "source": peer, "images": 2}
    return Group(name, f"training step of {network}, two images, stem and first stage frozen, against {peer}",
                 (Row(peer, peer, task), Row("ours", "ours", task, Target("step", target))), peer,
                 ({**task, "kind": "weights", "dtypes": ()},))
