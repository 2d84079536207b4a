from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingRegressor

import scget
from scget.pp._regions import regions_of
from scget.pp._sanity import _held_out, motifs_to_accessibility

CHECKS = [
    "accessibility",
    "expression",
    "pairing",
    "regions",
    "order of regions",
    "overlap of regions",
    "first base",
    "ATAC counts",
    "ATAC depth",
    "RNA counts",
    "RNA depth",
    "gene names",
    "genome",
    "motif scores",
    "motifs",
    "regions with motifs",
    "promoters",
]


def verdicts(mdata, **kwargs) -> dict[str, str]:
    report = scget.pp.check(mdata, **kwargs)
    assert report.columns.tolist() == ["check", "verdict", "found", "do"]
    assert report["check"].is_unique
    assert (report["found"] != "").all()
    assert (report.loc[report["verdict"] != "ok", "do"] != "").all()
    return dict(zip(report["check"], report["verdict"], strict=True))


def row(mdata, check, **kwargs) -> pd.Series:
    report = scget.pp.check(mdata, **kwargs)
    (one,) = report[report["check"] == check].itertuples(index=False)
    return one


@pytest.fixture
def rows(cells) -> MuData:
    """Healthy rows of cell types: deep enough and of 200 cells each."""
    pb = scget.pp.pseudobulk(cells, "cell_type")
    for name in ("atac", "rna"):
        pb[name].X = sparse.csr_matrix(pb[name].X * 1_000_001)  # odd numbers remain
        pb[name].obs["n_cells"] = 200
    return pb


def test_healthy_rows_are_ok(rows):
    assert verdicts(rows) == dict.fromkeys([*CHECKS[:9], "cells per row", *CHECKS[9:]], "ok")


def test_healthy_cells_are_ok_and_their_depth_waits(cells):
    assert verdicts(cells) == dict.fromkeys(CHECKS, "ok")
    median = np.median(cells["atac"].X.toarray().sum(axis=1))
    depth = row(cells, "ATAC depth")
    assert depth.found == f"{median:,.0f} counts per row at the median, as single cells have"
    assert "run scget.pp.pseudobulk, then check again" in depth.do


def test_numbers_found_are_those_of_the_data(cells):
    found = scget.pp.check(cells).set_index("check")["found"]
    x, y = (cells[name].X.toarray() for name in ("atac", "rna"))
    assert found["accessibility"] == "24 rows x 12 regions"
    assert found["expression"] == "24 rows x 6 genes"
    assert found["regions"] == "12 regions, 500 bp at the median (all)"
    assert found["ATAC counts"] == f"raw: whole numbers from 0 to {x.max():.0f}"
    assert found["RNA counts"] == f"raw: whole numbers from 0 to {y.max():.0f}"
    totals = y.sum(axis=1)
    assert found["RNA depth"] == f"{np.median(totals):.0f} counts per row at the median, {totals.min():.0f} at least"
    assert found["genome"] == "motif scores were made from 'toy'"
    assert found["motif scores"] == "12 regions x 3 motifs"
    assert found["promoters"] == "3 of 6 genes have a promoter region"


def put(name, change):
    """Replace X of a modality by a function of it, dense."""

    def break_it(mdata):
        mdata[name].X = change(mdata[name].X.toarray().astype(np.float64))
        return mdata

    return break_it


def setting(row_, column, value):
    def change(x):
        x[row_, column] = value
        return x

    return change


def changed(function):
    def break_it(mdata):
        function(mdata)
        return mdata

    return break_it


def rebuilt(**functions):
    def break_it(mdata):
        return MuData({name: functions.get(name, lambda a: a)(mdata[name].copy()) for name in mdata.mod})

    return break_it


def renamed(axis, names):
    def change(adata):
        setattr(adata, axis, names)
        return adata

    return change


def scores(value):
    return changed(
        lambda m: m["atac"].varm.__setitem__("motif_scores", value(np.array(m["atac"].varm["motif_scores"])))
    )


def without(place, key):
    return changed(lambda m: getattr(m["atac"], place).pop(key))


def on_chr1(step, width):
    names = [f"chr1:{s}-{s + width}" for s in range(0, 12 * step, step)]
    return rebuilt(atac=lambda a: AnnData(a.X, obs=a.obs, var=pd.DataFrame(index=names)))


