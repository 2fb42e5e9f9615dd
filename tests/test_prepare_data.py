"""launch/prepare_data.py: checks, writes, draws; and the mistakes it refuses."""

import importlib.util
import logging
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from segsynth import cli, prepare, preview
from segsynth.data import pictures, sources
from segsynth.data.label_sets import CAMVID, CELEBAMASK
from segsynth.data.layouts.camvid import camvid
from segsynth.data.records import records
from segsynth.data.worlds.scenes import Scenes
from segsynth.data.worlds.streets import Streets
from segsynth.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "launch/prepare_data.py"


def _module():
    spec = importlib.util.spec_from_file_location("launch_prepare_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def launch(monkeypatch, capsys):
    """Runs the script in this process: ``launch(*arguments) -> (code, out lines, err lines)``."""
    root, ours = logging.getLogger(), logging.getLogger("segsynth")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["prepare_data.py", *map(str, arguments)])
        code = cli.run(_module().main)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    yield run
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


@pytest.fixture
def tree(tmp_path):
    """CamVid as published, of three frames, without a test split."""
    for i, part in enumerate(("train", "train", "val")):
        for folder, shape in ((part, (6, 8, 3)), (f"{part}annot", (6, 8, 1))):
            (tmp_path / "tree" / folder).mkdir(parents=True, exist_ok=True)
            array = np.full(shape, 3 + i, np.uint8)
            pictures.write_png(tmp_path / "tree" / folder / f"x{i}.png", array)
    return tmp_path / "tree"


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['prepare_data.py', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'jax', 'grain', 'numpy', 'PIL', 'tensorflow_datasets'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )

    def seconds():
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0 and "python launch/prepare_data.py" in done.stdout, done.stderr
        return time.perf_counter() - began

    assert min(seconds() for _ in range(3)) < 1


def test_checks_and_writes(launch, tree, tmp_path):
    code, out, err = launch("--dataset", "camvid", "--root", tree, "--output", tmp_path / "out")
    folder = tmp_path / "out/segsynth/camvid/1.0.0"
    assert (code, err) == (0, [])
    assert out == [
        f"test: left out: {tree}/test is not a folder, expected the pictures of the split.",
        "train: 2 examples, 0 faults",
        *("  size: 6 x 8", "  image: 2 PNG RGB", "  labels: 2 PNG L", "  ids in labels: 3..4"),
        "val: 1 examples, 0 faults",
        *("  size: 6 x 8", "  image: 1 PNG RGB", "  labels: 1 PNG L", "  ids in labels: 5"),
        f"written: {folder} (data.source='records', data_root={tmp_path / 'out'})",
    ]
    for split in ("train", "val"):
        ours, theirs = camvid(tree, split), records(tmp_path / "out", split)
        assert [e["name"] for e in ours] == [e["name"] for e in theirs]
        assert all((a["labels"] == b["labels"]).all() for a, b in zip(ours, theirs, strict=True))
    code, _, err = launch("--dataset", "camvid", "--root", tree, "--output", tmp_path / "out")
    assert code == 2 and err == [
        f"error: {folder} holds records of camvid already. Delete it, or choose another --output."
    ]
    code, out, _ = launch("--dataset", "records", "--root", tmp_path / "out")
    assert code == 0 and out[0] == "all: 3 examples, 0 faults"


def test_faults_are_listed_and_nothing_is_written(launch, tree, tmp_path):
    (tree / "train/x0.png").write_bytes(b"")
    (tree / "valannot/x2.png").unlink()
    code, out, err = launch("--dataset", "camvid", "--root", tree, "--output", tmp_path / "out")
    assert code == 2 and out[-2:] == [
        f"{tree}/train/x0.png is empty (0 bytes), expected a picture. Copy it again or delete it.",
        f"{tree}/val/x2.png has no partner for 'labels'. Add the file, joined by its name.",
    ]
    assert (
        err == ["error: camvid has 2 faults, listed above; nothing was written. Cure them."]
        and not (tmp_path / "out").exists()
    )


