"""Guides and true edits of several attributes, one of them in each example."""

import dataclasses

import numpy as np
import pytest

from segsynth.data import guides, sources
from segsynth.data.guided import Guided
from segsynth.data.worlds.portraits import Portraits, flipped
from segsynth.errors import UserError

NAMES = ("Smiling", "Mouth_Slightly_Open", "Eyeglasses")
SEVERAL = "Eyeglasses, Mouth_Slightly_Open"


def config():
    sizes = {"resolution": 32, "length": 8, "eval_length": 4, "seed": 0}
    options = {"attributes": NAMES, "framing": "tight"}
    return {"source": "portraits", **sizes, "guide": SEVERAL, "options": options}


def test_names_are_parted_by_commas():
    assert guides.names("a, b") == ("a", "b") and guides.names("a") == ("a",)
    assert guides.names("") == ()


def test_each_portrait_has_one_of_them():
    source = sources.build(config(), "train")
    assert "attribute" in source.provides
    for index, place in ((0, 2), (1, 1), (2, 2)):  # places among NAMES
        one = Portraits(
            32,
            8,
            framing="tight",
            attributes=NAMES,
            guide=NAMES[place],
            provides=("guide", "counterfactual"),
        )
        example = source[index]
        assert example["attribute"] == place and example["attribute"].dtype == np.int32
        np.testing.assert_array_equal(example["guide"], one[index]["guide"])
        np.testing.assert_array_equal(example["counterfactual"], one[index]["counterfactual"])
        portrait = source.portrait(index)
        before, after = portrait.label(NAMES[place]), flipped(portrait, NAMES[place])
        assert after.label(NAMES[place]) != before


def test_a_comma_alone_makes_no_second_one():
    assert "attribute" not in sources.build({**config(), "guide": "Smiling,"}, "train").provides


@dataclasses.dataclass(frozen=True)
class Faces:
    """Faces whose parts are lips above and eyes below."""

    provides: tuple = ("parts", "attributes")
    attribute_names: tuple = NAMES

    def __len__(self):
        return 4

    def __getitem__(self, index):
        parts = np.zeros((8, 8, 1), np.int32)
        parts[:4], parts[4:] = 1 << 11, 1 << 3  # u_lip 12, l_eye 4 of 18
        return {"parts": parts, "attributes": np.zeros(3, np.int32)}


def test_a_source_of_parts_has_them_in_turn():
    both = Guided(Faces(), SEVERAL)
    assert both.provides == ("parts", "attributes", "guide", "attribute")
    assert [int(both[i]["attribute"]) for i in range(4)] == [2, 1, 2, 1]
    for index, name in ((0, "Eyeglasses"), (1, "Mouth_Slightly_Open")):
        alone = Guided(Faces(), name)
        assert "attribute" not in alone[index]
        np.testing.assert_array_equal(both[index]["guide"], alone[index]["guide"])


def test_the_guide_of_another_attribute_than_the_labels():
    """Labels of a smile with the guide of the mouth's opening would train an editor of neither."""
    said = r"data\.guide names Mouth_Slightly_Open, and examples have the attributes Smiling;"
    wrong = {**config(), "guide": "Mouth_Slightly_Open", "options": {"attributes": ("Smiling",)}}
    with pytest.raises(UserError, match=said):
        sources.build(wrong, "train")
    rendered = {"attributes": ("Smiling",), "provides": ("image", "attributes", "guide")}
    with pytest.raises(UserError, match=said):
        sources.build({**wrong, "options": rendered}, "train")
    with pytest.raises(UserError, match=said):
        Guided(Faces(attribute_names=("Smiling",)), "Mouth_Slightly_Open")
    blind = Faces(provides=("parts",), attribute_names=("Smiling",))  # no labels to go with it
    assert "guide" in Guided(blind, "Mouth_Slightly_Open").provides
    right = {"attributes": ("Mouth_Slightly_Open", "Smiling")}
    sources.build({**wrong, "options": right}, "train")


def test_one_that_the_examples_lack():
    with pytest.raises(
        UserError, match=r"data\.guide names Bald, and examples have the attributes"
    ):
        Guided(Faces(), "Smiling,Bald")
