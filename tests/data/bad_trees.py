"""One small tree of every layout, with the kind of each of its pictures."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from small_trees import HEIGHT, WIDTH, build

from segsynth.data.layouts.celeba_splits import MAPPING
from segsynth.data.layouts.celebamask import ATTRIBUTES

#: Kind of a picture -> the value that all its pixels have.
VALUES = {"photo": 100, "drawing": 40, "labels": 3, "ids": 3, "depth": 30_000, "part": 255}


@dataclasses.dataclass(frozen=True)
class Tree:
    """What one layout reads.

    Attributes:
        pictures: path, with {} for the name of an example -> (modality, kind).
        names: of two examples.
        split: that holds both.
        options: of the layout.
        texts: path -> what it holds.
        silent: starts of the paths of files of which nothing else tells, or that may be missing.

    """

    pictures: Mapping[str, tuple[str, str]]
    names: tuple[str, str] = ("a", "b")
    split: str = "all"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    silent: tuple[str, ...] = ()

    def make(self, root):
        """Writes the tree."""
        for pattern, (_, kind) in self.pictures.items():
            for name in self.names:
                path = root / pattern.format(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                wide = kind in ("depth", "ids")
                array = np.full((HEIGHT, WIDTH), VALUES[kind], np.uint16 if wide else np.uint8)
                Image.fromarray(array).save(path, quality=95)
        for file, text in self.texts.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text)
        return root

    def files(self):
        """The pictures of the first example: path -> (modality, kind)."""
        return {path.format(self.names[0]): what for path, what in self.pictures.items()}


def read(name, root):
    """Reads every example of a tree, in the order of the names."""
    return sorted(opened(name, root), key=lambda example: str(example.get("name", "")))


def opened(name, root):
    """Opens a tree."""
    return build(name, root, TREES[name].split, **TREES[name].options)


_FACES = "idx orig_idx orig_file\n12345 0 000001.jpg\n12346 1 000002.jpg\n"
_STREETS = "aachen/aachen_000000_00000{}"
_LIST = "a\nb\n"
_DRAWN = "sketch-rendered/width-5/{}_0"

#: Every layout, and the plain folder.
TREES: Mapping[str, Tree] = {
    "folder": Tree(
        {
            "images/{}.png": ("image", "photo"),
            "segmentation/{}.png": ("segmentation", "ids"),
            "instance/{}.png": ("instance", "ids"),
        },
        silent=("images",),
    ),
    "camvid": Tree(
        {
            "images/{}.png": ("image", "photo"),
            "labels/{}.png": ("labels", "labels"),
            "coarse/{}.png": ("coarse", "labels"),
        },
        split="train",
        texts={"train.txt": _LIST},
    ),
    "cityscapes": Tree(
        {
            f"leftImg8bit/train/{_STREETS}_leftImg8bit.png": ("image", "photo"),
            f"gtFine/train/{_STREETS}_gtFine_labelIds.png": ("labels", "labels"),
            f"gtFine/train/{_STREETS}_gtFine_instanceIds.png": ("instance", "ids"),
            f"gtCoarse/train/{_STREETS}_gtCoarse_labelIds.png": ("coarse", "labels"),
        },
        ("1", "2"),
        "train",
    ),
    "coco_stuff": Tree(
        {
            "train_img/{}.jpg": ("image", "photo"),
            "train_label/{}.png": ("labels", "labels"),
            "train_inst/{}.png": ("instance", "labels"),
        },
        split="train",
    ),
    "fivek": Tree(
        {"{}.png": ("image", "photo")},
        ("a0001", "a0002"),
        texts={"categories.json": json.dumps({f"a000{i}": {"subject": "people"} for i in (1, 2)})},
        silent=("a0001", "categories"),
    ),
    "kitti": Tree(
        {
            "training/image_2/{}_10.png": ("image", "photo"),
            "training/semantic/{}_10.png": ("labels", "labels"),
            "training/instance/{}_10.png": ("instance", "ids"),
        },
        ("000000", "000001"),
        "train",
    ),
    "photo_depth": Tree(
        {
            "photos/{}.jpg": ("image", "photo"),
            "depth/{}.png": ("depth", "depth"),
            "seg/{}.png": ("labels", "labels"),
        },
        split="train",
        texts={"train.txt": _LIST},
        silent=("train.txt",),
    ),
    "contour_drawing": Tree(
        {"image/{}.jpg": ("image", "photo")}
        | {f"{_DRAWN}{k}.png": ("drawing", "drawing") for k in range(1, 6)},
        split="train",
        options={"paired": True},
        texts={"list/train.txt": _LIST},
    ),
    "anime_sketch": Tree(
        {"data/train/{}.png": ("drawing", "drawing")}, split="train", silent=("data",)
    ),
    "places": Tree(
        {"data_256/{}.jpg": ("image", "photo")},
        ("a/airfield/00000001", "b/bow_window/indoor/00000001"),
        "train",
        texts={
            "places365_train_standard.txt": (
                "/a/airfield/00000001.jpg 0\n/b/bow_window/indoor/00000001.jpg 3\n"
            )
        },
        silent=("places365",),
    ),
    "ffhq": Tree({"images1024x1024/00000/{}.png": ("image", "photo")}, ("00000", "00001"), "train"),
    "celeba_hq": Tree(
        {"CelebA-HQ-img/{}.jpg": ("image", "photo")},
        ("12345", "12346"),
        "train",
        texts={MAPPING: _FACES},
        silent=(MAPPING,),
    ),
    "celebamask": Tree(
        {
            "CelebA-HQ-img/{}.jpg": ("image", "photo"),
            "CelebAMask-HQ-mask-anno/6/{}_skin.png": ("parts", "part"),
            "CelebAMask-HQ-mask-anno/6/{}_nose.png": ("parts", "part"),
        },
        ("12345", "12346"),
        "train",
        texts={MAPPING: _FACES, ATTRIBUTES: "2\nMale Bald\n12345.jpg 1 -1\n12346.jpg -1 -1\n"},
        silent=("CelebAMask-HQ-mask-anno",),
    ),
    "face_synthetics": Tree(
        {
            "aligned256/{}.jpg": ("image", "photo"),
            "aligned256_seg/{}.png": ("labels", "labels"),
        },
        ("000000", "000001"),
        texts={"list_attr.txt": "2\nSmiling Male\n000000.jpg 1 -1\n000001.jpg -1 -1\n"},
    ),
    "bsds": Tree(
        {"images/{}.jpg": ("image", "photo")}
        | {f"contours/{{}}_{k}.png": ("drawing", "drawing") for k in (0, 1)}
        | {f"segments/{{}}_{k}.png": ("instance", "ids") for k in (0, 1)},
        split="train",
        options={"paired": True, "segments": True},
        texts={"train.txt": _LIST},
    ),
    "drawings": Tree(
        {"{}.png": ("drawing", "drawing")},
        split="train",
        texts={"train.txt": _LIST},
        silent=("train.txt",),
    ),
}
