"""What a detector may ask of a feature extractor."""
from typing import List, Sequence, Tuple

from gluonnorm.nn import freeze

from mxnet.gluon import HybridBlock


class Backbone(HybridBlock):
    """Maps images (N, 3, H, W) to a list of feature maps, finest first.

    Map i has shape (N, channels[i], ceil(H / strides[i]), ceil(W / strides[i])).

    Attributes
    ----------
    strides, channels
        Of the maps that come back; stated, so that nobody has to guess from layer names.
    """

    def __init__(self, strides: Sequence[int], channels: Sequence[int], **kwargs) -> None:
        super().__init__(**kwargs)
        self.strides: Tuple[int, ...] = tuple(strides)
        self.channels: Tuple[int, ...] = tuple(channels)

    def stages(self) -> List[List[HybridBlock]]:
        """The blocks that hold parameters, by stage, in the order images pass them; the first is the stem."""
        raise NotImplementedError

    def freeze_at(self, n: int) -> None:
        """Freeze the first ``n`` stages: 0 nothing, 1 the stem, 2 the stem and stage 1, as Detectron counts.

        Frozen parameters have no gradient, and frozen batch norms use their stored statistics. Freeze before the
        network runs hybridized, or hybridize it anew. Nothing is thawed by a smaller ``n``.
        """
        stages = self.stages()
        if not 0 <= n <= len(stages):
            raise ValueError(f"freeze_at got {n}; this backbone has {len(stages)} stages, so give 0 to {len(stages)}")
        for stage in stages[:n]:
            for block in stage:
                freeze(block)
