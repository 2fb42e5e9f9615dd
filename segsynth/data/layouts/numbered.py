"""Pictures that are called by their numbers, as those of FFHQ and CelebA-HQ are."""

import logging
import pathlib
from collections.abc import Container, Iterable, Mapping

from segsynth.data import pictures
from segsynth.data.layouts import trees
from segsynth.errors import UserError

_log = logging.getLogger(__name__)


def by_number(folder: pathlib.Path, count: int) -> dict[int, pathlib.Path]:
    """Returns the pictures in and below a folder by number.

    Args:
        folder: where.
        count: how many are published: the numbers are 0..count - 1.

    Raises:
        UserError: no such folder, a picture that is not called by such a number, two of one number.

    """
    files: dict[int, pathlib.Path] = {}
    for path in pictures.list_pictures(folder):
        stem = path.stem
        if not (stem.isascii() and stem.isdigit() and int(stem) < count):
            raise UserError(
                f"{path} is not called by a number 0..{count - 1}, as the pictures of this data "
                "set are. Move it elsewhere, or check the path."
            )
        if int(stem) in files:
            raise UserError(
                f"{files[int(stem)]} and {path} have one number. Give the folder of one size, or "
                "delete one."
            )
        files[int(stem)] = path
    return files


def choose(
    root: pathlib.Path,
    split: str,
    found: Mapping[int, pathlib.Path],
    wanted: Iterable[int],
    published: int,
) -> dict[int, pathlib.Path]:
    """Returns the pictures of a split; logs how many are missing, and the number of the first.

    Args:
        root: folder for the messages.
        split: name for the messages.
        found: all pictures by number.
        wanted: the numbers of the split, in order.
        published: how many pictures the split has as published.

    Raises:
        UserError: none of them is there.

    """
    numbers = list(wanted)
    chosen = {number: found[number] for number in numbers if number in found}
    named = {path.stem: path for path in chosen.values()}
    trees.check_found(named, f"{root} has no picture of the split {split!r}")
    lost = _first_lost(numbers, found)
    if lost is not None:
        _log.warning("%s: picture %d of the split %s is not there", *(root, lost, split))
    trees.report_count(root, split, len(chosen), published)
    return chosen


def _first_lost(numbers: Iterable[int], found: Container[int]) -> int | None:
    return next((number for number in numbers if number not in found), None)
