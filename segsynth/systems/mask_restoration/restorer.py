"""The network that completes label maps, and what it sees of a damaged one."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from segsynth.errors import UserError
from segsynth.networks.planes import label_planes
from segsynth.networks.spade import SpadeGenerator, start_size
from segsynth.systems.mask_restoration.degradations import Damaged
from segsynth.types import Array, PRNGKey

#: Pixels without a label are of the class of unlabelled ones, or have a plane of their own.
Unknown = Literal["as_class0", "extra_channel"]


def planes_of(classes: int, unknown: Unknown, kinds: int) -> int:
    """Return how many planes a restorer sees; `Restorer` says what of."""
    return classes + (unknown == "extra_channel") + kinds


@dataclasses.dataclass(frozen=True)
class Restorer:
    """A SPADE generator that ends in the logits of ``classes``, in use.

    ``kinds``: planes, one for each kind of damage, by which it can be told the kind; 0 = none.
    """

    module: SpadeGenerator
    classes: int
    unknown: Unknown = "as_class0"
    kinds: int = 0

    def init(self, key: PRNGKey) -> Any:
        """Return fresh variables."""
        planes = jnp.zeros((1, *self.module.out_hw, self.module.label_channels))
        return self.module.init(key, planes)

    def planes(self, damaged: Damaged, kind: Int[Array, " b"] | None) -> Float[Array, "b h w c"]:
        """Return what the restorer sees; ``kind`` -1 or None = not told."""
        planes = [label_planes(damaged.labels[..., None], self.classes)]
        if self.unknown == "extra_channel":
            missing = damaged.missing[..., None]
            planes = [jnp.where(missing, 0.0, planes[0]), missing.astype(jnp.float32)]
        if self.kinds:
            shape = (*damaged.labels.shape, self.kinds)
            told = jnp.zeros(shape[:1] + shape[-1:])
            if kind is not None:
                told = jax.nn.one_hot(kind, self.kinds)
            planes.append(jnp.broadcast_to(told[:, None, None, :], shape))
        return jnp.concatenate(planes, axis=-1)

    def learn(self, params: Any, state: Any, planes: Array) -> tuple[Float[Array, "b h w k"], Any]:
        """Return the logits in training mode, and the state after it."""
        variables = {"params": params, **state}
        return self._at(planes).apply(variables, planes, train=True, mutable=["batch_stats"])

    def __call__(self, variables: Any, planes: Array) -> Float[Array, "b h w k"]:
        """Return the logits by running statistics."""
        return self._at(planes).apply(variables, planes)

    def _at(self, planes: Array) -> SpadeGenerator:
        """Return the module for the size of ``planes``; it has the same variables at any."""
        size = planes.shape[1:3]
        try:
            start_size(size, self.module.upsampling)
        except ValueError as error:
            raise UserError(f"label maps of {size[0]}x{size[1]}: {error}") from error
        return self.module.clone(out_hw=size)
