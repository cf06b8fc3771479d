"""What the benchmark compares: groups of rows measured side by side, and their targets."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from gluonnorm._runtime import SPIN_COUNT, physical_cores

Task = Dict[str, Any]

NMS_CLASS_COUNTS = (1, 20, 80, 365, 1203)
BATCH_SIZES = (1, 2, 4, 8)
DTYPES = ("float32", "bfloat16", "int8")
# Run times of ONNX files, with the types in which they compute. int8 has files of its own.
ONNX_ROWS = (("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"))
NORMS = ("frozen_bn", "gn", "sn", "sn_nobn")
DEFAULT_NETWORK = "faster_rcnn_fpn_resnet50_v1b_coco"
SHARED_SIZE = (300, 400)
QUICK_SHARED_SIZE = (64, 96)
SMALL_SIZE = (128, 160)
# How long the threads of libgomp look for work before they sleep. The first one is its default.
LIBGOMP_SPINS = "300000"
WAITING = {
    "libgomp": {"GOMP_SPINCOUNT": LIBGOMP_SPINS},
    "spin-300": {"GOMP_SPINCOUNT": "300"},
    "spin-1000": {"GOMP_SPINCOUNT": "1000"},
    "spin-10000": {"GOMP_SPINCOUNT": "10000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
}
CHOSEN_WAITING = f"spin-{SPIN_COUNT}"


class Target(NamedTuple):
    """What a row should reach.

    Attributes
    ----------
    rule : str
        "faster": at least ``value`` times as fast as the reference. "step": the same, with no
        more memory. "slower": at most ``value`` times the reference's time. "seconds": at most
        ``value`` seconds.
    value : float
        The factor or the time.
    """

    rule: str
    value: float

    def __str__(self) -> str:
        if self.rule == "faster":
            return f"at least {self.value:g}x as fast"
        if self.rule == "step":
            return f"at least {self.value:g}x as fast, no more memory"
        if self.rule == "slower":
            return f"at most {self.value:g}x the time"
        return f"at most {1000 * self.value:g} ms"


@dataclass(frozen=True)
class Row:
    """One process of the benchmark.

    Attributes
    ----------
    label : str
        Its name within the group.
    program : str
        "gluonnorm", "gluoncv", "torchvision", "onnxruntime", "openvino", or "nncf", which quantizes
        an ONNX file and runs it in OpenVINO; the process runs ``benchmarks.row_<program>``.
    task : dict
        What the process is told. ``job`` is the name of one of its functions: "detector",
        "corrected_detector", "training", "nms", "weights" or "onnx".
    target : Target or None
        What it should reach.
    compared_with : str or None
        The label of the row that it is compared with, if that is not the group's reference.
    environment : dict of str to str
        Variables of its process.
    busy : int
        How many other processes compute while it is measured.
    other_login : bool
        Whether these are processes of another login. Linux then shares the processors between the
        logins, and not between the processes.
    """

    label: str
    program: str
    task: Task
    target: Optional[Target] = None
    compared_with: Optional[str] = None
    environment: Dict[str, str] = field(default_factory=dict)
    busy: int = 0
    other_login: bool = False


@dataclass(frozen=True)
class Group:
    """Rows whose processes are alive together.

    Attributes
    ----------
    name : str
        Its name on the command line.
    title : str
        What it compares.
    rows : tuple of Row
        In the order of measuring.
    reference : str
        The label of the row that the others are compared with, unless they name another.
    weights : tuple of dict
        Tasks of processes that write the files that the rows read, in this order. ``program`` is
        "gluonnorm" unless a task names another.
    corrected : Row or None
        A row that is not timed. Its detections are the expected ones where those of the
        reference depend on uninitialized memory.
    same_detections : bool
        Whether all rows should give the same detections.
    """

    name: str
    title: str
    rows: Tuple[Row, ...]
    reference: str = ""
    weights: Tuple[Task, ...] = ()
    corrected: Optional[Row] = None
    same_detections: bool = True


def all_groups(quick: bool) -> List[Group]:
    """List all groups, in the order of measuring.

    Parameters
    ----------
    quick : bool
        Whether the rows get less to do.

    Returns
    -------
    list of Group
        The same groups and rows in either case.
    """
    return [
        _detector_group(
            "gluoncv-fpn", DEFAULT_NETWORK, "gluoncv", (1.2, 2.0, 3.5), corrected=True, tuned=True
        ),
        _detector_group(
            "gluoncv-c4", "faster_rcnn_resnet50_v1b_coco", "gluoncv", (1.35, 2.6, None)
        ),
        _detector_group(
            "gluoncv-mask",
            "mask_rcnn_fpn_resnet50_v1b_coco",
            "gluoncv",
            (3.0, None, None),
            corrected=True,
        ),
        _detector_group(
            "torchvision-fpn", "fasterrcnn_resnet50_fpn", "torchvision", (1.15, 1.7, 2.5)
        ),
        _detector_group(
            "torchvision-mask", "maskrcnn_resnet50_fpn", "torchvision", (None, None, None)
        ),
        _runtime_group(),
        _norm_group(),
        _nms_group(rois=100 if quick else 1000),
        _batch_group(),
        _training_group("gluoncv-train", DEFAULT_NETWORK, "gluoncv", (1.3, 2.0)),
        _training_group(
            "torchvision-train",
            "fasterrcnn_resnet50_fpn",
            "torchvision",
            (1.25, 1.7),
            autocast=True,
        ),
        *_shared_machine_groups(QUICK_SHARED_SIZE if quick else SHARED_SIZE),
        _small_images_group(QUICK_SHARED_SIZE if quick else SMALL_SIZE),
    ]


def _detector_group(
    name: str,
    network: str,
    peer: str,
    speedups: Tuple[Optional[float], ...],
    corrected: bool = False,
    tuned: bool = False,
) -> Group:
    """Compare a peer's detector with this package's in every type, with the same weights.

    ``tuned`` adds the peer with the MXNet settings that this package makes.
    """
    peer_task = {"job": "detector", "network": network, "stem": name}
    rows = [Row(peer, peer, peer_task)]
    if tuned:
        rows.append(Row(f"{peer}-tuned", peer, {**peer_task, "tuned": True}))
    for dtype, speedup in zip(DTYPES, speedups):
        target = None if speedup is None else Target("faster", speedup)
        task = {"job": "detector", "prefix": f"{name}-{dtype}"}
        rows.append(Row(dtype, "gluonnorm", task, target))
    corrected_row = None
    if corrected:
        corrected_row = Row("corrected", peer, {**peer_task, "job": "corrected_detector"})
    weights = {"job": "weights", "network": network, "stem": name, "source": peer, "dtypes": DTYPES}
    title = f"{network}, one image, against {peer}"
    return Group(name, title, tuple(rows), peer, (weights,), corrected_row)


def _runtime_group() -> Group:
    """Compare the run times of exported networks, with torchvision's model in each of them."""
    stem = "runtimes"
    peer_stem = f"{stem}-peer"
    network = "fasterrcnn_resnet50_fpn"
    eager = {"job": "detector", "network": network, "stem": stem}
    rows = [
        Row("torchvision", "torchvision", eager),
        Row("torchvision-bfloat16", "torchvision", {**eager, "dtype": "bfloat16"}),
    ]
    for dtype, speedup in zip(DTYPES, (1.45, 2.6, 3.9)):
        task = {"job": "detector", "prefix": f"{stem}-{dtype}"}
        rows.append(Row(f"mxnet-{dtype}", "gluonnorm", task, Target("faster", speedup)))
    for program, dtype in ONNX_ROWS:
        label = f"{program}-{dtype}"
        peer_label = f"torchvision-{label}"
        peer_task = {"job": "detector", "prefix": f"{peer_stem}-onnx", "dtype": dtype}
        task = {"job": "detector", "prefix": f"{stem}-onnx", "dtype": dtype}
        rows.append(Row(peer_label, program, peer_task))
        rows.append(Row(label, program, task, Target("faster", 1), peer_label))
    quantized_peer = {"job": "detector", "prefix": f"{peer_stem}-onnx"}
    peer = Row("torchvision-openvino-int8", "nncf", quantized_peer)
    quantized = {"job": "detector", "prefix": f"{stem}-openvino-int8", "dtype": "int8"}
    rows.append(peer)
    rows.append(Row("openvino-int8", "openvino", quantized, Target("faster", 1), peer.label))
    weights = {
        "job": "weights",
        "network": network,
        "stem": stem,
        "source": "torchvision",
        "dtypes": (*DTYPES, "onnx", "openvino-int8"),
    }
    peer_file = {
        "job": "onnx",
        "program": "torchvision",
        "network": network,
        "stem": peer_stem,
        "weights_stem": stem,
        "dtypes": (),
    }
    title = f"{network} in each run time, one image, against torchvision in the same one"
    return Group(stem, title, tuple(rows), rows[0].label, (weights, peer_file))


