"""Deterministic weights and images, so that parity cases need no weight files.

Every tensor is drawn from its own generator, seeded by the tensor's name and a
salt, so the same state dict can be rebuilt anywhere from its names and shapes
alone.  The scales keep activations finite through 50 layers and make the
detector confident enough to return boxes.

    state = seeded.state_dict({"backbone.body.conv1.weight": (64, 3, 7, 7), ...}, salt=0)
    image = seeded.image(320, 427, salt=0)          # (3, H, W) float32 RGB in [0, 1]
"""
import zlib

import numpy as np


def tensor(name, shape, salt=0):
    """One tensor (float32; int64 for step counters), drawn by its torch-style name."""
    rng = np.random.RandomState(zlib.crc32(f"{salt}:{name}".encode()) & 0x7FFFFFFF)
    shape = tuple(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if name.endswith("running_mean"):
        return (0.1 * rng.randn(*shape)).astype(np.float32)
    if len(shape) == 1 and name.endswith("weight"):  # a norm's scale
        low, high = (0.1, 0.3) if ".bn3." in name or ".bn2.last" in name else (0.5, 1.0)
        return rng.uniform(low, high, shape).astype(np.float32)
    if len(shape) <= 1:
        return (0.05 * rng.randn(*shape)).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    std = np.sqrt(2.0 / fan_in)
    if "bbox_pred" in name:
        std *= 0.3
    draw = rng.randn(*shape)
    if len(shape) == 2:  # zero-mean rows: RoIs differ by more than their common mean
        draw -= draw.mean(axis=1, keepdims=True)
    if "cls_score" in name:
        std *= 1.5
    if "cls_logits" in name:
        std *= 3.0
    return (std * draw).astype(np.float32)


def state_dict(shapes, salt=0):
    """``{name: array}`` for ``{name: shape}``."""
    return {name: tensor(name, shape, salt) for name, shape in shapes.items()}


def image(height, width, salt=0):
    """A smooth random RGB image with blocks: (3, height, width) float32 in [0, 1]."""
    rng = np.random.RandomState(1000 + salt)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    out = np.empty((3, height, width), np.float32)
    for c in range(3):
        fy, fx, py, px = rng.uniform(0.01, 0.05, 2).tolist() + rng.uniform(0, 6, 2).tolist()
        out[c] = 0.5 + 0.25 * np.sin(fy * y + py) + 0.2 * np.cos(fx * x + px)
    for _ in range(12):
        h, w = rng.randint(height // 12, height // 2), rng.randint(width // 12, width // 2)
        y0, x0 = rng.randint(0, height - h), rng.randint(0, width - w)
        out[:, y0:y0 + h, x0:x0 + w] = rng.uniform(0, 1, (3, 1, 1)) * 0.7 + 0.3 * out[:, y0:y0 + h, x0:x0 + w]
    return np.clip(out, 0, 1).astype(np.float32)
