"""A cached source reads each example once and gives it unchanged."""

import numpy as np
import pytest

from segsynth.data.cache import Cached


class Counted:
    """Three small examples; counts its reads."""

    provides = ("image",)

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.reads += 1
        return {"image": np.full((2, 2, 3), index, np.uint8)}


def test_each_example_is_read_once():
    source = Counted()
    cached = Cached(source)
    for index in (0, 1, 0, 1, 2, 2):
        assert (cached[index]["image"] == index).all()
    assert source.reads == 3
    assert len(cached) == 3 and cached.provides == ("image",)


def test_what_one_reader_does_does_not_reach_the_next():
    cached = Cached(Counted())
    example = cached[1]
    example["mask"] = np.zeros(1)
    assert "mask" not in cached[1]
    with pytest.raises(ValueError, match="read-only"):
        example["image"][0] = 7
