"""The published data sets by name."""

import dataclasses
from collections.abc import Callable, Mapping

from segsynth.data import splits
from segsynth.data.layouts import (
    anime_sketch,
    bsds,
    camvid,
    celeba_hq,
    celeba_splits,
    celebamask,
    cityscapes,
    coco_stuff,
    contour_drawing,
    drawings,
    face_synthetics,
    ffhq,
    fivek,
    kitti,
    photo_depth,
    places,
)
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
    "coco_stuff": Layout(
        coco_stuff.coco_stuff,
        tuple(coco_stuff.PUBLISHED),
        "train2017/, val2017/, stuffthingmaps/, or train_img/, train_label/, ...",
    ),
    "fivek": Layout(fivek.fivek, fivek.SPLITS, "<id>.jpg, or images/; categories.json"),
    "kitti": Layout(
        kitti.kitti, kitti.SPLITS, "training/image_2/, or <date>/<drive>/image_02/data/, or frames"
    ),
    "photo_depth": Layout(
        photo_depth.photo_depth, photo_depth.SPLITS, "photos/, depth/, or train/photos/, ..."
    ),
    "contour_drawing": Layout(
        contour_drawing.contour_drawing, contour_drawing.SPLITS, "list/, sketch-rendered/, image/"
    ),
    "anime_sketch": Layout(
        anime_sketch.anime_sketch, tuple(anime_sketch.PUBLISHED), "data/train/, data/val/"
    ),
    "places": Layout(
        places.places, tuple(places.PUBLISHED), "data_256/, val_256/, or data_large/, val_large/"
    ),
    "ffhq": Layout(ffhq.ffhq, tuple(ffhq.SPLITS), "images1024x1024/, or thumbnails128x128/"),
    "celeba_hq": Layout(
        celeba_hq.celeba_hq, celeba_splits.SPLITS, "CelebA-HQ-img/, or <number>.jpg"
    ),
    "celebamask": Layout(
        celebamask.celebamask, celeba_splits.SPLITS, "CelebA-HQ-img/, CelebAMask-HQ-mask-anno/, ..."
    ),
    "face_synthetics": Layout(
        face_synthetics.face_synthetics, splits.SPLITS, "aligned256/, aligned256_seg/, ..."
    ),
    "bsds": Layout(bsds.bsds, bsds.SPLITS, "contours/, images/, segments/, train.txt, val.txt"),
    "drawings": Layout(drawings.drawings, splits.SPLITS, "pictures of drawings"),
}
