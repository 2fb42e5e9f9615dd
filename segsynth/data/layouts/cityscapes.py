"""Cityscapes as its zips unpack: photographs, fine and coarse label ids, instances.

    ROOT/leftImg8bit/<split>/<city>/<name>_leftImg8bit.png
    ROOT/gtFine/<split>/<city>/<name>_gtFine_{labelIds,instanceIds}.png
    ROOT/gtCoarse/<split>/<city>/<name>_gtCoarse_{labelIds,instanceIds}.png

<name> is <city>_<sequence>_<frame>, and the folder is the split. Fine labels exist for train and
val (those of test are dummies and are not read), coarse ones for train, val and train_extra.
Cordts et al. 2016; the layout as in mcordts/cityscapesScripts.
"""

import os
import pathlib
from collections.abc import Mapping

from segsynth.data.label_sets import CITYSCAPES
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined, by_stem, labelled
from segsynth.errors import UserError

#: Frames of each official split.
PUBLISHED: Mapping[str, int] = {"train": 2975, "val": 500, "test": 1525, "train_extra": 19_998}
#: Cities of the splits with fine labels; no city is in two of them.
CITIES: Mapping[str, tuple[str, ...]] = {
    "train": (
        *("aachen", "bochum", "bremen", "cologne", "darmstadt", "dusseldorf", "erfurt", "hamburg"),
        *("hanover", "jena", "krefeld", "monchengladbach", "strasbourg", "stuttgart", "tubingen"),
        *("ulm", "weimar", "zurich"),
    ),
    "val": ("frankfurt", "lindau", "munster"),
    "test": ("berlin", "bielefeld", "bonn", "leverkusen", "mainz", "munich"),
}
#: Modality -> folder, end of the file names, splits that have it.
_LAYERS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "image": ("leftImg8bit", "_leftImg8bit", tuple(PUBLISHED)),
    "labels": ("gtFine", "_gtFine_labelIds", ("train", "val")),
    "coarse": ("gtCoarse", "_gtCoarse_labelIds", ("train", "val", "train_extra")),
    "instance": ("gtFine", "_gtFine_instanceIds", ("train", "val")),
}
#: What follows a frame's name in its files, by modality.
SUFFIXES: Mapping[str, str] = {key: suffix for key, (_, suffix, _) in _LAYERS.items()}


def cityscapes(
    root: str | os.PathLike[str],
    split: str = "train",
    ids: str = "published",
    *,
    keys: tuple[str, ...] = ("labels", "coarse", "instance"),
) -> Joined:
    """Opens one official split.

    Args:
        root: the folder that holds leftImg8bit/, and gtFine/ and gtCoarse/ as far as unpacked.
        split: "train", "val", "test" or "train_extra".
        ids: "published" = 0..33, 0 = unlabelled; "train" = 0..18, 255 = none of the 19 classes
            (`segsynth.data.layouts.joined.labelled`).
        keys: which label maps to read, where the split has them.

    Returns:
        A source of ``image``, ``name`` and those of ``labels``, ``coarse`` and ``instance`` that
        are asked for and have a folder.

    Raises:
        UserError: no such tree or split, a city in the wrong split, what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("cityscapes", split, PUBLISHED)
    trees.check_keys(keys, _LAYERS)
    files = {}
    for key, (folder, suffix, splits) in _LAYERS.items():
        place = root / folder / split
        if key == "image" or (key in keys and split in splits and place.is_dir()):
            files[key] = by_stem(place, suffix)
    if not files["image"]:
        place = root / "leftImg8bit" / split
        raise UserError(f"{place} holds no <city>/<name>_leftImg8bit.png. Check the path.")
    _check_cities(files["image"], split)
    trees.report_count(root, split, len(files["image"]), PUBLISHED[split])
    for key in files.keys() - {"image"}:
        trees.report_strays(files["image"], files[key], key)
    return labelled(CITYSCAPES, files, ids)


def _check_cities(images: Mapping[str, pathlib.Path], split: str) -> None:
    homes = {city: part for part, cities in CITIES.items() for city in cities}
    for name, path in images.items():
        city = name.split("_")[0]
        home = homes.get(city, split)
        if home != split:
            raise UserError(
                f"{path} is of {city}, which belongs to the split {home!r}, not to {split!r}. "
                "Move it: scores on mixed splits compare with nothing."
            )
