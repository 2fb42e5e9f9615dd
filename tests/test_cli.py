"""The launch scripts: quick help, and mistakes that are one line with exit code 2."""

import importlib.util
import json
import logging
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from test_resume import ONE_PHASE, TINY

import segsynth
from segsynth import cli, config_files, portable, predict
from segsynth.data import pictures
from segsynth.engine.run import Run
from segsynth.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = f"{ROOT}/configs/inpaint_c2f.py"
SCRIPTS = ("train", "evaluate", "predict", "compare", "drawings", "export")


@pytest.fixture
def launch(monkeypatch, capsys):
    """Run a launch script in this process: ``launch(script, *arguments) -> (code, lines)``."""
    root, ours = logging.getLogger(), logging.getLogger("segsynth")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # a program's own; put back

    def run(script, *arguments):
        spec = importlib.util.spec_from_file_location(f"launch_{script}", _path(script))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, arguments)])
        code = cli.run(module.main)
        return code, capsys.readouterr().err.splitlines()

    yield run
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _path(script):
    return ROOT / "launch" / f"{script}.py"


def _refused(outcome, *parts):
    """Assert that a script ended with one line of error that has all ``parts``."""
    code, lines = outcome
    errors = [line for line in lines if line.startswith("error:")]
    assert code == 2 and len(errors) == 1 and lines[-1] == errors[0], lines
    assert not any("Traceback" in line for line in lines)
    for part in parts:
        assert str(part) in errors[0], f"no '{part}' in: {errors[0]}"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_quick_and_says_how(script):
    def seconds():
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, _path(script), "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0 and f"python launch/{script}.py" in done.stdout
        return time.perf_counter() - began

    assert min(seconds() for _ in range(3)) < 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_nothing_heavy(script):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{script}.py', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(_path(script))!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'jax', 'flax', 'grain', 'orbax', 'numpy', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_mistake_in_a_real_process_is_one_line(tmp_path):
    command = [sys.executable, _path("train"), "--config", tmp_path / "none.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"error: no config file {tmp_path}/none.py; the configs of this repository are "
        "configs/*.py\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ("--config", "--help lists the flags")),
        (("--config", "configs/none.py"), ("no config file configs/none.py",)),
        (("--config", f"{CONFIG}:smok"), ("no 'smok'", "did you mean 'smoke'?")),
        (("--config", f"{CONFIG}:smoke", "--config.sed=1"), ("no 'sed'", "'seed'")),
        (
            ("--config", f"{CONFIG}:smoke", "--config.phases.lcg.train.step=1"),
            ("no 'step'", "'steps'"),
        ),
        (("--config", f"{CONFIG}:smoke", "--config.system.dim=1"), ("no 'dim'",)),
        (("--config", f"{CONFIG}:smoke", "--config.seed=x"), ("seed",)),
        (("--config", f"{CONFIG}:smoke", "--workdri", "x"), ("workdri",)),
        (("--config", f"{CONFIG}:smoke", "stray"), ("unexpected argument 'stray'",)),
    ],
)
def test_training_refuses_wrong_arguments(launch, tmp_path, arguments, parts, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _refused(launch("train", *arguments), *parts)
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("--config.system.dtype=float17", ("float17",)),
        ("--config.phases.lcg.system.train=level9", ("level9", "'lcg'")),
        ("--config.data.source=scene", ("'scene'", "scenes", "folder")),
        ("--config.data.source=folder", ("no folder of pictures is set",)),
        ("--config.eval.examples=0", ("eval.examples is 0", "-1 for all")),
        ("--config.mesh.fsdp=16", ("fsdp=16", "8 devices")),
        ("--config.phases.lcg.train.global_batch=12", ("12", "8 devices")),
        ("--config.system.levels.attn_grids=((3,),(),())", ("attn_grids",)),
    ],
)
def test_training_refuses_values_that_do_not_work(launch, tmp_path, override, parts):
    outcome = launch("train", *TINY, ONE_PHASE, "--workdir", tmp_path / "run", override)
    _refused(outcome, *parts)


