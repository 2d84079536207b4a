"""Motif scores of regions with an allele in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from scget._errors import GenomeError
from scget.data import RegionTable
from scget.pp._alleles import Alleles, region_texts
from scget.pp._genome import genome_path
from scget.pp._sequence_scores import SequenceScorer

from ._infer import progress

_AT_ONCE = 2048  # sequences scored together
_CLOSE = 1e-3  # bits, between scores that count as alike


@dataclass(frozen=True)
class Rescored:
    """Pairs ``n`` of variant ``v_n`` and region ``p_n``, by variant, and motif scores (bits) without and with the allele."""

    v_n: np.ndarray
    p_n: np.ndarray
    before_nm: sp.csr_matrix
    after_nm: sp.csr_matrix

    @cached_property
    def change_i(self) -> sp.coo_matrix:
        """Changes that are not 0, pairs x clusters."""
        change_nm = (self.after_nm - self.before_nm).tocsr()
        change_nm.eliminate_zeros()
        return change_nm.tocoo()

    @property
    def changed_n(self) -> np.ndarray:
        """True where any score changes."""
        return np.bincount(self.change_i.row, minlength=len(self.v_n)) > 0


def rescore(
    table: RegionTable, scorer: SequenceScorer, genome: object, alleles: Alleles, v_n: np.ndarray, p_n: np.ndarray
) -> Rescored:
    """Score each region with each allele in it.

    Parameters
    ----------
    table
        Data, with the clusters in the order wanted.
    scorer
        Of the motifs that gave these their scores, in their order.
    genome
        Path of the FASTA.
    alleles, v_n, p_n
        Variants, and pairs of a variant and a region that it leaves bases of, by variant.

    Raises
    ------
    GenomeError
        If the scores of a region are not those of its sequence in the FASTA.
    """
    if not len(v_n):
        none = sp.csr_matrix((0, len(table.motifs)), dtype=np.float32)
        return Rescored(v_n, p_n, none, none)
    region_u, u_n = np.unique(p_n, return_inverse=True)
    text_u, start_u = region_texts(genome, table.regions[region_u]), table.regions.start[region_u].tolist()
    score_um = _scores(scorer, text_u, "score regions")
    _check_scores(table, genome, region_u, score_um)
    alleles_n = zip(u_n.tolist(), v_n.tolist(), strict=True)
    text_n = [alleles.put_into(text_u[u], start_u[u], v) for u, v in alleles_n]
    return Rescored(v_n, p_n, score_um[u_n], _scores(scorer, text_n, "score alleles"))


def _scores(scorer: SequenceScorer, texts: list[str], what: str) -> sp.csr_matrix:
    parts = [scorer.scores(texts[low : low + _AT_ONCE]) for low in progress(range(0, len(texts), _AT_ONCE), what)]
    return sp.vstack(parts, format="csr")


def _check_scores(table: RegionTable, genome: object, region_u: np.ndarray, score_um: sp.csr_matrix) -> None:
    """Refuse a genome from which the regions do not get the scores that they have."""
    apart_u = abs(sp.csr_matrix(table.motif_pm[region_u]) - score_um).max(axis=1).toarray().ravel()
    wrong = np.flatnonzero(apart_u > _CLOSE)
    if len(wrong):
        raise GenomeError(
            f"motif scores of {len(wrong):,} of {len(region_u):,} regions with a variant in them are not those of their "
            f"sequence in '{genome_path(genome).name}', first {table.regions.names[region_u[wrong[0]]]!r} (by up to "
            f"{apart_u[wrong[0]]:.3g} bits). The regions were scored on {table.motif_scan.get('genome', 'another file')!r}: "
            "give that one, or score them anew with scget.pp.motif_scores"
        )
