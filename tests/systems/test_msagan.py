"""MSaGAN: what a step computes and counts, what an edit leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segsynth import systems
from segsynth.engine import sharding
from segsynth.errors import UserError
from segsynth.losses.masks import guided
from segsynth.networks.editing import blend
from segsynth.networks.planes import to_unit
from segsynth.systems.msagan.training import adams, faces_of, parts_of

SIDE, COUNT, CRITICS = 16, 2, 3
TINY = {
    "name": "msagan",
    "resolution": SIDE,
    "editor": {"width": 4, "downs": 1, "blocks": 1, "stem": 3, "attr_inject": "both"},
    "critic": {"width": 4, "conv_impl": "matmul"},
    "optimizer": {"lr": 1e-3},
    "n_critic": CRITICS,
    "judges": {"judge": {"width": 2}},
}


def build(**more):
    nested = {
        key: {**TINY.get(key, {}), **value}
        for key, value in more.items()
        if isinstance(value, dict)
    }
    return systems.build({**TINY, **more, **nested})


def batch(count=COUNT * (CRITICS + 1), seed=0):
    random = np.random.default_rng(seed)
    guide = np.zeros((count, SIDE, SIDE, 1), np.uint8)
    guide[:, 8:12, 4:12] = 255
    return {
        "image": random.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8),
        "attributes": random.integers(0, 2, (count, 1)).astype(np.int32),
        "guide": guide,
        "value": np.ones(count, np.int32),
        "strength": np.ones(count, np.float32),
    }


def start(system):
    return jax.device_get(jax.jit(system.init)(jax.random.key(0)))


@pytest.fixture(scope="module")
def started():
    system = build()
    return system, start(system)


@pytest.fixture(scope="module")
def step(started):
    return jax.jit(started[0].train_step)


@pytest.fixture(scope="module")
def stepped(started, step):
    """The state after one and after two steps, and the scalars of the first."""
    _, state = started
    one, scalars = step(state, {}, batch(), jax.random.key(0))
    two, _ = step(one, {}, batch(seed=1), jax.random.key(1))
    return one, two, scalars


def test_adam_counts_the_updates_of_each_player(stepped):
    for steps, state in enumerate(stepped[:2], start=1):
        assert int(state.step) == steps
        assert int(state.opt_state["critic"][0].count) == CRITICS * steps
        assert int(state.opt_state["editor"][0].count) == steps


def test_150_updates_move_what_they_minimise(started, step):
    """On faces whose mouths are bright or dark."""
    _, state = started
    random, rows = np.random.default_rng(7), []
    for i in range(150):
        given = batch(seed=i)
        given["image"] = random.integers(90, 160, given["image"].shape).astype(np.uint8)
        bright = given["attributes"][:, :, None, None]
        given["image"][:, 8:12, 4:12] = np.where(bright, 230, 20)
        state, scalars = step(state, {}, given, jax.random.key(i))
        rows.append(scalars)
    values = {name: np.array([row[name] for row in jax.device_get(rows)]) for name in rows[0]}
    assert all(np.isfinite(value).all() for value in values.values())
    start, end = (
        {n: x[part].mean() for n, x in values.items()} for part in (slice(10), slice(-10, None))
    )
    assert end["mask"] < start["mask"] / 2 and end["coverage_same"] > start["coverage_same"] + 0.1
    assert end["same"] < 0.7 * start["same"] and end["cycle"] < start["cycle"]
    assert int(state.step) == 150


def test_each_update_has_a_batch_of_its_own():
    given = {"image": jnp.arange(8).reshape(8, 1)}
    parts = [part["image"].ravel().tolist() for part in parts_of(given, ("image",), 4)]
    assert parts == [[0, 4], [1, 5], [2, 6], [3, 7]]
    with pytest.raises(UserError, match=r"train.global_batch is 8; expected a multiple of .* = 3"):
        parts_of(given, ("image",), 3)


def test_parts_stay_on_their_devices():
    plan = sharding.plan(data=8)
    given = plan.put_batch({"image": np.arange(32 * 3, dtype=np.float32).reshape(32, 3)})
    split = jax.jit(lambda x: [part["image"] for part in parts_of(x, ("image",), 4)])
    text = split.lower(given).compile().as_text()
    for word in ("all-to-all", "all-gather", "collective-permute", "all-reduce"):
        assert word not in text
    for i, part in enumerate(split(given)):
        assert len(part.sharding.device_set) == 8
        np.testing.assert_array_equal(part, np.asarray(given["image"])[i::4])


def test_the_updates_are_written_out(started):
    """Inside a loop, XLA's gradients of convolutions run on one slow thread of a CPU."""
    system, state = started
    text = str(jax.make_jaxpr(system.train_step)(state, {}, batch(), jax.random.key(0)))
    assert " scan[" not in text and " while[" not in text


