"""The formulas of the losses on NumPy arrays in double precision."""

import numpy as np


def smooth_l1(difference, beta):
    """Compute the smooth L1 loss of each difference."""
    size = np.abs(difference.astype(np.float64))
    return np.where(size < beta, 0.5 * size**2 / beta, size - 0.5 * beta)


def binary_cross_entropy(logits, targets):
    """Compute the binary cross entropy of each logit."""
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return -(targets * np.log(probability) + (1 - targets) * np.log(1 - probability))


def focal(logits, labels, gamma):
    """Compute the focal loss of each row: (N, K) and (N,) to (N,)."""
    entropies = cross_entropy(logits, labels)
    return (1 - np.exp(-entropies)) ** gamma * entropies


def sigmoid_focal(logits, targets, gamma):
    """Compute torchvision's sigmoid focal loss without alpha of each logit."""
    entropies = binary_cross_entropy(logits, targets)
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    right = probability * targets + (1 - probability) * (1 - targets)
    return (1 - right) ** gamma * entropies


def cross_entropy(logits, labels):
    """Compute the softmax cross entropy of each row: (N, K) and (N,) to (N,)."""
    exponentials = np.exp(logits.astype(np.float64))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    entropies = [-np.log(row[int(label)]) for row, label in zip(probabilities, labels)]
    return np.array(entropies)
