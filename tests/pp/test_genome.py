from __future__ import annotations

import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from scget._errors import GenomeError, ScgetWarning
from scget.pp import _genome
from scget.pp._genome import read_sequences
from scget.pp._regions import parse_regions

BASES = np.array(list("ACGTN"))


@pytest.fixture
def genome(tmp_path, rng):
    """Two chromosomes in lines of 60, one in lower case in part; and their sequences."""
    sequences = {
        "chr1": "".join(rng.choice(list("ACGT"), 1000)),
        "chr10": "".join(rng.choice(list("acgtNRACGT"), 333)),
        "chrM": "ACGT" * 15,
    }
    text = ""
    for name, sequence in sequences.items():
        lines = [sequence[i : i + 60] for i in range(0, len(sequence), 60)]
        text += f">{name} a description > of it\n" + "\n".join(lines) + "\n"
    path = tmp_path / "toy.fa"
    path.write_text(text)
    return path, sequences


def as_text(codes, offsets):
    return ["".join(BASES[codes[a:b]]) for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def expected(sequences, names):
    found = []
    for name in names:
        chrom, _, span = name.partition(":")
        begin, end = map(int, span.split("-"))
        found.append("".join(b if b in "ACGT" else "N" for b in sequences[chrom][begin:end].upper()))
    return found


NAMES = ["chr10:300-333", "chr1:0-10", "chr1:55-130", "chr10:0-60", "chr1:990-1000", "chrM:59-60", "chr1:57-63"]


@pytest.mark.parametrize("block", [1, 7, 61, 1 << 24])
def test_same_bases_as_slicing_in_the_order_given(genome, monkeypatch, block):
    path, sequences = genome
    monkeypatch.setattr(_genome, "_READ", block)
    codes, offsets = read_sequences(path, parse_regions(NAMES))
    assert codes.dtype == np.uint8
    assert as_text(codes, offsets) == expected(sequences, NAMES)


@pytest.mark.parametrize("pack", ["gzip", "blocks", "windows", "one line"])
def test_file_forms_give_the_same(genome, tmp_path, pack):
    path, sequences = genome
    text = path.read_bytes()
    other = tmp_path / "other.fa.gz"
    if pack == "gzip":
        other.write_bytes(gzip.compress(text))
    elif pack == "blocks":  # as bgzip does: many small members
        other.write_bytes(b"".join(gzip.compress(text[i : i + 100]) for i in range(0, len(text), 100)))
    elif pack == "windows":
        other.write_bytes(text.replace(b"\n", b"\r\n"))
    else:
        other.write_text("\n".join(f">{name}\n{sequence}" for name, sequence in sequences.items()))
    genome_object = SimpleNamespace(fasta=other)  # as SnapATAC2's Genome
    assert as_text(*read_sequences(genome_object, parse_regions(NAMES))) == expected(sequences, NAMES)


def test_leaves_no_files_behind(genome):
    path, _ = genome
    before = sorted(path.parent.iterdir())
    read_sequences(path, parse_regions(NAMES))
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1:0-10", "2:5-10"], r"No chromosome in common: regions '1', '2'; genome 'toy.fa' 'chr1', .* Add 'chr'\?"),
        (["chrchr1:0-10"], r"Remove 'chr'\?"),
        (["scaffold:0-10"], r"regions 'scaffold'; .*name chromosomes alike\.$"),
        (
            ["chr1:0-10", "chrUn:5-9", "chrUn:10-20"],
            "2 regions lie on 1 chromosomes that 'toy.fa' lacks: 'chrUn' .*'chrUn:5-9'",
        ),
        (
            ["chr1:0-10", "chr10:330-334", "chr1:999-1001"],
            "2 regions lie outside .* 'chr10:330-334' where 'chr10' .* 333 bases",
        ),
    ],
)
def test_refuses_regions_that_do_not_fit(genome, names, message):
    with pytest.raises(GenomeError, match=message):
        read_sequences(genome[0], parse_regions(names))


def test_refuses_what_is_no_whole_fasta(genome, tmp_path):
    regions = parse_regions(["chr1:0-10", "chrM:0-10"])
    with pytest.raises(FileNotFoundError, match="No FASTA file at '.*none.fa'"):
        read_sequences(tmp_path / "none.fa", regions)
    table = tmp_path / "table.bed"
    table.write_text("chr1\t0\t10\n")
    with pytest.raises(GenomeError, match="does not begin with '>'"):
        read_sequences(table, regions)
    cut = tmp_path / "cut.fa.gz"
    cut.write_bytes(gzip.compress(genome[0].read_bytes())[:-40])
    with pytest.raises(GenomeError, match="is damaged .* Download it again"):
        read_sequences(cut, regions)


def test_warns_of_unknown_bases(tmp_path):
    path = tmp_path / "n.fa"
    path.write_text(">chr1\n" + "N" * 60 + "ACGT" * 10 + "\n")
    with pytest.warns(ScgetWarning, match="60% of the regions' bases .* another genome build"):
        read_sequences(path, parse_regions(["chr1:0-100"]))
    codes, _ = read_sequences(path, parse_regions(["chr1:40-80"]))  # just half of them
    assert (codes == 4).sum() == 20


def test_real_genome(shared_data):
    """The promoter of CSNK2A1 is a CpG island, and chr1 begins with telomere repeats."""
    regions = parse_regions(["chr20:523984-524484", "chr1:10290-10790"])
    codes, offsets = read_sequences(shared_data / "blood_hg19_sequence" / "mini_hg19.fa.gz", regions)
    promoter = codes[: offsets[1]]
    assert np.isin(promoter, [1, 2]).mean() > 0.6
    assert "CCCTAACCCTAACCC" in as_text(codes, offsets)[1]
