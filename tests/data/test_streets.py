"""Procedural streets: the same bits at every call, aligned modalities, colours that tell little."""

import dataclasses
import hashlib

import numpy as np
import pytest
from scipy import ndimage

from segsynth.data import feed, sources
from segsynth.data.label_sets import CITYSCAPES
from segsynth.data.transforms import Flip
from segsynth.data.worlds import streets
from segsynth.data.worlds.streets import Streets, describe
from segsynth.errors import UserError

MAPS = ("labels", "instance")


def _labels(count, height=64, width=128, seed=0, ids="published", provides=("labels",)):
    source = Streets(height, width, count, seed, ids=ids, provides=provides)
    return [source[i] for i in range(count)]


def test_an_example_depends_on_seed_index_and_size_alone():
    forward = [Streets(32, 64, 3, seed=3)[i] for i in range(3)]
    shifted = Streets(32, 64, 1, seed=3, start=2)[0]
    for key in ("image", "labels", "coarse", "instance", "name"):
        np.testing.assert_array_equal(shifted[key], forward[2][key])
        np.testing.assert_array_equal(Streets(32, 64, 3, seed=3)[0][key], forward[0][key])
    assert not np.array_equal(forward[0]["image"], Streets(32, 64, 1, seed=4)[0]["image"])
    assert not np.array_equal(forward[0]["image"], forward[1]["image"])


def test_the_stored_bits():
    example = Streets(64, 128, 8, seed=7)[3]
    digests = {
        key: hashlib.sha256(example[key].astype("<i4").tobytes()).hexdigest()[:16]
        for key in ("labels", "coarse", "instance")
    }
    assert digests == {
        "labels": "19eefe221b0fc9e6",
        "coarse": "f9e9d84a00b2e198",
        "instance": "ed414cb67de919ad",
    }


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 96), (128, 256), (512, 512)])
def test_keys_shapes_and_types(height, width):
    source = Streets(height, width, 2)
    example = source[1]
    assert tuple(example) == source.provides and isinstance(source, sources.Source)
    assert (example["image"].shape, example["image"].dtype) == ((height, width, 3), np.uint8)
    for key, dtype in (("labels", np.uint8), ("coarse", np.uint8), ("instance", np.int32)):
        assert (example[key].shape, example[key].dtype) == ((height, width, 1), dtype)
    assert str(example["name"]) == "street_0_00000001"
    for index in (-1, 2):
        with pytest.raises(IndexError, match=r"outside 0\.\.1"):
            source[index]


