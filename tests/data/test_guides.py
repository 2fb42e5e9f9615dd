"""Guides: unions of parts by name, widened in pixels at 128, cut at brows and nose."""

import numpy as np
import pytest

from segsynth.data import guides
from segsynth.data.guides import GUIDES, Region
from segsynth.data.worlds.portrait_attributes import ATTRIBUTES
from segsynth.errors import UserError


def _blank(size=64, **boxes):
    """Parts as rectangles (top, bottom, left, right)."""
    parts = {}
    for name, (top, bottom, left, right) in boxes.items():
        parts[name] = np.zeros((size, size), np.float32)
        parts[name][top:bottom, left:right] = 1.0
    return parts


def test_the_table():
    assert set(ATTRIBUTES) <= set(GUIDES)
    assert guides.get("Wearing_Lipstick") == (Region(("u_lip", "mouth", "l_lip")),)
    assert guides.get("Smiling") == (Region(("u_lip", "mouth", "l_lip"), dilate=6.0),)
    glasses = guides.get("Eyeglasses")
    assert glasses[0] == Region(("eye_g",)) and glasses[1].dilate == 10.0
    assert set(glasses[1].parts) == {"l_eye", "r_eye", "l_brow", "r_brow"}
    assert set(guides.WHOLE_FACE) <= set(GUIDES)


def test_a_guide_is_the_union_of_its_parts():
    parts = _blank(u_lip=(10, 12, 20, 30), l_lip=(14, 16, 20, 30), hair=(0, 5, 0, 64))
    drawn = guides.draw(guides.get("Big_Lips"), parts)
    assert drawn.dtype == np.uint8 and drawn.shape == (64, 64, 1)
    union = np.maximum(parts["u_lip"], parts["l_lip"])[..., None] * 255
    np.testing.assert_array_equal(drawn, union)


def test_half_covered_pixels_stay_half():
    parts = {"hair": np.full((8, 8), 0.5, np.float32)}
    assert (guides.draw(guides.get("Black_Hair"), parts) == 128).all()


def test_a_face_without_the_parts_has_an_empty_guide():
    parts = _blank(skin=(0, 64, 0, 64))
    for name in ("Smiling", "Eyeglasses", "Wearing_Hat", "Bags_Under_Eyes"):
        assert not guides.draw(guides.get(name), parts).any()


@pytest.mark.parametrize("size", [64, 128, 256])
def test_widths_are_pixels_at_128(size):
    middle = size // 2
    parts = _blank(size, nose=(middle, middle + 1, middle, middle + 1))
    drawn = guides.draw((Region(("nose",), dilate=10.0),), parts) / 255.0
    radius = 10.0 * size / 128 + 0.5
    assert drawn.sum() == pytest.approx(np.pi * radius**2, rel=0.05)
    assert ((drawn > 0) & (drawn < 1)).any()  # antialiased
    rows, columns = np.nonzero(drawn[..., 0] > 0)
    assert abs(rows.mean() - middle) < 0.01 and abs(columns.mean() - middle) < 0.01


def test_widening_at_the_border_of_the_picture():
    parts = _blank(32, hair=(0, 2, 0, 32))
    drawn = guides.draw((Region(("hair",), dilate=16.0),), parts)[..., 0]
    assert (drawn[:6] == 255).all() and not drawn[7:].any()


def test_downwards():
    parts = _blank(128, l_eye=(50, 54, 30, 40))
    drawn = guides.draw(guides.get("Bags_Under_Eyes"), parts)[..., 0]
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max()) == (50, 61)
    assert (columns.min(), columns.max()) == (30, 39)


def test_above_the_brows_and_below_the_nose():
    parts = _blank(
        skin=(10, 60, 10, 54),
        hair=(4, 12, 10, 54),
        l_brow=(24, 26, 15, 25),
        r_brow=(26, 28, 40, 50),
        nose=(28, 40, 28, 36),
        mouth=(46, 50, 26, 38),
    )
    bangs = guides.draw(guides.get("Bangs"), parts)[..., 0] > 127
    rows = np.flatnonzero(bangs.any(axis=1))
    assert (rows.min(), rows.max()) == (4, 25)
    beard = guides.draw(guides.get("Mustache"), parts)[..., 0] > 127
    rows = np.flatnonzero(beard.any(axis=1))
    assert (rows.min(), rows.max()) == (40, 59)
    # No brows to be seen: the whole skin.
    del parts["l_brow"], parts["r_brow"]
    whole = guides.draw(guides.get("Bangs"), parts)[..., 0] > 127
    assert np.flatnonzero(whole.any(axis=1)).max() == 59


def test_own_guides(monkeypatch):
    own = (Region(("skin",)),)
    monkeypatch.setitem(guides.GUIDES, "Moles", own)
    assert guides.get("Moles") == own
    with pytest.raises(UserError, match=r"no guide for 'Freckles'; .*Mouth_Slightly_Open"):
        guides.get("Freckles")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (dict(parts=("lips",)), "unknown lips"),
        (dict(parts=()), "expected parts of skin"),
        (dict(parts=("hair",), dilate=-1.0), "dilate >= 0"),
        (dict(parts=("hair",), above=("chin",)), "unknown chin"),
    ],
)
def test_illegal_regions(field, message):
    with pytest.raises(UserError, match=message):
        Region(**field)
