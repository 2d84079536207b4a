"""Accessibility around promoters, the spread of genes and the slope between them, against loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from scget.data import activity_weights, fit_scaling, gene_activity, near
from scget.data._fit import _spread
from scget.model import GET
from scget.model._settle import activity_share

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def table(trained):
    return trained.table()


def test_pairs_are_those_of_a_double_loop(table):
    at_n, center_p = np.array([3, 3, 60, 119]), table.regions.centers
    found = {(n, p): d for n, p, d in zip(*near(table, at_n, 60_000), strict=True)}
    expected = {
        (n, p): abs(int(center_p[p]) - int(center_p[q]))
        for n, q in enumerate(at_n)
        for p in range(len(center_p))
        if table.chrom_p[p] == table.chrom_p[q] and abs(int(center_p[p]) - int(center_p[q])) <= 60_000
    }
    assert found == expected and len(expected) > 10 and max(expected.values()) > 20_000


def test_activity_is_the_weighted_sum_of_a_loop(table):
    rng = np.random.default_rng(0)
    fold_kp, center_p = rng.normal(0, 1, (2, len(table.regions))), table.regions.centers.astype(float)
    found_kq = gene_activity(table, fold_kp)
    for q, region in enumerate(table.promoters.region_q):
        same = table.chrom_p == table.chrom_p[region]
        distance = np.abs(center_p - center_p[region])
        weight = np.where(same & (distance <= 100_000), np.exp(-distance / 20_000), 0)
        np.testing.assert_allclose(found_kq[:, q], fold_kp @ weight, rtol=1e-10)
    assert activity_weights(table).max() == 1  # the promoter region itself


def test_spread_is_half_the_genes_own_and_half_that_of_genes_of_like_mean():
    """200 genes of low mean and variance 1, 200 of high mean and variance 9; one gene that never varies."""
    departure_kg = np.ones((4, 400)) * np.array([1, -1, 1, -1])[:, None]
    departure_kg[:, 200:] *= 3
    departure_kg[:, 7] = 0
    mean_g = np.r_[np.linspace(0, 1, 200), np.linspace(5, 6, 200)]
    order = np.random.default_rng(0).permutation(400)
    spread_g = _spread(departure_kg[:, order], mean_g[order])[np.argsort(order)]
    assert spread_g[300] == 3 and spread_g[150] == 1  # the first group of 100 holds the gene that never varies
    assert spread_g[8] == pytest.approx(np.sqrt((1 + 0.99) / 2)) and spread_g[7] == pytest.approx(np.sqrt(0.99 / 2))


def test_slope_is_least_squares_over_training_rows_and_genes(trained, table):
    scaling, row_k = trained.scaling, np.arange(5)
    fold_kp = scaling.channels(table)[..., 1].astype(np.float64)
    x_kg = table.promoters.slots_to_genes(gene_activity(table, fold_kp)) * scaling.spread_g
    y_kg = table.expression_kg - scaling.expression_g
    both = np.isfinite(x_kg[row_k]) & np.isfinite(y_kg[row_k])
    slope = np.linalg.lstsq(x_kg[row_k][both][:, None], y_kg[row_k][both], rcond=None)[0]
    assert scaling.activity[0] == pytest.approx(slope[0], rel=1e-4) and abs(slope[0]) > 0.01
    assert both.any(axis=0).sum() == np.isfinite(scaling.expression_g).sum()


def test_its_share_of_the_departure_is_by_activity(toy):
    """The network is trained alike without; a gene never seen has the scale of all genes."""
    predicted = {}
    for baseline in ("training_mean", "gene_activity"):
        GET.setup_mudata(toy)
        model = GET(toy, width=8, n_layers=1, n_heads=2, window=16, baseline=baseline)
        model.train(1, holdout_obs=["T5"], holdout_chroms=["chr10"], **QUIET)
        predicted[baseline] = model.predict()
    table, scaling = model.table(), model.scaling
    active_kg = table.promoters.slots_to_genes(gene_activity(table, scaling.channels(table)[..., 1]))
    spread_g, seen_g = scaling.spread(table.genes), np.isfinite(scaling.expression(table.genes))
    assert (spread_g[~seen_g] == scaling.deviation[0]).all() and len(np.unique(spread_g[seen_g])) > 10
    departure_kg = predicted["training_mean"].to_numpy() - scaling.expression(table.genes)
    slope, share = scaling.activity
    expected = scaling.expression(table.genes) + (1 - share) * departure_kg + share * slope * spread_g * active_kg
    inside = (predicted["training_mean"].to_numpy() > 0) & (expected > 0) & seen_g  # not cut at 0
    found = predicted["gene_activity"].to_numpy()
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-4, atol=1e-5)
    assert inside.sum() > 100 and np.abs(found - predicted["training_mean"].to_numpy())[inside].max() > 0.05

    learnt = np.ix_(np.arange(5), np.flatnonzero(seen_g & np.isfinite(active_kg).all(axis=0)))
    observed_kg = (table.expression_kg - scaling.expression(table.genes))[learnt].ravel()
    by_network, by_activity = departure_kg[learnt].ravel(), (spread_g * active_kg)[learnt].ravel()
    inside = predicted["training_mean"].to_numpy()[learnt].ravel() > 0  # else the network's part is not seen here
    assert inside.all() and share == pytest.approx(
        min(0.5, pearsonr(observed_kg, by_activity)[0] / pearsonr(observed_kg, by_network)[0]), rel=1e-3
    )


@pytest.mark.parametrize(
    ("network", "active", "share"), [(0.8, 0.2, 0.25), (0.4, 0.3, 0.5), (-0.2, 0.3, 0.5), (0.5, -0.1, 0)]
)
def test_share_is_the_ratio_of_correlations_up_to_a_half(network, active, share):
    """Made of orthogonal parts, so that correlations are as said; genes without a number change nothing."""
    truth, other = np.linalg.qr(np.random.default_rng(0).normal(0, 1, (200, 3)))[0].T[:2] * 9
    truth, other = truth - truth.mean(), other - other.mean()
    other -= truth * (truth @ other) / (truth @ truth)
    made = [
        5 * (r * truth / np.linalg.norm(truth) + np.sqrt(1 - r * r) * other / np.linalg.norm(other))
        for r in (network, active)
    ]
    parts = [np.append(part, np.nan).reshape(3, 67) for part in (truth, *made)]
    assert activity_share(*parts) == pytest.approx(share, abs=1e-9)
    assert activity_share(parts[0], parts[1], 0 * parts[2]) == 0


def test_held_out_values_change_no_spread_and_no_slope(table):
    from dataclasses import replace

    on = ~table.on_chroms(["chr10"])
    before = fit_scaling(table, np.arange(5), on)
    expression_kg, counts_kp = table.expression_kg.copy(), table.counts_kp.copy()
    expression_kg[5], counts_kp[5] = 9, 7
    expression_kg[:, np.isnan(before.expression_g)] = 3
    after = fit_scaling(replace(table, expression_kg=expression_kg, counts_kp=counts_kp), np.arange(5), on)
    np.testing.assert_array_equal(before.spread_g, after.spread_g)
    assert (before.activity == after.activity).all() and before.activity[0] != 0