def _norm_group() -> Group:
    """Compare one architecture with each norm in the same places, backbone and pyramid."""
    rows = []
    weights = []
    for norm in NORMS:
        target = None if norm == "frozen_bn" else Target("slower", 1.6)
        task = {"job": "detector", "prefix": f"{norm}-float32"}
        rows.append(Row(norm, "gluonnorm", task, target))
        weights.append(
            {
                "job": "weights",
                "network": DEFAULT_NETWORK,
                "stem": norm,
                "norm": norm,
                "dtypes": ("float32",),
            }
        )
    title = f"{DEFAULT_NETWORK} with each norm in backbone and pyramid, float32, one image"
    return Group("norms", title, tuple(rows), "frozen_bn", tuple(weights), same_detections=False)


def _nms_group(rois: int) -> Group:
    """Compare the final suppression alone: GluonCV's class by class, this package's all at once."""
    rows = []
    for classes in NMS_CLASS_COUNTS:
        task = {"job": "nms", "rois": rois, "classes": classes}
        peer = Row(f"gluoncv-{classes}", "gluoncv", task)
        target = Target("seconds", 0.008)
        rows.append(peer)
        rows.append(Row(f"ours-{classes}", "gluonnorm", task, target, compared_with=peer.label))
    title = f"final suppression of {rois} RoIs, by the number of classes"
    return Group("nms", title, tuple(rows))


