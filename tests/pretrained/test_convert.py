"""Every tensor exactly once, in its layout; else the key is named."""

import jax
import numpy as np
import pytest

from segsynth.errors import UserError
from segsynth.pretrained.convert import Target, convert

KEYS = {
    "conv.weight": Target(("params", "conv", "kernel"), "conv"),
    "fc.weight": Target(("params", "fc", "kernel"), "linear"),
    "bn.mean": Target(("batch_stats", "bn", "mean")),
    "head": Target(("params", "head"), lambda x: x.reshape(-1) * 2),
    "bn.count": None,
}


def tensors():
    return {
        "conv.weight": np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(np.float16),
        "fc.weight": np.arange(6.0).reshape(2, 3),
        "bn.mean": np.arange(3.0),
        "head": np.arange(4.0).reshape(1, 4, 1, 1),
        "bn.count": np.array(7),
    }


def expected(**changes):
    shapes = {"conv": (4, 5, 3, 2), "fc": (3, 2), "head": (4,), "mean": (3,), **changes}
    leaf = {k: jax.ShapeDtypeStruct(s, np.float32) for k, s in shapes.items()}
    params = {"conv": {"kernel": leaf["conv"]}, "fc": {"kernel": leaf["fc"]}, "head": leaf["head"]}
    return {"params": params, "batch_stats": {"bn": {"mean": leaf["mean"]}}}


def test_layouts_and_types():
    found = convert(tensors(), KEYS, expected(), "w.pth")
    kernel = found["params"]["conv"]["kernel"]
    assert kernel.dtype == np.float32 and kernel[2, 4, 1, 0] == tensors()["conv.weight"][0, 1, 2, 4]
    np.testing.assert_array_equal(found["params"]["fc"]["kernel"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["params"]["head"], [0, 2, 4, 6])
    np.testing.assert_array_equal(found["batch_stats"]["bn"]["mean"], [0, 1, 2])


def test_a_tensor_too_many_is_named():
    with pytest.raises(UserError, match=r"w\.pth holds 'aux\.weight' \(2 such\), which the"):
        convert(tensors() | {"aux.weight": 1, "bux": 2}, KEYS, expected(), "w.pth")


@pytest.mark.parametrize("key", [k for k, target in KEYS.items() if target])
def test_a_tensor_too_few_is_named(key):
    fewer = {k: v for k, v in tensors().items() if k != key}
    with pytest.raises(UserError, match=rf"w\.pth lacks '{key}'"):
        convert(fewer, KEYS, expected(), "w.pth")


def test_what_inference_does_not_need_may_be_absent():
    fewer = {k: v for k, v in tensors().items() if k != "bn.count"}
    assert set(convert(fewer, KEYS, expected(), "w.pth")) == {"params", "batch_stats"}


def test_another_shape_is_named():
    message = r"w\.pth: 'fc\.weight' makes \[3, 2\] of params/fc/kernel, expected \[3, 9\]"
    with pytest.raises(UserError, match=message):
        convert(tensors(), KEYS, expected(fc=(3, 9)), "w.pth")
    flat = tensors() | {"conv.weight": np.zeros(3)}
    with pytest.raises(UserError, match=r"'conv\.weight' has 1 axes, expected 4"):
        convert(flat, KEYS, expected(), "w.pth")


def test_a_variable_that_nothing_fills_is_named():
    more = expected()
    more["params"]["fc"]["bias"] = jax.ShapeDtypeStruct((2,), np.float32)
    with pytest.raises(UserError, match=r"w\.pth has nothing for params/fc/bias \(1 such\)"):
        convert(tensors(), KEYS, more, "w.pth")


def test_a_map_that_is_wrong_is_no_users_mistake():
    twice = KEYS | {"again": Target(("params", "head"))}
    with pytest.raises(ValueError, match="filled twice, the second time by 'again'"):
        convert(tensors() | {"again": np.zeros(4)}, twice, expected(), "w.pth")
    nowhere = KEYS | {"again": Target(("params", "none"))}
    with pytest.raises(ValueError, match="which is no variable"):
        convert(tensors() | {"again": np.zeros(4)}, nowhere, expected(), "w.pth")
