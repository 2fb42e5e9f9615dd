"""Time and memory of `segsynth.crf.infer` beside pydensecrf, in one process, call by call in turn.

    python benchmarks/crf.py                                  # procedural street, all sizes
    python benchmarks/crf.py --camvid ROOT --sizes 1024x512   # photographs at their own scale

pydensecrf is measured where it can be imported (its git master builds with Cython 0.29.36 and
without build isolation); where not, its columns stay empty. A whole call has the lattices built in
it. The time of an iteration is that of 10 iterations less that of 5, a fifth of it; what is left of
the call is preparation. Ratios are pydensecrf's time over ours: above 1 we are faster. The first
call of ours, with compilation, stands apart. Nothing here is a test: other programs on the machine
shift all times.
"""

import argparse
import dataclasses
import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

MODES = ("full", "coarse_to_fine", "fast")
#: The parameters of pydensecrf's examples, at 1024 px.
WEIGHTS = dict(appearance=10.0, appearance_rgb=13.0, smoothness=3.0, smoothness_xy=3.0)
APPEARANCE_XY = 80.0


@dataclasses.dataclass(frozen=True)
class Problem:
    """An image uint8 [H, W, 3], labels int32 [H, W] with -1 = unlabelled, a unary [H, W, C]."""

    image: np.ndarray
    labels: np.ndarray
    unary: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, labels: np.ndarray, classes: int) -> "Problem":
        """Take labels as right with probability 0.7, and nothing for known elsewhere."""
        sure = 0.7 * np.eye(classes)[np.maximum(labels, 0)] + 0.3 / classes
        probability = np.where(labels[..., None] >= 0, sure, 1 / classes)
        return cls(image, labels, -np.log(probability).astype(np.float32))


def ours(problem: Problem, iterations: int, mode: str) -> np.ndarray:
    """Labels [H, W] by segsynth."""
    from segsynth.crf.inference import infer
    from segsynth.crf.parameters import Crf

    crf = Crf(appearance_xy=APPEARANCE_XY, iterations=iterations, **WEIGHTS)
    labels = problem.labels if mode == "fast" else None
    q = infer(problem.image, problem.unary, crf, mode=mode, labels=labels)
    return np.asarray(q.argmax(-1))


def theirs(problem: Problem, iterations: int, mode: str = "") -> np.ndarray:
    """Labels [H, W] by pydensecrf."""
    from pydensecrf.densecrf import DenseCRF2D

    height, width = problem.image.shape[:2]
    crf = DenseCRF2D(width, height, problem.unary.shape[-1])
    crf.setUnaryEnergy(np.ascontiguousarray(problem.unary.reshape(height * width, -1).T))
    crf.addPairwiseGaussian(sxy=WEIGHTS["smoothness_xy"], compat=WEIGHTS["smoothness"])
    crf.addPairwiseBilateral(
        sxy=APPEARANCE_XY,
        srgb=WEIGHTS["appearance_rgb"],
        rgbim=np.ascontiguousarray(problem.image),
        compat=WEIGHTS["appearance"],
    )
    return np.argmax(crf.inference(iterations), axis=0).reshape(height, width)


