"""Weights that a test and its oracle both make from nothing but the names and shapes of tensors.

A golden file of a large network can then leave the weights out: the oracle fills the original
network with these, the test converts the same arrays and fills ours.
"""

import math
import zlib
from collections.abc import Mapping

import numpy as np

_POWER_ITERATIONS = 20


def fill(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return a tensor for each name of a PyTorch state dict.

    Each is drawn from a generator seeded by its name: He-scaled normals for what has two axes or
    more, variances and scales in [0.5, 1.5], biases and means of standard deviation 0.1; int64
    zeros for ``num_batches_tracked``. The vectors of spectral norm (``<name>_u``, ``<name>_v``)
    belong to the largest singular value of ``<name>_orig``, as they do after training.
    """
    filled = {key: _tensor(key, tuple(shape)) for key, shape in shapes.items()}
    for key in shapes:
        if key.endswith("weight_orig"):
            u, v = _singular_vectors(filled[key])
            filled |= {key.replace("_orig", "_u"): u, key.replace("_orig", "_v"): v}
    return filled


def _tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) > 1:
        scale = math.sqrt(2 / math.prod(shape[1:]))
        return np.float32(scale) * rng.standard_normal(shape, np.float32)
    if key.endswith(("bias", "mean")):
        return np.float32(0.1) * rng.standard_normal(shape, np.float32)
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)


def _singular_vectors(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = weight.reshape(len(weight), -1)
    u = np.ones(len(weight), np.float32)
    for _ in range(_POWER_ITERATIONS):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    return u, v


def image(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a smooth image-like array in [-1, 1], float32, seeded by ``key``: NHWC."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    batch, height, width, channels = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = np.zeros(shape)
    for frequency in (1, 2, 5, 11):
        angle = rng.uniform(0, 2 * np.pi, (batch, 1, 1, channels))
        direction = rng.uniform(0, 2 * np.pi, (batch, 1, 1, channels))
        along = np.cos(direction) * y[None, ..., None] + np.sin(direction) * x[None, ..., None]
        waves += np.sin(2 * np.pi * frequency * along + angle) / frequency
    noisy = waves + 0.1 * rng.standard_normal(shape)
    return np.clip(noisy / 1.5, -1, 1).astype(np.float32)
