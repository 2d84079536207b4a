"""What is looked at in motif scores, genome and promoters; each function here tells of one thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from scget import _keys as keys
from scget._errors import first
from scget.pp import _checks
from scget.pp._check_data import Data, Finding
from scget.pp._promoters import FEW_GENES
from scget.pp._regions import regions_of

_MIN_WITH_MOTIF = 0.5  # share of regions with a hit, below which the genome is in doubt
_FAR = 1_000_000  # bp from TSS to the centre of its promoter region; none is as long
_BUILDS = (
    ("hg19", "grch37", "hs37", "lift37"),
    ("hg38", "grch38", "hs38"),
    ("mm9", "ncbim37"),
    ("mm10", "grcm38"),
    ("mm39", "grcm39"),
)


def genome(data: Data) -> Finding:
    """Tell which genome and which annotation are on record, and whether their names speak of two builds."""
    name = data.record(keys.MOTIF_SCAN).get("genome")
    annotation = data.record(keys.ANNOTATION).get("file")
    if name is None:
        return (
            "warning",
            "no record of the genome",
            "scget.pp.motif_scores writes it; be sure that all are of one build.",
        )
    found = f"motif scores were made from {str(name)!r}"
    if annotation is None:
        return "ok", found, ""
    found += f", promoters from {str(annotation)!r}"
    one, other = _builds(str(name)), _builds(str(annotation))
    if one and other and not one & other:
        return "warning", found, "These names speak of two builds: make both from one."
    return "ok", found, ""


def _builds(name: str) -> set[int]:
    return {i for i, names in enumerate(_BUILDS) if any(one in name.lower() for one in names)}


def motif_scores(data: Data) -> Finding:
    """Tell the size of the motif scores."""
    _checks.check_motifs(data.described)
    n_regions, n_motifs = data.described.varm[keys.MOTIF_SCORES].shape
    return "ok", f"{n_regions:,} regions x {n_motifs:,} motifs", ""


def motifs(data: Data) -> Finding:
    """Tell of motifs that say nothing, and of scores that the record does not allow."""
    scores = data.described.varm[keys.MOTIF_SCORES]
    names = _checks.as_names(data.described.uns[keys.MOTIF_NAMES])
    n_hits = _nonzero(scores, axis=0)
    silent, constant = names[n_hits == 0], names[_constant(scores, n_hits)]
    if len(silent):
        found = f"{len(silent):,} of {len(n_hits):,} motifs have no hit in any region: {first(silent)}"
        return "warning", found, "Nothing can be learnt from them: leave them out, or raise pvalue of motif_scores."
    if len(constant):
        found = f"{len(constant):,} of {len(n_hits):,} motifs have the same score in all regions: {first(constant)}"
        return "warning", found, "Nothing can be learnt from them: were the scores overwritten? Make them anew."
    return "ok", f"all of {len(n_hits):,} have hits", ""


def negative_scores(data: Data) -> Finding | None:
    """Warn of negative scores where the record says that scget made them, which gives none."""
    scores = data.described.varm[keys.MOTIF_SCORES]
    n_negative = int(((scores.data if issparse(scores) else scores) < 0).sum())
    if not n_negative or data.record(keys.MOTIF_SCAN).get("scanner") != "scget":
        return None
    found = f"{n_negative:,} motif scores are negative, though the record says that scget.pp.motif_scores made them"
    return "warning", found, "It makes sums from 0 on: were they changed since? Make them anew."


def regions_with_motifs(data: Data) -> Finding:
    """Tell how many regions have any motif."""
    n_motifs = _nonzero(data.described.varm[keys.MOTIF_SCORES], axis=1)
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


def _constant(scores: Any, n_hits: np.ndarray) -> np.ndarray:
    """Columns of one value that is not 0, of two regions or more."""
    full = np.flatnonzero(n_hits == scores.shape[0]) if scores.shape[0] > 1 else np.array([], dtype=int)
    if not len(full):
        return full
    values = scores.tocsc()[:, full].toarray() if issparse(scores) else scores[:, full]
    return full[(values == values[0]).all(axis=0)]


def promoters(data: Data) -> Finding:
    """Tell how many genes have a promoter region, and why the others have none."""
    names = regions_of(data.atac).names
    _checks.check_promoters(data.described, names)
    table = data.described.uns[keys.PEAK_ANNOTATION]
    genes = table.loc[table["region"].astype(str).isin(names), "gene"].astype(str).unique()
    if data.rna is None:
        return "ok", f"{len(genes):,} genes have a promoter region", ""
    has_one = data.rna.var_names.isin(genes)
    n_found = int(has_one.sum())
    found = f"{n_found:,} of {data.rna.n_vars:,} genes have a promoter region"
    if keys.PROMOTER in data.rna.var:
        said = data.rna.var[keys.PROMOTER].astype(str)
        why = {str(reason): n for reason, n in said.value_counts().items() if reason != "yes"}
        n_lost = int(((said == "yes").to_numpy() & ~has_one).sum())
        why |= {"in regions left out since": n_lost} if n_lost else {}
        found += "; of the others: " + ", ".join(f"{reason} {n:,}" for reason, n in why.items()) if why else ""
    if n_found < FEW_GENES * data.rna.n_vars:
        do = "Do regions, annotation and names of genes belong together (build, release, kind of id)?"
        return "warning" if n_found else "error", found, do
    return "ok", found, ""


def far_promoters(data: Data) -> Finding | None:
    """Warn of promoters whose TSS lies far from their region."""
    regions = regions_of(data.atac)
    table = data.described.uns[keys.PEAK_ANNOTATION]
    at = pd.Index(regions.names).get_indexer(table["region"].astype(str))
    tss = pd.to_numeric(table["tss"], errors="coerce").to_numpy(dtype=np.float64)
    far = (at >= 0) & (np.abs(tss - regions.centers[at]) > _FAR)
    if not far.any():
        return None
    genes = table["gene"].astype(str).to_numpy()[far]
    found = f"{far.sum():,} of {(at >= 0).sum():,} promoters lie more than {_FAR:,} bp from their TSS: {first(genes)}"
    return "warning", found, "Regions and annotation were mixed up: run scget.pp.promoters again."
