"""Regions that can be read, but are probably not what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys as keys
from scget._errors import first, warn
from scget.pp._regions import Regions, sort_order

if TYPE_CHECKING:
    from anndata import AnnData

_ARCHR = {
    "GroupReplicate",
    "Reproducibility",
    "replicateScoreQuantile",
    "groupScoreQuantile",
    "peakType",
    "nearestGene",
}
_ENOUGH = 10  # regions, of which a common pattern is no chance


def warn_of_regions(atac: AnnData, regions: Regions) -> None:
    """Warn of regions that overlap and of coordinates that look 1-based; once, in the first preparing step.

    Parameters
    ----------
    atac
        Whose regions they are; where it holds motif scores or promoters already, nothing is said again, and nothing of
        1-based coordinates where :func:`scget.pp.sort_regions` has shifted them.
    regions
        In any order.
    """
    if keys.MOTIF_SCORES in atac.varm or keys.PEAK_ANNOTATION in atac.uns:
        return
    overlap = overlap_message(regions)
    if overlap:
        warn(overlap)
    sign = "" if keys.ONE_BASED in atac.uns else one_based_sign(atac.var, regions)
    if sign:
        warn(
            f"{sign}: 1-based coordinates, as of R's GRanges? scget counts from 0 and leaves out the end. If they are, "
            "run scget.pp.sort_regions(mdata, one_based=True) on the data as they were before this step."
        )


def overlap_message(regions: Regions) -> str:
    """Text that names how many regions overlap one before them; empty where none does."""
    ordered = regions[sort_order(regions)]
    codes, _ = pd.factorize(ordered.chrom)
    reach = pd.Series(ordered.end).groupby(codes).cummax().groupby(codes).shift(fill_value=-1).to_numpy()
    at = np.flatnonzero(ordered.start < reach)
    if not len(at):
        return ""
    before = np.flatnonzero((codes[: at[0]] == codes[at[0]]) & (ordered.end[: at[0]] == reach[at[0]]))[-1]
    return (
        f"{len(at):,} of {len(regions):,} regions overlap one before them, first {str(ordered.names[at[0]])!r} with "
        f"{str(ordered.names[before])!r}: their motifs and counts count twice. Count in regions that do not overlap, or "
        "carry the counts to such a set with scget.pp.match_regions(mdata, reference)."
    )


def one_based_sign(var: pd.DataFrame, regions: Regions) -> str:
    """Say what makes coordinates look 1-based with the end included; empty where nothing does.

    Read as 0-based half-open, such regions lack a base: those of 500 bp seem to have 499, and a table of R's GRanges
    has a column ``width`` one above ``end - start``. So do ArchR's of 501 bp, known by their columns;
    where 501 bp remain, they are SnapATAC2's, or ArchR's moved to 0 already or not.
    """
    if len(regions) < _ENOUGH:
        return ""
    size = regions.end - regions.start
    for column in var.columns:
        if str(column).lower() == "width":
            width = pd.to_numeric(var[column], errors="coerce").to_numpy(dtype=np.float64)
            if np.array_equal(width, size + 1):
                return f"var[{column!r}] is end - start + 1 in all {len(regions):,} regions"
            if np.array_equal(width, size):
                return ""
    if (size == size[0]).all() and size[0] % 100 == 99:
        return f"all regions are {size[0]:,} bp long, one less than {size[0] + 1:,}"
    if (size == size[0]).all() and size[0] % 100 == 1:
        return f"all regions are {size[0]:,} bp long, as those of SnapATAC2 (0-based: nothing to do) and of ArchR"
    if (size == 500).all() and _ARCHR.intersection(var.columns):
        return f"all regions are 500 bp long and var has ArchR's {first(c for c in var.columns if c in _ARCHR)}"
    if (regions.start % 10 == 1).all() and (regions.end % 10 == 0).all():
        return f"all starts end in 1 and all ends in 0, first {str(regions.names[0])!r}"
    return ""
