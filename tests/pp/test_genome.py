from __future__ import annotations

import gzip
import os
import re
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from Bio import bgzf
from mudata import MuData
from scipy.sparse import csr_matrix

import scget
from scget._errors import GenomeError, ScgetWarning
from scget.pp import _genome
from scget.pp._genome import read_sequences
from scget.pp._regions import parse_regions

BASES = np.array(list("ACGTN"))


@pytest.fixture
def genome(tmp_path, rng):
    """Three chromosomes in lines of 60, one in lower case in part; and their sequences."""
    sequences = {
        "chr1": "".join(rng.choice(list("ACGT"), 1000)),
        "chr10": "".join(rng.choice(list("acgtACGT"), 333)),
        "chrM": "ACGT" * 15,
    }
    few = {31: "R", 310: "n", 328: "N"}  # of 195 bases in NAMES
    sequences["chr10"] = "".join(few.get(i, base) for i, base in enumerate(sequences["chr10"]))
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


def test_same_bases_as_slicing_in_the_order_given(genome):
    path, sequences = genome
    codes, offsets = read_sequences(path, parse_regions(NAMES))
    assert codes.dtype == np.uint8
    assert as_text(codes, offsets) == expected(sequences, NAMES)


def bgzip(path, data, block=1 << 15):
    with bgzf.BgzfWriter(path, "wb") as file:
        for i in range(0, len(data), block):
            file.write(data[i : i + block])
            file.flush()
    return path


@pytest.fixture(params=["toy.fa", "toy.fa.gz"])
def either(request, genome):
    """The file, plain or compressed with bgzip, and its sequences."""
    path, sequences = genome
    return path if request.param == path.name else bgzip(path.parent / request.param, path.read_bytes()), sequences


@pytest.mark.parametrize("form", ["one block", "blocks", "upper suffix", "windows", "one line"])
def test_file_forms_give_the_same(genome, tmp_path, rng, form):
    path, sequences = genome
    text = path.read_bytes()
    other = tmp_path / "other.fa"
    if form == "one block":
        bgzip(other := tmp_path / "other.fa.gz", text)
    elif form == "blocks":
        bgzip(other := tmp_path / "other.fa.bgz", text, 100)
    elif form == "upper suffix":
        bgzip(other := tmp_path / "OTHER.FA.GZ", text, 61)
    elif form == "windows":
        other.write_bytes(text.replace(b"\n", b"\r\n"))
    else:
        other.write_text("\n".join(f">{name}\n{sequence}" for name, sequence in sequences.items()))
    names = NAMES + [
        f"chr1:{i}-{i + n}" for i, n in zip(rng.integers(0, 900, 99), rng.integers(1, 100, 99), strict=True)
    ]
    genome_object = SimpleNamespace(fasta=other)  # as SnapATAC2's Genome
    for _ in range(2):  # with the index made, then with the one kept
        assert as_text(*read_sequences(genome_object, parse_regions(names))) == expected(sequences, names)


