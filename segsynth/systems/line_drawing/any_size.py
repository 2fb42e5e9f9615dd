"""Photographs as users bring them: of any size, large ones, the frames of a film."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from segsynth.errors import UserError
from segsynth.networks.resnet_generator import Moments, ResnetGenerator
from segsynth.system import CompiledPredict
from segsynth.systems.line_drawing import tiling
from segsynth.systems.line_drawing.manner import MULTIPLE, SMALLEST, Manner, finished


def pad_reflect(
    image: UInt8[np.ndarray, "h w c"], multiple: int = MULTIPLE, least: int = SMALLEST
) -> UInt8[np.ndarray, "H W c"]:
    """Grow bottom and right by reflection to multiples of ``multiple``, and to ``least`` px."""
    for axis in (0, 1):
        target = max(-(-image.shape[axis] // multiple) * multiple, least)
        more = [(0, target - image.shape[axis]) if i == axis else (0, 0) for i in range(3)]
        image = np.pad(image, more, mode="reflect" if image.shape[axis] > 1 else "edge")
    return image


def synthesize(
    predict: CompiledPredict,
    generator: ResnetGenerator,
    inputs: Mapping[str, Any],
    manner: Manner,
) -> dict[str, Any]:
    """Draw one photograph; ``drawing`` is uint8 of its size, or as ``manner`` wants it.

    Args:
        predict: `segsynth.system.CompiledPredict`.
        generator: of drawings.
        inputs: ``image`` uint8 (h, w, 3); for the frame of a film also ``moments``, by `survey`.
        manner: the options.

    Raises:
        UserError: a single picture as a film.

    """
    if manner.film and "moments" not in inputs:
        raise UserError("film is for a folder of frames; leave it out for a single picture")
    image = _sized(inputs["image"], manner.size)
    height, width = image.shape[:2]
    whole, run = pad_reflect(image), _runner(predict)
    if manner.tile or manner.film:
        moments = inputs.get("moments") or _found(run, generator, whole, manner)
        parts = tiling.cut(generator, whole, manner.tile)
        drawing = tiling.draw(run, generator, whole, parts, moments)
    else:
        drawing = run(tiling.Pass(generator), {"image": whole[None]})["drawing"][0]
    grey = np.rint(255 * np.clip(drawing, 0, 1)).astype(np.uint8)
    return finished(grey[:height, :width], manner)


def survey(
    predict: CompiledPredict,
    generator: ResnetGenerator,
    examples: Iterable[Mapping[str, np.ndarray]],
    manner: Manner,
) -> dict[str, Moments]:
    """Return the ``moments`` by which all frames of a film are normalised, {} if it is none."""
    if not manner.film:
        return {}
    run = _runner(predict)
    frames = (pad_reflect(_sized(example["image"], manner.size)) for example in examples)
    each: Iterator[Moments] = (_found(run, generator, frame, manner) for frame in frames)
    return {"moments": next(each) if manner.film == "first" else tiling.mean_moments(each)}


def _runner(predict: CompiledPredict) -> tiling.Run:
    key = jax.random.key(0)  # nothing is drawn by chance
    return lambda value, inputs: predict(value, inputs, key)


def _found(
    run: tiling.Run, generator: ResnetGenerator, whole: np.ndarray, manner: Manner
) -> Moments:
    """Return the moments of one picture."""
    if manner.statistics == "fast":
        return tiling.fast_moments(run, generator, whole)
    return tiling.exact_moments(run, generator, whole, tiling.cut(generator, whole, manner.tile))


def _sized(image: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return a picture whose shorter side is ``size``; 0 leaves it."""
    if not size:
        return image
    short = min(image.shape[:2])
    height, width = (max(1, round(n * size / short)) for n in image.shape[:2])
    return tiling.resized(image, (height, width))
