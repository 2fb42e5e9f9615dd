"""Contour drawings of photographs of the Berkeley Segmentation Data Set 500, by three people each.

    ROOT/{train,val[,test]}.txt  ROOT/images/<id>.jpg
    ROOT/contours/<id>_{0,1,2}.png  [ROOT/segments/<id>_{0,1}.png]

The drawings are the boundaries, 1 pixel wide, of the first three people's segmentations; segments/
holds the regions of the first two, numbered from 0 (Arbelaez et al. 2011; the data set publishes
both as .mat files, from which such a tree has to be made).
"""

import dataclasses
import os
import pathlib

import numpy as np
from jaxtyping import Int32, UInt8
from scipy import ndimage

from segsynth.data import pictures
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined
from segsynth.data.layouts.readers import Drawing, Photo
from segsynth.errors import UserError

SPLITS = ("train", "val", "test", "all")
#: People whose contours, and whose regions, are there.
PEOPLE, PEOPLE_WITH_REGIONS = 3, 2


@dataclasses.dataclass(frozen=True)
class Regions:
    """``instance``: the regions of one person, which cover the whole picture."""

    def paths(self, entry: pathlib.Path) -> tuple[pathlib.Path]:
        """The file."""
        return (entry,)

    def size(self, entry: pathlib.Path) -> tuple[int, int]:
        """Height and width."""
        return pictures.picture_size(entry)

    def read(self, entry: pathlib.Path) -> Int32[np.ndarray, "H W 1"]:
        """Returns the numbers of the regions from 1, as 0 would mean no object."""
        return pictures.read_labels(entry) + 1


@dataclasses.dataclass(frozen=True)
class Pen(Drawing):
    """``drawing`` with a pen of so many px: thin lines turn pale when they are made smaller.

    Attributes:
        width: of the square that replaces a pixel of ink; 1 leaves drawings as they are.

    Raises:
        UserError: a width below 1.

    """

    width: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise UserError(f"pen is {self.width}, expected a width in px, 1 or more.")

    def read(self, entry: pathlib.Path) -> UInt8[np.ndarray, "H W 1"]:
        """Returns 0..255, 0 = ink."""
        return ndimage.minimum_filter(super().read(entry), (self.width, self.width, 1))


def bsds(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    paired: bool = False,
    segments: bool = False,
    pen: int = 1,
) -> Joined:
    """Opens the drawings of one split; every drawing is an example.

    Args:
        root: the folder that holds contours/ and the lists.
        split: "train", "val" or "test" if it has a list; "all" is all lists that there are.
        paired: give each drawing its photograph.
        segments: give each drawing the same person's regions; leaves out the third person's
            drawings, who has none.
        pen: width of the lines, px.

    Returns:
        A source of ``drawing`` (0 = ink) and ``name``, with ``image`` if paired and ``instance`` if
        segments.

    Raises:
        UserError: no such tree or split, a listed photograph without its drawings, a pen of less
            than 1 px, what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("bsds", split, SPLITS)
    if not (root / "contours").is_dir():
        raise UserError(f"{root / 'contours'} is not a folder, expected <id>_0.png, ...")
    people = range(PEOPLE_WITH_REGIONS if segments else PEOPLE)
    examples = {f"{i}_{k}": i for i in _ids(root, split) for k in people}
    files = {"drawing": {name: root / "contours" / f"{name}.png" for name in examples}}
    if segments:
        files["instance"] = {name: root / "segments" / f"{name}.png" for name in examples}
    if paired:
        images = {name: root / "images" / f"{i}.jpg" for name, i in examples.items()}
        files = {"image": images} | files
    readers = {"image": Photo(), "drawing": Pen(width=pen), "instance": Regions()}
    return Joined(files, {key: readers[key] for key in files})


def _ids(root: pathlib.Path, split: str) -> list[str]:
    if split != "all":
        return trees.listed(root / f"{split}.txt")
    lists = [root / f"{part}.txt" for part in SPLITS if (root / f"{part}.txt").is_file()]
    if not lists:
        raise UserError(f"{root} has no train.txt, val.txt or test.txt, expected ids, one a line.")
    return [i for path in lists for i in trees.listed(path)]
