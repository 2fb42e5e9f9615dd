"""Of 20 photographs with depth and labels one is lost: the others still have their own."""

import logging

import numpy as np
from small_trees import HEIGHT, WIDTH, build, write

COUNT, LOST = 20, 7


def test_a_lost_photograph_shifts_no_pair(tmp_path, caplog):
    for i in range(COUNT):
        write(tmp_path / f"photos/train/p{i:02d}.png", 10 * i, (HEIGHT, WIDTH, 3))
        write(tmp_path / f"depth/train/p{i:02d}.png", 3000 * i, dtype=np.uint16)
        write(tmp_path / f"seg/train/p{i:02d}.png", i)
    (tmp_path / f"photos/train/p{LOST:02d}.png").unlink()
    with caplog.at_level(logging.WARNING):
        source = build("photo_depth", tmp_path, "train")
    left = [i for i in range(COUNT) if i != LOST]
    assert source.names == tuple(f"p{i:02d}" for i in left)
    assert f"p{LOST:02d}" in caplog.text
    for i, example in zip(left, source, strict=True):
        assert (example["image"] == 10 * i).all() and (example["labels"] == i).all()
        np.testing.assert_allclose(example["depth"], 3000 * i / 65535, rtol=1e-6)
