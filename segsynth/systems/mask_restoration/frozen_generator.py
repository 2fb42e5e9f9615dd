"""The image generator that restoration goes through and never changes."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from segsynth.errors import UserError
from segsynth.networks.planes import edge_plane
from segsynth.networks.spade import DOUBLINGS, SpadeGenerator
from segsynth.types import Array, PRNGKey

#: What a generator with a plane for the borders of objects is fed there: it has none; the true
#: borders, which tells it more than the map does; borders between the classes of the map, constant
#: for the gradient; nothing.
Edges = Literal["none", "true_instance", "from_argmax", "zeros"]
Planes = Float[Array, "b h w c"]

_REFUSAL = (
    "the frozen generator gives its label planes no gradient (an argmax, an embedding of label "
    "numbers, or pictures that are black and white through and through); take a trained one that "
    "convolves the planes, as segsynth.networks.spade does"
)


@dataclasses.dataclass(frozen=True)
class FrozenGenerator:
    """A SPADE generator in use.

    ``norm``: "running" reads its running statistics; "batch" takes those of the batch, and keeps
    nothing of them.
    """

    module: SpadeGenerator
    edges: Edges = "none"
    norm: Literal["running", "batch"] = "running"

    def init(self, key: PRNGKey) -> Any:
        """Return fresh variables, for their shapes."""
        return self.module.init(key, jnp.zeros((1, *self.module.out_hw, self.channels)))

    @property
    def channels(self) -> int:
        """Planes that it takes, edges too."""
        return self.module.label_channels

    def __call__(
        self, variables: Any, planes: Planes, instance: Integer[Array, "b h w 1"] | None = None
    ) -> Float[Array, "b h w 3"]:
        """Return pictures in [-1, 1]; differentiable in ``planes``, which may be soft."""
        if self.edges != "none":
            planes = jnp.concatenate([planes, self._edges(planes, instance)], axis=-1)
        module = self.module.clone(out_hw=planes.shape[1:3])
        if self.norm == "running":
            return module.apply(variables, planes)
        return module.apply(variables, planes, train=True, mutable=["batch_stats"])[0]

    def _edges(self, planes: Planes, instance: Array | None) -> Float[Array, "b h w 1"]:
        if self.edges == "true_instance":
            return edge_plane(instance)
        if self.edges == "from_argmax":
            return edge_plane(planes.argmax(-1, keepdims=True))
        return jnp.zeros((*planes.shape[:3], 1))

    def check(self, variables: Any) -> None:
        """Raise :class:`UserError` unless these variables give a gradient; on the smallest map."""
        side = 2 ** DOUBLINGS[self.module.upsampling]
        shape = (2, side, side, self.channels - (self.edges != "none"))

        def picture(variables: Any, planes: Planes) -> Array:
            return self(variables, planes, jnp.zeros((*shape[:3], 1), jnp.int32))

        assert_differentiable(picture, variables, shape)


def assert_differentiable(
    picture: Callable[[Any, Planes], Array], variables: Any, shape: tuple[int, ...]
) -> None:
    """Raise :class:`UserError` if ``picture(variables, planes)`` has no gradient, or one that is no
    number, at random planes of ``shape``.

    Looks at values, so that it cannot be called where they are traced.
    """

    def probe(variables: Any) -> tuple[Array, Array]:
        planes = jax.nn.softmax(jax.random.normal(jax.random.key(0), shape))
        made, pull = jax.vjp(lambda r: picture(variables, r), planes)
        gradient = pull(jax.random.normal(jax.random.key(1), made.shape, made.dtype))[0]
        return jnp.isfinite(gradient).all(), (gradient != 0).any()

    # It runs once: optimising it would take longer than running it.
    cheap = {"xla_backend_optimization_level": 0}
    finite, reached = jax.jit(probe, compiler_options=cheap)(variables)
    if not finite:
        raise UserError("the frozen generator's gradient is not finite; check its weights")
    if not reached:
        raise UserError(_REFUSAL)


def assert_connected(picture: Callable[[Planes], Array], planes: Any) -> None:
    """Raise :class:`UserError` if the gradient of ``picture`` is 0 by construction.

    Looks at the program of the gradient, not at values, so that a training step can ask while it is
    traced: for an argmax, what comes back does not depend on what is sent.
    """
    made = jax.eval_shape(picture, planes)
    program = jax.make_jaxpr(lambda r, sent: jax.vjp(picture, r)[1](sent)[0])(planes, made).jaxpr
    reached = {program.invars[1]}
    for equation in program.eqns:
        if any(not hasattr(x, "val") and x in reached for x in equation.invars):
            reached |= set(equation.outvars)
    (gradient,) = program.outvars
    if hasattr(gradient, "val") or gradient not in reached:
        raise UserError(_REFUSAL)
