"""The count of photos whose candidates were cut off, and graphs that are no detector."""

import hashlib
import json
import re
import warnings

from gluonnorm.deploy import DeployError, Predictor, export
from gluonnorm.deploy.candidate_count import expose_candidate_count

import mxnet as mx
import numpy as np
import pytest
from tiny_detector import tiny_detector

SIZE = (64, 64)
SETTINGS = {"short": 64, "max_size": 96, "rpn_test_post_nms": 20}
PAIRS = 20 * 3  # RoIs and classes


def photos(count):
    """Blocks of color with more and more contrast."""
    blocks = (
        np.random.default_rng(1).uniform(-1, 1, (count, 8, 8, 3))
        * np.linspace(0, 128, count)[:, None, None, None]
    )
    return [np.uint8(127 + block).repeat(8, axis=0).repeat(8, axis=1) for block in blocks]


def above(threshold, several):
    """How many pairs of each photo are above a threshold, nothing suppressed and nothing cut."""
    everything = Predictor.from_network(
        tiny_detector(
            "c4", **SETTINGS, score_thresh=threshold, nms_thresh=1.0, max_detections=PAIRS
        )
    )
    found = everything(several)
    assert everything.truncated_photos == 0
    return [len(one.ids) for one in found]


@pytest.fixture(scope="module")
def cutting(tmp_path_factory):
    """Photos, some with more pairs above the threshold than fit, a network, and its export."""
    several = photos(9)
    scores = sorted(above(0.2, several))
    limit = scores[4]
    assert scores[0] < limit < scores[-1]
    net = tiny_detector("c4", **SETTINGS, score_thresh=0.2, max_detections=3, max_candidates=limit)
    prefix = str(tmp_path_factory.mktemp("cut") / "tiny")
    export(net, prefix)
    return several, [count > limit for count in above(0.2, several)], limit, net, prefix


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("run_time", ["network", "mxnet", "onnxruntime", "openvino"])
def test_photos_with_too_many_candidates_are_counted_and_the_first_is_a_warning(
    cutting, batch_size, run_time
):
    several, cut, limit, net, prefix = cutting
    if run_time == "network":
        predictor = Predictor.from_network(net, batch_size=batch_size)
    else:
        pytest.importorskip(run_time)
        if run_time != "mxnet":
            pytest.importorskip("onnx")
            export(net, prefix, format="onnx")
        predictor = Predictor(prefix, batch_size=batch_size, backend=run_time)
    assert predictor.truncated_photos == 0
    with pytest.warns(
        UserWarning,
        match=rf"config.max_candidates = {limit} pairs .* config.score_thresh = 0.2.*"
        r"Raise max_candidates, in the export or with net.configure",
    ) as caught:
        predictor(several)
    assert [one.category for one in caught].count(
        UserWarning
    ) == 1 and predictor.truncated_photos == sum(cut)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for photo, one in zip(several, cut):
            before = predictor.truncated_photos
            predictor(photo)
            assert predictor.truncated_photos == before + one


def test_the_outputs_are_those_of_the_network(cutting):
    several, _, limit, net, _ = cutting
    predictor = Predictor.from_network(net)
    x = mx.nd.array(np.stack([predictor.prepare(photo) for photo in several]))
    block, count = expose_candidate_count(net)
    *outputs, candidates = block(x)
    assert count == len(outputs) == len(net(x)) == 3 and candidates.shape == (9, limit + 1)
    for one, other in zip(outputs, net(x)):
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())
    assert (
        len(predictor.net(x)) == 3
    )  # as it is: who reads all of its outputs gets no scores for masks


def assembled(folder, symbol, parameters, record):
    """The three files, the record's checksums in order."""
    (folder / "net-symbol.json").write_text(symbol if isinstance(symbol, str) else symbol.tojson())
    mx.nd.save(str(folder / "net-0000.params"), parameters)
    sums = {
        name: hashlib.sha256((folder / f"net-{file}").read_bytes()).hexdigest()
        for name, file in (("symbol", "symbol.json"), ("params", "0000.params"))
    }
    record = {**record, "provenance": {**record["provenance"], "sha256": sums}}
    (folder / "net.json").write_text(json.dumps(record))
    return str(folder / "net")


def parts(prefix):
    """Symbol, parameters and record of an export."""
    with open(f"{prefix}.json") as file:
        return (
            mx.sym.load(f"{prefix}-symbol.json"),
            mx.nd.load(f"{prefix}-0000.params"),
            json.load(file),
        )


