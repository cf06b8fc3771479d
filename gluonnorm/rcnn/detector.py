"""What a detector is beside its graph: its settings, its classes, its files, what of it learns.

The names are those of GluonCV's networks, where a GluonCV network has the same thing.
"""

from dataclasses import replace
from typing import Any, Dict, Optional, Sequence, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.errors import InputError
from gluonnorm.nn import is_frozen
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.rcnn.model_spec import ModelSpec
from gluonnorm.rcnn.new_classes import ReuseWeights, reused_classes
from gluonnorm.rcnn.saved_parameters import check_saved_parameters
from gluonnorm.types import PathLike, Preprocess, is_number

import mxnet as mx
import numpy as np

# Attributes of GluonCV's detectors, and what has their content here.
GLUONCV_ATTRIBUTES = {
    "features": "net.backbone",
    "top_features": "net.box_head.stage (detectors without a pyramid)",
    "box_features": "net.box_head",
    "class_predictor": "net.predictor.score",
    "box_predictor": "net.predictor.loc",
    "cls_decoder": "gluonnorm.rcnn.detect",
    "box_decoder": "gluonnorm.rcnn.detect",
    "sampler": "gluonnorm.rcnn.make_loss(net)",
    "mask": "net.mask_head",
    "nms_topk": "net.config.nms_topk",
    "force_nms": "net.config.force_nms",
    "post_nms": "net.config.max_detections",
    "num_stages": "len(net.backbone.strides)",
    "train_patterns": "net.collect_train_params()",
    "ashape": "not needed, because anchors are computed for every size of image",
}


