"""Large photos in tiles: each object once, in bounded memory, and a photo of one tile as before."""

import tracemalloc

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.deploy import Predictor
from gluonnorm.deploy.backends.backend import Outputs
from gluonnorm.deploy.detector_settings import DetectorSettings
from gluonnorm.deploy.predictor import _photo_handling
from gluonnorm.errors import InputError
from gluonnorm.photos.files import ImageError

import numpy as np
import pytest
from color_detector import CLASSES, PREPROCESS, ColorDetector
from PIL import Image
from tiny_detector import tiny_detector

# Objects of a photo: x, y of the center, half the width and height, class. Tiles of 128 pixels with
# an overlap of 0.25 or more begin at 0, 73, 146, 219 and 292 along x, and at 0, 86 and 172 along y.
HEIGHT, WIDTH = 300, 420
TILES = 15
OBJECTS = [
    (20, 20, 9, 9, 0),  # in one tile
    (100, 30, 14, 10, 0),  # in what two tiles have in common
    (73, 60, 12, 12, 1),  # across the edge of the second tile
    (128, 70, 10, 13, 1),  # across the edge of the first tile
    (100, 105, 13, 13, 2),  # where four tiles meet
    (219, 86, 15, 9, 0),  # across edges both ways, in a corner of a tile
    (274, 172, 13, 12, 1),
    (415, 150, 5, 14, 2),  # at the edge of the photo
    (210, 250, 190, 9, 0),  # longer than a tile
    (60, 180, 12, 60, 1),  # higher than the overlap
    (350, 60, 14, 14, 0),
    (350, 60, 8, 8, 2),  # another class in front of it
]


def draw_mosaic():
    """The photo, and the mask and class of each object: ellipses on black."""
    photo = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    masks = []
    for x, y, half_width, half_height, class_id in OBJECTS:
        distance = ((columns - x) / half_width) ** 2 + ((rows - y) / half_height) ** 2
        masks.append(distance < 1)
        photo[masks[-1], class_id] = 255
    return photo, np.array(masks), [entry[-1] for entry in OBJECTS]


def predictor_of(backend, **options):
    """A predictor of a run time that stands for a network."""
    handling = {"resize": True, "batch_size": 1, "tile": None, "overlap": 0.25, **options}
    predictor = Predictor.__new__(Predictor)
    settings = DetectorSettings(CLASSES, PREPROCESS, "sample", 0.0)
    predictor._set_up(backend, settings, _photo_handling(**handling))
    return predictor


def assert_same(found, wanted):
    for one, other in zip(found[:3], wanted[:3]):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.asarray(found.masks), np.asarray(wanted.masks))
    assert found.inclusive == wanted.inclusive


@pytest.fixture(scope="module")
def mosaic():
    return draw_mosaic()


def assert_each_object_once(found, masks, ids):
    assert len(found.ids) == len(ids)
    assert isinstance(found.masks, CroppedMasks) and found.masks.shape == masks.shape
    overlaps = np.zeros((len(ids), len(ids)))
    for row, mask in zip(overlaps, found.masks):
        row[:] = (mask & masks).sum(axis=(1, 2)) / (mask | masks).sum(axis=(1, 2))
    best = overlaps.argmax(axis=1)
    assert sorted(best) == list(range(len(ids)))
    # The network sees cells of a mask that are up to 4 pixels long.
    assert overlaps.max(axis=1).min() > 0.75
    assert found.ids.tolist() == [ids[number] for number in best]
    for box, mask in zip(found.boxes, masks[best]):
        columns = np.flatnonzero(mask.any(axis=0))
        rows = np.flatnonzero(mask.any(axis=1))
        exact = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(box, exact, rtol=0, atol=1)


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("resize", [True, False])
def test_each_object_of_a_mosaic_is_found_once(mosaic, batch_size, resize):
    photo, masks, ids = mosaic
    backend = ColorDetector()
    predictor = predictor_of(backend, tile=128, batch_size=batch_size, resize=resize)
    found = predictor(photo)
    side = 160 if resize else 128
    assert {shape[1:] for shape in backend.shapes} == {(3, side, side)}
    assert sum(shape[0] for shape in backend.shapes) == TILES
    assert max(shape[0] for shape in backend.shapes) == batch_size
    assert_each_object_once(found, masks, ids)


