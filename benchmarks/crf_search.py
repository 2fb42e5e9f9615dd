"""Choose the preset "coarse" of segsynth.crf on training frames of CamVid, then confirm it once.

    python benchmarks/crf_search.py ROOT              # a table of the training frames
    python benchmarks/crf_search.py ROOT --confirm    # the shipped presets on the val frames

ROOT is a CamVid tree with coarse labels (`segsynth.data.layouts.camvid`). The search goes through
groups of parameters in turn, each group a grid, and keeps the best by the mean of the mean IoU over
the data set and of that per picture. Widths in position are in pixels of an image 2048 wide.
Minutes on two cores.
"""

import argparse
import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from segsynth.crf import features
from segsynth.crf.gaussian import separable
from segsynth.crf.heat_map import label_heatmap
from segsynth.crf.lattice import build_lattice, default_capacity
from segsynth.crf.mean_field import mean_field
from segsynth.crf.presets import PRESETS, REFERENCE_WIDTH
from segsynth.crf.refinement import refine
from segsynth.crf.unary import unary_from_heatmap
from segsynth.data.layouts.camvid import camvid
from segsynth.metrics.segmentation import Confusion, PerPicture, confusion_counts

CLASSES, VOID = 11, 255
#: xy and tau, rgb of the heat map; w1, a, b, w2, g of the kernels (spec: Crf).
START = {"xy": 0.08, "rgb": 52, "tau": 2, "w1": 2, "a": 160, "b": 8, "w2": 1, "g": 3}
#: Only the ratio of xy to rgb and tau count: both units times k and tau times k are the same map.
#: b = 5 and xy = 0.02 gain less than 0.001 and cost twice the lattice's vertices and the cells.
GROUPS = (
    {"xy": (0.04, 0.08, 0.16)},
    {"tau": (2, 4), "w1": (0.5, 1, 2)},
    {"a": (80, 160, 320), "b": (8, 13)},
    {"w2": (1, 3), "g": (3, 6, 12)},
    {"tau": (2, 4), "w1": (0.5, 1, 2)},
)
_NARROWEST = (80, 8)


def frames(root, split, count=None):
    """Pictures [H, W, 3], true labels and coarse labels [H, W], evenly spaced through the split."""
    source = camvid(root, split)
    places = range(len(source))
    if count is not None:
        places = np.linspace(0, len(source) - 1, count).astype(int)
    for place in places:
        row = source[int(place)]
        image, *maps = (np.squeeze(np.asarray(row[key])) for key in ("image", "labels", "coarse"))
        yield image, *(np.where(m < CLASSES, m.astype(np.int32), VOID) for m in maps)


@functools.partial(jax.jit, static_argnames="g")
def infer(image, heat, labels, p, g):
    """Eq. 3-5 with all classes, every parameter but the smoothness width an argument."""
    height, width = labels.shape
    scale = width / REFERENCE_WIDTH
    lattice = build_lattice(
        features.bilateral(image, p["a"] * scale, p["b"]),
        bounds=features.bilateral_bounds(height, width, _NARROWEST[0] * scale, _NARROWEST[1]),
        capacity=2 * default_capacity(height * width),
    )
    kernels = [lattice, separable((height, width), g * scale)]
    q = mean_field(unary_from_heatmap(heat), kernels, [p["w1"], p["w2"]], iters=5)
    return jnp.where(labels < CLASSES, labels, q.argmax(-1)), lattice.overflow


def measure(predicted, truths):
    """Both mean IoUs and mean recalls of label maps."""
    counts = confusion_counts(
        jnp.asarray(np.stack(predicted)), jnp.asarray(np.stack(truths)), CLASSES
    )
    valid = jnp.ones(len(counts))
    whole, each = Confusion.of(counts, valid).compute(), PerPicture.of(counts, valid).compute()
    return [
        float(found[key])
        for found, key in itertools.product((whole, each), ("mean_iou", "mean_recall"))
    ] + [float(whole["accuracy"])]


def show(name, row):
    """One line of a table: data set IoU and recall, per picture IoU and recall, pixel accuracy."""
    print(f"{name:60s}" + " ".join(f"{value:.4f}" for value in row), flush=True)


def search(root, count):
    """Print a table and the best parameters."""
    data = list(frames(root, "train", count))
    truths = [truth for _, truth, _ in data]
    show(f"coarse, {count} training frames", measure([coarse for *_, coarse in data], truths))
    best = dict(START)
    scores: dict[tuple, float] = {}

    @functools.lru_cache(maxsize=4 * count)
    def distances(place, xy, rgb):
        image, _, coarse = data[place]
        labels = np.where(coarse < CLASSES, coarse, -1)
        heat = label_heatmap(image, labels, CLASSES, tau=1.0, xy=xy, rgb=rgb)
        return np.log(np.maximum(heat, 1e-37))

    for number, group in enumerate(GROUPS):
        for values in itertools.product(*group.values()):
            p = best | dict(zip(group, values, strict=True))
            key = (*p.items(), number == 0)
            if key in scores:
                continue
            predicted = []
            for place, (image, _, coarse) in enumerate(data):
                heat = np.exp(p["tau"] * distances(place, p["xy"], p["rgb"]))
                heat /= heat.sum(-1, keepdims=True)
                if number == 0:
                    found = np.where(coarse < CLASSES, coarse, heat.argmax(-1))
                else:
                    kernel = {name: float(p[name]) for name in ("w1", "w2", "a", "b")}
                    found, overflow = infer(image, heat, coarse, kernel, g=p["g"])
                    assert not bool(overflow)
                predicted.append(np.asarray(found))
            row = measure(predicted, truths)
            scores[key] = row[0] + row[2]
            label = ", heat map alone" if number == 0 else ""
            show(" ".join(f"{k}={v:g}" for k, v in p.items() if number or k in group) + label, row)
        kind = {key: score for key, score in scores.items() if key[-1] == (number == 0)}
        best = dict(max(kind, key=kind.get)[:-1])
        print("best:", best, flush=True)


def confirm(root):
    """Print the shipped presets on all val frames and on every second one."""
    data = list(frames(root, "val"))
    for step in (1, 2):
        part = data[::step]
        truths = [truth for _, truth, _ in part]
        show(f"coarse, {len(part)} val frames", measure([coarse for *_, coarse in part], truths))
    for name, preset in PRESETS.items():
        for fast in (False, True):
            found = [
                refine(
                    image, coarse, num_classes=CLASSES, unlabelled=VOID, preset=preset, fast=fast
                )
                for image, _, coarse in data
            ]
            for step in (1, 2):
                truths = [truth for _, truth, _ in data[::step]]
                title = f"{name}{', fast' if fast else ''}, {len(truths)} val frames"
                show(title, measure(found[::step], truths))
        print(dataclasses.asdict(preset))


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="a CamVid tree with coarse labels")
    parser.add_argument("--frames", type=int, default=12, help="training frames searched on")
    parser.add_argument(
        "--confirm", action="store_true", help="measure the shipped presets instead"
    )
    args = parser.parse_args()
    if args.confirm:
        confirm(args.root)
    else:
        search(args.root, args.frames)


if __name__ == "__main__":
    main()
