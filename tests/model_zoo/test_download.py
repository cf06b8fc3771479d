"""The cache of published files is checked and shared; without a network it says what to do."""

import hashlib
import io
import logging
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from model_zoo import transfer
from model_zoo.download import DownloadError, cache_folder, download
from model_zoo.published_weights import PublishedWeights
from model_zoo.publishers import published_file

import pytest
from file_server import FileServer

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    served = FileServer(weights=CONTENT)
    yield served
    served.close()


def record_of(server, checksum=f"sha256:{SHA256}", name="weights"):
    return PublishedWeights(
        key=f"test/{name}",
        file="weights.pth",
        url=server.url + name,
        source="torchvision",
        checksum=checksum,
        license="MIT",
    )


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def names(folder):
    """Files in a cache, without the locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_fetched_once(server, tmp_path):
    record = record_of(server)
    path = download(record, tmp_path / "new" / "cache")
    assert path == tmp_path / "new" / "cache" / "weights.pth" and path.read_bytes() == CONTENT
    assert download(record, tmp_path / "new" / "cache") == path
    assert len(server.requests) == 1 and names(path.parent) == ["weights.pth"]


def test_folder_from_argument_then_environment_then_home(monkeypatch, tmp_path):
    monkeypatch.setenv("GLUONNORM_HOME", str(tmp_path / "environment"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder(tmp_path / "argument") == tmp_path / "argument"
    assert cache_folder() == tmp_path / "environment"
    monkeypatch.delenv("GLUONNORM_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "gluonnorm"
    assert cache_folder("~/weights") == tmp_path / "home" / "weights"


def test_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GLUONNORM_HOME", str(tmp_path))
    assert download(record_of(server)) == tmp_path / "weights.pth"


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
@pytest.mark.parametrize("digits", [6, 8, None])
def test_altered_file_is_deleted(server, tmp_path, algorithm, digits):
    right = hashlib.new(algorithm, CONTENT).hexdigest()[:digits]
    server.files["weights"] = CONTENT[:-1] + b"?"
    got = hashlib.new(algorithm, server.files["weights"]).hexdigest()
    record = record_of(server, f"{algorithm}:{right}")
    with pytest.raises(DownloadError) as caught:
        download(record, tmp_path)
    message = str(caught.value)
    assert right in message and got in message and "By hand" in message and record.url in message
    assert names(tmp_path) == []
    server.files["weights"] = CONTENT
    assert download(record, tmp_path).read_bytes() == CONTENT


def test_truncated_for_good_then_resumed_by_a_later_call(server, tmp_path):
    server.cuts = [1000] * transfer.ATTEMPTS
    with pytest.raises(DownloadError, match="only 5000 of 10240 bytes arrived.*By hand"):
        download(record_of(server), tmp_path)
    assert names(tmp_path) == ["weights.pth.part"]
    assert download(record_of(server), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("weights", "bytes=5000-")
    assert names(tmp_path) == ["weights.pth"]


def test_damaged_part_of_an_earlier_run_is_replaced(server, tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(b"x" * 500)
    assert download(record_of(server), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == ["bytes=500-", None]


def test_missing_file_and_missing_server_say_what_to_do(server, tmp_path):
    for expected in ("the server answers 404", "refused"):
        with pytest.raises(DownloadError) as caught:
            download(record_of(server, name="gone"), tmp_path)
        message = str(caught.value)
        assert expected in message
        assert f"put it into {tmp_path} as weights.pth" in message and SHA256 in message
        assert server.url + "gone" in message and "GLUONNORM_HOME" in message
        assert names(tmp_path) == []
        server.close()


def test_file_that_was_put_there_by_hand(server, tmp_path):
    (tmp_path / "weights.pth").write_bytes(CONTENT)
    assert download(record_of(server), tmp_path).read_bytes() == CONTENT
    (tmp_path / "weights.pth").write_bytes(b"another")
    with pytest.raises(DownloadError, match=f"expected {SHA256}. Delete it"):
        download(record_of(server), tmp_path)
    assert (tmp_path / "weights.pth").read_bytes() == b"another"  # not ours to delete
    assert server.requests == []


@pytest.mark.parametrize(
    "checksum", [None, f"sha256:{SHA256[:8]}", f"md5:{hashlib.md5(CONTENT).hexdigest()[:6]}"]
)
def test_first_download_is_trusted_and_later_ones_compared(server, tmp_path, caplog, checksum):
    record = record_of(server, checksum)
    with caplog.at_level(logging.WARNING):
        path = download(record, tmp_path)
    assert SHA256 in caplog.text and (checksum or "no checksum") in caplog.text
    assert (tmp_path / "weights.pth.sha256").read_text() == f"{SHA256}  weights.pth\n"
    assert download(record, tmp_path) == path
    # A change that the published digits do not show: only the note does.
    (tmp_path / "weights.pth.sha256").write_text(f"{'0' * 64}  weights.pth\n")
    with pytest.raises(
        DownloadError, match=f"has SHA-256 {SHA256}, expected {'0' * 64}.*weights.pth.sha256"
    ):
        download(record, tmp_path)
    assert len(server.requests) == 1


def test_first_file_by_hand_is_noted_too(server, tmp_path):
    (tmp_path / "weights.pth").write_bytes(CONTENT)
    download(record_of(server, None), tmp_path)
    (tmp_path / "weights.pth").write_bytes(CONTENT[1:])
    with pytest.raises(DownloadError, match=SHA256):
        download(record_of(server, None), tmp_path)


@pytest.fixture
def of_zip(server, monkeypatch):
    """A record as GluonCV's: a .zip with one file in it, whose SHA-1 is known."""
    monkeypatch.setattr(published_file, "GLUONCV_REPO", "https://example.org/")
    monkeypatch.setenv("MXNET_GLUON_REPO", server.url.rstrip("/"))
    server.files["net-0123abcd.zip"] = zipped(**{"net-0123abcd.params": CONTENT})
    return PublishedWeights(
        key="gluoncv/net",
        file="net-0123abcd.params",
        source="gluoncv",
        url="https://example.org/models/net-0123abcd.zip",
        checksum=f"sha1:{hashlib.sha1(CONTENT).hexdigest()}",
    )


