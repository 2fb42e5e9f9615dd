"""What an evaluation of restoration looks at: label maps, and the pictures made from them."""

import functools
from collections.abc import Mapping
from typing import Any

import clu.metrics
import jax
import jax.numpy as jnp
from jaxtyping import Float

from segsynth.metrics.calibration import CalibrationError
from segsynth.metrics.restoration import mask_scores, picture_scores
from segsynth.metrics.set_distances import set_scores
from segsynth.networks.planes import label_planes, to_bytes, to_unit
from segsynth.pretrained.set_features import SetFeatures
from segsynth.systems.mask_restoration.baselines import bilinear_argmax, nearest_label
from segsynth.systems.mask_restoration.degradations import Damaged, Labels
from segsynth.systems.mask_restoration.frozen_generator import FrozenGenerator
from segsynth.systems.mask_restoration.tasks import Task
from segsynth.types import Array, Batch, Frozen, Variables

Scores = dict[str, clu.metrics.Metric]


def judge(
    system: Any, variables: Variables, frozen: Frozen, batch: Batch, damaged: Damaged, kind: Array
) -> tuple[Scores, dict[str, Array]]:
    """Return the scores of one batch, and what is drawn of it.

    ``restored`` is what a user gets who says nothing more; ``told`` the map of a restorer that
    knows the ``kind`` of damage; ``clamped`` the restored one where known pixels are kept.
    """
    truth, valid = batch["labels"][..., 0], batch["valid"]
    logits = system.logits(variables, damaged)
    found = {"none": damaged.labels, "restored": system.labels(logits, damaged)}
    found |= baselines(system.task, damaged, system.classes)
    if system.told:
        found["told"] = system.labels(system.logits(variables, damaged, kind), damaged)
    if system.task.certain and not system.options.clamp_known:
        found["clamped"] = jnp.where(damaged.known, damaged.labels, found["restored"])
    scores = maps(system, found, truth, damaged, valid)
    scores["restored__calibration_error"] = CalibrationError.of(logits, truth, valid)
    drawn = {"damaged": damaged.labels, "restored": found["restored"], "truth": truth}
    drawn = {name: x[..., None].astype(jnp.int32) for name, x in drawn.items()}
    if system.generator is None:
        return scores, drawn
    one_hot = functools.partial(label_planes, classes=system.classes)
    planes = {name: one_hot(found[name][..., None]) for name in ("none", "restored")}
    planes["restored_soft"] = jax.nn.softmax(logits.astype(jnp.float32) / system.objective.tau)
    planes["synthesis"] = one_hot(truth[..., None])
    made = pictures(system.generator, frozen["generator"], batch.get("instance"), planes)
    scores |= picture_scores(made, to_unit(batch["image"]), valid)
    scores |= distances(system.distances, frozen, made, batch)
    return scores, drawn | {"image": to_bytes(made["restored"]), "photo": batch["image"]}


def baselines(task: Task, damaged: Damaged, classes: int) -> dict[str, Labels]:
    """Return the maps that need no network: ``nearest`` where pixels are missing, or between those
    that were sampled for low resolution, which also has ``bilinear``.
    """
    if not task.certain:
        return {}
    if task.low_resolution is None:
        return {"nearest": nearest_label(damaged.labels, damaged.missing)}
    return {
        "nearest": nearest_label(damaged.labels, ~damaged.known),
        "bilinear": bilinear_argmax(damaged.labels, task.low_resolution, classes),
    }


def maps(
    system: Any,
    found: Mapping[str, Array],
    truth: Array,
    damaged: Damaged,
    valid: Float[Array, " b"],
) -> Scores:
    """Score label maps; the classes are listed of the damaged and the restored one, and of what
    needs no network.
    """
    scores = mask_scores(
        found,
        truth,
        damaged.known,
        valid,
        system.classes,
        evaluated=system.evaluated,
        names=system.names,
        detailed=("none", "nearest", "bilinear", "restored"),
    )
    if not system.task.certain:  # no pixel is known
        scores = {name: x for name, x in scores.items() if not name.endswith("__known_accuracy")}
    return scores


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


def distances(
    features: SetFeatures, frozen: Frozen, made: Mapping[str, Array], batch: Batch
) -> Scores:
    """Compare sets of pictures in [-1, 1] with the photographs; nothing without a network."""
    if not features.network:
        return {}
    of = functools.partial(features, frozen["inception"])
    written = {name: to_bytes(picture, features.bytes) for name, picture in made.items()}
    shown = written, batch["image"], batch["valid"]
    return set_scores(of, features.described, *shown, features.capacity, features.subset)
