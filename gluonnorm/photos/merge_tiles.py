"""The detections of overlapping tiles become those of the photo, each object once.

Overlapping tiles, and the share of a cut part that another detection covers, are ideas of SAHI
(Akyon, Altinuc and Temizel, "Slicing aided hyper inference and fine-tuning for small object
detection", 2022).
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.cropped_masks import Crop, CroppedMasks
from gluonnorm.photos.boxes import exclusive_corners
from gluonnorm.photos.tiles import Window
from gluonnorm.types import Detections

import numpy as np

# Two tiles see one object if they agree about its place to this share.
SAME_OBJECT = 0.5
# A box that ends this close to the edge of its tile is cut by it: a pixel, and a share of the box's
# side, because errors of boxes grow with the boxes.
EDGE_PIXELS = 1
EDGE_SHARE = 0.05
TINY = 1e-9  # keeps a quotient of two zeros at zero


class TileDetections(NamedTuple):
    """What was detected in one tile of a photo.

    Attributes
    ----------
    window : Window
        The place of the tile in the photo.
    detections : Detections
        In pixels of the tile. Masks, if there are any, are ``CroppedMasks``.
    """

    window: Window
    detections: Detections


class _Pieces(NamedTuple):
    """All detections of all tiles, in pixels of the photo.

    Attributes
    ----------
    boxes : numpy.ndarray
        (N, 4) float64, ``x2 - x1`` wide.
    scores, ids : numpy.ndarray
        (N,), as in ``Detections``.
    tiles : numpy.ndarray
        (N,) int, the number of the tile that each was detected in.
    is_cut : numpy.ndarray
        (N,) bool, whether the box ends at an edge of its tile that lies inside the photo.
    windows : numpy.ndarray
        (T, 4) float64, what each of the T tiles sees: ``x1 y1 x2 y2``.
    """

    boxes: np.ndarray
    scores: np.ndarray
    ids: np.ndarray
    tiles: np.ndarray
    is_cut: np.ndarray
    windows: np.ndarray


def merge_tiles(tiles: Sequence[TileDetections], height: int, width: int) -> Detections:
    """Merge the detections of a photo's tiles.

    Only detections of one class and of different tiles are compared. Of those that are whole and
    overlap each other, the best one stays. A detection that an edge of its tile cuts is dropped
    where a whole one covers it. Cut ones that continue each other are the parts of an object longer
    than the overlap of the tiles: they become one detection, with the box around them, the union of
    their masks and the best score. A cut one without any counterpart stays as it is.

    Parameters
    ----------
    tiles : sequence of TileDetections
        At least one tile.
    height, width : int
        Size of the photo in pixels.

    Returns
    -------
    Detections
        In pixels of the photo, best first. Those of a single tile are returned as they are.
    """
    if len(tiles) == 1:
        return tiles[0].detections
    pieces = _collect(tiles, height, width)
    objects = _objects(pieces)
    # Of equal scores, the one of the earlier tile comes first.
    objects.sort(key=lambda parts: (-pieces.scores[parts[0]], parts[0]))
    best = np.array([parts[0] for parts in objects], np.int64)
    corners = [_moved_boxes(tile) for tile in tiles]
    boxes = _enclosing_boxes(np.concatenate(corners), objects)
    inclusive = tiles[0].detections.inclusive
    masks = _merged_masks(tiles, objects, height, width)
    return Detections(boxes, pieces.scores[best], pieces.ids[best], masks, inclusive)


def _collect(tiles: Sequence[TileDetections], height: int, width: int) -> _Pieces:
    """Put the detections of all tiles into common arrays."""
    boxes = []
    is_cut = []
    for tile in tiles:
        tile_boxes = _moved_boxes(tile).astype(np.float64)
        if tile.detections.inclusive:
            tile_boxes = exclusive_corners(tile_boxes)
        boxes.append(tile_boxes)
        is_cut.append(_ends_at_inner_edge(tile_boxes, tile.window, height, width))
    counts = [len(tile.detections.ids) for tile in tiles]
    windows = []
    for top, left, bottom, right in (tile.window for tile in tiles):
        windows.append([left, top, right, bottom])
    return _Pieces(
        boxes=np.concatenate(boxes),
        scores=np.concatenate([tile.detections.scores for tile in tiles]),
        ids=np.concatenate([tile.detections.ids for tile in tiles]),
        tiles=np.repeat(np.arange(len(tiles)), counts),
        is_cut=np.concatenate(is_cut),
        windows=np.array(windows, np.float64),
    )


def _moved_boxes(tile: TileDetections) -> np.ndarray:
    """(n, 4) float32, the boxes of a tile in pixels of the photo, with the corners they have."""
    window = tile.window
    corner = np.array([window.left, window.top, window.left, window.top], np.float32)
    return tile.detections.boxes + corner


def _ends_at_inner_edge(boxes: np.ndarray, window: Window, height: int, width: int) -> np.ndarray:
    """Tell which of a tile's (n, 4) boxes end at an edge of the tile that is inside the photo."""
    low = np.array([window.left, window.top])
    high = np.array([window.right, window.bottom])
    reach = EDGE_PIXELS + EDGE_SHARE * (boxes[:, 2:] - boxes[:, :2])
    at_low = (boxes[:, :2] - low <= reach) & (low > 0)
    at_high = (high - boxes[:, 2:] <= reach) & (high < [width, height])
    return (at_low | at_high).any(axis=1)


