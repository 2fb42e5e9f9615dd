"""Batch statistics estimated anew, for averaged parameters that no running mean belongs to."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

#: Leaves that batch norm keeps; the others (vectors of the spectral norm) are taken as they come.
_MOMENTS = ("mean", "var")
#: Share of the batch in what batch norm stores after one batch, starting from zeros.
_SHARE = 0.1


def running_mean(state: Any, count: Int[Array, ""], run: Callable[[Any], Any]) -> Any:
    """Return the mean of the batch statistics of ``count`` + 1 batches.

    ``state`` holds the mean of the first ``count`` (anything, if that is 0); ``run(state)`` runs
    the network in training mode on the next batch and returns the state after it, with a momentum
    of 0.9.
    """
    # From zeros, what is stored is the batch's own share; from anything else, subtracting that
    # would cost digits.
    moved = run(jax.tree_util.tree_map_with_path(_zero, state))
    weight = 1.0 / (count.astype(jnp.float32) + 1.0)

    def mean(path: Any, before: Array, after: Array) -> Array:
        if not _is_moment(path):
            return after
        return before + (after / _SHARE - before) * weight

    return jax.tree_util.tree_map_with_path(mean, state, moved)


def _zero(path: Any, leaf: Array) -> Array:
    return jnp.zeros_like(leaf) if _is_moment(path) else leaf


def _is_moment(path: Any) -> bool:
    return getattr(path[-1], "key", "") in _MOMENTS
