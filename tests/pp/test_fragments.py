"""Fragments are counted as a double loop counts them, and as Cell Ranger counts cut sites."""

from __future__ import annotations

import gzip
import io
import re
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from Bio import bgzf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mudata import MuData, read_h5mu
from scipy.sparse import csr_matrix, issparse

import scget
from scget import pp
from scget._errors import GenomeError, InputError, ScgetWarning
from scget.pp import _fragment_file, _fragments

RULES = ("fragments", "paired-insertions", "insertions")
CELLS = ["AAAC-1", "AAAG-1", "AACC-1", "NA"]
CHROMS = ["chr1", "chr2", "chrUn_1"]


def naive(fragments, regions, cells, rule):
    """Look at each fragment and each region in turn."""
    out = np.zeros((len(cells), len(regions)), dtype=int)
    for chrom, start, end, cell in fragments:
        for j, (other, low, high) in enumerate(regions):
            if chrom != other or cell not in cells:
                continue
            cuts = (low <= start < high) + (low <= end < high)
            n = {"fragments": start < high and low < end, "paired-insertions": cuts > 0, "insertions": cuts}[rule]
            out[cells.index(cell), j] += n
    return out


def write(path, fragments, head="", tail="\t1\n"):
    text = head + "".join("\t".join(map(str, one)) + tail for one in fragments)
    opened = gzip.open if path.suffix == ".gz" else io.open
    with opened(path, "wt", newline="") as file:
        file.write(text)
    return path


def as_table(regions):
    return pd.DataFrame(regions, columns=["chrom", "start", "end"])


