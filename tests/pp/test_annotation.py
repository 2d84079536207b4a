"""The start of chr1 (GRCh38) as GENCODE, Ensembl and RefSeq write it: one strand each way, a miRNA, a pseudogene."""

from __future__ import annotations

import gzip

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

import scget
from scget._errors import GenomeError, InputError, ScgetWarning
from scget.pp._annotation import read_tss

GENCODE_GTF = """\
##description: evidence-based annotation of the human genome (GRCh38), version 38 (Ensembl 104)
##provider: GENCODE
chr1|HAVANA|gene|14404|29570|.|-|.|gene_id "ENSG00000227232.5"; gene_type "unprocessed_pseudogene"; gene_name "WASH7P"; level 2; hgnc_id "HGNC:38034"; havana_gene "OTTHUMG00000000958.1";
chr1|HAVANA|transcript|14404|29570|.|-|.|gene_id "ENSG00000227232.5"; transcript_id "ENST00000488147.1"; gene_type "unprocessed_pseudogene"; gene_name "WASH7P"; transcript_type "unprocessed_pseudogene"; transcript_name "WASH7P-201"; level 2; transcript_support_level "NA"; tag "basic";
chr1|HAVANA|exon|29534|29570|.|-|.|gene_id "ENSG00000227232.5"; transcript_id "ENST00000488147.1"; gene_name "WASH7P"; exon_number 1; exon_id "ENSE00001890219.1";
chr1|ENSEMBL|gene|17369|17436|.|-|.|gene_id "ENSG00000278267.1"; gene_type "miRNA"; gene_name "MIR6859-1"; level 3; hgnc_id "HGNC:50039";
chr1|ENSEMBL|transcript|17369|17436|.|-|.|gene_id "ENSG00000278267.1"; transcript_id "ENST00000619216.1"; gene_type "miRNA"; gene_name "MIR6859-1"; transcript_type "miRNA"; transcript_name "MIR6859-1-201"; level 3; tag "basic";
chr1|HAVANA|gene|65419|71585|.|+|.|gene_id "ENSG00000186092.7"; gene_type "protein_coding"; gene_name "OR4F5"; level 2; hgnc_id "HGNC:14825";
chr1|HAVANA|transcript|65419|71585|.|+|.|gene_id "ENSG00000186092.7"; transcript_id "ENST00000641515.2"; gene_type "protein_coding"; gene_name "OR4F5"; transcript_name "OR4F5-201"; tag "basic"; tag "Ensembl_canonical";
chr1|HAVANA|CDS|65565|65573|.|+|0|gene_id "ENSG00000186092.7"; transcript_id "ENST00000641515.2"; gene_name "OR4F5"; exon_number 2;
"""
GENCODE_GFF3 = """\
##gff-version 3
#provider: GENCODE
##sequence-region chr1 1 248956422
chr1|HAVANA|gene|14404|29570|.|-|.|ID=ENSG00000227232.5;gene_id=ENSG00000227232.5;gene_type=unprocessed_pseudogene;gene_name=WASH7P;level=2;hgnc_id=HGNC:38034
chr1|HAVANA|transcript|14404|29570|.|-|.|ID=ENST00000488147.1;Parent=ENSG00000227232.5;gene_id=ENSG00000227232.5;transcript_id=ENST00000488147.1;gene_name=WASH7P;transcript_name=WASH7P-201;tag=basic
chr1|HAVANA|exon|29534|29570|.|-|.|ID=exon:ENST00000488147.1:1;Parent=ENST00000488147.1;gene_id=ENSG00000227232.5;transcript_id=ENST00000488147.1;gene_name=WASH7P
chr1|ENSEMBL|gene|17369|17436|.|-|.|ID=ENSG00000278267.1;gene_id=ENSG00000278267.1;gene_type=miRNA;gene_name=MIR6859-1
chr1|ENSEMBL|transcript|17369|17436|.|-|.|ID=ENST00000619216.1;Parent=ENSG00000278267.1;gene_id=ENSG00000278267.1;transcript_id=ENST00000619216.1;gene_name=MIR6859-1
chr1|HAVANA|gene|65419|71585|.|+|.|ID=ENSG00000186092.7;gene_id=ENSG00000186092.7;gene_type=protein_coding;gene_name=OR4F5
chr1|HAVANA|transcript|65419|71585|.|+|.|ID=ENST00000641515.2;Parent=ENSG00000186092.7;gene_id=ENSG00000186092.7;transcript_id=ENST00000641515.2;gene_name=OR4F5
###
"""
ENSEMBL_GTF = """\
#!genome-build GRCh38.p13
#!genome-version GRCh38
1|havana|gene|14404|29570|.|-|.|gene_id "ENSG00000227232"; gene_version "5"; gene_name "WASH7P"; gene_source "havana"; gene_biotype "unprocessed_pseudogene";
1|havana|transcript|14404|29570|.|-|.|gene_id "ENSG00000227232"; gene_version "5"; transcript_id "ENST00000488147"; transcript_version "1"; gene_name "WASH7P"; gene_source "havana"; gene_biotype "unprocessed_pseudogene"; transcript_name "WASH7P-201";
1|mirbase|gene|17369|17436|.|-|.|gene_id "ENSG00000278267"; gene_version "1"; gene_name "MIR6859-1"; gene_source "mirbase"; gene_biotype "miRNA";
1|mirbase|transcript|17369|17436|.|-|.|gene_id "ENSG00000278267"; gene_version "1"; transcript_id "ENST00000619216"; transcript_version "1"; gene_name "MIR6859-1";
1|ensembl_havana|gene|65419|71585|.|+|.|gene_id "ENSG00000186092"; gene_version "7"; gene_name "OR4F5"; gene_biotype "protein_coding";
1|ensembl_havana|transcript|65419|71585|.|+|.|gene_id "ENSG00000186092"; gene_version "7"; transcript_id "ENST00000641515"; transcript_version "2"; gene_name "OR4F5";
1|ensembl_havana|five_prime_utr|65419|65433|.|+|.|gene_id "ENSG00000186092"; gene_version "7"; transcript_id "ENST00000641515"; gene_name "OR4F5";
"""
ENSEMBL_GFF3 = """\
##gff-version 3
##sequence-region   1 1 248956422
1|GRCh38|chromosome|1|248956422|.|.|.|ID=chromosome:1;Alias=CM000663.2,chr1,NC_000001.11
###
1|.|biological_region|10469|11240|1.3e+03|.|.|external_name=oe %3D 0.79;logic_name=cpg
1|havana|pseudogene|14404|29570|.|-|.|ID=gene:ENSG00000227232;Name=WASH7P;biotype=unprocessed_pseudogene;description=WASP family homolog 7%2C pseudogene [Source:HGNC Symbol%3BAcc:HGNC:38034];gene_id=ENSG00000227232;logic_name=havana_homo_sapiens;version=5
1|havana|pseudogenic_transcript|14404|29570|.|-|.|ID=transcript:ENST00000488147;Parent=gene:ENSG00000227232;Name=WASH7P-201;biotype=unprocessed_pseudogene;tag=basic;transcript_id=ENST00000488147;version=1
1|havana|exon|29534|29570|.|-|.|Parent=transcript:ENST00000488147;Name=ENSE00001890219;constitutive=1;exon_id=ENSE00001890219;rank=1;version=1
###
1|mirbase|ncRNA_gene|17369|17436|.|-|.|ID=gene:ENSG00000278267;Name=MIR6859-1;biotype=miRNA;gene_id=ENSG00000278267;version=1
1|mirbase|miRNA|17369|17436|.|-|.|ID=transcript:ENST00000619216;Parent=gene:ENSG00000278267;Name=MIR6859-1-201;biotype=miRNA;transcript_id=ENST00000619216;version=1
###
1|ensembl_havana|gene|65419|71585|.|+|.|ID=gene:ENSG00000186092;Name=OR4F5;biotype=protein_coding;gene_id=ENSG00000186092;version=7
1|ensembl_havana|mRNA|65419|71585|.|+|.|ID=transcript:ENST00000641515;Parent=gene:ENSG00000186092;Name=OR4F5-201;biotype=protein_coding;tag=basic,Ensembl_canonical;transcript_id=ENST00000641515;version=2
1|ensembl_havana|CDS|65565|65573|.|+|0|ID=CDS:ENSP00000493376;Parent=transcript:ENST00000641515;protein_id=ENSP00000493376
"""
REFSEQ_GTF = """\
#gtf-version 2.2
#!genome-build-accession NCBI_Assembly:GCF_000001405.40
NC_000001.11|BestRefSeq|gene|14362|29370|.|-|.|gene_id "WASH7P"; transcript_id ""; db_xref "GeneID:653635"; db_xref "HGNC:HGNC:38034"; description "WASP family homolog 7, pseudogene"; gbkey "Gene"; gene "WASH7P"; gene_biotype "transcribed_pseudogene"; pseudo "true";
NC_000001.11|BestRefSeq|transcript|14362|29370|.|-|.|gene_id "WASH7P"; transcript_id "NR_024540.1"; db_xref "GeneID:653635"; gbkey "misc_RNA"; gene "WASH7P"; product "WASP family homolog 7, pseudogene"; transcript_biotype "transcript";
NC_000001.11|BestRefSeq|exon|29321|29370|.|-|.|gene_id "WASH7P"; transcript_id "NR_024540.1"; gene "WASH7P"; exon_number "1";
NC_000001.11|BestRefSeq|gene|17369|17436|.|-|.|gene_id "MIR6859-1"; transcript_id ""; db_xref "GeneID:102466751"; gbkey "Gene"; gene "MIR6859-1"; gene_biotype "miRNA";
NC_000001.11|BestRefSeq|transcript|17369|17436|.|-|.|gene_id "MIR6859-1"; transcript_id "NR_106918.1"; gbkey "precursor_RNA"; gene "MIR6859-1"; transcript_biotype "primary_transcript";
NC_000001.11|BestRefSeq|gene|65419|71585|.|+|.|gene_id "OR4F5"; transcript_id ""; db_xref "GeneID:79501"; gbkey "Gene"; gene "OR4F5"; gene_biotype "protein_coding";
NC_000001.11|BestRefSeq|transcript|65419|71585|.|+|.|gene_id "OR4F5"; transcript_id "NM_001005484.2"; db_xref "Ensembl:ENST00000641515.2"; gbkey "mRNA"; gene "OR4F5"; tag "MANE Select"; transcript_biotype "mRNA";
"""
REFSEQ_GFF3 = """\
##gff-version 3
#!annotation-source NCBI RefSeq GCF_000001405.40-RS_2023_03
##sequence-region NC_000001.11 1 248956422
NC_000001.11|RefSeq|region|1|248956422|.|+|.|ID=NC_000001.11:1..248956422;Dbxref=taxon:9606;Name=1;chromosome=1;gbkey=Src
NC_000001.11|BestRefSeq|pseudogene|14362|29370|.|-|.|ID=gene-WASH7P;Dbxref=GeneID:653635,HGNC:HGNC:38034;Name=WASH7P;description=WASP family homolog 7%2C pseudogene;gbkey=Gene;gene=WASH7P;gene_biotype=transcribed_pseudogene;pseudo=true
NC_000001.11|BestRefSeq|transcript|14362|29370|.|-|.|ID=rna-NR_024540.1;Parent=gene-WASH7P;Dbxref=GeneID:653635;Name=NR_024540.1;gbkey=misc_RNA;gene=WASH7P;transcript_id=NR_024540.1
NC_000001.11|BestRefSeq|exon|29321|29370|.|-|.|ID=exon-NR_024540.1-1;Parent=rna-NR_024540.1;gene=WASH7P
NC_000001.11|BestRefSeq|gene|17369|17436|.|-|.|ID=gene-MIR6859-1;Dbxref=GeneID:102466751;Name=MIR6859-1;gbkey=Gene;gene=MIR6859-1;gene_biotype=miRNA
NC_000001.11|BestRefSeq|primary_transcript|17369|17436|.|-|.|ID=rna-NR_106918.1;Parent=gene-MIR6859-1;Name=NR_106918.1;gene=MIR6859-1;transcript_id=NR_106918.1
NC_000001.11|BestRefSeq|miRNA|17369|17391|.|-|.|ID=rna-MIR6859-1;Parent=rna-NR_106918.1;gbkey=ncRNA;gene=MIR6859-1;product=hsa-miR-6859-3p
NC_000001.11|BestRefSeq|gene|65419|71585|.|+|.|ID=gene-OR4F5;Dbxref=GeneID:79501;Name=OR4F5;gbkey=Gene;gene=OR4F5;gene_biotype=protein_coding
NC_000001.11|BestRefSeq|mRNA|65419|71585|.|+|.|ID=rna-NM_001005484.2;Parent=gene-OR4F5;Name=NM_001005484.2;gbkey=mRNA;gene=OR4F5;transcript_id=NM_001005484.2
NC_000001.11|RefSeq|enhancer|70000|70100|.|.|.|ID=id-GeneID:1;gbkey=regulatory
"""
EXONS_GTF = """\
chr1|unknown|exon|14362|14829|.|-|.|gene_id "WASH7P"; gene_name "WASH7P"; transcript_id "NR_024540"; tss_id "TSS8568";
chr1|unknown|exon|29321|29370|.|-|.|gene_id "WASH7P"; gene_name "WASH7P"; transcript_id "NR_024540"; tss_id "TSS8568";
chr1|unknown|exon|17369|17436|.|-|.|gene_id "MIR6859-1"; gene_name "MIR6859-1"; transcript_id "NR_106918"; tss_id "TSS33";
chr1|unknown|start_codon|65565|65567|.|+|.|gene_id "OR4F5"; gene_name "OR4F5"; transcript_id "NM_001005484";
chr1|unknown|exon|69037|71585|.|+|.|gene_id "OR4F5"; gene_name "OR4F5"; transcript_id "NM_001005484"; tss_id "TSS14428";
chr1|unknown|exon|65419|65433|.|+|.|gene_id "OR4F5"; gene_name "OR4F5"; transcript_id "NM_001005484"; tss_id "TSS14428";
"""


