"""Which members of an ensemble are asked for a gene, and the mean and spread of what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from scget.data import RegionTable

from ._expression import SlotPrediction
from ._gene_windows import GeneWindows
from ._infer import check_learnt
from ._running import Running

if TYPE_CHECKING:
    from ._ensemble import Ensemble
    from ._get import GET
    from ._holdout import HoldOut


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


def members_of(model: GET | Ensemble) -> list[GET]:
    """The networks asked, one or the members of an ensemble; each must have learnt expression."""
    members: list[GET] = getattr(model, "members", [model])
    for member in members:
        check_learnt(member)
    return members


def share_of_members(model: GET | Ensemble, table: RegionTable) -> tuple[list[GET], pd.DataFrame]:
    """The networks asked, one or the members of an ensemble, and the weight of each (row) for each gene (column)."""
    members = members_of(model)
    share_mg = known(members, table).or_all().gene_mg.astype(np.float64)
    return members, pd.DataFrame(share_mg / share_mg.sum(axis=0), columns=table.genes.astype(str))


def members_asked(
    model: GET | Ensemble, table: RegionTable, genes: Sequence[str] | None, rows: Sequence[str] | None, batch_size: int
) -> Iterator[tuple[GET, GeneWindows, np.ndarray]]:
    """One network after the other, its windows, and its weight in the prediction of each gene asked, (g,)."""
    members, share_mg = share_of_members(model, table)
    for member, share_g in zip(members, share_mg.to_numpy(), strict=True):
        where = GeneWindows.of(member, table, genes, rows, batch_size)
        yield member, where, share_g[where.gene_g]


def mean_lines(found: list[pd.DataFrame], share_mg: pd.DataFrame, effects: list[str]) -> pd.DataFrame:
    """Weighted sum of ``effects`` by row, gene and region; other columns are those of the first member that has the line."""
    weighed = [
        lines.assign(**{name: lines[name] * lines["gene"].map(share) for name in effects})
        for lines, share in zip(found, by_member(share_mg), strict=True)
    ]
    lines = pd.concat(weighed, ignore_index=True)
    others = [name for name in lines if name not in ("row", "gene", "region", *effects)]
    by_region = lines.groupby(["row", "gene", "region"], sort=False)
    return by_region.agg({**dict.fromkeys(effects, "sum"), **dict.fromkeys(others, "first")}).reset_index()


def highest(links: pd.DataFrame, top: int | None) -> pd.DataFrame:
    """The ``top`` lines of highest score of each row and gene; these stay in the order they have."""
    row_n, gene_n = (pd.factorize(links[name])[0] for name in ("row", "gene"))
    links = links.iloc[np.lexsort([links["region"].astype(str), -links["score"], gene_n, row_n])]
    if top is not None:
        links = links.groupby(["row", "gene"], sort=False).head(top)
    return links.reset_index(drop=True)


def by_member(share_mg: pd.DataFrame) -> list[pd.Series]:
    """The weight of each gene in the mean, a member after the other."""
    return [share for _, share in share_mg.iterrows()]
