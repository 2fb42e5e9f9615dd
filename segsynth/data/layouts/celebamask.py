"""CelebAMask-HQ: 30,000 faces with part masks and 40 attributes.

    ROOT/CelebA-HQ-img/0.jpg ... 29999.jpg                                  1024 x 1024
    ROOT/CelebAMask-HQ-mask-anno/0/00000_skin.png ... 14/29999_hair.png     512 x 512
    ROOT/CelebAMask-HQ-attribute-anno.txt
    ROOT/CelebA-HQ-to-CelebA-mapping.txt                                    for the split "celeba"

Lee et al. 2020; the layout as in switchablenorms/CelebAMask-HQ. Known flaws of the release are
kept: the parts of 4790 are empty, 404 lacks mouth and lips (its issues 5 and 84).
"""

import logging
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from segsynth.data.label_sets import CELEBAMASK
from segsynth.data.layouts import celeba_hq, celeba_splits, celebamask_parts, numbered, trees
from segsynth.data.layouts.celeba_tables import attribute_table
from segsynth.data.layouts.celebamask_parts import FaceParts, MergedParts, PartFiles
from segsynth.data.layouts.joined import SCAN_LIMIT, Joined
from segsynth.data.layouts.readers import Photo, Reader, Row
from segsynth.errors import UserError

PART_FOLDER = "CelebAMask-HQ-mask-anno"
ATTRIBUTES = "CelebAMask-HQ-attribute-anno.txt"
#: Modality -> how it is read.
_READERS: Mapping[str, Reader] = {
    "image": Photo(),
    "parts": FaceParts(),
    "labels": MergedParts(),
    "attributes": Row(),
}
_log = logging.getLogger(__name__)


def celebamask(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    partition: str = "celeba",
    lists: str = "",
    attributes: tuple[str, ...] = (),
    keys: tuple[str, ...] = ("parts", "labels", "attributes"),
) -> Joined:
    """Opens one split.

    With more than `segsynth.data.layouts.joined.SCAN_LIMIT` files, as in "train", headers are left
    to `Joined.faults`; that a face has parts and attributes is seen in any case.

    Args:
        root: the folder that holds CelebA-HQ-img/, or the folder CelebAMask-HQ/ with it.
        split: "train", "val", "test" or "all".
        partition: "celeba", "msagan" or "inpainting"
            (`segsynth.data.layouts.celeba_splits.PUBLISHED`).
        lists: folder of <split>.txt instead, a file name a line; relative to ``root``.
        attributes: the columns of ``attributes``, in order; none named = all 40.
        keys: what to read besides the photograph. ``parts`` and ``labels`` are made from the same
            dozen files, each by itself: name only what is used.

    Returns:
        A source of ``image``, ``name`` and those of ``parts`` (bit k - 1 = part k of
        `segsynth.data.label_sets.CELEBAMASK`), ``labels`` (the merged map) and ``attributes``
        that are asked for.

    Raises:
        UserError: no such tree or split, a bad table or list, a face without any part, a file that
            is no part mask, what `Joined` refuses.

    """
    trees.check_split("celebamask", split, celeba_splits.SPLITS)
    root = _root(pathlib.Path(root))
    trees.check_keys(keys, _READERS)
    found = numbered.by_number(root / celeba_hq.FOLDER, celeba_splits.COUNT)
    chosen = celeba_splits.choose(root, found, split, partition, lists)
    files: dict[str, dict[str, Any]] = {"image": {path.stem: path for path in chosen.values()}}
    names: tuple[str, ...] = ()
    if {"parts", "labels"} & set(keys):
        files["parts"] = files["labels"] = _part_files(root / PART_FOLDER, chosen)
    if "attributes" in keys:
        table = attribute_table(root / ATTRIBUTES).chosen(attributes)
        files["attributes"] = table.of({path.stem: str(n) for n, path in chosen.items()})
        names = table.names
    kept = [key for key in _READERS if key in ("image", *keys)]
    return Joined(
        {key: files[key] for key in kept},
        {key: _READERS[key] for key in kept},
        CELEBAMASK,
        attribute_names=names,
        scan=_count(files) <= SCAN_LIMIT,
    )


def _root(root: pathlib.Path) -> pathlib.Path:
    for folder in (root, root / "CelebAMask-HQ"):
        if (folder / celeba_hq.FOLDER).is_dir():
            return folder
    raise UserError(
        f"{root} is no CelebAMask-HQ tree: it holds no {celeba_hq.FOLDER}/. Check the path."
    )


def _part_files(folder: pathlib.Path, photos: Mapping[int, pathlib.Path]) -> dict[str, PartFiles]:
    """The part files of each face that has any."""
    present = celebamask_parts.find_parts(folder)
    for number in celebamask_parts.KNOWN_EMPTY & photos.keys():
        _log.warning("%s has empty parts as published; it is kept", photos[number])
    return {
        photo.stem: PartFiles(photo, folder, number, present.get(number, 0))
        for number, photo in photos.items()
        if number in present or number in celebamask_parts.KNOWN_EMPTY
    }


def _count(files: Mapping[str, Mapping[str, Any]]) -> int:
    parts = sum(entry.present.bit_count() for entry in files.get("parts", {}).values())
    return len(files["image"]) + parts