def expected(chrom, wash7p, ids):
    """0-based first base transcribed: the last of the 1-based positions where a gene reads to the left."""
    genes = [("MIR6859-1", 17435, "-"), ("OR4F5", 65418, "+"), ("WASH7P", wash7p, "-")]
    return [(name, ids.get(name, name), chrom, tss, strand) for name, tss, strand in genes]


ENSG = {"MIR6859-1": "ENSG00000278267", "OR4F5": "ENSG00000186092", "WASH7P": "ENSG00000227232"}
VERSIONED = dict(zip(ENSG, ["ENSG00000278267.1", "ENSG00000186092.7", "ENSG00000227232.5"], strict=True))
REFSEQ_IDS = {name: f"gene-{name}" for name in ENSG}
DIALECTS = {
    "gencode.gtf": (GENCODE_GTF, expected("chr1", 29569, VERSIONED)),
    "gencode.gff3": (GENCODE_GFF3, expected("chr1", 29569, VERSIONED)),
    "ensembl.gtf": (ENSEMBL_GTF, expected("1", 29569, ENSG)),
    "ensembl.gff3": (ENSEMBL_GFF3, expected("1", 29569, ENSG)),
    "refseq.gtf": (REFSEQ_GTF, expected("NC_000001.11", 29369, {})),
    "refseq.gff": (REFSEQ_GFF3, expected("NC_000001.11", 29369, REFSEQ_IDS)),
    "igenomes.gtf": (EXONS_GTF, expected("chr1", 29369, {})),
}


