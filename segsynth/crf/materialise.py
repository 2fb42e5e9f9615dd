"""The one helper against the fusion of producers into gathers and reductions on CPU."""

import jax
from jax import lax
from jaxtyping import Array, Int, Shaped


@jax.custom_jvp
def materialise(x: Shaped[Array, "*shape"], zero: Int[Array, ""]) -> Shaped[Array, "*shape"]:
    """Return ``x``, computed once: on CPU no consumer can recompute it.

    XLA's CPU backend fuses elementwise producers into gathers and into each pass of a softmax and
    computes them again there, which costs up to four times the work. Writing one element back at a
    position known only at run time is an operation that is not fused into consumers. On other
    backends nothing is added.

    Args:
      x: any array.
      zero: an integer that the compiler cannot know, 0 by convention; any value is harmless, since
        the element is written back where it was read.

    """
    if x.size == 0:
        return x
    return lax.platform_dependent(x, zero, cpu=_write_back, default=lambda x, zero: x)


@materialise.defjvp
def _materialise_jvp(primals, tangents):
    x, zero = primals
    return materialise(x, zero), tangents[0]


def _write_back(x: Array, zero: Array) -> Array:
    start = (zero,) * x.ndim
    return lax.dynamic_update_slice(x, lax.dynamic_slice(x, start, (1,) * x.ndim), start)
