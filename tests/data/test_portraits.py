"""Procedural portraits: the same bits at every call, aligned parts, the stated people."""

import dataclasses
import hashlib
import pickle

import numpy as np
import pytest
from scipy import ndimage

from segsynth.data import label_sets, sources
from segsynth.data.label_sets import CELEBAMASK, NONE
from segsynth.data.worlds import portrait_looks, portraits
from segsynth.data.worlds.portrait_attributes import ATTRIBUTES
from segsynth.data.worlds.portrait_colours import Paint
from segsynth.data.worlds.portraits import Portraits, draw, sample
from segsynth.errors import UserError

NAMES = [row.name for row in CELEBAMASK.classes]
#: Rare attributes made common, so that few portraits show every part.
DRESSED = (("Eyeglasses", 0.4), ("Wearing_Hat", 0.4), ("Wearing_Earrings", 0.6))


def test_the_table_of_parts():
    assert label_sets.get("celebamask") is CELEBAMASK
    assert [row.id for row in CELEBAMASK.trained] == list(range(19))
    assert len({row.colour for row in CELEBAMASK.classes}) == 19
    pairs = [(NAMES[left], NAMES[right]) for left, right in CELEBAMASK.mirrored]
    assert pairs == [("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear")]
    every = np.arange(19)[None]
    np.testing.assert_array_equal(CELEBAMASK.to_train_ids(every), every)
    assert CELEBAMASK.to_ids(np.array([NONE, 13])).tolist() == [NONE, 13]
    with pytest.raises(UserError, match=r"x\.png holds the label 19 .*0\.\.18"):
        CELEBAMASK.check(np.array([19]), "x.png")
    assert not label_sets.CITYSCAPES.mirrored


def test_an_example_depends_on_seed_index_and_size_alone():
    source = Portraits(48, 3, seed=3)
    forward = [source[i] for i in range(3)]
    shifted = Portraits(48, 1, seed=3, start=2)[0]
    for key in source.provides:
        np.testing.assert_array_equal(shifted[key], forward[2][key])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(source))[0][key], forward[0][key])
    assert not np.array_equal(forward[0]["image"], forward[1]["image"])
    assert not np.array_equal(forward[0]["image"], Portraits(48, 1, seed=4)[0]["image"])


def test_the_stored_bits():
    example = Portraits(64, 8, seed=7)[3]
    digests = {
        key: hashlib.sha256(example[key].astype("<i4").tobytes()).hexdigest()[:16]
        for key in ("labels", "parts", "attributes")
    }
    assert digests == {
        "labels": "fdd111646b040d24",
        "parts": "43a1af10f67cc3c3",
        "attributes": "e828b496d2a19ea2",
    }


@pytest.mark.parametrize(("size", "framing"), [(32, "tight"), (45, "portrait"), (512, "portrait")])
def test_keys_shapes_and_types(size, framing):
    keys = ("image", "labels", "parts", "attributes", "guide", "counterfactual", "name")
    source = Portraits(size, 2, framing=framing, guide="Smiling", provides=keys)
    example = source[1]
    assert tuple(example) == keys and isinstance(source, sources.Source)
    for key in ("image", "counterfactual"):
        assert (example[key].shape, example[key].dtype) == ((size, size, 3), np.uint8)
    for key, dtype in (("labels", np.uint8), ("parts", np.int32), ("guide", np.uint8)):
        assert (example[key].shape, example[key].dtype) == ((size, size, 1), dtype)
    assert (example["attributes"].shape, example["attributes"].dtype) == ((15,), np.int32)
    assert source.attribute_names == tuple(ATTRIBUTES)
    assert str(example["name"]) == "portrait_0_00000001"
    for index in (-1, 2):
        with pytest.raises(IndexError, match=r"outside 0\.\.1"):
            source[index]


def _merged(parts):
    """Ids of the highest bit of each pixel; 0 where there is none."""
    return np.frexp(parts.astype(np.float64))[1]


def test_labels_are_the_last_of_the_parts():
    source = Portraits(64, 60, prevalences=DRESSED, provides=("labels", "parts"))
    hands = 0
    for index in range(len(source)):
        example = source[index]
        hand = source.portrait(index).values["hand"] <= 0.06
        differ = example["labels"] != _merged(example["parts"])
        assert (example["labels"][differ] == 0).all() and (hand or not differ.any())
        hands += differ.any()
    assert 0 < hands < 15


def test_left_is_on_the_left():
    columns = np.arange(64)
    for index in range(12):
        parts = Portraits(64, 12, provides=("parts",))[index]["parts"][..., 0]
        for left, right in CELEBAMASK.mirrored:
            places = []
            for part in (left, right):
                rows, found = np.nonzero(parts >> (part - 1) & 1)
                places.append(columns[found].mean() if rows.size else np.nan)
            assert not places[0] >= places[1]


def test_areas_of_the_parts():
    """Mean shares of the frame, and how many portraits show a part at all."""
    source = Portraits(64, 150, prevalences=DRESSED, provides=("labels",))
    shares = np.stack([np.bincount(source[i]["labels"].ravel(), minlength=19) for i in range(150)])
    shares = shares / 64**2
    ranges = {
        "background": (0.5, 0.68),
        "skin": (0.10, 0.20),
        "nose": (0.005, 0.013),
        "eye_g": (0.006, 0.02),
        "l_eye": (0.0015, 0.004),
        "l_brow": (0.001, 0.003),
        "l_ear": (0.001, 0.004),
        "mouth": (0.001, 0.005),
        "u_lip": (0.001, 0.003),
        "l_lip": (0.002, 0.005),
        "hair": (0.05, 0.11),
        "hat": (0.03, 0.09),
        "ear_r": (0.0005, 0.004),
        "neck_l": (0.0005, 0.004),
        "neck": (0.015, 0.045),
        "cloth": (0.03, 0.11),
    }
    for name, (low, high) in ranges.items():
        assert low < shares[:, NAMES.index(name)].mean() < high, name
    for left, right in CELEBAMASK.mirrored:
        assert shares[:, left].mean() == pytest.approx(shares[:, right].mean(), rel=0.25)
    shown = (shares > 0).mean(axis=0)
    assert (shown[[0, 1, 2, 12, 17, 18]] > 0.95).all() and (shown > 0.15).all()


