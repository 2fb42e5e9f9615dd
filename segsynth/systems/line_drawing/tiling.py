"""A large picture in parts that fit together without a seam.

Instance norm sees the whole picture, so parts drawn by themselves differ at their borders however
far they overlap. Here the mean and variance that each norm has on the whole picture are found
first; then parts are drawn with these, each with a margin as wide as the generator's reach.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from segsynth.errors import UserError
from segsynth.networks.resnet_generator import Moments, ResnetGenerator
from segsynth.systems.line_drawing.manner import MULTIPLE, SMALLEST
from segsynth.types import Frozen, PRNGKey, Variables

#: Longer side of the copy from which "fast" statistics come, px.
_COPY = 1024


def drawer(variables: Variables, frozen: Frozen) -> Any:
    """Return the linen variables of the generator of drawings, trained here or given."""
    return frozen.get("drawer") or {"params": variables["params"]["drawer"]}


@dataclasses.dataclass(frozen=True)
class Pass:
    """One way through a generator (`segsynth.system.Answering`).

    Attributes:
        generator: of drawings.
        wanted: "drawing"; "moments", mean and variance of every norm's input; or the name of a
            norm's layer, for that input. What comes after it is not computed.

    """

    generator: ResnetGenerator
    wanted: str = "drawing"

    on_host = False

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Any, key: PRNGKey
    ) -> dict[str, Any]:
        """Return what is wanted, float32, under its name.

        ``inputs``: ``image`` uint8 (1, h, w, 3) and, if norms are to use others than the picture's
        own, ``moments``.
        """
        photo = inputs["image"].astype(jnp.float32) / 255
        drawing, sown = self.generator.apply(
            drawer(variables, frozen), photo, inputs.get("moments"), mutable=["intermediates"]
        )
        if self.wanted == "drawing":
            return {"drawing": drawing}
        given = {name: sown["intermediates"][f"{name}_norm"][0] for name in self._layers()}
        if self.wanted == "moments":
            return {"moments": {name: _own(x) for name, x in given.items()}}
        return given

    def _layers(self) -> tuple[str, ...]:
        every = tuple(self.generator.norm_layers())
        return every if self.wanted == "moments" else (self.wanted,)


#: A pass over inputs, compiled.
Run = Callable[[Pass, Mapping[str, Any]], Mapping[str, Any]]


def _own(x: Float[Array, "b h w c"]) -> tuple[Array, Array]:
    mean = x.mean(axis=(1, 2), keepdims=True)
    return mean, jnp.square(x - mean).mean(axis=(1, 2), keepdims=True)


def reach(generator: ResnetGenerator) -> int:
    """Return how far, in px, a pixel of a drawing sees: 34.5 with three blocks, rounded up to a
    multiple of 4 as parts must lie on the grid of the halvings.
    """
    # 3 of the stem, 1 + 2 of the halvings, 2 x 4 a block, then 4 + 2 of the doublings and 3.
    farthest = 3 + 3 + 8 * generator.blocks + 2 + 3
    return -(-farthest // MULTIPLE) * MULTIPLE


class Tile(NamedTuple):
    """A part that is drawn (``window``) and what is kept of it (``core``): rows, then columns.

    Both are in px of the picture; windows of a picture are all of one size.
    """

    window: tuple[slice, slice]
    core: tuple[slice, slice]

    def inside(self, stride: int = 1) -> tuple[slice, slice]:
        """The core within the window, for maps that are ``stride`` times smaller."""
        rows, columns = (
            slice((c.start - w.start) // stride, (c.stop - w.start) // stride)
            for w, c in zip(self.window, self.core, strict=True)
        )
        return rows, columns


def tiles(size: tuple[int, int], tile: int, halo: int) -> list[Tile]:
    """Cut a picture of ``size``, multiples of 4, into cores of ``tile`` px with margins of
    ``halo`` px, which end at the picture's border.

    Raises:
        UserError: a tile or margin that is no positive multiple of 4.

    """
    for name, value in (("tile", tile), ("halo", halo)):
        if value < 1 or value % MULTIPLE:
            raise UserError(f"{name} is {value} px; expected a multiple of {MULTIPLE}")
    rows, columns = (_spans(n, tile, halo) for n in size)
    return [
        Tile((y.window, x.window), (y.core, x.core)) for y, x in itertools.product(rows, columns)
    ]


class _Span(NamedTuple):
    window: slice
    core: slice


def _spans(size: int, tile: int, halo: int) -> list[_Span]:
    length, spans = min(size, tile + 2 * halo), []
    for start in range(0, size, tile):
        first = min(max(start - halo, 0), size - length)
        spans.append(_Span(slice(first, first + length), slice(start, min(start + tile, size))))
    return spans


def cut(
    generator: ResnetGenerator, image: UInt8[np.ndarray, "h w 3"], tile: int, halo: int = 0
) -> list[Tile]:
    """Return the parts of a picture whose sides are multiples of 4.

    Args:
        generator: what draws it.
        image: the picture.
        tile: side of a part in px; 0 = one part, the picture.
        halo: margin in px; 0 = `reach`.

    Raises:
        UserError: a tile or margin that is no multiple of 4, a margin that would leave seams.

    """
    halo = halo or reach(generator)
    if halo < reach(generator):
        raise UserError(f"halo is {halo} px; expected {reach(generator)} or more, in fours")
    return tiles(image.shape[:2], tile or max(image.shape[:2]), halo)


def draw(
    run: Run,
    generator: ResnetGenerator,
    image: UInt8[np.ndarray, "h w 3"],
    parts: Sequence[Tile],
    moments: Moments,
) -> Float[np.ndarray, "h w c"]:
    """Draw a picture part by part with the statistics of the whole, in [0, 1].

    With `exact_moments` the difference from a drawing of the whole is rounding, about 1e-6.
    """
    drawing = np.zeros((*image.shape[:2], generator.out_channels), np.float32)
    for part in parts:
        drawn = run(Pass(generator), {"image": image[part.window][None], "moments": moments})
        drawing[part.core] = np.asarray(drawn["drawing"])[0][part.inside()]
    return drawing


def exact_moments(
    run: Run,
    generator: ResnetGenerator,
    image: UInt8[np.ndarray, "h w 3"],
    parts: Sequence[Tile],
) -> Moments:
    """Return mean and variance of each norm's input on the whole picture, from its parts.

    Norm by norm, as what a norm is given depends on all before it.
    """
    if len(parts) == 1:
        return run(Pass(generator, "moments"), {"image": image[None]})["moments"]
    moments: dict[str, tuple[Array, Array]] = {}
    for layer, stride in generator.norm_layers().items():
        look = Pass(generator, layer)
        maps = (
            np.asarray(run(look, {"image": image[part.window][None], "moments": moments})[layer])
            for part in parts
        )
        cores = (x[0][part.inside(stride)] for x, part in zip(maps, parts, strict=True))
        moments[layer] = _moments(cores)
    return moments


def _moments(maps: Iterator[np.ndarray]) -> tuple[Array, Array]:
    """Mean and variance over the pixels of several maps (h, w, c), summed in float64."""
    count, total, squares = 0, 0.0, 0.0
    for x in maps:
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        count, total, squares = count + len(rows), total + rows.sum(0), squares + (rows**2).sum(0)
    return _tidy(total / count, squares / count)


def _tidy(mean: np.ndarray, square: np.ndarray) -> tuple[Array, Array]:
    variance = np.maximum(square - mean**2, 0.0)
    return tuple(jnp.asarray(z, jnp.float32).reshape(1, 1, 1, -1) for z in (mean, variance))


def fast_moments(
    run: Run, generator: ResnetGenerator, image: UInt8[np.ndarray, "h w 3"]
) -> Moments:
    """Return the moments of a copy of at most 1024 px."""
    share = min(1.0, _COPY / max(image.shape[:2]))
    size = (max(SMALLEST, round(n * share / MULTIPLE) * MULTIPLE) for n in image.shape[:2])
    copy = resized(image, tuple(size))
    return run(Pass(generator, "moments"), {"image": copy[None]})["moments"]


def mean_moments(several: Iterable[Moments]) -> Moments:
    """Return the moments of several pictures taken as one, each picture counting the same."""
    count, sums = 0, {}
    for moments in several:
        count += 1
        for name, pair in moments.items():
            mean, variance = (np.asarray(z, np.float64) for z in pair)
            total, squares = sums.get(name, (0.0, 0.0))
            sums[name] = (total + mean, squares + variance + mean**2)
    return {name: _tidy(total / count, squares / count) for name, (total, squares) in sums.items()}


def resized(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "{size[0]} {size[1]} 3"]:
    """Return a picture of another height and width, by cubic interpolation with antialiasing."""
    if image.shape[:2] == size:
        return image
    found = jax.image.resize(image.astype(np.float32), (*size, 3), "cubic")
    return np.rint(np.clip(found, 0, 255)).astype(np.uint8)
