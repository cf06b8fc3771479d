"""Several photos, folders, tiny photos, and files that are no photos: each gets its own result."""

import io
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.deploy import Predictor, export
from gluonnorm.photos.files import ImageError, image_files
from model_zoo import get_model

import mxnet as mx
import numpy as np
import pytest
from PIL import Image
from tiny_detector import CLASSES, tiny_detector

SETTINGS = {"short": 64, "max_size": 96, "score_thresh": 0.0}
SIZES = [
    (64, 96),
    (50, 77),
    (96, 64),
    (128, 192),
    (50, 77),
    (64, 96),
    (32, 48),
    (41, 90),
    (96, 64),
    (64, 96),
    (64, 96),
]


def photo_of(height, width, seed=0):
    """Blocks of color, so that detections differ from place to place and from photo to photo."""
    shape = -(-height // 6), -(-width // 6), 3
    blocks = np.random.default_rng([height, width, seed]).integers(0, 256, shape, dtype=np.uint8)
    return blocks.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]


@pytest.fixture(scope="module", params=["fpn", "mask_fpn"])
def net(request):
    return tiny_detector(request.param, **SETTINGS)


@pytest.fixture(scope="module")
def photos():
    return [photo_of(*size, seed) for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def alone(net, photos):
    predictor = Predictor.from_network(net)
    found = [predictor(photo) for photo in photos]
    assert all(len(one.ids) > 3 for one in found)
    assert len({one.scores.tobytes() for one in found}) == len(found)  # order would show
    return found


def assert_close(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=1e-3)
        assert (one.masks is None) == (other.masks is None)
        if one.masks is not None:
            assert one.masks.shape == other.masks.shape and (one.masks != other.masks).mean() < 1e-4


def test_the_steps_of_a_call_give_what_it_gives_with_cropped_masks_as_well(net, photos, alone):
    predictor = Predictor.from_network(net)
    (outputs,) = predictor.run([predictor.read(photos[0])])
    cropped = predictor.detections(outputs, cropped=True)
    assert_close([predictor.detections(outputs), cropped], [alone[0], alone[0]])
    if cropped.masks is not None:
        assert isinstance(cropped.masks, CroppedMasks) and isinstance(alone[0].masks, np.ndarray)


@pytest.mark.parametrize("batch_size", [2, 3, 32])
def test_batches_give_what_each_photo_gets_alone(net, photos, alone, batch_size):
    predictor, shapes = Predictor.from_network(net, batch_size=batch_size), []
    predictor._backend._graph.register_forward_pre_hook(
        lambda block, inputs: shapes.append(inputs[0].shape)
    )
    assert_close(predictor(photos), alone)
    assert max(shape[0] for shape in shapes) == min(
        batch_size, 6
    )  # six of 64 x 96, from photos of three sizes
    assert sum(shape[0] for shape in shapes) == len(photos)
    assert_close(list(predictor.stream(iter(photos))), alone)


def test_without_resizing_only_photos_of_one_size_share_a_batch(net, photos):
    one_by_one, predictor = (
        Predictor.from_network(net, resize=False),
        Predictor.from_network(net, batch_size=4),
    )
    assert_close(predictor(photos, resize=False), [one_by_one(photo) for photo in photos])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_folder_is_the_list_of_its_images(net, photos, alone, tmp_path, batch_size):
    names = [
        f"{number:02}{ending}" for number, ending in enumerate([".png", ".PNG", ".tif", ".bmp"] * 3)
    ][: len(photos)]
    for name, photo in reversed(list(zip(names, photos))):
        Image.fromarray(photo).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "more.png").mkdir()
    (tmp_path / "._00.png").write_bytes(b"what another system leaves")
    assert [path.name for path in image_files(tmp_path)] == names
    predictor = Predictor.from_network(net, batch_size=batch_size)
    assert_close(predictor(str(tmp_path)), alone)
    assert_close(predictor(image_files(tmp_path)), alone)
    assert_close([predictor(str(image_files(tmp_path)[3]))], alone[3:4])
    assert_close(list(predictor.stream(tmp_path)), alone)


def test_photos_are_read_as_they_are_needed(net):
    taken = []

    def photos():
        for number in range(100):
            taken.append(number)
            yield photo_of(50, 77, number)

    results = Predictor.from_network(net, batch_size=2).stream(photos())
    assert taken == []
    for _ in range(3):
        next(results)
    results.close()
    assert len(taken) <= 14  # four batches and what is read ahead: never all


