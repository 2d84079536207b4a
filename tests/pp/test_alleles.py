"""Alleles put into sequences of regions, against a chromosome edited by hand; and compared with the FASTA."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scget._errors import GenomeError
from scget.pp._alleles import Alleles, check_reference, region_texts
from scget.pp._regions import Regions
from scget.pp._variants import read_variants

CHROM = "ACGTTGCATCGGATTACAGCCTAAGTCTNNGA"


def variants(*lines):
    return read_variants(pd.DataFrame(lines, columns=["chrom", "pos", "ref", "alt"]))


def regions(*spans, chrom="c"):
    start, end = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    return Regions(np.full(len(start), chrom, object), start, end)


def placed(alleles, region):
    """Text of the region with the first variant in it, None where the two do not meet, empty where it is lost."""
    v_n, _, lost_n = alleles.within(region)
    at = int(region.start[0])
    return ("" if lost_n[0] else alleles.put_into(CHROM[at : region.end[0]], at, 0)) if len(v_n) else None


@pytest.mark.parametrize(
    ("pos", "ref", "alt", "expected"),
    [  # region 10:20 is GGATTACAGC
        (11, "G", "T", "TGATTACAGC"),  # first base
        (20, "C", "A", "GGATTACAGA"),  # last
        (10, "C", "A", None),  # the base before
        (21, "C", "A", None),  # the base behind
        (13, "ATT", "A", "GGAACAGC"),  # deletion
        (9, "TCGGA", "T", "TTACAGC"),  # across the left edge: what is left
        (18, "AGCC", "A", "GGATTACA"),  # across the right edge
        (9, "TCGGATTACAGCCT", "T", ""),  # all of it and more
        (10, "CGGATTACAGC", "C", ""),  # all of it
        (13, "A", "ACCC", "GGACCCTTACAGC"),  # insertion
        (10, "C", "CTT", None),  # before the first base
        (20, "C", "CTT", None),  # behind the last
        (11, "G", "GTT", "GTTGATTACAGC"),  # behind the first
        (10, "CG", "AT", "TGATTACAGC"),  # two bases across the edge: each stands on its own
        (20, "CC", "AT", "GGATTACAGA"),
        (9, "TCGG", "AAAAAA", "AAAAATTACAGC"),  # longer, across the left edge: the rest comes in
        (19, "GCCT", "AAAAAA", "GGATTACAAA"),  # across the right edge: does not
        (13, "ATT", "ATT", "GGATTACAGC"),  # nothing is replaced
    ],
)
def test_alleles_by_hand(pos, ref, alt, expected):
    assert CHROM[pos - 1 : pos - 1 + len(ref)] == ref
    assert placed(Alleles.of(variants(("c", pos, ref, alt))), regions((10, 20))) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 27),
    st.integers(1, 6),
    st.text("ACGT", min_size=1, max_size=6),
    st.integers(0, 26),
    st.integers(1, 12),
)
def test_alleles_inside_a_region_are_those_of_the_edited_chromosome(start, length, alt, begin, size):
    end, ref = min(begin + size, len(CHROM)), CHROM[start : start + length]
    alleles = Alleles.of(variants(("c", start + 1, ref, alt)))
    low, high, put = alleles.start_v[0], alleles.end_v[0], alleles.put_v[0]
    assert CHROM[:start] + alt + CHROM[start + len(ref) :] == CHROM[:low] + put + CHROM[high:]
    got = placed(alleles, regions((begin, end)))
    edited = list(CHROM)  # a cell per base of the reference holds what stands there now
    for i in range(low, high):
        edited[i] = put[i - low : i - low + 1]
    if low == high and low > 0:
        edited[low - 1] += put if begin < low < end else ""
    elif low < high:
        edited[high - 1] += put[high - low :]
    by_hand = "".join(edited[begin:end])
    changes = begin < low < end if low == high else low < end and high > begin
    assert got is None if not changes else got == ("" if low <= begin and high >= end else by_hand)


def test_pairs_of_variants_and_regions():
    """Overlapping regions, other chromosomes, and any order."""
    lines = [("c", 13, "A", "G"), ("d", 13, "A", "G"), ("c", 1, "A", "G"), ("c", 15, "TACAGCC", "T")]
    spans = Regions(np.array(["c", "c", "d"], object), np.array([10, 12, 0]), np.array([20, 22, 12]))
    v_n, p_n, lost_n = Alleles.of(variants(*lines)).within(spans)
    assert [*zip(v_n, p_n, strict=True)] == [(0, 0), (0, 1), (3, 0), (3, 1)] and not lost_n.any()
    v_n, p_n, _ = Alleles.of(variants(*lines[::-1])).within(spans[np.array([2, 1, 0])])
    assert [*zip(v_n, p_n, strict=True)] == [(0, 1), (0, 2), (3, 1), (3, 2)]


@pytest.fixture
def fasta(tmp_path):
    rng = np.random.default_rng(0)
    other = "".join(rng.choice(list("ACGT"), 200_000))
    path = tmp_path / "g.fa"
    lines = "\n".join(other[i : i + 60] for i in range(0, len(other), 60))
    path.write_text(f">c\n{CHROM.lower()}\n>chr2\n{lines}\n")
    return path, other


def test_reference_alleles_that_fit(fasta, rng):
    path, other = fasta
    lines = [
        ("c", 1, "a", "g"),
        ("c", len(CHROM), "A", "T"),
        ("c", 28, "TNN", "T"),
        ("c", 29, "GG", "G"),
        ("c", 31, "N", "T"),
    ]
    lines += [("chr2", i + 1, other[i : i + 3], "A") for i in rng.permutation(200_000 - 3)[:500].tolist()]
    lines += [("chr2", 65_530, other[65_529:65_560], "A"), ("c", 5, "T", "<DEL>")]
    check_reference(path, variants(*lines))
    check_reference(path, variants(*lines[::-1]))
    assert region_texts(path, regions((0, 26), (3, 6))) == [CHROM[:26], CHROM[3:6]]


def test_reference_alleles_that_do_not(fasta, rng):
    path, other = fasta
    at = rng.permutation(199_000)[:40].tolist()
    there = [(at[i], other[at[i] : at[i] + 4]) for i in range(40)]
    fits = [("chr2", i + 1, ref, "A") for i, ref in there]
    for lines, message in (
        ([("c", 2, "G", "A")], "of 1 of 1 variants is not what 'g.fa' has there, first 'c:2:G>A', where it has 'C'"),
        (
            [*fits, ("c", 13, "TTT", "A")],
            "of 1 of 41 variants .* has 'ATT'. Give the genome build that the variants were",
        ),
        ([("chr2", i, ref, "A") for i, ref in there if i], r"off by one \(pos is 1-based, as in VCF\): add 1 to pos"),
        ([("chr2", i + 2, ref, "A") for i, ref in there], "off by one .*: add -1 to pos"),
        ([("chr2", i + 1, "A" if ref[0] != "A" else "C", ref[0]) for i, ref in there], "Are ref and alt exchanged"),
        (
            [("2", 5, "A", "C"), *fits],
            "1 of 41 variants lie on chromosomes that 'g.fa' lacks, '2'; .* Write them with 'chr'",
        ),
        ([("chrc", 5, "A", "C")], "Write them without 'chr'"),
        ([("MT", 5, "A", "C")], "Drop or rename these"),
        (
            [("c", 33, "A", "C"), *fits],
            "1 of 41 variants lie beyond the end .* first 'c:33:A>C', where 'c' .* has 32 bases",
        ),
        ([("c", 32, "AA", "A")], "beyond the end"),
        ([("c", 1, "A" * 99, "A")], r"beyond the end .* first 'c:1:A{50,53}\.\.\.'"),
    ):
        with pytest.raises(GenomeError, match=message):
            check_reference(path, variants(*lines))
    with pytest.raises(FileNotFoundError, match="No FASTA file"):
        check_reference(path.with_name("x.fa"), variants(("c", 1, "A", "C")))
