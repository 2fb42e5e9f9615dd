"""Label maps with the classes of another table."""

import numpy as np
import pytest

from segsynth.data import label_sets, sources
from segsynth.data.label_sets import CITYSCAPES, CITYSCAPES_CATEGORIES, REGROUPED
from segsynth.errors import UserError

STREETS = {"source": "streets", "frame": (32, 64), "length": 4, "eval_length": 1, "seed": 0}
GROUPED = STREETS | {"regroup": "cityscapes_categories"}

#: The table of the Cityscapes tools, by name.
CATEGORIES = {
    "flat": "road sidewalk parking rail_track",
    "construction": "building wall fence guard_rail bridge tunnel",
    "object": "pole polegroup traffic_light traffic_sign",
    "nature": "vegetation terrain",
    "sky": "sky",
    "human": "person rider",
    "vehicle": "car truck bus caravan trailer train motorcycle bicycle",
}


def test_categories_are_those_of_the_cityscapes_tools():
    spoken = {row.name.replace(" ", "_"): row for row in CITYSCAPES.classes if row.id >= 0}
    by_class = {c: k for k, names in CATEGORIES.items() for c in names.split()}
    assert set(by_class) <= set(spoken)
    grouped = REGROUPED["cityscapes", "cityscapes_categories"]
    assert len(grouped) == 34
    for name, row in spoken.items():
        found = CITYSCAPES_CATEGORIES.classes[grouped[row.id]]
        assert found.name == by_class.get(name, "void"), name
        if row.train_id < 19:
            assert not found.ignored, f"{name} is evaluated"


@pytest.mark.parametrize(("own", "other"), list(REGROUPED))
def test_every_id_has_a_class_of_the_other_table(own, other):
    own, ids = label_sets.get(own), REGROUPED[own, other]
    assert len(ids) == max(own.ids) + 1
    assert set(ids) == label_sets.get(other).ids
    assert ids[own.unlabelled] == label_sets.get(other).unlabelled


def test_maps_are_grouped_and_the_rest_stays():
    fine, grouped = (sources.build(x, "train") for x in (STREETS, GROUPED))
    table = np.array(REGROUPED["cityscapes", "cityscapes_categories"])
    assert len(grouped) == 4 and grouped.provides == fine.provides
    assert grouped.label_set is CITYSCAPES_CATEGORIES and grouped.unlabelled == 0
    for i in range(4):
        before, after = fine[i], grouped[i]
        for key in fine.provides:
            given = table[before[key]] if key in ("labels", "coarse") else before[key]
            np.testing.assert_array_equal(after[key], given)
            assert after[key].dtype == before[key].dtype


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"regroup": "cityscape"}, r"data\.regroup is 'cityscape', and the labels are of cityscap"),
        ({"regroup": "camvid"}, "known: cityscapes to cityscapes_categories"),
        ({"ids": "train"}, r"groups published ids; set data\.ids"),
        ({"source": "scenes", "resolution": 8}, "the labels are of no table"),
    ],
)
def test_what_cannot_be_grouped_is_refused(changed, message):
    with pytest.raises(UserError, match=message):
        sources.build(GROUPED | changed, "train")
