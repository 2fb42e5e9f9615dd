"""Metrics as a table for people."""

from collections.abc import Mapping

from segsynth.system import Predictor, Reporter


def report(system: Predictor, metrics: Mapping[str, float]) -> str:
    """Return the system's own table, if it has one, else the general one."""
    return system.report(metrics) if isinstance(system, Reporter) else metrics_table(metrics)


def metrics_table(metrics: Mapping[str, float]) -> str:
    """Lay metrics out as a Markdown table: one row for each prefix ``row/column``, the system
    itself first.
    """
    rows: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        row, _, column = name.rpartition("/")
        rows.setdefault(row or "this model", {})[column] = value
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    width = max(len(row) for row in rows)
    lines = [
        f"| {'':{width}} | " + " | ".join(f"{c.replace('_', ' '):>10}" for c in columns) + " |",
        f"|{'-' * (width + 2)}|" + "|".join("-" * 11 + ":" for _ in columns) + "|",
    ]
    for row in sorted(rows, key=lambda name: (name != "this model", name)):
        cells = (f"{rows[row].get(c, float('nan')):10.4f}" for c in columns)
        lines.append(f"| {row.replace('_', ' '):{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
