"""A small data set of drawn shapes, made once for all tests of the room."""

from pathlib import Path

from gluonnorm.data import COCODataset, draw_shapes

import pytest


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw the data set, and return its folder."""
    root = tmp_path_factory.mktemp("shapes")
    draw_shapes(root, train=7, val=2, size=(96, 128), seed=3)
    return root


@pytest.fixture(scope="session")
def shapes(shapes_root: Path) -> COCODataset:
    """Open the training split, without masks."""
    annotation_file = shapes_root / "annotations" / "instances_train.json"
    return COCODataset(annotation_file, shapes_root / "train")
