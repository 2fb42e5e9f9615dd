"""Tables of papers: what they print, what they share, and that nothing is done twice."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from segsynth import config_files, paper_tables, reproduce
from segsynth.engine.run import plain, write_json
from segsynth.errors import UserError
from segsynth.paper_tables import PaperTable
from segsynth.papers.figures import figures

ROOT = pathlib.Path(__file__).parents[1]
SECTION = {
    "paper": "mask_restoration",
    "data": "cityscapes",
    "rows": [["sparse, none", "sparse", "none"], ["sparse, CE", "sparse", "restored"]],
    "columns": [["accu %", "accuracy %", "{key}/accuracy", 100.0], ["", "L1", "{key}/l1", 1.0]],
}
PHASES = {
    "synthesis": {},
    "sparse": {"frozen": {"generator": "phase:synthesis", "vgg": "standin:vgg19"}},
    "x8": {"frozen": {"generator": "phase:synthesis"}},
    "finer": {"init_from": {"masks": "phase:x8"}},
    "unused": {},
}


@pytest.mark.parametrize(
    "paper", ["crf_coarse", "inpaint_c2f", "line_drawing", "mask_restoration", "msagan"]
)
def test_every_stored_table_is_whole(paper):
    stored = figures(paper)
    assert stored["paper"] and stored["table"]
    for name, row in stored["rows"].items():
        assert list(row) == stored["columns"]
        assert "read by a new" in name or any(value is not None for value in row.values())


def test_a_cell_is_ours_beside_the_papers():
    table = PaperTable.of(SECTION)
    measured = {"sparse": {"none/accuracy": 0.5, "restored/accuracy": 0.875, "restored/l1": 0.25}}
    lines = table.markdown([measured]).splitlines()
    assert lines[0] == "|  | FID (paper) | accu % (paper) | mIoU % (paper) | accuracy % | L1 |"
    assert lines[2] == "| sparse, none | 157.7 | 68.5 | 39.4 | 50.0 | - |"
    assert lines[3] == "| sparse, CE | 70.7 | 86.1 | 42.1 | 87.5 | 0.250 |"


def test_what_measures_something_else_stands_apart():
    """Ours with a line for each measure that was taken, then the paper's by itself."""
    section = SECTION | {
        "rows": [*SECTION["rows"], ["majority", "sparse", "majority", "ours"]],
        "columns": [["", "L1", "{key}/l1", 1.0], ["", "SSIM", "{key}/ssim", 1.0]],
    }
    text = PaperTable.of(section).markdown([{"sparse": {"restored/l1": 0.25}}])
    assert text.splitlines() == [
        "| ours | sparse, none | sparse, CE | majority (ours) |",
        "|---|---:|---:|---:|",
        "| L1 | - | 0.250 | - |",
        "",
        "What the paper measured, and nothing above measures:",
        "",
        "| the paper's | FID | accu % | mIoU % |",
        "|---|---:|---:|---:|",
        "| sparse, none | 157.7 | 68.5 | 39.4 |",
        "| sparse, CE | 70.7 | 86.1 | 42.1 |",
    ]


def test_seeds_have_an_interval():
    table = PaperTable.of(SECTION)
    seeds = [{"sparse": {"restored/accuracy": v, "restored/l1": np.nan}} for v in (0.8, 0.9, 1.0)]
    cell = table.markdown(seeds).splitlines()[3].split("|")[5].strip()
    # Student's t with 2 degrees of freedom, 4.303, times 10 / sqrt(3).
    assert cell == "90.0 ± 24.8"
    assert table.markdown(seeds).splitlines()[3].endswith("| - |")


def test_classes_have_a_table_of_their_own():
    """Those that occur, by the rows that were judged class by class."""
    names, metric = ["car", "guard rail", "plate"], "{key}/{name}/iou"
    classes = {"title": "IoU %", "names": names, "metric": metric, "factor": 100.0}
    measured = {
        "sparse": {"none/car/iou": 0.25, "none/guard_rail/iou": 0.0, "none/plate/iou": None}
    }
    text = PaperTable.of(SECTION | {"classes": classes}).by_class([measured, measured])
    assert text.splitlines() == [
        "| IoU % | sparse, none |",
        "|---|---:|",
        "| car | 25.0 ± 0.000 |",
        "| guard rail | 0.000 ± 0.000 |",
    ]
    assert PaperTable.of(SECTION).by_class([measured]) == ""


