"""Drawings of the photographs of BSDS 500 beside the contours that three people drew of each.

    python benchmarks/human_contours.py --bsds ROOT --run runs/line_drawing

ROOT is a tree as in `segsynth.data.layouts.bsds`. Ink is what is darker than a threshold. Precision
is the share of ink within 0.75 % of the diagonal of anybody's contour, recall the share of a
person's contours that is near ink, averaged over the people; F1 is that of their means over the
photographs of the split "val". (The published benchmark of BSDS matches pixels one to one; its
figures do not compare.) Every method has its parameters chosen on the split "train", by F1. Beside
the run stand the same generator before training, Sobel's and Canny's edges, and a black page.
The shorter side to which photographs are resampled before they are drawn is chosen, too, among
``--sides``; drawings are resampled back. Minutes on two cores.
"""

import argparse
import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import feature, filters

from segsynth import systems
from segsynth.data.layouts.bsds import bsds
from segsynth.engine import references, sharding
from segsynth.engine.run import Run
from segsynth.metrics.readability import TOLERANCE
from segsynth.systems.line_drawing.any_size import pad_reflect

LUMA = (0.299, 0.587, 0.114)
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Deviations of the blur, px; for Sobel, shares of the largest gradient of a picture that make an
#: edge; for Canny, shares of the pixels whose gradient is above the upper threshold.
BLURS, SHARES = (1.0, 2.0, 3.0, 4.0, 5.0), (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
#: That share for Canny as part of the share above its lower threshold.
LOWER = 0.5


class Photo(NamedTuple):
    """A photograph, its contours (people, h, w), and what is near them by the tolerance."""

    image: np.ndarray
    contours: np.ndarray
    near: np.ndarray


def near(marked: np.ndarray) -> np.ndarray:
    """Whether a pixel is within the tolerance of a marked one."""
    radius = TOLERANCE * np.hypot(*marked.shape)
    return ndimage.distance_transform_edt(~marked) <= radius if marked.any() else marked


def photos(root: str, split: str) -> list[Photo]:
    """Return the photographs of a split with the contours of all people."""
    source, people = bsds(root, split, paired=True), {}
    for i in range(len(source)):
        row = source[i]
        person = people.setdefault(str(row["name"])[:-2], (row["image"], []))
        person[1].append(row["drawing"][..., 0] < 128)
    stacks = ((image, np.stack(found)) for image, found in people.values())
    return [Photo(image, contours, near(contours.any(0))) for image, contours in stacks]


def scores(ink: np.ndarray, photo: Photo) -> tuple[float, float]:
    """Return precision and recall; a page without ink has 0 of both."""
    if not ink.any():
        return 0.0, 0.0
    met = near(ink)
    recall = np.mean([(met & lines).sum() / max(lines.sum(), 1) for lines in photo.contours])
    return float((ink & photo.near).sum() / ink.sum()), float(recall)


def f1(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Return the F1 of mean precision and mean recall, and these."""
    precision, recall = np.mean(pairs, axis=0)
    return 2 * precision * recall / max(precision + recall, 1e-9), precision, recall


def grey(photo: Photo) -> np.ndarray:
    """Return the luma in [0, 1]."""
    return photo.image @ np.asarray(LUMA) / 255


def sobel(photo: Photo, blur: float, share: float) -> np.ndarray:
    """Return where the gradient is above a share of the largest one."""
    length = filters.sobel(filters.gaussian(grey(photo), blur))
    return length > share * length.max()


def canny(photo: Photo, blur: float, share: float) -> np.ndarray:
    """Return thinned edges; above the upper threshold is that share of all gradients."""
    high = 1 - share
    return feature.canny(grey(photo), blur, 1 - share / LOWER, high, use_quantiles=True)


def drawer(system: Any, variables: Mapping) -> Callable:
    """Return ``(photo, side) -> drawing`` in [0, 1] of the photo's size, remembered."""
    key, known = jax.random.key(0), {}
    predict = jax.jit(lambda image: system.predict(variables, {}, {"image": image}, key)["drawing"])

    def draw(photo: Photo, side: int) -> np.ndarray:
        if (id(photo), side) not in known:
            height, width = photo.image.shape[:2]
            scale = side / min(height, width) if side else 1.0
            size = (round(width * scale), round(height * scale))
            small = np.asarray(Image.fromarray(photo.image).resize(size, Image.Resampling.BICUBIC))
            drawing = np.asarray(predict(pad_reflect(small)[None]))[0, : size[1], : size[0], 0]
            large = Image.fromarray(drawing).resize((width, height), Image.Resampling.BILINEAR)
            known[id(photo), side] = np.asarray(large)
        return known[id(photo), side] / np.float32(255)

    return draw


def key_of(seed: int, phase: str) -> jax.Array:
    """Return the key from which the training of a phase makes its first state."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(phase.encode()))


def before(run: Run, phase: str, system: Any, plan: sharding.Plan) -> Mapping:
    """Return the variables with which the training of a phase began."""
    make = jax.jit(system.init, compiler_options={"xla_backend_optimization_level": 0})
    start = make(key_of(run.config["seed"], phase)).variables()
    initial = references.load_initial(run, phase, system, plan)
    return {kind: {**start[kind], **initial[kind]} for kind in start}


def best(method: Callable, choices: Sequence[tuple], train: Sequence[Photo]) -> tuple:
    """Return the parameters with the best F1."""
    if len(choices) == 1:
        return choices[0]
    return max(choices, key=lambda c: f1([scores(method(photo, *c), photo) for photo in train])[0])


def methods(flags: argparse.Namespace) -> dict[str, tuple[Callable, list[tuple]]]:
    """Return each method with the parameters among which it may choose."""
    edges = list(itertools.product(BLURS, SHARES))
    black = lambda photo: np.ones(photo.image.shape[:2], bool)  # noqa: E731
    found = {"black page": (black, [()]), "Sobel": (sobel, edges), "Canny": (canny, edges)}
    if not flags.run:
        return found
    run, plan = Run.open(flags.run), sharding.plan(data=1)
    phase = flags.phase or run.last_trained()
    system = systems.build(run.settings(phase)["system"])
    trained, step = references.load_trained(run, phase, system, plan, flags.step)
    untrained = before(run, phase, system, plan)
    for name, variables in (("untrained", untrained), (f"step {step}", trained)):
        draw = drawer(system, variables)
        ink = lambda photo, side, level, draw=draw: draw(photo, side) < level  # noqa: E731
        found[f"{name}, ink < 0.5"] = (ink, [(side, 0.5) for side in flags.sides])
        found[f"{name}, ink chosen"] = (ink, list(itertools.product(flags.sides, THRESHOLDS)))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bsds", required=True, help="the tree of BSDS")
    parser.add_argument("--run", default="", help="workdir of a training of line_drawing")
    parser.add_argument("--phase", default="")
    parser.add_argument("--step", default="newest")
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[144, 224, 288, 0, 400], help="0 = as they are"
    )
    parser.add_argument("--limit", type=int, default=None, help="so many photographs of each split")
    flags = parser.parse_args()
    train, val = (photos(flags.bsds, split)[: flags.limit] for split in ("train", "val"))
    print(f"{len(train)} photographs to choose by, {len(val)} to judge\n")
    print("| | chosen | F1 | precision | recall |\n|---|---|---:|---:|---:|")
    for name, (method, choices) in methods(flags).items():
        chosen = best(method, choices, train)
        figures = f1([scores(method(photo, *chosen), photo) for photo in val])
        row = " | ".join(f"{value:.3f}" for value in figures)
        print(f"| {name} | {', '.join(map(str, chosen))} | {row} |", flush=True)


if __name__ == "__main__":
    main()
