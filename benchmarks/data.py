"""Examples per second: worlds by modality and size; a data set from its files and from records.

    python benchmarks/data.py                                     # worlds, 32 to 256 px
    python benchmarks/data.py --worlds scenes --sizes 256
    python benchmarks/data.py --dataset camvid --root ROOT --splits train

Worlds are rendered in one thread and timed by its processor time; portraits below 48 px show the
face alone. A data set is read example by example in one thread, and in
training batches of 16 at 256 px through the pipeline with its threads and no worker processes.
Files and records take turns, so that disturbances meet both; everything was read once before, so
disks do not count. The figure is the median of the rounds.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from segsynth.data import modalities, pipeline, sources
from segsynth.data.sources import Source
from segsynth.data.tfds_builders.writing import write
from segsynth.data.transforms import CropResize, Flip
from segsynth.errors import UserError

BATCH, SIDE = 16, 256


def worlds(names: Sequence[str], sizes: Sequence[int], examples: int, rounds: int) -> None:
    """Print a table for each world: a row a modality, a column a size."""
    for name in names:
        print(f"\n**{name}: examples/s**\n")
        print(f"| | {' | '.join(f'{size} px' for size in sizes)} |\n|---|{'---:|' * len(sizes)}")
        for keys in rows(name):
            rates = [world_rate(name, keys, size, examples, rounds) for size in sizes]
            cells = " | ".join(f"{rate:.0f}" for rate in rates)
            print(f"| {' and '.join(keys)} | {cells} |", flush=True)


def rows(name: str) -> list[tuple[str, ...]]:
    """Each modality that a world renders, alone, and pictures with their labels."""
    single = [key for key in modalities.MODALITIES if key != "name" and _renders(name, key)]
    pairs = [("image", "labels")] if {"image", "labels"} <= set(single) else []
    return [*((key,) for key in single), *pairs]


def world_rate(name: str, keys: tuple[str, ...], size: int, examples: int, rounds: int) -> float:
    """Examples of a world per second of processor time."""
    source = _world(name, keys, size)
    call = {"": lambda: [source[i] for i in range(examples)]}
    return _rates(call, examples, rounds, time.process_time)[""]


def data_set(name: str, root: str, split: str, examples: int, rounds: int) -> None:
    """Print examples per second from the files of a layout and from its records."""
    tree = sources.build({"source": name, "root": root}, split)
    count = min(examples, len(tree))
    with tempfile.TemporaryDirectory() as folder:
        write(folder, name, {split: tree})
        read = {
            "files": tree,
            "records": sources.build({"source": "records", "root": folder}, split),
        }
        calls = {key: lambda s=s: [s[i] for i in range(count)] for key, s in read.items()}
        one = _rates(calls, count, rounds)
        batches = max(1, count // BATCH)
        calls = {key: lambda s=s: _train(s, batches) for key, s in read.items()}
        many = _rates(calls, batches * BATCH, rounds)
    print(f"\n**{name}, {split}: examples/s of {', '.join(tree.provides)}**\n")
    print(f"| | one by one | batches of {BATCH} at {SIDE} px |\n|---|---:|---:|")
    for key in read:
        print(f"| {key} | {one[key]:.0f} | {many[key]:.0f} |")


def _train(source: Source, count: int) -> list[dict[str, Any]]:
    with pipeline.train_batches(
        source,
        (CropResize(SIDE, scale=(0.6, 1.0)), Flip()),
        global_batch=BATCH,
        seed=0,
        keys=tuple(key for key in source.provides if key != "name"),
    ) as batches:
        return list(itertools.islice(batches, count))


def _rates(
    calls: dict[str, Callable[[], object]],
    examples: int,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Examples per second of each call, which take turns; the first round does not count."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            began = clock()
            call()
            taken[name].append(clock() - began)
    return {name: examples / statistics.median(times[1:]) for name, times in taken.items()}


def _world(name: str, keys: tuple[str, ...], size: int) -> Source:
    options = {"provides": keys}
    if {"guide", "counterfactual"} & set(keys):
        options["guide"] = "Mouth_Slightly_Open"
    if name == "portraits" and size < 48:
        options["framing"] = "tight"
    config = {"source": name, "resolution": size, "length": 10_000, "seed": 0, "options": options}
    return sources.build(config, "train")


def _renders(name: str, key: str) -> bool:
    try:
        _world(name, (key,), 64)[0]
    except (KeyError, UserError):
        return False
    return True


def main() -> None:
    """Measure what the flags name."""
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--worlds", nargs="+", default=tuple(sources.WORLDS))
    flags.add_argument("--sizes", nargs="+", type=int, default=(32, 64, 128, 256))
    flags.add_argument("--dataset", default="")
    flags.add_argument("--root", default="")
    flags.add_argument("--splits", nargs="+", default=("train",))
    flags.add_argument(
        "--examples", type=int, default=0, help="of a round; 40 of a world, else 200"
    )
    flags.add_argument("--rounds", type=int, default=3)
    asked = flags.parse_args()
    if not asked.dataset:
        worlds(asked.worlds, asked.sizes, asked.examples or 40, asked.rounds)
        return
    for split in asked.splits:
        data_set(asked.dataset, asked.root, split, asked.examples or 200, asked.rounds)


if __name__ == "__main__":
    main()
