"""What is to be restored: one kind of damage, or one of several drawn for each example."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Int

from segsynth.errors import UserError
from segsynth.settings import configure, unknown
from segsynth.systems.mask_restoration.degradations import (
    NONE,
    Coarse,
    Damaged,
    Degradation,
    Holes,
    Labels,
    LostClasses,
    LowResolution,
    NoisyBorders,
)
from segsynth.types import Array, Batch, PRNGKey

#: Kinds of damage by name.
KINDS = ("coarse", "sr2", "sr4", "sr8", "sr16", "holes", "noisy", "classes")
MIXTURE = "mixture"


@dataclasses.dataclass(frozen=True)
class Task:
    """Kinds of damage, of which each example gets one; names stand in ``names``.

    ``none_is_missing``: pixels without a label are `NONE` in a map that a user brings, and
    ``unlabelled`` is a label; else they are ``unlabelled``, as in Cityscapes' coarse maps.
    """

    names: tuple[str, ...]
    kinds: tuple[Degradation, ...]
    unlabelled: int = 0
    none_is_missing: bool = False

    @property
    def given(self) -> str:
        """The modality under which a user brings a damaged map."""
        return self.kinds[0].reads if len(self.kinds) == 1 else "labels"

    @property
    def reads(self) -> tuple[str, ...]:
        """Modalities that training damages."""
        return tuple(dict.fromkeys(kind.reads for kind in self.kinds))

    @property
    def low_resolution(self) -> LowResolution | None:
        """The only kind, if it is one of low resolution."""
        only = self.kinds[0] if len(self.kinds) == 1 else None
        return only if isinstance(only, LowResolution) else None

    @property
    def gaps(self) -> bool:
        """Whether a damaged map may have pixels without a label."""
        return any(kind.certain and not isinstance(kind, LowResolution) for kind in self.kinds)

    @property
    def certain(self) -> bool:
        """Whether a damaged map may have pixels whose label is right."""
        return any(kind.certain for kind in self.kinds)

    def damage(self, batch: Batch, key: PRNGKey) -> tuple[Damaged, Int[Array, " b"]]:
        """Return the damaged maps of a batch, and which kind each example got."""
        draw_key, key = jax.random.split(key)
        made = [
            kind(batch[kind.reads][..., 0], jax.random.fold_in(key, i))
            for i, kind in enumerate(self.kinds)
        ]
        count = made[0].labels.shape[0]
        drawn = jax.random.randint(draw_key, (count,), 0, len(made))
        if len(made) == 1:
            return made[0], drawn
        chosen = drawn[:, None, None]
        first, *others = made
        for i, each in enumerate(others, start=1):
            first = jax.tree.map(lambda a, b, i=i: jnp.where(chosen == i, b, a), first, each)
        return first, drawn

    def as_given(self, labels: Labels) -> Damaged:
        """Return a map that is damaged already."""
        if self.low_resolution is not None:
            known = self.low_resolution.repeated(self.low_resolution.sampled(labels)).known
            return Damaged(labels, known, jnp.zeros(labels.shape, bool))
        if not self.certain:
            nothing = jnp.zeros(labels.shape, bool)
            return Damaged(labels, nothing, nothing)
        missing = labels == NONE
        if not self.none_is_missing or "coarse" in self.reads:
            missing |= labels == self.unlabelled
        return Damaged(jnp.where(missing, jnp.uint8(self.unlabelled), labels), ~missing, missing)


def build(
    name: str,
    mixture: tuple[str, ...],
    settings: Mapping[str, Mapping[str, Any]],
    *,
    classes: int,
    unlabelled: int,
    none_is_missing: bool,
) -> Task:
    """Build the task of a config.

    ``settings``: by "low_resolution", "holes", "noisy" and "classes", fields of that kind.

    Raises:
        UserError: an unknown kind, a mixture of fewer than two kinds, an unknown field.

    """
    names = tuple(mixture) if name == MIXTURE else (name,)
    if name == MIXTURE and len(set(names)) < 2:
        raise UserError(f"system.mixture is {names}; name two kinds or more of {', '.join(KINDS)}")
    for wanted in names:
        if wanted not in KINDS:
            raise UserError(unknown(wanted, (*KINDS, MIXTURE), "system.task"))
    shared = {"unlabelled": unlabelled}
    makers = {
        "coarse": (Coarse, shared),
        "holes": (Holes, {**settings.get("holes", {}), **shared}),
        "noisy": (NoisyBorders, settings.get("noisy", {})),
        "classes": (LostClasses, {**settings.get("classes", {}), **shared, "classes": classes}),
    }
    for wanted in names:
        if wanted.startswith("sr"):
            low = {**settings.get("low_resolution", {}), "factor": int(wanted[2:])}
            makers[wanted] = (LowResolution, low)
    kinds = tuple(
        configure(makers[wanted][0], makers[wanted][1], f"system.damage.{wanted}")
        for wanted in names
    )
    return Task(names, kinds, unlabelled, none_is_missing)
