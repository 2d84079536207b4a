from __future__ import annotations

import gzip
import re
import sys

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
from scget._errors import GenomeError, InputError, ScgetWarning
from scget.pp._annotation import read_tss
from scget.pp._promoters import _annotate
from scget.pp._regions import parse_regions

COLUMNS = ["region", "gene", "strand", "tss", "distance"]
GTF = """\
##description: toy
chr1\tx\tgene\t1001\t2000\t.\t+\t.\tgene_id "ENSG00000000001.5"; gene_name "FWD";
chr1\tx\ttranscript\t1001\t2000\t.\t+\t.\tgene_id "ENSG00000000001.5"; transcript_id "T1"; gene_name "FWD";
chr1\tx\ttranscript\t1011\t1900\t.\t+\t.\tgene_id "ENSG00000000001.5"; transcript_id "T2"; gene_name "FWD";
chr1\tx\texon\t1\t50\t.\t+\t.\tgene_id "ENSG00000000001.5"; transcript_id "T2"; gene_name "FWD";
chr1\tx\ttranscript\t401\t1000\t.\t-\t.\tgene_id "ENSG00000000002.1"; transcript_id "T3"; gene_name "REV#1";
chr2\tx\tgene\t5001\t6000\t.\t-\t.\tgene_id "ENSG00000000003.2"; gene_type "lncRNA";
"""
GFF = """\
##gff-version 3
chr1\tx\tgene\t1001\t2000\t.\t+\t.\tID=gene:ENSG1;Name=FWD;gene_id=ENSG1;version=5
chr1\tx\tmRNA\t1011\t2000\t.\t+\t.\tID=transcript:ENST1;Parent=gene:ENSG1;Name=FWD-201;transcript_id=ENST1
###
chr1\tx\tgene\t1\t900\t.\t-\t.\tID=gene-REV;Name=REV;gene=REV
chr1\tx\tmRNA\t1\t800\t.\t-\t.\tID=rna-REV;Parent=gene-REV;gene=REV
chr1\tx\tncRNA_gene\t1\t5\t.\t-\t.\tID=gene:ENSG9;Name=OTHER
"""


def table(gene=("A",), chrom="chr1", tss=1000, strand="+") -> pd.DataFrame:
    return pd.DataFrame({"gene": list(gene)}).assign(chrom=chrom, tss=tss, strand=strand)


def mdata_of(regions, genes=None) -> MuData:
    atac = AnnData(csr_matrix((1, len(regions)), dtype=np.float32), var=pd.DataFrame(index=list(regions)))
    atac.obs_names = ["row"]
    if genes is None:
        return MuData({"atac": atac})
    rna = AnnData(csr_matrix((1, len(genes)), dtype=np.float32), var=pd.DataFrame(index=list(genes)))
    rna.obs_names = ["row"]
    return MuData({"rna": rna, "atac": atac})


def annotated(mdata, annotation, **kwargs) -> list[tuple]:
    scget.pp.promoters(mdata, annotation, **kwargs)
    result = mdata["atac"].uns["peak_annotation"]
    assert result.columns.tolist() == COLUMNS
    assert result.index.tolist() == [str(i) for i in range(len(result))]
    return list(result.itertuples(index=False, name=None))


@pytest.fixture(params=["toy.gtf", "toy.gtf.gz"])
def gtf(request, tmp_path):
    path = tmp_path / request.param
    path.write_bytes(gzip.compress(GTF.encode()) if path.suffix == ".gz" else GTF.encode())
    return path


def test_gtf_positions_are_zero_based_and_stranded(gtf):
    tss = read_tss(gtf)
    assert sorted(tss[["gene", "gene_id", "chrom", "tss", "strand"]].itertuples(index=False, name=None)) == [
        ("ENSG00000000003.2", "ENSG00000000003.2", "chr2", 5999, "-"),  # no name, no transcript
        ("FWD", "ENSG00000000001.5", "chr1", 1000, "+"),
        ("FWD", "ENSG00000000001.5", "chr1", 1010, "+"),
        ("REV#1", "ENSG00000000002.1", "chr1", 999, "-"),
    ]


