from __future__ import annotations

import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from mudata import MuData
from scipy.sparse import csr_matrix

import scget
from scget._errors import InputError, ScgetWarning
from scget.pp._region_warnings import one_based_sign, overlap_message, warn_of_regions
from scget.pp._regions import parse_regions, regions_in

TSS = pd.DataFrame({"gene": ["A"], "chrom": ["chr1"], "tss": [200], "strand": ["+"]})


def regions_mdata(names, **columns) -> MuData:
    var = pd.DataFrame(columns, index=list(names))
    return MuData({"atac": AnnData(csr_matrix(np.ones((2, len(var)), dtype=np.float32)), var=var)})


def test_ensembl_names_become_those_of_ucsc_everywhere(cells):
    original = cells.copy()
    scget.pp.rename_chromosomes(cells, "ensembl")
    atac = cells["atac"]
    assert atac.var["chrom"].tolist() == np.repeat(["2", "10", "X"], 4).tolist()
    assert atac.var_names[:2].tolist() == ["2:100-600", "2:1100-1600"]
    assert cells.var_names.tolist() == [*cells["rna"].var_names, *atac.var_names]
    assert atac.uns["peak_annotation"]["region"].tolist() == ["2:100-600", "10:1100-1600", "10:1100-1600"]
    assert scget.pp._checks.check_mudata(cells, motifs=True, promoters=True) is None
    back = scget.pp.rename_chromosomes(cells, "ucsc", copy=True)
    pd.testing.assert_frame_equal(back["atac"].var, original["atac"].var)
    pd.testing.assert_frame_equal(back["atac"].uns["peak_annotation"], original["atac"].uns["peak_annotation"])
    again = scget.pp.rename_chromosomes(back, "ucsc", copy=True)  # nothing more to do
    assert again["atac"].var_names.tolist() == original["atac"].var_names.tolist()
    assert atac.var["chrom"].iloc[0] == "2"  # the copy was changed, not this


def test_mitochondria_contigs_and_names_that_are_no_coordinates():
    names = ["MT-1-5", "KI270706.1:1-5", "2L:1-5", "peak4"]
    mdata = regions_mdata(names, Chromosome=["MT", "KI270706.1", "2L", "Y"], Start=[1] * 4, End=[5] * 4)
    scget.pp.rename_chromosomes(mdata, "ucsc")
    atac = mdata["atac"]
    assert atac.var_names.tolist() == ["chrM:1-5", "KI270706.1:1-5", "chr2L:1-5", "peak4"]
    assert atac.var["chrom"].tolist() == atac.var["Chromosome"].tolist() == ["chrM", "KI270706.1", "chr2L", "chrY"]
    scget.pp.rename_chromosomes(mdata, {"KI270706.1": "chr1_KI270706v1_random"})
    assert atac.var_names.tolist() == ["chrM:1-5", "chr1_KI270706v1_random:1-5", "chr2L:1-5", "peak4"]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("hg38", "to='hg38': 'ucsc', 'ensembl' or a mapping"),
        ({"3": "chr3"}, "none of the chromosomes 'chr2', 'chr10', 'chrX' is in the mapping, which has '3'"),
        ({"chr2": "chrX"}, "4 regions occur twice, first 'chrX:100-600'"),
    ],
)
def test_renaming_that_makes_no_sense_is_refused(cells, to, message):
    before = cells["atac"].var.copy()
    with pytest.raises(InputError, match=message):
        scget.pp.rename_chromosomes(cells, to)
    pd.testing.assert_frame_equal(cells["atac"].var, before)


def test_an_unreadable_table_of_promoters_and_nameless_chromosomes_change_nothing(cells):
    before = cells["atac"].var.copy()
    for nothing in (None, "", np.nan):
        with pytest.raises(InputError, match="the mapping has no new name for 'chr2'"):
            scget.pp.rename_chromosomes(cells, {"chr2": nothing, "chr10": "10"})
    cells["atac"].uns["peak_annotation"].loc["0", "region"] = "somewhere"
    with pytest.raises(InputError, match="'somewhere'"):
        scget.pp.rename_chromosomes(cells, "ensembl")
    pd.testing.assert_frame_equal(cells["atac"].var, before)


def test_all_columns_that_hold_coordinates_are_rewritten():
    names = ["chr1:100-200", "chr2:5-9"]
    mdata = regions_mdata(["a", "b"], interval=names, peak_chr=["chr1", "chr2"], peak_start=[100.0, 5], peak_end=[200, 9],
                          note=names)  # fmt: skip
    var = mdata["atac"].var
    scget.pp.rename_chromosomes(mdata, "ensembl")
    assert var["interval"].tolist() == ["1:100-200", "2:5-9"] and var["note"].tolist() == names
    assert var["peak_chr"].tolist() == var["chrom"].tolist() == ["1", "2"]
    scget.pp.sort_regions(mdata, one_based=True)
    var = mdata["atac"].var
    assert var["interval"].tolist() == ["1:99-200", "2:4-9"]
    assert var["peak_start"].tolist() == var["start"].tolist() == [99, 4]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 80), st.integers(1, 30)), min_size=1, unique=True
    )
)
def test_overlaps_are_those_of_a_loop(rows):
    ordered = sorted(rows, key=lambda r: (r[0], r[1], r[1] + r[2]))
    late = [
        i for i, (chrom, start, _) in enumerate(ordered) if any(c == chrom and s + w > start for c, s, w in ordered[:i])
    ]
    message = overlap_message(parse_regions([f"{c}:{s}-{s + w}" for c, s, w in rows]))
    assert bool(message) == bool(late)
    if late:
        chrom, start, width = ordered[late[0]]
        assert message.startswith(f"{len(late):,} of {len(rows):,} regions overlap one before them, first ")
        assert f"first '{chrom}:{start}-{start + width}' with '{chrom}:" in message


