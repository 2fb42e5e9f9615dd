"""COCO-Stuff with 164K pictures, in the official tree and in that of SPADE.

    ROOT/{train,val}2017/<id>.jpg  ROOT/stuffthingmaps/{train,val}2017/<id>.png
    ROOT/{train,val}_img/<id>.jpg  ROOT/{train,val}_label/<id>.png  ROOT/{train,val}_inst/<id>.png

Caesar, Uijlings, Ferrari 2018; nightrome/cocostuff; the second tree as in NVlabs/SPADE,
datasets/coco_stuff. The numbers of labels are those of `segsynth.data.label_sets.COCO_STUFF`.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32

from segsynth.data import pictures
from segsynth.data.label_sets import COCO_STUFF, LabelSet
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined, by_stem
from segsynth.data.layouts.readers import Labels, Photo
from segsynth.errors import UserError

#: Pictures of each split.
PUBLISHED: Mapping[str, int] = {"train": 118_287, "val": 5_000}


@dataclasses.dataclass(frozen=True)
class NumberedThings:
    """``instance`` as SPADE's coco_generate_instance_map.py writes it, beside the label map.

    It starts from the label map and fills the polygons of object 0, 1, ... with their numbers. So
    stuff keeps its label, and so do crowds (they have no polygons) and what polygons leave of a
    thing's rim: a number k on a thing of label k may mean either. It counts as object k up to one
    past the highest number that is seen elsewhere, and as no object beyond.

    An entry is the path of the instance map and that of its label map.
    """

    label_set: LabelSet

    def paths(self, entry: tuple[pathlib.Path, pathlib.Path]) -> tuple[pathlib.Path, ...]:
        """Both files."""
        return entry

    def size(self, entry: tuple[pathlib.Path, pathlib.Path]) -> tuple[int, int]:
        """Height and width of both; that they are 8-bit is checked on the way."""
        size, theirs = map(Labels(self.label_set).size, entry)
        _check_same(entry, size, theirs)
        return size

    def read(self, entry: tuple[pathlib.Path, pathlib.Path]) -> Int32[np.ndarray, "H W 1"]:
        """Returns the file's number + 1 where there is an object, as its own start at 0; else 0."""
        stored, labels = map(pictures.read_labels, entry)
        _check_same(entry, stored.shape[:2], labels.shape[:2])
        self.label_set.check(labels, str(entry[1]))
        things = self.label_set.instance_ids()[labels]
        last = stored[stored != labels].max(initial=-1)
        return np.where(things & (stored <= last + 1), stored + 1, 0).astype(np.int32)


def _check_same(
    entry: tuple[pathlib.Path, pathlib.Path], size: tuple[int, ...], theirs: tuple[int, ...]
) -> None:
    if size != theirs:
        raise UserError(
            f"{entry[0]} is {size[0]} x {size[1]}, but its label map {entry[1]} is {theirs[0]} x "
            f"{theirs[1]}. Make them of one size."
        )


def coco_stuff(
    root: str | os.PathLike[str],
    split: str = "train",
    ids: str = "published",
    *,
    keys: tuple[str, ...] = ("labels", "instance"),
    subset: int = 0,
    subset_seed: int = 0,
) -> Joined:
    """Opens one split.

    Args:
        root: the folder that holds train2017/ and stuffthingmaps/, or train_img/ and train_label/.
        split: "train" or "val" (of 2017).
        ids: "published" = 0..181 and 255 for unlabelled; "train" = 0..170 for the 171 classes that
            occur, and 255 (`segsynth.data.layouts.readers.Labels`).
        keys: which of ``labels`` and ``instance`` to read, where the tree has them.
        subset: so many pictures of "train", chosen by a hash of their names: the same ones on any
            machine, and those of a smaller subset are among those of a larger one. 0 = all. The
            split "val" stays whole.
        subset_seed: another number chooses others.

    Returns:
        A source of ``image``, ``name`` and those of ``labels`` and (in SPADE's tree only)
        ``instance`` (`NumberedThings`) that are asked for and have a folder.

    Raises:
        UserError: no such tree or split, fewer pictures than the subset, what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("coco_stuff", split, PUBLISHED)
    trees.check_keys(keys, ("image", "labels", "instance"))
    places = _places(root, split)
    files = {key: by_stem(place) for key, place in places.items() if place.is_dir()}
    images = files["image"]
    trees.check_found(images, f"{places['image']} holds no pictures, expected <id>.jpg")
    trees.report_count(root, split, len(images), PUBLISHED[split])
    for key in files.keys() - {"image"}:
        trees.report_strays(images, files[key], key)
    if split == "train" and subset:
        chosen = _subset(images, subset, subset_seed, root)
        files["image"] = {name: path for name, path in images.items() if name in chosen}
    return _joined(files, places["labels"], keys, ids)


def _places(root: pathlib.Path, split: str) -> dict[str, pathlib.Path]:
    maps = root / "stuffthingmaps" / f"{split}2017"
    official = {"image": root / f"{split}2017", "labels": maps}
    ends = {"image": "img", "labels": "label", "instance": "inst"}
    spade = {key: root / f"{split}_{end}" for key, end in ends.items()}
    for places in (official, spade):
        if places["image"].is_dir():
            return places
    raise UserError(
        f"{root} is no COCO-Stuff tree: it holds neither {split}2017/ nor {split}_img/. "
        "Check the path."
    )


def _subset(
    images: Mapping[str, pathlib.Path], size: int, seed: int, root: pathlib.Path
) -> set[str]:
    if not 0 < size <= len(images):
        raise UserError(
            f"{root} has {len(images)} training pictures, and subset asks for {size}. "
            "Choose one of 1.. that many, or 0 for all."
        )
    order = sorted(images, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    return set(order[:size])


def _joined(
    files: dict[str, dict[str, pathlib.Path]],
    label_folder: pathlib.Path,
    keys: tuple[str, ...],
    ids: str,
) -> Joined:
    entries: dict[str, dict[str, Any]] = dict(files)
    if "instance" in files:
        labels = files.get("labels", {})
        entries["instance"] = {
            name: (path, labels.get(name, label_folder / f"{name}.png"))
            for name, path in files["instance"].items()
        }
    readers = {
        "image": Photo(),
        "labels": Labels(COCO_STUFF, ids),
        "instance": NumberedThings(COCO_STUFF),
    }
    kept = [key for key in readers if key in entries and (key == "image" or key in keys)]
    return Joined({k: entries[k] for k in kept}, {k: readers[k] for k in kept}, COCO_STUFF, ids)
