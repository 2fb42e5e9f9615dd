"""The pool of made pictures against the published loop written in Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.run import Run
from segsynth.errors import UserError
from segsynth.system import TrainState
from segsynth.systems.line_drawing.pool import Pool, draws, push


def numbered(numbers):
    """Pictures of one pixel that show their number."""
    return jnp.asarray(numbers, jnp.float32).reshape(-1, 1, 1, 1)


def reference(pool, size, numbers, shares, places):
    """CycleGAN's ``ImagePool.query`` with given random numbers."""
    shown = []
    for number, share, place in zip(numbers, shares, places, strict=True):
        if len(pool) < size:
            pool.append(number)
            shown.append(number)
        elif share > 0.5:
            shown.append(pool[place])
            pool[place] = number
        else:
            shown.append(number)
    return shown


def test_it_is_the_published_loop():
    size, batch = 5, 4
    state, pool = Pool.empty(size, 1, 1, 1), []
    step, number = jax.jit(push), 0
    for i in range(50):
        numbers = np.arange(number, number + batch) + 1.0
        number += batch
        drawn = jax.device_get(draws(jax.random.key(i), batch, size))
        shown, state = step(state, numbered(numbers), *drawn)
        expected = reference(pool, size, list(numbers), *drawn)
        np.testing.assert_array_equal(np.ravel(shown), expected)
        np.testing.assert_array_equal(np.ravel(state.pictures)[: len(pool)], pool)
        assert int(state.count) == len(pool)


def test_half_of_what_is_shown_is_old():
    size, batch = 50, 100
    state = Pool(numbered(-np.arange(1.0, size + 1)), jnp.int32(size))
    pushed, old, step = set(np.ravel(state.pictures).tolist()), 0, jax.jit(push)
    for i in range(100):
        numbers = 1.0 + i * batch + np.arange(batch)
        drawn = draws(jax.random.key(i), batch, size)
        shown, state = step(state, numbered(numbers), *drawn)
        shown = np.ravel(shown)
        mine = shown == numbers
        old += int((~mine).sum())
        earlier = set(shown[~mine].tolist())
        pushed |= set(numbers.tolist())
        assert earlier <= pushed
    assert abs(old / 10_000 - 0.5) <= 0.02 and int(state.count) == size
    held = np.ravel(state.pictures)
    assert len(set(held.tolist())) == size and set(held.tolist()) <= pushed


def test_two_pictures_may_meet_at_one_place():
    state = Pool(numbered([7.0, 8.0]), jnp.int32(2))
    shown, state = push(state, numbered([1, 2]), jnp.ones(2), jnp.zeros(2, jnp.int32))
    np.testing.assert_array_equal(np.ravel(shown), [7, 1])
    np.testing.assert_array_equal(np.ravel(state.pictures), [2, 8])


def test_a_run_goes_on_with_pools_of_its_size_only(tmp_path):
    params = {"drawer": {"kernel": jnp.ones(2)}}

    def state(size):
        pools = {"pools": {"drawing_judge": Pool.empty(size, 4, 4, 1)}}
        return TrainState.create(params=params, opt_state={}, model_state=pools)

    def config(size):
        phase = {"system": {"name": "line_drawing", "pool": size}, "frozen": {}}
        return {"seed": 0, "run": ["drawing"], "phases": {"drawing": phase}}

    folder = Run.create(tmp_path, config(3)).directory("drawing").checkpoints
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, state(3))
    with pytest.raises(UserError, match=r"system\.pool.*give another --workdir") as error:
        Run.create(tmp_path, config(5))
    assert "\n" not in str(error.value)


def test_no_gradient_passes():
    state = Pool.empty(2, 1, 1, 1)
    slope = jax.grad(lambda x: push(state, x, jnp.zeros(3), jnp.zeros(3, jnp.int32))[0].sum())(
        numbered([1, 2, 3])
    )
    np.testing.assert_array_equal(slope, 0)
