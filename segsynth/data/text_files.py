"""Reads lists and tables; whatever is wrong with one is a single line that names it."""

import pathlib

from segsynth.errors import UserError


def read_lines(path: pathlib.Path) -> list[str]:
    """Returns the lines of a text file, without empty ones at its end.

    Raises:
        UserError: it cannot be read, or is no UTF-8.

    """
    try:
        return path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}). Copy it again.") from error
