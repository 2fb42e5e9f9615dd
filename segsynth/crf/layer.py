"""The CRF as the last layer of a segmentation network, trained with it."""

import dataclasses
import math
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Num

from segsynth.crf import features
from segsynth.crf.exact import Exact
from segsynth.crf.gaussian import separable
from segsynth.crf.lattice import build_lattice, default_capacity
from segsynth.crf.learnable import before_softplus, log_marginals
from segsynth.crf.mean_field import mean_field
from segsynth.crf.parameters import Crf
from segsynth.crf.unary import unary_from_logits


class CRFLayer(nn.Module):
    """Refine class scores by mean field in a fully connected CRF over their pixels.

    Unrolled mean field as in Zheng et al., "Conditional Random Fields as Recurrent Neural Networks"
    (ICCV 2015). Parameters: ``appearance`` and ``smoothness``, the kernels' weights before a
    softplus, ``compat`` [C, C], the penalty of each pair of labels, which starts as Potts, and with
    ``learn_widths`` the logarithms of the three widths. Images are taken one after another, so that
    memory is that of one. Differentiable in the logits and all parameters, not in the image.

    A lattice is differentiable in all but its widths. If it has more vertices than ``capacity`` the
    rest is dropped: ``overflow``, sown into the collection "crf", then is true.

    Args:
      crf: initial weights, widths in pixels of the images, iterations, normalisation.
      kernel: "lattice", or "exact": O(N^2) in the pixels, for small images.
      learn_widths: whether widths are parameters; only with "exact".
      capacity: the most vertices of a lattice; None = the usual number for the image's size.

    Raises:
      ValueError: widths to be learnt through a lattice; shapes that do not match.

    """

    crf: Crf
    kernel: Literal["lattice", "exact"] = "lattice"
    learn_widths: bool = False
    capacity: int | None = None

    @nn.compact
    def __call__(
        self, logits: Float[Array, "b h w c"], images: Num[Array, "b h w 3"]
    ) -> Float[Array, "b h w c"]:
        """Return log marginals, which a softmax cross-entropy takes as logits.

        Args:
          logits: class scores; their softmax is the unary.
          images: RGB in 0..255.

        """
        if self.learn_widths and self.kernel != "exact":
            raise ValueError("a lattice has no gradient in its widths: take kernel='exact'")
        crf, classes = self.crf, logits.shape[-1]
        weights = [
            nn.softplus(self.param(name, _weight_of, getattr(crf, name)))
            for name in ("appearance", "smoothness")
        ]
        compat = self.param("compat", lambda key: 1.0 - jnp.eye(classes))
        widths = {name: getattr(crf, name) for name in _WIDTHS}
        if self.learn_widths:
            logs = {name: self.param(name, _log_of, width) for name, width in widths.items()}
            widths = {name: jnp.exp(log) for name, log in logs.items()}

        if self.is_initializing():
            return nn.log_softmax(logits)

        def one(pair):
            logits, image = pair
            kernels, overflow = self._kernels(image, widths)
            q = mean_field(
                unary_from_logits(logits),
                kernels,
                weights,
                compat,
                iters=crf.iterations,
                norm=crf.normalisation,
            )
            return log_marginals(q), overflow

        out, overflow = lax.map(one, (logits.astype(jnp.float32), images))
        self.sow("crf", "overflow", overflow.any())
        return out

    def _kernels(self, image, widths):
        """Appearance and smoothness kernels of one image, and whether vertices were dropped."""
        xy, rgb, near = (widths[name] for name in _WIDTHS)
        height, width = image.shape[:2]
        if self.kernel == "exact":
            points = features.bilateral(lax.stop_gradient(image), xy, rgb)
            kernels = Exact(points), Exact(features.positions(height, width, near))
            return kernels, jnp.zeros((), bool)
        xy, rgb = max(xy, features.NARROWEST), max(rgb, features.NARROWEST)
        lattice = build_lattice(
            features.bilateral(lax.stop_gradient(image), xy, rgb),
            bounds=features.bilateral_bounds(height, width, xy, rgb),
            capacity=self.capacity or default_capacity(height * width),
        )
        return (lattice, separable((height, width), near)), lattice.overflow

    def learnt(self, params: dict[str, Array]) -> tuple[Crf, Float[Array, "c c"]]:
        """The parameters as a value for `segsynth.crf.infer`, and the compatibility."""
        weights = {name: float(nn.softplus(params[name])) for name in ("appearance", "smoothness")}
        widths = {name: math.exp(float(params[name])) for name in _WIDTHS if name in params}
        return dataclasses.replace(self.crf, **weights, **widths), params["compat"]


_WIDTHS = ("appearance_xy", "appearance_rgb", "smoothness_xy")


def _weight_of(key: Array, weight: float) -> Float[Array, ""]:
    return jnp.asarray(before_softplus(weight), jnp.float32)


def _log_of(key: Array, width: float) -> Float[Array, ""]:
    return jnp.asarray(math.log(width), jnp.float32)
