"""Entries grouped by vertex into rows of 8, so that a splat reads instead of scattering.

Compressed sparse rows with a fixed row length: a vertex with c entries takes ceil(c / 8) rows. XLA
has no counting sort, so tiles of pixels are sorted by vertex (one word holds vertex and place in
the tile) and laid out one tile after another, each vertex keeping its own cursor.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from segsynth.crf.materialise import materialise

#: Entries in a row.
WIDTH = 8
_TILE = 4096


class Rows(NamedTuple):
    """Entries by vertex.

    Args:
      points: point of each entry.
      weights: barycentric weight of each entry, 0 where a row is not full.
      vertex: whose entries a row holds.
      count: rows in use; those beyond have weight 0.

    """

    points: Int[Array, "r 8"]
    weights: Float[Array, "r 8"]
    vertex: Int[Array, " r"]
    count: Int[Array, ""]


def row_capacity(entries: int, vertices: int) -> int:
    """The most rows that so many entries of so many vertices can need."""
    return (entries + (WIDTH - 1) * vertices) // WIDTH


def group(ids: Int[Array, "k n"], weights: Float[Array, "k n"], vertices: int) -> Rows:
    """Group the entries by vertex.

    Args:
      ids: vertex of each entry, 0 for none, up to ``vertices``.
      weights: of each entry.
      vertices: the largest vertex number, static.

    """
    k, n = ids.shape
    capacity = row_capacity(k * n, vertices)
    tile = _TILE
    while tile > 1 and tile * k * (vertices + 1) >= 2**32:
        tile //= 2
    tile = min(tile, n)
    tiles = -(-n // tile)
    ids = jnp.pad(ids, ((0, 0), (0, tiles * tile - n)))

    ones = jnp.zeros(vertices + 1, jnp.int32).at[ids.reshape(-1)].add(1, mode="promise_in_bounds")
    rows = (ones.at[0].set(0) + WIDTH - 1) // WIDTH
    upto = jnp.cumsum(rows)
    cursor = (upto - rows) * WIDTH
    zero = jnp.minimum(upto[-1], 0)

    size = k * tile
    local = jnp.arange(size, dtype=jnp.uint32)
    by_tile = ids.reshape(k, tiles, tile).swapaxes(0, 1).reshape(tiles, size)
    ordered = jnp.sort(by_tile.astype(jnp.uint32) * jnp.uint32(size) + local[None], axis=1)
    place = jnp.arange(size, dtype=jnp.int32)
    empty = jnp.full(capacity * WIDTH, -1, jnp.int32)

    def lay_out(number, state):
        entries, cursor = state
        key = ordered[number]
        vertex = (key // jnp.uint32(size)).astype(jnp.int32)
        inside = (key % jnp.uint32(size)).astype(jnp.int32)
        entry = (inside // tile) * n + number * tile + inside % tile
        other = vertex[1:] != vertex[:-1]
        head = jnp.concatenate([jnp.ones(1, bool), other])
        tail = jnp.concatenate([other, jnp.ones(1, bool)])
        # From where the run of a vertex in this tile begins to where its entries go.
        shift = cursor.at[vertex].get(mode="promise_in_bounds") - place
        shift = materialise(shift, zero)
        cursor = cursor.at[jnp.where(head, vertex, vertices + 1)].set(shift, mode="drop")
        goal = place + cursor.at[vertex].get(mode="promise_in_bounds")
        goal = materialise(goal, zero)
        cursor = cursor.at[jnp.where(tail, vertex, vertices + 1)].set(goal + 1, mode="drop")
        goal = jnp.where(vertex > 0, goal, capacity * WIDTH)
        return entries.at[goal].set(entry, mode="drop"), cursor

    entries, _ = lax.fori_loop(0, tiles, lay_out, (empty, cursor))
    entries = entries.reshape(capacity, WIDTH)
    used = jnp.maximum(entries, 0)
    flat = jnp.where(entries < 0, 0.0, weights.reshape(-1).at[used].get(mode="clip"))
    vertex = ids[:, :n].reshape(-1).at[used[:, 0]].get(mode="clip")
    vertex = jnp.where(entries[:, 0] < 0, 0, vertex)
    return Rows(used % n, flat, vertex, upto[-1])