@pytest.mark.parametrize("width", [32, 128])
def test_sizes_show_the_same_street(width):
    agreement, error = [], []
    for index in range(5):
        large = Streets(256, 512, 5, provides=("image", "labels"))[index]
        small = Streets(width // 2, width, 5, provides=("image", "labels"))[index]
        pick = [(np.arange(n) * 2 + 1) * 512 // (2 * width) for n in (width // 2, width)]
        agreement.append(large["labels"][np.ix_(*pick)] == small["labels"])
        size = 512 // width
        blocks = large["image"].reshape(width // 2, size, width, size, 3).mean((1, 3))
        error.append(np.abs(blocks - small["image"]).mean())
    assert np.mean(agreement) > 0.95
    assert np.mean(error) < 6.0  # noise of its own at each size


def test_every_id_occurs():
    seen = np.zeros(256, int)
    for example in _labels(45, 48, 96):
        seen += np.bincount(example["labels"].ravel(), minlength=256)
    assert np.flatnonzero(seen).tolist() == list(range(34))
    share = seen / seen.sum()
    assert 0.2 < share[7] < 0.5 and 0.1 < share[11] < 0.4 and 0.03 < share[26] < 0.15
    assert share[0] < 0.02


def test_instances_are_objects_of_one_class():
    has_instances = CITYSCAPES.instance_ids()
    for example in _labels(20, provides=MAPS):
        labels, objects = example["labels"], example["instance"]
        np.testing.assert_array_equal(objects > 0, has_instances[labels])
        np.testing.assert_array_equal(objects[objects > 0] // 1000, labels[objects > 0])


def test_image_and_labels_agree_to_the_pixel():
    street = describe(1, 5)
    greys = (np.arange(len(street.layers)) * 37 % 200 + 20.0).round()
    flat = [
        dataclasses.replace(
            layer,
            texture=dataclasses.replace(
                layer.texture, colours=np.full((2, 3), grey), tint=np.zeros(3), roundness=0.0
            ),
        )
        for layer, grey in zip(street.layers, greys, strict=True)
    ]
    quiet = dataclasses.replace(street.light, noise=0.0)
    street = dataclasses.replace(street, layers=tuple(flat), light=quiet)
    image = streets.render_image(street, 64, 128)[..., 0]
    seen = streets.render_layers(street, 64, 128)[..., 0]
    inner = ndimage.minimum_filter(seen, 3) == ndimage.maximum_filter(seen, 3)
    assert inner.mean() > 0.5
    # A thing thinner than a pixel may be seen by a sample and by no pixel centre.
    assert (image[inner] == greys[seen[inner]]).mean() > 0.97


def test_depth():
    for example in _labels(6, provides=("labels", "depth")):
        labels, depth = example["labels"][..., 0], example["depth"][..., 0]
        assert depth.dtype == np.float32 and depth.min() >= 0.0 and depth.max() <= 1.0
        assert (depth[labels == 23] == 0.0).all()
        rows = [depth[row][labels[row] == 7] for row in range(64)]
        road = [row.mean() for row in rows if row.size]
        assert np.all(np.diff(road) >= -1e-6) and road[-1] > 2 * road[0]


def _fine_and_coarse(count, height, width):
    examples = _labels(count, height, width, ids="train", provides=("labels", "coarse"))
    return (np.stack([e[key] for e in examples]).ravel() for key in ("labels", "coarse"))


def test_small_maps_lack_as_much_as_large_ones():
    labels, coarse = _fine_and_coarse(100, 32, 64)
    valid, known = labels != 255, coarse != 255
    assert 0.60 <= (coarse == labels)[valid].mean() <= 0.77
    assert (coarse == labels)[valid & known].mean() >= 0.95


def test_coarse_labels_are_like_the_published_ones():
    """As Cityscapes': 68.5 % of all pixels, hardly a wrong one, and a recall of .1 to .9."""
    labels, coarse = _fine_and_coarse(24, 128, 256)
    valid, known = labels != 255, coarse != 255
    assert (coarse == labels)[valid].mean() == pytest.approx(0.685, abs=0.07)
    assert (coarse == labels)[valid & known].mean() > 0.97
    for c, target in {0: 0.87, 2: 0.54, 8: 0.55, 10: 0.58, 13: 0.52}.items():
        assert (coarse == c)[labels == c].mean() == pytest.approx(target, abs=0.2), c
    for c in (1, 5, 7, 11):
        assert 0.05 < (coarse == c)[labels == c].mean() < 0.7, c


def test_a_mirrored_street_has_the_mirror_of_its_coarse_labels():
    street = _labels(1, ids="published", provides=("labels", "coarse"))[0]
    mirrored = Flip(1.0)(street, np.random.default_rng(0))
    for key in ("labels", "coarse"):
        np.testing.assert_array_equal(mirrored[key][:, ::-1], street[key])
        assert (mirrored[key] != street[key]).any()


_COLOURS = 84


@pytest.fixture(scope="module")
def pictures():
    source = Streets(32, 64, _COLOURS, ids="train", provides=("image", "labels"))
    return [source[i] for i in range(_COLOURS)]


def _accuracy_by_colour(pictures, mixed):
    """Accuracy and mean recall of the best class by colour (16 levels a channel), held out."""
    palette = CITYSCAPES.train_palette().astype(float)
    table, found = np.zeros((16**3, 19)), np.zeros((19, 19))
    for index, example in enumerate(pictures):
        labels = example["labels"][..., 0]
        valid = labels != 255
        labels = labels[valid]
        image = example["image"][valid] * (1 - mixed) + mixed * palette[labels]
        cells = (image // 16).astype(int) @ [256, 16, 1]
        if index < 60:
            np.add.at(table, (cells, labels), 1)
        else:
            np.add.at(found, (labels, table[cells].argmax(axis=1)), 1)
    recall = np.diag(found) / np.maximum(found.sum(axis=1), 1)
    return np.diag(found).sum() / found.sum(), recall[found.sum(axis=1) > 0].mean()


def test_colour_does_not_tell_the_class(pictures):
    fair, tied = _accuracy_by_colour(pictures, 0.0), _accuracy_by_colour(pictures, 0.5)
    assert fair[0] < 0.6 and fair[1] < 0.2
    assert tied[1] > fair[1] + 0.2  # the control: tied to the class, colour does tell


def test_a_steady_street_is_the_same_street_in_the_colours_of_its_classes():
    data = {"source": "streets", "resolution": 32, "frame": (32, 64), "seed": 2}
    data |= {"length": 14, "eval_length": 1}
    varied = sources.build(data, "train")
    steady = sources.build(data | {"options": {"light": "steady"}}, "train")
    means = {"varied": {}, "steady": {}}
    np.testing.assert_array_equal(steady[3]["image"], steady[3]["image"])
    for i in range(14):
        a, b = varied[i], steady[i]
        for key in ("labels", "coarse", "instance", "name"):
            np.testing.assert_array_equal(a[key], b[key])
        for light, example in (("varied", a), ("steady", b)):
            for number in np.unique(a["labels"]):
                inside = example["image"][a["labels"][..., 0] == number]
                if len(inside) > 40:
                    means[light].setdefault(int(number), []).append(inside.mean(0))
    often = [n for n, colours in means["steady"].items() if len(colours) > 5]
    assert len(often) > 5
    spread = {
        light: np.mean([np.std(found[n], axis=0).mean() for n in often])
        for light, found in means.items()
    }
    assert spread["steady"] < 8 and spread["varied"] > 2.5 * spread["steady"]
    centres = np.array([np.mean(means["steady"][n], axis=0) for n in often])
    apart = np.abs(centres[:, None] - centres[None]).max(-1) + 255 * np.eye(len(often))
    assert apart.min() > 20  # each class has a colour of its own
    with pytest.raises(UserError, match="light 'dim'; expected"):
        sources.build(data | {"options": {"light": "dim"}}, "train")


def test_train_ids():
    fine, mapped = (
        _labels(1, ids=ids, provides=("labels", "coarse")) for ids in ("published", "train")
    )
    for key in ("labels", "coarse"):
        np.testing.assert_array_equal(CITYSCAPES.to_train_ids(fine[0][key]), mapped[0][key])


def test_the_annotator_is_a_setting():
    world = {"source": "streets", "frame": (32, 64), "length": 1, "eval_length": 1, "seed": 0}
    maps = [
        sources.build(world | {"coarsening": {"drop": p, "drop_small": p}}, "train")[0]["coarse"]
        for p in (0.0, 0.5)
    ]
    assert (maps[0] > 0).sum() > (maps[1] > 0).sum() > 0


class _Reader:
    inputs, targets = ("image", "coarse"), ("labels",)


def test_by_name_and_through_a_feed():
    data = {"source": "streets", "resolution": 32, "frame": (32, 64), "seed": 1, "ids": "train"}
    config = data | {"length": 6, "eval_length": 4}
    train, val = sources.build(config, "train"), sources.build(config, "val")
    assert (len(train), len(val)) == (6, 4) and train.ids == "train"
    assert not np.array_equal(train[0]["labels"], val[0]["labels"])
    assert sources.build(config | {"frame": ()}, "val")[0]["image"].shape == (32, 32, 3)
    with pytest.raises(UserError, match="no split 'all'"):
        sources.build(config, "all")
    settings = {"system": {"name": "reader"}, "data": config, "eval": {"batch": 2}}
    with feed.evaluation(settings, _Reader(), seed=0) as batches:
        found = list(batches)
    assert len(found) == 2 and found[0]["coarse"].shape == (2, 32, 64, 1)
    np.testing.assert_array_equal(found[1]["labels"][1], val[3]["labels"])


def test_wrong_frames_are_named():
    with pytest.raises(UserError, match="expected 0 < height <= width"):
        Streets(64, 32, 1)
    with pytest.raises(UserError, match="'published' or 'train'"):
        Streets(32, 32, 1, ids="names")
    with pytest.raises(UserError, match="'varied' or 'steady'"):
        Streets(32, 32, 1, light="dim")
