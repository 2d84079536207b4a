"""What is looked at in a MuData before training; each function here tells of one thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from scget import _keys as keys
from scget._errors import first
from scget.pp import _checks
from scget.pp._promoters import FEW_GENES
from scget.pp._region_warnings import one_based_sign, overlap_message
from scget.pp._regions import regions_of, sort_order
from scget.pp._sanity import motifs_to_accessibility

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_MIN_DEPTH = 3_000_000  # ATAC counts of a row, as the authors of GET advise
_MIN_CELLS = 100  # of a row, the same
_CELL_DEPTH = 100_000  # ATAC counts; where half of the rows have fewer, rows are cells
_MIN_WITH_MOTIF = 0.5  # share of regions with a hit, below which the genome is in doubt
_MIN_PEARSON = 0.3  # of the quick model, below which motifs and accessibility may not belong together
_FEW_TRAINED, _MIN_PEARSON_FEW = 10_000, 0.1  # regions, and what is asked for where fewer are learnt from

_POOL = "Merge them with a like cell type, or trust what is predicted for them less."

Finding = tuple[str, str, str]  # verdict, found, do


@dataclass(frozen=True)
class Data:
    """What is looked at, and what several checks need."""

    mdata: MuData
    atac_layer: str | None
    rna_layer: str | None

    @property
    def atac(self) -> AnnData:
        return self.mdata.mod[keys.ATAC]

    @property
    def rna(self) -> AnnData | None:
        return self.mdata.mod.get(keys.RNA)

    @cached_property
    def atac_counts(self) -> Any:
        return _checks.get_counts(self.atac, self.atac_layer, keys.ATAC)

    @cached_property
    def depth(self) -> pd.Series:
        """ATAC counts of each row."""
        sums = np.asarray(self.atac_counts.sum(axis=1, dtype=np.float64)).ravel()
        return pd.Series(sums, index=self.atac.obs_names.astype(str))

    @property
    def holds_cells(self) -> bool:
        return keys.N_CELLS not in self.atac.obs and float(self.depth.median()) < _CELL_DEPTH


def _modality(adata: AnnData, what: str) -> Finding:
    return "ok", f"{adata.n_obs:,} rows x {adata.n_vars:,} {what}", ""


def _accessibility(data: Data) -> Finding:
    return _modality(_checks.get_modality(data.mdata, keys.ATAC, "accessibility"), "regions")


def _expression(data: Data) -> Finding:
    if data.rna is not None:
        return _modality(_checks.get_modality(data.mdata, keys.RNA, "expression"), "genes")
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


def _counts(matrix: Any) -> Finding:
    return "ok", f"raw: whole numbers from 0 to {float(matrix.max()):,.0f}", ""


def _atac_counts(data: Data) -> Finding:
    where = f"atac.layers[{data.atac_layer!r}]" if data.atac_layer else "atac.X"
    _checks.warn_if_not_fragments(data.atac_counts, where)
    return _counts(data.atac_counts)


def _rna_counts(data: Data) -> Finding | None:
    if data.rna is None:
        return None
    return _counts(_checks.get_counts(data.rna, data.rna_layer, keys.RNA))


def _depth(data: Data) -> Finding:
    depth = data.depth
    if data.holds_cells:
        found = f"{depth.median():,.0f} counts per row at the median, as single cells have"
        return "ok", found, "Rows of cell types are judged: run scget.pp.pseudobulk, then check again."
    _checks.check_rows_counted(data.atac_counts, data.atac.obs_names, keys.ATAC)
    low = depth[depth < _MIN_DEPTH].sort_values(kind="stable")
    found = f"{len(low):,} of {len(depth):,} rows have fewer than {_MIN_DEPTH:,} counts"
    if low.empty:
        return "ok", f"{found}; the least is {depth.min():,.0f}", ""
    found = f"{found}, least {low.iloc[0]:,.0f}: {first(low.index)}"
    return "warning", found, _POOL


def _depth_of_rna(data: Data) -> Finding | None:
    if data.rna is None:
        return None
    counts = data.rna.X if data.rna_layer is None else data.rna.layers[data.rna_layer]
    if not data.holds_cells:
        _checks.check_rows_counted(counts, data.rna.obs_names, keys.RNA)
    depth = np.asarray(counts.sum(axis=1, dtype=np.float64))
    return "ok", f"{np.median(depth):,.0f} counts per row at the median, {depth.min():,.0f} at least", ""


def _cells_per_row(data: Data) -> Finding | None:
    if keys.N_CELLS not in data.atac.obs:
        return None
    n_cells = pd.to_numeric(data.atac.obs[keys.N_CELLS].astype(object), errors="coerce")
    small = n_cells[~(n_cells >= _MIN_CELLS)].sort_values(kind="stable")
    if small.empty:
        return "ok", f"{n_cells.min():,.0f} cells or more in each row", ""
    found = f"{len(small):,} of {len(n_cells):,} rows are made of fewer than {_MIN_CELLS} cells: {first(small.index)}"
    return "warning", found, _POOL


def _gene_names(data: Data) -> Finding | None:
    if data.rna is None:
        return None
    _checks.check_genes(data.rna)
    return "ok", f"{data.rna.n_vars:,} names, each once", ""


def _genome(data: Data) -> Finding | None:
    record = data.atac.uns.get(keys.MOTIF_SCAN)
    name = record.get("genome") if isinstance(record, Mapping) else None
    if name is not None:
        return "ok", f"motif scores were made from {str(name)!r}", ""
    return "warning", "no record of the genome", "scget.pp.motif_scores writes it; be sure that all are of one build."


def _motif_scores(data: Data) -> Finding:
    _checks.check_motifs(data.atac)
    n_regions, n_motifs = data.atac.varm[keys.MOTIF_SCORES].shape
    return "ok", f"{n_regions:,} regions x {n_motifs:,} motifs", ""


def _motifs(data: Data) -> Finding:
    n_hits = _nonzero(data.atac.varm[keys.MOTIF_SCORES], axis=0)
    silent = _checks.as_names(data.atac.uns[keys.MOTIF_NAMES])[n_hits == 0]
    if len(silent):
        found = f"{len(silent):,} of {len(n_hits):,} motifs have no hit in any region: {first(silent)}"
        return "warning", found, "Nothing can be learnt from them: leave them out, or raise pvalue of motif_scores."
    return "ok", f"all of {len(n_hits):,} have hits", ""


def _regions_with_motifs(data: Data) -> Finding:
    n_motifs = _nonzero(data.atac.varm[keys.MOTIF_SCORES], axis=1)
    share = float((n_motifs > 0).mean())
    found = f"{share:.1%} of regions have one; {np.median(n_motifs):,.0f} motifs in a region at the median"
    if share < _MIN_WITH_MOTIF:
        return "warning", found, "Is it the genome of the regions, and are they as wide as meant?"
    return "ok", found, ""


def _nonzero(scores: Any, axis: int) -> np.ndarray:
    """How many scores are not 0, of each column (axis 0) or row (axis 1)."""
    if not issparse(scores):
        return np.count_nonzero(scores, axis=axis)
    scores = scores.tocoo()
    at = (scores.col, scores.row)[axis]
    return np.bincount(at[scores.data != 0], minlength=scores.shape[1 - axis])


def _promoters(data: Data) -> Finding:
    names = regions_of(data.atac).names
    _checks.check_promoters(data.atac, names)
    table = data.atac.uns[keys.PEAK_ANNOTATION]
    genes = table.loc[table["region"].astype(str).isin(names), "gene"].astype(str).unique()
    if data.rna is None:
        return "ok", f"{len(genes):,} genes have a promoter region", ""
    n_found = int(data.rna.var_names.isin(genes).sum())
    found = f"{n_found:,} of {data.rna.n_vars:,} genes have a promoter region"
    if keys.PROMOTER in data.rna.var:
        why = data.rna.var[keys.PROMOTER].astype(str).value_counts().drop("yes", errors="ignore")
        found += "; of the others: " + ", ".join(f"{reason} {n:,}" for reason, n in why.items()) if len(why) else ""
    if n_found < FEW_GENES * data.rna.n_vars:
        return (
            "warning",
            found,
            "Do regions, annotation and names of genes belong together (build, release, kind of id)?",
        )
    return "ok", found, ""


def _deep(data: Data) -> Finding:
    scores = data.atac.varm[keys.MOTIF_SCORES]
    result = motifs_to_accessibility(data.atac_counts, scores, regions_of(data.atac))
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
    ("pairing", ("accessibility", "expression"), _pairing),
    ("regions", ("accessibility",), _regions),
    ("order of regions", ("regions",), _order),
    ("overlap of regions", ("regions",), _overlap),
    ("first base", ("regions",), _first_base),
    ("ATAC counts", ("accessibility",), _atac_counts),
    ("ATAC depth", ("ATAC counts",), _depth),
    ("cells per row", ("accessibility",), _cells_per_row),
    ("RNA counts", ("expression",), _rna_counts),
    ("RNA depth", ("RNA counts", "ATAC counts"), _depth_of_rna),
    ("gene names", ("expression",), _gene_names),
    ("genome", ("accessibility",), _genome),
    ("motif scores", ("accessibility",), _motif_scores),
    ("motifs", ("motif scores",), _motifs),
    ("regions with motifs", ("motif scores",), _regions_with_motifs),
    ("promoters", ("regions",), _promoters),
)
DEEP = ("motifs to accessibility", ("regions", "ATAC counts", "motif scores"), _deep)
