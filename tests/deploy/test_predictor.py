"""From a photo to detections, in process and from exported files: the same as the evaluation."""

import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from gluonnorm.data import AspectGroupSampler, EvalTransform, LabeledImage, Loader, batchify
from gluonnorm.deploy import DeployError, Predictor, export
from gluonnorm.evaluation import predict
from gluonnorm.nn import fold
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
import pytest
from PIL import Image
from tiny_detector import CLASSES, images, tiny_detector

SETTINGS = {
    "short": 64,
    "max_size": 96,
    "score_thresh": 0.0,
    "order": "BGR",
    "resize": "float",
    "rounding": "floor",
}


def photo_of(height, width):
    """Blocks of color, so that detections differ from place to place."""
    blocks = np.random.default_rng(height).integers(
        0, 256, (-(-height // 6), -(-width // 6), 3), dtype=np.uint8
    )
    return blocks.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]


@pytest.fixture(scope="module")
def net():
    net = tiny_detector("fpn", **SETTINGS)
    net.hybridize()
    return net


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory):
    prefix = str(tmp_path_factory.mktemp("exported") / "tiny")
    export(net, prefix)
    return prefix


def assert_same(found, wanted):
    assert len(wanted.ids) > 3
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one, other)


def evaluated(net, photo):
    """The detections of the evaluation's transform, batch and loop."""
    none = np.zeros(0)
    record = LabeledImage(
        photo,
        none.reshape(0, 4).astype(np.float32),
        none.astype(np.int32),
        none.astype(bool),
        7,
        "",
    )
    batch = batchify([EvalTransform(net.preprocess)(record)], net.preprocess.padding)
    ((_, found),) = predict(net, [batch])
    return found


@pytest.mark.parametrize("size", [(50, 77), (90, 41)])
def test_the_predictor_equals_the_evaluation(net, size):
    photo = photo_of(*size)
    found = Predictor.from_network(net)(photo)
    assert_same(found, evaluated(net, photo))
    assert found.masks is None and (found.boxes[:, 2:] <= [size[1], size[0]]).all()


class Photos:
    """A data set of photos without annotations, as far as the loader asks."""

    def __init__(self, photos):
        self._photos = photos
        self.sizes = np.array([photo.shape[:2] for photo in photos])

    def __len__(self):
        return len(self._photos)

    def __getitem__(self, index):
        boxes = np.zeros((0, 4), np.float32)
        return LabeledImage(
            self._photos[index],
            boxes,
            np.zeros(0, np.int32),
            np.zeros(0, bool),
            index,
            f"{index}.png",
        )


@pytest.mark.parametrize("kind", ["fpn", "mask_fpn"])
@pytest.mark.parametrize("resize", ["pixel", "float", "antialias"])
@pytest.mark.parametrize("from_files", [False, True])
def test_loader_and_evaluation_give_exactly_the_detections_of_the_predictor(
    tmp_path, kind, resize, from_files
):
    net = tiny_detector(kind, **{**SETTINGS, "resize": resize})
    net.hybridize()
    predictor = Predictor.from_network(net)
    if from_files:
        export(net, str(tmp_path / "tiny"))
        predictor = Predictor(str(tmp_path / "tiny"))
    photos = [photo_of(*size) for size in ((50, 77), (90, 41), (128, 192), (64, 64))]
    dataset = Photos(photos)
    sampler = AspectGroupSampler(dataset.sizes, batch_size=1, shuffle=False, seed=0)
    loader = Loader(
        dataset,
        EvalTransform(predictor.preprocess),
        sampler,
        predictor.preprocess.padding,
        seed=0,
        train=False,
    )
    evaluated_photos = dict(predict(predictor.net, loader, mask_paste=predictor.mask_paste))
    assert sorted(evaluated_photos) == [0, 1, 2, 3]
    for index, photo in enumerate(photos):
        assert_same(predictor(photo), evaluated_photos[index])
        assert (predictor(photo).masks is None) == (kind == "fpn")


def test_the_exported_files_equal_the_network(net, exported):
    predictor, photo = Predictor(exported), photo_of(50, 77)
    found, wanted = predictor(photo), Predictor.from_network(net)(photo)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_allclose(
        found.scores, wanted.scores, rtol=0, atol=1e-5
    )  # an export's norms are folded
    np.testing.assert_allclose(found.boxes, wanted.boxes, rtol=0, atol=1e-3)
    assert_same(found, Predictor.from_network(fold(net))(photo))
    assert (predictor.classes, predictor.preprocess, predictor.mask_paste) == (
        CLASSES,
        net.preprocess,
        "sample",
    )
    assert_same(
        Predictor(exported, mx.cpu(1))(photo), Predictor(exported, [mx.cpu(2), mx.cpu(3)])(photo)
    )