def test_gff_finds_names_through_the_parent(tmp_path):
    path = tmp_path / "toy.gff3"
    path.write_text(GFF)
    tss = read_tss(str(path))
    assert sorted(tss[["gene", "gene_id", "tss", "strand"]].itertuples(index=False, name=None)) == [
        ("FWD", "ENSG1", 1010, "+"),
        ("OTHER", "gene:ENSG9", 4, "-"),
        ("REV", "gene-REV", 799, "-"),
    ]


def test_bidirectional_promoter_and_signs(gtf):
    rows = annotated(mdata_of(["chr1:800-1100", "chr1:1300-1400", "chr1:1500-1600"]), gtf)
    # centre 950: upstream of FWD's nearest TSS 1000, downstream of REV's 999, which reads to the left
    assert rows == [
        ("chr1:800-1100", "FWD", "+", 1000, -50),
        ("chr1:800-1100", "REV#1", "-", 999, 49),
        ("chr1:1300-1400", "FWD", "+", 1010, 340),
    ]


@pytest.mark.parametrize(
    ("region", "found"),
    [("chr1:600-700", False), ("chr1:600-701", True), ("chr1:1300-1400", True), ("chr1:1301-1400", False)],
)
def test_window_ends_exactly_at_the_flank(region, found):
    # [700, 1301) around a TSS at 1000
    mdata = mdata_of([region, "chr1:1000-1001"])
    assert (region in [row[0] for row in annotated(mdata, table())]) is found


def test_flank_zero_is_the_base_itself():
    mdata = mdata_of(["chr1:1000-1001", "chr1:1001-1002", "chr1:999-1000"])
    assert annotated(mdata, table(), flank=0) == [("chr1:1000-1001", "A", "+", 1000, 0)]


@pytest.mark.parametrize(
    ("genes", "expected"),
    [
        (["FWD", "REV#1"], {"FWD", "REV#1"}),
        (["ENSG00000000001.5", "ENSG00000000002.1"], {"ENSG00000000001.5", "ENSG00000000002.1"}),
        (["ENSG00000000001", "ENSG00000000002"], {"ENSG00000000001", "ENSG00000000002"}),
        (["ENSG00000000001.9", "ENSG00000000002.8"], {"ENSG00000000001.9", "ENSG00000000002.8"}),
        (["FWD", "unknown"], {"FWD"}),
        (["FWD", "ENSG00000000001", "ENSG00000000002"], {"ENSG00000000001", "ENSG00000000002"}),
    ],
)
def test_genes_are_named_as_in_rna(gtf, genes, expected):
    rows = annotated(mdata_of(["chr1:800-1100"], genes), gtf)
    assert {row[1] for row in rows} == expected


def brute_force(regions, tss, flank):
    """Every region against every TSS; nearest TSS of each region, gene and strand."""
    best = {}
    for name, chrom, start, end, center in zip(
        regions.names, regions.chrom, regions.start, regions.end, regions.centers, strict=True
    ):
        for row in tss[tss["chrom"] == chrom].itertuples():
            if start <= row.tss + flank and end > row.tss - flank:
                distance = int(center - row.tss) * (1 if row.strand == "+" else -1)
                key = (name, row.gene, row.strand)
                best[key] = min(best.get(key, (np.inf,)), (abs(distance), row.tss, distance))
    return sorted((*key, tss, distance) for key, (_, tss, distance) in best.items())


REGION = st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 300), st.integers(1, 120))
SITE = st.tuples(
    st.sampled_from("ABC"), st.sampled_from(["chr1", "chr2", "chr3"]), st.integers(0, 400), st.sampled_from("+-")
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(REGION, min_size=1, max_size=8, unique=True), st.lists(SITE, min_size=1, max_size=8), st.integers(0, 50)
)
def test_any_regions_against_brute_force(regions, sites, flank):
    # nested and overlapping regions of any width included
    regions = parse_regions([f"{c}:{s}-{s + w}" for c, s, w in regions])
    tss = pd.DataFrame(sites, columns=["gene", "chrom", "tss", "strand"])
    got = _annotate(regions, tss, flank)
    assert sorted(got.itertuples(index=False, name=None)) == brute_force(regions, tss, flank)
    backwards = _annotate(regions[np.arange(len(regions))[::-1]], tss.iloc[::-1], flank)
    pd.testing.assert_frame_equal(got, backwards)


