"""Prepare a MuData: regions, motif scores, promoters, rows."""

from scget.pp._archetypes import ARCHETYPES, motif_scores_from_bed
from scget.pp._motif_clusters import cluster_motifs
from scget.pp._motif_sets import MotifSet, read_motifs
from scget.pp._motifs import motif_scores
from scget.pp._promoters import promoters
from scget.pp._pseudobulk import pseudobulk
from scget.pp._regions import sort_regions

__all__ = [
    "ARCHETYPES",
    "MotifSet",
    "cluster_motifs",
    "motif_scores",
    "motif_scores_from_bed",
    "promoters",
    "pseudobulk",
    "read_motifs",
    "sort_regions",
]
