"""Prepare a MuData: regions, motif scores, promoters, rows."""

from scget.pp._doctor import check
from scget.pp._motifs import motif_scores
from scget.pp._promoters import promoters
from scget.pp._pseudobulk import pseudobulk
from scget.pp._regions import sort_regions

__all__ = ["check", "motif_scores", "promoters", "pseudobulk", "sort_regions"]
