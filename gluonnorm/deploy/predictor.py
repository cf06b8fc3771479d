"""From photos to detections: preprocessing, network, and the way back to the photo's own pixels."""

import os
import threading
import warnings
from typing import (
    TYPE_CHECKING,
    Any,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
    overload,
)

from gluonnorm.deploy.backends.backend import Backend
from gluonnorm.deploy.backends.choice import backend_module, choose_backend
from gluonnorm.deploy.batching import ahead, in_batches
from gluonnorm.deploy.detector_settings import (
    DetectorSettings,
    settings_of_manifest,
    settings_of_network,
)
from gluonnorm.deploy.photo_reader import NamedPhoto, PhotoReader, with_names
from gluonnorm.errors import InputError
from gluonnorm.photos.files import ImageError
from gluonnorm.photos.merge_tiles import TileDetections, merge_tiles
from gluonnorm.photos.paste import detections_in_photo
from gluonnorm.photos.prepare import Photo, Photos, refuse_single_photo
from gluonnorm.photos.tiles import DEFAULT_OVERLAP, Tiling
from gluonnorm.types import Detections, PathLike, is_positive_integer

import numpy as np

if TYPE_CHECKING:
    import mxnet as mx

NARROW = 32  # pixels; the last layers of some networks have no output for images narrower than this


class _PhotoHandling(NamedTuple):
    """How a predictor takes photos, whatever its network is.

    Attributes
    ----------
    resize : bool
        Whether photos are resized, unless a call says otherwise.
    batch_size : int
        Largest number of photos, or of tiles, that the network sees at once.
    tiling : Tiling or None
        How larger photos are divided; None takes them as they are.
    """

    resize: bool
    batch_size: int
    tiling: Optional[Tiling]


class PhotoOutputs(NamedTuple):
    """The network's outputs for one photo.

    Attributes
    ----------
    outputs : list of numpy.ndarray
        ids (D, 1), scores (D, 1), boxes (D, 4) and perhaps masks (D, M, M).
    photo : NamedPhoto
        The photo.
    """

    outputs: List[np.ndarray]
    photo: NamedPhoto


