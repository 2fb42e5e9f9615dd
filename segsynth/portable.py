"""A system's answer as one file: a StableHLO program that holds its weights and needs jax alone.

``jax.export.deserialize(bytes).call(inputs, seed)``, or `load` here. The program answers for a
batch of one size; growing pictures to sizes that the networks take, tiles and checks of what a user
brings belong to `segsynth.predict` and are not in it.
"""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from segsynth.data import modalities
from segsynth.errors import UserError
from segsynth.predict import Synthesizer

#: What programs run on; one file serves all of them.
PLATFORMS = ("cpu", "cuda", "tpu")


def export(
    synthesizer: Synthesizer,
    height: int,
    width: int,
    *,
    batch: int = 1,
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """Return the program of ``predict`` for pictures of ``height`` x ``width`` px.

    It maps ({input: array with a leading batch dimension}, seed: int32) to {output: array}, as
    `Synthesizer` names them; pictures are uint8 (batch, h, w, c), numbers (batch,).

    Raises:
        UserError: a system that answers on the host, an input of no fixed shape, a size that the
            networks do not take.

    """
    system = synthesizer.system
    if system.on_host:
        raise UserError(
            "this system answers on the host, outside of any program; nothing to export"
        )
    variables, frozen = synthesizer.weights

    def answer(inputs: Mapping[str, Any], seed: Any) -> Mapping[str, Any]:
        return system.predict(variables, frozen, inputs, jax.random.key(seed))

    given = {name: _shape(name, batch, height, width) for name in system.inputs}
    seed = jax.ShapeDtypeStruct((), jnp.int32)
    try:
        return serialized(answer, given, seed, platforms=platforms)
    except ValueError as error:
        raise UserError(f"pictures of {width}x{height} px cannot be exported: {error}") from error


def serialized(function: Callable, *arguments: Any, platforms: Sequence[str] = PLATFORMS) -> bytes:
    """Return a function as a portable program; ``arguments`` are arrays or their shapes."""
    program = jax_export.export(jax.jit(function), platforms=platforms)(*arguments)
    return bytes(program.serialize())


def load(path: str | os.PathLike) -> Callable[..., dict[str, jax.Array]]:
    """Return the program of a file as a function: ``load(path)(image=..., seed=0)``.

    Raises:
        UserError: no such file, or one that holds no program.

    """
    file = pathlib.Path(path)
    try:
        program = jax_export.deserialize(bytearray(file.read_bytes()))
    except OSError as error:
        raise UserError(f"cannot read {file} ({error.strerror})") from error
    except Exception as error:  # whatever the parser of a flatbuffer says
        raise UserError(f"{file} holds no exported program; write it anew") from error

    def answer(*, seed: int = 0, **inputs: Any) -> dict[str, jax.Array]:
        return program.call(inputs, jnp.int32(seed))

    return answer


def _shape(name: str, batch: int, height: int, width: int) -> jax.ShapeDtypeStruct:
    modality = modalities.get(name)
    sizes = {"spatial": (height, width, modality.channels), "scalar": ()}
    if modality.kind not in sizes:
        raise UserError(f"{name} has no fixed shape; a system that takes it cannot be exported")
    return jax.ShapeDtypeStruct((batch, *sizes[modality.kind]), modality.dtype)
