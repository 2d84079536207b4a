"""Transcription factors by row and gene set: means, tests and expression against pandas and scipy; nets for decoupler."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix
from scipy.stats import false_discovery_control, mannwhitneyu

import scget
from scget._errors import InputError, ScgetWarning

ROWS, MOTIFS = ["B", "T", "Mono", "NK/ILC"], ["GATA", "SPI/1", "ETS", "bare", "HOX"]
TFS = [  # cluster, motif, tf
    *[("GATA", "m1", "GATA1"), ("GATA", "m2", "GATA2"), ("GATA", "m3", "GATA1"), ("SPI/1", "m4", "SPI1")],
    *[("ETS", "m5", "SPI1"), ("ETS", "m6", "ETS1"), ("ETS", "m7", "NOWHERE"), ("HOX", "m8", "NOWHERE")],
]
SETS = {"first": [f"G{i}" for i in range(4, 12)], "second": [f"G{i}" for i in range(8, 40, 3)]}


@pytest.fixture
def made(rng):
    """Random attributions of 4 rows, 45 genes (5 not attributed, 1 in T alone) and 5 motifs, as tl.attribute writes them."""
    genes = ["GATA1", "GATA2", "SPI1", "ETS1", *[f"G{i}" for i in range(4, 45)]]
    counts_kg = rng.poisson(rng.gamma(1, 300, (4, 45))).astype(np.float32)
    counts_kg[:, 0] = [0, 1, 400, 0]
    obs = pd.DataFrame(index=ROWS)
    rna = AnnData(csr_matrix(counts_kg), obs=obs.copy(), var=pd.DataFrame(index=genes))
    rna.layers["get"] = rng.gamma(2, 1, (4, 45)).astype(np.float32)
    rna.layers["get"][:, 2] = np.nan
    for k, row in enumerate(ROWS):
        found_gm = rng.normal(0, 0.1, (45, 5)) * (rng.random((45, 5)) < 0.7)  # zeros, so ties
        found_gm[: 5 if k == 1 else 6] = np.nan
        rna.varm[f"get_motif_{row.replace('/', '_')}"] = found_gm.astype(np.float32)
    rna.uns["get"] = {"motif_names": np.array(MOTIFS)}
    var = pd.DataFrame({"chrom": "chr1", "start": [0, 900], "end": [500, 1400]}, index=["chr1:0-500", "chr1:900-1400"])
    atac = AnnData(csr_matrix(np.ones((4, 2), np.float32)), obs=obs.copy(), var=var)
    atac.uns["motif_tfs"] = pd.DataFrame(
        TFS, columns=["cluster", "motif", "tf"], index=[str(i) for i in range(len(TFS))]
    )
    mdata = MuData({"rna": rna, "atac": atac})
    mdata.uns["get"] = {"scget_version": "0", "unit": "log10(CPM + 1)"}
    return mdata


def attributions(mdata):
    """Row to a genes x motifs table."""
    rna = mdata["rna"]
    tables = {row: rna.varm[f"get_motif_{row.replace('/', '_')}"].astype(np.float64) for row in ROWS}
    return {row: pd.DataFrame(table, rna.var_names, MOTIFS) for row, table in tables.items()}


def found(mdata, **how):
    scget.tl.regulators(mdata, **how)
    return mdata.uns["get"]["regulators"]


def by_motif(table):
    """Line per row, set and motif."""
    key = ["row", "gene_set", "motif"]
    return table.drop_duplicates(key).astype(dict.fromkeys(key, str)).set_index(key).sort_index()


def test_means_and_tests_by_pandas_and_scipy(made):
    """Each number again, one gene at a time, and the test by scipy's own; G5 is attributed in T alone."""
    table, of = by_motif(found(made, gene_sets=SETS)), attributions(made)
    mean = pd.concat(of).groupby(level=1).mean()
    alone = pd.concat(of).groupby(level=1).count() < 2
    for row in ROWS:
        departs = (of[row] - mean).mask(alone).dropna()
        p = {}
        for name, genes in SETS.items():
            here = table.loc[(row, name)].loc[MOTIFS]
            mine = of[row].loc[genes].dropna()
            assert (here["n_genes"] == len(mine)).all() and len(mine) == len(genes) - (row != "T") * (
                name == "first"
            ) - (name == "first")
            inside, outside = departs[departs.index.isin(genes)], departs[~departs.index.isin(genes)]
            np.testing.assert_allclose(here["effect"], mine.mean(), rtol=1e-9)
            np.testing.assert_allclose(here["specific"], inside.mean(), rtol=1e-9)
            np.testing.assert_allclose(here["apart"], inside.abs().mean(), rtol=1e-9)
            test = mannwhitneyu(inside, outside, use_continuity=False, method="asymptotic")
            half = len(inside) * len(outside) / 2
            np.testing.assert_array_equal(np.sign(here["z"]), np.sign(test.statistic - half))
            p[name] = test.pvalue
        fdr = false_discovery_control(np.concatenate(list(p.values())))
        np.testing.assert_allclose(
            table.loc[row]["fdr"].unstack()[MOTIFS].loc[list(SETS)].to_numpy().ravel(), fdr, rtol=1e-9
        )


