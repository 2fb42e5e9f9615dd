"""benchmarks/mask_protocol.py on a tree of two small pictures."""

import pathlib
import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from segsynth.errors import UserError

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/mask_protocol.py"


def write(root, name, fine, coarse):
    for kind, labels in (("gtFine", fine), ("gtCoarse", coarse)):
        file = root / kind / "val/town" / f"{name}_{kind}_labelIds.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels.astype(np.uint8)).save(file)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT))["main"]()


def test_each_combination_has_a_line(tmp_path, monkeypatch, capsys):
    """Road with cars on one half: the coarse map has the road, and of the cars nothing."""
    fine = np.full((64, 128), 7)
    fine[:, 64:] = 26
    write(tmp_path, "a", fine, np.where(fine == 26, 0, fine))
    write(tmp_path, "b", np.full((64, 128), 7), np.full((64, 128), 7))
    run(monkeypatch, tmp_path)
    _, _, paper, *lines = capsys.readouterr().out.strip().splitlines()
    assert paper.split(" | ")[4:] == ["68.5", "39.4", "84.2", "57.6", " |"]
    assert len(lines) == 3 * 2 * 2 * 2
    off = [float(line.split(" | ")[-1].rstrip(" |")) for line in lines]
    assert off == sorted(off)
    cells = {tuple(line.strip("| ").split(" | ")[:4]): line.split(" | ")[4:8] for line in lines}
    # 3 of 4 pixels; IoU of road 1 and of cars 0. By picture: 1/2 and 1; (1/2) and 1.
    whole = cells["all 35", "full", "data set", "corner"]
    assert whole == ["75.0", "50.0", "100.0", "100.0"]
    assert cells["all 35", "full", "mean of pictures", "corner"] == [
        "75.0",
        "75.0",
        "100.0",
        "100.0",
    ]


@pytest.mark.parametrize("label", [35, 255])
def test_a_label_that_is_none_is_refused(tmp_path, monkeypatch, label):
    write(tmp_path, "a", np.full((64, 128), 7), np.full((64, 128), label))
    with pytest.raises(UserError, match=rf"a_gtCoarse_labelIds.png holds {label}; expected ids"):
        run(monkeypatch, tmp_path)


def test_a_folder_without_pairs_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no pairs"):
        run(monkeypatch, tmp_path)
