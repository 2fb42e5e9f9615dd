"""Reads and writes picture files; whatever is wrong with one is a single line that names it."""

import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Float32, Int32, Integer, UInt8
from PIL import Image

from segsynth.data.picture_files import Path, Picture, opened, silence
from segsynth.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow stretches grey PNGs of 2 and 4 bits to 0..255, which is right for pictures and wrong for
# labels.
_STRETCH = {"L;2": 85, "L;4": 17}


def read_image(path: Picture) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a photograph as RGB, 0..255, upright by its EXIF tag.

    Greyscale, palette and CMYK pictures become RGB; transparent parts become white, as a viewer
    shows them.

    Raises:
        UserError: missing, empty, damaged, not a picture, too many pixels, a folder, or 16 bits a
            channel.

    """
    with opened(path) as picture:
        if _is_deep(picture):
            raise UserError(f"{path} has more than 8 bits a channel, expected 8. Convert it first.")
        return np.array(_flat(_upright(picture), "white"))


def read_mask(path: Picture, polarity: str = "white-hole") -> UInt8[np.ndarray, "H W 1"]:
    """Reads a hole mask as {0, 1}, 1 = hole; grey counts as white above 127, transparent as black.

    Args:
        path: picture of 1 bit, grey or colour.
        polarity: what is the hole in the file: "white-hole" (generative_inpainting, EdgeConnect)
            or "black-hole" (MAT).

    Raises:
        UserError: as `read_image`; also a file of values 0 and 1, which would read as no hole at
            all.

    """
    if polarity not in ("white-hole", "black-hole"):
        raise UserError(f"Mask polarity {polarity!r}, expected 'white-hole' or 'black-hole'.")
    with opened(path) as picture:
        if _is_deep(picture):
            raise UserError(
                f"{path} has more than 8 bits, expected an 8-bit mask. Convert it first."
            )
        grey = np.array(_flat(_upright(picture), "black").convert("L"))
    if grey.max() == 1:
        raise UserError(f"{path} holds the values 0 and 1, expected 0 and 255. Multiply it by 255.")
    hole = grey > 127 if polarity == "white-hole" else grey <= 127
    return hole.astype(np.uint8)[..., None]


def read_labels(path: Picture) -> Int32[np.ndarray, "H W 1"]:
    """Reads a label map: the stored numbers, which for a palette picture are the indices.

    Raises:
        UserError: as `read_image`, except that 16 bits are fine; also a colour picture.

    """
    with opened(path) as picture:
        stretch = _STRETCH.get(_raw_mode(picture), 1)
        if picture.mode not in ("1", "L", "P", "I", "I;16"):
            raise UserError(
                f"{path} is a colour picture (mode {picture.mode}), expected one number a pixel. "
                "Write labels as a greyscale or palette PNG."
            )
        return np.array(_upright(picture)).astype(np.int32)[..., None] // stretch


def read_depth(path: Picture) -> Float32[np.ndarray, "H W 1"]:
    """Reads a depth map: the stored number over the largest that its bits hold, in [0, 1].

    Raises:
        UserError: as `read_labels`.

    """
    with opened(path) as picture:
        bits = {"1": 255, "L;2": 85, "L;4": 17}
        largest = 65535 if _is_deep(picture) else 255 // bits.get(_raw_mode(picture), 1)
    return (read_labels(path) / largest).astype(np.float32)


def read_drawing(path: Picture, *, colour: bool = False) -> UInt8[np.ndarray, "H W c"]:
    """Reads a drawing as grey, 0 = black, or as RGB; transparent parts become white.

    Raises:
        UserError: as `read_image`.

    """
    with opened(path) as picture:
        if _is_deep(picture):
            raise UserError(f"{path} has more than 8 bits a channel, expected 8. Convert it first.")
        flat = np.array(_flat(_upright(picture), "white").convert("RGB" if colour else "L"))
        return flat if colour else flat[..., None]


def picture_size(path: Picture) -> tuple[int, int]:
    """Returns (height, width) in pixels of the upright picture; reads no more than the header.

    Raises:
        UserError: as `read_image`, as far as the header shows it.

    """
    with opened(path) as picture:
        width, height = picture.size
        return (width, height) if _orientation(picture) >= 5 else (height, width)


def list_pictures(folder: Path) -> list[pathlib.Path]:
    """Returns the pictures below a folder by their suffix, sorted by path; hidden files excluded.

    Raises:
        UserError: ``folder`` is missing or is a file, or a folder below it cannot be read.

    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder, expected one with pictures. Check the path.")
    found = []
    for parent, files in walk(folder):
        found += [pathlib.Path(parent, name) for name in files if _is_picture_name(name)]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Gives each folder from ``folder`` down with the names of its files; hidden ones excluded.

    Raises:
        UserError: a folder that cannot be read.

    """
    # Links are followed: large data sets are often put together from links to other disks.
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # "._x.jpg" is what macOS leaves beside x.jpg on foreign disks; it is no picture.
        yield parent, [name for name in files if not name.startswith(".")]


def read_palette(path: Picture) -> UInt8[np.ndarray, "256 3"] | None:
    """Returns the colours of a palette picture by index, black where it has fewer; else None.

    Raises:
        UserError: as `read_image`.

    """
    with opened(path) as picture:
        if picture.mode != "P":
            return None
        colours = np.zeros(768, np.uint8)
        stored = picture.getpalette() or []
        colours[: len(stored)] = stored
        return colours.reshape(256, 3)


def write_png(
    path: Path,
    array: Integer[np.ndarray, "H W *C"],
    palette: UInt8[np.ndarray, "256 3"] | None = None,
) -> None:
    """Writes a PNG in one step: a reader sees the old file or the new one, never half of it.

    Args:
        path: where; its folder must exist.
        array: ``(H, W, 3)`` uint8 as RGB, ``(H, W, 4)`` with alpha; ``(H, W, 1)`` or ``(H, W)`` of
            0..65535 as grey, with 8 bits where they suffice, so that `read_labels` gives it back.
        palette: colours by number, for an array of 0..255: the file holds the numbers, viewers show
            the colours.

    Raises:
        UserError: another shape or range, or no such folder.

    """
    path = pathlib.Path(path)
    picture = Image.fromarray(_storable(array))
    if palette is not None:
        if picture.mode != "L":
            raise UserError(f"Cannot write {path} with a palette: expected one number of 0..255.")
        picture.putpalette(palette.astype(np.uint8).tobytes())
    _save(path, picture)


def write_depth(path: Path, depth: Float[np.ndarray, "H W 1"]) -> None:
    """Writes a depth map as a grey PNG of 16 bits, 65535 = 1, in one step as `write_png` does;
    `read_depth` gives it back to half a 65535th.

    Raises:
        UserError: values outside of [0, 1] or NaN, or no such folder.

    """
    path = pathlib.Path(path)
    if not (depth.size and depth.min() >= 0 and depth.max() <= 1):
        raise UserError(
            f"Cannot write {path}: {depth.dtype}{list(depth.shape)} is no depth map of [0, 1]; "
            "check the weights that made it."
        )
    stored = np.rint(depth[..., 0].astype(np.float64) * 65535)
    _save(path, Image.fromarray(stored.astype(np.uint16)))


def _save(path: pathlib.Path, picture: Image.Image) -> None:
    """In one step: a reader sees the old file or the new one."""
    if not path.parent.is_dir():
        raise UserError(f"Cannot write {path}: no folder {path.parent}. Create it first.")
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        picture.save(part, format="PNG")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _storable(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[-1] in (3, 4) and array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    grey = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    whole = array.dtype.kind in "biu"  # fractions would be cut off without a word
    if not whole or grey.ndim != 2 or not grey.size or grey.min() < 0 or grey.max() > 65535:
        raise UserError(
            f"Cannot write {array.dtype}{list(array.shape)} as PNG; expected uint8 (H, W, 3) "
            "or (H, W, 4), or (H, W, 1) or (H, W) of 0..65535. Convert it first."
        )
    return grey.astype(np.uint8 if grey.max() <= 255 else np.uint16)


def _is_picture_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _refuse(error: OSError) -> NoReturn:
    raise UserError(
        f"{error.filename} cannot be read ({error.strerror}). Change its access rights."
    ) from error


def _raw_mode(picture: Image.Image) -> str:
    """How the file stores a pixel, e.g. "RGB;16B", which Pillow silently cuts to 8 bits."""
    args = picture.tile[0].args if picture.tile else ""
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode.startswith(("I", "F")) or ";16" in _raw_mode(picture)


def _orientation(picture: Image.Image) -> int:
    # A PNG without the tag in its header would be decoded as a whole to look for it at the end.
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1
    with silence:
        return picture.getexif().get(_EXIF_ORIENTATION, 1)


def _upright(picture: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(picture))
    picture.load()
    return picture if turn is None else picture.transpose(turn)


def _flat(picture: Image.Image, background: str) -> Image.Image:
    """RGB without transparency."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    colours = picture.convert("RGBA")
    canvas = Image.new("RGBA", colours.size, background)
    return Image.alpha_composite(canvas, colours).convert("RGB")