def test_no_photos(net, tmp_path):
    predictor = Predictor.from_network(net, batch_size=2)
    assert predictor([]) == [] and predictor(()) == [] and list(predictor.stream(iter(()))) == []
    with pytest.raises(
        ImageError, match="no images in this folder; looked for .bmp, .gif, .jpeg, .jpg, .png"
    ):
        predictor(tmp_path)
    with pytest.raises(ImageError, match="absent: no such image file"):
        predictor(tmp_path / "absent")


@pytest.mark.parametrize(
    "image, message",
    [
        ("absent.jpg", "absent.jpg: no such image file"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\)"),
        (np.zeros((8, 8, 3), int), "of int64"),
        (np.full((8, 8, 3), np.nan, np.float32), "NaN"),
        (None, "a NoneType"),
        (np.full((8, 8, 3), None), "of object"),
        (b"photo.jpg", "image of 9 bytes: cannot be read as an image"),
        ([], "a list"),
        (mx.nd.zeros((3, 8, 8)), r"shape \(3, 8, 8\); .* image.transpose\(1, 2, 0\)"),
        (np.full((8, 8, 3), 0.5, np.float32), "which are black in 0..255"),
    ],
)
def test_what_is_no_photo_is_refused_and_named(net, image, message):
    predictor, photo = Predictor.from_network(net, batch_size=4), photo_of(40, 60)
    if not isinstance(image, list):
        with pytest.raises(ImageError, match=message) as caught:
            predictor(image)
        assert "images[" not in str(caught.value)
    for several, place in (
        ([image], 0),
        ((photo, photo, image), 2),
        ([photo, image, photo, None], 1),
    ):
        with pytest.raises(ImageError, match=rf"^images\[{place}\]: .*{message}"):
            predictor(several)
    got = []
    with pytest.raises(ImageError, match=rf"^images\[1\]: .*{message}"):
        for found in predictor.stream([photo, image]):
            got.append(found)
    assert_close(got, [predictor(photo)])


def test_a_folder_in_a_list_and_a_bad_file_in_a_folder(net, tmp_path):
    predictor = Predictor.from_network(net)
    Image.fromarray(photo_of(40, 60)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"images\[0\]: .*: is a folder; want an image file"):
        predictor([tmp_path])
    (tmp_path / "b.jpg").touch()
    with pytest.raises(ImageError, match=r"^.*b.jpg: cannot be read as an image"):
        predictor(tmp_path)


EXTREME = [(1, 1), (1, 2), (20000, 10), (10, 20000), (1, 3000), (3000, 1), (17, 16), (33, 1)]


@pytest.mark.parametrize("kind", ["fpn", "c4", "mask_fpn"])
@pytest.mark.parametrize("resize", [True, False])
def test_photos_of_hardly_any_extent(kind, resize):
    predictor = Predictor.from_network(tiny_detector(kind, **SETTINGS), resize=resize)
    for size in EXTREME[:2] + EXTREME[4:] if not resize else EXTREME:
        assert_within(predictor(photo_of(*size)), size)


@pytest.fixture(scope="module")
def v1d():
    """A network whose layers average over 2 x 2 pixels, without padding its input, and with it."""
    return {
        multiple: Predictor.from_network(
            get_model(
                "faster_rcnn_fpn_resnet101_v1d_custom",
                classes=CLASSES,
                rpn_test_pre_nms=50,
                rpn_test_post_nms=10,
                score_thresh=0.0,
                short=64,
                multiple=multiple,
            )
        )
        for multiple in (1, 32)
    }


def test_photos_of_hardly_any_extent_in_a_v1d_network_that_pads(v1d):
    predictor = v1d[32]
    assert predictor.prepare(photo_of(20000, 10)).shape == (3, predictor.preprocess.max_size, 1)
    assert_within(predictor(photo_of(20000, 10)), (20000, 10))
    for size in ((1, 1), (1, 40)):
        assert_within(predictor(photo_of(*size), resize=False), size)


def test_photos_too_narrow_for_a_network_that_does_not_pad(v1d, tmp_path):
    predictor, narrow = v1d[1], photo_of(20000, 10)
    Image.fromarray(narrow).save(tmp_path / "narrow.png")
    for several, name in (
        (narrow, ""),
        ([photo_of(100, 100), narrow], r"images\[1\]: "),
        (tmp_path, r".*narrow.png: "),
        ([tmp_path / "narrow.png"], r"images\[0\]: .*narrow.png: "),
    ):
        with pytest.raises(
            ImageError,
            match=f"^{name}20000 x 10 pixels are [0-9]+ x 1 for the network, whose layers",
        ):
            predictor(several)
    assert_within(predictor(photo_of(33, 40), resize=False), (33, 40))