def planted(seed, n=400):
    """Random fragments and regions that overlap, nest and touch."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 300, n)
    fragments = [
        (str(rng.choice(CHROMS)), int(s), int(s + rng.integers(1, 80)), str(rng.choice([*CELLS, "other#T-1"])))
        for s in starts
    ]
    regions = {(str(rng.choice(CHROMS)), int(s), int(s + rng.integers(1, 120))) for s in rng.integers(0, 300, 40)}
    return fragments, sorted(regions, key=lambda r: hash(r))


@pytest.fixture
def small(tmp_path):
    """Write three fragments of two cells, and give the path."""
    return write(
        tmp_path / "f.tsv.gz",
        [("chr1", 90, 110, "AAAC-1"), ("chr1", 120, 130, "AAAC-1"), ("chr1", 195, 260, "CCCA-1")],
    )


interval = st.tuples(st.sampled_from(CHROMS), st.integers(0, 30), st.integers(1, 15)).map(
    lambda one: (one[0], one[1], one[1] + one[2])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(interval, st.sampled_from([*CELLS, 'x"#1'])), min_size=1, max_size=25),
    st.lists(interval, min_size=1, max_size=8, unique=True),
    st.sampled_from(RULES),
)
def test_counts_equal_a_double_loop(tmp_path, found, regions, rule):
    fragments = [(*span, cell) for span, cell in found]
    path = write(tmp_path / "f.tsv", fragments)
    if not {f[0] for f in fragments} & {r[0] for r in regions}:
        return
    cells = sorted({f[3] for f in fragments})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "only .* barcodes", ScgetWarning)
        warnings.filterwarnings("ignore", ".* regions lie on chromosomes", ScgetWarning)
        counts = pp.count_fragments(path, as_table(regions), count=rule)
    assert counts.obs_names.tolist() == cells
    assert np.array_equal(counts.X.toarray(), naive(fragments, regions, cells, rule))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [1, 100, 3000])
def test_blocks_make_no_difference(tmp_path, monkeypatch, rule, size):
    fragments, regions = planted(size, n=400 if size > 1 else 40)
    path = write(tmp_path / "f.tsv.gz", fragments)
    whole = pp.count_fragments(path, as_table(regions), barcodes=CELLS, count=rule)
    assert np.array_equal(whole.X.toarray(), naive(fragments, regions, CELLS, rule))
    monkeypatch.setattr(_fragment_file, "_BLOCK", size)
    monkeypatch.setattr(_fragments, "_MERGE", 10)
    for barcodes in (CELLS, None):
        parts = pp.count_fragments(path, as_table(regions), barcodes=barcodes, count=rule)
        assert np.array_equal(parts[CELLS].X.toarray(), whole.X.toarray())


def test_order_of_lines_barcodes_and_regions_makes_no_difference(tmp_path):
    fragments, regions = planted(1)
    one = pp.count_fragments(write(tmp_path / "a.tsv", fragments), as_table(regions), barcodes=CELLS)
    two = pp.count_fragments(
        write(tmp_path / "b.tsv", fragments[::-1]), as_table(regions[::-1]), barcodes=CELLS[::-1] + ["none"]
    )
    assert two.obs_names.tolist() == [*CELLS[::-1], "none"]
    assert two["none"].X.sum() == 0
    assert np.array_equal(two[one.obs_names, one.var_names].X.toarray(), one.X.toarray())


def test_what_comes_out(small):
    counts = pp.count_fragments(small, ["chr1:100-200", "chr1:240-250"], barcodes=pd.Index(["CCCA-1", "AAAC-1"]))
    assert issparse(counts.X) and counts.X.format == "csr" and counts.X.dtype == np.float32
    assert counts.obs_names.tolist() == ["CCCA-1", "AAAC-1"]
    assert counts.var_names.tolist() == ["chr1:100-200", "chr1:240-250"]
    assert counts.var.to_dict("list") == {"chrom": ["chr1", "chr1"], "start": [100, 240], "end": [200, 250]}
    assert counts.X.toarray().tolist() == [[1, 1], [2, 0]]
    mdata = MuData({"rna": AnnData(np.ones((2, 1), np.float32), obs=counts.obs.copy()), "atac": counts})
    assert mdata.shape == (2, 3)


def test_regions_of_any_kind(tmp_path, small):
    names = ["chr1:100-200", "chr1:240-250"]
    table = as_table([("chr1", 100, 200), ("chr1", 240, 250)])
    bed = tmp_path / "peaks.bed"
    bed.write_text("# made by hand\nchr1\t100\t200\tpeak 1\nchr1\t240\t250\tpeak 2\n")
    atac = AnnData(csr_matrix((2, 2)), obs=pd.DataFrame(index=["AAAC-1", "CCCA-1"]), var=pd.DataFrame(index=names))
    mdata = MuData({"atac": atac})
    for regions in (names, pd.Index(names), table, pd.DataFrame(index=names), bed, str(bed), atac, mdata):
        for barcodes in (None, atac, mdata):
            counts = pp.count_fragments(small, regions, barcodes=barcodes)
            assert counts.to_df().astype(int).to_numpy().tolist() == [[2, 0], [1, 1]]
            assert counts.var_names.tolist() == names


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("", "\n"),
        ("", "\t3\n"),
        ("", "\t3\t+\n"),
        ("", "\t1\r\n"),
        ("# id=x\n# primary_contig=chr1\n", "\t1\n"),
        ("\n", "\t9\n\n"),
    ],
)
def test_header_line_ends_and_further_columns_play_no_part(tmp_path, head, tail):
    path = write(tmp_path / "f.tsv", [("chr1", 1, 5, "sample#A-1"), ("chr1", 4, 9, "sample#A-1")], head, tail)
    counts = pp.count_fragments(path, ["chr1:0-9"])
    assert counts.obs_names.tolist() == ["sample#A-1"]
    assert counts.X.toarray().tolist() == [[2]]
    path.write_bytes(path.read_bytes() + b"# another file\nchr1\t7\t9\tB")  # two files in one, the last line open
    assert pp.count_fragments(path, ["chr1:0-9"]).X.toarray().tolist() == [[1], [2]]


def covered(atac, rna):
    """Regions within 5 kb of a gene: the part of the genome that the file of the fixture was cut down to."""
    genes = rna.var["interval"].astype(str).str.extract(r"(.*):(\d+)-(\d+)").astype({1: int, 2: int})
    spans = atac.var_names.to_series().str.extract(r"(.*):(\d+)-(\d+)").astype({1: int, 2: int})
    near = [
        ((genes[0] == chrom) & (genes[1] - 5000 <= start) & (end <= genes[2] + 5000)).any()
        for chrom, start, end in spans.itertuples(index=False)
    ]
    return np.array(near)


@pytest.fixture(scope="session")
def blood(shared_data):
    """Counts of Cell Ranger for 1,000 cells x 174 regions, where they can be known, and the fragments they came from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # written by an old mudata
        mdata = read_h5mu(shared_data / "fixtures" / "test_rna_atac.h5mu")
    return (
        mdata["atac"],
        covered(mdata["atac"], mdata["rna"]),
        shared_data / "fixtures" / "test_rna_atac_fragments.tsv.gz",
    )