def write(tmp_path, text, name):
    path = tmp_path / name
    data = text.replace("|", "\t").encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def mdata_of(regions, genes=None) -> MuData:
    def of(names):
        adata = AnnData(csr_matrix((1, len(names)), dtype=np.float32), var=pd.DataFrame(index=list(names)))
        adata.obs_names = ["row"]
        return adata

    return MuData({"atac": of(regions)} | ({} if genes is None else {"rna": of(genes)}))


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_its_starts(tmp_path, name, gz):
    text, rows = DIALECTS[name]
    tss = read_tss(write(tmp_path, text, name + gz))
    assert sorted(tss[["gene", "gene_id", "chrom", "tss", "strand"]].itertuples(index=False, name=None)) == rows


FORMS = [("names", name) for name in DIALECTS]
FORMS += [(form, name) for form in ("ids", "other versions") for name in DIALECTS if name[:3] in ("gen", "ens")]


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_genes_of_every_dialect_are_found(tmp_path, form, name):
    text, rows = DIALECTS[name]
    genes = {"names": list(ENSG), "ids": list(ENSG.values()), "other versions": [f"{i}.99" for i in ENSG.values()]}
    chrom = rows[0][2]
    mdata = mdata_of([f"{chrom}:17000-18000", f"{chrom}:29000-30000", f"{chrom}:65000-66000"], genes[form])
    scget.pp.promoters(mdata, write(tmp_path, text, name))
    table = mdata["atac"].uns["peak_annotation"]
    # in the order of the regions: the miRNA, the pseudogene, the receptor
    assert table["gene"].tolist() == [genes[form][i] for i in (0, 2, 1)]
    assert mdata["rna"].var["promoter"].tolist() == ["yes"] * 3


