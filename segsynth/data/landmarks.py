"""Landmarks of a face, from a text file."""

import os
import pathlib

import numpy as np
from jaxtyping import Float32

from segsynth.errors import UserError


def read(path: str | os.PathLike) -> Float32[np.ndarray, "n 2"]:
    """Read "x y" a line, in px.

    Raises:
        UserError: no such file, or lines of something else.

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
    return points
