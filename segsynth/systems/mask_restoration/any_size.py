"""One map of any size: checked, grown to multiples of 2^n, restored, cut back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from segsynth.errors import UserError
from segsynth.networks.spade import DOUBLINGS
from segsynth.system import CompiledPredict
from segsynth.systems.mask_restoration.degradations import NONE
from segsynth.types import PRNGKey


def remarks(system: Any, inputs: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Say what a user should know of a map before it is restored."""
    labels, found = inputs[system.task.given], []
    (height, width), (rows, columns) = labels.shape[:2], system.frame
    low = system.task.low_resolution
    if low is not None and _is_small(system, labels):
        height, width = height * low.factor, width * low.factor
    if (height, width) != system.frame:
        found.append(
            f"the map is {width}x{height} px and training saw {columns}x{rows}; shapes keep the "
            "size that they had there"
        )
    if (
        low is not None
        and system.options.low_resolution == "auto"
        and (labels == labels[0, 0]).all()
    ):
        found.append(
            "one label everywhere may be a small map or one with repeated pixels; it was taken for "
            f"{'the former' if _is_small(system, labels) else 'the latter'} (--low-resolution)"
        )
    only = system.task.kinds[0] if len(system.task.kinds) == 1 else None
    blank = (system.task.unlabelled, NONE)
    if only is not None and only.reads == "coarse" and not np.isin(labels, blank).any():
        found.append("every pixel has a label already; there is nothing to fill in")
    return tuple(found)


def synthesize(
    system: Any, predict: CompiledPredict, inputs: Mapping[str, np.ndarray], key: PRNGKey
) -> dict[str, np.ndarray]:
    """Restore the map of one picture, uint8 (h, w, 1).

    For a task of low resolution, a map whose size is that of training over the factor, or whose
    pixels were not repeated, is the small map itself, and comes back large, unless a user says what
    it is.

    Raises:
        UserError: a label that is no class, two maps of different sizes.

    """
    labels = inputs[system.task.given]
    _check(system, labels)
    low = system.task.low_resolution
    if low is not None and _is_small(system, labels):
        labels = labels.repeat(low.factor, axis=0).repeat(low.factor, axis=1)
    height, width = labels.shape[:2]
    given = {**inputs, system.task.given: labels}
    if any(given[name].shape[:2] != (height, width) for name in system.inputs):
        raise UserError("labels and instance differ in size; bring two maps of one picture")
    networks = [system.restorer.module, *([system.generator.module] if system.generator else [])]
    multiple = max(2 ** DOUBLINGS[network.upsampling] for network in networks)
    more = ((0, -height % multiple), (0, -width % multiple), (0, 0))
    batch = {name: np.pad(given[name], more, mode="edge")[None] for name in system.inputs}
    outputs = predict(system, batch, key)
    return {name: np.asarray(value)[0, :height, :width] for name, value in outputs.items()}


def _is_small(system: Any, labels: np.ndarray) -> bool:
    """Whether a map of low resolution is the small map itself, not one with repeated pixels."""
    said, factor = system.options.low_resolution, system.task.low_resolution.factor
    if said != "auto":
        return said == "small"
    if labels.shape[:2] == tuple(side // factor for side in system.frame):
        return True
    if any(side % factor for side in labels.shape[:2]):
        return True
    first = labels[::factor, ::factor]
    return not np.array_equal(first.repeat(factor, axis=0).repeat(factor, axis=1), labels)


def _check(system: Any, labels: np.ndarray) -> None:
    legal, none = labels < system.classes, _missing(system)
    if none is not None:
        legal |= labels == none
    if not legal.all():
        gaps = "" if none is None else f", and {none} where there is none"
        legal_ones = f"labels 0 to {system.classes - 1}{gaps}"
        raise UserError(f"the map holds {labels[~legal].flat[0]}; expected {legal_ones}")


def _missing(system: Any) -> int | None:
    """Return what stands where a map has no label; None for a task whose maps have no gaps."""
    if not system.task.gaps:
        return None
    return NONE if system.restorer.unknown == "extra_channel" else system.task.unlabelled
