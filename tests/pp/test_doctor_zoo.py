"""Sick data that look healthy, and healthy data that look sick."""

from __future__ import annotations

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from anndata.experimental import read_lazy
from hypothesis import given
from hypothesis import strategies as st
from mudata import MuData
from scipy import sparse

import scget
from scget._errors import InputError, first
from scget.pp import _chunks
from scget.pp._doctor import _split
from scget.pp._regions import regions_of
from scget.pp._sanity import motifs_to_accessibility
from scget.pp._survey import survey


def problems(mdata, **kwargs) -> dict[str, tuple[str, str]]:
    """Verdict and what was found, of all that is not ok."""
    report = scget.pp.check(mdata, **kwargs)
    bad = report[report["verdict"] != "ok"]
    return {line.check: (line.verdict, line.found) for line in bad.itertuples()}


def found(mdata, check) -> str:
    return scget.pp.check(mdata).set_index("check").loc[check, "found"]


def rows_of(toy) -> MuData:
    """Deep rows of many cells, with a record of the genome: nothing is wrong with them."""
    for name in ("atac", "rna"):
        toy[name].X = sparse.csr_matrix(toy[name].X * 3001)
        toy[name].obs["n_cells"] = 500
    toy["atac"].uns["motif_scan"] = {"genome": "hg38.fa", "scanner": "scget"}
    toy["atac"].uns["promoter_source"] = {"file": "gencode.gtf.gz", "flank": 300}
    return toy


def test_nothing_is_wrong(toy, cells):
    assert problems(rows_of(toy)) == {} == problems(cells)


def counts(name, change):
    def make(mdata):
        mdata[name].X = change(mdata[name].X.toarray().astype(np.float64)).astype(np.float32)

    return make


def promoters(column, change):
    def make(mdata):
        table = mdata["atac"].uns["peak_annotation"]
        mdata["atac"].uns["peak_annotation"] = table.assign(**{column: change(table[column])})

    return make


def scores(change):
    return lambda m: m["atac"].varm.__setitem__("motif_scores", change(m["atac"].varm["motif_scores"].toarray()))


def records(genome, annotation):
    def make(mdata):
        mdata["atac"].uns["motif_scan"] = {"genome": genome}
        mdata["atac"].uns["promoter_source"] = {"file": annotation, "flank": 300}

    return make


def one_dot(strand):
    return pd.Series([".", *strand[1:]], strand.index)


def each_million(x):
    return np.round(x / x.sum(axis=1, keepdims=True) * 1e6)


def copied_row(x):
    x[3] = x[1]
    return x


def ones_in(column):
    def change(x):
        x[:, column] = 1
        return x

    return change


def renamed(mdata):
    mdata["rna"].var_names = [f"ENSG{i}" for i in range(51)]


def twice(attribute, column):
    def make(mdata):
        name, axis = attribute.split(".")
        table = getattr(mdata[name], axis).copy()
        table[column] = table[column] if column in table else "x"
        setattr(mdata[name], axis, pd.concat([table, table[[column]]], axis=1))

    return make


def twice_in_promoters(mdata):
    table = mdata["atac"].uns["peak_annotation"]
    mdata["atac"].uns["peak_annotation"] = pd.concat([table, table[["gene"]]], axis=1)


