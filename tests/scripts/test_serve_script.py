"""serve.py as a real server: statuses, equal detections, faulty clients, memory, the end."""

import http.client
import io
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

from gluonnorm import deploy

import numpy as np
import pytest
from http_service import SIZES, HttpService, bomb, form, head_of_post, photo, read_status
from in_process import SCRIPTS, run_script
from PIL import Image
from pycocotools import mask as run_lengths
from tiny_detector import CLASSES, tiny_detector

for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(package)

CLIENT_TIMEOUT = 1.5  # seconds
MAX_BODY = 2  # MB
MAX_PIXELS = 0.2  # millions, fewer than those of the photo that the service begins with
LIMITS = ("--client-timeout", CLIENT_TIMEOUT, "--max-body", MAX_BODY, "--max-pixels", MAX_PIXELS)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    prefix = str(tmp_path_factory.mktemp("exported") / "tiny")
    net = tiny_detector("mask_fpn", short=64, max_size=96, score_thresh=0.0)
    deploy.export(net, prefix)
    return prefix


@pytest.fixture(scope="module")
def predictor(exported):
    return deploy.Predictor(exported, batch_size=4)


@pytest.fixture(scope="module")
def service(exported):
    with HttpService(exported, *LIMITS, "--batch-size", 4, "--max-images", 3) as running:
        yield running


def assert_is_answer(entry, expected, size):
    """Check the entry of a photo against the predictor's detections."""
    rows = entry["detections"]
    assert (entry["height"], entry["width"]) == size
    assert [row["id"] for row in rows] == expected.ids.tolist()
    assert [row["class"] for row in rows] == [CLASSES[number] for number in expected.ids]
    np.testing.assert_allclose([row["score"] for row in rows], expected.scores, atol=1e-5)
    np.testing.assert_allclose([row["box"] for row in rows], expected.boxes, atol=1e-3)
    for row, mask in zip(rows, expected.masks):
        assert (run_lengths.decode(row["mask"]) != mask).sum() <= 1