def test_path_array_and_list(net, tmp_path):
    predictor, photo, other = Predictor.from_network(net), photo_of(50, 77), photo_of(40, 60)
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    wanted, wanted_other = predictor(photo), predictor(other)
    assert_same(predictor(str(path)), wanted)
    assert_same(predictor(photo.astype(np.float32)), wanted)
    for many in ([path, other], (photo, other)):
        found = predictor(many)
        assert isinstance(found, list) and len(found) == 2
        assert_same(found[0], wanted)
        assert_same(found[1], wanted_other)
    assert predictor([]) == [] and len(predictor([photo])) == 1


def test_without_resizing_the_rest_of_the_preprocessing_stays(net):
    photo, size = photo_of(70, 50), (70, 50)
    plain = Predictor.from_network(net, resize=False)
    wanted = (photo[:, :, ::-1] - np.float32(net.preprocess.mean[::-1])) / np.float32(
        net.preprocess.std[::-1]
    )
    np.testing.assert_allclose(
        plain.prepare(photo), wanted.transpose(2, 0, 1), rtol=1e-5, atol=1e-6
    )
    ids, scores, boxes = (
        array[0].asnumpy() for array in net(mx.nd.array(plain.prepare(photo)[None]))
    )
    found, kept = plain(photo), ids[:, 0] >= 0
    np.testing.assert_allclose(found.boxes, boxes[kept])  # the network's own pixels are the photo's
    np.testing.assert_array_equal(found.scores, scores[kept, 0])
    resizing = Predictor.from_network(net)
    assert_same(resizing(photo, resize=False), found)
    assert_same(plain(photo, resize=True), resizing(photo))
    assert plain.prepare(photo).shape[1:] == size and resizing.prepare(photo).shape[1:] == (89, 64)


class Fake(mx.gluon.HybridBlock):
    """A network that finds two boxes, one of them in the padding, on any image."""

    classes, preprocess = CLASSES, Preprocess(short=(64,))

    def __init__(self, mask_paste, masks):
        super().__init__()
        self.config = SimpleNamespace(
            convention=SimpleNamespace(mask_paste=mask_paste), score_thresh=0.0
        )
        rows = np.float32([[[2, 0.9, 4, 8, 12, 24], [1, 0.8, 64, 8, 70, 9], [-1] * 6]])
        self.rows, self.masks = (
            self.params.get_constant(*pair) for pair in (("rows", rows), ("masks", masks))
        )
        self.conv = mx.gluon.nn.Conv2D(1, 1)  # whose weight waits for its shape
        self.initialize()

    def hybrid_forward(self, F, x, rows, masks):
        rows = F.broadcast_add(
            rows, 0 * F.max(self.conv(x), axis=(2, 3), keepdims=True).reshape((-1, 1, 1))
        )
        return *(
            F.slice_axis(rows, axis=2, begin=a, end=b) for a, b in ((0, 1), (1, 2), (2, 6))
        ), masks


def test_masks_lie_on_the_photo_the_way_of_the_convention():
    masks = np.zeros((1, 3, 4, 4), np.float32)
    masks[0, 0, :, :2] = 1  # the left half
    photo = np.zeros((32, 32, 3), np.uint8)  # enlarged twice
    found = Predictor.from_network(Fake("sample", masks))(photo)
    assert found.boxes.tolist() == [[2, 4, 6, 12]] and found.ids.tolist() == [2]
    assert found.masks.shape == (1, 32, 32) and found.masks.dtype == bool
    rows, columns = np.nonzero(found.masks[0])
    assert set(columns) == {2, 3} and set(rows) == set(range(4, 12))
    expanded = Predictor.from_network(Fake("expand", masks))(photo)
    assert (expanded.masks != found.masks).any()


def test_one_pixel(net):
    assert Predictor.from_network(net).prepare(np.zeros((1, 1, 3), np.uint8)).shape == (3, 64, 64)
    found = Predictor.from_network(net)(np.full((1, 1, 3), 255, np.uint8))
    assert (found.boxes >= 0).all() and (found.boxes <= 1).all()


def rewritten(prefix, folder, change):
    """A copy of an export with another record."""
    for suffix in ("-symbol.json", "-0000.params", ".json"):
        with open(prefix + suffix, "rb") as file:
            (folder / f"tiny{suffix}").write_bytes(file.read())
    record = json.loads((folder / "tiny.json").read_text())
    del record["provenance"]["sha256"]["record"]  # as in earlier versions
    change(record)
    (folder / "tiny.json").write_text(json.dumps(record))
    return str(folder / "tiny")