def files(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_makes_the_index_beside_the_file_once(either):
    path, _ = either
    before = set(files(path.parent))
    read_sequences(path, parse_regions(NAMES))
    made = files(path.parent)
    assert set(made) - before == {f"{path.name}.fai"} | ({f"{path.name}.gzi"} if path.suffix == ".gz" else set())
    begin = len(">chr1 a description > of it\n")  # samtools faidx: name, length, offset, bases and bytes of a line
    assert made[f"{path.name}.fai"][0].decode().splitlines()[0] == f"chr1\t1000\t{begin}\t60\t61"
    read_sequences(path, parse_regions(NAMES))
    assert files(path.parent) == made


@pytest.mark.parametrize("index", ["none", "stale", "fresh"])
def test_folder_that_cannot_be_written(either, monkeypatch, index):
    path, sequences = either
    if index != "none":
        read_sequences(path, parse_regions(NAMES))
    if index == "stale":
        age(path)
    before = files(path.parent)
    monkeypatch.setattr(_genome.os, "access", lambda *_: False)  # root may write anywhere, so chmod would not do
    path.parent.chmod(0o500)
    assert as_text(*read_sequences(path, parse_regions(NAMES))) == expected(sequences, NAMES)
    assert files(path.parent) == before
    path.parent.chmod(0o700)


def test_index_that_cannot_be_replaced_is_left(either, monkeypatch):
    path, sequences = either
    before = files(path.parent)

    def refuse(*_):
        raise PermissionError("not yours")

    monkeypatch.setattr(_genome.os, "replace", refuse)
    assert as_text(*read_sequences(path, parse_regions(NAMES))) == expected(sequences, NAMES)
    assert files(path.parent) == before


def age(path):
    """Make the file's indices older than itself."""
    for index in path.parent.glob(f"{path.name}.*i"):
        os.utime(index, (0, 0))


@pytest.mark.parametrize("old", [".fai", ".gzi", ".*i"])
def test_stale_index_is_made_anew(either, old):
    path, sequences = either
    read_sequences(path, parse_regions(NAMES))
    made = path.stat().st_mtime_ns
    text = "".join(f">{name} other\n{s[::-1]}\n" for name, s in sequences.items()).encode()  # other lines, other bases
    bgzip(path, text, 90) if path.suffix == ".gz" else path.write_bytes(text)
    os.utime(path, ns=(made, made))  # so that only what follows is older
    for index in path.parent.glob(f"{path.name}{'.fai' if path.suffix == '.fa' else old}"):
        os.utime(index, (0, 0))
    turned = {name: sequence[::-1] for name, sequence in sequences.items()}
    assert as_text(*read_sequences(path, parse_regions(NAMES))) == expected(turned, NAMES)
    kept = files(path.parent)
    assert as_text(*read_sequences(path, parse_regions(NAMES))) == expected(turned, NAMES)
    assert files(path.parent) == kept


def replaced(text, sequences):
    """Other sequences under the same names, which an index of the first file reads at wrong places."""
    order = list(sequences)
    other = {"chr1": "ACGTTTGCA" * 120, **{name: sequences[name][::-1] for name in order[1:]}}
    return {
        "other order": {name: sequences[name] for name in order[::-1]},
        "longer": {**sequences, order[-1]: sequences[order[-1]] + "ACGTA" * 15},
        "other lengths": other,
    }[text]


@pytest.mark.parametrize("what", ["other order", "longer", "other lengths"])
def test_an_index_of_another_file_is_made_anew(either, what):
    path, sequences = either
    read_sequences(path, parse_regions(NAMES))
    now = replaced(what, sequences)
    text = "".join(
        f">{name} a description > of it\n" + "".join(f"{s[i : i + 60]}\n" for i in range(0, len(s), 60))
        for name, s in now.items()
    ).encode()
    bgzip(path, text, 90) if path.suffix == ".gz" else path.write_bytes(text)
    os.utime(path, (0, 0))  # so that the index looks fresh
    assert as_text(*read_sequences(path, parse_regions(NAMES))) == expected(now, NAMES)


@pytest.mark.parametrize("content", ["", "chr1\t1000\t28", "chr1\t1000\t28\t60\t61\n", "x\ty\tz\n"])
def test_an_index_that_is_cut_or_none_is_made_anew(either, content):
    path, sequences = either
    read_sequences(path, parse_regions(NAMES))
    path.with_name(f"{path.name}.fai").write_text(content)
    assert as_text(*read_sequences(path, parse_regions(NAMES))) == expected(sequences, NAMES)


def test_a_packed_file_that_is_cut_is_refused(tmp_path):
    path = tmp_path / "toy.fa.gz"
    bgzip(path, b">chr1\n" + b"ACGT" * 500 + b"\n", 90)
    path.write_bytes(path.read_bytes()[:-28])
    with pytest.raises(GenomeError, match="toy.fa.gz' is not whole: the block that ends each file"):
        read_sequences(path, parse_regions(["chr1:0-10"]))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["1:0-10", "2:5-10"],
            r"No chromosome in common: regions '1', '2'; genome 'toy.fa' 'chr1', .* Add 'chr'\? scget.pp.rename_chromosomes\(mdata, to='ucsc'\)",
        ),
        (["chrchr1:0-10"], r"Remove 'chr'\?"),
        (["scaffold:0-10"], r"regions 'scaffold'; .*name chromosomes alike\.$"),
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
    with pytest.raises(GenomeError, match="Cannot read '.*table.bed' .*start with '>'"):
        read_sequences(table, regions)
    uneven = tmp_path / "uneven.fa"
    uneven.write_text(">chr1\nACGT\nAC\nACGT\n")
    with pytest.raises(GenomeError, match="Line length .* not consistent"):
        read_sequences(uneven, regions)
    twice = tmp_path / "twice.fa"
    twice.write_text(">chr1\nACGT\n" * 2)
    with pytest.raises(GenomeError, match='Duplicate key "chr1"'):
        read_sequences(twice, regions)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.bed", "toy.fa", "twice.fa", "uneven.fa"]


