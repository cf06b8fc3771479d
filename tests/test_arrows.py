"""House rules that no linter knows: imports, density, names, docstrings, no paths of a machine."""

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# What each room may import of ours, besides itself and what EVERYONE may. Rooms of a higher floor
# come later.
ARROWS: Dict[str, Tuple[str, ...]] = {
    "gluonnorm": ("gluonnorm._runtime", "gluonnorm.job_watch"),
    # floor 0
    "gluonnorm._runtime": (),
    "gluonnorm.job_watch": (),
    "gluonnorm.processor": ("gluonnorm._runtime",),
    "gluonnorm.__main__": ("gluonnorm._runtime", "gluonnorm.processor"),
    "gluonnorm.errors": (),
    "gluonnorm.late_import": (),
    "gluonnorm.cropped_masks": (),
    "gluonnorm.types": ("gluonnorm.cropped_masks",),
    "gluonnorm.class_names": (),
    "gluonnorm.class_colors": (),
    "gluonnorm.convention": (),
    "gluonnorm.registry": (),
    "gluonnorm.weight_files": (),
    "gluonnorm.training": ("gluonnorm._runtime", "gluonnorm.weight_files"),
    # floor 1
    "gluonnorm.graph": (),
    "gluonnorm.ops": (),
    "gluonnorm.photos": ("gluonnorm.cropped_masks",),
    "gluonnorm.nn": ("gluonnorm.graph", "gluonnorm.registry"),
    # floor 2
    "gluonnorm.backbones": ("gluonnorm.nn",),
    "gluonnorm.data": ("gluonnorm.photos",),
    "gluonnorm.coco_results": ("gluonnorm.photos", "gluonnorm.cropped_masks"),
    "gluonnorm.evaluation": ("gluonnorm.photos", "gluonnorm.coco_results"),
    "gluonnorm.visualize": ("gluonnorm.cropped_masks", "gluonnorm.class_colors"),
    "gluonnorm.detection_formats": (
        "gluonnorm.photos",
        "gluonnorm.cropped_masks",
        "gluonnorm.class_colors",
        "gluonnorm.coco_results",
    ),
    # floor 3
    "gluonnorm.rcnn": (
        "gluonnorm.nn",
        "gluonnorm.ops",
        "gluonnorm.graph",
        "gluonnorm.convention",
        "gluonnorm.weight_files",
        "gluonnorm.processor",
    ),
    "gluonnorm.deploy": (
        "gluonnorm._runtime",
        "gluonnorm.graph",
        "gluonnorm.photos",
        "gluonnorm.weight_files",
    ),
    "gluonnorm.conversion": ("gluonnorm.weight_files", "gluonnorm.convention"),
    # floors 4 and 5
    "model_zoo": (
        "gluonnorm.rcnn",
        "gluonnorm.backbones",
        "gluonnorm.nn",
        "gluonnorm.conversion",
        "gluonnorm.weight_files",
        "gluonnorm.registry",
        "gluonnorm.training",
    ),
    "scripts": ("gluonnorm", "model_zoo"),
}
EVERYONE = (
    "gluonnorm.types",
    "gluonnorm.errors",
    "gluonnorm.class_names",
    "gluonnorm.late_import",
)
TOP_LEVEL = ("gluonnorm", "model_zoo", "scripts")
# Names, operators and numbers a non-blank line. ChainerCV, torchvision and Detectron2 have about 5.
DENSEST = 8.5
# photos serves machines without MXNet as well.
PHOTOS_MAY_NOT_IMPORT = ("mxnet", "gluoncv", "cv2")
VAGUE = {"util", "utils", "common", "core", "helpers", "misc"}
DOCUMENTS = (
    "*.md",
    "docs/**/*.md",
    "gluonnorm/**/*.py",
    "model_zoo/**/*.py",
    "scripts/**/*.py",
    "setup.py",
    "pyproject.toml",
    "Makefile",
    ".ci/run",
)
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(work|root|tmp|home)/")


def within(name: str, parent: str) -> bool:
    return name == parent or name.startswith(parent + ".")


