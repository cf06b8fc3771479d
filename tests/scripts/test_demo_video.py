"""demo.py on videos: every frame, in order; JSON lines; files that are no videos, or cut off."""

import json
import os
import shutil
import struct
import subprocess
import sys

from gluonnorm.deploy import Predictor, export
from gluonnorm.visualize import draw

import cv2
import numpy as np
import pytest
from in_process import SCRIPTS, run_script
from tiny_detector import CLASSES, tiny_detector

SETTINGS = {"short": 64, "max_size": 96, "score_thresh": 0.0}
# Where the box of a track in an MP4 file has its matrix (ISO 14496-12, 8.3.2), counted from its
# type.
MATRIX = 44
# a b u c d v x y w. A pixel at (p, q) is shown at (a p + c q, b p + d q).
MATRICES = {
    "right": (0, 1, 0, -1, 0, 0, 0, 0, 1),
    "half": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "left": (0, -1, 0, 1, 0, 0, 0, 0, 1),
}
# Counterclockwise, as NumPy turns.
QUARTERS = {"right": 3, "half": 2, "left": 1}
COUNT, HEIGHT, WIDTH, RATE = 12, 64, 96, 10.0


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    prefix = str(tmp_path_factory.mktemp("exported") / "tiny")
    export(tiny_detector("mask_fpn", **SETTINGS), prefix)
    return prefix


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video whose frames differ, in a format that keeps most of each frame."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    write_clip(path, RATE)
    return path


def write_clip(path, rate, code="MJPG"):
    """Write frames of blocks; an AVI file of MJPEG can have any rate."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate, (WIDTH, HEIGHT))
    generator = np.random.default_rng(0)
    for _ in range(COUNT):
        blocks = generator.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        writer.write(blocks.repeat(8, axis=0).repeat(8, axis=1))
    writer.release()


def frames_of(path):
    """All frames of a video in RGB, and its frame rate."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        is_read, frame = capture.read()
        if not is_read:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def test_each_frame_is_drawn_and_described(exported, clip, tmp_path):
    flags = ("--exported", exported, "--output", tmp_path / "drawn", "--json", tmp_path / "a.jsonl")
    done = run_script("demo.py", clip, *flags, "--score-thresh", "0.3")
    target = tmp_path / "drawn" / "clip-detections.mp4"
    assert done == (0, f"{clip}: {COUNT} frames -> {target}\n", "")
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == [target.name]
    frames, _ = frames_of(clip)
    drawn, rate = frames_of(target)
    assert len(frames) == len(drawn) == COUNT and rate == RATE
    assert {frame.shape for frame in drawn} == {(HEIGHT, WIDTH, 3)}
    entries = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [entry["frame"] for entry in entries] == list(range(COUNT))
    assert [entry["time"] for entry in entries] == [number / 10 for number in range(COUNT)]
    predictor = Predictor(exported)
    wanted = []
    for entry, frame in zip(entries, frames):
        found = predictor(frame)
        wanted.append(draw(frame, found, CLASSES, 0.3))
        assert entry["file"] == str(clip) and entry["inclusive"] is False
        assert (entry["height"], entry["width"]) == (HEIGHT, WIDTH)
        detections = entry["detections"]
        assert len(detections) == len(found.ids) > 3
        np.testing.assert_array_equal([one["box"] for one in detections], found.boxes)
        assert [one["class"] for one in detections] == [CLASSES[i] for i in found.ids]
        assert all("mask" in one for one in detections)
    # The codec changes pixels, but never so much that a frame looks like another one.
    differences = np.abs(np.int16(drawn)[:, None] - np.int16(wanted)).mean(axis=(2, 3, 4))
    assert differences.argmin(axis=1).tolist() == list(range(COUNT))
    # Where something is drawn, a frame is much closer to the picture than to the frame before.
    for frame, picture, undrawn in zip(np.int16(drawn), np.int16(wanted), np.int16(frames)):
        is_drawn = (picture != undrawn).any(axis=2)
        difference = np.abs(frame - picture)[is_drawn].mean()
        assert difference < np.abs(frame - undrawn)[is_drawn].mean() / 2


