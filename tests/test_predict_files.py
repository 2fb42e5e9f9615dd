"""Files and folders: a half-done folder goes on, settings never mix, every fault names its file."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from segsynth import config_files, predict, predict_files
from segsynth.data import label_sets, pictures
from segsynth.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
SIDE = 12
NAMES = ("a", "b", "sub/c")


def synthesizer(preset="plain", *overrides):
    config, _ = config_files.load(f"{ROOT}/configs/crf_coarse.py:{preset}", list(overrides))
    return predict.from_config(config)


def scene(seed=0):
    """Two halves of clear colours, labelled but for a strip between them."""
    image = np.full((SIDE, SIDE, 3), 40, np.uint8)
    image[:, SIDE // 2 :] = 200
    image += np.random.default_rng(seed).integers(0, 9, image.shape, dtype=np.uint8)
    labels = np.full((SIDE, SIDE), 255, np.uint8)
    labels[:, :3], labels[:, -3:] = 7, 11
    return image, labels


@pytest.fixture
def folders(tmp_path):
    for i, name in enumerate(NAMES):
        image, labels = scene(i)
        for kind, array in (("images", image), ("coarse", labels)):
            path = tmp_path / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pictures.write_png(path, array)
    return tmp_path


def run(folders, one=None, **more):
    inputs = {"image": str(folders / "images"), "coarse": str(folders / "coarse")}
    return predict_files.predict_files(one or synthesizer(), inputs, folders / "out", **more)


def test_a_folder_is_answered_file_by_file(folders):
    written = run(folders)
    assert [p.relative_to(folders / "out").as_posix() for p in written] == [
        f"{name}.png" for name in NAMES
    ]
    for path in written:
        found = pictures.read_labels(path)[..., 0]
        expected = np.full((SIDE, SIDE), 7)
        expected[:, SIDE // 2 :] = 11
        np.testing.assert_array_equal(found, expected)


def test_a_half_done_folder_goes_on_where_it_stopped(folders):
    first = run(folders)
    stamps = {path: path.stat().st_mtime_ns for path in first}
    first[1].unlink()
    assert run(folders) == [first[1]]
    assert all(path.stat().st_mtime_ns == stamps[path] for path in (first[0], first[2]))
    assert run(folders) == []


def test_answers_of_other_settings_are_not_mixed(folders):
    run(folders)
    other = synthesizer("plain", "--config.system.crf.iterations=2")
    with pytest.raises(UserError, match=r"made with other settings \(system\.crf\.iterations"):
        run(folders, other)
    with pytest.raises(UserError, match=r"made with other settings \(seed"):
        run(folders, seed=4)
    manifest = json.loads((folders / "out" / predict_files.MANIFEST).read_text())
    assert manifest["system"]["name"] == "crf_coarse"


def test_processes_share_a_folder(folders, monkeypatch):
    monkeypatch.setattr(predict_files.jax, "process_count", lambda: 2)
    parts = []
    for index in (0, 1):
        monkeypatch.setattr(predict_files.jax, "process_index", lambda index=index: index)
        parts.append([path.stem for path in run(folders)])
    assert parts == [["a", "c"], ["b"]]


def test_a_palette_comes_back(folders):
    colours = np.zeros((256, 3), np.uint8)
    colours[7], colours[11], colours[255] = (255, 0, 0), (0, 255, 0), (9, 9, 9)
    pictures.write_png(folders / "p.png", scene()[1], colours)
    with Image.open(folders / "p.png") as stored:
        assert stored.mode == "P"
    inputs = {"image": str(folders / "images/a.png"), "coarse": str(folders / "p.png")}
    (path,) = predict_files.predict_files(synthesizer(), inputs, folders / "o.png")
    np.testing.assert_array_equal(pictures.read_palette(path), colours)
    assert set(np.unique(pictures.read_labels(path))) == {7, 11}
    with Image.open(path) as drawn:
        assert drawn.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_published_ids_go_in_and_come_out(folders):
    table = label_sets.get("cityscapes")
    inputs = {"image": str(folders / "images/a.png"), "coarse": str(folders / "coarse/a.png")}
    _, labels = scene()
    pictures.write_png(folders / "coarse/a.png", np.where(labels == 255, 0, labels))
    demo = synthesizer("")
    (path,) = predict_files.predict_files(demo, inputs, folders / "o.png", palette=True)
    assert set(np.unique(pictures.read_labels(path))) == {7, 11}  # road and building
    np.testing.assert_array_equal(pictures.read_palette(path), table.palette())
    with pytest.raises(UserError, match="--palette needs colours"):
        predict_files.predict_files(synthesizer(), inputs, folders / "q.png", palette=True)
    pictures.write_png(folders / "coarse/a.png", np.full_like(labels, 77))
    with pytest.raises(UserError, match=r"coarse/a\.png.*77"):
        predict_files.predict_files(demo, inputs, folders / "r.png")


def _small(folder):
    pictures.write_png(folder / "coarse/b.png", scene()[1][:5])


def _empty(folder):
    pictures.write_png(folder / "coarse/b.png", np.full((SIDE, SIDE), 255, np.uint8))


def _deep(folder):
    Image.fromarray(np.full((SIDE, SIDE), 900, np.uint16)).save(folder / "images/b.png")


def _large_label(folder):
    pictures.write_png(folder / "coarse/b.png", np.full((SIDE, SIDE), 900, np.uint16))


def _cut(folder):
    path = folder / "images/b.png"
    path.write_bytes(path.read_bytes()[:60])


def _alone(folder):
    (folder / "coarse/b.png").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_small, "12 x 12 pixels, labels of 12 x 5"),
        (_empty, "every pixel has the label 255"),
        (_deep, "8 bits a channel"),
        (_large_label, "label 900"),
        (_cut, "b.png"),
        (_alone, "no partner"),
    ],
)
def test_a_fault_is_one_line_with_the_file(folders, damage, said):
    damage(folders)
    with pytest.raises(UserError) as caught:
        run(folders)
    message = str(caught.value)
    assert said in message and "b.png" in message and "\n" not in message
    # What was answered before it stays; nothing is half-written.
    left = sorted(p.name for p in (folders / "out").rglob("*.png")) if damage is not _alone else []
    assert left == (["a.png"] if damage is not _alone else [])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 1)])
def test_the_smallest_maps(tmp_path, shape):
    image = np.arange(shape[0] * shape[1] * 3, dtype=np.uint8).reshape(*shape, 3) * 3
    labels = np.full(shape, 255, np.uint8)
    labels[0, 0] = 4
    result = synthesizer()(image=image, coarse=labels)["labels"]
    np.testing.assert_array_equal(result[..., 0], np.full(shape, 4))


def test_who_brings_all_labels_is_told(caplog):
    image, labels = scene()
    labels[labels == 255] = 3
    with caplog.at_level("WARNING"):
        result = synthesizer()(image=image, coarse=labels)["labels"]
    assert "every pixel has a label already" in caplog.text
    np.testing.assert_array_equal(result[..., 0], labels)


def test_what_learns_is_not_used_from_its_config():
    with pytest.raises(UserError, match="has to be trained first"):
        predict.from_config(config_files.load(f"{ROOT}/configs/inpaint_c2f.py", [])[0])