def room_of(module: str) -> str:
    """``gluonnorm.nn.norm`` -> ``gluonnorm.nn``; ``scripts.demo`` -> ``scripts``."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "gluonnorm" else parts[0]


def imported(node: ast.AST, package: str) -> List[str]:
    """Full dotted names an import statement asks for, names inside a module included."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    source = ".".join(parents + ([node.module] if node.module else []))
    return [f"{source}.{alias.name}" for alias in node.names]


def may_import(room: str, name: str) -> bool:
    """Whether a file of ``room`` may import ``name``; what is not ours is always allowed."""
    if (
        name.split(".")[0] not in TOP_LEVEL
        or name == "gluonnorm"
        or name.startswith("gluonnorm.__")
    ):
        return True
    own = () if room == "gluonnorm" else (room,)
    return any(within(name, allowed) for allowed in own + EVERYONE + ARROWS.get(room, ()))


def density(text: str) -> float:
    """Code tokens a non-blank line; strings, and so docstrings, do not count as tokens."""
    counted = (tokenize.NAME, tokenize.OP, tokenize.NUMBER)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    code = sum(token.type in counted for token in tokens)
    return code / max(1, sum(bool(line.strip()) for line in text.splitlines()))


def violations_of(path: Path, root: Path) -> Iterator[str]:
    """House rules that one source file breaks."""
    relative = path.relative_to(root)
    is_package = path.name == "__init__.py"
    parts = relative.with_suffix("").parts[: -1 if is_package else None]
    module = ".".join(parts)
    package = module if is_package else ".".join(parts[:-1])
    room, text = room_of(module), path.read_text(encoding="utf-8")
    tree = ast.parse(text, filename=str(relative))

    if room not in ARROWS:
        yield f"{relative}: room {room} is not in the plan"
    if VAGUE & set(parts):
        vague = ", ".join(sorted(VAGUE & set(parts)))
        yield f"{relative}: {vague} says nothing; name the file for what it holds"
    if density(text) > DENSEST:
        yield f"{relative}: {density(text):.1f} code tokens a line, at most {DENSEST}"
    for node in ast.walk(tree):
        for name in imported(node, package):
            if name.endswith(".*"):
                yield f"{relative}:{node.lineno}: wildcard import of {name[:-2]}"
            elif room == "gluonnorm.photos" and name.split(".")[0] in PHOTOS_MAY_NOT_IMPORT:
                yield f"{relative}:{node.lineno}: {room} may not import {name}"
            elif not may_import(room, name):
                yield f"{relative}:{node.lineno}: {room} may not import {name}"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for inner in ast.walk(node):
                if isinstance(inner, (ast.Import, ast.ImportFrom)):
                    yield f"{relative}:{inner.lineno}: import inside {node.name}"
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield f"{relative}:{node.lineno}: {node.name} has no docstring"


def violations(root: Path) -> List[str]:
    """House rules broken in the tree under ``root``."""
    files = sorted(path for top in TOP_LEVEL for path in root.glob(f"{top}/**/*.py"))
    found = [violation for path in files for violation in violations_of(path, root)]
    for path in sorted(path for pattern in DOCUMENTS for path in root.glob(pattern)):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(
                    f"{path.relative_to(root)}:{number}: path of one machine: {line.strip()}"
                )
    return found


def test_house_rules_hold() -> None:
    assert list(REPOSITORY.glob("gluonnorm/**/*.py")), "nothing was checked"
    assert violations(REPOSITORY) == []


