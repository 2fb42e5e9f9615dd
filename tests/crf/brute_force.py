"""Dense mean field in NumPy, float64, against which everything else is measured."""

import numpy as np


def bilateral(image, xy, rgb):
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    position = np.stack([x, y], -1).reshape(-1, 2).astype(float)
    return np.concatenate([position / xy, image.reshape(-1, 3).astype(float) / rgb], 1)


def kernel(features):
    square = ((features[:, None] - features[None]) ** 2).sum(-1)
    return np.exp(-square / 2)


def normalised(k, norm, mask=None):
    mask = np.ones(len(k)) if mask is None else mask
    mass = k @ mask
    if norm == "symmetric":
        k = k / np.sqrt(mass)[:, None] / np.sqrt(mass)[None]
    elif norm == "before":
        k = k / mass[None]
    elif norm == "after":
        k = k / mass[:, None]
    else:
        k = k / ((mass * mask).sum() / mask.sum())
    return k * mask[None]


def softmax(logits):
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def mean_field(unary, kernels, weights, mus, iters, norm="symmetric", mask=None):
    height, width, classes = unary.shape
    u = unary.reshape(-1, classes).astype(float)
    kernels = [normalised(k, norm, None if mask is None else mask.ravel()) for k in kernels]
    q = softmax(-u)
    for _ in range(iters):
        total = sum(w * (k @ q) @ mu.T for k, w, mu in zip(kernels, weights, mus, strict=True))
        q = softmax(-u - total)
    return q.reshape(height, width, classes)
