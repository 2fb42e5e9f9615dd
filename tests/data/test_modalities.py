"""The modality table and the messages of its checks."""

import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.data import modalities
from segsynth.errors import UserError


def test_table_is_consistent():
    for name, modality in modalities.MODALITIES.items():
        assert modality.name == name and modality.doc
        assert modality.kind in ("spatial", "vector", "scalar")
        assert modality.spatial == (modality.channels > 0) == (modality.resize is not None)
        assert np.array(modality.high, modality.dtype) == modality.high
        assert modality.default is None or modality.low <= modality.default <= modality.high
    assert modalities.get("category").choices == ("background", "foreground")


def test_unknown_name_lists_the_known():
    with pytest.raises(UserError, match=r"'photo'.*Known: image, mask"):
        modalities.get("photo")


def test_missing_modality_names_reader_source_and_cure():
    with pytest.raises(UserError) as caught:
        modalities.check_provided(
            ("image", "mask", "category"), ("image",), "inpaint_c2f", "folder"
        )
    message = str(caught.value)
    assert message.startswith(
        "inpaint_c2f needs mask; source 'folder' provides image. Set data.mask"
    )
    assert "\n" not in message


def test_defaults_are_never_missing():
    modalities.check_provided(("image", "category"), ("image", "mask"), "anyone", "folder")


def _batch():
    return {"image": np.zeros((2, 8, 8, 3), np.uint8), "category": jnp.zeros((2,), jnp.int32)}


def test_check_accepts_numpy_and_jax():
    modalities.check(_batch(), ("image", "category"), resolution=8)


@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        (
            "image",
            np.zeros((8, 8, 3), np.uint8),
            r"uint8\[8, 8, 3\], expected uint8\[\*, 8, 8, 3\]",
        ),
        ("image", np.zeros((2, 8, 8, 3), np.float32), r"float32\[2, 8, 8, 3\], expected uint8"),
        ("image", np.zeros((2, 8, 8, 1), np.uint8), r"uint8\[2, 8, 8, 1\], expected"),
        ("image", np.zeros((2, 4, 4, 3), np.uint8), r"uint8\[2, 4, 4, 3\], expected"),
        ("category", np.zeros((2, 1), np.int32), r"int32\[2, 1\], expected int32\[\*\]"),
    ],
)
def test_check_names_what_differs(key, array, words):
    with pytest.raises(UserError, match=words):
        modalities.check(_batch() | {key: array}, ("image", "category"), resolution=8)


def test_check_names_a_missing_key():
    with pytest.raises(UserError, match="lacks 'mask'; it has image, category"):
        modalities.check(_batch(), ("image", "mask"))


@pytest.mark.parametrize("bad", [255, -1])
def test_void_labels_do_not_pass(bad):
    labels = np.array([[0, 3], [bad, 5]], np.int32)
    with pytest.raises(UserError, match=f"segmentation holds the value {bad} .1 of 4"):
        modalities.check_range("segmentation", labels)


def test_range_can_be_narrowed_to_the_classes():
    modalities.check_range("segmentation", np.array([18], np.int32), high=18)
    with pytest.raises(UserError, match=r"outside 0\.\.18"):
        modalities.check_range("segmentation", np.array([19], np.int32), high=18)


def test_nan_is_out_of_range():
    with pytest.raises(UserError, match="valid holds the value nan"):
        modalities.check_range("valid", np.array([np.nan], np.float32))
