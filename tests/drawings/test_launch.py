"""The commands of launch/drawings.py do what their functions do."""

import json
import pathlib
import runpy
import sys

import numpy as np
import pytest

from segsynth.data import pictures
from segsynth.errors import UserError

SCRIPT = pathlib.Path(__file__).parents[2] / "launch/drawings.py"


@pytest.fixture
def launch(monkeypatch, tmp_path):
    for kind, grey in (("photos", 9), ("base", 90), ("ours", 200)):
        (tmp_path / kind).mkdir()
        pictures.write_png(tmp_path / kind / "a.png", np.full((8, 9, 3), grey, np.uint8))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["drawings.py", *arguments])
        runpy.run_path(str(SCRIPT))["main"]()

    return run


def test_differences(launch):
    launch("diff", "--base", "base", "--ours", "ours", "--output", "out")
    assert pictures.read_image("out/a.png").shape == (8, 9, 3)


def test_a_study_from_the_kit_to_its_votes(launch, capsys):
    folders = ("--photos", "photos", "--base", "base", "--ours", "ours")
    launch("kit", *folders, "--output", "kit", "--question", "Which?")
    key = json.loads(pathlib.Path("kit.key.json").read_text())
    assert key["question"] == "Which?" and "Which?" in pathlib.Path("kit/index.html").read_text()
    choice = "1" if key["questions"][0]["1"] == "ours" else "2"
    rows = f"kit,rater,question,choice\n{key['kit']},me,1,{choice}\n"
    pathlib.Path("votes.csv").write_text(rows)
    launch("votes", "--key", "kit.key.json", "votes.csv")
    said = "ours: 1.000 of 1 votes, 95 % interval 0.207 to 1.000 (1 raters, 1 questions)"
    assert capsys.readouterr().out.strip() == said


def test_flicker(launch, capsys):
    pathlib.Path("film").mkdir()
    for i in range(2):
        pictures.write_png(pathlib.Path(f"film/{i}.png"), np.full((8, 9, 3), 9, np.uint8))
        pictures.write_png(pathlib.Path(f"ours/{i}.png"), np.full((8, 9, 1), 102 * i, np.uint8))
    pathlib.Path("ours/a.png").unlink()
    launch("flicker", "--film", "film", "--drawings", "ours")
    said = "40.00 % of grey and 0.00 % of ink changes where the film stands still (100.0 % of its"
    assert capsys.readouterr().out.startswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "invalid choice: 'nonsense'"),
        (("votes", "--key", "kit.key.json"), "required: CSV"),
        (("strip", "--run", "none", "--image", "a.png", "--output", "b.png"), "no run directory"),
    ],
)
def test_mistakes_are_one_line(launch, arguments, said):
    with pytest.raises(UserError, match=said):
        launch(*arguments)
