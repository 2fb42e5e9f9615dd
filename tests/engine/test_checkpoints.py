"""Checkpoints: which are kept, who may read what, and what happens to damaged ones."""

import logging
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from segsynth.engine import sharding
from segsynth.engine.checkpoints import Checkpoints
from segsynth.errors import UserError
from segsynth.system import TrainState

LOG = "segsynth.engine.checkpoints"


def _state(step, value=None):
    """A state whose leaves tell what they are: params = step, ema = step + 100, ..."""
    value = float(step if value is None else value)
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params={"net": {"w": jnp.full((8, 8), value)}, "plain": {"w": jnp.full((8,), value + 200)}},
        model_state={"net": {"stats": {"n": jnp.full((8,), value + 300)}}, "plain": {}},
        ema={"net": {"w": jnp.full((8, 8), value + 100)}},
        opt_state={"adam": {"mu": jnp.full((8, 8), value + 400)}},
    )


def _abstract(plan=None):
    return (plan or sharding.plan(data=1)).abstract(jax.eval_shape(lambda: _state(0)))


def _saved(directory, steps, metrics=None, **options):
    with Checkpoints(directory, **options) as checkpoints:
        for step in steps:
            checkpoints.save(step, _state(step), {"psnr": metrics[step]} if metrics else None)


def _steps(directory):
    with Checkpoints(directory, read_only=True) as checkpoints:
        return checkpoints.steps


def _damage(directory, step):
    """Truncate every data file of a checkpoint, as a full disk or a lost block would."""
    files = [p for p in (directory / str(step)).rglob("d/*") if p.is_file()]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _everything(folder):
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_the_newest_are_kept(tmp_path):
    _saved(tmp_path / "c", range(1, 6), keep=2)
    assert _steps(tmp_path / "c") == (4, 5)


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 1)])
def test_the_best_is_kept_also_after_reopening(tmp_path, mode, best):
    scores = {1: 0.1, 2: 0.9, 3: 0.5, 4: 0.4, 5: 0.3, 6: 0.35, 7: 0.32}
    options = {"keep": 2, "best": "psnr", "best_mode": mode}
    _saved(tmp_path / "c", range(1, 6), scores, **options)
    assert _steps(tmp_path / "c") == (best, 4, 5)
    _saved(tmp_path / "c", (6, 7), scores, **options)
    assert _steps(tmp_path / "c") == (best, 6, 7)
    net = {"params": _abstract().params["net"]}
    with Checkpoints(tmp_path / "c", best="psnr", best_mode=mode, read_only=True) as checkpoints:
        assert checkpoints.network("net", net, "best")[1] == best


def test_saves_without_metrics_do_not_push_the_best_out(tmp_path):
    options = {"keep": 1, "best": "psnr"}
    _saved(tmp_path / "c", (1, 2), {1: 0.9, 2: 0.2}, **options)
    _saved(tmp_path / "c", (3, 4), **options)
    assert _steps(tmp_path / "c") == (1, 4)


def test_a_best_that_is_no_metric_is_refused_once_the_state_is_safe(tmp_path):
    with (
        Checkpoints(tmp_path / "c", best="psrn") as checkpoints,
        pytest.raises(UserError, match=r"eval.best.* has no 'psrn'; did you mean 'psnr'\?"),
    ):
        checkpoints.save(1, _state(1), {"psnr": 0.5})
    assert _steps(tmp_path / "c") == (1,)


def test_what_was_saved_asynchronously_is_read_back_whole(tmp_path):
    state = _state(3)
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(3, state)
        donated = jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0)(state)
        del donated, state
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        restored = checkpoints.restore(_abstract())
    assert jax.tree.structure(restored) == jax.tree.structure(_state(3))
    jax.tree.map(np.testing.assert_array_equal, restored, _state(3))


def test_a_step_is_saved_once(tmp_path):
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(3, _state(3))
        checkpoints.save(3, _state(3, value=7))
        assert checkpoints.steps == (3,)
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        assert checkpoints.restore(_abstract()).params["net"]["w"][0, 0] == 3


def test_an_empty_directory_restores_nothing(tmp_path):
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.restore(_abstract()) is None and checkpoints.steps == ()


def test_a_network_is_its_average_where_it_has_one(tmp_path):
    _saved(tmp_path / "c", (1, 2))
    abstract = _abstract()
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        net, step = checkpoints.network(
            "net", {"params": abstract.params["net"], **abstract.model_state["net"]}
        )
        assert step == 2 and set(net) == {"params", "stats"}
        assert (net["params"]["w"] == 102).all() and (net["stats"]["n"] == 302).all()
        plain, step = checkpoints.network("plain", {"params": abstract.params["plain"]}, 1)
        assert step == 1 and set(plain) == {"params"} and (plain["params"]["w"] == 201).all()