def test_insertions_are_those_of_cell_ranger(blood):
    atac, near, path = blood
    counts = pp.count_fragments(path, atac, barcodes=atac, count="insertions")
    assert (counts.obs_names == atac.obs_names).all() and (counts.var_names == atac.var_names).all()
    assert near.sum() == 123
    ours, theirs = counts.X.toarray(), atac.X.toarray()
    assert np.array_equal(ours[:, near], theirs[:, near])
    assert theirs[:, near].sum() == 21_597
    assert (ours <= theirs).all()  # elsewhere the file lacks fragments


def in_types(atac, counts):
    """The same cells with these counts, in two types."""
    return MuData({"atac": AnnData(counts, obs=pd.DataFrame({"type": ["A", "B"] * 500}, index=atac.obs_names))})


def test_insertions_and_binary_counts_warn_where_cells_are_summed(blood):
    atac, near, path = blood
    atac = atac[:, near].copy()
    counts = pp.count_fragments(path, atac, barcodes=atac)
    for matrix, message in (
        (atac.X, r"atac.X are even and counts of 2 \([\d,]+\) outnumber counts of 1 .* reads, not fragments"),
        ((counts.X > 0).astype(np.float32), r"atac.X looks binary; .*: scget\.pp\.count_fragments\."),
    ):
        with pytest.warns(ScgetWarning, match=message) as caught:
            pp.pseudobulk(in_types(atac, matrix), "type")
        assert [one.filename for one in caught if one.category is ScgetWarning] == [__file__]
    sums = pp.pseudobulk(in_types(atac, counts.X), "type")  # a warning is an error here
    assert sums["atac"].X.sum() == counts.X.sum() == 11_532


def test_reads_and_binary_counts_warn_at_setup_only(toy):
    fragments = toy["atac"].X.copy()
    for name, counts, message in (
        ("reads", 2 * np.minimum(fragments.toarray(), 2), r"atac.layers\['reads'\] are even"),
        ("open", np.minimum(fragments.toarray(), 1), r"atac.layers\['open'\] looks binary"),
    ):
        toy["atac"].layers[name] = csr_matrix(counts)
        with pytest.warns(ScgetWarning, match=message) as caught:
            scget.model.GET.setup_mudata(toy, atac_layer=name)
        assert [one.filename for one in caught if one.category is ScgetWarning] == [__file__]
    model = scget.model.GET(toy, width=8, n_layers=1, n_heads=1, window=16)
    model.train(1, accelerator="cpu", enable_progress_bar=False)
    model.predict(toy)  # a warning is an error here