def test_named_splits_must_be_there(launch, tree):
    code, out, err = launch("--dataset", "camvid", "--root", tree, "--splits", "train", "test")
    assert code == 2 and out[-1].startswith(f"{tree}/test is not a folder")
    assert err[-1].endswith("Cure them, or leave splits out, as --splits train.")
    code, out, _ = launch("--dataset", "camvid", "--root", tree, "--splits", "val")
    assert code == 0 and out[0] == "val: 1 examples, 0 faults"


def test_data_without_splits_are_written_as_one(launch, tmp_path):
    for i in range(2):
        (tmp_path / "frames").mkdir(exist_ok=True)
        array = np.full((4, 6, 3), i, np.uint8)
        pictures.write_png(tmp_path / f"frames/{i}.png", array)
    arguments = ("--dataset", "kitti", "--root", tmp_path / "frames")
    code, out, err = launch(*arguments, "--output", tmp_path / "out")
    assert code == 0 and out[0] == "all: 2 examples, 0 faults", err
    assert len(records(tmp_path / "out", "all")) == 2
    sheets = []
    for data_set, root in (("kitti", "frames"), ("records", "out")):
        path = tmp_path / f"{data_set}.png"
        where = ("--root", tmp_path / root, "--preview", path, "--size", "48")
        assert launch("--dataset", data_set, *where)[0] == 0
        sheets.append(pictures.read_image(path))
    assert sheets[0].shape == (18 + 2 * (32 + 18), 48, 3)
    np.testing.assert_array_equal(*sheets)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give --dataset; --list names those there are"),
        (("--dataset", "camvd"), "Unknown data.source 'camvd'. Known: scenes"),
        (("--dataset", "camvid"), "no folder of camvid is set"),
        (("--dataset", "streets"), "'streets' is a world: it has no files to check"),
        (("--dataset", "camvid", "--root", "none"), "none is no CamVid tree"),
        (("--dataset", "folder", "--root", ".", "--output", "x"), "cannot be written as records"),
        (("--dataset", "camvid", "--options", "ids"), "--options got 'ids', expected KEY=VALUE"),
        (("--dataset", "scenes", "--preview", "x", "--limit", "0"), "at least 1"),
        (("--dataset", "scenes", "--preview", "x", "--splits", "a", "b"), "draws one split"),
        (("--dataset", "scenes", "--preview", "none/x.png", "--size", "8"), "no folder none"),
        (("--dataset", "scenes", "--preview", "x", "--options", "stlye=a"), "no 'stlye'; did you"),
        (("--dataste", "scenes"), "--help lists the flags"),
    ],
)
def test_mistakes_are_one_line(launch, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = launch(*arguments)
    assert code == 2 and out == [] and len(err) == 1
    assert err[0].startswith("error: ") and words in err[0], err
    assert list(tmp_path.iterdir()) == []


def test_wrong_options_of_a_layout_are_refused(launch, tree):
    for pair, words in (("idz=train", "did you mean 'ids'"), ("ids=names", "ids is 'names'")):
        code, _, err = launch("--dataset", "camvid", "--root", tree, "--options", pair)
        assert code == 2 and words in err[-1], err


def test_options_are_literals_or_text():
    pairs = ["half=right", "keys=('a', 'b')", "count=3", "path=/x=y", "on=True", "text='3'"]
    assert _module().options(pairs) == {
        "half": "right",
        "keys": ("a", "b"),
        "count": 3,
        "path": "/x=y",
        "on": True,
        "text": "3",
    }


@pytest.mark.parametrize(("world", "rows", "columns"), [("scenes", 2, 6), ("streets", 1, 5)])
def test_a_world_shows_all_it_can_render(launch, tmp_path, world, rows, columns):
    out = tmp_path / "sheet.png"
    arguments = ("--dataset", world, "--preview", out, "--limit", rows, "--size", 64)
    code, _, err = launch(*arguments, "--seed", 3)
    assert code == 0, err
    first = pictures.read_image(out)
    assert first.shape == (18 + rows * (64 + 18), columns * 68 - 4, 3)
    if world == "scenes":
        launch(*arguments, "--seed", 4)
        assert (pictures.read_image(out) != first).any()


def test_a_sheet_shows_what_the_source_gives():
    source = Scenes(48, 20, provides=("image", "instance", "depth", "drawing", "labels"))
    sheet = preview.sheet(source, [7, 2], 48)
    assert sheet.shape == (18 + 2 * (48 + 18), 5 * 52 - 4, 3)
    for row, index in enumerate((7, 2)):
        top = 18 + row * 66
        cells = {
            key: sheet[top : top + 48, 52 * k : 52 * k + 48]
            for k, key in enumerate(source.provides)
        }
        example = source[index]
        np.testing.assert_array_equal(cells["image"], example["image"])
        np.testing.assert_array_equal(cells["drawing"], example["drawing"].repeat(3, -1))
        depth = np.rint(example["depth"] * 255).astype(np.uint8)
        np.testing.assert_array_equal(cells["depth"], depth.repeat(3, -1))
        nothing = (cells["instance"] == 0).all(-1)
        np.testing.assert_array_equal(nothing, example["instance"][..., 0] == 0)
        white = (cells["labels"] == 255).all(-1)
        np.testing.assert_array_equal(white, example["labels"][..., 0] == 255)


@pytest.mark.parametrize("ids", ["published", "train"])
def test_labels_have_the_colours_of_their_table(tree, ids):
    source = camvid(tree, "train", ids)
    sheet = preview.sheet(source, [0, 1], 8)
    assert tuple(sheet[20, 14]) == CAMVID.classes[3].colour
    unlabelled = np.full((1, 1, 1), source.unlabelled, np.uint8)
    assert (preview.drawn("coarse", unlabelled, source) == 255).all()


def test_objects_beyond_255_are_not_black():
    numbers = np.array([[[0], [256], [26000], [1]]], np.int32)
    drawn = preview.drawn("instance", numbers)[0]
    assert (drawn[0] == 0).all() and drawn[1:].any(-1).all()


def test_parts_are_mixed():
    parts = np.array([[[0], [1], [3], [2**17]]], np.int32)
    colours = [np.array(row.colour) for row in CELEBAMASK.classes]
    expected = [0 * colours[1], colours[1], (colours[1] + colours[2]) // 2, colours[18]]
    np.testing.assert_array_equal(preview.drawn("parts", parts)[0], expected)


class Faces:
    """One face with attributes and numbers."""

    provides = ("image", "attributes", "category", "subject", "name")
    attribute_names = ("old", "young", "glad")

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return {
            "image": np.zeros((40, 80, 3), np.uint8),
            "attributes": np.array([0, 1, 1], np.int32),
            "category": np.asarray(1, np.int32),
            "subject": np.asarray(4, np.int32),
            "name": np.asarray("face", object),
        }


def test_text_below_a_row_names_what_is_so(monkeypatch):
    said = []
    monkeypatch.setattr(preview, "caption", lambda text, width: said.append(text) or _strip(width))
    sheet = preview.sheet(Faces(), [0], 160)
    assert (
        " ".join(" ".join(said).split()) == "image face young, glad category foreground subject 4"
    )
    assert sheet.shape[1] == 160 and (sheet.shape[0] - 80) % 18 == 0
    with pytest.raises(UserError, match="has nothing to draw"):
        preview.sheet(Faces(), [], 160)


def _strip(width):
    return np.zeros((18, width, 3), np.uint8)


def test_the_page_lists_what_there_is(launch):
    code, out, _ = launch("--list")
    page = (ROOT / "docs/data.md").read_text()
    assert code == 0 and "\n".join(out) == prepare.table()
    assert prepare.table() in page, "paste what prepare_data.py --list prints into docs/data.md"
    assert {*sources.WORLDS} <= set(re.findall(r"`(\w+)`", prepare.table()))


def test_streets_are_drawn_wide():
    assert preview.sheet(Streets(32, 64, 2), [0], 64).shape[0] == 18 + 32 + 18
