"""Every broken MuData is refused with a message that says what was found, and is left as it was."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import scget
from scget._errors import InputError, ScgetWarning
from scget.pp import _checks


def check(mdata):
    """All that preparing and setting up demand of a MuData."""
    _checks.check_mudata(mdata, motifs=True, promoters=True)
    scget.pp.pseudobulk(mdata, "cell_type", min_cells=8)


def put(name, matrix_of):
    """Replace X of a modality by a function of it, as a dense float64 array."""

    def break_it(mdata):
        mdata[name].X = matrix_of(mdata[name].X.toarray().astype(np.float64))
        return mdata

    return break_it


def at(row, column, value):
    def change(x):
        x[row, column] = value
        return x

    return change


def change(function):
    """Apply ``function`` to the MuData in place."""

    def break_it(mdata):
        function(mdata)
        return mdata

    return break_it


def rebuilt(**functions):
    """A MuData of modalities changed by ``functions``."""

    def break_it(mdata):
        return MuData({name: functions.get(name, lambda a: a)(mdata[name].copy()) for name in mdata.mod})

    return break_it


def renamed(adata, names):
    adata.obs_names = names
    return adata


def label(name, index, value):
    def break_it(mdata):
        labels = mdata[name].obs["cell_type"].astype(object)
        labels.iloc[index] = value
        mdata[name].obs["cell_type"] = labels
        return mdata

    return break_it


def label_both(index, value):
    return lambda mdata: label("rna", index, value)(label("atac", index, value)(mdata))


def log_layer(mdata):
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata["rna"].X = np.log1p(mdata["rna"].X)
    return mdata


def both_twice(adata):
    names = adata.obs_names.tolist()
    return renamed(adata, [names[0], names[0], *names[2:]])


def without_column(mdata):
    del mdata["rna"].obs["cell_type"], mdata["atac"].obs["cell_type"]
    return mdata


def motif(value):
    return change(lambda m: m["atac"].varm.__setitem__("motif_scores", value(m["atac"].varm["motif_scores"])))


def uns(key, value):
    return change(lambda m: m["atac"].uns.__setitem__(key, value))


PROMOTER = pd.DataFrame({"region": ["chr9:1-2"], "gene": "G0", "strand": "+", "tss": 1, "distance": 0}, index=["0"])

CASES = [
    ("AnnData", lambda m: m["rna"], TypeError, r"a MuData .* is needed, got AnnData. Make one: MuData\("),
    ("array", lambda m: np.ones(3), TypeError, "got ndarray"),
    ("no atac", lambda m: MuData({"rna": m["rna"], "peaks": m["atac"]}), InputError, r"no modality 'atac' \(accessibility\); there are 'rna', 'peaks'.*'atac'"),
    ("no rna", lambda m: MuData({"gex": m["rna"], "atac": m["atac"]}), InputError, r"no modality 'rna' \(expression\); there are 'gex', 'atac'"),
    ("axis 1", lambda m: MuData({"atac": renamed(m["atac"].copy(), [f"x{i}" for i in range(24)]), "more": m["atac"]}, axis=1), InputError, "MuData with axis=1"),
    ("no regions", rebuilt(atac=lambda a: a[:, :0].copy()), InputError, "modality 'atac' has 0 regions"),
    ("no genes", rebuilt(rna=lambda a: a[:, :0].copy()), InputError, "modality 'rna' has 0 genes"),
    ("no cells", lambda m: m[[]].copy(), InputError, "modality 'atac' has 0 rows"),
    ("partly shared", rebuilt(rna=lambda a: a[3:].copy(), atac=lambda a: a[:20].copy()), InputError, r"17 of 20 rows of 'atac' and of 21 rows of 'rna' are shared \(only in 'atac': 'cell0', ...; only in 'rna': 'cell20', .*intersect_obs"),
    ("only fewer", rebuilt(rna=lambda a: a[3:].copy()), InputError, r"21 of 24 rows .* shared \(only in 'atac': 'cell0', ...\)"),
    ("none shared", rebuilt(rna=lambda a: renamed(a, [f"s1#{n}" for n in a.obs_names])), InputError, "no row name in common: 'atac' has 'cell0', ..., 'rna' has 's1#cell0', ...*prefix or suffix"),
    ("twice", rebuilt(rna=both_twice, atac=both_twice), InputError, "1 row names occur twice in 'atac', first 'cell0'.*obs_names_make_unique"),
    ("genes twice", rebuilt(rna=lambda a: AnnData(a.X, obs=a.obs, var=pd.DataFrame(index=["G", "G", *"abcd"]))), InputError, "1 gene names occur twice, first 'G'"),
    ("log1p", log_layer, InputError, r"rna.X must be raw counts: \d+.\d% of its \d+ stored values are not whole numbers \(max [\d.]+: looks like log1p\). Pass rna_layer='counts'."),
    ("normalised", put("rna", lambda x: x * 100.5), InputError, r"not whole numbers \(max [\d.]+\). Pass rna_layer= with a layer of raw counts; none was found"),
    ("one value", put("atac", at(23, 11, 0.5)), InputError, r"atac.X must be raw counts: 0.3% of its 288 stored values"),
    ("negative", put("atac", at(5, 1, -1.75)), InputError, "1 negative values in atac.X, least -1.75. Raw counts are needed"),
    ("NaN", put("rna", at(2, 4, np.nan)), InputError, "1 NaN in rna.X, first in row 'cell2', column 'G4'"),
    ("infinite", put("atac", at(23, 11, np.inf)), InputError, "1 infinite values in atac.X, first in row 'cell23', column 'chrX:3100-3600'"),
    ("X is None", rebuilt(rna=lambda a: AnnData(obs=a.obs, var=a.var, layers={"counts": a.X})), InputError, "rna.X is empty.*one of 'counts'"),
    ("unreadable names", rebuilt(atac=lambda a: AnnData(a.X, obs=a.obs, var=pd.DataFrame(index=[f"peak_{i}" for i in range(12)]))), InputError, "cannot read 12 of 12 region names, first 'peak_0'"),
    ("no scores", change(lambda m: m["atac"].varm.__delitem__("motif_scores")), InputError, r"no motif scores in .*run scget.pp.motif_scores\(mdata"),
    ("scores NaN", motif(lambda s: np.where(np.arange(3) == 1, np.nan, s)), InputError, "12 NaN in motif scores, first in region 'chr2:100-600', motif 'GATA'"),
    ("scores NaN sparse", motif(lambda s: sparse.csr_matrix(np.where(np.arange(3) == 2, np.nan, s))), InputError, "12 NaN in motif scores, first in region 'chr2:100-600', motif 'CTCF'"),
    ("scores table", motif(lambda s: pd.DataFrame(s, index=[f"chr{c}:{b}-{b + 500}" for c in (2, 10, "X") for b in range(100, 4000, 1000)], columns=list("abc"))), InputError, "motif scores are a DataFrame"),
    ("no motif names", change(lambda m: m["atac"].uns.pop("motif_names")), InputError, "no motif names in .*run scget.pp.motif_scores"),
    ("too few names", uns("motif_names", np.array(["a", "b"])), InputError, "2 motif names for 3 columns"),
    ("motif twice", uns("motif_names", np.array(["a", "b", "a"])), InputError, "1 motif names occur twice, first 'a'"),
    ("no promoters", change(lambda m: m["atac"].uns.pop("peak_annotation")), InputError, r"no promoters in .*run scget.pp.promoters\(mdata, annotation=...\) first"),
    ("promoters lack tss", uns("peak_annotation", PROMOTER.drop(columns="tss")), InputError, "the promoter table lacks the columns 'tss'"),
    ("promoters elsewhere", uns("peak_annotation", PROMOTER), InputError, "none of the 1 promoters is one of the regions of 'atac'"),
    ("no label column", without_column, InputError, "no column 'cell_type' in obs of 'atac', 'rna'. Found: 'atac:donor', 'rna:donor'"),
    ("NaN label", label("rna", [4, 6], np.nan), InputError, r"2 rows have no label in rna.obs\['cell_type'\], first 'cell4'. Drop them or"),
    ("labels differ", label("rna", [3, 5], "T"), InputError, "labels of 'cell_type' differ for 2 rows, first 'cell3': 'B' in 'atac', 'T' in 'rna'"),
    ("1 and '1'", lambda m: label_both(slice(0, 8), 1)(label_both(slice(8, 16), "1")(m)), InputError, r"labels 1 and '1' both exist in atac.obs\['cell_type'\]"),
    ("small group", label_both([0, 1], "pDC"), InputError, r"groups below min_cells=8: 'B' \(6\), 'pDC' \(2\). Lower min_cells"),
    ("group without ATAC", put("atac", at(slice(8, 16), slice(None), 0)), InputError, "no ATAC counts in 1 groups, first 'T'"),
    ("group without RNA", put("rna", at(slice(0, 8), slice(None), 0)), InputError, "no RNA counts in 1 groups, first 'B'"),
]  # fmt: skip


def test_unbroken_passes(cells):
    check(cells)


@pytest.mark.filterwarnings("ignore:.*are not unique", "ignore:Duplicated ", "ignore:Cannot join")
@pytest.mark.parametrize(("break_it", "exception", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_broken_is_refused_and_unchanged(cells, break_it, exception, message):
    broken = break_it(cells)
    before = broken.copy()
    with pytest.raises(exception, match=message):
        check(broken)
    assert_unchanged(broken, before)


def assert_unchanged(now, before):
    if not isinstance(now, MuData):
        return
    assert list(now.mod) == list(before.mod)
    for name, one in now.mod.items():
        other = before.mod[name]
        pd.testing.assert_frame_equal(one.obs, other.obs)
        pd.testing.assert_frame_equal(one.var, other.var)
        assert list(one.uns) == list(other.uns)
        assert list(one.varm) == list(other.varm)
        if one.X is not None:
            one_x, other_x = (a.X.toarray() if sparse.issparse(a.X) else a.X for a in (one, other))
            np.testing.assert_array_equal(one_x, other_x)


def test_missing_layer_is_named(cells):
    cells["rna"].layers["log1p"] = cells["rna"].X.copy()
    with pytest.raises(InputError, match="no layer 'counts' in 'rna'; there are 'log1p'"):
        scget.pp.pseudobulk(cells, "cell_type", rna_layer="counts")


def test_label_held_by_the_mudata_alone_is_pointed_at(cells):
    cells.obs["leiden"] = "1"
    with pytest.raises(InputError, match=r"Copy it: mdata\['atac'\].obs\['leiden'\] = mdata.obs\['leiden'\]"):
        scget.pp.pseudobulk(cells, "leiden")


def test_a_view_is_read_but_not_written(cells):
    check(cells[:, :])
    with pytest.raises(InputError, match="mdata is a view, so results cannot be written into it"):
        _checks.check_writable(cells[:, :], "atac")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_backed_is_refused(cells, tmp_path):
    cells.write(tmp_path / "cells.h5mu")
    backed = mudata.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    try:
        for refused in (
            lambda: _checks.check_mudata(backed),
            lambda: scget.pp.sort_regions(backed),
        ):
            with pytest.raises(InputError, match=r"modality 'atac' is backed \(on disk\)"):
                refused()
        rows = scget.pp.pseudobulk(backed, "cell_type")  # summed in chunks, see tests/pp/test_sums.py
        assert rows["atac"].X.sum() == cells["atac"].X.sum()
    finally:
        backed.file.close()


def test_scores_of_the_wrong_length_are_refused():
    atac = SimpleNamespace(varm={"motif_scores": np.ones((3, 2))}, n_vars=4, uns={})
    with pytest.raises(InputError, match=r"motif scores of shape \(3, 2\) for 4 regions"):
        _checks.check_motifs(atac)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(
    "container",
    [
        np.asarray,
        np.asfortranarray,
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.coo_matrix,
        sparse.csr_array,
        sparse.csc_array,
    ],
    ids=lambda c: c.__name__,
)
def test_whole_numbers_of_any_kind_are_counts(rng, container, dtype):
    _checks.check_counts(container(rng.integers(0, 2, (7, 5)).astype(dtype)), "rna.X")


def test_every_value_is_looked_at(rng, monkeypatch):
    monkeypatch.setattr("scget.pp._counts._BLOCK", 100)  # many blocks
    counts = rng.integers(1, 9, (50, 30)).astype(np.float32)
    _checks.check_counts(counts, "x")
    for row, column in ((0, 0), (49, 29), (25, 7)):
        for container in (np.asarray, sparse.csr_array, sparse.csc_matrix):
            bad = counts.copy()
            bad[row, column] = 2.5
            with pytest.raises(InputError, match="0.1% of its 1,500 stored values"):
                _checks.check_counts(container(bad), "x")
            bad[row, column] = np.nan
            with pytest.raises(InputError, match=f"1 NaN in x, first in row 'r{row}', column 'c{column}'"):
                names = [f"r{i}" for i in range(50)], [f"c{i}" for i in range(30)]
                _checks.check_counts(container(bad), "x", names)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([["a"]]), "x holds <U1, numbers are needed"),
        (np.array([[1 + 2j]]), "x holds complex128"),
        ([[1, 2]], "x is a list, not in memory"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        _checks.check_counts(matrix, "x")


def test_binary_warns(rng):
    matrix = sparse.csr_matrix(rng.integers(0, 2, (30, 20)).astype(np.float32))
    with pytest.warns(ScgetWarning, match="atac.X looks binary"):
        _checks.warn_if_not_fragments(matrix, "atac.X")


def test_reads_warn(rng):
    fragments = rng.poisson(0.5, (60, 50))
    lost = rng.random(fragments.shape) < 0.1  # fragments with one end outside of the region give odd counts
    reads = 2 * fragments - (lost & (fragments > 0))
    with pytest.warns(
        ScgetWarning, match=r"are even and counts of 2 \([\d,]+\) outnumber counts of 1 .*reads_to_fragments"
    ):
        _checks.warn_if_not_fragments(reads, "atac.X")


@pytest.mark.parametrize("mean", [0.1, 0.5, 2.0, 5.0, 200.0])
def test_fragments_do_not_warn(rng, mean):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _checks.warn_if_not_fragments(sparse.csr_array(rng.poisson(mean, (80, 50))), "atac.X")
