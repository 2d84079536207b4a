"""Scores of motif clusters in any sequence, as the regions of a MuData have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, vstack

from scget._errors import InputError, first, needs_extra
from scget._keys import MOTIF_NAMES, MOTIF_SCAN
from scget.pp._bases import encode
from scget.pp._motif_sets import Clusters, Motifs, clusters_of, motif_set, sha256_of
from scget.pp._motifs import SCANNER_VERSION


class SequenceScorer:
    """Scores sequences by the motifs and settings that gave a MuData its ``motif_scores``.

    Parameters
    ----------
    motifs, clusters
        As given to :func:`scget.pp.motif_scores`.
    scan
        ``atac.uns["motif_scan"]``, or the same of a model.
    names
        ``atac.uns["motif_names"]``: the clusters, in the order of the columns, whatever it is.

    Raises
    ------
    InputError
        If motifs and clusters are not those that the record names, or there is no record.
    """

    def __init__(
        self,
        motifs: Motifs | None,
        clusters: Clusters | None,
        scan: Mapping[str, Any],
        names: Sequence[str] | np.ndarray,
    ) -> None:
        set_ = motif_set(motifs)
        members = clusters_of(set_, clusters)
        self.names = np.asarray(names, dtype=object)
        _check_scan(scan, sha256_of(set_, members), self.names, sorted(set(members.values())))
        with needs_extra("motif"):
            from scget.pp._scan import make_scanner, tables_and_limits  # numba is slow to import

        settings = (scan["background"], float(scan["pseudocount"]), float(scan["pvalue"]))
        tables, limits = tables_and_limits(set_.values(), *settings)
        self._scanner = make_scanner(tables, limits)
        place = {str(name): m for m, name in enumerate(self.names)}
        self._column = np.array([place[members[m]] for m in set_], dtype=np.int64)
        self._best = ["".join("ACGT"[base] for base in np.argmax(table, axis=1)) for table in tables]

    @property
    def width(self) -> int:
        """Bases of the widest motif that can have a hit."""
        return int(self._scanner.width.max(initial=1))

    def best_words(self) -> dict[str, str]:
        """Of each cluster, the best word of one of its motifs: that which scores most; clusters without a hit are left out."""
        words = sorted(set(self._best))
        score_wm = self.scores(words).tocsc()
        best: dict[str, str] = {}
        for m, name in enumerate(self.names):
            mine = sorted({self._best[i] for i in np.flatnonzero(self._column == m)})
            score_n = score_wm[[words.index(word) for word in mine], m].toarray().ravel()
            if score_n.max() > 0:
                best[str(name)] = mine[int(np.argmax(score_n))]
        return best

    def scores(self, sequences: Sequence[str]) -> csr_matrix:
        """Scores, sequences x clusters, float32 in bits; an unknown base (N) is part of no hit.

        Raises
        ------
        InputError
            If a sequence is empty or holds other letters than A, C, G, T and N.
        """
        return self.of_codes(*encode(sequences))

    def of_codes(self, codes: np.ndarray, offsets: np.ndarray) -> csr_matrix:
        """As :meth:`scores`, of what :func:`encode` gives."""
        from scget.pp._scan import scan

        blocks = [csr_matrix((0, len(self.names)), dtype=np.float32)]
        blocks += scan(self._scanner, self._column, len(self.names), codes, offsets)
        return vstack(blocks, format="csr")


def _check_scan(scan: Mapping[str, Any], sha256: str, names: np.ndarray, clusters: Sequence[str]) -> None:
    """Refuse motifs other than those that the regions were scored with."""
    if scan.get("scanner") != "scget" or {"motifs_sha256", "background", "pseudocount", "pvalue"} - set(scan):
        raise InputError(
            f"the motif scores of the regions were not made by scget.pp.motif_scores (uns[{MOTIF_SCAN!r}] has "
            f"{first(scan) if scan else 'nothing'}), so no other sequence can be scored alike; score the regions with it"
        )
    if int(scan.get("scanner_version", 0)) != SCANNER_VERSION:
        raise InputError(
            f"the regions were scored by version {scan.get('scanner_version')} of the scanner, this is {SCANNER_VERSION}: "
            "score them anew with scget.pp.motif_scores"
        )
    if sorted(map(str, names)) != list(clusters):
        other = sorted(set(names) ^ set(clusters)) or list(names)
        raise InputError(
            f"motifs and clusters given make {len(clusters):,} clusters, the regions have {len(names):,} "
            f"(uns[{MOTIF_NAMES!r}]); {len(other):,} differ, first {first(other)}. Give those of scget.pp.motif_scores"
        )
    if scan["motifs_sha256"] != sha256:
        raise InputError(
            "motifs given have the names of those that the regions were scored with, but other matrices or members of "
            "clusters; give those of scget.pp.motif_scores"
        )