def test_a_step_is_the_papers_game(started, stepped):
    """Equations 6 and 7 written out again; the editor stays while the critic moves."""
    system, state = started
    one, _, scalars = stepped
    editor, critic = system.game.editor, system.game.critic
    adam = optax.adam(1e-3, b1=0.5, b2=0.999)
    given = {name: jnp.asarray(value) for name, value in batch().items()}
    faces = [
        (to_unit(given["image"][i::4]), given["attributes"][i::4].astype(jnp.float32))
        for i in range(4)
    ]

    @jax.jit
    def edit(x, c, params):
        drawn, mask = editor.apply({"params": params}, x, c)
        return blend(x, drawn, mask), mask

    def entropy(logits, c):
        return -(c * jax.nn.log_sigmoid(logits) + (1 - c) * jax.nn.log_sigmoid(-logits)).mean()

    def critic_loss(params, x, c, fake, share):
        (real, logits), (made, _) = (critic.apply({"params": params}, y) for y in (x, fake))
        between = (1 - share) * x + share * fake
        slope = jax.grad(lambda y: critic.apply({"params": params}, y)[0].sum())(between)
        norm = jnp.sqrt((slope**2).sum((1, 2, 3)))
        return made.mean() - real.mean() + 10 * ((norm - 1) ** 2).mean() + entropy(logits, c)

    params, moments = state.params["critic"], adam.init(state.params["critic"])
    slope = jax.jit(jax.value_and_grad(critic_loss))
    for i, (x, c) in enumerate(faces[:3]):
        fake, _ = edit(x, 1 - c, state.params["editor"])
        share = jax.random.uniform(jax.random.fold_in(jax.random.key(0), i), (COUNT,))
        value, gradient = slope(params, x, c, fake, share[:, None, None, None])
        updates, moments = adam.update(gradient, moments)
        params = optax.apply_updates(params, updates)
    assert float(scalars["critic"]) == pytest.approx(float(value), rel=1e-4)
    close(one.params["critic"], params, atol=2e-5)

    def editor_loss(mine):
        x, c = faces[3]
        m = given["guide"][3::4] / 255.0
        (made, m_e), (kept, m_s) = edit(x, 1 - c, mine), edit(x, c, mine)
        back, m_c = edit(made, c, mine)
        source, logits = critic.apply({"params": params}, made)
        terms = {
            "adversarial": -source.mean(),
            "classes": entropy(logits, 1 - c),
            "cycle": jnp.abs(back - x).mean(),
            "same": jnp.abs(kept - x).mean(),
            "mask": 100 * (guided("SDE", m_s, m) + guided("SDE", m_c, m)),
        }
        covered = {"coverage_edit": (m_e * m).sum() / m.sum()}
        total = sum(terms.values()) + 19 * terms["cycle"] + 99 * terms["same"]
        return total, {**terms, **covered}

    (total, terms), gradient = jax.jit(jax.value_and_grad(editor_loss, has_aux=True))(
        state.params["editor"]
    )
    assert float(scalars["loss"]) == pytest.approx(float(total), rel=1e-4)
    for name, value in terms.items():
        assert float(scalars[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-5), name
    first = one.opt_state["editor"][0].mu  # half of the gradient, at b1 = 0.5
    close(first, jax.tree.map(lambda g: 0.5 * g, gradient), atol=1e-4)


def close(a, b, atol):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=atol, rtol=1e-3), a, b)


