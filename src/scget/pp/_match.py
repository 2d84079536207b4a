"""Counts carried from one set of regions to another."""

from __future__ import annotations

import copy
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from scget import _keys as keys
from scget._errors import GenomeError, InputError, first, needs_extra, warn
from scget.pp._checks import check_in_memory, get_counts, get_modality
from scget.pp._region_files import read_regions
from scget.pp._regions import Regions, regions_in, sort_order

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_OF_REGIONS = (
    keys.MOTIF_NAMES,
    keys.MOTIF_SCAN,
    keys.MOTIF_TFS,
    keys.PEAK_ANNOTATION,
    keys.ANNOTATION,
    keys.ONE_BASED,
)  # in uns; tied to the set of regions
_FEW = 0.5  # share of regions or of counts, below which much of the data is lost


def match_regions(
    mdata: MuData,
    reference: str | Path | pd.DataFrame | Regions | AnnData | MuData,
    *,
    min_overlap: int = 1,
    atac_layer: str | None = None,
) -> MuData:
    """Carry the ATAC counts to another set of regions by overlap, such as to the regions a model was trained on.

    A region's counts go whole to one region of the reference, the one it shares most bases with; between equals, to the
    first by chromosome and position. So no count is doubled or split, and several regions may add up in one. Counts of
    regions that overlap none are lost. What is lost or moved stays so: where the fragments are at hand, counting them in
    the reference regions is better.

    Parameters
    ----------
    mdata
        Rows or cells with modality ``atac``.
    reference
        The regions wanted: path of a BED or narrowPeak file (see :func:`scget.pp.read_regions`), a table with ``chrom``,
        ``start`` and ``end`` or with names such as ``chr1:100-200`` as index, or an AnnData or MuData with such
        regions. From an AnnData or MuData come also ``var``, motif scores and promoters, where it has them.
    min_overlap
        Fewest bases that two regions share.
    atac_layer
        Layer with raw counts; None for ``X``.

    Returns
    -------
    A new MuData. ``atac`` has the regions of the reference in its order, counts in ``X`` (float32 CSR), and ``obs``,
    ``obsm``, ``obsp`` and ``uns`` as before, but nothing else that belonged to the old regions; the other modalities and
    ``obs``, ``obsm``, ``obsp`` and ``uns`` of ``mdata`` are copied, but ``rna.var["promoter"]``, which told of the old
    regions, is dropped. ``atac.uns["matched"]`` holds plain numbers: ``regions`` and ``counts``, the shares of the old
    regions and of their counts that were carried over, ``n_regions``, how many regions of the reference got any, and
    ``min_overlap``.

    Raises
    ------
    InputError
        If regions cannot be read or counts are not raw, or ``min_overlap`` is below 1.
    GenomeError
        If no region overlaps one of the reference.
    ImportError
        If bioframe is missing.

    Examples
    --------
    >>> wide = pd.DataFrame(index=["chr1:0-600000", "chr2:0-600000", "chr10:0-600000"])
    >>> matched = scget.pp.match_regions(pb, wide)
    >>> matched["atac"].n_vars, matched["atac"].uns["matched"]["counts"]
    (3, 1.0)
    """
    if isinstance(min_overlap, bool) or not isinstance(min_overlap, Integral) or min_overlap < 1:
        raise InputError(f"min_overlap={min_overlap!r}: a whole number of bases, at least 1, is needed.")
    atac = get_modality(mdata, keys.ATAC, "accessibility")
    for name, modality in mdata.mod.items():
        check_in_memory(modality, name)
    source = regions_in(atac.var)
    made = _reference(reference)
    target = regions_in(made.var)
    counts = csr_matrix(get_counts(atac, atac_layer, keys.ATAC), dtype=np.float64)
    source_n, target_n = best_overlaps(source, target, int(min_overlap))
    if not len(source_n):
        raise _no_overlap(source, target)
    join = csr_matrix((np.ones(len(source_n)), (source_n, target_n)), shape=(len(source), len(target)))
    carried = counts @ join
    share = float(carried.sum() / max(counts.sum(), 1))
    made.uns[keys.MATCHED] = {
        "regions": len(source_n) / len(source),
        "counts": share,
        "n_regions": len(np.unique(target_n)),
        "min_overlap": int(min_overlap),
    }
    _warn_of_loss(len(source_n), len(source), share)
    return _assemble(mdata, carried.astype(np.float32), made)