@pytest.mark.parametrize("rate, written", [(119.893, 119.89), (239.754, 239.75), (899.876, 899.9)])
def test_slow_motion(exported, tmp_path, rate, written):
    """The codec writes a rate as a fraction of two numbers below 65536."""
    clip = tmp_path / "slow.avi"
    write_clip(clip, rate)
    done = run_script("demo.py", clip, "--exported", exported, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    frames, drawn_rate = frames_of(tmp_path / "slow-detections.mp4")
    assert len(frames) == COUNT and drawn_rate == pytest.approx(written, abs=1e-6)


@pytest.mark.parametrize("turn", MATRICES)
def test_a_video_of_a_phone_is_turned_upright(exported, tmp_path, turn):
    """The phone stores the frames as its sensor lies, and how they are to be shown."""
    clip = tmp_path / "phone.mp4"
    write_clip(clip, RATE, code="mp4v")
    frames, _ = frames_of(clip)
    content = bytearray(clip.read_bytes())
    a, b, u, c, d, v, x, y, w = MATRICES[turn]
    # The last column has 30 bits behind the point, the others have 16.
    numbers = (a << 16, b << 16, u << 30, c << 16, d << 16, v << 30, x << 16, y << 16, w << 30)
    struct.pack_into(">9i", content, content.index(b"tkhd") + MATRIX, *numbers)
    clip.write_bytes(content)
    flags = ("--exported", exported, "--output", tmp_path / "drawn", "--json", tmp_path / "a.jsonl")
    done = run_script("demo.py", clip, *flags)
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(entries) == COUNT
    predictor = Predictor(exported)
    for entry, frame in zip(entries, frames):
        upright = np.rot90(frame, QUARTERS[turn])
        assert (entry["height"], entry["width"]) == upright.shape[:2]
        boxes = [one["box"] for one in entry["detections"]]
        np.testing.assert_array_equal(boxes, predictor(upright).boxes)
    drawn, _ = frames_of(tmp_path / "drawn" / "phone-detections.mp4")
    assert {frame.shape for frame in drawn} == {upright.shape}


def test_a_name_with_the_time_is_no_address(exported, clip, tmp_path, monkeypatch):
    """FFmpeg would take what is before the first colon for a protocol."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, "2026-05-01T10:30:00.avi")
    done = run_script("demo.py", "2026-05-01T10:30:00.avi", "--exported", exported, "--output", ".")
    target = "2026-05-01T10:30:00-detections.mp4"
    assert done == (0, f"2026-05-01T10:30:00.avi: {COUNT} frames -> {target}\n", "")
    assert len(frames_of(tmp_path / target)[0]) == COUNT


def test_tiles_of_frames(exported, clip, tmp_path):
    flags = ("--exported", exported, "--output", tmp_path, "--json", tmp_path / "a.jsonl")
    done = run_script("demo.py", clip, *flags, "--tile", "48", "--overlap", "0.5")
    assert done.returncode == 0 and done.stderr == ""
    entries = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    tiled = Predictor(exported, tile=48, overlap=0.5)
    wanted = tiled(frames_of(clip)[0][5])
    np.testing.assert_array_equal(
        [one["box"] for one in entries[5]["detections"]], np.asarray(wanted.boxes)
    )


def test_files_that_are_no_videos_are_one_line_each(exported, clip, tmp_path):
    """In a process of its own: OpenCV and FFmpeg print from C."""
    (tmp_path / "text.mp4").write_text("no video " * 100)
    (tmp_path / "empty.mov").write_bytes(b"")
    content = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    names = [tmp_path / name for name in ("text.mp4", "empty.mov", "absent.avi", "cut.avi")]
    command = [sys.executable, SCRIPTS / "demo.py", *names, clip, "--exported", exported]
    command += ["--output", tmp_path / "drawn", "--json", tmp_path / "found.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    text, empty, absent, cut = done.stderr.splitlines()
    assert done.returncode == 1
    for line, name in ((text, "text.mp4"), (empty, "empty.mov")):
        assert line == (
            f"error: {tmp_path / name}: cannot be read as a video: damaged, or of an unknown format"
        )
    assert absent == f"error: {tmp_path / 'absent.avi'}: no such video file"
    assert "cut.avi: is cut off or damaged: " in cut and f"of {COUNT} frames were read" in cut
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == ["clip-detections.mp4", "cut-detections.mp4"]
    entries = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    faults = [f"error: {entry['error']}" for entry in entries if "error" in entry]
    assert faults == done.stderr.splitlines()
    assert sum(entry["file"] == str(clip) for entry in entries) == COUNT


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--overlap", "0.5"], "--overlap is that of tiles; give --tile as well"),
        (["--tile", "0"], "tile is 0; want the side of a tile in pixels"),
        (["--tile", "64", "--overlap", "2"], "overlap is 2.0; want the share of a tile"),
        (["--output", "/proc/no/such/folder"], "/proc/no"),
    ],
)
def test_wrong_flags_are_one_line_before_the_work(exported, clip, tmp_path, flags, message):
    command = [clip, "--exported", exported, "--output", tmp_path / "drawn", *flags]
    done = run_script("demo.py", *command)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not (tmp_path / "drawn").exists()


def test_videos_and_photos_in_one_call_are_one_line(exported, clip, tmp_path):
    done = run_script("demo.py", clip, "a.jpg", "--exported", exported, "--output", tmp_path / "b")
    message = f"{clip} is a video and a.jpg is none; give videos and photos in calls of their own"
    assert done == (2, "", f"error: {message}\n")
    assert not (tmp_path / "b").exists()


def test_masks_alone_need_masks(clip, tmp_path):
    prefix = str(tmp_path / "boxes")
    export(tiny_detector("fpn", **SETTINGS), prefix)
    flags = ("--exported", prefix, "--output", tmp_path / "drawn", "--no-boxes")
    done = run_script("demo.py", clip, *flags)
    assert done == (2, "", "error: --no-boxes leaves nothing to draw: this network has no masks\n")
    assert list((tmp_path / "drawn").iterdir()) == []


def test_files_of_photos_are_refused_before_the_work(exported, clip, tmp_path):
    for flag in ("--coco", "--label-studio"):
        flags = ("--exported", exported, "--output", tmp_path / "drawn", flag, tmp_path / "a.json")
        done = run_script("demo.py", clip, *flags)
        assert done.returncode == 2
        assert done.stderr == (
            "error: --coco and --label-studio are for photos; of videos, give --json\n"
        )
