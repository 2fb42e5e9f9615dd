"""The published data sets by name."""

import dataclasses
from collections.abc import Callable, Mapping

from segsynth.data.layouts import camvid, cityscapes
from segsynth.data.layouts.joined import Joined


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one data set is opened.

    Attributes:
        open: ``(root, split, **options) -> Joined``; its keywords are the options.
        splits: names of the splits; the first is for training.
        tree: what ``root`` holds, in a few words, for messages and help.

    """

    open: Callable[..., Joined]
    splits: tuple[str, ...]
    tree: str


#: Data set -> its layout.
LAYOUTS: Mapping[str, Layout] = {
    "camvid": Layout(camvid.camvid, camvid.SPLITS, "images/, labels/, coarse/, or train/, ..."),
    "cityscapes": Layout(
        cityscapes.cityscapes, tuple(cityscapes.PUBLISHED), "leftImg8bit/, gtFine/, gtCoarse/"
    ),
}
