"""A plain folder of drawings: ROOT/**/<name>.*, with train.txt and val.txt or without."""

import os
import pathlib

from segsynth.data import pictures, splits
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import Joined, by_stem
from segsynth.data.layouts.readers import Drawing


def drawings(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    val_share: float = 0.1,
    colour: bool = False,
) -> Joined:
    """Opens the drawings of one split.

    Args:
        root: the folder; its subfolders count too.
        split: "train", "val" or "all" (`segsynth.data.splits.choose`).
        val_share: share of validation drawings where no list says which.
        colour: whether colours are kept.

    Returns:
        A source of ``drawing`` (0 = ink; what is transparent is paper), or with ``colour`` of
        ``colour_drawing``, and ``name``.

    Raises:
        UserError: no drawing, no such split, two drawings of one stem, what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("drawings", split, splits.SPLITS)
    found = by_stem(root)
    trees.check_found(found, f"{root} holds no drawings, expected *{', *'.join(pictures.SUFFIXES)}")
    chosen = splits.choose(root, list(found), split, val_share)
    trees.check_found(dict.fromkeys(chosen), f"{root} has no drawing in the split {split!r}")
    key = "colour_drawing" if colour else "drawing"
    return Joined({key: {name: found[name] for name in chosen}}, {key: Drawing(colour=colour)})
