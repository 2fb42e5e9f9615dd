"""Records against the files that they were made from: examples, batches, metadata."""

import dataclasses
import io
import itertools
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segsynth.data import pictures, pipeline, sources
from segsynth.data.label_sets import CITYSCAPES
from segsynth.data.layouts.camvid import camvid
from segsynth.data.layouts.cityscapes import cityscapes
from segsynth.data.layouts.joined import Joined
from segsynth.data.layouts.readers import Depth, Drawing, Instances, Labels, Photo, Row
from segsynth.data.picture_files import Encoded
from segsynth.data.records import Records, records
from segsynth.data.tfds_builders import builder, encodings
from segsynth.data.tfds_builders.writing import write
from segsynth.data.transforms import CropResize, Flip
from segsynth.errors import UserError

COUNT, HEIGHT, WIDTH = 9, 12, 16
TRAIN = (CropResize(8, scale=(0.6, 1.0)), Flip(0.5))
SPATIAL = ("image", "labels", "coarse", "instance", "depth", "drawing", "parts")


@dataclasses.dataclass(frozen=True)
class TwoFiles:
    """``parts`` of two label maps, as a data set has them that stores a file a part."""

    def paths(self, entry):
        return entry

    def size(self, entry):
        return pictures.picture_size(entry[0])

    def read(self, entry):
        low, high = map(pictures.read_labels, entry)
        return low + (high << 12)


def _random(seed, high, channels=1):
    shape = (HEIGHT, WIDTH, channels)
    return np.random.default_rng(seed).integers(0, high, shape).astype(np.int32)


def _photo(path, i):
    """A photograph of every kind: JPEG, turned JPEG, grey and transparent PNG."""
    picture = Image.fromarray(_random(i, 256, 3).astype(np.uint8))
    if i % 4 == 1:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".jpg"), exif=exif)
        return path.with_suffix(".jpg")
    kind = {0: (".jpg", "RGB"), 2: (".png", "L"), 3: (".png", "RGBA")}[i % 4]
    picture.convert(kind[1]).save(path.with_suffix(kind[0]))
    return path.with_suffix(kind[0])


def _labels(path, array, palette=None):
    pictures.write_png(path, array, palette)
    return path


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """A layout with every kind of file, and ``layout(ids)`` to open it."""
    root = tmp_path_factory.mktemp("tree")
    files = {key: {} for key in (*SPATIAL, "attributes", "subject")}
    for i in range(COUNT):
        name = f"x{(7 * i) % COUNT}"  # not in the order of the alphabet
        files["image"][name] = _photo(root / f"{name}_image", i)
        files["labels"][name] = _labels(
            root / f"{name}_l.png", _random(i, 34), CITYSCAPES.palette() if i % 2 else None
        )
        files["coarse"][name] = _labels(root / f"{name}_c.png", _random(i + 50, 34))
        files["instance"][name] = _labels(root / f"{name}_i.png", 26000 + _random(i, 900))
        files["depth"][name] = _labels(root / f"{name}_d.png", _random(i, (256, 65536)[i % 2]))
        files["drawing"][name] = _labels(
            root / f"{name}_p.png", np.tile(_random(i, 256), (1, 2, 3)).astype(np.uint8)
        )
        files["parts"][name] = tuple(
            _labels(root / f"{name}_{k}.png", _random(i + k, high))
            for k, high in ((1, 2**12), (2, 2**6))
        )
        files["attributes"][name] = [i % 2, 1, i % 3 == 0]
        files["subject"][name] = i

    def opened(ids="published"):
        labels = Labels(CITYSCAPES, ids)
        readers = {"image": Photo(), "labels": labels, "coarse": labels}
        readers |= {"instance": Instances(CITYSCAPES), "depth": Depth()}
        readers |= {"drawing": Drawing("right"), "parts": TwoFiles()}
        readers |= {"attributes": Row(), "subject": Row()}
        return Joined(files, readers, CITYSCAPES, ids, ("old", "young", "glad"))

    return opened


@pytest.fixture(scope="module")
def written(layout, tmp_path_factory):
    """The output folder of the layout's records, in several shards."""
    output = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "SHARD_BYTES", 6000)
        write(output, "tiny", {"train": layout()}, options={"half": "right"}, jobs=2)
    return output