def test_a_row_that_the_paper_does_not_have():
    wrong = {**SECTION, "rows": [["sparse, C", "sparse", ""]]}
    with pytest.raises(UserError, match="has no 'sparse, C'; did you mean 'sparse, CE'"):
        PaperTable.of(wrong)
    with pytest.raises(UserError, match="has no 'accuracy'"):
        PaperTable.of({**SECTION, "columns": [["accuracy", "", "", 1.0]]})
    with pytest.raises(UserError, match=r"segsynth\.papers has no 'crf'"):
        PaperTable.of({**SECTION, "paper": "crf"})


def test_rows_of_one_side_only():
    rows = [["x8, none", None], ["nearest label", "sparse", "nearest", "ours"]]
    table = PaperTable.of({**SECTION, "rows": rows})
    assert table.units == ("sparse",)
    lines = table.markdown([{"sparse": {"nearest/accuracy": 0.75}}]).splitlines()
    assert lines[2] == "| x8, none | 78.1 | 84.2 | 57.6 | - | - |"
    assert lines[3] == "| nearest label (ours) | - | - | - | 75.0 | - |"


@pytest.mark.parametrize(
    ("name", "rows", "units"),
    [
        ("mask_restoration:table", 19, 8),
        ("mask_restoration:table_camvid", 19, 8),
        ("mask_restoration:table_paper", 19, 8),
        ("inpaint_c2f:table", 8, 2),
        ("line_drawing:table", 7, 7),
        ("line_drawing:table_long", 7, 7),
        ("line_drawing:table_paper", 7, 7),
    ],
)
def test_the_presets_of_tables_fill_every_row(name, rows, units):
    file, preset = name.split(":")
    settings = plain(config_files.load(f"{ROOT}/configs/{file}.py:{preset}")[0])
    table = PaperTable.of(settings["table"])
    assert len(table.rows) == rows and len(table.units) == units
    ours = {row.name for row in table.rows if not row.origin}
    assert ours == set(table.figures)  # all that the paper prints, each once
    assert reproduce.order(settings, table.units) == settings["run"]


def test_what_rows_share_comes_first_and_once():
    settings = {"phases": PHASES}
    assert reproduce.order(settings, ["finer", "sparse"]) == ["synthesis", "x8", "finer", "sparse"]
    circle = {"a": {"init_from": {"x": "phase:b"}}, "b": {"frozen": {"x": "phase:a"}}}
    with pytest.raises(UserError, match="phase a takes networks from itself by b"):
        reproduce.order({"phases": circle}, ["a"])
    with pytest.raises(UserError, match="names the phase 'fine'"):
        reproduce.order(settings, ["fine"])
    owners = reproduce._owners(settings, ["sparse", "finer"], 2)
    assert owners == {"synthesis": 0, "sparse": 0, "x8": 1, "finer": 1}


def test_rows_that_read_another_row_stay_with_it():
    """So that two hosts share what takes long, the two ways to draw."""
    config = config_files.load(f"{ROOT}/configs/line_drawing.py:table")[0]
    settings = plain(config)
    units = PaperTable.of(settings["table"]).units
    owners = reproduce._owners(settings, units, 2)
    second = {"segmentation", "segmenter_segmentation", "depth_segmentation"}
    assert {phase for phase, host in owners.items() if host == 1} == second
    assert set(owners) == set(settings["phases"])
    assert set(reproduce._owners(settings, units, 1).values()) == {0}


@pytest.mark.parametrize("text", ["2/2", "1", "a/b", "-1/2"])
def test_a_share_that_is_none(text):
    with pytest.raises(UserError, match="expected INDEX/COUNT"):
        reproduce.Share.parse(text)


