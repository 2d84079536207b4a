"""Letters and codes of bases; the other strand as Biopython has it."""

from __future__ import annotations

import pytest

from scget._errors import InputError
from scget.pp._bases import CODES, as_text, encode, reverse_complement


def test_codes_of_bases():
    codes, offsets = encode(["acgN", "T"])
    assert codes.tolist() == [0, 1, 2, 4, 3] and offsets.tolist() == [0, 4, 5]
    with pytest.raises(InputError, match="2 of 3 sequences are empty or hold other letters .* first number 1: ''"):
        encode(["ACGT", "", "AXG"])
    with pytest.raises(InputError, match="one text"):
        encode("ACGT")


@pytest.mark.parametrize("odd", [float("nan"), None, 5])
def test_what_is_no_text_is_no_sequence(odd):
    with pytest.raises(InputError, match="1 of 2 sequences are empty or hold other letters"):
        encode(["ACGT", odd])


def test_codes_of_other_characters_and_letters_of_codes():
    assert [int(code) for code in CODES[list(b"ACGTacgtN-n*")]] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 4, 4, 4]
    assert as_text([0, 1, 2, 3, 4]) == "ACGTN"


def test_the_other_strand_is_biopythons(rng):
    seq = pytest.importorskip("Bio.Seq")
    for _ in range(50):
        word = "".join(rng.choice(list("ACGTRYSWKMBDHVN"), 12))
        assert reverse_complement(word) == str(seq.Seq(word).reverse_complement())