def test_overlapping_regions_warn_once_and_touching_ones_never():
    touching = regions_mdata(["chr1:0-100", "chr1:100-500", "chr2:50-90"])
    scget.pp.promoters(touching, TSS)
    mdata = regions_mdata(["chr1:100-500", "chr1:0-100", "chr1:450-900", "chr1:480-500"])
    with pytest.warns(ScgetWarning, match="2 of 4 regions overlap one before .* 'chr1:450-900' with 'chr1:100-500'"):
        scget.pp.promoters(mdata, TSS)
    scget.pp.promoters(mdata, TSS)  # said already


def grid(start, step, size, n=12):
    return [f"chr1:{start + i * step}-{start + i * step + size}" for i in range(n)]


@pytest.mark.parametrize(
    ("names", "sign"),
    [
        (grid(107, 1313, 499), "all regions are 499 bp long, one less than 500"),  # 500 bp as R writes them
        (grid(1, 5000, 4999), "all regions are 4,999 bp long"),  # tiles of a genome in R: 1-5000
        (grid(11, 30, 19), "all starts end in 1 and all ends in 0, first 'chr1:11-30'"),
        (grid(107, 1313, 500), ""),
        (
            grid(107, 1313, 501),
            "all regions are 501 bp long, as those of SnapATAC2 (0-based: nothing to do) and of ArchR",
        ),
        (grid(0, 5000, 5000), ""),
        (grid(107, 1313, 499, n=9), ""),  # too few
        ([f"chr1:{i * 1000 + i**2}-{i * 1000 + i**2 + 300 + 7 * i}" for i in range(20)], ""),
    ],
)
def test_signs_of_coordinates_from_one(names, sign):
    regions = parse_regions(names)
    found = one_based_sign(pd.DataFrame(index=names), regions)
    assert found.startswith(sign) and bool(found) == bool(sign)


def test_the_width_of_granges_tells(rng):
    start = np.cumsum(rng.integers(2000, 5000, 30))
    size = rng.integers(200, 900, 30)  # 0-based truth: [start, start + size)
    table = pd.DataFrame({"seqnames": "chr1", "start": start + 1, "end": start + size, "width": size, "strand": "*"})
    table.index = table.index.astype(str)
    mdata = MuData({"atac": AnnData(csr_matrix((1, 30), dtype=np.float32), var=table)})
    with pytest.warns(
        ScgetWarning, match=r"var\['width'\] is end - start \+ 1 in all 30 .*sort_regions\(mdata, one_based"
    ):
        warn_of_regions(mdata["atac"], regions_in(table))
    scget.pp.sort_regions(mdata, one_based=True)
    np.testing.assert_array_equal(mdata["atac"].var["start"], start)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_regions(mdata["atac"], regions_in(mdata["atac"].var))


def test_regions_of_archr_are_shifted_once_and_then_nothing_is_said(tmp_path):
    table = pd.DataFrame({"seqnames": "chr1", "start": np.arange(12) * 1000 + 737, "peakType": "Distal"})
    table["end"] = table["start"] + 500  # 1-based with the end: 501 bases
    table.index = "peak" + table.index.astype(str)
    mdata = MuData({"atac": AnnData(csr_matrix((1, 12), dtype=np.float32), var=table)})
    with pytest.warns(ScgetWarning, match="all regions are 500 bp long and var has ArchR's 'peakType': 1-based"):
        warn_of_regions(mdata["atac"], regions_in(mdata["atac"].var))
    scget.pp.sort_regions(mdata, one_based=True)
    mdata.write(tmp_path / "shifted.h5mu")
    for shifted in (mdata, mudata.read(tmp_path / "shifted.h5mu")):
        regions = regions_in(shifted["atac"].var)
        assert set(regions.end - regions.start) == {501}
        warn_of_regions(shifted["atac"], regions)  # silent, as warnings are errors here
        with pytest.raises(InputError, match="shifted already, as atac.uns.'one_based'. tells. Leave out one_based"):
            scget.pp.sort_regions(shifted, one_based=True)
        np.testing.assert_array_equal(shifted["atac"].var["start"], table["start"] - 1)
    plain = table.drop(columns="peakType")
    assert one_based_sign(plain, regions_in(plain)) == ""  # 500 bp alone is common


def test_real_regions_give_no_warning(shared_data):
    table = scget.pp.read_regions(shared_data / "blood_hg19" / "regions.bed.gz")
    regions = regions_in(table)
    assert len(regions) == 451_283
    assert overlap_message(regions) == "" and one_based_sign(table, regions) == ""