class Detector(mx.gluon.HybridBlock):
    """Base of the detectors: everything but the way of the arrays through the parts.

    Parameters
    ----------
    spec : ModelSpec
        Names, classes and settings; kept as ``net.spec``.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.
    """

    def __init__(self, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def __getattr__(self, name: str) -> Any:
        """Refuse an attribute that does not exist, and name what GluonCV's attribute is here."""
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name in GLUONCV_ATTRIBUTES:
            message = f"{message}; GluonCV's net.{name} is here {GLUONCV_ATTRIBUTES[name]}"
        raise AttributeError(message)

    @property
    def config(self) -> DetectorConfig:
        """The detector's settings."""
        return self.spec.config

    @property
    def classes(self) -> Tuple[str, ...]:
        """Names of the foreground classes, in the order of their ids."""
        return self.spec.classes

    @property
    def num_class(self) -> int:
        """The number of foreground classes."""
        return len(self.spec.classes)

    @property
    def short(self) -> int:
        """Length of an image's shorter side in inference, in pixels.

        Training may draw one of several lengths; these are ``net.config.short``.
        """
        return self.config.short[-1]

    @property
    def max_size(self) -> int:
        """The largest length of an image's longer side, in pixels."""
        return self.config.max_size

    @property
    def nms_thresh(self) -> float:
        """IoU above which the better detection of a class suppresses the other."""
        return self.config.nms_thresh

    @property
    def has_masks(self) -> bool:
        """Whether the network returns masks as its fourth output."""
        return False

    @property
    def preprocess(self) -> Preprocess:
        """What happens to a photo before this network sees it, and how the network pads it."""
        raise NotImplementedError

    def configure(self, **changes: Any) -> None:
        """Change settings on which no weight depends, such as ``nms_thresh``.

        A hybridized network is traced again at the next call, and so is a loss of ``make_loss``.

        Parameters
        ----------
        **changes
            Fields of :class:`DetectorConfig` and their new values.

        Raises
        ------
        InputError
            There is no setting of that name, a value is wrong, the shape of a weight depends on the
            setting, or it is another ``freeze_at``.
        """
        config = self.config.override(**changes)
        if config.freeze_at != self.config.freeze_at:
            raise InputError(
                f"freeze_at is {self.config.freeze_at} and would be {config.freeze_at}, but stages "
                "are frozen when a network is built; give it to get_model, or freeze more stages by"
                " net.backbone.freeze_at(n)"
            )
        shape_settings = _weight_shape_settings(self.config)
        for name, value in _weight_shape_settings(config).items():
            if value != shape_settings[name]:
                raise InputError(
                    f"{name} is {getattr(self.config, name)} and would be {getattr(config, name)}: "
                    "widths, RoI size and number of anchors are those of the weights; build another"
                    " network to change them"
                )
        spec = replace(self.spec, config=config)
        if "normalize" in changes:
            spec.require_one_normalization()
        self.spec = spec
        # MXNet keeps the traced graph, in which the old settings are constants.
        self._clear_cached_op()

    def set_nms(
        self,
        nms_thresh: float = 0.3,
        nms_topk: int = 400,
        force_nms: bool = False,
        post_nms: int = 100,
    ) -> None:
        """Change the suppression of detections, with GluonCV's arguments and defaults.

        ``configure`` changes single settings. A hybridized network is traced again at the next
        call.

        Parameters
        ----------
        nms_thresh : float
            IoU above which the better detection suppresses the other; below 0 or above 1
            nothing is suppressed.
        nms_topk : int
            The most detections of a class that enter the suppression; -1 for all. With
            ``force_nms`` the most of all classes together.
        force_nms : bool
            Whether detections of different classes suppress each other.
        post_nms : int
            Rows that the network returns for each image; -1 for all that enter the suppression.
            GluonCV documents this argument and ignores it.

        Raises
        ------
        InputError
            A value is wrong.
        """
        # NaN is neither below 0 nor above 1, so it is refused as a wrong value.
        is_disabled = is_number(nms_thresh) and (nms_thresh < 0 or nms_thresh > 1)
        self.configure(
            nms_thresh=1.0 if is_disabled else nms_thresh,
            nms_topk=nms_topk,
            force_nms=force_nms,
            max_detections=self.config.max_candidates if post_nms == -1 else post_nms,
        )

    def collect_train_params(self, select: Optional[str] = None) -> mx.gluon.ParameterDict:
        """Collect the parameters that learn.

        These are all parameters except constants, stored statistics and frozen layers, whatever
        their ``grad_req`` is at present.

        Parameters
        ----------
        select : str, optional
            A regular expression for names, as for ``collect_params``, in place of this choice.

        Returns
        -------
        mxnet.gluon.ParameterDict
            The parameters by name.

        Raises
        ------
        InputError
            No parameter has a name like ``select``.
        """
        parameters = self.collect_params(select)
        if select is not None:
            if not parameters.keys():
                raise InputError(
                    f"no parameter has a name like {select!r}; names here begin like"
                    f" {next(iter(self.collect_params()))!r}"
                )
            return parameters
        learning = mx.gluon.ParameterDict(parameters.prefix)
        for name, parameter in parameters.items():
            if not is_frozen(parameter):
                learning.update({name: parameter})
        return learning

    def reset_class(self, classes: Sequence[str], reuse_weights: ReuseWeights = None) -> None:
        """Give the network other classes, and new predictors for them.

        Do this before a loss or a trainer is made for the network, because both hold its
        predictors.

        Parameters
        ----------
        classes : sequence of str
            The names of the new classes, in the order of their ids.
        reuse_weights : None, bool, sequence of str, or mapping
            Whose weights the new predictors take over, as in GluonCV. True: all classes whose names
            stay. A sequence: these names, which stay. A mapping: new classes to old classes, each
            by name or by id. None: all predictors start anew. If any class is reused, the
            background is too.

        Raises
        ------
        InputError
            Wrong names, or a class that does not exist.
        """
        names = check_class_names(classes)
        reused = reused_classes(reuse_weights, self.classes, names)
        self._replace_predictors(len(names), reused)
        self.spec = replace(self.spec, classes=names)
        # The old predictors are a part of the traced graph.
        self._clear_cached_op()

    def load_parameters(
        self,
        filename: PathLike,
        ctx: Any = None,
        allow_missing: bool = False,
        ignore_extra: bool = False,
        cast_dtype: bool = False,
        dtype_source: str = "current",
    ) -> None:
        """Load a file that ``save_parameters`` wrote.

        Names and shapes are compared before a parameter is changed.

        Parameters
        ----------
        filename : str or os.PathLike
            The file. :func:`gluonnorm.conversion.load` reads files of GluonCV and other programs.
        ctx : mxnet.Context or list of mxnet.Context, optional
            Where the parameters will be; None leaves them where they are.
        cast_dtype, dtype_source
            As for ``Block.load_parameters``.
        allow_missing : bool
            Whether the file may lack up to half of the parameters, with a warning.
        ignore_extra : bool
            Whether the file may have other arrays.

        Raises
        ------
        InputError
            The file cannot be read, or is one of another network or program.
        """
        parameters = self._collect_params_with_prefix()
        check_saved_parameters(filename, parameters, allow_missing, ignore_extra)
        if ctx is not None:
            # Gluon loads initialized parameters only where they are already.
            for parameter in parameters.values():
                if parameter._data is not None:
                    parameter.reset_ctx(ctx)
        super().load_parameters(
            str(filename), ctx, allow_missing, ignore_extra, cast_dtype, dtype_source
        )

    def export(self, path: PathLike, epoch: int = 0, remove_amp_cast: bool = True) -> None:
        """Refuse Gluon's export, whose graph is the one for training.

        Its norms are not folded, and MXNet's ``Module`` and C predict API compute wrong results
        with some of its operators.

        Parameters
        ----------
        path, epoch, remove_amp_cast
            As for ``HybridBlock.export``.

        Raises
        ------
        InputError
            Always; the message names the function that exports.
        """
        raise InputError(
            f"net.export({str(path)!r}) would write a graph that MXNet's executors compute wrongly;"
            f" call gluonnorm.deploy.export(net, {str(path)!r})"
        )

    @property
    def target_generator(self) -> mx.gluon.HybridBlock:
        """A block without parameters, because the network makes its targets itself.

        GluonCV's training loops move the parameters of this block to the devices.
        """
        return mx.gluon.nn.HybridSequential()

    def forward(self, x: Any, *ground_truth: Any) -> Any:
        """Apply the network to images, and refuse what cannot be images.

        Parameters
        ----------
        x : Tensor
            (B, 3, H, W), images prepared as ``net.preprocess`` states.
        *ground_truth : NDArray
            GluonCV's call in training: boxes (B, G, 4) and labels (B, G, 1), padded with -1.
            Outside of ``autograd.record`` and ``autograd.train_mode`` they are not read, as in
            GluonCV.

        Returns
        -------
        tuple of Tensor
            The result of ``hybrid_forward``; in training with ground truth
            :class:`gluonnorm.rcnn.gluoncv_training.GluonCVOutputs`, or ``GluonCVMaskOutputs``.

        Raises
        ------
        InputError
            ``x`` has another shape, or is not of floats; or the ground truth is incomplete.
        """
        if isinstance(x, mx.nd.NDArray):
            _check_images(x)
        elif not isinstance(x, mx.sym.Symbol):
            raise InputError(
                f"the network got {type(x).__name__}; give mxnet.nd.array(images), float32"
                " (B, 3, H, W), or use gluonnorm.deploy.Predictor for photos"
            )
        if ground_truth and mx.autograd.is_training():
            return self._forward_in_training(x, *ground_truth)
        return super().forward(x)

    def _forward_in_training(self, x: mx.nd.NDArray, *ground_truth: mx.nd.NDArray) -> Any:
        """Predict in training as GluonCV's network does."""
        raise NotImplementedError

    def _replace_predictors(self, num_classes: int, reused: Dict[int, int]) -> None:
        """Make new predictors; ``reused`` is the result of :func:`reused_classes`."""
        raise NotImplementedError


def _check_images(images: mx.nd.NDArray) -> None:
    """Refuse arrays that are no batch of images; MXNet's own message names a convolution."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(
            f"the network got an array {images.shape}; give images (B, 3, H, W), prepared as"
            " net.preprocess states, or use gluonnorm.deploy.Predictor for photos"
        )
    if not np.issubdtype(images.dtype, np.floating):
        raise InputError(
            f"the network got images of {np.dtype(images.dtype)}; give float32, prepared as"
            " net.preprocess states, or use gluonnorm.deploy.Predictor for photos"
        )


def _weight_shape_settings(config: DetectorConfig) -> Dict[str, Any]:
    """Collect the settings on which the shapes of weights depend; of the anchors, their numbers."""
    names = ("fpn_channels", "rpn_channels", "rpn_convs", "roi_size", "mask_channels")
    settings: Dict[str, Any] = {name: getattr(config, name) for name in names}
    settings["anchor_ratios"] = len(config.anchor_ratios)
    settings["anchor_sizes"] = [len(sizes) for sizes in config.anchor_sizes]
    return settings
