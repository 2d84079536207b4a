"""Simpler predictors of expression, fitted on the same training rows and chromosomes as the model they stand beside.

Each is a function of a :class:`Task` and gives rows x genes in log10(CPM + 1). Those that learn from features predict
as the model does: the training mean of a gene where it was seen, else a predicted level, plus a predicted deviation;
NaN for a gene without a promoter. Nothing is learnt from expression of other rows than ``Task.row_k``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._learn import gene_activity, promoter_accessibility, ridge
from ._mlp import mlp_no_context, mlp_per_region
from ._similar import best_training_row, nearest_row_plus_accessibility, similar_rows, training_mean
from ._task import Task
from ._trees import boosted_trees

__all__ = ["BASELINES", "KNOWS_ALL_GENES", "Task"]

BASELINES: dict[str, Callable[[Task], np.ndarray]] = {
    "training_mean": training_mean,
    "best_training_row": best_training_row,
    "similar_rows": similar_rows,
    "nearest_row_plus_accessibility": nearest_row_plus_accessibility,
    "promoter_accessibility": promoter_accessibility,
    "gene_activity": gene_activity,
    "ridge": ridge,
    "boosted_trees": boosted_trees,
    "mlp_no_context": mlp_no_context,
    "mlp_per_region": mlp_per_region,
}
# In the training rows they read the expression of genes of held-out chromosomes too.
KNOWS_ALL_GENES = ("training_mean", "best_training_row", "similar_rows", "nearest_row_plus_accessibility", "multivi")
