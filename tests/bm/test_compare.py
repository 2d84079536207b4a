"""Predictors beside each other: the same rows, genes and resamples, whatever they are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

import scget
from scget._errors import InputError, ScgetWarning
from scget.bm import BASELINES, bootstrap, compare, evaluate, pearson, summarise

KEYS = ["split", "row", "metric", "predictor"]


@pytest.fixture(scope="module")
def arrays(trained):
    """Observed, of the model, training mean, and the genes of each kind."""
    table = trained.table()
    predicted = trained.predict().to_numpy().astype(float)
    seen = np.isfinite(trained.scaling.expression(table.genes))
    observed = table.expression_kg.astype(float)
    return SimpleNamespace(
        y=observed, x=predicted, mean=observed[:5].mean(0), own=predicted[:5].mean(0),
        seen=seen, away=~seen & np.isfinite(predicted).all(0), table=table,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scored(trained):
    return compare(trained, predictors=["training_mean", "gene_activity"], n_bootstrap=200)


def indexed(table, column="value"):
    return table.set_index(KEYS)[column].sort_index()


def test_metrics_are_those_of_scipy_and_sklearn(scored, arrays):
    a, value = arrays, indexed(scored)
    for split, genes, k in (("rows", a.seen, 5), ("both", a.away, 5), ("chroms", a.away, 2)):
        change, delta, own = (a.y[k] - a.mean)[genes], (a.x[k] - a.mean)[genes], (a.x[k] - a.own)[genes]
        special = change >= np.log10(3)
        assert 0 < special.sum() < len(special)
        row = f"T{k}"
        expected = {
            "slope": stats.linregress(a.x[k, genes], a.y[k, genes]).slope,
            "delta_slope": stats.linregress(delta, change).slope,
            "change_spearman": stats.spearmanr(own, change).statistic,
            "delta_auroc": roc_auc_score(special, delta),
            "change_auprc": average_precision_score(special, own),
        }
        for metric, number in expected.items():
            assert value[split, row, metric, "GET"] == pytest.approx(number, rel=1e-4), (split, metric)
        assert value[split, row, "delta_auroc", "training_mean"] == 0.5  # one score for all genes
        assert value[split, row, "delta_auprc", "training_mean"] == pytest.approx(special.mean())


def test_intervals_are_those_of_the_arrays(scored, arrays, trained):
    low, high = (indexed(scored, c) for c in ("low", "high"))
    a = arrays
    expected = bootstrap("spearman", a.x[5, a.seen], a.y[5, a.seen], n_bootstrap=200)
    at = ("rows", "T5", "spearman", "GET")
    assert (low[at], high[at]) == pytest.approx(expected, abs=1e-6)
    made = scored.dropna(subset=["value"])
    assert (made["low"] <= made["high"]).all() and made["low"].notna().mean() > 0.95
    inside = (made["low"] <= made["value"]) & (made["value"] <= made["high"])
    assert inside.mean() > 0.9
    assert scored.loc[scored["value"].isna(), ["low", "high"]].isna().all(axis=None)
    over = compare(trained, predictors=[], metrics=["pearson"], n_bootstrap=200, over="chroms").set_index(
        ["split", "row"]
    )
    chrom = pd.Series(a.table.promoters.gene_n).drop_duplicates()
    region = a.table.promoters.region_q[a.table.promoters.slot_n[chrom.index]]
    groups = a.table.chrom_p[region][np.argsort(chrom.to_numpy())]  # of the first promoter
    expected = bootstrap("pearson", a.x[5, a.seen], a.y[5, a.seen], groups=groups[a.seen[:50]], n_bootstrap=200)
    assert tuple(over.loc[("rows", "T5"), ["low", "high"]]) == pytest.approx(expected, abs=1e-6)
    assert np.isnan(over.loc[("both", "T5"), "low"])  # one chromosome


def test_evaluate_is_the_short_form(scored, trained):
    short = evaluate(trained, baselines=["training_mean", "gene_activity"])
    assert short.columns.tolist() == scored.columns.tolist()
    for column in ("value", "low", "high", "n"):
        pd.testing.assert_series_equal(indexed(short, column), indexed(scored, column).loc[indexed(short).index])
    assert set(short["metric"]) < set(scored["metric"]) and set(short["row"]) == {f"T{i}" for i in range(6)} | {"all"}


def test_a_function_or_model_stands_beside_the_baselines(trained, arrays, rng):
    noise = rng.normal(size=arrays.y.shape)
    mine = {"truth": lambda task: task.table.expression_kg, "noisy": lambda task: (arrays.y + noise, 1 + 0 * noise)}
    again = {"again": trained}
    table = compare(trained, predictors=["training_mean", mine, again], n_bootstrap=50)
    assert list(dict.fromkeys(table["predictor"])) == ["GET", "training_mean", "truth", "noisy", "again"]
    value, low = indexed(table), indexed(table, "low")
    for metric in ("pearson", "r2", "slope", "delta_pearson", "delta_auroc", "delta_auprc"):
        assert value["both", "T5", metric, "truth"] == pytest.approx(1) == low["both", "T5", metric, "truth"]
    both = table[table["predictor"].isin(["GET", "again"])]
    for column in ("value", "low", "high", "n"):
        pair = both.pivot(index=KEYS[:3], columns="predictor", values=column)
        np.testing.assert_array_equal(pair["GET"], pair["again"])
    cover = table[table["metric"].str.startswith("coverage")]
    assert set(cover["predictor"]) == {"GET", "again", "noisy"}  # no other gives the size of its error
    wide = (
        cover[(cover["split"] == "chroms") & (cover["predictor"] == "noisy")]
        .groupby("metric")[["value", "n"]]
        .agg({"value": "mean", "n": "sum"})
    )
    for level in (50, 80, 95):
        p, n = level / 100, wide.loc[f"coverage_{level}", "n"]
        assert wide.loc[f"coverage_{level}", "value"] == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n))
    inside = np.abs(noise[5, arrays.seen]) <= stats.norm.ppf(0.9)
    assert value["rows", "T5", "coverage_80", "noisy"] == pytest.approx(inside.mean())
    assert summarise(table).index.tolist() == ["GET", "training_mean *", "truth", "noisy", "again"]


def test_all_are_scored_on_the_genes_that_all_know(trained, arrays):
    some = np.where(np.arange(51) % 2, np.nan, arrays.y)
    with pytest.warns(ScgetWarning, match="'half' has no number for [0-9]+ of [0-9]+ genes in split") as told:
        table = compare(trained, predictors={"half": lambda _: some}, n_bootstrap=0, metrics=["pearson"])
    odd = (np.arange(51) % 2 == 1) & arrays.seen
    assert f"for {odd.sum()} of {arrays.seen.sum()} genes in split 'rows'" in str(told[0].message)
    even = arrays.seen & (np.arange(51) % 2 == 0)
    assert set(table.loc[table["split"] == "rows", "n"]) == {even.sum()}
    assert indexed(table)["rows", "T5", "pearson", "GET"] == pytest.approx(
        pearson(arrays.x[5, even], arrays.y[5, even])
    )
    assert table[["low", "high"]].isna().all(axis=None)


def test_log_fold_change_between_rows(trained, arrays):
    a, pairs = arrays, [("T5", "T1"), ("T0", "T2")]
    table = compare(trained, predictors=["training_mean"], contrasts=pairs, metrics=["lfc_pearson"], n_bootstrap=20)
    value = indexed(table)
    expected = pearson((a.x[5] - a.x[1])[a.seen], (a.y[5] - a.y[1])[a.seen])
    assert value["rows", "T5 - T1", "lfc_pearson", "GET"] == pytest.approx(expected)
    expected = pearson((a.x[0] - a.x[2])[a.away], (a.y[0] - a.y[2])[a.away])
    assert value["chroms", "T0 - T2", "lfc_pearson", "GET"] == pytest.approx(expected)
    assert sorted(set(zip(table["split"], table["row"], strict=True))) == [
        ("both", "T5 - T1"), ("chroms", "T0 - T2"), ("rows", "T5 - T1"),
    ]  # fmt: skip
    assert table.loc[table["predictor"] == "training_mean", "value"].isna().all()
    with pytest.warns(ScgetWarning, match="were trained on"):
        two = compare(trained, rows=["T4", "T5"], predictors=[], metrics=["lfc_pearson"], n_bootstrap=0)
    assert set(two["row"]) == {"T4 - T5"}  # all pairs of what is held out


def test_median_gene_and_its_interval(scored, arrays):
    a = arrays
    across = [stats.pearsonr(a.x[:5, g], a.y[:5, g]).statistic for g in np.flatnonzero(a.away)]
    line = scored[(scored["metric"] == "gene_pearson") & (scored["predictor"] == "GET")].iloc[0]
    assert (line["split"], line["row"], line["n"]) == ("chroms", "all", 5)
    assert line["value"] == pytest.approx(np.median(across), abs=1e-5)
    drawn = np.median(np.random.default_rng(1).choice(across, (4000, len(across))), axis=1)
    assert [line["low"], line["high"]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.1)


def test_order_of_rows_and_genes_does_not_matter(scored, trained, toy, rng):
    atac = toy["atac"][rng.permutation(6), rng.permutation(120)].copy()
    mixed = MuData({"atac": atac, "rna": toy["rna"][rng.permutation(6), rng.permutation(51)].copy()})
    other = compare(trained, mixed, predictors=["training_mean", "gene_activity"], n_bootstrap=200)
    one, other = (indexed(t[~t["metric"].str.contains("spearman")]) for t in (scored, other))
    pd.testing.assert_series_equal(one, other.loc[one.index], rtol=1e-3, atol=1e-4)


def test_summary_with_intervals(scored):
    table = summarise(scored, ["pearson", "delta_pearson"], intervals=True)
    line = scored.set_index(KEYS).loc[("rows", "T5", "pearson", "GET")]
    expected = f"{line['value']:.2f} [{line['low']:.2f}, {line['high']:.2f}]"
    assert table.loc["GET", ("rows", "pearson")] == expected
    assert table.loc["training_mean *", ("rows", "delta_pearson")] == "-"
    rows = scored[(scored["split"] == "chroms") & (scored["metric"] == "pearson") & (scored["predictor"] == "GET")]
    expected = "{:.2f} [{:.2f}, {:.2f}]".format(*rows[["value", "low", "high"]].mean())
    assert table.loc["GET", ("chroms", "pearson")] == expected and len(rows) == 5


def test_another_model_that_saw_more_is_named(trained, toy):
    scget.model.GET.setup_mudata(toy)
    other = scget.model.GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    with pytest.raises(InputError, match="predictor 'other' is not trained"):
        compare(trained, predictors={"other": other})
    other.train(1, holdout_obs=["T4"], enable_progress_bar=False, accelerator="cpu")
    with pytest.warns(
        ScgetWarning, match="'other' was trained on 'row T5', 'chromosome chr10', which is held out here"
    ):
        compare(trained, predictors={"other": other}, metrics=["pearson"], n_bootstrap=0)


def test_bad_input_says_what_is_needed(trained):
    for arguments, message in (
        ({"predictors": ["magic"]}, "no baseline 'magic'; there are 'training_mean'"),
        ({"predictors": "ridge"}, r"'ridge' is one text; a list is needed: \['ridge'\]"),
        ({"predictors": ["ridge", {"ridge": BASELINES["mlp_no_context"]}]}, "two predictors called 'ridge'"),
        ({"predictors": {"GET": BASELINES["ridge"]}}, "two predictors called 'GET'"),
        ({"predictors": {"a": 3}}, "predictor 'a' is of type int; a trained model or a function"),
        ({"predictors": [BASELINES["ridge"]]}, "of type function without a name"),
        (
            {"predictors": {"a": lambda task: np.ones(3)}},
            r"'a' gave \(3,\) of float64; numbers, rows x genes \(6, 51\)",
        ),
        ({"metrics": ["pearsn"]}, "no metric 'pearsn'.*Did you mean 'pearson'"),
        ({"over": "rows"}, "over='rows'; resamples are drawn over 'genes' or 'chroms'"),
        ({"n_bootstrap": 1.5}, "n_bootstrap=1.5"),
        ({"contrasts": ["T1"]}, "contrast 'T1'; two different rows"),
        ({"contrasts": [("T1", "T1")]}, "two different rows"),
        ({"contrasts": [("T1", "T9")]}, "no row 'T9'"),
    ):
        with pytest.raises(InputError, match=message):
            compare(trained, **{"predictors": []} | arguments)
    halves = {f"{i}": lambda task, i=i: np.tile(np.where(np.arange(51) % 2 == i, np.nan, 1.0), (6, 1)) for i in (0, 1)}
    with pytest.warns(ScgetWarning, match="has no number for"), pytest.raises(InputError, match="no gene is left"):
        compare(trained, predictors=halves)


def test_a_predictor_that_is_mute_in_a_split_takes_no_genes_from_others(trained, arrays):
    mute = np.where((np.arange(6) < 5)[:, None], np.nan, arrays.y)  # says nothing of the training rows
    with pytest.warns(
        ScgetWarning, match="'mute' has no number for a gene in split 'chroms': its scores there are NaN"
    ):
        table = compare(trained, predictors={"mute": lambda _: (mute, 0 * mute + 1)}, n_bootstrap=20)
    alone = compare(trained, predictors=[], n_bootstrap=20)
    for column in ("value", "low", "high", "n"):
        ours = indexed(table[table["predictor"] == "GET"], column)
        pd.testing.assert_series_equal(ours, indexed(alone, column))
    value = indexed(table[table["predictor"] == "mute"])
    assert value["rows", "T5", "pearson", "mute"] == pytest.approx(1)
    own = value[value.index.get_level_values("metric").str.startswith("change")]
    assert len(own) and own.isna().all() and value.loc["chroms"].isna().all()  # its own mean is not known
