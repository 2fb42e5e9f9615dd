"""CelebA-HQ: 30,000 faces as CelebAMask-HQ ships them, or copies of another size.

    ROOT/CelebA-HQ-img/0.jpg ... 29999.jpg  [ROOT/CelebA-HQ-to-CelebA-mapping.txt]
    ROOT/0.jpg ... (or 00000.png ...)

Karras et al. 2018; Lee et al. 2020 (switchablenorms/CelebAMask-HQ).
"""

import logging
import os
import pathlib

from segsynth.data.layouts import celeba_splits, numbered, trees
from segsynth.data.layouts.joined import Joined
from segsynth.data.layouts.readers import Photo

FOLDER = "CelebA-HQ-img"
_log = logging.getLogger(__name__)


def celeba_hq(
    root: str | os.PathLike[str], split: str = "train", *, partition: str = "", lists: str = ""
) -> Joined:
    """Opens one split.

    Args:
        root: the folder that holds CelebA-HQ-img/, or the pictures.
        split: "train", "val", "test" (not with "inpainting") or "all".
        partition: "celeba", "msagan" or "inpainting" (`celeba_splits.PUBLISHED`); "" = "celeba"
            where CelebA-HQ-to-CelebA-mapping.txt lies in ``root``, else "inpainting".
        lists: folder of <split>.txt instead, a file name a line; relative to ``root``.

    Returns:
        A source of ``image`` and ``name``, the file's name without suffix.

    Raises:
        UserError: no such tree or split, a picture that is not called by its number, a bad list,
            what `Joined` refuses.

    """
    root = pathlib.Path(root)
    trees.check_split("celeba_hq", split, celeba_splits.SPLITS)
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    if not (partition or lists):
        partition = "celeba" if (root / celeba_splits.MAPPING).is_file() else "inpainting"
        _log.warning("%s is divided by the partition %s", *(root, partition))
    found = numbered.by_number(folder, celeba_splits.COUNT)
    chosen = celeba_splits.choose(root, found, split, partition, lists)
    return Joined({"image": {path.stem: path for path in chosen.values()}}, {"image": Photo()})