def test_a_network_is_read_without_the_rest(tmp_path):
    _saved(tmp_path / "c", (1,))
    for item in ("params.net", "params.plain", "opt_state.adam", "model_state.net"):
        shutil.rmtree(tmp_path / "c" / "1" / item)
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        net, _ = checkpoints.network("net", {"params": _abstract().params["net"]})
    assert (net["params"]["w"] == 101).all()


def test_a_network_that_nobody_trained_is_refused(tmp_path):
    """And nothing is said of deleting what is whole."""
    _saved(tmp_path / "c", (1,))
    with (
        Checkpoints(tmp_path / "c", read_only=True) as checkpoints,
        pytest.raises(UserError, match=r"hold no network 'other'; they hold net, plain$"),
    ):
        checkpoints.network("other", {"params": _abstract().params["net"]})


def test_a_network_that_is_gone_from_the_newest_step_is_taken_from_the_one_before(tmp_path):
    _saved(tmp_path / "c", (1, 2))
    for item in ("params.net", "ema.net"):
        shutil.rmtree(tmp_path / "c" / "2" / item)
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        net, step = checkpoints.network("net", {"params": _abstract().params["net"]})
    assert step == 1 and (net["params"]["w"] == 101).all()


@pytest.mark.parametrize("step", [7, "7", "banana"])
def test_a_step_that_was_not_saved_is_refused(tmp_path, step):
    _saved(tmp_path / "c", (1, 2))
    with (
        Checkpoints(tmp_path / "c", read_only=True) as checkpoints,
        pytest.raises(UserError, match=rf"no checkpoint of step {step} .* holds steps \[1, 2\]"),
    ):
        checkpoints.network("net", {"params": _abstract().params["net"]}, step)


def test_no_checkpoint_at_all_is_refused(tmp_path):
    (tmp_path / "c").mkdir()
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        for step in ("newest", "best"):
            with pytest.raises(UserError, match="no checkpoint"):
                checkpoints.network("net", {"params": _abstract().params["net"]}, step)


@pytest.mark.parametrize(("save_on", "restore_on"), [(8, 1), (1, 8)])
def test_other_devices_restore_the_same(tmp_path, monkeypatch, save_on, restore_on):
    monkeypatch.setattr(sharding, "MIN_SHARDED_ELEMENTS", 1)
    plans = {1: sharding.plan(data=1), 8: sharding.plan(data=1, fsdp=8)}
    state = jax.device_put(_state(5), plans[save_on].tree(jax.eval_shape(lambda: _state(5))))
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(5, state)
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        restored = checkpoints.restore(_abstract(plans[restore_on]))
    jax.tree.map(np.testing.assert_array_equal, restored, _state(5))
    weight = restored.params["net"]["w"]
    assert len(weight.sharding.device_set) == restore_on
    if restore_on == 8:
        assert weight.sharding == NamedSharding(plans[8].mesh, P(None, "fsdp"))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    _saved(folder, (1, 2, 3))
    _damage(folder, 3)
    with caplog.at_level(logging.WARNING, LOG), Checkpoints(folder) as checkpoints:
        assert checkpoints.restore(_abstract()).step == 2
        assert checkpoints.steps == (1, 2)
        checkpoints.save(3, _state(3, value=30))
    assert f"checkpoint {folder}/3 is unreadable" in caplog.text
    assert f"moved checkpoint 3 to {tmp_path}/unreadable/3" in caplog.text
    assert (tmp_path / "unreadable" / "3").is_dir()
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.restore(_abstract()).params["net"]["w"][0, 0] == 30


def test_a_second_damaged_checkpoint_of_a_step_gets_another_place(tmp_path):
    folder = tmp_path / "checkpoints"
    for _ in range(2):
        _saved(folder, (1, 3))
        _damage(folder, 3)
        with Checkpoints(folder) as checkpoints:
            assert checkpoints.restore(_abstract()).step == 1
    assert sorted(p.name for p in (tmp_path / "unreadable").iterdir()) == ["3", "3-1"]


def test_only_damaged_checkpoints_are_an_error_and_stay(tmp_path):
    folder = tmp_path / "checkpoints"
    _saved(folder, (1, 2))
    for step in (1, 2):
        _damage(folder, step)
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(UserError, match=r"no readable checkpoint .* step 2 fails") as error,
    ):
        checkpoints.restore(_abstract())
    assert "\n" not in str(error.value)
    assert _steps(folder) == (1, 2) and not (tmp_path / "unreadable").exists()


def test_a_reader_never_writes(tmp_path):
    folder = tmp_path / "checkpoints"
    _saved(folder, (1, 2, 3, 4), keep=4)
    _damage(folder, 4)
    before = _everything(tmp_path)
    with Checkpoints(folder, keep=1, read_only=True) as checkpoints:
        assert checkpoints.restore(_abstract()).step == 3
        net = {"params": _abstract().params["net"]}
        assert checkpoints.network("net", net)[1] == 3
    assert _everything(tmp_path) == before
