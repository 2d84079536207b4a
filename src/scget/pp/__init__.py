"""Prepare a MuData: regions, motif scores, promoters, rows."""

from scget.pp._coordinates import sort_regions
from scget.pp._motifs import motif_scores
from scget.pp._promoters import promoters
from scget.pp._pseudobulk import pseudobulk

__all__ = ["motif_scores", "promoters", "pseudobulk", "sort_regions"]