SICK = {
    "no ATAC": (counts("atac", np.zeros_like), "ATAC counts", "error", "all values of atac.X are 0"),
    "no RNA": (counts("rna", np.zeros_like), "RNA counts", "error", "all values of rna.X are 0"),
    "strand .": (promoters("strand", one_dot), "promoters", "error", "1 promoters have strand '.'; '+' or '-' is needed"),
    "strand 1": (promoters("strand", lambda s: s.map({"+": 1, "-": -1})), "promoters", "error", "51 promoters have strand '1', '-1'; '+' or '-'"),
    "far": (promoters("tss", lambda t: t + 10_000_000), "far promoters", "warning", "51 of 51 promoters lie more than 1,000,000 bp from their TSS: 'G0', 'G1'"),
    "other genes": (renamed, "promoters", "error", "0 of 51 genes have a promoter region"),
    "negative scores": (scores(lambda s: -s), "negative scores", "warning", "motif scores are negative, though the record says that scget"),
    "constant motif": (scores(ones_in(1)), "motifs", "warning", "1 of 5 motifs have the same score in all regions: 'B/1'"),
    "constant motif, sparse": (scores(lambda s: sparse.csr_array(ones_in(1)(s))), "motifs", "warning", "1 of 5 motifs have the same score in all regions: 'B/1'"),
    "RNA per million": (counts("rna", each_million), "same depth", "warning", "all rows of 'rna' have 1,000,0"),
    "ATAC per million": (counts("atac", each_million), "same depth", "warning", "all rows of 'atac' have 999,997 counts"),
    "a row twice": (counts("atac", copied_row), "same rows", "warning", "1 rows of 'atac' have the counts of another row, first 'T3' of 'T1'"),
    "two builds": (records("hg19.fa", "gencode.v44.GRCh38.gtf.gz"), "genome", "warning", "motif scores were made from 'hg19.fa', promoters from 'gencode.v44.GRCh38.gtf.gz'"),
    "two builds of mouse": (records("GRCm39.fa", "mm10.refGene.gtf"), "genome", "warning", "from 'mm10.refGene.gtf'"),
    "lifted": (records("hg38.fa", "gencode.v44lift37.gtf"), "genome", "warning", "from 'gencode.v44lift37.gtf'"),
    "columns of regions": (twice("atac.var", "chrom"), "columns", "error", "columns occur twice: atac.var 'chrom'"),
    "columns of rows": (twice("atac.obs", "n_cells"), "columns", "error", "columns occur twice: atac.obs 'n_cells'"),
    "columns of genes": (twice("rna.var", "promoter"), "columns", "error", "columns occur twice: rna.var 'promoter'"),
    "columns of promoters": (twice_in_promoters, "promoters", "error", "the promoter table has the columns 'gene' twice"),
    "cells in words": (lambda m: m["atac"].obs.__setitem__("n_cells", ["500", "many", "500", "", "500", "500"]), "cells per row", "warning", "n_cells holds no number for 2 rows: 'T1', 'T3' ('many')"),
    "cells unknown": (lambda m: m["atac"].obs.__setitem__("n_cells", pd.array([500, None, 500, 500, 1, 10], dtype="Int64")), "cells per row", "warning", "n_cells holds no number for 1 rows: 'T1' ('<NA>')"),
    "scan is text": (lambda m: m["atac"].uns.__setitem__("motif_scan", "hg38"), "genome", "warning", "no record of the genome"),
    "names are a number": (lambda m: m["atac"].uns.__setitem__("motif_names", 3), "motif scores", "error", "are a int of 0 axes, a list of texts is needed"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "check", "verdict", "told"), SICK.values(), ids=SICK.keys())
def test_sick_data_are_told(toy, make, check, verdict, told):
    mdata = rows_of(toy)
    make(mdata)
    listed = problems(mdata)
    assert listed[check][0] == verdict
    assert told in listed[check][1]
    also = {"regions", "cells per row", "promoters", "ATAC depth"}  # of columns twice, and of counts made smaller
    assert not set(listed) - {check, *also}


def test_scores_of_a_bed_may_be_negative(toy):
    mdata = rows_of(toy)
    scores(lambda s: -s)(mdata)
    mdata["atac"].uns["motif_scan"]["scanner"] = "bed"
    assert problems(mdata) == {}


@pytest.mark.parametrize("pair", [("hg38.fa", "GRCh38.gtf"), ("x.fa", "hg19.gtf"), ("mm10.fa", "GRCm38.gtf")])
def test_one_build_by_two_names_is_healthy(toy, pair):
    mdata = rows_of(toy)
    records(*pair)(mdata)
    assert problems(mdata) == {}
    assert found(mdata, "genome") == f"motif scores were made from {pair[0]!r}, promoters from {pair[1]!r}"


