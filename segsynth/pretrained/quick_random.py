"""Random numbers that compile quickly, for weights that nobody trains.

`jax.random` compiles its generator anew for every draw: half a minute for a network of 95 kernels.
These bits are an avalanche of the element's number and the key, a dozen integer operations, the
same on every device and in any sharding. They look random, and are good for nothing else.
"""

import math

import jax
import jax.numpy as jnp
from jax.extend import random
from jaxtyping import Integer, Key, UInt32

from segsynth.types import Array

_GOLDEN = 0x9E3779B9


def _mixed(x: UInt32[Array, "*s"]) -> UInt32[Array, "*s"]:
    """MurmurHash3's finaliser: each bit of the input changes half of the output's."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def _numbered(key: UInt32[Array, "1"], shape: tuple[int, ...]) -> UInt32[Array, "*s"]:
    numbers = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _mixed(_mixed(numbers + jnp.uint32(_GOLDEN)) ^ key[0])


def _seeded(seed: Integer[Array, ""] | int) -> UInt32[Array, "1"]:
    return _mixed(jnp.asarray(seed).astype(jnp.uint32) + jnp.uint32(_GOLDEN))[None]


def _bits(key: UInt32[Array, "1"], width: int, shape: tuple[int, ...]) -> UInt32[Array, "*s"]:
    if width != 32:
        raise NotImplementedError(f"{width} random bits; float32 and int32 take 32")
    return _numbered(key, shape)


_QUICK = random.define_prng_impl(
    key_shape=(1,),
    seed=_seeded,
    split=lambda key, shape: _numbered(key, shape)[..., None],
    random_bits=_bits,
    fold_in=lambda key, data: _mixed(_mixed(data.astype(jnp.uint32) + jnp.uint32(1)) ^ key),
    name="quick",
    tag="quick",
)


def quick_key(seed: int) -> Key[Array, ""]:
    """Return a key that all of `jax.random` takes, and linen's ``init``."""
    return jax.random.key(seed, impl=_QUICK)
