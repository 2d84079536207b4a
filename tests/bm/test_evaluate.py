"""Baselines against their definitions, and scores on what was held out only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError, ScgetWarning
from scget.bm import BASELINES, evaluate, pearson, summarise
from scget.bm._baselines import Task
from scget.data import fit_scaling


@pytest.fixture
def task(trained):
    table = trained.table()
    region_p = np.isin(table.chroms, ["chr1", "chr2"])[table.chrom_p]
    seen_g = np.isfinite(trained.scaling.expression(table.genes))
    return Task(table, fit_scaling(table, np.arange(5), region_p), np.arange(5), seen_g)


def test_mean_and_best_row(task):
    observed = task.table.expression_kg.astype(np.float64)
    np.testing.assert_allclose(BASELINES["training_mean"](task), np.tile(observed[:5].mean(0), (6, 1)), rtol=1e-6)
    best = BASELINES["best_training_row"](task)
    accessible = task.scaling.channels(task.table)[..., 0]
    for k in range(6):
        likeness = [-1 if j == k else np.corrcoef(accessible[k], accessible[j])[0, 1] for j in range(5)]
        np.testing.assert_array_equal(best[k], observed[np.argmax(likeness)])


def test_promoter_accessibility_is_a_line_in_the_promoters_fold(task):
    predicted = BASELINES["promoter_accessibility"](task)
    table, observed = task.table, task.table.expression_kg.astype(np.float64)
    pairs = table.promoters
    single = np.array([g for g in range(50) if (pairs.gene_n == g).sum() == 1])
    region = np.array([pairs.region_q[pairs.slot_n[pairs.gene_n == g][0]] for g in single])
    accessible = task.scaling.channels(table)[:, region, 0].astype(np.float64)
    fold = accessible - accessible[:5].mean(0)
    departure = predicted[:, single] - observed[:5].mean(0)[single]
    on = task.seen_g[single] & (predicted[:, single] > 0).all(axis=0)
    slope = departure[:, on][0] / fold[:, on][0]
    np.testing.assert_allclose(departure[:, on], fold[:, on] * np.median(slope), atol=0.02)  # one slope for all
    assert np.isnan(predicted[:, 50]).all()  # no promoter


def test_gene_activity_weighs_regions_by_distance(task):
    weights = task.weights_gp.toarray()
    table, pairs = task.table, task.table.promoters
    gene = 7
    region = pairs.region_q[pairs.slot_n[pairs.gene_n == gene][0]]
    distance = np.abs(table.regions.centers - table.regions.centers[region])
    near = (table.chrom_p == table.chrom_p[region]) & (distance <= 100_000)
    np.testing.assert_allclose(weights[gene], np.where(near, np.exp(-distance / 5000), 0))
    assert not weights[50].any()
    np.testing.assert_allclose(weights[0].sum(), np.mean([w.sum() for w in _slot_weights(task, 0)]))


def _slot_weights(task, gene):
    table, pairs = task.table, task.table.promoters
    for slot in pairs.slot_n[pairs.gene_n == gene]:
        distance = np.abs(table.regions.centers - table.regions.centers[pairs.region_q[slot]])
        near = (table.chrom_p == table.chrom_p[pairs.region_q[slot]]) & (distance <= 100_000)
        yield np.where(near, np.exp(-distance / 5000), 0)


def test_scores_are_those_of_the_arrays(trained):
    scores = evaluate(trained, baselines=["training_mean", "gene_activity"])
    assert scores.columns.tolist() == ["split", "row", "metric", "predictor", "value", "low", "high", "n"]
    table = trained.table()
    observed = table.expression_kg.astype(np.float64)
    predicted = trained.predict().to_numpy()
    seen = np.isfinite(trained.scaling.expression(table.genes))
    unseen = ~seen & np.isfinite(predicted).all(0)
    mean, own = observed[:5].mean(0), predicted[:5].mean(0)
    value = scores.set_index(["split", "row", "metric", "predictor"])["value"].sort_index()
    assert value["rows", "T5", "pearson", "GET"] == pytest.approx(pearson(predicted[5, seen], observed[5, seen]))
    expected = pearson((predicted[5] - mean)[seen], (observed[5] - mean)[seen])
    assert value["rows", "T5", "delta_pearson", "GET"] == pytest.approx(expected)
    expected = pearson((predicted[5] - own)[unseen], (observed[5] - mean)[unseen])
    assert value["both", "T5", "change_pearson", "GET"] == pytest.approx(expected)
    assert value["chroms", "T2", "pearson", "GET"] == pytest.approx(pearson(predicted[2, unseen], observed[2, unseen]))
    for metric in ("delta_pearson", "change_pearson", "change_spearman"):  # it predicts no difference between rows
        assert np.isnan(value["rows", "T5", metric, "training_mean"])
    across = [pearson(predicted[:5, g], observed[:5, g]) for g in np.flatnonzero(unseen)]
    assert value["chroms", "all", "gene_pearson", "GET"] == pytest.approx(np.nanmedian(across))
    assert set(scores.loc[scores["split"] == "rows", "row"]) == {"T5"}
    counted = scores.set_index(["split", "row"])["n"].sort_index()
    assert set(counted["rows", "T5"]) == {seen.sum()} and set(counted["both", "T5"]) == {unseen.sum()}


def test_watched_chromosomes_are_not_scored_as_held_out(toy):
    scget.model.GET.setup_mudata(toy)
    model = scget.model.GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    held = {"holdout_obs": ["T5"], "holdout_chroms": ["chr10"], "validation_chroms": ["chr2"]}
    model.train(1, **held, enable_progress_bar=False, accelerator="cpu")
    table = model.table()
    chrom = table.chroms[table.chrom_p[table.promoters.region_q[table.promoters.slot_n]]]
    by_gene = pd.Series(chrom).groupby(table.promoters.gene_n).agg(set)
    scores = evaluate(model, baselines=["training_mean"])
    counted = scores.groupby("split")["n"].max()
    assert counted["both"] == counted["chroms"] == (by_gene == {"chr10"}).sum()
    assert counted["rows"] == sum("chr1" in chroms for chroms in by_gene)


def test_summary_puts_predictors_beside_each_other(trained):
    scores = evaluate(trained, baselines=["gene_activity", "training_mean"])
    table = summarise(scores, ["pearson"])
    assert table.index.tolist() == ["GET", "training_mean *", "gene_activity"]
    assert table.columns.tolist() == [(s, "pearson") for s in ("rows", "chroms", "both")]
    chroms = scores[(scores["split"] == "chroms") & (scores["metric"] == "pearson") & (scores["predictor"] == "GET")]
    assert table.loc["GET", ("chroms", "pearson")] == pytest.approx(chroms["value"].mean()) and len(chroms) == 5


def test_scoring_what_was_trained_on_warns_and_nonsense_is_refused(trained, toy):
    with pytest.warns(ScgetWarning, match="'T1' were trained on"):
        scores = evaluate(trained, rows=["T1"], baselines=[])
    assert set(scores.loc[scores["split"] == "rows", "row"]) == {"T1"}
    with pytest.raises(InputError, match="no baseline 'magic'"):
        evaluate(trained, baselines=["magic"])
    from mudata import MuData

    few = MuData({name: trained.adata[name][["T5", "T0"]].copy() for name in ("atac", "rna")})
    with pytest.raises(InputError, match="4 training rows are not in the data .'T1', 'T2', 'T3'"):
        evaluate(trained, few)
    with pytest.raises(InputError, match="no row 'T9'"):
        evaluate(trained, rows=["T9"], baselines=[])
    scget.model.GET.setup_mudata(toy)
    model = scget.model.GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    with pytest.raises(InputError, match="needs a trained model"):
        evaluate(model)
    model.train(1, enable_progress_bar=False, accelerator="cpu")
    with pytest.raises(InputError, match="nothing was held out"):
        evaluate(model, baselines=[])


def test_order_of_rows_and_regions_does_not_matter(trained, toy, rng):
    from mudata import MuData

    mixed = MuData(
        {
            "atac": toy["atac"][rng.permutation(6), rng.permutation(120)].copy(),
            "rna": toy["rna"][rng.permutation(6), rng.permutation(51)].copy(),
        }
    )
    keys = ["split", "row", "metric", "predictor"]
    names = ["gene_activity", "ridge", "best_training_row", "similar_rows", "boosted_trees"]
    one = evaluate(trained, baselines=names).set_index(keys)["value"]
    other = evaluate(trained, mixed, baselines=names).set_index(keys)["value"]
    one = one[~one.index.get_level_values("metric").str.contains("spearman")]  # ranks turn with the last bit
    pd.testing.assert_series_equal(one, other.loc[one.index], rtol=1e-3, atol=1e-4)