@pytest.mark.parametrize(
    ("index", "count"),
    [("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"), ("SLURM_PROCID", "SLURM_NTASKS")],
)
def test_processes_have_a_share_each(monkeypatch, index, count):
    for names in reproduce._NUMBERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="SLURM_PROCID and SLURM_NTASKS"):
        reproduce.Share.parse("process")
    monkeypatch.setenv(index, "2")
    with pytest.raises(UserError, match=f"{index} and {count}"):
        reproduce.Share.parse("process")
    monkeypatch.setenv(count, "4")
    assert reproduce.Share.parse("process") == reproduce.Share(2, 4)


def test_hosts_share_rows_and_the_first_one_reports(tmp_path, monkeypatch):
    trained = []

    def train(settings, folder):
        for phase in settings["run"]:
            file = folder / phase / "finished.json"
            if not file.exists():
                trained.append(phase)
                write_json(file, {"metrics": {"restored/accuracy": 0.5}})

    monkeypatch.setattr(reproduce, "train_and_evaluate", train)
    monkeypatch.setattr(reproduce.time, "sleep", waited_in_vain)
    rows = [["sparse, CE", "sparse", "restored"], ["x8, CE", "finer", "restored"]]
    config = {"seed": 3, "run": ["sparse"], "phases": PHASES, "table": {**SECTION, "rows": rows}}
    config |= {"data": {"source": "streets"}, "eval": {"examples": 4}}
    with pytest.raises(TimeoutError):  # the generator of both is the other host's
        reproduce.reproduce(config, tmp_path, share=reproduce.Share(1, 2))
    assert trained == []
    write_json(tmp_path / "seed3/synthesis/finished.json", {"metrics": {}})
    reproduce.reproduce(config, tmp_path, share=reproduce.Share(1, 2))
    assert trained == ["x8", "finer"] and not (tmp_path / "report.md").exists()
    report = reproduce.reproduce(config, tmp_path, share=reproduce.Share(0, 2))
    assert trained == ["x8", "finer", "sparse"]
    text = report.read_text()
    assert text.count("| 50.0 |") == 2 and "**other data**: ours are of streets" in text
    told = json.loads(report.with_suffix(".json").read_text())
    assert told["measured"] and {"config", "config_sha256", "devices", "versions"} <= set(told)


def waited_in_vain(seconds):
    raise TimeoutError


def test_a_config_without_a_table_says_where_one_is(tmp_path):
    config, _ = config_files.load(str(ROOT / "configs/crf_coarse.py:smoke"))
    with pytest.raises(UserError, match="the config has no table"):
        reproduce.reproduce(config, tmp_path)


def test_the_crf_table_is_made_once(tmp_path, monkeypatch):
    config, _ = config_files.load(
        str(ROOT / "configs/crf_coarse.py:table"),
        ["--config.eval.examples=1", "--config.data.frame=(24, 48)"],
    )
    text = reproduce.reproduce(config, tmp_path, command="the command").read_text()
    assert "`the command`" in text and "| road | 0.870 | 0.966 |" in text
    grid = text.split("![")[1].split("](")[1].rstrip(")\n")
    assert (tmp_path / grid).is_file()
    before = (tmp_path / "report.json").read_text()

    def again(*_, **__):
        raise AssertionError("evaluated twice")

    monkeypatch.setattr(reproduce, "evaluate_config", again)
    reproduce.reproduce(config, tmp_path)
    assert (tmp_path / "report.json").read_text() == before


def test_the_command_line(tmp_path):
    run = [sys.executable, "launch/reproduce.py", "--workdir", str(tmp_path), "--paper"]
    for arguments, found in (
        (["crf_coarse", "--seeds", "0"], "--seeds is 0"),
        (["crf_coarse", "--preset", "large"], "has no 'table_large'"),
        (["dense"], "no config file configs/dense.py"),
    ):
        done = subprocess.run([*run, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and found in done.stderr and done.stderr.count("\n") == 1


def test_numbers_have_digits_that_mean_something():
    assert [paper_tables._number(v) for v in (None, 0.1234, 12.34)] == ["-", "0.123", "12.3"]
