"""The blind study: nothing tells the methods apart but the key, and votes are counted by it."""

import csv
import json
import re

import numpy as np
import pytest

from segsynth.data import pictures
from segsynth.drawings import choices
from segsynth.errors import UserError

NAMES = ("a", "b", "sub/c", "d", "e", "f")
_GREY = {"photos": 40, "base": 100, "ours": 200}


@pytest.fixture
def folders(tmp_path):
    for kind, grey in _GREY.items():
        for i, name in enumerate(NAMES):
            path = tmp_path / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pictures.write_png(path, np.full((8, 9, 3), grey + i, np.uint8))
    return tmp_path


def kit(folders, name="kit", **more):
    return choices.make_kit(
        *(folders / kind for kind in ("photos", "base", "ours")), folders / name, **more
    )


def votes(folders, key, choose, rater="r1", name="votes.csv"):
    """Write the file that the page saves; ``choose(question)`` gives "1" or "2"."""
    asked = json.loads(key.read_text())
    with (folders / name).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("kit", "rater", "question", "choice"))
        for i, question in enumerate(asked["questions"], start=1):
            rows.writerow((asked["kit"], rater, i, choose(question)))
    return folders / name


def test_the_key_says_what_is_shown(folders):
    key = kit(folders)
    asked = json.loads(key.read_text())["questions"]
    assert key == folders / "kit.key.json" and len(asked) == len(NAMES)
    assert {question["picture"] for question in asked} == set(NAMES)
    for i, question in enumerate(asked, start=1):
        number = NAMES.index(question["picture"])
        for side, kind in (("photo", "photos"), ("1", question["1"]), ("2", question["2"])):
            shown = pictures.read_image(folders / f"kit/pictures/{i:04d}_{side}.png")
            assert (shown == _GREY[kind] + number).all()


def test_sides_are_even_and_follow_the_seed(folders):
    asked = [json.loads(kit(folders, f"kit{i}", seed=i).read_text()) for i in (0, 1)]
    again = json.loads(kit(folders, "again").read_text())
    for one in asked:
        assert sum(question["1"] == "ours" for question in one["questions"]) == len(NAMES) / 2
    assert asked[0]["questions"] == again["questions"] != asked[1]["questions"]
    assert asked[0]["kit"] != again["kit"]


def test_the_pages_do_not_tell_and_need_no_network(folders):
    kit(folders, question="Which <one> & why?")
    page = (folders / "kit/index.html").read_text()
    assert "Which &lt;one&gt; &amp; why?" in page and "@" not in page
    assert not re.search("ours|base|https?:|sub/", page)
    assert f"count = {len(NAMES)}" in page
    files = sorted(p.relative_to(folders / "kit").as_posix() for p in (folders / "kit").rglob("*"))
    assert len([f for f in files if f.endswith(".png")]) == 3 * len(NAMES)
    assert not [f for f in files if "key" in f]


def test_a_part_of_the_pictures(folders):
    assert len(json.loads(kit(folders, count=2).read_text())["questions"]) == 2


def test_what_would_tell_the_methods_apart_is_refused(folders):
    pictures.write_png(folders / "ours/d.png", np.zeros((9, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"base/d\.png is 9x8 px and .*ours/d\.png 8x9; draw both"):
        kit(folders)
    with pytest.raises(UserError, match="count is -1; expected"):
        kit(folders, count=-1)
    assert not (folders / "kit").exists()


def test_votes_are_counted_by_the_key(folders):
    key = kit(folders)
    right = votes(folders, key, lambda q: "1" if q["1"] == "ours" else "2")
    left = votes(folders, key, lambda q: "1", "r2", "left.csv")
    found = choices.tally(key, [right, left])
    assert (found.ours, found.votes, found.share) == (9, 12, 0.75)
    assert (found.raters, found.questions) == (2, 6)
    assert found.low < 0.75 < found.high


def test_wilsons_interval():
    # Newcombe, Statistics in Medicine 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for case, interval in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert choices.wilson(*case) == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("kit,rater", "kit,person", "expected the columns kit,rater,question,choice"),
        (",1,1\r\n", ",9,1\r\n", "question '9', choice '1'; expected 1 to 6 and 1 or 2"),
        (",1,1\r\n", ",1,3\r\n", "line 2: question '1', choice '3'"),
        (",2,1\r\n", ",1,1\r\n", "'r1' votes twice on question 1"),
    ],
)
def test_votes_that_cannot_be_are_refused(folders, before, after, said):
    key = kit(folders)
    path = votes(folders, key, lambda q: "1")
    text = path.read_bytes().decode()
    assert before in text
    path.write_bytes(text.replace(before, after).encode())
    with pytest.raises(UserError, match=re.escape(said)):
        choices.tally(key, [path])


def test_votes_on_another_kit_are_refused(folders):
    path = votes(folders, kit(folders), lambda q: "1")
    with pytest.raises(UserError, match="the key is of"):
        choices.tally(kit(folders, "other"), [path])
    with pytest.raises(UserError, match="is there already"):
        kit(folders)


def test_a_drawing_without_a_partner_is_named(folders):
    (folders / "ours/sub/c.png").unlink()
    with pytest.raises(UserError, match=r"c\.png has no partner in .*ours"):
        kit(folders)
    assert not (folders / "kit").exists()
