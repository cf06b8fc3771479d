"""The interface of a feature extractor: what a detector may ask of its backbone."""

from typing import List, Sequence, Tuple

from gluonnorm.errors import InputError
from gluonnorm.nn import freeze

from mxnet.gluon import HybridBlock


class Backbone(HybridBlock):
    """Base of all feature extractors: images (N, 3, H, W) to a list of maps, finest first.

    Map i has shape (N, channels[i], ceil(H / strides[i]), ceil(W / strides[i])).

    Parameters
    ----------
    strides : sequence of int
        Stride of each map in pixels of the image.
    channels : sequence of int
        Number of channels of each map.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Attributes
    ----------
    strides, channels : tuple of int
        As above. A detector reads them here, and derives nothing from names of layers.
    """

    def __init__(self, strides: Sequence[int], channels: Sequence[int], **kwargs) -> None:
        super().__init__(**kwargs)
        self.strides: Tuple[int, ...] = tuple(strides)
        self.channels: Tuple[int, ...] = tuple(channels)

    def stages(self) -> List[List[HybridBlock]]:
        """List the blocks with parameters by stage.

        Returns
        -------
        list of list of mxnet.gluon.HybridBlock
            The stages in the order in which images pass them; the first is the stem.
        """
        raise NotImplementedError

    def freeze_at(self, num_stages: int) -> None:
        """Freeze the first stages, counted as in Detectron.

        Frozen parameters have no gradient, and frozen batch norms use their stored statistics.
        Freeze before the network runs hybridized, or hybridize it again. A later call with a
        smaller number does not make frozen stages learn again.

        Parameters
        ----------
        num_stages : int
            How many stages to freeze: 0 for none, 1 for the stem, 2 for the stem and stage 1.

        Raises
        ------
        InputError
            The backbone has fewer stages.
        """
        stages = self.stages()
        if not 0 <= num_stages <= len(stages):
            raise InputError(
                f"freeze_at got {num_stages}; this backbone has {len(stages)} stages, "
                f"so give 0 to {len(stages)}"
            )
        for stage in stages[:num_stages]:
            for block in stage:
                freeze(block)
