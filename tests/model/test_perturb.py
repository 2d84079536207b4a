"""Perturbed predictions against predictions from data that were changed by hand."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData
from scipy.sparse import csr_matrix

import scget
from scget._errors import InputError
from scget.model import GET, Ensemble
from scget.model._edits import Edit, Step
from scget.model._gene_windows import GeneWindows
from scget.model._what_if import rows_of
from scget.tl import Change, perturb, screen

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"width": 8, "n_layers": 1, "n_heads": 2}


@pytest.fixture(scope="module")
def kinds(trained):
    """Models of other rules, on data like those of ``trained``: published, expression itself, open or not."""
    mdata = MuData({name: trained.adata[name].copy() for name in ("atac", "rna")})
    models = {"usual": trained}
    GET.setup_mudata(mdata)
    for name, settings in {
        "compat": {"preset": "compat", "window": 16},
        "zero": {"baseline": "zero", "window": 16},
        "binary": {"accessibility": "binary", "baseline": "gene_activity", "window": 64},
    }.items():
        models[name] = GET(mdata, **SMALL, **settings)
        models[name].train(2, holdout_obs=["T5"], holdout_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, **QUIET)
    return models


def changed(mdata, *, motifs=None, counts=None):
    """A copy with other motif scores or counts, by functions that change arrays in place."""
    new = mdata.copy()
    if motifs is not None:
        scores = np.asarray(new["atac"].varm["motif_scores"].todense())
        motifs(scores)
        new["atac"].varm["motif_scores"] = scores
    if counts is not None:
        values = new["atac"].X.toarray()
        counts(values)
        new["atac"].X = csr_matrix(values)
    return new


def scale(factor, motif, regions=slice(None)):
    def by(scores):
        scores[regions, motif] *= factor

    return by


def assert_as_predicted(found, model, mdata, new, tolerance=2e-5):
    before, after = (model.predict(data)[found.var_names] for data in (mdata, new))
    rows = found.obs["row"].astype(str)
    for layer, expected in (("reference", before), ("predicted", after)):
        values = found.to_df(layer=layer).set_axis(rows)
        pd.testing.assert_frame_equal(
            values, expected.loc[rows], check_names=False, check_dtype=False, rtol=tolerance, atol=tolerance
        )
    difference = (after - before).loc[rows].fillna(0).to_numpy()
    np.testing.assert_allclose(found.X, difference, rtol=0, atol=2 * tolerance)


@pytest.mark.parametrize("kind", ["usual", "compat", "zero"])
def test_motifs_as_if_scores_were_changed(kinds, kind):
    """Rows, genes and windows all; a dose of 50 drives predictions to the bound at 0."""
    model, mdata = kinds[kind], kinds[kind].adata
    here = mdata["atac"].var_names[10:30]
    doses = (
        [("knockout", None), ("dose", 0.5)] if kind == "compat" else [("knockout", None), ("dose", 2.0), ("dose", 50.0)]
    )
    for name, value in doses:
        factor = value or 0
        found = perturb(mdata, model, {"x": Change(name, motifs="A", value=value)})
        unit = (
            kind != "compat" or name == "knockout"
        )  # there each row's unit is its greatest score, which would scale too
        if unit:
            assert_as_predicted(found, model, mdata, changed(mdata, motifs=scale(factor, 0)))
            assert np.abs(found.X).max() > 1e-3
        found = perturb(mdata, model, {"x": Change(name, here, motifs="B/1", value=value)})
        if unit:
            assert_as_predicted(found, model, mdata, changed(mdata, motifs=scale(factor, 1, slice(10, 30))))


@pytest.mark.parametrize("kind", ["usual", "compat", "binary"])
def test_another_sequence_is_other_scores(kinds, kind, rng):
    """Scores of some regions replaced, within what each row's unit allows; others beside them are as they were."""
    model, mdata = kinds[kind], kinds[kind].adata
    at = np.sort(rng.choice(120, 12, replace=False))
    scores = mdata["atac"].varm["motif_scores"].toarray()
    new_nm = np.where(scores[at] > 0, 0, scores[at[::-1]] / 2)

    def rewrite(score_pm):
        score_pm[at] = new_nm

    where = GeneWindows.of(model, model.table(mdata), None, None, 8)
    forms = [(at, csr_matrix(new_nm)), (at[::-1], new_nm[::-1])]
    edits = [Edit((Step("rewrite", region_n, np.arange(5), score_nm=new),)) for region_n, new in forms]
    change_ekg = np.zeros((2, len(where.row_k), len(where.gene_g)))
    for k, what_if in enumerate(rows_of(where, 8)):
        for found in what_if.effects(edits):
            np.add.at(change_ekg[:, k], (found.edit_i, found.gene_i), found.value_i)
        change_ekg[:, k] = np.maximum(what_if.raw_g + change_ekg[:, k], 0) - np.maximum(what_if.raw_g, 0)
    before, after = (
        model.predict(data)[where.table.genes[where.gene_g]] for data in (mdata, changed(mdata, motifs=rewrite))
    )
    if kind != "compat":  # there the unit of each row is its greatest score, and may be another
        np.testing.assert_allclose(change_ekg[0], (after - before).to_numpy(), atol=5e-5)
        assert np.nanmax(np.abs(change_ekg)) > 1e-3
    np.testing.assert_allclose(change_ekg[0], change_ekg[1], atol=1e-6)


