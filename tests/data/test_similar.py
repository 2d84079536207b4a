"""Training rows as a prediction for others: weights, trust and errors against closed forms and planted data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from scget.data._similar import RIDGE, SimilarRows, keep_rows


def planted(n_rows, n_regions=3000, n_genes=400, noise=0.05, seed=0, n_programs=3):
    """Rows are mixtures of programs, each with its regions and genes; expression follows with noise by gene."""
    rng = np.random.default_rng(seed)
    share_kr = rng.normal(0, 1, (n_rows, n_programs))
    noise_g = noise * rng.gamma(1.5, 1, n_genes)
    open_kp = share_kr @ rng.normal(0, 1, (n_programs, n_regions)) + rng.normal(0, 0.3, (n_rows, n_regions))
    expression_kg = 3 + share_kr @ rng.normal(0, 0.3, (n_programs, n_genes))
    return open_kp, expression_kg + noise_g * rng.normal(0, 1, (n_rows, n_genes))


def kept_of(open_jp, expression_jg):
    names = np.array([f"T{j}" for j in range(len(open_jp))], dtype=object)
    everywhere = np.ones(open_jp.shape[1], dtype=bool)
    return keep_rows(
        names, everywhere, lambda: iter(open_jp), open_jp.mean(axis=0), expression_jg - expression_jg.mean(axis=0)
    )


def test_weights_are_ridge_regression_on_the_regions():
    """By the normal equations in region space, which hold no inner product of rows."""
    open_kp, expression_kg = planted(7, n_regions=60)
    kept, departs = kept_of(open_kp[:6], expression_kg[:6]), open_kp - open_kp[:6].mean(axis=0)
    found = kept.weights(departs[6:])
    penalty = RIDGE * np.square(departs[:6]).sum(axis=1).mean()
    effect_pg = np.linalg.solve(
        departs[:6].T @ departs[:6] + penalty * np.eye(60), departs[:6].T @ kept.departure_jg.astype(float)
    )
    np.testing.assert_allclose(
        found.weight_kj @ kept.departure_jg, kept.trust * departs[6:] @ effect_pg, atol=2e-3
    )  # 16 bits
    left = departs[6] - found.weight_kj[0] / kept.trust @ departs[:6]
    assert found.left_k[0] == pytest.approx(np.square(left).mean(), rel=2e-3)
    assert found.share_k[0] == pytest.approx(1 - np.square(left).sum() / np.square(departs[6]).sum(), rel=2e-3)


def test_trust_is_the_slope_of_rows_on_what_the_others_say():
    open_kp, expression_kg = planted(6, n_regions=80, noise=0.3, seed=1)
    said, own = [], []
    for j in range(6):
        others = np.delete(np.arange(6), j)
        departs = open_kp - open_kp[others].mean(axis=0)
        gram = departs[others] @ departs[others].T
        weight = np.linalg.solve(gram + RIDGE * np.trace(gram) / 5 * np.eye(5), departs[others] @ departs[j])
        mean = expression_kg[others].mean(axis=0)
        said.append(weight @ (expression_kg[others] - mean))
        own.append(expression_kg[j] - mean)
    slope = np.sum(np.array(said) * own) / np.sum(np.square(said))
    assert 0 < slope < 1
    assert kept_of(open_kp, expression_kg).trust[0] == pytest.approx(slope, rel=1e-6)


def test_where_accessibility_tells_nothing_the_rows_are_not_trusted():
    open_kp, expression_kg = planted(40)
    assert kept_of(open_kp, np.random.default_rng(5).permutation(expression_kg)).trust[0] < 0.1
    assert kept_of(open_kp, expression_kg).trust[0] > 0.9


def test_what_a_network_tells_is_not_told_again():
    """With a network that is right but for one program, the rows left say that program and no more."""
    open_kp, expression_kg = planted(30, noise=0.01)
    departs = expression_kg - expression_kg[:29].mean(axis=0)
    programs = np.linalg.svd(departs[:29], full_matrices=False)[2]
    network_kg = departs - np.outer(departs @ programs[0], programs[0])
    kept = kept_of(open_kp[:29], expression_kg[:29])
    rest = kept.less(network_kg[:29])
    np.testing.assert_allclose(rest.departure_jg, (departs - network_kg)[:29], atol=1e-5)
    np.testing.assert_array_equal(rest.error_g, kept.error_g)
    found = rest.weights(open_kp[29:] - open_kp[:29].mean(axis=0))
    together = network_kg[29] + found.weight_kj[0] @ rest.departure_jg
    assert np.square(together - departs[29]).mean() < 0.1 * np.square(network_kg[29] - departs[29]).mean()
    right = kept.less(departs[:29])  # a network that leaves nothing over
    assert np.abs(right.departure_jg).max() < 1e-6
    unsure = np.where(np.arange(400) < 200, np.nan, network_kg[:29])
    np.testing.assert_array_equal(kept.less(unsure).departure_jg[:, :200], kept.departure_jg[:, :200])


def test_intervals_hold_what_they_say_and_tell_sure_genes_from_unsure_ones():
    open_kp, expression_kg = planted(70, noise=0.2)
    kept = kept_of(open_kp[:30], expression_kg[:30])
    found = kept.weights(open_kp[30:] - open_kp[:30].mean(axis=0))
    error = expression_kg[30:] - expression_kg[:30].mean(axis=0) - found.weight_kj @ kept.departure_jg
    std = np.sqrt(found.left_k[:, None] * kept.error_g)
    assert 0.75 < (np.abs(error) < 1.2816 * std).mean() < 0.85
    assert spearmanr(std.ravel(), np.abs(error).ravel()).statistic > 0.4


def test_a_row_of_another_kind_is_unlike():
    open_kp, expression_kg = planted(20)
    kept = kept_of(open_kp[:19], expression_kg[:19])
    strange = np.random.default_rng(9).normal(0, 2, (1, open_kp.shape[1]))
    share = kept.weights(np.concatenate([open_kp[19:] - open_kp[:19].mean(axis=0), strange])).share_k
    assert share[0] > 0.9 and share[1] < 0.1


def test_order_of_rows_and_missing_regions():
    open_kp, expression_kg = planted(8)
    order = np.random.default_rng(3).permutation(7)
    kept, other = kept_of(open_kp[:7], expression_kg[:7]), kept_of(open_kp[:7][order], expression_kg[:7][order])
    departs = open_kp[7:] - open_kp[:7].mean(axis=0)
    np.testing.assert_allclose(kept.weights(departs).weight_kj[:, order], other.weights(departs).weight_kj, atol=1e-9)
    np.testing.assert_allclose(kept.error_g, other.error_g, rtol=1e-6)
    some = departs.copy()
    some[:, ::2] = np.nan
    part = SimilarRows(**{**kept.arrays(), "open_jn": kept.open_jn[:, 1::2], "region_n": kept.region_n[1::2]})
    np.testing.assert_array_equal(kept.weights(some).weight_kj, part.weights(departs[:, 1::2]).weight_kj)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_too_few_rows_say_nothing(n_rows):
    open_kp, expression_kg = planted(n_rows + 1)
    kept = kept_of(open_kp[:n_rows], expression_kg[:n_rows])
    found = kept.weights(open_kp[n_rows:] - open_kp[:n_rows].mean(axis=0))
    assert not found.weight_kj.any() and kept.trust[0] == 0 and np.isnan(kept.error_g).all()