def test_zip_from_the_mirror_of_the_environment(server, tmp_path, of_zip):
    path = download(of_zip, tmp_path)
    assert path == tmp_path / "net-0123abcd.params" and path.read_bytes() == CONTENT
    assert names(tmp_path) == ["net-0123abcd.params"]
    assert server.requests == [("net-0123abcd.zip", None)]


def test_zip_put_there_by_hand(server, tmp_path, of_zip):
    (tmp_path / "net-0123abcd.zip").write_bytes(server.files["net-0123abcd.zip"])
    assert download(of_zip, tmp_path).read_bytes() == CONTENT
    (tmp_path / "net-0123abcd.params").unlink()
    (tmp_path / "net-0123abcd.zip").write_bytes(b"no zip")
    with pytest.raises(DownloadError, match="net-0123abcd.zip: is not a sound zip file.*Delete it"):
        download(of_zip, tmp_path)
    assert server.requests == [] and names(tmp_path) == ["net-0123abcd.zip"]


@pytest.mark.parametrize(
    "content, complaint",
    [
        (zipped(**{"../net-0123abcd.params": CONTENT}), "net-0123abcd.params in it"),
        (zipped(other=CONTENT), "net-0123abcd.params in it"),
        (zipped(**{"net-0123abcd.params": CONTENT[1:]}), "has sha1"),
        (zipped(**{"net-0123abcd.params": CONTENT})[:-40], "not a sound zip file"),
        (CONTENT, "not a sound zip file"),
        (b"", "not a sound zip file"),
    ],
)
def test_zip_with_something_else(server, tmp_path, of_zip, content, complaint):
    server.files["net-0123abcd.zip"] = content
    folder = tmp_path / "cache"
    with pytest.raises(DownloadError, match=complaint):
        download(of_zip, folder)
    assert names(folder) == [] and names(tmp_path) == ["cache"]


def test_zip_unpacks_nothing_but_the_one_file(server, tmp_path, of_zip):
    server.files["net-0123abcd.zip"] = zipped(
        **{"../evil": b"x", "evil": b"x", "net-0123abcd.params": CONTENT}
    )
    folder = tmp_path / "cache"
    download(of_zip, folder)
    assert names(folder) == ["net-0123abcd.params"] and names(tmp_path) == ["cache"]


def test_damaged_deflate_stream(server, tmp_path, of_zip):
    damaged = bytearray(server.files["net-0123abcd.zip"])
    damaged[60:70] = b"\xff" * 10
    server.files["net-0123abcd.zip"] = bytes(damaged)
    with pytest.raises(DownloadError, match="not a sound zip file"):
        download(of_zip, tmp_path)


def test_several_at_once_fetch_once(server, tmp_path):
    server.delay = 0.3
    with ThreadPoolExecutor(3) as pool:  # each opens the lock's file for itself, as processes do
        paths = [pool.submit(download, record_of(server), tmp_path, False) for _ in range(3)]
        assert [path.result(20).read_bytes() for path in paths] == [CONTENT] * 3
    assert len(server.requests) == 1 and names(tmp_path) == ["weights.pth"]


def test_waits_for_another_process(server, tmp_path):
    other = """if True:
        import fcntl, sys, time
        with open(sys.argv[1] + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            print("locked", flush=True)
            time.sleep(0.4)
            with open(sys.argv[1], "wb") as file:
                file.write(bytes(range(256)) * 40)
        """
    with subprocess.Popen(
        [sys.executable, "-c", other, str(tmp_path / "weights.pth")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"locked\n"
        assert download(record_of(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == []


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="GLUONNORM_HOME"):
        download(record_of(server), tmp_path / "file")
    assert server.requests == []


def test_full_disk(server, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="No space left on device.*make room"):
        download(record_of(server), tmp_path)


def test_cache_that_may_only_be_read(server, tmp_path, monkeypatch, caplog):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "weights.pth").write_bytes(CONTENT)
    monkeypatch.setattr(Path, "write_text", refuse)
    with caplog.at_level(logging.WARNING):
        assert download(record_of(server, None), tmp_path) == tmp_path / "weights.pth"
    assert "would go unnoticed" in caplog.text


def test_license_is_said_on_the_first_download(server, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        download(record_of(server), tmp_path / "a")
        download(replace(record_of(server), license=None), tmp_path / "b")
    assert "license: MIT" in caplog.text and "license: not stated" in caplog.text