def measure(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[list, list]]:
    """Wall and CPU seconds of each call, in turn so that disturbances meet all alike."""
    taken: dict[str, tuple[list, list]] = {name: ([], []) for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            taken[name][0].append(time.perf_counter() - wall)
            taken[name][1].append(time.process_time() - cpu)
    return taken


def compare(name: str, problem: Problem, repeats: int, modes: tuple[str, ...]) -> None:
    """Print the rows of one image."""
    peer = importlib.util.find_spec("pydensecrf") is not None
    calls, first, found = {}, {}, {}
    if peer:
        for count in (5, 10):
            calls[f"peer {count}"] = lambda count=count: theirs(problem, count)
        found["peer"] = theirs(problem, 5)
    for mode in modes:
        for count in (5, 10):
            begun = time.perf_counter()
            labels = ours(problem, count, mode)
            first[mode, count] = time.perf_counter() - begun
            calls[f"{mode} {count}"] = lambda mode=mode, count=count: ours(problem, count, mode)
            found.setdefault(mode, labels)
    taken = measure(calls, repeats)
    height, width = problem.labels.shape
    free = 100 * float((problem.labels < 0).mean())
    print(f"\n{name}: {width}x{height}, {problem.unary.shape[-1]} classes, ", end="")
    print(f"{free:.0f} % unlabelled, {repeats} repeats")
    print(
        "| | first call | T=5 median (min) s | CPU s | T=10 s | an iteration s | preparation s |"
        " ratio T=5 (CPU) | ratio an iteration (CPU) | agreement % |"
    )
    print("|---|" + "---:|" * 9)
    rows = (["peer"] if peer else []) + list(modes)
    for row in rows:
        print(_row(row, taken, peer, first, agreement(row, found, problem.labels)))


def agreement(row: str, found: dict[str, np.ndarray], labels: np.ndarray) -> str:
    """Percentage of pixels labelled as pydensecrf does; empty where that was not measured.

    For "fast", which pins labels, after pinning pydensecrf's too; in brackets of unlabelled pixels.
    """
    if "peer" not in found:
        return ""
    free = labels < 0
    same = found[row] == found["peer"]
    if row == "fast":
        same = np.where(free, same, found[row] == labels)
    text = f"{100 * same.mean():.2f}"
    return f"{text} ({100 * same[free].mean():.2f})" if row == "fast" and free.any() else text


def _row(row, taken, peer, first, same) -> str:
    def both(kind: str, which: int) -> tuple[float, float]:
        five, ten = (statistics.median(taken[f"{kind} {n}"][which]) for n in (5, 10))
        return five, (ten - five) / 5

    (wall, step), (cpu, cpu_step) = both(row, 0), both(row, 1)
    ratios = ["", ""]
    if peer:
        (w, s), (c, k) = both("peer", 0), both("peer", 1)
        ratios = [f"{w / wall:.2f} ({c / cpu:.2f})", f"{s / step:.2f} ({k / cpu_step:.2f})"]
    start = "" if row == "peer" else f"{first[row, 5]:.1f}"
    ten = statistics.median(taken[f"{row} 10"][0])
    name, least = "pydensecrf" if row == "peer" else row, min(taken[f"{row} 5"][0])
    return (
        f"| {name} | {start} | {wall:.2f} ({least:.2f}) | {cpu:.2f} | {ten:.2f} "
        f"| {step:.3f} | {wall - 5 * step:.2f} | {ratios[0]} | {ratios[1]} | {same} |"
    )


def peak(arguments: list[str], who: str) -> str:
    """Peak resident memory of one call in a process of its own, less what it had before, MiB."""
    command = [sys.executable, __file__, *arguments, "--peak", who]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def _report_peak(problem: Problem, who: str) -> None:
    parts = (problem.image, problem.labels, problem.unary)
    small = Problem(*(part[:64, :64] for part in parts))  # for what is imported
    call = theirs if who == "peer" else ours
    call(small, 1, who)
    before = _peak_kib()
    call(problem, 5, who)
    print((_peak_kib() - before) // 1024)


def _peak_kib() -> int:
    """Peak resident memory of this process (ru_maxrss would begin with that of its parent)."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def scene(size: tuple[int, int], camvid: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of (width, height) and its coarse labels: a street, or a mosaic of frames."""
    width, height = size
    if not camvid:
        from segsynth.data.worlds.streets import Streets

        example = Streets(height=height, width=width, length=1, ids="train")[0]
        return example["image"], _numbers(example["coarse"])
    from segsynth.data.layouts import camvid as layout

    source, rows, used = layout.camvid(camvid, "val", "train"), [], 0
    while sum(row[0].shape[0] for row in rows) < height:
        tiles: list[tuple[np.ndarray, np.ndarray]] = []
        while sum(tile[0].shape[1] for tile in tiles) < width:
            example = source[used % len(source)]
            # Frames have 11 classes; shifted from tile to tile, all numbers occur.
            labels = _numbers(example["coarse"])
            shifted = np.where(labels < 0, -1, (labels + 4 * used) % classes)
            tiles.append((example["image"], shifted))
            used += 1
        rows.append([np.concatenate(part, axis=1)[:, :width] for part in zip(*tiles, strict=True)])
    image, labels = (np.concatenate(part)[:height] for part in zip(*rows, strict=True))
    return np.ascontiguousarray(image), np.ascontiguousarray(labels)


def _numbers(coarse: np.ndarray) -> np.ndarray:
    labels = coarse[..., 0].astype(np.int32)
    return np.where(labels == 255, -1, labels)


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--camvid", default="", help="CamVid tree with coarse labels")
    parser.add_argument("--sizes", default="512x256,1024x512,2048x1024")
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--memory", action="store_true", help="peak memory as well")
    parser.add_argument("--peak", default="", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    # Freed memory stays in the heap for both: page faults are no part of either's work.
    if os.environ.get("MALLOC_TOP_PAD_") is None:
        keep = {
            "MALLOC_TOP_PAD_": "1000000000",
            "MALLOC_MMAP_THRESHOLD_": "4000000000",
            "MALLOC_TRIM_THRESHOLD_": "4000000000",
        }
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **keep})
    for text in flags.sizes.split(","):
        width, height = map(int, text.split("x"))
        problem = Problem.of(*scene((width, height), flags.camvid, flags.classes), flags.classes)
        if flags.peak:
            _report_peak(problem, flags.peak)
            return
        modes = tuple(flags.modes.split(","))
        kind = "mosaic of CamVid frames" if flags.camvid else "procedural street"
        compare(kind, problem, flags.repeats, modes)
        if flags.memory:
            base = ["--sizes", text] + (["--camvid", flags.camvid] if flags.camvid else [])
            for who in (*modes, *(["peer"] if importlib.util.find_spec("pydensecrf") else [])):
                print(f"peak memory of a call, {who}: {peak(base, who)} MiB")


if __name__ == "__main__":
    main()
