"""Parts of the service: batches of one size, the queue, kinds of answers, faults of the service."""

import asyncio
import importlib
import threading
from types import SimpleNamespace

from gluonnorm.deploy.photo_reader import NamedPhoto
from gluonnorm.deploy.predictor import PhotoOutputs
from gluonnorm.photos.files import ImageError
from gluonnorm.photos.prepare import PreparedPhoto
from gluonnorm.types import Preprocess

import numpy as np
import pytest
from http_service import photo
from in_process import SCRIPTS

for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(package)

import uvicorn  # noqa: E402
from prometheus_client import CollectorRegistry  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

WAIT = 30  # seconds
NARROW = 7  # a width that the pretended network refuses
FAULTY = 13  # a width at which it fails


class PretendedPredictor:
    """Notes the batches that it is given; the first one waits until the test lets it go."""

    classes = ("cell",)
    preprocess = Preprocess(short=(8,), max_size=16)

    def __init__(self):
        self.batches = []
        self.began = threading.Event()
        self.may_go = threading.Event()

    def read(self, content, name=""):
        return prepared(8, name)

    def run(self, photos):
        self.began.set()
        assert self.may_go.wait(WAIT)
        names = [item.name for item in photos]
        self.batches.append(names)
        width = photos[0].prepared.pixels.shape[2]
        if width == NARROW:
            raise ImageError(f"{names[0]}is too narrow")
        if width == FAULTY:
            raise RuntimeError("/a/secret/path.py is broken")
        return [PhotoOutputs([np.full(1, index)], item) for index, item in enumerate(photos)]


def prepared(width, name):
    """A prepared photo of some width."""
    pixels = np.zeros((3, 8, width), np.float32)
    return NamedPhoto(PreparedPhoto(pixels, np.ones(2, np.float32), (8, width)), name)