def test_the_bound_at_0_is_that_of_predictions(trained):
    """Training means lowered by hand, so that half of the predictions would be below 0."""
    low = copy.copy(trained)
    low.scaling = replace(trained.scaling, expression_g=trained.scaling.expression_g - 3.7)
    found = perturb(low.adata, low, {"x": Change("dose", motifs="A", value=3)})
    assert_as_predicted(found, low, low.adata, changed(low.adata, motifs=scale(3, 0)))
    was, now = ((found.layers[name] == 0) for name in ("reference", "predicted"))
    assert (was & now).any() and (was & ~now).any() and (~was & now).any() and (found.X[was & now] == 0).all()


def test_regions_as_if_counts_were_changed(kinds):
    """Open or not as the feature, and a window that holds the chromosome: counts of 0 or 1 give just these tokens."""
    model, mdata = kinds["binary"], kinds["binary"].adata
    names, is_promoter = mdata["atac"].var_names, model.table().is_promoter_p
    counts = mdata["atac"].X.toarray()
    inside = ~is_promoter & np.tile((np.arange(40) > 3) & (np.arange(40) < 36), 3)
    shut, partly = np.flatnonzero(inside & (counts == 0).all(0)), np.flatnonzero(inside)[::5]
    promoters = np.flatnonzero(is_promoter)[::4]
    cases = {
        "delete": ([Change("delete", names[partly])], partly, 0),
        "open": ([Change("open", names[partly])], partly, 1),
        "promoters open": ([Change("open", names[promoters])], promoters, 1),
        "promoters close": ([Change("open", names[promoters], value=0)], promoters, 0),
        "both": ([Change("delete", names[partly]), Change("open", names[promoters], value=1)], partly, 0),
    }
    found = perturb(mdata, model, {name: some for name, (some, _, _) in cases.items()})
    for name, (_, at, value) in cases.items():

        def put(values, at=at, value=value, name=name):
            values[:, at] = value
            if name == "both":
                values[:, promoters] = 1

        new = changed(mdata, counts=put)
        assert_as_predicted(found[found.obs["perturbation"] == name], model, mdata, new)
        assert np.abs(found[found.obs["perturbation"] == name].X).max() > 1e-3
    assert (counts[:, partly] == 0).any() and (counts[:, partly] > 0).any() and len(shut) >= 0


