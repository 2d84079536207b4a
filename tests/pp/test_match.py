from __future__ import annotations

import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mudata import MuData
from scipy import sparse

import scget
from scget._errors import GenomeError, InputError, ScgetWarning
from scget.pp._match import best_overlaps
from scget.pp._regions import parse_regions

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SET = st.lists(
    st.tuples(st.sampled_from(["chr2", "chr10", "chrX"]), st.integers(0, 60), st.integers(1, 25)),
    min_size=1,
    max_size=12,
    unique=True,
)


def names_of(rows):
    return [f"{c}:{s}-{s + w}" for c, s, w in rows]


def by_loops(source, target, least):
    """Of each region the reference region with most bases in common; the first by chromosome and place among equals."""
    number = {"chr2": 2, "chr10": 10, "chrX": 23}
    found = []
    for i, (chrom, start, width) in enumerate(source):
        best = None
        for j, (other, first, size) in enumerate(target):
            bases = len(set(range(start, start + width)) & set(range(first, first + size))) if other == chrom else 0
            key = (-bases, number[other], first, first + size)
            if bases >= least and (best is None or key < best[0]):
                best = (key, j)
        if best:
            found.append((i, best[1]))
    return found


def cells_in(names, counts) -> MuData:
    return MuData({"atac": AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=names))})


def quietly(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScgetWarning)
        return scget.pp.match_regions(*args, **kwargs)


@FEW
@given(SET, SET, st.integers(1, 12))
def test_the_same_as_loops_over_bases(source, target, least):
    at, to = best_overlaps(parse_regions(names_of(source)), parse_regions(names_of(target)), least)
    assert list(zip(at.tolist(), to.tolist(), strict=True)) == by_loops(source, target, least)


@settings(FEW, max_examples=15)
@given(SET, SET, st.integers(0, 99), st.randoms(use_true_random=False))
def test_counts_move_whole_and_in_any_order(source, target, seed, random):
    pairs = by_loops(source, target, 1)
    counts = np.random.default_rng(seed).poisson(2, (4, len(source))).astype(np.float32)
    counts[0] += 1
    if not pairs:
        with pytest.raises(GenomeError, match="overlaps one of the"):
            scget.pp.match_regions(cells_in(names_of(source), counts), pd.DataFrame(index=names_of(target)))
        return
    expected = np.zeros((4, len(target)))
    for i, j in pairs:
        expected[:, j] += counts[:, i]
    result = quietly(cells_in(names_of(source), counts), pd.DataFrame(index=names_of(target)))["atac"]
    assert sparse.isspmatrix_csr(result.X) and result.X.dtype == np.float32
    assert result.var_names.tolist() == names_of(target)
    np.testing.assert_array_equal(result.X.toarray(), expected)
    matched = result.uns["matched"]
    assert matched["regions"] == pytest.approx(len(pairs) / len(source))
    assert matched["counts"] == pytest.approx(counts[:, [i for i, _ in pairs]].sum() / counts.sum())
    assert matched["n_regions"] == len({j for _, j in pairs})
    # neither the order of the regions nor that of the reference plays a part
    one, two = list(range(len(source))), list(range(len(target)))
    random.shuffle(one)
    random.shuffle(two)
    shuffled = cells_in(names_of([source[i] for i in one]), counts[:, one])
    again = quietly(shuffled, pd.DataFrame(index=names_of([target[j] for j in two])))["atac"]
    np.testing.assert_array_equal(again.X.toarray(), expected[:, two])


def test_a_set_matched_to_itself_is_unchanged(cells):
    order = [3, 0, 11, 5, 1, 2, 4, 6, 10, 9, 8, 7]
    result = scget.pp.match_regions(cells, cells["atac"][:, order])
    np.testing.assert_array_equal(result["atac"].X.toarray(), cells["atac"].X.toarray()[:, order])
    assert result["atac"].uns["matched"] == {"regions": 1.0, "counts": 1.0, "n_regions": 12, "min_overlap": 1}


