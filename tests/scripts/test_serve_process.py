"""serve.py under load and until its end: faulty clients, memory, signals, workers, key and TLS."""

import os
import random
import re
import shutil
import signal
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from gluonnorm import deploy

import numpy as np
import pytest
from http_service import SIZES, HttpService, bomb, form, head_of_post, photo, read_status
from tiny_detector import tiny_detector

for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(package)

NUM_REQUESTS = 1000
NUM_CLIENTS = 16
NUM_PHOTOS = 12  # different ones
QUEUE = 3 * NUM_CLIENTS  # photos
MAX_BODY = 1 << 20
MEMORY_LIMIT = 200 << 20  # bytes that the load may add: 16 bodies, 16 photos, a graph for each size


def export_tiny(folder, **options):
    """Export a detector, and return its prefix."""
    prefix = str(folder / "tiny")
    deploy.export(tiny_detector("fpn", short=64, max_size=96, score_thresh=0.0), prefix, **options)
    return prefix


def good(service, number, predictor_rows):
    """Send a photo, or three in a form, and compare every answer."""
    size = SIZES[number % len(SIZES)]
    content = photo(number % NUM_PHOTOS, size)
    if number % 5:
        answer = service.post(content)
        copies = 1
    else:
        answer = service.post(*form([("a.png", content)] * 3))
        copies = 3
    assert answer.status == 200, answer
    images = answer.json()["images"]
    assert len(images) == copies
    for image in images:
        expected = predictor_rows[number % NUM_PHOTOS, size]
        rows = image["detections"]
        assert [row["id"] for row in rows] == expected.ids.tolist()
        np.testing.assert_allclose([row["box"] for row in rows], expected.boxes, atol=1e-3)
        np.testing.assert_allclose([row["score"] for row in rows], expected.scores, atol=1e-5)


def bad(service, number, _):
    """Send what is no photo."""
    content, status = [
        (b"no image", 415),
        (photo(number % NUM_PHOTOS)[:150], 400),
        (bomb(3000, 3000), 413),
    ][number % 3]
    assert service.post(content).status == status


def slow(service, number, _):
    """Send a head, or a body, that never ends. The answer is read when the others have theirs."""
    connection = service.connect()
    connection.sendall(head_of_post(500) + b"x" if number % 2 else b"GET / HTTP/1.1\r\nA: b")
    return connection


def cut(service, number, _):
    """Close the connection within the head, within the body, or before the answer."""
    content = photo(number % NUM_PHOTOS)
    request = head_of_post(len(content)) + content
    end = (30, len(request) // 2, len(request))[number % 3]
    with service.connect() as connection:
        connection.sendall(request[:end])


def huge(service, number, _):
    """Announce too long a body, or send one without announcing it."""
    with service.connect() as connection:
        if number % 2:
            connection.sendall(head_of_post(100 * MAX_BODY))
        else:
            head = b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head)
            piece = b"40000\r\n" + bytes(0x40000) + b"\r\n"
            for _ in range(8):
                connection.sendall(piece)
        assert read_status(connection) == 413


# Of 25 requests, which are of which kind.
KINDS = [good] * 12 + [bad] * 6 + [cut] * 4 + [huge] * 2 + [slow]


@pytest.mark.slow
def test_a_thousand_mixed_requests_a_full_queue_and_the_end(tmp_path):
    prefix = export_tiny(tmp_path)
    predictor = deploy.Predictor(prefix)
    expected = {}
    for number in range(NUM_PHOTOS):
        for size in SIZES:
            expected[number, size] = predictor(photo(number, size))
    flags = ("--client-timeout", 1.5, "--max-body", 1, "--max-pixels", 1, "--batch-size", 4)
    flags += ("--queue", QUEUE, "--grace", 0.2)
    with HttpService(prefix, *flags) as service:
        send_all_kinds(service, expected)
        fill_the_queue(service)
        end_while_a_client_sends(service)
    assert "Traceback" not in "".join(service.log)