NAMES = [f"{c}:{s}-{s + 500}" for c in ("chr2", "chr10", "chrX") for s in range(100, 4000, 1000)]
TWICE = [NAMES[1], *NAMES[1:]]
BROKEN = {
    "no atac": (lambda m: MuData({"rna": m["rna"], "peaks": m["atac"]}), "accessibility", "error", "no modality 'atac' (accessibility); there are 'rna', 'peaks'", "Name it so"),
    "axis 1": (lambda m: MuData({"atac": m["atac"], "more": renamed("obs_names", list("abcdefghijklmnopqrstuvwx"))(m["atac"].copy())}, axis=1), "accessibility", "error", "MuData with axis=1", "Make it with axis=0"),
    "rna misnamed": (lambda m: MuData({"gex": m["rna"], "atac": m["atac"]}), "expression", "warning", "no modality 'rna': a trained model can predict expression, none can be trained; there is 'gex'", "name it 'rna'"),
    "no genes": (rebuilt(rna=lambda a: a[:, :0].copy()), "expression", "error", "modality 'rna' has 0 genes", "Check the filters"),
    "rows partly shared": (rebuilt(rna=lambda a: a[3:].copy()), "pairing", "error", "21 of 24 rows of 'atac' and of 21 rows of 'rna' are shared", "muon.pp.intersect_obs"),
    "unreadable": (rebuilt(atac=lambda a: AnnData(a.X, obs=a.obs, var=pd.DataFrame(index=[f"p{i}" for i in range(12)]))), "regions", "error", "cannot read 12 of 12 region names, first 'p0'", "Use 'chr1:100-600'"),
    "regions twice": (rebuilt(atac=lambda a: AnnData(a.X, obs=a.obs, var=pd.DataFrame(index=TWICE))), "regions", "error", "1 regions occur twice", "Keep one of each"),
    "overlapping": (on_chr1(100, 150), "overlap of regions", "warning", "11 of 12 regions overlap one before them, first 'chr1:100-250' with 'chr1:0-150'", "Count in regions that do not overlap"),
    "1-based": (on_chr1(1000, 499), "first base", "warning", "all regions are 499 bp long, one less than 500", "scget.pp.sort_regions(mdata, one_based=True)"),
    "log1p": (put("rna", np.log1p), "RNA counts", "error", "rna.X must be raw counts", "Pass rna_layer="),
    "negative": (put("atac", setting(0, 0, -1)), "ATAC counts", "error", "1 negative values in atac.X", "Raw counts are needed"),
    "NaN": (put("atac", setting(2, 4, np.nan)), "ATAC counts", "error", "1 NaN in atac.X, first in row 'cell2', column 'chr10:100-600'", "Remove or mend"),
    "binary": (put("atac", np.ones_like), "ATAC counts", "warning", "atac.X looks binary; counts of fragments carry more", "scget.pp.count_fragments"),
    "reads": (put("atac", lambda x: 2 * x), "ATAC counts", "warning", "reads, not fragments?", "scvi.data.reads_to_fragments halves them"),
    "genes twice": (rebuilt(rna=lambda a: AnnData(a.X, obs=a.obs, var=pd.DataFrame(index=["G", "G", *"abcd"]))), "gene names", "error", "1 gene names occur twice, first 'G'", "Use Ensembl ids"),
    "no genome": (without("uns", "motif_scan"), "genome", "warning", "no record of the genome", "of one build"),
    "no scores": (without("varm", "motif_scores"), "motif scores", "error", "no motif scores in atac.varm['motif_scores']", "run scget.pp.motif_scores(mdata, genome=..., motifs=...) first"),
    "scores NaN": (scores(lambda s: np.where(np.arange(3) == 1, np.nan, s)), "motif scores", "error", "12 NaN in motif scores, first in region 'chr2:100-600', motif 'GATA'", "Remove or mend"),
    "silent motif": (scores(lambda s: s * [1, 0, 1]), "motifs", "warning", "1 of 3 motifs have no hit in any region: 'GATA'", "leave them out"),
    "silent motif, sparse": (scores(lambda s: sparse.csr_array(s * [0, 0, 1])), "motifs", "warning", "2 of 3 motifs have no hit in any region: 'AP1/1', 'GATA'", "leave them out"),
    "silent regions": (scores(lambda s: s * (np.arange(12) < 5)[:, None]), "regions with motifs", "warning", "41.7% of regions have one; 0 motifs in a region at the median", "genome of the regions"),
    "silent regions, sparse": (scores(lambda s: sparse.csc_matrix(s * (np.arange(12) < 5)[:, None])), "regions with motifs", "warning", "41.7% of regions have one; 0 motifs", "genome of the regions"),
    "no promoters": (without("uns", "peak_annotation"), "promoters", "error", "no promoters in atac.uns['peak_annotation']", "run scget.pp.promoters"),
    "few promoters": (rebuilt(rna=renamed("var_names", ["G0", *(f"ENSG{i}" for i in range(5))])), "promoters", "warning", "1 of 6 genes have a promoter region", "kind of id"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*are not unique", "ignore:Duplicated ", "ignore:Cannot join")
@pytest.mark.parametrize(("break_it", "check", "verdict", "found", "do"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_told_and_the_rest_is_checked(cells, break_it, check, verdict, found, do):
    broken = break_it(cells)
    before = broken.copy()
    report = scget.pp.check(broken)
    bad = report[report["verdict"] != "ok"]
    (one,) = bad[bad["check"] == check].itertuples(index=False)
    assert one.verdict == verdict
    assert found in one.found
    assert do in one.do
    assert not set(bad["check"]) - {check, "expression", "motifs", "motif scores", "promoters", "genome"}
    assert len(report) > (9 if check != "accessibility" else 1)
    assert_unchanged(broken, before)


def assert_unchanged(now, before):
    assert list(now.mod) == list(before.mod)
    for name, one in now.mod.items():
        other = before.mod[name]
        pd.testing.assert_frame_equal(one.obs, other.obs)
        pd.testing.assert_frame_equal(one.var, other.var)
        assert list(one.uns) == list(other.uns)
        assert list(one.varm) == list(other.varm)
        same = [a.X.toarray() if sparse.issparse(a.X) else a.X for a in (one, other)]
        np.testing.assert_array_equal(*same)


def test_text_of_an_error_is_that_of_the_refusal(cells):
    del cells["atac"].varm["motif_scores"]
    one = row(cells, "motif scores")
    with pytest.raises(scget.pp._checks.InputError) as refused:
        scget.pp._checks.check_motifs(cells["atac"])
    assert f"{one.found}: {one.do}" == str(refused.value)


def test_no_mudata_is_refused(cells):
    with pytest.raises(TypeError, match="got AnnData. Make one"):
        scget.pp.check(cells["atac"])


def test_shallow_rows_are_named(rows):
    shallow = rows["atac"].X.toarray()
    shallow[1] = [30_001, *[1] * 11]
    rows["atac"].X = sparse.csr_matrix(shallow)
    rows["atac"].obs["n_cells"] = [99, 100, 7]
    names = rows["atac"].obs_names
    depth, n_cells = row(rows, "ATAC depth"), row(rows, "cells per row")
    assert depth.verdict == n_cells.verdict == "warning"
    assert depth.found == f"1 of 3 rows have fewer than 3,000,000 counts, least 30,012: '{names[1]}'"
    assert n_cells.found == f"2 of 3 rows are made of fewer than 100 cells: '{names[2]}', '{names[0]}'"


@pytest.mark.parametrize(("name", "check"), [("atac", "ATAC depth"), ("rna", "RNA depth")])
def test_rows_without_counts_are_an_error(rows, name, check):
    x = rows[name].X.toarray()
    x[2] = 0
    rows[name].X = x
    one = row(rows, check)
    assert (one.verdict, one.found, one.do) == (
        "error",
        f"1 rows of '{name}' have no counts, first '{rows[name].obs_names[2]}'",
        "Remove them.",
    )


def test_cells_without_counts_are_allowed(cells):
    x = cells["rna"].X.toarray()
    x[2] = 0
    cells["rna"].X = x
    assert row(cells, "RNA depth").verdict == "ok"


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_depth_does_not_depend_on_the_kind_of_matrix(cells, dtype, container):
    x = (cells["atac"].X.toarray() > 0).astype(dtype)
    wide = np.tile(x, (1, 40))  # sums above 255
    start = np.arange(480) * 1000
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 400})
    var.index = [f"chr1:{s}-{s + 400}" for s in start]
    made = AnnData(container(wide), obs=cells["atac"].obs.copy(), var=var)
    expected = np.median(40.0 * (cells["atac"].X.toarray() > 0).sum(axis=1))
    assert row(MuData({"atac": made}), "ATAC depth").found.startswith(f"{expected:,.0f} counts per row at the median")


def test_atac_alone_is_for_prediction(cells):
    alone = MuData({"atac": cells["atac"]})
    report = verdicts(alone)
    assert list(report) == [c for c in CHECKS if c not in ("pairing", "RNA counts", "RNA depth", "gene names")]
    assert set(report.values()) == {"ok"}
    assert (
        row(alone, "expression").found
        == "no modality 'rna': a trained model can predict expression, none can be trained"
    )
    assert row(alone, "promoters").found == "3 genes have a promoter region"


def test_order_plays_no_part_and_is_told(cells, rng):
    order_p, order_c = rng.permutation(12), rng.permutation(24)
    mixed = MuData({"rna": cells["rna"][order_c].copy(), "atac": cells["atac"][:, order_p].copy()})
    report, other = (scget.pp.check(m).set_index("check") for m in (cells, mixed))
    told = ["pairing", "order of regions"]
    pd.testing.assert_frame_equal(report.drop(index=told), other.drop(index=told))
    assert (other.loc[told, "verdict"] == "ok").all()
    assert other.loc["pairing", "found"] == "the same rows in both, in another order: they are matched by name"
    assert other.loc["order of regions", "found"].startswith("not sorted: scget sorts inside")


def test_layers_are_looked_at(cells):
    for name in ("atac", "rna"):
        cells[name].layers["counts"] = cells[name].X.copy()
        cells[name].X = cells[name].X / 3
    assert verdicts(cells)["ATAC counts"] == verdicts(cells)["RNA counts"] == "error"
    assert row(cells, "RNA counts").do == "Pass rna_layer='counts'."
    assert set(verdicts(cells, atac_layer="counts", rna_layer="counts").values()) == {"ok"}
    missing = row(cells, "RNA counts", rna_layer="raw")
    assert "no layer 'raw' in 'rna'; there are 'counts'" in missing.found


def test_reasons_of_genes_are_counted(cells):
    tss = pd.DataFrame({"gene": ["G0", "G1", "G2"], "chrom": ["chr2"] * 3, "tss": [300, 300, 90_000], "strand": "+"})
    scget.pp.promoters(cells, tss)
    assert row(cells, "promoters").found == (
        "2 of 6 genes have a promoter region; of the others: not in the annotation 3, no region at a TSS 1"
    )


def test_promoters_of_regions_removed_do_not_count(cells):
    kept = MuData({"rna": cells["rna"], "atac": cells["atac"][:, 1:].copy()})
    assert row(kept, "promoters").found == "2 of 6 genes have a promoter region"


def test_a_view_is_checked(cells):
    assert {check: v for check, v in verdicts(cells[:12]).items() if v != "ok"} == {"view": "warning"}
    assert "mdata = mdata.copy()" in row(cells[:12], "view").do


def test_warnings_stay_inside(cells):
    cells["atac"].X = np.ones(cells["atac"].shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert row(cells, "ATAC counts").verdict == "warning"


# deep


def genome(rng, n=1500, chroms=("chr1", "chr2", "chr10", "chr11"), n_rows=3) -> MuData:
    """Regions of ``n`` per chromosome in no order; two of four motifs open them, with noise."""
    start = np.concatenate([np.arange(n) * 2000 for _ in chroms])
    var = pd.DataFrame(
        {"chrom": np.repeat(chroms, n), "start": start, "end": start + rng.integers(300, 500, len(start))}
    )
    var.index = [f"{c}:{s}-{e}" for c, s, e in var.itertuples(index=False)]
    motif_pm = rng.gamma(2, 1, (len(var), 4)) * (rng.random((len(var), 4)) < 0.5)
    mean_p = np.exp(1 + (motif_pm[:, 0] > 0) - 0.5 * motif_pm[:, 1] + rng.normal(0, 0.5, len(var)))
    atac = AnnData(sparse.csr_matrix(rng.poisson(mean_p, (n_rows, len(var))).astype(np.float32)), var=var)
    atac.obs_names = [f"T{i}" for i in range(n_rows)]
    atac.varm["motif_scores"] = sparse.csr_matrix(motif_pm.astype(np.float32))
    atac.uns["motif_names"] = np.array(list("ABCD"), dtype=object)
    return MuData({"atac": atac[:, rng.permutation(len(var))].copy()})


def by_hand(atac, x) -> float:
    """The same trees in one go, and a correlation by its formula."""
    counts = atac.X.toarray().astype(np.float64)
    y = np.log10(np.mean([1e6 * k / k.sum() for k in counts], axis=0) + 1)
    held = atac.var["chrom"].isin(["chr10", "chr11"]).to_numpy()
    trees = HistGradientBoostingRegressor(max_iter=100, early_stopping=False, random_state=0)
    a, b = trees.fit(x[~held], y[~held]).predict(x[held]), y[held]
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def test_deep_equals_trees_by_hand(rng):
    mdata = genome(rng)
    atac = mdata["atac"]
    result = motifs_to_accessibility(atac.X, atac.varm["motif_scores"], regions_of(atac))
    order = np.lexsort([atac.var["start"], atac.var["chrom"].map({"chr1": 1, "chr2": 2, "chr10": 10, "chr11": 11})])
    atac = atac[:, order].copy()  # trees differ in the last digits with the order of what they learn from
    x = atac.varm["motif_scores"].toarray()
    few = np.column_stack([x.sum(axis=1, dtype=np.float64), atac.var["end"] - atac.var["start"]])
    assert (result.held_chroms, result.n_trained, result.n_held) == (["chr10", "chr11"], 3000, 3000)
    assert result.r == pytest.approx(by_hand(atac, x), abs=1e-6)
    assert result.r_baseline == pytest.approx(by_hand(atac, few), abs=1e-6)
    one = row(mdata, "motifs to accessibility", deep=True)
    assert one.verdict == "ok"
    assert one.found == (
        f"Pearson {result.r:.2f} on 3,000 regions of chr10 and chr11, held out ({result.r_baseline:.2f} from width and "
        "sum of scores alone); 3,000 regions to learn from"
    )
    assert result.r > 0.6 > result.r_baseline + 0.1


def test_deep_is_the_same_each_time_and_for_any_order(rng):
    atac = genome(rng, n=600)["atac"]
    mixed = atac[rng.permutation(3), rng.permutation(atac.n_vars)].copy()
    mixed.X = mixed.X.toarray()
    mixed.varm["motif_scores"] = mixed.varm["motif_scores"].toarray()
    state = np.random.get_state()[1].copy()
    results = [motifs_to_accessibility(a.X, a.varm["motif_scores"], regions_of(a)) for a in (atac, atac, mixed)]
    assert results[0] == results[1]
    assert results[2].r == pytest.approx(results[0].r, abs=1e-6)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_deep_finds_nothing_in_shuffled_motifs(rng):
    mdata = genome(rng)
    atac = mdata["atac"]
    atac.varm["motif_scores"] = atac.varm["motif_scores"][rng.permutation(atac.n_vars)]
    one = row(mdata, "motifs to accessibility", deep=True)
    r = float(re.search(r"Pearson (-?[\d.]+) ", one.found)[1])
    assert abs(r) < 4 / np.sqrt(3000)  # four standard errors of a correlation of 0
    assert one.verdict == "warning"
    assert "belong together" in one.do


def test_deep_says_where_there_are_too_few_regions(cells):
    one = row(cells, "motifs to accessibility", deep=True)
    assert (one.verdict, one.found) == (
        "warning",
        "too few regions to tell: 4 to learn from, 8 on two other chromosomes",
    )


def test_deep_is_left_out_where_counts_are_refused(cells):
    cells["atac"].X = cells["atac"].X / 3
    assert "motifs to accessibility" not in verdicts(cells, deep=True)


@pytest.mark.parametrize(
    ("sizes", "held"),
    [
        ({"chr1": 9, "chr10": 2, "chr11": 8, "chr2": 5}, ["chr10", "chr11"]),
        ({"chr1": 9, "chr2": 5, "chr10": 2, "chr3": 7}, ["chr2", "chr3"]),
        ({"1": 9, "2": 5, "10": 2}, ["10", "2"]),
        ({"chr1": 9, "chr2": 5}, []),
    ],
)
def test_chromosomes_held_out_follow_a_rule(sizes, held):
    assert _held_out(np.repeat(list(sizes), list(sizes.values()))) == held


@pytest.mark.slow
def test_deep_on_simulated_data(tmp_path):
    made = scget.datasets.simulated(tmp_path)
    scget.pp.motif_scores(made.mdata, made.genome, motifs=made.motifs)
    one = row(made.mdata, "motifs to accessibility", deep=True)
    r, r_baseline = (float(x) for x in re.findall(r"(\d\.\d\d)", one.found))
    # openness is planted by motifs, hence nearly all of it can be learnt, but little from their number
    assert (one.verdict, r > 0.85, r_baseline < 0.4) == ("ok", True, True)
