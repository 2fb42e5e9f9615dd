"""The Contour Drawing Dataset: photographs with five drawings each, by the strokes' width.

    ROOT/list/{train,val,test}.txt  ROOT/image/<id>.jpg
    ROOT/sketch-rendered/width-{1,3,5}/<id>_{01..05}.png

1,000 photographs (Li et al. 2019, Photo-Sketching; mtli/PhotoSketch trains on width-5).
"""

import os
import pathlib
from collections.abc import Mapping

from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined
from segsynth.data.layouts.readers import Drawing, Photo
from segsynth.errors import UserError

#: Photographs of each split.
PUBLISHED: Mapping[str, int] = {"train": 800, "val": 100, "test": 100}
SPLITS = (*PUBLISHED, "all")
#: Drawings of each photograph.
DRAWINGS = 5
#: Strokes' widths in pixels.
WIDTHS = (1, 3, 5)


def contour_drawing(
    root: str | os.PathLike[str], split: str = "train", *, width: int = 5, paired: bool = False
) -> Joined:
    """Opens the drawings of one split; every drawing is an example.

    Args:
        root: the folder that holds list/ and sketch-rendered/.
        split: "train", "val", "test" or "all".
        width: of the strokes in pixels, 1, 3 or 5.
        paired: give each drawing its photograph, which must be of the same size.

    Returns:
        A source of ``drawing`` (0 = ink) and ``name``, with ``image`` if paired.

    Raises:
        UserError: no such tree, split or width, a listed photograph without its five drawings,
            what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("contour_drawing", split, SPLITS)
    if width not in WIDTHS:
        raise UserError(f"width is {width!r}, expected one of {', '.join(map(str, WIDTHS))}.")
    folder = root / "sketch-rendered" / f"width-{width}"
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder, expected <id>_01.png, ... Check the path.")
    ids = _ids(root, split)
    examples = {f"{i}_{k:02}": i for i in ids for k in range(1, DRAWINGS + 1)}
    files = {"drawing": {name: folder / f"{name}.png" for name in examples}}
    if paired:
        images = {name: root / "image" / f"{i}.jpg" for name, i in examples.items()}
        files = {"image": images} | files
    readers = {"image": Photo(), "drawing": Drawing()}
    return Joined(files, {key: readers[key] for key in files})


def _ids(root: pathlib.Path, split: str) -> list[str]:
    ids: list[str] = []
    for part, published in PUBLISHED.items():
        if split in (part, "all"):
            found = trees.listed(root / "list" / f"{part}.txt")
            trees.report_count(root, part, len(found), published)
            ids += found
    return ids
