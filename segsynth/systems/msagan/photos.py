"""One picture of any size: a square of it is edited at the networks' size and put back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

from segsynth.errors import UserError
from segsynth.networks.editing import blend
from segsynth.networks.planes import to_bytes, to_unit
from segsynth.system import CompiledPredict
from segsynth.systems.msagan import alignment
from segsynth.types import PRNGKey


def square(height: int, width: int) -> tuple[slice, slice]:
    """Return the largest square in the middle, as training and evaluation cut it."""
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return slice(top, top + side), slice(left, left + side)


def remarks(inputs: Mapping[str, np.ndarray], resolution: int) -> tuple[str, ...]:
    """Say what part of a picture is edited, if not all of it, and if the face is enlarged."""
    height, width = inputs["image"].shape[:2]
    found, side = [], float(min(height, width))
    if "landmarks" in inputs:
        side = alignment.framed(inputs["landmarks"], height, width).side
    elif height != width:
        found.append(f"the picture is {width}x{height} px; only the square in its middle is edited")
    if round(side) < resolution:
        found.append(
            f"the face has {side:.0f} px and training saw {resolution}; it is enlarged for the edit"
        )
    return tuple(found)


def synthesize(
    system: Any,
    predict: CompiledPredict,
    inputs: Mapping[str, np.ndarray],
    key: PRNGKey,
    resolution: int,
) -> dict[str, np.ndarray]:
    """Edit a square of a picture; bytes where the mask is 0 stay.

    It is the largest square in the middle, or, with ``landmarks`` float32 (n, 2), the one that
    FFHQ's alignment cuts, which may be turned. A square of another size is resampled for the
    networks, and what they draw is resampled back: the face keeps its detail everywhere but under
    the mask. ``attention`` and ``attribute_image`` are of the square.

    Raises:
        UserError: a strength outside 0..1, landmarks that are none, or of another picture.

    """
    if not 0.0 <= float(inputs["strength"]) <= 1.0:
        raise UserError(f"strength is {float(inputs['strength']):g}; expected a number from 0 to 1")
    image = np.asarray(inputs["image"])
    found = inputs.get("landmarks")
    if found is None:
        frame, (rows, columns) = None, square(*image.shape[:2])
        part = image[rows, columns]
    else:
        frame = alignment.framed(found, *image.shape[:2])
        part = _bytes(frame.cut(image, max(resolution, round(frame.side))))
    small = part if len(part) == resolution else _resized(part, resolution)
    given = {name: np.asarray(inputs[name])[None] for name in system.inputs}
    batch = {**given, "image": small[None]}
    answer = {name: np.asarray(x)[0] for name, x in predict(system, batch, key).items()}
    if frame is not None:
        return {**answer, "image": _put_back(image, frame, answer)}
    if len(part) != resolution:
        answer = _enlarged(part, answer)
    whole = image.copy()
    whole[rows, columns] = answer["image"]
    return {**answer, "image": whole}


def _put_back(
    image: UInt8[np.ndarray, "h w c"], frame: alignment.Square, answer: Mapping[str, np.ndarray]
) -> UInt8[np.ndarray, "h w c"]:
    """Blend what was drawn in a square that may be turned into the picture that it was cut from."""
    attention, drawn = answer["attention"], answer["attribute_image"]
    places = frame.places(*image.shape[:2], len(drawn))
    # Linear, and 0 beyond the square: a mask that is 0 around a pixel stays exactly 0 there.
    mask = alignment.sampled(attention, places, "constant") / np.float32(255)
    blended = (1.0 - mask) * image + mask * alignment.sampled(drawn, places, "nearest")
    return np.where(mask > 0, _bytes(blended), image)


def _bytes(image: Float32[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    return np.round(np.clip(image, 0, 255)).astype(np.uint8)


def _resized(image: UInt8[np.ndarray, "h w c"], side: int) -> UInt8[np.ndarray, "s s c"]:
    shape = (side, side, image.shape[-1])
    # Cubic and antialiased, as pictures are resampled for training.
    resized = jax.image.resize(jnp.asarray(image, jnp.float32), shape, "cubic")
    return np.asarray(jnp.round(jnp.clip(resized, 0, 255)).astype(jnp.uint8))


def _enlarged(part: np.ndarray, answer: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Blend at the picture's own size."""
    side = len(part)
    # Linear: a mask that is 0 around a pixel stays exactly 0 there.
    mask = jax.image.resize(
        jnp.asarray(answer["attention"], jnp.float32) / 255.0, (side, side, 1), "linear"
    )
    drawn = _resized(answer["attribute_image"], side)
    image = blend(*(to_unit(jnp.asarray(x)[None]) for x in (part, drawn)), mask[None])
    edited = np.where(np.asarray(mask) > 0, np.asarray(to_bytes(image))[0], part)
    attention = np.asarray(jnp.round(255.0 * mask).astype(jnp.uint8))
    return {"image": edited, "attention": attention, "attribute_image": drawn}
