"""Adam of both sides, whose rate stays, then falls from epoch to epoch, and differs by network."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Int

from segsynth.types import Array

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]

#: Networks that help the generators; their rate is not lowered unless that is asked for.
HELPERS = ("geometry", "segmenter")


def falling(epoch: int, constant: int, decay: int) -> Schedule:
    """Return the factor of the rate at a step, ``1 - max(0, e - constant) / decay`` in epoch e.

    informative-drawings' ``LambdaLR``: 1 up to epoch 50 of 100, 0.02 in the last one. An ``epoch``
    of 0 steps means that the factor is always 1.
    """

    def factor(step: Int[Array, ""]) -> Float[Array, ""]:
        if not epoch:
            return jnp.ones((), jnp.float32)
        past = (step // epoch - constant).astype(jnp.float32)
        return jnp.clip(1.0 - past / decay, 0.0, 1.0)

    return factor


def adams(
    *,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps: float = 1e-8,
    epoch: int = 0,
    constant: int = 50,
    decay: int = 50,
    helpers_decay: bool = False,
    segmenter: float = 1.0,
    clip: float = 0.0,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Return the optimizer of the generators' side and that of the discriminators.

    Args:
        lr: rate.
        betas: decays of the moments.
        eps: of the denominator.
        epoch: steps of an epoch; 0 = the rate never falls.
        constant: epochs before it falls.
        decay: epochs until it is 0, counted from there.
        helpers_decay: whether that holds for the depth head and the segmenter too.
        segmenter: factor of the segmenter's rate.
        clip: largest norm of the gradient of a side; 0 = any.

    """
    fall, stay = falling(epoch, constant, decay), falling(0, constant, decay)
    helped = fall if helpers_decay else stay
    rates = {name: _scaled(helped, lr) for name in HELPERS}
    rates["segmenter"] = _scaled(helped, lr * segmenter)
    first = [optax.clip_by_global_norm(clip)] if clip else []
    b1, b2 = betas

    def chain() -> optax.GradientTransformation:
        adam = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
        return optax.chain(*first, adam, _by_network(rates, _scaled(fall, lr)))

    return chain(), chain()


def _scaled(schedule: Schedule, rate: float) -> Schedule:
    return lambda step: rate * schedule(step)


def _by_network(rates: Mapping[str, Schedule], other: Schedule) -> optax.GradientTransformation:
    """Multiply the updates of each network, by name, with minus its rate."""

    def init(params: Any) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        scaled = {}
        for name, tree in updates.items():
            rate = -rates.get(name, other)(state.count)
            scaled[name] = jax.tree.map(lambda u, rate=rate: rate * u, tree)
        return scaled, optax.ScaleByScheduleState(count=state.count + 1)

    return optax.GradientTransformation(init, update)
