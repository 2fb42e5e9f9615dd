"""The page of the study, run by Node in place of a browser: what it saves can be counted."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from segsynth.data import pictures
from segsynth.drawings import choices

NODE = shutil.which("node")
#: As much of a browser as the page asks for; then a rater answers all questions but the last.
BROWSER = """
const elements = {}, kept = {};
const element = () => ({ classList: { toggle() {} }, value: "", textContent: "" });
globalThis.document = {
  getElementById: id => elements[id] ??= element(),
  createElement: () => ({ click() { saved.name = this.download; } }),
};
globalThis.localStorage = { getItem: k => kept[k] ?? null, setItem: (k, v) => { kept[k] = v; } };
const saved = {};
globalThis.Blob = class { constructor(parts) { saved.text = parts.join(""); } };
URL.createObjectURL = () => "";
PAGE
const first = elements.photo.src;
elements.save.onclick();
const refused = elements.note.textContent;
elements.rater.oninput({ target: { value: "x" } });
elements.rater.value = 'A, "b"';
elements.choose2.onclick();
document.onkeydown({ key: "1", target: { tagName: "BODY" } });
document.onkeydown({ key: "2", target: { tagName: "INPUT" } });
elements.save.onclick();
const place = elements.place.textContent, note = elements.note.textContent;
console.log(JSON.stringify({ first, refused, place, note, kept, ...saved }));
"""


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_votes_of_the_page_are_counted(tmp_path):
    for kind in ("photos", "base", "ours"):
        (tmp_path / kind).mkdir()
        for name in "abc":
            pictures.write_png(tmp_path / kind / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    key = choices.make_kit(*(tmp_path / n for n in ("photos", "base", "ours", "kit")))
    page = (tmp_path / "kit/index.html").read_text()
    (script,) = re.findall(r"<script>(.*)</script>", page, re.S)
    program = BROWSER.replace("PAGE", script)
    done = subprocess.run([NODE, "-"], input=program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["first"] == "pictures/0001_photo.png"
    assert (tmp_path / "kit" / found["first"]).is_file()
    assert found["refused"] == "Enter your name or number first." and "name" in found
    assert found["place"] == "3 of 3, 2 answered"
    assert found["note"] == "Saved; 1 not answered yet."
    assert list(json.loads(*found["kept"].values())["votes"].items()) == [("1", "2"), ("2", "1")]
    (tmp_path / "votes.csv").write_text(found["text"], newline="")
    asked = json.loads(key.read_text())["questions"]
    tally = choices.tally(key, [tmp_path / "votes.csv"])
    assert (tally.votes, tally.raters, tally.questions) == (2, 1, 2)
    assert tally.ours == (asked[0]["2"] == "ours") + (asked[1]["1"] == "ours")
