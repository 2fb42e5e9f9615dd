"""Edits of portraits: the same person, and outside the declared support the same bits."""

import dataclasses
import itertools

import numpy as np
import pytest

from segsynth.data import guides
from segsynth.data.worlds import portraits
from segsynth.data.worlds.portrait_attributes import ATTRIBUTES, Rates
from segsynth.data.worlds.portraits import Population, Portraits, flipped, sample, with_attribute
from segsynth.errors import UserError

OPEN = "Mouth_Slightly_Open"
#: All attributes are common, so that edits meet glasses, hats and bald heads.
MIXED = Population(
    rates=Rates(
        tuple((name, 0.25 if ATTRIBUTES[name].excludes else 0.4) for name in ATTRIBUTES), ()
    )
)


def _image(portrait, size):
    return portraits.render_image(portraits.draw(portrait, size))


def _edits(name, size, count, population=MIXED):
    """Pairs of pictures, before and after a flip, and the declared support."""
    for index in range(count):
        portrait = sample(2, index, population)
        before, after = _image(portrait, size), _image(flipped(portrait, name), size)
        yield before, after, portraits.support(portrait, name, size)


#: Mean share of the frame that a flip may change, at most.
_LARGEST = {"Pale_Skin": 0.4, "Wearing_Hat": 0.25}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_flip_changes_nothing_outside_its_support(name):
    for size, count in ((32, 12), (96, 6)):
        changed, allowed = [], []
        for before, after, inside in _edits(name, size, count):
            differ = (before != after).any(axis=-1)
            assert not (differ & ~inside).any()
            changed.append(differ.mean())
            allowed.append(inside.mean())
        assert np.mean(changed) > 0.4 * np.mean(allowed) > 0.0
        assert np.mean(allowed) < _LARGEST.get(name, 0.2)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_flipping_twice_gives_everything_back(name):
    for index in range(6):
        portrait = sample(4, index, MIXED)
        back = flipped(flipped(portrait, name), name)
        first, second = (portraits.draw(version, 48) for version in (portrait, back))
        assert back.attributes == portrait.attributes
        for render in (portraits.render_image, portraits.render_labels, portraits.render_parts):
            np.testing.assert_array_equal(render(first), render(second))


def test_a_flip_changes_one_attribute_and_what_it_excludes():
    for index, name in itertools.product(range(30), ATTRIBUTES):
        portrait = sample(0, index, MIXED)
        after = flipped(portrait, name)
        differ = portrait.attributes ^ after.attributes
        assert name in differ
        if after.has(name):
            assert differ - {name} <= set(ATTRIBUTES[name].excludes)
        else:
            assert differ == {name}


def test_a_chain_of_edits_can_be_undone():
    rng = np.random.default_rng(0)
    for index in range(10):
        portrait = sample(0, index, MIXED)
        chain = [portrait]
        for name in rng.choice(list(ATTRIBUTES), 8):
            chain.append(flipped(chain[-1], str(name)))
            assert flipped(chain[-1], str(name)).attributes == chain[-2].attributes


def test_setting_an_attribute():
    portrait = sample(0, 3)
    for name, value in itertools.product(ATTRIBUTES, (0, 1)):
        after = with_attribute(portrait, name, value)
        assert after.has(name) == bool(value)
        assert with_attribute(after, name, value).raised == after.raised
        if portrait.has(name) == bool(value):
            np.testing.assert_array_equal(_image(after, 32), _image(portrait, 32))
    with pytest.raises(UserError, match=r"strength 1\.5, expected 0\.\.1"):
        with_attribute(portrait, OPEN, True, 1.5)
    with pytest.raises(UserError, match="Unknown attribute 'Mouth'"):
        flipped(portrait, "Mouth")


def _area(portrait, parts, size=128):
    bits = portraits.render_parts(portraits.draw(portrait, size))
    return int((bits & sum(1 << (part - 1) for part in parts)).astype(bool).sum())