def _assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert list(mine) == list(other)
        for key in mine:
            assert mine[key].dtype == other[key].dtype and mine[key].shape == other[key].shape
            assert mine[key].tobytes() == other[key].tobytes() or key == "name"
            assert key != "name" or mine[key].tolist() == other[key].tolist()


@pytest.mark.parametrize("ids", ["published", "train"])
def test_every_modality_comes_back_bit_for_bit(layout, written, ids):
    tree, source = layout(ids), records(written, ids=ids)
    assert len(list(source.folder.glob("*.array_record-*"))) > 2, "more than one shard"
    _assert_same([source[i] for i in range(COUNT)], [tree[i] for i in range(COUNT)])
    for name in ("provides", "label_set", "ids", "unlabelled", "attribute_names"):
        assert getattr(source, name) == getattr(tree, name), name
    with pytest.raises(IndexError):
        source[COUNT]


def test_files_stay_what_they_were_where_they_can(layout, written):
    tree, source = layout(), records(written)
    stored = source._opened[0]
    for key in ("image", "labels", "coarse", "depth"):
        (path,) = tree.readers[key].paths(tree.files[key][tree.names[0]])
        assert stored[key] == path.read_bytes(), key
    for key in ("drawing", "instance"):  # half a picture; a file of 16 bits is our own encoding too
        assert Image.open(io.BytesIO(stored[key])).size == (WIDTH, HEIGHT)


def test_metadata_say_what_was_written(written):
    (path,) = written.rglob("metadata.json")
    assert json.loads(path.read_text()) == {
        "data_set": "tiny",
        "options": {"half": "right"},
        "provides": {"train": [*SPATIAL, "attributes", "subject", "name"]},
        "label_set": "cityscapes",
        "attribute_names": ["old", "young", "glad"],
    }


@pytest.mark.parametrize(
    ("key", "array"),
    [
        ("segmentation", np.array([[[-1]], [[255]]], np.int32)),
        ("instance", np.array([[[0]], [[2**31 - 1]]], np.int32)),
        ("depth", np.array([[[np.pi]], [[1e-30]]], np.float32)),
        ("mask", np.array([[[0]], [[1]]], np.uint8)),
        ("guide", np.array([[[3]], [[255]]], np.uint8)),
    ],
)
def test_arrays_without_a_file_are_stored_without_loss(key, array):
    for own in (None, b"no picture", encodings.encode(key, array[::-1])):
        data = encodings.encode(key, array, own)
        back = encodings.decode(key, Encoded(data, "x"))
        assert back.dtype == array.dtype and back.tobytes() == array.tobytes()


def test_what_cannot_be_stored_is_named():
    with pytest.raises(UserError, match=r"depth as float32.* cannot be stored; expected"):
        encodings.encode("depth", np.full((2, 2, 1), np.nan, np.float32))
    with pytest.raises(UserError, match="cannot be stored as PNG"):
        encodings.encode("labels", np.zeros((2, 2, 2), np.int64))
    wide = encodings.encode("instance", np.full((2, 2, 1), 300, np.int32))
    with pytest.raises(UserError, match=r"^here holds the label 300, expected at most 255"):
        encodings.decode("labels", Encoded(wide, "here"))


KEYS = ("image", "labels", "depth", "parts", "attributes", "subject", "name", "index")


def _train(source, count=3, **options):
    options = {"global_batch": 4, "seed": 3, "keys": KEYS} | options
    with pipeline.train_batches(source, TRAIN, **options) as batches:
        return list(itertools.islice(batches, count))


@pytest.fixture(scope="module")
def expected(layout):
    """Batches from the files."""
    return _train(layout(), 5)


_SLOW = pytest.mark.slow  # each process starts its workers, seconds apiece


@pytest.mark.parametrize(
    ("processes", "workers", "start"),
    [
        *((1, 0, 0), (1, 0, 2), (2, 0, 0), (2, 0, 1), (4, 0, 0), (4, 0, 2), (1, 2, 2)),
        *(pytest.param(2, 2, 0, marks=_SLOW), pytest.param(4, 2, 1, marks=_SLOW)),
    ],
)
def test_batches_are_those_of_the_files(written, expected, processes, workers, start):
    share = {"process_count": processes, "workers": workers, "start_step": start}
    source = records(written)
    parts = [_train(source, process_index=i, **share) for i in range(processes)]
    joined = [
        {key: np.concatenate([part[key] for part in step]) for key in step[0]}
        for step in zip(*parts, strict=True)
    ]
    _assert_same(joined, expected[start : start + 3])


