"""Coarse labels from fine ones: outlines that fill back, determinism, and the measured targets."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from segsynth.data import outlines, pictures, sources
from segsynth.data.coarsen import STEADY, Coarsening, coarsen
from segsynth.data.layouts.camvid import camvid
from segsynth.data.worlds import raster
from segsynth.errors import UserError


def _blobs(seed, shape=(40, 60)):
    """A map of four classes in smooth patches, 255 here and there."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.normal(size=(4, *shape)), (0, 4, 4))
    labels = fields.argmax(axis=0).astype(np.uint8)
    labels[ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.2] = 255
    return labels


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_outlines_fill_back_to_the_region(share):
    for seed in range(5):
        inside = np.random.default_rng(seed).random((13, 17)) < share
        loops = outlines.trace(inside)
        (rows, columns), filled = raster.fill([loop / 17 for loop in loops], 17)
        whole = np.zeros((17, 17), bool)
        whole[rows, columns] = filled
        np.testing.assert_array_equal(whole[:13], inside)


def test_outlines_turn_right_around_the_inside():
    inside = np.zeros((6, 7), bool)
    inside[1:5, 1:6] = True
    inside[2:4, 2:5] = False
    outer, hole = outlines.trace(inside)
    assert {tuple(p) for p in outer} == {(1, 1), (6, 1), (6, 5), (1, 5)} and len(hole) == 4

    def area(points):
        (x, y), (u, v) = points.T, np.roll(points, -1, axis=0).T
        return float((x * v - u * y).sum() / 2)

    assert (area(outer), area(hole)) == (20.0, -6.0)
    assert outlines.trace(np.zeros((3, 3), bool)) == []


def test_corner_neighbours_are_apart():
    assert len(outlines.trace(np.eye(3, dtype=bool))) == 3


def test_simplified_outlines_stay_within_the_tolerance():
    circle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    outline = 50 * np.stack([np.cos(circle), np.sin(circle)], -1)
    counts = [len(outlines.simplify(outline, tolerance)) for tolerance in (0.1, 1.0, 5.0)]
    assert counts[0] > counts[1] > counts[2] >= 4
    few = outlines.simplify(outline, 1.0)
    nearest = np.linalg.norm(few[:, None] - outline, axis=-1).min(axis=1)
    assert nearest.max() == 0.0  # vertices are kept, not made
    edges = np.roll(few, -1, axis=0) - few
    offset = outline[:, None] - few
    share = np.clip((offset * edges).sum(-1) / (edges**2).sum(-1), 0, 1)
    assert np.linalg.norm(offset - share[..., None] * edges, axis=-1).min(axis=1).max() <= 1.0


def test_the_same_arguments_give_the_same_bits():
    labels = _blobs(0)
    settings = Coarsening(smallest=0.0, small=1.0)
    coarse = coarsen(labels, (3, 1), unlabelled=255, settings=settings)
    np.testing.assert_array_equal(
        coarsen(labels.copy(), (3, 1), unlabelled=255, settings=settings), coarse
    )
    assert (coarsen(labels, (3, 2), unlabelled=255, settings=settings) != coarse).any()
    digest = hashlib.sha256(coarse.tobytes()).hexdigest()
    assert digest[:12] == "f75007120a30"


def test_labels_are_true_where_polygons_are_clipped():
    for seed in range(6):
        labels = _blobs(seed)
        settings = Coarsening(clean=1.0, smallest=0.0, small=1.0)
        coarse = coarsen(labels, seed, unlabelled=255, settings=settings)
        known = coarse != 255
        assert coarse.dtype == np.uint8 and 0.2 < known.mean() < 0.95
        np.testing.assert_array_equal(coarse[known], labels[known])
        assert not known[labels == 255].any()


def test_odd_maps():
    one = np.full((20, 30), 4, np.uint8)
    settings = Coarsening(drop=0.0, drop_small=0.0, smallest=0.0)
    coarse = coarsen(one, 0, unlabelled=11, settings=settings)
    assert (coarse == 4).mean() > 0.8  # reaches the frame: the region goes on beyond it
    assert (coarsen(one, 0, unlabelled=4) == 4).all()
    assert coarsen(one[:1, :1], 0, unlabelled=11).shape == (1, 1)
    everything = Coarsening(drop=1.0, drop_small=1.0, large=1e9)
    assert (coarsen(one, 0, unlabelled=11, settings=everything) == 11).all()


def test_small_regions_are_dropped_more_often():
    labels = np.full((256, 512), 255, np.uint8)
    for row in range(8, 248, 24):
        for column in range(8, 248, 24):
            labels[row : row + 10, column : column + 10] = 1
    labels[8:248, 264:500] = 2
    kept = [0, 0]
    for seed in range(10):
        coarse = coarsen(labels, seed, unlabelled=255)
        kept[0] += ndimage.label(coarse == 1)[1] / 100
        kept[1] += (coarse == 2).any()
    assert kept[0] < 5 and kept[1] >= 9


