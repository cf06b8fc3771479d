"""From a photo to what is on it: the model's own preprocessing, the network, and the way back to the photo's pixels."""
import os
import warnings
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union, overload

from gluonnorm.deploy.batching import ahead, in_batches
from gluonnorm.deploy.bundle import DeployError
from gluonnorm.deploy.candidate_count import expose_candidate_count
from gluonnorm.deploy.export import Photo, load
from gluonnorm.graph.trace import contexts, hybridize_for_inference
from gluonnorm.photos.files import ImageError, image_files, read_image
from gluonnorm.photos.paste import to_photo
from gluonnorm.photos.prepare import prepare
from gluonnorm.types import Detections, Preprocess

import mxnet as mx
import numpy as np

NARROW = 32  # pixels: an image with shorter sides may leave nothing for the last layers of some networks
Photos = Union[List[Any], Tuple[Photo, ...]]  # of Photo: but a list of arrays is no List[Photo] to mypy


class Predictor:
    """An exported detector that takes photos: ``Predictor("out/blood")("photo.jpg")``.

    Parameters
    ----------
    prefix
        Of the three files that ``deploy.export`` wrote.
    ctx
        Where to run, None for the CPU. Of several contexts, which ``net`` then lies on, calls use the first.
    resize
        Whether photos are brought to the size the model was made for. Without it they get all of the preprocessing
        but that, for photos that have their final size.
    batch_size
        How many of several photos the network sees at once, at most. Only photos that have the same size after resizing
        share a batch, so that each gets the result it would get alone.

    ``net``, ``classes`` (names, in the order of the ids), ``preprocess`` and ``mask_paste`` can be read. ``cut`` counts
    the photos so far for which more than ``config.max_candidates`` pairs of box and class were above
    ``config.score_thresh``, so that some were never looked at; the first of them is a warning, too. Networks exported
    before there was such a count say nothing, and it stays 0.

    Raises DeployError as ``deploy.load`` does, for a record of a later version, and for files that are no detector or
    do not belong together.

    >>> found = Predictor("out/blood")("photo.jpg")                          # doctest: +SKIP
    >>> found.boxes, found.scores, found.ids, found.masks                    # doctest: +SKIP
    """

    def __init__(self, prefix: str, ctx: Union[None, mx.Context, Sequence[mx.Context]] = None, resize: bool = True,
                 batch_size: int = 1):
        ctx = mx.cpu() if ctx is None else ctx
        net, record = load(prefix, ctx)
        try:
            classes, preprocess = tuple(record["classes"]), Preprocess.from_record(record["preprocess"])
        except (KeyError, TypeError, ValueError) as error:
            raise DeployError(f"{prefix}.json does not say how to prepare photos ({error}); export again") from error
        config: Dict[str, Any] = record.get("config", {})
        mask_paste = config.get("convention", {}).get("mask_paste", "sample")
        first = ctx if isinstance(ctx, mx.Context) else ctx[0]
        try:
            self._set(net, classes, preprocess, mask_paste, config.get("score_thresh", 0), first, resize, batch_size)
        except DeployError as error:
            raise DeployError(f"{prefix}: {error}; export again") from error

    @classmethod
    def from_network(cls, net: mx.gluon.HybridBlock, resize: bool = True, batch_size: int = 1) -> "Predictor":
        """The same for a network in this process, on the first of its contexts; it stays hybridized or not.

        It shares the network's parameters: a predictor made before training predicts with what was learnt. Settings are
        those of now: after ``net.configure(...)`` make another.
        """
        predictor = cls.__new__(cls)
        predictor._set(net, net.classes, net.preprocess, net.config.convention.mask_paste, net.config.score_thresh,
                       contexts(net)[0], resize, batch_size)
        return predictor

    def _set(self, net: mx.gluon.HybridBlock, classes: Tuple[str, ...], preprocess: Preprocess, mask_paste: str,
             score_thresh: float, ctx: mx.Context, resize: bool, batch_size: int) -> None:
        if batch_size < 1 or batch_size != int(batch_size):
            raise ValueError(f"batch_size is {batch_size!r}; want a whole number of at least 1")
        self.net, self.classes, self.preprocess, self.mask_paste, self.cut = net, classes, preprocess, mask_paste, 0
        self._graph, self._outputs = expose_candidate_count(net)
        hybridize_for_inference(self._graph)
        self._score_thresh, self._ctx, self._resize, self._batch_size = score_thresh, ctx, resize, int(batch_size)

    @overload
    def __call__(self, image: Photo, resize: Optional[bool] = None) -> Detections: ...

    @overload
    def __call__(self, image: Photos, resize: Optional[bool] = None) -> List[Detections]: ...

    def __call__(
        self, image: Union[Photo, Photos], resize: Optional[bool] = None
    ) -> Union[Detections, List[Detections]]:
        """What is on one photo, or on each of several.

        Parameters
        ----------
        image
            A path, or (H, W, 3) RGB, uint8 or float32 in 0..255; a list or tuple of these; or a folder's path, which
            stands for the list ``photos.files.image_files(folder)``.
        resize
            As for the class, for this call; None takes what was said there.

        Returns
        -------
        Detections: boxes and masks in the photo's own pixels, best first, without padding. For a list or a folder a
        list of them, in the same order.

        Raises
        ------
        ImageError
            A ValueError: a file that cannot be read, or an array of another shape, type or range; of several the
            message says which. A folder without images. A photo of a few pixels, or of a side a hundred times the
            other, where the network has layers that need more.
        """
        if isinstance(image, (list, tuple)) or _is_folder(image):
            return list(self.stream(image, resize))
        return self._finish(*self._run([self._read(image, resize)])[0])

    def stream(self, images: Union[str, "os.PathLike[str]", Iterable[Photo]],
               resize: Optional[bool] = None) -> Iterator[Detections]:
        """The same for several photos, one result after the other: for more of them than there is memory.

        ``images`` is a folder or any iterable of photos. They are taken and prepared on a thread of their own, while
        the network is busy with those before: never more than a few batches ahead. An ImageError comes after the
        results of all photos before it.

        >>> for file, found in zip(files, predictor.stream(files)): ...      # doctest: +SKIP
        """
        if isinstance(images, (str, os.PathLike)):
            named: Iterable[Tuple[str, Any]] = [("", file) for file in image_files(images)]
        else:
            named = ((f"images[{number}]: ", image) for number, image in enumerate(images))
        prepared = ahead(lambda pair: self._read(pair[1], resize, pair[0]), named, count=2 * self._batch_size)
        for rows in in_batches(prepared, lambda photo: photo.pixels.shape, self._run, self._batch_size):
            yield self._finish(*rows)

    def prepare(self, photo: np.ndarray, resize: Optional[bool] = None) -> np.ndarray:
        """The network's input for one photo: (H, W, 3) RGB, uint8 or float32 in 0..255 -> (3, h, w) float32."""
        return prepare(photo, self.preprocess, self._resize if resize is None else resize)

    def _read(self, image: Photo, resize: Optional[bool], name: str = "") -> "_Prepared":
        try:
            photo = read_image(image) if isinstance(image, (str, os.PathLike)) else image
            pixels = self.prepare(photo, resize)
        except ImageError as error:
            raise ImageError(f"{name}{error}") from error
        height, width = photo.shape[:2]
        return _Prepared(pixels, (height, width), name if photo is image else f"{name}{image}: ")

    def _run(self, photos: List["_Prepared"]) -> List[Tuple[List[np.ndarray], np.ndarray, Tuple[int, int]]]:
        """For photos of one input size, each: its rows of every output, the scale, and the photo's height and width."""
        pixels = np.stack([photo.pixels for photo in photos])
        try:
            arrays = [output.asnumpy() for output in self._graph(mx.nd.array(pixels, ctx=self._ctx))]
        except mx.MXNetError as error:
            if min(pixels.shape[2:]) >= NARROW:
                raise
            (height, width), (h, w) = photos[0].size, pixels.shape[2:]
            raise ImageError(f"{photos[0].name}{height} x {width} pixels are {h} x {w} for the network, whose layers "
                             "take no image as narrow as that; cut it into parts") from error
        for candidates in arrays[self._outputs:]:
            self._count(candidates)
        return [([array[number] for array in arrays[:self._outputs]],
                 np.array([pixels.shape[3] / photo.size[1], pixels.shape[2] / photo.size[0]], np.float32), photo.size)
                for number, photo in enumerate(photos)]

    def _finish(self, rows: List[np.ndarray], scale: np.ndarray, size: Tuple[int, int]) -> Detections:
        masks = rows[3] if len(rows) > 3 else None
        return to_photo(rows[0], rows[1], rows[2], masks, scale, size, self.mask_paste)

    def _count(self, candidates: np.ndarray) -> None:
        cut = int((candidates[:, -1] > self._score_thresh).sum())
        if cut and not self.cut:
            limit = candidates.shape[1] - 1
            warnings.warn(f"a photo has more than config.max_candidates = {limit} pairs of box and class above "
                          f"config.score_thresh = {self._score_thresh:g}, and only the best {limit} were looked at: "
                          "detections may be missing. Raise max_candidates, in the export or with "
                          "net.configure(max_candidates=...) before it, or score_thresh. The predictor's `cut` counts "
                          "such photos", stacklevel=2)
        self.cut += cut


class _Prepared(NamedTuple):
    """What remains of a photo once it is read."""
    pixels: np.ndarray  # (3, h, w) float32, the network's input
    size: Tuple[int, int]  # height and width of the photo itself
    name: str  # how errors begin


def _is_folder(image: Any) -> bool:
    return isinstance(image, (str, os.PathLike)) and os.path.isdir(image)