@pytest.mark.parametrize("kept", [28, 40, 300, -1])
def test_refuses_a_damaged_bgzip(genome, kept):
    path, _ = genome
    packed = bgzip(path.parent / "cut.fa.gz", path.read_bytes(), 100)
    whole = packed.read_bytes()
    broken = bytearray(whole)
    broken[200] ^= 255
    packed.write_bytes(broken if kept < 0 else whole[:-kept])  # the last 28 bytes are an empty block, the end's sign
    with pytest.raises(GenomeError, match="cut.fa.gz' (is not whole|.* whole FASTA)"):
        read_sequences(packed, parse_regions(NAMES))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("packed.fa.gz", "gunzip 'packed.fa.gz' && bgzip 'packed.fa' && samtools faidx 'packed.fa.gz'"),
        ("packed.fa", "mv 'packed.fa' 'packed.fa.gz' && gunzip 'packed.fa.gz' && bgzip 'packed.fa' && samtools faidx"),
    ],
)
def test_refuses_plain_gzip_with_the_remedy(genome, name, remedy):
    packed = genome[0].parent / name
    packed.write_bytes(gzip.compress(genome[0].read_bytes()))
    with pytest.raises(GenomeError, match=f"{name}' is compressed with gzip, .* with bgzip: {remedy}"):
        read_sequences(packed, parse_regions(NAMES))


def test_refuses_bgzip_under_a_plain_name(genome):
    packed = bgzip(genome[0].parent / "packed.fa", genome[0].read_bytes())
    with pytest.raises(GenomeError, match="packed.fa' is compressed with bgzip, but its name does not end in '.gz'"):
        read_sequences(packed, parse_regions(NAMES))


def test_genome_objects_are_asked_once_and_others_refused(genome):
    class Genome:  # SnapATAC2's fetches the file when it is first asked for
        asked = 0

        @property
        def fasta(self):
            self.asked += 1
            return str(genome[0])

    fetching = Genome()
    assert _genome.genome_path(fetching) == genome[0] and fetching.asked == 1
    for wrong in (38, None, SimpleNamespace(fasta=None)):
        with pytest.raises(TypeError, match="the genome is a (int|NoneType); the path of a FASTA file is needed"):
            _genome.genome_path(wrong)


@pytest.mark.parametrize("library", ["pyfaidx", "Bio"])
def test_missing_library_is_named_with_its_extra(genome, monkeypatch, library):
    packed = bgzip(genome[0].parent / "toy.fa.gz", genome[0].read_bytes())
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r'(pyfaidx|BioPython).* pip install "scget\[genome\]"'):
        read_sequences(packed, parse_regions(NAMES))


