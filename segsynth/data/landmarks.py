"""Landmarks of a face, from a text file."""

import os
import pathlib

import numpy as np
from jaxtyping import Float32

from segsynth.errors import UserError

#: How many points a face has: eyes, nose and corners of the mouth; iBUG's; these and the pupils.
COUNTS = (5, 68, 70)


def read(path: str | os.PathLike) -> Float32[np.ndarray, "n 2"]:
    """Read "x y" a line, in px.

    Raises:
        UserError: no such file, lines of something else, another number of points than `COUNTS`.

    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the landmarks {path}; expected a text file") from error
    rows = [line.replace(",", " ").split() for line in lines if line.strip()]
    try:
        points = np.array([[float(number) for number in row] for row in rows], np.float32)
    except ValueError:
        points = np.zeros(0, np.float32)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise UserError(f"{path} holds no landmarks; expected one 'x y' a line, in px")
    if len(points) not in COUNTS:
        raise UserError(
            f"{path} holds {len(points)} landmarks; expected 68 in iBUG's order, 70 with the "
            "pupils, or 5: eyes, nose, corners of the mouth"
        )
    return points
