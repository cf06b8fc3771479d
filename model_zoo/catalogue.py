"""Every model by its name: one frozen row each."""
from difflib import get_close_matches
from typing import Dict, List

from model_zoo.rows import detectron, detectron2, gluoncv, own, torchvision
from model_zoo.rows.model import Model

DEPTHS = {"v1a": (50, 101, 152), "v1b": (18, 34, 50, 101, 152), "v1d": (18, 34, 50, 101, 152), "v2": (18, 34, 50, 101)}
BACKBONES = tuple(f"resnet{depth}_{variant}" for variant, depths in DEPTHS.items() for depth in depths)


def _catalogue() -> Dict[str, Model]:
    models: Dict[str, Model] = {}
    for codebase in (own, gluoncv, torchvision, detectron2, detectron):
        for row in codebase.rows():
            if row.name in models:
                raise ValueError(f"two rows of the catalogue are called {row.name!r}")
            models[row.name] = row
    return models


MODELS = _catalogue()


def list_models() -> List[str]:
    """Names that :func:`model_zoo.get_model` knows, sorted: detectors and bare backbones."""
    return sorted([*MODELS, *BACKBONES])


def unknown(kind: str, name: str, known: List[str]) -> ValueError:
    """The error for a wrong name, with the nearest right ones."""
    nearest = get_close_matches(str(name), known, n=3, cutoff=0.3)
    return ValueError(f"no {kind} {name!r}; nearest: {', '.join(nearest) or 'none'}; all: {', '.join(known)}")