def test_copy_leaves_the_original(cells):
    del cells["atac"].uns["peak_annotation"]
    tss = table(gene=["G0", "G1"], chrom="chr2", strand=["+", "-"])
    result = scget.pp.promoters(cells, tss, copy=True, flank=100)
    assert "peak_annotation" not in cells["atac"].uns
    # regions of chr2 are 100-600, 1100-1600, ...; only the second starts within [900, 1101)
    assert result["atac"].uns["peak_annotation"].to_numpy().tolist() == [
        ["chr2:1100-1600", "G0", "+", 1000, 350],
        ["chr2:1100-1600", "G1", "-", 1000, -350],
    ]


def test_table_survives_a_file(gtf, tmp_path):
    mdata = mdata_of(["chr1:800-1100", "chr1:1300-1400"])
    rows = annotated(mdata, gtf)
    mdata.write(tmp_path / "a.h5mu")
    result = mudata.read_h5mu(tmp_path / "a.h5mu")["atac"].uns["peak_annotation"]
    assert result["tss"].dtype == result["distance"].dtype == np.int64
    assert list(result.astype(dict.fromkeys(COLUMNS[:3], str)).itertuples(index=False, name=None)) == rows


def write(tmp_path, text, name="a.gtf"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


BAD = {
    "other chromosome names": (
        ["1:800-1100"],
        None,
        table(),
        GenomeError,
        "no chromosome in common: regions '1'; annotation 'chr1'. Rename them: scget.pp.rename_chromosomes\\(mdata, to='ucsc'\\)",
    ),
    "other genome": (
        ["chrI:800-1100"],
        None,
        table(),
        GenomeError,
        "regions 'chrI'; annotation 'chr1'. Take the annotation",
    ),
    "far from any TSS": (
        ["chr1:8000-9000"],
        None,
        table(),
        GenomeError,
        "none of 1 regions lies within 300 bases of one of 1 TSS",
    ),
    "symbols and ids": (
        ["chr1:800-1100"],
        ["ENSG00000243485", "ENSG00000237613"],
        table(),
        InputError,
        r"none of 2 genes.*'rna' has Ensembl ids \('ENSG00000243485', .*annotation gene symbols \('A'\)",
    ),
    "genes twice": (["chr1:800-1100"], ["A", "B", "A"], table(), InputError, "1 gene names occur twice, first 'A'"),
    "no column": (
        ["chr1:800-1100"],
        None,
        table().drop(columns="tss"),
        InputError,
        "lacks the columns 'tss'; it has 'gene', 'chrom', 'strand'",
    ),
    "strand": (
        ["chr1:800-1100"],
        None,
        table(strand=["1"]),
        InputError,
        r"1 strands in the TSS table are not '\+' or '-', first '1'",
    ),
    "tss not whole": (
        ["chr1:800-1100"],
        None,
        table(tss=[10.5]),
        InputError,
        "1 positions in the TSS table are no whole numbers",
    ),
    "tss negative": (["chr1:800-1100"], None, table(tss=[-1]), InputError, "no whole numbers from 0 on"),
    "no gene": (["chr1:800-1100"], None, table(gene=[None]), InputError, "1 rows of the TSS table lack gene or chrom"),
    "no file": (["chr1:800-1100"], None, "nowhere.gtf", FileNotFoundError, "no annotation file 'nowhere.gtf'"),
}


@pytest.mark.filterwarnings(
    "ignore:Variable names are not unique", "ignore:Duplicated var_names", "ignore:var_names are not"
)
@pytest.mark.parametrize(("regions", "genes", "annotation", "exception", "message"), BAD.values(), ids=BAD.keys())
def test_bad_annotations_are_refused(regions, genes, annotation, exception, message):
    mdata = mdata_of(regions, genes)
    with pytest.raises(exception, match=message):
        scget.pp.promoters(mdata, annotation)
    assert not mdata["atac"].uns


def test_missing_bioframe_is_named_with_its_extra(monkeypatch):
    mdata = mdata_of(["chr1:800-1100"])
    monkeypatch.setitem(sys.modules, "bioframe", None)
    with pytest.raises(ImportError, match=r'bioframe.* pip install "scget\[genome\]"'):
        scget.pp.promoters(mdata, table())
    assert not mdata["atac"].uns


def test_gtf_without_transcripts_is_refused(tmp_path):
    path = write(tmp_path, 'chr1\tx\texon\t1\t50\t.\t+\t.\tgene_id "A";\n')
    with pytest.raises(InputError, match=re.escape("no transcript or gene with a gene_id and a strand in a.gtf")):
        read_tss(path)


def test_transcripts_without_strand_are_left_out_aloud(tmp_path):
    path = write(tmp_path, GTF + 'chr1\tx\ttranscript\t1\t50\t.\t.\t.\tgene_id "S";\n')
    with pytest.warns(ScgetWarning, match="1 transcripts in a.gtf have no strand"):
        assert "S" not in set(read_tss(path)["gene"])


def test_few_genes_with_a_promoter_warn():
    with pytest.warns(ScgetWarning, match=r"only 1 of 6 genes in 'rna' have a promoter region \(1 are in the annot"):
        scget.pp.promoters(mdata_of(["chr1:800-1100"], list("ABCDEF")), table())


def test_real_gtf_against_brute_force(shared_data):
    folder = shared_data / "blood_hg19_sequence"
    names = pd.read_csv(folder / "atac_counts.tsv.gz", sep="\t", usecols=["region"])["region"]
    rows = annotated(mdata_of(names), folder / "genes.gtf.gz")
    lines = pd.read_csv(folder / "genes.gtf.gz", sep="\t", header=None)
    tss = pd.DataFrame({"chrom": lines[0], "strand": lines[6], "gene": lines[8].str.split('"').str[5]})
    tss["tss"] = np.where(lines[6] == "+", lines[3], lines[4]) - 1
    assert (len(tss), tss["gene"].nunique()) == (278, 222)
    assert sorted(rows) == brute_force(parse_regions(names), tss, 300)


def test_one_name_on_two_chromosomes_is_no_gene():
    tss = pd.DataFrame(
        {"gene": ["A", "A", "B"], "chrom": ["chr1", "chr2", "chr1"], "tss": [250] * 3, "strand": ["+"] * 3}
    )
    with pytest.warns(ScgetWarning, match="1 genes stand on more than one chromosome .*'A'"):
        rows = annotated(mdata_of(["chr1:0-500", "chr2:0-500"]), tss)
    assert [row[:3] for row in rows] == [("chr1:0-500", "B", "+")]


def test_real_table_against_brute_force(shared_data):
    folder = shared_data / "blood_hg19"
    bed = pd.read_csv(folder / "regions.bed.gz", sep="\t", names=["chrom", "start", "end"])
    bed = bed[bed["chrom"].isin(["chr21", "chrX"])].sample(3000, random_state=0)  # in no order
    regions = parse_regions(bed["chrom"] + ":" + bed["start"].astype(str) + "-" + bed["end"].astype(str))
    with pytest.warns(ScgetWarning, match="10 genes stand on more than one chromosome .*'DUX4'.*Use Ensembl ids"):
        rows = annotated(mdata_of(regions.names), folder / "tss.tsv.gz")
    tss = pd.read_csv(folder / "tss.tsv.gz", sep="\t")
    tss = tss[tss.groupby("gene")["chrom"].transform("nunique") == 1].reset_index(drop=True)
    center, at = regions.centers[:, None], tss["tss"].to_numpy()
    near = (np.abs(center - at) <= 250 + 300) & (regions.chrom[:, None] == tss["chrom"].to_numpy())  # all are 500 wide
    near &= (regions.start[:, None] <= at + 300) & (regions.end[:, None] > at - 300)
    pairs = {(regions.names[i], tss["gene"][j], tss["strand"][j]) for i, j in np.argwhere(near)}
    assert {row[:3] for row in rows} == pairs
    assert len(rows) == len(pairs) > 100
    assert max(abs(row[4]) for row in rows) <= 550
