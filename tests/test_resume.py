"""Runs that are interrupted: killed, asked to stop, moved to other devices, out of disk space.

All of them train the same tiny programs, so that the compile cache serves every run after the
first.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from segsynth import systems
from segsynth.engine import sharding
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.run import Run
from segsynth.engine.writers import read_jsonl

ROOT = pathlib.Path(__file__).parents[1]
#: One 8-pixel network in every phase.
TINY = (
    "--config",
    f"{ROOT}/configs/inpaint_c2f.py:smoke",
    "--config.system.levels.widths=((8,),(8,),(8,))",
    "--config.system.levels.blocks=((1,),(1,),(1,))",
    "--config.system.levels.attn_grids=((),(),())",
    "--config.system.levels.steps=(2,2,2)",
    "--config.system.lcg.tokens=2",
    "--config.system.lcg.dim=8",
    "--config.phases.lcg.train.steps=12",
    "--config.phases.level1.train.steps=12",
    "--config.every.log=2",
    "--config.every.checkpoint=2",
)
#: The smallest run that hands weights from phase to phase, and one of a single phase. A tuple that
#: is given twice is joined, so neither can stand in TINY.
TWO_PHASES, ONE_PHASE = "--config.run=('lcg','level1')", "--config.run=('lcg',)"
#: Scalars that tell how fast a step was, not what it computed.
TIMES = ("train/examples_per_second", "train/data_wait")


def start(workdir, phases, *more, base=TINY, devices=1, environment=()):
    """Start a training; ``communicate`` gives its (stdout, stderr)."""
    return subprocess.Popen(
        [sys.executable, ROOT / "launch/train.py", *base, phases, "--workdir", workdir, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), **dict(environment)},
    )


def finish(process, timeout=240):
    """Wait for a process; return (exit code, stderr)."""
    try:
        _, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"still running after {timeout} s: {process.communicate()[1]}")
    return process.returncode, stderr


def train(workdir, phases, *more, **options):
    """Train to the end; return what was logged."""
    code, stderr = finish(start(workdir, phases, *more, **options))
    assert code == 0, stderr
    return stderr


def wait_for(path, process, timeout=240):
    """Wait until ``path`` is there, as long as ``process`` lives."""
    until = time.monotonic() + timeout
    while not path.exists():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(f"{path} never came: {process.communicate()[1]}")
        time.sleep(0.005)


def final_state(workdir, phase):
    """Return the newest state of a phase, on one device."""
    run = Run.open(workdir)
    system = systems.build(run.settings(phase)["system"])
    abstract = sharding.plan(data=1).abstract(jax.eval_shape(system.init, jax.random.key(0)))
    with Checkpoints(run.directory(phase).checkpoints, read_only=True) as checkpoints:
        return checkpoints.restore(abstract)


def curve(workdir, phase):
    """Return the lines of metrics.jsonl without what a clock measured."""
    lines = read_jsonl(pathlib.Path(workdir, phase, "metrics.jsonl"))
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def assert_same_state(a, b):
    """Bit for bit, all of it: step, parameters, averages, model state, optimizer."""
    a, b = jax.device_get((a, b))
    jax.tree.map(np.testing.assert_array_equal, a, b)


def stamps(folder):
    """Return when each file below a folder was last written."""
    return {str(p): p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    train(workdir, TWO_PHASES)
    return workdir


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, uninterrupted):
    """A run that got SIGTERM in its first phase and SIGKILL in its second, and what was seen."""
    del uninterrupted  # it has filled the compile cache: here no step waits for the compiler
    workdir = tmp_path_factory.mktemp("interrupted")
    seen = {"workdir": workdir}

    process = start(workdir, TWO_PHASES)
    wait_for(workdir / "lcg/checkpoints/2", process)
    process.send_signal(signal.SIGTERM)
    seen["sigterm"] = finish(process)
    seen["steps after sigterm"] = sorted(
        int(p.name) for p in (workdir / "lcg/checkpoints").iterdir()
    )
    seen["finished after sigterm"] = (workdir / "lcg/finished.json").exists()

    process = start(workdir, TWO_PHASES)
    wait_for(workdir / "level1/checkpoints/2", process)
    process.kill()
    seen["kill"] = finish(process)
    seen["finished after kill"] = (workdir / "level1/finished.json").exists()
    seen["lcg before"] = stamps(workdir / "lcg")

    seen["last"] = finish(start(workdir, TWO_PHASES))
    return seen


def test_sigterm_saves_the_step_and_exits_0(interrupted):
    code, stderr = interrupted["sigterm"]
    assert code == 0, stderr
    last = stderr.splitlines()[-1]
    assert last.startswith("lcg saved at step ") and "same command continues it" in last
    step = int(last.split("step ")[1].split(";")[0])
    assert 2 <= step < 12 and interrupted["steps after sigterm"][-1] == step
    assert not interrupted["finished after sigterm"]


def test_the_same_command_continues_after_sigterm(interrupted):
    code, stderr = interrupted["kill"]
    assert code == -signal.SIGKILL
    step = interrupted["steps after sigterm"][-1]
    assert f"lcg: resumed at step {step}" in stderr


def test_a_finished_phase_is_not_repeated(interrupted):
    code, stderr = interrupted["last"]
    assert code == 0, stderr
    assert "lcg: finished before, at step 12" in stderr
    assert stamps(interrupted["workdir"] / "lcg") == interrupted["lcg before"]


def test_a_killed_run_ends_bit_equal_to_an_uninterrupted_one(interrupted, uninterrupted):
    assert not interrupted["finished after kill"], "killed too late to prove anything"
    assert "level1: resumed at step" in interrupted["last"][1]
    workdir = interrupted["workdir"]
    for phase in ("lcg", "level1"):
        ours, theirs = final_state(workdir, phase), final_state(uninterrupted, phase)
        assert ours.step == 12
        assert_same_state(ours, theirs)
    assert curve(workdir, "level1") == curve(uninterrupted, "level1")
    assert curve(workdir, "lcg")[-1] == curve(uninterrupted, "lcg")[-1]


def test_the_comparison_sees_another_seed(tmp_path, uninterrupted):
    # Negative control, cheap because the seed is no part of any large program.
    train(tmp_path, ONE_PHASE, "--config.seed=1")
    assert curve(tmp_path, "lcg") != curve(uninterrupted, "lcg")
    with pytest.raises(AssertionError):
        assert_same_state(final_state(tmp_path, "lcg"), final_state(uninterrupted, "lcg"))


@pytest.mark.slow  # compiles for 8 devices; engine/test_checkpoints.py restores across them too
def test_a_run_of_8_devices_continues_on_1(tmp_path, uninterrupted):
    process = start(tmp_path, ONE_PHASE, devices=8)
    wait_for(tmp_path / "lcg/checkpoints/2", process)
    process.send_signal(signal.SIGTERM)
    code, stderr = finish(process)
    assert code == 0 and "8 devices as {'data': 8, 'fsdp': 1}" in stderr, stderr
    stderr = train(tmp_path, ONE_PHASE)
    assert "1 devices" in stderr and "lcg: resumed at step" in stderr
    for ours, theirs in zip(
        jax.tree.leaves(final_state(tmp_path, "lcg").params),
        jax.tree.leaves(final_state(uninterrupted, "lcg").params),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], capture_output=True
        ).returncode
    ):
        pytest.skip("this machine does not let us mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_one_line_and_keeps_what_was_saved(small_disk, uninterrupted):
    workdir = small_disk / "run"
    process = start(workdir, ONE_PHASE)
    wait_for(workdir / "lcg/checkpoints/2", process)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    code, stderr = finish(process)
    assert code == 2, stderr
    assert "Traceback" not in stderr
    errors = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and str(small_disk) in errors[0] and "space" in errors[0].lower()
    filler.unlink()
    train(workdir, ONE_PHASE)
    assert_same_state(final_state(workdir, "lcg"), final_state(uninterrupted, "lcg"))
    assert json.loads((workdir / "lcg/finished.json").read_text())["step"] == 12