def test_warns_of_some_unknown_bases_and_refuses_most(tmp_path):
    path = tmp_path / "n.fa"
    path.write_text(">chr1\n" + "N" * 100 + "ACGT" * 25 + "\n>chr2\n" + "ACGT" * 25 + "\n")
    with pytest.raises(GenomeError, match="51% of the regions' bases .* another genome build"):
        read_sequences(path, parse_regions(["chr1:49-149"]))
    with pytest.warns(ScgetWarning, match="50% of the regions' bases .* another genome build"):
        codes, _ = read_sequences(path, parse_regions(["chr1:50-150"]))
    assert (codes == 4).sum() == 50
    with pytest.warns(ScgetWarning, match="3% of the regions' bases"):
        read_sequences(path, parse_regions(["chr1:97-197"]))
    codes, _ = read_sequences(path, parse_regions(["chr1:98-198"]))  # just 2%
    assert (codes == 4).sum() == 2
    codes, _ = read_sequences(path, parse_regions(["chr1:98-200", *[f"chr2:{i}-{i + 99}" for i in (0, 1)]]))
    assert (codes == 4).sum() == 2


@pytest.mark.parametrize("n_known", [19, 18])
def test_regions_on_contigs_the_genome_lacks_are_left_out(genome, caplog, n_known):
    """1 of 20 regions is told of, 2 of 20 are warned of; both get no sequence, and the others theirs."""
    path, sequences = genome
    names = [f"chr1:{i}-{i + 20}" for i in range(0, 20 * n_known, 20)]
    lost = ["chrUn_KI270742v1:5-25", "2:5-30"][: 20 - n_known]
    order = [*names[:7], *lost, *names[7:]]
    message = rf"{len(lost)} of 20 regions lie on {len(lost)} chromosomes that 'toy.fa' lacks \('chrUn_KI270742v1'"
    with caplog.at_level("INFO", logger="scget"):
        if n_known == 19:
            codes, offsets = read_sequences(path, parse_regions(order))
            (record,) = caplog.records
            assert record.levelname == "INFO" and re.match(message, record.getMessage())
        else:
            with pytest.warns(ScgetWarning, match=message + ".* Drop these regions"):
                codes, offsets = read_sequences(path, parse_regions(order))
            assert not caplog.records
    texts = as_text(codes, offsets)
    assert [t for t, name in zip(texts, order, strict=True) if name in names] == expected(sequences, names)
    assert [set(t) for t, name in zip(texts, order, strict=True) if name in lost] == [{"N"}] * len(lost)
    assert [len(t) for t, name in zip(texts, order, strict=True) if name in lost] == [20, 25][: len(lost)]


def test_lost_regions_get_no_motifs(genome):
    """Scores of the regions that stay are those of a run without the others."""
    names = [f"chr1:{i}-{i + 60}" for i in range(0, 900, 45)]
    motifs = {"AC": np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]])}

    def scored(names):
        atac = AnnData(csr_matrix((1, len(names)), dtype=np.float32), var=pd.DataFrame(index=names))
        atac.uns["peak_annotation"] = pd.DataFrame()  # overlaps are meant here
        mdata = MuData({"atac": atac})
        scget.pp.motif_scores(mdata, genome[0], motifs=motifs, pvalue=0.5)
        return mdata["atac"].varm["motif_scores"].toarray()

    alone = scored(names)
    with_lost = scored([names[0], "GL000194.1:10-70", *names[1:]])
    assert with_lost[1, 0] == 0 and (alone > 0).all()
    np.testing.assert_array_equal(np.delete(with_lost, 1, axis=0), alone)


def test_real_genome(shared_data):
    """The promoter of CSNK2A1 is a CpG island, and chr1 begins with telomere repeats."""
    regions = parse_regions(["chr20:523984-524484", "chr1:10290-10790"])
    codes, offsets = read_sequences(shared_data / "blood_hg19_sequence" / "mini_hg19.fa.gz", regions)
    promoter = codes[: offsets[1]]
    assert np.isin(promoter, [1, 2]).mean() > 0.6
    assert "CCCTAACCCTAACCC" in as_text(codes, offsets)[1]
