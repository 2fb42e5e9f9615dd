"""From a source to batches: what a step reads is a function of (seed, step) and of nothing else.

The order of operations makes it so. Shuffling, epochs and every random number of the transforms are
indexed by the global position of an example *before* the positions are dealt out to processes and
workers. Hence any number of either gives the same global batch, row for row; a run resumes exactly
at ``start_step``, on other hardware too; and the data position needs no place in a checkpoint,
because it is the step.
"""

import dataclasses
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from segsynth.data import modalities
from segsynth.data.sources import Source
from segsynth.data.transforms import Transform
from segsynth.errors import UserError

# Batches in the making per process, a thread each. Grain's own default keeps 500 batches in memory.
_READ_AHEAD = 4


class Batches:
    """An iterator over the process-local part of each global batch: name -> ``(B, ...)`` array.

    Close it (or use it in a ``with``): its threads and worker processes live until then.
    """

    def __init__(self, dataset: Any):
        self._iterator = iter(dataset)

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        return next(self._iterator)

    def __enter__(self) -> "Batches":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops threads and worker processes; may be called twice."""
        self._iterator.close()


@dataclasses.dataclass(frozen=True)
class Stream:
    """Examples of another domain, beside those of a batch: no pairs, each shuffled on its own.

    Attributes:
        source: the examples.
        transforms: applied in order.
        keys: what they give to a batch.

    """

    source: Source
    transforms: Sequence[Transform]
    keys: Sequence[str]


#: Examples of "endless" batches. Grain's own endless repetition overflows with batches of one.
_ENDLESS = 2**62


def train_batches(
    source: Source,
    transforms: Sequence[Transform],
    *,
    global_batch: int,
    seed: int,
    keys: Sequence[str],
    unpaired: Sequence[Stream] = (),
    start_step: int = 0,
    workers: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> Batches:
    """Endless shuffled batches; every epoch is another permutation of the source.

    Args:
        source: the examples; each gets its position there as ``index``.
        transforms: applied in order, with one generator that belongs to the example's global
            position.
        global_batch: examples a step reads on all processes together; a multiple of
            ``process_count``.
        seed: of order and transforms, >= 0.
        keys: modalities of a batch; others are dropped, and one with a default is filled in.
        unpaired: other domains, each in an order of its own.
        start_step: number of global batches to pass over; costs nothing.
        workers: worker processes; 0 = threads of this process only. A script that sets it needs
            ``if __name__ == "__main__":``, since workers import it.
        process_index: which process this is, 0 <= index < ``process_count``.
        process_count: processes that share a global batch. This one gets the rows
            ``[index * B, (index + 1) * B)`` of it, B = ``global_batch / process_count``.

    Raises:
        UserError: an empty source, a batch that cannot be shared out; while iterating: what the
            source or a transform finds wrong, also inside a worker.

    """
    import grain

    local = _local_batch(global_batch, process_index, process_count)
    streams = [Stream(source, transforms, keys), *unpaired]
    parts = [
        _shuffled(stream, (seed, place) if place else seed) for place, stream in enumerate(streams)
    ]
    # Position i of the whole is position i of each: the sizes of the sources do not matter.
    length = min(map(len, parts))
    parts = [part[:length] for part in parts]
    whole = parts[0]
    if unpaired:
        whole = grain.experimental.ZipMapDataset(parts).map(_merged)
    dataset = whole.batch(local)[process_index::process_count][start_step:]
    return Batches(_iterated(dataset, workers))


def eval_batches(
    source: Source,
    transforms: Sequence[Transform],
    *,
    batch: int,
    seed: int,
    keys: Sequence[str],
    unpaired: Sequence[Stream] = (),
    limit: int | None = None,
    workers: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> Batches:
    """One pass in the source's order; the same batches at every call.

    The generator of an example is seeded by (seed, index), so every evaluation sees the same masks.
    The last batch is filled up with repetitions of the last example, whose ``valid`` is 0.

    Args:
        source: the examples.
        transforms: applied in order.
        batch: global batch, a multiple of ``process_count``.
        seed: of the transforms, >= 0.
        keys: modalities of a batch; ``valid`` comes in addition.
        unpaired: other domains, in order and again from the first as often as needed.
        limit: number of examples, from the first; None = all.
        workers: as in `train_batches`.
        process_index: as in `train_batches`.
        process_count: as in `train_batches`.

    Raises:
        UserError: as `train_batches`.

    """
    import grain

    local = _local_batch(batch, process_index, process_count)
    draw = _Draw(tuple(transforms), (*keys, "valid"))
    examples = _Examples(source)
    count = len(examples) if limit is None else min(limit, len(examples))
    beside = tuple(
        (_Examples(stream.source), _Draw(tuple(stream.transforms), tuple(stream.keys)))
        for stream in unpaired
    )
    padded = _Padded(examples, draw, beside, seed, count, total=-(-count // batch) * batch)
    dataset = grain.MapDataset.source(padded).batch(local)[process_index::process_count]
    return Batches(_iterated(dataset, workers))


def _shuffled(stream: Stream, seed: int | tuple[int, int]) -> Any:
    """All epochs of a stream, transformed."""
    import grain

    examples = _Examples(stream.source)
    # Two seeds that are mixed from one: Grain shuffles epoch e by seed + e, so neighbouring seeds
    # would share epochs.
    shuffle_seed, draw_seed = map(int, np.random.SeedSequence(seed).generate_state(2))
    return (
        grain.MapDataset.source(examples)
        .shuffle(seed=shuffle_seed)
        .repeat(_ENDLESS // len(examples))
        .random_map(_Draw(tuple(stream.transforms), tuple(stream.keys)), seed=draw_seed)
    )


def _merged(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: value for part in reversed(parts) for key, value in part.items()}


class _Examples:
    """A source whose examples know their position in it."""

    def __init__(self, source: Source):
        if len(source) == 0:
            raise UserError(f"The source {source} is empty, expected examples. Check its length.")
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {**self._source[index], "index": np.asarray(index, np.int32)}


@dataclasses.dataclass(frozen=True)
class _Draw:
    """All transforms in order with one generator; then the keys that are asked for."""

    transforms: tuple[Transform, ...]
    keys: tuple[str, ...]

    def __call__(
        self, example: dict[str, np.ndarray], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        for transform in self.transforms:
            example = transform(example, rng)
        return {key: _value(example, key) for key in self.keys}


def _value(example: dict[str, np.ndarray], key: str) -> np.ndarray:
    if key in example:
        return example[key]
    modality = modalities.get(key)
    if modality.default is None:
        raise UserError(f"An example lacks {key!r}; it has {', '.join(example)}. {modality.cure}.")
    return np.asarray(modality.default, modality.dtype)


@dataclasses.dataclass(frozen=True)
class _Padded:
    """Transformed examples 0..count-1; then the last one again, not valid, up to ``total``."""

    examples: _Examples
    draw: _Draw
    beside: tuple[tuple[_Examples, _Draw], ...]
    seed: int
    count: int
    total: int

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        index = min(position, self.count - 1)
        valid = np.asarray(position < self.count, np.float32)
        example = {**self.examples[index], "valid": valid}
        parts = [self.draw(example, np.random.default_rng((self.seed, index)))]
        for place, (examples, draw) in enumerate(self.beside, start=1):
            rng = np.random.default_rng((self.seed, index, place))
            parts.append(draw(examples[index % len(examples)], rng))
        return _merged(parts)


def _local_batch(global_batch: int, process_index: int, process_count: int) -> int:
    if global_batch < 1 or global_batch % process_count or not 0 <= process_index < process_count:
        raise UserError(
            f"A global batch of {global_batch} cannot be shared by process {process_index} of "
            f"{process_count}; expected a positive multiple of the number of processes."
        )
    return global_batch // process_count


def _iterated(dataset: Any, workers: int) -> Any:
    """The dataset of batches as an iterable one that reads ahead."""
    import grain
    from absl import flags

    # Grain reads absl flags when it starts workers, and fails where no absl app has parsed them
    # (notebooks, tests).
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    ahead = grain.ReadOptions(num_threads=_READ_AHEAD, prefetch_buffer_size=_READ_AHEAD)
    iterable = dataset.to_iter_dataset(read_options=ahead)
    if workers == 0:
        return iterable
    # Batches cross by pipe: shared memory outlives a killed run, and containers have little of it.
    options = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
    iterable = grain.experimental.WithOptionsIterDataset(iterable, options)
    return iterable.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
