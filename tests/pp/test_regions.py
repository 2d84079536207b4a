from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, issparse

import scget
from scget._errors import InputError
from scget.pp._regions import Regions, parse_regions, regions_of, sort_order

CHROM = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.*:\-]{0,12}[A-Za-z0-9])?", fullmatch=True)
REGION = st.tuples(CHROM, st.integers(0, 10**9), st.integers(1, 10**6))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def atac_of(var: pd.DataFrame) -> AnnData:
    return AnnData(csr_matrix((1, len(var)), dtype=np.float32), var=var)


def named(*names: str) -> AnnData:
    return atac_of(pd.DataFrame(index=list(names)))


@FEW
@given(st.lists(REGION, min_size=1, max_size=5), st.sampled_from([":-", "--", "__", "-_", "_-", ":_"]))
def test_parse_of_format_is_the_region(rows, separators):
    one, two = separators
    regions = parse_regions([f"{c}{one}{s}{two}{s + w}" for c, s, w in rows])
    assert regions.chrom.tolist() == [c for c, _, _ in rows]
    assert regions.start.tolist() == [s for _, s, _ in rows]
    assert (regions.end - regions.start).tolist() == [w for _, _, w in rows]
    assert regions.names.tolist() == [f"{c}:{s}-{s + w}" for c, s, w in rows]


def test_contigs_are_read_from_the_right():
    names = ["chr11_KI270721v1_random_12_90", "HLA-A*01:01:01-5-6", "GL000194.1:7-9", "chr1_gl_random-0-3"]
    regions = parse_regions(names)
    assert regions.chrom.tolist() == ["chr11_KI270721v1_random", "HLA-A*01:01:01", "GL000194.1", "chr1_gl_random"]
    assert regions.start.tolist() == [12, 5, 7, 0]
    assert regions.end.dtype == np.int64


def test_regions_can_be_indexed_and_have_centers():
    regions = parse_regions(["chr1:0-10", "chr1:5-6", "chr2:1-4"])
    assert len(regions) == 3
    assert regions.centers.tolist() == [5, 5, 2]
    assert regions[np.array([2, 0])].names.tolist() == ["chr2:1-4", "chr1:0-10"]


@FEW
@given(st.permutations(["chr1", "chr2", "chr10", "chr22", "chrM", "chrX", "chrY"]))
def test_chromosomes_sort_as_a_person_would(chroms):
    ordered = parse_regions([f"{c}:1-2" for c in chroms])
    ordered = ordered[sort_order(ordered)]
    assert ordered.chrom.tolist() == ["chr1", "chr2", "chr10", "chr22", "chrM", "chrX", "chrY"]


def test_bare_chromosome_names_sort_too():
    regions = parse_regions(["X:1-2", "10:1-2", "2:9-10", "2:9-11", "2:1-20"])
    assert regions[sort_order(regions)].names.tolist() == ["2:1-20", "2:9-10", "2:9-11", "10:1-2", "X:1-2"]


@FEW
@given(st.lists(REGION, min_size=2, max_size=12, unique_by=lambda r: r), st.randoms(use_true_random=False))
def test_order_depends_on_the_set_alone(rows, random):
    def make(rows):
        return Regions(
            np.array([r[0] for r in rows], dtype=object),
            np.array([r[1] for r in rows], dtype=np.int64),
            np.array([r[1] + r[2] for r in rows], dtype=np.int64),
        )

    shuffled = list(rows)
    random.shuffle(shuffled)
    one, two = make(rows), make(shuffled)
    assert one[sort_order(one)].names.tolist() == two[sort_order(two)].names.tolist()


@pytest.mark.parametrize(
    "columns",
    [
        ["chrom", "start", "end"],
        ["chr", "start", "end"],
        ["seqnames", "start", "end"],
        ["Chromosome", "Start", "End"],
        ["chromosome", "chromStart", "chromEnd"],
        ["peak_chr", "peak_start", "peak_end"],
        ["#chrom", "chrom_start", "chrom_end"],
        ["Contig", "START", "Stop"],
    ],
)
def test_columns_have_aliases(columns):
    var = pd.DataFrame({columns[0]: ["1", "X"], columns[1]: [5.0, 7.0], columns[2]: ["10", "12"]}, index=["a", "b"])
    var[columns[0]] = var[columns[0]].astype("category")
    regions = regions_of(atac_of(var))
    assert regions.names.tolist() == ["1:5-10", "X:7-12"]
    assert regions.start.dtype == np.int64