def assert_is_error(answer, status):
    """Check that an answer is an error of one sentence, without a word about the server's files."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    (sentence,) = answer.json().values()
    assert list(answer.json()) == ["error"] and 10 < len(sentence) < 250
    for word in ("Traceback", ".py", "/work", "/tmp", "/root", "scripts", "\n"):
        assert word not in sentence
    return sentence


def test_photos_of_one_request_have_the_predictors_detections(service, predictor):
    files = [(f"{number}.png", photo(number, size)) for number, size in enumerate(SIZES)]
    answer = service.post(*form(files))
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["classes"] == list(CLASSES) and document["inclusive"] is False
    assert [entry["file"] for entry in document["images"]] == ["0.png", "1.png", "2.png"]
    for entry, size, (_, content) in zip(document["images"], SIZES, files):
        expected = predictor(content)
        assert len(expected.ids) > 3 and expected.masks.any()
        assert_is_answer(entry, expected, size)


def test_a_raw_body_is_one_photo(service, predictor):
    for image_format in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        content = photo(7, image_format=image_format)
        answer = service.post(content, f"image/{image_format.lower()}")
        (entry,) = answer.json()["images"]
        assert entry["file"] == "photo"
        assert_is_answer(entry, predictor(content), SIZES[0])
    answer = service.request("POST", "/v1/detect", content, {"Content-Type": ""})
    assert answer.status == 200


def test_a_file_of_two_formats_is_the_image_that_was_checked(service):
    """The file is WebP of 12 x 10 pixels and PCD of 768 x 512.

    Which one Pillow takes, unless it is told, depends on the order of its plugins in the process.
    """
    content = photo(1, (10, 12), image_format="WEBP").ljust(2048, b"\0") + b"PCD_OPA"
    content += bytes(768 * 512 * 3)
    assert Image.open(io.BytesIO(content), formats=["PCD"]).size == (768, 512)
    assert Image.open(io.BytesIO(content), formats=["WEBP"]).size == (12, 10)
    answer = service.post(content)
    assert answer.status == 200, answer
    (entry,) = answer.json()["images"]
    assert (entry["height"], entry["width"]) == (10, 12)


def test_a_threshold_leaves_out_detections(service):
    content = photo(3)
    every = service.post(content).json()["images"][0]["detections"]
    threshold = every[2]["score"]
    answer = service.request(
        "POST", f"/v1/detect?score_thresh={threshold}", content, {"Content-Type": "image/png"}
    )
    assert answer.json()["images"][0]["detections"] == every[:3]
    for wrong in ("2", "-1", "nan", "much"):
        answer = service.request(
            "POST", f"/v1/detect?score_thresh={wrong}", content, {"Content-Type": "image/png"}
        )
        assert assert_is_error(answer, 400).startswith("score_thresh: ")
    answer = service.request("POST", "/v1/detect?score_threshold=0.5", content, {})
    sentence = assert_is_error(answer, 400)
    assert sentence == "there is no parameter 'score_threshold'; did you mean score_thresh?"
    twice = "/v1/detect?score_thresh=0.9&score_thresh=0"
    sentence = assert_is_error(service.request("POST", twice, content, {}), 400)
    assert sentence == "score_thresh is in the address more than once; give one value"


def test_a_picture_is_drawn_where_it_is_accepted(service, predictor):
    content = photo(4)
    answer = service.post(content, Accept="image/png")
    assert answer.status == 200 and answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    drawn = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert drawn.shape == pixels.shape
    best = predictor(content)
    assert best.scores[0] > 0.5
    assert (drawn != pixels)[best.masks[0]].any()
    files = form([("a.png", content), ("b.png", content)])
    assert_is_error(service.post(*files, Accept="image/png"), 406)
    assert_is_error(service.post(content, Accept="text/html"), 406)
    assert service.post(content, Accept="text/html, */*;q=0.1").status == 200
    assert service.post(content, Accept="").headers["content-type"] == "application/json"


def test_several_headers_of_accepted_types_are_one_list(service):
    content = photo(4)
    connection = http.client.HTTPConnection("localhost", service.port, timeout=60)
    connection.putrequest("POST", "/v1/detect")
    connection.putheader("Accept", "text/html")
    connection.putheader("Accept", "image/png")
    connection.putheader("Content-Length", str(len(content)))
    connection.putheader("Content-Type", "image/png")
    connection.endheaders(content)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    connection.close()


@pytest.mark.parametrize(
    "content, status, words",
    [
        (b"no image at all", 415, "photo is no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "no image of a known format"),
        (b"", 400, "the body is empty"),
        (photo(1)[:200], 400, "cannot be read as an image"),
        (photo(1, image_format="JPEG")[:700], 400, "cannot be read as an image"),
        (photo(1, image_format="JPEG")[:400], 400, "photo is a damaged image"),
        (photo(1)[:30], 415, "photo is no image of a known format"),
        (bomb(20_000, 20_000), 413, "pixels"),
        (bomb(1_000, 201), 413, "photo has 1000 x 201 pixels, more than 200000"),
        (bytes((MAX_BODY << 20) + 1), 413, "the body is longer than 2 MB"),
    ],
)
def test_what_is_no_photo_is_refused(service, content, status, words):
    assert words in assert_is_error(service.post(content), status)
    if 0 < len(content) <= 4000:
        in_form = assert_is_error(service.post(*form([("x/é.png", content)])), status)
        assert "x/é.png" in in_form or status == 400


@pytest.mark.parametrize(
    "path, accept, status",
    [("/v1/detect", "*/*", 413), ("/v1/detect", "text/html", 406), ("/v2", "*/*", 404)],
)
def test_a_client_that_is_still_sending_gets_the_refusal(service, path, accept, status):
    """A body too long for the buffers between client and service, sent with pauses."""
    content = bytes((MAX_BODY << 20) + 1)
    head = head_of_post(len(content), "Connection: close", f"Accept: {accept}")
    with service.connect() as connection:
        connection.sendall(head.replace(b"/v1/detect", path.encode()))
        time.sleep(CLIENT_TIMEOUT / 4)
        for start in range(0, len(content), 1 << 19):
            connection.sendall(content[start : start + (1 << 19)])
            time.sleep(CLIENT_TIMEOUT / 20)
        assert read_status(connection) == status


def test_a_client_that_asks_before_it_sends_gets_the_refusal_at_once(service):
    with service.connect() as connection:
        connection.sendall(head_of_post(MAX_BODY << 21, "Expect: 100-continue"))
        # Once the service has waited for CLIENT_TIMEOUT, it answers 408.
        assert read_status(connection) == 413


def test_what_is_no_form_is_refused(service):
    body, content_type = form([("a.png", photo(1))])
    for field in ("files", "score_thresh"):
        sentence = assert_is_error(service.post(*form([("a", b"b")], field)), 400)
        assert f"the form has a field '{field}'; photos belong into the field 'file'" in sentence
    assert "no file" in assert_is_error(service.post(*form([])), 400)
    assert "cut off" in assert_is_error(service.post(body[:-9], content_type), 400)
    assert "no boundary" in assert_is_error(service.post(body, "multipart/form-data"), 400)
    assert "not the form" in assert_is_error(service.post(b"--x" + body, content_type), 400)
    assert "more than 3" in assert_is_error(service.post(*form([("a", photo(1))] * 4)), 413)
    for other_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        assert other_type in assert_is_error(service.post(photo(1), other_type), 415)


def test_other_paths_and_methods(service):
    assert service.get("/healthz").json() == {"status": "ok"}
    assert service.get("/readyz").json() == {"status": "ready"}
    assert "takes POST" in assert_is_error(service.get("/v1/detect"), 405)
    for path in ("/docs", "/etc/passwd", "/../../etc/passwd", "/v2", "/healthz/"):
        assert_is_error(service.get(path), 404)
    assert_is_error(service.get("/v2", Host="["), 404)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/openapi.json", "/v1/detect", "/v2"])
def test_head_is_answered_as_get_without_the_body(service, path):
    """Monitors of web sites ask with HEAD whether a service lives."""
    answer = service.get(path)
    head = service.request("HEAD", path, None, {})
    assert (head.status, head.content) == (answer.status, b"")
    for headers in (head.headers, answer.headers):
        headers.pop("date")
    assert head.headers == answer.headers and int(head.headers["content-length"]) > 0


def test_the_description_of_the_interface(service):
    description = service.get("/openapi.json").json()
    assert {"/v1/detect", "/healthz", "/readyz", "/metrics"} <= set(description["paths"])
    operation = description["paths"]["/v1/detect"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "multipart/form-data",
        "image/*",
        "application/octet-stream",
    }
    codes = {"200", "400", "401", "406", "408", "413", "415", "500", "503"}
    assert set(operation["responses"]) == codes
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    real = service.post(photo(1)).json()
    assert set(example) == set(real) and set(example["images"][0]) == set(real["images"][0])
    row = real["images"][0]["detections"][0]
    assert set(example["images"][0]["detections"][0]) == set(row)


def numbers_of(service):
    """The metrics by name and labels."""
    numbers = {}
    for line in service.get("/metrics").content.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            numbers[name] = float(value)
    return numbers


def test_metrics_count(service):
    before = numbers_of(service)
    assert service.post(*form([("a", photo(1)), ("b", photo(2))])).status == 200
    assert service.post(b"no image").status == 415
    after = numbers_of(service)
    ok = 'gluonnorm_requests_total{code="200",path="/v1/detect"}'
    refused = 'gluonnorm_requests_total{code="415",path="/v1/detect"}'
    assert after[ok] - before.get(ok, 0) == 1
    assert after[refused] - before.get(refused, 0) == 1
    assert after["gluonnorm_request_seconds_count"] - before["gluonnorm_request_seconds_count"] == 2
    assert after["gluonnorm_batch_size_sum"] - before["gluonnorm_batch_size_sum"] == 2
    assert after["gluonnorm_network_seconds_sum"] > before["gluonnorm_network_seconds_sum"]
    assert after["gluonnorm_queue_photos"] == 0


def slow_head(service):
    """Send the head of a request byte by byte, and never its end."""
    with service.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        try:
            for _ in range(round(4 * CLIENT_TIMEOUT)):
                time.sleep(0.5)
                connection.sendall(b"x")
        except OSError:
            pass
        return read_status(connection)


def slow_body(service):
    """Send a body byte by byte."""
    with service.connect() as connection:
        connection.sendall(head_of_post(1000))
        for _ in range(round(CLIENT_TIMEOUT)):
            time.sleep(0.5)
            connection.sendall(b"x")
        return read_status(connection)


def num_ended(service, reason):
    """How many connections the service has ended for a reason."""
    return numbers_of(service)[f'gluonnorm_ended_connections_total{{reason="{reason}"}}']


def test_slow_clients_are_cut_off(service):
    before = num_ended(service, "slow_request")
    start = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        head = pool.submit(slow_head, service)
        body = pool.submit(slow_body, service)
        with service.connect() as silent:
            assert read_status(silent) == 408
        assert head.result() in (0, 408)
        assert body.result() == 408
    assert time.monotonic() - start > CLIENT_TIMEOUT
    assert num_ended(service, "slow_request") == before + 2


def test_a_client_that_sends_on_after_its_answer_is_cut_off(service):
    with service.connect() as connection:
        connection.sendall(head_of_post(MAX_BODY << 21))
        assert read_status(connection) == 413
        start = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - start < 20 * CLIENT_TIMEOUT:
                connection.sendall(bytes(100))
                time.sleep(0.1)
    assert service.get("/healthz").status == 200


def test_a_connection_serves_several_requests(service):
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with service.connect() as connection:
        for _ in range(3):
            connection.sendall(request)
            assert read_status(connection) == 200


def test_a_broken_request_is_refused(service):
    before = num_ended(service, "no_http")
    with service.connect() as connection:
        connection.sendall(b"no HTTP at all\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"Retry-After" not in head
    assert json.loads(content) == {"error": "this is no HTTP request; send one of version 1.1"}
    assert num_ended(service, "no_http") == before + 1


def test_a_client_that_never_reads_its_answers_is_cut_off(service):
    # More answers than the buffers of the system hold.
    before = num_ended(service, "slow_reader")
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with service.connect() as connection:
        start = time.monotonic()
        with pytest.raises(OSError):
            connection.sendall(request * 4000)
            while time.monotonic() - start < 20 * CLIENT_TIMEOUT:
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - start > CLIENT_TIMEOUT
    assert num_ended(service, "slow_reader") == before + 1
    assert service.get("/healthz").status == 200


@pytest.mark.parametrize(
    "flags, words",
    [
        (("--exported", "no/such"), "no/such"),
        (("--queue", 0), "--queue is 0; want a finite number, more than 0"),
        (("--max-body", "inf"), "--max-body is inf; want a finite number, more than 0"),
        (("--max-pixels", "inf"), "--max-pixels is inf; want a finite number, more than 0"),
        (("--max-pixels", 1e-7), "--max-pixels is 1e-07, less than a pixel; want more"),
        (("--max-body", 1e-7), "--max-body is 1e-07, less than a byte; want more"),
        (("--grace", "inf"), "--client-timeout is 20 and --grace is inf; want finite numbers"),
        (("--client-timeout", "nan"), "--client-timeout is nan"),
        (("--tls-cert", "a.pem"), "--tls-cert and --tls-key belong together"),
        (
            ("--tls-cert", "a.pem", "--tls-key", "a.pem"),
            "--tls-key a.pem cannot be used (No such file",
        ),
        (("--tls-cert", __file__, "--tls-key", __file__), "_script.py cannot be used ("),
        (("--api-key", " "), "--api-key or GLUONNORM_API_KEY is empty"),
        (("--api-key", "schlüssel"), "has letters that no header can hold"),
        # An address that is kept for documentation.
        (("--host", "192.0.2.1"), "--host 192.0.2.1 --port 0 cannot be listened on"),
        (("--host", "a..b"), "--host a..b --port 0 cannot be listened on"),
        (("--host", ".example.com"), "--host .example.com --port 0 cannot be listened on"),
        (("--host", "a" * 64), f"--host {'a' * 64} --port 0 cannot be listened on"),
        (("--port", 99999), "--port is 99999; want 0 to 65535"),
        (("--queue", 4, "--max-images", 5), "--max-images is 5 and --queue is 4; want no more"),
        (("--port", -1), "--port is -1; want 0 to 65535"),
    ],
)
def test_wrong_flags_are_one_line(flags, words):
    ended = run_script("serve.py", "--exported", "out", "--port", 0, *flags)
    assert ended.returncode == 2 and ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1 and words in ended.stderr


# Stands for the packages of MXNet, and tells of their import.
NO_PACKAGE = 'raise ImportError("the service has imported this package")\n'


def test_an_onnx_export_is_served_without_mxnet(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    net = tiny_detector("fpn", short=64, max_size=96, score_thresh=0.0)
    deploy.export(net, str(tmp_path / "tiny"), format="onnx")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for package in ("mxnet", "gluoncv"):
        (hidden / f"{package}.py").write_text(NO_PACKAGE)
    paths = {"PYTHONPATH": os.pathsep.join([str(hidden), str(SCRIPTS.parent)])}
    content = photo(8)
    expected = deploy.Predictor.from_network(net)(content)
    assert len(expected.ids) > 3
    flags = ("--backend", "onnxruntime", "--max-pixels", 300)
    with HttpService(str(tmp_path / "tiny"), *flags, environment=paths) as service:
        # Already for the first photo, the limit is the flag's and not Pillow's smaller one.
        cut_off = bomb(14_000, 14_000, rows=1)[:60]
        assert "cannot be read as an image" in assert_is_error(service.post(cut_off), 400)
        rows = service.post(content).json()["images"][0]["detections"]
        assert service.stop() == 0
    assert [row["id"] for row in rows] == expected.ids.tolist()
    np.testing.assert_allclose([row["score"] for row in rows], expected.scores, atol=1e-4)
    np.testing.assert_allclose([row["box"] for row in rows], expected.boxes, atol=1e-2)
    assert not [line for line in service.log if "imported this package" in line]
