"""A paper's table beside ours: which measurement of ours stands for which of its cells.

The figures of a paper are in one file, ``segsynth/papers/<paper>.json``: ``paper``, ``table``,
``data``, ``columns`` (names), ``rows`` (name -> a figure or null for each column) and perhaps
``note``, what one must know of them. The ``table`` section of a config says where ours come from:

- ``paper``: name of that file; ``data``: the data set of the paper, as ``data.source`` names it;
- ``rows``: (name in the paper, unit, key); the unit is a phase of the config's run, "" for a system
  that learns nothing, or None for a row that is only printed. With a fourth entry, "ours", the
  paper has no such row, and its name says so;
- ``columns``: (name in the paper or "", our name, metric, factor); ``{key}`` in the metric stands
  for the row's key;
- ``classes``, if rows are judged class by class: ``title``, ``names``, ``metric``, in which
  ``{key}`` stands for the row's key and ``{name}`` for a name, blanks as ``_``, and ``factor``.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from scipy import stats

from segsynth.errors import UserError
from segsynth.papers.figures import figures
from segsynth.settings import configure, unknown

#: Between our figures and the paper's where they measure different things.
_UNLIKE = "What the paper measured, and nothing above measures:"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row: its name in the paper, the phase that it is measured on, and its key in metrics;
    ``origin`` "ours" for one that the paper does not have.
    """

    name: str
    unit: str | None
    key: str = ""
    origin: Literal["", "ours"] = ""

    @property
    def title(self) -> str:
        """What stands in its first cell."""
        return f"{self.name} ({self.origin})" if self.origin else self.name


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its name in the paper ("" = only ours), our name, our metric and a factor."""

    paper: str
    ours: str
    metric: str
    factor: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classes:
    """A second table: our figures of each class by row, under a title."""

    title: str
    names: tuple[str, ...]
    metric: str
    factor: float = 1.0


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """Rows and columns, and what the paper printed."""

    paper: str
    title: str
    data: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    figures: Mapping[str, Mapping[str, float | None]]
    classes: Classes | None = None
    note: str = ""

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> "PaperTable":
        """Read the ``table`` section of a config.

        Raises:
            UserError: no such paper, or a row or column that it does not have.

        """
        stored = figures(section["paper"])
        table = stored["rows"]
        rows = tuple(Row(*row) for row in section["rows"])
        columns = tuple(Column(*column) for column in section["columns"])
        for row in rows:
            if not row.origin and row.name not in table:
                raise UserError(unknown(row.name, table, f"the table of {section['paper']}"))
        for column in columns:
            if column.paper and column.paper not in stored["columns"]:
                raise UserError(
                    unknown(column.paper, stored["columns"], f"the table of {section['paper']}")
                )
        by_class = section.get("classes")
        return cls(
            section["paper"],
            stored["table"],
            section["data"],
            rows,
            columns,
            table,
            configure(Classes, by_class, "table.classes") if by_class else None,
            stored.get("note", ""),
        )

    @property
    def units(self) -> tuple[str, ...]:
        """The units, each once, in the order of the rows."""
        return tuple(dict.fromkeys(row.unit for row in self.rows if row.unit is not None))

    def markdown(self, measured: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
        """Lay the table out, the paper's figures beside ours.

        Where none of our columns measures what one of the paper's does, ours has a line for each
        measure, and the paper's table follows with a sentence that says so.

        Args:
            measured: for each seed, unit -> metric -> value. With several seeds a cell holds the
                mean and half the width of its 95 % interval by Student's t.

        """
        theirs = [name for name in self.printed if self._is_printed(name)]
        if not any(column.paper for column in self.columns):
            tables = (self._by_measure(measured), _UNLIKE, self._of_paper(theirs))
            return "\n\n".join(tables if theirs else tables[:1])
        head = ["", *(f"{name} (paper)" for name in theirs), *(c.ours for c in self.columns)]
        lines = _head(head)
        for row in self.rows:
            printed = [_number(self._figure(row, name)) for name in theirs]
            cells = [self._cell(row, column, measured) for column in self.columns]
            lines.append(_line([row.title, *printed, *cells]))
        return "\n".join(lines)

    def _of_paper(self, names: Sequence[str]) -> str:
        figures = {row.title: [self._figure(row, name) for name in names] for row in self.rows}
        lines = [
            _line([row, *map(_number, found)])
            for row, found in figures.items()
            if set(found) != {None}
        ]
        return "\n".join([*_head(["the paper's", *names]), *lines])

    def _by_measure(self, measured: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
        lines = _head(["ours", *(row.title for row in self.rows)])
        for column in self.columns:
            cells = [self._cell(row, column, measured) for row in self.rows]
            if set(cells) != {"-"}:
                lines.append(_line([column.ours, *cells]))
        return "\n".join(lines)

    def by_class(self, measured: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
        """Lay out what was measured of each class: a row for each class that occurs, a column for
        each row that has any; "" without ``classes``.
        """
        if self.classes is None:
            return ""
        table = {
            row.title: {name: self._of_class(row, name, measured) for name in self.classes.names}
            for row in self.rows
        }
        table = {row: cells for row, cells in table.items() if set(cells.values()) != {"-"}}
        lines = _head([self.classes.title, *table])
        for name in self.classes.names:
            cells = [table[row][name] for row in table]
            if set(cells) != {"-"}:
                lines.append(_line([name, *cells]))
        return "\n".join(lines) if table else ""

    def _of_class(self, row: Row, name: str, measured: Sequence[Mapping]) -> str:
        metric = self.classes.metric.format(key=row.key, name=name.replace(" ", "_"))
        return self._cell(row, Column("", name, metric, self.classes.factor), measured)

    @property
    def printed(self) -> tuple[str, ...]:
        """Names of the paper's columns."""
        return tuple(next(iter(self.figures.values())))

    def _figure(self, row: Row, name: str) -> float | None:
        return None if row.origin else self.figures[row.name][name]

    def _is_printed(self, name: str) -> bool:
        return any(self._figure(row, name) is not None for row in self.rows)

    def _cell(self, row: Row, column: Column, measured: Sequence[Mapping]) -> str:
        metric = column.metric.format(key=row.key)
        found = [seed.get(row.unit, {}).get(metric) for seed in measured]  # none for unit None
        values = [
            column.factor * value for value in found if value is not None and math.isfinite(value)
        ]
        if not values:
            return "-"
        if len(values) == 1:
            return _number(values[0])
        spread = statistics.stdev(values) / math.sqrt(len(values))
        half = float(stats.t.ppf(0.975, len(values) - 1)) * spread
        return f"{_number(statistics.mean(values))} ± {_number(half)}"


def _head(cells: Sequence[str]) -> list[str]:
    return [_line(cells), "|" + "---|" + "---:|" * (len(cells) - 1)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    digits = 1 if abs(value) >= 10 else 3
    return f"{value:.{digits}f}"