def test_cells_without_counts_warn_above_a_twentieth(cells):
    x = cells["rna"].X.toarray()
    x[0] = 0
    cells["rna"].X = x
    assert problems(cells) == {}
    x[1] = 0
    cells["rna"].X = x
    cells["atac"].X = sparse.csr_matrix(cells["atac"].X.multiply((np.arange(24) > 5)[:, None]))
    assert problems(cells) == {
        "RNA depth": ("warning", "2 of 24 cells (8%) have no RNA count"),
        "ATAC depth": ("warning", "6 of 24 cells (25%) have no ATAC count"),
    }


def test_share_of_regions_without_counts(toy):
    mdata = rows_of(toy)
    x = mdata["atac"].X.toarray()
    x[:, 6:] = 0
    mdata["atac"].X = x
    assert "; 95.0% of regions have no count in any row" in found(mdata, "ATAC counts")


def test_regions_left_out_since_are_told(cells):
    tss = pd.DataFrame({"gene": ["G0", "G1", "G2"], "chrom": "chr2", "tss": [300, 300, 1300], "strand": "+"})
    scget.pp.promoters(cells, tss)
    kept = MuData({"rna": cells["rna"], "atac": cells["atac"][:, 1:].copy()})
    assert found(kept, "promoters") == (
        "1 of 6 genes have a promoter region; of the others: not in the annotation 3, in regions left out since 2"
    )


def test_rows_of_another_modality(cells):
    protein = AnnData(np.ones((5, 2)), obs=pd.DataFrame(index=["cell0", "cell1", "x", "y", "z"]))
    mdata = MuData({"rna": cells["rna"], "atac": cells["atac"], "prot": protein})
    assert problems(mdata) == {
        "other modalities": (
            "warning",
            "rows of other modalities are not those of 'atac': of its 24 rows 'prot' shares 2",
        )
    }


def test_what_no_check_thought_of_is_an_error_of_one_check(toy):
    mdata = rows_of(toy)
    mdata["atac"].uns["motif_names"] = np.array(["A", "A", "C", "D", "E"], dtype=object)
    mdata["atac"].varm["motif_scores"] = np.ones((120, 5, 1))
    mdata["rna"].var = pd.DataFrame({"promoter": ["yes"] * 51}, index=mdata["rna"].var_names)
    mdata["rna"].var = pd.concat([mdata["rna"].var, mdata["rna"].var], axis=1)
    listed = problems(mdata)
    assert listed["promoters"][0] == "error" and "cannot be looked at: " in listed["promoters"][1]
    assert "motif scores of shape (120, 5, 1)" in listed["motif scores"][1]


# healthy


@pytest.mark.parametrize("key", ["get", "mine"])
def test_predictions_alone_are_no_expression(toy, trained, key):
    mdata = MuData({"atac": rows_of(toy)["atac"]})
    scget.tl.predict(mdata, trained, key_added=key)
    assert mdata["rna"].X is None
    assert problems(mdata) == {}
    report = scget.pp.check(mdata).set_index("check")
    assert report.loc["expression", "found"].startswith("'rna' holds predictions alone: a trained model can")
    assert "RNA counts" not in report.index
    with pytest.raises(InputError, match=r"rna.X is empty \(None\). No layer holds raw counts either"):
        scget.pp._checks.get_counts(mdata["rna"], None, "rna")


@pytest.mark.parametrize("genes", [None, ["G1"]])
def test_predictions_brought_to_cells_of_atac_alone_are_no_expression(cells, genes):
    alone = MuData({"atac": cells["atac"].copy()})
    rows = scget.pp.pseudobulk(cells, "cell_type")
    rows["rna"].layers["get"] = np.ones((3, 6), np.float32)
    scget.tl.broadcast(alone, rows, "cell_type", genes=genes)
    assert problems(alone) == {}
    again = scget.pp.pseudobulk(alone, "donor")
    assert list(again.mod) == ["atac"]
    expected = scget.pp.pseudobulk(MuData({"atac": cells["atac"]}), "donor")
    np.testing.assert_array_equal(again["atac"].X.toarray(), expected["atac"].X.toarray())


