"""Outputs of the network to expression: with the training mean, and where it was wrong in similar rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scget.data import RegionTable, Scaling

LEVEL, DEVIATION = 0, 1


@dataclass(frozen=True)
class SlotPrediction:
    """Network outputs in log10(CPM + 1): at promoter slots (k, q) and at genes (k, g).

    ``std_kg``: standard deviation of the error at genes, NaN where it is not known; ``ood_k``: share of a row's departure
    from the mean of the training rows that none of them has. None where these are not kept with the model.
    """

    slots_kq: np.ndarray
    genes_kg: np.ndarray
    std_kg: np.ndarray | None = None
    ood_k: np.ndarray | None = None


def to_expression(out_kqo: np.ndarray, table: RegionTable, scaling: Scaling, row_k: np.ndarray) -> SlotPrediction:
    """Outputs for the rows ``row_k`` in log10(CPM + 1), at least 0; other rows are NaN.

    A gene of training: its mean, the predicted departure, and by how much the network was wrong in training rows of like
    accessibility. A gene never seen: predicted level and departure.
    """
    pairs = table.promoters
    if out_kqo.shape[-1] == 1:
        return SlotPrediction(out_kqo[..., 0], pairs.slots_to_genes(out_kqo[..., 0]))
    level_kq = scaling.level[0] + scaling.level[1] * out_kqo[row_k, :, LEVEL]
    spread_g, deviation_kq = scaling.spread(table.genes), out_kqo[row_k, :, DEVIATION]
    like = scaling.likeness(table, row_k)
    departure_kg, std_kg = scaling.said_by(like, table.genes)
    known_kg = np.broadcast_to(scaling.expression(table.genes) + departure_kg, (len(row_k), len(table.genes)))
    known_kq = pairs.genes_to_slots(known_kg)
    departs_kq = pairs.genes_to_slots(spread_g[None])[0] * deviation_kq
    slots_kq = np.where(np.isfinite(known_kq), known_kq, level_kq) + departs_kq
    new_kg, departs_kg = pairs.slots_to_genes(level_kq), spread_g * pairs.slots_to_genes(deviation_kq)
    genes_kg = np.where(np.isfinite(known_kg), known_kg, new_kg) + departs_kg
    whole = (_at(row_k, np.maximum(values, 0), len(out_kqo)) for values in (slots_kq, genes_kg))
    if like is None:
        return SlotPrediction(*whole)
    std_kg = np.where(np.isfinite(genes_kg), std_kg, np.nan)
    return SlotPrediction(*whole, *(_at(row_k, values, len(out_kqo)) for values in (std_kg, 1 - like.share_k)))


def _at(row_k: np.ndarray, values: np.ndarray, n_rows: int) -> np.ndarray:
    """``values`` of the rows asked, at their place among all."""
    whole = np.full((n_rows, *values.shape[1:]), np.nan)
    whole[row_k] = values
    return whole
