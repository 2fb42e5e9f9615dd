"""Label maps with the classes of another table."""

import pathlib

import numpy as np
import pytest

from segsynth import config_files, systems
from segsynth.data import feed, label_sets, sources
from segsynth.data.label_sets import CITYSCAPES, CITYSCAPES_CATEGORIES, NONE, REGROUPED
from segsynth.engine.run import plain
from segsynth.errors import UserError

CONFIG = pathlib.Path(__file__).parents[2] / "configs/mask_restoration.py"

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
    # A config names its classes by their place in the table.
    assert [row.id for row in CITYSCAPES_CATEGORIES.classes] == list(range(9))
    assert [row.train_id for row in CITYSCAPES_CATEGORIES.classes] == [NONE, *range(7), NONE]
    for name, row in spoken.items():
        found = CITYSCAPES_CATEGORIES.classes[grouped[row.id]]
        assert found.name == by_class.get(name, "void"), name
        if row.train_id < 19:
            assert not found.ignored, f"{name} is evaluated"


@pytest.mark.parametrize(("own", "other"), list(REGROUPED))
def test_every_id_has_a_class_of_the_other_table(own, other):
    own, other, ids = label_sets.get(own), label_sets.get(other), REGROUPED[own, other]
    assert len(ids) == max(own.ids) + 1
    assert set(ids) == other.ids - {other.unlabelled}


#: Ids of the label maps, and of the coarse ones, where 0 says that nobody labelled a pixel.
TABLE = np.array(REGROUPED["cityscapes", "cityscapes_categories"])
COARSE = np.array([CITYSCAPES_CATEGORIES.unlabelled, *TABLE[1:]])


def test_maps_are_grouped_and_the_rest_stays():
    fine, grouped = (sources.build(x, "train") for x in (STREETS, GROUPED))
    tables = {"labels": TABLE, "coarse": COARSE}
    assert len(grouped) == 4 and grouped.provides == fine.provides
    assert grouped.label_set is CITYSCAPES_CATEGORIES and grouped.unlabelled == 8
    for i in range(4):
        before, after = fine[i], grouped[i]
        for key in fine.provides:
            given = tables[key][before[key]] if key in tables else before[key]
            np.testing.assert_array_equal(after[key], given)
            assert after[key].dtype == before[key].dtype


def test_void_that_was_drawn_stays_known():
    """The recording car is void in true maps and in coarse ones, what nobody drew in neither."""
    grouped = [sources.build(GROUPED, "train")[i] for i in range(4)]
    true, coarse = (np.stack([row[key] for row in grouped]) for key in ("labels", "coarse"))
    assert not (true == 8).any() and (true == 0).any()
    assert (coarse == 8).any() and (coarse == 0).any()
    assert (true[coarse == 0] == 0).mean() > 0.9


def test_an_annotator_has_seen_the_classes():
    """Coarse maps are made before classes are grouped: the same polygons, whatever the table."""
    made = {"make_coarse": True, "options": {"provides": ("labels", "name")}}
    fine, grouped = (sources.build(x | made, "train")[1] for x in (STREETS, GROUPED))
    np.testing.assert_array_equal(grouped["coarse"], COARSE[fine["coarse"]])


@pytest.mark.parametrize("flags", [{"regroup": ""}, {"label_set": "cityscapes"}])
def test_a_table_that_is_not_that_of_the_maps_is_refused(flags):
    settings = plain(config_files.load(str(CONFIG), [])[0])
    settings |= settings["phases"]["sparse_ce_vgg_l1"]
    system = systems.build(settings["system"])
    feed.check(settings, system, feed.Sources())
    settings["data"] |= flags
    with pytest.raises(UserError, match=r"data\.label_set is '\w+', and the label maps of streets"):
        feed.check(settings, system, feed.Sources())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"regroup": "cityscape"}, r"data\.regroup is 'cityscape', and the labels are of cityscap"),
        ({"regroup": "camvid"}, "known: cityscapes to cityscapes_categories"),
        ({"ids": "train"}, r"groups published ids; set data\.ids"),
        ({"source": "scenes", "resolution": 8}, "the labels are of no table"),
        ({"options": {"provides": ("image",)}}, "the source provides image. Choose one with lab"),
    ],
)
def test_what_cannot_be_grouped_is_refused(changed, message):
    with pytest.raises(UserError, match=message):
        sources.build(GROUPED | changed, "train")