def test_strongest_first_and_each_line_once(made):
    table = found(made, gene_sets=SETS, rows=["Mono", "B"])
    assert list(dict.fromkeys(table["row"])) == ["Mono", "B"]
    assert not table.duplicated(["row", "gene_set", "motif", "tf"]).any()
    assert len(table) == 2 * 2 * 8  # GATA1, GATA2; SPI1; ETS1, NOWHERE, SPI1; none; NOWHERE
    for _, lines in table.groupby(["row", "gene_set"], observed=True):
        assert lines["specific"].abs().is_monotonic_decreasing
    whole = found(made)
    pd.testing.assert_series_equal(
        by_motif(whole).loc["Mono"]["effect"].droplevel(0)[MOTIFS], attributions(made)["Mono"].mean(), check_names=False
    )
    assert whole["z"].isna().all() and whole["fdr"].isna().all() and set(whole["gene_set"]) == {"all genes"}


def test_expression_of_factors_by_hand(made):
    table, rna = found(made, gene_sets=SETS["first"], min_expression=3.5), made["rna"]
    counts = rna.to_df().astype(np.float64)
    observed = np.log10(counts.div(counts.sum(axis=1), axis=0) * 1e6 + 1)
    lines = table.astype({"tf": object}).set_index(["row", "motif", "tf"]).sort_index()
    for row in ROWS:
        for cluster, _, tf in TFS:
            line = lines.loc[(row, cluster, tf)]
            if tf == "NOWHERE":
                assert line[["predicted", "observed", "rank"]].isna().all() and line["expressed"] is pd.NA
                continue
            assert line["observed"] == pytest.approx(observed.loc[row, tf])
            assert line["expressed"] == (observed.loc[row, tf] >= 3.5)
            np.testing.assert_allclose(line["predicted"], rna.to_df(layer="get").loc[row, tf])
        for cluster, tfs in {"GATA": ["GATA1", "GATA2"], "ETS": ["SPI1", "ETS1"]}.items():
            ranks = observed.loc[row, tfs].rank(ascending=False)
            np.testing.assert_array_equal([lines.loc[(row, cluster, tf), "rank"] for tf in tfs], ranks)
    bare = table[table["motif"] == "bare"]
    assert bare["tf"].isna().all() and bare["expressed"].isna().all() and len(bare) == 4
    assert set(table["expressed"].dropna()) == {True, False}


def test_predicted_expression_where_there_are_no_counts(made):
    """As tl.predict leaves data of ATAC alone, and rows without a single count."""
    rna = made["rna"]
    empty = rna.X.toarray()
    empty[1] = 0
    rna.X = csr_matrix(empty)
    table = found(made)
    assert table.loc[table["row"] == "T", "observed"].isna().all()
    assert table.loc[table["row"] == "B", "observed"].notna().any()
    rna.X = None
    table = found(made, min_expression=1.0)
    assert table["observed"].isna().all()
    known = table.dropna(subset="predicted")
    np.testing.assert_array_equal(known["expressed"].astype(bool), known["predicted"] >= 1)
    assert set(known["tf"]) == {"GATA1", "GATA2", "ETS1"} and table.loc[table["tf"] == "SPI1", "expressed"].isna().all()


