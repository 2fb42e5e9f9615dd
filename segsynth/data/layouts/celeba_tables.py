"""The text tables of CelebA, CelebA-HQ and CelebAMask-HQ, read strictly: a wrong line is named."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int8

from segsynth.data.text_files import read_lines
from segsynth.errors import UserError

_LEGAL = frozenset(("-1", "1"))
_HEADER = ["idx", "orig_idx", "orig_file"]


@dataclasses.dataclass(frozen=True)
class AttributeTable:
    """Yes or no for each attribute of each picture.

    Attributes:
        path: the file.
        names: of the columns.
        rows: picture's file name without suffix -> 1 = yes, 0 = no, for each column.

    """

    path: pathlib.Path
    names: tuple[str, ...]
    rows: Mapping[str, Int8[np.ndarray, " columns"]] = dataclasses.field(repr=False)

    def chosen(self, names: Sequence[str]) -> "AttributeTable":
        """Returns the table with these columns, in this order; none named = all of them.

        Raises:
            UserError: a name that is no column.

        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise UserError(
                f"{self.path} has no attribute {unknown[0]!r}, expected some of "
                f"{', '.join(self.names)}."
            )
        if not names:
            return self
        columns = [self.names.index(name) for name in names]
        rows = {stem: row[columns] for stem, row in self.rows.items()}
        return AttributeTable(self.path, tuple(names), rows)

    def of(self, pictures: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Returns the rows of some pictures.

        Args:
            pictures: what an example is called -> what the table calls it.

        Raises:
            UserError: a picture without a row.

        """
        lost = [stem for stem in pictures.values() if stem not in self.rows]
        if lost:
            raise UserError(
                f"{self.path} has no row for the picture {lost[0]} ({len(lost)} such). "
                "Copy the table again, or take such pictures away."
            )
        return {name: self.rows[stem] for name, stem in pictures.items()}


def attribute_table(path: pathlib.Path) -> AttributeTable:
    """Reads CelebA's format: a count, the names, then "<file> -1 1 ..." for each picture.

    Raises:
        UserError: no such file, or a wrong line: another number of rows or columns, a value that is
            neither -1 nor 1, a picture or an attribute twice.

    """
    lines = _lines(path, "the table of attributes")
    names = tuple(lines[1].split()) if len(lines) > 1 else ()
    if not names or len(set(names)) < len(names):
        raise UserError(f"{path}, line 2 names no attributes, or one twice. Copy the table again.")
    rows: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines[2:], start=3):
        file, *values = line.split() or [""]
        _check_row(f"{path}, line {number}", file, values, len(names))
        stem = pathlib.PurePosixPath(file).stem
        if stem in rows:
            raise UserError(f"{path}, line {number} is another row of {file}. Delete one of them.")
        rows[stem] = np.array([value == "1" for value in values], np.int8)
    if lines[0].strip() != str(len(rows)):
        raise UserError(
            f"{path}, line 1 says {lines[0].strip()!r}, and {len(rows)} rows follow. "
            "Copy the table again."
        )
    return AttributeTable(path, names, rows)


def original_numbers(path: pathlib.Path) -> dict[int, int]:
    """Reads CelebA-HQ-to-CelebA-mapping.txt.

    Its orig_idx counts from 0 and its orig_file from 1, as CelebA does; the files count here.

    Returns:
        Number of a picture of CelebA-HQ, 0.. -> number of its file in CelebA, 1..202599.

    Raises:
        UserError: no such file, or a wrong line.

    """
    lines = _lines(path, "the table of the original pictures")
    if not lines or lines[0].split() != _HEADER:
        raise UserError(f"{path}, line 1 is not {' '.join(_HEADER)!r}. Copy the table again.")
    numbers: dict[int, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        where, fields = f"{path}, line {number}", line.split()
        if len(fields) != 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
            raise UserError(
                f"{where} is {line!r}, expected '<number> <number> <file>'. Correct it."
            )
        original = int(fields[1]) + 1
        if fields[2] != f"{original:06d}.jpg":
            raise UserError(
                f"{where} names {fields[2]}, expected {original:06d}.jpg: orig_idx counts from 0. "
                "Copy the table again."
            )
        if int(fields[0]) in numbers:
            raise UserError(f"{where} is another row of {fields[0]}. Delete one of them.")
        numbers[int(fields[0])] = original
    return numbers


def _check_row(where: str, file: str, values: list[str], columns: int) -> None:
    if len(values) != columns:
        raise UserError(
            f"{where} has {len(values)} values for {columns} attributes. Copy the table again."
        )
    if not _LEGAL.issuperset(values):
        bad = next(value for value in values if value not in _LEGAL)
        raise UserError(f"{where} holds {bad!r} for {file}, expected -1 or 1. Correct it.")


def _lines(path: pathlib.Path, what: str) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path} does not exist, expected {what}. Check the path.")
    return read_lines(path)
