"""What a training run says at its end: what keeps its score below what its data allow.

``measures`` collects the numbers of ``run_result``: losses, scores, and the reach of anchors and
proposals. ``anchor_remedies`` computes which other anchors would reach more. ``report`` makes the
sentences, without a look at files or networks: those of ``class_findings`` about single classes,
those of ``progress_findings`` about the run as a whole.
"""