@pytest.mark.parametrize("form", ["mouse", "versions", "symbols"])
def test_names_of_genes_in_other_forms(made, form):
    """Mouse's Gata1, ids with a version, and symbols in a column of their own."""
    sets = {"first": [*SETS["first"], "ETS1"]}
    expected = found(made, gene_sets=sets)
    rna = made["rna"]
    names = rna.var_names.to_series()
    if form == "symbols":
        rna.var["gene_symbols"] = names.to_numpy()
    new = {
        "mouse": names.str.capitalize(),
        "versions": names + ".12",
        "symbols": [f"ENSG{i:011d}.1" for i in range(45)],
    }
    rna.var_names = new[form]
    pd.testing.assert_frame_equal(found(made, gene_sets=sets), expected)


def test_genes_that_share_a_symbol(made):
    """Of a factor the higher expression; in a set both."""
    rna = made["rna"]
    rna.var["gene_name"] = rna.var_names.to_series().replace({"G44": "gata1", "G43": "G9"}).to_numpy()
    rna.var_names = [f"ENSG{i:011d}" for i in range(45)]
    table, counts = found(made, gene_sets=["G9", "G10"]), rna.to_df()
    share = counts.iloc[:, [0, 44]].max(axis=1) / counts.sum(axis=1)
    gata = table[table["tf"] == "GATA1"].set_index("row")["observed"]
    np.testing.assert_allclose(gata[ROWS], np.log10(share[ROWS] * 1e6 + 1), rtol=1e-5)
    assert (table["n_genes"] == 3).all()


def test_order_of_rows_genes_and_motifs_changes_nothing(made, rng):
    expected = found(made, gene_sets=SETS)
    rna, motif_m = made["rna"][rng.permutation(4), rng.permutation(45)].copy(), rng.permutation(5)
    for row in ROWS:
        slot = f"get_motif_{row.replace('/', '_')}"
        rna.varm[slot] = rna.varm[slot][:, motif_m]
    rna.uns["get"] = {"motif_names": np.array(MOTIFS)[motif_m]}
    atac = made["atac"][rng.permutation(4), [1, 0]].copy()
    atac.uns["motif_tfs"] = atac.uns["motif_tfs"].iloc[rng.permutation(len(TFS))]
    mixed = MuData({"rna": rna, "atac": atac})
    mixed.uns["get"] = {"scget_version": "0"}
    sets = {name: SETS[name][::-1] for name in ("second", "first")}
    key = ["row", "gene_set", "motif", "tf"]
    one, other = (
        t.astype(dict.fromkeys(key, str)).set_index(key).sort_index() for t in (expected, found(mixed, gene_sets=sets))
    )
    pd.testing.assert_frame_equal(one, other, rtol=1e-9)


@pytest.mark.parametrize("kind", ["h5mu", "zarr"])
def test_table_survives_a_file(made, tmp_path, kind):
    table = found(made, gene_sets=SETS)
    path = tmp_path / f"made.{kind}"
    made.write_h5mu(path) if kind == "h5mu" else made.write_zarr(path)
    again = (mudata.read_h5mu if kind == "h5mu" else mudata.read_zarr)(path)
    pd.testing.assert_frame_equal(again.uns["get"]["regulators"], table)
    assert again.uns["get"]["regulators"]["expressed"].dtype == "boolean"
    once_more = found(again, gene_sets=SETS)  # from attributions that were read
    pd.testing.assert_frame_equal(once_more, table)


