from __future__ import annotations

import gzip

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import scget
from scget._errors import InputError
from scget.pp import MotifSet, cluster_motifs, motif_scores, pseudobulk, read_motifs
from scget.pp._tf_names import tf_names

# One motif of counts, positions x A, C, G, T, and its probabilities by hand.
COUNTS = [[4, 16, 0, 0], [19, 0, 1, 0], [0, 20, 0, 0], [0, 0, 20, 0], [1, 0, 0, 19]]
P = [[0.2, 0.8, 0, 0], [0.95, 0, 0.05, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.05, 0, 0, 0.95]]

JASPAR = (
    ">MA0004.1 Arnt\nA  [ 4 19  0  0  1 ]\nC  [16  0 20  0  0 ]\nG  [ 0  1  0 20  0 ]\nT  [ 0  0  0  0 19 ]\n"
    "\n>MA0099.3\tFOS::JUN(var.2)\nT [1 2]\nA [3 4]\nC [0 0]\nG [0 2]\n"
)
ROWS = "# a comment\n>GATA3_GATA_1\n4 19 0 0 1\n16 0 20 0 0\n0 1 0 20 0\n0 0 0 0 19\n"
COLUMNS = ">TF65.H12CORE.0.P.B\n4\t16\t0\t0\n19\t0\t1\t0\n0\t20\t0\t0\n0\t0\t20\t0\n1\t0\t0\t19\n"
TRANSFAC = (
    "VV  a version\nXX\n//\nAC  M00001\nXX\nID  V$ARNT_01\nXX\nNA  Arnt\nXX\nDE  text\nP0      A      C      G      T\n"
    "01      4     16      0      0      C\n02     19      0      1      0      A\n03      0     20      0      0      C\n"
    "04      0      0     20      0      G\n05      1      0      0     19      T\nXX\nBA  20 sequences\n//\n"
)
TRANSFAC_JASPAR = (
    "AC MA0004.1\nXX\nID Arnt\nXX\nDE MA0004.1 Arnt ; From JASPAR\nPO\tt\tc\tg\ta\n01\t0.0\t16.0\t0.0\t4.0\n"
    "02\t0\t0\t1\t19\n03\t0\t20\t0\t0\n04\t0\t0\t20\t0\n05\t19\t0\t0\t1\nXX\nCC tax_group:vertebrates\nXX\n"
)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("text", "format", "name", "tfs"),
    [
        (JASPAR, "jaspar", "MA0004.1", ["ARNT"]),
        (ROWS, "pfm", "GATA3_GATA_1", ["GATA3"]),
        (COLUMNS, "pfm", "TF65.H12CORE.0.P.B", ["RELA"]),
        (COLUMNS.split("\n", 1)[1], "pfm", "file", ["FILE"]),
        (TRANSFAC, "transfac", "M00001", ["ARNT"]),
        (TRANSFAC_JASPAR, "transfac", "MA0004.1", ["ARNT"]),
        (JASPAR.replace("\n", "\r\n"), "jaspar", "MA0004.1", ["ARNT"]),
        ("\ufeff" + JASPAR, "jaspar", "MA0004.1", ["ARNT"]),
    ],
)
def test_formats_give_the_same_motif(tmp_path, text, format, name, tfs, packed):
    path = tmp_path / "file.v1.txt"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    for motifs in (read_motifs(path), read_motifs(str(path), format)):
        assert next(iter(motifs)) == name
        np.testing.assert_allclose(motifs[name], P, rtol=0, atol=1e-12)
        assert motifs.tfs[name] == tfs


def test_letters_say_which_row_is_which(tmp_path):
    (tmp_path / "m.jaspar").write_text(JASPAR)
    motifs = read_motifs(tmp_path / "m.jaspar")
    np.testing.assert_allclose(motifs["MA0099.3"], [[0.75, 0, 0, 0.25], [0.5, 0, 0.25, 0.25]])
    assert motifs.tfs == {"MA0004.1": ["ARNT"], "MA0099.3": ["FOS", "JUN"]}
    assert repr(motifs) == "MotifSet of 2 motifs of 3 factors"


FOUR = "1 2 3 4\n" * 4
HEAD = "MEME version 4\n\nALPHABET= ACGT\n\n"
MATRIX = "letter-probability matrix: alength= 4 w= 2\n0.1 0.2 0.3 0.4\n0.4 0.3 0.2 0.1\n"


