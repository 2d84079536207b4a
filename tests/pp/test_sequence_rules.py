"""Rules of designed sequences, against Biopython's reading of IUPAC words."""

from __future__ import annotations

import numpy as np
import pytest

from scget._errors import InputError
from scget.pp._sequence_rules import SequenceRules, gc_share


def test_forbidden_words_on_both_strands_as_biopython_finds_them(rng):
    seq_utils, seq = pytest.importorskip("Bio.SeqUtils"), pytest.importorskip("Bio.Seq")
    n_found = 0
    for _ in range(300):
        sequence = "".join(rng.choice(list("ACGT"), 60))
        word = "".join(rng.choice(list("ACGTRYSWKMBDHVN"), 6))
        other = str(seq.Seq(word).reverse_complement())
        here = any(len(seq_utils.nt_search(sequence, text)) > 1 for text in (word, other))
        n_found += here
        assert bool(SequenceRules(forbidden=(word,)).faults(sequence)) == here
    assert 50 < n_found < 250


def test_an_edit_is_clean_where_the_whole_is():
    rules = SequenceRules(forbidden=("GATC", "ANT", "CCNGG"))
    sequence = "CACACACACGCGCACACACACGCGCACACA"
    assert rules.faults(sequence) == []
    for at in range(len(sequence) - 3):
        for word in ("T", "GA", "ATC"):
            whole = sequence[:at] + word + sequence[at + len(word) :]
            assert rules.clean(sequence, at, word) == (not rules.faults(whole))


def test_random_sequences_keep_the_rules(rng):
    rules = SequenceRules(gc=(0.6, 0.8), forbidden=("GGATCC",), fixed=((3, 9),))
    drawn = [rules.random(200, rng) for _ in range(50)]
    shares = np.array([sum(map(text.count, "GC")) / 200 for text in drawn])
    assert ((shares >= 0.6) & (shares <= 0.8)).all() and abs(shares.mean() - 0.7) < 0.02
    assert not any("GGATCC" in text for text in drawn) and len(set(drawn)) == 50
    assert gc_share("GGCA") == 0.75
    with pytest.raises(InputError, match="none of 1,000 random sequences of 5 bases.*share of G and C"):
        SequenceRules(gc=(0.5, 0.55)).random(5, rng)
