"""How the time of `segsynth.crf.infer` grows with pixels and with classes.

    python benchmarks/crf_growth.py --camvid PATH/street_camvid

Pixels: one image of 2048x1024 against its four quarters, the very same pixels; the ratio is the
time of the whole over the mean time of a quarter, 4 where cost is linear. Classes: 38 against 19 on
1024x512, 2 where cost is linear. Medians over repeats in turn, compilation left out.
"""

import argparse
import itertools
import statistics

from crf import MODES, Problem, measure, ours, scene


def quarters(problem: Problem) -> list[Problem]:
    """The four quarters of an image."""
    height, width = problem.labels.shape
    rows = (slice(None, height // 2), slice(height // 2, None))
    columns = (slice(None, width // 2), slice(width // 2, None))
    return [
        Problem(problem.image[at], problem.labels[at], problem.unary[at])
        for at in itertools.product(rows, columns)
    ]


def medians(problems: dict[str, Problem], mode: str, repeats: int) -> dict[str, tuple[float, ...]]:
    """Median wall and CPU seconds of five updates on each problem."""
    calls = {name: lambda p=p: ours(p, 5, mode) for name, p in problems.items()}
    for call in calls.values():
        call()
    taken = measure(calls, repeats)
    return {name: tuple(map(statistics.median, both)) for name, both in taken.items()}


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--camvid", default="", help="CamVid tree with coarse labels")
    parser.add_argument("--repeats", type=int, default=5)
    flags = parser.parse_args()
    whole = Problem.of(*scene((2048, 1024), flags.camvid, 19), 19)
    parts = {str(i): part for i, part in enumerate(quarters(whole))}
    few, many = (Problem.of(*scene((1024, 512), flags.camvid, c), c) for c in (19, 38))
    print("| | 4x the pixels: wall (CPU) | 2x the classes: wall (CPU) |\n|---|---:|---:|")
    for mode in MODES:
        pixels = medians({"whole": whole} | parts, mode, flags.repeats)
        classes = medians({"few": few, "many": many}, mode, flags.repeats)
        ratios = []
        for which in (0, 1):
            quarter = statistics.mean(pixels[name][which] for name in parts)
            ratios.append(pixels["whole"][which] / quarter)
            ratios.append(classes["many"][which] / classes["few"][which])
        print(f"| {mode} | {ratios[0]:.2f} ({ratios[2]:.2f}) | {ratios[1]:.2f} ({ratios[3]:.2f}) |")


if __name__ == "__main__":
    main()