def test_a_workdir_of_another_config_is_refused(launch, tmp_path):
    other = Run.create(tmp_path, {"name": "other", "run": ("lcg",), "phases": {"lcg": {}}})
    (other.directory("lcg").checkpoints / "1").mkdir(parents=True)
    outcome = launch("train", *TINY, ONE_PHASE, "--workdir", tmp_path)
    _refused(outcome, f"{tmp_path} holds a run of another config", "give another --workdir")


def test_an_unwritable_workdir_is_refused(launch, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = launch("train", *TINY, ONE_PHASE, "--workdir", tmp_path / "file" / "run")
    _refused(outcome, f"cannot write to workdir {tmp_path}/file/run", "--workdir")


def _pictures(folder, count=40, side=16):
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        values = random.integers(0, 256, (side, side, 3)).astype(np.uint8)
        pictures.write_png(folder / f"{i:02}.png", values)
    return folder


def _on_folder(folder, workdir):
    return (
        *("train", *TINY, "--workdir", workdir, "--config.data.source=folder"),
        *(f"--config.data_root={folder}", ONE_PHASE, "--config.eval.batch=8"),
        *("--config.mesh.data=1", "--config.phases.lcg.train.steps=4", "--config.eval.examples=2"),
    )


def test_a_folder_without_pictures_is_refused(launch, tmp_path):
    (tmp_path / "empty").mkdir()
    outcome = launch(*_on_folder(tmp_path / "empty", tmp_path / "run"))
    _refused(outcome, f"{tmp_path}/empty holds no pictures")


def test_a_text_file_named_as_a_picture_is_named(launch, tmp_path):
    folder = _pictures(tmp_path / "photos")
    (folder / "notes.png").write_text("no picture")
    outcome = launch(*_on_folder(folder, tmp_path / "run"))
    _refused(outcome, f"{folder}/notes.png is no picture", "on_error='skip'")


@pytest.fixture
def damaged(tmp_path, test_data):
    """A folder with a text file and truncated pictures, most of all of it."""
    folder = _pictures(tmp_path / "photos", count=12)
    photo = next(test_data.rglob("*.jpg"))
    for i in range(12):
        shutil.copy(photo, folder / f"cut{i}.jpg")
        data = (folder / f"cut{i}.jpg").read_bytes()
        (folder / f"cut{i}.jpg").write_bytes(data[: len(data) // 2])
    return folder


def test_a_truncated_picture_is_named(launch, tmp_path, damaged):
    outcome = launch(*_on_folder(damaged, tmp_path / "run"))
    _refused(outcome, f"{damaged}/cut", "is truncated or damaged")


def test_training_goes_on_past_bad_pictures_when_told_to(launch, tmp_path, damaged):
    (damaged / "notes.png").write_text("no picture")
    workdir = tmp_path / "run"
    code, lines = launch(*_on_folder(damaged, workdir), "--config.data.on_error=skip")
    assert code == 0, lines
    assert any("Left out 1 files" in line and "notes.png" in line for line in lines)
    assert any("stands in for a bad one" in line and "cut" in line for line in lines)
    assert (workdir / "lcg" / "finished.json").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one phase of two steps."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    command = [sys.executable, _path("train"), *TINY, "--workdir", workdir]
    command += [ONE_PHASE, "--config.phases.lcg.train.steps=4"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return workdir


@pytest.mark.parametrize(
    ("script", "more"), [("evaluate", ()), ("predict", ("--output", "out.png"))]
)
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--phase", "lgc"), ("no 'lgc'", "did you mean 'lcg'?")),
        (("--step", "3"), ("no checkpoint of step 3", "holds steps [2, 4]")),
        (("--step", "last"), ("no checkpoint of step last",)),
        (("--phase", "level1"), ("'phase:level1'", "one of lcg")),  # configured, never run
    ],
)
def test_an_unknown_phase_or_step_is_refused(launch, trained, script, more, arguments, parts):
    before = sorted(trained.rglob("*"))
    _refused(launch(script, "--run", trained, *more, *arguments), *parts)
    assert sorted(trained.rglob("*")) == before, "a reader made something"


@pytest.mark.parametrize("script", ["evaluate", "predict"])
def test_what_is_no_run_is_refused(launch, tmp_path, script):
    more = ("--output", tmp_path / "out.png") if script == "predict" else ()
    _refused(launch(script, "--run", tmp_path, *more), f"{tmp_path} is no run directory")


@pytest.fixture
def picture(tmp_path):
    """A picture, and masks of its size and of another."""
    pictures.write_png(tmp_path / "a.png", np.full((8, 8, 3), 100, np.uint8))
    for name, side in (("m", 8), ("small", 6)):
        mask = np.zeros((side, side, 3), np.uint8)
        mask[2:5, 2:5] = 255
        pictures.write_png(tmp_path / f"{name}.png", mask)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--image", "a.png", "--mask", "small.png"), ("6x6", "8x8", "image's size")),
        (("--image", "a.png"), ("mask",)),
        (("--image", "none.png", "--mask", "m.png"), ("none.png does not exist",)),
        (("--image", "a.png", "--mask", "m.png", "--masc", "x"), ("--masc", "--mask")),
        (("--image", "a.png", "--mask", "m.png", "--category", "sky"), ("sky", "background")),
        (("--image", ".", "--mask", "m.png"), ("--image is a folder",)),
        (("--image", "a.png", "--mask", "m.png", "--seed", "x"), ("--seed", "'x'")),
    ],
)
def test_prediction_refuses_wrong_inputs(launch, trained, picture, monkeypatch, arguments, parts):
    monkeypatch.chdir(picture)
    _refused(launch("predict", "--run", trained, "--output", "out.png", *arguments), *parts)
    assert not (picture / "out.png").exists()


