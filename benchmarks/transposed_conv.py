"""The gradient of transposed convolutions beside flax's, on this device.

    python benchmarks/transposed_conv.py

Kernels, sides and channels are those of the generators, the depth head and the U-Net at the sizes
of demos; batches of 8. Times are of the gradient in kernel and input, of which compilation is no
part.
"""

import time
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from segsynth.networks.transposed_conv import ConvTranspose

REPEATS = 20
#: Sizes of ours and flax's padding, side of the input, its channels and those of the result.
LAYERS = {
    "3x3, 16 px, 64 to 32": ((3, 1, 1), ((1, 2), (1, 2)), 16, 64, 32),
    "3x3, 32 px, 64 to 32": ((3, 1, 1), ((1, 2), (1, 2)), 32, 64, 32),
    "4x4, 16 px, 64 to 32": ((4, 1, 0), "SAME", 16, 64, 32),
    "2x2, 16 px, 64 to 32": ((2, 0, 0), "SAME", 16, 64, 32),
}


def milliseconds(layer: nn.Module, x: jax.Array) -> float:
    """Return how long a gradient takes."""
    variables = layer.init(jax.random.key(0), x)

    def loss(variables: dict, x: jax.Array) -> jax.Array:
        return jnp.square(layer.apply(variables, x)).mean()

    step: Callable = jax.jit(jax.grad(loss, argnums=(0, 1)))
    jax.block_until_ready(step(variables, x))
    start = time.perf_counter()
    for _ in range(REPEATS):
        jax.block_until_ready(step(variables, x))
    return 1e3 * (time.perf_counter() - start) / REPEATS


def main() -> None:
    """Print the table."""
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}\n")
    print("| layer | flax, ms | ours, ms | ratio |\n|---|---:|---:|---:|")
    for name, ((size, padding, more), pads, side, inputs, features) in LAYERS.items():
        x = jax.random.normal(jax.random.key(1), (8, side, side, inputs))
        flax = milliseconds(nn.ConvTranspose(features, (size, size), (2, 2), padding=pads), x)
        ours = milliseconds(ConvTranspose(features, size, 2, padding, more), x)
        print(f"| {name} | {flax:.1f} | {ours:.1f} | {flax / ours:.0f} |", flush=True)


if __name__ == "__main__":
    main()
