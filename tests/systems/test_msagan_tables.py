"""The paper's table: collapse found out and tried again, means with and without it."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.papers.figures import figures
from segsynth.papers.tries import Try, with_retries
from segsynth.systems.msagan.collapse import Collapse
from segsynth.systems.msagan.tables import (
    LOSSES,
    STRUCTURES,
    cells_of,
    derived,
    mean_table,
    model_table,
    phase_of,
    report,
    without_collapse,
)

MIN = 100
GOOD = {
    "accuracy": 0.9,
    "to_on": 0.8,
    "to_off": 1.0,
    "ssim": 0.97,
    "ssim_out": 0.99,
    "iou": 0.5,
    "coverage": 0.8,
    "leakage": 0.001,
    "collapsed": 0.0,
}
IDENTITY = {**GOOD, "accuracy": 0.02, "ssim": 1.0, "coverage": 0.0, "collapsed": 1.0}


def flag(edited, untouched, quiet, valid=None):
    """The flag of faces: whether the judge sees the target, and whether the mask is quiet."""
    edited, untouched, quiet = (jnp.asarray(x, bool) for x in (edited, untouched, quiet))
    mask = jnp.where(quiet, 0.05, 0.9)[:, None, None, None] * jnp.ones((1, 4, 4, 1))
    valid = jnp.ones(len(edited)) if valid is None else jnp.asarray(valid, jnp.float32)
    return Collapse.of(edited, untouched, mask, valid)


def row(share, count=100):
    return np.arange(count) < share * count


@pytest.mark.parametrize(
    ("edited", "untouched", "quiet", "expected"),
    [
        (0.90, 0.02, 0.1, 0.0),
        (0.06, 0.02, 0.1, 1.0),  # 4 points above the untouched faces
        (0.08, 0.02, 0.1, 0.0),  # 6 points
        (0.90, 0.02, 0.6, 1.0),  # whatever the judge sees, the mask of most faces does nothing
    ],
)
def test_the_flag(edited, untouched, quiet, expected):
    metric = flag(row(edited), row(untouched), row(quiet))
    assert float(metric.compute()) == expected
    halves = [
        flag(row(edited), row(untouched), row(quiet), valid)
        for valid in (np.arange(100) % 2, 1 - np.arange(100) % 2)
    ]
    assert float(halves[0].merge(halves[1]).compute()) == expected


def test_the_flag_of_nothing_is_no_number():
    assert np.isnan(float(flag(row(1), row(0), row(0), np.zeros(100)).compute()))


def test_an_editor_that_returns_its_input_is_tried_three_times():
    seeds = []

    def stub(seed):
        seeds.append(seed)
        return Try(seed, 500, IDENTITY)

    tries = with_retries(stub, seed=7, min_updates=MIN)
    assert seeds == [7, 8, 9] == [one.seed for one in tries]
    assert all(one.collapsed(MIN) for one in tries)
    lucky = with_retries(lambda seed: Try(seed, 500, GOOD if seed == 8 else IDENTITY), seed=7)
    assert [one.seed for one in lucky] == [7, 8]
    short = with_retries(lambda seed: Try(seed, 5, IDENTITY), seed=7, min_updates=MIN)
    assert len(short) == 1 and short[0].collapsed(MIN) is None
    nothing = with_retries(lambda seed: Try(seed, 500, {"collapsed": math.nan}), seed=7)
    assert len(nothing) == 1 and nothing[0].collapsed(MIN) is None


def sweep():
    """16 models, of which one returns its input in all of its tries."""
    cells = {}
    for loss in LOSSES:
        for structure in STRUCTURES:
            bad = (loss, structure) == ("none", "E2D1")
            metrics = IDENTITY if bad else GOOD
            run = lambda seed, metrics=metrics: Try(seed, 500, metrics, seconds=0.024)  # noqa: E731
            cells[loss, structure] = with_retries(run, seed=0, min_updates=MIN)
    return cells


def lines(table, name):
    """The numbers of the row of a table that begins with ``name``."""
    found = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
    assert len(found) == 1, name
    return [cell.strip() for cell in found[0].strip("| ").split("|")][1:]


def test_every_model_has_a_row():
    table = model_table(sweep(), MIN)
    assert len(table.splitlines()) == 2 + 16
    assert lines(table, "No mask, E2D1")[0] == "2.000"  # %
    assert lines(table, "No mask, E2D1")[-2:] == ["yes", "3"]
    assert lines(table, "SDE, E1D1")[-3:] == ["0.500", "no", "1"]
    assert "not judged" in model_table({("SDE", "E1D1"): (Try(0, 5, GOOD),)}, MIN)


def test_means_stand_with_and_without_what_collapsed_beside_the_papers():
    by_loss = mean_table(sweep(), MIN, by="loss")
    with_it = 100 * (3 * 0.9 + 0.02) / 4
    assert lines(by_loss, "No mask")[:3] == ["66.0", f"{with_it:.1f}", "90.0"]
    assert lines(by_loss, "No mask")[-1] == "1 of 4"
    assert lines(by_loss, "SDE") == ["86.0", "90.0", "90.0", "0.990", "0.970", "0.970", "0 of 4"]
    some = {**sweep(), ("SDE", "E1D1"): (Try(0, 5, IDENTITY),)}
    row = lines(mean_table(some, MIN, by="loss"), "SDE")
    assert row[-1] == "0 of 3, 1 not judged" and row[1:3] == [f"{with_it:.1f}", "90.0"]
    by_structure = mean_table(sweep(), MIN, by="structure")
    assert lines(by_structure, "E2D1")[:3] == ["62.0", f"{with_it:.1f}", "90.0"]
    assert lines(by_structure, "E1D1")[:3] == ["85.0", "90.0", "90.0"]


def test_the_report_lists_all_tries_and_what_the_paper_hides():
    text = report(sweep(), MIN)
    tries = [line for line in text.splitlines() if line.startswith("- No mask, E2D1")]
    assert len(tries) == 1 and all(f"seed {seed}, 500 updates" in tries[0] for seed in (0, 1, 2))
    assert "No mask 85.8 %, E2D1 80.5 %" in text


def test_the_papers_own_figures_without_its_one_failure():
    assert {name: round(value, 1) for name, value in derived().items()} == {
        "No mask": 85.8,
        "E2D1": 80.5,
    }
    assert without_collapse(50.0, 20.0, count=2) == 80.0
    rows = figures("msagan")["rows"]
    by_loss = sum(rows[name]["editing accuracy %"] for name in LOSSES.values()) / 4
    by_structure = sum(rows[name]["editing accuracy %"] for name in STRUCTURES) / 4
    assert abs(by_loss - by_structure) < 0.5  # both are means of the same 16 models
    failed = "first try returned the input"
    for loss in LOSSES.values():
        assert rows[loss][failed] == sum(rows[f"{loss}, {s}"][failed] for s in STRUCTURES)


def test_a_sweeps_phases_are_found_by_name():
    one, other = (Try(3, 1500, GOOD),), (Try(3, 1500, IDENTITY), Try(4, 1500, GOOD))
    tries = {"judge": (), phase_of("SDE", "E1D1"): one, phase_of("none", "E2D2"): other}
    assert cells_of(tries) == {("none", "E2D2"): other, ("SDE", "E1D1"): one}
