"""Pictures of any size through a cascade that wants multiples: reflect, fill, cut back, keep the
caller's bytes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from segsynth.errors import UserError
from segsynth.system import CompiledPredict
from segsynth.types import PRNGKey


def stop_level(sides: tuple[int, ...], longest: int) -> int:
    """Return the number of the first level whose side reaches ``longest`` px; the top level if none
    does.
    """
    return next((i for i, side in enumerate(sides, start=1) if side >= longest), len(sides))


def pad_reflect(array: UInt8[np.ndarray, "h w c"], multiple: int) -> UInt8[np.ndarray, "H W c"]:
    """Grow bottom and right by reflection, as often as needed, to multiples of ``multiple``."""
    for axis in (0, 1):
        target = -(-array.shape[axis] // multiple) * multiple
        while array.shape[axis] < target:
            more = min(target - array.shape[axis], max(array.shape[axis] - 1, 1))
            mode = "reflect" if array.shape[axis] > 1 else "edge"
            array = np.pad(array, [(0, more) if i == axis else (0, 0) for i in range(3)], mode=mode)
    return array


def synthesize(
    system: Any, predict: CompiledPredict, inputs: Mapping[str, np.ndarray], key: PRNGKey
) -> dict[str, np.ndarray]:
    """Fill the hole of one picture.

    ``inputs``: ``image`` uint8 (h, w, 3), ``mask`` uint8 (h, w, 1) with 1 = hole, ``category`` int.
    A picture smaller than the top level is filled by the first level that is as large. Returns
    ``image`` uint8 (h, w, 3), whose known bytes are the caller's, and each lower level's fill; a
    picture without a hole comes back without a network call.

    Raises :class:`UserError` when image and mask differ in size.
    """
    image, mask = inputs["image"], inputs["mask"]
    if image.shape[:2] != mask.shape[:2]:
        raise UserError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} px and the image "
            f"{image.shape[1]}x{image.shape[0]}; "
            "bring a mask of the image's size"
        )
    if not mask.any():
        return {"image": image.copy()}
    levels = system.cascade.levels
    system = system.up_to(stop_level(tuple(level.side for level in levels), max(image.shape[:2])))
    multiple = system.cascade.multiple
    batch = {
        "image": pad_reflect(image, multiple)[None],
        "mask": pad_reflect(mask, multiple)[None],
        "category": np.asarray(inputs["category"], np.int32).reshape(1),
    }
    outputs = {name: np.asarray(value)[0] for name, value in predict(system, batch, key).items()}
    return {
        name: _cut(value, batch["image"].shape[1:], image.shape) for name, value in outputs.items()
    }


def _cut(value: np.ndarray, padded: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Undo the padding at the scale of ``value``."""
    height, width = (-(-shape[i] * value.shape[i] // padded[i]) for i in (0, 1))
    return value[:height, :width]