def _objects(pieces: _Pieces) -> List[List[int]]:
    """Find which pieces are the parts of one object, the best part first.

    An object is one whole piece, or one or more cut pieces. Pieces of no object are repetitions.
    """
    neighbors = _pieces_of_neighbors(pieces)
    is_open = np.ones(len(pieces.ids), bool)
    objects = []
    order = np.lexsort([-pieces.scores, pieces.is_cut])
    for index in order.tolist():
        if not is_open[index]:
            continue
        is_open[index] = False
        if pieces.is_cut[index]:
            objects.append(_joined(pieces, index, neighbors, is_open))
            continue
        others = _candidates(pieces, index, neighbors, is_open)
        is_repeated = _covered_share(pieces, index, others) >= SAME_OBJECT
        is_open[others[is_repeated]] = False
        objects.append([index])
    return objects


def _pieces_of_neighbors(pieces: _Pieces) -> List[np.ndarray]:
    """For each tile, the indices of the pieces of all other tiles that it overlaps."""
    neighbors = []
    for tile, window in enumerate(pieces.windows):
        shared_low = np.maximum(pieces.windows[:, :2], window[:2])
        shared_high = np.minimum(pieces.windows[:, 2:], window[2:])
        is_neighbor = (shared_high > shared_low).all(axis=1)
        is_neighbor[tile] = False
        neighbors.append(np.flatnonzero(is_neighbor[pieces.tiles]))
    return neighbors


def _candidates(
    pieces: _Pieces, index: int, neighbors: List[np.ndarray], is_open: np.ndarray
) -> np.ndarray:
    """Indices of the open pieces that may be of the same object as piece ``index``."""
    others = neighbors[pieces.tiles[index]]
    is_candidate = is_open[others] & (pieces.ids[others] == pieces.ids[index])
    return others[is_candidate]


def _covered_share(pieces: _Pieces, index: int, others: np.ndarray) -> np.ndarray:
    """(M,), how far M other pieces are the object of a whole piece.

    For whole pieces this is the intersection over union. Of an object that is cut, only a part is
    to be seen, so for cut pieces it is the share of their own area that the whole piece covers.
    """
    box = pieces.boxes[index]
    boxes = pieces.boxes[others]
    intersection = _overlaps(box, boxes).prod(axis=1)
    area = (box[2:] - box[:2]).prod()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    union = area + areas - intersection
    return intersection / np.where(pieces.is_cut[others], areas, union)