@pytest.fixture(scope="module")
def by_hand(trained):
    """A gene's prediction in T5 as a function of its window's features and hidden regions, in float64."""
    from scget.data import lay_tokens, prediction_windows

    table, scaling, row = trained.table(), trained.scaling, 5
    tokens = lay_tokens(
        table.counts_kp, table.is_promoter_p, table.chrom_p, np.array([row]), np.ones(120, bool), closed=trained.closed
    )
    windows = prediction_windows(tokens, trained.window, table.is_promoter_p)
    lines = windows.regions()[windows.focus_window_n]
    for gene in (g for g in range(1, 48) if np.isfinite(scaling.expression(table.genes)[g])):
        slot = table.promoters.slot_n[table.promoters.gene_n == gene][0]
        promoter, strand = table.promoters.region_q[slot], table.promoters.strand_q[slot]
        n = next(i for i, (r, t) in enumerate(zip(lines, windows.focus_token_n, strict=True)) if r[t] == promoter)
        window, at = lines[n], windows.focus_token_n[n]
        apart_p = np.abs(table.regions.centers - table.regions.centers[promoter])
        near_p = (table.chrom_p == table.chrom_p[promoter]) & (apart_p < 100_000) & (table.counts_kp[row] > 0)
        outside = np.setdiff1d(np.flatnonzero(near_p), window)
        absent = np.setdiff1d(np.arange(window[0], window.max()), window)
        if len(outside) and len(absent) and -1 not in window:
            break
    net, fold_p = copy.deepcopy(trained.module).double(), scaling.channels(table)[row, :, 1].astype(float)
    weights = np.exp(-apart_p / 20_000) * (table.chrom_p == table.chrom_p[promoter]) * (apart_p <= 100_000)
    missed = scaling.said_by(scaling.likeness(table, np.array([row])), table.genes)[0][0, gene]

    def predict(features, window, hidden=None, more=0.0):
        center = torch.tensor(table.regions.centers[window])[None]
        out = net(torch.tensor(features)[None], center, None if hidden is None else torch.tensor(hidden)[None])[0, at]
        slope, share = scaling.activity
        departure = (1 - share) * out[2 + strand].item() + share * slope * (weights @ (fold_p + more))
        return scaling.expression(table.genes)[gene] + missed + scaling.spread(table.genes)[gene] * departure

    features = np.hstack([scaling.motifs(table), scaling.channels(table)[row]]).astype(float)
    return predict, features, f"G{gene}", window, promoter, absent[0], outside[0]


def test_each_kind_against_features_made_by_hand(trained, by_hand):
    predict, features, gene, window, promoter, absent, outside = by_hand
    table, mdata = trained.table(), trained.adata
    names, reference = table.regions.names, predict(features[window], window)
    assert reference == pytest.approx(trained.predict().loc["T5", gene], rel=1e-5)
    shown = [p for p in window if not table.is_promoter_p[p]][:3]
    mean_p = features[:, 5] - features[:, 6]

    def expected(at, value=None, motifs=1.0, hide=False, blank=False, extended=window):
        new, more = features.copy(), np.zeros(120)
        new[at, :5] *= motifs
        new[at, 5] = value
        new[at, 6] = value - mean_p[at]
        more[at] = new[at, 5] - features[at, 5]
        if blank:
            new[at] = 0
        return predict(new[extended], extended, np.isin(extended, at) if hide else None, more) - reference

    cases = {
        "inactivate": (Change("inactivate", names[shown]), expected(shown, 0.0, motifs=0.0)),
        "close": (Change("open", names[shown], value=0), expected(shown, 0.0)),
        "open": (Change("open", names[shown], value=2.5), expected(shown, 2.5)),
        "delete": (Change("delete", names[shown]), expected(shown, 0.0, hide=True, blank=True)),
        "promoter": (Change("delete", names[promoter]), expected([promoter], 0.0, motifs=0.0, hide=True)),
        "joins": (Change("open", names[absent]), expected([absent], 1.0, extended=np.append(window, absent))),
        "activity": (Change("delete", names[outside]), expected([outside], 0.0)),
    }
    found = perturb(mdata, trained, {name: change for name, (change, _) in cases.items()}, genes=[gene], rows=["T5"])
    assert found.obs["perturbation"].tolist() == list(cases)
    np.testing.assert_allclose(found.X[:, 0], [value for _, value in cases.values()], rtol=1e-3, atol=2e-6)
    assert (np.abs(found.X[:, 0]) > 1e-5).all()


def test_open_by_default_raises_and_never_lowers(trained):
    table = trained.table()
    open_p = trained.scaling.channels(table)[5, :, 0]
    high, low = np.flatnonzero(open_p > 1.2)[0], np.flatnonzero((open_p > 0) & (open_p < 0.8))[0]
    of = {name: table.regions.names[p] for name, p in {"high": high, "low": low}.items()}
    found = perturb(trained.adata, trained, {n: Change("open", r) for n, r in of.items()}, rows=["T5"])
    exact = perturb(trained.adata, trained, {n: Change("open", r, value=1) for n, r in of.items()}, rows=["T5"])
    assert (found["high in T5"].X == 0).all() and (exact["high in T5"].X != 0).any()
    np.testing.assert_allclose(found["low in T5"].X, exact["low in T5"].X, atol=1e-6)  # other batches round otherwise