class Predictor:
    """Detect objects on photos with an exported network.

    Several threads may share a predictor. The network then runs one batch at a time, while other
    threads read photos and paste masks; the results are those of a single thread.

    Parameters
    ----------
    prefix : str or path-like
        Path and first part of the names of the files that ``deploy.export`` wrote.
    ctx : mx.Context, sequence of mx.Context or None
        Contexts for MXNet alone, where ``gpu`` does not say enough: ``net`` is loaded on all of
        them, and calls use the first one.
    resize : bool
        Whether photos are resized as the network's preprocessing says. False applies the rest of
        the preprocessing only, for photos that already have their final size.
    batch_size : int
        Largest number of photos that the network sees at once. Only photos that have the same size
        after resizing share a batch, so each gets the result that it would get alone.
    backend : str or None
        The run time: ``"mxnet"`` for the files of MXNet, ``"onnxruntime"`` for the ONNX file, or
        ``"openvino"`` for its own files or the ONNX file. None takes the first of these that is
        installed and has its files; only this one is imported.
    tile : int or None
        Side of the tiles in which larger photos are taken, in pixels of the photo. Each tile is
        prepared like a photo of its own, and an object that several tiles show is detected once.
        Masks are then ``CroppedMasks``, also those of a photo of one tile. None takes every photo
        as it is.
    overlap : float
        The least share of a tile's side that it has in common with its neighbor, in 0..0.9. An
        object longer than that is cut in every tile, and put together from its parts.
    gpu : int or None
        The number of the NVIDIA GPU that runs the network, from 0, in MXNet (up to compute
        capability 8.9) or onnxruntime; None is the CPU. A GPU that the run time cannot use is an
        error, never a slower run on the CPU.

    Attributes
    ----------
    net : mx.gluon.HybridBlock or None
        The network of MXNet; None in other run times.
    classes : tuple of str
        Class names in the order of the ids.
    preprocess : Preprocess
        How photos are prepared.
    has_masks : bool
        Whether the network returns masks.
    mask_paste : str
        How masks are pasted, see ``photos.paste.paste_masks``.
    truncated_photos : int
        Number of photos so far, or of tiles, with more than ``config.max_candidates`` pairs of box
        and class above ``config.score_thresh``, so that some pairs were never looked at. The first
        such photo causes a warning as well. The earliest exports do not count; the number then
        stays 0.

    Raises
    ------
    DeployError
        As ``deploy.load``; also for a manifest of a later version, for files that are not a
        detector, for files that do not belong together, for weights that are not finite, and for a
        run time that is not installed or cannot use the GPU.
    InputError
        ``batch_size`` or ``tile`` is not a positive integer, ``overlap`` is not in 0..0.9, ``ctx``
        is not a context, ``gpu`` is not the number of a GPU, or ``backend`` is not the name of a
        run time.

    Examples
    --------
    >>> predictor = Predictor("out/blood")                                   # doctest: +SKIP
    >>> detections = predictor("photo.jpg")                                  # doctest: +SKIP
    >>> detections.boxes, detections.scores, detections.ids                  # doctest: +SKIP
    """

    def __init__(
        self,
        prefix: PathLike,
        ctx: Union[None, "mx.Context", Sequence["mx.Context"]] = None,
        resize: bool = True,
        batch_size: int = 1,
        backend: Optional[str] = None,
        tile: Optional[int] = None,
        overlap: float = DEFAULT_OVERLAP,
        gpu: Optional[int] = None,
    ):
        prefix = os.fspath(prefix)
        handling = _photo_handling(resize, batch_size, tile, overlap)
        _check_gpu(gpu, ctx)
        module = backend_module(choose_backend(prefix) if backend is None else backend)
        opened, manifest = module.open_files(prefix, ctx, gpu)
        self._set_up(opened, settings_of_manifest(manifest, prefix), handling)

    @classmethod
    def from_network(
        cls,
        net: "mx.gluon.HybridBlock",
        resize: bool = True,
        batch_size: int = 1,
        tile: Optional[int] = None,
        overlap: float = DEFAULT_OVERLAP,
    ) -> "Predictor":
        """Make a predictor of a network in this process, on the first of its contexts.

        The network remains hybridized or not. The predictor shares its parameters: one that was
        made before training predicts with the trained weights. Settings are those of the moment:
        after ``net.configure(...)`` make another predictor.

        Parameters
        ----------
        net : mx.gluon.HybridBlock
            A detector.
        resize, batch_size, tile, overlap
            See the class.

        Returns
        -------
        Predictor
            The predictor.

        Raises
        ------
        DeployError
            The network is not a detector, or a weight is not finite or not float32.
        InputError
            ``batch_size`` or ``tile`` is not a positive integer, or ``overlap`` is not in 0..0.9.
        """
        handling = _photo_handling(resize, batch_size, tile, overlap)
        settings = settings_of_network(net)
        predictor = cls.__new__(cls)
        predictor._set_up(backend_module("mxnet").backend_of_network(net), settings, handling)
        return predictor

    def _set_up(
        self, opened: Backend, settings: DetectorSettings, handling: _PhotoHandling
    ) -> None:
        """Set all attributes; the part that both ways of making a predictor share."""
        self.net = opened.net
        self.classes = settings.classes
        self.preprocess = settings.preprocess
        self.mask_paste = settings.mask_paste
        self.has_masks = opened.has_masks
        self.truncated_photos = 0
        self._score_thresh = settings.score_thresh
        self._backend = opened
        self._reader = PhotoReader(settings.preprocess, handling.resize, handling.tiling)
        self._crops_masks = handling.tiling is not None
        self._batch_size = handling.batch_size
        # MXNet gives each thread that runs a static graph at the same time buffers of its own, and
        # keeps them: four threads would take four times the memory, and gain nothing, because the
        # network uses all cores by itself.
        self._running = threading.Lock()

    @overload
    def __call__(self, image: Photo, resize: Optional[bool] = None) -> Detections: ...

    @overload
    def __call__(self, image: Photos, resize: Optional[bool] = None) -> List[Detections]: ...

    def __call__(
        self, image: Union[Photo, Photos], resize: Optional[bool] = None
    ) -> Union[Detections, List[Detections]]:
        """Detect objects on one photo, or on each of several.

        Parameters
        ----------
        image : photo, list or tuple of photos, or path of a folder
            A photo is the path of an image file, its content as bytes, a binary file object, an
            image of Pillow, or an array of NumPy or MXNet: (H, W, 3) in RGB, or (H, W) or (H, W, 1)
            of gray levels, uint8 or float32 in 0..255. A folder means the list
            ``photos.files.image_files(folder)``.
        resize : bool or None
            As for the class, for this call only. None takes the setting of the predictor.

        Returns
        -------
        Detections or list of Detections
            Boxes and masks in the photo's own pixels, best first, without padding. A list in the
            same order for a list, a tuple or a folder.

        Raises
        ------
        ImageError
            A file cannot be read, an array is not a photo, or a folder has no images. Also for a
            photo of a few pixels, or with one side a hundred times the other, if the network has
            layers that need more. With several photos the message says which one.
        """
        argument: Any = image
        if isinstance(argument, (list, tuple)) or _is_folder(argument):
            return list(self.stream(argument, resize))
        return next(self._detect([("", argument)], resize))

    def stream(
        self, images: Union[PathLike, Iterable[Photo]], resize: Optional[bool] = None
    ) -> Iterator[Detections]:
        """Detect objects on many photos, one result after the other.

        Photos are taken and prepared on a thread of their own while the network is busy, never more
        than a few batches in advance. There may be more photos than fit into memory.

        Parameters
        ----------
        images : path or iterable of photos
            A folder, or photos as for a call.
        resize : bool or None
            As for a call.

        Yields
        ------
        Detections
            The result of each photo, in the order of the photos.

        Raises
        ------
        ImageError
            As for a call, after the results of all photos before the bad one. Before the first
            result, if ``images`` is a single photo: the rows of an array would be taken for photos.

        Examples
        --------
        >>> for detections in predictor.stream(files):                       # doctest: +SKIP
        ...     print(detections.scores)
        """
        refuse_single_photo(images)
        yield from self._detect(with_names(images), resize)

    def _detect(
        self, named_photos: Iterable[Tuple[str, Photo]], resize: Optional[bool]
    ) -> Iterator[Detections]:
        """Detect objects on photos, each with the beginning of an error message about it."""
        photos = ahead(self._reader.read_all(named_photos, resize), count=2 * self._batch_size)
        tiles: List[TileDetections] = []
        for photo_outputs in in_batches(photos, _input_shape, self.run, self._batch_size):
            detections = self.detections(photo_outputs)
            place = photo_outputs.photo.place
            if place is None:
                yield detections
                continue
            tiles.append(TileDetections(place.window, detections))
            if place.is_last:
                yield merge_tiles(tiles, *place.photo_size)
                tiles = []

    def prepare(self, photo: Photo, resize: Optional[bool] = None) -> np.ndarray:
        """Prepare the network's input for one photo.

        Parameters
        ----------
        photo : path, bytes, binary file object, PIL.Image.Image, numpy.ndarray or mx.nd.NDArray
            A photo as for a call.
        resize : bool or None
            As for a call.

        Returns
        -------
        numpy.ndarray
            (3, h, w) float32.

        Raises
        ------
        ImageError
            The file cannot be read, or the array is not a photo.
        """
        return self.read(photo, resize).prepared.pixels

    def run_images(self, pixels: np.ndarray) -> List[np.ndarray]:
        """Run the network on images that are prepared already, for example by :meth:`prepare`.

        Parameters
        ----------
        pixels : numpy.ndarray
            (B, 3, h, w) float32.

        Returns
        -------
        list of numpy.ndarray
            ids (B, D, 1), scores (B, D, 1), boxes (B, D, 4) in pixels of the images, and perhaps
            masks (B, D, M, M) in 0..1. Rows are sorted best first and padded with -1.
        """
        with self._running:
            outputs = self._backend.run(pixels)
        if outputs.candidate_scores is not None:
            self._count_truncated(outputs.candidate_scores)
        return outputs.detections

    def read(self, photo: Photo, resize: Optional[bool] = None, name: str = "") -> NamedPhoto:
        """Read and prepare a photo, the first of the three steps of a call.

        The steps are for programs that choose themselves which photos share a batch. Photos may be
        read, and outputs turned into detections, on several threads. The photo is taken as it is,
        not in tiles.

        Parameters
        ----------
        photo : path, bytes, binary file object, PIL.Image.Image, numpy.ndarray or mx.nd.NDArray
            A photo as for a call.
        resize : bool or None
            As for a call.
        name : str
            The beginning of an error message about the photo.

        Returns
        -------
        NamedPhoto
            The network's input, and what leads its boxes back to the photo.

        Raises
        ------
        ImageError
            The file cannot be read, or the array is not a photo.
        """
        return self._reader.read(photo, resize, name)

    def run(self, photos: List[NamedPhoto]) -> List[PhotoOutputs]:
        """Run the network on photos that have the same size after resizing, the second step.

        Parameters
        ----------
        photos : list of NamedPhoto
            What ``read`` returned; any number with ``prepared.pixels`` of one shape.

        Returns
        -------
        list of PhotoOutputs
            The network's outputs for each photo.

        Raises
        ------
        ImageError
            The photos are too narrow for the network; the message is about the first one.
        """
        pixels = np.stack([photo.prepared.pixels for photo in photos])
        try:
            outputs = self.run_images(pixels)
        except self._backend.run_errors as error:
            input_height, input_width = pixels.shape[2:]
            if min(input_height, input_width) >= NARROW:
                raise
            height, width = photos[0].prepared.size
            raise ImageError(
                f"{photos[0].name}{height} x {width} pixels are {input_height} x {input_width} for "
                "the network, whose layers take no image as narrow as that; cut it into parts"
            ) from error
        results = []
        for index, photo in enumerate(photos):
            photo_outputs = [output[index] for output in outputs]
            results.append(PhotoOutputs(photo_outputs, photo))
        return results

    def detections(self, photo_outputs: PhotoOutputs, cropped: bool = False) -> Detections:
        """Convert the network's outputs for a photo to the photo's own pixels, the last step.

        Parameters
        ----------
        photo_outputs : PhotoOutputs
            What ``run`` returned, or some of its rows.
        cropped : bool
            Whether masks are ``CroppedMasks``, which take the time and the memory of their boxes.
            False makes an array of all pixels of the photo for each mask. A predictor with
            ``tile`` always crops them.

        Returns
        -------
        Detections
            As for a call.
        """
        ids, scores, boxes, *masks = photo_outputs.outputs
        return detections_in_photo(
            ids,
            scores,
            boxes,
            masks=masks[0] if masks else None,
            scale=photo_outputs.photo.prepared.scale,
            size=photo_outputs.photo.prepared.size,
            mask_paste=self.mask_paste,
            inclusive=self.preprocess.inclusive,
            cropped=cropped or self._crops_masks,
        )

    def _count_truncated(self, candidate_scores: np.ndarray) -> None:
        """Count the photos of a batch whose candidates were cut off, and warn of the first one.

        ``candidate_scores``: (B, max_candidates + 1), best first.
        """
        is_truncated = candidate_scores[:, -1] > self._score_thresh
        num_truncated = int(is_truncated.sum())
        with self._running:
            is_first = num_truncated > 0 and self.truncated_photos == 0
            self.truncated_photos += num_truncated
        if is_first:
            limit = candidate_scores.shape[1] - 1
            warnings.warn(
                f"a photo has more than config.max_candidates = {limit} pairs of box and class "
                f"above config.score_thresh = {self._score_thresh:g}, and only the best {limit} "
                "were looked at: detections may be missing. Raise max_candidates, in the export or "
                "with net.configure(max_candidates=...) before it, or score_thresh. The "
                "predictor's `truncated_photos` counts such photos",
                stacklevel=2,
            )


