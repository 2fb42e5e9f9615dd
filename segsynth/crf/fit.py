"""Gradients of a CRF's weights and penalties on pictures whose true labels are known.

Widths have no useful gradient on a lattice: several pairs of widths, the points of a grid, are
fitted side by side, each with weights and penalties of its own.
"""

import concurrent.futures
import dataclasses
import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt8

from segsynth.crf import features
from segsynth.crf.gaussian import separable
from segsynth.crf.heat_map import label_heatmap
from segsynth.crf.lattice import build_lattice
from segsynth.crf.learnable import before_softplus, log_marginals
from segsynth.crf.mean_field import mean_field
from segsynth.crf.presets import Heat, Refinement
from segsynth.crf.unary import unary_from_heatmap
from segsynth.errors import UserError

#: Unary of what cannot be: a class absent from the coarse map, another label than a given one. Like
#: the pruning and pinning of `segsynth.crf.refine`, but with finite gradients.
_IMPOSSIBLE = 30.0

#: "appearance" and "smoothness" [g], weights before a softplus; "compat" [g, c, c]; "confidence"
#: [g], the inverse of a temperature before a softplus. It takes up that mean field is surer than it
#: is right, which else would pull the weights to 0, and changes no label.
Params = dict[str, Array | np.ndarray]


class Sums(NamedTuple):
    """What each picture of a batch adds to the loss."""

    #: Cross-entropy of the tempered marginals over the judged pixels, nats, at each grid point.
    loss: Float[Array, "b g"]
    #: Its gradient.
    gradient: Any
    #: How many pixels were judged.
    pixels: Float[Array, " b"]


