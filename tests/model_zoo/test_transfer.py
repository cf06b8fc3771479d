"""Transfers from a server on this machine: whole, cut, resumed, refused."""

import logging
import os

from model_zoo import transfer as module
from model_zoo.transfer import ATTEMPTS, TransferError, transfer

import pytest
from file_server import FileServer

CONTENT = bytes(range(256)) * 40  # 10240 bytes, different at each place of a 256


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.001)
    monkeypatch.setattr(module, "CHUNK", 1000)
    served = FileServer(weights=CONTENT)
    yield served
    served.close()


@pytest.fixture
def part(tmp_path):
    return tmp_path / "weights.part"


def test_whole_file_in_one_request(server, part):
    transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT
    assert server.requests == [("weights", None)]
    assert server.agents[0].startswith("gluonnorm/")


def test_cut_connection_goes_on_where_it_ended(server, part, caplog):
    server.cuts = [3000, 2500]
    with caplog.at_level(logging.WARNING):
        transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT
    assert server.requests == [
        ("weights", None),
        ("weights", "bytes=3000-"),
        ("weights", "bytes=5500-"),
    ]
    assert "only 3000 of 10240 bytes arrived" in caplog.text


def test_server_without_ranges_starts_anew(server, part):
    server.ranges, server.cuts = False, [3000]
    transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT
    assert server.requests[1] == ("weights", "bytes=3000-")


def test_part_of_an_earlier_run_is_taken_up(server, part):
    part.write_bytes(CONTENT[:4321])
    transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT
    assert server.requests == [("weights", "bytes=4321-")]


def test_part_that_is_whole_needs_nothing(server, part):
    part.write_bytes(CONTENT)
    transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT and len(server.requests) == 1


def test_part_longer_than_the_file_is_dropped(server, part):
    part.write_bytes(CONTENT + b"more")
    transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT


def test_always_truncated_ends_with_an_error_and_keeps_what_came(server, part):
    server.cuts = [1000] * ATTEMPTS
    with pytest.raises(
        TransferError, match=f"only 5000 of 10240 bytes arrived, attempt {ATTEMPTS} of {ATTEMPTS}"
    ):
        transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("status", [429, 503])
def test_busy_server_is_asked_again(server, part, status):
    server.answers = [status]
    transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT and len(server.requests) == 2


@pytest.mark.parametrize("status", [403, 404])
def test_final_answers_are_not_repeated(server, part, status):
    server.answers = [status]
    with pytest.raises(TransferError, match=f"the server answers {status}"):
        transfer(server.url + "weights", part, "weights")
    assert len(server.requests) == 1


def test_no_server(server, part):
    server.close()
    with pytest.raises(TransferError, match="refused, attempt 1 of"):
        transfer(server.url + "weights", part, "weights")


def test_no_such_host(part, monkeypatch):
    def unknown(*_, **__):
        raise module.URLError(OSError("Name or service not known"))

    monkeypatch.setattr(module, "urlopen", unknown)
    with pytest.raises(TransferError, match="Name or service not known, attempt 1 of"):
        transfer("http://weights.invalid/weights", part, "weights")


def test_silent_server(server, part, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    server.delay = 0.5
    with pytest.raises(TransferError, match="timed out"):
        transfer(server.url + "weights", part, "weights")


def test_length_that_is_not_told(server, part):
    server.announce = False
    transfer(server.url + "weights", part, "weights")
    assert part.read_bytes() == CONTENT


def test_full_disk_is_no_fault_of_the_network(server, part, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        transfer(server.url + "weights", part, "weights")
    assert not isinstance(caught.value, TransferError) and len(server.requests) == 1


@pytest.mark.parametrize("progress", [True, False])
def test_bar_counts_from_what_was_there(server, part, monkeypatch, progress):
    """With ``disable=None`` tqdm draws on terminals only; with True it never draws a bar."""
    bars = []

    class Bar(module.tqdm):
        def __init__(self, **options):
            bars.append(options)
            super().__init__(**options)

    monkeypatch.setattr(module, "tqdm", Bar)
    part.write_bytes(CONTENT[:240])
    transfer(server.url + "weights", part, "weights", progress)
    assert len(bars) == 1 and (bars[0]["initial"], bars[0]["total"], bars[0]["desc"]) == (
        240,
        10240,
        "weights",
    )
    assert bars[0]["disable"] is (None if progress else True)