def test_one_row_has_nothing_to_be_compared_with(made):
    of = attributions(made)["B"]
    for row in ROWS[1:]:
        del made["rna"].varm[f"get_motif_{row.replace('/', '_')}"]
    table = by_motif(found(made, gene_sets=SETS["second"])).loc[("B", "gene set")].loc[MOTIFS]
    assert table[["specific", "apart"]].isna().all(axis=None)
    of = of.dropna()
    test = mannwhitneyu(
        of[of.index.isin(SETS["second"])], of[~of.index.isin(SETS["second"])], use_continuity=False, method="asymptotic"
    )
    np.testing.assert_allclose(table["fdr"], false_discovery_control(test.pvalue), rtol=1e-9)


def test_all_genes_beside_shuffled_motifs_and_other_models(trained, toy):
    """z and fdr of all genes are those that tl.attribute has made; another model's regulators are taken away."""
    scget.tl.attribute(toy, trained, n_shuffles=3, rows=["T1", "T5"])
    scget.tl.regulators(toy, rows=["T5"])
    table, null = toy.uns["get"]["regulators"], toy.uns["get"]["motif_null"]
    null = null[null["row"] == "T5"].set_index("motif")
    mine = table.astype({"motif": str}).set_index("motif").loc[null.index.astype(str)]
    np.testing.assert_array_equal(mine[["z", "fdr"]], null[["z", "fdr"]])
    assert mine["z"].notna().any() and mine["tf"].isna().all()  # the toy's factors are not known
    np.testing.assert_allclose(mine["effect"], np.nanmean(toy["rna"].varm["get_motif_T5"], axis=0), rtol=1e-5)
    assert toy.uns["get"]["regulated"]["compared"] == ["T1", "T5"]
    toy.uns["get"]["model"] = "another"
    scget.tl.predict(toy, trained)
    assert "regulators" not in toy.uns["get"]


def test_copy_leaves_the_data(made):
    before = set(made.uns["get"])
    changed = scget.tl.regulators(made, copy=True)
    assert set(made.uns["get"]) == before and "regulators" in changed.uns["get"]


def test_what_is_not_there(made):
    before = set(made.uns["get"])
    with pytest.raises(InputError, match=r"1 of 2 rows have no motif attributions: 'pDC'.*scget.tl.attribute"):
        scget.tl.regulators(made, rows=["B", "pDC"])
    with pytest.raises(InputError, match="none of the 2 genes of set 'x' is in 'rna', first 'P53', 'MYC'"):
        scget.tl.regulators(made, gene_sets={"x": ["P53", "MYC"], "y": ["G9"]})
    with pytest.raises(
        InputError, match="no gene of 1 of 2 sets, first 'x', is attributed in row 'B'.*promoter region"
    ):
        scget.tl.regulators(made, gene_sets={"x": ["GATA1"], "y": ["G9"]})
    with pytest.raises(InputError, match="gene_sets is empty"):
        scget.tl.regulators(made, gene_sets={})
    with pytest.raises(InputError, match="min_expression=nan"):
        scget.tl.regulators(made, min_expression=np.nan)
    with pytest.raises(InputError, match="no motif attributions in rna.varm.*scget.tl.attribute"):
        scget.tl.regulators(made, key="other")
    with pytest.raises(InputError, match="view"):
        scget.tl.regulators(made[:2])
    assert set(made.uns["get"]) == before
    with pytest.warns(ScgetWarning, match="1 genes of gene sets are not in 'rna' and are left out: 'P53'"):
        scget.tl.regulators(made, gene_sets=["G9", "P53"])


def test_what_does_not_fit(made):
    rna, atac = made["rna"], made["atac"]
    rna.layers["log"] = np.log1p(rna.X.toarray())
    with pytest.raises(InputError, match="must be raw counts"):
        scget.tl.regulators(made, rna_layer="log")
    atac.uns["motif_tfs"]["cluster"] = "other"
    with pytest.raises(InputError, match="has none of the 5 motifs attributed to, first 'GATA'"):
        scget.tl.regulators(made)
    del atac.uns["motif_tfs"]["cluster"]
    with pytest.raises(InputError, match="lacks 'cluster'"):
        scget.tl.regulators(made)
    rna.uns["get"]["motif_names"] = np.array(MOTIFS[:4])
    with pytest.raises(InputError, match="attributions of 'B' are 45 x 5 for 45 genes and 4 motif names"):
        scget.tl.regulators(made)


