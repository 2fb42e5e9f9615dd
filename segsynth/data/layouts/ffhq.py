"""FFHQ: 70,000 aligned faces, in folders by thousand or in one folder.

    ROOT/images1024x1024/00000/00000.png ... 69000/69999.png
    ROOT/thumbnails128x128/00000/00000.png ...
    ROOT/00000.png ...                                           copies of one size

Karras et al. 2019; NVlabs/ffhq-dataset: the first 60,000 are for training, the last 10,000 for
validation. The number in a file's name decides, not its folder.
"""

import os
import pathlib
from collections.abc import Mapping

from segsynth.data.layouts import numbered, trees
from segsynth.data.layouts.joined import Joined
from segsynth.data.layouts.readers import Photo
from segsynth.errors import UserError

#: The numbers of each split.
SPLITS: Mapping[str, range] = {
    "train": range(60_000),
    "val": range(60_000, 70_000),
    "all": range(70_000),
}
_FOLDERS: Mapping[int, str] = {1024: "images1024x1024", 128: "thumbnails128x128"}


def ffhq(root: str | os.PathLike[str], split: str = "train", *, size: int = 1024) -> Joined:
    """Opens one split.

    Args:
        root: the folder that holds images1024x1024/ or thumbnails128x128/, or pictures of one size
            itself or in subfolders.
        split: "train", "val" or "all".
        size: 1024 or 128: which of the two folders to read, where there is one of them.

    Returns:
        A source of ``image`` and ``name``, the file's name without suffix.

    Raises:
        UserError: no such tree, split or size, a picture that is not called by its number, what
            `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("ffhq", split, SPLITS)
    found = numbered.by_number(_folder(root, size), len(SPLITS["all"]))
    chosen = numbered.choose(root, split, found, SPLITS[split], len(SPLITS[split]))
    return Joined({"image": {path.stem: path for path in chosen.values()}}, {"image": Photo()})


def _folder(root: pathlib.Path, size: int) -> pathlib.Path:
    if size not in _FOLDERS:
        raise UserError(f"size is {size!r}, expected one of {', '.join(map(str, _FOLDERS))}.")
    unpacked = {side: root / name for side, name in _FOLDERS.items() if (root / name).is_dir()}
    if unpacked and size not in unpacked:
        raise UserError(
            f"{root / _FOLDERS[size]} is not a folder; {root} has pictures of the size "
            f"{', '.join(map(str, unpacked))}. Unpack it or set size."
        )
    return unpacked.get(size, root)