def test_layers_are_single_precision_and_have_a_look():
    surfaces = set()
    for index in range(40):
        canvas, layers = draw(Portraits(32, 40, prevalences=DRESSED).portrait(index), 32)
        assert {layer.coverage.dtype for layer in layers} == {np.dtype(np.float32)}
        assert all(0 <= layer.coverage.min(initial=1) for layer in layers)
        assert all(layer.coverage.max(initial=0) <= 1 for layer in layers)
        surfaces |= {layer.surface for layer in layers} - {""}
        known = set(portrait_looks.palette(canvas.portrait))
    assert surfaces <= known
    for attribute in ATTRIBUTES.values():
        assert {*attribute.surfaces, *attribute.below} <= known


#: Part of every painted surface that has one.
_PARTS = {
    **dict.fromkeys(("skin", "blush", "mustache", "crease"), 1),
    **dict.fromkeys(("nose", "nose_shade", "nostril"), 2),
    **dict.fromkeys(("lens", "dark_lens", "rim"), 3),
    **dict.fromkeys(("eye", "iris", "pupil", "glint"), 4),
    "brow": 6,
    **dict.fromkeys(("ear", "earlobe"), 8),
    **dict.fromkeys(("mouth", "teeth", "tongue"), 10),
    **{"upper_lip": 11, "lower_lip": 12, "earring": 15, "necklace": 16, "hand": 0},
    **dict.fromkeys(("hair", "fringe"), 13),
    **dict.fromkeys(("hat", "hat_band"), 14),
    **dict.fromkeys(("neck_skin", "chin_shadow"), 17),
    **dict.fromkeys(("cloth", "collar"), 18),
}


def test_image_and_labels_agree_to_the_pixel(monkeypatch):
    true = portrait_looks.palette

    def flat(portrait):
        colours = {name: (_PARTS.get(name, 0) * 10.0,) * 3 for name in true(portrait)}
        clear = ("lid", "lens", "hand_line")  # a lid lies on the eye's edge, a lens lets it pass
        return {name: Paint(c, float(name not in clear), False) for name, c in colours.items()}

    monkeypatch.setattr(portrait_looks, "palette", flat)
    monkeypatch.setattr(
        portrait_looks, "backdrop", lambda c: np.zeros((3, c.size, c.size), np.float32)
    )
    right, count = 0, 0
    for index in range(12):
        portrait = sample(5, index)
        quiet = {**portrait.values, "noise": 0.0}
        drawing = draw(dataclasses.replace(portrait, values=quiet), 128)
        image = portraits.render_image(drawing)[..., 0] / 10.0
        labels = portraits.render_labels(drawing)[..., 0]
        labels[np.isin(labels, (5, 7, 9))] -= 1
        inner = ndimage.minimum_filter(labels, 3) == ndimage.maximum_filter(labels, 3)
        right += (np.abs(image - labels) < 0.5)[inner].sum()
        count += inner.sum()
    assert right / count > 0.997


@pytest.mark.parametrize("framing", ["portrait", "tight"])
def test_sizes_show_the_same_portrait(framing):
    agreement, error = [], []
    for index in range(4):
        large = Portraits(256, 4, framing=framing, provides=("image", "labels"))[index]
        small = Portraits(64, 4, framing=framing, provides=("image", "labels"))[index]
        agreement.append(large["labels"][2::4, 2::4] == small["labels"])
        blocks = large["image"].reshape(64, 4, 64, 4, 3).mean((1, 3))
        error.append(np.abs(blocks - small["image"]).mean())
    assert np.mean(agreement) > 0.95
    assert np.mean(error) < 7.0  # noise of its own at each size


def test_tight_pictures_are_full_of_face():
    skin = [
        np.mean(
            [Portraits(32, 9, framing=f, provides=("parts",))[i]["parts"] & 1 for i in range(9)]
        )
        for f in ("portrait", "tight")
    ]
    assert 0.15 < skin[0] < 0.33 < skin[1] < 0.52


def test_illegal_fields_are_named():
    cases = {
        "portraits of 16 px; expected 32..512": dict(size=16),
        "Unknown framing 'close'": dict(framing="close"),
        "Unknown attribute 'Smile'": dict(attributes=("Smile",)),
        "Unknown attribute 'Grin'": dict(guide="Grin"),
        "need the attribute that they are of": dict(provides=("guide",)),
        "jaw_coupling 2.0": dict(jaw_coupling=2.0),
        "Smiling has the share 1.5": dict(prevalences=(("Smiling", 1.5),)),
        "exclude each other": dict(prevalences=(("Black_Hair", 0.6), ("Blond_Hair", 0.5))),
        "cannot have the correlation 0.9": dict(
            correlations=(("Smiling", "Mouth_Slightly_Open", 0.9),), prevalences=(("Smiling", 0.1),)
        ),
        "cannot be correlated": dict(correlations=(("Smiling", "Bald", 0.1),)),
        "a quantity of": dict(spurious=(("Smiling", "colour", 0.5),)),
    }
    for message, field in cases.items():
        with pytest.raises(UserError, match=message):
            Portraits(**{"size": 32, "length": 1, **field})
