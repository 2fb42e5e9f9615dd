"""Label tables: the published numbers, the way to train ids and back, and values outside."""

import numpy as np
import pytest

from segsynth.data import label_sets
from segsynth.data.label_sets import CAMVID, CITYSCAPES, CITYSCAPES_CATEGORIES, NONE
from segsynth.errors import UserError

#: Ids of the 19 evaluated classes in the order of their train ids.
EVALUATED = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def test_cityscapes_table():
    assert [row.id for row in CITYSCAPES.classes] == [*range(34), -1]
    assert [row.id for row in CITYSCAPES.trained] == EVALUATED
    assert [row.train_id for row in CITYSCAPES.trained] == list(range(19))
    assert len({row.name for row in CITYSCAPES.classes}) == 35
    assert len({row.colour for row in CITYSCAPES.trained}) == 19
    plate = CITYSCAPES.classes[-1]
    assert (plate.name, plate.train_id, plate.ignored) == ("license plate", -1, True)
    assert np.flatnonzero(CITYSCAPES.instance_ids()).tolist() == list(range(24, 34))


def test_camvid_table():
    assert [row.id for row in CAMVID.classes] == list(range(12))
    assert len(CAMVID.trained) == 11 and CAMVID.unlabelled == 11
    nearest = [CITYSCAPES.trained[i].name for i in label_sets.CAMVID_TO_CITYSCAPES[:-1]]
    assert nearest == [
        *("sky", "building", "pole", "road", "sidewalk", "vegetation", "traffic sign"),
        *("fence", "car", "person", "bicycle"),
    ]


@pytest.mark.parametrize("table", [CITYSCAPES, CITYSCAPES_CATEGORIES, CAMVID])
def test_train_ids_there_and_back(table):
    ids = np.array(sorted(table.ids))[None]
    train = table.to_train_ids(ids)
    kept = train != NONE
    assert train.dtype == np.uint8 and sorted(train[kept]) == list(range(len(table.trained)))
    np.testing.assert_array_equal(table.to_ids(train)[kept], ids[kept])
    assert (table.to_ids(train)[~kept] == table.unlabelled).all()
    colours, by_train_id = table.palette(), table.train_palette()
    np.testing.assert_array_equal(colours[ids[kept]], by_train_id[train[kept]])
    assert colours.shape == by_train_id.shape == (256, 3) and not by_train_id[NONE].any()


def test_licence_plates_are_nothing():
    assert CITYSCAPES.to_train_ids(np.array([-1, 7])).tolist() == [NONE, 0]


@pytest.mark.parametrize("bad", [34, 255, -2, 1000])
def test_values_outside_the_table_are_named(bad):
    labels = np.array([[7, bad], [bad, 0]], np.int32)
    with pytest.raises(UserError, match=rf"x\.png holds the label {bad} \(2 of 4 pixels .*0\.\.33"):
        CITYSCAPES.check(labels, "x.png")
    with pytest.raises(UserError, match=f"holds the label {bad}"):
        CITYSCAPES.to_train_ids(labels)
    with pytest.raises(UserError, match=f"train id {bad}") if bad != NONE else _nothing():
        CITYSCAPES.to_ids(labels)


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def test_tables_by_name():
    assert label_sets.get("camvid") is CAMVID
    with pytest.raises(UserError, match=r"'kitti'. Known: cityscapes, .*, camvid, c"):
        label_sets.get("kitti")
