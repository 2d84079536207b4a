"""What is fitted on the training rows, of regions and of genes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import scipy.sparse as sp

from ._near import gene_activity
from ._open import N_QUANTILES, open_rows
from ._rules import Rules
from ._scaling import Scaling
from ._similar import keep_rows
from ._table import RegionTable

LEVEL_GENES, MOST_LEVELS = 100, 30  # genes of like mean expression are taken together
LEAST_SPREAD = 0.01  # of that of all genes


def fit_scaling(
    table: RegionTable,
    row_k: np.ndarray,
    region_p: np.ndarray,
    *,
    units: Scaling | None = None,
    rules: Rules = Rules(),
) -> Scaling:
    """Fit on rows ``row_k`` (positions) and regions ``region_p`` (True where in training).

    With ``units`` the unit of motifs and the reference of accessibility are taken from there, so that a network
    that was trained before goes on seeing the same features; the means are taken anew.

    Accessibility means are taken at every region: they are inputs, known for all chromosomes of the training rows.
    Expression means only for genes with a promoter among the training regions.
    """
    unit = Scaling(
        motif_m=_mean_hit(table.motif_pm[region_p]) if units is None else units.motif_m,
        quantile_q=_mean_distribution(table.counts_kp, row_k, region_p) if units is None else units.quantile_q,
        region_p=np.asarray(table.regions.names),
        accessibility_p=np.zeros(len(table.regions)),
        gene_g=table.genes,
        expression_g=np.full(len(table.genes), np.nan),
        spread_g=np.full(len(table.genes), np.nan),
        level=np.array([0.0, 1.0]),
        deviation=np.array([1.0]),
        activity=np.zeros(2),
        extra_e2=_centre_and_scale(table, row_k, region_p) if units is None else units.extra_e2,
        rules=rules,
    )
    every_p = np.ones(len(table.regions), dtype=bool)

    def open_again() -> Iterator[np.ndarray]:  # a row at a time: all of them may not fit in double precision
        return open_rows((table.counts_kp[k] for k in row_k), rules, unit.quantile_q, every_p)

    mean_p = reduce(np.add, open_again()) / len(row_k)
    parts: dict[str, Any] = unit.arrays() | {"accessibility_p": mean_p}
    if table.expression_kg is None:
        return Scaling(**parts, rules=rules)
    parts |= _fit_expression(table, row_k, region_p)
    departure_jg = table.expression_kg[row_k] - parts["expression_g"]
    if rules.activity:
        folds = (open_p - mean_p for open_p in open_again())
        parts["activity"] = _fit_activity(table, folds, departure_jg, parts["spread_g"])
    if not rules.similar:
        return Scaling(**parts, rules=rules)
    kept = keep_rows(table.rows[row_k], region_p, open_again, mean_p, departure_jg)
    return Scaling(**parts, similar=kept, rules=rules)


def _fit_expression(table: RegionTable, row_k: np.ndarray, region_p: np.ndarray) -> dict[str, np.ndarray]:
    pairs, expression_kg = table.promoters, table.expression_kg[row_k].astype(np.float64)
    seen = np.zeros(len(table.genes), dtype=bool)
    seen[pairs.gene_n[region_p[pairs.region_q[pairs.slot_n]]]] = True
    mean_g = np.where(seen, expression_kg.mean(axis=0), np.nan)
    if not seen.any():
        return {"expression_g": mean_g}
    departure_kg, spread_g = (expression_kg - mean_g)[:, seen], np.full(len(mean_g), np.nan)
    deviation = max(departure_kg.std(), 1e-6)
    spread_g[seen] = np.maximum(_spread(departure_kg, mean_g[seen]), LEAST_SPREAD * deviation)
    return {
        "expression_g": mean_g,
        "spread_g": spread_g,
        "level": np.array([mean_g[seen].mean(), max(mean_g[seen].std(), 1e-6)]),
        "deviation": np.array([deviation]),
    }


def _fit_activity(
    table: RegionTable, folds: Iterable[np.ndarray], departure_jg: np.ndarray, spread_g: np.ndarray
) -> np.ndarray:
    """Least-squares slope through 0 of departures on gene activity x spread; and a share, not known before training."""
    x_jg = table.promoters.slots_to_genes(gene_activity(table, folds)) * spread_g
    both = np.isfinite(x_jg) & np.isfinite(departure_jg)
    size = np.square(x_jg[both]).sum()
    return np.array([(x_jg[both] * departure_jg[both]).sum() / size if size > 0 else 0.0, 0.0])


def _spread(departure_kg: np.ndarray, mean_g: np.ndarray) -> np.ndarray:
    """Scale of each gene's departures, (g,): from its own variance and that of genes of like mean, in equal parts.

    With few rows a gene's own variance is uncertain; those next to it in expression tell of it too.
    """
    own_g = np.square(departure_kg).mean(axis=0)
    like_g, n_levels = np.empty_like(own_g), int(np.clip(len(own_g) // LEVEL_GENES, 1, MOST_LEVELS))
    for part in np.array_split(np.argsort(mean_g, kind="stable"), n_levels):
        like_g[part] = own_g[part].mean()
    return np.sqrt((own_g + like_g) / 2)


def _centre_and_scale(table: RegionTable, row_k: np.ndarray, region_p: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each extra channel over training rows and regions, (e, 2); 1 where constant."""
    extra_kpe = table.extra_kpe[row_k][:, region_p].astype(np.float64)
    sd_e = extra_kpe.std(axis=(0, 1))
    return np.stack([extra_kpe.mean(axis=(0, 1)), np.where(sd_e > 0, sd_e, 1)], axis=-1)


def _mean_distribution(counts_kp: np.ndarray, row_k: np.ndarray, region_p: np.ndarray) -> np.ndarray:
    """Quantiles over regions of log(1 + count / mean count of the row), averaged over rows, in units of a typical open region.

    It is free of depth and of the number of regions.
    """
    grid = np.linspace(0, 1, N_QUANTILES)
    quantiles = []
    for k in row_k:
        counts_p = counts_kp[k].astype(np.float64)
        quantiles.append(np.quantile(np.log1p(counts_p / counts_p.mean())[region_p], grid))
    quantile_q = np.mean(quantiles, axis=0)
    return quantile_q / max(quantile_q[quantile_q > 0].mean() if quantile_q.any() else 0.0, 1e-6)


def _mean_hit(motif_pm: np.ndarray | sp.csr_matrix) -> np.ndarray:
    total = np.asarray(motif_pm.sum(axis=0, dtype=np.float64)).ravel()
    hits = np.asarray((motif_pm != 0).sum(axis=0)).ravel()
    return np.divide(total, hits, out=np.ones_like(total), where=hits > 0)
