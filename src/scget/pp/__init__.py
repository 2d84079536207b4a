"""Prepare a MuData: regions, counts, motif scores, promoters, rows."""

from scget.pp._archetypes import ARCHETYPES, motif_scores_from_bed
from scget.pp._coordinates import rename_chromosomes, sort_regions
from scget.pp._doctor import check
from scget.pp._fragments import count_fragments
from scget.pp._match import match_regions
from scget.pp._motif_clusters import cluster_motifs
from scget.pp._motif_sets import MotifSet, read_motifs
from scget.pp._motifs import motif_scores
from scget.pp._pool import pool_neighbors
from scget.pp._promoters import promoters
from scget.pp._pseudobulk import pseudobulk
from scget.pp._region_files import read_regions

__all__ = [
    "ARCHETYPES",
    "MotifSet",
    "check",
    "cluster_motifs",
    "count_fragments",
    "match_regions",
    "motif_scores",
    "motif_scores_from_bed",
    "pool_neighbors",
    "promoters",
    "pseudobulk",
    "read_motifs",
    "read_regions",
    "rename_chromosomes",
    "sort_regions",
]
