"""Two processes with two devices each train as one process with four."""

import os
import socket

import jax
import numpy as np
import pytest
from test_resume import ONE_PHASE, curve, final_state, finish, start, train

STEPS = "--config.phases.lcg.train.steps=4"


def _free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run by one process and by two, and what each process logged."""
    alone, shared = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("shared")
    logs = [train(alone, ONE_PHASE, STEPS, devices=4)]
    address = f"localhost:{_free_port()}"
    processes = [
        start(
            shared,
            ONE_PHASE,
            STEPS,
            "--distributed",
            devices=2,
            environment={
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(index),
            },
        )
        for index in range(2)
    ]
    try:
        ends = [finish(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    for code, stderr in ends:
        assert code == 0, stderr
    return alone, shared, logs + [stderr for _, stderr in ends]


def test_both_see_the_same_mesh(runs):
    for log in runs[2]:
        assert "4 devices as {'data': 4, 'fsdp': 1}" in log


def test_loss_curves_are_equal(runs):
    alone, shared = (curve(run, "lcg") for run in runs[:2])
    assert [line["step"] for line in shared] == [line["step"] for line in alone] == [2, 4, 4]
    for ours, theirs in zip(shared[:2], alone[:2], strict=True):
        assert ours.keys() == theirs.keys() and "train/loss" in ours
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-5)


def test_evaluations_are_equal(runs):
    # uint8 answers: a grey value that is rounded the other way moves a metric by more than 1e-5.
    alone, shared = (curve(run, "lcg")[-1] for run in runs[:2])
    for name in alone:
        np.testing.assert_allclose(shared[name], alone[name], rtol=1e-3, err_msg=name)


def test_final_parameters_are_equal(runs):
    alone, shared = (final_state(run, "lcg") for run in runs[:2])
    assert shared.step == 4
    for kind in ("params", "ema"):
        pairs = zip(
            jax.tree.leaves(getattr(shared, kind)),
            jax.tree.leaves(getattr(alone, kind)),
            strict=True,
        )
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_distributed_without_a_cluster_is_one_line(tmp_path):
    hidden = {name: "" for name in os.environ if name.startswith(("JAX_COORD", "SLURM", "OMPI"))}
    code, stderr = finish(start(tmp_path, ONE_PHASE, "--distributed", environment=hidden))
    assert code == 2 and len(stderr.splitlines()) == 1
    assert stderr.startswith("error: --distributed finds no cluster")