def test_a_run_predicts_and_is_evaluated(launch, trained, picture, monkeypatch):
    # The same arguments without the mistakes of the tests above work.
    monkeypatch.chdir(picture)
    more = ("--image", "a.png", "--mask", "m.png", "--category", "background", "--seed", "1")
    code, lines = launch("predict", "--run", trained, "--output", "out.png", *more)
    assert code == 0, lines
    answer = pictures.read_image(picture / "out.png")
    hole = pictures.read_mask(picture / "m.png", "white-hole")[..., 0] > 0
    assert answer.shape == (8, 8, 3) and (answer[~hole] == 100).all()
    code, lines = launch("evaluate", "--run", trained, "--output", picture / "eval", "--step", "2")
    assert code == 0, lines
    assert {p.name for p in (picture / "eval").iterdir()} == {"lcg.json", "lcg.png"}
    for folder in (picture, pathlib.Path(trained)):  # that of the training, too
        told = json.loads((folder / "eval" / "lcg.json").read_text())
        assert {"seed", "config_sha256", "devices", "versions", "n", "metrics"} <= set(told)


def test_a_class_by_number_is_range_checked(trained, picture):
    synthesizer = segsynth.load(trained)
    with pytest.raises(UserError, match="category is 7; expected one of 0 background"):
        synthesizer(image=picture / "a.png", mask=picture / "m.png", category=7)


def test_what_needs_no_training_is_exported(launch, tmp_path):
    """A config's system, as one of a run; a small network of random weights here."""
    config, file = f"{ROOT}/configs/published_drawing.py:smoke", tmp_path / "drawing.stablehlo"
    sizes = ("--size", "32x20", "--config.system.labels=False", "--output", file)
    assert launch("export", "--config", config, *sizes)[0] == 0
    image = np.random.default_rng(0).integers(0, 256, (1, 20, 32, 3)).astype(np.uint8)
    drawing = portable.load(file)(image=image)["drawing"]
    settings, _ = config_files.load(config, ["--config.system.labels=False"])
    expected = predict.from_config(settings)(image=image[0])["drawing"]
    np.testing.assert_array_equal(drawing[0], expected)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ("give --run", "or --config of what needs none")),
        (("--run", "a", "--config", "b"), ("give --run", "or --config")),
        (("--run", "a", "--sise", "b"), ("unexpected argument '--sise'",)),
        (("--config", CONFIG), ("has to be trained first",)),
    ],
)
def test_an_export_of_nothing_is_refused(launch, tmp_path, arguments, parts):
    output = tmp_path / "x"
    _refused(launch("export", *arguments, "--size", "32x20", "--output", output), *parts)
    assert not output.exists()
