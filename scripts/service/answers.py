"""From the network's outputs to the answer of a request: JSON, or a drawn picture."""

import io
import json
from typing import Any, Dict, Iterator, List, Sequence

from gluonnorm.deploy.predictor import PhotoOutputs, Predictor
from gluonnorm.photos.files import read_image
from gluonnorm.types import Detections
from gluonnorm.visualize import draw

import numpy as np
from _json_detections import json_detections, json_document, json_image
from PIL import Image

# A mask has a byte for each pixel of its box, which may be the photo. Masks are made for as many
# detections at once as take this many bytes at most.
MASK_BYTES = 64 << 20
DRAWN_SCORE = 0.5  # the lowest score of a drawn detection, as in demo.py


def json_answer(
    predictor: Predictor,
    names: Sequence[str],
    photos_outputs: Sequence[PhotoOutputs],
    score_thresh: float,
) -> bytes:
    """Write the detections of a request's photos as JSON.

    Parameters
    ----------
    predictor : Predictor
        The detector.
    names : sequence of str
        The name of each photo.
    photos_outputs : sequence of PhotoOutputs
        The network's outputs for each photo.
    score_thresh : float
        Detections of a lower score are left out.

    Returns
    -------
    bytes
        What ``demo.py --json`` writes.
    """
    entries: List[Dict[str, Any]] = []
    for name, outputs in zip(names, photos_outputs):
        rows: List[Dict[str, Any]] = []
        for detections in _detections_in_parts(predictor, outputs, score_thresh):
            rows.extend(json_detections(detections, predictor.classes))
        height, width = outputs.photo.prepared.size
        entries.append(json_image(name, height, width, rows))
    document = json_document(entries, predictor.classes, predictor.preprocess.inclusive)
    return json.dumps(document).encode()


def png_answer(
    predictor: Predictor, image: Image.Image, outputs: PhotoOutputs, score_thresh: float
) -> bytes:
    """Draw the detections on a photo.

    Parameters
    ----------
    predictor : Predictor
        The detector.
    image : PIL.Image.Image
        The photo.
    outputs : PhotoOutputs
        The network's outputs for it.
    score_thresh : float
        The lowest score that is drawn.

    Returns
    -------
    bytes
        A PNG file.
    """
    picture = read_image(image)
    # The best masks are drawn last, on top of the others, and boxes and labels on all masks.
    unmasked: List[Detections] = []
    for part in reversed(list(_parts(outputs, score_thresh))):
        detections = predictor.detections(part, cropped=True)
        picture = draw(picture, detections, predictor.classes, score_thresh, boxes=False)
        unmasked.insert(0, detections._replace(masks=None))
    if unmasked:
        picture = draw(picture, _joined(unmasked), predictor.classes, score_thresh)
    encoded = io.BytesIO()
    # The default level of compression takes several times as long, for a tenth of the size.
    Image.fromarray(picture).save(encoded, format="PNG", compress_level=1)
    return encoded.getvalue()


def _joined(parts: Sequence[Detections]) -> Detections:
    """Join detections without masks, best first."""
    return Detections(
        boxes=np.concatenate([part.boxes for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        inclusive=parts[0].inclusive,
    )


def _detections_in_parts(
    predictor: Predictor, outputs: PhotoOutputs, score_thresh: float
) -> Iterator[Detections]:
    """Yield the detections of a photo, best first, a few at a time if their masks are large."""
    for part in _parts(outputs, score_thresh):
        yield predictor.detections(part, cropped=True)


def _parts(outputs: PhotoOutputs, score_thresh: float) -> Iterator[PhotoOutputs]:
    """Split the rows of a photo's outputs, without those of a lower score."""
    ids, scores = outputs.outputs[:2]
    rows = np.flatnonzero((ids[:, 0] >= 0) & (scores[:, 0] >= score_thresh))
    height, width = outputs.photo.prepared.size
    step = max(1, MASK_BYTES // (height * width))
    for start in range(0, len(rows), step):
        part_rows = rows[start : start + step]
        part = [array[part_rows] for array in outputs.outputs]
        yield PhotoOutputs(part, outputs.photo)