def test_an_older_record_takes_the_defaults(exported, tmp_path):
    def older(record):
        for name in ("order", "resize", "rounding"):
            del record["preprocess"][name]
        del record["config"]["convention"]

    predictor = Predictor(rewritten(exported, tmp_path, older))
    assert (
        predictor.preprocess == Preprocess(short=(64,), max_size=96)
        and predictor.mask_paste == "sample"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("classes"),
        lambda record: record.pop("preprocess"),
        lambda record: record["preprocess"].update(gamma=2),
        lambda record: record["preprocess"].update(order="GRB"),
    ],
)
def test_a_record_that_does_not_say_how_is_refused(exported, tmp_path, change):
    with pytest.raises(DeployError, match="tiny.json does not say how to prepare photos"):
        Predictor(rewritten(exported, tmp_path, change))


def test_the_network_stays_as_it_was_and_the_predictor_sees_what_it_learns():
    net, photo, x = tiny_detector("fpn", **SETTINGS), photo_of(50, 77), images()
    before, learns = (
        [array.asnumpy() for array in net(x)],
        {p.name: p.grad_req for p in net.collect_params().values()},
    )
    predictor = Predictor.from_network(net)
    first = predictor(photo)
    assert not net._active and {p.name: p.grad_req for p in net.collect_params().values()} == learns
    assert "add" not in learns.values() and "write" in learns.values()
    for one, other in zip(net(x), before):
        np.testing.assert_array_equal(one.asnumpy(), other)
    net.predictor.score.weight.set_data(-net.predictor.score.weight.data())
    assert (predictor(photo).ids[:5] != first.ids[:5]).any()
    assert_same(predictor(photo), Predictor.from_network(net)(photo))
    net.configure(max_detections=3)
    assert len(predictor(photo).ids) > 3 == len(Predictor.from_network(net)(photo).ids)


def test_a_predictor_inside_of_a_training_step_predicts():
    """As the teacher of another network does; these norms would take the photo's statistics."""
    net = tiny_detector("fpn", norm="bn", **SETTINGS)
    photo = photo_of(50, 77)
    predictor = Predictor.from_network(net)
    expected = predictor(photo)
    assert len(expected.ids) > 3
    with mx.autograd.record():
        assert_same(predictor(photo), expected)
    with mx.autograd.train_mode():
        assert_same(predictor(photo), expected)


def test_a_program_with_arrays_of_numpy(exported, tmp_path):
    """Programs of MXNet's newer interface call npx.set_np() once, at their beginning."""
    net, photo = tiny_detector("fpn", **SETTINGS), photo_of(50, 77)
    before = Predictor.from_network(net)
    from_network, from_files = before(photo), Predictor(exported)(photo)
    mx.npx.set_np()
    try:
        assert_same(before(photo), from_network)
        assert_same(Predictor.from_network(net)(photo), from_network)
        assert_same(Predictor(exported)(photo), from_files)
        export(net, tmp_path / "again")
        assert_same(Predictor(tmp_path / "again")(photo), from_files)
        assert isinstance(mx.np.ones(2) + 1, mx.np.ndarray) and mx.util.is_np_array()
        with ThreadPoolExecutor(1) as thread:
            assert_same(thread.submit(before, photo).result(), from_network)
    finally:
        mx.npx.reset_np()


def test_a_network_that_has_seen_no_image_yet():
    net = Fake("sample", np.zeros((1, 3, 4, 4), np.float32))
    with pytest.raises(mx.gluon.parameter.DeferredInitializationError):
        net.conv.weight.data()
    assert Predictor.from_network(net)(np.zeros((32, 32, 3), np.uint8)).ids.tolist() == [2]
    assert net.conv.weight.shape == (1, 3, 1, 1)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5])
def test_batch_size_is_a_number_of_photos(net, exported, batch_size):
    for make in (
        lambda: Predictor.from_network(net, batch_size=batch_size),
        lambda: Predictor(exported, batch_size=batch_size),
    ):
        with pytest.raises(
            ValueError, match=f"batch_size is {batch_size}; want an integer of at least 1"
        ):
            make()


def test_a_record_of_version_0_1_counts_corners_as_its_convention_says(exported, tmp_path):
    """Version 0.1 wrote no ``inclusive`` among the rules of preprocessing."""

    def older(record):
        del record["preprocess"]["inclusive"]
        record["config"]["convention"]["inclusive"] = True

    predictor = Predictor(rewritten(exported, tmp_path, older))
    assert predictor.preprocess.inclusive
    assert predictor(photo_of(50, 77)).inclusive
    assert not Predictor(exported)(photo_of(50, 77)).inclusive


def test_a_network_with_inclusive_corners_says_so(net, tmp_path):
    inclusive = tiny_detector("fpn", convention="detectron", **SETTINGS)
    export(inclusive, str(tmp_path / "inclusive"))
    photo = photo_of(50, 77)
    for predictor in (Predictor.from_network(inclusive), Predictor(str(tmp_path / "inclusive"))):
        found = predictor(photo)
        assert len(found.ids) and found.inclusive and predictor.preprocess.inclusive
        assert found.boxes[:, 2].max() <= 76 and found.boxes[:, 3].max() <= 49
