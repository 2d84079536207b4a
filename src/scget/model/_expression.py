"""Outputs of the network to expression: with the training mean, and what similar training rows say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scget.data import RegionTable, Scaling

LEVEL, DEVIATION = 0, 1


@dataclass(frozen=True)
class SlotPrediction:
    """Network outputs in log10(CPM + 1): at promoter slots (k, q) and at genes (k, g)."""

    slots_kq: np.ndarray
    genes_kg: np.ndarray


def to_expression(out_kqo: np.ndarray, table: RegionTable, scaling: Scaling, row_k: np.ndarray) -> SlotPrediction:
    """Outputs for the rows ``row_k`` in log10(CPM + 1), at least 0.

    A gene of training: its mean, what similar training rows depart from it, and the predicted departure as far as the
    row is unlike those. A gene never seen: predicted level and departure.
    """
    pairs = table.promoters
    if out_kqo.shape[-1] == 1:
        return SlotPrediction(out_kqo[..., 0], pairs.slots_to_genes(out_kqo[..., 0]))
    level_kq = scaling.level[0] + scaling.level[1] * out_kqo[..., LEVEL]
    deviation_kq = scaling.deviation[0] * out_kqo[..., DEVIATION]
    known_kg = np.full((len(out_kqo), len(table.genes)), np.nan)
    departure_kg, _, likeness_k = scaling.similar_rows(table, row_k)
    known_kg[row_k] = scaling.expression(table.genes) + departure_kg
    share_k1 = np.ones((len(out_kqo), 1))
    share_k1[row_k, 0] = own_share(likeness_k)
    known_kq = pairs.genes_to_slots(known_kg)
    slots_kq = np.where(np.isfinite(known_kq), known_kq + share_k1 * deviation_kq, level_kq + deviation_kq)
    own_kg, new_kg = (pairs.slots_to_genes(values_kq) for values_kq in (deviation_kq, level_kq + deviation_kq))
    genes_kg = np.where(np.isfinite(known_kg), known_kg + share_k1 * own_kg, new_kg)
    return SlotPrediction(np.maximum(slots_kq, 0), np.maximum(genes_kg, 0))


def own_share(likeness_k: np.ndarray) -> np.ndarray:
    """How much of the network's departure is added to what similar rows say: 1 for a row that is like none of training."""
    return 1 - np.sqrt(likeness_k)