def lazily(path):
    opened = h5py.File(path)
    lazy = {name: read_lazy(opened["mod"][name]) for name in ("rna", "atac")}
    for adata in lazy.values():
        adata.obs, adata.var = adata.obs.to_memory(), adata.var.to_memory()
    return MuData(lazy), opened


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_matrix, lambda x: x.toarray()])
def test_backed_and_lazy_are_checked_in_parts(cells, tmp_path, monkeypatch, container):
    pytest.importorskip("dask")
    monkeypatch.setattr(_chunks, "_VALUES", 40)
    for name in ("rna", "atac"):
        cells[name].X = container(cells[name].X)
    expected = scget.pp.check(cells)
    cells.write(tmp_path / "cells.h5mu")
    backed = mudata.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    lazy, opened = lazily(tmp_path / "cells.h5mu")
    for mdata in (backed, lazy):
        pd.testing.assert_frame_equal(scget.pp.check(mdata), expected)
        n_read = [len(list(_chunks.pieces(m["atac"].X))) for m in (mdata, cells)]
        assert min(n_read) > 3 or mdata is lazy
    backed.file.close(), opened.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_backed_is_refused_with_the_text_of_memory(cells, tmp_path):
    x = cells["atac"].X.toarray()
    x[3, 4], x[9, 9] = np.nan, np.inf
    cells["atac"].X, cells["rna"].X = x, cells["rna"].X * np.float32(0.5)
    cells["rna"].layers["counts"] = cells["rna"].X * 2
    cells.write(tmp_path / "cells.h5mu")
    backed = mudata.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    listed = problems(cells)
    assert problems(backed) == listed
    backed.file.close()
    assert listed["ATAC counts"][1] == "1 NaN in atac.X, first in row 'cell3', column 'chr10:100-600'"
    assert listed["RNA counts"][1].startswith("rna.X must be raw counts")


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_survey_equals_numpy(rng, monkeypatch, container, dtype):
    monkeypatch.setattr(_chunks, "_VALUES", 50)
    x = (rng.integers(0, 200, (30, 40)) * (rng.random((30, 40)) < 0.1)).astype(dtype)
    x[7] = x[5]
    got = survey(AnnData(container(x)), None, "atac")
    np.testing.assert_array_equal(got.sums_k, x.sum(axis=1, dtype=np.int64))
    np.testing.assert_array_equal(got.counted_p, (x > 0).any(axis=0))
    assert got.tally.n_positive == (x > 0).sum() and got.tally.most == x.max()
    same = (got.prints_k[:, None] == got.prints_k[None]).all(axis=-1)
    np.testing.assert_array_equal(same, (x[:, None] == x[None]).all(axis=-1))


def test_quick_model_of_parts(rng, monkeypatch):
    """The accessibility that is learnt is the same, to rounding, for counts cut into parts."""
    var = pd.DataFrame(index=[f"chr{c}:{s}-{s + 300}" for c in (1, 10, 11) for s in range(0, 800_000, 1000)])
    motif_pm = rng.random((len(var), 3))
    atac = AnnData(sparse.csr_matrix(rng.poisson(np.exp(motif_pm[:, 0]), (4, len(var))).astype(np.float32)), var=var)
    keep = regions_of(atac)
    monkeypatch.setattr("scget.pp._sanity._LEAST_TRAINED", 100)
    whole = motifs_to_accessibility(atac.X, motif_pm, keep)
    monkeypatch.setattr(_chunks, "_VALUES", 500)
    assert motifs_to_accessibility(atac.X, motif_pm, keep).r == pytest.approx(whole.r, abs=1e-6)


# the table


def test_problems_come_first(cells):
    cells["atac"].uns["motif_names"] = ["A", "A", "B"]
    del cells["atac"].uns["motif_scan"]
    report = scget.pp.check(cells[:12])
    assert report["verdict"].tolist()[:4] == ["error", "warning", "warning", "ok"]
    assert report["check"].tolist()[:4] == ["motif scores", "view", "genome", "accessibility"]


@given(st.integers(1, 6), st.sampled_from(["Do this.", "Is it so?"]))
def test_a_list_cut_short_stays_as_it_is(n, do):
    listed = f"there are {first(range(9), n)}"
    assert _split(f"{listed}. {do}") == (listed, do)
    assert _split(f"{listed} And more. {do}") == (f"{listed} And more", do)
    assert _split(f"{listed}: run this") == (listed, "run this")
    assert _split(listed) == (listed, "Mend this first.")
