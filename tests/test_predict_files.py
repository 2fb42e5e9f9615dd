"""Files and folders: a half-done folder goes on, settings never mix, every fault names its file."""

import json
import os
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


def test_an_answer_older_than_its_inputs_is_made_anew(folders):
    first = run(folders)
    _, labels = scene()
    labels[:, -3:] = 8
    pictures.write_png(folders / "coarse/a.png", labels)
    later = first[0].stat().st_mtime_ns + 10**9
    os.utime(folders / "coarse/a.png", ns=(later, later))
    assert run(folders) == [first[0]]
    assert set(np.unique(pictures.read_labels(first[0]))) == {7, 8}


def test_answers_of_other_weights_or_folders_are_not_mixed(folders):
    one, other = synthesizer(), synthesizer()
    one.made_with, other.made_with = {"run": "a", "step": 1}, {"run": "b", "step": 1}
    run(folders, one)
    with pytest.raises(UserError, match=r"other settings \(run: a -> b\)"):
        run(folders, other)
    (folders / "images").rename(folders / "photos")
    inputs = {"image": str(folders / "photos"), "coarse": str(folders / "coarse")}
    with pytest.raises(UserError, match=r"other settings \(inputs\.image"):
        predict_files.predict_files(one, inputs, folders / "out")


def test_a_first_failure_leaves_the_folder_free(folders):
    _small(folders)
    (folders / "coarse/a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.png"):
        run(folders)
    pictures.write_png(folders / "coarse/a.png", scene()[1])
    with pytest.raises(UserError, match=r"b\.png"):
        run(folders, synthesizer("plain", "--config.system.crf.iterations=2"))


def test_what_cannot_be_answered_for_may_be_skipped(folders):
    _empty(folders)
    with pytest.raises(UserError, match=r"1 of 3 pictures were skipped, first: .*b\.png"):
        run(folders, on_error="skip")
    left = {p.relative_to(folders / "out").as_posix() for p in (folders / "out").rglob("*.png")}
    assert left == {"a.png", "sub/c.png"}


def test_folders_that_cannot_be_meant_are_refused(folders):
    inputs = {"image": str(folders / "images"), "coarse": str(folders / "coarse")}
    with pytest.raises(UserError, match="is the folder of --coarse"):
        predict_files.predict_files(synthesizer(), inputs, folders / "coarse")
    with pytest.raises(UserError, match="of --image, or writes into it"):  # found there next time
        predict_files.predict_files(synthesizer(), inputs, folders / "images/out")
    assert not (folders / "images/out").exists()
    (folders / "none").mkdir()
    with pytest.raises(UserError, match="none holds no pictures"):
        empty = inputs | {"image": str(folders / "none")}
        predict_files.predict_files(synthesizer(), empty, folders / "out")
    files = {name: f"{folder}/a.png" for name, folder in inputs.items()}
    with pytest.raises(UserError, match=r"o\.jpg is no PNG file"):
        predict_files.predict_files(synthesizer(), files, folders / "o.jpg")


def test_a_published_tree_is_answered_as_it_lies(tmp_path):
    image, labels = scene()
    labels = np.where(labels == 255, 0, labels)
    for name in ("aachen/aachen_000000_000019", "bochum/bochum_000000_000313"):
        for kind, end, array in (
            ("leftImg8bit", "leftImg8bit", image),
            ("gtCoarse", "gtCoarse_labelIds", labels),
            ("gtCoarse", "gtCoarse_instanceIds", labels),
        ):
            path = tmp_path / kind / "val" / f"{name}_{end}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pictures.write_png(path, array)
    inputs = {
        "image": str(tmp_path / "leftImg8bit/val"),
        "coarse": str(tmp_path / "gtCoarse/val"),
    }
    written = predict_files.predict_files(synthesizer(""), inputs, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == [
        "aachen/aachen_000000_000019.png",
        "bochum/bochum_000000_000313.png",
    ]


def test_given_labels_that_are_no_class_stay():
    image, labels = scene()
    labels = np.where(labels == 255, 0, labels)
    labels[5, 5], labels[6, 6] = 9, 1  # parking, the recording car: not among the 19 classes
    result = synthesizer("")(image=image, coarse=labels)["labels"][..., 0]
    assert result[5, 5] == 9 and result[6, 6] == 1
    assert set(np.unique(result)) == {1, 7, 9, 11}


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, np.uint8])
def test_label_arrays_of_any_integer_type(dtype):
    image, labels = scene()
    expected = synthesizer()(image=image, coarse=labels)["labels"]
    found = synthesizer()(image=image, coarse=labels.astype(dtype))["labels"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("coarse", np.full((SIDE, SIDE), 300, np.uint16), "coarse holds the value 300"),
        ("coarse", np.full((SIDE, SIDE), -1, np.int16), "coarse holds the value -1"),
        ("coarse", np.zeros((SIDE, SIDE)), "coarse is an array of float64; expected uint8"),
        ("image", np.full((SIDE, SIDE, 3), 60000, np.uint16), "image holds the value 60000"),
        ("image", np.zeros((SIDE, SIDE, 3), np.float32), "image is an array of float32"),
    ],
)
def test_arrays_of_wrong_kind_or_range_are_refused(name, array, said):
    image, labels = scene()
    with pytest.raises(UserError, match=said):
        synthesizer()(**{"image": image, "coarse": labels, name: array})


def test_what_is_missing_is_named_with_its_flags():
    with pytest.raises(UserError, match="coarse not given; bring --coarse or --labels"):
        synthesizer()(image=scene()[0])
