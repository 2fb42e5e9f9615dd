"""Data sets that somebody else has prepared with TFDS, read without its code and TensorFlow."""

import io
import json
import pickle
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from segsynth.data import sources
from segsynth.errors import UserError

NAMES = ("glad", "old")


def _picture(index, channels=3, high=256, kind="PNG"):
    shape = (6, 8, channels) if channels > 1 else (6, 8)
    array = np.random.default_rng(index).integers(0, high, shape, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return array.reshape(6, 8, channels), buffer.getvalue()


class FacesElsewhere(tfds.core.GeneratorBasedBuilder):
    """As TFDS's own face data sets are: names with a slash, groups of attributes, class labels."""

    VERSION = tfds.core.Version("2.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="256")]  # noqa: RUF012 (as TFDS has it)

    def _info(self):
        attributes = {name: np.bool_ for name in NAMES}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(),
                    "image/filename": tfds.features.Text(),
                    "map": tfds.features.Image(shape=(None, None, 1)),
                    "kind": tfds.features.ClassLabel(names=["cat", "dog"]),
                    "attributes": tfds.features.FeaturesDict(attributes),
                    "vector": tfds.features.Tensor(shape=(2,), dtype=np.int64),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(5), "validation": self._generate_examples(2)}

    def _generate_examples(self, count):
        for i in range(count):
            yield (
                f"key{i}",
                {
                    "image": _picture(i)[1],
                    "image/filename": f"{i}.png",
                    "map": _picture(i, 1, 34)[1],
                    "kind": i % 2,
                    "attributes": {name: bool(i >> k & 1) for k, name in enumerate(NAMES)},
                    "vector": np.array([i, 1]),
                },
            )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A ``data_dir`` with the data set in it."""
    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    FacesElsewhere(config="256", data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def _open(root, split="train", *, ids="published", **options):
    config = {"source": "tfds", "root": str(root), "ids": ids}
    return sources.build(config | {"options": {"name": "faces_elsewhere/256"} | options}, split)


def test_pictures_by_default(root):
    source = _open(root)
    assert source.provides == ("image", "name") and len(source) == 5
    assert source.folder == root / "faces_elsewhere/256/2.0.0"
    found = {source[i]["image"].tobytes() for i in range(5)}
    assert found == {_picture(i)[0].tobytes() for i in range(5)}
    assert source[3]["name"] == "train_00000003"
    assert pickle.loads(pickle.dumps(source))[4]["name"] == "train_00000004"
    assert not {"tensorflow", "cv2"} & set(sys.modules)


def test_all_kinds_of_features(root):
    keys = (
        *(("image", "image"), ("labels", "map"), ("name", "image/filename")),
        *(("subject", "kind"), ("attributes", "attributes")),
    )
    source = _open(root, "val", keys=keys, label_set="cityscapes")
    assert source.attribute_names == NAMES and source.unlabelled == 0 and len(source) == 2
    for i in range(2):
        example = source[i]
        number = int(str(example["name"])[0])
        np.testing.assert_array_equal(example["image"], _picture(number)[0])
        np.testing.assert_array_equal(example["labels"], _picture(number, 1, 34)[0])
        assert example["labels"].dtype == np.uint8
        assert example["subject"].dtype == np.int32 and example["subject"] == number % 2
        assert example["attributes"].tolist() == [number & 1, number >> 1]
        assert example["attributes"].dtype == np.int32
    train = _open(root, "val", keys=keys, label_set="cityscapes", ids="train")
    mapped = source.label_set.to_train_ids(source[0]["labels"])
    np.testing.assert_array_equal(train[0]["labels"], mapped)
    vector = _open(root, keys=(("attributes", "vector"),))[0]["attributes"]
    assert vector.dtype == np.int32 and vector[1] == 1


def test_labels_outside_the_table_are_named(root):
    for ids in ("published", "train"):
        source = _open(root, keys=(("labels", "map"),), label_set="camvid", ids=ids)
        with pytest.raises(UserError, match=r"2.0.0: labels of train_00000000: .* holds the label"):
            source[0]


@pytest.mark.parametrize(
    ("split", "options", "words"),
    [
        ("train", {"name": "faces_elsewhere/128"}, r"holds no finished faces_elsewhere/128/"),
        ("dev", {}, "no split 'dev', expected one of train, validation, all"),
        ("train", {"keys": (("image", "pictures"),)}, "no feature 'pictures'"),
        ("train", {"keys": (("picture", "image"),)}, "Unknown modality 'picture'"),
        ("train", {"keys": (("image", "vector"),)}, "'vector' is a Tensor, expected an Image"),
        ("train", {"label_set": "ade"}, "Unknown label set 'ade'"),
        ("train", {"nmae": "x"}, "no 'nmae'; did you mean 'name'"),
    ],
)
def test_mistakes_are_one_line(root, split, options, words):
    with pytest.raises(UserError, match=words) as caught:
        _open(root, split, **options)
    assert "\n" not in str(caught.value)


def test_train_ids_need_a_table(root):
    with pytest.raises(UserError, match="no label table, and train ids need one"):
        _open(root, ids="train")


def test_another_format_is_named(root, tmp_path):
    copy = tmp_path / "faces_elsewhere/256/2.0.0"
    copy.mkdir(parents=True)
    for path in (root / "faces_elsewhere/256/2.0.0").iterdir():
        (copy / path.name.replace("array_record", "tfrecord")).write_bytes(path.read_bytes())
    info = json.loads((copy / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    for split in info["splits"]:
        split["filepathTemplate"] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    (copy / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match=r"holds tfrecord, expected array_record. Prepare"):
        _open(tmp_path)


def test_records_of_others_are_not_ours(root):
    with pytest.raises(UserError, match=r"was not written by prepare_data.py; set data.source="):
        sources.build(
            {"source": "records", "root": str(root / "faces_elsewhere/256/2.0.0")}, "train"
        )
