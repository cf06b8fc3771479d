"""Deterministic weights and images, so that parity cases need no weight files.

Each tensor has a random generator of its own, seeded by its name and a salt, so the same state dict
can be made again anywhere from names and shapes alone. The scales keep the activations finite
through 50 layers, and make the detector confident enough to return boxes.

    state = seeded.state_dict({"backbone.body.conv1.weight": (64, 3, 7, 7), ...}, salt=0)
    image = seeded.image(320, 427, salt=0)          # (3, H, W) float32 RGB in 0..1
"""
import zlib

import numpy as np

BLOCK_COUNT = 12
# Parts of the names of norms at the end of a residual branch.
LAST_NORMS = (".bn3.", ".bn2.last", ".sn3.", ".gn3.", "branch2c_bn_", "branch2c_gn_")
SCALE_ENDINGS = ("weight", "_s")  # PyTorch's and Caffe2's names of a norm's scale
MIXING_WEIGHTS = ("mean_weight", "var_weight")  # of SwitchNorm, before the softmax


def tensor(name, shape, salt=0):
    """Make one random tensor, whose distribution follows from its name.

    Parameters
    ----------
    name : str
        The name of the tensor in the style of PyTorch or Caffe2, such as ``conv1.weight`` or
        ``conv1_gn_s``.
    shape : sequence of int
        The shape.
    salt : int
        Another salt gives another tensor.

    Returns
    -------
    numpy.ndarray
        The tensor, float32; int64 zeros for step counters.
    """
    seed = zlib.crc32(f"{salt}:{name}".encode()) & 0x7FFFFFFF
    generator = np.random.RandomState(seed)
    shape = tuple(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    if name.endswith("running_mean"):
        return (0.1 * generator.randn(*shape)).astype(np.float32)
    if name.endswith(MIXING_WEIGHTS):
        return generator.randn(*shape).astype(np.float32)
    # SwitchNorm_Detection stores the scales and shifts of SwitchNorm as (1, C, 1, 1).
    is_channels = len(shape) == 4 and shape[0] == shape[2] == shape[3] == 1
    is_vector = len(shape) <= 1 or is_channels
    if is_vector and shape and name.endswith(SCALE_ENDINGS):
        # The scale of a norm. Small scales at the end of residual branches keep the sum small.
        is_last_norm = any(part in name for part in LAST_NORMS)
        low, high = (0.1, 0.3) if is_last_norm else (0.5, 1.0)
        return generator.uniform(low, high, shape).astype(np.float32)
    if is_vector:
        return (0.05 * generator.randn(*shape)).astype(np.float32)
    return _weight_matrix(name, shape, generator)


def _weight_matrix(name, shape, generator):
    """Make the weight of a convolution or dense layer, scaled by its fan-in."""
    fan_in = int(np.prod(shape[1:]))
    deviation = np.sqrt(2.0 / fan_in)
    if "bbox_pred" in name:
        deviation *= 0.3
    values = generator.randn(*shape)
    if len(shape) == 2:
        # With rows of mean zero, the features of RoIs differ by more than their common mean.
        values -= values.mean(axis=1, keepdims=True)
    if "cls_score" in name:
        deviation *= 1.5
    if "cls_logits" in name:
        deviation *= 3.0
    return (deviation * values).astype(np.float32)


def state_dict(shapes, salt=0):
    """Make a random state dict.

    Parameters
    ----------
    shapes : dict of str to sequence of int
        The shape of each tensor, by name.
    salt : int
        Another salt gives other tensors.

    Returns
    -------
    dict of str to numpy.ndarray
        The tensors, by name.
    """
    return {name: tensor(name, shape, salt) for name, shape in shapes.items()}


def image(height, width, salt=0):
    """Make a smooth random image with blocks in it.

    Parameters
    ----------
    height, width : int
        The size in pixels.
    salt : int
        Another salt gives another image.

    Returns
    -------
    numpy.ndarray
        The image, (3, height, width) float32 RGB in 0..1.
    """
    generator = np.random.RandomState(1000 + salt)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    pixels = np.empty((3, height, width), np.float32)
    for channel in range(3):
        row_frequency, column_frequency = generator.uniform(0.01, 0.05, 2).tolist()
        row_phase, column_phase = generator.uniform(0, 6, 2).tolist()
        row_wave = np.sin(row_frequency * rows + row_phase)
        column_wave = np.cos(column_frequency * columns + column_phase)
        pixels[channel] = 0.5 + 0.25 * row_wave + 0.2 * column_wave
    for _ in range(BLOCK_COUNT):
        block_height = generator.randint(height // 12, height // 2)
        block_width = generator.randint(width // 12, width // 2)
        top = generator.randint(0, height - block_height)
        left = generator.randint(0, width - block_width)
        block = pixels[:, top:top + block_height, left:left + block_width]
        color = generator.uniform(0, 1, (3, 1, 1))
        block[...] = color * 0.7 + 0.3 * block
    return np.clip(pixels, 0, 1).astype(np.float32)
