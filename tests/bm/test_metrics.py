"""Metrics against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from scget.bm import auprc, auroc, pearson, r2, spearman


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
    assert auprc(x, y > 0.5) == pytest.approx(average_precision_score(y > 0.5, x))
    assert auprc(x[::-1], y[::-1] > 0.5) == pytest.approx(auprc(x, y > 0.5))
    assert auprc(np.ones(200), y > 0.5) == pytest.approx((y > 0.5).mean())


def test_without_meaning_is_nan():
    one, few = np.ones(10), np.arange(2.0)
    assert np.isnan([pearson(one, np.arange(10.0)), pearson(few, few), r2(few, few), r2(one, one)]).all()
    assert np.isnan([auroc(one, one), auroc(one, 0 * one), auprc(few, 0 * few), auprc(one[:0], one[:0])]).all()
    assert np.isnan(pearson(one * 1e6 + np.arange(10) * 1e-12, np.arange(10.0)))  # constant but for rounding


def test_shift_scale_and_order(pair, rng):
    x, y = pair
    order = rng.permutation(200)
    assert pearson(3 * x - 7, y) == pytest.approx(pearson(x, y)) == pytest.approx(pearson(x[order], y[order]))
    assert spearman(np.exp(x), y) == pytest.approx(spearman(x, y))
    assert r2(x + 1, y) < r2(x, y)
    assert auroc(-x, y > 0) == pytest.approx(1 - auroc(x, y > 0))
