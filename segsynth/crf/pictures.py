"""What a caller may hand in as picture and labels, and one line about everything else."""

from typing import Any

import numpy as np
from jaxtyping import Array, Integer, Num

from segsynth.errors import UserError


def as_picture(image: Any) -> Num[np.ndarray, "h w 3"]:
    """An RGB picture in levels of 0..255, uint8 or float32, from any array.

    Args:
      image: [H, W, 3], or grey [H, W] or [H, W, 1]; integers or floats, in 0..255.

    Raises:
      UserError: another shape, no pixel, values outside 0..255 or, as float, in [0, 1], NaN.

    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim == 3 and image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    if image.ndim != 3 or image.shape[-1] != 3:
        cure = ": drop its alpha" if image.ndim == 3 and image.shape[-1] == 4 else ""
        raise UserError(f"image of shape {image.shape}, expected (height, width, 3){cure}")
    if not image.size:
        raise UserError(f"image of shape {image.shape} has no pixel")
    check_levels(image)
    return image.astype(np.uint8 if np.issubdtype(image.dtype, np.integer) else np.float32)


def check_levels(image: np.ndarray | Array) -> None:
    """Refuse pictures, of any shape, that are not in levels of 0..255.

    Raises:
      UserError: values outside 0..255 or, as float, in [0, 1], NaN, a type that is no number.

    """
    if image.dtype == np.uint8 or not image.size:
        return
    integer = np.issubdtype(image.dtype, np.integer)
    if not integer and not np.issubdtype(image.dtype, np.floating):
        raise UserError(f"image of type {image.dtype}, expected uint8")
    low, top = float(image.min()), float(image.max())
    if not (low >= 0 and top <= 255):
        cure = "divide its 16 bits by 257" if image.dtype == np.uint16 else "bring it into 0..255"
        if np.isnan(top):
            cure = "without NaN"
        raise UserError(f"image of type {image.dtype} in {low:g}..{top:g}, not in 0..255: {cure}")
    if not integer and 0 < top <= 1:
        raise UserError(
            f"image of type {image.dtype} in {low:g}..{top:g}, expected levels of 0..255: "
            "multiply it by 255"
        )


def as_labels(labels: Any) -> Integer[np.ndarray, "h w"]:
    """A label map from any array of integers.

    Raises:
      UserError: another shape (a picture of colours, say) or type.

    """
    labels = np.asarray(labels)
    if labels.ndim != 2:
        cure = "; map its colours to class numbers first" if labels.ndim == 3 else ""
        raise UserError(f"labels of shape {labels.shape}, expected (height, width){cure}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels of type {labels.dtype}, expected integers: convert them")
    return labels
