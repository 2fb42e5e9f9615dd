"""A killed training of line drawings: all networks, both optimizers, pools, and what is next."""

import numpy as np
import pytest
from test_resume import ROOT, assert_same_state, curve, final_state, finish, start, wait_for

SMALL = {
    "base": (
        *("--config", f"{ROOT}/configs/line_drawing.py:smoke"),
        "--config.phases.drawing.train.steps=12",
        "--config.phases.drawing.train.global_batch=4",
        "--config.phases.drawing.system.pool=6",
        *("--config.every.checkpoint=6", "--config.every.log=2"),
    )
}
PHASES = "--config.run=('depth','drawing')"


@pytest.mark.slow  # three processes that compile what takes a minute
def test_a_killed_run_with_pools_ends_bit_equal(tmp_path):
    """12 steps are 6, a kill, and 6 more in another process, on every leaf of the state and in what
    was logged of each step after it, which the batches decide.
    """
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, stderr = finish(start(whole, PHASES, **SMALL), timeout=600)
    assert code == 0, stderr
    process = start(killed, PHASES, **SMALL)
    wait_for(killed / "drawing/checkpoints/6", process, timeout=600)
    process.kill()
    finish(process)
    assert not (killed / "drawing/finished.json").exists(), "killed too late to prove anything"
    code, stderr = finish(start(killed, PHASES, **SMALL), timeout=600)
    assert code == 0 and "drawing: resumed at step 6" in stderr, stderr
    ours, theirs = (final_state(folder, "drawing") for folder in (killed, whole))
    assert ours.step == 12 and ours.opt_state and ours.model_state["pools"]
    counts = [np.asarray(pool.count) for pool in ours.model_state["pools"].values()]
    assert counts == [6, 6], "full, so that what was stored decides"
    assert_same_state(ours, theirs)
    assert curve(killed, "drawing") == curve(whole, "drawing")
