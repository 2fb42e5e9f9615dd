"""What the trees of published data sets have in common: names of splits, lists, counts."""

import collections
import logging
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from segsynth.data.text_files import read_lines
from segsynth.errors import UserError

T = TypeVar("T")
_log = logging.getLogger(__name__)


def check_split(source: str, split: str, known: Iterable[str]) -> None:
    """Checks the name of a split.

    Raises:
        UserError: names the splits that there are.

    """
    if split not in known:
        raise UserError(f"{source} has no split {split!r}, expected one of {', '.join(known)}.")


def check_keys(keys: Iterable[str], known: Iterable[str]) -> None:
    """Checks the modalities that the option ``keys`` names.

    Raises:
        UserError: names those that there are.

    """
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise UserError(f"keys holds {unknown[0]!r}, expected some of {', '.join(known)}.")


def listed(path: pathlib.Path, cure: str = "") -> list[str]:
    """Returns the names that a list holds, one a line.

    Args:
        path: the list.
        cure: what the message for a missing list adds.

    Raises:
        UserError: no such list, one that cannot be read, an empty one, or a name twice.

    """
    if not path.is_file():
        more = f" {cure}" if cure else ""
        raise UserError(
            f"{path} does not exist, expected the names of the split, one a line.{more}"
        )
    names = [line.strip() for line in read_lines(path) if line.strip()]
    if not names:
        raise UserError(f"{path} is empty, expected the names of the split, one a line.")
    if len(set(names)) < len(names):
        [(twice, _)] = collections.Counter(names).most_common(1)
        raise UserError(f"{path} lists {twice} twice. Delete one of the lines.")
    return names


def pick(
    found: Mapping[str, T], names: Sequence[str], path: pathlib.Path, folder: pathlib.Path
) -> dict[str, T]:
    """Returns what a list names, in its order.

    Args:
        found: all entries by name.
        names: what the list holds.
        path: the list, for the message.
        folder: where the entries were looked for, for the message.

    Raises:
        UserError: a listed name that is not there.

    """
    lost = [name for name in names if name not in found]
    if lost:
        raise UserError(
            f"{path} lists {lost[0]} ({len(lost)} such), for which there is no picture in "
            f"{folder}. Add it or correct the list."
        )
    return {name: found[name] for name in names}


def check_found(found: Mapping[str, T], what: str) -> None:
    """Checks that a split is not empty.

    Args:
        found: its examples.
        what: where they were looked for and what was expected, the start of the message.

    Raises:
        UserError: it is.

    """
    if not found:
        raise UserError(f"{what}. Check the path.")


def report_count(root: pathlib.Path, split: str, found: int, published: int) -> None:
    """Logs when a split is not as large as it was published."""
    if found != published:
        _log.warning(
            "%s: %d pictures in %s, and %d are published", *(root, found, split, published)
        )


def report_strays(
    images: Mapping[str, object], partners: Mapping[str, pathlib.Path], what: str
) -> None:
    """Logs partners without a picture: their examples are not there, whoever lost the picture.

    Args:
        images: pictures by name.
        partners: files of another modality by name.
        what: the modality.

    """
    strays = [path for name, path in partners.items() if name not in images]
    if strays:
        _log.warning(
            "%s: no picture belongs to it (%d such files of %s)", *(strays[0], len(strays), what)
        )
