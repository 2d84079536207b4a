"""Motif attributions of rows, read back from the MuData: means over gene sets, and tests of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from scget import _keys
from scget._errors import InputError, first, warn
from scget.pp._checks import as_names, get_modality

from ._factors import places

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

ALL = "all genes"


@dataclass(frozen=True)
class MotifEffects:
    """What ``tl.attribute`` wrote, one row at a time."""

    rna: AnnData
    slots: _keys.Slots
    rows: list[str]  # attributed
    motifs: np.ndarray

    @classmethod
    def of(cls, mdata: MuData, key: str, rna: str) -> MotifEffects:
        """Checked."""
        adata, slots = get_modality(mdata, rna, "expression"), _keys.Slots(key)
        rows = [row for row in adata.obs_names.astype(str) if slots.motif_attribution(row) in adata.varm]
        record = adata.uns.get(slots.record)
        if not rows or not isinstance(record, Mapping) or "motif_names" not in record:
            raise InputError(
                f"no motif attributions in {rna}.varm[{slots.motif_attribution('<row>')!r}]; run "
                "scget.tl.attribute(mdata, model) first"
            )
        names = pd.Series([slots.motif_attribution(row) for row in rows], index=rows)
        if names.duplicated().any():
            raise InputError(
                f"rows {first(names.index[names.duplicated(keep=False)])} differ only in '/' and '_', so whose attributions "
                "they have cannot be told; rename one and run scget.tl.attribute(mdata, model) again"
            )
        motifs = as_names(record["motif_names"], "motif names")
        for row in rows:
            shape = np.shape(adata.varm[slots.motif_attribution(row)])
            if shape != (adata.n_vars, len(motifs)):
                raise InputError(
                    f"attributions of {row!r} are {shape[0]:,} x {shape[1]:,} for {adata.n_vars:,} genes and "
                    f"{len(motifs):,} motif names; run scget.tl.attribute(mdata, model) again, on all rows"
                )
        return cls(adata, slots, rows, motifs)

    def asked(self, rows: Sequence[str] | None) -> list[str]:
        """Rows by name, None for all that are attributed; :class:`InputError` if one is not."""
        if rows is None:
            return self.rows
        wanted = [rows] if isinstance(rows, str) else [str(row) for row in rows]
        missing = [row for row in wanted if row not in self.rows]
        if missing or not wanted:
            raise InputError(
                f"{len(missing)} of {len(wanted)} rows have no motif attributions: {first(missing) or 'none asked for'}. There "
                f"are those of {first(self.rows)}; run scget.tl.attribute(mdata, model, rows=[...]) on the rows needed"
            )
        return list(dict.fromkeys(wanted))

    def table(self, row: str) -> tuple[np.ndarray, np.ndarray]:
        """Attributions, genes x motifs, float64, 0 where none are known; and which genes are known, (g,)."""
        values_gm = np.asarray(self.rna.varm[self.slots.motif_attribution(row)], dtype=np.float64)
        known_g = np.asarray(np.isfinite(values_gm).all(axis=1))
        return np.where(known_g[:, None], values_gm, 0.0), known_g

    def mean_over_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean over the rows in which a gene is attributed, genes x motifs; and in how many that is, (g,)."""
        total_gm, n_g = np.zeros((self.rna.n_vars, len(self.motifs))), np.zeros(self.rna.n_vars, dtype=np.int64)
        for row in self.rows:
            values_gm, known_g = self.table(row)
            total_gm += values_gm
            n_g += known_g
        return total_gm / np.maximum(n_g, 1)[:, None], n_g


def gene_sets_of(rna: AnnData, gene_sets: Mapping[str, Sequence[str]] | Sequence[str] | None) -> dict[str, np.ndarray]:
    """Name to positions of genes; of names that are no gene, some may be there, but not all of a set."""
    if gene_sets is None:
        return {ALL: np.arange(rna.n_vars)}
    sets = dict(gene_sets) if isinstance(gene_sets, Mapping) else {"gene set": gene_sets}
    if not sets:
        raise InputError("gene_sets is empty; give a list of genes, lists by name, or None for all genes")
    found: dict[str, np.ndarray] = {}
    unknown: list[str] = []
    for name, genes in sets.items():
        wanted = list(dict.fromkeys([genes] if isinstance(genes, str) else map(str, genes)))
        matches = places(rna, wanted)
        missing = np.delete(np.array(wanted, dtype=object), matches["wanted"].unique())
        if not len(matches):
            raise InputError(
                f"none of the {len(wanted)} genes of set {name!r} is in 'rna', first {first(wanted) or 'none'}; names or "
                f"symbols as in {first(rna.var_names)} are needed"
            )
        found[str(name)] = np.unique(matches["gene"])
        unknown += missing.tolist()
    if unknown:
        warn(f"{len(unknown):,} genes of gene sets are not in 'rna' and are left out: {first(unknown)}")
    return found


def members(sets: Mapping[str, np.ndarray], known_g: np.ndarray, row: str | None = None) -> csr_matrix:
    """Sets x genes, 1 for members that are known; :class:`InputError` where a set has none that are in ``row``."""
    gene_sn = [gene_n[known_g[gene_n]] for gene_n in sets.values()]
    empty = [name for name, gene_n in zip(sets, gene_sn, strict=True) if not len(gene_n)]
    if empty and row is not None:
        raise InputError(
            f"no gene of {len(empty)} of {len(sets)} sets, first {first(empty)}, is attributed in row {row!r}; run "
            "scget.tl.attribute(mdata, model) on these genes (one without a promoter region has no attribution)"
        )
    ends = np.cumsum([0, *map(len, gene_sn)])
    return csr_matrix((np.ones(ends[-1]), np.concatenate(gene_sn), ends), shape=(len(sets), len(known_g)))


def means(member_sg: csr_matrix, values_gm: np.ndarray) -> np.ndarray:
    """Mean over each set's members, sets x motifs; NaN where there are none."""
    n_s = np.asarray(member_sg.sum(axis=1)).ravel()[:, None]
    total_sm = member_sg @ values_gm
    return np.divide(total_sm, n_s, out=np.full(total_sm.shape, np.nan), where=n_s > 0)


def rank_sum_z(member_sg: csr_matrix, values_gm: np.ndarray, known_g: np.ndarray) -> np.ndarray:
    """z-score of the Wilcoxon rank-sum of members against the other known genes, sets x motifs.

    The variance is that of ranks with ties; NaN where all values are equal, or no other gene is there.
    """
    n_all = int(known_g.sum())
    if n_all < 2:
        return np.full((member_sg.shape[0], values_gm.shape[1]), np.nan)
    rank_gm, n_s = rankdata(values_gm[known_g], axis=0), np.asarray(member_sg.sum(axis=1)).ravel()[:, None]
    above_sm = member_sg[:, known_g] @ rank_gm - n_s * (n_all + 1) / 2
    spread_m = np.square(rank_gm - (n_all + 1) / 2).sum(axis=0) / (n_all - 1)
    sd_sm = np.sqrt(n_s * (n_all - n_s) / n_all * spread_m)
    return np.divide(above_sm, sd_sm, out=np.full(above_sm.shape, np.nan), where=sd_sm > 0)


def batches(effects: MotifEffects, rows: Sequence[str]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Row, attributions and known genes, with a progress bar."""
    from tqdm.auto import tqdm

    for row in tqdm(rows, desc="regulators", leave=False):
        yield row, *effects.table(row)