def best_overlaps(source: Regions, target: Regions, min_overlap: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the regions of ``source`` that overlap ``target``, ascending, and of the one that each overlaps most.

    Examples
    --------
    >>> from scget.pp._regions import parse_regions
    >>> source = parse_regions(["chr1:0-100", "chr1:300-310", "chr1:90-210"])
    >>> best_overlaps(source, parse_regions(["chr1:200-300", "chr1:50-150", "chr1:0-50"]))
    (array([0, 2]), array([2, 1]))
    """
    with needs_extra("genome"):
        import bioframe
    tables = [pd.DataFrame({"chrom": r.chrom, "start": r.start, "end": r.end}) for r in (source, target)]
    pairs = bioframe.overlap(*tables, how="inner", return_index=True, return_overlap=True, return_input=False)
    pairs = pairs.astype(np.int64)
    rank_of_target = np.empty(len(target), dtype=np.int64)
    rank_of_target[sort_order(target)] = np.arange(len(target))
    shared = (pairs["overlap_end"] - pairs["overlap_start"]).to_numpy()
    at, to = pairs["index"].to_numpy(), pairs["index_"].to_numpy()
    enough = shared >= min_overlap
    at, to, shared = at[enough], to[enough], shared[enough]
    order = np.lexsort((rank_of_target[to], -shared, at))
    at, nth = np.unique(at[order], return_index=True)
    return at, to[order][nth]


def _reference(reference: object) -> AnnData:
    """The regions wanted, without rows or counts, with the motif scores and promoters that come with them."""
    from anndata import AnnData
    from mudata import MuData

    if isinstance(reference, MuData):
        reference = get_modality(reference, keys.ATAC, "accessibility")
    if isinstance(reference, AnnData):
        regions = regions_in(reference.var)
        made = AnnData(var=reference.var.copy())
        if keys.MOTIF_SCORES in reference.varm:
            made.varm[keys.MOTIF_SCORES] = reference.varm[keys.MOTIF_SCORES].copy()
        made.uns.update({key: copy.deepcopy(reference.uns[key]) for key in _OF_REGIONS if key in reference.uns})
    else:
        table = reference
        if isinstance(reference, str | Path):
            table = read_regions(reference)
        elif isinstance(reference, Regions):
            table = pd.DataFrame(index=reference.names)
        if not isinstance(table, pd.DataFrame):
            raise InputError(
                f"reference is a {type(reference).__name__}: the path of a BED file, a table of regions, an AnnData or a "
                "MuData is needed."
            )
        regions = regions_in(table)
        made = AnnData(var=table.set_axis(pd.Index(regions.names, dtype=object), axis=0))
    for column, values in zip(keys.REGION_COLUMNS, (regions.chrom, regions.start, regions.end), strict=True):
        made.var[column] = values
    return made


def _no_overlap(source: Regions, target: Regions) -> GenomeError:
    ours, theirs = set(source.chrom), set(target.chrom)
    hint = "Are both of one genome build?"
    if not ours & theirs:
        hint = "No chromosome is in common; scget.pp.rename_chromosomes(mdata, to='ucsc') or to='ensembl' renames them."
    return GenomeError(
        f"none of {len(source):,} regions (first {first(source.names[:1].tolist())}) overlaps one of the {len(target):,} "
        f"of the reference (first {first(target.names[:1].tolist())}). {hint}"
    )


def _warn_of_loss(n_matched: int, n_regions: int, share: float) -> None:
    if n_matched < _FEW * n_regions or share < _FEW:
        warn(
            f"only {n_matched:,} of {n_regions:,} regions ({n_matched / n_regions:.0%}), with {share:.0%} of the counts, "
            "overlap the reference; the rest is lost. Is it of the same genome build and tissue? Counting the fragments "
            "in the reference regions loses less."
        )


def _assemble(mdata: MuData, counts: csr_matrix, made: AnnData) -> MuData:
    """The modalities of ``mdata`` copied, with ``counts`` in the regions of ``made`` for ``atac``."""
    from anndata import AnnData
    from mudata import MuData

    atac = mdata.mod[keys.ATAC]
    uns = {key: copy.deepcopy(value) for key, value in atac.uns.items() if key not in (*_OF_REGIONS, keys.MATCHED)}
    carried = AnnData(
        counts,
        obs=atac.obs.copy(),
        var=made.var,
        varm=dict(made.varm),
        obsm={key: value.copy() for key, value in atac.obsm.items()},
        obsp={key: value.copy() for key, value in atac.obsp.items()},
        uns=uns | dict(made.uns),
    )
    new = MuData({name: carried if name == keys.ATAC else mdata.mod[name].copy() for name in mdata.mod})
    if keys.RNA in new.mod:
        new.mod[keys.RNA].var.drop(columns=keys.PROMOTER, errors="ignore", inplace=True)
        new.update_var()
        _warn_of_other_genes(new)
    new.uns.update(copy.deepcopy(dict(mdata.uns)))
    if new.obs_names.equals(mdata.obs_names):
        new.obsm.update({key: value.copy() for key, value in mdata.obsm.items() if key not in mdata.mod})
        new.obsp.update({key: value.copy() for key, value in mdata.obsp.items() if key not in mdata.mod})
    for column in mdata.obs.columns.difference(new.obs.columns):
        new.obs[column] = mdata.obs[column].reindex(new.obs_names)
    return new


def _warn_of_other_genes(mdata: MuData) -> None:
    table = mdata.mod[keys.ATAC].uns.get(keys.PEAK_ANNOTATION)
    genes = mdata.mod[keys.RNA].var_names
    if table is not None and not table["gene"].isin(genes).any():
        warn(
            f"the promoters that come with the reference are of none of the {len(genes):,} genes in 'rna': there "
            f"{first(table['gene'].unique())}, in 'rna' {first(genes)}. Make them anew with scget.pp.promoters."
        )