@pytest.fixture()
def parts(monkeypatch):
    """The files of the service as modules."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = (
        "application",
        "byte_budget",
        "client_timeouts",
        "held_answer",
        "media_types",
        "metrics",
        "model_thread",
        "multipart_form",
        "refusal",
        "settings",
    )
    return SimpleNamespace(**{name: importlib.import_module(f"service.{name}") for name in names})


@pytest.fixture()
def model(parts):
    """A model thread, busy with a first photo until ``predictor.may_go`` is set."""
    predictor = PretendedPredictor()
    metrics = parts.metrics.ServiceMetrics(CollectorRegistry())
    thread = parts.model_thread.ModelThread(predictor, 3, 6, metrics)
    thread.submit(prepared(8, "first"))
    assert predictor.began.wait(WAIT)
    yield SimpleNamespace(predictor=predictor, thread=thread, metrics=metrics)
    predictor.may_go.set()
    thread.close()


def test_a_batch_holds_photos_of_one_size_and_the_oldest_comes_first(model):
    names = ["a", "B", "c", "d", "E", "f", "g"]
    jobs = [model.thread.submit(prepared(8 if name.islower() else 16, name)) for name in names]
    jobs[3].cancel()
    model.predictor.may_go.set()
    model.thread.close()
    # d was in the batch of a and c, and left out when its turn came.
    assert model.predictor.batches == [["first"], ["a", "c"], ["B", "E"], ["f", "g"]]
    assert [job.result(WAIT).outputs[0][0] for job in (jobs[0], jobs[2])] == [0, 1]
    assert model.metrics.batch_size._sum.get() == 7


def test_only_the_photos_of_a_faulty_batch_fail(model):
    narrow = [model.thread.submit(prepared(NARROW, name)) for name in ("a: ", "b: ")]
    faulty = model.thread.submit(prepared(FAULTY, "c"))
    good = model.thread.submit(prepared(8, "d"))
    model.predictor.may_go.set()
    for job, name in zip(narrow, "ab"):
        with pytest.raises(ImageError, match=f"^{name}: is too narrow"):
            job.result(WAIT)
    with pytest.raises(RuntimeError):
        faulty.result(WAIT)
    assert good.result(WAIT).photo.prepared.size == (8, 8)
    assert model.thread.is_alive()


def test_places_are_taken_and_given_back(parts, model):
    model.thread.take_places(4)
    with pytest.raises(parts.model_thread.QueueFull) as full:
        model.thread.take_places(3)
    assert 1 <= full.value.seconds <= 60
    model.thread.take_places(2)
    with pytest.raises(parts.model_thread.QueueFull):
        model.thread.take_places(0)
    assert model.metrics.queue._value.get() == 6
    model.thread.give_places_back(6)
    model.thread.take_places(6)


@pytest.mark.parametrize(
    "accept, expected",
    [
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("IMAGE/PNG;q=0.9, application/json;q=0.8", "image/png"),
        ("image/*, application/json;q=0.5", "image/png"),
        ("image/png;q=0, */*", "application/json"),
        ("image/png;q=x, application/*;q=0.1", "application/json"),
        ("text/html", None),
        ("application/json;q=0", None),
        ("", "application/json"),
        (" , ", "application/json"),
        (", text/html, image/png", "image/png"),
    ],
)
def test_the_kind_of_an_answer(parts, accept, expected):
    if expected is None:
        with pytest.raises(parts.refusal.Refusal) as refused:
            parts.media_types.accepted_type(accept)
        assert refused.value.status == 406
    else:
        assert parts.media_types.accepted_type(accept) == expected


@pytest.mark.parametrize(
    "parameters, name",
    [
        ('filename="cell.png"', "cell.png"),
        ("filename*=UTF-8''k%C3%A4se.png", "k\u00e4se.png"),
        ("filename*=\"utf-8'de'k%C3%A4se.png\"", "k\u00e4se.png"),
        ("filename*=iso-8859-1''k%E4se.png; size=3", "k\u00e4se.png"),
        # What RFC 7578 allows goes before what it forbids.
        ("filename=\"cell.png\"; filename*=UTF-8''k%C3%A4se.png", "cell.png"),
        ("filename=\"a; filename*=utf-8''b\"", "a; filename*=utf-8''b"),
        ("filename*=utf-7''k%C3%A4se.png", "photo"),
        ("filename*=k%C3%A4se.png", "photo"),
        ("size=3", "photo"),
    ],
)
def test_the_name_of_a_file_in_a_form(parts, parameters, name):
    form = parts.multipart_form.MultipartForm("multipart/form-data; boundary=x", max_images=1)
    head = f'--x\r\nContent-Disposition: form-data; name="file"; {parameters}\r\n\r\n'
    form.write(head.encode() + b"content\r\n--x--\r\n")
    (upload,) = form.finish()
    assert (upload.name, bytes(upload.content)) == (name, b"content")


def test_a_faulty_name_of_a_file_is_refused(parts):
    form = parts.multipart_form.MultipartForm("multipart/form-data; boundary=x", max_images=1)
    parameters = "name=\"file\"; filename*=utf-8''a; filename*0=b"
    with pytest.raises(parts.refusal.Refusal, match="faulty Content-Disposition") as refused:
        form.write(f"--x\r\nContent-Disposition: form-data; {parameters}\r\n\r\n".encode())
    assert refused.value.status == 400


class PretendedTransport:
    """Notes how much of an answer is left, and whether the connection was cut off."""

    def __init__(self, connection):
        self.connection = connection
        self.num_bytes_left = 0
        self.most_bytes_left = 0
        self.is_aborted = False

    def write(self, data):
        self.num_bytes_left += len(data)
        self.most_bytes_left = max(self.most_bytes_left, self.num_bytes_left)
        if self.num_bytes_left > 64 << 10:
            self.connection.pause_writing()

    def take(self, num_bytes):
        """Let the client read."""
        self.num_bytes_left = max(0, self.num_bytes_left - num_bytes)
        if self.num_bytes_left < 16 << 10:
            self.connection.resume_writing()

    def get_write_buffer_size(self):
        return self.num_bytes_left

    def get_extra_info(self, name, default=None):
        return default

    def is_closing(self):
        return self.is_aborted

    def abort(self):
        self.is_aborted = True
        self.connection.connection_lost(None)

    def close(self):
        pass

    pause_reading = resume_reading = close


def test_a_client_may_take_an_answer_slowly_but_must_take_it(parts):
    budget = parts.byte_budget.ByteBudget(3_000_000, "too many answers")
    counted = parts.metrics.ServiceMetrics(CollectorRegistry())

    class Connection(parts.client_timeouts.TimedConnection):
        client_timeout = 0.4  # seconds, in which a client takes at least 4000 bytes
        metrics = counted

    async def takes(num_bytes):
        answer = parts.held_answer.HeldAnswer(bytes(1_000_000), "image/png", budget)
        connection = Connection(uvicorn.Config(answer), ServerState(), {})
        transport = PretendedTransport(connection)
        connection.connection_made(transport)
        connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(15):
            await asyncio.sleep(0.1)
            transport.take(num_bytes)
        was_cut_off = transport.is_aborted
        transport.take(1_000_000)
        await asyncio.sleep(0)
        # The rest of the answer is not in the buffer of the connection.
        assert 100_000 < transport.most_bytes_left < 300_000
        transport.abort()
        await asyncio.sleep(0)
        return was_cut_off

    async def all_three():
        with pytest.raises(parts.refusal.Refusal) as refused:
            clients = asyncio.gather(takes(50_000), takes(0), takes(100))
            await asyncio.sleep(0.05)
            budget.add(1)
        assert refused.value.status == 503
        return await clients

    assert asyncio.run(all_three()) == [False, True, True]
    assert counted.ended_connections.labels("slow_reader")._value.get() == 2
    # Nothing is held any more.
    budget.add(3_000_000)


def test_an_answer_is_sent_whole_even_if_it_alone_exceeds_the_budget(parts):
    budget = parts.byte_budget.ByteBudget(10, "too many answers")
    content = bytes(range(250)) * 2000
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(parts.held_answer.HeldAnswer(content, "image/png", budget)({}, None, send))
    start, *pieces = sent
    assert (b"content-length", b"500000") in start["headers"]
    assert b"".join(piece["body"] for piece in pieces) == content
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert len(pieces) > 1


def test_a_fault_of_the_service_tells_nothing_of_it(parts, monkeypatch):
    predictor = PretendedPredictor()
    predictor.may_go.set()
    monkeypatch.setattr(predictor, "read", lambda content, name: prepared(FAULTY, name))
    settings = parts.settings.ServiceSettings(exported="tiny")
    metrics = parts.metrics.ServiceMetrics(CollectorRegistry())
    service = parts.application.DetectionService(predictor, settings, metrics)
    application = parts.application.make_application(service)
    content = photo(1)
    received = [{"type": "http.request", "body": content, "more_body": False}]
    sent = []

    async def receive():
        if received:
            return received.pop()
        await asyncio.sleep(WAIT)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/detect",
        "raw_path": b"/v1/detect",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"content-type", b"image/png")],
        "server": ("localhost", 80),
        "client": ("localhost", 1),
    }
    # The server logs the error, and a client gets the answer that was sent before.
    with pytest.raises(RuntimeError):
        asyncio.run(application(scope, receive, send))
    service.close()
    start, body = sent
    assert start["status"] == 500
    assert body["body"] == b'{"error": "the service failed on this request; its log says why"}'
    assert service.num_requests == 0
    assert metrics.queue._value.get() == 0
    counted = metrics.requests.labels("/v1/detect", "500")
    assert counted._value.get() == 1