@dataclasses.dataclass(frozen=True)
class Fit:
    """The fit of a refinement, started at every point of a grid.

    Args:
      start: weights to begin with, and what is not fitted; its unary is a heat map.
      grid: pairs of widths of the appearance kernel: position in pixels of an image 2048 wide,
        colour in levels of 0..255.
      classes: how many there are.

    Raises:
      UserError: a unary without a heat map, an empty grid, a width that is not positive.

    """

    start: Refinement
    grid: tuple[tuple[float, float], ...]
    classes: int

    def __post_init__(self) -> None:
        if not isinstance(self.start.unary, Heat):
            raise UserError("a fit starts from a refinement whose unary is a heat map")
        if not self.grid:
            raise UserError("no widths to try")
        for point in range(len(self.grid)):
            self._at(point)

    def first(self) -> Params:
        """Every grid point at the start's weights, with Potts."""
        points, crf = len(self.grid), self.start.crf
        compat = jnp.broadcast_to(1.0 - jnp.eye(self.classes), (points, *(self.classes,) * 2))
        return {
            "appearance": jnp.full(points, before_softplus(crf.appearance), jnp.float32),
            "smoothness": jnp.full(points, before_softplus(crf.smoothness), jnp.float32),
            "compat": compat.astype(jnp.float32),
            "confidence": jnp.full(points, before_softplus(1.0), jnp.float32),
        }

    def legal(self, params: Params) -> Params:
        """The nearest penalties that are symmetric, >= 0 and 0 on the diagonal."""
        compat = params["compat"]
        compat = jnp.maximum((compat + jnp.swapaxes(compat, 1, 2)) / 2, 0.0)
        return {**params, "compat": compat * (1.0 - jnp.eye(self.classes))[None]}

    def fitted(self, params: Params, point: int) -> Refinement:
        """What was fitted at a grid point, on the host."""
        crf = dataclasses.replace(
            self._at(point).crf,
            appearance=float(nn.softplus(params["appearance"][point])),
            smoothness=float(nn.softplus(params["smoothness"][point])),
        )
        rows = np.asarray(params["compat"][point]).tolist()
        return dataclasses.replace(self.start, crf=crf, compat=tuple(map(tuple, rows)))

    def sums(
        self,
        params: Params,
        images: UInt8[Array, "b h w 3"],
        given: Int[Array, "b h w"],
        truth: Int[Array, "b h w"],
        drawn: Bool[Array, "b h w"],
    ) -> Sums:
        """Loss and gradient of each picture, one picture and one grid point after another.

        Judged are the drawn pixels without a given label whose true class occurs among the
        picture's given labels: no parameter could make another class win.

        Args:
          params: as `first` makes them.
          images: RGB.
          given: coarse labels; every number outside 0 .. classes - 1 is none.
          truth: true labels, likewise.
          drawn: pixels to look at.

        """
        given = jnp.where((given >= 0) & (given < self.classes), given, -1)
        _host()  # while tracing: a thread that XLA starts would not do
        shape = jax.ShapeDtypeStruct((*given.shape, self.classes), jnp.float32)
        heat = jax.pure_callback(self._heat, shape, images, given)
        height, width = given.shape[1:]
        smooth = separable((height, width), self.start.crf_at(width).smoothness_xy)
        widths = self._widths(width)

        def of_picture(row):
            image, heat, given, truth, drawn = row
            unary, present = self._unary(heat, given)
            true = jnp.clip(truth, 0, self.classes - 1)
            judged = drawn & (given < 0) & (truth == true) & present[true]

            def at_point(point):
                params, xy, rgb = point
                lattice = _lattice(image, xy, rgb, widths)

                def loss(params):
                    q = self._marginals(params, unary, (lattice, smooth))
                    sure = nn.softplus(params["confidence"])
                    scores = jax.nn.log_softmax(sure * log_marginals(q), axis=-1)
                    right = jnp.take_along_axis(scores, true[..., None], axis=-1)[..., 0]
                    return -jnp.where(judged, right, 0.0).sum()

                return jax.value_and_grad(loss)(params)

            pairs = jnp.asarray(widths, jnp.float32)
            found = lax.map(at_point, (params, pairs[:, 0], pairs[:, 1]))
            return Sums(*found, judged.sum().astype(jnp.float32))

        return lax.map(of_picture, (images, heat, given, truth, drawn))

    def _at(self, point: int) -> Refinement:
        xy, rgb = self.grid[point]
        crf = dataclasses.replace(self.start.crf, appearance_xy=xy, appearance_rgb=rgb)
        return dataclasses.replace(self.start, crf=crf)

    def _widths(self, width: int) -> tuple[tuple[float, float], ...]:
        """The grid in pixels of an image of this width, and levels."""
        scaled = [self._at(point).crf_at(width) for point in range(len(self.grid))]
        narrowest = features.NARROWEST
        return tuple(
            (max(crf.appearance_xy, narrowest), max(crf.appearance_rgb, narrowest))
            for crf in scaled
        )

    def _unary(self, heat, given) -> tuple[Array, Array]:
        """The unary of a picture, and which classes occur in it."""
        mine = jax.nn.one_hot(given, self.classes, dtype=bool)
        present = mine.any((0, 1))
        possible = present[None, None] & (mine | (given < 0)[..., None])
        return jnp.where(possible, unary_from_heatmap(heat), _IMPOSSIBLE), present

    def _marginals(self, params, unary, kernels) -> Array:
        crf = self.start.crf
        weights = [nn.softplus(params[name]) for name in ("appearance", "smoothness")]
        compat, norm = params["compat"], crf.normalisation
        return mean_field(unary, kernels, weights, compat, iters=crf.iterations, norm=norm)

    def _heat(self, images: Any, given: Any) -> Float[np.ndarray, "b h w c"]:
        """The heat maps of a batch, on the host; uniform where nothing is labelled."""
        settings = dataclasses.asdict(self.start.unary)

        def one(image, labels):
            if not (labels >= 0).any():
                return np.full((*labels.shape, self.classes), 1.0 / self.classes, np.float32)
            return label_heatmap(image, labels, self.classes, **settings)

        return np.stack(list(_host().map(one, np.asarray(images), np.asarray(given))))


def _lattice(image, xy, rgb, widths):
    """The appearance kernel; its bounds hold for every point of the grid, so all share one
    program.
    """
    height, width = image.shape[:2]
    narrowest = tuple(min(column) for column in zip(*widths, strict=True))
    return build_lattice(
        features.bilateral(image, xy, rgb),
        bounds=features.bilateral_bounds(height, width, *narrowest),
        capacity=1 << (6 * height * width).bit_length(),  # no vertex is ever dropped
    )


@functools.cache
def _host() -> concurrent.futures.Executor:
    """A thread for heat maps.

    XLA's own threads, and those that they start, flush denormal numbers to zero; SciPy's k-d tree
    splits at the number next to 0, which then is 0, and never ends.
    """
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(int).result()
    return pool