def _batch_group() -> Group:
    """Compare the seconds an image takes alone and with others in its batch."""
    rows = []
    for batch_size in BATCH_SIZES:
        task = {"job": "detector", "prefix": "batch-float32", "images": batch_size}
        rows.append(Row(f"batch-{batch_size}", "gluonnorm", task))
    weights = {
        "job": "weights",
        "network": DEFAULT_NETWORK,
        "stem": "batch",
        "dtypes": ("float32",),
    }
    title = f"{DEFAULT_NETWORK}, float32, several images at a time; seconds an image"
    return Group("batch", title, tuple(rows), rows[0].label, (weights,))


def _training_group(
    name: str, network: str, peer: str, speedups: Tuple[float, float], autocast: bool = False
) -> Group:
    """Compare forward, targets, backward and update of two images.

    ``speedups`` are those wanted in float32 and in bfloat16, both over the peer in float32.
    ``autocast`` adds the peer in bfloat16.
    """
    task = {"job": "training", "network": network, "stem": name, "source": peer, "images": 2}
    bfloat16_task = {**task, "dtype": "bfloat16"}
    rows = [Row(peer, peer, task)]
    if autocast:
        rows.append(Row(f"{peer}-bfloat16", peer, bfloat16_task))
    float32_speedup, bfloat16_speedup = speedups
    rows.append(Row("ours", "gluonnorm", task, Target("step", float32_speedup)))
    target = Target("step", bfloat16_speedup)
    rows.append(Row("ours-bfloat16", "gluonnorm", bfloat16_task, target))
    weights = {**task, "job": "weights", "dtypes": ()}
    title = f"training step of {network}, two images, stem and first stage frozen, against {peer}"
    return Group(name, title, tuple(rows), peer, (weights,))


def _shared_machine_groups(size: Tuple[int, int]) -> List[Group]:
    """Compare how long threads may wait for each other, alone and beside busy processes.

    Beside as many busy processes as there are cores, the fair share is half of the machine. The
    chosen way may cost 5 % alone, and beside them 2.5 times what it would cost with that share.
    """
    common = {"network": DEFAULT_NETWORK, "stem": "shared", "size": size}
    detector = {**common, "job": "detector", "prefix": "shared-float32"}
    training = {**common, "job": "training", "source": "gluoncv", "images": 2}
    where = f"{DEFAULT_NETWORK}, {size[0]}x{size[1]} pixels, by how long threads wait"
    groups = []
    for name, title, task, dtypes in (
        ("shared-machine", f"one image, {where}", detector, ("float32",)),
        ("shared-machine-train", f"training step of two images, {where}", training, ()),
    ):
        rows: List[Row] = []
        for suffix, busy, limit in (("", 0, 1.05), ("-beside", physical_cores(), 2.5 * 2)):
            for label, variables in WAITING.items():
                target = Target("slower", limit) if label == CHOSEN_WAITING else None
                row = Row(label + suffix, "gluonnorm", task, target, None, variables, busy)
                rows.append(row)
        weights = {**task, "job": "weights", "dtypes": dtypes}
        groups.append(Group(name, title, tuple(rows), rows[0].label, (weights,)))
    return groups


def _small_images_group(size: Tuple[int, int]) -> Group:
    """Compare all threads with one, for training on small images beside a busy process.

    The busy process belongs to another login, so it has a processor for itself on a machine of two.
    The target is 2.5 times the time of one thread alone.
    """
    task = {
        "job": "training",
        "network": "fasterrcnn_resnet50_fpn",
        "stem": "small",
        "source": "torchvision",
        "images": 2,
        "size": size,
        "dtype": "bfloat16",
    }
    threads = {"one-thread": {"OMP_NUM_THREADS": "1"}, "all-threads": {}}
    rows = []
    for suffix, busy in (("", 0), ("-beside", 1)):
        for label, variables in threads.items():
            target = Target("slower", 2.5) if label == "all-threads" and busy else None
            row = Row(
                label + suffix,
                "gluonnorm",
                task,
                target,
                environment=variables,
                busy=busy,
                other_login=True,
            )
            rows.append(row)
    weights = {**task, "job": "weights", "dtypes": ()}
    title = (
        f"training step of two images in bfloat16, {task['network']}, {size[0]}x{size[1]} pixels, "
        "alone and beside one busy process of another login"
    )
    return Group("shared-machine-small", title, tuple(rows), rows[0].label, (weights,))