def _photo_handling(
    resize: bool, batch_size: int, tile: Optional[int], overlap: float
) -> _PhotoHandling:
    """Check how the caller wants photos to be taken; raises InputError."""
    if not is_positive_integer(batch_size):
        raise InputError(f"batch_size is {batch_size!r}; want an integer of at least 1")
    # A wrong overlap is an error also where no tile uses it.
    tiling = Tiling(1 if tile is None else tile, overlap)
    return _PhotoHandling(resize, int(batch_size), None if tile is None else tiling)


def _check_gpu(gpu: Any, ctx: Any) -> None:
    """Raise InputError for what is not the number of a GPU, and for two places at once."""
    if gpu is None:
        return
    if not isinstance(gpu, (int, np.integer)) or isinstance(gpu, bool) or gpu < 0:
        raise InputError(f"gpu is {gpu!r}; want the number of a GPU, from 0, or None for the CPU")
    if ctx is not None:
        raise InputError(f"gpu is {gpu} and ctx is {ctx!r}; give one of them")


def _input_shape(photo: NamedPhoto) -> Tuple[int, ...]:
    """Shape of the network's input for a photo; photos of one shape may share a batch."""
    return photo.prepared.pixels.shape


def _is_folder(image: Any) -> bool:
    """Tell whether the argument of a call is the path of a folder."""
    return isinstance(image, (str, os.PathLike)) and os.path.isdir(image)
