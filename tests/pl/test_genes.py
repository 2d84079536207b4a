"""Genes of an annotation below the links of one."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

import scget
from scget._errors import InputError
from scget.pl._genes import draw_genes
from scget.pp._annotation import read_exons

mpl.use("agg")

GTF = """chr1\tx\tgene\t101\t900\t.\t+\t.\tgene_id "E1"; gene_name "AB";
chr1\tx\ttranscript\t101\t900\t.\t+\t.\tgene_id "E1"; gene_name "AB"; transcript_id "T1";
chr1\tx\texon\t101\t200\t.\t+\t.\tgene_id "E1"; gene_name "AB"; transcript_id "T1";
chr1\tx\texon\t801\t900\t.\t+\t.\tgene_id "E1"; gene_name "AB"; transcript_id "T1";
chr1\tx\texon\t101\t200\t.\t+\t.\tgene_id "E1"; gene_name "AB"; transcript_id "T2";
chr1\tx\texon\t5001\t6000\t.\t-\t.\tgene_id "E2"; gene_name "CD"; transcript_id "T3";
chr2\tx\texon\t101\t200\t.\t-\t.\tgene_id "E3"; gene_name "EF"; transcript_id "T4";
"""
GFF = """chr1\tx\tgene\t101\t900\t.\t+\t.\tID=gene:E1;Name=AB;gene_id=E1
chr1\tx\tmRNA\t101\t900\t.\t+\t.\tID=transcript:T1;Parent=gene:E1
chr1\tx\texon\t101\t200\t.\t+\t.\tParent=transcript:T1
chr1\tx\texon\t801\t900\t.\t+\t.\tParent=transcript:T1
chr1\tx\texon\t5001\t6000\t.\t-\t.\tID=exon1;gene=CD;gene_id=E2
chr2\tx\texon\t101\t200\t.\t-\t.\tgene=EF;gene_id=E3
"""


@pytest.fixture(params=["gtf", "gff3"])
def annotation(request, tmp_path):
    path = tmp_path / f"genes.{request.param}"
    path.write_text(GTF if request.param == "gtf" else GFF)
    yield path
    plt.close("all")


def test_exons_are_half_open_and_of_their_gene(annotation):
    found = read_exons(annotation, "chr1", 0, 10_000)
    expected = [("AB", "E1", 100, 200, "+"), ("AB", "E1", 800, 900, "+"), ("CD", "E2", 5000, 6000, "-")]
    assert [*found[["gene", "gene_id", "start", "end", "strand"]].itertuples(index=False, name=None)] == expected
    assert read_exons(annotation, "chr1", 200, 800)["gene"].tolist() == []  # half-open at both ends
    assert read_exons(annotation, "chr1", 199, 801)["start"].tolist() == [100, 800]
    with pytest.raises(FileNotFoundError, match="no annotation file"):
        read_exons(annotation.with_name("no.gtf"), "chr1", 0, 1)


def test_each_exon_is_a_box_and_genes_that_meet_stand_apart(annotation):
    exons = read_exons(annotation, "chr1", 0, 10_000)
    ax = plt.subplots()[1]
    assert draw_genes(ax, exons, "AB", (0, 10_000), -1.0, 0.5) == -1.5  # one line
    boxes = {(box.get_x(), box.get_width()): box.get_facecolor()[:3] for box in ax.patches}
    assert set(boxes) == {(0.1, 0.1), (0.8, 0.1), (5.0, 1.0)}
    assert boxes[0.1, 0.1] == (0, 0, 0) != boxes[5.0, 1.0]
    assert [text.get_text()[:2] for text in ax.texts] == ["AB", "CD"]
    assert [text.get_ha() for text in ax.texts] == ["left", "right"]  # no room on the left of the first
    close = exons.assign(start=[100, 300, 250], end=[200, 400, 350])
    assert draw_genes(plt.subplots()[1], close, "E2", (0, 10_000), -1.0, 0.5) == -2.0  # two
    assert draw_genes(plt.subplots()[1], exons[:0], "E2", (0, 10_000), -1.0, 0.5) == -1.0


def test_links_show_the_genes_of_an_annotation(trained, toy, tmp_path):
    scget.tl.attribute(toy, trained, genes=["G7"], rows=["T5"], top=1000)
    pairs = toy["atac"].uns["peak_annotation"].set_index("gene")
    chrom, tss = pairs.loc["G7", "region"].split(":")[0], int(pairs.loc["G7", "tss"])
    line = [chrom, "x", "exon", tss + 1, tss + 500, ".", "+", ".", 'gene_id "G7"; transcript_id "t";']
    path = tmp_path / "genes.gtf"
    pd.DataFrame([line]).to_csv(path, sep="\t", header=False, index=False, quoting=3)
    plain = scget.pl.links(toy, "G7", "T5", flank=50_000, show=False)
    drawn = scget.pl.links(toy, "G7", "T5", flank=50_000, annotation=path, show=False)
    assert len(drawn.patches) == len(plain.patches) + 1 and drawn.get_ylim()[0] < plain.get_ylim()[0]
    assert drawn.patches[-1].get_x() == tss / 1e3 and drawn.texts[0].get_text().startswith("G7")
    with pytest.raises(InputError, match="cannot read|no start"):
        path.write_text("<html>")
        scget.pl.links(toy, "G7", "T5", annotation=path, show=False)
    plt.close("all")
