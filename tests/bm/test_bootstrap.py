"""Bootstrap intervals against scipy, closed forms, and the metric of the items repeated as drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scget._errors import InputError
from scget.bm import _bootstrap, bootstrap, pearson
from scget.bm._bootstrap import REPLICATES, draws
from scget.bm._metrics import METRICS


@pytest.fixture
def pair(rng):
    x = rng.normal(size=150).round(1)  # with ties
    return x, (x + rng.normal(size=150)).round(1)


def truth_of(metric, y):
    return y > 0.5 if metric in ("auroc", "auprc") else y


@pytest.mark.parametrize("groups", [None, np.arange(150) // 11])
@pytest.mark.parametrize("metric", METRICS)
def test_weights_stand_for_items_repeated(metric, groups, pair):
    x, y = pair
    y = truth_of(metric, y).astype(float)
    weights = next(draws(150, 40, 1, groups))
    fast = REPLICATES[metric](y, weights)(x)
    drawn = [np.repeat(np.arange(150), w.astype(int)) for w in weights.T]
    np.testing.assert_allclose(fast, [METRICS[metric](x[i], y[i]) for i in drawn], rtol=1e-9)
    by_function = bootstrap(METRICS[metric], x, y, groups=groups, n_bootstrap=40, seed=1)
    assert bootstrap(metric, x, y, groups=groups, n_bootstrap=40, seed=1) == pytest.approx(by_function)


def test_median_and_share_of_what_is_a_number(rng):
    x = rng.normal(size=60).round(1)
    x[rng.random(60) < 0.3] = np.nan
    weights = next(draws(60, 50, 0))
    drawn = [np.repeat(x, w.astype(int)) for w in weights.T]
    np.testing.assert_allclose(REPLICATES["median"](x, weights)(x), [np.nanmedian(d) for d in drawn])
    flags = np.where(np.isnan(x), np.nan, x > 0)
    drawn = [np.repeat(flags, w.astype(int)) for w in weights.T]
    np.testing.assert_allclose(REPLICATES["share"](x, weights)(flags), [np.nanmean(d) for d in drawn])


@pytest.mark.parametrize("metric", ["pearson", "spearman", "slope", "auroc"])
def test_as_wide_as_scipys(metric, pair):
    x, y = pair
    y = truth_of(metric, y)
    theirs = stats.bootstrap(
        (x, y), METRICS[metric], paired=True, vectorized=False, method="percentile", n_resamples=2000, rng=5
    )
    ours = bootstrap(metric, x, y, n_bootstrap=2000)
    # An end is the 2.5th percentile of 2,000 draws: it varies by 0.06 of their sd; 4 such for the difference of two.
    error = 4 * np.sqrt(2) * 0.06 * theirs.standard_error
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=error)


def test_gaussian_pairs_give_fishers_interval(rng):
    n, r = 3000, 0.6
    x = rng.normal(size=n)
    y = r * x + np.sqrt(1 - r**2) * rng.normal(size=n)
    z, half = np.arctanh(pearson(x, y)), 1.96 / np.sqrt(n - 3)
    expected = np.tanh([z - half, z + half])
    assert bootstrap("pearson", x, y, n_bootstrap=4000) == pytest.approx(tuple(expected), abs=0.15 * np.ptp(expected))


def test_intervals_hold_the_truth_as_often_as_they_say(rng):
    """Planted: 30 chromosomes of 20 genes that share half of their variance."""
    held = {"genes": 0, "chroms": 0}
    groups = np.repeat(np.arange(30), 20)
    for i in range(200):
        shared_x, shared_y = rng.normal(size=(2, 30))[:, groups]
        x, y = np.array([shared_x, shared_y]) + rng.normal(size=(2, 600))  # independent: r is 0
        for over, given in (("genes", None), ("chroms", groups)):
            low, high = bootstrap("pearson", x, y, groups=given, n_bootstrap=200, seed=i)
            held[over] += low <= 0 <= high
    assert 0.88 <= held["chroms"] / 200 <= 0.98
    assert held["genes"] / 200 < 0.75  # what neighbours share is not seen by drawing genes


def test_same_seed_same_bits_whatever_the_chunk(pair, monkeypatch):
    x, y = pair
    groups = np.arange(150) % 13
    whole = bootstrap("spearman", x, y, groups=groups, n_bootstrap=100, seed=3)
    monkeypatch.setattr(_bootstrap, "CHUNK", 150 * 7)
    assert bootstrap("spearman", x, y, groups=groups, n_bootstrap=100, seed=3) == whole
    assert bootstrap("spearman", x, y, groups=groups, n_bootstrap=100, seed=4) != whole


def test_order_of_items_does_not_matter_to_groups(pair, rng):
    x, y = pair
    groups, order = np.arange(150) // 15, rng.permutation(150)
    one = bootstrap("auroc", x, y > 0, groups=groups, n_bootstrap=100)
    assert bootstrap("auroc", x[order], (y > 0)[order], groups=groups[order], n_bootstrap=100) == pytest.approx(one)


def test_without_meaning_is_nan(pair):
    x, y = pair
    for case in (
        bootstrap("pearson", np.ones(150), y),
        bootstrap("pearson", x, y, groups=np.zeros(150)),  # one chromosome says nothing of others
        bootstrap("pearson", x, y, n_bootstrap=0),
        bootstrap("auprc", x, y > 99),
        bootstrap("pearson", x[:0], y[:0]),
    ):
        assert np.isnan(case).all()
    few = np.arange(150) < 2  # resamples without a true item are left out
    assert np.isfinite(bootstrap("auroc", x, few, n_bootstrap=200)).all()


def test_bad_input_says_what_is_needed(pair):
    x, y = pair
    for arguments, message in (
        ({"metric": "magic"}, "no metric 'magic'; there are 'pearson'"),
        ({"observed": y[1:]}, r"shapes \(150,\), \(149,\)"),
        ({"groups": np.ones(3)}, r"\(3,\): one number per item"),
        ({"observed": np.where(np.arange(150) == 7, np.nan, y)}, "1 items have no number .the first is item 7."),
        ({"n_bootstrap": -1}, "n_bootstrap=-1"),
        ({"n_bootstrap": 10.5}, "n_bootstrap=10.5"),
        ({"level": 95}, "level=95; a share"),
    ):
        with pytest.raises(InputError, match=message):
            bootstrap(**{"metric": "pearson", "predicted": x, "observed": y} | arguments)
