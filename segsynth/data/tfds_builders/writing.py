"""Writes records in one step: what is there is whole, whatever ended the writing of it."""

import contextlib
import errno
import fcntl
import io
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from segsynth.data.layouts.joined import Joined
from segsynth.data.sources import Source
from segsynth.errors import UserError

#: First folder below the output; the data set and the version follow.
HOME = "segsynth"
_WHOLE = "whole"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(
    output: str | os.PathLike[str],
    data_set: str,
    sources: Mapping[str, Source],
    *,
    options: Mapping[str, Any] | None = None,
    jobs: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> pathlib.Path:
    """Writes a data set below ``output`` and returns the folder of its records.

    The folder appears when all of it is written. What a killed writing has left is deleted by the
    next one.

    Args:
        output: where records are kept; ``output/segsynth/<data_set>/<version>`` becomes the folder.
        data_set: its name.
        sources: split -> examples, label maps by their published ids. "all" alone is for data
            without splits.
        options: with which the layout was opened, for the metadata.
        jobs: threads that read and encode.
        advance: called after each example.

    Raises:
        UserError: records of that name are there, or being written; train ids; "all" beside other
            splits; a full disk; what a source finds wrong.

    """
    _check(sources)
    # To TFDS "all" is all splits together, and no name for one.
    sources = {_WHOLE if split == "all" else split: found for split, found in sources.items()}
    check_free(output, data_set)
    home = _home(output, data_set)
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        check_free(output, data_set)
        for left in home.glob("incomplete.*"):
            shutil.rmtree(left)
        _check_space(home, sources)
        metadata = _metadata(data_set, sources, options or {})
        with _full_disk(home):
            return _built(home.parents[1], data_set, sources, metadata, jobs, advance)


def check_free(output: str | os.PathLike[str], data_set: str) -> None:
    """Raises `UserError` where ``output`` holds records of the data set, or cannot be written."""
    home = _home(output, data_set)
    there = next(path for path in (home, *home.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(
            f"cannot write to {there}, expected a folder that may be written. "
            "Choose another --output."
        )
    for path in home.glob("[0-9]*"):
        raise UserError(
            f"{path} holds records of {data_set} already. Delete it, or choose another --output."
        )


def _home(output: str | os.PathLike[str], data_set: str) -> pathlib.Path:
    return pathlib.Path(output).absolute() / HOME / data_set


def _check(sources: Mapping[str, Source]) -> None:
    if "all" in sources and len(sources) > 1:
        raise UserError(
            "the split 'all' cannot be written beside others: every set of records has it, as all "
            "of its splits. Leave it out."
        )
    for split, source in sources.items():
        if getattr(source, "ids", "published") != "published":
            raise UserError(
                f"{split} has train ids, and records keep the published ones. "
                "Leave the option ids out: who reads the records chooses."
            )
        if len(source) == 0:
            raise UserError(f"{split} has no examples. Leave it out.")


def _built(
    output: pathlib.Path,
    data_set: str,
    sources: Mapping[str, Source],
    metadata: Mapping[str, Any],
    jobs: int,
    advance: Callable[[], object],
) -> pathlib.Path:
    import tensorflow_datasets as tfds

    from segsynth.data.tfds_builders.builder import Segsynth

    tfds.disable_progress_bar()
    builder = Segsynth(
        data_set=data_set,
        sources=sources,
        metadata=metadata,
        jobs=jobs,
        advance=advance,
        data_dir=output,
    )
    # TFDS makes a folder for downloads, and prints that it downloads: neither is so here.
    with tempfile.TemporaryDirectory() as nothing, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=nothing)
    return pathlib.Path(builder.data_dir)


def _metadata(
    data_set: str, sources: Mapping[str, Source], options: Mapping[str, Any]
) -> dict[str, Any]:
    first = next(iter(sources.values()))
    label_set = getattr(first, "label_set", None)
    return {
        "data_set": data_set,
        "options": dict(options),
        "provides": {split: list(source.provides) for split, source in sources.items()},
        "label_set": label_set and label_set.name,
        "attribute_names": list(getattr(first, "attribute_names", ())),
    }


@contextlib.contextmanager
def _alone(home: pathlib.Path) -> Iterator[None]:
    """Lets one process write here; the lock goes with the process, however it ends."""
    with (home / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is writing to {home}. Wait for it, or choose another --output."
            ) from None
        yield


def _check_space(home: pathlib.Path, sources: Mapping[str, Source]) -> None:
    layouts = [source for source in sources.values() if isinstance(source, Joined)]
    files = {path for source in layouts for name in source.names for path in source.paths(name)}
    needed, free = sum(path.stat().st_size for path in files), shutil.disk_usage(home).free
    if needed > free:
        raise UserError(
            f"{home} has {free >> 20} MiB left, and the files have {needed >> 20}. "
            "Free space, or choose another --output."
        )


@contextlib.contextmanager
def _full_disk(home: pathlib.Path) -> Iterator[None]:
    """Says in a line that the disk is full; ArrayRecord raises `RuntimeError` with the reason."""
    reasons = [os.strerror(number) for number in _FULL]
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = next((reason for reason in reasons if reason in str(error)), None)
        if reason is None:
            raise
        raise UserError(
            f"cannot write records to {home} ({reason}). Free space, or choose another --output."
        ) from error
