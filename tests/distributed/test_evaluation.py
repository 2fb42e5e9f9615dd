"""Two processes evaluate and answer for a folder as one does, each its share of the pictures."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from segsynth.data import pictures

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = ("--config", f"{ROOT}/configs/crf_coarse.py", "--config.system.crf.iterations=1")
SMALL = (*CONFIG, "--config.data.frame=(16,32)", "--config.eval.examples=5")


def start(script, *arguments, environment=()):
    return subprocess.Popen(
        [sys.executable, f"{ROOT}/launch/{script}.py", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **dict(environment)},
    )


def together(script, *arguments):
    """Run two processes of a script; return what each logged."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        address = f"localhost:{listener.getsockname()[1]}"
    processes = [
        start(
            script,
            *arguments,
            "--distributed",
            environment={
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(index),
            },
        )
        for index in range(2)
    ]
    try:
        ends = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, stderr) in zip(processes, ends, strict=True):
        assert process.returncode == 0, stderr
    return [stderr for _, stderr in ends]


def test_two_processes_score_as_one(tmp_path):
    alone = start("evaluate", *SMALL, "--output", tmp_path / "alone")
    assert alone.wait(240) == 0, alone.communicate()[1]
    alone.communicate()
    together("evaluate", *SMALL, "--output", tmp_path / "both")
    one, two = (
        json.loads((tmp_path / name / "streets-val/crf_coarse.json").read_text())
        for name in ("alone", "both")
    )
    assert one["n"] == two["n"] == 5
    assert one["metrics"] == two["metrics"]  # counts are exact, whatever the order of merging


@pytest.mark.slow
def test_two_processes_share_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(5):
        for folder in ("images", "coarse"):
            (tmp_path / folder).mkdir(exist_ok=True)
        image = rng.integers(0, 255, (8, 12, 3), dtype=np.uint8)
        labels = np.zeros((8, 12), np.uint8)
        labels[:, :3], labels[:, -3:] = 7, 11
        pictures.write_png(tmp_path / f"images/{i}.png", image)
        pictures.write_png(tmp_path / f"coarse/{i}.png", labels)
    inputs = ("--image", tmp_path / "images", "--labels", tmp_path / "coarse")
    logs = together("predict", *CONFIG, *inputs, "--output", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 5
    assert not any("already" in log for log in logs)


@pytest.mark.slow
def test_two_processes_share_a_folder_for_a_run(tmp_path):
    """Each holds the weights; the answers are those of one process."""
    config = f"{ROOT}/configs/image_synthesis.py:smoke"
    trained = start("train", "--config", config, "--workdir", tmp_path / "run")
    assert trained.wait(400) == 0, trained.communicate()[1]
    trained.communicate()
    (tmp_path / "labels").mkdir()
    for i in range(3):
        labels = np.full((32, 64), 7 + i, np.uint8)
        pictures.write_png(tmp_path / f"labels/{i}.png", labels)
    given = ("--run", tmp_path / "run", "--labels", tmp_path / "labels")
    together("predict", *given, "--output", tmp_path / "two")
    alone = start("predict", *given, "--output", tmp_path / "one")
    assert alone.wait(240) == 0, alone.communicate()[1]
    alone.communicate()
    for i in range(3):
        one, two = (pictures.read_image(tmp_path / name / f"{i}.png") for name in ("one", "two"))
        np.testing.assert_array_equal(one, two)
