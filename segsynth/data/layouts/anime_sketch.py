"""Anime Sketch Colorization Pair: pictures that show a coloured drawing and its sketch abreast.

    ROOT/[data/]{train,val}/<n>.png

1024 x 512 pixels, colours on the left, the sketch on the right (kaggle.com, ktaebum).
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from segsynth.data import pictures
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined, by_stem
from segsynth.data.layouts.readers import Drawing
from segsynth.errors import UserError

#: Pictures of each split.
PUBLISHED: Mapping[str, int] = {"train": 14_224, "val": 3_545}
#: Mean saturation (HSV, 0..1) from which a half is not a sketch.
COLOURED = 0.02


@dataclasses.dataclass(frozen=True)
class SketchHalf(Drawing):
    """``drawing``: the half of a picture that must hold the sketch.

    Raises:
        UserError: ``half`` is neither "left" nor "right".

    """

    half: str = "right"

    def __post_init__(self) -> None:
        if self.half not in ("left", "right"):
            raise UserError(f"half is {self.half!r}, expected 'left' or 'right'.")

    def size(self, entry: pathlib.Path) -> tuple[int, int]:
        """Height and width of the half, which is a square."""
        height, width = pictures.picture_size(entry)
        if width != 2 * height:
            raise UserError(
                f"{entry} is {height} x {width}, expected two squares side by side. "
                "Copy it again or delete it."
            )
        return height, height

    def read(self, entry: pathlib.Path) -> UInt8[np.ndarray, "H W 1"]:
        """Returns 0..255, 0 = ink.

        Raises:
            UserError: the half is coloured.

        """
        colours = pictures.read_image(entry)
        middle = colours.shape[1] // 2
        saturation = _saturation(
            colours[:, :middle] if self.half == "left" else colours[:, middle:]
        )
        if saturation >= COLOURED:
            raise UserError(
                f"{entry} has colours in its {self.half} half (mean saturation {saturation:.3f}), "
                f"expected a sketch (below {COLOURED}). Set the option half to the other side."
            )
        return super().read(entry)


def anime_sketch(
    root: str | os.PathLike[str], split: str = "train", *, half: str = "right"
) -> Joined:
    """Opens the sketches of one split.

    Args:
        root: the folder that holds data/, or train/ and val/.
        split: "train" or "val".
        half: where the sketch is, "right" or "left"; checked when a picture is read.

    Returns:
        A source of ``drawing`` (0 = ink) and ``name``.

    Raises:
        UserError: no such tree or split, what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("anime_sketch", split, PUBLISHED)
    folder = (root / "data" if (root / "data").is_dir() else root) / split
    drawings = by_stem(folder)
    trees.check_found(drawings, f"{folder} holds no pictures, expected <n>.png")
    trees.report_count(root, split, len(drawings), PUBLISHED[split])
    return Joined({"drawing": drawings}, {"drawing": SketchHalf(half)})


def _saturation(colours: UInt8[np.ndarray, "H W 3"]) -> float:
    """Mean saturation of HSV, in [0, 1]."""
    high, low = colours.max(-1).astype(np.float32), colours.min(-1)
    return float(((high - low) / np.maximum(high, 1)).mean())
