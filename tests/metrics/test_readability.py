"""What can be read from a drawing: each measure on pictures whose answer is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.metrics import readability
from segsynth.metrics.readability import borders, difference, edge_agreement, near, win_rate

SIDE = 64


def squares(classes=(0, 1), side=SIDE):
    """A label map of a square of one class on another."""
    labels = np.full((1, side, side), classes[0], np.int32)
    labels[:, 20:40, 20:40] = classes[1]
    return jnp.asarray(labels)


def drawn(marked):
    """A drawing with ink at the marked pixels."""
    return 1.0 - jnp.asarray(marked, jnp.float32)[..., None]


def test_borders_lie_left_of_and_above_another_class():
    found = borders(squares()).all
    expected = np.zeros((SIDE, SIDE), bool)
    expected[19, 20:40] = expected[39, 20:40] = True
    expected[20:40, 19] = expected[20:40, 39] = True
    np.testing.assert_array_equal(found[0], expected)


def test_what_nobody_labelled_has_no_border():
    assert not borders(squares((0, 255))).all.any()
    assert not borders(squares((3, 3))).all.any()


@pytest.mark.parametrize(("classes", "kind"), [((0, 1), 0), ((0, 5), 1), ((5, 6), 2)])
def test_kinds_of_borders(classes, kind):
    found = borders(squares(classes), things=(5, 6))
    assert set(np.unique(found.kinds[found.all])) == {kind}
    agreement = edge_agreement(drawn(found.all), squares(classes), things=(5, 6))
    shares = (agreement.stuff_stuff, agreement.thing_stuff, agreement.thing_thing)
    assert [bool(np.isfinite(x[0])) for x in shares] == [k == kind for k in range(3)]
    assert shares[kind][0] == 1


@pytest.mark.parametrize("radius", [1.0, 1.5, 2.9])
def test_near_is_a_disc(radius):
    marked = np.zeros((1, 11, 12), bool)
    marked[0, 5, 6] = marked[0, 0, 0] = True
    y, x = np.mgrid[:11, :12]
    discs = [(y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in ((5, 6), (0, 0))]
    np.testing.assert_array_equal(near(jnp.asarray(marked), radius)[0], discs[0] | discs[1])


def test_outlines_score_one_and_their_shift_by_more_than_the_tolerance_does_not():
    labels = squares()
    outline = borders(labels).all
    exact = edge_agreement(drawn(outline), labels)
    assert (exact.precision[0], exact.recall[0], exact.f1[0]) == (1, 1, 1)
    one = edge_agreement(drawn(jnp.roll(outline, 1, axis=2)), labels)
    far = edge_agreement(drawn(jnp.roll(outline, 5, axis=(1, 2))), labels)
    assert one.f1[0] == 1 and far.f1[0] < 0.2


def test_precision_and_recall_fall_for_different_reasons():
    labels = squares()
    outline = np.array(borders(labels).all)
    half, more = outline.copy(), outline.copy()
    half[:, 30:] = False
    more[:, 50:60] = True
    missing, noisy = edge_agreement(drawn(half), labels), edge_agreement(drawn(more), labels)
    assert missing.precision[0] == 1 and 0.4 < missing.recall[0] < 0.7
    assert noisy.recall[0] == 1 and noisy.precision[0] == pytest.approx(80 / (80 + 640), abs=0.01)
    unlabelled = np.array(labels)
    unlabelled[:, 48:62] = 255
    assert edge_agreement(drawn(more), jnp.asarray(unlabelled)).precision[0] == 1


def test_nothing_drawn_and_nothing_to_draw():
    blank = edge_agreement(drawn(np.zeros((1, SIDE, SIDE))), squares())
    assert np.isnan(blank.precision[0]) and blank.recall[0] == 0 and blank.f1[0] == 0
    plain = edge_agreement(drawn(np.ones((1, SIDE, SIDE))), squares((2, 2)))
    assert np.isnan(plain.recall[0]) and np.isnan(plain.f1[0]) and plain.precision[0] == 0


def test_ink_and_grey():
    drawing = jnp.asarray([0.0, 0.2, 0.49, 0.5, 0.95, 1.0, 0.05, 0.7]).reshape(1, 2, 4, 1)
    assert readability.ink_ratio(drawing)[0] == 0.5
    assert readability.mid_grey(drawing)[0] == 0.5


def test_hatching_follows_darkness_and_outlines_do_not_count():
    random = np.random.default_rng(0)
    dark = np.linspace(0, 1, SIDE)[None, :].repeat(SIDE, 0)
    photo = jnp.asarray((1 - dark)[None, ..., None].repeat(3, -1), jnp.float32)
    hatched = random.random((1, SIDE, SIDE)) < 0.6 * dark
    assert readability.shading(drawn(hatched), photo)[0] > 0.9
    assert readability.shading(drawn(hatched[:, :, ::-1]), photo)[0] < -0.9
    blank = readability.shading(drawn(np.zeros((1, SIDE, SIDE))), photo)
    assert np.isnan(blank[0])
    labels = squares()
    flat = jnp.where((labels == 1)[..., None], 0.2, 0.8) * jnp.ones(3)[None, None, None]
    beside = np.asarray(near(borders(labels).all, 1.0))
    lit = jnp.where(beside[..., None], 1.0, flat)  # another photograph at the outlines alone
    counted, passed_over = (
        [float(readability.shading(drawn(beside), photo, *more)[0]) for photo in (flat, lit)]
        for more in ((), (labels,))
    )
    assert abs(counted[0] - counted[1]) > 0.1
    assert passed_over[0] == pytest.approx(passed_over[1], abs=1e-6)


def test_depth_up_to_scale_and_shift():
    truth = jnp.asarray(np.random.default_rng(1).random((2, 16, 16)), jnp.float32)
    np.testing.assert_allclose(
        readability.aligned_depth_error(0.3 * truth + 7, truth), 0, atol=1e-5
    )
    apart = readability.aligned_depth_error(jnp.ones_like(truth), truth)
    spread = np.abs(truth - truth.mean((1, 2), keepdims=True)).mean((1, 2))
    np.testing.assert_allclose(apart, spread, rtol=1e-5)
    assert (readability.depth_order(0.1 * truth, truth) == 1).all()
    assert (readability.depth_order(-truth, truth) == 0).all()
    assert (readability.depth_order(0 * truth, truth) == 0).all()
    other = jnp.asarray(np.random.default_rng(2).random((2, 16, 16)), jnp.float32)
    assert (np.abs(readability.depth_order(other, truth) - 0.5) < 0.08).all()
    assert np.isnan(readability.depth_order(truth, jnp.zeros_like(truth))).all()


def test_win_rates():
    random = np.random.default_rng(3)
    theirs = random.random(200)
    ours = theirs + np.where(np.arange(200) < 150, 0.1, -0.1)
    found = win_rate(ours, theirs, resamples=2000)
    assert found.mean == 0.75 and found.pictures == 200
    # The normal interval of a share of 0.75 of 200.
    assert (found.low, found.high) == pytest.approx((0.69, 0.81), abs=0.01)
    assert win_rate(ours, theirs, resamples=100, lower_is_better=True).mean == 0.25
    assert win_rate(theirs, theirs, resamples=100) == (0.5, 0.5, 0.5, 200)
    holes = np.where(np.arange(200) < 10, np.nan, ours)
    assert win_rate(holes, theirs, resamples=100).pictures == 190
    assert win_rate(ours, theirs, resamples=50) == win_rate(ours, theirs, resamples=50)


def test_differences():
    random = np.random.default_rng(4)
    theirs = random.random(400)
    found = difference(theirs + 0.1 + 0.2 * random.normal(size=400), theirs, resamples=2000)
    half = 1.96 * 0.2 / 20
    assert found.mean == pytest.approx(0.1, abs=half) and found.pictures == 400
    assert (found.low, found.high) == pytest.approx(
        (found.mean - half, found.mean + half), abs=0.003
    )


def test_win_rates_of_other_pictures_are_refused():
    with pytest.raises(ValueError, match="2 and 3 pictures"):
        win_rate(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="no picture"):
        win_rate(np.full(2, np.nan), np.zeros(2))