def test_photos_of_all_sizes_and_kinds_in_one_stream(mosaic, tmp_path):
    photo, masks, ids = mosaic
    names = []
    for name, one in (("a.png", photo), ("b.png", photo[:100, :100]), ("c.png", photo)):
        Image.fromarray(one).save(tmp_path / name)
        names.append(tmp_path / name)
    predictor = predictor_of(ColorDetector(), tile=128, batch_size=3)
    wanted = [predictor(one) for one in (photo, photo[:100, :100], photo)]
    lists = predictor(names), predictor(tmp_path), list(predictor.stream(iter(names)))
    for several in lists:
        assert len(several) == 3
        for found, other in zip(several, wanted):
            assert_same(found, other)
    assert_each_object_once(lists[2][2], masks, ids)


@pytest.mark.parametrize("kind", ["fpn", "mask_fpn"])
def test_a_photo_of_one_tile_gives_what_it_gives_without_tiles(kind):
    net = tiny_detector(kind, short=64, max_size=96, score_thresh=0.0)
    plain = Predictor.from_network(net)
    tiled = Predictor.from_network(net, tile=90, overlap=0.5)
    generator = np.random.default_rng(0)
    for height, width in ((90, 90), (50, 77), (3, 90)):
        blocks = generator.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3), np.uint8)
        photo = blocks.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]
        found = tiled(photo)
        assert height == 3 or len(found.ids) > 3
        assert_same(found, plain(photo))
        # Masks have one type, whatever the size of the photo.
        assert kind == "fpn" or isinstance(found.masks, CroppedMasks)
    larger = np.concatenate([photo] * 60)  # 180 x 90
    assert len(plain(larger).ids) > 3 and len(tiled(larger).ids) > 3


def test_a_dark_tile_of_floats_is_a_part_of_a_bright_photo(mosaic):
    """Alone, a photo of floats near 0 would be refused, as one in 0..1."""
    photo, masks, ids = mosaic
    floats = np.maximum(photo.astype(np.float32), 0.5)
    with pytest.raises(ImageError, match="black in 0..255"):
        predictor_of(ColorDetector())(floats[:8, 200:])
    assert_each_object_once(predictor_of(ColorDetector(), tile=128)(floats), masks, ids)


def test_a_bad_photo_comes_after_the_results_of_those_before_it(mosaic):
    predictor = predictor_of(ColorDetector(), tile=128, batch_size=4)
    results = predictor.stream([mosaic[0], mosaic[0], "absent.png", mosaic[0]])
    assert [len(next(results).ids) for _ in range(2)] == [len(OBJECTS)] * 2
    with pytest.raises(ImageError, match=r"images\[2\]: absent.png: no such image file"):
        next(results)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tile": 0}, "tile is 0; want the side of a tile in pixels"),
        ({"tile": -5}, "tile is -5"),
        ({"tile": 12.5}, "tile is 12.5"),
        ({"tile": "1024"}, "tile is '1024'"),
        ({"tile": 64, "overlap": 1}, "overlap is 1; want the share of a tile"),
        ({"tile": 64, "overlap": -0.1}, "overlap is -0.1"),
        ({"overlap": 5}, "overlap is 5; want the share of a tile"),
    ],
)
def test_wrong_values_are_errors_before_anything_is_opened(options, message):
    with pytest.raises(InputError, match=message):
        Predictor("no/such/files", **options)
    with pytest.raises(InputError, match=message):
        Predictor.from_network(None, **options)


class ManyMasks:
    """A run time that detects a hundred objects of 60 pixels in every tile."""

    net = None
    has_masks = True
    run_errors = ()

    def run(self, pixels):
        count = 100
        corners = np.random.default_rng(0).uniform(0, pixels.shape[2] - 60, (count, 2))
        boxes = np.concatenate([corners, corners + 60], axis=1).astype(np.float32)
        ids = np.arange(count, dtype=np.float32)[:, None] % len(CLASSES)
        scores = np.linspace(1, 0.1, count, dtype=np.float32)[:, None]
        masks = np.ones((count, 28, 28), np.float32)
        return Outputs([array[None] for array in (ids, scores, boxes, masks)], None)


def test_the_memory_of_a_large_photo_is_that_of_its_tiles():
    """A complete mask of each detection would be more than a hundred gigabytes."""
    photo = np.zeros((6000, 6000, 3), np.uint8)
    predictor = predictor_of(ManyMasks(), tile=1024, overlap=0.2, resize=False)
    tracemalloc.start()
    try:
        found = predictor(photo)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.ids) > 2000 and found.masks.shape[1:] == (6000, 6000)
    # A crop of 60 x 60 pixels is 3.6 kB, a tile of floats 12.6 MB.
    assert held < 30e6 and peak < 108e6, (held, peak)