def test_an_export_from_before_the_count(cutting, tmp_path):
    several, _, _, net, prefix = cutting
    symbol, parameters, record = parts(prefix)
    text, changed = re.subn(r'candidates"', 'where9"', symbol.tojson())
    assert changed == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        predictor = Predictor(assembled(tmp_path, text, parameters, record))
        found = predictor(several)
    assert predictor.truncated_photos == 0
    with pytest.warns(UserWarning):
        wanted = Predictor(prefix)(several)
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_parameters_of_another_model(cutting, tmp_path):
    symbol, _, record = parts(cutting[-1])
    export(tiny_detector("fpn"), str(tmp_path / "other"))
    prefix = assembled(tmp_path, symbol, parts(str(tmp_path / "other"))[1], record)
    with pytest.raises(
        DeployError,
        match="net: symbol, parameters and manifest do not belong together .*; export again",
    ):
        Predictor(prefix)


def test_parameters_of_the_same_names_and_other_shapes(cutting, tmp_path):
    symbol, parameters, record = parts(cutting[-1])
    name = next(name for name in parameters if "rpn" in name and name.endswith("weight"))
    parameters[name] = mx.nd.zeros((5, *parameters[name].shape[1:]))
    with pytest.raises(
        DeployError, match="net: weights do not fit the layers: Error in operator .*rpn.*; export"
    ):
        Predictor(assembled(tmp_path, symbol, parameters, record))


def small_networks():
    x, weight = mx.sym.var("data"), mx.sym.var("weight", shape=(4, 3))
    scores = mx.sym.FullyConnected(mx.sym.mean(x, axis=(2, 3)), weight, num_hidden=4, no_bias=True)
    rows = mx.sym.reshape(scores, (0, 0, 1))
    boxes = mx.sym.concat(rows, rows, rows, rows, dim=2)
    masks = mx.sym.broadcast_mul(mx.sym.expand_dims(rows, 3), mx.sym.ones((1, 1, 7, 7)))
    return {
        "classifier": scores,
        "two outputs": mx.sym.Group([rows, rows]),
        "in another order": mx.sym.Group([rows, boxes, rows]),
        "no rows": mx.sym.Group([scores, rows, boxes]),
        "five outputs": mx.sym.Group([rows, rows, boxes, masks, rows]),
        "masks that are none": mx.sym.Group([rows, rows, boxes, rows]),
        "a detector": mx.sym.Group([rows, rows, boxes, masks]),
    }


@pytest.mark.parametrize("kind", list(small_networks()))
def test_a_graph_that_is_no_detector(cutting, tmp_path, kind):
    prefix = assembled(
        tmp_path, small_networks()[kind], {"arg:weight": mx.nd.ones((4, 3))}, parts(cutting[-1])[2]
    )
    if kind == "a detector":
        assert Predictor(prefix)(np.zeros((*SIZE, 3), np.uint8)).masks is not None
    else:
        with pytest.raises(
            DeployError, match=r"net: the outputs of an image are \(1, .*; a detector's are ids"
        ):
            Predictor(prefix)


@pytest.mark.parametrize(
    "change",
    [
        lambda symbol, record: (symbol[:-100], record),
        lambda symbol, record: ("{}", record),
        lambda symbol, record: (symbol, {name: record[name] for name in record if name != "input"}),
        lambda symbol, record: (symbol, {**record, "input": {"name": "image"}}),
    ],
)
def test_damaged_files_with_good_checksums(cutting, tmp_path, change):
    symbol, parameters, record = parts(cutting[-1])
    symbol, record = change(symbol.tojson(), record)
    with pytest.raises(DeployError, match="net") as caught:
        Predictor(assembled(tmp_path, symbol, parameters, record))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_other_formats_are_counted_too(cutting, tmp_path, dtype):
    several, _, limit, net, _ = cutting
    export(
        net, str(tmp_path / "net"), dtype=dtype, calibration=several if dtype == "int8" else None
    )
    predictor = Predictor(str(tmp_path / "net"), batch_size=9)
    x = mx.nd.array(np.stack([predictor.prepare(photo) for photo in several]))
    *outputs, candidates = expose_candidate_count(predictor.net)[0](x)
    for one, other in zip(outputs, predictor.net(x)):
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())
    assert candidates.shape == (9, limit + 1)
    with pytest.warns(UserWarning, match="config.max_candidates"):
        predictor(several)
    assert 0 < predictor.truncated_photos < 9
