"""The part masks of CelebAMask-HQ: up to 18 pictures a face, joined into bits or into one map.

    <number // 2000>/<number, 5 digits>_<part>.png

A file is black and white, 512 pixels wide, and is absent where the part is not seen. Parts overlap:
the mouth lies on the skin, hair over an ear.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int32, UInt8

from segsynth.data import pictures
from segsynth.data.label_sets import CELEBAMASK
from segsynth.errors import UserError

#: Number of each part, 1..18, in the order in which the authors' g_mask.py paints them.
PARTS: Mapping[str, int] = {row.name: row.id for row in CELEBAMASK.classes if row.id > 0}
#: Faces whose part files are known to hold nothing (switchablenorms/CelebAMask-HQ, issue 5).
KNOWN_EMPTY = frozenset((4790,))
_PER_FOLDER = 2000


@dataclasses.dataclass(frozen=True)
class PartFiles:
    """The part files of one face.

    Attributes:
        photo: the photograph, whose size the parts take.
        folder: CelebAMask-HQ-mask-anno/.
        number: of the face.
        present: which parts have a file; bit k - 1 is part k.

    """

    photo: pathlib.Path
    folder: pathlib.Path
    number: int
    present: int

    @property
    def files(self) -> dict[int, pathlib.Path]:
        """Path by part, in the order of the parts."""
        start = self.folder / str(self.number // _PER_FOLDER)
        return {
            part: start / f"{self.number:05d}_{name}.png"
            for name, part in PARTS.items()
            if self.present >> (part - 1) & 1
        }


@dataclasses.dataclass(frozen=True)
class FaceParts:
    """``parts``: all parts of a pixel, as bits."""

    def paths(self, entry: PartFiles) -> tuple[pathlib.Path, ...]:
        """The files that are there."""
        return tuple(entry.files.values())

    def size(self, entry: PartFiles) -> tuple[int, int]:
        """Height and width of the photograph.

        Reads parts, in most cases one, until one of them is not empty.

        Raises:
            UserError: a part of another size, or all of them are empty.

        """
        size = pictures.picture_size(entry.photo)
        for path in entry.files.values():
            _scale(entry.photo, size, path, pictures.picture_size(path))
        if not any(pictures.read_mask(path).any() for path in entry.files.values()):
            _check_known(entry)
        return size

    def read(self, entry: PartFiles) -> Int32[np.ndarray, "H W 1"]:
        """Returns bit k - 1 = part k, each pixel of a file repeated to the photograph's size.

        Means over areas are those of the files that way.
        """
        bits, scale = _bits(entry)
        return _repeated(bits, scale)


@dataclasses.dataclass(frozen=True)
class MergedParts(FaceParts):
    """``labels``: the part of each pixel that the authors' g_mask.py paints last, 0 = none."""

    def read(self, entry: PartFiles) -> UInt8[np.ndarray, "H W 1"]:
        """Returns ids of `segsynth.data.label_sets.CELEBAMASK`."""
        bits, scale = _bits(entry)
        # The exponent of a whole number is the position of its highest bit, counted from 1.
        return _repeated(np.frexp(bits)[1].astype(np.uint8), scale)


def find_parts(folder: pathlib.Path) -> dict[int, int]:
    """Returns number of a face -> which parts have a file; bit k - 1 is part k.

    Raises:
        UserError: no such folder, or a picture in it that is no part or of another subfolder.

    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder, expected the part masks. Check the path.")
    present: dict[int, int] = {}
    for parent, names in pictures.walk(folder):
        place = pathlib.Path(parent)
        for name in names:
            if name.endswith(".png"):
                number, part = _parsed(place, name)
                present[number] = present.get(number, 0) | 1 << (part - 1)
    return present


def _parsed(parent: pathlib.Path, name: str) -> tuple[int, int]:
    digits, _, part = name.removesuffix(".png").partition("_")
    if not (digits.isdecimal() and len(digits) == 5) or part not in PARTS:
        raise UserError(
            f"{parent / name} is no part mask, expected <5 digits>_<part>.png with one of "
            f"{', '.join(PARTS)}. Move it elsewhere."
        )
    number = int(digits)
    if parent.name != str(number // _PER_FOLDER):
        raise UserError(
            f"{parent / name} lies in the wrong folder, expected {number // _PER_FOLDER}/. Move it."
        )
    return number, PARTS[part]


def _bits(entry: PartFiles) -> tuple[Int32[np.ndarray, "h w 1"], int]:
    """The parts at the size of their files, and how often a pixel of theirs is repeated."""
    size = pictures.picture_size(entry.photo)
    bits, scale = None, 1
    for part, path in entry.files.items():
        inside = pictures.read_mask(path).astype(np.int32) << (part - 1)
        if bits is not None and bits.shape != inside.shape:
            raise UserError(
                f"{path} is {inside.shape[0]} x {inside.shape[1]}, but other parts of this face "
                f"are {bits.shape[0]} x {bits.shape[1]}. Make them of one size."
            )
        scale = _scale(entry.photo, size, path, inside.shape[:2])
        bits = inside if bits is None else bits | inside
    if bits is None or not bits.any():
        _check_known(entry)
    return (np.zeros((*size, 1), np.int32), 1) if bits is None else (bits, scale)


def _scale(
    photo: pathlib.Path, size: tuple[int, int], path: pathlib.Path, part: tuple[int, ...]
) -> int:
    scale = size[0] // part[0]
    if (scale * part[0], scale * part[1]) != size:
        raise UserError(
            f"{path} is {part[0]} x {part[1]}, and its photograph {photo} of {size[0]} x {size[1]} "
            "is not a whole multiple of that. Use the photographs of 1024 x 1024."
        )
    return scale


def _check_known(entry: PartFiles) -> None:
    if entry.number not in KNOWN_EMPTY:
        raise UserError(
            f"{entry.photo} has parts that are all empty: {entry.number:05d}_*.png in "
            f"{entry.folder / str(entry.number // _PER_FOLDER)}. Copy them again."
        )


def _repeated(array: np.ndarray, scale: int) -> np.ndarray:
    return array if scale == 1 else array.repeat(scale, axis=0).repeat(scale, axis=1)