def test_what_no_change_reaches_is_0_exactly(trained):
    table = trained.table()
    region = np.flatnonzero((table.counts_kp > 0).all(0) & (table.chrom_p == 1))[5]
    found = perturb(trained.adata, trained, {"one": Change("delete", table.regions.names[region])})
    on = np.unique(table.promoters.gene_n[table.chrom_p[table.promoters.region_q[table.promoters.slot_n]] == 1])
    far = ~found.var_names.isin(table.genes[on])
    assert (found.X[:, far] == 0).all() and (found.X[:, ~far] != 0).any()
    window = trained.window  # beyond so many shown regions and 100 kb nothing is seen
    chromosome = np.flatnonzero(table.chrom_p == 1)
    away = chromosome[np.abs(np.searchsorted(chromosome, region) - np.arange(40)) > 2 * window - 8]
    away = [p for p in away if abs(table.regions.centers[p] - table.regions.centers[region]) > 1e5]
    genes = table.genes[table.promoters.gene_n[np.isin(table.promoters.region_q[table.promoters.slot_n], away)]]
    single = [g for g in genes if g != "G0"]
    assert (found[:, single].X == 0).all()
    nothing = perturb(trained.adata, trained, {"same": Change("dose", motifs=["A", "C"], value=1)})
    assert (nothing.X == 0).all() and nothing.n_vars == 50


def test_doses_combinations_and_their_order(trained):
    mdata = trained.adata
    names = mdata["atac"].var_names
    changes = {
        "0": Change("dose", motifs="A", value=0),
        "out": Change("knockout", motifs="A"),
        "halves": [Change("dose", motifs="A", value=0.5), Change("dose", motifs="A", value=0.5)],
        "quarter": Change("dose", motifs="A", value=0.25),
        "A, C": [Change("knockout", motifs="A"), Change("knockout", motifs="C")],
        "C, A": Change("knockout", motifs=["C", "A"]),
        "last": [Change("delete", names[20]), Change("open", names[20], value=2)],
        "delete": Change("delete", names[20]),
    }
    found = perturb(mdata, trained, changes, rows=["T5", "T1"])
    for one, other in (("0", "out"), ("halves", "quarter"), ("A, C", "C, A"), ("last", "delete")):
        for row in ("T5", "T1"):
            np.testing.assert_allclose(found[f"{one} in {row}"].X, found[f"{other} in {row}"].X, rtol=1e-4, atol=1e-6)
    assert found.obs["row"].tolist()[:4] == ["T5", "T1", "T5", "T1"]
    assert not np.allclose(found["A, C in T5"].X, found["out in T5"].X, atol=1e-4)


def test_order_and_batch_size_change_nothing(trained, rng):
    mdata = trained.adata
    names = mdata["atac"].var_names
    changes = {
        "cut": Change("delete", names[25:31]),
        "A": Change("knockout", motifs="A"),
        "up": Change("open", names[50:70]),
    }
    found = perturb(mdata, trained, changes)
    atac = mdata["atac"][rng.permutation(6), rng.permutation(120)].copy()
    mixed = MuData({"atac": atac, "rna": mdata["rna"][rng.permutation(6), rng.permutation(51)].copy()})
    turned = dict(reversed(changes.items()))
    other = perturb(mixed, trained, turned, genes=found.var_names[::-1], rows=["T3", "T5"], batch_size=3)
    assert other.var_names.tolist() == found.var_names[::-1].tolist()
    pd.testing.assert_frame_equal(
        other.to_df(), found.to_df().loc[other.obs_names, other.var_names], rtol=1e-4, atol=2e-6
    )


