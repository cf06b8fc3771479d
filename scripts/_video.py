"""Videos: reading them frame by frame, and writing them, with OpenCV.

This file is loaded by its name where a video is named, because OpenCV is optional.
"""

import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

from gluonnorm.errors import InputError
from gluonnorm.photos.files import ImageError
from gluonnorm.types import PathLike
from gluonnorm.weight_files import remove_if_exists

import cv2
import numpy as np

CODEC = "mp4v"  # MPEG-4 part 2. OpenCV's packages on the index have no encoder of H.264
USUAL_RATE = 25.0  # frames a second, for files that do not tell their own
# Some formats count frames by duration and rate. A whole file then has at least this share of the
# frames that it counts, less these few at its end.
COUNTED_SHARE = 0.99
COUNTED_TOO_MANY = 2
LARGEST_TERM = 65535  # of the fraction by which MPEG-4 part 2 writes a frame rate
# FFmpeg prints about each faulty file; what is wrong is told in one line of this program.
QUIET = {"OPENCV_FFMPEG_LOGLEVEL": "-8"}


class VideoFormat(NamedTuple):
    """What a video file says of itself.

    Attributes
    ----------
    frame_rate : float
        Frames a second.
    frame_count : int or None
        How many frames it has; None if it does not tell. For some formats this is an estimate.
    """

    frame_rate: float
    frame_count: Optional[int]


class VideoReader:
    """A video file, opened to be read once.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    format : VideoFormat
        What the file says of itself.
    num_read : int
        Number of frames that were read so far.

    Raises
    ------
    ImageError
        The file is missing or is no video.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ImageError(f"{path}: no such video file")
        _be_quiet()
        self.path = path
        self._capture = cv2.VideoCapture(_opened_name(path))
        self.num_read = 0
        if not self._capture.isOpened():
            raise ImageError(f"{path}: cannot be read as a video: damaged, or of an unknown format")
        # A phone that is held upright stores frames that lie on their side, and how to turn them.
        # OpenCV 4.11 turns them only if it is told to.
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        frame_count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.format = VideoFormat(
            frame_rate=_valid_rate(self._capture.get(cv2.CAP_PROP_FPS)),
            frame_count=int(frame_count) if 0 < frame_count < math.inf else None,
        )

    def frames(self) -> Iterator[np.ndarray]:
        """Read the frames; only one is in memory.

        Yields
        ------
        numpy.ndarray
            (H, W, 3) uint8 RGB, upright.

        Raises
        ------
        ImageError
            The video has no frame that can be read.
        """
        while True:
            is_read, frame = self._capture.read()
            if not is_read:
                break
            self.num_read += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        self._capture.release()
        if self.num_read == 0:
            raise ImageError(f"{self.path}: cannot be read as a video: it has no frames")

    def missing_frames(self) -> str:
        """Tell whether the file ended early; called after the last frame.

        Returns
        -------
        str
            The message; "" if the file was complete, or does not tell how many frames it has.
        """
        wanted = self.format.frame_count
        if wanted is None or self.num_read >= COUNTED_SHARE * wanted - COUNTED_TOO_MANY:
            return ""
        return f"{self.path}: is cut off or damaged: {self.num_read} of {wanted} frames were read"


class VideoWriter:
    """A video file that is being written.

    Parameters
    ----------
    path : str
        The file; its ending names the container.
    frame_rate : float
        Frames a second. It is rounded to tenths or hundredths if it is above 65.

    Raises
    ------
    InputError
        The file cannot be written.
    """

    def __init__(self, path: str, frame_rate: float) -> None:
        _be_quiet()
        self._path = path
        self._frame_rate = frame_rate
        self._writer: Optional[cv2.VideoWriter] = None
        self._num_written = 0

    def write(self, picture: np.ndarray) -> None:
        """Append a frame.

        Parameters
        ----------
        picture : numpy.ndarray
            (H, W, 3) uint8 RGB, all of one size. The codec drops the last row or column of an odd
            number.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        if self._writer is None:
            height, width = picture.shape[:2]
            code = cv2.VideoWriter.fourcc(*CODEC)
            size = width, height
            rate = _writable_rate(self._frame_rate)
            self._writer = cv2.VideoWriter(_opened_name(self._path), code, rate, size)
            if not self._writer.isOpened():
                raise self._error()
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._num_written += 1

    def close(self) -> None:
        """Complete the file.

        Raises
        ------
        InputError
            Not all of it was written. OpenCV does not tell whether a frame was, so the file is
            asked how many it has.
        """
        if self._writer is None:
            return
        self._writer.release()
        written = cv2.VideoCapture(_opened_name(self._path))
        # A complete file tells the number of its frames exactly.
        if written.get(cv2.CAP_PROP_FRAME_COUNT) != self._num_written:
            raise self._error()

    def _error(self) -> InputError:
        """The error for a file that cannot be written."""
        return InputError(
            f"{self._path}: a video cannot be written; make room, or name another folder by "
            "--output"
        )


@contextmanager
def video_file(path: Path, frame_rate: float) -> Iterator[VideoWriter]:
    """Write a video that appears under its name completely or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The file, with the ending of a container, such as ``.mp4``.
    frame_rate : float
        Frames a second.

    Yields
    ------
    VideoWriter
        Takes the frames.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    # OpenCV chooses the container by the ending, so that it must be that of the file itself.
    temporary = str(path.with_name(f"{path.stem}.tmp{path.suffix}"))
    writer = VideoWriter(temporary, frame_rate)
    try:
        yield writer
        writer.close()
        os.replace(temporary, path)
    except BaseException:
        remove_if_exists(temporary)
        raise


def _valid_rate(frame_rate: float) -> float:
    """Frames a second as a file states them, or the usual number if it states nonsense."""
    return frame_rate if 0 < frame_rate < 1000 else USUAL_RATE


def _writable_rate(frame_rate: float) -> float:
    """Round a frame rate so far that the codec can hold it.

    Slow motion of phones has rates such as 239.754, the mean over the file. OpenCV makes a fraction
    of thousandths of that, with which the codec does not begin.
    """
    for decimals in (3, 2):
        if frame_rate * 10**decimals <= LARGEST_TERM:
            return round(frame_rate, decimals)
    return round(frame_rate, 1)


def _opened_name(path: PathLike) -> str:
    """The name under which OpenCV opens a file.

    FFmpeg takes the beginning of a name such as 2026-05-01T10:30:00.mp4 for a protocol like http,
    unless a slash comes first.
    """
    return os.path.abspath(path)


def _be_quiet() -> None:
    """Keep OpenCV and FFmpeg from printing about files."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    cv2.setLogLevel(0)
