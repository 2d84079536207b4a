"""What is looked at in a MuData before training; each function here tells of one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys as keys
from scget._errors import first
from scget.pp import _checks
from scget.pp import _count_findings as on_counts
from scget.pp import _region_findings as on_regions
from scget.pp._check_data import Data, Finding
from scget.pp._region_warnings import one_based_sign, overlap_message
from scget.pp._regions import regions_of, sort_order
from scget.pp._sanity import motifs_to_accessibility

if TYPE_CHECKING:
    from anndata import AnnData

_MIN_PEARSON = 0.3  # of the quick model, below which motifs and accessibility may not belong together
_FEW_TRAINED, _MIN_PEARSON_FEW = 10_000, 0.1  # regions, and what is asked for where fewer are learnt from


def _columns(data: Data) -> Finding | None:
    tables = {
        f"{name}.{axis}": getattr(adata, axis) for name, adata in data.mdata.mod.items() for axis in ("obs", "var")
    }
    twice = [
        f"{name} {str(column)!r}"
        for name, table in tables.items()
        for column in pd.Index(table.columns)[pd.Index(table.columns).duplicated()].unique()
    ]
    if not twice:
        return None
    found = f"columns occur twice: {', '.join(twice[:3])}{', ...' if len(twice) > 3 else ''}"
    return "error", found, "Keep one of each: table.loc[:, ~table.columns.duplicated()]."


def _view(data: Data) -> Finding | None:
    if not data.mdata.is_view and not any(adata.is_view for adata in data.mdata.mod.values()):
        return None
    return "warning", "mdata is a view, into which nothing can be written", "Call mdata = mdata.copy() first."


def _other_modalities(data: Data) -> Finding | None:
    rows = data.atac.obs_names
    odd = {
        name: int(adata.obs_names.isin(rows).sum())
        for name, adata in data.mdata.mod.items()
        if name not in (keys.ATAC, keys.RNA)
        and not (len(adata.obs_names) == len(rows) and adata.obs_names.isin(rows).all())
    }
    if not odd:
        return None
    shared = ", ".join(f"{name!r} shares {n:,}" for name, n in odd.items())
    found = f"rows of other modalities are not those of 'atac': of its {len(rows):,} rows {shared}"
    return (
        "warning",
        found,
        "scget leaves them alone; drop them, or keep shared rows with muon.pp.intersect_obs(mdata).",
    )


def _modality(adata: AnnData, what: str) -> Finding:
    return "ok", f"{adata.n_obs:,} rows x {adata.n_vars:,} {what}", ""


def _accessibility(data: Data) -> Finding:
    return _modality(_checks.get_modality(data.mdata, keys.ATAC, "accessibility"), "regions")


def _expression(data: Data) -> Finding:
    if data.rna is not None:
        return _modality(_checks.get_modality(data.mdata, keys.RNA, "expression"), "genes")
    if data.only_predicted:
        return "ok", "'rna' holds predictions alone: a trained model can predict expression, none can be trained", ""
    others = [name for name in data.mdata.mod if name != keys.ATAC]
    found = "no modality 'rna': a trained model can predict expression, none can be trained"
    if others:
        return (
            "warning",
            f"{found}; there is {first(others)}",
            f"If one of them holds expression, name it {keys.RNA!r}.",
        )
    return "ok", found, ""


def _pairing(data: Data) -> Finding | None:
    if data.rna is None:
        return None
    _checks.check_rows(data.mdata, [keys.ATAC, keys.RNA])
    same = data.atac.obs_names.equals(data.rna.obs_names)
    return "ok", "the same rows in both" + ("" if same else ", in another order: they are matched by name"), ""


def _regions(data: Data) -> Finding:
    regions = regions_of(data.atac)
    width = regions.end - regions.start
    spread = "all" if width.min() == width.max() else f"{width.min():,} to {width.max():,}"
    return "ok", f"{len(regions):,} regions, {np.median(width):,.0f} bp at the median ({spread})", ""


def _order(data: Data) -> Finding:
    order = sort_order(regions_of(data.atac))
    if np.array_equal(order, np.arange(len(order))):
        return "ok", "sorted by chromosome and start", ""
    return "ok", "not sorted: scget sorts inside, and results come in your order", ""


def _overlap(data: Data) -> Finding:
    message = overlap_message(regions_of(data.atac))
    if message:
        found, _, do = message.partition(". ")
        return "warning", found, do
    return "ok", "no region overlaps another", ""


def _first_base(data: Data) -> Finding:
    sign = one_based_sign(data.atac.var, regions_of(data.atac))
    if sign:
        do = "If coordinates are 1-based, run scget.pp.sort_regions(mdata, one_based=True) before anything else."
        return "warning", sign, do
    return "ok", "nothing looks 1-based", ""


def _gene_names(data: Data) -> Finding | None:
    if data.rna is None:
        return None
    _checks.check_genes(data.rna)
    return "ok", f"{data.rna.n_vars:,} names, each once", ""


def _deep(data: Data) -> Finding:
    scores = data.described.varm[keys.MOTIF_SCORES]
    result = motifs_to_accessibility(data.atac_counts.matrix, scores, regions_of(data.atac))
    if np.isnan(result.r):
        found = (
            f"too few regions to tell: {result.n_trained:,} to learn from, {result.n_held:,} on two other chromosomes"
        )
        return "warning", found, "This test needs regions of the whole genome."
    found = (
        f"Pearson {result.r:.2f} on {result.n_held:,} regions of {' and '.join(result.held_chroms)}, held out "
        f"({result.r_baseline:.2f} from width and sum of scores alone); {result.n_trained:,} regions to learn from"
    )
    if result.r < (_MIN_PEARSON if result.n_trained >= _FEW_TRAINED else _MIN_PEARSON_FEW):
        return (
            "warning",
            found,
            "Do regions, genome and motif scores belong together, row by row? Is there depth enough?",
        )
    return "ok", found, ""


# Name, the checks that must not have refused, function; one that finds nothing to check gives None.
PLAN: tuple[tuple[str, tuple[str, ...], Callable[[Data], Finding | None]], ...] = (
    ("accessibility", (), _accessibility),
    ("expression", (), _expression),
    ("columns", (), _columns),
    ("view", (), _view),
    ("pairing", ("accessibility", "expression"), _pairing),
    ("other modalities", ("accessibility",), _other_modalities),
    ("regions", ("accessibility",), _regions),
    ("order of regions", ("regions",), _order),
    ("overlap of regions", ("regions",), _overlap),
    ("first base", ("regions",), _first_base),
    ("ATAC counts", ("accessibility",), on_counts.atac_counts),
    ("ATAC depth", ("ATAC counts",), on_counts.depth),
    ("cells per row", ("accessibility",), on_counts.cells_per_row),
    ("RNA counts", ("expression",), on_counts.rna_counts),
    ("RNA depth", ("RNA counts", "ATAC counts"), on_counts.depth_of_rna),
    ("same depth", ("RNA counts", "ATAC counts"), on_counts.same_depth),
    ("same rows", ("RNA counts", "ATAC counts"), on_counts.same_rows),
    ("gene names", ("expression",), _gene_names),
    ("genome", ("accessibility",), on_regions.genome),
    ("motif scores", ("accessibility",), on_regions.motif_scores),
    ("motifs", ("motif scores",), on_regions.motifs),
    ("negative scores", ("motif scores",), on_regions.negative_scores),
    ("regions with motifs", ("motif scores",), on_regions.regions_with_motifs),
    ("promoters", ("regions",), on_regions.promoters),
    ("far promoters", ("promoters",), on_regions.far_promoters),
)
DEEP = ("motifs to accessibility", ("regions", "ATAC counts", "motif scores"), _deep)