def test_indented_heads_of_matrices_and_widths_of_any_form_are_read(tmp_path):
    path = tmp_path / "m.meme"
    path.write_text(HEAD + f"MOTIF A\n {MATRIX}\nMOTIF B x\n{MATRIX.replace('w= 2', 'w=2')}URL 1\n\n")
    motifs = read_motifs(path)
    assert list(motifs) == ["A", "B"]
    np.testing.assert_array_equal(motifs["A"], [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    np.testing.assert_array_equal(motifs["A"], motifs["B"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no motif in a format known here: meme, jaspar, pfm, transfac"),
        ("a table\twith text\n", "holds no motif in a format known here"),
        (
            JASPAR.replace("T  [ 0  0  0  0 19 ]\n", ""),
            "'MA0004.1'.* has rows A, C, G of .5. numbers; one row for each",
        ),
        (JASPAR.replace("16  0 20", "16 20"), r"'MA0004.1'.* of \[4, 5\] numbers"),
        (JASPAR.replace("T  [", "A  ["), "'MA0004.1'.* has rows A, C, G, A"),
        (JASPAR.replace("16", "x6"), "'C  .x6 .*' where numbers are needed"),
        (JASPAR.replace("16", "-16"), r"1 positions that are no counts, first position 0: \[4.0, -16.0"),
        (JASPAR.replace("MA0099.3", "MA0004.1"), "'MA0004.1' stands twice"),
        (JASPAR.replace("A [3 4]", "A [nan 4]"), "'MA0099.3'.* no counts, first position 0"),
        (">a\n" + FOUR, "'a'.* is 4 x 4 without letters"),
        (COLUMNS.replace("0\t20\t0\t0", "0\t20\t0"), r"'TF65.*' .*has 5 rows of \[3, 4\] numbers"),
        (ROWS.replace("0 1 0 20 0\n", ""), r"'GATA3_GATA_1' .*has 3 rows of \[5\] numbers"),
        (ROWS.replace("0 1 0 20 0\n", "0 0 0 0 0\n").replace("16 0 20 0", "16 0 20 0"), "first position 3: .0.0, 0.0"),
        (">\n" + FOUR, "a motif without a name, number 1"),
        (">a\n>b\n" + FOUR, "'a'.* has 0 rows"),
        (TRANSFAC.replace("16      0      0      C", "16      0"), "'01      4     16      0' where four numbers"),
        (TRANSFAC.replace("G      T\n", "G      U\n"), "'P0      A      C      G      U'; a matrix of A, C, G, T"),
        (
            TRANSFAC.replace("AC  M00001\n", "").replace("ID  V$ARNT_01\n", "").replace("NA  Arnt\n", ""),
            "without an AC",
        ),
        (f"{HEAD}MOTIF A\nMOTIF B\n{MATRIX}", "'A' in .* has no letter-probability matrix; log-odds do not"),
        (f"{HEAD}MOTIF A\n{MATRIX}\nMOTIF B\nlog-odds matrix: w= 1\n1 2 3 4\n", "'B' in .* has no letter-prob"),
        (f"{HEAD}MOTIF A\n{MATRIX}0.1 0.2 0.3 0.4\n", "'A' in .* has the row '0.1 0.2 0.3 0.4' after its end"),
        (
            f"{HEAD}MOTIF A\n{MATRIX}".replace("w= 2", "").replace("0.4\n0", "0.4\n\n0"),
            "has the row '0.4 .*' after its",
        ),
        (f"{HEAD}MOTIF\n{MATRIX}", "has a motif without a name, after 'the head'"),
        (f"{HEAD}{MATRIX}", "a matrix before the first MOTIF line"),
        (f"{HEAD}MOTIF A\n{MATRIX}".replace("w= 2", "w= x"), "'A' in .* says w= x"),
        (f"{HEAD}MOTIF A\n{MATRIX}".replace("w= 2", "w= 3"), "'A' in .* has 2 rows, but says w= 3"),
        (TRANSFAC.replace("XX\nBA  20 sequences\n//\n", "") + TRANSFAC[21:], "two matrices in the entry of 'M00001'"),
        (TRANSFAC.split("XX\nBA")[0], "motif 'M00001', which no '//' ends. Is the file whole"),
        (TRANSFAC.replace("\n02 ", "\n03 "), "the row '03     19 .*' out of its order"),
        (TRANSFAC.replace("\n01 ", "\n02 "), "the row '02      4 .*' out of its order"),
    ],
)
def test_broken_files_are_refused(tmp_path, text, message):
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_motifs(path)


def test_wrong_format_and_file_are_refused(tmp_path):
    path = tmp_path / "m"
    path.write_text(JASPAR)
    with pytest.raises(InputError, match="`format` is 'homer'; one of meme, jaspar, pfm, transfac"):
        read_motifs(path, "homer")
    with pytest.raises(InputError, match="holds no motif in meme format. 'MOTIF' and"):
        read_motifs(path, "meme")
    with pytest.raises(FileNotFoundError, match="No motif file at 'nowhere'"):
        read_motifs("nowhere")


@pytest.mark.parametrize(
    ("motif", "other", "tfs"),
    [
        ("MA0004.1", "Arnt", ["ARNT"]),
        ("MA0099.3", "FOS::JUN(var.2)", ["FOS", "JUN"]),
        ("MA0149.1", "EWSR1-FLI1", ["EWSR1-FLI1"]),
        ("MA0085.1", "Su(H)", ["SU(H)"]),
        ("M0082_1.02", "(TFAP2A)_(Homo_sapiens)_(DBD_1.00)", ["TFAP2A"]),
        ("RXRA::VDR_MA0074.1", "", ["RXRA", "VDR"]),
        ("GATA3_GATA_1", "", ["GATA3"]),
        ("NKX25.H12CORE.0.P.B", "", ["NKX2-5"]),
        ("ZN770_HUMAN.H11MO.0.C", "", ["ZNF770"]),
        ("P53_MOUSE.H11MO.0.A", "", ["TP53"]),
        ("GCR", "", ["GCR"]),  # a symbol of the user's own: not UniProt's
    ],
)
def test_symbols_of_factors(motif, other, tfs):
    assert tf_names(motif, other) == tfs


def test_symbols_of_hocomoco_are_human_genes(shared_data):
    """949 factors, one symbol each; all but four, newer than the annotation, are among its 32,643 genes."""
    motifs = read_motifs(shared_data / "motifs" / "H12CORE.meme.gz")
    genes = pd.read_csv(shared_data / "blood_hg19" / "rna_counts.tsv.gz", sep="\t", usecols=[0]).iloc[:, 0].str.upper()
    symbols = {tf for tfs in motifs.tfs.values() for tf in tfs}
    assert len(symbols) == len({name.split(".")[0] for name in motifs}) == 949
    assert symbols - set(genes) == {"BMAL1", "TBXT", "ZNF316", "ZNF875"}
    expected = {"GCR": "NR3C1", "ANDR": "AR", "HTF4": "TCF12", "TFE2": "TCF3", "PO5F1": "POU5F1", "ZSCA4": "ZSCAN4"}
    assert {n.split(".")[0]: t[0] for n, t in motifs.tfs.items() if n.split(".")[0] in expected} == expected


def test_jaspar_names_dimers(shared_data):
    motifs = read_motifs(shared_data / "motifs" / "JASPAR2024_CORE.meme.gz")
    assert motifs.tfs["MA0019.2"] == ["DDIT3", "CEBPA"]
    assert motifs.tfs["MA0004.1"] == ["ARNT"]


# ---- from the file to the table in the MuData


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_factors_of_each_cluster_are_kept(tmp_path, rng, suffix):
    genome = tmp_path / "toy.fa"
    genome.write_text(">chr1\n" + "".join(rng.choice(list("ACGT"), 900)) + "\n")
    obs = pd.DataFrame({"cell_type": ["B", "B", "T"]}, index=list("abc"))
    var = pd.DataFrame(index=["chr1:0-400", "chr1:500-900"])
    mdata = MuData({"atac": AnnData(np.ones((3, 2), dtype=np.float32), obs=obs, var=var)})
    path = tmp_path / "m.jaspar"
    path.write_text(JASPAR.replace("T [1 2]\nA [3 4]\nC [0 0]\nG [0 2]", "A [9 9 0 0 9 9 9 9]\nC [0 0 9 9 0 0 0 0]\n"
                                   "G [0 0 0 0 0 0 0 0]\nT [0 0 0 0 0 0 0 0]"))  # fmt: skip
    motif_scores(mdata, genome, motifs=path, clusters={"MA0004.1": "bHLH/1", "MA0099.3": "AP1/1"}, pvalue=0.01)
    rows = pseudobulk(mdata, groupby="cell_type")
    path = tmp_path / f"rows.{suffix}"
    rows.write(path) if suffix == "h5mu" else rows.write_zarr(path)
    read = mudata.read(path) if suffix == "h5mu" else mudata.read_zarr(path)
    expected = [["AP1/1", "MA0099.3", "FOS"], ["AP1/1", "MA0099.3", "JUN"], ["bHLH/1", "MA0004.1", "ARNT"]]
    for table in (mdata["atac"].uns["motif_tfs"], rows["atac"].uns["motif_tfs"], read["atac"].uns["motif_tfs"]):
        assert list(table.columns) == ["cluster", "motif", "tf"]
        assert table.astype(str).to_numpy().tolist() == expected
    assert list(read["atac"].uns["motif_names"]) == ["AP1/1", "bHLH/1"]


def test_a_sets_own_clusters_are_the_default(tmp_path, rng):
    genome = tmp_path / "toy.fa"
    genome.write_text(">chr1\n" + "".join(rng.choice(list("ACGT"), 900)) + "\n")
    mdata = MuData({"atac": AnnData(np.ones((1, 1), dtype=np.float32), var=pd.DataFrame(index=["chr1:0-900"]))})
    matrices = {f"m{i}": rng.dirichlet(np.full(4, 0.3), size=9) for i in range(4)}
    own = MotifSet(matrices, {m: [m.upper(), "X"] for m in matrices}, {m: "AB"[i % 2] for i, m in enumerate(matrices)})
    motif_scores(mdata, genome, motifs=own)
    assert list(mdata["atac"].uns["motif_names"]) == ["A", "B"]
    tfs = mdata["atac"].uns["motif_tfs"]
    assert tfs.loc[tfs["tf"] == "X", "cluster"].tolist() == ["A", "A", "B", "B"]
    first = mdata["atac"].varm["motif_scores"].toarray()
    motif_scores(mdata, genome, motifs=matrices, clusters=own.clusters)
    np.testing.assert_array_equal(mdata["atac"].varm["motif_scores"].toarray(), first)
    motif_scores(mdata, genome, motifs=own, clusters=cluster_motifs(own))
    assert len(mdata["atac"].uns["motif_names"]) == 4
    assert scget.pp.MotifSet is MotifSet
