"""demo.py on videos: detections are drawn on every frame.

This file is loaded by its name where a video is named, because it needs OpenCV.
"""

import argparse
import json
import sys
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterator, Optional, Sequence, Tuple

from gluonnorm.deploy import Predictor
from gluonnorm.photos.files import ImageError
from gluonnorm.types import Detections

import numpy as np
from _drawing import draw_as_asked
from _json_detections import json_detections, json_image
from _output import output_file
from _video import VideoReader, video_file
from tqdm import tqdm

WriteEntry = Callable[[Dict[str, Any]], None]


def draw_videos(
    files: Sequence[Path], pictures: Sequence[Path], detector: Predictor, args: argparse.Namespace
) -> bool:
    """Detect and draw on videos, frame by frame; only a few frames are in memory.

    Parameters
    ----------
    files : sequence of pathlib.Path
        The videos.
    pictures : sequence of pathlib.Path
        The drawn video of each file.
    detector : Predictor
        The detector.
    args : argparse.Namespace
        Parsed flags of demo.py.

    Returns
    -------
    bool
        Whether all frames of all videos could be read. Of a video that is cut off, the frames
        before the end are drawn.

    Raises
    ------
    InputError
        A file cannot be written, or masks alone are to be drawn and the detector gives none.
    """
    all_read = True
    with _json_lines(args.json) as write_entry:
        for file, target in zip(files, pictures):
            try:
                reader = VideoReader(file)
                _draw_video(reader, target, detector, args, write_entry)
                fault = reader.missing_frames()
                print(f"{file}: {reader.num_read} frames -> {target}")
            except ImageError as error:
                fault = str(error)
            if fault:
                print(f"error: {fault}", file=sys.stderr)
                write_entry({"file": str(file), "error": fault})
                all_read = False
    return all_read


def _draw_video(
    reader: VideoReader,
    target: Path,
    detector: Predictor,
    args: argparse.Namespace,
    write_entry: WriteEntry,
) -> None:
    """Draw on the frames of one video, and write an entry for each."""
    frame_rate = reader.format.frame_rate
    frames = tqdm(
        _detected_frames(reader, detector),
        desc=reader.path.name,
        total=reader.format.frame_count,
        unit="frame",
        disable=None,
        leave=False,
    )
    with video_file(target, frame_rate) as writer:
        for number, (frame, detections) in enumerate(frames):
            writer.write(draw_as_asked(frame, detections, detector, args))
            if not args.json:
                continue
            height, width = frame.shape[:2]
            rows = json_detections(detections, detector.classes)
            entry = json_image(str(reader.path), height, width, rows)
            place = {"frame": number, "time": round(number / frame_rate, 6)}
            write_entry({**entry, **place, "inclusive": detections.inclusive})


def _detected_frames(
    reader: VideoReader, detector: Predictor
) -> Iterator[Tuple[np.ndarray, Detections]]:
    """Pair each frame with its detections."""
    waiting: Deque[np.ndarray] = deque()

    def frames() -> Iterator[np.ndarray]:
        """Keep each frame that the detector takes, because it takes some in advance."""
        for frame in reader.frames():
            waiting.append(frame)
            yield frame

    for detections in detector.stream(frames()):
        yield waiting.popleft(), detections


@contextmanager
def _json_lines(path: Optional[str]) -> Iterator[WriteEntry]:
    """Give a function that writes an entry as one line of a file; without a file, it does nothing.

    The file appears completely or not at all.
    """
    if not path:
        yield lambda entry: None
        return
    with output_file(path) as temporary:
        with open(temporary, "w", encoding="utf-8") as file:
            yield lambda entry: print(json.dumps(entry), file=file)
