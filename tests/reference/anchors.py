"""Anchors, one at a time."""


def centred(size, ratio):
    """About the origin, of the area size ** 2."""
    w, h = size / ratio ** 0.5, size * ratio ** 0.5
    return [-w / 2, -h / 2, w / 2, h / 2]


def rounded(size, ratio):
    """torchvision: the corners at whole pixels, halves to the even one."""
    return [float(round(corner)) for corner in centred(size, ratio)]


def enumerated(stride, size, ratio):
    """py-faster-rcnn: a window as wide as the stride, reshaped to whole pixels, then scaled; ends are inclusive."""
    centre, area, scale = (stride - 1) / 2, stride * stride, size / stride
    w = round((area / ratio) ** 0.5)
    h = round(w * ratio)
    return [centre - (w * scale - 1) / 2, centre - (h * scale - 1) / 2,
            centre + (w * scale - 1) / 2, centre + (h * scale - 1) / 2]


def of_cell(stride, sizes, ratios, kind="exact", order="size"):
    if order == "size":
        pairs = [(size, ratio) for size in sizes for ratio in ratios]
    else:
        pairs = [(size, ratio) for ratio in ratios for size in sizes]
    if kind == "legacy":
        return [enumerated(stride, *pair) for pair in pairs]
    return [(rounded if kind == "rounded" else centred)(*pair) for pair in pairs]


def of_map(height, width, steps, cells):
    """Rows ordered by y, x, anchor; ``steps`` down and right."""
    return [[x1 + column * steps[1], y1 + row * steps[0], x2 + column * steps[1], y2 + row * steps[0]]
            for row in range(height) for column in range(width) for x1, y1, x2, y2 in cells]


def of_pyramid(image, maps, strides, sizes, ratios, convention):
    """``image`` is the padded (height, width), ``maps`` the levels' (height, width)."""
    levels = []
    for (height, width), stride, level_sizes in zip(maps, strides, sizes):
        steps = (stride, stride) if convention.anchor_stride == "nominal" else (image[0] // height, image[1] // width)
        cells = of_cell(stride, level_sizes, ratios, convention.anchors, convention.anchor_order)
        levels.append(of_map(height, width, steps, cells))
    return levels