def _joined(
    pieces: _Pieces, first: int, neighbors: List[np.ndarray], is_open: np.ndarray
) -> List[int]:
    """Collect the cut pieces that continue a cut piece, and those that continue them.

    An object has one piece in a tile, so from each tile the piece that fits best is taken. The
    pieces taken are no longer open.
    """
    parts = [first]
    tiles = {pieces.tiles[first]}
    # The list grows while it is gone through.
    for part in parts:
        others = _candidates(pieces, part, neighbors, is_open)
        continues, likeness = _continuations(pieces, part, others)
        others = others[continues]
        for position in np.argsort(-likeness[continues], kind="stable"):
            other = int(others[position])
            if pieces.tiles[other] not in tiles:
                parts.append(other)
                tiles.add(pieces.tiles[other])
                is_open[other] = False
    return parts


def _continuations(
    pieces: _Pieces, index: int, others: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Tell which of M other cut pieces may continue a cut piece, and how much they look like it.

    They are compared in the region that both tiles see, axis by axis. Along an axis on which the
    tiles have different places, both boxes must cover the same part of the region: half of their
    union. Along an axis on which the places are equal, the box of one tile may be longer, because
    it also shows what is beyond the other tile's edge: half of the shorter one is enough.

    Returns
    -------
    tuple of numpy.ndarray
        (M,) bool, and the intersection over union in the region, (M,) in 0..1.
    """
    window = pieces.windows[pieces.tiles[index]]
    windows = pieces.windows[pieces.tiles[others]]
    shared_low = np.maximum(windows[:, :2], window[:2])
    shared_high = np.minimum(windows[:, 2:], window[2:])
    box = _clipped(pieces.boxes[index], shared_low, shared_high)
    boxes = _clipped(pieces.boxes[others], shared_low, shared_high)
    intersection = _overlaps(box, boxes)
    lengths = boxes[:, 2:] - boxes[:, :2]
    own_lengths = box[:, 2:] - box[:, :2]
    union = lengths + own_lengths - intersection
    shorter = np.minimum(lengths, own_lengths)
    compared = np.where(windows[:, :2] == window[:2], shorter, union)
    continues = (intersection > SAME_OBJECT * compared).all(axis=1)
    return continues, (intersection / np.maximum(union, TINY)).prod(axis=1)


def _clipped(boxes: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Clip (4,) or (M, 4) boxes to M rectangles with corners (M, 2) and (M, 2)."""
    corners = np.clip(boxes[..., :2], low, high), np.clip(boxes[..., 2:], low, high)
    return np.concatenate(corners, axis=1)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(M, 2), how many pixels (4,) or (M, 4) boxes have in common with M others, along x and y."""
    low = np.maximum(boxes[..., :2], others[:, :2])
    high = np.minimum(boxes[..., 2:], others[:, 2:])
    return np.maximum(high - low, 0)


def _enclosing_boxes(boxes: np.ndarray, objects: List[List[int]]) -> np.ndarray:
    """(K, 4) float32, the box around the parts of each of K objects."""
    enclosing = np.zeros((len(objects), 4), np.float32)
    for row, parts in zip(enclosing, objects):
        row[:2] = boxes[parts, :2].min(axis=0)
        row[2:] = boxes[parts, 2:].max(axis=0)
    return enclosing


def _merged_masks(
    tiles: Sequence[TileDetections], objects: List[List[int]], height: int, width: int
) -> Optional[CroppedMasks]:
    """Unite the masks of the parts of each object; None if the network has no masks."""
    crops: List[Crop] = []
    for window, detections in tiles:
        if detections.masks is None:
            return None
        for top, left, pixels in CroppedMasks.of(detections.masks).crops:
            crops.append(Crop(top + window.top, left + window.left, pixels))
    merged = []
    for parts in objects:
        merged.append(_united([crops[part] for part in parts]))
    return CroppedMasks(merged, height, width)


def _united(crops: List[Crop]) -> Crop:
    """Unite crops of one photo: their pixels, in the rectangle around them."""
    if len(crops) == 1:
        return crops[0]
    top = min(crop.top for crop in crops)
    left = min(crop.left for crop in crops)
    bottom = max(crop.region[0].stop for crop in crops)
    right = max(crop.region[1].stop for crop in crops)
    pixels = np.zeros((bottom - top, right - left), bool)
    for crop in crops:
        region = Crop(crop.top - top, crop.left - left, crop.pixels).region
        pixels[region] |= crop.pixels
    return Crop(top, left, pixels)