@pytest.mark.parametrize(
    ("name", "parts"),
    [(OPEN, (10,)), ("Bushy_Eyebrows", (6, 7)), ("Big_Nose", (2,)), ("Bangs", (13,))],
)
def test_strength_is_a_slider(name, parts):
    for index in range(4):
        portrait = with_attribute(sample(1, index), "Wearing_Hat", False)
        off = _area(with_attribute(portrait, name, False), parts)
        areas = [_area(with_attribute(portrait, name, True, s), parts) for s in (0.0, 0.5, 1.0)]
        assert off < areas[0] < areas[1] < areas[2]
        drawn = with_attribute(portrait, name, True)
        again = with_attribute(drawn, name, True, portrait.strengths[name][1])
        np.testing.assert_array_equal(_image(drawn, 48), _image(again, 48))


def test_colours_follow_their_attributes():
    for index in range(6):
        portrait = with_attribute(with_attribute(sample(1, index), "Bald", False), "Wearing_Hat", 0)
        values = {**portrait.values, "noise": 0.0}
        portrait = dataclasses.replace(portrait, values=values)
        labels = portraits.render_labels(portraits.draw(portrait, 64))[..., 0]
        hair, skin = (labels == 13), (labels == 1)
        none = with_attribute(with_attribute(portrait, "Black_Hair", 0), "Blond_Hair", 0)
        other, blond, black = (
            _image(version, 64)[hair].mean()
            for version in (
                none,
                with_attribute(none, "Blond_Hair", 1),
                with_attribute(none, "Black_Hair", 1),
            )
        )
        assert black < other and black < 0.4 * blond
        pale, own = (_image(with_attribute(portrait, "Pale_Skin", v), 64) for v in (1, 0))
        assert pale[skin].mean() > own[skin].mean() + 10.0


def test_the_jaw_follows_the_mouth():
    """The guide of the source and the target covers the change only where the jaw stays."""
    outside = {}
    for coupling in (0.0, 0.5):
        outside[coupling] = []
        for index in range(8):
            portrait = sample(3, index, Population(jaw_coupling=coupling))
            after = flipped(portrait, OPEN)
            change = (_image(portrait, 96) != _image(after, 96)).any(axis=-1)
            covered = np.zeros_like(change)
            for version in (portrait, after):
                guide = portraits.render_guide(portraits.draw(version, 96), guides.get(OPEN))
                covered |= guide[..., 0] > 0
            outside[coupling].append((change & ~covered).sum() / change.sum())
    assert np.mean(outside[0.0]) < 0.02
    assert 0.2 < np.mean(outside[0.5]) < 0.9


def test_the_source_gives_guide_and_counterfactual():
    keys = ("image", "guide", "counterfactual", "attributes")
    source = Portraits(48, 6, seed=5, guide="Smiling", attributes=("Smiling",), provides=keys)
    for index in range(6):
        example, portrait = source[index], source.portrait(index)
        np.testing.assert_array_equal(example["image"], _image(portrait, 48))
        after = flipped(portrait, "Smiling")
        np.testing.assert_array_equal(example["counterfactual"], _image(after, 48))
        assert example["attributes"].tolist() == [int(portrait.has("Smiling"))]
        drawing = portraits.draw(portrait, 48)
        expected = portraits.render_guide(drawing, guides.get("Smiling"))
        np.testing.assert_array_equal(example["guide"], expected)
        assert expected.max() == 255
    own = (guides.Region(("nose",)),)
    other = Portraits(48, 1, guide="Smiling", regions=own, provides=("guide", "parts"))[0]
    nose = (other["parts"] >> 1 & 1).astype(bool)
    np.testing.assert_array_equal(other["guide"] >= 128, nose)


def test_guides_meet_what_changes():
    """Most of what an edit changes lies in the guide of the source or of the target."""
    for name in ATTRIBUTES:
        shares = []
        for index in range(5):
            portrait = sample(6, index, Population(jaw_coupling=0.0))
            after = flipped(portrait, name)
            change = np.abs(_image(portrait, 64).astype(int) - _image(after, 64)).sum(axis=-1)
            guide = np.zeros((64, 64), bool)
            for version in (portrait, after):
                drawing = portraits.draw(version, 64)
                guide |= portraits.render_guide(drawing, guides.get(name))[..., 0] > 0
            shares.append(change[guide].sum() / max(change.sum(), 1))
        assert np.mean(shares) > 0.8, name
