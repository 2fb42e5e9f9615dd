"""One TFDS builder for every layout; see README.md beside it."""

import collections
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from segsynth.data import modalities
from segsynth.data.layouts.joined import Joined
from segsynth.data.sources import Source
from segsynth.data.tfds_builders import encodings

VERSION = "1.0.0"
#: About how much a file of records holds, in bytes; TFDS keeps that much in memory while it writes.
SHARD_BYTES = 128 << 20


class Segsynth(tfds.core.ShardBasedBuilder):
    """Writes sources as they are, in their order; the data set is the builder's config.

    TFDS's own generator shuffles, through files that it opens with TensorFlow once they pass 1 GB.
    Shards keep the order, and need neither.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        *,
        data_set: str,
        sources: Mapping[str, Source],
        metadata: Mapping[str, Any],
        jobs: int = 1,
        advance: Callable[[], object] = lambda: None,
        **options: Any,
    ):
        """Names what to write.

        Args:
            data_set: name of the config.
            sources: split -> its examples.
            metadata: JSON values that a reader needs besides.
            jobs: threads that read and encode.
            advance: called after each example.
            **options: of `tfds.core.DatasetBuilder`, as ``data_dir``.

        """
        self._sources, self._metadata = sources, metadata
        self._jobs, self._advance = jobs, advance
        config = tfds.core.BuilderConfig(name=data_set, version=VERSION)
        super().__init__(config=config, file_format="array_record", **options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Examples of segsynth, encoded as their files are.",
            features=tfds.features.FeaturesDict({key: feature(key) for key in self._keys}),
            metadata=tfds.core.MetadataDict(self._metadata),
            disable_shuffling=True,
        )

    @functools.cached_property
    def _keys(self) -> tuple[str, ...]:
        """What any split provides: TFDS wants the same features in all of them."""
        return tuple(dict.fromkeys(k for s in self._sources.values() for k in s.provides))

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
        del dl_manager  # the files are there
        return {
            split: [functools.partial(self._examples, source, r) for r in self._shards(source)]
            for split, source in self._sources.items()
        }

    def _shards(self, source: Source) -> list[range]:
        first = self._record(source, 0)
        size = sum(len(value) for value in first.values() if isinstance(value, bytes))
        each = max(1, SHARD_BYTES // max(size, 1))
        count = len(source)
        return [range(i, min(i + each, count)) for i in range(0, count, each)]

    def _examples(
        self, source: Source, indices: Sequence[int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        with futures.ThreadPoolExecutor(self._jobs) as pool:
            pending: collections.deque = collections.deque()
            try:
                for index in indices:
                    pending.append((index, pool.submit(self._record, source, index)))
                    if len(pending) > 2 * self._jobs:
                        yield self._done(*pending.popleft())
                while pending:
                    yield self._done(*pending.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _done(self, index: int, record: futures.Future) -> tuple[int, dict[str, Any]]:
        answer = record.result()
        self._advance()
        return index, answer

    def _record(self, source: Source, index: int) -> dict[str, Any]:
        example = source[index]
        own = _own_files(source, index)
        return {
            key: _stored(key, example[key], own.get(key)) if key in example else _nothing(key)
            for key in self._keys
        }


def feature(key: str) -> Any:
    """Returns how TFDS is to see a modality: pictures that its readers decode too are `Image`."""
    modality = modalities.get(key)
    if key == "name":
        return tfds.features.Text(doc=modality.doc)
    dtype = np.dtype(modality.dtype)
    if modality.kind == "vector":
        return tfds.features.Tensor(shape=(None,), dtype=dtype, doc=modality.doc)
    if modality.kind == "scalar":
        return tfds.features.Scalar(dtype, doc=modality.doc)
    if modality.dtype == "uint8":
        return tfds.features.Image(shape=(None, None, modality.channels), doc=modality.doc)
    return tfds.features.Text(doc=f"{modality.doc} (PNG bytes, {modality.dtype})")


def _stored(key: str, array: np.ndarray, own: bytes | None) -> Any:
    if modalities.get(key).spatial:
        return encodings.encode(key, array, own)
    return str(array) if key == "name" else array


def _nothing(key: str) -> Any:
    """Stands in for what a split lacks; its metadata say so."""
    modality = modalities.get(key)
    if modality.spatial or key == "name":
        return b""
    return np.zeros((0,) if modality.kind == "vector" else (), modality.dtype)


def _own_files(source: Source, index: int) -> dict[str, bytes]:
    """The bytes behind each modality that is read from one file."""
    if not isinstance(source, Joined):
        return {}
    name = source.names[index]
    paths = {key: source.readers[key].paths(source.files[key][name]) for key in source.files}
    return {key: found[0].read_bytes() for key, found in paths.items() if len(found) == 1}
