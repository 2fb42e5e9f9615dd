"""The data order theorem: a batch is a function of (seed, step), whoever computes its parts."""

import dataclasses
import gc
import itertools
import pathlib
import time

import numpy as np
import pytest

from segsynth.data import pipeline
from segsynth.data.folder import Folder
from segsynth.data.mask_transform import InpaintingMask
from segsynth.data.transforms import CropResize, Flip
from segsynth.errors import UserError

KEYS = ("image", "segmentation", "index", "category")


@dataclasses.dataclass(frozen=True)
class Ramps:
    """Examples whose labels are derived from their images, all different."""

    length: int = 20
    bad: int = -1

    provides = ("image", "segmentation")

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index == self.bad:
            raise UserError(f"picture {index} is damaged. Copy it again.")
        image = np.random.default_rng(index).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        return {"image": image, "segmentation": (image[..., :1] // 2).astype(np.int32)}


def _hole(rng, example, index):
    mask = (rng.random((*example["image"].shape[:2], 1)) < 0.5).astype(np.uint8)
    return mask, index % 4


AUGMENT = (CropResize(8, scale=(0.6, 1.0)), Flip(0.5))


def _take(count, source=Ramps(), transforms=AUGMENT, **options):
    options = {"global_batch": 8, "seed": 3, "keys": KEYS} | options
    with pipeline.train_batches(source, transforms, **options) as batches:
        return list(itertools.islice(batches, count))


def _assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        for key in mine:
            np.testing.assert_array_equal(mine[key], other[key])


def _joined(parts):
    """Global batches from the batches of each process, rows in the order of the processes."""
    return [
        {key: np.concatenate([part[key] for part in step]) for key in step[0]}
        for step in zip(*parts, strict=True)
    ]


def test_batch_holds_what_is_asked_for():
    (batch,) = _take(1)
    assert set(batch) == set(KEYS)
    assert batch["image"].shape == (8, 8, 8, 3) and batch["image"].dtype == np.uint8
    assert (
        batch["segmentation"].dtype == batch["index"].dtype == batch["category"].dtype == np.int32
    )
    assert batch["index"].shape == batch["category"].shape == (8,)


@pytest.mark.parametrize("count", [2, 4])
def test_any_number_of_processes_gives_the_same_rows(count):
    parts = [_take(5, process_index=i, process_count=count) for i in range(count)]
    _assert_same(_joined(parts), _take(5))


def test_resume_is_exact_also_on_other_hardware():
    whole = _take(7)
    _assert_same(_take(3, start_step=4), whole[4:])
    parts = [_take(3, start_step=4, process_index=i, process_count=2) for i in range(2)]
    _assert_same(_joined(parts), whole[4:])


def test_workers_change_nothing():
    _assert_same(_take(5, workers=2), _take(5))


def test_seed_changes_order_and_augmentation():
    first, second = _take(1, seed=0)[0], _take(1, seed=1)[0]
    assert (first["index"] != second["index"]).any()
    assert (first["image"] != second["image"]).any()


def test_each_epoch_is_another_permutation():
    order = np.concatenate([batch["index"] for batch in _take(10, global_batch=10)])
    epochs = order.reshape(5, 20)
    assert (np.sort(epochs) == np.arange(20)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_neighbouring_seeds_share_no_epoch():
    second_of_seed_0 = np.concatenate([b["index"] for b in _take(2, global_batch=20, seed=0)])[20:]
    first_of_seed_1 = _take(1, global_batch=20, seed=1)[0]["index"]
    assert (second_of_seed_0 != first_of_seed_1).any()


def test_one_picture_is_augmented_anew_each_time():
    batches = _take(4, source=Ramps(1), global_batch=4)
    assert len({image.tobytes() for batch in batches for image in batch["image"]}) > 12


def test_a_batch_of_one_is_as_good_as_any():
    one = _take(6, global_batch=1)
    three = _take(2, global_batch=3)
    indices = [int(batch["index"][0]) for batch in one]
    assert indices == np.concatenate([batch["index"] for batch in three]).tolist()
    _assert_same(_take(2, global_batch=2, process_count=2, process_index=1), one[1:4:2])


def test_a_start_of_ten_million_is_free():
    begin = time.perf_counter()
    _take(1, start_step=10_000_000)
    assert time.perf_counter() - begin < 5


def test_augmentation_keeps_labels_aligned():
    (batch,) = _take(1, transforms=(CropResize(12), Flip(0.5)))
    np.testing.assert_array_equal(batch["segmentation"], batch["image"][..., :1] // 2)


def _evaluate(**options):
    transforms = (CropResize(8, random=False), InpaintingMask(_hole))
    options = {"batch": 4, "seed": 5, "keys": ("image", "mask", "mask_type", "index")} | options
    with pipeline.eval_batches(Ramps(10), transforms, **options) as batches:
        return list(batches)


def test_evaluation_is_one_padded_pass_in_order():
    batches = _evaluate()
    assert np.concatenate([b["index"] for b in batches]).tolist() == [*range(10), 9, 9]
    assert np.concatenate([b["valid"] for b in batches]).tolist() == [1] * 10 + [0] * 2
    assert batches[0]["valid"].dtype == np.float32
    _assert_same(_evaluate(), batches)


def test_evaluation_masks_depend_on_seed_and_index_only():
    whole = np.concatenate([b["mask"] for b in _evaluate()])[:10]
    larger = np.concatenate([b["mask"] for b in _evaluate(batch=6)])[:10]
    np.testing.assert_array_equal(whole, larger)
    assert (whole != np.concatenate([b["mask"] for b in _evaluate(seed=6)])[:10]).any()


def test_evaluation_limit_and_processes():
    parts = [_evaluate(limit=6, process_index=i, process_count=2) for i in range(2)]
    joined = _joined(parts)
    assert np.concatenate([b["valid"] for b in joined]).sum() == 6
    _assert_same(joined, _evaluate(limit=6))


def test_user_errors_surface_from_threads():
    with pytest.raises(UserError) as caught:
        _take(9, source=Ramps(bad=4))
    assert str(caught.value) == "picture 4 is damaged. Copy it again."


def _shared_memory():
    return {path.name for path in pathlib.Path("/dev/shm").glob("psm_*")}


def test_user_errors_surface_from_workers_and_nothing_leaks():
    before = _shared_memory()
    with pytest.raises(UserError) as caught:
        _take(9, source=Ramps(bad=4), workers=1)
    assert str(caught.value) == "picture 4 is damaged. Copy it again."
    gc.collect()
    deadline = time.monotonic() + 5  # Grain unlinks in a thread
    while _shared_memory() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _shared_memory() <= before


def test_closing_twice_and_early():
    batches = pipeline.train_batches(Ramps(), AUGMENT, global_batch=2, seed=0, keys=KEYS)
    next(batches)
    batches.close()
    batches.close()


def test_damaged_photograph_is_named(tmp_path, test_data):
    photo = next((test_data / "photos_bsds" / "images").glob("*.jpg"))
    (tmp_path / "cut.jpg").write_bytes(photo.read_bytes()[:20000])
    (tmp_path / "good.jpg").write_bytes(photo.read_bytes())
    with pytest.raises(UserError, match=r"cut\.jpg is truncated or damaged"):
        _take(2, source=Folder(tmp_path, "all"), keys=("image",))
    batches = _take(2, source=Folder(tmp_path, "all", on_error="skip"), keys=("image", "index"))
    assert set(batches[0]["index"]) == {0, 1}


def test_photographs_end_to_end(test_data):
    source = Folder(test_data / "photos_bsds")
    transforms = (CropResize(64, scale=(0.7, 1.0)), Flip(), InpaintingMask(_hole))
    (batch,) = _take(1, source=source, transforms=transforms, keys=("image", "mask", "mask_type"))
    assert batch["image"].shape == (8, 64, 64, 3) and batch["image"].std() > 20
    assert batch["mask"].shape == (8, 64, 64, 1) and batch["mask_type"].shape == (8,)


def test_wrong_arguments_are_named():
    with pytest.raises(UserError, match="batch of 8 cannot be shared by process 0 of 3"):
        _take(1, process_count=3)
    with pytest.raises(UserError, match="is empty"):
        _take(1, source=Ramps(0))
    with pytest.raises(UserError, match="lacks 'mask'; it has image, segmentation, index"):
        _take(1, keys=("mask",))