def test_screen_is_one_deletion_after_the_other(trained):
    mdata, table = trained.adata, trained.table()
    names, genes = table.regions.names, ["G7", "G0", "G3"]
    found = screen(mdata, trained, genes=genes, rows=["T5", "T2"], reach=60_000, batch_size=5)
    changes = {name: Change("delete", name) for name in dict.fromkeys(found["region"])}
    each = perturb(mdata, trained, changes, genes=genes, rows=["T5", "T2"]).to_df()
    expected = [each.loc[f"{line.region} in {line.row}", line.gene] for line in found.itertuples()]
    np.testing.assert_allclose(found["effect"], expected, rtol=1e-3, atol=2e-6)
    assert (found["effect"] != 0).sum() > 20
    center, promoters = pd.Series(table.regions.centers, names), mdata["atac"].uns["peak_annotation"]
    for gene in genes:
        mine = promoters[promoters["gene"] == gene]
        tss = center[mine["region"]].to_numpy()
        apart = center.to_numpy()[:, None] - tss
        apart[np.char.partition(names.astype(str), ":")[:, 0] != mine["region"].iloc[0].split(":")[0]] = 10**9
        nearest = apart[np.arange(120), np.abs(apart).argmin(1)] * (1 if mine["strand"].iloc[0] == "+" else -1)
        within = np.abs(nearest) <= 60_000
        here = found[(found["gene"] == gene) & (found["row"] == "T2")]
        assert (
            here["region"].tolist() == names[within].tolist() and here["distance"].tolist() == nearest[within].tolist()
        )


def test_an_ensemble_is_the_mean_of_the_members_asked(trained, kinds):
    other = GET(kinds["zero"].adata, **SMALL, window=16, seed=1)
    other.train(2, holdout_obs=["T5"], holdout_chroms=["chr2"], plan_kwargs={"lr": 1e-2}, **QUIET)
    both, mdata = Ensemble([trained, other], {"chr10": 0, "chr2": 1}), trained.adata
    found = perturb(mdata, both, {"x": Change("knockout", motifs="A")})
    assert_as_predicted(found, both, mdata, changed(mdata, motifs=scale(0, 0)))
    parts = [screen(mdata, m, genes=["G3"], rows=["T5"])["effect"].to_numpy() for m in (trained, other, both)]
    known = [np.isfinite(m.scaling.expression(np.array(["G3"], dtype=object)))[0] for m in (trained, other)]
    share = np.array(known) / sum(known) if any(known) else np.array([0.5, 0.5])
    np.testing.assert_allclose(parts[2], share @ np.stack(parts[:2]), atol=1e-6)


@pytest.mark.parametrize("reach", [float("inf"), float("nan"), 2**62, -1, "far"])
def test_a_reach_without_an_end_is_refused(trained, toy, reach):
    with pytest.raises(InputError, match="reach=.*at least 0 bp and at most 1,000,000,000,000, is needed"):
        screen(toy, trained, genes=["G3"], rows=["T5"], reach=reach)


def test_the_greatest_reach_takes_in_the_chromosomes_of_a_gene_alone(trained, toy):
    found = screen(toy, trained, genes=["G3"], rows=["T5"], reach=10**12)
    promoters = toy["atac"].uns["peak_annotation"]
    home = promoters.loc[promoters["gene"] == "G3", "region"].str.split(":").str[0]
    var = toy["atac"].var
    assert sorted(found["region"].astype(str)) == sorted(var.index[var["chrom"].isin(home)])


@pytest.mark.parametrize("ask", ["attribute", "links", "screen"])
def test_a_model_that_has_not_learnt_says_so(toy, ask):
    GET.setup_mudata(toy)
    fresh = GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    with pytest.raises(RuntimeError, match="this model has not learnt expression yet"):
        getattr(scget.tl, ask)(toy, fresh, genes=["G3"], rows=["T5"])


@pytest.mark.parametrize("ask", ["attribute", "links"])
def test_a_row_that_shows_no_promoter_is_refused_in_words(toy, ask):
    GET.setup_mudata(toy)
    model = GET(toy, width=8, n_layers=1, n_heads=2, window=16, preset="compat")
    model.train(1, accelerator="cpu", enable_progress_bar=False)
    promoters = toy["atac"].uns["peak_annotation"].drop_duplicates("gene", keep=False)
    counts = toy["atac"].to_df()[promoters["region"]].to_numpy()
    row, gene = np.argwhere(counts == 0)[0]
    asked = {"genes": [promoters["gene"].iloc[gene]], "rows": [toy.obs_names[row]]}
    with pytest.raises(InputError, match=f"no row of '{asked['rows'][0]}' shows a promoter of '{asked['genes'][0]}'"):
        getattr(scget.tl, ask)(toy, model, **asked)
    assert "get" not in toy.uns