def test_columns_of_one_family_are_read_together():
    gene = {"start": [900], "end": [999]}
    peak = {"peak_chr": ["chr1"], "peak_start": [10], "peak_end": ["20"]}
    assert regions_of(atac_of(pd.DataFrame(gene | peak, index=["a"]))).names.tolist() == ["chr1:10-20"]
    both = {"chrom": ["chr1"], "start": [10.0], "end": [20]}
    assert regions_of(atac_of(pd.DataFrame(peak | both, index=["a"]))).names.tolist() == ["chr1:10-20"]
    message = "two sets of coordinates that differ, in the columns 'chr', 'start', 'end' and 'peak_chr', 'peak_start'"
    with pytest.raises(InputError, match=message):
        regions_of(atac_of(pd.DataFrame({"chr": ["chr1"]} | gene | peak, index=["a"])))


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (np.array([1e300]), "end 1e.300 is not a whole number"),
        (np.array([2**64 - 5], dtype=np.uint64), "end 18446744073709551611 is not a whole number"),
        (np.array([20], dtype=complex), "end holds complex numbers"),
    ],
)
def test_ends_that_no_chromosome_has_are_refused(end, message):
    with pytest.raises(InputError, match=message):
        regions_of(atac_of(pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": end}, index=["a"])))


def test_names_stand_in_where_a_column_is_missing():
    var = pd.DataFrame({"chr": ["chr9"], "start": [1]}, index=["chr1-10-20"])
    assert regions_of(atac_of(var)).names.tolist() == ["chr1:10-20"]


def test_names_of_another_form_agree_with_the_columns():
    var = pd.DataFrame({"chrom": ["chr1"], "start": [10], "end": [20]}, index=["chr1_10_20"])
    assert regions_of(atac_of(var)).names.tolist() == ["chr1:10-20"]


def test_a_column_of_names_stands_in_for_row_names_that_are_none():
    var = pd.DataFrame({"gene_ids": ["x", "y"], "interval": ["chr1:5-9", "chrX-7-12"]}, index=["peak1", "chr1:1-2"])
    assert regions_of(atac_of(var)).names.tolist() == ["chr1:5-9", "chrX:7-12"]
    var["interval"] = ["chr1:5-9", "none"]
    with pytest.raises(InputError, match="cannot read 1 of 2 region names, first 'peak1'"):
        regions_of(atac_of(var))


def bad_column(**changes) -> AnnData:
    var = {"chrom": ["chr1", "chr1"], "start": [1, 30], "end": [20, 50]} | changes
    return atac_of(pd.DataFrame(var, index=["a", "b"]))


BAD = {
    "unreadable": (
        named("chr1:1-2", "peak_1", "peak_2"),
        "cannot read 2 of 3 region names, first 'peak_1'.*chr1:100-6",
    ),
    "no number": (named("chr1:1e3-2000"), "cannot read 1 of 1"),
    "too long for int64": (named("chr1:1-9999999999999999999"), "cannot read 1 of 1"),
    "empty": (named("chr8:5-5", "chr8:1-2"), r"1 regions have no length \(start >= end\), first 'chr8:5-5'"),
    "reversed": (named("chr8:9-5"), "1 regions have no length"),
    "negative": (named("chr8:-5-10"), "1 regions start before 0, first 'chr8:-5-10'"),
    "negative column": (bad_column(start=[-1, 30]), "1 regions start before 0, first 'chr1:-1-20'"),
    "duplicated": (named("chr1:1-2", "chr1_1_2"), "1 regions occur twice, first 'chr1:1-2'"),
    "not whole": (bad_column(start=[1.0, 2.5]), r"start 2.5 is not a whole number \(region 'b'; 1 such values\)"),
    "missing": (bad_column(end=[20.0, np.nan]), "end nan is not a whole number"),
    "text": (bad_column(end=["20", "x"]), "end x is not a whole number"),
    "no chromosome": (bad_column(chrom=["chr1", None]), "1 regions have no chromosome in .*, first 'b'"),
    "disagreement": (
        atac_of(pd.DataFrame({"chrom": ["chr1"], "start": [101], "end": [600]}, index=["chr1:100-600"])),
        "name 'chr1:100-600', but the columns of var say chr1:101-600 .*1 of 1",
    ),
}


@pytest.mark.parametrize(("atac", "message"), BAD.values(), ids=BAD.keys())
def test_bad_coordinates_are_refused(atac, message):
    with pytest.raises(InputError, match=message):
        regions_of(atac)


def shuffle_regions(mdata, order):
    mdata = mdata.copy()
    mdata["atac"]._inplace_subset_var(order)
    mdata.update_var()
    return mdata


@FEW
@given(st.permutations(range(12)))
def test_sort_regions_moves_everything_together(cells, order):
    # the fixture is sorted, so that sorting must undo any permutation
    cells["atac"].layers["twice"] = cells["atac"].X * 2
    cells["atac"].varp["pairs"] = np.add.outer(np.arange(12), 100 * np.arange(12))
    mdata = shuffle_regions(cells, np.array(order))
    before = mdata["atac"].var_names.tolist()
    result = scget.pp.sort_regions(mdata, copy=True)
    assert mdata["atac"].var_names.tolist() == before
    for got in (result["atac"].X, result["atac"].layers["twice"] / 2):
        assert issparse(got)
        np.testing.assert_array_equal(got.toarray(), cells["atac"].X.toarray())
    np.testing.assert_array_equal(result["atac"].varm["motif_scores"], cells["atac"].varm["motif_scores"])
    np.testing.assert_array_equal(result["atac"].varp["pairs"], cells["atac"].varp["pairs"])
    assert result["atac"].var_names.tolist() == cells["atac"].var_names.tolist()
    assert result.var_names.tolist() == cells.var_names.tolist()


def test_sort_regions_in_place_writes_the_columns(cells):
    expected = cells["atac"].var.copy()
    mdata = shuffle_regions(cells, np.arange(12)[::-1])
    del mdata["atac"].var["chrom"], mdata["atac"].var["start"], mdata["atac"].var["end"]
    atac = mdata["atac"]
    assert scget.pp.sort_regions(mdata) is None
    assert mdata["atac"] is atac
    pd.testing.assert_frame_equal(atac.var, expected, check_dtype=False)
    assert atac.var["start"].dtype == np.int64


def test_one_based_regions_are_shifted_and_renamed(cells):
    atac = cells["atac"]
    expected, counts = atac.var.copy(), atac.X.toarray()
    for key in ("motif_names", "motif_scan", "peak_annotation"):
        del atac.uns[key]
    del atac.varm["motif_scores"]
    ones = [f"{c}-{s + 1}-{e}" for c, s, e in expected.itertuples(index=False)]  # as GRanges writes what it holds
    granges = pd.DataFrame({"seqnames": expected["chrom"], "start": expected["start"] + 1, "end": expected["end"]})
    atac.var, atac.var_names = granges, [*ones[:-1], "spike"]
    mdata = shuffle_regions(cells, np.arange(12)[::-1])
    made = scget.pp.sort_regions(mdata, one_based=True, copy=True)
    assert made["atac"].var_names.tolist() == [*expected.index[:-1], "spike"]
    assert made.var_names.tolist() == [*made["rna"].var_names, *made["atac"].var_names]
    pd.testing.assert_frame_equal(
        made["atac"].var[["chrom", "start", "end"]].reset_index(drop=True), expected.reset_index(drop=True)
    )
    assert made["atac"].var["seqnames"].tolist() == expected["chrom"].tolist()
    np.testing.assert_array_equal(made["atac"].X.toarray(), counts)
    assert mdata["atac"].var_names[1] == ones[-2]
    mdata["atac"].var.loc[mdata["atac"].var_names[1], "start"] = 0
    mdata["atac"].var_names = [f"peak{i}" for i in range(12)]
    with pytest.raises(InputError, match="1 regions start at 0, first 'chrX:0-2600', so that .* 0-based already"):
        scget.pp.sort_regions(mdata, one_based=True)


def test_one_based_is_refused_once_something_was_made_of_the_regions(cells):
    message = (
        r"atac.varm\['motif_scores'\] and atac.uns\['peak_annotation'\] .* del mdata\[\"atac\"\].varm\['motif_scores'\]"
    )
    before = cells["atac"].var.copy()
    with pytest.raises(InputError, match=message):
        scget.pp.sort_regions(cells, one_based=True)
    pd.testing.assert_frame_equal(cells["atac"].var, before)


def test_sort_regions_refuses_a_view(cells):
    with pytest.raises(InputError, match=re.escape("mdata is a view")):
        scget.pp.sort_regions(cells[:5])
    assert scget.pp.sort_regions(cells[:5], copy=True).n_obs == 5


def test_real_regions_are_read_and_sorted(shared_data):
    bed = pd.read_csv(shared_data / "blood_hg19" / "regions.bed.gz", sep="\t", names=["chrom", "start", "end"])
    text = bed["chrom"] + "_" + bed["start"].astype(str) + "_" + bed["end"].astype(str)
    regions = parse_regions(text)
    np.testing.assert_array_equal(regions.start, bed["start"])
    np.testing.assert_array_equal(regions.end, bed["end"])
    ordered = regions[sort_order(regions)]
    assert (
        pd.unique(ordered.chrom).tolist()
        == [f"chr{i}" for i in range(1, 23)] + ["chrX", "chrY"][: bed["chrom"].nunique() - 22]
    )
    same = ordered.chrom[1:] == ordered.chrom[:-1]
    assert (np.diff(ordered.start)[same] >= 0).all()