@pytest.mark.parametrize(("rule", "total", "n_unlike"), [("fragments", 11_532, 57), ("paired-insertions", 11_498, 21)])
def test_fragments_are_half_the_insertions(blood, rule, total, n_unlike):
    """Half of Cell Ranger's counts, rounded up, but where a region holds one end of two fragments, or none of one."""
    atac, near, path = blood
    counts = pp.count_fragments(path, atac[:, near], barcodes=atac, count=rule).X.toarray()
    theirs = atac.X.toarray()[:, near]
    assert counts.sum() == total
    assert (counts != np.ceil(theirs / 2)).sum() == n_unlike


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(_fragment_file, "_BLOCK", 1 << 14)
    monkeypatch.setattr(_fragments, "_MERGE", 1 << 10)
    fragments, regions = planted(3)
    peaks = []
    for n in (10, 100):
        path = write(tmp_path / f"{n}.tsv", fragments * n)
        pp.count_fragments(path, as_table(regions))  # what is imported and kept
        tracemalloc.start()
        pp.count_fragments(path, as_table(regions))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (tmp_path / "100.tsv").stat().st_size > 800_000
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["chr1\t5\t9"],
            r"2 of the first 5 lines of 'f.tsv' are no fragments, first line 2: 'chr1\\t5\\t9' \(3 columns\)",
        ),
        (["chr1 5 9 A"], "first line 2: 'chr1 5 9 A' .1 columns"),
        (["chr1\t9\t9\tA"], r"first line 2: .*\(start >= end\)"),
        (["chr1\t9\t8\tA"], r"first line 2: .*\(start >= end\)"),
        (["chr1\t-1\t8\tA"], r"first line 2: .*\(start before 0\)"),
        (["chr1\t1.5\t8\tA"], r"first line 2: .*\(start is not a whole number\)"),
        (["chr1\t1\t\tA"], r"first line 2: .*\(end is not a whole number\)"),
        (["chr1\t1\t99999999999999999999\tA"], r"first line 2: .*\(end is not a whole number\)"),
        (["chr1\t1\t4611686018427387904\tA"], r"first line 2: .*\(end is not a whole number\)"),
        (["chr1\t1\t5\t\t1"], r"first line 2: .*\(no barcode\)"),
        (["\t1\t5\tA\t1"], r"first line 2: .*\(no chromosome\)"),
    ],
)
def test_lines_that_are_no_fragments_are_refused(tmp_path, lines, message):
    path = tmp_path / "f.tsv"
    path.write_text("\n".join(["chr1\t1\t5\tA\t1", *lines, "chr1\t2\t6\tB\t1", *lines, "chr1\t2\t6\tB\t1"]))
    with pytest.raises(InputError, match=message):
        pp.count_fragments(path, ["chr1:0-9"])


def test_lines_are_numbered_through_all_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(_fragment_file, "_BLOCK", 10)
    path = write(tmp_path / "f.tsv", [("chr1", 1, 5, "A")] * 50 + [("chr1", 9, 2, "A")], head="# x\n")
    with pytest.raises(InputError, match="1 of the first 52 lines .* first line 52"):
        pp.count_fragments(path, ["chr1:0-9"])


