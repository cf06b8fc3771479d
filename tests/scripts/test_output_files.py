"""The files that scripts write: complete or absent, and one line if they cannot be written."""

import argparse
import importlib
import os

from gluonnorm.errors import InputError

import numpy as np
import pytest
from full_disk import no_file_beyond
from in_process import SCRIPTS
from PIL import Image

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture
def output(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("_output")


def test_texts_and_pictures(output, tmp_path):
    output.write_text(tmp_path / "a.json", "k\u00e4se")
    assert (tmp_path / "a.json").read_bytes() == "k\u00e4se".encode()
    output.write_jpeg(tmp_path / "a.picture", PICTURE)
    image = Image.open(tmp_path / "a.picture")
    assert image.format == "JPEG" and image.size == (64, 64)


def test_a_full_disk_leaves_the_earlier_files(output, tmp_path):
    output.write_text(tmp_path / "a.json", "before")
    output.write_jpeg(tmp_path / "a.jpg", PICTURE)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with no_file_beyond(100):
        with pytest.raises(InputError, match=r"a.json cannot be written \(File too large\)"):
            output.write_text(tmp_path / "a.json", "x" * 200)
        with pytest.raises(InputError, match=r"a.jpg cannot be written \(File too large\)"):
            output.write_jpeg(tmp_path / "a.jpg", PICTURE)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "read, files, message",
    [
        ({}, [("--json", "a.json"), ("--plot", "./a.json")], "--plot would .* of --json too"),
        ({"exported": "out/net"}, [("--save-json", "out/net.json")], "a file of --exported too"),
        ({"exported": "out/net"}, [("--plot", "out/net.xml")], "a file of --exported too"),
        ({"params": "a.json"}, [("--json", "a.json")], "a file of --params too; give another name"),
        ({"params": "a.json"}, [("--json", "a.params")], "a file of --params too"),
        ({"detections": "a.json"}, [("--json", "a.json")], "a file of --detections too"),
    ],
)
def test_no_file_replaces_another_one_or_what_is_read(
    output, tmp_path, monkeypatch, read, files, message
):
    monkeypatch.chdir(tmp_path)
    args = argparse.Namespace(**{"exported": None, "params": None, **read})
    with pytest.raises(InputError, match=message):
        output.prepare_files(args, files)
    output.prepare_files(
        args, [("--json", "new/b.json"), ("--coco", None), ("--plot", "new/b.png")]
    )
    assert (tmp_path / "new").is_dir()
    output.prepare_files(args, [("--json", os.devnull), ("--coco", os.devnull)])


@pytest.mark.parametrize("name", ["a.JPG", "clip.mp4", "./shot"])
def test_text_never_replaces_a_photo(output, tmp_path, monkeypatch, name):
    """An image or a video of that name, or one that the script reads, whatever its name."""
    monkeypatch.chdir(tmp_path)
    args = argparse.Namespace(exported=None, params=None)
    files = [("--json", name)]
    photos = [tmp_path / "other.png", tmp_path / "shot"]
    output.prepare_files(args, files[: name != "./shot"], photos)  # there is no such file yet
    (tmp_path / name).write_bytes(b"pixels")
    with pytest.raises(InputError, match=f"--json would (write|replace) {name}, "):
        output.prepare_files(args, files, photos)
    assert (tmp_path / name).read_bytes() == b"pixels"
    # A plot is a picture, and made anew.
    output.prepare_files(args, [("--plot", "plot.png")])


def test_links_and_pipes_stay_what_they_are(output, tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "file.json")
    output.write_text(tmp_path / "link.json", "text")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "file.json").read_text() == "text"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    output.write_text(tmp_path / "pipe", "text")
    assert os.read(reader, 10) == b"text" and (tmp_path / "pipe").is_fifo()
    os.close(reader)