def test_a_steady_annotator_keeps_two_pixels_from_borders_and_drops_nothing():
    labels = np.ones((32, 64), np.uint8)
    labels[:, 40:] = 2
    labels[4:29:6, 3:38:6] = 3  # of one pixel
    labels[5:15, 46:56] = 4
    drawn = [coarsen(labels, seed, unlabelled=0, settings=STEADY) for seed in range(8)]
    for coarse in drawn:
        np.testing.assert_array_equal(coarse, drawn[0], "nothing is drawn by chance")
        np.testing.assert_array_equal(coarse[coarse > 0], labels[coarse > 0])
    assert (coarse == 3).sum() == 5 * 6
    np.testing.assert_array_equal(coarse[31] == 2, np.arange(64) >= 42)
    rows, columns = (np.flatnonzero(line == 4) for line in (coarse[:, 50], coarse[10]))
    assert (*rows[[0, -1]], *columns[[0, -1]]) == (7, 12, 48, 53)


def test_a_steady_annotator_keeps_half_the_depth_of_thin_regions_and_follows_outlines():
    labels = np.ones((120, 256), np.uint8)
    labels[8:16] = 2
    rows, columns = np.mgrid[:120, :256]
    labels[np.hypot(rows - 70, columns - 128) < 30.5] = 3
    coarse = coarsen(labels, 0, unlabelled=0, settings=STEADY)
    # The deepest of its 8 rows are 4 px deep, so that 2 px are kept; of a disc 8 px.
    np.testing.assert_array_equal(np.flatnonzero((coarse == 2).all(1)), np.arange(10, 14))
    assert (coarse == 3).sum() == pytest.approx(np.pi * 22.5**2, rel=0.03)


def test_instances_split_a_class():
    labels = np.full((64, 128), 1, np.uint8)
    instances = np.arange(128)[None] // 64 + np.ones((64, 1), np.int64)
    settings = Coarsening(drop=0.0, drop_small=0.0)
    coarse = coarsen(labels, 0, unlabelled=0, instances=instances, settings=settings)
    assert ndimage.label(coarse)[1] == 2


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match="expected probabilities"):
        Coarsening(drop=1.5)
    with pytest.raises(UserError, match="ranges 0 <= a <= b"):
        Coarsening(radius=(3.0, 1.0))


def test_a_source_with_made_labels(tmp_path):
    labels = np.full((64, 96, 1), 3, np.int32)
    labels[20:50, 30:70] = 8
    for name in ("a", "b"):
        for folder, array in (
            ("images", labels.repeat(3, -1).astype(np.uint8)),
            ("labels", labels),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            pictures.write_png(tmp_path / folder / f"{name}.png", array)
    (tmp_path / "val.txt").write_text("b\n")
    config = {"source": "camvid", "root": str(tmp_path), "make_coarse": True, "ids": "train"}
    every, val = sources.build(config, "all"), sources.build(config, "val")
    assert isinstance(every, sources.Source)
    assert every.provides == ("image", "labels", "name", "coarse") and len(every) == 2
    np.testing.assert_array_equal(every[1]["coarse"], val[0]["coarse"])  # by name, not by place
    known = every[0]["coarse"] != 255
    assert known.any() and (every[0]["coarse"] == every[0]["labels"])[known].all()
    assert (every[0]["coarse"] != every[1]["coarse"]).any()
    nothing = {"drop": 1.0, "drop_small": 1.0, "large": 1e9}
    lazy = sources.build(config | {"coarsening": nothing}, "all")[0]["coarse"]
    assert (lazy == 255).all()
    with pytest.raises(UserError, match=r"data\.coarsening has no 'drops'"):
        sources.build(config | {"coarsening": {"drops": 1.0}}, "all")
    with pytest.raises(UserError, match="coarse labels of camvid are not made"):
        sources.build(config | {"coarsening": nothing, "make_coarse": False}, "all")
    (tmp_path / "x.png").write_bytes((tmp_path / "images/a.png").read_bytes())
    with pytest.raises(UserError, match=r"the source provides image\. Choose one with labels"):
        sources.build(config | {"source": "folder"}, "all")


def test_targets_on_real_labels(test_data):
    """What Cityscapes' coarse labels have, mean over pictures; these streets are others."""
    source = camvid(test_data / "street_camvid")
    picked = range(0, 170, 6)
    recall = np.full((len(picked), 11), np.nan)
    right = total = drawn = 0
    for row, index in enumerate(picked):
        labels = source[index]["labels"][..., 0]
        coarse = coarsen(labels, (0, index), unlabelled=11)
        valid = labels < 11
        right += int(((coarse == labels) & valid).sum())
        drawn += int(((coarse < 11) & valid).sum())
        total += int(valid.sum())
        for c in np.unique(labels[valid]):
            recall[row, c] = (coarse == c)[labels == c].mean()
    assert right / total == pytest.approx(0.685, abs=0.04)
    assert right / drawn > 0.97
    mean = np.nanmean(recall, axis=0)
    targets = {0: 0.58, 1: 0.54, 3: 0.87, 5: 0.55, 8: 0.52, 6: 0.37, 10: 0.25}
    for c, target in targets.items():
        assert mean[c] == pytest.approx(target, abs=0.15), (c, mean)
    assert mean[4] == pytest.approx(0.34, abs=0.2)  # wider pavements than in Cityscapes
    assert 0.05 < mean[2] < 0.4 and 0.1 < mean[9] < 0.45