#: Form -> what the critic and the editor pay, by the critic's answers; hinge: Lim and Ye 2017,
#: least squares: Mao et al. 2017.
FORMS = {
    "wgan": lambda real, fake: (fake.mean() - real.mean(), -fake.mean()),
    "hinge": lambda real, fake: (
        np.maximum(1 - real, 0).mean() + np.maximum(1 + fake, 0).mean(),
        -fake.mean(),
    ),
    "lsgan": lambda real, fake: (
        ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2,
        ((fake - 1) ** 2).mean(),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_of_the_game(started, form):
    _, state = started
    game = build(adversarial=form, loss={"penalty": 0.0}).game
    faces = faces_of({name: jnp.asarray(x[:COUNT]) for name, x in batch().items()})
    critic = jax.tree.map(lambda leaf: 3 * leaf, state.params["critic"])  # answers beyond 1

    @jax.jit
    def played(critic):
        edit = game.edit(state.params["editor"], {}, faces.image, 1 - faces.label)
        terms = game.critic_terms(critic, faces, edit.image, jnp.full(COUNT, 0.5))
        made, _ = game.editor_terms(state.params["editor"], {}, critic, faces)
        answers = [game.critic.apply({"params": critic}, x)[0] for x in (faces.image, edit.image)]
        return terms, made, answers

    terms, made, (real, fake) = jax.device_get(played(critic))
    assert max(real.max(), -fake.min()) > 1 > min(real.min(), -fake.max())  # both sides of a hinge
    expected = FORMS[form](real, fake)
    assert float(terms["critic_play"]) == pytest.approx(float(expected[0]), rel=1e-4, abs=1e-5)
    assert float(made["adversarial"]) == pytest.approx(float(expected[1]), rel=1e-4, abs=1e-5)
    assert "critic_penalty" not in terms


def test_smoothed_classes_are_the_critics_alone(started):
    _, state = started
    given = {name: jnp.asarray(x[:COUNT]) for name, x in batch().items()}
    faces, smoothed = faces_of(given), build(loss={"smoothing": 0.1}).game

    @jax.jit
    def both(params):
        share = jnp.full(COUNT, 0.5)
        terms = smoothed.critic_terms(params["critic"], faces, faces.image[::-1], share)
        made, _ = smoothed.editor_terms(params["editor"], {}, params["critic"], faces)
        edit = smoothed.edit(params["editor"], {}, faces.image, 1 - faces.label)
        seen = [
            smoothed.critic.apply({"params": params["critic"]}, x)[1]
            for x in (faces.image, edit.image)
        ]
        return terms["critic_classes"], made["classes"], seen

    critic, editor, (real, edited) = both(state.params)
    told = 0.1 + 0.8 * faces.label
    expected = optax.sigmoid_binary_cross_entropy(real, told).mean()
    assert float(critic) == pytest.approx(float(expected), rel=1e-4)
    expected = optax.sigmoid_binary_cross_entropy(edited, 1 - faces.label).mean()
    assert float(editor) == pytest.approx(float(expected), rel=1e-4)


def test_batch_norm_moves_in_every_pass_and_the_average_can_be_left_out():
    system = build(editor={"norm_trunk": "batch"}, ema=0.0, n_critic=0)
    state, given = start(system), batch(COUNT)
    assert state.ema == {} and set(state.model_state) == {"editor"}
    after, _ = jax.jit(system.train_step)(state, {}, given, jax.random.key(0))
    assert after.ema == {}
    image, label = to_unit(jnp.asarray(given["image"])), given["attributes"].astype(np.float32)

    @jax.jit
    def edit(moved, image, label):
        return system.game.edit(state.params["editor"], moved, image, label, train=True)

    made = edit(state.model_state["editor"], image, jnp.asarray(1 - label))
    kept = edit(made.state, image, jnp.asarray(label))
    back = edit(kept.state, made.image, jnp.asarray(label))
    close(after.model_state["editor"], back.state, atol=1e-5)
    start_, once = (jax.tree.leaves(x)[0] for x in (state.model_state, made.state))
    assert np.abs(np.asarray(start_) - np.asarray(once)).max() > 1e-4


def test_the_rates_fall_together_though_the_critic_takes_more_steps():
    params = {"w": jnp.ones(())}
    editor, critic = adams(lr=1e-3, constant_steps=2, decay_steps=4, n_critic=3)

    def size(chain, steps):
        state = chain.init(params)
        for _ in range(steps):
            updates, state = chain.update({"w": jnp.ones(())}, state)
        return -float(updates["w"])

    for steps in (1, 3, 5, 7):
        assert size(critic, 3 * (steps - 1) + 1) == pytest.approx(size(editor, steps), rel=1e-3)
    assert size(editor, 5) == pytest.approx(5e-4, rel=1e-3) and size(editor, 7) == 0.0


def answer(system, variables, given):
    inputs = {name: given[name] for name in system.inputs}
    return jax.device_get(jax.jit(system.predict)(variables, {}, inputs, jax.random.key(0)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes_stay_where_the_mask_is_0(started, dtype):
    _, state = started
    system = build(floor=0.5, dtype=dtype)
    given = batch(8)
    found = answer(system, state.variables(), given)
    still = found["attention"][..., 0] == 0
    assert 0.05 < still.mean() < 0.95
    np.testing.assert_array_equal(found["image"][still], given["image"][still])
    assert (found["image"][~still] != given["image"][~still]).any(-1).mean() > 0.9


def test_value_and_strength(started):
    system, state = started
    given = batch(4)
    full = answer(system, state.variables(), given)
    other = answer(system, state.variables(), {**given, "value": np.zeros(4, np.int32)})
    assert (full["image"] != other["image"]).any()
    none = answer(system, state.variables(), {**given, "strength": np.zeros(4, np.float32)})
    np.testing.assert_array_equal(none["image"], given["image"])
    half = answer(system, state.variables(), {**given, "strength": np.full(4, 0.5, np.float32)})
    change = [np.abs(x["image"].astype(int) - given["image"]).mean() for x in (half, full)]
    assert change[0] == pytest.approx(change[1] / 2, rel=0.05)
    np.testing.assert_array_equal(full["attribute_image"], half["attribute_image"])


def one_answer(system, variables, image, **more):
    run = jax.jit(lambda inputs: system.predict(variables, {}, inputs, jax.random.key(0)))
    inputs = {"image": image, "value": np.int32(1), "strength": np.float32(1), **more}
    found = system.synthesize(lambda _, batch, key: run(batch), inputs, jax.random.key(0))
    return found, system.remarks({}, {}, inputs)


def test_the_middle_of_a_picture_of_any_size_is_edited(started):
    _, state = started
    system = build(floor=0.5)
    random = np.random.default_rng(2)
    small = random.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    wide = np.pad(small, ((0, 0), (4, 7), (0, 0)), mode="edge")
    exact, none = one_answer(system, state.variables(), small)
    framed, said = one_answer(system, state.variables(), np.roll(wide, 1, axis=1))
    assert none == () and "27x16 px; only the square" in said[0]
    np.testing.assert_array_equal(framed["image"][:, 5 : 5 + SIDE], exact["image"])
    np.testing.assert_array_equal(framed["image"][:, :5], np.roll(wide, 1, axis=1)[:, :5])
    large = random.integers(0, 256, (40, 24, 3)).astype(np.uint8)
    edited, _ = one_answer(system, state.variables(), large)
    assert edited["image"].shape == large.shape
    still = np.ones((40, 24), bool)
    still[8:32] = edited["attention"][..., 0] == 0
    assert 0.02 < 1 - still.mean() < 0.98
    np.testing.assert_array_equal(edited["image"][still], large[still])
    assert "12 px" in one_answer(system, state.variables(), large[:12, :12])[1][0]


def test_a_strength_outside_its_range_is_refused(started):
    system, _ = started
    inputs = {"image": np.zeros((SIDE, SIDE, 3), np.uint8), "strength": np.float32(1.5)}
    with pytest.raises(UserError, match=r"strength is 1\.5; expected a number from 0 to 1"):
        system.synthesize(lambda *_: {}, inputs, jax.random.key(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 48}, "system.resolution is 48"),
        ({"resolution": 8}, "system.resolution is 8; expected a power of two >= 16"),
        ({"n_critic": -1}, "system.n_critic is -1"),
        ({"floor": 1.0}, "system.floor is 1.0"),
        ({"adversarial": "gan"}, "system.adversarial is 'gan'"),
        ({"editor": {"structure": "E3D1"}}, "system.editor.structure is 'E3D1'"),
        ({"editor": {"padding": "reflect", "attr_inject": "input"}}, "hides the label"),
        ({"mask": {"kind": "L1"}}, "system.mask.kind is 'L1'"),
        ({"mask": {"lam": 1.0}}, "system.mask has no 'lam'"),
        ({"judges": {"judge": {"depth": 3}}}, "system.judges.judge has no 'depth'"),
    ],
)
def test_a_wrong_setting_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        build(**change)


def test_faces_of_several_attributes_are_refused(started):
    system, state = started
    given = {**batch(), "attributes": np.zeros((COUNT * 4, 2), np.int32)}
    with pytest.raises(UserError, match="have 2 attributes and 1 can be edited"):
        jax.eval_shape(system.train_step, state, {}, given, jax.random.key(0))
