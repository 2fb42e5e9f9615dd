"""Procedural silhouettes: object-shaped holes for pictures without labels."""

import numpy as np
from jaxtyping import UInt8

from segsynth.data.worlds import contours, raster

#: Smallest and largest area of a silhouette as a share of the frame.
AREA = (0.05, 0.30)


def silhouette(rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Draw one closed shape r(theta) = r0 (1 + sum_{k=1..5} a_k cos(k theta + b_k)); 1 = hole.

    a_k ~ N(0, (0.25 / k)^2); r0 makes the area uniform in 5 to 30 % of the frame; the shape lies
    inside the frame where it fits. The same generator state draws the same shape at every size.
    """
    outline = contours.scaled(contours.blob(rng), float(rng.uniform(*AREA)))
    centre = contours.random_centres(rng, outline)[0]
    window, inside = raster.fill(contours.moved(outline, centre), size)
    mask = np.zeros((size, size, 1), np.uint8)
    mask[window][inside] = 1
    return mask
