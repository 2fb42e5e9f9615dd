"""Coarse labels from fine ones, as a hurried annotator would draw them.

Every connected region of a class is dropped, or eroded, opened, traced, simplified to a polygon of
few vertices and mostly clipped to its class. Erosion by one radius alone would not do: the middle
of the gap would be the true border, and the nearest label the best answer.

The defaults are fitted to what Cityscapes' coarse labels give against its fine ones: 68.5 % of all
pixels, per class a recall of .87 (road), .5 (building, car, sky) to .3 (pole, person), and hardly
a wrong pixel.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from scipy import ndimage

from segsynth.data import outlines
from segsynth.data.worlds import raster
from segsynth.errors import UserError

#: Width in px at which lengths below are given; they scale with the width of the map.
REFERENCE = 512


@dataclasses.dataclass(frozen=True)
class Coarsening:
    """How much an annotator leaves out.

    Attributes:
        smallest: regions of a smaller area are dropped, px at 512 x 256.
        drop: probability that any other region is dropped; grows towards ``drop_small`` as its
            area falls below ``small`` px.
        drop_small: see ``drop``.
        small: see ``drop``.
        large: regions of a larger area, px at 512 x 256, are never dropped, as no road is.
        erosion: range of the erosion's radius as a share of the square root of the area.
        radius: smallest and largest radius, px at 512.
        depth: range of the largest radius as a share of the region's greatest depth: thin regions
            shrink, and few vanish.
        tolerance: range of the polygon's tolerance as a share of its perimeter; at most 0.8 times
            the radius.
        jitter: standard deviation of the displacement of vertices, px at 512.
        clean: probability that a polygon is clipped to its class.

    Raises:
        UserError: a probability outside 0..1 or an empty range.

    """

    smallest: float = 12.0
    drop: float = 0.06
    drop_small: float = 0.8
    small: float = 500.0
    large: float = 13_000.0
    erosion: tuple[float, float] = (0.03, 0.12)
    radius: tuple[float, float] = (1.0, 9.0)
    depth: tuple[float, float] = (0.1, 0.6)
    tolerance: tuple[float, float] = (0.01, 0.03)
    jitter: float = 1.0
    clean: float = 0.97

    def __post_init__(self) -> None:
        shares = (self.drop, self.drop_small, self.clean)
        ranges = (self.erosion, self.radius, self.depth, self.tolerance)
        if not all(0 <= p <= 1 for p in shares) or not all(0 <= a <= b for a, b in ranges):
            raise UserError(
                f"{self} is no annotator; expected probabilities in 0..1 and ranges 0 <= a <= b."
            )


#: Keeps 2 px in 64 away from every border, or half of the depth of a thinner region, so that the
#: true border is not the middle of the gap. Drops nothing and draws nothing by chance. Of objects
#: of a few pixels the default leaves nothing to restore.
STEADY = Coarsening(
    smallest=0.0,
    drop=0.0,
    drop_small=0.0,
    radius=(16.0, 16.0),
    depth=(0.5, 0.5),
    tolerance=(0.0, 0.0),
    jitter=0.0,
)


def coarsen(
    labels: Integer[np.ndarray, "height width"],
    seed: int | tuple[int, ...],
    *,
    unlabelled: int,
    instances: Integer[np.ndarray, "height width"] | None = None,
    settings: Coarsening = Coarsening(),
) -> UInt8[np.ndarray, "height width"]:
    """Draw the coarse labels of a fine map; the same bits for the same arguments.

    Args:
        labels: fine labels, 0..255.
        seed: whole numbers >= 0, e.g. (seed of the data set, index of the example).
        unlabelled: the number of no label, in ``labels`` and in the result.
        instances: numbers of objects, 0 = none; splits regions of one class.
        settings: the annotator.

    Returns:
        ``labels`` in the polygons and ``unlabelled`` elsewhere.

    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    scale = labels.shape[1] / REFERENCE
    coarse = np.full(labels.shape, unlabelled, np.uint8)
    drawn = []
    for label, window, region in _regions(labels, unlabelled, instances):
        # All draws of a region come first, so that no region depends on another one's shape.
        shares, child = rng.random(6), np.random.default_rng(int(rng.integers(2**32)))
        area = int(region.sum())
        if not _is_dropped(area / scale**2, shares[0], settings):
            polygon = _polygon(region, window, labels.shape, shares, child, scale, settings)
            drawn.append((area, label, window, polygon))
    # Large polygons first: a small object on a large one stays visible.
    for _, label, window, polygon in sorted(drawn, key=lambda row: -row[0]):
        coarse[window][polygon] = label
    return coarse


