"""Data sets made ready: every file checked, and written as TFDS ArrayRecords."""

import contextlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from segsynth.data import checking, sources
from segsynth.data.layouts import joined
from segsynth.data.layouts.registry import LAYOUTS
from segsynth.data.sources import Source
from segsynth.data.tfds_builders import writing
from segsynth.errors import UserError

#: Without a terminal, seconds between two lines of progress.
_INTERVAL = 10.0
#: How layouts say that the list or the folder of a split is not there, rather than bad.
_ABSENT = re.compile(r" (does not exist|is not a folder|holds neither|holds no|has no picture)\b")
_log = logging.getLogger(__name__)


def prepare(
    data_set: str,
    root: str,
    *,
    output: str = "",
    splits: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    jobs: int = 0,
    show: Callable[[str], object] = print,
) -> None:
    """Checks a data set, and writes it where there is nothing to complain of.

    Args:
        data_set: a layout; to check alone also "folder", "records" and "tfds".
        root: its folder.
        output: where to write records; "" = check only.
        splits: which; none = those of the layout that are there, and "all" where there are none.
        options: keywords of the layout.
        jobs: threads; 0 = one for each core.
        show: takes the lines of the report.

    Raises:
        UserError: faults, which are shown line by line; an unknown data set; what
            `segsynth.data.tfds_builders.writing.write` refuses.

    """
    default = _default_splits(data_set)
    if output and data_set not in LAYOUTS:
        raise UserError(
            f"{data_set!r} cannot be written as records; expected one of {', '.join(LAYOUTS)}."
        )
    if output:
        writing.check_free(output, data_set)
    options, jobs = dict(options or {}), jobs or os.cpu_count() or 1
    opened, closed = _open(data_set, root, tuple(splits) or default, options)
    if not splits:
        absent = [split for split, message in closed.items() if _ABSENT.search(message)]
        _show_all((f"{split}: left out: {closed.pop(split)}" for split in absent), show)
    faults = [*closed.values(), *_checked(opened, jobs, show)]
    if not splits:  # else they may be of another split
        layouts = {k: found for k, found in opened.items() if isinstance(found, joined.Joined)}
        _show_all((f"note: {line}" for line in checking.strays(layouts)), show)
    _show_all(faults, show)
    if faults:
        sound = f", or leave splits out, as --splits {' '.join(opened)}" if closed else ""
        raise UserError(
            f"{data_set} has {len(faults)} fault{'s' if len(faults) > 1 else ''}, listed above"
            f"{'; nothing was written' if output else ''}. Cure them{sound}."
        )
    if output:
        with _progress("writing", sum(map(len, opened.values()))) as advance:
            folder = writing.write(
                output, data_set, opened, options=options, jobs=jobs, advance=advance
            )
        show(f"written: {folder} (data.source='records', data_root={output})")


def _checked(opened: Mapping[str, Source], jobs: int, show: Callable[[str], object]) -> list[str]:
    """Shows what each split is like; returns the faults."""
    faults = []
    for split, source in opened.items():
        with _progress(f"checking {split}", len(source)) as advance:
            report = checking.check(source, split, jobs=jobs, advance=advance)
        _show_all(report.lines(), show)
        faults += report.faults
    return faults


def table() -> str:
    """Returns the worlds and layouts as a Markdown table."""
    rows = [("`--dataset`", "splits", "what lies below `--root`")]
    rows += [(f"`{name}`", "train, val", "nothing: a world") for name in sources.WORLDS]
    rows += [(f"`{k}`", ", ".join(found.splits), found.tree) for k, found in LAYOUTS.items()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---|---|---|", *lines[1:]])


def _default_splits(data_set: str) -> tuple[str, ...]:
    if data_set in sources.WORLDS:
        raise UserError(f"{data_set!r} is a world: it has no files to check. Give --preview FILE.")
    known = sources.splits_of(data_set)
    if data_set not in LAYOUTS:
        return ("all",)
    return tuple(split for split in known if split != "all") or known


def _open(
    data_set: str, root: str, splits: Sequence[str], options: Mapping[str, Any]
) -> tuple[dict[str, Source], dict[str, str]]:
    """The splits that open, and why the others do not."""
    opened, closed = {}, {}
    for split in splits:
        try:
            with joined.unchecked():
                config = {"source": data_set, "root": root, "options": options}
                opened[split] = sources.build(config, split)
        except UserError as error:
            closed[split] = str(error)
    if not opened and "all" not in splits and "all" in sources.splits_of(data_set):
        return _open(data_set, root, ("all",), options)
    if not opened:
        raise UserError(next(iter(closed.values())))
    return opened, closed


def _show_all(lines: Any, show: Callable[[str], object]) -> None:
    for line in lines:
        show(line)


@contextlib.contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], object]]:
    """A bar on a terminal, else a line now and then; yields what to call after each example."""
    if sys.stderr.isatty():
        with tqdm(total=total, desc=what, unit="example") as bar:
            yield bar.update
        return
    done, began = 0, time.perf_counter()
    shown = began

    def advance() -> None:
        nonlocal done, shown
        done, now = done + 1, time.perf_counter()
        if now - shown >= _INTERVAL:
            shown = now
            left = (now - began) / done * (total - done)
            _log.info("%s %d/%d  %.0f s left", what, done, total, left)

    yield advance
