"""From the tensors of a foreign checkpoint to linen variables, every tensor exactly once."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from flax import traverse_util

from segsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a tensor goes.

    Attributes:
        path: collection and names, e.g. ``("params", "conv1", "kernel")``.
        layout: "conv" turns (out, in, height, width) into (height, width, in, out), "linear" (out,
            in) into (in, out); "same" keeps the tensor. A function does what none of these does.

    """

    path: tuple[str, ...]
    layout: Literal["conv", "linear", "same"] | Callable[[np.ndarray], np.ndarray] = "same"


#: Key of a tensor -> where it goes; None for a tensor that inference does not need.
KeyMap = Mapping[str, Target | None]

_AXES = {"conv": (2, 3, 1, 0), "linear": (1, 0)}


def convert(
    tensors: Mapping[str, np.ndarray], keys: KeyMap, expected: Any, name: str
) -> dict[str, Any]:
    """Returns the variables of a network.

    Args:
        tensors: the checkpoint.
        keys: where each of its tensors goes.
        expected: variables of the network, as arrays or as shapes (``jax.eval_shape``).
        name: what messages call the checkpoint, e.g. the path of its file.

    Raises:
        UserError: a tensor of the checkpoint that the map does not know, one that the map wants and
            the checkpoint lacks, one of another shape, a variable that nothing fills.

    """
    unknown = sorted(set(tensors) - set(keys))
    if unknown:
        raise UserError(
            f"{name} holds {unknown[0]!r} ({len(unknown)} such), which the network does not have. "
            "Check that the file belongs to this network."
        )
    wanted = traverse_util.flatten_dict(expected)
    filled: dict[tuple[str, ...], np.ndarray] = {}
    for key, target in keys.items():
        if target is None:
            continue
        if key not in tensors:
            raise UserError(f"{name} lacks {key!r}. Check that the file is whole.")
        array = _laid_out(np.asarray(tensors[key]), target, name, key)
        if target.path in filled:
            raise ValueError(f"{target.path} is filled twice, the second time by {key!r}")
        filled[target.path] = _checked(array, target, wanted, name, key)
    empty = sorted(set(wanted) - set(filled))
    if empty:
        raise UserError(f"{name} has nothing for {'/'.join(empty[0])} ({len(empty)} such).")
    return traverse_util.unflatten_dict(filled)


def _checked(
    array: np.ndarray, target: Target, wanted: Mapping[tuple, Any], name: str, key: str
) -> np.ndarray:
    """Return the array in the type of its variable, whose shape it must have."""
    if target.path not in wanted:
        raise ValueError(f"{key!r} goes to {target.path}, which is no variable")
    shape = tuple(wanted[target.path].shape)
    if array.shape != shape:
        raise UserError(
            f"{name}: {key!r} makes {list(array.shape)} of {'/'.join(target.path)}, expected "
            f"{list(shape)}. Check that the file belongs to this network."
        )
    return array.astype(wanted[target.path].dtype)


def _laid_out(tensor: np.ndarray, target: Target, name: str, key: str) -> np.ndarray:
    if callable(target.layout):
        return target.layout(tensor)
    axes = _AXES.get(target.layout)
    if axes is None:
        return tensor
    if tensor.ndim != len(axes):
        raise UserError(
            f"{name}: {key!r} has {tensor.ndim} axes, expected {len(axes)}. "
            "Check that the file belongs to this network."
        )
    return tensor.transpose(axes)
