"""Face Synthetics: rendered faces with classes of parts, and four attributes made from these.

    ROOT/aligned256/<id>.jpg  ROOT/aligned256_seg/<id>.png     256 x 256, aligned as FFHQ is
    ROOT/images/<id>.jpg      ROOT/segments/<id>.png           512 x 512
    ROOT/list_attr.txt                                         CelebA's format

Wood et al. 2021 (microsoft/FaceSynthetics): the published sample of 100 faces. The aligned pictures
and the attributes are no part of it: they are made from its landmarks and classes.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32

from segsynth.data import pictures, splits
from segsynth.data.label_sets import CELEBAMASK, FACE_SYNTHETICS
from segsynth.data.layouts import trees
from segsynth.data.layouts.celeba_tables import attribute_table
from segsynth.data.layouts.joined import Joined, by_stem
from segsynth.data.layouts.readers import Labels, Photo, Reader, Row
from segsynth.errors import UserError

ATTRIBUTES = "list_attr.txt"
#: The part of CelebAMask-HQ that each class is. Beards are skin there. The background, face wear
#: and what is outside the frame are no part.
PARTS: Mapping[str, str] = {
    "skin": "skin",
    "nose": "nose",
    "right eye": "r_eye",
    "left eye": "l_eye",
    "right brow": "r_brow",
    "left brow": "l_brow",
    "right ear": "r_ear",
    "left ear": "l_ear",
    "mouth interior": "mouth",
    "top lip": "u_lip",
    "bottom lip": "l_lip",
    "neck": "neck",
    "hair": "hair",
    "beard": "skin",
    "clothing": "cloth",
    "glasses": "eye_g",
    "headwear": "hat",
}
_FOLDERS: Mapping[str, tuple[str, str]] = {
    "aligned256": ("aligned256", "aligned256_seg"),
    "images": ("images", "segments"),
}


@dataclasses.dataclass(frozen=True)
class ClassParts(Labels):
    """``parts`` from a map of classes: each pixel has the bit of one part, or of none."""

    def read(self, entry: pathlib.Path) -> Int32[np.ndarray, "H W 1"]:
        """Returns bit k - 1 = part k of `segsynth.data.label_sets.CELEBAMASK`."""
        labels = pictures.read_labels(entry)
        self.label_set.check(labels, str(entry))
        return _part_bits()[labels]


_READERS: Mapping[str, Reader] = {
    "image": Photo(),
    "labels": Labels(FACE_SYNTHETICS),
    "parts": ClassParts(FACE_SYNTHETICS),
    "attributes": Row(),
}


def face_synthetics(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    size: str = "aligned256",
    val_share: float = 0.2,
    attributes: tuple[str, ...] = (),
    keys: tuple[str, ...] = ("labels", "parts", "attributes"),
) -> Joined:
    """Opens one split. None is published: `segsynth.data.splits.choose` makes it.

    Args:
        root: the folder that holds aligned256/ or images/.
        split: "train", "val" or "all".
        size: "aligned256", or "images" for the faces as they were rendered, 512 x 512.
        val_share: about which share of the faces is for validation, 0 <= share < 1.
        attributes: the columns of ``attributes``, in order; none named = all four.
        keys: what to read besides the photograph.

    Returns:
        A source of ``image``, ``name`` and those of ``labels`` (0..18, 255 = outside the frame),
        ``parts`` (`PARTS`) and ``attributes`` that are asked for.

    Raises:
        UserError: no such tree, split or size, a bad table, what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("face_synthetics", split, splits.SPLITS)
    unknown = [key for key in keys if key not in _READERS]
    if unknown or size not in _FOLDERS:
        raise UserError(
            f"size is {size!r} and keys are {', '.join(keys)}; expected one of "
            f"{', '.join(_FOLDERS)}, and some of {', '.join(_READERS)}."
        )
    photos, classes = (by_stem(root / folder) for folder in _FOLDERS[size])
    trees.report_strays(photos, classes, "labels")
    chosen = splits.choose(root, list(photos), split, val_share)
    images = {name: photos[name] for name in chosen}
    trees.check_found(images, f"{root / _FOLDERS[size][0]} has no picture of {split!r}")
    files: dict[str, Mapping[str, Any]] = {"image": images, "labels": classes, "parts": classes}
    names: tuple[str, ...] = ()
    if "attributes" in keys:
        table = attribute_table(root / ATTRIBUTES).chosen(attributes)
        files["attributes"] = table.of({name: name for name in chosen})
        names = table.names
    kept = [key for key in _READERS if key in ("image", *keys)]
    return Joined(
        {key: files[key] for key in kept},
        {key: _READERS[key] for key in kept},
        FACE_SYNTHETICS,
        attribute_names=names,
    )


def _part_bits() -> Int32[np.ndarray, " 256"]:
    """The bits of each class."""
    numbers = {row.name: row.id for row in CELEBAMASK.classes}
    bits = np.zeros(256, np.int32)
    for row in FACE_SYNTHETICS.classes:
        if row.name in PARTS:
            bits[row.id] = 1 << (numbers[PARTS[row.name]] - 1)
    return bits
