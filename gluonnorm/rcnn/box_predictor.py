"""The last layers of the box head: class logits and box deltas."""

from typing import Any, Tuple

from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


class BoxPredictor(mx.gluon.HybridBlock):
    """Predict class logits and the box deltas of each class.

    Parameters
    ----------
    in_channels : int
        The width of a head's features.
    num_classes : int
        C, the foreground classes.
    separate_boxes : bool
        Whether the first half of the features is for the classes, and the second for the boxes.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Examples
    --------
    >>> import mxnet as mx
    >>> predictor = BoxPredictor(in_channels=8, num_classes=3)
    >>> predictor.initialize()
    >>> logits, deltas = predictor(mx.nd.ones((5, 8)))
    >>> logits.shape, deltas.shape
    ((5, 4), (5, 12))
    """

    def __init__(
        self, in_channels: int, num_classes: int, separate_boxes: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.separate_boxes = separate_boxes
        in_units = in_channels // 2 if separate_boxes else in_channels
        with self.name_scope():
            self.score = nn.Dense(
                num_classes + 1, in_units=in_units, weight_initializer=mx.init.Normal(0.01)
            )
            self.loc = nn.Dense(
                4 * num_classes, in_units=in_units, weight_initializer=mx.init.Normal(0.001)
            )

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, Tensor]:
        """Predict from the features of RoIs.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        x : Tensor
            (N, in_channels).

        Returns
        -------
        logits : Tensor
            (N, C + 1); column 0 is the background.
        deltas : Tensor
            (N, 4 * C); four columns for each foreground class.
        """
        if not self.separate_boxes:
            return self.score(x), self.loc(x)
        for_classes, for_boxes = F.split(x, num_outputs=2, axis=1)
        return self.score(for_classes), self.loc(for_boxes)
