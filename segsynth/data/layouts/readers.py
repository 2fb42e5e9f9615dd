"""From the files of a published data set to arrays: one reader a modality.

A reader gets what `segsynth.data.layouts.joined.Joined` keeps of an example for its modality, in
most cases a path, and answers two questions: how large is it, from the header alone, and what is
in it.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from segsynth.data import picture_files, pictures
from segsynth.data.label_sets import NONE, LabelSet
from segsynth.errors import UserError

#: How label maps number the classes: as the files do, or 0.. with 255 for none.
Ids = Literal["published", "train"]


@runtime_checkable
class Reader(Protocol):
    """How one modality is read; picklable, because worker processes get a copy."""

    def paths(self, entry: Any) -> Sequence[pathlib.Path]:
        """The files of an entry."""

    def size(self, entry: Any) -> tuple[int, int] | None:
        """Height and width in pixels from the header; None for what has no size.

        Raises:
            UserError: the header shows that `read` would fail.

        """

    def read(self, entry: Any) -> np.ndarray:
        """The array, as its modality wants it.

        Raises:
            UserError: a file is damaged or holds what it must not.

        """


@dataclasses.dataclass(frozen=True)
class _OneFile:
    def paths(self, entry: pathlib.Path) -> tuple[pathlib.Path]:
        return (entry,)

    def size(self, entry: pathlib.Path) -> tuple[int, int]:
        return pictures.picture_size(entry)


@dataclasses.dataclass(frozen=True)
class Photo(_OneFile):
    """``image``: an RGB photograph."""

    def read(self, entry: pathlib.Path) -> UInt8[np.ndarray, "H W 3"]:
        """Returns 0..255, upright (`segsynth.data.pictures.read_image`)."""
        return pictures.read_image(entry)


@dataclasses.dataclass(frozen=True)
class Labels(_OneFile):
    """``labels`` or ``coarse``: an 8-bit map of ids, checked against a table when it is read.

    Attributes:
        label_set: the table of the files.
        ids: "published" keeps the numbers of the files; "train" maps them to train ids, 255 where
            there is none.

    Raises:
        UserError: an unknown ``ids``.

    """

    label_set: LabelSet
    ids: str = "published"

    def __post_init__(self) -> None:
        if self.ids not in ("published", "train"):
            raise UserError(f"ids is {self.ids!r}, expected 'published' or 'train'.")

    def size(self, entry: pathlib.Path) -> tuple[int, int]:
        """Height and width; the mode of the picture is checked on the way."""
        _check_label_mode(entry)
        return pictures.picture_size(entry)

    def read(self, entry: pathlib.Path) -> UInt8[np.ndarray, "H W 1"]:
        """Returns the ids."""
        labels = pictures.read_labels(entry)
        self.label_set.check(labels, str(entry))
        if self.ids == "train":
            return self.label_set.to_train_ids(labels)
        return labels.astype(np.uint8)

    @property
    def unlabelled(self) -> int:
        """The number of no label."""
        return NONE if self.ids == "train" else self.label_set.unlabelled


@dataclasses.dataclass(frozen=True)
class Instances(_OneFile):
    """``instance`` as Cityscapes stores it: id * 1000 + n for an object, else the id alone."""

    label_set: LabelSet

    def read(self, entry: pathlib.Path) -> Int32[np.ndarray, "H W 1"]:
        """Returns the numbers of objects; 0 = no object."""
        stored = pictures.read_labels(entry)
        ids = np.where(stored >= 1000, stored // 1000, stored)
        self.label_set.check(ids, str(entry))
        return np.where(stored >= 1000, stored, 0)


@dataclasses.dataclass(frozen=True)
class Depth(_OneFile):
    """``depth``: an inverse depth map as a 16-bit (or 8-bit) grey picture, bright = near."""

    def read(self, entry: pathlib.Path) -> Float32[np.ndarray, "H W 1"]:
        """Returns [0, 1], the stored number over the largest that its bits hold."""
        return pictures.read_depth(entry)


@dataclasses.dataclass(frozen=True)
class Drawing(_OneFile):
    """``drawing``: ink on paper, from a picture of any mode; transparent parts are paper.

    Attributes:
        half: "whole", or the "left" or "right" half of pictures that show two things side by side.
        colour: whether its colours are kept, for ``colour_drawing``.

    Raises:
        UserError: an unknown ``half``.

    """

    half: str = "whole"
    colour: bool = False

    def __post_init__(self) -> None:
        if self.half not in ("whole", "left", "right"):
            raise UserError(f"half is {self.half!r}, expected 'whole', 'left' or 'right'.")

    def size(self, entry: pathlib.Path) -> tuple[int, int]:
        """Height and width of the part that is read."""
        height, width = pictures.picture_size(entry)
        return height, width if self.half == "whole" else width // 2

    def read(self, entry: pathlib.Path) -> UInt8[np.ndarray, "H W c"]:
        """Returns 0..255, 0 = ink; one channel (luma of ITU-R 601), or three with ``colour``."""
        drawing = pictures.read_drawing(entry, colour=self.colour)
        middle = drawing.shape[1] // 2
        parts = {"whole": slice(None), "left": slice(middle), "right": slice(-middle, None)}
        return np.ascontiguousarray(drawing[:, parts[self.half]])


@dataclasses.dataclass(frozen=True)
class Row:
    """A vector or a number that a table of the data set gives, e.g. ``attributes``."""

    dtype: str = "int32"

    def paths(self, entry: Any) -> tuple[()]:
        """No file of its own."""
        return ()

    def size(self, entry: Any) -> None:
        """It has no height and width."""
        return

    def read(self, entry: Any) -> np.ndarray:
        """Returns the row."""
        return np.asarray(entry, self.dtype)


def _check_label_mode(path: pathlib.Path) -> None:
    with picture_files.opened(path) as picture:
        mode = picture.mode
    if mode.startswith(("I", "F")):
        raise UserError(
            f"{path} has more than 8 bits a pixel, expected 8-bit labels. "
            "Give the file of label ids, not of instance ids."
        )
    if mode not in ("1", "L", "P"):
        raise UserError(
            f"{path} is a colour picture (mode {mode}), expected one number a pixel. "
            "Give the file of label ids, not of colours."
        )
