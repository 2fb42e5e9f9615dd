"""What the segmentation loss costs in time, and how fast photographs are drawn.

    python benchmarks/line_drawing.py                    # the published networks at 256 px
    python benchmarks/line_drawing.py --tiny             # a check that it runs, on two cores

A step of training with and without the segmentation loss, and drawings in batches of 1 and 16, with
and without reading and writing files. Compilation is timed apart, and 10 steps pass before
the clock starts. The paper's seconds are of another machine; its ratio, 276 s / 198 s = 1.394, is
what compares. Weights are random: they do not change the time.
"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from PIL import Image

from segsynth import systems
from segsynth.pretrained.quick_random import quick_key

SIDE, WARM_UP, EPOCH = 256, 10, 10_000
PAPER = 276 / 198
TINY = {
    "side": 64,
    "generator": {"width": 4, "blocks": 1},
    "discriminator": {"width": 4, "layers": 2},
    "features": {"network": "standin", "side": 112},
    "geometry": {"width": 1, "blocks": 1},
    "clip": {"network": "standin"},
    "seg": {"classes": 12, "width": 4, "levels": 2},
}


def build(mode: str, tiny: bool) -> Any:
    """Return the system with or without a segmenter."""
    section = dict(TINY) if tiny else {}
    section["seg"] = {**section.get("seg", {}), "mode": mode}
    return systems.build({"name": "line_drawing", **section})


def batch(system: Any, side: int, count: int) -> dict[str, jax.Array]:
    """Return random pictures of what a step reads."""
    random, classes = np.random.default_rng(0), system.objective.seg.classes
    shape = (count, side, side)
    rows = {
        "image": random.integers(0, 256, (*shape, 3)).astype(np.uint8),
        "drawing": random.integers(0, 256, (*shape, 1)).astype(np.uint8),
        "depth": random.random((*shape, 1)).astype(np.float32),
        "labels": random.integers(0, classes, (*shape, 1)).astype(np.uint8),
    }
    return {name: jax.device_put(rows[name]) for name in (*system.inputs, *system.targets)}


def start(system: Any) -> tuple[Any, Any]:
    """Return a state and frozen networks of random weights."""

    def make(key: jax.Array) -> tuple[Any, Any]:
        frozen = {name: spec.init(key) for name, spec in system.frozen.items()}
        return system.init(key), frozen

    return jax.jit(make)(quick_key(0))


def step_time(mode: str, flags: argparse.Namespace, side: int) -> tuple[float, float]:
    """Return the seconds of compiling a step, and of a step."""
    system = build(mode, flags.tiny)
    state, frozen = start(system)
    given, key = batch(system, side, flags.batch), jax.random.key(1)
    began = time.perf_counter()
    step = jax.jit(system.train_step, donate_argnums=0).lower(state, frozen, given, key).compile()
    compiled = time.perf_counter() - began
    for i in range(WARM_UP + flags.steps):
        if i == WARM_UP:
            jax.block_until_ready(state)
            began = time.perf_counter()
        state, _ = step(state, frozen, given, key)
    jax.block_until_ready(state)
    return compiled, (time.perf_counter() - began) / flags.steps


def drawing_time(draw: Callable, pictures: np.ndarray, size: int, folder: pathlib.Path) -> float:
    """Return the seconds of drawing all pictures; through files if there is a folder."""
    began = time.perf_counter()
    for i in range(0, len(pictures), size):
        names = range(i, min(i + size, len(pictures)))
        photos = pictures[i : i + size]
        if folder:
            photos = np.stack([np.asarray(Image.open(folder / f"{k}.png")) for k in names])
        more = [(0, size - len(photos)), *[(0, 0)] * 3]
        drawn = np.asarray(draw(np.pad(photos, more)))[: len(photos)]
        if folder:
            for k, drawing in zip(names, drawn, strict=True):
                Image.fromarray(drawing[..., 0]).save(folder / f"drawn_{k}.png")
    return time.perf_counter() - began


def drawings(tiny: bool, side: int, count: int) -> list[str]:
    """Return the rows of the table of drawings."""
    system = build("off", tiny)
    drawer = system.networks.init("drawer", quick_key(0))["params"]
    variables = {"params": {"drawer": drawer}, "model_state": {}}
    key, random = jax.random.key(0), np.random.default_rng(0)
    pictures = random.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    predict = jax.jit(lambda v, x: system.predict(v, {}, {"image": x}, key)["drawing"])
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"{k}.png")
        for size in (1, 16):
            draw = lambda x: predict(variables, x)  # noqa: E731
            jax.block_until_ready(draw(np.resize(pictures, (size, *pictures.shape[1:]))))
            plain, files = (drawing_time(draw, pictures, size, at) for at in (None, folder))
            rows.append(f"| {size} | {plain:.2f} | {files:.2f} |")
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=50, help="steps that are timed; 0 = none")
    parser.add_argument("--drawings", type=int, default=100, help="photographs to draw; 0 = none")
    parser.add_argument("--tiny", action="store_true", help="small networks at 64 px")
    flags = parser.parse_args()
    side = TINY["side"] if flags.tiny else SIDE
    device = jax.devices()[0].device_kind
    print(f"{device}, jax {jax.__version__}, {side} px, batches of {flags.batch}\n")
    if flags.steps:
        print("| segmentation loss | compiling s | ms a step | s for 10,000 photographs |")
        print("|---|---:|---:|---:|")
        found = {}
        for mode in ("off", "joint"):
            compiled, found[mode] = step_time(mode, flags, side)
            epoch = found[mode] * EPOCH / flags.batch
            print(
                f"| {mode} | {compiled:.1f} | {1e3 * found[mode]:.1f} | {epoch:.0f} |", flush=True
            )
        print(f"\nratio {found['joint'] / found['off']:.3f}; the paper's is {PAPER:.3f}\n")
    if flags.drawings:
        print(f"| {flags.drawings} drawings in batches of | s | s with files |\n|---|---:|---:|")
        print("\n".join(drawings(flags.tiny, side, flags.drawings)))


if __name__ == "__main__":
    main()
