"""Causal order and weights of linear non-Gaussian models whose graph is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scget.model._lingam import causal_order, lingam_weights, standardised, usable, weights_along

NOISE = {
    "laplace": lambda rng, n: rng.laplace(size=n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "sparse": lambda rng, n: rng.normal(size=n) * (rng.random(n) < 0.3),
    "skewed": lambda rng, n: rng.beta(2, 5, n),
}


def linear_model(kinds, n=4000, m=12, seed=0):
    """Columns ``x = weight @ x + noise`` in a hidden order, and ``weight`` (entry [i, j]: j -> i)."""
    rng = np.random.default_rng(seed)
    order, weight_mm = rng.permutation(m), np.zeros((m, m))
    for i in range(1, m):
        for j in rng.choice(i, min(i, 2), replace=False):
            weight_mm[order[i], order[j]] = rng.choice([-1, 1]) * rng.uniform(0.3, 0.7)
    noise_gm = standardised(np.column_stack([NOISE[rng.choice(kinds)](rng, n) for _ in range(m)]))
    return np.linalg.solve(np.eye(m) - weight_mm, noise_gm.T).T, weight_mm


@pytest.mark.parametrize("kinds", [["laplace"], ["uniform"], ["exponential"], ["sparse"], ["skewed"], list(NOISE)])
def test_a_known_graph_is_found_with_its_directions(kinds):
    values_gm, weight_mm = linear_model(kinds)
    found_mm = lingam_weights(standardised(values_gm))
    np.testing.assert_array_equal(found_mm != 0, weight_mm != 0)
    sd_m = values_gm.std(axis=0)
    np.testing.assert_allclose(found_mm, weight_mm * sd_m / sd_m[:, None], atol=0.06)


def test_a_chain_points_from_cause_to_effect():
    """x -> y -> z, by hand: entry [effect, cause]."""
    rng = np.random.default_rng(1)
    x = rng.laplace(size=3000)
    y = 0.8 * x + rng.laplace(size=3000)
    z = -0.8 * y + rng.laplace(size=3000)
    found_mm = lingam_weights(standardised(np.column_stack([z, y, x])))
    assert [tuple(edge) for edge in np.argwhere(found_mm)] == [(0, 1), (1, 2)]
    assert found_mm[0, 1] < -0.5 and found_mm[1, 2] > 0.5


def test_order_follows_columns_and_not_rows():
    values_gm, _ = linear_model(["laplace", "skewed"], n=1500)
    rng = np.random.default_rng(2)
    columns, rows = rng.permutation(values_gm.shape[1]), rng.permutation(len(values_gm))
    plain, moved = causal_order(standardised(values_gm)), causal_order(standardised(values_gm[rows][:, columns]))
    np.testing.assert_array_equal(columns[moved], plain)


def test_weights_and_their_choice_are_those_of_regression():
    import scipy.stats

    values_gm = standardised(linear_model(["laplace"], n=400)[0])
    n, m = values_gm.shape
    order_m = np.random.default_rng(0).permutation(m)  # any order, also a wrong one
    found_mm = weights_along(values_gm, order_m)
    for at in range(1, m):
        x_gm, y_g = values_gm[:, order_m[:at]], values_gm[:, order_m[at]]
        slope_m, residual = np.linalg.lstsq(x_gm, y_g, rcond=None)[:2]
        t2_m = slope_m**2 / (residual[0] / n * np.diag(np.linalg.inv(x_gm.T @ x_gm)))
        expected_m = np.where(t2_m > np.log(n) + 2 * np.log(m), slope_m, 0)
        np.testing.assert_allclose(found_mm[order_m[at], order_m[:at]], expected_m, atol=1e-10)
        assert not found_mm[order_m[at], order_m[at:]].any()
    alone = scipy.stats.linregress(values_gm[:, order_m[0]], values_gm[:, order_m[1]]).slope
    assert found_mm[order_m[1], order_m[0]] in (0, pytest.approx(alone))


def test_constant_and_dependent_columns_are_told():
    rng = np.random.default_rng(0)
    a, b = rng.laplace(size=(2, 200))
    values_gm = np.column_stack([a, np.full(200, 3.0), b, a * -2 + 1, np.zeros(200), a + b])
    kept_m, why_m = usable(values_gm)
    assert why_m.tolist() == ["", "constant", "", "a sum of others", "constant", "a sum of others"]
    np.testing.assert_array_equal(kept_m, why_m == "")


def test_the_lingam_package_finds_the_same_graph():
    lingam = pytest.importorskip("lingam")
    values_gm = standardised(linear_model(list(NOISE))[0])
    theirs_mm = lingam.DirectLiNGAM().fit(pd.DataFrame(values_gm)).adjacency_matrix_
    ours_mm = lingam_weights(values_gm)
    np.testing.assert_array_equal(ours_mm != 0, np.abs(theirs_mm) > 0.05)
    np.testing.assert_allclose(ours_mm, theirs_mm, atol=0.05)
