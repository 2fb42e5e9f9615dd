"""Landmark files: "x y" a line, and nothing else."""

import numpy as np
import pytest

from segsynth.data import landmarks
from segsynth.errors import UserError


def test_lines_of_two_numbers(tmp_path):
    file = tmp_path / "face.txt"
    file.write_text("1.5 2\n\n-3, 4\n" + 3 * "0 7\n")
    found = landmarks.read(file)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1.5, 2], [-3, 4], [0, 7], [0, 7], [0, 7]])


def test_as_many_as_a_face_has(tmp_path):
    file = tmp_path / "face.txt"
    for count in (5, 68, 70):
        file.write_text("1 2\n" * count)
        assert landmarks.read(file).shape == (count, 2)
    for count in (1, 4, 67, 69, 71, 98):
        file.write_text("1 2\n" * count)
        with pytest.raises(UserError, match=rf"face\.txt holds {count} landmarks; expected 68"):
            landmarks.read(file)


@pytest.mark.parametrize("text", ["", "1 2 3\n", "1 2\n3\n", "one two\n", "1 nan\n"])
def test_other_lines_are_refused(tmp_path, text):
    file = tmp_path / "face.txt"
    file.write_text(text)
    with pytest.raises(UserError, match=r"face\.txt holds no landmarks; expected one 'x y' a line"):
        landmarks.read(file)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.txt", "binary.txt", "."):
        with pytest.raises(UserError, match="cannot read the landmarks"):
            landmarks.read(tmp_path / name)
