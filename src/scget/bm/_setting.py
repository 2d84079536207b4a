"""Who saw what: rows, chromosomes and genes of training, and what is left to score on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scget._errors import InputError, first, warn
from scget.data import RegionTable, Rules, fit_scaling

from ._baselines import Task

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble


@dataclass(frozen=True)
class Setting:
    """What predictors learn from, and flags of what they are asked: training rows, rows held out, genes held out."""

    mdata: MuData
    task: Task
    seen_k: np.ndarray
    held_k: np.ndarray
    away_g: np.ndarray
    away: list[str]  # chromosomes

    @property
    def chrom_g(self) -> np.ndarray:
        """Number of the chromosome of each gene's first promoter; -1 without one."""
        pairs, chrom_g = self.task.table.promoters, np.full(len(self.task.table.genes), -1)
        chrom_g[pairs.gene_n[::-1]] = self.task.table.chrom_p[pairs.region_q[pairs.slot_n]][::-1]
        return chrom_g

    def splits(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Name, rows and genes (flags) of each split that has any."""
        splits = [
            ("rows", self.held_k, self.task.seen_g),
            ("chroms", self.seen_k, self.away_g),
            ("both", self.held_k, self.away_g),
        ]
        return [(name, row_k, gene_g) for name, row_k, gene_g in splits if row_k.any() and gene_g.any()]

    def check_other(self, name: str, other: GET | Ensemble) -> None:
        """Warn where another model was trained on what is scored."""
        if other.holdout is None:
            raise InputError(f"predictor {name!r} is not trained; train it first")
        scored = self.task.table.rows[self.held_k].astype(str)
        known = [f"row {r}" for r in scored if r in other.holdout.seen_obs]
        known += [f"chromosome {c}" for c in self.away if c in other.holdout.seen_chroms]
        if known:
            warn(f"{name!r} was trained on {first(known)}, which is held out here: its figures there say nothing")


def ask(model: GET | Ensemble, mdata: MuData | None, rows: Sequence[str] | None) -> Setting:
    """All that can be said before anything is predicted; :class:`InputError` where nothing can be scored."""
    table = model.table(mdata)
    if table.expression_kg is None or model.holdout is None:
        raise InputError("scoring needs a trained model and observed expression (an RNA modality)")
    seen_obs, seen_chroms, seen_g = _seen(model, table, rows)
    missing = sorted(set(seen_obs) - set(table.rows.astype(str)))
    if not len(seen_obs):
        raise InputError("no row is left for the baselines to learn from: ask for fewer rows")
    if missing:
        raise InputError(f"{len(missing)} training rows are not in the data ({first(missing)}); baselines need them")
    seen_k = np.isin(table.rows, seen_obs)
    held_k = ~seen_k if rows is None else np.isin(np.arange(len(table.rows)), table.row_positions(rows))
    if (held_k & seen_k).any():
        names = first(table.rows[held_k & seen_k])
        warn(f"{names} were trained on: these figures say nothing of new cell types")
    _warn_of_imported(model, table.rows[held_k])
    region_p = np.isin(table.chroms.astype(str), seen_chroms)[table.chrom_p]
    row_k = np.flatnonzero(seen_k)
    scaling = fit_scaling(table, row_k, region_p, rules=Rules(similar=False))  # baselines keep no rows of their own
    task = Task(table, scaling, row_k, seen_g)
    if mdata is None:
        mdata = model.adata if hasattr(model, "adata") else model.members[0].adata
    away = list(model.holdout.chroms)
    setting = Setting(mdata, task, seen_k, held_k, _away(table, away), away)
    if not setting.splits():
        raise InputError("nothing was held out: train (or import) with holdout_obs=[...] or holdout_chroms=[...]")
    return setting


def _away(table: RegionTable, chroms: Sequence[str]) -> np.ndarray:
    """True for genes all of whose promoters lie on held-out chromosomes; those watched in training are not among them."""
    pairs, held_p = table.promoters, np.isin(table.chroms.astype(str), list(chroms))[table.chrom_p]
    away_g, elsewhere = np.zeros(pairs.n_genes, dtype=bool), ~held_p[pairs.region_q[pairs.slot_n]]
    away_g[pairs.gene_n] = True
    away_g[pairs.gene_n[elsewhere]] = False
    return away_g


def _seen(
    model: GET | Ensemble, table: RegionTable, rows: Sequence[str] | None
) -> tuple[list[str], list[str], np.ndarray]:
    """Rows, chromosomes and genes (flags) of training.

    Of imported weights that were not trained further: all rows and chromosomes that are neither asked for nor stated
    to be held out, for the baselines to learn from.
    """
    holdout = model.holdout
    if holdout.imported is None or holdout.seen_obs:
        return holdout.seen_obs, holdout.seen_chroms, np.isfinite(model.scaling.expression(table.genes))
    obs = [str(r) for r in table.rows if str(r) not in {*holdout.obs, *map(str, rows or ())}]
    chroms = [str(c) for c in table.chroms if str(c) not in holdout.chroms]
    pairs, seen_g = table.promoters, np.zeros(len(table.genes), dtype=bool)
    seen_g[pairs.gene_n[np.isin(table.chroms.astype(str), chroms)[table.chrom_p][pairs.region_q[pairs.slot_n]]]] = True
    return obs, chroms, seen_g


def _warn_of_imported(model: GET | Ensemble, scored: np.ndarray) -> None:
    """Warn where imported weights may have seen what is scored: their file does not say."""
    imported = model.holdout.imported
    if imported is None:
        return
    names = [f"row {r}" for r in scored if str(r) not in imported["holdout_obs"]]
    names += [f"chromosome {c}" for c in model.holdout.chroms if c not in imported["holdout_chroms"]]
    if names:
        warn(
            f"{first(names)} may have been trained on before: {imported['file']!r} does not say what its weights saw. "
            "State what is known to be unseen with from_checkpoint(holdout_obs=..., holdout_chroms=...)."
        )
