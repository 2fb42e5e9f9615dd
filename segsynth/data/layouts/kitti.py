"""KITTI in four trees: objects, semantics, raw drives, and a plain folder of frames.

    ROOT/{training,testing}/image_2/<frame>.png                        7481 / 7518 frames
    ROOT/training/{image_2,semantic,instance}/<frame>_10.png           200 frames, 200 for testing
    ROOT/<date>/<date>_drive_<n>_sync/image_02/data/<frame>.png
    ROOT/<frame>.png

About 1242 x 375 pixels. Geiger et al. 2012, 2013; labels: Abu Alhaija et al. 2018, with the ids of
Cityscapes. No split keeps pictures for validation; the plain trees have the split "all" only.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int32

from segsynth.data import pictures
from segsynth.data.label_sets import CITYSCAPES
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined, by_stem
from segsynth.data.layouts.readers import Instances, Labels, Photo
from segsynth.errors import UserError

SPLITS = ("train", "test", "all")
#: Frames of the object benchmark, and of the semantic one.
PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "object": {"train": 7481, "test": 7518},
    "semantics": {"train": 200, "test": 200},
}
_FOLDERS = {"train": "training", "test": "testing"}


@dataclasses.dataclass(frozen=True)
class KittiInstances(Instances):
    """``instance`` as KITTI stores it: 16 bits, id * 256 + n for object n = 1.. of its class."""

    def read(self, entry: pathlib.Path) -> Int32[np.ndarray, "H W 1"]:
        """Returns the file's number where n > 0; else 0, no object."""
        stored = pictures.read_labels(entry)
        self.label_set.check(stored // 256, str(entry))
        return np.where(stored % 256 > 0, stored, 0).astype(np.int32)


def kitti(root: str | os.PathLike[str], split: str = "train", ids: str = "published") -> Joined:
    """Opens one split of whichever tree is there.

    Args:
        root: the folder that holds training/ and testing/, <date>/ folders, or frames.
        split: "train" or "test" where there is training/ or testing/; else "all".
        ids: "published" = ids of Cityscapes, 0 = unlabelled; "train" = 0..18, 255 = none of the 19
            classes (`segsynth.data.layouts.readers.Labels`).

    Returns:
        A source of ``image``, ``name`` and, for "train" of the semantic benchmark, ``labels`` and
        ``instance`` (`KittiInstances`) as far as they have a folder.

    Raises:
        UserError: no such tree or split, what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("kitti", split, SPLITS)
    if any((root / folder).is_dir() for folder in _FOLDERS.values()):
        return _benchmark(root, split, ids)
    images = _raw(root) or by_stem(root)
    trees.check_found(
        images,
        f"{root} is no KITTI tree: it holds neither training/ and testing/ nor "
        "<date>/<drive>/image_02/data/ nor frames",
    )
    if split != "all":
        raise UserError(f"{root} is not split. Ask for the split 'all', not {split!r}.")
    return Joined({"image": images}, {"image": Photo()}, CITYSCAPES, ids)


def _benchmark(root: pathlib.Path, split: str, ids: str) -> Joined:
    if split == "all":
        raise UserError(f"{root} is split. Ask for the split 'train' or 'test', not 'all'.")
    place = root / _FOLDERS[split]
    files = {"image": by_stem(place / "image_2")}
    trees.check_found(files["image"], f"{place / 'image_2'} holds no frames, expected <frame>.png")
    semantics = (root / "training" / "semantic").is_dir()
    published = PUBLISHED["semantics" if semantics else "object"]
    trees.report_count(root, split, len(files["image"]), published[split])
    readers = {
        "image": Photo(),
        "labels": Labels(CITYSCAPES, ids),
        "instance": KittiInstances(CITYSCAPES),
    }
    for key, folder in (("labels", "semantic"), ("instance", "instance")):
        if semantics and (place / folder).is_dir():
            files[key] = by_stem(place / folder)
            trees.report_strays(files["image"], files[key], key)
    return Joined(files, {key: readers[key] for key in files}, CITYSCAPES, ids)


def _raw(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Frames of the left colour camera by <drive>_<frame>."""
    folders = sorted(root.glob("*_*_*/*_drive_*/image_02/data"))
    return {
        f"{folder.parents[1].name}_{stem}": path
        for folder in folders
        for stem, path in by_stem(folder).items()
    }
