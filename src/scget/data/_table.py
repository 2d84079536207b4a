"""A registered MuData as plain arrays: rows by name, regions in genome order, promoters many-to-many.

Everything downstream indexes positions in this order; ``order_p`` leads back to the user's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from scget import _keys
from scget._errors import InputError, first
from scget.pp._regions import Regions, regions_of, sort_order

from ._extra import read_extra

STRAND_CODE = {"+": 0, "-": 1}
_BLOCK = 1 << 24  # counts put in order at once


@dataclass(frozen=True)
class Promoters:
    """Slots (a region and a strand) and the genes that start there, many-to-many.

    ``region_q``, ``strand_q``: position of the region and strand (0 is +) of each slot; ``gene_n``, ``slot_n``: pairs.
    """

    region_q: np.ndarray
    strand_q: np.ndarray
    gene_n: np.ndarray
    slot_n: np.ndarray
    n_genes: int

    def genes_to_slots(self, values_kg: np.ndarray) -> np.ndarray:
        """Mean over the genes of each slot that have a number: (k, g) to (k, q); NaN where none has."""
        return _mean_over(values_kg, self.gene_n, self.slot_n, len(self.region_q))

    def slots_to_genes(self, values_kq: np.ndarray) -> np.ndarray:
        """Mean over the slots of each gene: (k, q) to (k, g); NaN for a gene without a promoter."""
        return _mean_over(values_kq, self.slot_n, self.gene_n, self.n_genes)

    def slot_of(self, n_regions: int) -> np.ndarray:
        """Slot at each region and strand, (n_regions, 2); -1 where there is none."""
        slot_ps = np.full((n_regions, 2), -1, dtype=np.int64)
        slot_ps[self.region_q, self.strand_q] = np.arange(len(self.region_q))
        return slot_ps


@dataclass(frozen=True)
class RegionTable:
    """All that the network may see or must predict; ``motif_scan`` and ``annotation`` say what scores and promoters are of."""

    rows: np.ndarray
    regions: Regions
    order_p: np.ndarray
    chroms: np.ndarray
    chrom_p: np.ndarray
    counts_kp: np.ndarray
    motif_pm: np.ndarray | sp.csr_matrix
    motifs: np.ndarray
    motif_scan: dict[str, Any]
    annotation: dict[str, Any]
    genes: np.ndarray
    promoters: Promoters
    expression_kg: Any  # log10(CPM + 1), (k, g); None without RNA
    depth_k: Any  # RNA counts of each row; None without RNA
    extra_kpe: np.ndarray  # further channels

    @property
    def is_promoter_p(self) -> np.ndarray:
        """True where a gene starts."""
        flags = np.zeros(len(self.regions), dtype=bool)
        flags[self.promoters.region_q] = True
        return flags

    @property
    def region_width(self) -> float:
        """Median length of the regions, bp."""
        return float(np.median(self.regions.end - self.regions.start))

    def row_positions(self, names: Sequence[str] | None) -> np.ndarray:
        """Positions of rows by name; all where None."""
        return positions(self.rows, names, "row") if names is not None else np.arange(len(self.rows))

    def on_chroms(self, names: Sequence[str]) -> np.ndarray:
        """True for the regions on the chromosomes named."""
        return np.isin(self.chrom_p, positions(self.chroms, names, "chromosome"))


def positions(known: np.ndarray, names: Sequence[str], what: str) -> np.ndarray:
    """Where ``names`` stand in ``known``, each once; :class:`InputError` for a name that does not."""
    import difflib

    if isinstance(names, str):  # would be read letter by letter
        raise InputError(f"{names!r} is one text; a list of {what}s is needed: [{names!r}]")
    wanted = list(dict.fromkeys(str(name) for name in names))
    at = pd.Index(known.astype(str)).get_indexer(wanted)
    if (at < 0).any():
        missing = [n for n, i in zip(wanted, at, strict=True) if i < 0]
        folded = {str(k).lower().replace("_", " "): str(k) for k in known}
        near = difflib.get_close_matches(missing[0].lower().replace("_", " "), list(folded), 1)
        hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
        raise InputError(f"no {what} {first(missing)}; there are {first(list(known), 5)}.{hint}")
    return at


def has_expression(mdata: MuData, setup: dict[str, Any]) -> bool:
    """Whether there are RNA counts; a modality that holds predictions alone has no ``X``."""
    rna = mdata.mod.get(setup["modalities"]["rna_layer"])
    return rna is not None and (setup["rna_layer"] is not None or rna.X is not None)


def build_table(mdata: MuData, setup: dict[str, Any]) -> RegionTable:
    """Read a MuData that passed ``setup_mudata`` into arrays.

    Parameters
    ----------
    mdata
        One row per sample; rows of the modalities are matched by name.
    setup
        ``modalities``, ``atac_layer``, ``rna_layer``, ``extra_keys`` as given to ``setup_mudata``.
    """
    return next(build_tables(mdata, setup, mdata[setup["modalities"]["atac_layer"]].n_obs))


def build_tables(mdata: MuData, setup: dict[str, Any], size: int) -> Iterator[RegionTable]:
    """As :func:`build_table`, ``size`` rows at a time: no more of them are dense at once."""
    atac = mdata[setup["modalities"]["atac_layer"]]
    rna = mdata[setup["modalities"]["rna_layer"]] if has_expression(mdata, setup) else None
    counts = _by_rows(_layer(atac, setup["atac_layer"]))
    regions = regions_of(atac)
    order_p = sort_order(regions)
    regions = regions[order_p]
    chrom_p, chroms = pd.factorize(regions.chrom)  # in order of appearance: genome order
    annotation = atac.uns[_keys.PEAK_ANNOTATION]
    genes = np.asarray(rna.var_names if rna is not None else pd.unique(annotation["gene"]), dtype=object)
    fixed: dict[str, Any] = {
        "regions": regions,
        "order_p": order_p,
        "chroms": np.asarray(chroms, dtype=object),
        "chrom_p": chrom_p,
        "motif_pm": _rows_of(atac.varm[_keys.MOTIF_SCORES], order_p),
        "motifs": np.array([str(name) for name in atac.uns[_keys.MOTIF_NAMES]], dtype=object),  # zarr has its own text
        "motif_scan": plain_record(atac.uns.get(_keys.MOTIF_SCAN)),
        "annotation": plain_record(atac.uns.get(_keys.ANNOTATION)),
        "genes": genes,
        "promoters": _promoters(annotation, regions, genes),
    }
    for low in range(0, atac.n_obs, size):
        part, names = slice(low, low + size), atac.obs_names[low : low + size]
        counts_kg = None if rna is None else _rows_by_name(rna, setup["rna_layer"], names)
        yield RegionTable(
            rows=np.asarray(names, dtype=object),
            counts_kp=_in_order(counts, part, order_p),
            expression_kg=None if counts_kg is None else log_cpm(counts_kg).astype(np.float32),
            depth_k=None if counts_kg is None else counts_kg.sum(axis=1, dtype=np.float64),
            extra_kpe=read_extra(atac[part], setup.get("extra_keys"), regions, order_p),
            **fixed,
        )


def plain_record(record: Any) -> dict[str, Any]:
    """A record as plain lists, strings and numbers, as before it has been to disk; empty for what is none of ours."""
    return {key: np.asarray(value).tolist() for key, value in record.items()} if isinstance(record, Mapping) else {}


def _promoters(annotation: pd.DataFrame, regions: Regions, genes: np.ndarray) -> Promoters:
    region_n = pd.Index(regions.names).get_indexer(annotation["region"])
    gene_n = pd.Index(genes).get_indexer(annotation["gene"])
    strand_n = annotation["strand"].astype(str).map(STRAND_CODE).to_numpy()
    here = (region_n >= 0) & (gene_n >= 0)
    if not here.any():
        raise InputError(
            f"none of the {len(annotation)} promoters lies in these regions and genes, first "
            f"{first(annotation['region'])}; run scget.pp.promoters(mdata, annotation=...) on this MuData"
        )
    pairs = np.unique(np.stack([2 * region_n[here] + strand_n[here].astype(int), gene_n[here]], axis=1), axis=0)
    slots, slot_n = np.unique(pairs[:, 0], return_inverse=True)
    return Promoters(slots // 2, slots % 2, pairs[:, 1], slot_n, len(genes))


def log_cpm(counts_kg: np.ndarray) -> np.ndarray:
    """log10(counts per million + 1), float64."""
    counts_kg = counts_kg.astype(np.float64)
    return np.log10(counts_kg / counts_kg.sum(axis=1, keepdims=True) * 1e6 + 1)


def _rows_by_name(rna: Any, layer: str | None, row_names: pd.Index) -> np.ndarray:
    """Counts, rows in the order of ``row_names``."""
    return _dense(_by_rows(_layer(rna, layer))[rna.obs_names.get_indexer(row_names)])


def _mean_over(values: np.ndarray, source_n: np.ndarray, target_n: np.ndarray, n_targets: int) -> np.ndarray:
    taken = values[:, source_n].astype(np.float64)
    known = np.isfinite(taken)
    join = sp.csr_matrix((np.ones(len(target_n)), (np.arange(len(target_n)), target_n)), (len(target_n), n_targets))
    count = known.astype(np.float64) @ join
    total = np.where(known, taken, 0.0) @ join
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _layer(adata: Any, layer: str | None) -> Any:
    return adata.X if layer is None else adata.layers[layer]


def _by_rows(matrix: Any) -> Any:
    """The same, of a kind whose rows can be taken."""
    return sp.csr_matrix(matrix) if sp.issparse(matrix) else matrix


def _dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix, dtype=np.float32)


def _in_order(counts: Any, part: slice, order_p: np.ndarray) -> np.ndarray:
    """Some rows of ``counts``, dense, columns in order; a few at a time, so that they are in memory once."""
    out_kp, n_rows = np.empty((counts[part].shape[0], len(order_p)), dtype=np.float32), max(_BLOCK // len(order_p), 1)
    for low in range(0, len(out_kp), n_rows):
        at = part.start + low
        out_kp[low : low + n_rows] = _dense(counts[at : min(at + n_rows, part.start + len(out_kp))])[:, order_p]
    return out_kp


def _rows_of(matrix: Any, order_p: np.ndarray) -> np.ndarray | sp.csr_matrix:
    """``matrix`` by regions in order; itself, not a copy, where they are in order as they stand."""
    whole = sp.csr_matrix(matrix) if sp.issparse(matrix) else np.asarray(matrix)
    in_order = np.array_equal(order_p, np.arange(len(order_p)))
    return (whole if in_order else whole[order_p]).astype(np.float32, copy=False)
