"""Which members of an ensemble are asked for a gene, and the mean and spread of what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from scget.data import RegionTable

from ._attribute import Attribution
from ._expression import SlotPrediction

if TYPE_CHECKING:
    from ._fit import HoldOut
    from ._get import GET

EVERY = 2**31 - 1  # regions: more than any window has


class Asked(NamedTuple):
    """Which members answer for each gene and promoter slot, (m, g) and (m, q)."""

    gene_mg: np.ndarray
    slot_mq: np.ndarray

    def or_all(self) -> Asked:
        """All members where none is asked."""
        return Asked(*(flags | ~flags.any(axis=0) for flags in self))


def known(members: Sequence[GET], table: RegionTable) -> Asked:
    """Members that have a training mean of the gene, or of a gene at the slot."""
    mean_mg = np.stack([member.scaling.expression(table.genes) for member in members])
    return Asked(np.isfinite(mean_mg), np.isfinite(table.promoters.genes_to_slots(mean_mg)))


def unseen(members: Sequence[GET], table: RegionTable) -> Asked:
    """Members that never saw a chromosome on which the gene, or the slot, has a promoter."""
    pairs = table.promoters
    seen_mc = np.stack([np.isin(table.chroms.astype(str), member.holdout.seen_chroms) for member in members])
    seen_mq = seen_mc[:, table.chrom_p[pairs.region_q]]
    gene_mg = np.zeros((len(members), len(table.genes)), dtype=bool)
    gene_mg[:, pairs.gene_n] = True
    for gene_g, seen_q in zip(gene_mg, seen_mq, strict=True):
        gene_g[pairs.gene_n[seen_q[pairs.slot_n]]] = False  # a gene may stand on two chromosomes
    return Asked(gene_mg, ~seen_mq)


class Running:
    """Mean and standard deviation (ddof 1) over the members asked, one member at a time (Welford 1962)."""

    def __init__(self) -> None:
        self._n_x: Any = 0
        self._mean_kx: Any = 0.0
        self._square_kx: Any = 0.0

    def add(self, values_kx: np.ndarray, asked_x: np.ndarray) -> None:
        """Take in one member's values, where it is asked."""
        self._n_x = self._n_x + asked_x
        step_kx = np.where(asked_x, values_kx - self._mean_kx, 0.0)
        self._mean_kx = self._mean_kx + step_kx / np.maximum(self._n_x, 1)
        self._square_kx = self._square_kx + step_kx * np.where(asked_x, values_kx - self._mean_kx, 0.0)

    @property
    def mean(self) -> np.ndarray:
        """NaN where no member was asked."""
        return np.where(self._n_x > 0, self._mean_kx, np.nan)

    @property
    def std(self) -> np.ndarray:
        """NaN where fewer than two were."""
        return np.where(self._n_x > 1, np.sqrt(self._square_kx / np.maximum(self._n_x - 1, 1)), np.nan)


def out_of_fold_errors(
    predictions: Iterable[SlotPrediction], asked: Asked, table: RegionTable, holdout: HoldOut
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Errors and spreads of the members that never saw a gene's chromosome, on the training rows.

    Genes are those of training chromosomes; what no member saw stays out, to be judged on.

    Returns
    -------
    ``(error, spread)`` of expression, and of its departure from the mean over these rows; the latter errors are
    widened by ``sqrt(k / (k - 1))`` for k rows, as each row is part of its mean. rows x genes each.
    """
    row_k = np.flatnonzero(np.isin(table.rows.astype(str), holdout.seen_obs))
    pairs, chrom_q = table.promoters, table.chrom_p[table.promoters.region_q]
    folded_q = np.isin(table.chroms.astype(str), holdout.seen_chroms)[chrom_q]
    gene_g = np.zeros(len(table.genes), dtype=bool)
    gene_g[pairs.gene_n[folded_q[pairs.slot_n]]] = True
    gene_g &= asked.gene_mg.any(axis=0)
    index = np.ix_(row_k, gene_g)
    whole, change = Running(), Running()
    for prediction, asked_g in zip(predictions, asked.gene_mg[:, gene_g], strict=True):
        values_kg = prediction.genes_kg[index]
        whole.add(values_kg, asked_g)
        change.add(values_kg - values_kg.mean(axis=0), asked_g)
    observed_kg = table.expression_kg[index].astype(np.float64)
    error_kg = change.mean - (observed_kg - observed_kg.mean(axis=0))
    wider = np.sqrt(len(row_k) / (len(row_k) - 1)) if len(row_k) > 1 else np.nan
    return (whole.mean - observed_kg, whole.std), (error_kg * wider, change.std)


def mean_attribution(found: Iterable[Attribution], share_mg: pd.DataFrame, top: int) -> Attribution:
    """Average of the members' attributions; ``share_mg``: weight of each member (row) for each gene (column)."""
    motifs: dict[str, pd.DataFrame] = {}
    links = []
    for part, share_g in zip(found, share_mg.to_numpy(), strict=True):
        share = pd.Series(share_g, index=share_mg.columns)
        for row, table in part.motifs.items():
            weighed = table.mul(share.reindex(table.index.astype(str)).to_numpy(), axis=0)
            motifs[row] = motifs[row] + weighed if row in motifs else weighed
        links.append(part.links.assign(signed=part.links["signed"] * part.links["gene"].map(share)))
    return Attribution(motifs, _mean_links(pd.concat(links), top))


def _mean_links(links: pd.DataFrame, top: int) -> pd.DataFrame:
    """Sum weighted links; rows and genes stay in the order asked for, regions come strongest first."""
    keys = {name: pd.factorize(links[name])[0] for name in ("row", "gene")}
    by_region = links.assign(row_at=keys["row"], gene_at=keys["gene"]).groupby(
        ["row_at", "gene_at", "row", "gene", "region"], sort=False
    )
    mean = by_region.agg(signed=("signed", "sum"), distance=("distance", "first")).reset_index()
    size = mean["signed"].abs()
    total = size.groupby([mean["row_at"], mean["gene_at"]]).transform("sum")
    mean["score"] = np.where(total > 0, size / total.where(total > 0, 1), 0.0)
    order = np.lexsort([-mean["score"], mean["gene_at"], mean["row_at"]])
    mean = mean.iloc[order].groupby(["row_at", "gene_at"], sort=False).head(top).reset_index(drop=True)
    return mean[["row", "gene", "region", "distance", "score", "signed"]]
