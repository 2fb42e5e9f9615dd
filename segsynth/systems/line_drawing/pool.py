"""A pool of made pictures from which a discriminator is shown old ones (Shrivastava et al., arXiv
1612.07828), as a pure state.

While the pool is not full, a picture is kept and shown; later each is, with probability 1/2, kept
in place of a random old one, which is shown instead (CycleGAN, ``util/image_pool.py``).
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from segsynth.types import PRNGKey


class Pool(flax.struct.PyTreeNode):
    """``pictures`` float32 (size, h, w, c), of which ``count`` (scalar int32) are there; or, in a
    state of shapes or shardings, their shapes or shardings.
    """

    pictures: Any
    count: Any

    @classmethod
    def empty(cls, size: int, height: int, width: int, channels: int) -> "Pool":
        """Return a pool without pictures."""
        return cls(jnp.zeros((size, height, width, channels)), jnp.zeros((), jnp.int32))


def draws(key: PRNGKey, batch: int, size: int) -> tuple[Float[Array, " b"], Int32[Array, " b"]]:
    """Return what `push` needs: a number in [0, 1) and a place in the pool for each picture."""
    share, place = jax.random.split(key)
    return jax.random.uniform(share, (batch,)), jax.random.randint(place, (batch,), 0, size)


def push(
    pool: Pool,
    pictures: Float[Array, "b h w c"],
    shares: Float[Array, " b"],
    places: Int32[Array, " b"],
) -> tuple[Float[Array, "b h w c"], Pool]:
    """Return what the discriminator is shown, and the pool after.

    Pictures are taken one after the other, as two of them may meet at one place. No gradient
    passes.

    Args:
        pool: the pool before.
        pictures: just made.
        shares: above 1/2, an old picture is shown.
        places: which.

    """
    size = len(pool.pictures)

    def take(held: Pool, one: tuple[Array, Array, Array]) -> tuple[Pool, Array]:
        picture, share, place = one
        filling = held.count < size
        swapping = ~filling & (share > 0.5)
        place = jnp.where(filling, held.count, place)
        old = held.pictures[place]
        kept = jnp.where(filling | swapping, picture, old)
        after = Pool(held.pictures.at[place].set(kept), jnp.minimum(held.count + 1, size))
        return after, jnp.where(swapping, old, picture)

    rows = (jax.lax.stop_gradient(pictures), shares, places)
    pool, shown = jax.lax.scan(take, pool, rows)
    return shown, pool
