"""Small pictures of coloured regions whose true labels are known, and rough annotations of them."""

import numpy as np
from scipy import ndimage


def coarse_scene(height, width, classes=4, seed=0, noise=8, erode=3):
    """Picture uint8 [H, W, 3], truth and coarse labels [H, W] int32, -1 = unlabelled.

    Regions are those nearest to random seeds, in colours far apart; every region is eroded.
    """
    rng = np.random.default_rng(seed)
    seeds = rng.random((3 * classes, 2)) * [height, width]
    y, x = np.mgrid[:height, :width]
    nearest = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(-1)
    truth = (nearest % classes).astype(np.int32)
    colours = np.linspace(20, 235, classes)[:, None] * np.ones(3)
    colours[:, 1] = np.roll(colours[:, 1], 1)
    image = np.clip(colours[truth] + rng.normal(0, noise, (height, width, 3)), 0, 255)
    coarse = np.full_like(truth, -1)
    for label in range(classes):
        coarse[ndimage.binary_erosion(truth == label, iterations=erode, border_value=1)] = label
    return image.astype(np.uint8), truth, coarse
