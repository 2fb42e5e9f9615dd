"""Two processes score two folders as one does with eight devices, each its share."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from test_folders import arrays, small, write  # noqa: F401
from test_two_processes import _free_port

from segsynth.folders import score_folders

ROOT = pathlib.Path(__file__).parents[2]

#: evaluate.py with the small network of features of the tests.
PROGRAM = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
sys.argv[0] = "{ROOT}/launch/evaluate.py"
from test_folders import small_features
from segsynth.pretrained.catalog import CATALOG
CATALOG["inception_fid"] = small_features()
runpy.run_path(sys.argv[0], run_name="__main__")
"""
METRICS = ("frechet", "kid", "psnr", "ssim", "pids")


def start(*arguments, environment=()):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SEGSYNTH_WEIGHTS": "", **dict(environment)},
    )


def together(*arguments):
    """Run two processes; return what each logged."""
    shared = {"JAX_COORDINATOR_ADDRESS": f"localhost:{_free_port()}", "JAX_NUM_PROCESSES": "2"}
    processes = [
        start(*arguments, "--distributed", environment={**shared, "JAX_PROCESS_ID": str(index)})
        for index in range(2)
    ]
    try:
        logs = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, log in zip(processes, logs, strict=True):
        assert process.returncode == 0, log
    return logs


def test_two_processes_score_folders_as_one(tmp_path):
    # Of two sizes, and no multiple of the devices.
    sets = {"real": (arrays(11, 1), arrays(2, 2, 64)), "fake": (arrays(11, 51), arrays(2, 52, 64))}
    pair = [write(tmp_path / name, [*near, *far]) for name, (near, far) in sets.items()]
    logs = together("--folders", *pair, "--metrics", ",".join(METRICS), "--output", tmp_path)
    two = json.loads((tmp_path / "folders.json").read_text())
    one = score_folders(*pair, metrics=METRICS, output=tmp_path / "alone")
    assert two["metrics"] == pytest.approx(one["metrics"], rel=1e-5)
    assert two["n"] == one["n"] and one["n"]["psnr"] == "13 pairs"
    assert two["networks"] == one["networks"]
    # One of them tells and writes.
    assert sorted("wrote" in log for log in logs) == [False, True]