@pytest.mark.parametrize("name", ["refseq.gtf", "refseq.gff"])
def test_accessions_of_refseq_are_explained(tmp_path, name):
    message = (
        r"no chromosome in common: regions 'chr1'; annotation 'NC_000001.11'. Here the annotation names chromosomes by "
        r"RefSeq accession. Rename .*assembly report of NCBI .*or take RefSeq from UCSC \(such as hg38.ncbiRefSeq.gtf.gz"
    )
    with pytest.raises(GenomeError, match=message):
        scget.pp.promoters(mdata_of(["chr1:65000-66000"]), write(tmp_path, DIALECTS[name][0], name))
    with pytest.raises(GenomeError, match="Here the regions name chromosomes by RefSeq accession"):
        scget.pp.promoters(mdata_of(["NC_000001.11:1-9"]), write(tmp_path, GENCODE_GTF, "gencode.gtf"))


def test_chr_is_named_where_it_is_the_difference(tmp_path):
    with pytest.raises(GenomeError, match=r"regions 'chr1'; annotation '1'. Rename them: scget.pp.rename_chr"):
        scget.pp.promoters(mdata_of(["chr1:65000-66000"]), write(tmp_path, ENSEMBL_GTF, "a.gtf"))


PAR = """\
chrX|HAVANA|transcript|1591604|1602520|.|+|.|gene_id "ENSG00000197976.12"; transcript_id "ENST00000313871.9"; gene_name "AKAP17A";
chrY|HAVANA|transcript|1591604|1602520|.|+|.|gene_id "ENSG00000197976.12_PAR_Y"; transcript_id "ENST00000313871.9_PAR_Y"; gene_name "AKAP17A"; tag "PAR";
chrX|HAVANA|transcript|1000|2000|.|+|.|gene_id "ENSG00000000011.1"; transcript_id "T1"; gene_name "THREE";
chrY|HAVANA|transcript|1000|2000|.|+|.|gene_id "ENSG00000000012.1"; transcript_id "T2"; gene_name "THREE";
chr5|HAVANA|transcript|1000|2000|.|+|.|gene_id "ENSG00000000013.1"; transcript_id "T3"; gene_name "THREE";
"""


