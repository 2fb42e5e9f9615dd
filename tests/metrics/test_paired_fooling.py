"""P-IDS and U-IDS against scikit-learn, and on sets whose rates are known."""

import functools
import pathlib

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.errors import UserError
from segsynth.metrics.names import name_of
from segsynth.metrics.paired_fooling import (
    PairedFooling,
    fooling_rates,
    fooling_scores,
    linear_svm,
)
from segsynth.pretrained import loading

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "paired_fooling.npz"
CASES = ("hard", "likely", "separable")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def pairs(golden, case):
    return golden[f"{case}/real"], golden[f"{case}/fake"]


def labelled(golden, case):
    both = np.concatenate(pairs(golden, case)).astype(np.float64)
    return both, np.repeat([1.0, -1.0], len(both) // 2)


@pytest.mark.parametrize("case", CASES)
def test_the_solution_is_scikit_learns(case, golden):
    both, labels = labelled(golden, case)
    weights = linear_svm(both, labels)
    expected = np.append(golden[f"{case}/weights"], golden[f"{case}/intercept"])
    # LinearSVC stops at a tolerance of 1e-4.
    np.testing.assert_allclose(weights, expected, atol=2e-3 * np.abs(expected).max())
    decisions = both @ weights[:-1] + weights[-1]
    assert ((decisions > 0) == (golden[f"{case}/decisions"] > 0)).mean() >= 0.995


@pytest.mark.parametrize("case", CASES)
def test_the_rates_are_scikit_learns(case, golden):
    found = fooling_rates(*pairs(golden, case))
    for key in ("p_ids", "u_ids"):
        assert found[key] == pytest.approx(float(golden[f"{case}/{key}"]), abs=0.005)


@pytest.mark.parametrize("case", CASES)
def test_the_solution_is_the_least(case, golden):
    """Of a strictly convex function: its gradient, written out anew, is 0 there."""
    both, labels = labelled(golden, case)
    weights = linear_svm(both, labels, cost=0.5)

    def loss(w):
        margins = labels * (both @ w[:-1] + w[-1])
        return w @ w / 2 + 0.5 * (np.maximum(1 - margins, 0) ** 2).sum()

    least = loss(weights)
    for axis in np.eye(len(weights)):
        assert min(loss(weights + 1e-3 * axis), loss(weights - 1e-3 * axis)) > least


def test_identical_pairs_and_pairs_that_all_fool(golden):
    real, fake = pairs(golden, "likely")
    assert fooling_rates(real, real) == {"p_ids": 0.0, "u_ids": 0.5}
    # Far apart in one feature: no errors.
    far = real.copy()
    far[:, 0] += 100
    assert fooling_rates(real, far) == {"p_ids": 0.0, "u_ids": 0.0}
    # The same two sets paired otherwise: nothing changes for U-IDS, and half of the pairs fool.
    rng = np.random.default_rng(0)
    shuffled = fooling_rates(real, real[rng.permutation(len(real))])
    assert shuffled["u_ids"] == 0.5 and fooling_rates(real, fake)["u_ids"] < 0.5


def test_merging_in_any_split_and_order_gives_the_same_bits(golden):
    real, fake = (x[:30] for x in pairs(golden, "likely"))
    valid = (np.arange(30) % 4 > 0).astype(np.float32)
    score = jax.jit(functools.partial(PairedFooling.of, capacity=30))
    merged = jax.jit(lambda a, b: a.merge(b))
    expected = score(real, fake, valid).compute()
    assert expected == fooling_rates(real[valid > 0], fake[valid > 0])
    parts = [score(real[i::3], fake[i::3], valid[i::3]) for i in range(3)]
    for order in (parts, parts[::-1]):
        assert functools.reduce(merged, order).compute() == expected


def test_scores_in_a_collection(golden):
    real, fake = map(jnp.asarray, pairs(golden, "separable"))
    network = loading.describe("standin:inception_fid")
    given = network, real, fake, jnp.ones(30), 64
    found = fooling_scores("p_ids", "u_ids", *given)
    total = clu.metrics.Collection.create_collection(**found).compute()
    assert {name_of(key): value for key, value in total.items()} == {
        "paired_fooling[standin]": 0.0,
        "unpaired_fooling[standin]": pytest.approx(1 / 60),
    }
    for names in (("u_ids", "p_ids"), ("p_ids", "fid")):
        with pytest.raises(UserError, match=r"is no (un)?paired_fooling figure; expected [pu]_ids"):
            fooling_scores(*names, *given)


@pytest.mark.parametrize("what", ["nothing", "no number"])
def test_what_has_no_rates(what, golden):
    real, fake = pairs(golden, "separable")
    if what == "nothing":
        with pytest.raises(UserError, match="no pairs"):
            fooling_rates(real[:0], fake[:0])
        return
    fake[2, 3] = np.nan
    with pytest.raises(UserError, match="no numbers"):
        fooling_rates(real, fake)
