"""Optax transformations from a config, exponential moving averages, gradient accumulation."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Int

from segsynth.errors import UserError
from segsynth.types import Array, Params


def kernels(params: Params) -> Any:
    """Mark the leaves that weight decay may shrink: kernels, not biases, scales or tables."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", "") == "kernel", params
    )


def adamw(
    *,
    lr: float = 1e-4,
    warmup: int = 5000,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    decay_steps: int = 0,
) -> optax.GradientTransformation:
    """AdamW with global-norm clipping and linear warm-up.

    After ``warmup`` steps the rate is constant, or falls to zero along a cosine at ``decay_steps``
    if that is not 0. Weight decay acts on kernels only.
    """
    after = optax.constant_schedule(lr)
    if decay_steps:
        after = optax.cosine_decay_schedule(lr, max(1, decay_steps - warmup))
    schedule = optax.join_schedules([optax.linear_schedule(0.0, lr, warmup), after], [warmup])
    b1, b2 = betas
    return optax.chain(
        optax.clip_by_global_norm(clip),
        optax.adamw(schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=kernels),
    )


def adam(
    *,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    constant_steps: int = 0,
    decay_steps: int = 0,
) -> optax.GradientTransformation:
    """Adam whose rate stays ``lr`` for ``constant_steps``, then falls linearly to 0 over
    ``decay_steps``; it never falls if that is 0.
    """
    schedule = optax.constant_schedule(lr)
    if decay_steps:
        schedule = optax.linear_schedule(lr, 0.0, decay_steps, constant_steps)
    return optax.adam(schedule, b1=betas[0], b2=betas[1], eps=eps)


def players(
    *,
    preset: Literal["ttur", "balanced"] = "ttur",
    lr: float = 2e-4,
    eps: float = 1e-8,
    constant_steps: int = 0,
    decay_steps: int = 0,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Return `adam` of a generator and of its discriminators.

    "ttur": rates ``lr`` / 2 and 2 ``lr``, betas (0, 0.9) (Heusel et al., arXiv 1706.08500; SPADE's
    default); "balanced": ``lr`` for both, betas (0.5, 0.999), SPADE's values without it.
    """
    factors, betas = {"ttur": ((0.5, 2.0), (0.0, 0.9)), "balanced": ((1.0, 1.0), (0.5, 0.999))}[
        preset
    ]
    shared = {"eps": eps, "constant_steps": constant_steps, "decay_steps": decay_steps}
    first, second = (adam(lr=factor * lr, betas=betas, **shared) for factor in factors)
    return first, second


def ema_decay(step: Int[Array, ""], limit: float) -> Float[Array, ""]:
    """Warm-up of the decay, min(limit, (1 + n) / (10 + n)): early averages forget the
    initialisation.
    """
    n = step.astype(jnp.float32)
    return jnp.minimum(limit, (1 + n) / (10 + n))


def update_ema(ema: Params, params: Params, step: Int[Array, ""], limit: float) -> Params:
    """Move ``ema`` towards ``params``, in float32 (a decay of 0.9999 vanishes in bfloat16)."""
    decay = ema_decay(step, limit)
    return jax.tree.map(lambda e, p: e * decay + p * (1 - decay), ema, params)


def accumulate(
    loss: Callable[[Params, Any], tuple[Array, Any]], params: Params, batch: Any, microbatches: int
) -> tuple[Params, Any]:
    """Mean gradient and mean auxiliary scalars of ``loss(params, batch)`` over equal parts of the
    batch.

    ``loss`` must be a mean over the leading axis of every leaf of ``batch``; then the result equals
    the gradient of the whole batch. Examples that lie on one device stay there: part ``k`` takes
    every ``microbatches``-th one.
    """
    gradient = jax.grad(loss, has_aux=True)
    size = jax.tree.leaves(batch)[0].shape[0]
    if microbatches < 1 or size % microbatches:
        raise UserError(
            f"a batch of {size} cannot be taken in {microbatches} equal parts; set "
            "system.microbatches to a divisor of train.global_batch"
        )
    if microbatches == 1:
        return gradient(params, batch)
    parts = jax.tree.map(
        lambda x: jnp.swapaxes(x.reshape(-1, microbatches, *x.shape[1:]), 0, 1), batch
    )

    def add(total: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, gradient(params, part)), None

    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype),
        jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], parts)),
    )
    # On CPU, XLA runs convolution gradients inside a loop body on one slow thread: unroll there.
    unroll = jax.default_backend() == "cpu"
    total, _ = jax.lax.scan(add, zeros, parts, unroll=unroll)
    return jax.tree.map(lambda x: x / microbatches, total)