@pytest.mark.parametrize(
    "name, text, complaint",
    [
        (
            "gluonnorm/nn/norm.py",
            "from gluonnorm.ops import boxes\n",
            "gluonnorm.nn may not import gluonnorm.ops.boxes",
        ),
        (
            "gluonnorm/nn/norm.py",
            "from gluonnorm import ops\n",
            "gluonnorm.nn may not import gluonnorm.ops",
        ),
        (
            "gluonnorm/nn/norm.py",
            "from ..ops.boxes import iou\n",
            "gluonnorm.nn may not import gluonnorm.ops.boxes.iou",
        ),
        (
            "gluonnorm/nn/__init__.py",
            "from .. import ops\n",
            "gluonnorm.nn may not import gluonnorm.ops",
        ),
        (
            "gluonnorm/__init__.py",
            "from gluonnorm import nn\n",
            "gluonnorm may not import gluonnorm.nn",
        ),
        (
            "gluonnorm/types.py",
            "import gluonnorm.nn\n",
            "gluonnorm.types may not import gluonnorm.nn",
        ),
        (
            "gluonnorm/data/voc.py",
            "from gluonnorm.ops.boxes import iou\n",
            "gluonnorm.data may not import",
        ),
        (
            "gluonnorm/rcnn/rpn.py",
            "import gluonnorm.backbones.fpn\n",
            "gluonnorm.rcnn may not import gluonnorm.backbones",
        ),
        (
            "model_zoo/build.py",
            "import gluonnorm.data\n",
            "model_zoo may not import gluonnorm.data",
        ),
        (
            "gluonnorm/deploy/int8.py",
            "import model_zoo\n",
            "gluonnorm.deploy may not import model_zoo",
        ),
        ("gluonnorm/nn/norm.py", "from numpy import *\n", "wildcard import of numpy"),
        ("gluonnorm/nn/norm.py", "def _f():\n    import numpy\n", "import inside _f"),
        ("gluonnorm/data/utils.py", "", "utils says nothing"),
        ("gluonnorm/engine/loop.py", "", "room gluonnorm.engine is not in the plan"),
        (
            "gluonnorm/photos/resize.py",
            "import mxnet as mx\n",
            "gluonnorm.photos may not import mxnet",
        ),
        (
            "gluonnorm/data/voc.py",
            "from gluonnorm.weight_files import compare\n",
            "gluonnorm.data may not import",
        ),
        ("gluonnorm/nn/norm.py", "x = (1 + 2) * (3 + 4)\n", "13.0 code tokens a line, at most 8.5"),
        ("scripts/demo.py", "\nx = a[1:2], b[3:4]\n\n", "15.0 code tokens a line, at most 8.5"),
        ("gluonnorm/nn/norm.py", "def make_norm():\n    return 1\n", "make_norm has no docstring"),
        ("gluonnorm/nn/norm.py", "class Norm:\n    x = 1\n", "Norm has no docstring"),
        ("docs/data.md", "see /" + "work/data\n", "docs/data.md:1: path of one machine"),
    ],
)
def test_a_broken_rule_is_found(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = violations(tmp_path)
    assert len(found) == 1 and complaint in found[0], found


@pytest.mark.parametrize(
    "name, text",
    [
        (
            "gluonnorm/nn/norm.py",
            "import mxnet\nfrom gluonnorm import __version__\nfrom gluonnorm.types import Tensor\n",
        ),
        (
            "gluonnorm/nn/__init__.py",
            "from .norm import make_norm\nfrom gluonnorm.nn.rescale import Rescale\n",
        ),
        (
            "gluonnorm/data/voc.py",
            "from gluonnorm.photos import boxes\nfrom gluonnorm.photos.boxes import clip_boxes\n",
        ),
        (
            "gluonnorm/rcnn/rpn.py",
            "from gluonnorm.ops import nms\nfrom gluonnorm.nn import make_norm\n",
        ),
        ("scripts/demo.py", "import model_zoo\nfrom gluonnorm.deploy import Predictor\n"),
        ("docs/data.md", "https://example.org/work/data and ./tmp/data\n"),
    ],
)
def test_a_kept_rule_is_not_reported(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert violations(tmp_path) == []


def test_only_one_module_of_the_catalogue_imports_gluoncv() -> None:
    """It is loaded by its name, so that importing the catalogue does not import GluonCV."""
    importers = []
    for path in sorted((REPOSITORY / "model_zoo").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = imported(node, "model_zoo")
            if any(within(name, "gluoncv") or "gluoncv_backbones" in name for name in names):
                importers.append(path.name)
    assert set(importers) == {"gluoncv_backbones.py"}


def test_architecture_names_every_file() -> None:
    plan = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    files = {path.name for top in TOP_LEVEL for path in (REPOSITORY / top).rglob("*.py")}
    assert sorted(name for name in files - {"__init__.py"} if f"`{name}`" not in plan) == []
