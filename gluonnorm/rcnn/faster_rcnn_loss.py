"""Training of Faster R-CNN: the losses of a batch, computed with the detector's own weights."""

from typing import Any, Callable, Dict, Sequence, Tuple, Type

from gluonnorm.errors import InputError
from gluonnorm.graph.mixed_precision_block import MixedPrecisionBlock
from gluonnorm.graph.split_frozen import FrozenSplit
from gluonnorm.graph.trace import contexts
from gluonnorm.rcnn.class_losses import ClassLoss, softmax_class_loss
from gluonnorm.rcnn.faster_rcnn import FasterRCNN, FeatureMaps
from gluonnorm.rcnn.losses import LOSS_NAMES, BoxLoss, smooth_l1_box_loss
from gluonnorm.rcnn.target_records import GroundTruth, TrainingTargets, flatten, restore
from gluonnorm.rcnn.training_dtype import check_training_dtype
from gluonnorm.rcnn.training_graphs import FeatureMapBlock, LossBlock, TargetBlock

import mxnet as mx

GraphCall = Callable[..., Sequence[mx.nd.NDArray]]


class FasterRCNNLoss:
    """The training losses of a detector, with the detector's own weights.

    Call it within ``autograd.record``. A call has the settings that the network has then, so it
    follows ``net.configure``. The targets are made by a graph of their own, outside the
    recording: MXNet would otherwise differentiate the proposals and the matching, only to multiply
    the result by 0. The RPN on the entire maps belongs to that graph as well, because only the
    sampled anchors learn; see ``gluonnorm.rcnn.sampled_rpn.SampledRPN``.

    Parameters
    ----------
    net : FasterRCNN
        The detector.
    box_loss : callable
        Compares the deltas of RPN and box head with their targets; see :func:`make_loss`.
    class_loss : callable
        Compares the class logits of RoIs with their labels; see :func:`make_loss`.

    Attributes
    ----------
    loss_names : tuple of str
        The names of the losses, in the order in which they are returned.
    target_block, loss_block : type
        The graphs that make the targets and compute the losses.
    """

    loss_names: Tuple[str, ...] = LOSS_NAMES
    target_block: Type[TargetBlock] = TargetBlock
    loss_block: Type[LossBlock] = LossBlock
    _apply_backbone: GraphCall
    _apply_targets: GraphCall
    _apply_losses: GraphCall

    def __init__(
        self,
        net: FasterRCNN,
        box_loss: BoxLoss = smooth_l1_box_loss,
        class_loss: ClassLoss = softmax_class_loss,
    ) -> None:
        self._net = net
        self._box_loss = box_loss
        self._class_loss = class_loss
        self._hybridization: Dict[str, Any] = {"active": False}
        self._make_blocks()

    def hybridize(self, active: bool = True, dtype: str = "float32", **settings: Any) -> None:
        """Trace each graph once; the frozen layers in front get a graph of their own.

        This call reads which layers are frozen. Freeze layers before it, or call it again.

        Parameters
        ----------
        active : bool
            False returns to imperative execution.
        dtype : str
            What convolutions and fully connected layers compute in: "float32", "bfloat16" (CPU) or
            "float16" (GPU). The parameters and their gradients, the norms, the output layers, the
            targets and the losses are float32 in all of them. Small gradients vanish in float16:
            train with a :class:`gluonnorm.training.LossScale`.
        **settings
            As for ``HybridBlock.hybridize``.

        Raises
        ------
        InputError
            There is no such ``dtype``, the network's devices do not have it, or it is not float32
            and ``active`` is False.
        """
        is_float32 = dtype == "float32"
        check_training_dtype(dtype, contexts(self._net))
        if not is_float32 and not active:
            raise InputError(f"{dtype} needs traced graphs; hybridize with active=True")
        self._hybridization = {"active": active, "dtype": dtype, **settings}
        self._target_block.hybridize(active and is_float32, **settings)
        self._loss_block.hybridize(active and is_float32, **settings)
        self._apply_backbone = self._feature_map_block
        self._apply_targets = self._target_block
        self._apply_losses = self._loss_block
        if active:
            self._apply_backbone = FrozenSplit(self._feature_map_block, dtype, **settings)
        if not is_float32:
            self._apply_targets = MixedPrecisionBlock(self._target_block, dtype, **settings)
            self._apply_losses = MixedPrecisionBlock(self._loss_block, dtype, **settings)

    def __call__(
        self, images: mx.nd.NDArray, *ground_truth: mx.nd.NDArray
    ) -> Tuple[mx.nd.NDArray, ...]:
        """Compute the losses of a batch.

        Parameters
        ----------
        images : mxnet.ndarray.NDArray
            (B, 3, H, W), prepared as ``net.preprocess`` states.
        *ground_truth : mxnet.ndarray.NDArray
            Boxes (B, G, 4) and labels (B, G), both padded with -1; for a detector with masks also
            masks (B, G, S, S) in 0..1, each on a grid over its box.

        Returns
        -------
        tuple of mxnet.ndarray.NDArray
            One loss (B,) for each of ``loss_names``.

        Raises
        ------
        InputError
            The ground truth has more or fewer arrays, or the network got other classes after this
            loss was made.
        """
        if self._loss_block.predictor is not self._net.predictor:
            raise InputError(
                "the network got other classes by reset_class after its loss was made; make the"
                " loss, and the trainer, anew"
            )
        if self._config is not self._net.config:
            # The settings are constants in the graphs.
            self._make_blocks()
            self.hybridize(**self._hybridization)
        expected = self.target_block.ground_truth_fields
        if len(ground_truth) != len(expected):
            raise InputError(
                f"the loss got {len(ground_truth)} arrays of ground truth; "
                f"give {', '.join(expected)}"
            )
        maps = self.feature_maps(images)
        # The targets get no gradient, so nothing of their graph is recorded.
        with mx.autograd.pause():
            targets = self.make_targets(images, maps, GroundTruth(*ground_truth))
        return tuple(self._apply_losses(*maps.features, *flatten(targets)))

    def feature_maps(self, images: mx.nd.NDArray) -> FeatureMaps:
        """Pad the images and apply the backbone.

        Parameters
        ----------
        images : mxnet.ndarray.NDArray
            (B, 3, H, W), prepared as ``net.preprocess`` states.

        Returns
        -------
        FeatureMaps
            The padded images and their feature maps.
        """
        padded, *features = self._apply_backbone(images)
        return FeatureMaps(padded=padded, features=list(features))

    def make_targets(
        self, images: mx.nd.NDArray, maps: FeatureMaps, ground_truth: GroundTruth
    ) -> TrainingTargets:
        """Make the training targets of a batch.

        Parameters
        ----------
        images : mxnet.ndarray.NDArray
            (B, 3, H, W), the images without padding.
        maps : FeatureMaps
            The result of :meth:`feature_maps`.
        ground_truth : GroundTruth
            The labeled objects.

        Returns
        -------
        TrainingTargets
            The targets of the batch.
        """
        arrays = [array for array in ground_truth if array is not None]
        tensors = self._apply_targets(images, maps.padded, *arrays, *maps.features)
        return restore(tensors, self.loss_block.has_masks)

    def _make_blocks(self) -> None:
        """Make the graphs for the network's settings of now; they run without being traced."""
        self._config = self._net.config
        self._feature_map_block = FeatureMapBlock(self._net)
        self._target_block = self.target_block(self._net)
        self._loss_block = self.loss_block(self._net, self._box_loss, self._class_loss)
        self._apply_backbone = self._feature_map_block
        self._apply_targets = self._target_block
        self._apply_losses = self._loss_block