@pytest.mark.parametrize("genes", [None, ["AKAP17A"], ["ENSG00000197976"], ["ENSG00000197976.12"]])
def test_pseudo_autosomal_genes_keep_their_place_on_x(tmp_path, genes):
    regions = ["chrX:1591500-1591700", "chrY:1591500-1591700", "chrX:900-1100"]
    text = "".join(PAR.splitlines(keepends=True)[:2])
    mdata = mdata_of(regions, genes)
    scget.pp.promoters(mdata, write(tmp_path, text, "par.gtf"))
    rows = mdata["atac"].uns["peak_annotation"][["region", "gene", "tss"]].to_numpy().tolist()
    assert rows == [["chrX:1591500-1591700", genes[0] if genes else "AKAP17A", 1591603]]


def test_x_and_y_and_another_are_several_genes(tmp_path):
    regions = ["chrX:1591500-1591700", "chrX:900-1100", "chrY:5000-5100", "chr5:5000-5100"]
    mdata = mdata_of(regions, ["AKAP17A", "THREE"])
    with pytest.warns(ScgetWarning, match="1 genes stand on more than one chromosome .*'THREE'"):
        scget.pp.promoters(mdata, write(tmp_path, PAR, "par.gtf"))
    assert mdata["rna"].var["promoter"].tolist() == ["yes", "on more than one chromosome"]


def table_of(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["gene", "chrom", "tss", "strand"])


REPORT = table_of(
    ("near", "chr1", 1000, "+"),
    ("near", "chr1", 90_000, "+"),
    ("other strand", "chr1", 1000, "-"),
    ("far", "chr1", 50_000, "+"),
    ("twice", "chr1", 1000, "+"),
    ("twice", "chr2", 1000, "+"),
    ("elsewhere", "chr3", 1000, "+"),
    ("not in rna", "chr1", 1000, "+"),
)


