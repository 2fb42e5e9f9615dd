"""Spatial modalities as bytes and back, without loss.

A record holds a file's own bytes where they read as the array that the layout gives: a JPEG stays
the JPEG that it was. Where they do not (a reader cuts the picture in half, or joins several files)
it holds a PNG of the array. `decode` tells them apart by the picture's mode alone: four channels
are the four bytes of a number that no grey PNG holds.
"""

import io

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from segsynth.data import modalities, picture_files, pictures
from segsynth.data.picture_files import Encoded
from segsynth.errors import UserError

_WIDE = "RGBA"


def encode(key: str, array: Shaped[np.ndarray, "H W C"], own: bytes | None = None) -> bytes:
    """Returns bytes from which `decode` gives ``array`` back, bit for bit.

    Args:
        key: name of a spatial modality.
        array: as the modality says.
        own: bytes of the file that the array comes from; None where it is not of one file.

    Raises:
        UserError: an array that the modality cannot mean.

    """
    if own is not None and _gives(key, own, array):
        return own
    data = _png(key, array)
    if _gives(key, data, array):
        return data
    raise UserError(
        f"{key} as {array.dtype}{list(array.shape)} cannot be stored; expected what "
        f"segsynth.data.modalities says of it: {modalities.get(key).doc}."
    )


def decode(key: str, picture: Encoded) -> Shaped[np.ndarray, "H W C"]:
    """Returns the array of a spatial modality.

    Raises:
        UserError: damaged bytes, or a picture that the modality cannot mean.

    """
    modality = modalities.get(key)
    if modality.channels == 3:
        return pictures.read_image(picture)
    if modality.dtype in ("float32", "int32"):
        with picture_files.opened(picture) as opened:
            if opened.mode == _WIDE:
                return np.array(opened).view(modality.dtype)
        return (pictures.read_depth if modality.dtype == "float32" else pictures.read_labels)(
            picture
        )
    if modality.draw == "grey":
        return pictures.read_drawing(picture)
    return _bytes_of(pictures.read_labels(picture), picture)


def _bytes_of(labels: np.ndarray, picture: Encoded) -> np.ndarray:
    if labels.size and labels.max() > 255:
        raise UserError(
            f"{picture} holds the label {labels.max()}, expected at most 255. "
            "Is it a map of instances?"
        )
    return labels.astype(np.uint8)


def _gives(key: str, data: bytes, array: np.ndarray) -> bool:
    try:
        decoded = decode(key, Encoded(data, key))
    except UserError:
        return False
    return decoded.dtype == array.dtype and np.array_equal(decoded, array)


def _png(key: str, array: np.ndarray) -> bytes:
    wide = array.dtype == np.float32 or (
        array.dtype == np.int32 and array.size and not 0 <= array.min() <= array.max() <= 65535
    )
    if wide:
        stored = np.ascontiguousarray(array).view(np.uint8)
    elif array.dtype == np.int32:
        stored = array[..., 0].astype(np.uint8 if array.max(initial=0) <= 255 else np.uint16)
    else:
        stored = np.ascontiguousarray(array if array.shape[-1] == 3 else array[..., 0])
    buffer = io.BytesIO()
    try:
        Image.fromarray(stored).save(buffer, format="PNG")
    except (TypeError, ValueError) as error:
        raise UserError(f"{key} cannot be stored as PNG ({error}). Convert the array.") from error
    return buffer.getvalue()
