"""An open-addressing hash table built and read inside jit, without sorting.

All entries probe at once. The lowest entry number that reaches an empty slot claims it
(scatter-min, so the table is deterministic on every backend); entries that find another key there
are gathered into a small array and probe on. Keys are compared whole: nothing is identified by its
hash.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, UInt32

from segsynth.crf.materialise import materialise

Words = Sequence[UInt32[Array, "k n"]]

#: A table at most one quarter full ends all probes long before; beyond, it is over capacity.
_PROBES = 64
_EMPTY = 2**31 - 1
_INSIDE = "promise_in_bounds"


def _mix(words: Sequence[Array], bits: int) -> tuple[Array, Array]:
    """First slot and odd stride of the probes of each key."""
    h = jnp.zeros_like(words[0])
    for number, word in enumerate(words):
        h = (h ^ word) * jnp.uint32((0x9E3779B1 + 0x7F4A7C14 * number) % 2**32 | 1)
        h = h ^ (h >> 15)
    h = h * jnp.uint32(0x846CA68B)
    h = h ^ (h >> 16)
    mask = jnp.uint32(2**bits - 1)
    stride = (h * jnp.uint32(0x85EBCA77)) >> 8 | jnp.uint32(1)
    return (h & mask).astype(jnp.int32), (stride & mask).astype(jnp.int32)


def running_count(flags: Bool[Array, "k n"]) -> tuple[Int[Array, "k n"], Int[Array, ""]]:
    """How many flags are set before each place, columns first, and in all."""
    flags = flags.astype(jnp.int32)
    column = sum(flags)
    upto = jnp.cumsum(column)
    row = jnp.arange(flags.shape[0])[:, None]
    above = sum(jnp.where(row > i, flag[None], 0) for i, flag in enumerate(flags))
    return (upto - column)[None] + above, upto[-1]


def compact(flags: Bool[Array, "k n"], size: int) -> Int[Array, " {size}"]:
    """Flat numbers of the first ``size`` flags that are set; the rest is k n."""
    place, count = running_count(flags)
    total = flags.size
    number = jnp.arange(total, dtype=jnp.int32)
    # Scatter reads its operands one element at a time: a sum behind them would run again for each.
    place = materialise(jnp.where(flags, place, size), jnp.minimum(count, 0)).reshape(-1)
    return jnp.full(size, total, jnp.int32).at[place].set(number, mode="drop")


class Table(NamedTuple):
    """Distinct keys, numbered from 1 by first appearance; 0 means none.

    Args:
      slots: number of the key in each slot.
      keys: words of each key by number; row 0 is no key's.
      count: how many there are; numbers beyond the capacity have been dropped.
      overflow: whether any key was dropped.

    """

    slots: Int[Array, " t"]
    keys: tuple[UInt32[Array, " m"], ...]
    count: Int[Array, ""]
    overflow: Bool[Array, ""]


def number(
    words: Words, capacity: int, valid: Bool[Array, " n"] | None = None
) -> tuple[Int[Array, "k n"], Table]:
    """Number the distinct keys.

    Args:
      words: keys of k n entries.
      capacity: the most keys that are kept, static.
      valid: columns that count; the others get number 0. Absent, all do.

    Returns:
      (numbers, table): the number of each entry's key in 1 .. capacity, or 0.

    """
    bits = max(6, (4 * capacity - 1).bit_length())
    total, shape = words[0].size, words[0].shape
    flat = [word.reshape(-1) for word in words]
    entry = jnp.arange(total, dtype=jnp.int32)
    alive = jnp.ones(total, bool)
    if valid is not None:
        alive = jnp.broadcast_to(valid[None], shape).reshape(-1)
    slot, _ = _mix(flat, bits)
    claim = entry if valid is None else jnp.where(alive, entry, _EMPTY)
    owners = jnp.full(2**bits, _EMPTY, jnp.int32).at[slot].min(claim, mode=_INSIDE)
    owner = owners.at[slot].get(mode=_INSIDE)
    left = alive & ~_same(flat, flat, owner)
    slot, owner, owners, stuck = _resolve(flat, slot, owner, owners, left, shape, bits)
    first = (owner == entry) & alive & ~stuck
    place, count = running_count(first.reshape(shape))
    mine = jnp.where(first, place.reshape(-1) + 1, 0)
    mine = jnp.where(mine > capacity, 0, mine)
    slots = jnp.where(owners < total, mine.at[owners].get(mode="clip"), 0)
    numbers = jnp.where(alive & ~stuck, slots.at[slot].get(mode=_INSIDE), 0)
    where = jnp.where(mine > 0, mine, capacity + 1)
    keys = tuple(jnp.zeros(capacity + 1, jnp.uint32).at[where].set(w, mode="drop") for w in flat)
    overflow = (count > capacity) | jnp.any(stuck)
    return numbers.reshape(shape), Table(slots, keys, jnp.minimum(count, capacity), overflow)


def look_up(words: Words, table: Table) -> Int[Array, "k n"]:
    """The numbers of keys in a table, 0 for those that are not in it."""
    shape, total = words[0].shape, words[0].size
    bits = table.slots.shape[0].bit_length() - 1
    flat = [word.reshape(-1) for word in words]
    slot, _ = _mix(flat, bits)
    found = table.slots.at[slot].get(mode=_INSIDE)
    hit = _same(flat, table.keys, found)
    left = (found > 0) & ~hit
    found = jnp.where(hit, found, 0)
    size = max(64, total // 8)

    def some(state):
        return jnp.any(state[1])

    def more(state):
        found, left = state
        picked = compact(left.reshape(shape), size)
        mine = [word.at[picked].get(mode="clip") for word in flat]
        slot, stride = _mix(mine, bits)

        def probe(state):
            step, slot, got, active = state
            slot = jnp.where(active, (slot + stride) & (2**bits - 1), slot)
            there = table.slots.at[slot].get(mode=_INSIDE)
            hit = active & (there > 0) & _same(mine, table.keys, there)
            return step + 1, slot, jnp.where(hit, there, got), active & ~hit & (there > 0)

        start = (0, slot, jnp.zeros(size, jnp.int32), picked < total)
        *_, got, _ = lax.while_loop(lambda s: jnp.any(s[-1]) & (s[0] < _PROBES), probe, start)
        found = found.at[picked].set(got, mode="drop")
        return found, left.at[picked].set(False, mode="drop")

    found, _ = lax.while_loop(some, more, (found, left))
    return found.reshape(shape)


def _same(words: Sequence[Array], keys: Sequence[Array], which: Array) -> Array:
    """Whether each key equals ``keys[which]``; entries beyond the end equal nothing."""
    size = keys[0].shape[0]
    same = which < size
    for word, key in zip(words, keys, strict=True):
        same &= word == key.at[which].get(mode="clip")
    return same


def _resolve(flat, slot, owner, owners, left, shape, bits):
    """Let entries that met another key probe on, a few at a time, until none is left."""
    total, mask = slot.shape[0], 2**bits - 1
    size = max(64, total // 8)

    def more(state):
        slot, owner, owners, left, stuck = state
        picked = compact(left.reshape(shape), size)
        mine = [word.at[picked].get(mode="clip") for word in flat]
        place, stride = _mix(mine, bits)

        def probe(state):
            step, place, owners, active, got = state
            place = jnp.where(active, (place + stride) & mask, place)
            free = active & (owners.at[place].get(mode=_INSIDE) == _EMPTY)
            where = jnp.where(free, place, mask + 1)
            owners = owners.at[where].min(picked, mode="drop")
            there = owners.at[place].get(mode=_INSIDE)
            hit = active & _same(mine, flat, there)
            return step + 1, place, owners, active & ~hit, jnp.where(hit, there, got)

        start = (0, place, owners, picked < total, jnp.zeros(size, jnp.int32))
        _, place, owners, lost, got = lax.while_loop(
            lambda s: jnp.any(s[3]) & (s[0] < _PROBES), probe, start
        )
        slot = slot.at[picked].set(place, mode="drop")
        owner = owner.at[picked].set(got, mode="drop")
        left = left.at[picked].set(False, mode="drop")
        stuck = stuck.at[picked].set(lost, mode="drop")
        return slot, owner, owners, left, stuck

    state = (slot, owner, owners, left, jnp.zeros(total, bool))
    slot, owner, owners, _, stuck = lax.while_loop(lambda s: jnp.any(s[3]), more, state)
    return slot, owner, owners, stuck