def test_what_is_kept_and_what_belongs_to_the_old_regions(cells, tmp_path):
    atac = cells["atac"]
    atac.obsm["X_lsi"] = np.arange(48.0).reshape(24, 2)
    atac.uns["files"] = {"fragments": "fragments.tsv.gz"}
    atac.layers["counts"] = atac.X.copy()
    atac.X = np.log1p(atac.X)
    cells.obs["batch"] = ["one", "two"] * 12
    before = cells.copy()
    halves = pd.DataFrame({"Chromosome": ["chr2", "chr10", "chrX"], "Start": 0, "End": 2000, "kind": list("abc")})
    result = quietly(cells, halves, atac_layer="counts")
    made = result["atac"]
    by_hand = before["atac"].layers["counts"].toarray()[:, [0, 1, 4, 5, 8, 9]].reshape(24, 3, 2).sum(axis=2)
    np.testing.assert_array_equal(made.X.toarray(), by_hand)
    assert made.var_names.tolist() == ["chr2:0-2000", "chr10:0-2000", "chrX:0-2000"]
    assert made.var["kind"].tolist() == list("abc") and made.var["end"].tolist() == [2000] * 3
    pd.testing.assert_frame_equal(made.obs, atac.obs)
    np.testing.assert_array_equal(made.obsm["X_lsi"], atac.obsm["X_lsi"])
    assert set(made.uns) == {"files", "matched"} and not made.varm and not list(made.layers)
    assert result.obs["batch"].tolist() == ["one", "two"] * 12
    np.testing.assert_array_equal(result["rna"].X.toarray(), cells["rna"].X.toarray())
    result["rna"].X.data[:] = 0  # nothing is shared
    made.obsm["X_lsi"][:] = 0
    assert cells["rna"].X.sum() > 0 and atac.obsm["X_lsi"].sum() > 0
    assert set(atac.uns) == set(before["atac"].uns) and "motif_scores" in atac.varm
    result.write(tmp_path / "matched.h5mu")
    back = mudata.read_h5mu(tmp_path / "matched.h5mu")
    assert back["atac"].uns["matched"]["n_regions"] == 3
    np.testing.assert_array_equal(back["atac"].X.toarray(), by_hand)


@pytest.mark.parametrize("form", ["mudata", "anndata"])
def test_a_reference_brings_its_scores_and_promoters_and_a_model_reads_the_result(toy, trained, form):
    """Regions moved by a few bases and matched back give the predictions of the data themselves."""
    expected = trained.predict(toy)
    moved = toy.copy()
    atac = moved["atac"]
    del atac.varm["motif_scores"], atac.uns["motif_names"], atac.uns["peak_annotation"]
    atac.var["start"] += np.arange(120) % 7
    atac.var_names = [f"{c}:{s}-{e}" for c, s, e in atac.var[["chrom", "start", "end"]].itertuples(index=False)]
    moved.update()
    moved = MuData({name: moved[name][:, ::-1].copy() for name in ("rna", "atac")})
    reference = toy if form == "mudata" else toy["atac"]
    result = scget.pp.match_regions(moved, reference)
    pd.testing.assert_frame_equal(result["atac"].uns["peak_annotation"], toy["atac"].uns["peak_annotation"])
    assert (result["atac"].varm["motif_scores"] != toy["atac"].varm["motif_scores"]).nnz == 0
    predicted = trained.predict(result)
    pd.testing.assert_frame_equal(predicted[expected.columns], expected, atol=1e-6)
    assert toy["atac"].uns.keys() == {"motif_names", "peak_annotation"} | (toy["atac"].uns.keys() - {"matched"})


def test_a_file_is_a_reference(cells, tmp_path):
    path = tmp_path / "wide.bed"
    path.write_text("#chrom\tstart\tend\nchr10\t0\t9000\nchr2\t0\t9000\nchrX\t0\t9000\n")
    result = scget.pp.match_regions(cells, path)
    total = cells["atac"].X.toarray().reshape(24, 3, 4).sum(axis=2)
    np.testing.assert_array_equal(result["atac"].X.toarray(), total[:, [1, 0, 2]])


