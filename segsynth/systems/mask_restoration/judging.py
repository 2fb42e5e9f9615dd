"""What an evaluation of restoration looks at."""

import functools
from collections.abc import Mapping
from typing import Any

import clu.metrics
import jax.numpy as jnp
from jaxtyping import Float, UInt8

from segsynth.metrics.calibration import CalibrationError
from segsynth.metrics.restoration import mask_scores, picture_scores, to_byte
from segsynth.metrics.set_distances import set_scores
from segsynth.pretrained.set_features import SetFeatures
from segsynth.systems.mask_restoration.baselines import bilinear_argmax, nearest_label
from segsynth.systems.mask_restoration.degradations import Damaged, Labels
from segsynth.systems.mask_restoration.frozen_generator import FrozenGenerator
from segsynth.systems.mask_restoration.tasks import Task
from segsynth.types import Array, Batch, Frozen


def baselines(task: Task, damaged: Damaged, classes: int) -> dict[str, Labels]:
    """Return the maps that need no network: ``bilinear`` for low resolution, ``nearest`` where
    pixels are missing.
    """
    if task.low_resolution is not None:
        return {"bilinear": bilinear_argmax(damaged.labels, task.low_resolution, classes)}
    if not any(kind.certain for kind in task.kinds):
        return {}
    return {"nearest": nearest_label(damaged.labels, damaged.missing)}


def maps(
    system: Any,
    found: Mapping[str, Array],
    truth: Array,
    damaged: Damaged,
    valid: Float[Array, " b"],
) -> dict[str, clu.metrics.Metric]:
    """Score label maps; the classes of the damaged and of the restored one are listed."""
    scores = mask_scores(
        found,
        truth,
        damaged.known,
        valid,
        system.classes,
        evaluated=system.evaluated,
        names=system.names,
        detailed=("none", "restored"),
    )
    if not any(kind.certain for kind in system.task.kinds):  # no pixel is known
        scores = {name: x for name, x in scores.items() if not name.endswith("__known_accuracy")}
    return scores


def calibration(
    logits: Float[Array, "b h w c"], truth: Labels, valid: Float[Array, " b"]
) -> dict[str, clu.metrics.Metric]:
    """Return by how much the restorer is right less or more often than it says; of its own most
    probable labels, also where known ones are kept.
    """
    return {"restored__calibration_error": CalibrationError.of(logits, truth, valid)}


def pictures(
    generator: FrozenGenerator,
    variables: Any,
    instance: Array | None,
    planes: Mapping[str, Float[Array, "b h w c"]],
) -> dict[str, Float[Array, "b h w 3"]]:
    """Make all pictures of a batch in one call, for which the generator is compiled once; but one
    that looks at the statistics of its batch makes each set alone.
    """
    if generator.norm == "batch":
        return {name: generator(variables, each, instance) for name, each in planes.items()}
    often = None if instance is None else jnp.concatenate([instance] * len(planes))
    made = generator(variables, jnp.concatenate(list(planes.values())), often)
    return dict(zip(planes, jnp.split(made, len(planes)), strict=True))


def images(
    made: Mapping[str, Array], photo: Array, valid: Float[Array, " b"]
) -> dict[str, clu.metrics.Metric]:
    """Score pictures in [-1, 1] against the photograph."""
    return picture_scores(made, photo, valid)


def distances(
    features: SetFeatures, frozen: Frozen, made: Mapping[str, Array], batch: Batch
) -> dict[str, clu.metrics.Metric]:
    """Compare sets of pictures in bytes with the photographs; nothing without a network."""
    if not features.network:
        return {}
    of = functools.partial(features, frozen["inception"])
    shown = made, batch["image"], batch["valid"]
    return set_scores(of, features.described, *shown, features.capacity)


def certainty(share: Float[Array, "b h w"]) -> UInt8[Array, "b h w"]:
    """Return confidence as bytes."""
    return to_byte(jnp.asarray(share))
