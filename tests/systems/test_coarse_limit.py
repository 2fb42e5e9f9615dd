"""The oracle of benchmarks/coarse_limit.py."""

import pathlib
import runpy

import numpy as np

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/coarse_limit.py"
ANSWERS = runpy.run_path(str(SCRIPT))["answers"]


def test_void_that_was_drawn_is_not_spread():
    coarse = np.array([[3, 0, 0, 1, 1]])  # 0 = nobody labelled, 3 = void
    found = ANSWERS(coarse, coarse, 0, [3], 2.0)
    np.testing.assert_array_equal(found["the nearest label"], [[3, 3, 1, 1, 1]])
    np.testing.assert_array_equal(found["the nearest evaluated label"], [[3, 1, 1, 1, 1]])


def test_regions_grow_back_by_their_depth():
    """A bar of one pixel, its margin half of one, between two regions whose margins are 2 px."""
    truth = np.repeat(np.repeat([[1, 2, 1]], [8, 2, 8], 1), 9, 0)
    coarse = np.zeros_like(truth)
    coarse[:, :6], coarse[:, 8], coarse[:, 12:] = 1, 2, 1
    found = ANSWERS(truth, coarse, 0, [], 2.0)
    assert (found["the nearest label"][4] == 2).sum() == 4
    np.testing.assert_array_equal(found["regions grown back"][4] == 2, np.arange(18) // 2 == 4)
    assert (ANSWERS(truth, coarse, 0, [], 0.0)["regions grown back"][4] == 2).sum() > 2


def test_regions_that_anyone_drew_are_known_whole_and_others_are_not():
    truth = np.full((8, 12), 1)
    truth[2:6, 2:5] = 2  # drawn by one pixel
    truth[2:6, 7:10] = 2  # left out
    coarse = np.zeros_like(truth)
    coarse[0], coarse[-1], coarse[3, 3] = 1, 1, 2
    found = ANSWERS(truth, coarse, 0, [], 1.0)
    np.testing.assert_array_equal(found["the coarse map"], coarse)
    expected = truth.copy()
    # The oracle takes the nearest label where nothing was drawn, and there 2 may be nearest.
    left_out = np.zeros(truth.shape, bool)
    left_out[2:6, 7:10] = True
    expected[left_out] = found["the nearest label"][left_out]
    np.testing.assert_array_equal(found["drawn regions whole"], expected)
    assert (expected[left_out] == 1).any()