def test_loss_of_more_than_half_warns(cells):
    with pytest.warns(
        ScgetWarning, match=r"only 4 of 12 regions \(33%\), with \d+% of the counts, overlap the reference"
    ):
        result = scget.pp.match_regions(cells, pd.DataFrame(index=["chr2:0-9000"]))
    assert result["atac"].uns["matched"]["counts"] < 0.5


@pytest.mark.parametrize(
    ("reference", "options", "exception", "message"),
    [
        (pd.DataFrame(index=["2:0-9"]), {}, GenomeError, "none of 12 .*'chr2:100-600'.*'2:0-9'.*rename_chromosomes"),
        (pd.DataFrame(index=["chr2:0-9"]), {}, GenomeError, "none of 12 regions.* of one genome build"),
        (pd.DataFrame(index=["chr2:0-200"]), {"min_overlap": 101}, GenomeError, "none of 12 regions"),
        (pd.DataFrame(index=["chr2:0-200"]), {"min_overlap": 0}, InputError, "min_overlap=0: a whole number"),
        (pd.DataFrame(index=["chr2:0-2", "chr2_0_2"]), {}, InputError, "1 regions occur twice"),
        (["chr2:0-200"], {}, InputError, "reference is a list: the path of a BED file"),
        (pd.DataFrame(index=["chr2:0-200"]), {"atac_layer": "no"}, InputError, "no layer 'no' in 'atac'"),
    ],
)
def test_what_cannot_be_matched_is_refused(cells, reference, options, exception, message):
    with pytest.raises(exception, match=message):
        scget.pp.match_regions(cells, reference, **options)


def test_only_raw_counts_are_carried(cells):
    cells["atac"].X = np.log1p(cells["atac"].X)
    with pytest.raises(InputError, match="atac.X must be raw"):
        scget.pp.match_regions(cells, pd.DataFrame(index=["chr2:0-9000"]))


def test_what_belongs_to_all_modalities_is_kept_and_verdicts_on_promoters_are_not(cells):
    rows = cells.n_obs
    cells.uns["files"] = {"project": "x"}
    cells.obsm["X_joint"] = np.arange(rows * 2.0).reshape(rows, 2)
    cells.obsp["connectivities"] = sparse.eye(rows, format="csr")
    cells["rna"].var["promoter"] = pd.Categorical(["yes"] * cells["rna"].n_vars)
    cells.update_var()
    matched = scget.pp.match_regions(cells, pd.DataFrame(index=["chr2:0-9000", "chr10:0-9000", "chrX:0-9000"]))
    assert matched.uns["files"] == {"project": "x"}
    np.testing.assert_array_equal(matched.obsm["X_joint"], cells.obsm["X_joint"])
    assert matched.obsp["connectivities"].sum() == rows
    matched.uns["files"]["project"], matched.obsm["X_joint"][0, 0] = "y", 9
    assert cells.uns["files"] == {"project": "x"} and cells.obsm["X_joint"][0, 0] == 0
    assert "promoter" not in matched["rna"].var and "promoter" in cells["rna"].var


def test_promoters_of_other_genes_warn(cells):
    reference = cells["atac"].copy()
    table = reference.uns["peak_annotation"]
    reference.uns["peak_annotation"] = table.assign(gene="ENSG" + table["gene"].astype(str))
    with pytest.warns(ScgetWarning, match="promoters that come with the reference are of none of the .* 'ENSG"):
        scget.pp.match_regions(cells, reference)


@pytest.mark.parametrize("least", ["a", np.nan, None, 1.5, 0, True])
def test_the_least_overlap_is_a_whole_number(cells, least):
    with pytest.raises(InputError, match=f"min_overlap={least!r}: a whole number of bases"):
        scget.pp.match_regions(cells, cells, min_overlap=least)
