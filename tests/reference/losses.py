"""The losses' formulas on NumPy arrays in double precision."""
import numpy as np


def smooth_l1(difference, beta):
    size = np.abs(difference.astype(np.float64))
    return np.where(size < beta, 0.5 * size ** 2 / beta, size - 0.5 * beta)


def binary_cross_entropy(logits, targets):
    chance = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return -(targets * np.log(chance) + (1 - targets) * np.log(1 - chance))


def cross_entropy(logits, labels):
    """(N, K) and (N,) to (N,)."""
    logits = logits.astype(np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.array([-np.log(row[int(label)]) for row, label in zip(chances, labels)])
