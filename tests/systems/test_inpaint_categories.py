"""Category tables: which one an example reads and trains, and that later phases cannot move it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import systems
from segsynth.data.masks import FOREGROUND_TYPES, MASK_TYPES
from segsynth.systems.inpaint_c2f.categories import (
    BACKGROUND,
    FOREGROUND,
    category_of,
    negative_rows,
)
from segsynth.systems.inpaint_c2f.training import count_seen

TOKENS, DIM, SIDE, BATCH = 4, 8, 8, 8
OBJECT, SCENE, BRUSH, REPLACED = range(4)
LEVELS = dict(
    res=(SIDE,),
    patch=(2,),
    widths=((16,),),
    blocks=((0,),),
    attn_grids=((),),
    steps=(2,),
    cfg=(2.0,),
    gain=(1.0,),
    shift=(-2.77,),
    remat=(False,),
    up=(0.05,),
    t_start=(1.0,),
)
NAMES = ("background", "foreground", "null")


def build(train, **options):
    return systems.build(
        dict(
            name="inpaint_c2f",
            train=train,
            levels=LEVELS,
            lcg=dict(tokens=TOKENS, dim=DIM),
            optimizer=dict(lr=1e-2, warmup=1, weight_decay=0.1),
            **options,
        )
    )


def batch_of(types, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros((len(types), SIDE, SIDE, 1), np.uint8)
    mask[:, 2:6, 1:5] = 1
    return {
        "image": rng.integers(0, 256, (len(types), SIDE, SIDE, 3), dtype=np.uint8),
        "mask": mask,
        "mask_type": np.asarray(types, np.int32),
    }


@pytest.fixture(scope="module")
def tables_phase():
    """The system that trains the tables, its state at step 0, and one compiled step."""
    system = build("lcg")
    state = jax.jit(system.init)(jax.random.key(0, impl="rbg"))
    return system, state, jax.jit(system.train_step)


def tables_of(state):
    return {name: np.asarray(state.params["lcg"][name]) for name in NAMES}


def moved(before, after):
    return {name for name in NAMES if (before[name] != after[name]).any()}


def test_class_of_each_mask_type():
    got = category_of(jnp.arange(len(MASK_TYPES)))
    expected = [FOREGROUND if name in FOREGROUND_TYPES else BACKGROUND for name in MASK_TYPES]
    assert got.tolist() == expected == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("types", "kept", "touched"),
    [
        ([SCENE, BRUSH, REPLACED] * 2 + [BRUSH] * 2, "foreground", "background"),
        ([OBJECT] * BATCH, "background", "foreground"),
    ],
)
def test_a_batch_trains_the_table_of_its_class_alone(tables_phase, types, kept, touched):
    """From step 2 on: the head starts at zero, and then nothing below it has a gradient.

    AdamW's first moment is the gradient's trace: exactly zero where there never was one.
    """
    _, state, step = tables_phase
    before = tables_of(state)
    for i in range(6):
        state, _ = step(state, {}, batch_of(types, i), jax.random.key(i))
    changed = moved(before, tables_of(state))
    assert touched in changed and kept not in changed
    moments = [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.opt_state)
        if any(getattr(key, "key", "") == kept for key in path)
    ]
    assert moments and all(not np.asarray(leaf).any() for leaf in moments)


def test_seen_counts_the_examples_that_trained_each_table(tables_phase):
    system, state, step = tables_phase
    types = [OBJECT, OBJECT, SCENE, BRUSH, REPLACED, BRUSH, SCENE, OBJECT]
    expected = np.zeros(2, int)
    for i in range(4):
        batch, key = batch_of(types, i), jax.random.key(i)
        state, _ = step(state, {}, batch, key)
        draw_key, _ = jax.random.split(key)
        image = jnp.zeros((BATCH, SIDE, SIDE, 3))
        null = system.objective.draw(jnp.asarray(types), image, draw_key)["null"] > 0.5
        for kind, dropped in zip(types, null.tolist(), strict=True):
            expected[int(kind == OBJECT)] += not dropped
    assert state.model_state["lcg"]["seen"].tolist() == expected.tolist()
    assert 0 < expected.sum() <= 4 * BATCH


def test_count_seen_leaves_out_the_null_rows():
    draws = {
        "category": jnp.asarray([0, 1, 1, 1, 0]),
        "null": jnp.asarray([0.0, 0.0, 1.0, 0.0, 1.0]),
    }
    assert count_seen(draws).tolist() == [1, 2]


def test_share_of_null_rows(tables_phase):
    system, *_ = tables_phase
    types, image = jnp.zeros(5000, jnp.int32), jnp.zeros((5000, 1, 1, 3))
    null = np.asarray(system.objective.draw(types, image, jax.random.key(0))["null"])
    print(f"null rows: {null.mean():.4f}")
    assert set(np.unique(null)) == {0.0, 1.0}
    assert null.mean() == pytest.approx(0.1, abs=0.02)


def test_later_phases_cannot_move_the_tables(tables_phase):
    """A hundred steps of a level phase, weight decay on."""
    _, state, step = tables_phase
    kinds = [OBJECT, SCENE] * 4
    before = tables_of(state)
    for i in range(6):
        state, _ = step(state, {}, batch_of(kinds, i), jax.random.key(i))
    # The control: the phase that trains them does move all that it read.
    assert moved(before, tables_of(state)) >= {"background", "foreground"}

    frozen = {"lcg": {"params": state.params["lcg"], **state.model_state["lcg"]}}
    kept = jax.tree.map(lambda x: np.asarray(x).tobytes(), frozen)
    later = build("level1")
    assert set(later.frozen) == {"lcg"} and later.trained == ("level1",)
    level = jax.jit(later.init)(jax.random.key(1, impl="rbg"))
    for part in (level.params, level.ema, level.model_state):
        assert "lcg" not in part
    # Nor is there a moment of a table in the optimiser.
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(level)]
    assert not any("lcg" in path or "background" in path for path in paths)

    run = jax.jit(later.train_step, donate_argnums=0)
    kernel = np.asarray(level.params["level1"]["projection"]["kernel"])
    for i in range(100):
        level, scalars = run(level, frozen, batch_of(kinds, i), jax.random.key(i))
    assert int(level.step) == 100 and np.isfinite(scalars["loss"])
    assert jax.tree.map(lambda x: np.asarray(x).tobytes(), frozen) == kept
    # The level's own projection of the rows did train.
    assert (np.asarray(level.params["level1"]["projection"]["kernel"]) != kernel).any()


@pytest.mark.parametrize(
    ("kind", "seen", "expected"),
    [
        ("opposite", (5, 5), ("foreground", "background")),
        ("opposite", (5, 0), ("null", "null")),
        ("opposite", (0, 5), ("null", "null")),
        ("null", (5, 5), ("null", "null")),
    ],
)
def test_negative_branch(tables_phase, kind, seen, expected):
    """For the classes (background, foreground); an untrained opposite would be noise."""
    system, state, _ = tables_phase
    category, params = jnp.asarray([BACKGROUND, FOREGROUND]), state.params["lcg"]
    rows = negative_rows(system.cascade.tables, params, category, jnp.asarray(seen), kind)
    np.testing.assert_array_equal(rows, [params[name] for name in expected])


def test_rows_of_a_class(tables_phase):
    system, state, _ = tables_phase
    nets = {"lcg": {"params": state.params["lcg"]}}
    category, null = jnp.asarray([0, 1, 0, 1]), jnp.asarray([0.0, 0.0, 1.0, 1.0])
    rows = system.cascade.rows(nets, category, null)
    expected = ("background", "foreground", "null", "null")
    np.testing.assert_array_equal(rows, [state.params["lcg"][name] for name in expected])


def test_a_class_that_training_never_showed_is_remarked_on():
    system = build("level1")
    variables = {"params": {}, "model_state": {}}
    frozen = {"lcg": {"seen": jnp.asarray([5, 0])}}
    asked = {"category": np.asarray([FOREGROUND])}
    (remark,) = system.remarks(variables, frozen, asked)
    assert remark.startswith("the category asked for is foreground, and training saw no hole of it")
    assert system.remarks(variables, frozen, {"category": np.asarray([BACKGROUND])}) == ()
    # In the phase that trains the tables, the counts are part of its own state.
    variables["model_state"] = {"lcg": {"seen": jnp.asarray([0, 9])}}
    assert len(build("lcg").remarks(variables, {}, {"category": np.asarray(0)})) == 1
