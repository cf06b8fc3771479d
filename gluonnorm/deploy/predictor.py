"""From a photo to what is on it: the model's own preprocessing, the network, and the way back to the photo's pixels."""
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union, overload

from gluonnorm.deploy.symbol import DeployError, any_context, load
from gluonnorm.ops.images import check_image, read_image, resize_size, to_input
from gluonnorm.ops.numpy_ops import to_photo
from gluonnorm.types import Detections, Preprocess

import mxnet as mx
import numpy as np

Photo = Union[str, "os.PathLike[str]", np.ndarray]
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

    ``net``, ``classes`` (names, in the order of the ids), ``preprocess`` and ``mask_paste`` can be read. Raises
    DeployError as ``deploy.load`` does, and for a record of a later version.

    >>> found = Predictor("out/blood")("photo.jpg")                          # doctest: +SKIP
    >>> found.boxes, found.scores, found.ids, found.masks                    # doctest: +SKIP
    """

    def __init__(self, prefix: str, ctx: Union[None, mx.Context, Sequence[mx.Context]] = None, resize: bool = True):
        ctx = mx.cpu() if ctx is None else ctx
        net, record = load(prefix, ctx)
        net.hybridize()
        try:
            classes, preprocess = tuple(record["classes"]), Preprocess.from_record(record["preprocess"])
        except (KeyError, TypeError, ValueError) as error:
            raise DeployError(f"{prefix}.json does not say how to prepare photos ({error}); export again") from error
        self._set(net, classes, preprocess, _mask_paste(record.get("config", {})),
                  ctx if isinstance(ctx, mx.Context) else ctx[0], resize)

    @classmethod
    def from_network(cls, net: mx.gluon.HybridBlock, resize: bool = True) -> "Predictor":
        """The same for a network in this process, on the first of its contexts; it stays hybridized or not."""
        predictor = cls.__new__(cls)
        predictor._set(net, net.classes, net.preprocess, net.config.convention.mask_paste, any_context(net), resize)
        return predictor

    def _set(self, net: mx.gluon.HybridBlock, classes: Tuple[str, ...], preprocess: Preprocess, mask_paste: str,
             ctx: mx.Context, resize: bool) -> None:
        self.net, self.classes, self.preprocess, self.mask_paste = net, classes, preprocess, mask_paste
        self._ctx, self._resize = ctx, resize

    @overload
    def __call__(self, image: Photo, resize: Optional[bool] = None) -> Detections: ...

    @overload
    def __call__(self, image: Photos, resize: Optional[bool] = None) -> List[Detections]: ...

    def __call__(
        self, image: Union[Photo, Photos], resize: Optional[bool] = None
    ) -> Union[Detections, List[Detections]]:
        """What is on one photo, or on each of a list or tuple of them.

        Parameters
        ----------
        image
            A path, or (H, W, 3) RGB, uint8 or float32 in 0..255; or several.
        resize
            As for the class, for this call; None takes what was said there.

        Returns
        -------
        Detections, or a list of them: boxes and masks in the photo's own pixels, best first, without padding.

        Raises
        ------
        ImageError
            A ValueError: a file that cannot be read, or an array of another shape, type or range.
        """
        if isinstance(image, (list, tuple)):
            return [self._detect(photo, resize) for photo in image]
        return self._detect(image, resize)

    def prepare(self, photo: np.ndarray, resize: Optional[bool] = None) -> np.ndarray:
        """The network's input for one photo: (H, W, 3) RGB, uint8 or float32 in 0..255 -> (3, h, w) float32."""
        photo, rules = check_image(photo), self.preprocess
        size = (photo.shape[0], photo.shape[1])
        if self._resize if resize is None else resize:
            size = resize_size(*size, rules.short[-1], rules.max_size, rules.rounding)
        return to_input(photo, size, rules)

    def _detect(self, image: Photo, resize: Optional[bool]) -> Detections:
        photo = read_image(image) if isinstance(image, (str, os.PathLike)) else image
        pixels = self.prepare(photo, resize)
        outputs = [output.asnumpy()[0] for output in self.net(mx.nd.array(pixels[None], ctx=self._ctx))]
        ids, scores, boxes, masks = outputs + [None] * (4 - len(outputs))
        height, width = photo.shape[:2]
        scale = np.array([pixels.shape[2] / width, pixels.shape[1] / height], np.float32)
        return to_photo(ids, scores, boxes, masks, scale, (height, width), self.mask_paste)


def _mask_paste(config: Dict[str, Any]) -> str:
    return config.get("convention", {}).get("mask_paste", "sample")
