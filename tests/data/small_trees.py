"""Trees of a few pixels for the tests of published layouts, and what can happen to a file."""

import re

import numpy as np
import pytest
from PIL import Image

from segsynth.data import sources
from segsynth.errors import UserError

HEIGHT, WIDTH = 6, 12
#: Brightness of picture i is i * STEP, so that JPEG does not hide which one it is.
STEP = 20


def write(path, value, shape=(HEIGHT, WIDTH), dtype=np.uint8):
    save(path, np.full(shape, value, dtype))


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def photo(path, number):
    write(path, number * STEP, (HEIGHT, WIDTH, 3))


def number(example, key="image"):
    return round(float(example[key].mean()) / STEP)


def build(name, root, split, ids="published", **options):
    config = {"source": name, "root": str(root), "ids": ids, "options": options}
    return sources.build(config, split)


def picture_files(root, unread):
    """Pictures below a folder, but for those whose path starts as nothing that is read."""
    found = (path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.is_file())
    names = sorted(name for name in found if name[-4:] in (".png", ".jpg"))
    return [name for name in names if not name.startswith(unread)]


def stem_of(file):
    return file.split("/")[-1].split(".")[0]


def truncate(path):
    path.write_bytes(path.read_bytes()[:45])  # the header of a PNG is whole, the pixels are not


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("nothing")


def taller(path):
    array = np.asarray(Image.open(path))
    Image.fromarray(np.concatenate([array, array[:1]])).save(path)


DAMAGES = (truncate, empty, text, taller)


def check_missing(make, opened, folder, caplog, *, first, alone=("none",), unread=("none",)):
    """Takes each file away in turn: an error or, where it makes the example, a warning names it.

    Args:
        make: ``(root) -> root``, makes the tree.
        opened: ``(root)``, reads every example of every split.
        folder: where to make trees.
        caplog: pytest's.
        first: starts of the paths of pictures that make an example and have partners.
        alone: starts of the paths of pictures that nothing else tells of.
        unread: starts of the paths of files that nobody reads.

    """
    files = picture_files(make(folder / "whole"), unread)
    for i, file in enumerate(file for file in files if not file.startswith(alone)):
        root = make(folder / f"{i}")
        (root / file).unlink()
        if file.startswith(first):
            caplog.clear()
            opened(root)
            assert f"{stem_of(file)}.png: no picture belongs to it (1 such files" in caplog.text
            continue
        words = rf"{stem_of(file)}\.(png|jpg) (has no partner for|does not exist)"
        with pytest.raises(UserError, match=words) as caught:
            opened(root)
        assert "\n" not in str(caught.value)


def check_damaged(make, opened, folder, damage, *, alone=("none",), unread=("none",)):
    """Damages each file in turn: an error of one line names it.

    Args:
        make: ``(root) -> root``, makes the tree.
        opened: ``(root)``, reads every example of every split.
        folder: where to make trees.
        damage: one of `DAMAGES`.
        alone: starts of the paths of pictures that have nothing to differ from in size.
        unread: starts of the paths of files that nobody reads.

    """
    for i, file in enumerate(picture_files(make(folder / "whole"), unread)):
        if damage is taller and file.startswith(alone):
            continue
        root = make(folder / f"{i}")
        damage(root / file)
        with pytest.raises(UserError, match=re.escape(file)) as caught:
            opened(root)
        assert "\n" not in str(caught.value)
