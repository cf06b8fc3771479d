"""Anchors, computed one at a time in Python's own floats."""


def centered_anchor(size, ratio):
    """Compute an anchor about the origin with the area ``size ** 2``."""
    width = size / ratio**0.5
    height = size * ratio**0.5
    return [-width / 2, -height / 2, width / 2, height / 2]


def rounded_anchor(size, ratio):
    """Round the corners to integers, halves to even (torchvision)."""
    return [float(round(corner)) for corner in centered_anchor(size, ratio)]


def legacy_anchor(stride, size, ratio):
    """Compute an anchor with inclusive corners as py-faster-rcnn's ``generate_anchors`` does.

    A window as wide as the stride is reshaped to integer sides, and then scaled.
    """
    center = (stride - 1) / 2
    area = stride * stride
    scale = size / stride
    width = round((area / ratio) ** 0.5)
    height = round(width * ratio)
    half_width = (width * scale - 1) / 2
    half_height = (height * scale - 1) / 2
    return [center - half_width, center - half_height, center + half_width, center + half_height]


def cell_anchors(stride, sizes, ratios, style="exact", order="size"):
    """List the anchors of the first cell; ``style`` and ``order`` are fields of BoxConvention."""
    if order == "size":
        pairs = [(size, ratio) for size in sizes for ratio in ratios]
    else:
        pairs = [(size, ratio) for ratio in ratios for size in sizes]
    if style == "legacy":
        return [legacy_anchor(stride, size, ratio) for size, ratio in pairs]
    if style == "rounded":
        return [rounded_anchor(size, ratio) for size, ratio in pairs]
    return [centered_anchor(size, ratio) for size, ratio in pairs]


def map_anchors(height, width, steps, cells):
    """List the anchors of a map, ordered by y, then x, then anchor.

    ``steps`` are the pixels from a cell to the next one down and to the next one right.
    """
    step_down, step_right = steps
    anchors = []
    for row in range(height):
        for column in range(width):
            down = row * step_down
            right = column * step_right
            for x1, y1, x2, y2 in cells:
                anchors.append([x1 + right, y1 + down, x2 + right, y2 + down])
    return anchors


def pyramid_anchors(image_size, map_sizes, strides, sizes, ratios, convention):
    """List the anchors of each level.

    ``image_size`` is the (height, width) of the padded image, ``map_sizes`` those of the levels.
    """
    levels = []
    for (height, width), stride, level_sizes in zip(map_sizes, strides, sizes):
        steps = (stride, stride)
        if convention.anchor_stride == "map":
            steps = (image_size[0] // height, image_size[1] // width)
        cells = cell_anchors(
            stride, level_sizes, ratios, convention.anchors, convention.anchor_order
        )
        levels.append(map_anchors(height, width, steps, cells))
    return levels