@pytest.mark.filterwarnings("ignore:1 genes stand on more than one chromosome")
def test_every_gene_is_told_why(tmp_path):
    genes = ["far", "near", "missing", "twice", "elsewhere", "other strand"]
    mdata = mdata_of(["chr1:900-1100", "chr2:900-1100"], genes)
    scget.pp.promoters(mdata, REPORT)
    verdicts = {
        "far": "no region at a TSS",
        "near": "yes",
        "missing": "not in the annotation",
        "twice": "on more than one chromosome",
        "elsewhere": "chromosome without regions",
        "other strand": "yes",
    }
    assert mdata["rna"].var["promoter"].to_dict() == verdicts
    assert mdata["rna"].var["promoter"].value_counts().to_dict()["yes"] == 2
    mdata.write(tmp_path / "a.h5mu")
    mdata.write_zarr(tmp_path / "a.zarr")
    for read in (mudata.read_h5mu(tmp_path / "a.h5mu"), mudata.read_zarr(tmp_path / "a.zarr")):
        assert read["rna"].var["promoter"].astype(str).to_dict() == verdicts


@pytest.mark.filterwarnings("ignore:1 genes stand on more than one chromosome")
def test_verdicts_do_not_depend_on_order():
    genes = ["far", "near", "missing", "twice", "elsewhere", "other strand"]
    one, other = mdata_of(["chr1:900-1100"], genes), mdata_of(["chr1:900-1100"], genes[::-1])
    scget.pp.promoters(one, REPORT)
    scget.pp.promoters(other, REPORT.iloc[::-1])
    pd.testing.assert_series_equal(one["rna"].var["promoter"], other["rna"].var["promoter"][genes])


def test_pseudobulk_keeps_the_verdicts(cells):
    tss = table_of(("G0", "chr2", 300, "+"), ("G1", "chr2", 90_000, "-"))
    with pytest.warns(ScgetWarning, match=r"only 1 of 6 genes in 'rna' have a promoter region \(2 are in the annot"):
        scget.pp.promoters(cells, tss)
    pb = scget.pp.pseudobulk(cells, "cell_type")
    assert pb["rna"].var["promoter"].tolist()[:2] == ["yes", "no region at a TSS"]
    assert pb["rna"].var["promoter"].value_counts()["not in the annotation"] == 4


def test_copy_leaves_the_verdicts_of_the_original_alone(cells):
    result = scget.pp.promoters(cells, table_of(*[(f"G{i}", "chr2", 300, "+") for i in range(6)]), copy=True)
    assert "promoter" in result["rna"].var
    assert "promoter" not in cells["rna"].var


BAD = {
    "None": (None, InputError, "annotation is None; the path of a GTF, a GFF or a table of TSS is needed"),
    "list": ([], InputError, r"annotation is \[\]; the path"),
    "empty table": (REPORT[:0], InputError, "the TSS table has no rows"),
    "empty file": (("", "a.gtf"), InputError, "no transcript or gene .* in a.gtf"),
    "empty table file": (("", "a.tsv"), InputError, "cannot read a.tsv: No columns to parse"),
    "header alone": (("gene|chrom|tss|strand\n", "a.tsv"), InputError, "a.tsv has no rows"),
    "comments alone": (("##gff-version 3\n", "a.gff3"), InputError, "cannot read a.gff3: .* expected 9 and found 1. Is it whole, with"),
    "spaces": (("chr1 x gene 1 2 . + . gene_id A;\n", "a.gtf"), InputError, "cannot read a.gtf: .* columns separated by tabs"),
    "no start": (("chr1|x|gene|?|2|.|+|.|gene_id A;\n", "a.gtf"), InputError, r"1 lines of a.gtf have no start, first '\?'"),
    "start 0": (("chr1|x|gene|0|2|.|+|.|gene_id A;\n", "a.gtf"), InputError, "1 lines of a.gtf have no start, first '0'"),
}  # fmt: skip


@pytest.mark.parametrize(("annotation", "exception", "message"), BAD.values(), ids=BAD.keys())
def test_bad_annotations_are_refused(tmp_path, annotation, exception, message):
    mdata = mdata_of(["chr1:900-1100"], ["near"])
    given = write(tmp_path, *annotation) if isinstance(annotation, tuple) else annotation
    with pytest.raises(exception, match=message):
        scget.pp.promoters(mdata, given)
    assert not mdata["atac"].uns
    assert list(mdata["rna"].var.columns) == []