def send_all_kinds(service, expected):
    """Send a thousand requests; each kind checks its answers."""
    kinds = KINDS * (NUM_REQUESTS // len(KINDS))
    assert len(kinds) == NUM_REQUESTS
    random.shuffle(kinds)
    with ThreadPoolExecutor(NUM_CLIENTS) as clients:
        warm_up = [clients.submit(good, service, n, expected) for n in range(2 * NUM_CLIENTS)]
        for future in warm_up:
            future.result()
        memory = service.peak_memory()
        futures = [
            clients.submit(kind, service, number, expected) for number, kind in enumerate(kinds)
        ]
        slow_connections = [future.result() for future in futures if future.result()]
    assert len(slow_connections) == kinds.count(slow)
    for connection in slow_connections:
        with connection:
            assert read_status(connection) == 408
    assert service.peak_memory() - memory < MEMORY_LIMIT
    # Nothing is left behind: no place in the queue, and no error of the service.
    numbers = service.get("/metrics").content.decode()
    assert "\ngluonnorm_queue_photos 0.0\n" in numbers
    assert 'code="500"' not in numbers


def fill_the_queue(service):
    """Send more photos at once than there is room for: some requests are asked to come back."""
    many = form([("a.png", photo(1))] * 8)
    with ThreadPoolExecutor(NUM_CLIENTS) as clients:
        answers = list(clients.map(lambda _: service.post(*many), range(3 * NUM_CLIENTS)))
    assert {answer.status for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) >= 1
            assert "the service is busy" in answer.json()["error"]
        else:
            assert len(answer.json()["images"]) == 8


def end_while_a_client_sends(service):
    """Ask the service to end: what it has accepted is answered before."""
    content = photo(1)
    with service.connect() as connection:
        connection.sendall(head_of_post(len(content)) + content[:100])
        # This answer comes after the service has read the head.
        assert service.get("/readyz").status == 200
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("/readyz", 503)
        assert service.get("/healthz").headers["connection"] == "close"
        # Longer than the grace, after which the service listens no more.
        time.sleep(0.5)
        connection.sendall(content[100:])
        assert read_status(connection) == 200
    assert service.process.wait(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_the_service_without_the_grace(tmp_path, workers):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    prefix = export_tiny(tmp_path, format="onnx")
    flags = ("--workers", workers, "--backend", "onnxruntime", "--grace", 600)
    with HttpService(prefix, *flags) as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(60) == 0
    assert not re.search("Traceback|interrupted", "".join(service.log))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    files = [str(folder / "certificate.pem"), str(folder / "key.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-out", files[0], "-keyout", files[1], "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.mark.slow
def test_workers_with_a_key_and_tls(tmp_path, certificate):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    # Each new worker would need seconds to import MXNet.
    prefix = export_tiny(tmp_path, format="onnx")
    predictor = deploy.Predictor(prefix, backend="onnxruntime")
    cert, key = certificate
    flags = ("--workers", 2, "--tls-cert", cert, "--tls-key", key, "--grace", 0.2)
    flags += ("--backend", "onnxruntime")
    context = ssl.create_default_context(cafile=cert)

    def ask(path, method="GET", body=None, **headers):
        return service.request(method, path, body, headers, context)

    content = photo(2)
    named = {"Content_Type": "image/png"}
    with HttpService(prefix, *flags, environment={"GLUONNORM_API_KEY": "s3cret"}) as service:
        assert service.scheme == "https"
        assert ask("/healthz").status == 200 and ask("/").status == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X_API_Key": "s3cre"}):
            answer = ask("/v1/detect", "POST", content, **named, **headers)
            assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert ask("/metrics", **headers).status == 401
        allowed = {"Authorization": "Bearer s3cret"}
        assert ask("/v1/detect", "POST", content, **named, X_API_Key="s3cret").status == 200
        with ThreadPoolExecutor(8) as clients:
            tasks = [
                clients.submit(ask, "/v1/detect", "POST", content, **named, **allowed)
                for _ in range(23)
            ]
            answers = [task.result() for task in tasks]
        boxes = [row["box"] for row in answers[0].json()["images"][0]["detections"]]
        np.testing.assert_allclose(boxes, predictor(content).boxes, atol=1e-3)
        assert {answer.content for answer in answers} == {answers[0].content}
        # The numbers are those of both processes.
        numbers = ask("/metrics", **allowed).content.decode()
        assert 'gluonnorm_requests_total{code="200",path="/v1/detect"} 24.0' in numbers

        # While a worker cannot start, the service says why, and the other one answers.
        first, second = service.worker_pids()
        network = tmp_path / "tiny.onnx"
        hidden = network.rename(tmp_path / "hidden.onnx")
        os.kill(first, signal.SIGKILL)
        assert service.wait_for_line(rf"worker {first} ended \(status -9\); starting another one")
        reason = service.wait_for_line(r"worker \d+ ended \((?!status)(.*)\); starting another one")
        assert str(network) in reason
        again = ask("/v1/detect", "POST", content, **named, **allowed)
        assert again.status == 200 and again.content == answers[0].content
        # Without any worker, a request waits until the first new one answers it.
        hidden.rename(network)
        os.kill(second, signal.SIGKILL)
        again = ask("/v1/detect", "POST", content, **named, **allowed)
        assert again.status == 200 and again.content == answers[0].content
        assert not {first, second} & set(service.worker_pids())
        assert not any("new files" in line for line in service.log)

        # A worker that starts after another export has another network than the one before it.
        export_tiny(tmp_path, format="onnx")
        os.kill(service.worker_pids()[0], signal.SIGKILL)
        line = service.wait_for_line(r"worker \d+ answers with new files .*; restart the service")
        assert f" of {prefix}, and workers that began before answer with the old ones" in line
        assert service.stop(60) == 0