def test_evaluation_batches_are_those_of_the_files(layout, written):
    for transforms in ([CropResize(8, random=False)], [CropResize(8), Flip(0.5)]):
        both = []
        for source in (layout(), records(written)):
            options = {"batch": 4, "seed": 5, "keys": KEYS}
            with pipeline.eval_batches(source, transforms, **options) as batches:
                both.append(list(batches))
        _assert_same(*both)


def test_a_copy_opens_its_own_files(written):
    source = records(written)
    assert "_opened" in vars(source) and "_opened" not in source.__getstate__()
    _assert_same([pickle.loads(pickle.dumps(source))[3]], [source[3]])


def _cityscapes(root):
    """Splits that do not have the same modalities."""
    for split, city, keys in (
        ("train", "aachen", "fc"),
        ("test", "berlin", ""),
        ("val", "lindau", "f"),
    ):
        stem = f"{split}/{city}/{city}_000000_000019"
        made = {f"leftImg8bit/{stem}_leftImg8bit.png": _random(0, 256, 3).astype(np.uint8)}
        if "f" in keys:
            made[f"gtFine/{stem}_gtFine_labelIds.png"] = _random(1, 34)
            made[f"gtFine/{stem}_gtFine_instanceIds.png"] = 24000 + _random(1, 9)
        if "c" in keys:
            made[f"gtCoarse/{stem}_gtCoarse_labelIds.png"] = _random(2, 34)
        for name, array in made.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            pictures.write_png(root / name, array)
    return {split: cityscapes(root, split) for split in ("train", "val", "test")}


def test_splits_keep_what_each_of_them_has(tmp_path):
    trees = _cityscapes(tmp_path / "tree")
    write(tmp_path / "out", "cityscapes", trees)
    for split, tree in trees.items():
        source = sources.build({"source": "records", "root": str(tmp_path / "out")}, split)
        assert source.provides == tree.provides
        _assert_same([source[0]], [tree[0]])
    everything = records(tmp_path / "out", "all")
    assert len(everything) == 3 and everything.provides == ("image", "name")
    part = records(tmp_path / "out", "train[:100%]")
    assert part.provides == trees["train"].provides and len(part) == 1


def test_by_name_with_train_ids(written):
    config = {"source": "records", "root": str(written), "ids": "train"}
    assert sources.build(config, "train").unlabelled == 255
    with pytest.raises(UserError, match=r"no split 'val', expected one of train, all"):
        sources.build(config, "val")
    with pytest.raises(UserError, match="no folder of records is set"):
        sources.build(config | {"root": ""}, "train")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": "names"}, "expected 'published' or 'train'"),
        ({"label_set": None, "ids": "train"}, "train ids need one"),
        ({"features": {"image": "picture"}}, r"no feature 'picture', expected one of"),
        ({"features": {"image": "subject"}}, "'subject' is a Scalar, expected an Image for image"),
    ],
)
def test_wrong_records_are_one_line(written, change, words):
    fields = {f.name: getattr(records(written), f.name) for f in dataclasses.fields(Records)}
    with pytest.raises(UserError, match=words) as caught:
        Records(**(fields | change))
    assert "\n" not in str(caught.value)


def test_what_is_no_records_is_one_line(written, tmp_path):
    with pytest.raises(UserError, match=rf"{tmp_path} holds no finished segsynth/\*/<version>"):
        records(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "segsynth").mkdir(exist_ok=True)
        (tmp_path / f"segsynth/{name}").symlink_to(written / "segsynth/tiny")
    with pytest.raises(UserError, match=r"holds a and b. Give the folder of one, as .*a/1.0.0"):
        records(tmp_path)
    assert len(records(tmp_path / "segsynth/b/1.0.0")) == COUNT
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(UserError, match=f"^{tmp_path} is no folder of TFDS"):
        records(tmp_path)


def test_the_real_camvid_folder(test_data, tmp_path):
    tree = camvid(test_data / "street_camvid", "val")
    write(tmp_path, "camvid", {"val": tree}, jobs=2)
    source = records(tmp_path, "val")
    _assert_same(list(source), list(tree))
    images = [tree.files["image"][name] for name in tree.names]
    assert [source._opened[i]["image"] for i in range(60)] == [p.read_bytes() for p in images]