def test_net_by_hand(made):
    """Weights of a factor are those of its clusters, added; SPI1 has two clusters, NOWHERE shares one with it."""
    of = attributions(made)["T"].fillna(0)
    net = scget.tl.to_net(made, row="T", top=None, min_expression=None)
    assert net.columns.tolist() == ["source", "target", "weight"] and not net.duplicated(["source", "target"]).any()
    wide = net.pivot(index="target", columns="source", values="weight").reindex(of.index).fillna(0)
    clusters = {
        "GATA1": ["GATA"],
        "GATA2": ["GATA"],
        "SPI1": ["SPI/1", "ETS"],
        "ETS1": ["ETS"],
        "NOWHERE": ["ETS", "HOX"],
    }
    assert set(wide.columns) == set(clusters)
    for tf, held in clusters.items():
        np.testing.assert_allclose(wide[tf], of[held].sum(axis=1), atol=1e-12)
    strongest = scget.tl.to_net(made, row="T", top=7, min_expression=None)
    spi = of[["SPI/1", "ETS"]].sum(axis=1)
    assert strongest.loc[strongest["source"] == "SPI1", "target"].tolist() == spi.abs().nlargest(7).index.tolist()
    by_cluster = scget.tl.to_net(made, source="motif", top=None)
    mean = pd.concat(attributions(made)).groupby(level=1).mean().fillna(0)
    wide = by_cluster.pivot(index="target", columns="source", values="weight").reindex(of.index).fillna(0)
    np.testing.assert_allclose(wide[MOTIFS], mean.loc[of.index], atol=1e-12)


def test_net_leaves_out_factors_that_are_not_expressed(made):
    counts = made["rna"].to_df().astype(np.float64)
    observed = np.log10(counts.div(counts.sum(axis=1), axis=0) * 1e6 + 1)[["GATA1", "GATA2", "SPI1", "ETS1"]]
    assert observed.loc["B", "GATA1"] == 0 < observed.loc["Mono", "GATA1"]
    net = scget.tl.to_net(made, row="B")
    assert set(net["source"]) == {*observed.columns[observed.loc["B"] >= 0.7], "NOWHERE"} and "GATA1" not in set(
        net["source"]
    )
    assert "GATA1" in set(scget.tl.to_net(made)["source"])  # in Mono it is
    made["atac"].uns["motif_tfs"] = made["atac"].uns["motif_tfs"].iloc[:1]
    with pytest.raises(InputError, match="none of the 1 factors .* is known and expressed at min_expression=0.7"):
        scget.tl.to_net(made, row="B")
    with pytest.raises(InputError, match="source='gene'"):
        scget.tl.to_net(made, source="gene")
    with pytest.raises(InputError, match="top=0"):
        scget.tl.to_net(made, top=0)


@pytest.mark.slow
def test_decoupler_takes_the_net(made, rng):
    """Its univariate linear model: t of the slope of expression on weights (0 where there is none), over all genes."""
    import decoupler

    net = scget.tl.to_net(made, row="T", min_expression=None)
    values = rng.normal(size=(7, 45))
    samples = AnnData(values, obs=pd.DataFrame(index=[f"s{i}" for i in range(7)]), var=made["rna"].var.copy())
    decoupler.mt.ulm(samples, net, tmin=5)
    scores = samples.obsm["score_ulm"]
    wide = net.pivot(index="target", columns="source", values="weight").reindex(samples.var_names).fillna(0)
    assert set(scores.columns) == set(wide.columns)
    for tf in wide:
        x = wide[tf].to_numpy()
        for i, y in enumerate(values):
            design = np.column_stack([np.ones(45), x])
            beta = np.linalg.lstsq(design, y, rcond=None)[0]
            error = np.square(y - design @ beta).sum() / 43
            slope_sd = np.sqrt(error * np.linalg.inv(design.T @ design)[1, 1])
            assert scores[tf].iloc[i] == pytest.approx(beta[1] / slope_sd, rel=1e-6)