def test_damaged_gzip_is_refused(tmp_path):
    path = write(tmp_path, GENCODE_GTF * 50, "a.gtf.gz")
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"<html>" + whole, whole[:200] + b"\0" * 50 + whole[250:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"cannot read a.gtf.gz: .*Is it whole, with columns separated by tabs"):
            read_tss(path)


@pytest.mark.parametrize("name", ["a.gtf", "a.gtf.GZ", "a.gtf.gz", "a.gtf.bgz"])
def test_gzip_is_known_by_its_content(tmp_path, name):
    text = GENCODE_GTF.replace("|", "\t")
    expected = read_tss(write(tmp_path, GENCODE_GTF, "plain.gtf"))
    path = tmp_path / name
    for data in (gzip.compress(text.encode()), text.encode(), text.replace("\n", "\t\n").encode()):
        path.write_bytes(data)
        pd.testing.assert_frame_equal(read_tss(path), expected)


def test_attributes_in_quotes_with_escapes_and_blanks(tmp_path):
    gtf = 'chr1|x|gene|11|20|.|+|.|note "a; gene_name Z"; gene_id "E1"; gene_name "A;B "; \n'
    assert read_tss(write(tmp_path, gtf, "q.gtf"))[["gene", "gene_id"]].values.tolist() == [["A;B", "E1"]]
    gff = "chr1|x|gene|11|20|.|+|.|ID=g1; Name=A%2C1 \nchr1|x|mRNA|15|20|.|+|.|ID=t1;Parent=g1\n"
    assert read_tss(write(tmp_path, gff, "e.gff3"))[["gene", "tss"]].values.tolist() == [["A,1", 14]]
    percent = 'chr1|x|gene|11|20|.|+|.|gene_id "A%2C1";\n'
    assert read_tss(write(tmp_path, percent, "p.gtf"))["gene"].tolist() == ["A%2C1"]


def test_genes_that_stand_on_contigs_without_regions_too_are_kept():
    tss = table_of(
        ("A", "chr1", 150, "+"), ("A", "chr1_GL383518v1_alt", 5, "+"), ("B", "chr1", 160, "-"), ("B", "chr2", 9, "-")
    )
    mdata = mdata_of(["chr1:100-200"], ["A", "B"])
    scget.pp.promoters(mdata, tss)
    assert mdata["rna"].var["promoter"].tolist() == ["yes", "yes"]
    mdata = mdata_of(["chr1:100-200", "chr2:0-50"], ["A", "B"])
    with pytest.warns(ScgetWarning, match="1 genes stand on more than one chromosome .*'B'"):
        scget.pp.promoters(mdata, tss)
    assert mdata["rna"].var["promoter"].tolist() == ["yes", "on more than one chromosome"]


def test_tables_that_no_genome_has_are_refused():
    tss = table_of(("A", "chr1", 150, "+"))
    with pytest.raises(InputError, match="the TSS table has more than one column 'gene'"):
        read_tss(pd.concat([tss, tss[["gene"]]], axis=1))
    with pytest.raises(InputError, match="1 positions in the TSS table are no whole numbers"):
        read_tss(tss.assign(tss=2.0**53))
    with pytest.raises(InputError, match="flank=10000000000000000000: .* from 0 to 1,000,000,000"):
        scget.pp.promoters(mdata_of(["chr1:100-200"]), tss, flank=10**19)


def test_commas_are_read_too(tmp_path):
    REPORT.to_csv(tmp_path / "a.csv", index=False)
    pd.testing.assert_frame_equal(read_tss(tmp_path / "a.csv"), read_tss(REPORT))


@pytest.mark.parametrize("flank", [float("nan"), 2.5, "300", None, True, -1])
def test_flank_is_a_whole_number(flank):
    with pytest.raises(
        InputError, match=r"flank=.*: bases at either side of the TSS are needed, a whole number from 0"
    ):
        scget.pp.promoters(mdata_of(["chr1:900-1100"]), REPORT, flank=flank)


def test_numpy_whole_numbers_are_a_flank():
    mdata = mdata_of(["chr1:900-1100"])
    scget.pp.promoters(mdata, REPORT[:1], flank=np.int64(300))
    assert len(mdata["atac"].uns["peak_annotation"]) == 1
