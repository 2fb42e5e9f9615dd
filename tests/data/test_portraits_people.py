"""Who sits for the portraits: how often, what together, what never together, what mislabelled."""

import numpy as np
import pytest

from segsynth.data.worlds import portrait_plan
from segsynth.data.worlds.portrait_attributes import ATTRIBUTES, Rates, draw
from segsynth.data.worlds.portraits import Population, Portraits, sample

COUNT = 4000
NAMES = tuple(ATTRIBUTES)
OPEN, SMILE = "Mouth_Slightly_Open", "Smiling"


def _people(population=Population(), count=COUNT):
    return [sample(0, index, population) for index in range(count)]


def _values(people):
    return np.array([[person.has(name) for name in NAMES] for person in people], float)


@pytest.fixture(scope="module")
def people():
    return _people()


def test_prevalences_are_the_published_ones(people):
    for name, share in zip(NAMES, _values(people).mean(axis=0), strict=True):
        error = np.sqrt(ATTRIBUTES[name].prevalence / COUNT)
        assert abs(share - ATTRIBUTES[name].prevalence) < 4 * error, name


def test_correlations(people):
    phi = np.corrcoef(_values(people).T)
    pair = NAMES.index(OPEN), NAMES.index(SMILE)
    assert phi[pair] == pytest.approx(0.56, abs=0.04)
    groups = {"Blond_Hair", "Black_Hair", "Bald", "Bangs"}
    for i, first in enumerate(NAMES):
        for second in NAMES[:i]:
            if {first, second} != {OPEN, SMILE} and not {first, second} <= groups:
                assert abs(phi[i, NAMES.index(second)]) < 0.08, (first, second)


def test_rates_are_the_users(people):
    wanted = (("Eyeglasses", 0.5), ("Bald", 0.3), ("Blond_Hair", 0.3), ("Bangs", 0.6))
    rates = Rates(wanted, ((OPEN, "Eyeglasses", -0.4),))
    values = _values(_people(Population(rates=rates)))
    for name, share in wanted:
        assert values[:, NAMES.index(name)].mean() == pytest.approx(share, abs=0.03), name
    phi = np.corrcoef(values.T)[NAMES.index(OPEN), [NAMES.index("Eyeglasses"), NAMES.index(SMILE)]]
    assert phi == pytest.approx([-0.4, 0.0], abs=0.06)
    sure = Rates(
        (("Smiling", 1.0), ("Bald", 1.0), ("Blond_Hair", 0.0), ("Black_Hair", 0.0), ("Bangs", 0.0)),
        (),
    )
    assert {"Smiling", "Bald"} <= set(draw(sure, np.linspace(0.0, 0.99, 15).tolist()))


def test_nobody_has_what_excludes_each_other(people):
    for person in people:
        for name in person.attributes:
            assert not person.attributes & set(ATTRIBUTES[name].excludes)


def test_levels_tell_the_value(people):
    """The ranges of a level with and without the attribute do not touch, where they differ."""
    for name, attribute in ATTRIBUTES.items():
        levels = {True: [], False: []}
        for person in people[:400]:
            levels[person.has(name)].append(person.level(name))
        if attribute.off != (0.0, 0.0):
            below, above = sorted((levels[False], levels[True]), key=max)
            assert max(below) < min(above)
            assert attribute.on[0] <= min(levels[True]) <= max(levels[True]) <= attribute.on[1]
            assert np.ptp(levels[False]) > 0.8 * (attribute.off[1] - attribute.off[0])


def test_quantities_fill_their_ranges(people):
    for name, (low, high) in portrait_plan.RANGES.items():
        values = np.array([person.values[name] for person in people[:500]])
        assert low <= values.min() and values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2.0, abs=0.15 * (high - low))


def test_label_noise_changes_labels_and_no_pictures():
    clean, noisy = (
        Portraits(32, 200, label_noise=p, provides=("image", "attributes")) for p in (0.0, 0.05)
    )
    wrong = []
    for index in range(200):
        truth = [clean.portrait(index).has(name) for name in NAMES]
        wrong.append([noisy.portrait(index).label(n) for n in NAMES] != np.array(truth))
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.015)
    np.testing.assert_array_equal(clean[3]["image"], noisy[3]["image"])
    flagged = int(np.argmax(np.any(wrong, axis=1)))
    assert (clean[flagged]["attributes"] != noisy[flagged]["attributes"]).any()


def test_spurious_shortcuts():
    def shift(share):
        population = Population(spurious=((OPEN, "backdrop_value", share),))
        people = _people(population, 1000)
        low, high = portrait_plan.NUISANCE["backdrop_value"]
        bright = [person.values["backdrop_value"] > (low + high) / 2 for person in people]
        return np.corrcoef(bright, [person.has(OPEN) for person in people])[0, 1]

    assert [shift(0.0), shift(0.6), shift(1.0)] == pytest.approx([0.0, 0.6, 1.0], abs=0.08)


def test_fields_choose_the_attributes():
    chosen = ("Smiling", "Bald", "Smiling")
    source = Portraits(32, 40, attributes=chosen, provides=("attributes",))
    for index in range(40):
        person = source.portrait(index)
        expected = [int(person.has(name)) for name in chosen]
        assert source[index]["attributes"].tolist() == expected
    assert source.attribute_names == chosen
