"""Where arrays live: a mesh of ``data x fsdp`` devices and the shardings of state, frozen trees and
batches.

Parameters are sharded over ``fsdp`` (ZeRO-3: the compiler gathers them where they are used) and the
batch over both axes. Everything else of parallelism is left to ``jax.jit``.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from segsynth.errors import UserError

#: Leaves with fewer elements are replicated: gathering them costs more than it saves.
MIN_SHARDED_ELEMENTS = 2**16


@dataclasses.dataclass(frozen=True)
class Plan:
    """A mesh and the shardings on it."""

    mesh: Mesh

    @property
    def replicated(self) -> NamedSharding:
        """A full copy on every device."""
        return NamedSharding(self.mesh, P())

    @property
    def batch(self) -> NamedSharding:
        """Examples split over all devices."""
        return NamedSharding(self.mesh, P(("data", "fsdp")))

    def leaf(self, abstract: jax.ShapeDtypeStruct) -> NamedSharding:
        """Shard the largest axis that the fsdp size divides; of equal axes the last, a kernel's
        outputs.
        """
        size = self.mesh.shape["fsdp"]
        axes = [i for i, n in enumerate(abstract.shape) if n % size == 0]
        if size == 1 or not axes or np.prod(abstract.shape) < MIN_SHARDED_ELEMENTS:
            return self.replicated
        axis = max(axes, key=lambda i: (abstract.shape[i], i))
        return NamedSharding(
            self.mesh, P(*("fsdp" if i == axis else None for i in range(axis + 1)))
        )

    def tree(self, abstract: Any) -> Any:
        """Return the sharding of every leaf of a tree of shapes."""
        return jax.tree.map(self.leaf, abstract)

    def abstract(self, abstract: Any) -> Any:
        """Return the tree of shapes with the shardings of this plan, as a checkpoint's target."""
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.leaf(x)), abstract
        )

    def put_batch(self, local: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Assemble the global batch of which this process holds ``local``."""
        return {
            name: jax.make_array_from_process_local_data(self.batch, value)
            for name, value in local.items()
        }

    def check_batch(self, global_batch: int, where: str) -> None:
        """Raise :class:`UserError`, naming the key, unless the devices share it evenly."""
        if global_batch % self.mesh.size:
            raise UserError(
                f"{where} {global_batch} is not divisible by the mesh of {self.mesh.size} devices "
                f"({dict(self.mesh.shape)}); set {where} to a multiple, or mesh.data to fewer "
                "devices"
            )


def plan(data: int = -1, fsdp: int = 1) -> Plan:
    """Lay a mesh over the devices; ``data=-1`` takes all that ``fsdp`` leaves.

    Raises :class:`UserError` when the devices do not suffice.
    """
    count = jax.device_count()
    if fsdp < 1:
        raise UserError(f"mesh.fsdp is {fsdp}; expected 1 or more")
    if data == -1:
        data = count // fsdp
    if data < 1 or data * fsdp > count or (data * fsdp != count and jax.process_count() > 1):
        raise UserError(
            f"mesh data={data} x fsdp={fsdp} does not fit {count} devices; set mesh.data=-1 "
            "and an mesh.fsdp "
            "that divides them"
        )
    # Auto: linen modules have no gradient under Explicit axes, the default of make_mesh.
    mesh = jax.make_mesh(
        (data, fsdp),
        ("data", "fsdp"),
        axis_types=(AxisType.Auto,) * 2,
        devices=jax.devices()[: data * fsdp],
    )
    return Plan(mesh)
