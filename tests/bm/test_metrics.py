"""Metrics against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from scget.bm import (
    auprc,
    auroc,
    coverage,
    fold_change_pearson,
    gene_correlation,
    interval,
    pearson,
    r2,
    slope,
    spearman,
    specific,
)


@pytest.fixture
def pair(rng):
    x = rng.normal(size=200).round(1)  # with ties
    return x, (x + rng.normal(size=200)).round(1)


def test_against_libraries(pair):
    x, y = pair
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert r2(x, y) == pytest.approx(r2_score(y, x))
    assert auroc(x, y > 0.5) == pytest.approx(roc_auc_score(y > 0.5, x))
    assert slope(x, y) == pytest.approx(stats.linregress(x, y).slope)
    assert auprc(x, y > 0.5) == pytest.approx(average_precision_score(y > 0.5, x))
    assert auprc(x[::-1], y[::-1] > 0.5) == pytest.approx(auprc(x, y > 0.5))
    assert auprc(np.ones(200), y > 0.5) == pytest.approx((y > 0.5).mean())


def test_without_meaning_is_nan():
    one, few = np.ones(10), np.arange(2.0)
    assert np.isnan(
        [pearson(one, np.arange(10.0)), pearson(few, few), slope(one, np.arange(10.0)), r2(few, few), r2(one, one)]
    ).all()
    assert np.isnan([auroc(one, one), auroc(one, 0 * one), auprc(few, 0 * few), auprc(one[:0], one[:0])]).all()
    assert np.isnan(pearson(one * 1e6 + np.arange(10) * 1e-12, np.arange(10.0)))  # constant but for rounding


def test_shift_scale_and_order(pair, rng):
    x, y = pair
    order = rng.permutation(200)
    assert pearson(3 * x - 7, y) == pytest.approx(pearson(x, y)) == pytest.approx(pearson(x[order], y[order]))
    assert spearman(np.exp(x), y) == pytest.approx(spearman(x, y))
    assert r2(x + 1, y) < r2(x, y)
    assert auroc(-x, y > 0) == pytest.approx(1 - auroc(x, y > 0))


def test_correlation_of_each_gene_across_rows(rng):
    x, y = rng.normal(size=(2, 5, 40))
    x[:, 0] = 2.5
    y[:, 1] = 1 / 3
    found = gene_correlation(x, y)
    assert np.isnan(found[:2]).all() and np.isnan(gene_correlation(x[:2], y[:2])).all()
    np.testing.assert_allclose(found[2:], [stats.pearsonr(x[:, g], y[:, g]).statistic for g in range(2, 40)])
    order = rng.permutation(5)
    np.testing.assert_allclose(gene_correlation(x[order], y[order]), found)


def test_fold_change_between_two_rows(rng):
    x, y = rng.normal(size=(2, 2, 50))
    assert fold_change_pearson(x, y) == pytest.approx(stats.pearsonr(x[0] - x[1], y[0] - y[1]).statistic)
    assert fold_change_pearson(x[::-1], y[::-1]) == pytest.approx(fold_change_pearson(x, y))
    assert fold_change_pearson(x + rng.normal(size=50), y) == pytest.approx(fold_change_pearson(x, y))  # level of genes


def test_specific_genes_are_three_times_the_mean():
    mean = np.log10([10.0, 10, 10, 1])
    np.testing.assert_array_equal(specific(np.log10([29.9, 30.1, 5, 4]), mean), [False, True, False, True])
    np.testing.assert_array_equal(specific(np.log10([29.9, 30.1, 5, 4]), mean, fold=2), [True, True, False, True])


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_normal_errors_are_inside_as_often_as_said(level, rng):
    n = 20_000
    predicted, sd = rng.normal(size=n), rng.gamma(3, 1, n)
    observed = predicted + sd * rng.normal(size=n)
    low, high = interval(predicted, sd, level)
    np.testing.assert_allclose([low, high], stats.norm.interval(level, predicted, sd))
    assert coverage(observed, low, high) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / n))
    assert coverage(observed, *interval(predicted, sd / 2, level)) < level - 0.1  # too sure of itself
    low[:500], observed[500:600] = np.nan, np.nan
    assert coverage(observed, low, high) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / n))
    assert np.isnan(coverage(observed, low * np.nan, high))
    assert coverage(np.array([1.0, 2]), np.array([1.0, 1]), np.array([1.0, 1.5])) == 0.5  # ends included
