"""Parts of the system that are built from its config section, and what they may not be together."""

from collections.abc import Mapping
from typing import Any

import optax

from segsynth.engine.optimizers import players
from segsynth.errors import UserError
from segsynth.networks.spade import SpadeGenerator, start_size
from segsynth.settings import configure
from segsynth.systems.mask_restoration.objective import Weights
from segsynth.systems.mask_restoration.tasks import Task


def adam(settings: Mapping[str, Any]) -> optax.GradientTransformation:
    """Return Adam of the restorer, by keys of `segsynth.engine.optimizers.players`: that of a
    generator, by default with the values for no discriminator to be balanced against.
    """
    return configure(players, {"preset": "balanced", **settings}, "system.optimizer")[0]


def spade(settings: Mapping[str, Any], where: str) -> SpadeGenerator:
    """Build a generator; raise :class:`UserError` for a frame that it cannot have."""
    made = configure(SpadeGenerator, settings, where)
    try:
        start_size(made.out_hw, made.upsampling)
    except ValueError as error:
        raise UserError(f"system.frame: {error}") from error
    return made


def check(task: Task, weights: Weights, generator: bool, told: float) -> None:
    """Refuse settings that contradict each other."""
    if not weights.used:
        raise UserError("system.loss has no weight; give one to ce, vgg or l1")
    if weights.image and not generator:
        raise UserError(
            "system.loss looks at pictures, and system.generator is empty; describe the generator, "
            "or set system.loss.vgg and system.loss.l1 to 0"
        )
    if not 0 <= told <= 1 or (told and len(task.kinds) < 2):
        raise UserError(f"system.told is {told}; expected 0, or a probability for a mixture")