def test_files_that_are_not_whole_are_refused(tmp_path, small):
    fragments, regions = planted(2)
    data = write(tmp_path / "a.tsv.gz", fragments).read_bytes()
    path = tmp_path / "b.tsv.gz"
    for broken, message in (
        (data[: len(data) // 2], "'b.tsv.gz' is not whole: it ends within compressed data"),
        (data[:-3], "is not whole"),
        (data[:200] + bytes([data[200] ^ 255]) + data[201:], "is damaged"),
        (data[:-6] + b"xxxxxx", "is damaged"),
        (gzip.decompress(data), "is no gzip file in spite of its name"),
        (b"<html>", "is no gzip file"),
        (b"", "'b.tsv.gz' holds no fragments"),
        (gzip.compress(b"# head\n\n", mtime=0), "holds no fragments"),
    ):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=message):
            pp.count_fragments(path, as_table(regions))
    with pytest.raises(FileNotFoundError, match="no fragment file"):
        pp.count_fragments(tmp_path / "c.tsv.gz", as_table(regions))
    renamed = small.rename(small.with_name("packed.tsv"))  # gzip under another name
    assert pp.count_fragments(renamed, ["chr1:100-200"]).X.sum() == 3


def test_byte_order_mark_is_no_part_of_a_chromosome(tmp_path):
    path = tmp_path / "fragments.tsv"
    path.write_text("\ufeffchr1\t100\t200\tA-1\t1\nchr1\t150\t200\tA-1\t1\n", encoding="utf-8")
    assert pp.count_fragments(path, ["chr1:0-300"]).X.sum() == 2


def test_packed_by_bgzip_and_cut_between_two_blocks_is_refused(tmp_path):
    path = tmp_path / "fragments.tsv.gz"
    with bgzf.BgzfWriter(path) as file:
        file.write(b"chr1\t100\t200\tA-1\t1\n")
    assert pp.count_fragments(path, ["chr1:0-300"]).X.sum() == 1
    path.write_bytes(path.read_bytes()[:-28])
    with pytest.raises(InputError, match="fragments.tsv.gz' is not whole: the block that ends"):
        pp.count_fragments(path, ["chr1:0-300"])


def test_other_chromosomes_are_refused(small):
    with pytest.raises(GenomeError, match=r"no chromosome in common: regions '1'; 'f.tsv.gz' 'chr1'.*Add 'chr'\?"):
        pp.count_fragments(small, ["1:100-200"])
    with pytest.raises(GenomeError, match=r"name chromosomes alike\. Remove 'chr'\?"):
        pp.count_fragments(write(small.with_name("g.tsv"), [("1", 1, 5, "A")]), ["chr1:100-200"])
    with pytest.raises(GenomeError, match=r"regions 'chr7'; .* alike\.$"):
        pp.count_fragments(small, ["chr7:100-200"])
    with pytest.warns(ScgetWarning, match="1 of 2 regions lie on chromosomes that 'f.tsv.gz' lacks: 'chrY'") as caught:
        pp.count_fragments(small, ["chr1:100-200", "chrY:1-5"])
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("barcodes", "message"),
    [
        (["AAAC", "CCCA"], "none of 2 barcodes is in 'f.tsv.gz': given 'AAAC', ..., there 'AAAC-1'. Rename one side"),
        (["s1#AAAC-1"], "given 's1#AAAC-1', there 'AAAC-1'"),
        (["AAAC-1", "CCCA-1", "AAAC-1"], "1 barcodes occur twice, first 'AAAC-1'"),
        ([], "barcodes is empty"),
        ("barcodes.tsv", "barcodes='barcodes.tsv' is one text; give a list"),
    ],
)
def test_barcodes_that_do_not_fit_are_refused(small, barcodes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        pp.count_fragments(small, ["chr1:100-200"], barcodes=barcodes)


def test_barcodes_found_in_part_warn(small):
    pp.count_fragments(small, ["chr1:100-200"], barcodes=["AAAC-1", "x"])  # a half is no reason to
    with pytest.warns(
        ScgetWarning, match=r"only 1 of 3 barcodes \(33%\) are in 'f.tsv.gz', lacking are 'x', 'y'"
    ) as caught:
        counts = pp.count_fragments(small, ["chr1:100-200"], barcodes=["x", "AAAC-1", "y"])
    assert caught[0].filename == __file__
    assert counts.X.toarray().tolist() == [[0], [2], [0]]


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (["peak 1"], "cannot read 1 of 1 region names"),
        ([], "there are no regions"),
        (["chr1:9-9"], "have no length"),
        (["chr1:1-9", "chr1:1-9"], "occur twice"),
        (pd.DataFrame({"chrom": ["chr1"], "start": [1.5], "end": [3]}), "start 1.5 is not a whole number"),
    ],
)
def test_regions_that_cannot_be_read_are_refused(small, regions, message):
    with pytest.raises(InputError, match=message):
        pp.count_fragments(small, regions)


def test_unknown_rule_is_refused(small):
    with pytest.raises(InputError, match=r"count='reads'; there are 'fragments', 'paired-insertions', 'insertions'\."):
        pp.count_fragments(small, ["chr1:100-200"], count="reads")


def test_missing_library_is_named_with_its_extra(small, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bioframe", None)
    with pytest.raises(ImportError, match=r'pip install "scget\[genome\]"'):
        pp.count_fragments(small, ["chr1:100-200"])
