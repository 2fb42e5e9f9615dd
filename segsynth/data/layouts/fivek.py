"""MIT-Adobe FiveK as a folder of 8-bit pictures, with what each picture is of.

    ROOT/[images/]<id>.{jpg,png}  [ROOT/categories.json]  [ROOT/{train,val,test}.txt]

<id> is a0001 .. a5000, alone or as in the published names, e.g. a0001-jmac_DSC1459. The data set
itself is 5,000 raw photographs and five retouched 16-bit versions of each, without a split
(Bychkovsky et al. 2011).
"""

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from segsynth.data import pictures
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined, by_stem
from segsynth.data.layouts.readers import Photo, Row
from segsynth.errors import UserError

SPLITS = ("train", "val", "test", "all")
PUBLISHED = 5000
#: Names of ``subject`` 0, 1, ...; the last means that nobody could tell.
SUBJECTS: tuple[str, ...] = ("man_made", "people", "nature", "animals", "abstract", "unknown")
_DEEP = (".dng", ".tif", ".tiff")


def fivek(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    categories: str | tuple[str, ...] = (),
    drop_unknown: bool = False,
) -> Joined:
    """Opens the pictures, or those that a list names.

    Args:
        root: the folder of the pictures, or the one that holds them as images/.
        split: "all"; or "train", "val" or "test" with a list of that name (train.txt, ...), one id
            or file name without suffix a line.
        categories: JSON files, below root unless absolute, that map ids to categories: as in
            yuukicammy/mit-adobe-fivek-dataset (``{"a0001-...": {"categories": {"subject":
            "people"}}}``), or without the inner level. () = categories.json if there is one.
        drop_unknown: leave out pictures whose subject is unknown.

    Returns:
        A source of ``image``, ``name`` and, where there are categories, ``subject`` (int32, a
        position in `SUBJECTS`).

    Raises:
        UserError: raw or 16-bit pictures only, no list for the split, a picture without a category,
            what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("fivek", split, SPLITS)
    found = _split(root, split, root / "images" if (root / "images").is_dir() else root)
    files: dict[str, dict[str, Any]] = {"image": {path.stem: path for path in found.values()}}
    subjects = _subjects(root, (categories,) if isinstance(categories, str) else categories)
    if subjects:
        files["subject"] = {path.stem: subjects[k] for k, path in found.items() if k in subjects}
    elif drop_unknown:
        raise UserError(f"{root} has no categories.json, so no subject can be 'unknown'. Add it.")
    if drop_unknown:
        unknown = {name for name, row in files["subject"].items() if SUBJECTS[row] == "unknown"}
        files["image"] = {k: path for k, path in files["image"].items() if k not in unknown}
    readers = {"image": Photo(), "subject": Row()}
    return Joined(files, {key: readers[key] for key in files})


def _split(root: pathlib.Path, split: str, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    found = _by_id(folder)
    if split != "all":
        return _listed(root, split, found, folder)
    trees.report_count(root, split, len(found), PUBLISHED)
    return found


def _id(name: str) -> str:
    """The number of a photograph with its a, e.g. a0001; other names are as they are."""
    match = re.match(r"a\d{4}(?!\d)", name)
    return match.group() if match else name


def _by_id(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    files: dict[str, pathlib.Path] = {}
    for stem, path in by_stem(folder).items():
        other = files.setdefault(_id(stem), path)
        if other != path:
            raise UserError(
                f"{other} and {path} are versions of one photograph. Keep those of one expert."
            )
    if not files:
        _refuse_deep(folder)
    trees.check_found(
        files, f"{folder} holds no pictures, expected *{', *'.join(pictures.SUFFIXES)}"
    )
    return files


def _refuse_deep(folder: pathlib.Path) -> None:
    deep = (path for path in folder.rglob("*") if path.suffix.lower() in _DEEP)
    path = next(deep, None)
    if path is not None:
        raise UserError(
            f"{path} is a raw or 16-bit picture, expected 8 bits. Export sRGB JPEGs or PNGs of the "
            f"same names (expert C's, say) to {folder / 'images'}/."
        )


def _listed(
    root: pathlib.Path, split: str, found: Mapping[str, pathlib.Path], folder: pathlib.Path
) -> dict[str, pathlib.Path]:
    path = root / f"{split}.txt"
    cure = "FiveK has no official split: write one, or ask for the split 'all'."
    names = [_id(name) for name in trees.listed(path, cure)]
    for other in set(SPLITS) - {split, "all"}:
        place = root / f"{other}.txt"
        both = set(names) & {_id(n) for n in trees.listed(place)} if place.is_file() else ()
        if both:
            raise UserError(
                f"{min(both)} is listed in {path} and in {place.name} ({len(both)} such), expected "
                "in one. Delete it from one of them."
            )
    return trees.pick(found, names, path, folder)


def _subjects(root: pathlib.Path, categories: tuple[str, ...]) -> dict[str, int]:
    """Positions in `SUBJECTS` by id; none where no file is named and categories.json is not there.

    Raises:
        UserError: a named file that is not there, or one that is not as `fivek` says.

    """
    if not categories and (root / "categories.json").exists():
        categories = ("categories.json",)
    subjects: dict[str, int] = {}
    for name in categories:
        for key, record in _json(root / name).items():
            subjects[_id(key)] = _subject(root / name, key, record)
    return subjects


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist, expected JSON of categories by id.") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is no JSON ({reason}). Copy it again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no categories by id; see `segsynth.data.layouts.fivek`.")
    return content


def _subject(path: pathlib.Path, key: str, record: Any) -> int:
    inner = record.get("categories", record) if isinstance(record, dict) else {}
    subject = inner.get("subject") if isinstance(inner, dict) else None
    if subject not in SUBJECTS:
        raise UserError(
            f"{path} gives {key} the subject {subject!r}, expected one of {', '.join(SUBJECTS)}."
        )
    return SUBJECTS.index(subject)
