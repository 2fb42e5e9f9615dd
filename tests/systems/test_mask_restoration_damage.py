"""Laws of the damages, of the bridges and of the restorations that need no network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from restoration import CLASSES, ROWS, SIDE, build, scenes

from segsynth.errors import UserError
from segsynth.systems.mask_restoration import bridges
from segsynth.systems.mask_restoration.answers import Answers
from segsynth.systems.mask_restoration.baselines import bilinear_argmax, nearest_label
from segsynth.systems.mask_restoration.degradations import (
    Coarse,
    Holes,
    LostClasses,
    LowResolution,
    NoisyBorders,
)
from segsynth.systems.mask_restoration.judging import baselines

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def labels():
    return scenes(count=3)["labels"][..., 0]


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
@pytest.mark.parametrize("index", ["corner", "centre"])
def test_low_resolution_repeats_one_pixel_of_each_block(labels, factor, index):
    kind = LowResolution(factor, index)
    found = kind(labels, KEY)
    blocks = np.asarray(found.labels).reshape(3, 32 // factor, factor, 32 // factor, factor)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    again = kind(found.labels, KEY)
    np.testing.assert_array_equal(again.labels, found.labels)
    known = np.asarray(found.known)
    assert known.sum() == 3 * (32 // factor) ** 2 and not np.asarray(found.missing).any()
    np.testing.assert_array_equal(np.asarray(found.labels)[known], np.asarray(labels)[known])


@pytest.mark.parametrize(("index", "first"), [("corner", 0), ("centre", 4)])
def test_both_rules_of_the_index(index, first):
    rows = jnp.broadcast_to(jnp.arange(32, dtype=jnp.uint8)[:, None], (1, 32, 32))
    low = LowResolution(8, index).sampled(rows)
    np.testing.assert_array_equal(low[0, :, 0], [first, first + 8, first + 16, first + 24])
    if index == "centre":  # the rule of jax.image.resize and of Pillow
        np.testing.assert_array_equal(low, jax.image.resize(rows, (1, 4, 4), "nearest"))


def test_a_size_that_the_factor_does_not_divide_is_refused(labels):
    with pytest.raises(ValueError, match="30x32; expected multiples of 8"):
        LowResolution(8)(labels[:, :30], KEY)


@pytest.mark.parametrize("kind", [Holes(), LostClasses(4, share=0.5)], ids=["holes", "classes"])
def test_what_is_drawn_follows_the_key_and_keeps_the_rest(labels, kind):
    found, again, other = (kind(labels, jax.random.key(i)) for i in (1, 1, 2))
    np.testing.assert_array_equal(found.missing, again.missing)
    assert (found.missing != other.missing).any()
    assert (found.missing[0] != found.missing[1]).any(), "examples must differ"
    np.testing.assert_array_equal(found.known, ~found.missing)
    expected = np.where(np.asarray(found.missing), 0, np.asarray(labels))
    np.testing.assert_array_equal(found.labels, expected)


def test_holes_take_a_part_of_the_map():
    empty = jnp.ones((64, 32, 64), jnp.uint8)
    for kind in (Holes(strokes=0), Holes(blocks=0)):
        share = float(kind(empty, KEY).missing.mean())
        assert 0.01 < share < 0.4
    assert not Holes(blocks=0, strokes=0)(empty, KEY).missing.any()


def test_a_lost_class_is_lost_everywhere(labels):
    found = LostClasses(4, share=0.5)(labels, KEY)
    for before, missing in zip(np.asarray(labels), np.asarray(found.missing), strict=True):
        for number in np.unique(before):
            assert len(np.unique(missing[before == number])) == 1
    assert LostClasses(4, share=1.0)(labels, KEY).missing.all()


def test_noisy_borders_move_to_both_sides_and_no_further_than_the_radius():
    halves = jnp.zeros((64, 32, 32), jnp.uint8).at[:, :, 16:].set(1)
    found = np.asarray(NoisyBorders(radius=4.0)(halves, KEY).labels)
    changed = found != np.asarray(halves)
    assert changed[..., 12:20].any() and not changed[..., :12].any()
    assert not changed[..., 20:].any()
    gained = (found[..., :16] == 1).sum() / max(1, (found[..., 16:] == 0).sum())
    assert 0.7 < gained < 1.4, "noise must be as likely to grow as to shrink"
    assert not NoisyBorders()(halves, KEY).known.any()


def test_a_coarse_map_is_taken_as_it_is():
    coarse = jnp.array([[[0, 3], [255, 1]]], jnp.uint8)
    found = Coarse(0)(coarse, KEY)
    np.testing.assert_array_equal(found.labels, [[[0, 3], [0, 1]]])
    np.testing.assert_array_equal(found.missing, [[[True, False], [True, False]]])


def test_a_mixture_gives_each_example_one_kind():
    system = build(task="mixture", mixture=("sr8", "holes", "coarse"))
    assert system.inputs == ("labels",) and set(system.targets) == {"coarse", "image"}
    batch = scenes(count=16)
    damaged, kind = system.task.damage(batch, KEY)
    assert set(np.asarray(kind).tolist()) == {0, 1, 2}
    for i, which in enumerate(np.asarray(kind)):
        if which == 2:
            np.testing.assert_array_equal(damaged.labels[i], batch["coarse"][i, ..., 0])
        if which == 0:
            blocks = np.asarray(damaged.labels[i]).reshape(4, 8, 4, 8)
            assert (blocks == blocks[:, :1, :, :1]).all()


def test_a_restorer_of_mixtures_can_be_told_the_kind():
    system = build(task="mixture", mixture=("sr8", "holes"), told=1.0)
    assert system.restorer.module.label_channels == 4 + 2
    damaged, kind = system.task.damage(scenes(), KEY)
    planes = system.restorer.planes(damaged, kind)
    np.testing.assert_array_equal(planes[:, 0, 0, 4:], jax.nn.one_hot(kind, 2))
    assert not system.restorer.planes(damaged, None)[..., 4:].any()


def test_a_user_tells_the_kind_of_damage():
    two = {"task": "mixture", "mixture": ("sr8", "holes"), "generator": None, "loss": ROWS["ce"]}
    system, seen = build(**two, told=0.5), []
    labels = {"labels": jnp.ones((2, SIDE, SIDE, 1), jnp.uint8)}
    for damage in ("", "holes"):
        asked = system.adjusted(Answers(damage=damage))

        def logits(variables, damaged, kind):
            seen.append(kind)
            return jnp.zeros((*damaged.labels.shape, CLASSES))

        object.__setattr__(asked, "logits", logits)
        asked.predict({}, {}, labels, KEY)
    assert seen[0] is None and seen[1].tolist() == [1, 1]
    for untold, damage in ((system, "coarse"), (build(**two), "holes")):
        with pytest.raises(UserError, match=rf"damage is '{damage}'; the restorer can be told"):
            untold.adjusted(Answers(damage=damage))


def test_missing_pixels_have_a_plane_of_their_own_or_the_class():
    batch = scenes()
    plain = build(task="coarse")
    damaged, kind = plain.task.damage(batch, KEY)
    planes = plain.restorer.planes(damaged, kind)
    np.testing.assert_array_equal(planes[..., 0], damaged.missing)
    extra = build(task="coarse", unknown="extra_channel")
    planes = extra.restorer.planes(damaged, kind)
    assert planes.shape[-1] == 5 and not planes[..., 0].any()
    np.testing.assert_array_equal(planes[..., 4], damaged.missing)
    np.testing.assert_array_equal(planes.sum(-1), np.ones(damaged.labels.shape))


@pytest.mark.parametrize(
    ("task", "unknown", "expected"),
    [
        ("coarse", "as_class0", [True, False, True]),
        ("coarse", "extra_channel", [True, False, True]),
        ("holes", "as_class0", [True, False, True]),
        ("holes", "extra_channel", [False, False, True]),
    ],
)
def test_what_a_users_map_lacks(task, unknown, expected):
    brought = jnp.array([[[0, 1, 255]]], jnp.uint8)
    found = build(task=task, unknown=unknown).task.as_given(brought)
    np.testing.assert_array_equal(found.missing[0, 0], expected)
    np.testing.assert_array_equal(found.labels[0, 0], [0, 1, 0])


def test_the_nearest_label_is_the_nearest_of_all():
    random = np.random.default_rng(0)
    labels = random.integers(1, 5, (2, 11, 17)).astype(np.uint8)
    missing = random.random(labels.shape) < 0.9
    missing[1] = True
    found = np.asarray(nearest_label(jnp.asarray(labels), jnp.asarray(missing)))
    ys, xs = np.nonzero(~missing[0])
    for y in range(11):
        for x in range(17):
            away = (ys - y) ** 2 + (xs - x) ** 2
            nearest = labels[0, ys[away == away.min()], xs[away == away.min()]]
            assert found[0, y, x] in nearest
    np.testing.assert_array_equal(found[1], labels[1])


@pytest.mark.parametrize("index", ["corner", "centre"])
def test_bilinear_puts_a_border_in_the_middle_between_two_samples(index):
    kind = LowResolution(8, index)
    low = jnp.zeros((1, 4, 4), jnp.uint8).at[:, :, 2:].set(3)
    found = np.asarray(bilinear_argmax(kind.repeated(low).labels, kind, 4))
    border = 12 + kind.offset  # between columns 8 + offset and 16 + offset
    assert (found[..., : border - 1] == 0).all() and (found[..., border + 1 :] == 3).all()
    nearest = baselines(build(task="sr8").task, kind.repeated(low), 4)["nearest"]
    assert (nearest[..., :border] == 0).all() and (nearest[..., border + 1 :] == 3).all()


def test_bridges_give_planes_that_sum_to_one_and_the_gradient_of_the_softmax():
    logits = jax.random.normal(KEY, (2, 3, 4, 5))
    weight = jax.random.normal(jax.random.key(1), logits.shape)

    def through(bridge, tau=0.7):
        return jax.value_and_grad(
            lambda z: (weight * bridges.cross(z, bridge, tau, jax.random.key(2))).sum()
        )(logits)

    soft, hard = (bridges.cross(logits, b, 0.7, KEY) for b in ("softmax", "straight_through"))
    np.testing.assert_allclose(soft, jax.nn.softmax(logits / 0.7), atol=1e-6)
    np.testing.assert_array_equal(hard, bridges.hard_planes(logits))
    np.testing.assert_allclose(through("softmax")[1], through("straight_through")[1], atol=1e-6)
    sample = bridges.cross(logits, "gumbel_st", 0.7, jax.random.key(4))
    np.testing.assert_array_equal(np.sort(sample, -1)[..., -1], 1.0)
    assert (sample != hard).any() and (
        sample != bridges.cross(logits, "gumbel_st", 0.7, jax.random.key(3))
    ).any()
    assert jnp.abs(through("gumbel_st")[1]).max() > 0


def test_gumbel_draws_classes_by_their_probability():
    logits = jnp.broadcast_to(jnp.log(jnp.array([0.7, 0.2, 0.1])), (1, 100, 100, 3))
    share = bridges.cross(logits, "gumbel_st", 1.0, KEY).mean((0, 1, 2))
    np.testing.assert_allclose(share, [0.7, 0.2, 0.1], atol=0.02)


def test_confidence_is_one_minus_the_share_of_entropy():
    logits = jnp.array([[[[0.0] * 4, [50.0, 0, 0, 0], [0.0, 0, -50, -50]]]])
    np.testing.assert_allclose(bridges.confidence(logits)[0, 0], [0.0, 1.0, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "sr3"}, "system.task has no 'sr3'; did you mean 'sr"),
        ({"task": "mixture", "mixture": ("sr8",)}, "name two kinds or more"),
        ({"task": "noisy", "clamp_known": True}, "no pixel of a map is known for certain"),
        ({"generator": {}}, "system.loss looks at pictures, and system.generator is empty"),
        ({"loss": {"ce": 0.0, "vgg": 0.0, "l1": 0.0}}, "system.loss has no weight"),
        ({"told": 0.5}, "expected 0, or a probability for a mixture"),
        ({"frame": (32, 33)}, "system.frame: output of 32x33"),
        ({"damage": {"low_resolution": {"indx": "x"}}}, "has no 'indx'; did you mean 'index'"),
        ({"bridge": "argmax"}, "system.bridge is 'argmax'"),
    ],
)
def test_a_wrong_setting_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        build(**change)
