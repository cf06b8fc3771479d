"""The examples of the docstrings and of the documentation run, and do what they show.

A document's Python blocks run one after the other, in one namespace, in a folder with the files
that ``example_folder`` makes. A block that cannot run here has the line ``<!-- not run: reason
-->`` before it."""

import contextlib
import doctest
import importlib
import io
import re
from dataclasses import asdict
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional

import model_zoo
from gluonnorm import training
from gluonnorm.nn import norm as norm_module
from model_zoo.backbone_builders import BACKBONES
from model_zoo.catalogue import MODELS

import mxnet as mx
import numpy as np
import pytest
from PIL import Image
from tiny_export import exported

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *(REPOSITORY / "docs").glob("*.md"),
        *(REPOSITORY / "docs" / "tutorials").glob("*.md"),
    ]
)
# Modules that import a package of an extra.
OPTIONAL_PACKAGES = {
    "gluonnorm.deploy.onnx.model_file": "onnx",
    "gluonnorm.deploy.backends.onnxruntime_backend": "onnxruntime",
    "gluonnorm.deploy.backends.openvino_backend": "openvino",
    "gluonnorm.deploy.onnx.int8_onnx": "onnxruntime",
    "gluonnorm.deploy.onnx.openvino_files": "openvino",
    "gluonnorm.deploy.onnx.int8_openvino": "nncf",
    "gluonnorm.deploy.onnx.int8_openvino_check": "openvino",
}
DOCTEST_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]*) -->\n+)?^```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One Python block of a document."""

    line: int
    code: str
    reason: Optional[str]  # why it is not run


def module_names() -> Iterator[str]:
    """The modules of the library, without those that run on import."""
    for package in ("gluonnorm", "model_zoo"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            if parts[-1] != "__main__":
                yield ".".join(parts)


def blocks_of(text: str) -> List[Block]:
    """The Python blocks of a Markdown text, in order."""
    blocks = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code"))
        blocks.append(Block(line, match["code"], match["reason"]))
    return blocks


@pytest.fixture(scope="module")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the documents' examples read: photos, exported files of a small detector,
    and what its training has left."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "photos").mkdir()
    generator = np.random.default_rng(0)
    for name in ("photo.jpg", "other.jpg", "photos/1.jpg", "photos/2.jpg", "photos/3.jpg"):
        pixels = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
        Image.fromarray(pixels).save(folder / name, quality=95)
    (folder / "out").mkdir()
    prefix = Path(exported(folder / "out", "fpn"))
    exported(folder / "out", "fpn", format="onnx")
    for path in sorted(prefix.parent.glob(f"{prefix.name}*")):
        path.rename(path.with_name(path.name.replace(prefix.name, "blood")))
    net = model_zoo.get_model(
        "faster_rcnn_fpn_resnet18_v1b_custom", classes=("cat",), fpn_channels=16, rpn_channels=8
    )
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd")
    state = {"step": 3, "epoch": 1}
    training.mark_best(
        training.save(str(folder / "runs" / "pets"), net, trainer, state, asdict(net.spec))
    )
    return folder


@pytest.mark.usefixtures("own_registrations")
@pytest.mark.parametrize("name", list(module_names()))
def test_docstring_examples(name: str) -> None:
    if name in OPTIONAL_PACKAGES:
        pytest.importorskip(OPTIONAL_PACKAGES[name])
    results = doctest.testmod(importlib.import_module(name), optionflags=DOCTEST_OPTIONS)
    assert results.failed == 0


def test_there_are_docstring_examples() -> None:
    attempted = sum(
        doctest.testmod(importlib.import_module(name), optionflags=DOCTEST_OPTIONS).attempted
        for name in ("gluonnorm.errors", "gluonnorm.photos.boxes", "gluonnorm.photos.resize")
    )
    assert attempted >= 5


@pytest.fixture()
def own_registrations(monkeypatch) -> None:
    """Forget after a test what its examples register."""
    for registry in (BACKBONES, MODELS, norm_module._NORMS):
        monkeypatch.setattr(registry, "_entries", dict(registry))


@pytest.mark.slow
@pytest.mark.usefixtures("own_registrations")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_document_examples(document: Path, example_folder: Path, monkeypatch) -> None:
    blocks = blocks_of(document.read_text(encoding="utf-8"))
    monkeypatch.chdir(example_folder)
    namespace: Dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        if block.reason is not None:
            continue
        # The line number in a traceback is that of the document.
        code = compile("\n" * block.line + block.code, str(document), "exec")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, namespace)


def test_blocks_are_found_with_their_reasons() -> None:
    text = (
        "a\n```python\nx = 1\n```\n<!-- not run: needs a GPU -->\n```python\ny\n```\n```\nz\n```\n"
    )
    assert blocks_of(text) == [Block(2, "x = 1\n", None), Block(6, "y\n", "needs a GPU")]


def test_most_blocks_run() -> None:
    blocks = [block for path in DOCUMENTS for block in blocks_of(path.read_text(encoding="utf-8"))]
    skipped = [block for block in blocks if block.reason is not None]
    assert len(blocks) >= 12
    assert 3 * len(skipped) <= len(blocks), [block.reason for block in skipped]
    assert all(block.reason.strip() for block in skipped)
