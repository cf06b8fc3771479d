"""serve.py under load and until its end: faulty clients, memory, signals, workers, key and TLS."""

import collections
import os
import random
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
MAX_BODY = 1 << 20
MEMORY_LIMIT = 200 << 20  # bytes that the load may add: 16 bodies, 16 photos, a graph for each size


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    prefix = str(tmp_path_factory.mktemp("exported") / "tiny")
    deploy.export(tiny_detector("fpn", short=64, max_size=96, score_thresh=0.0), prefix)
    return prefix


@pytest.fixture(scope="module")
def predictor(exported):
    return deploy.Predictor(exported)


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
        boxes, scores, ids = predictor_rows[number % NUM_PHOTOS, size]
        rows = image["detections"]
        assert [row["id"] for row in rows] == ids.tolist()
        np.testing.assert_allclose([row["box"] for row in rows], boxes, atol=1e-3)
        np.testing.assert_allclose([row["score"] for row in rows], scores, atol=1e-5)
    return "good"


def bad(service, number, _):
    """Send what is no photo."""
    content, status = [
        (b"no image", 415),
        (photo(number % NUM_PHOTOS)[:150], 400),
        (bomb(3000, 3000), 413),
    ][number % 3]
    assert service.post(content).status == status
    return "bad"


def slow(service, number, _):
    """Send a head, or a body, that never ends."""
    with service.connect() as connection:
        connection.sendall(head_of_post(500) + b"x" if number % 2 else b"GET / HTTP/1.1\r\nA: b")
        assert read_status(connection) == 408
    return "slow"


def cut(service, number, _):
    """Close the connection within the head, within the body, or before the answer."""
    content = photo(number % NUM_PHOTOS)
    request = head_of_post(len(content)) + content
    end = (30, len(request) // 2, len(request))[number % 3]
    with service.connect() as connection:
        connection.sendall(request[:end])
    return "cut"


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
    return "huge"


# Of 25 requests, which are of which kind.
KINDS = [good] * 12 + [bad] * 6 + [cut] * 4 + [huge] * 2 + [slow]


@pytest.mark.slow
def test_a_thousand_mixed_requests_are_answered_right(exported, predictor):
    expected = {}
    for number in range(NUM_PHOTOS):
        for size in SIZES:
            found = predictor(photo(number, size))
            expected[number, size] = (found.boxes, found.scores, found.ids)
    kinds = KINDS * (NUM_REQUESTS // len(KINDS))
    random.shuffle(kinds)
    flags = ("--client-timeout", 1.5, "--max-body", 1, "--max-pixels", 1, "--batch-size", 4)
    with HttpService(exported, *flags, "--queue", 3 * NUM_CLIENTS) as service:
        with ThreadPoolExecutor(NUM_CLIENTS) as clients:
            warm_up = [clients.submit(good, service, n, expected) for n in range(4 * NUM_CLIENTS)]
            assert {future.result() for future in warm_up} == {"good"}
            memory = service.peak_memory()
            futures = [
                clients.submit(kind, service, number, expected) for number, kind in enumerate(kinds)
            ]
            counts = collections.Counter(future.result() for future in futures)
        assert counts == collections.Counter(kind.__name__ for kind in kinds)
        assert sum(counts.values()) == NUM_REQUESTS
        assert service.peak_memory() - memory < MEMORY_LIMIT
        # Nothing is left behind: no place in the queue, and no error of the service.
        numbers = service.get("/metrics").content.decode()
        assert "\ngluonnorm_queue_photos 0.0\n" in numbers
        assert 'code="500"' not in numbers
        assert service.stop() == 0
    assert "Traceback" not in "".join(service.log)


@pytest.mark.slow
def test_accepted_requests_are_answered_before_the_end(exported):
    content = photo(1)
    with HttpService(exported, "--grace", 0.2, "--queue", 2) as service:
        # More at once than there is room for: all are answered, some with the request to come back.
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(service.post, [content] * 24))
        statuses = collections.Counter(answer.status for answer in answers)
        assert set(statuses) == {200, 503}
        for answer in answers:
            if answer.status == 503:
                assert int(answer.headers["retry-after"]) >= 1
                assert "the service is busy" in answer.json()["error"]

        with service.connect() as connection:
            connection.sendall(head_of_post(len(content)) + content[:100])
            time.sleep(0.5)
            assert service.get("/readyz").status == 200
            service.process.send_signal(signal.SIGTERM)
            service.wait_for("/readyz", 503)
            assert service.get("/healthz").headers["connection"] == "close"
            time.sleep(0.5)
            connection.sendall(content[100:])
            assert read_status(connection) == 200
        assert service.process.wait(30) == 0
    assert "Traceback" not in "".join(service.log)


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
def test_workers_with_a_key_and_tls(exported, certificate, predictor):
    cert, key = certificate
    flags = ("--workers", 2, "--tls-cert", cert, "--tls-key", key, "--grace", 0.2)
    context = ssl.create_default_context(cafile=cert)

    def ask(path, method="GET", body=None, **headers):
        return service.request(method, path, body, headers, context)

    content = photo(2)
    named = {"Content_Type": "image/png"}
    with HttpService(exported, *flags, environment={"GLUONNORM_API_KEY": "s3cret"}) as service:
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

        # A request waits until the first of the workers that replace killed ones answers it.
        killed = service.worker_pids()
        assert len(killed) == 2
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        again = ask("/v1/detect", "POST", content, **named, **allowed)
        assert again.status == 200 and again.content == answers[0].content
        for pid in killed:
            assert f"worker {pid} ended (status -9); starting another one\n" in service.log
        assert not set(killed) & set(service.worker_pids())
        assert service.stop(60) == 0