def _regions(labels: np.ndarray, unlabelled: int, instances: np.ndarray | None):
    """Label, window and mask of each connected region, by label and then by place."""
    for label in np.unique(labels):
        if label == unlabelled:
            continue
        same = labels == label
        ids = [0] if instances is None else np.unique(instances[same])
        for number in ids:
            chosen = same if instances is None else same & (instances == number)
            numbered, _ = ndimage.label(chosen)
            for k, window in enumerate(ndimage.find_objects(numbered)):
                yield int(label), window, numbered[window] == k + 1


def _is_dropped(area: float, share: float, settings: Coarsening) -> bool:
    rarely, often = settings.drop, settings.drop_small
    chance = rarely + (often - rarely) * np.exp(-area / max(settings.small, 1e-6))
    if area > settings.large:
        return False
    return bool(area < settings.smallest or share < chance)


def _polygon(
    region: Bool[np.ndarray, "height width"],
    window: raster.Window,
    shape: tuple[int, ...],
    shares: np.ndarray,
    rng: np.random.Generator,
    scale: float,
    settings: Coarsening,
) -> Bool[np.ndarray, "height width"]:
    """What is drawn of one region, in its window."""
    shrunk, radius = _shrunk(region, window, shape, shares, scale, settings)
    polygons = []
    for outline in outlines.trace(shrunk):
        steps = np.abs(outline - np.roll(outline, 1, axis=0)).sum()
        tolerance = min(_between(settings.tolerance, shares[3]) * steps, 0.8 * radius)
        polygon = outlines.simplify(outline, tolerance)
        if len(polygon) > 2:
            moves = rng.normal(0.0, settings.jitter * scale, polygon.shape)
            polygons.append(polygon + _inward(polygon, moves))
    drawn = np.zeros(region.shape, bool)
    if polygons:
        side = max(region.shape)
        (rows, columns), inside = raster.fill([polygon / side for polygon in polygons], side)
        full = np.zeros((side, side), bool)
        full[rows, columns] = inside
        drawn = full[: region.shape[0], : region.shape[1]]
    return drawn & region if shares[4] < settings.clean else drawn


def _shrunk(
    region: np.ndarray,
    window: raster.Window,
    shape: tuple[int, ...],
    shares: np.ndarray,
    scale: float,
    settings: Coarsening,
) -> tuple[np.ndarray, float]:
    """The region eroded by a disc and opened by one of half its radius; and the radius, in px."""
    # Outside the picture the region goes on: nobody leaves a gap at the frame.
    sides = [
        (int(part.start > 0), int(part.stop < length))
        for part, length in zip(window, shape, strict=True)
    ]
    padded = np.pad(region, 1, mode="edge")
    for axis, (before, after) in enumerate(sides):
        rows = np.moveaxis(padded, axis, 0)
        rows[0] &= not before
        rows[-1] &= not after
    depth = ndimage.distance_transform_edt(padded) if not padded.all() else padded * np.inf
    wanted = _between(settings.erosion, shares[1]) * np.sqrt(region.sum())
    low, high = settings.radius
    radius = float(np.clip(wanted, low * scale, high * scale))
    radius = min(radius, _between(settings.depth, shares[2]) * float(depth.max()))
    opening = min(radius / 2, (float(depth.max()) - radius) / 2)
    core = depth > radius + opening
    if not core.any():
        return np.zeros(region.shape, bool), radius
    opened = ndimage.distance_transform_edt(~core) <= opening
    return opened[1:-1, 1:-1], radius


def _inward(polygon: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Displacements without their outward part; the inside is on the right hand of each step."""
    along = np.roll(polygon, -1, axis=0) - np.roll(polygon, 1, axis=0)
    inner = np.stack([-along[:, 1], along[:, 0]], -1)
    inner /= np.maximum(np.linalg.norm(inner, axis=1, keepdims=True), 1e-9)
    outward = np.minimum((moves * inner).sum(axis=1, keepdims=True), 0.0)
    return moves - 2.0 * outward * inner


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + share * (limits[1] - limits[0])
