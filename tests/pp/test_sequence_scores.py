"""Sequences are scored as regions are."""

from __future__ import annotations

import numpy as np
import pytest

import scget
from scget._errors import InputError
from scget.pp._sequence_scores import SequenceScorer


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Simulated data with the motif scores of their genome."""
    data = scget.datasets.simulated(tmp_path_factory.mktemp("s"), n_chroms=1, regions_per_chrom=40, n_cells=1)
    scget.pp.motif_scores(data.mdata, data.genome, motifs=data.motifs)
    return data


def scorer_of(data, motifs=None, **changes):
    uns = data.mdata["atac"].uns
    return SequenceScorer(
        data.motifs if motifs is None else motifs, None, {**uns["motif_scan"], **changes}, uns["motif_names"]
    )


def test_sequences_of_regions_have_the_scores_of_regions(scored):
    from pyfaidx import Fasta

    atac, genome = scored.mdata["atac"], Fasta(str(scored.genome))
    whole = [str(genome[c][s:e]) for c, s, e in atac.var[["chrom", "start", "end"]].itertuples(index=False)]
    scorer, known = scorer_of(scored), atac.varm["motif_scores"].toarray()
    np.testing.assert_array_equal(scorer.scores(whole).toarray(), known)
    np.testing.assert_array_equal(scorer.scores(whole[::-1]).toarray(), known[::-1])
    np.testing.assert_array_equal(scorer.scores([s.lower() for s in whole]).toarray(), known)
    other_strand = [s[::-1].translate(str.maketrans("ACGT", "TGCA")) for s in whole]
    np.testing.assert_allclose(scorer.scores(other_strand).toarray(), known, rtol=1e-6)
    assert scorer.scores([]).shape == (0, len(scorer.names))


def test_other_motifs_and_other_scans_are_refused(scored):
    motifs = scget.pp.read_motifs(scored.motifs)
    with pytest.raises(InputError, match="make 23 clusters, the regions have 24 .* 1 differ, first 'TF01'"):
        scorer_of(scored, motifs.subset(list(motifs)[1:]))
    with pytest.raises(InputError, match="but other matrices or members"):
        scorer_of(scored, {name: matrix[::-1] for name, matrix in motifs.items()})
    with pytest.raises(InputError, match="not made by scget.pp.motif_scores"):
        scorer_of(scored, scanner="bed")
    with pytest.raises(InputError, match="scored by version 0 of the scanner, this is 1"):
        scorer_of(scored, scanner_version=0)


def test_columns_are_in_the_order_of_names(scored):
    uns, words = scored.mdata["atac"].uns, list(scorer_of(scored).best_words().values())
    texts = ["AAAA".join(words[::2]), "CC".join(words[1::3])]
    names = np.random.default_rng(1).permutation(np.array(uns["motif_names"], dtype=object))
    shuffled, known = SequenceScorer(scored.motifs, None, uns["motif_scan"], names), scorer_of(scored)
    place = [list(known.names).index(name) for name in names]
    assert place != sorted(place)
    expected = known.scores(texts).toarray()[:, place]
    assert expected.any()
    np.testing.assert_array_equal(shuffled.scores(texts).toarray(), expected)
    assert shuffled.best_words() == known.best_words()