def assert_within(found, size):
    boxes, (height, width) = found.boxes, size
    assert (
        np.isfinite(boxes).all()
        and np.isfinite(found.scores).all()
        and len(found.ids) == len(boxes)
    )
    assert (
        (boxes >= 0).all()
        and (boxes[:, 2:] <= [width, height]).all()
        and (boxes[:, 2:] > boxes[:, :2]).all()
    )
    assert found.masks is None or found.masks.shape == (len(boxes), height, width)


def test_every_kind_of_photo_gets_the_same_detections(net, tmp_path):
    predictor = Predictor.from_network(net, batch_size=3)
    pixels = photo_of(64, 96)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    kinds = [path, str(path), content, Image.open(path), Image.fromarray(pixels), pixels]
    kinds += [pixels.astype(np.float64), mx.nd.array(pixels), mx.nd.array(pixels, dtype="uint8")]
    expected = predictor(pixels)
    assert len(expected.ids) > 3
    assert_close([predictor(kind) for kind in kinds], [expected] * len(kinds))
    assert_close(predictor(kinds), [expected] * len(kinds))
    assert_close(list(predictor.stream(iter(kinds))), [expected] * len(kinds))
    assert_close([predictor(io.BytesIO(content))], [expected])
    with open(path, "rb") as file:
        assert_close(predictor([file, io.BytesIO(content)]), [expected] * 2)
        with pytest.raises(ImageError, match=r"^images\[1\]: .*a.png: is empty, or a file that"):
            predictor([pixels, file])


def test_gray_photos_get_the_detections_of_their_color_version(net):
    predictor = Predictor.from_network(net, batch_size=2)
    gray = photo_of(64, 96)[:, :, 0]
    expected = predictor(np.dstack([gray, gray, gray]))
    assert len(expected.ids) > 3
    kinds = [gray, gray[:, :, None], mx.nd.array(gray), Image.fromarray(gray)]
    assert_close(predictor(kinds), [expected] * len(kinds))


@pytest.mark.parametrize("from_files", [False, True])
def test_threads_share_a_predictor(photos, alone, net, tmp_path, from_files):
    predictor = Predictor.from_network(net)
    if from_files:
        export(net, str(tmp_path / "tiny"))
        predictor = Predictor(str(tmp_path / "tiny"))
    jobs = list(range(len(photos))) * 4
    barrier = threading.Barrier(8)

    def start_together():
        """Let all threads make their first call, which builds the graph, at the same time."""
        barrier.wait(timeout=60)

    with ThreadPoolExecutor(8, initializer=start_together) as pool:
        found = list(pool.map(lambda index: predictor(photos[index]), jobs))
        streamed = list(pool.map(lambda _: list(predictor.stream(photos)), range(4)))
    assert_close(found, [alone[index] for index in jobs])
    for results in streamed:
        assert_close(results, alone)


def test_threads_count_truncated_photos_together():
    # The network always has more candidates than one.
    limited = tiny_detector("fpn", **{**SETTINGS, "max_candidates": 1, "max_detections": 1})
    predictor = Predictor.from_network(limited)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(predictor, [photo_of(64, 96, seed) for seed in range(24)]))
    assert predictor.truncated_photos == 24
    assert sum("max_candidates" in str(warning.message) for warning in caught) == 1


@pytest.mark.parametrize("make", [lambda photo: photo, mx.nd.array, Image.fromarray])
def test_a_single_photo_is_no_stream(net, make):
    """The rows of an array would be taken for gray photos."""
    with pytest.raises(ImageError, match="want several photos, not a single one .*in a list"):
        next(Predictor.from_network(net).stream(make(photo_of(32, 48))))


def test_arrays_of_other_classes_are_arrays(net, photos, alone):
    predictor = Predictor.from_network(net)
    photo = photos[0]
    others = [np.ma.array(photo), photo.view(np.recarray), memoryview(png_of(photo).repeat(2))[::2]]
    assert_close(predictor(others), [alone[0]] * len(others))
    gray = photo[:, :, 0]
    assert_close([predictor(np.matrix(gray))], [predictor(gray)])


def png_of(photo):
    """The bytes of a PNG file as an array."""
    content = io.BytesIO()
    Image.fromarray(photo).save(content, "PNG")
    return np.frombuffer(content.getvalue(), np.uint8)
