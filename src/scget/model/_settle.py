"""What is fitted beside the network once it is trained: the share of gene activity, and what is missed in training rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scget.data import RegionTable

from ._expression import DEVIATION, to_expression
from ._infer import joined, read_slots

if TYPE_CHECKING:
    from ._get import GET

SETTLE_BATCH = 64  # windows


def settle(model: GET, table: RegionTable, row_k: np.ndarray) -> None:
    """Fit what needs a trained network: the share of gene activity, and what is missed in the training rows ``row_k``.

    No rows: it has not learnt expression.
    """
    if not len(row_k) or not (model.rules.activity or model.rules.similar):
        return
    scaling, rows = model.scaling, [str(row) for row in table.rows[row_k]]
    out_kqo, active_kq = read_slots(model, table, rows, SETTLE_BATCH)
    if active_kq is not None:
        pairs, departure_kg = table.promoters, table.expression_kg[row_k] - scaling.expression(table.genes)
        said = (pairs.slots_to_genes(value_kq[row_k]) for value_kq in (out_kqo[..., DEVIATION], active_kq))
        share = activity_share(departure_kg, *(value_kg * scaling.spread(table.genes) for value_kg in said))
        scaling = model.scaling = replace(scaling, activity=np.array([scaling.activity[0], share]))
    if scaling.similar is not None:
        alone = replace(scaling, similar=None)
        predicted_kg = to_expression(joined(out_kqo, active_kq, scaling), table, alone, row_k).genes_kg[row_k]
        model.scaling = replace(scaling, similar=scaling.similar.less(predicted_kg - scaling.expression(table.genes)))


def activity_share(departure_kg: np.ndarray, network_kg: np.ndarray, active_kg: np.ndarray) -> float:
    """Share of gene activity in a departure: a half, or less where it tells far less of the training rows than the network.

    That is the ratio of their correlations with ``departure_kg``, if below 1/2. The network's is too high, as it learnt
    these rows, and of rows unlike them the activity, which has one parameter, tells as much: hence up to a half.
    """
    both = np.isfinite(departure_kg) & np.isfinite(network_kg) & np.isfinite(active_kg)
    network, active = (_correlation(departure_kg[both], value_kg[both]) for value_kg in (network_kg, active_kg))
    return 0.0 if active <= 0 else min(0.5, active / network if network > 0 else 0.5)


def _correlation(x_n: np.ndarray, y_n: np.ndarray) -> float:
    """Pearson's r; 0 where one of them is constant."""
    return float(np.corrcoef(x_n, y_n)[0, 1]) if len(x_n) and x_n.std() > 0 and y_n.std() > 0 else 0.0
