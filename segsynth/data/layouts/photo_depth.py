"""Photographs with depth maps and, where there are some, label maps, in three trees.

    ROOT/<split>/{photos,depthmaps[,seg]}/<id>.*    and ROOT/test/<id>.*, photographs alone
    ROOT/{photos,depth[,seg]}/<split>/<id>.*
    ROOT/{photos,depth[,seg]}/<id>.*                [ROOT/{train,val}.txt]

The folder of depth maps may be called depth/ or depthmaps/ in each. The first is that of
carolineec/informative-drawings (Chan, Durand, Isola 2022; its drawings/ is a source of its own,
`segsynth.data.layouts.drawings`). Depth is a 16-bit PNG, bright = near; labels are 8-bit ids.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from segsynth.data import label_sets, pictures, splits
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined, by_stem
from segsynth.data.layouts.readers import Depth, Labels, Photo, Reader
from segsynth.errors import UserError

SPLITS = ("train", "val", "test", "all")
_FOLDERS = {"image": ("photos",), "depth": ("depthmaps", "depth"), "labels": ("seg",)}
_Places = Mapping[str, pathlib.Path]


@dataclasses.dataclass(frozen=True)
class LabelsIfAny:
    """``labels`` that some photographs lack: they are unlabelled everywhere.

    An entry is the path of the label map or None, and that of the photograph.
    """

    labels: Labels

    def paths(self, entry: tuple[pathlib.Path | None, pathlib.Path]) -> tuple[pathlib.Path, ...]:
        """The label map, if any."""
        return () if entry[0] is None else (entry[0],)

    def size(self, entry: tuple[pathlib.Path | None, pathlib.Path]) -> tuple[int, int]:
        """Height and width, those of the photograph where there is no label map."""
        labels, photo = entry
        return pictures.picture_size(photo) if labels is None else self.labels.size(labels)

    def read(self, entry: tuple[pathlib.Path | None, pathlib.Path]) -> UInt8[np.ndarray, "H W 1"]:
        """Returns the ids, or the number of no label everywhere."""
        if entry[0] is not None:
            return self.labels.read(entry[0])
        return np.full((*self.size(entry), 1), self.labels.unlabelled, np.uint8)


def photo_depth(
    root: str | os.PathLike[str],
    split: str = "train",
    ids: str = "published",
    *,
    label_set: str = "coco_stuff",
    allow_unlabelled: bool = False,
    val_share: float = 0.1,
) -> Joined:
    """Opens one split of whichever tree is there.

    Args:
        root: the folder that holds <split>/photos/ or photos/.
        split: a folder's name; of a tree without such folders "train", "val" or "all"
            (`segsynth.data.splits.choose`).
        ids: "published" or "train" (`segsynth.data.layouts.readers.Labels`).
        label_set: table of the label maps, a key of `segsynth.data.label_sets.LABEL_SETS`.
        allow_unlabelled: give a photograph without a label map one that says "unlabelled"
            everywhere, instead of refusing it.
        val_share: share of validation pictures where neither folder nor list says which.

    Returns:
        A source of ``image``, ``name`` and, where they have a folder, ``depth`` (float32, [0, 1],
        1 = nearest) and ``labels``; ``labels`` in any case with ``allow_unlabelled``.

    Raises:
        UserError: no such tree, split or table, a photograph without a partner, what `Joined`
            refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("photo_depth", split, SPLITS)
    labels = Labels(label_sets.get(label_set), ids)
    places, split_by_folder = _places(root, split)
    files: dict[str, dict[str, Any]] = {key: by_stem(place) for key, place in places.items()}
    images = files["image"]
    trees.check_found(images, f"{places['image']} holds no photographs")
    for key in files.keys() - {"image"}:
        trees.report_strays(images, files[key], key)
    if not split_by_folder:
        chosen = splits.choose(root, list(images), split, val_share)
        images = files["image"] = {name: images[name] for name in chosen}
        trees.check_found(images, f"{root} has no photograph in the split {split!r}")
    readers: dict[str, Reader] = {"image": Photo(), "depth": Depth(), "labels": labels}
    if allow_unlabelled:
        found = files.get("labels", {})
        files["labels"] = {name: (found.get(name), path) for name, path in images.items()}
        readers["labels"] = LabelsIfAny(labels)
    return Joined(files, {key: readers[key] for key in files}, labels.label_set, ids)


def _places(root: pathlib.Path, split: str) -> tuple[_Places, bool]:
    """The folder of each modality, and whether the folders are those of the split."""
    if (root / split / "photos").is_dir():
        return _folders(root / split), True
    if split == "test" and (root / "train" / "photos").is_dir() and (root / split).is_dir():
        return {"image": root / split}, True
    if (root / "photos" / split).is_dir():
        return {key: place / split for key, place in _folders(root).items()}, True
    divided = any((root / "photos" / part).is_dir() for part in SPLITS)
    if (root / "photos").is_dir() and not divided:
        return _folders(root), False
    raise UserError(
        f"{root} holds neither {split}/photos/ nor photos/{split}/ nor photos/ without such "
        "folders. Check the path and the split."
    )


def _folders(parent: pathlib.Path) -> dict[str, pathlib.Path]:
    found = {}
    for key, names in _FOLDERS.items():
        there = [parent / name for name in names if (parent / name).is_dir()]
        if len(there) > 1:
            raise UserError(f"{there[0]} and {there[1]} both hold {key}. Rename one of them.")
        if there:
            found[key] = there[0]
    return found
